"""The fused cross-entropy against the formula written out."""

import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks import vocabulary_loss

B, U, E, V = 4, 6, 5, 11
RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(B, U, E)).astype("float32")
TABLE = RNG.normal(size=(V, E)).astype("float32")
BIAS = RNG.normal(size=V).astype("float32")
TARGETS = RNG.integers(0, V, (B, U)).astype("int32")
MASK = np.arange(U)[None] < np.array([6, 3, 1, 0])[:, None]


def plain(hidden, table, bias, mask, smoothing):
    log_probs = tf.nn.log_softmax(tf.einsum("bue,ve->buv", hidden, table) + bias)
    labels = (1 - smoothing) * tf.one_hot(TARGETS, V) + smoothing / V
    losses = -tf.reduce_sum(labels * log_probs, -1)
    return tf.reduce_sum(losses * mask) / tf.reduce_sum(tf.cast(mask, tf.float32))


def with_gradients(loss):
    inputs = [tf.constant(x) for x in (HIDDEN, TABLE, BIAS)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = loss(*inputs)
        scaled = value * value  # so that what comes from above is not 1
    return value, tape.gradient(scaled, inputs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [1, 4, 512])
@pytest.mark.parametrize("compiled", [False, True])
def test_values_and_gradients_are_those_of_the_plain_formula(smoothing, chunk, compiled):
    def ours(hidden, table, bias):
        return vocabulary_loss(
            hidden, TARGETS, table, bias, mask=MASK, label_smoothing=smoothing, chunk=chunk
        )

    ours = tf.function(ours, autograph=False) if compiled else ours
    mask = MASK.astype("float32")
    expected, slopes = with_gradients(lambda h, t, b: plain(h, t, b, mask, smoothing))
    value, gradients = with_gradients(ours)
    np.testing.assert_allclose(value, expected, atol=1e-5)
    for ours, theirs in zip(gradients, slopes, strict=True):
        assert np.abs(theirs).max() > 1e-2
        np.testing.assert_allclose(tf.convert_to_tensor(ours), theirs, atol=1e-4)


def test_without_training_the_value_is_the_same():
    settings = {"mask": MASK, "label_smoothing": 0.1, "chunk": 4}
    values = [
        vocabulary_loss(HIDDEN, TARGETS, TABLE, BIAS, training=training, **settings)
        for training in (False, True)
    ]
    np.testing.assert_allclose(*values, rtol=1e-6)
    everywhere = vocabulary_loss(HIDDEN, TARGETS, TABLE)
    np.testing.assert_allclose(
        everywhere, plain(HIDDEN, TABLE, 0.0, np.ones((B, U), "float32"), 0.0), atol=1e-5
    )


def test_padding_is_never_read():
    hidden, targets = HIDDEN.copy(), TARGETS.copy()
    hidden[~MASK], targets[~MASK] = np.nan, -1
    values = [
        vocabulary_loss(h, y, TABLE, BIAS, mask=MASK)
        for h, y in ((HIDDEN, TARGETS), (hidden, targets))
    ]
    np.testing.assert_array_equal(*values)


def test_no_real_position_gives_zero_and_zero_gradients():
    value, gradients = with_gradients(
        lambda h, t, b: vocabulary_loss(h, TARGETS, t, b, mask=np.zeros((B, U), bool))
    )
    assert float(value) == 0
    for gradient in gradients:
        np.testing.assert_array_equal(tf.convert_to_tensor(gradient), 0)


def test_great_logits_overflow_nothing():
    value, gradients = with_gradients(
        lambda h, t, b: vocabulary_loss(h * 1e4, TARGETS, t, b, mask=MASK)
    )
    mask = MASK.astype("float32")
    expected = plain(HIDDEN * 1e4, TABLE, BIAS, mask, 0.0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients)


def test_a_variable_is_a_table_and_half_precision_goes_in():
    table = tf.Variable(TABLE)
    with tf.GradientTape() as tape:
        hidden = tf.cast(HIDDEN, tf.bfloat16)
        loss = vocabulary_loss(hidden, TARGETS, table, mask=MASK)
    assert loss.dtype == tf.float32
    assert tape.gradient(loss, table).shape == (V, E)


def test_in_bfloat16_the_products_of_training_are_too_and_nothing_else():
    hidden = tf.cast(HIDDEN, tf.bfloat16)
    mask = MASK.astype("float32")

    def rounded(values, table, bias):
        return plain(tf.cast(tf.cast(values, tf.bfloat16), tf.float32), table, bias, mask, 0.1)

    settings = {"mask": MASK, "label_smoothing": 0.1, "chunk": 4}
    judged = vocabulary_loss(hidden, TARGETS, TABLE, BIAS, training=False, **settings)
    expected, slopes = with_gradients(rounded)
    np.testing.assert_allclose(judged, expected, atol=1e-5)
    value, gradients = with_gradients(
        lambda h, t, b: vocabulary_loss(tf.cast(h, tf.bfloat16), TARGETS, t, b, **settings)
    )
    assert 1e-6 < abs(float(value - expected)) < 2e-2
    for ours, theirs in zip(gradients, slopes, strict=True):
        distance = np.linalg.norm(tf.convert_to_tensor(ours) - theirs)
        assert 0 < distance < 0.02 * np.linalg.norm(theirs)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="label_smoothing"):
        vocabulary_loss(HIDDEN, TARGETS, TABLE, label_smoothing=1.0)
    with pytest.raises(ValueError, match="chunk"):
        vocabulary_loss(HIDDEN, TARGETS, TABLE, chunk=0)
