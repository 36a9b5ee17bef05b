"""The recurrent state that one batch of a stream hands to the next."""

import tensorflow as tf


class CarriedState:
    """Variables that hold the state of a `RecurrentStack` between batches.

    They are part of no layer, file or export: a state belongs to the stream that is being read.

    Args:
        stack: `RecurrentStack`, built.

    Example:
        >>> from rnn_apps import blocks
        >>> stack = blocks.RecurrentStack("gru", 4, returns="both")
        >>> sequence, state = stack(np.ones((2, 3, 5), "float32"))
        >>> carried = CarriedState(stack)
        >>> carried.write(state)
        >>> bool(tf.reduce_all(carried.read(2)[0][0] == state[0][0]))
        True
    """

    def __init__(self, stack):
        self._zeros = stack.get_initial_state
        first = tf.nest.map_structure(tf.convert_to_tensor, stack.get_initial_state(0))
        self._held = tf.nest.map_structure(
            lambda zeros: tf.Variable(zeros, shape=[None, zeros.shape[-1]], trainable=False), first
        )
        # A number of its own, since TensorFlow takes the rows that a step writes for those that
        # the variable always has.
        self._rows = tf.Variable(0, trainable=False)

    def read(self, rows, kept=True):
        """Returns the state for the next batch.

        Args:
            rows: B, an int or int32 ().
            kept: bool () or (B,), False where it is to begin anew, with zeros. All rows begin anew
                if the state that is held has not B rows.

        Returns:
            What the stack takes as `initial_state`.
        """
        zeros = tf.nest.map_structure(tf.convert_to_tensor, self._zeros(rows))
        kept = tf.reshape(tf.convert_to_tensor(kept), [-1, 1])
        fits = self._rows == rows

        def one(held, zero):
            value = tf.cond(fits, lambda: tf.convert_to_tensor(held), lambda: zero)
            value = tf.ensure_shape(value, zero.shape)
            return tf.where(kept, value, tf.zeros_like(value))

        return tf.nest.map_structure(one, self._held, zeros)

    def write(self, state):
        """Keeps a state, as the stack returned it."""
        self._rows.assign(tf.shape(tf.nest.flatten(state)[0])[0])
        for held, value in zip(tf.nest.flatten(self._held), tf.nest.flatten(state), strict=True):
            held.assign(tf.stop_gradient(value))
