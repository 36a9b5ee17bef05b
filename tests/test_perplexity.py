"""Perplexities are spread over what they say, and compared on the same draws."""

import json

import numpy as np
import pytest

from rnn_apps.evaluation import language_figures
from rnn_apps.evaluation.language import Scored, count, judge, ngram_baselines
from rnn_apps.evaluation.ngrams import KneserNey


def judged(scored, words, characters, **baselines):
    return judge(
        scored, words, characters, baselines=baselines, data="texts", application="language"
    )


def noisy(texts=300, tokens=20, mean=2.0, seed=0):
    """Texts whose tokens cost `mean` nats on average, and differ."""
    nats = np.random.default_rng(seed).gamma(4, mean / 4, texts * tokens)
    return Scored(-nats, np.arange(texts + 1) * tokens)


def values(metrics):
    return {name: metric["value"] for name, metric in metrics.items()}


def test_each_metric_spreads_the_same_sum_over_what_it_is_named_for():
    scored = Scored(np.log([0.5, 0.25, 0.125, 0.5, 0.5]), [0, 3, 5])
    found = values(judged(scored, [2, 2], [9, 7]).metrics)  # 8 bits in all
    assert found == pytest.approx(
        {
            "perplexity_per_token": 2 ** (8 / 5),
            "perplexity_per_word": 2 ** (8 / 4),
            "bits_per_character": 8 / 16,
            "nats_per_character": 8 / 16 * np.log(2),
        }
    )


def test_ends_count_as_words_and_not_as_characters():
    texts = ["one two\nthree \n", "  four", ""]
    words, characters = count(texts)
    assert words.tolist() == [4, 2, 1] and characters.tolist() == [15, 6, 0]
    assert count(texts, 0)[0].tolist() == [3, 1, 0]
    assert count(texts, [text.count("\n") for text in texts])[0].tolist() == [5, 1, 0]


def test_words_that_are_tokens_have_one_perplexity():
    lines = ["a b c \n", "a c \n"] * 60
    scored = noisy(len(lines), 4)
    row_splits = np.cumsum([0, *(len(line.split()) + 1 for line in lines)])
    scored = Scored(scored.log_probabilities[: row_splits[-1]], row_splits)
    found = judged(scored, *count(lines)).metrics
    assert found["perplexity_per_token"] == found["perplexity_per_word"]


