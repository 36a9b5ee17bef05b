"""The sentiment classifier: one answer from Python, the .keras file and the SavedModel."""

import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import answers_elsewhere, reviews, serialized, small_classifier

import rnn_apps
from rnn_apps import blocks, data, export  # noqa: F401  blocks: registers layers

REQUESTS = [
    "The story is not dull.",
    "",
    "fine",
    "\U0001f600 \u05e9\u05dc\u05d5\u05dd caf\u00e9<br />fine",
    "The cast is loud and the music is tired. " * 30,
]


def _text(value):
    return value.decode() if isinstance(value, bytes) else value


def assert_same_answers(first, second, tolerance=1e-5):
    assert first.keys() == second.keys()
    for name, values in first.items():
        if values.dtype == object:
            assert [_text(v) for v in values.ravel()] == [_text(v) for v in second[name].ravel()]
        else:
            np.testing.assert_allclose(values, second[name], atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A published version, moved elsewhere after publishing."""
    folder = tmp_path_factory.mktemp("published") / "sentiment"
    version = trained.export(folder)
    moved = tmp_path_factory.mktemp("moved") / "model" / "1"
    shutil.move(version, moved)
    return moved


def test_it_learns_what_word_counts_cannot_tell(trained):
    texts, labels = reviews()
    answers = trained.predict(texts)
    assert answers["label"].tolist() == labels
    assert np.all((answers["score"] > 0) == np.array([label == "positive" for label in labels]))


def test_an_answer_has_the_shapes_and_ranges_it_promises(trained):
    answers = trained.predict(REQUESTS)
    assert answers["label"].shape == (5,)
    assert answers["probabilities"].shape == (5, 2)
    assert answers["probabilities"].dtype == answers["score"].dtype == np.float32
    np.testing.assert_allclose(answers["probabilities"].sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(
        answers["score"], answers["probabilities"] @ np.array([-1, 1]), atol=1e-6
    )


def test_answers_do_not_depend_on_batch_mates_or_order(trained):
    together = trained.predict(REQUESTS)
    for number, text in enumerate(REQUESTS):
        alone = trained.predict([text])
        assert_same_answers(alone, {k: v[number : number + 1] for k, v in together.items()})
    assert_same_answers(trained.predict(REQUESTS, batch_size=2), together)


def test_no_requests_get_no_answers(trained):
    answers = trained.predict([])
    assert answers["probabilities"].shape == (0, 2)
    assert answers["label"].shape == (0,)


def test_every_form_of_examples_gives_the_same_vocabulary_and_the_same_training(trained):
    texts, labels = reviews()
    forms = [
        (texts, labels),
        (np.array(texts), np.array(labels)),
        (pd.DataFrame({"label": labels, "text": texts}),),
        ([{"text": t, "label": label} for t, label in zip(texts, labels, strict=True)],),
        (tf.data.Dataset.from_tensor_slices({"text": texts, "label": labels}),),
        (tf.data.Dataset.from_tensor_slices((texts, labels)).batch(7),),
    ]
    losses = []
    for form in forms:
        model = small_classifier()
        model.adapt(*form)
        model.set_weights(trained.get_weights())
        model.compile()
        losses.append(model.evaluate(*form, verbose=0))
    np.testing.assert_allclose(losses, losses[:1] * len(forms), atol=1e-6)


def test_the_keras_file_answers_as_the_model_does(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    for loaded in (
        rnn_apps.load_model(tmp_path / "model.keras"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        assert_same_answers(loaded.predict(REQUESTS), trained.predict(REQUESTS), 0)
        assert loaded.get_config() == trained.get_config()
        assert loaded.class_names == ("negative", "positive")


def test_a_reloaded_model_goes_on_training(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    loaded = rnn_apps.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == int(trained.optimizer.iterations)
    before = loaded.evaluate(*reviews(), verbose=0)
    loaded.fit(*reviews(), epochs=3, verbose=0)
    assert loaded.evaluate(*reviews(), verbose=0)[0] < before[0]


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    """What the export answers in a process that knows TensorFlow and tensorflow-text alone."""
    folder = tmp_path_factory.mktemp("served")
    given = {
        "serving_default/text": REQUESTS,
        "attention/text": REQUESTS,
        "classify/inputs": serialized([{"text": text} for text in REQUESTS]),
    }
    return answers_elsewhere(exported, given, folder, "tensorflow_text")


@pytest.mark.parametrize("size", [1, len(REQUESTS)])
def test_the_export_answers_as_python_does(trained, served, size):
    expected = trained.predict(REQUESTS)
    got = {name: served[f"{size}/serving_default/{name}"] for name in expected}
    np.testing.assert_array_equal(got["label"], expected["label"].astype("S"))
    np.testing.assert_allclose(got["score"], expected["score"], atol=1e-5)
    np.testing.assert_allclose(got["probabilities"], expected["probabilities"], atol=1e-5)


@pytest.mark.parametrize("size", [1, len(REQUESTS)])
def test_classify_gives_each_class_its_score(trained, served, size):
    expected = trained.predict(REQUESTS)["probabilities"]
    np.testing.assert_allclose(served[f"{size}/classify/scores"], expected, atol=1e-5)
    np.testing.assert_array_equal(
        served[f"{size}/classify/classes"], [[b"negative", b"positive"]] * len(REQUESTS)
    )


def test_attention_is_a_distribution_over_the_subwords_of_each_text(served):
    whole, single = served[f"{len(REQUESTS)}/attention/weights"], served["1/attention/weights"]
    np.testing.assert_allclose(whole, single, atol=1e-6)
    np.testing.assert_allclose(whole.sum(1), 1, atol=1e-5)
    lengths = served["1/attention/length"]
    tokens = served["1/attention/tokens"]
    for row, length in enumerate(lengths):
        assert (whole[row, length:] == 0).all()
        assert (tokens[row, :length] != b"").all() and (tokens[row, length:] == b"").all()
    assert lengths[1] == 2
    assert lengths.max() == tokens.shape[1] == 24


def test_a_server_finds_nothing_wrong_with_the_export(exported):
    assert [finding for finding in export.check(exported) if finding.level != "note"] == []


def test_the_export_holds_each_weight_once(trained, exported):
    stored = sum(path.stat().st_size for path in (exported / "variables").iterdir())
    weights = sum(weight.nbytes for weight in trained.get_weights())
    assert weights <= stored < 1.2 * weights + 4000


def test_a_step_moves_every_weight():
    keras.utils.set_random_seed(0)
    model = small_classifier(num_layers=2, pooling="attention+max+mean")
    model.adapt(*reviews())
    model.compile()
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    model.fit(*reviews(), epochs=1, verbose=0)
    still = [w.path for w in model.trainable_weights if np.array_equal(before[w.path], w.numpy())]
    assert still == []
    assert len(before) == len(set(before)) > 10


def test_every_constructor_argument_comes_back_from_its_configuration():
    given = {
        "cell": "simple_rnn", "units": 7, "num_layers": 2, "bidirectional": False,
        "embedding_dim": 5, "vocabulary_size": 400, "lowercase": False, "max_tokens": 99,
        "pooling": "max", "dropout": 0.25, "output_dropout": 0.35, "row_dropout": 0.05,
        "token_dropout": 0.4, "recurrent_dropout": 0.15, "adversarial": 0.03,
        "truncate": 11, "classes": ("bad", "good"), "ordered": True,
        "class_weight": {"bad": 2.0}, "name": "mine", "dtype": "mixed_bfloat16",
    }  # fmt: skip
    again = rnn_apps.SentimentClassifier.from_config(
        json.loads(json.dumps(rnn_apps.SentimentClassifier(**given).get_config()))
    )
    kept = {name: getattr(again, name) for name in given if name != "dtype"}
    assert {**kept, "class_weight": dict(kept["class_weight"])} == {
        k: v for k, v in given.items() if k != "dtype"
    }
    assert again.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"encoder": True},
        {"dtype": "mixed_bfloat16", "adversarial": 0.05},
        {"ordered": True, "pooling": "last", "cell": "lstm", "bidirectional": False},
        {"max_tokens": None, "pooling": "mean", "truncate": 3, "adversarial": 0.05},
    ],
    ids=["own encoder", "mixed precision", "ordered", "no limit"],
)
def test_variants_train_save_and_export_alike(options, tmp_path):
    if options.get("encoder"):
        options = {"encoder": keras.layers.GRU(6, return_sequences=True, use_cudnn=False)}
    model = small_classifier(**options)
    model.adapt(*reviews())
    model.compile()
    model.fit(*reviews(), epochs=1, verbose=0)
    expected = model.predict(REQUESTS)
    model.save(tmp_path / "model.keras")
    assert_same_answers(rnn_apps.load_model(tmp_path / "model.keras").predict(REQUESTS), expected)
    served = tf.saved_model.load(model.export(tmp_path / "served")).signatures["serving_default"]
    got = {name: value.numpy() for name, value in served(text=tf.constant(REQUESTS)).items()}
    assert_same_answers(got, expected)
    assert got["score"].dtype == np.float32


def stars():
    """One to five stars, each told by a word."""
    words = ("awful", "poor", "fair", "good", "great")
    texts = [f"A {word} thing, number {k}." for word in words for k in range(12)]
    return texts, [number for number in range(1, 6) for _ in range(12)]


def test_ordered_classes_have_a_score_between_their_ends():
    keras.utils.set_random_seed(0)
    model = small_classifier(ordered=True, pooling="max+mean")
    model.adapt(*stars())
    assert model.class_names == ("1", "2", "3", "4", "5")
    model.compile(learning_rate=0.02)
    model.fit(*stars(), epochs=30, batch_size=16, verbose=0)
    answers = model.predict(stars()[0])
    assert np.mean(answers["label"].astype(int) == np.array(stars()[1])) > 0.9
    expected = answers["probabilities"] @ np.linspace(-1, 1, 5)
    np.testing.assert_allclose(answers["score"], expected, atol=1e-6)
    assert answers["score"][0] < -0.5 < 0.5 < answers["score"][-1]


def test_numbered_labels_take_the_names_they_are_given():
    texts, labels = reviews()
    numbers = [int(label == "positive") for label in labels]
    model = small_classifier(classes=("negative", "positive"))
    model.adapt(texts, numbers)
    named = small_classifier()
    named.adapt(texts, labels)
    assert model.class_names == named.class_names
    assert model.class_counts == named.class_counts


def test_balanced_classes_weigh_the_same():
    texts, labels = reviews()
    rare = [i for i, label in enumerate(labels) if label == "positive"][:6]
    kept = [i for i, label in enumerate(labels) if label == "negative"] + rare
    some = [texts[i] for i in kept], [labels[i] for i in kept]
    model = small_classifier(class_weight="balanced")
    model.adapt(*some)
    columns = data.as_columns(*some, features=model.features)
    feed = model.feed(columns, batch_size=8, shuffle=False, seed=0, sample_weight=None)
    weights = np.zeros(2)
    for index in range(len(feed)):
        _, classes, weight = feed[index]
        np.add.at(weights, classes, weight)
    np.testing.assert_allclose(weights, [len(kept) / 2] * 2, rtol=1e-6)


def unseen():
    """The reviews in words that were not trained on."""
    texts, labels = reviews()
    return [f"{text} Yes." for text in texts], labels


def test_the_report_stands_beside_its_baselines(trained):
    report = trained.report(*unseen(), source="reviews").to_dict()
    assert report["application"] == "SentimentClassifier"
    assert report["examples"] == 96
    assert report["metrics"]["accuracy"]["value"] > 0.9
    assert report["baselines"]["majority class"]["accuracy"]["value"] == 0.5
    assert report["baselines"]["TF-IDF logistic regression"]["accuracy"]["value"] > 0.5
    assert "majority class" in report["verdict"]


def test_a_reloaded_model_reports_without_its_training_examples(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    report = rnn_apps.load_model(tmp_path / "model.keras").report(*unseen()).to_dict()
    assert list(report["baselines"]) == ["majority class"]
    given = rnn_apps.load_model(tmp_path / "model.keras").report(*unseen(), train=reviews())
    assert "TF-IDF logistic regression" in given.to_dict()["baselines"]


def test_mistakes_get_one_clear_sentence(trained, tmp_path):
    texts, labels = reviews()
    cases = [
        (lambda: trained.adapt(texts, labels), "adapted already"),
        (lambda: small_classifier().predict(["a"]), "Call model.adapt"),
        (lambda: small_classifier().fit(texts, labels), "Call model.adapt"),
        (lambda: small_classifier().export(tmp_path / "x"), "Call model.adapt"),
        (lambda: small_classifier().save(tmp_path / "x.keras"), "Call model.adapt"),
        (lambda: trained.save(tmp_path / "x.h5"), r"does not end in \.keras"),
        (lambda: trained.evaluate(["a"], ["superb"]), "'superb', but the classes are negative"),
        (lambda: small_classifier().adapt(texts, ["one"] * 96), "at least two classes"),
        (lambda: small_classifier(class_weight={"bad": 2.0}), "nothing"),
        (lambda: trained.fit(texts, labels, schedule="linear"), "cosine"),
        (
            lambda: trained.fit(texts, labels, validation_data=(texts, labels, [1.0] * 96)),
            "a tuple of 3; give",
        ),
        (lambda: small_classifier(max_tokens=2), "max_tokens=2"),
        (lambda: small_classifier(adversarial=1), "adversarial=1 came"),
    ]
    for act, expected in cases:
        if expected == "nothing":
            model = act()
            model.adapt(texts, labels)
            model.compile()
            act, expected = (lambda m=model: m.fit(texts, labels)), "class_weight names 'bad'"
        with pytest.raises(ValueError, match=expected):
            act()


def test_a_model_file_that_is_not_whole_is_named(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    whole = (tmp_path / "model.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.keras").write_bytes(b"")
    for name in ("half", "empty"):
        with pytest.raises(ValueError, match=rf"{name}\.keras is not a whole .keras file"):
            rnn_apps.load_model(tmp_path / f"{name}.keras")
    with pytest.raises(ValueError, match="There is no file"):
        rnn_apps.load_model(tmp_path / "none.keras")
    (tmp_path / "run").mkdir()
    with pytest.raises(ValueError, match="training has not finished"):
        rnn_apps.load_model(tmp_path / "run")
    keras.Sequential([keras.Input([2]), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="no application of this package"):
        rnn_apps.load_model(tmp_path / "other.keras")


def test_the_last_share_of_the_examples_validates_where_nothing_else_does():
    texts, labels = reviews()
    one, other = small_classifier(), small_classifier()
    histories = []
    for model, examples, options in (
        (one, (texts, labels), {"validation_split": 0.25, "sample_weight": np.ones(96)}),
        (other, (texts[:72], labels[:72]), {"validation_data": (texts[72:], labels[72:])}),
    ):
        keras.utils.set_random_seed(0)
        model.adapt(texts, labels)
        model.compile()
        histories.append(model.fit(*examples, epochs=1, verbose=0, **options).history)
    assert histories[0].keys() == histories[1].keys() >= {"val_loss"}
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name], abs=1e-5), name


def test_keras_arguments_and_methods_still_work(trained, capsys):
    texts, labels = reviews()
    model = small_classifier()
    model.adapt(texts, labels)
    model.compile(optimizer="sgd", metrics=["accuracy", "sparse_top_k_categorical_accuracy"])
    history = model.fit(
        texts,
        labels,
        epochs=3,
        initial_epoch=1,
        steps_per_epoch=1,
        class_weight={0: 2.0, 1: 0.5},
        verbose=2,
    )
    assert history.epoch == [1, 2]
    assert "sparse_top_k_categorical_accuracy" in history.history
    assert "Epoch 3/3" in capsys.readouterr().out
    trained.summary()
    assert "embedding" in capsys.readouterr().out
    loss, accuracy = trained.evaluate(texts, labels, verbose=0, batch_size=7)
    assert accuracy == 1.0
    assert trained.evaluate(texts, labels, verbose=0, return_dict=True)["loss"] == pytest.approx(
        loss, abs=1e-6
    )
