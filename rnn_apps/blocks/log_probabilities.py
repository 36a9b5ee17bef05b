"""How likely given words are, without the logits of all positions at once."""

import tensorflow as tf

from rnn_apps.blocks.tied_embedding import project


def token_log_probabilities(hidden, targets, kernel, bias, *, chunk=512):
    """Log-probability of each target under a softmax over a vocabulary.

    Core ops in one `tf.while_loop`, which holds the logits of one chunk of positions at a time.

    Args:
        hidden: floating (B, T, E).
        targets: int32 (B, T), ids in [0, V).
        kernel: floating (E, V), the output projection.
        bias: floating (V,).
        chunk: Positions that are taken at once.

    Returns:
        float32 (B, T), natural logarithms.

    Example:
        >>> zeros = tf.zeros([1, 2, 3]), tf.zeros([1, 2], tf.int32), tf.zeros([3, 8]), tf.zeros(8)
        >>> token_log_probabilities(*zeros).numpy()  # -log 8
        array([[-2.0794415, -2.0794415]], dtype=float32)
    """
    rows = tf.reshape(hidden, [-1, hidden.shape[-1]])
    flat = tf.reshape(tf.cast(targets, tf.int32), [-1])
    count = tf.shape(flat)[0]
    pieces = tf.maximum((count + chunk - 1) // chunk, 1)  # no positions make one empty chunk
    found = tf.TensorArray(tf.float32, pieces, element_shape=[None], infer_shape=False)

    def body(number, found):
        here = slice(number * chunk, (number + 1) * chunk)
        logits = project(rows[here], kernel, bias)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(flat[here], logits)
        return number + 1, found.write(number, -entropy)

    _, found = tf.while_loop(lambda number, _: number < pieces, body, (tf.constant(0), found))
    return tf.reshape(found.concat(), tf.shape(targets))
