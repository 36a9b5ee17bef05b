"""The training loop: a gradient written by hand, each direction one small XLA program."""

import functools

import tensorflow as tf

from rnn_apps.blocks import loops


@tf.custom_gradient
def product(rows, kernel):
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


def compiled_loop(cell, x, kernel, weights, states, mask, cut, whole, drops):
    """Run a cell over all steps, ready for a fast gradient.

    Args:
        cell: `Lstm`, `Gru` or `Simple` from `cells`.
        x: floating (T, B, F), the input.
        kernel: floating (F, G·H), which projects it.
        weights: List of the tensors of the recurrence, the recurrent kernel (H, G·H) first.
        states: List of floating (B, H).
        mask: bool (T, B, 1), False where the states are carried over, or None.
        cut: bool (T, B, 1) or (T, 1, 1), True before steps where the gradient stops, or None.
        whole: Whether the states after every step are wanted.
        drops: Dropout masks of the input, floating (B, F), and of the state, (B, H): for each no
            mask, one for all gates, or one for each of them.

    Returns:
        `(outputs, states)`: floating (T, B, H), or (B, H) of the last step without `whole`; and
        the list of the states after the last step.

    Raises:
        ValueError: If a second derivative is asked for.
    """
    z = _projected(x, kernel, drops[0])
    drops = list(drops[1])
    masks = [m for m in (mask, cut) if m is not None]
    forward = _forward(cell, mask is not None)
    backward = _backward(cell, mask is not None, cut is not None, whole)
    count = len(weights)

    @tf.custom_gradient
    def recurrence(*tensors):
        # What enters a compiled function must not be watched by an eager tape.
        z, *rest = [tf.stop_gradient(tensor) for tensor in tensors]
        weights, states = rest[:count], rest[count:]
        hs, kept, finals = forward(z, weights, states, masks, drops)

        def gradient(*upstream):
            @tf.custom_gradient
            def once(*everything):  # all that the result depends on, so that none is missed
                above = [tf.stop_gradient(tensor) for tensor in everything[: len(upstream)]]
                d_z, d_states = backward(above, tf.transpose(weights[0]), hs, kept, masks, drops)
                results = (*cell.weight_gradients(d_z, states[0], hs, drops), *d_states)
                return results, _refuse_second_derivative

            return once(*upstream, *tensors)

        return ((hs,) if whole else ()) + tuple(finals), gradient

    results = list(recurrence(z, *weights, *states))
    return results[0], results[1:] if whole else results


def _projected(x, kernel, drops):
    """Project the input of all steps in one product for each mask: (T, B, F) → (T, B, G·H)."""
    features, width = kernel.shape
    if drops:
        columns = tf.split(kernel, len(drops), axis=-1)
        parts = [_projected(x * d, c, ()) for d, c in zip(drops, columns, strict=True)]
        return tf.concat(parts, axis=-1)
    z = product(tf.reshape(x, (-1, features)), kernel)
    z = tf.reshape(z, tf.stack([*tf.unstack(tf.shape(x))[:2], width]))
    return tf.ensure_shape(z, (*x.shape[:2], width))


def _refuse_second_derivative(*_):
    raise ValueError(
        "A second derivative was asked of a recurrent layer's training kernel, which has only a "
        'first one; call the layer inside `with kernels.use("plain"):` instead.'
    )


def _unstack_some(tensor):
    """Unstack for XLA, whose loop body must have a step to read even if it never runs."""
    missing = tf.maximum(1 - tf.shape(tensor)[0], 0)
    rank = tensor.shape.rank
    return loops.unstack(tf.pad(tensor, [[0, missing], *[[0, 0]] * (rank - 1)]))


@functools.cache
def _forward(cell, masked):
    @tf.function(jit_compile=True, autograph=False)
    def forward(z, weights, states, masks, drops):
        steps = tf.shape(z)[0]
        units = states[0].shape[-1]
        z_at = loops.reader(z, _unstack_some)
        mask_at = loops.reader(masks[0], _unstack_some) if masked else None

        def body(t, states, written):
            after, kept = cell.kept_step(z_at(t), weights, states, drops)
            if masked:
                after = loops.select(mask_at(t), after, states)
            items = [after[0], *kept]
            return t + 1, after, [loops.write(w, t, i) for w, i in zip(written, items, strict=True)]

        written = [loops.reserve(steps, states[0], units) for _ in range(1 + cell.kept)]
        _, finals, written = tf.while_loop(
            lambda t, *_: t < steps,
            body,
            (tf.constant(0), states, written),
            maximum_iterations=steps,
        )
        hs, *kept = [loops.stack(w, states[0], units, z.shape[0]) for w in written]
        return hs, kept, finals

    return forward


@functools.cache
def _backward(cell, masked, truncated, whole):
    @tf.function(jit_compile=True, autograph=False)
    def backward(upstream, transposed, hs, kept, masks, drops):
        steps = tf.shape(hs)[0]
        widths = cell.gradient_widths(hs.shape[-1])
        saved_at = [loops.reader(tensor, _unstack_some) for tensor in (hs, *kept)]
        masks_at = [loops.reader(m, _unstack_some) for m in masks]
        d_hs_at = loops.reader(upstream[0], _unstack_some) if whole else None
        d_finals = list(upstream[1:] if whole else upstream)

        def body(t, d_states, written):
            if whole:
                d_states = [d_states[0] + d_hs_at(t), *d_states[1:]]
            h, *now = [at(t) for at in saved_at]
            d_before, d_z = cell.step_gradient(h, now, transposed, d_states, drops)
            if masked:
                valid = masks_at[0](t)
                d_z = [tf.where(valid, d, tf.zeros_like(d)) for d in d_z]
                d_before = loops.select(valid, d_before, d_states)
            if truncated:
                cut = masks_at[-1](t)
                d_before = [tf.where(cut, tf.zeros_like(d), d) for d in d_before]
            return (
                t - 1,
                d_before,
                [loops.write(w, t, d) for w, d in zip(written, d_z, strict=True)],
            )

        written = [loops.reserve(steps, d_finals[0], width) for width in widths]
        _, d_states, written = tf.while_loop(
            lambda t, *_: t >= 0, body, (steps - 1, d_finals, written), maximum_iterations=steps
        )
        pairs = zip(written, widths, strict=True)
        return [loops.stack(w, d_finals[0], width, hs.shape[0]) for w, width in pairs], d_states

    return backward
