"""Lists of steps, and the plain loops over them, which TensorFlow differentiates."""

import tensorflow as tf


def reserve(steps, like, width):
    """Make an empty list that knows its elements, so that no steps stack to (0, B, width)."""
    shape = tf.stack([tf.shape(like)[0], width])
    return tf.raw_ops.TensorListReserve(
        element_shape=shape, num_elements=steps, element_dtype=like.dtype
    )


def unstack(tensor):
    """Make a list of (…) from (T, …)."""
    return tf.raw_ops.TensorListFromTensor(tensor=tensor, element_shape=tf.shape(tensor)[1:])


def reader(tensor, unstack=unstack):
    """Return a function of t that reads step t of a tensor, outside whose loop it is made."""
    steps, element_shape = unstack(tensor), tf.shape(tensor)[1:]

    def read(t):
        item = tf.raw_ops.TensorListGetItem(
            input_handle=steps, index=t, element_shape=element_shape, element_dtype=tensor.dtype
        )
        item.set_shape(tensor.shape[1:])
        return item

    return read


def write(steps, t, item):
    """Return the list with its step t replaced."""
    return tf.raw_ops.TensorListSetItem(input_handle=steps, index=t, item=item)


def stack(steps, like, width, static_steps):
    """Stack a list of (B, width) into (T, B, width)."""
    shape = tf.stack([tf.shape(like)[0], width])
    stacked = tf.raw_ops.TensorListStack(
        input_handle=steps, element_shape=shape, element_dtype=like.dtype
    )
    return tf.ensure_shape(stacked, (static_steps, like.shape[0], width))


def select(condition, new, old):
    """Choose between two lists of states, row by row."""
    return [tf.where(condition, a, b) for a, b in zip(new, old, strict=True)]


def scan(step, x, states, mask=None, cut=None, width=None, together=1, prepare=None):
    """Step through time in a loop of core ops that TensorFlow can differentiate.

    Args:
        step: `(x_t, states) -> (output, states)`; an output of None means the first state.
        x: floating (T, B, F), time-major.
        states: Nest of floating (B, H).
        mask: bool (T, B, 1), False where the states are carried over, or None.
        cut: bool (T, B, 1) or (T, 1, 1), True before steps where the gradient stops, or None.
        width: Width of the output to collect, or None to collect nothing.
        together: Steps in one round of the loop: more cost less time and a larger graph.
        prepare: What the inputs of a round's steps go through together, as rows (N, F), or None.

    Returns:
        `(outputs, states)`: floating (T, B, width) or None, and the states after the last step.
    """
    steps = tf.shape(x)[0]
    like = tf.nest.flatten(states)[0]
    mask_at = None if mask is None else reader(mask)
    cut_at = None if cut is None else reader(cut)

    def one(t, x_t, flat):
        before = flat
        if cut is not None:
            stopped = [tf.stop_gradient(s) for s in flat]
            before = select(cut_at(t), stopped, flat)
        output, after = step(x_t, tf.nest.pack_sequence_as(states, before))
        after = tf.nest.flatten(after)
        if mask is not None:
            after = select(mask_at(t), after, before)
        output = after[0] if output is None else output
        for new, old in zip(after, flat, strict=True):
            new.set_shape(old.shape)
        return output, after

    def some(t, rows, count, flat):
        """Take `count` steps, whose inputs are the rows (count·B, F)."""
        rows = rows if prepare is None else prepare(rows)
        outputs = []
        for n, x_t in enumerate(tf.split(rows, count) if count > 1 else [rows]):
            output, flat = one(t + n, x_t, flat)
            outputs.append(output)
        return outputs, flat

    flat = tf.nest.flatten(states)
    if x.shape[0] and x.shape[0] <= together:  # so few that no loop is needed
        outputs, flat = some(0, tf.reshape(x, (-1, x.shape[-1])), x.shape[0], flat)
        return (width and tf.stack(outputs)), tf.nest.pack_sequence_as(states, flat)
    lists = () if width is None else (reserve(steps, like, width),)
    first = tf.constant(0)
    for count in sorted({together, 1}, reverse=True):  # whole rounds, then what is left
        last = first + (steps - first) // count * count
        rows_at = reader(_in_rounds(x[first:last], count))

        def body(t, lists, *flat, first=first, count=count, rows_at=rows_at):
            outputs, flat = some(t, rows_at((t - first) // count), count, list(flat))
            for n, output in enumerate(outputs):
                lists = tuple(write(each, t + n, output) for each in lists)
            return t + count, lists, *flat

        _, lists, *flat = tf.while_loop(
            lambda t, *_, last=last: t < last,
            body,
            (first, lists, *flat),
            maximum_iterations=steps,
        )
        first = last
    stacked = [stack(each, like, width, x.shape[0]) for each in lists]
    return (stacked[0] if stacked else None), tf.nest.pack_sequence_as(states, flat)


def _in_rounds(x, count):
    """Lay the rows of `count` steps together: (T, B, F) → (T / count, count·B, F)."""
    if count == 1:
        return x
    shape = tf.shape(x)
    batch = None if x.shape[1] is None else count * x.shape[1]
    x = tf.reshape(x, tf.stack([shape[0] // count, count * shape[1], x.shape[-1] or shape[2]]))
    return tf.ensure_shape(x, (None, batch, x.shape[-1]))


def plain_loop(cell, x, kernel, weights, states, mask, cut, whole):
    """Run a cell from `cells` over x (T, B, F); see `compiled_loop`."""
    bias, weights = cell.hoisted(weights)

    def step(z_t, before):
        return None, cell.step(z_t, weights, before)

    def project(rows):
        return tf.nn.bias_add(tf.matmul(rows, kernel), bias)

    width = states[0].shape[-1] if whole else None
    outputs, states = scan(step, x, states, mask, cut, width, together=8, prepare=project)
    return (outputs if whole else states[0]), states


def cell_loop(layer, x, states, mask, cut, training):
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
