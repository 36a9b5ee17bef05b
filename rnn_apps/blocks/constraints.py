"""What a search may not write, and the best of what it may."""

import typing

import tensorflow as tf


class Constraints(typing.NamedTuple):
    """Words that are left out of a search, step by step.

    The log-probabilities of what is left stay the model's own: they are not made to sum to 1
    again. Where nothing at all would be left, the sequence ends.

    Attributes:
        end: int, id of the end token.
        min_length: int, or int32 (B,): the least number of tokens, the end token among them.
        no_repeat_ngram: int, n: no n tokens come twice in a row's hypothesis; 0 for no such rule.
        suppress: Ids that are never written, such as those of padding, unknown and begin.

    Example:
    >>> rules = Constraints(end=3, suppress=(0, 1, 2))
    >>> logits = tf.constant([[[9.0, 8.0, 7.0, 0.0, 2.0]]])  # (B, K, V)
    >>> values, ids = rules.best(logits, 1, tf.zeros([1, 1, 6], tf.int32), 0)
    >>> values.numpy().tolist(), ids.numpy().tolist()
    ([[[2.0]]], [[[4]]])
    """

    end: int
    min_length: typing.Any = 0
    no_repeat_ngram: int = 0
    suppress: tuple = ()

    def best(self, logits, k, token_ids, step):
        """Return the best k words of each beam, in descending order.

        Args:
            logits: float32 (B, K, V).
            k: int or int32 (), at most V.
            token_ids: int32 (B, K, U), what was written in the steps before.
            step: int32 (), how many steps there were.

        Returns:
            Their logits, float32 (B, K, k), -inf where fewer are left, and ids, int32 (B, K, k).
        """
        allowed = logits + self._row_bias(tf.shape(logits)[2], step)
        if self.no_repeat_ngram:
            allowed = self._without_repeats(allowed, token_ids, step)
        values, ids = tf.math.top_k(allowed, k)
        if not (self.suppress or self.no_repeat_ngram or self._has_min_length()):
            return values, ids
        nothing = tf.math.is_inf(values[..., :1]) & (tf.range(k) == 0)  # (B, K, k)
        values = tf.where(nothing, logits[..., self.end, None], values)
        return values, tf.where(nothing, self.end, ids)

    def _has_min_length(self):
        return not isinstance(self.min_length, int) or self.min_length > 1

    def _row_bias(self, words, step):
        """0 or -inf for each word, float32 (), (1, 1, V) or (B, 1, V)."""
        bias = tf.constant(0.0)
        if self.suppress:
            ids = tf.constant([[word] for word in self.suppress])
            bias = tf.zeros([words])
            bias = tf.tensor_scatter_nd_update(bias, ids, [-float("inf")] * len(self.suppress))
            bias = bias[None, None]
        if self._has_min_length():
            early = step + 1 < tf.reshape(self.min_length, [-1, 1, 1])
            bias = tf.where(early & (tf.range(words) == self.end), -float("inf"), bias)
        return bias

    def _without_repeats(self, logits, token_ids, step):
        """Put -inf where a word would end an n-gram that has come before."""
        n, shape = self.no_repeat_ngram, tf.shape(logits)
        windows = tf.maximum(tf.shape(token_ids)[2] - n + 1, 0)
        starts = tf.range(windows)
        seen = starts + n - 1 < step  # (W,), whether the whole n-gram is there
        same = tf.broadcast_to(seen, tf.stack([shape[0], shape[1], windows]))
        for place in range(n - 1):
            # Before n - 1 tokens are there nothing is seen, and any place may be read.
            at = tf.maximum(step - n + 1 + place, 0)
            last = tf.gather(token_ids, tf.minimum(at, tf.shape(token_ids)[2] - 1), axis=2)
            same &= token_ids[:, :, place : place + windows] == last[..., None]
        words = token_ids[:, :, n - 1 : n - 1 + windows]  # (B, K, W)
        rows = tf.broadcast_to(
            tf.range(shape[0] * shape[1])[:, None], [shape[0] * shape[1], windows]
        )
        places = tf.stack([tf.reshape(rows, [-1]), tf.reshape(words, [-1])], -1)
        values = tf.where(tf.reshape(same, [-1]), -float("inf"), float("inf"))
        flat = tf.reshape(logits, [-1, shape[2]])
        return tf.reshape(tf.tensor_scatter_nd_min(flat, places, values), shape)


def log_sums(logits):
    """Log of the sum of exponentials over the last axis, from TensorFlow's fused softmax.

    Args:
        logits: float32 (…, V).

    Returns:
        float32 (…,), what is subtracted from logits to make them log-probabilities.

    Example:
    >>> round(float(log_sums(tf.zeros([4]))), 4)  # log 4
    1.3863
    """
    largest = tf.reduce_max(tf.nn.softmax(logits), -1)
    return tf.reduce_max(logits, -1) - tf.math.log(largest)


def per_row(value, rows, dtype):
    """Give each row its setting.

    Args:
        value: A number for all rows, or one for each: (B,).
        rows: int32 (), B.
        dtype: Of the result.

    Returns:
        (B,).

    Example:
    >>> per_row(2, 3, tf.int32).numpy().tolist()
    [2, 2, 2]
    """
    value = tf.cast(tf.convert_to_tensor(value), dtype)
    return tf.broadcast_to(value, tf.stack([rows]))


def length_penalty(lengths, alpha):
    """What a log-probability is divided by: ((5 + length) / 6) ** alpha (Wu et al. 2016, eq. 14).

    Args:
        lengths: int32, any shape.
        alpha: float32, broadcastable to the lengths; 0 for none.

    Returns:
        float32, of the lengths' shape.

    Example:
    >>> float(length_penalty(7, 1.0))
    2.0
    """
    return ((5 + tf.cast(lengths, tf.float32)) / 6) ** alpha
