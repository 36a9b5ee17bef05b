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
    if known is None or layer.unroll or cell.activation is not keras.activations.tanh:
        return None
    if known is Simple:
        return known
    if cell.recurrent_activation is not keras.activations.sigmoid:
        return None
    return known if known is Lstm or cell.reset_after else None


def drops_by_gate(cell):
    """Tell whether dropout masks of a covered cell differ between gates, or fall on its state."""
    by_gate = getattr(cell, "implementation", 2) == 1
    return bool(cell.recurrent_dropout or (by_gate and cell.dropout))


def _tensor(cell, weight):
    return tf.cast(keras.ops.convert_to_tensor(weight), cell.compute_dtype)


def _parts(cell):
    """Return a cell's kernel, recurrent kernel and bias, zeros if it has none."""
    kernel, recurrent = _tensor(cell, cell.kernel), _tensor(cell, cell.recurrent_kernel)
    shape = (2, recurrent.shape[-1]) if isinstance(cell, keras.layers.GRUCell) else kernel.shape[-1]
    bias = tf.zeros(shape, kernel.dtype) if cell.bias is None else _tensor(cell, cell.bias)
    return kernel, recurrent, bias


def dropped_product(h, kernel, drops):
    """Multiply h (B, H) by a kernel (H, G·H), each gate seeing what its dropout mask leaves.

    `drops` are no masks, one for all gates, or one for each of them, floating (B, H).
    """
    if not drops:
        return tf.matmul(h, kernel)
    columns = tf.split(kernel, len(drops), axis=-1)
    return tf.concat([tf.matmul(h * d, c) for d, c in zip(drops, columns, strict=True)], axis=-1)


def _state_gradient(d_z, transposed, drops):
    """Return the gradient of h in `dropped_product`; the kernel is given transposed (G·H, H)."""
    if not drops:
        return tf.matmul(d_z, transposed)
    gates = tf.split(d_z, len(drops), axis=-1)
    rows = tf.split(transposed, len(drops), axis=0)
    return sum(tf.matmul(g, r) * d for g, r, d in zip(gates, rows, drops, strict=True))


def _biased(z, bias):
    """Add a bias (N,) to z (B, N), if there is one."""
    return z if bias is None else tf.nn.bias_add(z, bias)


def _sigmoid(x):
    """The logistic function by way of tanh, which XLA runs faster on a CPU."""
    return 0.5 * tf.tanh(0.5 * x) + 0.5


def _kernel_gradient(before, hs, d_z, drops):
    """Sum h_before[t]ᵀ · d_z[t] over all steps in one product: (H, G·H).

    The states before the steps are `before`, then all of hs (T, B, H) but its last step.
    """
    if drops:
        gates = tf.split(d_z, len(drops), axis=-1)
        gradients = [
            _kernel_gradient(before * drop, hs * drop, gate, [])
            for drop, gate in zip(drops, gates, strict=True)
        ]
        return tf.concat(gradients, axis=-1)
    rows = tf.reshape(hs[:-1], (-1, hs.shape[-1]))
    rest = tf.matmul(rows, tf.reshape(d_z[1:], (-1, d_z.shape[-1])), transpose_a=True)
    first = tf.reshape(d_z[:1], (-1, d_z.shape[-1]))  # no rows where there is no step
    return rest + tf.matmul(before[: tf.shape(first)[0]], first, transpose_a=True)


def _sum_rows(d_z):
    """Sum over steps and batch as a product, many times faster than `tf.reduce_sum` here."""
    rows = tf.reshape(d_z, (-1, d_z.shape[-1]))
    return tf.matmul(tf.ones_like(rows[:, :1]), rows, transpose_a=True)[0]


