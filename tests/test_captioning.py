"""The captioner: one answer from Python, the .keras file and the SavedModel."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import answers_elsewhere, small_captioner, squares

import rnn_apps
from rnn_apps import export
from rnn_apps.caption_reports import truth_of
from rnn_apps.data import load_captions
from rnn_apps.evaluation.captions import SHUFFLED_PICTURES
from rnn_apps.preprocessing.images import decode_images
from rnn_apps.preprocessing.text import BEGIN, END, PADDING

ROOT = pathlib.Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
WEIGHTS = DATA / "encoder" / "mobilenet_1_0_224_tf_upto_conv_dw_13.h5"
PICTURES, CAPTIONS = squares()
REQUESTS = [PICTURES[0], b"", PICTURES[5], b"no picture", PICTURES[9][:60], PICTURES[11]]
BAD = [False, True, False, True, True, False]
NEAR = 1e-4  # in score; another hypothesis may be as good up to the order of sums


def assert_same_answers(first, second):
    """Texts are equal, or as good as equal in score."""
    assert first.keys() == second.keys()
    np.testing.assert_allclose(first["score"], second["score"], atol=NEAR, rtol=0)
    for name in set(first) - {"score"}:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder that features are kept in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rnn_apps" / "features"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights of the small network."""
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    encoder = rnn_apps.blocks.ImageEncoder(image_size=24)
    encoder.build((None, 24, 24, 3))
    encoder.network.save_weights(path)
    return str(path)


def test_it_learns_to_caption_squares(captioner):
    answers = captioner.predict(PICTURES)
    right = [text in two for text, two in zip(answers["caption"], CAPTIONS, strict=True)]
    assert np.mean(right) > 0.8
    assert (answers["score"] <= 0).all() and answers["score"].dtype == np.float32
    assert answers["ok"].all() and answers["ok"].dtype == bool


def test_a_bad_picture_has_no_caption_and_spoils_no_other(captioner):
    answers = captioner.predict(REQUESTS)
    assert (~answers["ok"]).tolist() == BAD
    assert [text == "" for text in answers["caption"]] == BAD
    assert [score == 0 for score in answers["score"]] == BAD
    good = [row for row, bad in enumerate(BAD) if not bad]
    alone = captioner.predict([REQUESTS[row] for row in good])
    assert_same_answers({name: values[good] for name, values in answers.items()}, alone)
    several = captioner.predict(REQUESTS, n_best=3)
    assert (several["count"][np.array(BAD)] == 1).all()
    assert (several["score"][np.array(BAD), 1:] == -1e9).all()
    assert (several["caption"][np.array(BAD)] == "").all()
    assert (~several["ok"]).tolist() == BAD


def test_answers_do_not_depend_on_batch_mates_or_order(captioner):
    together = captioner.predict(REQUESTS)
    for number, picture in enumerate(REQUESTS):
        row = {name: values[number : number + 1] for name, values in together.items()}
        assert_same_answers(captioner.predict([picture]), row)
    assert_same_answers(captioner.predict(REQUESTS, batch_size=2), together)
    back = captioner.predict(REQUESTS[::-1])
    assert_same_answers({name: values[::-1] for name, values in back.items()}, together)


def test_no_requests_get_no_answers(captioner):
    assert captioner.predict([])["caption"].shape == (0,)
    assert captioner.predict([], n_best=2)["caption"].shape == (0, 2)


def test_the_best_of_several_is_the_answer(captioner):
    alone, several = captioner.predict(REQUESTS), captioner.predict(REQUESTS, n_best=3)
    np.testing.assert_array_equal(several["caption"][:, 0], alone["caption"])
    np.testing.assert_allclose(several["score"][:, 0], alone["score"], atol=NEAR)
    assert several["count"].tolist() == [1 if bad else 3 for bad in BAD]
    two = captioner.predict(REQUESTS, n_best=2)
    np.testing.assert_array_equal(two["caption"], several["caption"][:, :2])
    assert two["count"].max() == 2


