"""Cross-entropy over a large vocabulary that never holds the logits of all positions."""

import functools

import tensorflow as tf


def vocabulary_loss(
    hidden,
    targets,
    table,
    bias=None,
    *,
    mask=None,
    weights=None,
    label_smoothing=0.0,
    chunk=512,
    training=True,
):
    """Mean softmax cross-entropy of hidden vectors against the rows of an output table.

    The same number as logits = hidden · tableᵀ + bias, softmax cross-entropy and a mean over the
    real positions, with labels smoothed as 1 - ε for the target plus ε / V for every word (Szegedy
    et al. 2016, section 7). Positions that the mask leaves out are taken out first. The rest go
    through in chunks; the gradient of a chunk is made while its probabilities are at hand, so that
    one chunk × V is all that is ever held, and the gradient costs no second softmax. It is the
    probabilities' own: with p the softmax and y the target,
    d hidden = p · table - (1 - ε) table[y] - ε mean(table), and likewise for the table and bias.

    Everything is computed in float32. In training the three products of a chunk alone are bfloat16
    where `hidden` is, as under the policy "mixed_bfloat16": nearly twice as fast on a processor
    with instructions for it.

    Args:
        hidden: floating (…, E), such as (B, U, E).
        targets: int32 (…), ids in [0, V); anything where the mask is False.
        table: floating (V, E), the output projection, or tied embeddings.
        bias: floating (V,), or None.
        mask: bool (…), True at real positions; None for all of them.
        weights: floating (B,), what the loss of each row's positions is multiplied by before the
            mean; None for 1.
        label_smoothing: ε, a float in [0, 1).
        chunk: Positions that are taken at once.
        training: Whether gradients will be asked for; False saves two thirds of the time.

    Returns:
        float32 (), in nats for each real position; 0 if there is none.

    Raises:
        ValueError: If `label_smoothing` or `chunk` is out of its range.

    Example:
    >>> hidden, table = tf.zeros([2, 3, 4]), tf.zeros([8, 4])
    >>> round(float(vocabulary_loss(hidden, tf.ones([2, 3], tf.int32), table)), 4)  # log 8
    2.0794
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"Expected label_smoothing to be in [0, 1), but got {label_smoothing!r}.")
    if isinstance(chunk, bool) or not chunk >= 1:
        raise ValueError(f"Expected chunk to be a positive integer, but got {chunk!r}.")
    hidden, targets = tf.convert_to_tensor(hidden), tf.convert_to_tensor(targets)
    table = tf.cast(table, tf.float32)
    bias = tf.zeros(tf.shape(table)[:1]) if bias is None else tf.cast(bias, tf.float32)
    rows = tf.reshape(hidden, [-1, hidden.shape[-1]])  # (B·U, E)
    if weights is not None:
        weights = tf.cast(weights, tf.float32)[:, None] * tf.ones(tf.shape(targets))
        weights = tf.reshape(weights, [-1])
    targets = tf.cast(tf.reshape(targets, [-1]), tf.int32)
    if mask is not None:
        real = tf.where(tf.reshape(tf.cast(mask, tf.bool), [-1]))[:, 0]
        rows, targets = tf.gather(rows, real), tf.gather(targets, real)
        weights = None if weights is None else tf.gather(weights, real)
    settings = {"weights": weights, "smoothing": label_smoothing, "chunk": chunk}
    settings["precision"] = tf.float32
    if training and hidden.dtype == tf.bfloat16:
        settings["precision"] = tf.bfloat16
    return _loss(training, settings)(tf.cast(rows, tf.float32), table, bias, targets)


def _loss(training, settings):
    """Returns `(rows, table, bias, targets) -> mean loss`, with its own gradient in training."""

    def value(*tensors):
        return _through_chunks(*tensors, training=False, **settings)[0]

    @tf.custom_gradient
    def value_with_gradient(*tensors):
        # what is computed for the gradient must not be watched by an eager tape
        tensors = [tf.stop_gradient(tensor) for tensor in tensors]
        loss, *gradients = _through_chunks(*tensors, training=True, **settings)

        def gradient(upstream):
            return *(upstream * g for g in gradients), None

        return loss, gradient

    return value_with_gradient if training else value


def _through_chunks(rows, table, bias, targets, *, weights, smoothing, chunk, precision, training):
    """Returns the mean loss and, in training, its gradients to rows, table and bias."""
    count = tf.shape(rows)[0]
    factor = tf.cast(table, precision)
    kernel = tf.transpose(factor)  # (E, V), made once: a product with a transpose is slower
    mean_row, mean_bias = tf.reduce_mean(table, 0), tf.reduce_mean(bias)

    weighted = functools.partial(_weighted, weights)

    def body(start, total, *gradients):
        end = start + chunk
        h, y = rows[start:end], targets[start:end]
        factors = tf.cast(h, precision)
        logits = tf.cast(tf.matmul(factors, kernel), tf.float32) + bias  # (chunk, V)
        p = tf.nn.softmax(logits)
        log_sum = tf.reduce_max(logits, -1) - tf.math.log(tf.reduce_max(p, -1))
        of_target = tf.gather(logits, y, batch_dims=1)
        of_all = tf.linalg.matvec(h, mean_row) + mean_bias
        losses = log_sum - (1 - smoothing) * of_target - smoothing * of_all
        total += tf.reduce_sum(weighted(losses, start, end))
        if training:
            d_rows, d_table, d_bias = gradients
            p = weighted(p, start, end)
            d_bias += tf.reduce_sum(p, 0)
            p = tf.cast(p, precision)
            d_rows = d_rows.write(start // chunk, tf.cast(tf.matmul(p, factor), tf.float32))
            d_table += tf.cast(tf.matmul(p, factors, transpose_a=True), tf.float32)
            gradients = d_rows, d_table, d_bias
        return start + chunk, total, *gradients

    gradients = ()
    if training:
        array = tf.TensorArray(
            tf.float32,
            size=tf.maximum((count + chunk - 1) // chunk, 1),
            element_shape=[None, rows.shape[-1]],
            infer_shape=False,
        )
        gradients = (array, tf.zeros_like(table), tf.zeros_like(bias))
    _, total, *gradients = tf.while_loop(
        lambda start, *_: (start < count) | (start == 0),  # once at least, even for no positions
        body,
        (tf.constant(0), tf.constant(0.0), *gradients),
        parallel_iterations=1,
    )
    share = 1 / tf.cast(tf.maximum(count, 1), tf.float32)
    if not training:
        return (total * share,)
    # the gradients of -(1 - ε) of_target and -ε of_all, of all positions at once
    d_rows, d_table, d_bias = gradients
    d_rows = d_rows.concat() - weighted(
        (1 - smoothing) * tf.gather(table, targets) + smoothing * mean_row
    )
    words, ones = tf.shape(table)[0], weighted(tf.ones([count]))
    evenly = smoothing / tf.cast(words, tf.float32)
    of_words = tf.math.unsorted_segment_sum(weighted(rows), targets, words)
    d_table -= (1 - smoothing) * of_words + evenly * tf.reduce_sum(weighted(rows), 0)
    hits = tf.math.unsorted_segment_sum(ones, targets, words)
    d_bias -= (1 - smoothing) * hits + evenly * tf.reduce_sum(ones)
    return total * share, d_rows * share, d_table * share, d_bias * share


def _weighted(weights, values, start=0, end=None):
    """Multiply values of some positions, (N,) or (N, V), by their weights, if there are any."""
    if weights is None:
        return values
    share = weights[start:end]
    return values * (share if values.shape.rank == 1 else share[:, None])
