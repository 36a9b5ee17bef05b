"""The sequence kernels under the recurrent layers, and the one place that chooses between them.

A recurrent layer spends its time in three ways, and each has its own path:

- `"plain"`: the input projection hoisted out of the loop into one product, then a minimal
  `tf.while_loop` over the steps. Only core TensorFlow ops, differentiable to any order. Inference,
  exports and everything inside `portable()` run it.
- `"xla"`: the same projection around a recurrence with a hand-written gradient, whose forward and
  backward loops are each compiled by XLA. Training runs it.
- `"keras"`: Keras's own code, for settings the other two do not cover, and for a GPU (cuDNN).

All three give the same values and gradients; `choose` decides.
"""

import contextlib
import contextvars
import functools

import tensorflow as tf

from rnn_apps.blocks import cells

_PATHS = ("auto", "plain", "xla", "keras")
_override = contextvars.ContextVar("rnn_apps_kernel", default="auto")


@contextlib.contextmanager
def use(path):
    """Run the recurrent layers inside the block on one path, whatever `choose` would say.

    A layer whose settings that path does not cover still falls back to Keras's own code.

    Args:
        path: `"auto"`, `"plain"`, `"xla"` or `"keras"`.

    Yields:
        None.

    Raises:
        ValueError: If `path` is none of those.

    Example:
    >>> with kernels.use("plain"):
    ...     outputs = layer(sequences, training=True)
    """
    if path not in _PATHS:
        raise ValueError(f"Expected path to be one of {_PATHS}, but got {path!r}.")
    token = _override.set(path)
    try:
        yield
    finally:
        _override.reset(token)


@contextlib.contextmanager
def portable():
    """Trace functions that run anywhere: no XLA, no cuDNN and no custom gradient inside the block.

    A TensorFlow Serving on a machine without a GPU and without XLA can run what is traced here.

    Yields:
        None.

    Example:
    >>> with kernels.portable():
    ...     concrete = tf.function(layer).get_concrete_function(
    ...         tf.TensorSpec([None, None, 8], tf.float32)
    ...     )
    """
    with use("plain"):
        yield


def choose(layer, sequences, training):
    """Return the path that one call of a recurrent layer takes.

    Args:
        layer: The `keras.layers.RNN` that is called.
        sequences: floating (B, T, F), its input.
        training: Whether the call is part of training.

    Returns:
        `"plain"` or `"xla"`: our kernels. `"keras"`: the layer's Keras parent, which takes cuDNN
        on a GPU. `"loop"`: the same without cuDNN. `"cell"`: the layer's own cell stepped in a
        plain loop, for truncated backpropagation, which Keras does not have.
    """
    asked = _override.get()
    truncated = getattr(layer, "truncate", None)
    if cells.of(layer) is None or asked == "keras":
        if truncated:
            return "cell"
        return "loop" if asked == "plain" else "keras"
    if asked != "auto":
        return asked
    if tf.config.list_logical_devices("GPU"):
        return "plain" if truncated else "keras"
    return "xla" if training and 0 not in sequences.shape[:2] else "plain"


def run(path, layer, sequences, initial_state, mask, training):
    """Run a recurrent layer over whole sequences on one of our paths.

    Args:
        path: `"plain"`, `"xla"` or `"cell"`, from `choose`.
        layer: A `keras.layers.RNN` with its cell built. Its `truncate` attribute, if it has one,
            is the number of steps after which the gradient through the state is cut.
        sequences: floating (B, T, F).
        initial_state: List of state tensors, each (B, H), as `keras.layers.RNN` passes them.
        mask: bool (B, T), False where a step is to be skipped, or None.
        training: Whether dropout is on.

    Returns:
        `(last_output, outputs, states)` as from `keras.layers.RNN.inner_loop`: floating (B, H),
        floating (B, T, H) — or (B, 1, H) without `return_sequences` — and a list of (B, H).
    """
    x, mask, cut = _time_major(layer, sequences, mask)
    states = tf.nest.map_structure(tf.convert_to_tensor, list(initial_state))
    if path == "cell":
        outputs, states = _cell_loop(layer, x, states, mask, cut, training)
    else:
        cell = cells.of(layer)
        if training and layer.cell.dropout:
            x = x * layer.cell.get_dropout_mask(x[0])
        product = tf.matmul if path == "plain" else _product
        z, weights = cell.project(layer.cell, x, product)
        loop = _plain_loop if path == "plain" else _compiled_loop
        outputs, states = loop(cell, z, weights, states, mask, cut, layer.return_sequences)
    return *_finish(layer, outputs, mask, x), states


