"""The translator: one answer from Python, the .keras file and the SavedModel."""

import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import answers_elsewhere, pairs, small_translator

import rnn_apps
from rnn_apps import export
from rnn_apps.evaluation.text_scores import bleu
from rnn_apps.preprocessing.text import BEGIN, END, PADDING

SOURCES, TARGETS = pairs()
REQUESTS = [
    "the red cat and the new tree",
    "",
    "  \t ",
    "the blue cup",
    "\U0001f600 \u05e9\u05dc\u05d5\u05dd caf\u00e9<br />the dog",
    "the green house and the old dog and the red tree and the new cup " * 5,
]
BLANK = [False, True, True, False, False, False]
NEAR = 1e-4  # in score; another hypothesis may be as good up to the order of sums


def assert_same_answers(first, second):
    """Texts are equal, or as good as equal in score."""
    assert first.keys() == second.keys()
    np.testing.assert_allclose(first["score"], second["score"], atol=NEAR, rtol=0)
    for name in set(first) - {"score"}:
        np.testing.assert_array_equal(first[name], second[name])


def test_it_learns_to_turn_phrases_round(translator):
    answers = translator.predict(SOURCES)
    assert np.mean(answers["translation"] == np.array(TARGETS)) > 0.9
    assert (answers["score"] <= 0).all()
    assert answers["score"].dtype == np.float32


def test_a_text_without_characters_is_translated_by_nothing(translator):
    answers = translator.predict(REQUESTS)
    assert [text == "" for text in answers["translation"]] == BLANK
    assert [score == 0 for score in answers["score"]] == BLANK
    several = translator.predict(REQUESTS, n_best=3)
    assert (several["count"][np.array(BLANK)] == 1).all()
    assert (several["score"][np.array(BLANK), 1:] == -1e9).all()
    assert (several["translation"][np.array(BLANK)] == "").all()


def test_answers_do_not_depend_on_batch_mates_or_order(translator):
    together = translator.predict(REQUESTS)
    for number, text in enumerate(REQUESTS):
        row = {name: values[number : number + 1] for name, values in together.items()}
        assert_same_answers(translator.predict([text]), row)
    assert_same_answers(translator.predict(REQUESTS, batch_size=2), together)
    back = translator.predict(REQUESTS[::-1])
    assert_same_answers({name: values[::-1] for name, values in back.items()}, together)


def test_no_requests_get_no_answers(translator):
    assert translator.predict([])["translation"].shape == (0,)
    assert translator.predict([], n_best=2)["translation"].shape == (0, 2)


def test_the_best_of_several_is_the_answer(translator):
    alone, several = translator.predict(REQUESTS), translator.predict(REQUESTS, n_best=3)
    np.testing.assert_array_equal(several["translation"][:, 0], alone["translation"])
    np.testing.assert_allclose(several["score"][:, 0], alone["score"], atol=NEAR)
    assert (np.diff(several["score"]) <= 0).all()
    count = several["count"]
    assert (count[BLANK] == 1).all() and count.min() == 1 and count.max() == 3
    beyond = np.arange(3) >= count[:, None]
    assert (several["translation"][beyond] == "").all() and (several["score"][beyond] < -1e8).all()
    two = translator.predict(REQUESTS, n_best=2)
    np.testing.assert_array_equal(two["translation"], several["translation"][:, :2])
    assert two["count"].max() == 2


def test_one_beam_is_greedy_search_by_hand(translator):
    answers = translator.predict(SOURCES[:6], beam_size=1, length_penalty=0.0)
    for number, source in enumerate(SOURCES[:6]):
        memory = translator.encode(translator.tokenizer.encode(tf.constant([source])))
        written, score = [BEGIN], 0.0
        while written[-1] != END:
            inputs = tf.constant([written])
            logits = translator.decoder(inputs, *memory)[0, -1].numpy()
            logits[[PADDING, 1, BEGIN]] = -np.inf
            score += tf.nn.log_softmax(logits)[logits.argmax()].numpy()
            written.append(int(logits.argmax()))
        text = translator.tokenizer.detokenize(tf.ragged.constant([written]))[0].numpy().decode()
        assert answers["translation"][number] == text
        assert answers["score"][number] == pytest.approx(score, abs=1e-2)


