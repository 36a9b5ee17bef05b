"""A part of a model that is trained later than the rest, and more slowly."""

import itertools

import keras
import numpy as np
import pytest
from conftest import small_captioner, squares

import rnn_apps
from rnn_apps import training

PICTURES, CAPTIONS = squares()
RATE = 0.02


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder that features are kept in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rnn_apps" / "features"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights of the small network."""
    keras.utils.set_random_seed(5)
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    encoder = rnn_apps.blocks.ImageEncoder(image_size=24)
    encoder.build((None, 24, 24, 3))
    encoder.network.save_weights(path)
    return str(path)


def compiled(weights, *, average=None, **options):
    keras.utils.set_random_seed(1)
    options = {"train_backbone_from": 3, "memory_dropout": 0.2, **options}
    model = small_captioner(backbone_weights=weights, **options)
    model.adapt(PICTURES, CAPTIONS)
    model.compile(learning_rate=RATE, average=average)
    return model


class Watch(keras.callbacks.Callback):
    """Keeps the weights of the backbone and of the rest after each epoch."""

    def __init__(self):
        super().__init__()
        self.backbone, self.rest = [], []

    def keep(self):
        self.backbone.append(self.model.encoder.get_weights())
        self.rest.append(self.model.decoder.get_weights())

    def on_train_begin(self, logs=None):
        self.keep()

    def on_epoch_end(self, epoch, logs=None):
        self.keep()


def moved(before, after):
    return [bool(np.abs(a - b).max() > 0) for a, b in zip(before, after, strict=True)]


def fitted(model, epochs, **options):
    watch = Watch()
    options = {"schedule": "constant", "verbose": 0, "patience": None, **options}
    model.fit(PICTURES, CAPTIONS, epochs=epochs, callbacks=[watch], **options)
    return watch


def test_the_backbone_stands_still_until_its_epoch_and_moves_from_then_on(weights, cache):
    model = compiled(weights)
    watch = fitted(model, 4, validation_data=(PICTURES[:5], CAPTIONS[:5]), batch_size=6)
    still = [not any(moved(*pair)) for pair in itertools.pairwise(watch.backbone)]
    assert still == [True, True, False, False]
    assert all(moved(watch.backbone[2], watch.backbone[3]))  # its statistics too
    assert all(any(moved(*pair)) for pair in itertools.pairwise(watch.rest))
    assert len(list(cache.iterdir())) == 2  # features of the pictures to train and to validate on
    history = model.history.history
    assert len(history["val_cider_d"]) == len(history["val_loss"]) == 4
    held = (PICTURES[:5], CAPTIONS[:5])
    assert model.evaluate(*held, verbose=0) == pytest.approx(history["val_loss"][-1], abs=1e-5)


@pytest.mark.slow
def test_the_backbone_moves_at_its_share_of_the_learning_rate(weights):
    changes = {}
    for share in (1.0, 0.1):
        watch = fitted(compiled(weights, backbone_rate=share), 3, batch_size=12)
        changes[share] = watch.backbone[3][0] - watch.backbone[2][0]
    assert 0 < np.abs(changes[0.1]).max() <= 0.1 * RATE
    np.testing.assert_allclose(changes[0.1], 0.1 * changes[1.0], rtol=1e-2, atol=1e-6)


@pytest.mark.slow
def test_another_training_begins_with_the_backbone_still_again(weights):
    model = compiled(weights, train_backbone_from=2)
    fitted(model, 2)
    watch = fitted(model, 2)
    assert not any(moved(watch.backbone[0], watch.backbone[1]))
    assert all(moved(watch.backbone[1], watch.backbone[2]))


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 3], ids=["still", "trained along"])
def test_a_resumed_training_ends_where_one_at_a_stretch_does(weights, tmp_path, epochs):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == epochs:
                raise KeyboardInterrupt

    options = {"run": tmp_path / "run", "verbose": 0, "epochs": 4, "batch_size": 6}
    with pytest.raises(KeyboardInterrupt):
        compiled(weights).fit(PICTURES, CAPTIONS, callbacks=[Interrupt()], **options)
    resumed = compiled(weights)
    resumed.fit(PICTURES, CAPTIONS, **options)
    whole = compiled(weights)
    whole.fit(PICTURES, CAPTIONS, **{**options, "run": tmp_path / "whole"})
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 3], ids=["still", "trained along"])
def test_averages_are_of_what_is_trained(weights, epochs):
    model = compiled(weights, average=0.5)
    before = model.encoder.get_weights()
    model.fit(
        PICTURES, CAPTIONS, validation_data=(PICTURES, CAPTIONS), epochs=epochs, verbose=0,
        patience=None,
    )  # fmt: skip
    assert any(moved(before, model.encoder.get_weights())) == (epochs == 3)


@pytest.mark.slow
def test_a_saved_model_keeps_its_optimizer(weights, tmp_path):
    model = compiled(weights)
    fitted(model, 3)
    model.save(tmp_path / "model.keras")
    loaded = rnn_apps.load_model(tmp_path / "model.keras")
    assert loaded.train_backbone_from == 3
    assert loaded.optimizer.shares == {"encoder/": 0.1}
    paths = [variable.path for variable in loaded.optimizer.variables]
    assert paths == [variable.path for variable in model.optimizer.variables]
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    fitted(loaded, 1)


def test_averages_go_into_those_variables_only_that_are_named():
    one, other = (keras.Variable([1.0], name=name) for name in ("one", "other"))
    optimizer = training.SharedRateAdam(0.1, use_ema=True, ema_momentum=0.9)
    for _ in range(3):
        optimizer.apply([np.ones(1, "float32")] * 2, [one, other])
    raw = float(one[0])
    optimizer.finalize_variable_values([other])
    assert float(one[0]) == raw
    assert float(other[0]) > raw  # the mean of a falling value


def test_mistakes_get_one_clear_sentence():
    with pytest.raises(ValueError, match="came both; give one"):
        small_captioner(train_backbone=True, train_backbone_from=2)
    with pytest.raises(ValueError, match="train_backbone_from=-1 is too small"):
        small_captioner(train_backbone_from=-1)
