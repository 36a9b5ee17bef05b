"""Training on texts whose vectors are moved against the network."""

import keras
import tensorflow as tf


def adversarial_step(model, batch, size):
    """Takes one step on a batch, and on the same batch with its vectors moved to be harder.

    The vectors of each text are moved along the gradient of the loss, which raises it most, and the
    network learns from both readings alike (Miyato, Dai and Goodfellow, 2017, section 3). How far
    is relative here, so that larger vectors are no way out; there they are normalised for that.

    Args:
        model: compiled Keras model of token ids, 0 for padding, with the layer `embedding` and the
            method `logits`: vectors (B, T, E), mask bool (B, T) → what `compute_loss` takes.
        batch: (token ids (B, T), targets), or with sample weights as well.
        size: float, the norm of what is added to a text's vectors as a share of their own norm.

    Returns:
        The metrics, by name, of the batch as it came.
    """
    token_ids, targets, weights = keras.utils.unpack_x_y_sample_weight(batch)
    mask = tf.not_equal(token_ids, 0)
    variables = model.trainable_variables
    with tf.GradientTape() as lookup:
        vectors = model.embedding(token_ids, training=True)

    def gradients_at(vectors):
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            found = model.logits(vectors, mask, training=True)
            loss = model.compute_loss(token_ids, targets, found, weights, training=True)
            scaled = model.optimizer.scale_loss(loss)
        return loss, found, tape.gradient(scaled, [vectors, *variables])

    loss, found, first = gradients_at(vectors)
    _, _, second = gradients_at(vectors + tf.stop_gradient(_harder(vectors, first[0], mask, size)))
    along, *above = [
        None if one is None else (one + other) / 2 for one, other in zip(first, second, strict=True)
    ]
    below = lookup.gradient(vectors, variables, output_gradients=along)
    gradients = [low if high is None else high for low, high in zip(below, above, strict=True)]
    model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss, sample_weight=tf.shape(token_ids)[0])
    return model.compute_metrics(token_ids, targets, found, sample_weight=weights)


def _harder(vectors, gradients, mask, size):
    """What moves vectors (B, T, E) so far along their gradients, nothing where there is no text."""
    inside = tf.cast(mask, tf.float32)[..., None]
    gradients = tf.cast(gradients, tf.float32) * inside
    farthest = size * _norm(tf.cast(vectors, tf.float32) * inside)
    return tf.cast(tf.math.divide_no_nan(gradients * farthest, _norm(gradients)), vectors.dtype)


def _norm(vectors):
    """The norm of each text's vectors: (B, T, E) → (B, 1, 1)."""
    return tf.sqrt(tf.reduce_sum(tf.square(vectors), axis=(1, 2), keepdims=True))
