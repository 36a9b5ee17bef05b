"""The benchmarks time what they say: equal work, in turns, and right ratios of it."""

import json
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import reviews

import rnn_apps

FOLDER = pathlib.Path(__file__).parent / "benchmarks"
REVIEWS = pathlib.Path(__file__).parents[1] / "../shared/data/reviews"


@pytest.fixture
def scripts(monkeypatch):
    """Lets the scripts be imported as they import each other."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_candidates_are_called_in_turn_and_their_medians_compared(scripts):
    import timing

    calls = []
    candidates = {name: lambda name=name: calls.append(name) for name in ("rnn_apps", "other")}
    seconds = timing.medians(candidates, turns=3, warm_up=1)
    assert calls == ["rnn_apps", "other"] * 4
    assert seconds.keys() == candidates.keys()
    assert timing.ratios({"rnn_apps": 2.0, "other": 3.0}) == {"other": 1.5}
    means = timing.geometric_means([{"a": 1.0, "b": 2.0}, {"a": 4.0}])
    assert means == {"a": pytest.approx(2.0)}


@pytest.mark.parametrize("masked", [False, True])
def test_every_export_of_a_case_answers_the_same_for_the_same_weights(scripts, masked):
    import layers

    from rnn_apps.blocks import kernels

    case = layers.Case("gru", (3, 11, 4, 5), masked, 1)
    ours, theirs = case.stack(), case.layer(layers.KERAS)
    ours.set_weights(theirs.get_weights())
    answers = []
    for layer in (ours, theirs):
        exported = case.exported(layer, kernels.portable())
        given = {"x": tf.constant(case.inputs)}
        given |= {"mask": tf.constant(case.mask)} if masked else {}
        (output,) = exported.loaded.signatures["serving_default"](**given).values()
        answers.append(output.numpy() * case.mask[..., None])
    np.testing.assert_allclose(*answers, atol=1e-5)


def test_a_case_counts_the_operations_of_its_products(scripts):
    import layers

    one = layers.Case("lstm", (2, 3, 4, 5), False, 1)
    assert one.operations() == 2 * 2 * 3 * (4 + 5) * 20
    assert layers.Case("lstm", (2, 3, 4, 5), False, 2).operations() == 2 * one.operations()


def test_batches_are_padded_to_the_longest_and_nothing_else_changes(scripts):
    import epochs

    batches = [
        ({"ids": np.ones((2, n), "int32"), "picture": np.ones((2, 4), "float32")}, np.ones(2))
        for n in (3, 5)
    ]
    lengths = epochs.longest(batches)
    padded = [epochs.at_one_length(batch, lengths) for batch in batches]
    assert [batch[0]["ids"].shape for batch in padded] == [(2, 5), (2, 5)]
    assert padded[0][0]["ids"].tolist() == [[1, 1, 1, 0, 0]] * 2
    assert padded[0][0]["picture"].shape == (2, 4)
    assert len(epochs.by_shape(batches)) == 2 and len(epochs.by_shape(padded)) == 1


def test_idioms_are_fifty_and_end_with_their_words(scripts):
    import idioms

    rows = idioms.read()
    assert len(rows) == 50 == len({row["idiom"] for row in rows})
    for row in rows:
        words = idioms.words_of(f"{row['context']} {row['word']}")
        assert words[-len(row["idiom"].split()) :] == row["idiom"].split()
        assert row["word"] not in idioms.words_of(row["context"])


def test_the_next_words_of_a_model_are_whole_and_in_order(scripts):
    import idioms

    class Model:
        def predict(self, contexts):
            tokens = [["▁the", ",", "▁Weather", " weather", "▁weath"]] * len(contexts)
            return {
                "tokens": np.array(tokens, object),
                "probabilities": np.array([[0.1, 0.5, 0.2, 0.15, 0.05]] * len(contexts)),
            }

    ranked = idioms.next_words(Model(), ["under the", "under"])
    assert ranked == [["weather", "the", "weath"]] * 2
    rows = [{"word": "weather"}, {"word": "the"}]
    found = idioms.judge(ranked, rows)
    assert found["top 1"]["value"] == 0.5 and found["top 5"]["value"] == 1
    assert 0 < found["top 1"]["low"] < 0.5 < found["top 1"]["high"] < 1


def test_ngrams_of_words_end_idioms_that_they_have_seen(scripts, tmp_path, capsys):
    import idioms

    rows = idioms.read()
    lines = [f"{row['context']} {row['word']}.\n" for row in rows] * 3
    (tmp_path / "texts.txt").write_text("\n".join(lines))
    shares = idioms.main(["--texts", f"{tmp_path}/texts.txt", "--output", f"{tmp_path}/o.json"])
    (found,) = shares.values()
    assert found["top 1"]["value"] == 1
    assert "1 under the weather" in capsys.readouterr().out
    saved = json.loads((tmp_path / "o.json").read_text())
    assert saved["seen"] == [3] * 50 and len(saved["answers"]) == 1
    assert idioms.seen(["under the weather under", "Weather"], rows[:1]) == ([1], [2])
    unseen = idioms.NgramWords(["no idiom at all"] * 3).next_words(["under the"])
    assert "weather" not in unseen[0]
    with pytest.raises(SystemExit):
        idioms.main([])


def test_few_labels_are_learned_from_nothing_and_from_a_language_model(
    scripts, tmp_path, monkeypatch
):
    import few_labels

    texts, labels = reviews()
    rows = [f"{text}\t{label}" for text, label in zip(texts, labels, strict=True)]
    for name, part in (("train", rows[::2] + rows[1::4]), ("test", rows[3::4])):
        (tmp_path / f"{name}.tsv").write_text("\n".join(["text\tlabel", *part]))
    sizes = {"units": 8, "embedding_dim": 8}
    language = rnn_apps.LanguageModel(**sizes, vocabulary_size=330)
    language.adapt(texts)
    language.save(tmp_path / "language.keras")
    monkeypatch.setattr(few_labels, "SETTINGS", few_labels.SETTINGS | sizes)
    monkeypatch.setattr(few_labels, "EPOCHS", 1)
    seen = []
    monkeypatch.setattr(
        few_labels.rnn_apps.SentimentClassifier,
        "fit",
        lambda self, examples, **options: seen.append((self.pretrained, examples)),
    )
    data = (f"{tmp_path}/train.tsv", f"{tmp_path}/test.tsv", f"{tmp_path}/language.keras")
    found = few_labels.main([*data[:2], "--language", data[2], "--labels", "10", "--seeds", "4"])
    assert [pretrained for pretrained, _ in seen] == [data[2], None]
    for _, examples in seen:
        assert sorted(examples["label"].tolist()) == ["negative"] * 5 + ["positive"] * 5
        assert len(set(examples["text"])) == 10
    assert found[4]["examples"] == len(rows[3::4])
    assert list(found[4]["accuracy_differences"]) == ["from nothing"]


@pytest.mark.slow
@pytest.mark.skipif(not REVIEWS.is_dir(), reason="the real reviews are not there")
def test_real_reviews_hold_the_idioms(scripts):
    import idioms

    from rnn_apps.data import load_texts

    texts = load_texts(REVIEWS / "imdb.train.tsv.gz", validation_fraction=0).train["text"]
    whole, words = idioms.seen(texts, idioms.read())
    assert min(whole) >= 1 and min(words) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_a_small_table_is_printed_and_returned(scripts, cell, capsys):
    import layers

    found = layers.table(cell, "training", True, 2, 2, 1e11, shapes=[(2, 9, 4, 6), (2, 7, 3, 5)])
    assert {layers.KERAS_ALONE, layers.KERAS_XLA, "better of Keras"} <= found["means"].keys()
    assert len(found["rows"]) == 2 and all(row["share_of_peak"] > 0 for row in found["rows"])
    step = layers.decoder_step(cell, 2, 1, steps=3, width=8)
    assert set(step["microseconds"]) == {"rnn_apps", layers.KERAS_ALONE}
    assert "geometric mean" in capsys.readouterr().out