def test_one_beam_is_greedy_search_by_hand(captioner):
    answers = captioner.predict(PICTURES[:4], beam_size=1, length_penalty=0.0)
    for number, picture in enumerate(PICTURES[:4]):
        memory = captioner.encode(decode_images([picture], 24)[0])
        written, score = [BEGIN], 0.0
        while written[-1] != END and len(written) <= captioner.max_length:
            logits = captioner.decoder(tf.constant([written]), memory)[0, -1].numpy()
            logits[[PADDING, 1, BEGIN]] = -np.inf
            score += tf.nn.log_softmax(logits)[logits.argmax()].numpy()
            written.append(int(logits.argmax()))
        text = captioner.tokenizer.detokenize(tf.ragged.constant([written]))[0].numpy().decode()
        assert answers["caption"][number] == text
        assert answers["score"][number] == pytest.approx(score, abs=1e-2)


def test_pictures_come_as_bytes_paths_pixels_and_columns(captioner, tmp_path):
    expected = captioner.predict(PICTURES[:3])
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, picture in zip(paths, PICTURES, strict=False):
        path.write_bytes(picture)
    pixels = [tf.io.decode_png(picture).numpy() for picture in PICTURES[:3]]
    forms = [
        paths,
        [str(path) for path in paths],
        pixels,
        {"image_bytes": PICTURES[:3]},
        {"image": PICTURES[:3], "captions": CAPTIONS[:3]},
        pd.DataFrame({"image": PICTURES[:3], "other": [1, 2, 3]}),
        [{"image": picture} for picture in PICTURES[:3]],
        tf.data.Dataset.from_tensor_slices({"image": PICTURES[:3], "other": [1, 2, 3]}),
    ]
    for form in forms:
        assert_same_answers(captioner.predict(form), expected)


def test_every_form_of_examples_gives_the_same_loss(captioner):
    texts = tf.ragged.constant([list(two) for two in CAPTIONS])
    forms = [
        (PICTURES, CAPTIONS),
        (pd.DataFrame({"captions": CAPTIONS, "image": PICTURES}),),
        ([{"image": p, "captions": list(c)} for p, c in zip(PICTURES, CAPTIONS, strict=True)],),
        (tf.data.Dataset.from_tensor_slices({"image": PICTURES, "captions": texts}),),
    ]
    losses = [captioner.evaluate(*form, verbose=0) for form in forms]
    np.testing.assert_allclose(losses, losses[:1] * len(forms), atol=1e-6)


def test_the_loss_is_the_cross_entropy_of_all_captions(captioner):
    model = small_captioner(label_smoothing=0.2)
    model.adapt(PICTURES, CAPTIONS)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(PICTURES)).astype("float32")
    columns = model.examples(PICTURES, CAPTIONS)
    (inputs, following, weight), *_ = model.feed(
        columns, batch_size=12, shuffle=False, seed=0, sample_weight=weights
    )
    hidden = model(inputs)
    model.compile()
    for training, smoothing in ((True, 0.2), (False, 0.0)):
        wanted = keras.losses.CategoricalCrossentropy(True, smoothing, reduction="none")(
            keras.ops.one_hot(following, model.tokenizer.num_pieces), model.decoder.logits(hidden)
        )
        real = (following != PADDING).astype("float32")
        assert real.any(1).sum() == 24  # every caption of every picture
        expected = tf.reduce_sum(wanted * real * weight[:, None]) / real.sum()
        got = model.compute_loss(None, following, hidden, weight, training)
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_metrics_of_keras_see_logits_and_no_padding(captioner):
    model = small_captioner()
    model.adapt(PICTURES, CAPTIONS)
    model.set_weights(captioner.get_weights())
    model.compile(metrics=["accuracy"])
    _, accuracy = model.evaluate(PICTURES, CAPTIONS, verbose=0)
    assert accuracy > 0.7  # the second subword of two captions is a matter of chance


def test_a_step_moves_every_weight():
    keras.utils.set_random_seed(0)
    model = small_captioner(attention_regularisation=0.5)
    model.adapt(PICTURES, CAPTIONS)
    model.compile()
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    model.fit(PICTURES, CAPTIONS, epochs=1, verbose=0)
    still = [w.path for w in model.trainable_weights if np.array_equal(before[w.path], w.numpy())]
    assert still == []
    assert len(before) == len(set(before)) > 20


