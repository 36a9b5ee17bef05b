"""From a sequence to a vector: attention pooling, maximum, mean and last step over a mask."""

import keras
import tensorflow as tf

_POOLINGS = ("attention", "max", "mean", "last")


@keras.saving.register_keras_serializable(package="rnn_apps")
class AttentionPooling(keras.layers.Layer):
    """Weigh the steps by additive attention and sum them.

    score_t = v · tanh(W h_t + b), weights = softmax over the steps that are not masked: the
    additive score of Bahdanau et al. 2015 (section 3.1) with a learned query, as Yang et al. 2016
    (section 2.2) use it. Scores and softmax are computed in float32 whatever the policy. A row
    without any real step gives zeros.

    Args:
        units: Width of the hidden score layer; None for the width of the input.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        sequences: floating (B, T, H).
        mask: bool (B, T), True at real steps, or None.
        return_weights: Whether to return the weights too.

    Returns:
        floating (B, H), the pooled sequence; with `return_weights`, a tuple of it and float32
        (B, T), the weights: in [0, 1], summing to 1 over a row, zeros on padding.

    Raises:
        ValueError: If `units` is not a positive integer.

    Example:
    >>> pooled, weights = AttentionPooling()(np.ones((2, 3, 4), "float32"), return_weights=True)
    >>> pooled.shape, weights.shape
    (TensorShape([2, 4]), TensorShape([2, 3]))
    """

    def __init__(self, units=None, **kwargs):
        super().__init__(**kwargs)
        if units is not None and (isinstance(units, bool) or not units >= 1):
            raise ValueError(f"Expected units to be a positive integer or None, but got {units!r}.")
        self.units = units
        self.supports_masking = True

    def build(self, sequences_shape):
        """Make the weights for sequences of shape (B, T, H)."""
        width = sequences_shape[-1]
        units = self.units or width
        self.kernel = self.add_weight(
            name="kernel", shape=(width, units), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")
        self.query = self.add_weight(name="query", shape=(units, 1), initializer="glorot_uniform")

    def call(self, sequences, mask=None, return_weights=False):
        """Pool; see the class."""
        hidden = keras.ops.tanh(keras.ops.matmul(sequences, self.kernel) + self.bias)
        query = keras.ops.cast(self.query, "float32")
        scores = keras.ops.matmul(keras.ops.cast(hidden, "float32"), query)[..., 0]  # (B, T)
        weights = masked_softmax(scores, mask)
        pooled = keras.ops.einsum("bt,bth->bh", keras.ops.cast(weights, sequences.dtype), sequences)
        return (pooled, weights) if return_weights else pooled

    def compute_mask(self, sequences, mask=None):
        """A vector has no mask."""
        return None

    def get_config(self):
        """All constructor arguments."""
        return {**super().get_config(), "units": self.units}


def masked_softmax(scores, mask=None):
    """Softmax over the last axis in which masked places get exactly zero.

    Args:
        scores: float32 (…, T).
        mask: bool, broadcastable to the scores, True where a place counts; or None.

    Returns:
        float32 (…, T), summing to 1 over the last axis; all zeros where nothing counts.

    Example:
    >>> masked_softmax(np.zeros((1, 3), "float32"), np.array([[True, True, False]])).numpy()
    array([[0.5, 0.5, 0. ]], dtype=float32)
    """
    if mask is None:
        return tf.nn.softmax(scores)  # Keras's warns of an axis of one
    mask = keras.ops.cast(mask, "bool")
    weights = tf.nn.softmax(keras.ops.where(mask, scores, -1e9))
    return keras.ops.where(mask, weights, 0.0)


@keras.saving.register_keras_serializable(package="rnn_apps")
class SequencePooling(keras.layers.Layer):
    """Turn a sequence into one vector, by one pooling or several side by side.

    Args:
        how: `"attention"`, `"max"`, `"mean"`, `"last"` or several joined with `+`, such as
            `"max+mean"`; their results are concatenated in that order. `"last"` is the last real
            step: of a bidirectional sequence, its backward half has read only that one step.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        sequences: floating (B, T, H).
        mask: bool (B, T), True at real steps, or None.

    Returns:
        floating (B, n·H) for n poolings. A row without any real step gives zeros.

    Raises:
        ValueError: If `how` names a pooling that does not exist.

    Example:
    >>> SequencePooling("max+mean")(np.ones((2, 3, 4), "float32")).shape
    TensorShape([2, 8])
    """

    def __init__(self, how="attention", **kwargs):
        super().__init__(**kwargs)
        parts = how.split("+") if isinstance(how, str) else []
        if not parts or any(part not in _POOLINGS for part in parts):
            raise ValueError(
                f"Expected how to be one of {_POOLINGS}, or several joined with '+', but got "
                f"{how!r}; pass for example 'max+mean'."
            )
        self.how = how
        self.supports_masking = True
        self.attention = None
        if "attention" in parts:
            self.attention = AttentionPooling(name="attention", dtype=self.dtype_policy)

    def build(self, sequences_shape):
        """Make the weights for sequences of shape (B, T, H)."""
        if self.attention is not None:
            self.attention.build(sequences_shape)

    def call(self, sequences, mask=None):
        """Pool; see the class."""
        mask = None if mask is None else keras.ops.cast(mask, "bool")
        pooled = [self._pool(part, sequences, mask) for part in self.how.split("+")]
        return keras.ops.concatenate(pooled, axis=-1) if len(pooled) > 1 else pooled[0]

    def _pool(self, part, sequences, mask):
        ops = keras.ops
        if part == "attention":
            return self.attention(sequences, mask=mask)
        if part == "max":
            if mask is None:
                return ops.max(sequences, axis=1)
            least = ops.cast(-3e38, sequences.dtype)
            pooled = ops.max(ops.where(mask[..., None], sequences, least), axis=1)
            return ops.where(ops.any(mask, axis=1, keepdims=True), pooled, ops.zeros_like(pooled))
        if part == "mean":
            if mask is None:
                return ops.mean(sequences, axis=1)
            share = ops.cast(mask, "float32")
            share = share / ops.maximum(ops.sum(share, axis=1, keepdims=True), 1.0)  # (B, T)
            return ops.einsum("bt,bth->bh", ops.cast(share, sequences.dtype), sequences)
        if mask is None:
            return sequences[:, -1]
        steps = ops.arange(1, ops.shape(mask)[1] + 1, dtype="int32")
        last = ops.max(ops.where(mask, steps, 0), axis=1, keepdims=True)  # (B, 1), 0 for none
        at_last = ops.cast(mask & (steps == last), sequences.dtype)
        return ops.einsum("bt,bth->bh", at_last, sequences)

    def compute_mask(self, sequences, mask=None):
        """A vector has no mask."""
        return None

    def get_config(self):
        """All constructor arguments."""
        return {**super().get_config(), "how": self.how}
