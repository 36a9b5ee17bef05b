"""Cross-entropy against a few words drawn for each batch, in place of a whole vocabulary."""

import keras
import tensorflow as tf


def shares_of(counts):
    """Share of each word among all, as if each stood once more than counted.

    Args:
        counts: int (V,), how often each word stands in the training texts.

    Returns:
        float32 (V,), above 0, with a sum of 1.

    Example:
        >>> shares_of([0, 1, 4]).numpy()
        array([0.125, 0.25 , 0.625], dtype=float32)
    """
    counts = tf.cast(counts, tf.float32) + 1.0
    return counts / tf.reduce_sum(counts)


def sampled_loss(hidden, targets, table, bias, *, shares, words, mask=None, seed=None):
    """Mean softmax cross-entropy of each target against the same drawn words.

    Words are drawn with repetition, and the logit of each word, the target's too, is lessened by
    the log of how often it is expected among them, so that the logits that make the loss least are
    those of the whole vocabulary's loss (Jean et al. 2015, section 3). Shares far from the words'
    own frequencies make the gradient noisy. A drawn word that is the target of a position is left
    out there. For training only: the value is no perplexity's logarithm.

    Args:
        hidden: floating (…, E).
        targets: int32 (…), ids in [0, V).
        table: floating (V, E).
        bias: floating (V,).
        shares: float (V,), how likely each word is to be drawn, above 0, with a sum of 1.
        words: S, how many are drawn.
        mask: bool (…), True at real positions; None for all of them.
        seed: `keras.random.SeedGenerator`, an int, or None.

    Returns:
        float32 (), in nats for each real position; 0 if there is none.

    Raises:
        ValueError: If `words` is not positive.

    Example:
        >>> hidden, table = tf.zeros([2, 3, 4]), tf.zeros([50, 4])
        >>> targets, shares = tf.ones([2, 3], tf.int32), tf.fill([50], 1 / 50)
        >>> sampled_loss(hidden, targets, table, tf.zeros(50), shares=shares, words=20).shape
        TensorShape([])
    """
    if isinstance(words, bool) or not words >= 1:
        raise ValueError(f"Expected words to be a positive integer, but got {words!r}.")
    rows = tf.reshape(tf.cast(hidden, tf.float32), [-1, hidden.shape[-1]])  # (N, E)
    targets = tf.reshape(tf.cast(targets, tf.int32), [-1])
    real = tf.ones_like(targets) if mask is None else tf.reshape(mask, [-1])
    real = tf.cast(real, tf.float32)
    uniform = keras.random.uniform([words], seed=seed)
    drawn = tf.searchsorted(tf.cumsum(shares)[:-1], uniform, side="right")
    table, bias = tf.convert_to_tensor(table), tf.convert_to_tensor(bias)
    of_both = tf.concat([targets, drawn], 0)
    vectors = tf.cast(tf.gather(table, of_both), tf.float32)
    offsets = tf.cast(tf.gather(bias, of_both), tf.float32)
    offsets -= tf.math.log(tf.gather(shares, of_both))
    count = tf.shape(targets)[0]
    of_target = tf.reduce_sum(rows * vectors[:count], -1) + offsets[:count]
    of_drawn = tf.matmul(rows, vectors[count:], transpose_b=True) + offsets[count:]
    of_drawn = tf.where(targets[:, None] == drawn, -1e9, of_drawn)
    all_of = tf.concat([of_target[:, None], of_drawn], 1)  # log S, of all of them, changes nothing
    losses = tf.reduce_logsumexp(all_of, -1) - all_of[:, 0]
    return tf.reduce_sum(losses * real) / tf.maximum(tf.reduce_sum(real), 1.0)