def test_regularised_attention_pays_for_places_not_looked_at():
    model = small_captioner(attention_regularisation=0.5)
    model.adapt(PICTURES, CAPTIONS)
    model.compile()
    feed = model.feed(
        model.examples(PICTURES, CAPTIONS),
        batch_size=5, shuffle=False, seed=0, sample_weight=None,
    )  # fmt: skip
    inputs, following = feed[0]  # 10 captions
    for _ in range(2):  # nothing is left of the call before
        hidden = model(inputs, training=True)
        (penalty,) = model.losses
        memory = tf.gather(model.encode(inputs["images"], training=True), inputs["caption_of"])
        _, weights = model.decoder.hidden(inputs["target"], memory, return_weights=True)
        looked = (weights.numpy() * (inputs["target"] != PADDING)[..., None]).sum(1)
        expected = 0.5 * np.mean(np.sum((1 - looked) ** 2, axis=1))
        assert float(penalty) == pytest.approx(expected, rel=1e-4)
        total = model.compute_loss(None, following, hidden, None, True)
    model(inputs, training=False)
    assert model.losses == []
    plain = model.compute_loss(None, following, hidden, None, True)
    assert float(total) == pytest.approx(float(plain) + float(penalty), rel=1e-5)


def test_early_stopping_goes_by_cider_d_of_greedy_captions():
    keras.utils.set_random_seed(1)
    model = small_captioner()
    model.adapt(PICTURES, CAPTIONS)
    model.compile(learning_rate=0.01)
    both = (PICTURES, CAPTIONS)
    history = model.fit(
        *both, validation_data=both, epochs=6, batch_size=6, patience=5, verbose=0
    ).history
    assert len(history["val_cider_d"]) == len(history["val_loss"])
    best = max(history["val_cider_d"])
    assert best > history["val_cider_d"][0]
    greedy = model.predict(PICTURES, beam_size=1)["caption"].tolist()
    report = model.report(*both, beside={"greedy": greedy})
    assert report.baselines["greedy"]["cider_d"]["value"] == pytest.approx(best, abs=1e-6)


def test_the_loss_may_be_monitored_in_place_of_cider_d():
    model = small_captioner(monitored="loss")
    model.adapt(PICTURES, CAPTIONS)
    model.compile()
    model.fit(PICTURES, CAPTIONS, validation_split=0.3, epochs=1, verbose=0)
    assert model.monitor == "val_loss"
    assert "val_cider_d" not in model.history.history