def test_a_larger_length_penalty_never_shortens_the_choice(translator):
    short = translator.predict(REQUESTS, length_penalty=-2.0)["translation"]
    long = translator.predict(REQUESTS, length_penalty=3.0)["translation"]
    assert all(len(one) <= len(other) for one, other in zip(short, long, strict=True))


def test_a_text_longer_than_any_in_training_is_read_to_its_end(translator):
    text = "the red cat and " * 30
    one, other = translator.encode(
        translator.tokenizer.encode(tf.constant([text + "the dog", text + "the cup"]))
    )[0].numpy()
    assert one.shape[0] > 3 * translator.longest_source
    assert np.abs(one[-8] - other[-8]).max() > 0  # the backward direction has seen the end
    asked, notes = translator.read_requests([text, "the dog"])
    assert asked == [text.encode(), b"the dog"]
    assert len(notes) == 1 and notes[0].startswith("1 of 2 texts have more subwords")
    assert translator.read_requests(["the dog"])[1] == ()


def test_every_form_of_examples_gives_the_same_vocabulary_and_the_same_training(translator):
    forms = [
        (SOURCES, TARGETS),
        (np.array(SOURCES), np.array(TARGETS)),
        (pd.DataFrame({"target": TARGETS, "source": SOURCES}),),
        ([{"source": s, "target": t} for s, t in zip(SOURCES, TARGETS, strict=True)],),
        (tf.data.Dataset.from_tensor_slices({"source": SOURCES, "target": TARGETS}),),
        (tf.data.Dataset.from_tensor_slices((SOURCES, TARGETS)).batch(7),),
    ]
    losses = []
    for form in forms:
        model = small_translator()
        model.adapt(*form)
        model.set_weights(translator.get_weights())
        model.compile()
        losses.append(model.evaluate(*form, verbose=0))
    np.testing.assert_allclose(losses, losses[:1] * len(forms), atol=1e-6)


def test_the_loss_is_the_cross_entropy_of_the_logits(translator):
    model = small_translator(label_smoothing=0.2)
    model.adapt(SOURCES, TARGETS)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(SOURCES)).astype("float32")
    columns = {"source": np.array(SOURCES, object), "target": np.array(TARGETS, object)}
    (inputs, following, weight), *_ = model.feed(
        columns, batch_size=8, shuffle=False, seed=0, sample_weight=weights
    )
    hidden = model(inputs)
    for training, smoothing in ((True, 0.2), (False, 0.0)):
        wanted = keras.losses.CategoricalCrossentropy(True, smoothing, reduction="none")(
            keras.ops.one_hot(following, model.tokenizer.num_pieces), model.decoder.logits(hidden)
        )
        real = (following != PADDING).astype("float32")
        expected = tf.reduce_sum(wanted * real * weight[:, None]) / real.sum()
        model.compile()
        got = model.compute_loss(None, following, hidden, weight, training)
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_loss_and_metrics_of_keras_see_logits_and_no_padding(translator):
    model = small_translator()
    model.adapt(SOURCES, TARGETS)
    model.set_weights(translator.get_weights())
    model.compile(metrics=["accuracy"])
    own, accuracy = model.evaluate(SOURCES, TARGETS, verbose=0)
    assert accuracy > 0.95
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, weighted_metrics=["accuracy"])
    theirs, weighted = model.evaluate(SOURCES, TARGETS, verbose=0)
    assert weighted == pytest.approx(accuracy, abs=1e-6)
    assert theirs == pytest.approx(own, abs=1e-5)