def _time_major(layer, sequences, mask):
    """Return (T, B, F), the mask and the truncation's boundaries, in the layer's own order."""
    x = tf.transpose(tf.convert_to_tensor(sequences), (1, 0, 2))  # (T, B, F)
    if mask is not None:
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = tf.transpose(tf.cast(mask, tf.bool))[..., None]  # (T, B, 1)
    if layer.go_backwards:
        x = tf.reverse(x, (0,))
        mask = None if mask is None else tf.reverse(mask, (0,))
    return x, mask, _boundaries(getattr(layer, "truncate", None), mask, tf.shape(x)[0])


def scan_layer(layer, step, sequences, initial_state, mask=None):
    """Run a layer over whole sequences with a step of your own in place of its cell.

    Args:
        layer: A `keras.layers.RNN` that returns its sequence; gives direction and truncation.
        step: `(x_t, states) -> (output, states)`, the output as wide as the first state.
        sequences: floating (B, T, F).
        initial_state: List of floating (B, H).
        mask: bool (B, T) or None.

    Returns:
        `(outputs, *states)`: floating (B, T, H), zeros at masked steps, and the last states.
    """
    x, mask, cut = _time_major(layer, sequences, mask)
    states = [tf.convert_to_tensor(state, x.dtype) for state in initial_state]
    outputs, states = scan(step, x, states, mask, cut, states[0].shape[-1])
    return _finish(layer, outputs, mask, x)[1], *states


def _boundaries(truncate, mask, steps):
    """Mark the steps before which truncated backpropagation cuts the gradient.

    A row's n-th, 2n-th, … step that is not masked begins a new segment, so that a padded row is
    cut where the same row alone would be. The initial state keeps its gradient.
    """
    if not truncate:
        return None
    if mask is None:
        seen = tf.range(steps)[:, None, None]  # (T, 1, 1)
        return (seen > 0) & (seen % truncate == 0)
    seen = tf.cumsum(tf.cast(mask, tf.int32), axis=0, exclusive=True)  # (T, B, 1)
    return mask & (seen > 0) & (seen % truncate == 0)


def _finish(layer, outputs, mask, x):
    """Turn the state after each step into Keras's outputs: masked steps repeat, or are zero."""
    if outputs.shape.rank == 2:  # only the last step was kept
        outputs = outputs[None]
        if mask is not None:
            seen = mask[-1:] if layer.zero_output_for_mask else mask
            seen = tf.reduce_any(seen, axis=0, keepdims=True)
            outputs = tf.where(seen, outputs, tf.zeros_like(outputs))
        elif x.shape[0] is None or x.shape[0] == 0:
            outputs = tf.where(tf.shape(x)[0] > 0, outputs, tf.zeros_like(outputs))
        return outputs[0], tf.transpose(outputs, (1, 0, 2))
    if mask is not None:
        seen = mask
        if not layer.zero_output_for_mask:
            seen = tf.cumsum(tf.cast(mask, tf.int32), axis=0) > 0
        outputs = tf.where(seen, outputs, tf.zeros_like(outputs))
    last = tf.reduce_sum(outputs[-1:], axis=0)  # zeros where there is no step at all
    return last, tf.transpose(outputs, (1, 0, 2))


# --- Lists of steps. A reserved list knows its element's shape, so zero steps stack to (0, B, H).


def _reserve(steps, like, width):
    shape = tf.stack([tf.shape(like)[0], width])
    return tf.raw_ops.TensorListReserve(
        element_shape=shape, num_elements=steps, element_dtype=like.dtype
    )


def _unstack(tensor):
    return tf.raw_ops.TensorListFromTensor(tensor=tensor, element_shape=tf.shape(tensor)[1:])


def _reader(tensor, unstack=_unstack):
    """Return a function of t that reads step t of a tensor, outside whose loop it is made."""
    steps, element_shape = unstack(tensor), tf.shape(tensor)[1:]

    def read(t):
        item = tf.raw_ops.TensorListGetItem(
            input_handle=steps, index=t, element_shape=element_shape, element_dtype=tensor.dtype
        )
        item.set_shape(tensor.shape[1:])
        return item

    return read


def _write(steps, t, item):
    return tf.raw_ops.TensorListSetItem(input_handle=steps, index=t, item=item)


