"""The figures of the README's result table, held to the bars they were built for."""

import json
import pathlib

import pytest

import rnn_apps
from rnn_apps import cli, data

ROOT = pathlib.Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
REVIEWS = DATA / "reviews"
PRICES = DATA / "prices" / "sp500_63.csv.gz"
BENCHMARKS = ROOT / "tests" / "benchmarks"
PAIRS = DATA / "translation"
needs_pairs = pytest.mark.skipif(
    not PAIRS.is_dir(), reason=f"real pairs are not in {DATA.name}/{PAIRS.name}"
)
PICTURES = DATA / "captions"
ENCODER = DATA / "encoder" / "mobilenet_1_0_224_tf_upto_conv_dw_13.h5"
needs_pictures = pytest.mark.skipif(
    not (PICTURES.is_dir() and ENCODER.is_file()),
    reason=f"real photographs or a network's weights are not in {DATA.name}",
)
needs_reviews = pytest.mark.skipif(
    not REVIEWS.is_dir(), reason=f"real reviews are not in {DATA.name}/{REVIEWS.name}"
)
TEXTS = DATA / "language"
needs_texts = pytest.mark.skipif(
    not TEXTS.is_dir(), reason=f"real texts are not in {DATA.name}/{TEXTS.name}"
)
needs_prices = pytest.mark.skipif(
    not PRICES.is_file(), reason=f"real prices are not in {DATA.name}/{PRICES.parent.name}"
)


def report_of(tmp_path, application, *arguments):
    run = tmp_path / "run"
    assert cli.main(["train", application, "--run", str(run), *map(str, arguments)]) == 0
    return json.loads((run / "report.json").read_text())


def accuracy_of(tmp_path, *arguments):
    return report_of(tmp_path, "sentiment", *arguments)["metrics"]["accuracy"]["value"]


@pytest.mark.slow
def test_the_default_classifier_reads_what_word_counts_cannot(tmp_path):
    assert accuracy_of(tmp_path, "--data", "builtin") >= 0.95


@pytest.mark.slow
@pytest.mark.real_data
@needs_reviews
def test_movie_review_polarity(tmp_path):
    config = BENCHMARKS / "mr.yaml"
    assert accuracy_of(tmp_path, "--config", config, "--data", REVIEWS / "mr.tsv") >= 0.76


@pytest.mark.slow
@pytest.mark.real_data
@needs_reviews
def test_imdb_without_pretraining(tmp_path):
    config = BENCHMARKS / "imdb.yaml"
    train, test = REVIEWS / "imdb.train.tsv.gz", REVIEWS / "imdb.test.tsv.gz"
    assert accuracy_of(tmp_path, "--config", config, "--data", train, "--test", test) >= 0.895


@pytest.mark.slow
@pytest.mark.real_data
@needs_reviews
def test_imdb_with_pretraining_beats_word_counts(tmp_path):
    config = BENCHMARKS / "imdb_pretrained.yaml"
    train, test = REVIEWS / "imdb.train.tsv.gz", REVIEWS / "imdb.test.tsv.gz"
    report = report_of(tmp_path, "sentiment", "--config", config, "--data", train, "--test", test)
    assert report["metrics"]["accuracy"]["value"] >= 0.912
    assert report["accuracy_differences"]["TF-IDF logistic regression"]["low"] > 0


@pytest.mark.slow
@pytest.mark.real_data
@needs_texts
@pytest.mark.parametrize(("config", "most"), [("penn_treebank", 115.9), ("penn_treebank_300", 92)])
def test_words_of_the_penn_treebank_are_predicted(tmp_path, config, most):
    config = BENCHMARKS / f"{config}.yaml"
    train, valid, test = (TEXTS / f"ptb.{part}.txt.gz" for part in ("train", "valid", "test"))
    parts = ("--validation", valid, "--test", test)
    report = report_of(tmp_path, "language", "--config", config, "--data", train, *parts)
    assert report["metrics"]["perplexity_per_word"]["value"] <= most


