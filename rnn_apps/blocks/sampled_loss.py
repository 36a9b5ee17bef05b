"""Cross-entropy against a few words drawn for each batch, in place of a whole vocabulary."""

import keras
import tensorflow as tf


def zipf_log_shares(token_ids, vocabulary_size):
    """Log share of each word if the n-th of V is drawn with log((n + 2) / (n + 1)) / log(V + 1).

    Args:
        token_ids: int32 (…), in [0, V), frequent words first.
        vocabulary_size: V.

    Returns:
        float32 (…); the shares of all words sum to 1.

    Example:
        >>> round(float(tf.reduce_sum(tf.exp(zipf_log_shares(tf.range(50), 50)))), 4)
        1.0
    """
    rank = tf.cast(token_ids, tf.float32)
    return tf.math.log(tf.math.log1p(1 / (rank + 1)) / tf.math.log(vocabulary_size + 1.0))


def sampled_loss(hidden, targets, table, bias, *, words, mask=None, seed=None):
    """Mean softmax cross-entropy of each target against the same drawn words.

    Words are drawn with repetition, frequent ones (those of low id) more often, and the logit of
    each word, the target's too, is lessened by the log of how often it is expected among them, so
    that the logits that make the loss least are those of the whole vocabulary's loss (Jean et al.
    2015, section 3). A drawn word that is the target of a position is left out there. For
    training only: the value is no perplexity's logarithm.

    Args:
        hidden: floating (…, E).
        targets: int32 (…), ids in [0, V).
        table: floating (V, E).
        bias: floating (V,).
        words: S, how many are drawn.
        mask: bool (…), True at real positions; None for all of them.
        seed: `keras.random.SeedGenerator`, an int, or None.

    Returns:
        float32 (), in nats for each real position; 0 if there is none.

    Raises:
        ValueError: If `words` is not positive.

    Example:
        >>> hidden, table = tf.zeros([2, 3, 4]), tf.zeros([50, 4])
        >>> loss = sampled_loss(hidden, tf.ones([2, 3], tf.int32), table, tf.zeros(50), words=20)
        >>> loss.shape
        TensorShape([])
    """
    if isinstance(words, bool) or not words >= 1:
        raise ValueError(f"Expected words to be a positive integer, but got {words!r}.")
    size = table.shape[0]
    rows = tf.reshape(tf.cast(hidden, tf.float32), [-1, hidden.shape[-1]])  # (N, E)
    targets = tf.reshape(tf.cast(targets, tf.int32), [-1])
    real = tf.ones_like(targets) if mask is None else tf.reshape(mask, [-1])
    real = tf.cast(real, tf.float32)
    uniform = keras.random.uniform([words], seed=seed)
    drawn = tf.cast(tf.exp(uniform * tf.math.log(size + 1.0)), tf.int32) - 1
    drawn = tf.clip_by_value(drawn, 0, size - 1)
    table, bias = tf.convert_to_tensor(table), tf.convert_to_tensor(bias)
    of_both = tf.concat([targets, drawn], 0)
    vectors = tf.cast(tf.gather(table, of_both), tf.float32)
    offsets = tf.cast(tf.gather(bias, of_both), tf.float32) - zipf_log_shares(of_both, size)
    count = tf.shape(targets)[0]
    of_target = tf.reduce_sum(rows * vectors[:count], -1) + offsets[:count]
    of_drawn = tf.matmul(rows, vectors[count:], transpose_b=True) + offsets[count:]
    of_drawn = tf.where(targets[:, None] == drawn, -1e9, of_drawn)
    all_of = tf.concat([of_target[:, None], of_drawn], 1)  # log S, of all of them, changes nothing
    losses = tf.reduce_logsumexp(all_of, -1) - all_of[:, 0]
    return tf.reduce_sum(losses * real) / tf.maximum(tf.reduce_sum(real), 1.0)