def _stack(steps, like, width, static_steps):
    """Stack a list of (B, width) into (T, B, width)."""
    shape = tf.stack([tf.shape(like)[0], width])
    stacked = tf.raw_ops.TensorListStack(
        input_handle=steps, element_shape=shape, element_dtype=like.dtype
    )
    return tf.ensure_shape(stacked, (static_steps, like.shape[0], width))


def _select(condition, new, old):
    return [tf.where(condition, a, b) for a, b in zip(new, old, strict=True)]


# --- Plain: TensorFlow differentiates it.


def scan(step, x, states, mask=None, cut=None, width=None, together=1):
    """Step through time in a loop of core ops that TensorFlow can differentiate.

    Args:
        step: `(x_t, states) -> (output, states)`; an output of None means the first state.
        x: floating (T, B, F), time-major.
        states: Nest of floating (B, H).
        mask: bool (T, B, 1), False where the states are carried over, or None.
        cut: bool (T, B, 1) or (T, 1, 1), True before steps where the gradient stops, or None.
        width: Width of the output to collect, or None to collect nothing.
        together: Steps in one round of the loop: more cost less time and a larger graph.

    Returns:
        `(outputs, states)`: floating (T, B, width) or None, and the states after the last step.
    """
    steps = tf.shape(x)[0]
    like = tf.nest.flatten(states)[0]
    x_at = _reader(x)
    mask_at = None if mask is None else _reader(mask)
    cut_at = None if cut is None else _reader(cut)
    outputs = () if width is None else (_reserve(steps, like, width),)

    def one(t, outputs, flat):
        before = flat
        if cut is not None:
            stopped = [tf.stop_gradient(s) for s in flat]
            before = _select(cut_at(t), stopped, flat)
        output, after = step(x_at(t), tf.nest.pack_sequence_as(states, before))
        after = tf.nest.flatten(after)
        if mask is not None:
            after = _select(mask_at(t), after, before)
        output = after[0] if output is None else output
        for new, old in zip(after, flat, strict=True):
            new.set_shape(old.shape)
        return tuple(_write(o, t, output) for o in outputs), after

    def rounds(count):
        def body(t, outputs, *flat):
            flat = list(flat)
            for n in range(count):
                outputs, flat = one(t + n, outputs, flat)
            return t + count, outputs, *flat

        return body

    variables = (tf.constant(0), outputs, *tf.nest.flatten(states))
    for count in sorted({together, 1}, reverse=True):  # whole rounds, then what is left
        last = steps - count
        variables = tf.while_loop(
            lambda t, *_, last=last: t <= last, rounds(count), variables, maximum_iterations=steps
        )
    _, outputs, *flat = variables
    stacked = [_stack(o, like, width, x.shape[0]) for o in outputs]
    return (stacked[0] if stacked else None), tf.nest.pack_sequence_as(states, flat)


def _plain_loop(cell, z, weights, states, mask, cut, whole):
    def step(z_t, before):
        return None, cell.step(z_t, weights, before)

    width = states[0].shape[-1] if whole else None
    outputs, states = scan(step, z, states, mask, cut, width, together=4)
    return (outputs if whole else states[0]), states


def _cell_loop(layer, x, states, mask, cut, training):
    """Step any Keras cell; the output of a masked step repeats the last one, as Keras's does."""
    kwargs = {"training": training} if getattr(layer.cell, "_call_has_training_arg", False) else {}
    width = layer.compute_output_shape((None, None, x.shape[-1]))
    width = (width[0] if layer.return_state else width)[-1]
    first = tf.nest.flatten(states)[0]
    previous = tf.zeros(tf.stack([tf.shape(first)[0], width]), first.dtype)
    previous = tf.ensure_shape(previous, (first.shape[0], width))

    def step(x_t, before):
        output, after = layer.cell(x_t, before[1], **kwargs)
        return None, [output, after if isinstance(after, (list, tuple)) else [after]]

    outputs, states = scan(step, x, [previous, states], mask, cut, width)
    return outputs, states[1]


# --- Compiled: the gradient is written by hand, so that each direction is one small XLA program.


@tf.custom_gradient
def _product(rows, kernel):
    """`tf.matmul`, whose gradient multiplies with a transposed copy of the kernel.

    TensorFlow's product with `transpose_b` takes up to twice as long on a CPU. The copy is made by
    XLA because the graph optimiser would fold a transposition back into the product.
    """

    def gradient(d_z):
        return tf.matmul(d_z, _transposed()(kernel)), tf.matmul(rows, d_z, transpose_a=True)

    return tf.matmul(rows, kernel), gradient


