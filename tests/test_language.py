"""The language model: one answer from Python, the .keras file and the SavedModel."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import VERSES, small_language_model

import rnn_apps
from rnn_apps import export, language_reports
from rnn_apps.preprocessing.text import utf8

REQUESTS = [
    "the cat sat on",
    "",
    "  ",
    "the cat",
    "\U0001f600 caf\u00e9<br />the",
    "the dog sat " * 30,
]


def by_hand(model, text):
    """log p of each token of a text, one step at a time from nothing."""
    ids = model.tokenizer.tokenize(tf.constant(utf8([text])))[0].numpy()
    state, logs = None, []
    for token, after in zip(ids[:-1], ids[1:], strict=True):
        hidden, state = model.hidden(tf.constant([[token]]), state)
        logs.append(tf.nn.log_softmax(model.embedding.logits(hidden))[0, 0, after].numpy())
    return np.array(logs)


def test_it_learns_what_comes_next(language_model):
    answers = language_model.predict(["one cat sat on one", "our frog swam"])
    assert answers["tokens"][:, 0].tolist() == [" mat", " in"]
    assert (answers["probabilities"][:, 0] > 0.5).all()
    assert answers["tokens"].shape == answers["probabilities"].shape == (2, 5)
    assert (np.diff(answers["probabilities"]) <= 0).all()
    assert not np.isin(answers["tokens"], ["<pad>", "<unk>", "<s>"]).any()


def test_probabilities_are_those_of_the_network(language_model):
    text = "one cat sat on one"
    answer = language_model.predict([text])
    hidden, _ = language_model.hidden(
        language_model.tokenizer.tokenize(tf.constant([text]))[:, :-1].to_tensor()
    )
    expected = tf.nn.softmax(language_model.embedding.logits(hidden)[:, -1])
    np.testing.assert_allclose(answer["probabilities"][0, 0], tf.reduce_max(expected), rtol=1e-4)


def test_a_score_is_the_sum_over_steps_from_an_empty_state(language_model):
    scores = language_model.answers({"text": np.array(REQUESTS, object)}, signature="score")
    for number, text in enumerate(REQUESTS):
        logs = by_hand(language_model, text)
        assert scores["tokens"][number] == len(logs)
        np.testing.assert_allclose(scores["log_probability"][number], logs.sum(), rtol=1e-4)
        np.testing.assert_allclose(scores["perplexity"][number], np.exp(-logs.mean()), rtol=1e-3)
    judged = language_reports.predicted(language_model, REQUESTS)
    sums = np.add.reduceat(judged.log_probabilities, judged.row_splits[:-1])
    np.testing.assert_allclose(sums, scores["log_probability"], rtol=1e-4)


def test_answers_do_not_depend_on_batch_mates_or_earlier_requests(language_model):
    together = language_model.predict(REQUESTS)
    for number, text in enumerate(REQUESTS):
        alone = language_model.predict([text])
        np.testing.assert_allclose(
            alone["probabilities"][0], together["probabilities"][number], atol=1e-5
        )
    several = language_model.generate(REQUESTS, 12, seed=5)
    for number, text in enumerate(REQUESTS):
        alone = language_model.generate([text], 12, seed=5 + number)
        assert alone["continuation"][0] == several["continuation"][number]


def test_greedy_beams_and_a_cold_draw_agree_where_the_next_word_is_sure(language_model):
    expected = " one mat"
    for how in ({"temperature": 0.0}, {"beams": 1}, {"beams": 4}, {"top_k": 1}):
        found = language_model.generate(["one cat sat on"], 10, **how)
        assert found["continuation"].tolist() == [expected]
    logs = by_hand(language_model, "one cat sat on one mat")
    np.testing.assert_allclose(found["score"], logs[-found["length"][0] :].sum(), rtol=1e-3)


def test_the_same_seed_draws_the_same_and_another_differs(language_model):
    drawn = [language_model.generate([""] * 8, 12, temperature=3.0, seed=s) for s in (1, 1, 90)]
    texts = [one["continuation"].tolist() for one in drawn]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts[0])) > 4


@pytest.mark.parametrize("text", ["one cat", "", "caf\u00e9 our"])
def test_a_stream_joined_is_what_generate_writes(language_model, text):
    how = {"temperature": 2.0, "seed": 7, "top_p": 0.95}
    pieces = list(language_model.stream(text, 15, **how))
    assert pieces and all(pieces)
    assert "".join(pieces) == language_model.generate([text], 15, **how)["continuation"][0]


def test_the_three_forms_of_the_model_answer_alike(language_model, tmp_path):
    language_model.save(tmp_path / "model.keras")
    again = rnn_apps.load_model(tmp_path / "model.keras")
    version = language_model.export(tmp_path / "language")
    assert [str(finding) for finding in export.check(version)] == []
    moved = shutil.move(version, tmp_path / "elsewhere")
    settings = {"length": [10] * 6, "temperature": [1.5] * 6, "seed": list(range(6))}
    served = tf.saved_model.load(str(moved)).signatures
    assert set(served) == {"serving_default", "generate", "score"}
    for model in (language_model, again):
        ways = {
            "serving_default": ({}, model.predict(REQUESTS)),
            "score": ({}, model.answers({"text": np.array(REQUESTS, object)}, signature="score")),
            "generate": (settings, model.generate(REQUESTS, 10, temperature=1.5)),
        }
        for name, (more, expected) in ways.items():
            given = {"text": tf.constant(utf8(REQUESTS))}
            given |= {key: tf.constant(value) for key, value in more.items()}
            found = served[name](**given)
            assert found.keys() == expected.keys()
            for key, value in expected.items():
                got = found[key].numpy()
                if got.dtype == object:
                    got = np.vectorize(bytes.decode, otypes=[object])(got)
                    np.testing.assert_array_equal(got, value)
                else:
                    np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 400])
def test_the_state_goes_on_from_batch_to_batch(language_model, steps):
    """However a stream is cut into batches of one size, its loss is that of the whole."""
    other = small_language_model(steps=steps)
    other.adapt(VERSES)
    other.compile()
    other.set_weights(language_model.get_weights())
    texts = (VERSES[0][:letters] for letters in range(8, 20))
    text = next(text for text in texts if len(by_hand(other, text)) % 2 == 0)
    whole = by_hand(other, text)
    found = other.evaluate([text], batch_size=1, return_dict=True, verbose=0)
    np.testing.assert_allclose(found["loss"], -whole.mean(), rtol=1e-3)
    np.testing.assert_allclose(found["perplexity"], np.exp(found["loss"]), rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"level": "character", "line_breaks": True, "cell": "gru", "num_layers": 2},
        *(
            pytest.param(options, marks=pytest.mark.slow)
            for options in (
                {"level": "word", "embedding_dim": 12, "residual": True, "embedding_dropout": 0.1},
                {"weight_dropout": 0.2, "recurrent_dropout": 0.1, "dropout": 0.1},
                {"activation_penalty": 1.0, "change_penalty": 1.0, "cell": "simple_rnn"},
                {"sampled_words": 10},
                {"embedding_scale": 1.0, "dtype": "mixed_bfloat16"},
            )
        ),
    ],
    ids=lambda options: "+".join(options),
)
def test_every_kind_trains_saves_and_continues(options, tmp_path):
    keras.utils.set_random_seed(1)
    model = small_language_model(**options)
    model.adapt(VERSES)
    model.compile(learning_rate=0.01)
    before = model.evaluate(VERSES, batch_size=4, verbose=0)
    model.fit(VERSES, epochs=2, batch_size=4, verbose=0)
    assert model.evaluate(VERSES, batch_size=4, verbose=0) < before
    model.save(tmp_path / "model.keras")
    again = rnn_apps.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(
        again.generate(["the"], 8)["continuation"], model.generate(["the"], 8)["continuation"]
    )


def test_words_are_drawn_by_their_frequencies_in_the_training_texts(tmp_path):
    model = small_language_model(sampled_words=10)
    model.adapt(VERSES)
    token_ids = np.concatenate([model.tokenizer.encode([verse])[0] for verse in VERSES])
    counts = np.bincount(token_ids, minlength=model.tokenizer.num_pieces) + 1
    np.testing.assert_allclose(model.shares, counts / counts.sum(), rtol=1e-5)
    model.save(tmp_path / "model.keras")
    again = rnn_apps.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.shares, model.shares)


@pytest.mark.parametrize(("scale", "factor"), [(None, 16**0.5), (1.0, 1.0)])
def test_vectors_are_multiplied_by_the_scale_on_the_way_in(scale, factor):
    model = small_language_model(embedding_dim=16, embedding_scale=scale)
    model.adapt(VERSES)
    np.testing.assert_allclose(
        model.embedding(np.array([[5]]))[0, 0], model.embedding.embeddings[5] * factor, rtol=1e-6
    )


def test_penalties_are_added_to_the_training_loss_alone():
    losses = {}
    for penalty in (0.0, 100.0):
        keras.utils.set_random_seed(1)
        model = small_language_model(activation_penalty=penalty)
        model.adapt(VERSES)
        model.compile(learning_rate=0.0)
        history = model.fit(VERSES, validation_data=VERSES, epochs=1, batch_size=4, verbose=0)
        losses[penalty] = history.history
    assert losses[100.0]["loss"][0] > losses[0.0]["loss"][0] + 0.01
    np.testing.assert_allclose(losses[100.0]["val_loss"], losses[0.0]["val_loss"], rtol=1e-5)
    assert losses[0.0]["val_perplexity"][0] == pytest.approx(np.exp(losses[0.0]["val_loss"][0]))


def test_its_report_stands_beside_n_grams(language_model):
    report = language_model.report(["one dog sat on our pond"] * 30, train=VERSES, source="verses")
    assert set(report.baselines) == {"unigrams", "Kneser-Ney 5-grams"}
    logs = by_hand(language_model, "one dog sat on our pond")
    per_token = report.metrics["perplexity_per_token"]["value"]
    np.testing.assert_allclose(per_token, np.exp(-logs.mean()), rtol=1e-3)
    per_word = report.metrics["perplexity_per_word"]["value"]
    np.testing.assert_allclose(per_word, np.exp(-logs.sum() / 7), rtol=1e-3)  # 6 words, an end


def test_records_join_to_what_stands_in_the_text(language_model):
    rows = language_model.records(["one cat sat"], language_model.predict(["one cat sat"]))
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0]["text"] + rows[0]["next"] == "one cat sat on"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"length": 0}, "length=0"),
        ({"length": 999}, "from 1 to 256"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"top_k": 0}, "top_k=0"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"beams": 0}, "beams=0"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(language_model, how, message):
    with pytest.raises(ValueError, match=message):
        language_model.generate(["the"], **how)


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"shown": 0}, {"sampled_words": 0}, {"top_p": 2}]
)
def test_a_setting_of_the_model_out_of_its_range_is_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        small_language_model(**options)


def test_metrics_of_keras_see_the_real_tokens_alone(language_model, tmp_path):
    language_model.save(tmp_path / "model.keras")
    model = rnn_apps.load_model(tmp_path / "model.keras")
    loss = model.evaluate(VERSES, batch_size=7, verbose=0)
    own = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=own, metrics=["sparse_categorical_accuracy"])
    found = model.evaluate(VERSES, batch_size=7, return_dict=True, verbose=0)
    assert 0.8 < found["sparse_categorical_accuracy"] < 1
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-4)


def test_sample_weights_are_refused(language_model):
    with pytest.raises(ValueError, match="sample weights"):
        language_model.fit(VERSES, sample_weight=np.ones(len(VERSES)), verbose=0)


def test_no_requests_give_no_answers(language_model):
    assert language_model.predict([])["tokens"].shape == (0, 5)
    assert language_model.generate([], 5)["continuation"].shape == (0,)