@pytest.mark.slow
@pytest.mark.real_data
@needs_texts
def test_characters_of_shakespeare_are_predicted(tmp_path):
    config = BENCHMARKS / "shakespeare.yaml"
    report = report_of(
        tmp_path, "language", "--config", config, "--data", TEXTS / "tinyshakespeare.txt.gz"
    )
    assert report["metrics"]["nats_per_character"]["value"] <= 1.6


@pytest.mark.slow
@pytest.mark.real_data
@needs_prices
@pytest.mark.parametrize(("horizon", "trailing", "weighted"), [(5, 0.985, 1.0), (20, 0.995, 1.0)])
def test_prices_are_forecast_better_than_by_persistence(tmp_path, horizon, trailing, weighted):
    config = BENCHMARKS / f"prices_{horizon}.yaml"
    report = report_of(tmp_path, "forecasting", "--config", config, "--data", PRICES)
    loss = report["metrics"]["weighted_quantile_loss"]["value"]
    beside = {
        name: metrics["weighted_quantile_loss"]["value"]
        for name, metrics in report["baselines"].items()
    }
    assert loss <= trailing * beside["persistence, trailing volatility"]
    assert loss < weighted * beside["persistence, weighted volatility"]
    steps = report["steps"]["model"]
    assert all(0.77 <= share <= 0.83 for share in steps["coverage_80"])
    assert all(ratio <= 1.01 for ratio in steps["mase_over_persistence"])
    assert len(steps["coverage_80"]) == horizon


@pytest.mark.slow
def test_the_built_in_market_is_forecast_nearly_as_well_as_it_can_be(tmp_path):
    config = BENCHMARKS / "markets.yaml"
    report = report_of(tmp_path, "forecasting", "--config", config, "--data", "builtin")
    assert report["achieved"]["value"] >= 0.8
    assert report["skill"]["low"] > 0


@pytest.mark.slow
def test_no_skill_is_found_on_a_random_walk(tmp_path):
    config = BENCHMARKS / "markets.yaml"
    report = report_of(tmp_path, "forecasting", "--config", config, "--data", "builtin/random_walk")
    assert report["skill"]["low"] <= 0 <= report["skill"]["high"]
    assert report["verdict"].startswith("No skill")


@pytest.mark.slow
@pytest.mark.real_data
@needs_pairs
@pytest.mark.parametrize(("source", "target", "least"), [("en", "de", 38.1), ("de", "en", 39.0)])
def test_sentences_of_multi30k_are_translated(tmp_path, source, target, least):
    def both(part):
        return f"{PAIRS}/{part}.{source}+{part}.{target}"

    config = BENCHMARKS / "multi30k.yaml"
    parts = ("--validation", both("val"), "--test", both("test_2016_flickr"))
    report = report_of(tmp_path, "translation", "--config", config, "--data", both("train"), *parts)
    assert report["metrics"]["bleu_lowercased"]["value"] >= least
    model = rnn_apps.load_model(tmp_path / "run")
    test = data.load_pairs(None, test=both("test_2016_flickr")).test
    greedy = model.predict(model.examples(test)["source"], beam_size=1)["translation"].tolist()
    beside = model.report(test, beside={"greedy": greedy})
    assert beside.extras["differences"]["greedy"]["bleu_lowercased"]["value"] >= 0.5


@pytest.mark.slow
@pytest.mark.real_data
@needs_pictures
def test_photographs_are_captioned_better_than_without_a_look(tmp_path):
    rows = [json.loads(row) for row in (PICTURES / "captions.jsonl").read_text().splitlines()]
    for part in ("train", "dev"):
        lines = [json.dumps(row) for row in rows if row["split"] == part]
        (tmp_path / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
    settings = ("--config", BENCHMARKS / "photographs.yaml", "--backbone_weights", ENCODER)
    parts = ("--data", tmp_path / "train.jsonl", "--test", tmp_path / "dev.jsonl")
    folder = ("--folder", PICTURES / "images")
    report = report_of(tmp_path, "captioning", *settings, *parts, *folder)
    for name in ("most frequent caption", "nearest neighbour", "own model on shuffled pictures"):
        for metric in ("cider_d", "bleu_4"):
            assert report["metrics"][metric]["value"] > report["baselines"][name][metric]["value"]
    assert report["differences"]["own model on shuffled pictures"]["low"] > 0