@pytest.mark.slow
def test_a_step_moves_every_weight():
    keras.utils.set_random_seed(0)
    model = small_translator(encoder_layers=2, decoder_layers=2, shared_vocabulary=False)
    model.adapt(SOURCES, TARGETS)
    model.compile()
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    model.fit(SOURCES, TARGETS, epochs=1, verbose=0)
    still = [w.path for w in model.trainable_weights if np.array_equal(before[w.path], w.numpy())]
    assert still == []
    assert len(before) == len(set(before)) > 10


@pytest.mark.slow
def test_early_stopping_goes_by_bleu_and_keeps_the_best_weights():
    keras.utils.set_random_seed(1)
    model = small_translator()
    model.adapt(SOURCES, TARGETS)
    model.compile(learning_rate=0.02)
    held = SOURCES[-12:], TARGETS[-12:]
    options = {"epochs": 16, "batch_size": 6, "patience": 4, "verbose": 0}
    history = model.fit(SOURCES, TARGETS, validation_data=held, **options).history
    assert len(history["val_bleu"]) == len(history["val_loss"])
    assert max(history["val_bleu"]) > 20
    greedy = model.predict(held[0], beam_size=1)["translation"].tolist()
    assert bleu(held[1], greedy) == pytest.approx(max(history["val_bleu"]), abs=1e-6)


@pytest.mark.slow
def test_the_loss_may_be_monitored_in_place_of_bleu():
    model = small_translator(monitored="loss")
    model.adapt(SOURCES, TARGETS)
    model.compile()
    model.fit(SOURCES, TARGETS, validation_split=0.2, epochs=1, verbose=0)
    assert model.monitor == "val_loss"
    assert "val_bleu" not in model.history.history


