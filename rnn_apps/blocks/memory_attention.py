"""Attention of queries to a masked memory: multiplicative and additive scores."""

import keras
import tensorflow as tf

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

    An additive score takes N · T · units numbers of tanh. They are computed one query after
    another, and in training once more for the gradient, so that B · T · units are held, not N
    times that.

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
        training: Whether a gradient will be asked for that must not hold too much.

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
            additive = _additive_for_training if training else _additive
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

    def one(query):  # (B, units)
        return _score(tf.tanh(query[:, None] + keys), vector)

    by_query = tf.map_fn(
        one,
        tf.transpose(queries, [1, 0, 2]),
        fn_output_signature=tf.TensorSpec([None, None], tf.float32),
    )
    return tf.transpose(by_query, [1, 0, 2])


def _score(hidden, vector):
    return tf.reduce_sum(tf.cast(hidden, tf.float32) * tf.cast(vector[:, 0], tf.float32), -1)


@tf.custom_gradient
def _additive_for_training(*tensors):
    """The same as `_additive`, with a gradient that computes each tanh once more."""
    queries, keys, vector = [tf.stop_gradient(tensor) for tensor in tensors]

    def gradient(upstream):  # float32 (B, N, T)
        queries_first = tf.transpose(queries, [1, 0, 2])
        upstream_first = tf.transpose(upstream, [1, 0, 2])
        count = tf.shape(queries_first)[0]
        array = tf.TensorArray(queries.dtype, count, element_shape=queries_first.shape[1:])

        def body(n, d_queries, d_keys, d_vector):
            hidden = tf.tanh(queries_first[n][:, None] + keys)  # (B, T, units)
            d_scores = tf.cast(upstream_first[n], hidden.dtype)[..., None]  # (B, T, 1)
            d_hidden = d_scores * vector[:, 0] * (1 - hidden * hidden)
            d_vector += tf.reduce_sum(tf.cast(d_scores * hidden, tf.float32), [0, 1])
            d_queries = d_queries.write(n, tf.reduce_sum(d_hidden, 1))
            return n + 1, d_queries, d_keys + tf.cast(d_hidden, tf.float32), d_vector

        d_keys = tf.zeros_like(keys, tf.float32)
        d_vector = tf.zeros_like(vector[:, 0], tf.float32)
        _, d_queries, d_keys, d_vector = tf.while_loop(
            lambda n, *_: n < count,
            body,
            (tf.constant(0), array, d_keys, d_vector),
            parallel_iterations=1,
        )
        return (
            tf.transpose(d_queries.stack(), [1, 0, 2]),
            tf.cast(d_keys, keys.dtype),
            tf.cast(d_vector[:, None], vector.dtype),
        )

    return _additive(queries, keys, vector), gradient
