"""What begins as a language model: its weights, its settings, how it is trained on."""

import itertools
import json

import keras
import numpy as np
import pytest
from conftest import pairs, reviews, small_captioner, small_classifier, squares

import rnn_apps
from rnn_apps import training
from rnn_apps.language import LanguageModel

TEXTS, LABELS = reviews()
SIZES = {"cell": "gru", "units": 12, "vocabulary_size": 330, "steps": 8}
RATE = 0.02


def language_model(texts=TEXTS, **options):
    keras.utils.set_random_seed(7)
    model = LanguageModel(**{**SIZES, **options})
    model.adapt(texts)
    return model


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    """The file of a language model of two layers."""
    path = tmp_path_factory.mktemp("language") / "language.keras"
    language_model(num_layers=2).save(path)
    return path


def classifier(pretrained, **options):
    keras.utils.set_random_seed(1)
    options = {"pooling": "last+mean+max", "dropout": 0.2, **options}
    model = rnn_apps.SentimentClassifier(pretrained=pretrained, **options)
    model.adapt(TEXTS, LABELS)
    return model


def differs(one, other):
    return not np.array_equal(one, other)


def assert_same_weights(one, other):
    """Weights of two recurrent layers."""
    for first, second in zip(one.cell.weights, other.cell.weights, strict=True):
        np.testing.assert_array_equal(first, second)


# What is taken over


@pytest.mark.parametrize(
    "options",
    [{}, {"cell": "lstm", "units": 8, "embedding_dim": 5}, {"embedding_scale": 1.5}],
    ids=str,
)
def test_a_classifier_begins_with_the_states_of_the_language_model(options):
    language = language_model(num_layers=2, residual=True, **options)
    model = classifier(language)
    assert model.pretraining.carried_over == (
        "vocabulary, embedding, recurrent layer 1, recurrent layer 2"
    )
    for layers in zip(
        model.recurrent.forward_layers, language.recurrent.forward_layers, strict=True
    ):
        assert_same_weights(*layers)
    token_ids = language.tokenizer.encode(TEXTS[:3] + ["Something else!"])
    np.testing.assert_array_equal(
        token_ids, model.tokenizer.encode([*TEXTS[:3], "Something else!"])
    )
    states, mask = model.hidden(token_ids)
    expected, _ = language.recurrent(language.embedding(token_ids), mask=mask)
    np.testing.assert_allclose(states, expected, atol=1e-6)
    assert float(np.abs(states).max()) > 0.01


def test_the_settings_of_the_language_model_may_be_left_out(language):
    model = classifier(str(language))
    found = {name: model.get_config()[name] for name in (
        "cell", "units", "num_layers", "bidirectional", "embedding_dim", "vocabulary_size",
        "lowercase", "pretrained", "unfreeze", "layer_rate",
    )}  # fmt: skip
    assert found == {
        "cell": "gru", "units": 12, "num_layers": 2, "bidirectional": False, "embedding_dim": 12,
        "vocabulary_size": 330, "lowercase": True, "pretrained": str(language), "unfreeze": 1,
        "layer_rate": 0.385,
    }  # fmt: skip
    again = rnn_apps.SentimentClassifier.from_config(json.loads(json.dumps(model.get_config())))
    again.adapt(TEXTS, LABELS)
    assert again.get_config() == model.get_config()
    assert_same_weights(again.recurrent.forward_layers[1], model.recurrent.forward_layers[1])


def test_what_is_saved_does_not_need_the_language_model(language, tmp_path):
    file = tmp_path / "language.keras"
    file.write_bytes(language.read_bytes())
    model = classifier(file)
    model.compile(learning_rate=RATE)
    model.save(tmp_path / "model.keras")
    file.unlink()
    loaded = rnn_apps.load_model(tmp_path / "model.keras")
    assert loaded.pretrained == str(file)
    np.testing.assert_allclose(
        loaded.predict(TEXTS)["score"], model.predict(TEXTS)["score"], atol=1e-6
    )
    assert loaded.optimizer.shares == model.optimizer.shares
    anew = rnn_apps.SentimentClassifier.from_config(loaded.get_config())
    with pytest.raises(ValueError, match=r"no file .*language\.keras; name"):
        anew.adapt(TEXTS, LABELS)


