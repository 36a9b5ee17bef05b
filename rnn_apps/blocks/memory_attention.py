"""Attention of queries to a masked memory: multiplicative and additive scores."""

import functools

import keras
import tensorflow as tf

from rnn_apps.blocks import kernels
from rnn_apps.blocks.attention import masked_softmax

_SCORES = ("dot", "general", "scaled", "additive")


@keras.saving.register_keras_serializable(package="rnn_apps")
class MemoryAttention(keras.layers.Layer):
    """Look up a memory by queries, all of a row's queries at once.

    The score of query q and memory step m is q · m for `"dot"`, q · W m for `"general"` (both
    Luong et al. 2015, section 3.1, eq. 8), the latter over √H for `"scaled"` (Vaswani et al. 2017,
    section 3.2.1), and v · tanh(W q + U m) for `"additive"` (Bahdanau et al. 2015, appendix
    A.1.2). Scores and softmax are float32 whatever the policy. Queries are the N target steps of
    training or the N beams of a search; the memory is one for each row and never repeated.

    An additive score takes B · N · T · units numbers of tanh, which training holds for the
    gradient; XLA computes them in a quarter of the time that it takes without.

    Args:
        score: `"dot"`, `"general"`, `"scaled"` or `"additive"`.
        units: Width of the additive score's hidden layer; None for the width of the queries. Not
            used with the other scores.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        queries: floating (B, N, H).
        memory: floating (B, T, M); with `"dot"`, M is H.
        memory_mask: bool (B, T), True at real steps, or None.
        keys: What `prepare(memory)` returned, so that it is not computed again; or None.
        return_weights: Whether to return the weights too.
        training: Whether the call is part of training.

    Returns:
        floating (B, N, M), the context; with `return_weights`, a tuple of it and float32 (B, N, T),
        the weights: in [0, 1], summing to 1 over T, exactly 0 where masked. A row without any real
        step gives zeros.

    Raises:
        ValueError: If `score` is unknown, `units` is not positive, or, when it is built, the widths
            do not fit a `"dot"` score.

    Example:
    >>> attention = MemoryAttention("general")
    >>> queries, memory = np.ones((2, 3, 4), "float32"), np.ones((2, 5, 6), "float32")
    >>> context, weights = attention(queries, memory, return_weights=True)
    >>> context.shape, weights.shape
    (TensorShape([2, 3, 6]), TensorShape([2, 3, 5]))
    """

    def __init__(self, score="general", units=None, **kwargs):
        super().__init__(**kwargs)
        if score not in _SCORES:
            raise ValueError(
                f"Expected score to be one of {_SCORES}, but got {score!r}; pass one of them."
            )
        if units is not None and (isinstance(units, bool) or not units >= 1):
            raise ValueError(f"Expected units to be a positive integer or None, but got {units!r}.")
        self.score = score
        self.units = units
        self.supports_masking = True

    def build(self, queries_shape, memory_shape):
        """Make the weights for queries of shape (B, N, H) and a memory of shape (B, T, M)."""
        width, memory_width = queries_shape[-1], memory_shape[-1]
        if self.score == "dot":
            if width != memory_width:
                raise ValueError(
                    f"A 'dot' score needs queries as wide as the memory, but they are {width} and "
                    f"{memory_width} wide; pass score='general'."
                )
            return
        units = (self.units or width) if self.score == "additive" else width
        glorot = "glorot_uniform"
        self.key_kernel = self.add_weight(
            name="key_kernel", shape=(memory_width, units), initializer=glorot
        )
        if self.score == "additive":
            self.query_kernel = self.add_weight(
                name="query_kernel", shape=(width, units), initializer=glorot
            )
            self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")
            self.vector = self.add_weight(name="vector", shape=(units, 1), initializer=glorot)

    def prepare(self, memory):
        """Project the memory, once for all the queries that will come.

        Args:
            memory: floating (B, T, M).

        Returns:
            floating (B, T, H), or (B, T, units) for an additive score; the memory for `"dot"`.
        """
        memory = tf.cast(memory, self.compute_dtype)
        if self.score == "dot":
            return memory
        keys = _product(memory, self.key_kernel)
        return keys + tf.cast(self.bias, keys.dtype) if self.score == "additive" else keys

    def call(
        self,
        queries,
        memory,
        memory_mask=None,
        keys=None,
        return_weights=False,
        training=False,
    ):
        """Attend; see the class."""
        keys = self.prepare(memory) if keys is None else keys
        if self.score == "additive":
            projected = _product(queries, self.query_kernel)  # (B, N, units)
            vector = tf.cast(self.vector, projected.dtype)
            additive = _compiled_additive() if kernels.compiles(training) else _additive
            scores = additive(projected, keys, vector)
        else:
            queries32, keys32 = tf.cast(queries, tf.float32), tf.cast(keys, tf.float32)
            scores = tf.matmul(queries32, keys32, transpose_b=True)  # (B, N, T)
            if self.score == "scaled":
                scores *= queries.shape[-1] ** -0.5
        mask = None if memory_mask is None else tf.cast(memory_mask, tf.bool)[:, None]  # (B, 1, T)
        weights = masked_softmax(scores, mask)
        context = tf.matmul(tf.cast(weights, memory.dtype), memory)  # (B, N, M)
        return (context, weights) if return_weights else context

    def get_config(self):
        """All constructor arguments."""
        return {**super().get_config(), "score": self.score, "units": self.units}


def _product(sequences, kernel):
    """(B, N, H) times (H, G), as one product of matrices."""
    sequences, kernel = tf.convert_to_tensor(sequences), tf.convert_to_tensor(kernel)
    kernel = tf.cast(kernel, sequences.dtype)
    shape = tf.shape(sequences)
    rows = tf.matmul(tf.reshape(sequences, [-1, sequences.shape[-1]]), kernel)
    result = tf.reshape(rows, [shape[0], shape[1], kernel.shape[-1]])
    return tf.ensure_shape(result, [*sequences.shape[:2], kernel.shape[-1]])


def _additive(queries, keys, vector):
    """Scores v · tanh(q + k) of projected queries and keys: float32 (B, N, T)."""
    hidden = tf.tanh(queries[:, :, None] + keys[:, None])  # (B, N, T, units)
    # One product of matrices: TensorFlow's batched one corrupts the heap for a single query.
    rows = tf.cast(tf.reshape(hidden, [-1, hidden.shape[-1]]), tf.float32)
    return tf.reshape(tf.matmul(rows, tf.cast(vector, tf.float32)), tf.shape(hidden)[:-1])


@functools.cache
def _compiled_additive():
    return tf.function(_additive, jit_compile=True, autograph=False)
