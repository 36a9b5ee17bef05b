"""The memory of a picture knows its places."""

import keras
import numpy as np

from rnn_apps.blocks import GridMemory


def features(seed=0):
    return np.random.default_rng(seed).normal(size=(2, 9, 5)).astype("float32")


def test_the_same_feature_at_another_place_is_another_memory():
    layer = GridMemory(4)
    memory = layer(np.ones((1, 9, 5), "float32")).numpy()[0]
    apart = np.abs(memory[:, None] - memory).sum(-1) + np.eye(9)
    assert apart.min() > 1e-3
    without = memory - layer.places.numpy()
    np.testing.assert_allclose(without, without[:1].repeat(9, 0), atol=1e-6)


def test_features_are_normalised_whatever_their_size():
    layer = GridMemory(4)
    small, large = (layer(features() * scale).numpy() for scale in (100, 10_000))
    np.testing.assert_allclose(small, large, atol=1e-3)


def test_dropout_is_for_training_alone():
    layer = GridMemory(64, dropout=0.5)
    memory = layer(features()).numpy()
    assert not (memory == 0).any()
    assert 0.3 < (layer(features(), training=True).numpy() == 0).mean() < 0.7
    np.testing.assert_array_equal(layer(features(), training=False), memory)


def test_it_comes_back_from_its_configuration():
    layer = GridMemory(4, dropout=0.25, name="mine", dtype="mixed_bfloat16")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert again(features()).dtype == "bfloat16"
