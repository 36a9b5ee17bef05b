"""Pooling a sequence over its mask."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks.attention import AttentionPooling, SequencePooling, masked_softmax

B, T, H = 3, 5, 4
LENGTHS = (5, 2, 1)
MASK = np.arange(T)[None] < np.array(LENGTHS)[:, None]
X = np.random.default_rng(0).normal(size=(B, T, H)).astype("float32") - 3  # maxima below zero


def test_weights_are_a_distribution_over_real_steps():
    pooled, weights = AttentionPooling(7)(X, mask=MASK, return_weights=True)
    np.testing.assert_allclose(weights.numpy().sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(weights.numpy()[~MASK], 0)
    np.testing.assert_allclose(pooled, np.einsum("bt,bth->bh", weights, X), atol=1e-5)


def test_the_score_is_additive():
    layer = AttentionPooling(7)
    _, weights = layer(X, return_weights=True)
    kernel, bias, query = layer.get_weights()
    scores = (np.tanh(X @ kernel + bias) @ query)[..., 0]
    expected = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


@pytest.mark.parametrize("how", ["attention", "max", "mean", "last", "attention+max+mean+last"])
def test_a_padded_row_gives_what_the_row_alone_gives(how):
    layer = SequencePooling(how)
    pooled = layer(X, mask=MASK)
    assert pooled.shape == (B, H * len(how.split("+")))
    for row, length in enumerate(LENGTHS):
        alone = layer(X[row : row + 1, :length])
        np.testing.assert_allclose(pooled[row], alone[0], atol=1e-5)


def test_poolings_are_what_they_are_called():
    x = X[:, :3]
    pooled = SequencePooling("last+max+mean")(x).numpy()
    np.testing.assert_allclose(
        pooled, np.concatenate([x[:, -1], x.max(1), x.mean(1)], -1), atol=1e-6
    )


@pytest.mark.parametrize("how", ["attention", "max", "mean", "last"])
def test_a_row_without_any_real_step_gives_zeros_and_no_nan_gradient(how):
    layer = SequencePooling(how)
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        pooled = layer(x, mask=np.zeros((B, T), bool))
        loss = tf.reduce_sum(pooled)
    np.testing.assert_array_equal(pooled, np.zeros((B, H)))
    assert np.isfinite(tape.gradient(loss, x)).all()


def test_weights_stay_float32_in_mixed_precision():
    pooled, weights = AttentionPooling(dtype="mixed_bfloat16")(X, mask=MASK, return_weights=True)
    assert (pooled.dtype, weights.dtype) == (tf.bfloat16, tf.float32)
    np.testing.assert_allclose(weights.numpy().sum(1), 1, atol=1e-5)
    for how in ("max", "mean", "last"):
        assert np.isfinite(
            tf.cast(SequencePooling(how, dtype="float16")(X, mask=MASK), "float32")
        ).all()


def test_masked_softmax_leaves_nothing_on_masked_places():
    weights = masked_softmax(np.array([[5.0, 5.0, 100.0]], "float32"), np.array([[1, 1, 0]]))
    np.testing.assert_allclose(weights, [[0.5, 0.5, 0.0]])


def test_a_train_step_moves_every_weight_and_a_keras_file_gives_it_back(tmp_path):
    inputs = keras.Input((T, H))
    masked = keras.layers.Masking()(inputs)
    pooled = SequencePooling("attention+mean", name="pooling")(masked)
    model = keras.Model(inputs, keras.layers.Dense(1)(pooled))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = model.get_weights()
    model.fit(X, np.arange(B), verbose=0)
    for weight, old in zip(model.weights, before, strict=True):
        assert np.abs(weight.numpy() - old).max() > 0, weight.path
    model.save(tmp_path / "pooling.keras")
    loaded = keras.saving.load_model(tmp_path / "pooling.keras")
    np.testing.assert_array_equal(loaded(X), model(X))
    assert loaded.get_layer("pooling").how == "attention+mean"
    assert AttentionPooling.from_config(AttentionPooling(9).get_config()).units == 9


def test_an_unknown_pooling_is_named():
    for how in ("sum", "max+", "", None):
        with pytest.raises(ValueError, match="max\\+mean"):
            SequencePooling(how)
    with pytest.raises(ValueError, match="units"):
        AttentionPooling(0)
