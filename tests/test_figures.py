"""The figures of the README's result table, held to the bars they were built for."""

import json
import pathlib

import pytest

from rnn_apps import cli

ROOT = pathlib.Path(__file__).parents[1]
REVIEWS = ROOT.parent / "shared" / "data" / "reviews"
needs_reviews = pytest.mark.skipif(
    not REVIEWS.is_dir(), reason=f"real reviews are not in {REVIEWS.parent.name}/{REVIEWS.name}"
)


def accuracy_of(tmp_path, *arguments):
    run = tmp_path / "run"
    assert cli.main(["train", "sentiment", "--run", str(run), *map(str, arguments)]) == 0
    return json.loads((run / "report.json").read_text())["metrics"]["accuracy"]["value"]


@pytest.mark.slow
def test_the_default_classifier_reads_what_word_counts_cannot(tmp_path):
    assert accuracy_of(tmp_path, "--data", "builtin") >= 0.95


@pytest.mark.slow
@pytest.mark.real_data
@needs_reviews
def test_movie_review_polarity(tmp_path):
    config = ROOT / "tests" / "benchmarks" / "mr.yaml"
    assert accuracy_of(tmp_path, "--config", config, "--data", REVIEWS / "mr.tsv") >= 0.76


@pytest.mark.slow
@pytest.mark.real_data
@needs_reviews
def test_imdb_without_pretraining(tmp_path):
    config = ROOT / "tests" / "benchmarks" / "imdb.yaml"
    train, test = REVIEWS / "imdb.train.tsv.gz", REVIEWS / "imdb.test.tsv.gz"
    assert accuracy_of(tmp_path, "--config", config, "--data", train, "--test", test) >= 0.895
