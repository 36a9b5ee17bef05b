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


def _project(cell, x, training, bias):
    """Project all steps at once: (T, B, F) → (T, B, G·H)."""
    if training and cell.dropout:
        x = x * cell.get_dropout_mask(x[0])
    kernel = _tensor(cell, cell.kernel)
    x = tf.cast(x, cell.compute_dtype)
    shape = tf.shape(x)
    z = tf.matmul(tf.reshape(x, (-1, kernel.shape[0])), kernel)  # (T·B, G·H)
    if bias is not None:
        z = tf.nn.bias_add(z, bias)
    z = tf.reshape(z, tf.stack([shape[0], shape[1], kernel.shape[1]]))
    return tf.ensure_shape(z, (x.shape[0], x.shape[1], kernel.shape[1]))


def _kernel_gradient(h_before, d_z):
    """Sum h_before[t]ᵀ · d_z[t] over all steps in one product: (H, G·H)."""
    rows = tf.reshape(h_before, (-1, h_before.shape[-1]))
    return tf.matmul(rows, tf.reshape(d_z, (-1, d_z.shape[-1])), transpose_a=True)


class Lstm:
    """The LSTM's step; states h and c, weights (recurrent kernel,)."""

    @staticmethod
    def project(cell, x, training):
        """Return z (T, B, 4H) and the weights of the recurrence."""
        bias = None if cell.bias is None else _tensor(cell, cell.bias)
        return _project(cell, x, training, bias), [_tensor(cell, cell.recurrent_kernel)]

    @staticmethod
    def step(z, weights, states):
        """Return the states after one step, and what its gradient needs."""
        h, c = states
        i, f, g, o = tf.split(z + tf.matmul(h, weights[0]), 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        return [o * tf.tanh(c), c], [i, f, g, o]

    @staticmethod
    def kept_widths(units):
        """Widths of the states and of what `step` keeps."""
        return [units] * 6

    @staticmethod
    def gradient_widths(units):
        """Widths of what `step_gradient` gives for each step."""
        return [4 * units]

    @staticmethod
    def step_gradient(now, weights, d_states):
        """Return the gradients of the states before the step, and of z."""
        _, c, i, f, g, o, _, c_before = now
        d_h, d_c = d_states
        tanh_c = tf.tanh(c)
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
        return [tf.matmul(d_z, weights[0], transpose_b=True), d_c * f], [d_z]

    @staticmethod
    def weight_gradients(d_z, h_before):
        """Return the gradients of z and of the weights from all steps' results."""
        return d_z[0], _kernel_gradient(h_before, d_z[0])


class Gru:
    """The GRU's step; state h, weights (recurrent kernel, recurrent bias)."""

    @staticmethod
    def project(cell, x, training):
        """Return z (T, B, 3H) and the weights of the recurrence."""
        kernel = _tensor(cell, cell.recurrent_kernel)
        if cell.bias is None:
            return _project(cell, x, training, None), [kernel, tf.zeros_like(kernel[0])]
        bias = _tensor(cell, cell.bias)
        return _project(cell, x, training, bias[0]), [kernel, bias[1]]

    @staticmethod
    def step(z, weights, states):
        """Return the states after one step, and what its gradient needs."""
        (h,) = states
        units = h.shape[-1]
        inner = tf.matmul(h, weights[0]) + weights[1]
        update, reset = tf.split(tf.sigmoid(z[:, : 2 * units] + inner[:, : 2 * units]), 2, axis=-1)
        inner = inner[:, 2 * units :]
        candidate = tf.tanh(z[:, 2 * units :] + reset * inner)
        return [candidate + update * (h - candidate)], [update, reset, inner, candidate]

    @staticmethod
    def kept_widths(units):
        """Widths of the state and of what `step` keeps."""
        return [units] * 5

    @staticmethod
    def gradient_widths(units):
        """Widths of what `step_gradient` gives for each step."""
        return [3 * units, units]

    @staticmethod
    def step_gradient(now, weights, d_states):
        """Return the gradients of the state before, of the recurrent product and of z's third."""
        _, update, reset, inner, candidate, h_before = now
        (d_h,) = d_states
        d_candidate = d_h * (1 - update) * (1 - candidate * candidate)
        d_inner = tf.concat(
            [
                d_h * (h_before - candidate) * update * (1 - update),
                d_candidate * inner * reset * (1 - reset),
                d_candidate * reset,
            ],
            axis=-1,
        )
        d_before = d_h * update + tf.matmul(d_inner, weights[0], transpose_b=True)
        return [d_before], [d_inner, d_candidate]

    @staticmethod
    def weight_gradients(d_z, h_before):
        """Return the gradients of z and of the weights from all steps' results."""
        d_inner, d_candidate = d_z
        units = d_candidate.shape[-1]
        full = tf.concat([d_inner[..., : 2 * units], d_candidate], axis=-1)
        return full, _kernel_gradient(h_before, d_inner), tf.reduce_sum(d_inner, axis=(0, 1))


class Simple:
    """The simple recurrent network's step; state h, weights (recurrent kernel,)."""

    project = Lstm.project

    @staticmethod
    def step(z, weights, states):
        """Return the state after one step; its gradient needs nothing else."""
        return [tf.tanh(z + tf.matmul(states[0], weights[0]))], []

    @staticmethod
    def kept_widths(units):
        """Width of the state."""
        return [units]

    @staticmethod
    def gradient_widths(units):
        """Width of what `step_gradient` gives for each step."""
        return [units]

    @staticmethod
    def step_gradient(now, weights, d_states):
        """Return the gradients of the state before the step, and of z."""
        h = now[0]
        d_z = d_states[0] * (1 - h * h)
        return [tf.matmul(d_z, weights[0], transpose_b=True)], [d_z]

    weight_gradients = Lstm.weight_gradients