def test_a_translator_reads_and_writes_as_the_language_model():
    texts, targets = pairs()
    language = language_model(texts + targets, num_layers=3, residual=True, lowercase=False)
    model = rnn_apps.Translator(
        pretrained=language, encoder_layers=3, decoder_layers=2, attention="scaled"
    )
    model.adapt(texts, targets)
    assert model.pretraining.carried_over == (
        "vocabulary, embedding, encoder layer 1, encoder layer 3, decoder layer 1, decoder layer 2"
    )
    sources = language.recurrent.forward_layers
    assert_same_weights(model.reader.first.forward_layers[0], sources[0])
    assert_same_weights(model.reader.rest.forward_layers[1], sources[2])
    assert_same_weights(model.decoder.stack.forward_layers[0], sources[0])
    assert_same_weights(model.decoder.upper.forward_layers[0], sources[1])
    np.testing.assert_array_equal(model.embedding.embeddings, language.embedding.embeddings)
    assert (model.units, model.cell, model.vocabulary_size) == (12, "gru", 330)


def test_a_captioner_writes_as_the_language_model():
    pictures, captions = squares()
    texts = [text for some in captions for text in some]
    language = language_model(texts, residual=True)
    language.embedding.bias.assign(np.arange(language.tokenizer.num_pieces) / 100)
    model = rnn_apps.ImageCaptioner(pretrained=language, image_size=24)
    model.adapt(pictures, captions)
    assert model.pretraining.carried_over == "vocabulary, embedding, decoder layer 1"
    assert_same_weights(model.decoder.stack.forward_layers[0], language.recurrent.forward_layers[0])
    token_ids = language.tokenizer.encode(["a red square"])
    hidden = np.ones([1, 4, 12], "float32")
    np.testing.assert_array_equal(model.tokenizer.encode(["a red square"]), token_ids)
    np.testing.assert_allclose(
        model.decoder.logits(hidden), language.embedding.logits(hidden), rtol=1e-6
    )


# What does not agree


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"units": 13}, "was given units=13, but .* asks for units=12; pass that, or leave it out"),
        ({"cell": "simple_rnn", "num_layers": 3}, "cell='simple_rnn', num_layers=3, but"),
        ({"embedding_dim": 7}, "embedding_dim=7"),
        ({"vocabulary_size": 999}, "vocabulary_size=999"),
        ({"lowercase": False}, "lowercase=False"),
    ],
    ids=str,
)
def test_a_setting_that_does_not_agree_is_named(language, options, says):
    with pytest.raises(ValueError, match=says):
        classifier(language, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"level": "word"}, "level='word', but 'subword' is expected here"),
        ({"line_breaks": True}, "line_breaks=True, but False is expected here"),
    ],
    ids=str,
)
def test_a_language_model_of_other_texts_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        classifier(language_model(**options))


def test_what_is_no_language_model_to_begin_with_is_refused(language, trained, tmp_path):
    trained.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="holds a SentimentClassifier, but a LanguageModel"):
        classifier(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="is not adapted; train it"):
        classifier(LanguageModel())
    with pytest.raises(ValueError, match="residual=False, but True is expected here"):
        rnn_apps.Translator(pretrained=language).adapt(*pairs())
    with pytest.raises(ValueError, match=r"embedding_scale=1\.0, but None is expected here"):
        scaled = language_model(residual=True, embedding_scale=1.0)
        rnn_apps.Translator(pretrained=scaled).adapt(*pairs())
    with pytest.raises(ValueError, match="shared_vocabulary=False, but"):
        whole = language_model(residual=True)
        rnn_apps.Translator(pretrained=whole, shared_vocabulary=False).adapt(*pairs())
    with pytest.raises(ValueError, match="pretrained and encoder came both"):
        small_classifier(pretrained="x", encoder=keras.layers.Dense(2))
    with pytest.raises(ValueError, match="unfreeze=-1"):
        small_classifier(unfreeze=-1)
    by_hand = classifier(language_model()).get_config()
    with pytest.raises(ValueError, match="which a configuration does not hold; pass pretrained="):
        rnn_apps.SentimentClassifier.from_config(by_hand).adapt(TEXTS, LABELS)
    assert small_captioner().pretraining.carried_over is None