@pytest.mark.parametrize("texts", [1, 4, 200])
def test_models_with_other_tokens_are_compared_by_words(texts):
    own = noisy(texts, 600 // texts)
    halves = Scored(np.repeat(own.log_probabilities / 2, 2), 2 * own.row_splits)
    report = judged(own, own.lengths, 5 * own.lengths, halves=halves)
    for metric in ("perplexity_per_word", "bits_per_character"):
        assert report.baselines["halves"][metric] == pytest.approx(report.metrics[metric])
    per_token = report.baselines["halves"]["perplexity_per_token"]["value"]
    assert per_token == pytest.approx(report.metrics["perplexity_per_token"]["value"] ** 0.5)
    (ratio,) = report.extras["ratios"]["halves"].items()
    assert ratio[0] == "perplexity_per_word"
    assert [ratio[1][key] for key in ("value", "low", "high")] == pytest.approx([1, 1, 1])
    assert all(set(place["perplexity"]) == {"model"} for place in report.extras["by_place"])


def test_few_texts_are_drawn_again_in_stretches_and_many_as_they_are():
    many = noisy(300, 20)
    one = Scored(many.log_probabilities, [0, 6000])
    few = Scored(many.log_probabilities, [0, 500, 500, 6000])
    reports = [
        judged(each, 2 * each.lengths, 5 * each.lengths, other=each.log_probabilities - 0.1)
        for each in (many, one, few)
    ]
    resampled = [report.extras["counts"]["stretches_resampled"] for report in reports]
    assert resampled == [300, 20, 2 + 1 + 18]  # 6000 tokens in 20 stretches of 300
    for report in reports:
        assert values(report.metrics) == pytest.approx(values(reports[0].metrics))
        for metric in report.metrics.values():
            assert metric["low"] < metric["value"] < metric["high"]
    long = noisy(1, 50_000)
    report = judged(long, long.lengths, long.lengths)
    assert report.extras["counts"]["stretches_resampled"] == 100  # of 500 tokens


def test_an_interval_is_as_wide_as_texts_differ():
    scored = noisy(400, 5)
    found = judged(scored, scored.lengths, scored.lengths).metrics["nats_per_character"]
    nats = -scored.log_probabilities.reshape(400, 5).mean(axis=1)
    around = 1.96 * nats.std() / 20
    ends = [found["value"] - around, found["value"] + around]
    np.testing.assert_allclose([found["low"], found["high"]], ends, atol=0.15 * around)


def test_a_verdict_counts_only_differences_beyond_chance():
    scored, other = noisy(), noisy(seed=1)
    costs = scored.log_probabilities
    report = judged(
        scored,
        scored.lengths,
        scored.lengths,
        worse=costs - 0.1,
        better=costs + np.minimum(0.1, -costs / 2),
        alike=other.log_probabilities,
    )
    ratios = report.extras["ratios"]
    worse = ratios["worse"]["perplexity_per_word"]
    assert [worse[key] for key in ("value", "low", "high")] == pytest.approx([np.exp(-0.1)] * 3)
    assert worse["p_value"] < 0.01 < 0.05 < ratios["alike"]["perplexity_per_token"]["p_value"]
    alike = ratios["alike"]["perplexity_per_word"]
    own, its = (
        each["perplexity_per_word"]["value"] for each in (report.metrics, report.baselines["alike"])
    )
    assert alike["value"] == pytest.approx(own / its)
    assert alike["low"] < min(1, alike["value"]) and max(1, alike["value"]) < alike["high"]
    assert report.verdict.startswith(
        "The RNN beats worse by 9.5 % of the perplexity per word (95 % interval 9.5 to 9.5, p"
    )
    assert "loses to better by 1" in report.verdict
    assert "cannot be told apart from alike" in report.verdict


def test_context_is_shown_by_the_place_in_the_text():
    lengths = np.array([9] * 12 + [3] * 3 + [70])
    row_splits = np.cumsum([0, *lengths])
    places = np.concatenate([np.arange(length) for length in lengths])
    scored = Scored(-np.log(100 / (1 + places)).clip(0.5), row_splits)
    flat = np.full(len(places), -np.log(50.0))
    report = judged(scored, lengths, lengths, flat=flat)
    found = report.extras["by_place"]
    assert [(place["first"], place["last"]) for place in found] == [(1, 1), (2, 3), (4, 7), (8, 15)]
    assert [place["tokens"] for place in found[:3]] == [16, 32, 4 * 13]
    assert [place["perplexity"]["model"] for place in found[:2]] == pytest.approx(
        [100, (50 * 100 / 3) ** 0.5]
    )
    assert [place["perplexity"]["flat"] for place in found] == pytest.approx([50] * 4)
    lines = report.figures["by_place"]().axes[0].lines
    assert [line.get_label() for line in lines] == ["model", "flat"]
    assert lines[0].get_ydata()[0] == pytest.approx(100)
    alone = judged(Scored(scored.log_probabilities, [0, len(places)]), [9], [9])
    assert alone.extras["by_place"] == [] and not alone.figures
    with pytest.raises(ValueError, match="No place came"):
        language_figures.by_place([])


def test_a_report_is_saved_with_its_pictures(tmp_path):
    scored = noisy()
    words = np.zeros(300, int)
    report = judged(scored, words, scored.lengths, other=scored.log_probabilities - 0.2)
    names = sorted(path.name for path in report.save(tmp_path))
    assert names == ["by_place.png", "metrics.png", "report.json"]
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["metrics"]["perplexity_per_word"]["value"] is None
    assert saved["ratios"]["other"]["perplexity_per_token"]["value"] == pytest.approx(0.818731)
    assert saved["counts"]["tokens"] == 6000 and saved["examples"] == 300
    assert saved["verdict"] == "The RNN cannot be compared with other."
    assert "not defined" in str(report) and "300 examples" in str(report)


def test_ngrams_stand_beside_a_model_on_the_same_tokens():
    train, test = [[0, 1, 2, 3], [0, 2, 3]] * 9, [[0, 1, 2], [0, 2, 3]]
    found = ngram_baselines(train, test, 4, order=3)
    assert list(found) == ["unigrams", "Kneser-Ney 3-grams"]
    expected = KneserNey.fit(train, 4, order=3).log_probabilities(test)
    np.testing.assert_array_equal(found["Kneser-Ney 3-grams"], expected)
    flat = [np.concatenate(texts) for texts in (train, test)]
    splits = [np.cumsum([0, *map(len, texts)]) for texts in (train, test)]
    again = ngram_baselines(*flat, 4, order=3, train_splits=splits[0], test_splits=splits[1])
    for name, each in again.items():
        np.testing.assert_array_equal(each, found[name])
    report = judged(Scored(found["unigrams"], [0, 2, 4]), [2, 2], [5, 5], **found)
    assert report.verdict.count("beats") == 0 and "loses to Kneser-Ney 3-grams" in report.verdict


def test_wrong_numbers_are_refused_in_words():
    logs = np.log([0.5, 0.5])
    for wrong in ([0, 1], [1, 2], [0, 2, 1, 2], []):
        with pytest.raises(ValueError, match="row splits do not fit log probabilities"):
            Scored(logs, wrong)
    for wrong in (-logs, [np.nan, 0], [-np.inf, 0]):
        with pytest.raises(ValueError, match="above 0, infinite or not a number"):
            Scored(wrong, [0, 2])
    scored = Scored(logs, [0, 2])
    with pytest.raises(ValueError, match=r"1 texts and \(2,\) numbers of words"):
        judged(scored, [1, 2], [3])
    with pytest.raises(ValueError, match="numbers of characters"):
        judged(scored, [1], [-3])
    with pytest.raises(ValueError, match=r"2 tokens, and 'short' of \(1,\)"):
        judged(scored, [1], [3], short=[-1.0])
    with pytest.raises(ValueError, match="1 texts, and 'more' about 2"):
        judged(scored, [1], [3], more=Scored(logs, [0, 1, 2]))
    with pytest.raises(ValueError, match="no token to predict"):
        judged(Scored([], [0, 0]), [1], [3])
    with pytest.raises(ValueError, match="0 resamples"):
        judge(scored, [1], [3], baselines={}, data="", application="", resamples=0)
