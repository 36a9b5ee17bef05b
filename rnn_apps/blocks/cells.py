"""One step of the LSTM, the GRU and the simple recurrent network, and its gradient by hand.

Each class is the arithmetic of one cell, written once for every kernel. Shapes: z and the gates
(B, G·H) with G gates, states (B, H).

- LSTM: Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; gates i, f, g, o.
- GRU: Cho et al. 2014, with the reset gate after the product; gates z (update), r (reset), h.
- Simple: Elman 1990.
"""

import keras
import tensorflow as tf


def of(layer):
    """Return the arithmetic that covers a Keras recurrent layer, or None if none does.

    Args:
        layer: A `keras.layers.RNN`.

    Returns:
        `Lstm`, `Gru`, `Simple` or None.
    """
    cell = layer.cell
    known = {
        keras.layers.LSTMCell: Lstm,
        keras.layers.GRUCell: Gru,
        keras.layers.SimpleRNNCell: Simple,
    }.get(type(cell))
    if known is None or layer.unroll or cell.recurrent_dropout:
        return None
    if cell.activation is not keras.activations.tanh or getattr(cell, "implementation", 2) != 2:
        return None
    if known is Simple:
        return known
    if cell.recurrent_activation is not keras.activations.sigmoid:
        return None
    return known if known is Lstm or cell.reset_after else None


def _tensor(cell, weight):
    return tf.cast(keras.ops.convert_to_tensor(weight), cell.compute_dtype)


def _project(cell, x, bias, product):
    """Project all steps at once: (T, B, F) → (T, B, G·H)."""
    kernel = _tensor(cell, cell.kernel)
    x = tf.cast(x, cell.compute_dtype)
    shape = tf.shape(x)
    z = product(tf.reshape(x, (-1, kernel.shape[0])), kernel)  # (T·B, G·H)
    if bias is not None:
        z = tf.nn.bias_add(z, bias)
    z = tf.reshape(z, tf.stack([shape[0], shape[1], kernel.shape[1]]))
    return tf.ensure_shape(z, (x.shape[0], x.shape[1], kernel.shape[1]))


def _sigmoid(x):
    """The logistic function by way of tanh, which XLA runs faster on a CPU."""
    return 0.5 * tf.tanh(0.5 * x) + 0.5


def _kernel_gradient(before, hs, d_z):
    """Sum h_before[t]ᵀ · d_z[t] over all steps in one product: (H, G·H).

    The states before the steps are `before`, then all of hs (T, B, H) but its last step.
    """
    rows = tf.reshape(hs[:-1], (-1, hs.shape[-1]))
    rest = tf.matmul(rows, tf.reshape(d_z[1:], (-1, d_z.shape[-1])), transpose_a=True)
    first = tf.reshape(d_z[:1], (-1, d_z.shape[-1]))  # no rows where there is no step
    return rest + tf.matmul(before[: tf.shape(first)[0]], first, transpose_a=True)


def _sum_rows(d_z):
    """Sum over steps and batch as a product, many times faster than `tf.reduce_sum` here."""
    rows = tf.reshape(d_z, (-1, d_z.shape[-1]))
    return tf.matmul(tf.ones_like(rows[:, :1]), rows, transpose_a=True)[0]