def test_a_frozen_network_is_run_once_and_stays_as_it_was(cache, weights, monkeypatch):
    model = small_captioner(backbone_weights=weights)
    model.adapt(PICTURES, CAPTIONS)
    model.compile(learning_rate=0.01)
    before = model.encoder.get_weights()
    held = model.examples(PICTURES[:5], CAPTIONS[:5])
    model.fit(PICTURES, CAPTIONS, validation_data=held, epochs=2, verbose=0)
    assert len(list(cache.iterdir())) == 2
    for old, new in zip(before, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    loss = model.evaluate(PICTURES, CAPTIONS, verbose=0)
    monkeypatch.setattr(type(model.encoder), "features", None)  # it would be called
    assert model.evaluate(PICTURES, CAPTIONS, verbose=0) == loss
    assert len(list(cache.iterdir())) == 2


def test_features_kept_on_disk_answer_as_the_pictures_do(cache, weights):
    model = small_captioner(backbone_weights=weights)
    model.adapt(PICTURES, CAPTIONS)
    model.compile()
    kept = model.evaluate(PICTURES, CAPTIONS, verbose=0)
    model.encoder.trainable = True
    model.compile()
    assert model.evaluate(PICTURES, CAPTIONS, verbose=0) == pytest.approx(kept, abs=1e-3)


def test_a_frozen_network_may_be_trained_along_in_the_end(cache, weights):
    model = small_captioner(backbone_weights=weights)
    model.adapt(PICTURES, CAPTIONS)
    model.compile()
    model.fit(PICTURES, CAPTIONS, epochs=1, verbose=0)
    before = model.encoder.get_weights()[0]
    model.encoder.trainable = True
    model.compile(learning_rate=1e-4)
    model.fit(PICTURES, CAPTIONS, epochs=1, verbose=0)
    assert np.abs(model.encoder.get_weights()[0] - before).max() > 0


def test_pictures_that_cannot_be_read_train_nothing_and_are_named():
    model = small_captioner()
    model.adapt(PICTURES, CAPTIONS)
    model.compile()
    clean = model.evaluate(PICTURES, CAPTIONS, verbose=0)
    with pytest.warns(UserWarning, match=r"1 of 13 pictures cannot be read \(rows 12\)"):
        loss = model.evaluate([*PICTURES, b"no"], [*CAPTIONS, ("what is this",)], verbose=0)
    assert loss == pytest.approx(clean, abs=1e-5)
    with pytest.raises(ValueError, match="1 of 1 pictures cannot be read"):
        model.fit([b"no"], ["what"], verbose=0)


def test_the_keras_file_answers_as_the_model_does(captioner, tmp_path):
    captioner.save(tmp_path / "model.keras")
    for loaded in (
        rnn_apps.load_model(tmp_path / "model.keras"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        np.testing.assert_array_equal(
            loaded.predict(REQUESTS)["score"], captioner.predict(REQUESTS)["score"]
        )
        assert_same_answers(loaded.predict(REQUESTS), captioner.predict(REQUESTS))
        assert loaded.get_config() == captioner.get_config()


def test_a_file_of_weights_is_not_needed_once_saved(cache, weights, tmp_path):
    mine = shutil.copy(weights, tmp_path / "mine.weights.h5")
    model = small_captioner(backbone_weights=str(mine))
    model.adapt(PICTURES, CAPTIONS)
    model.save(tmp_path / "model.keras")
    pathlib.Path(mine).unlink()
    loaded = rnn_apps.load_model(tmp_path / "model.keras")
    assert not loaded.encoder.trainable
    assert_same_answers(loaded.predict(REQUESTS), model.predict(REQUESTS))


def test_a_reloaded_model_goes_on_training(captioner, tmp_path):
    captioner.save(tmp_path / "model.keras")
    loaded = rnn_apps.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == int(captioner.optimizer.iterations) > 0
    loaded.fit(PICTURES, CAPTIONS, epochs=1, verbose=0)
    assert int(loaded.optimizer.iterations) > int(captioner.optimizer.iterations)


@pytest.fixture(scope="module")
def exported(captioner, tmp_path_factory):
    """A published version, moved elsewhere after publishing."""
    version = captioner.export(tmp_path_factory.mktemp("published") / "captioning")
    moved = tmp_path_factory.mktemp("moved") / "model" / "1"
    shutil.move(version, moved)
    return moved


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    """What the export answers in a process that knows TensorFlow and tensorflow-text alone."""
    folder = tmp_path_factory.mktemp("served")
    number = np.arange(len(REQUESTS))
    given = {
        "serving_default/image_bytes": REQUESTS,
        "attention/image_bytes": REQUESTS,
        "n_best/image_bytes": REQUESTS,
        "n_best/beam_size": (1 + number % 3).astype("int32"),
        "n_best/length_penalty": (number % 2).astype("float32"),
    }
    return answers_elsewhere(exported, given, folder, "tensorflow_text")


@pytest.mark.parametrize("size", [1, len(REQUESTS)])
def test_the_export_answers_as_python_does(captioner, served, size):
    expected = captioner.predict(REQUESTS)
    got = {name: served[f"{size}/serving_default/{name}"] for name in expected}
    np.testing.assert_array_equal(got["caption"], np.char.encode(expected["caption"].astype(str)))
    np.testing.assert_allclose(got["score"], expected["score"], atol=1e-5)
    np.testing.assert_array_equal(got["ok"], expected["ok"])


@pytest.mark.parametrize("size", [1, len(REQUESTS)])
def test_each_request_has_a_beam_size_and_a_length_penalty_of_its_own(captioner, served, size):
    for number, picture in enumerate(REQUESTS):
        beam_size, alpha = 1 + number % 3, float(number % 2)
        expected = captioner.predict(
            [picture], n_best=beam_size, beam_size=beam_size, length_penalty=alpha
        )
        count = served[f"{size}/n_best/count"][number]
        assert count == expected["count"][0]
        got = served[f"{size}/n_best/caption"][number]
        assert got.shape == (3,) and (got[count:] == b"").all()
        assert [text.decode() for text in got[:count]] == list(expected["caption"][0, :count])
        scores = served[f"{size}/n_best/score"][number]
        np.testing.assert_allclose(scores[:count], expected["score"][0, :count], atol=1e-5)
        assert (scores[count:] == -1e9).all()


def test_attention_is_a_distribution_over_the_places_of_each_picture(captioner, served):
    whole = served[f"{len(REQUESTS)}/attention/weights"]
    np.testing.assert_allclose(whole, served["1/attention/weights"], atol=1e-5)
    assert whole.shape == (len(REQUESTS), 14, 3, 3)
    lengths = served["1/attention/length"]
    assert [length == 0 for length in lengths] == BAD
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(whole[row, :length].sum((1, 2)), 1, atol=1e-5)
        assert (whole[row, length:] == 0).all()
        tokens = served["1/attention/tokens"][row]
        assert (tokens[:length] != b"").all() and (tokens[length:] == b"").all()
    assert served["1/attention/tokens"][0, lengths[0] - 1] == b"</s>"
    assert (~served["1/attention/ok"]).tolist() == BAD


def test_a_server_finds_nothing_wrong_with_the_export(exported):
    assert export.check(exported) == []


def test_the_export_holds_each_weight_once(captioner, exported):
    stored = sum(path.stat().st_size for path in (exported / "variables").iterdir())
    weights = sum(weight.nbytes for weight in captioner.get_weights())
    assert weights <= stored < 1.2 * weights + 8000


def test_every_constructor_argument_comes_back_from_its_configuration():
    given = {
        "backbone": "MobileNet", "image_size": 96, "framing": "crop",
        "backbone_layer": "conv_pw_6_relu", "backbone_weights": "some.h5", "train_backbone": True,
        "backbone_rate": 0.3,
        "cell": "lstm", "units": 7, "decoder_layers": 3, "attention": None, "embedding_dim": 5,
        "vocabulary_size": 450, "lowercase": False, "dropout": 0.15, "memory_dropout": 0.2,
        "hidden_dropout": 0.25, "token_dropout": 0.35, "label_smoothing": 0.05,
        "attention_regularisation": 0.7, "beams": 4, "length_penalty": 0.6,
        "no_repeat_ngram": 2, "max_length": 33, "monitored": "loss", "name": "mine",
        "dtype": "mixed_bfloat16",
    }  # fmt: skip
    again = rnn_apps.ImageCaptioner.from_config(
        json.loads(json.dumps(rnn_apps.ImageCaptioner(**given).get_config()))
    )
    assert {name: getattr(again, name) for name in given if name != "dtype"} == {
        name: value for name, value in given.items() if name != "dtype"
    }
    assert again.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {
            "attention": None,
            "cell": "simple_rnn",
            "framing": "crop",
            "lowercase": False,
            "no_repeat_ngram": 2,
        },
        {
            "attention": "scaled",
            "attention_regularisation": 1.0,
            "cell": "lstm",
            "decoder_layers": 2,
            "dtype": "mixed_bfloat16",
        },
        {
            "attention": "general",
            "backbone": "MobileNet",
            "image_size": 32,
            "train_backbone": False,
        },
    ],
    ids=["vector only", "mixed precision", "frozen MobileNet"],
)
def test_variants_train_save_and_export_alike(options, cache, tmp_path):
    model = small_captioner(**options)
    model.adapt(PICTURES, CAPTIONS)
    model.compile()
    model.fit(PICTURES, CAPTIONS, epochs=2, verbose=0)
    expected = model.predict(REQUESTS)
    model.save(tmp_path / "model.keras")
    assert_same_answers(rnn_apps.load_model(tmp_path / "model.keras").predict(REQUESTS), expected)
    signatures = tf.saved_model.load(model.export(tmp_path / "served")).signatures
    got = signatures["serving_default"](image_bytes=tf.constant(REQUESTS))
    assert got["score"].dtype == tf.float32
    np.testing.assert_allclose(got["score"], expected["score"], atol=NEAR)
    assert ("attention" in signatures) == (options.get("attention", "scaled") is not None)
    figure = model.draw(REQUESTS, expected)
    assert (figure is None) == ("attention" not in signatures)


def test_the_report_stands_beside_its_baselines(captioner):
    other = captioner.predict(PICTURES, beam_size=1)["caption"].tolist()
    report = captioner.report(PICTURES, CAPTIONS, source="squares", beside={"greedy": other})
    kept = report.to_dict()
    assert kept["application"] == "ImageCaptioner"
    assert list(kept["baselines"]) == [
        "most frequent caption", "nearest neighbour", SHUFFLED_PICTURES, "another person", "greedy",
    ]  # fmt: skip
    shuffled = kept["baselines"][SHUFFLED_PICTURES]["cider_d"]["value"]
    assert kept["metrics"]["cider_d"]["value"] > shuffled + 1
    assert "true_captions" not in kept["metrics"]
    assert report.figures["attention"]().axes and report.figures["captions"]().axes


def test_a_reloaded_model_reports_without_its_training_examples(captioner, tmp_path):
    captioner.save(tmp_path / "model.keras")
    loaded = rnn_apps.load_model(tmp_path / "model.keras")
    one = [two[:1] for two in CAPTIONS]
    assert list(loaded.report(PICTURES, one).baselines) == [SHUFFLED_PICTURES]
    given = loaded.report(PICTURES, one, train=(PICTURES, CAPTIONS))
    assert "nearest neighbour" in given.baselines
    assert loaded.report(PICTURES[:1], CAPTIONS[:1]).examples == 1


def test_captions_of_built_in_pictures_are_held_against_their_scenes(captioner):
    columns = captioner.examples(load_captions("builtin").validation.take(4))
    images, said = columns["image"], [texts[0] for texts in columns["captions"]]
    assert truth_of(images, said).all()
    assert not truth_of(images, ["a dog", *said[:0:-1]]).all()
    report = captioner.report(images, columns["captions"])
    assert report.metrics["true_captions"]["value"] == 0  # it knows squares alone
    assert truth_of(PICTURES, said) is None


def test_answers_as_rows_name_their_pictures(captioner, tmp_path):
    for name, picture in zip("ab", PICTURES, strict=False):
        (tmp_path / f"{name}.png").write_bytes(picture)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "c.jpg").write_bytes(PICTURES[0][:60])  # cut short
    asked, notes = captioner.read_requests([str(tmp_path)])
    rows = captioner.records(asked, captioner.predict(asked))
    assert [pathlib.Path(row["file"]).name for row in rows] == ["a.png", "b.png", "c.jpg"]
    assert [row["ok"] for row in rows] == [True, True, False]
    assert list(rows[0]) == ["caption", "score", "ok", "file"]
    assert len(notes) == 1 and "c.jpg" in notes[0] and "b.png" not in notes[0]
    assert captioner.read_requests([])[0]["file"] == []
    rows = captioner.records(PICTURES[:2], captioner.predict(PICTURES[:2], n_best=2))
    assert [(row["request"], row["rank"]) for row in rows] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert json.loads(json.dumps(rows)) == rows