def test_the_keras_file_answers_as_the_model_does(translator, tmp_path):
    translator.save(tmp_path / "model.keras")
    for loaded in (
        rnn_apps.load_model(tmp_path / "model.keras"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        np.testing.assert_array_equal(
            loaded.predict(REQUESTS)["score"], translator.predict(REQUESTS)["score"]
        )
        assert_same_answers(loaded.predict(REQUESTS), translator.predict(REQUESTS))
        assert loaded.get_config() == translator.get_config()
        assert loaded.longest_source == translator.longest_source


@pytest.mark.slow
def test_a_reloaded_model_goes_on_training(translator, tmp_path):
    translator.save(tmp_path / "model.keras")
    loaded = rnn_apps.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == int(translator.optimizer.iterations)
    before = loaded.evaluate(SOURCES, TARGETS, verbose=0)
    loaded.fit(SOURCES, TARGETS, epochs=2, verbose=0)
    assert loaded.evaluate(SOURCES, TARGETS, verbose=0) < before


@pytest.fixture(scope="module")
def exported(translator, tmp_path_factory):
    """A published version, moved elsewhere after publishing."""
    version = translator.export(tmp_path_factory.mktemp("published") / "translation")
    moved = tmp_path_factory.mktemp("moved") / "model" / "1"
    shutil.move(version, moved)
    return moved


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    """What the export answers in a process that knows TensorFlow and tensorflow-text alone."""
    folder = tmp_path_factory.mktemp("served")
    number = np.arange(len(REQUESTS))
    given = {
        "serving_default/text": REQUESTS,
        "attention/text": REQUESTS,
        "n_best/text": REQUESTS,
        "n_best/beam_size": (1 + number % 3).astype("int32"),
        "n_best/length_penalty": (number % 2).astype("float32"),
    }
    return answers_elsewhere(exported, given, folder, "tensorflow_text")


@pytest.mark.parametrize("size", [1, len(REQUESTS)])
def test_the_export_answers_as_python_does(translator, served, size):
    expected = translator.predict(REQUESTS)
    got = {name: served[f"{size}/serving_default/{name}"] for name in expected}
    np.testing.assert_array_equal(
        got["translation"], np.char.encode(expected["translation"].astype(str), "utf-8")
    )
    np.testing.assert_allclose(got["score"], expected["score"], atol=1e-5)


@pytest.mark.parametrize("size", [1, len(REQUESTS)])
def test_each_request_has_a_beam_size_and_a_length_penalty_of_its_own(translator, served, size):
    for number, text in enumerate(REQUESTS):
        beam_size, alpha = 1 + number % 3, float(number % 2)
        expected = translator.predict(
            [text], n_best=beam_size, beam_size=beam_size, length_penalty=alpha
        )
        count = served[f"{size}/n_best/count"][number]
        assert count == expected["count"][0]
        got = served[f"{size}/n_best/translation"][number]
        assert got.shape == (3,) and (got[count:] == b"").all()
        assert [t.decode() for t in got[:count]] == list(expected["translation"][0, :count])
        scores = served[f"{size}/n_best/score"][number]
        np.testing.assert_allclose(scores[:count], expected["score"][0, :count], atol=1e-5)
        assert (scores[count:] == -1e9).all()


def test_attention_is_a_distribution_over_the_subwords_of_each_source(served):
    whole = served[f"{len(REQUESTS)}/attention/weights"]
    np.testing.assert_allclose(whole, served["1/attention/weights"], atol=1e-5)
    assert whole.shape == (len(REQUESTS), 64, 64)
    read, written = (served[f"1/attention/{side}_length"] for side in ("source", "target"))
    for row in range(len(REQUESTS)):
        assert (whole[row, written[row] :] == 0).all()
        assert (whole[row, :, read[row] :] == 0).all()
        tokens = served["1/attention/source_tokens"][row]
        assert (tokens[: read[row]] != b"").all() and (tokens[read[row] :] == b"").all()
        if read[row] <= 64:
            np.testing.assert_allclose(whole[row, : min(written[row], 64)].sum(1), 1, atol=1e-5)
    assert read.max() > 64 > read.min()
    assert served["1/attention/target_tokens"][0, written[0] - 1] == b"</s>"


def test_a_server_finds_nothing_wrong_with_the_export(exported):
    assert export.check(exported) == []


def test_the_export_holds_each_weight_once(translator, exported):
    stored = sum(path.stat().st_size for path in (exported / "variables").iterdir())
    weights = sum(weight.nbytes for weight in translator.get_weights())
    assert weights <= stored < 1.2 * weights + 4000


def test_every_constructor_argument_comes_back_from_its_configuration():
    given = {
        "cell": "simple_rnn", "units": 7, "encoder_layers": 3, "decoder_layers": 4,
        "attention": None, "embedding_dim": 5, "vocabulary_size": 400, "shared_vocabulary": False,
        "lowercase": True, "dropout": 0.25, "hidden_dropout": 0.35, "token_dropout": 0.4,
        "label_smoothing": 0.15, "beams": 4, "length_penalty": 0.7, "coverage_penalty": 0.2,
        "no_repeat_ngram": 3, "max_ratio": 1.5, "monitored": "loss", "name": "mine",
        "dtype": "mixed_bfloat16",
    }  # fmt: skip
    again = rnn_apps.Translator.from_config(
        json.loads(json.dumps(rnn_apps.Translator(**given).get_config()))
    )
    assert {name: getattr(again, name) for name in given if name != "dtype"} == {
        name: value for name, value in given.items() if name != "dtype"
    }
    assert again.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"encoder": True, "attention": "additive"},
        {"dtype": "mixed_bfloat16", "cell": "lstm"},
        {
            "attention": None,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "shared_vocabulary": False,
            "lowercase": True,
            "no_repeat_ngram": 2,
        },
        {"attention": "scaled", "cell": "simple_rnn", "coverage_penalty": 0.2, "max_ratio": 1.0},
    ],
    ids=["own encoder", "mixed precision", "no attention", "coverage"],
)
def test_variants_train_save_and_export_alike(options, tmp_path):
    if options.get("encoder"):
        own = keras.layers.GRU(6, return_sequences=True, use_cudnn=False)
        options = {**options, "encoder": own}
    model = small_translator(**options)
    model.adapt(SOURCES, TARGETS)
    model.compile()
    model.fit(SOURCES, TARGETS, epochs=2, verbose=0)
    expected = model.predict(REQUESTS)
    model.save(tmp_path / "model.keras")
    assert_same_answers(rnn_apps.load_model(tmp_path / "model.keras").predict(REQUESTS), expected)
    signatures = tf.saved_model.load(model.export(tmp_path / "served")).signatures
    got = signatures["serving_default"](text=tf.constant(REQUESTS))
    assert got["score"].dtype == tf.float32
    np.testing.assert_allclose(got["score"], expected["score"], atol=NEAR)
    assert ("attention" in signatures) == (options.get("attention", "general") is not None)
    figure = model.draw(REQUESTS, expected)
    assert (figure is None) == ("attention" not in signatures)