class Lstm:
    """The LSTM's step; states h and c, weights (recurrent kernel, bias)."""

    @staticmethod
    def parts(cell):
        """Return the kernel that projects the input, and the weights of the recurrence."""
        kernel, *weights = _parts(cell)
        return kernel, weights

    @staticmethod
    def hoisted(weights):
        """Return what can be added to all steps' z at once, and the weights without it."""
        return weights[1], [weights[0], None]

    @staticmethod
    def step(z, weights, states):
        """Return the states after one step."""
        h, c = states
        z = _biased(z + tf.matmul(h, weights[0]), weights[1])
        i, f, g, o = tf.split(z, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return [tf.sigmoid(o) * tf.tanh(c), c]

    @staticmethod
    def kept_step(z, weights, states, drops):
        """Return the states after one step and what its gradient needs, each (B, H)."""
        h, c = states
        units = h.shape[-1]
        scale = tf.constant([0.5, 0.5, 1.0, 0.5], z.dtype)
        scale = tf.repeat(scale, units)  # one tanh over all gates: σ(x) = tanh(x / 2) / 2 + 1 / 2
        offset = tf.repeat(tf.constant([0.5, 0.5, 0.0, 0.5], z.dtype), units)
        z = z + dropped_product(h, weights[0], drops) + weights[1]
        gates = tf.tanh(z * scale) * scale + offset
        i, f, g, o = tf.split(gates, 4, axis=-1)
        after = f * c + i * g
        return [o * tf.tanh(after), after], [c, i, f, g, o]

    kept = 5

    @staticmethod
    def gradient_widths(units):
        """Widths of what `step_gradient` gives for each step."""
        return [4 * units]

    @staticmethod
    def step_gradient(h, kept, transposed, d_states, drops):
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
        return [_state_gradient(d_z, transposed, drops), d_c * f], [d_z]

    @staticmethod
    def weight_gradients(d_z, before, hs, drops):
        """Return the gradients of z and of the weights from all steps' results."""
        return d_z[0], _kernel_gradient(before, hs, d_z[0], drops), _sum_rows(d_z[0])


class Gru:
    """The GRU's step; state h, weights (recurrent kernel, biases of gates, candidate, inner)."""

    @staticmethod
    def parts(cell):
        """Return the kernel that projects the input, and the weights of the recurrence."""
        kernel, recurrent, bias = _parts(cell)
        units = recurrent.shape[0]
        of_input, of_state = tf.unstack(bias)
        gates = (of_input + of_state)[: 2 * units]
        return kernel, [recurrent, gates, of_input[2 * units :], of_state[2 * units :]]

    @staticmethod
    def hoisted(weights):
        """Return what can be added to all steps' z at once, and the weights without it."""
        recurrent, gates, of_input, of_state = weights
        return tf.concat([gates, of_input], 0), [recurrent, None, None, of_state]

    @staticmethod
    def step(z, weights, states):
        """Return the state after one step."""
        (h,) = states
        units = h.shape[-1]
        recurrent, gates, of_input, of_state = weights
        both, inner = tf.split(tf.matmul(h, recurrent), [2 * units, units], axis=-1)
        z_both, z = tf.split(z, [2 * units, units], axis=-1)
        update, reset = tf.split(tf.sigmoid(_biased(z_both + both, gates)), 2, axis=-1)
        inner = _biased(inner, of_state)
        candidate = tf.tanh(_biased(z + reset * inner, of_input))
        return [candidate + update * (h - candidate)]

    @staticmethod
    def kept_step(z, weights, states, drops):
        """Return the state after one step and what its gradient needs, each (B, H)."""
        (h,) = states
        units = h.shape[-1]
        recurrent, gates, of_input, of_state = weights
        inner = dropped_product(h, recurrent, drops)
        both = _sigmoid(z[:, : 2 * units] + inner[:, : 2 * units] + gates)
        update, reset = tf.split(both, 2, axis=-1)
        inner = inner[:, 2 * units :] + of_state
        candidate = tf.tanh(z[:, 2 * units :] + of_input + reset * inner)
        change = h - candidate
        return [candidate + update * change], [change, update, reset, inner, candidate]

    kept = 5

    @staticmethod
    def gradient_widths(units):
        """Widths of what `step_gradient` gives for each step."""
        return [3 * units, units]

    @staticmethod
    def step_gradient(h, kept, transposed, d_states, drops):
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
        d_before = d_h * update + _state_gradient(d_inner, transposed, drops)
        return [d_before], [d_inner, d_candidate]

    @staticmethod
    def weight_gradients(d_z, before, hs, drops):
        """Return the gradients of z and of the weights from all steps' results."""
        d_inner, d_candidate = d_z
        units = d_candidate.shape[-1]
        full = tf.concat([d_inner[..., : 2 * units], d_candidate], axis=-1)
        d_biases = tf.split(_sum_rows(d_inner), [2 * units, units])
        d_biases.insert(1, _sum_rows(d_candidate))
        return full, _kernel_gradient(before, hs, d_inner, drops), *d_biases


class Simple:
    """The simple recurrent network's step; state h, weights (recurrent kernel, bias)."""

    parts, hoisted = Lstm.parts, Lstm.hoisted

    @staticmethod
    def step(z, weights, states):
        """Return the state after one step."""
        return [tf.tanh(_biased(z + tf.matmul(states[0], weights[0]), weights[1]))]

    @staticmethod
    def kept_step(z, weights, states, drops):
        """Return the state after one step; its gradient needs nothing else."""
        return [tf.tanh(z + dropped_product(states[0], weights[0], drops) + weights[1])], []

    kept = 0

    @staticmethod
    def gradient_widths(units):
        """Width of what `step_gradient` gives for each step."""
        return [units]

    @staticmethod
    def step_gradient(h, kept, transposed, d_states, drops):
        """Return the gradients of the state before the step, and of z."""
        d_z = d_states[0] * (1 - h * h)
        return [_state_gradient(d_z, transposed, drops)], [d_z]

    weight_gradients = Lstm.weight_gradients