def test_the_first_picture_that_can_be_read_is_drawn(captioner):
    requests = [b"", *PICTURES[:2]]
    figure = captioner.draw(requests, captioner.predict(requests))
    assert figure.get_suptitle() == captioner.predict(PICTURES[:1])["caption"][0]
    assert captioner.draw([b""], captioner.predict([b""])) is None


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the photographs are not there")
def test_photographs_are_captioned_with_the_network_of_others(cache):
    splits = load_captions(DATA / "captions" / "captions.jsonl")
    train, held = splits.train.take(40), splits.validation.take(10)
    model = small_captioner(
        backbone="MobileNet", backbone_weights=str(WEIGHTS), image_size=224,
        backbone_layer="conv_dw_13_relu", vocabulary_size=900, max_length=30,
    )  # fmt: skip
    model.adapt(train)
    model.compile()
    history = model.fit(train, validation_data=held, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert model.predict(held)["ok"].all()


def test_mistakes_get_one_clear_sentence(captioner):
    cases = [
        (lambda: small_captioner(beams=0), "beams=0 is too small"),
        (lambda: small_captioner(max_length=0), "max_length=0 is too small"),
        (lambda: small_captioner(framing="stretch"), "framing='stretch' is unknown"),
        (lambda: small_captioner(backbone="MobileNat"), "MobileNet"),
        (lambda: small_captioner().predict([b"a"]), "Call model.adapt"),
        (lambda: small_captioner().predict([b"a"], n_best=2), "Call model.adapt"),
        (lambda: small_captioner().adapt(PICTURES[:1], [[" "]]), "holds no text"),
        (lambda: captioner.predict(PICTURES, beam_size=4), "beam_size=4 is out of range"),
        (lambda: captioner.predict(PICTURES, beam_size=2, n_best=3), "n_best=3 is out of range"),
        (lambda: captioner.predict(["nowhere.png"]), "no such file"),
        (lambda: captioner.predict({"text": PICTURES}), "name the column"),
        (lambda: captioner.fit(PICTURES, ["one"]), "12"),
    ]
    for act, expected in cases:
        with pytest.raises(ValueError, match=expected):
            act()