class Lstm:
    """The LSTM's step; states h and c, weights (recurrent kernel,)."""

    @staticmethod
    def project(cell, x, product):
        """Return z (T, B, 4H) and the weights of the recurrence."""
        bias = None if cell.bias is None else _tensor(cell, cell.bias)
        return _project(cell, x, bias, product), [_tensor(cell, cell.recurrent_kernel)]

    @staticmethod
    def step(z, weights, states):
        """Return the states after one step."""
        h, c = states
        i, f, g, o = tf.split(z + tf.matmul(h, weights[0]), 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return [tf.sigmoid(o) * tf.tanh(c), c]

    @staticmethod
    def kept_step(z, weights, states):
        """Return the states after one step and what its gradient needs, each (B, H)."""
        h, c = states
        units = h.shape[-1]
        scale = tf.constant([0.5, 0.5, 1.0, 0.5], z.dtype)
        scale = tf.repeat(scale, units)  # one tanh over all gates: σ(x) = tanh(x / 2) / 2 + 1 / 2
        offset = tf.repeat(tf.constant([0.5, 0.5, 0.0, 0.5], z.dtype), units)
        gates = tf.tanh((z + tf.matmul(h, weights[0])) * scale) * scale + offset
        i, f, g, o = tf.split(gates, 4, axis=-1)
        after = f * c + i * g
        return [o * tf.tanh(after), after], [c, i, f, g, o]

    kept = 5

    @staticmethod
    def gradient_widths(units):
        """Widths of what `step_gradient` gives for each step."""
        return [4 * units]

    @staticmethod
    def step_gradient(h, kept, transposed, d_states):
        """Return the gradients of the states before the step, and of z."""
        c_before, i, f, g, o = kept
        d_h, d_c = d_states
        tanh_c = tf.tanh(f * c_before + i * g)
        d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
        d_z = tf.concat(
            [
                d_c * g * i * (1 - i),
                d_c * c_before * f * (1 - f),
                d_c * i * (1 - g * g),
                d_h * tanh_c * o * (1 - o),
            ],
            axis=-1,
        )
        return [tf.matmul(d_z, transposed), d_c * f], [d_z]

    @staticmethod
    def weight_gradients(d_z, before, hs):
        """Return the gradients of z and of the weights from all steps' results."""
        return d_z[0], _kernel_gradient(before, hs, d_z[0])


class Gru:
    """The GRU's step; state h, weights (recurrent kernel, recurrent bias)."""

    @staticmethod
    def project(cell, x, product):
        """Return z (T, B, 3H) and the weights of the recurrence."""
        kernel = _tensor(cell, cell.recurrent_kernel)
        if cell.bias is None:
            return _project(cell, x, None, product), [kernel, tf.zeros_like(kernel[0])]
        bias = _tensor(cell, cell.bias)
        return _project(cell, x, bias[0], product), [kernel, bias[1]]

    @staticmethod
    def step(z, weights, states):
        """Return the state after one step."""
        (h,) = states
        units = h.shape[-1]
        inner = tf.nn.bias_add(tf.matmul(h, weights[0]), weights[1])
        both, inner = tf.split(inner, [2 * units, units], axis=-1)
        z_both, z = tf.split(z, [2 * units, units], axis=-1)
        update, reset = tf.split(tf.sigmoid(z_both + both), 2, axis=-1)
        candidate = tf.tanh(z + reset * inner)
        return [candidate + update * (h - candidate)]

    @staticmethod
    def kept_step(z, weights, states):
        """Return the state after one step and what its gradient needs, each (B, H)."""
        (h,) = states
        units = h.shape[-1]
        inner = tf.matmul(h, weights[0]) + weights[1]
        both = _sigmoid(z[:, : 2 * units] + inner[:, : 2 * units])
        update, reset = tf.split(both, 2, axis=-1)
        inner = inner[:, 2 * units :]
        candidate = tf.tanh(z[:, 2 * units :] + reset * inner)
        change = h - candidate
        return [candidate + update * change], [change, update, reset, inner, candidate]

    kept = 5

    @staticmethod
    def gradient_widths(units):
        """Widths of what `step_gradient` gives for each step."""
        return [3 * units, units]

    @staticmethod
    def step_gradient(h, kept, transposed, d_states):
        """Return the gradients of the state before, of the recurrent product and of z's third."""
        change, update, reset, inner, candidate = kept
        (d_h,) = d_states
        d_candidate = d_h * (1 - update) * (1 - candidate * candidate)
        d_inner = tf.concat(
            [
                d_h * change * update * (1 - update),
                d_candidate * inner * reset * (1 - reset),
                d_candidate * reset,
            ],
            axis=-1,
        )
        return [d_h * update + tf.matmul(d_inner, transposed)], [d_inner, d_candidate]

    @staticmethod
    def weight_gradients(d_z, before, hs):
        """Return the gradients of z and of the weights from all steps' results."""
        d_inner, d_candidate = d_z
        units = d_candidate.shape[-1]
        full = tf.concat([d_inner[..., : 2 * units], d_candidate], axis=-1)
        return full, _kernel_gradient(before, hs, d_inner), _sum_rows(d_inner)


class Simple:
    """The simple recurrent network's step; state h, weights (recurrent kernel,)."""

    project = Lstm.project

    @staticmethod
    def step(z, weights, states):
        """Return the state after one step."""
        return [tf.tanh(z + tf.matmul(states[0], weights[0]))]

    @staticmethod
    def kept_step(z, weights, states):
        """Return the state after one step; its gradient needs nothing else."""
        return Simple.step(z, weights, states), []

    kept = 0

    @staticmethod
    def gradient_widths(units):
        """Width of what `step_gradient` gives for each step."""
        return [units]

    @staticmethod
    def step_gradient(h, kept, transposed, d_states):
        """Return the gradients of the state before the step, and of z."""
        d_z = d_states[0] * (1 - h * h)
        return [tf.matmul(d_z, transposed)], [d_z]

    weight_gradients = Lstm.weight_gradients
