"""Token ids to vectors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks.embedding import TokenEmbedding

IDS = np.array([[3, 7, 3, 0], [7, 1, 0, 0]], "int32")


def test_ids_become_their_rows_and_padding_becomes_the_mask():
    layer = TokenEmbedding(10, 4)
    vectors = layer(IDS)
    np.testing.assert_array_equal(vectors, layer.get_weights()[0][IDS])
    np.testing.assert_array_equal(layer.compute_mask(IDS), IDS != 0)
    np.testing.assert_array_equal(vectors._keras_mask, IDS != 0)


def test_row_dropout_drops_a_word_everywhere_or_nowhere():
    layer = TokenEmbedding(50, 3, row_dropout=0.5, embeddings_initializer="ones", seed=0)
    ids = np.random.default_rng(0).integers(1, 50, (20, 30))
    vectors = layer(ids, training=True).numpy()
    kept = {}
    for token, vector in zip(ids.ravel(), vectors.reshape(-1, 3), strict=True):
        assert np.unique(vector).size == 1
        assert kept.setdefault(token, vector[0]) == vector[0]
    assert set(kept.values()) == {0.0, 2.0}
    again = layer(ids, training=True).numpy()
    assert (again != vectors).any()
    np.testing.assert_array_equal(layer(ids), np.ones((20, 30, 3)))


def test_token_dropout_zeroes_single_places_and_leaves_the_others_as_they_are():
    layer = TokenEmbedding(50, 3, token_dropout=0.25, embeddings_initializer="ones", seed=0)
    ids = np.full((40, 100), 7)
    vectors = layer(ids, training=True).numpy()
    assert set(np.unique(vectors)) == {0.0, 1.0}
    assert (vectors == vectors[..., :1]).all()
    assert 0.2 < 1 - vectors.mean() < 0.3
    np.testing.assert_array_equal(layer(ids), np.ones((40, 100, 3)))


@pytest.mark.parametrize("policy", ["float32", "float16", "mixed_bfloat16", "mixed_float16"])
def test_large_ids_survive_low_precision(policy):
    """Ids above 256 are not whole numbers in bfloat16: they must never be cast to it."""
    layer = TokenEmbedding(70000, 1, dtype=policy, row_dropout=0.1)
    layer.build((None, None))
    layer.set_weights([(np.arange(70000) % 7)[:, None]])
    ids = np.array([[257, 3001, 65537, 69999]])
    np.testing.assert_array_equal(tf.cast(layer(ids)[..., 0], "int32"), ids % 7)
    model_input = keras.Input((4,), dtype="int32")
    model = keras.Model(model_input, layer(model_input))
    np.testing.assert_array_equal(np.asarray(model(ids)).astype(int)[..., 0], ids % 7)
    assert layer(ids).dtype == layer.compute_dtype


def test_a_train_step_moves_the_rows_in_use_and_a_keras_file_gives_them_back(tmp_path):
    layer = TokenEmbedding(10, 4, row_dropout=0.2, embeddings_initializer="normal", seed=5)
    model = keras.Sequential([keras.Input((4,), dtype="int32"), layer, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    before = layer.get_weights()[0]
    for _ in range(5):
        model.fit(IDS, np.ones((2, 4, 1)), verbose=0)
    moved = np.abs(layer.get_weights()[0] - before).max(axis=1) > 0
    assert set(np.flatnonzero(moved)) >= {1, 3, 7}
    model.save(tmp_path / "embedding.keras")
    loaded = keras.saving.load_model(tmp_path / "embedding.keras")
    np.testing.assert_array_equal(loaded(IDS), model(IDS))
    assert loaded.layers[0].get_config() == layer.get_config()


def test_a_wrong_setting_is_named():
    for arguments, name in (((0, 4), "vocabulary_size"), ((5, 0), "embedding_dim")):
        with pytest.raises(ValueError, match=name):
            TokenEmbedding(*arguments)
    with pytest.raises(ValueError, match="row_dropout"):
        TokenEmbedding(5, 4, row_dropout=1.0)
