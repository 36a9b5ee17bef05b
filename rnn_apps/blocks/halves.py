"""Both halves of a batch side by side, for loops whose steps leave cores idle.

A step's products are too small to be divided well among cores, and between the products only one
of them works. Two loops that know nothing of each other fill two cores.
"""

import tensorflow as tf

_MANY_ROWS, _MANY_UNITS = 32, 128


def both_halves(loop, x, states, mask, cut, drops=((), ())):
    """Run a loop over the first half of the rows, and over the rest.

    Args:
        loop: `(x, states, mask, cut, drops) → (outputs, states)`, outputs (T, B, H) or (B, H).
        x: floating (T, B, F).
        states: List of floating (B, H).
        mask: bool (T, B, 1) or None.
        cut: bool (T, B, 1), (T, 1, 1), or None.
        drops: Two lists of floating (B, …).

    Returns:
        What the loop returns for all rows at once.

    Example:
    >>> def loop(x, states, mask, cut, drops):
    ...     return x * 2, [state + 1 for state in states]
    >>> outputs, (state,) = both_halves(loop, tf.ones([4, 3, 2]), [tf.zeros([3, 2])], None, None)
    >>> outputs.shape, state.shape
    (TensorShape([4, 3, 2]), TensorShape([3, 2]))
    """
    half = tf.shape(x)[1] // 2 if x.shape[1] is None else x.shape[1] // 2
    outputs, finals = [], []
    for rows in (slice(None, half), slice(half, None)):
        of_rows, states_of_rows = loop(
            x[:, rows],
            [state[rows] for state in states],
            None if mask is None else mask[:, rows],
            cut if cut is None or cut.shape[1] == 1 else cut[:, rows],
            tuple([drop[rows] for drop in masks] for masks in drops),
        )
        outputs.append(of_rows)
        finals.append(states_of_rows)
    joined = tf.concat(outputs, outputs[0].shape.rank - 2)
    return joined, [tf.concat(pair, 0) for pair in zip(*finals, strict=True)]


def halves_if_many(loop, x, states, mask, cut):
    """Run a loop in halves where a batch has many rows, which the graph sees when it runs.

    With fewer than 32 rows or 128 units two loops cost more than they gain; eagerly, one would run
    after the other. Arguments and returns are those of `both_halves`.
    """
    given = (x, states, mask, cut)
    few = states[0].shape[-1] < _MANY_UNITS or (x.shape[1] or _MANY_ROWS) < _MANY_ROWS
    if few or tf.executing_eagerly():
        return loop(*given)
    outputs, finals = tf.cond(
        tf.shape(x)[1] >= _MANY_ROWS, lambda: both_halves(loop, *given), lambda: loop(*given)
    )
    width, rows = states[0].shape[-1], x.shape[1]
    shape = (x.shape[0], rows, width) if outputs.shape.rank == 3 else (rows, width)
    return tf.ensure_shape(outputs, shape), [tf.ensure_shape(s, (rows, width)) for s in finals]