def test_two_vocabularies_know_one_language_each():
    model = small_translator(shared_vocabulary=False)
    model.adapt(SOURCES, TARGETS)
    pieces = [
        set(t.pieces(tf.range(t.num_pieces)).numpy().tolist())
        for t in (model.tokenizer, model.target_tokenizer)
    ]
    assert "▁the".encode() in pieces[0] - pieces[1]
    assert "ü".encode() in pieces[1] - pieces[0]


def test_the_report_stands_beside_its_baselines(translator):
    other = translator.predict(SOURCES, beam_size=1)["translation"].tolist()
    report = translator.report(SOURCES, TARGETS, source="phrases", beside={"greedy": other})
    kept = report.to_dict()
    assert kept["application"] == "Translator"
    assert list(kept["baselines"]) == ["copy of the source", "table of words", "greedy"]
    assert kept["metrics"]["bleu"]["value"] > kept["baselines"]["table of words"]["bleu"]["value"]
    assert kept["differences"]["greedy"]["bleu"]["low"] <= 0
    assert "case:mixed" in kept["signatures"]["bleu"]
    assert report.figures["attention"]().axes


def test_a_reloaded_model_reports_without_its_training_examples(translator, tmp_path):
    translator.save(tmp_path / "model.keras")
    loaded = rnn_apps.load_model(tmp_path / "model.keras")
    assert list(loaded.report(SOURCES, TARGETS).baselines) == ["copy of the source"]
    given = loaded.report(SOURCES, TARGETS, train=(SOURCES, TARGETS))
    assert "table of words" in given.baselines


def test_answers_as_rows_name_their_requests(translator):
    rows = translator.records(SOURCES[:2], translator.predict(SOURCES[:2]))
    assert [row["source"] for row in rows] == SOURCES[:2]
    assert list(rows[0]) == ["translation", "score", "source"]
    rows = translator.records(SOURCES[:2], translator.predict(SOURCES[:2], n_best=2))
    assert [(row["request"], row["rank"]) for row in rows] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert rows[0]["score"] >= rows[1]["score"]


def test_mistakes_get_one_clear_sentence(translator):
    cases = [
        (lambda: small_translator(beams=0), "beams=0 is too small"),
        (lambda: small_translator(max_ratio=0.5), "max_ratio=0.5 is too small"),
        (lambda: small_translator().predict(["a"]), "Call model.adapt"),
        (lambda: small_translator().predict(["a"], n_best=2), "Call model.adapt"),
        (lambda: small_translator().adapt([""], [""]), "without a single character"),
        (lambda: translator.predict(["a"], beam_size=4), "beam_size=4 is out of range"),
        (lambda: translator.predict(["a"], beam_size=0), "beam_size=0 is out of range"),
        (lambda: translator.predict(["a"], beam_size=2, n_best=3), "n_best=3 is out of range"),
        (lambda: translator.fit(["a", "b"], ["c"]), "2"),
    ]
    for act, expected in cases:
        with pytest.raises(ValueError, match=expected):
            act()