@functools.cache
def _transposed():
    return tf.function(tf.transpose, jit_compile=True, autograph=False)


def _compiled_loop(cell, z, weights, states, mask, cut, whole):
    masks = [m for m in (mask, cut) if m is not None]
    forward = _forward(cell, mask is not None)
    backward = _backward(cell, mask is not None, cut is not None, whole)
    count = len(weights)

    @tf.custom_gradient
    def recurrence(*tensors):
        # What enters a compiled function must not be watched by an eager tape.
        z, *rest = [tf.stop_gradient(tensor) for tensor in tensors]
        weights, states = rest[:count], rest[count:]
        hs, kept, finals = forward(z, weights, states, masks)

        def gradient(*upstream):
            @tf.custom_gradient
            def once(*everything):  # all that the result depends on, so that none is missed
                above = [tf.stop_gradient(tensor) for tensor in everything[: len(upstream)]]
                d_z, d_states = backward(above, tf.transpose(weights[0]), hs, kept, masks)
                results = (*cell.weight_gradients(d_z, states[0], hs), *d_states)
                return results, _refuse_second_derivative

            return once(*upstream, *tensors)

        return ((hs,) if whole else ()) + tuple(finals), gradient

    results = list(recurrence(z, *weights, *states))
    return results[0], results[1:] if whole else results


def _refuse_second_derivative(*_):
    raise ValueError(
        "A second derivative was asked of a recurrent layer's training kernel, which has only a "
        'first one; call the layer inside `with kernels.use("plain"):` instead.'
    )


def _unstack_some(tensor):
    """Unstack for XLA, whose loop body must have a step to read even if it never runs."""
    missing = tf.maximum(1 - tf.shape(tensor)[0], 0)
    rank = tensor.shape.rank
    return _unstack(tf.pad(tensor, [[0, missing], *[[0, 0]] * (rank - 1)]))


@functools.cache
def _forward(cell, masked):
    @tf.function(jit_compile=True, autograph=False)
    def forward(z, weights, states, masks):
        steps = tf.shape(z)[0]
        units = states[0].shape[-1]
        z_at = _reader(z, _unstack_some)
        mask_at = _reader(masks[0], _unstack_some) if masked else None

        def body(t, states, written):
            after, kept = cell.kept_step(z_at(t), weights, states)
            if masked:
                after = _select(mask_at(t), after, states)
            items = [after[0], *kept]
            return t + 1, after, [_write(w, t, i) for w, i in zip(written, items, strict=True)]

        written = [_reserve(steps, states[0], units) for _ in range(1 + cell.kept)]
        _, finals, written = tf.while_loop(
            lambda t, *_: t < steps,
            body,
            (tf.constant(0), states, written),
            maximum_iterations=steps,
        )
        hs, *kept = [_stack(w, states[0], units, z.shape[0]) for w in written]
        return hs, kept, finals

    return forward


@functools.cache
def _backward(cell, masked, truncated, whole):
    @tf.function(jit_compile=True, autograph=False)
    def backward(upstream, transposed, hs, kept, masks):
        steps = tf.shape(hs)[0]
        widths = cell.gradient_widths(hs.shape[-1])
        saved_at = [_reader(tensor, _unstack_some) for tensor in (hs, *kept)]
        masks_at = [_reader(m, _unstack_some) for m in masks]
        d_hs_at = _reader(upstream[0], _unstack_some) if whole else None
        d_finals = list(upstream[1:] if whole else upstream)

        def body(t, d_states, written):
            if whole:
                d_states = [d_states[0] + d_hs_at(t), *d_states[1:]]
            h, *now = [at(t) for at in saved_at]
            d_before, d_z = cell.step_gradient(h, now, transposed, d_states)
            if masked:
                valid = masks_at[0](t)
                d_z = [tf.where(valid, d, tf.zeros_like(d)) for d in d_z]
                d_before = _select(valid, d_before, d_states)
            if truncated:
                cut = masks_at[-1](t)
                d_before = [tf.where(cut, tf.zeros_like(d), d) for d in d_before]
            return t - 1, d_before, [_write(w, t, d) for w, d in zip(written, d_z, strict=True)]

        written = [_reserve(steps, d_finals[0], width) for width in widths]
        _, d_states, written = tf.while_loop(
            lambda t, *_: t >= 0, body, (steps - 1, d_finals, written), maximum_iterations=steps
        )
        pairs = zip(written, widths, strict=True)
        return [_stack(w, d_finals[0], width, hs.shape[0]) for w, width in pairs], d_states

    return backward