# How it is trained on


@pytest.fixture(scope="module")
def simple(tmp_path_factory):
    """The file of a language model whose cells take little time."""
    path = tmp_path_factory.mktemp("simple") / "language.keras"
    language_model(num_layers=2, cell="simple_rnn").save(path)
    return path


class Watch(keras.callbacks.Callback):
    """Keeps weights by their group before training and after each epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def keep(self):
        upper, lower = self.model.recurrent.forward_layers[::-1]
        groups = (self.model.head, upper, lower, self.model.embedding)
        self.seen.append([layer.get_weights() for layer in groups])

    def on_train_begin(self, logs=None):
        self.keep()

    def on_epoch_end(self, epoch, logs=None):
        self.keep()

    def moved(self):
        """For each epoch, which of head, upper layer, lower layer and embedding moved."""
        return [
            [any(map(differs, *group)) for group in zip(*two, strict=True)]
            for two in itertools.pairwise(self.seen)
        ]


def fitted(model, epochs, **options):
    watch = Watch()
    options = {"schedule": "constant", "verbose": 0, "patience": None, "batch_size": 96, **options}
    model.fit(TEXTS, LABELS, epochs=epochs, callbacks=[watch], **options)
    return watch


@pytest.mark.parametrize("eager", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_layers_are_trained_along_from_the_head_down(simple, eager):
    model = classifier(simple)
    model.compile(learning_rate=RATE, run_eagerly=eager)  # tracing takes seconds each time
    watch = fitted(model, 4)
    assert watch.moved() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


def test_all_layers_can_be_trained_from_the_beginning_and_each_at_its_rate(simple):
    model = classifier(simple, unfreeze=0, layer_rate=0.5)
    model.compile(learning_rate=RATE, run_eagerly=True)
    watch = fitted(model, 1)
    assert watch.moved() == [[True] * 4]
    # A first step of Adam moves every weight that has a gradient by about its learning rate.
    steps = [
        max(np.abs(a - b).max() for a, b in zip(*group, strict=True))
        for group in zip(*watch.seen, strict=True)
    ]
    np.testing.assert_allclose(steps, RATE * 0.5 ** np.arange(4), rtol=1e-3)


def test_layers_wait_as_long_as_they_are_told_to_and_compile_may_come_first(language):
    model = rnn_apps.SentimentClassifier(pretrained=language, unfreeze=2)
    model.compile(learning_rate=RATE)
    model.adapt(TEXTS, LABELS)
    names = ["recurrent/forward_1/", "recurrent/forward_0/", "embedding/"]
    assert model.optimizer.shares == dict(zip(names, 0.385 ** np.arange(1, 4), strict=True))
    assert [callback.epoch for callback in model.begin(None)] == [3, 5, 7]
    shares = model.optimizer.shares
    model.compile("sgd", learning_rate=RATE)
    assert isinstance(model.optimizer, training.SharedRateSGD)
    assert model.optimizer.shares == shares
    plain = small_classifier()
    plain.adapt(TEXTS, LABELS)
    plain.compile()
    assert plain.begin(None) == []
    assert not isinstance(plain.optimizer, training.SharedRateAdam)


@pytest.mark.parametrize("epochs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_resumed_training_ends_where_one_at_a_stretch_does(simple, tmp_path, epochs):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == epochs:
                raise KeyboardInterrupt

    def compiled():
        model = classifier(simple, max_tokens=8)
        model.compile(learning_rate=RATE, run_eagerly=epochs == 1)
        return model

    options = {"run": tmp_path / "run", "verbose": 0, "epochs": epochs + 1, "batch_size": 48}
    with pytest.raises(KeyboardInterrupt):
        compiled().fit(TEXTS, LABELS, callbacks=[Interrupt()], **options)
    resumed = compiled()
    resumed.fit(TEXTS, LABELS, **options)
    whole = compiled()
    whole.fit(TEXTS, LABELS, **{**options, "run": tmp_path / "whole"})
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    settings = json.loads((tmp_path / "whole" / "run.json").read_text())["settings"]["model"]
    assert (settings["units"], settings["pretrained"]) == (12, str(simple))
