import csv
import gzip
import json
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from rnn_apps.evaluation import labels as module
from rnn_apps.evaluation.baselines import majority_class, tfidf_logistic_regression
from rnn_apps.evaluation.labels import judge

REVIEWS = Path(__file__).resolve().parents[2] / "shared" / "data" / "reviews"


def random_answers(size, classes, *, skill=1.0, seed=0, digits=None):
    """Labels and probabilities that know something of them; few digits make ties."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=size)
    logits = generator.normal(size=(size, classes))
    logits[np.arange(size), labels] += skill
    if digits is not None:
        logits = logits.round(digits)
    odds = np.exp(logits)
    return labels, odds / odds.sum(axis=1, keepdims=True)


def judged(labels, probabilities, classes=None, **options):
    classes = classes or [f"c{i}" for i in range(np.shape(probabilities)[1])]
    settings = {"baselines": {}, "data": "test", "application": "sentiment", "resamples": 200}
    return judge(labels, probabilities, classes, **{**settings, **options})


@pytest.mark.parametrize("classes, digits", [(2, None), (2, 0), (5, None), (5, 0)])
def test_point_values_are_those_of_scikit_learn(classes, digits):
    labels, probabilities = random_answers(400, classes, digits=digits)
    report = judged(labels, probabilities, resamples=2)
    answers = probabilities.argmax(1)
    value = {name: metric["value"] for name, metric in report.metrics.items()}
    assert value["accuracy"] == pytest.approx(metrics.accuracy_score(labels, answers))
    assert value["macro_f1"] == pytest.approx(metrics.f1_score(labels, answers, average="macro"))
    scores = probabilities[:, 1] if classes == 2 else probabilities
    area = metrics.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
    assert value["roc_auc"] == pytest.approx(area, abs=1e-12)
    matrix = report.to_dict()["confusion_matrix"]["value"]
    assert matrix == metrics.confusion_matrix(labels, answers).tolist()


def test_the_calibration_error_is_the_weighted_gap_of_the_bins():
    labels = np.array([0, 0, 1, 0])
    sure = np.array([[0.9, 0.1], [0.95, 0.05], [0.92, 0.08], [0.4, 0.6]])
    # [14/15, 1]: one of one right at 0.95; [13/15, 14/15): one of two at 0.91; 0.6: none of one.
    expected = (abs(1 - 0.95) + abs(1 - 0.9 - 0.92) + 0.6) / 4
    report = judged(labels, sure)
    assert report.metrics["expected_calibration_error"]["value"] == pytest.approx(expected)
    assert report.extras["calibration"]["examples"].tolist() == [1, 2, 1]
    np.testing.assert_allclose(report.extras["calibration"]["confidence"], [0.6, 0.91, 0.95])
    np.testing.assert_allclose(report.extras["calibration"]["accuracy"], [0.0, 0.5, 1.0])


@pytest.mark.parametrize("classes", [2, 4])
def test_weighted_metrics_are_those_of_the_resample_written_out(classes):
    labels, probabilities = random_answers(60, classes, digits=1)
    drawn = np.random.default_rng(1).integers(60, size=60)
    weights = np.bincount(drawn, minlength=60).astype(float)
    got = module._Column(labels, probabilities).measure(weights)
    expected = module._Column(labels[drawn], probabilities[drawn]).measure(np.ones(60))
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_intervals_have_the_width_that_theory_gives_them():
    labels, probabilities = random_answers(4000, 2)
    report = judged(labels, probabilities, resamples=1000)
    accuracy = report.metrics["accuracy"]
    wide = 2 * 1.96 * np.sqrt(accuracy["value"] * (1 - accuracy["value"]) / 4000)
    assert accuracy["high"] - accuracy["low"] == pytest.approx(wide, rel=0.1)
    # Hanley & McNeil 1982, eq. 2, under the exponential approximation.
    area, half = report.metrics["roc_auc"], 2000
    a = area["value"]
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = np.sqrt((a * (1 - a) + (half - 1) * (q1 + q2 - 2 * a * a)) / half**2)
    assert area["high"] - area["low"] == pytest.approx(2 * 1.96 * error, rel=0.15)
    for name, metric in report.metrics.items():
        assert metric["low"] <= metric["value"] <= metric["high"], name
    matrix = report.extras["confusion_matrix"]
    assert (matrix["low"] < matrix["value"]).all() and (matrix["value"] < matrix["high"]).all()


def test_the_interval_of_a_calibrated_model_holds_its_error():
    generator = np.random.default_rng(5)
    sure = generator.uniform(0.5, 1, size=2000)
    labels = (generator.uniform(size=2000) > sure).astype(int)
    error = judged(labels, np.stack([sure, 1 - sure], 1)).metrics["expected_calibration_error"]
    assert error["low"] <= error["value"] <= error["high"] < 0.06


def test_the_same_seed_gives_the_same_report_and_another_does_not():
    labels, probabilities = random_answers(300, 3)
    first, same, other = (judged(labels, probabilities, seed=s).to_dict() for s in (1, 1, 2))
    assert first == same
    assert first["metrics"]["accuracy"]["low"] != other["metrics"]["accuracy"]["low"] or (
        first["metrics"]["roc_auc"] != other["metrics"]["roc_auc"]
    )
    assert first["metrics"]["accuracy"]["value"] == other["metrics"]["accuracy"]["value"]


def test_the_verdict_says_better_worse_and_cannot_tell():
    labels, good = random_answers(2000, 2, skill=2.0)
    _, same = random_answers(2000, 2, skill=2.0)
    same[:2] = same[:2, ::-1]
    worst = majority_class(labels, 2, 2000)
    perfect = np.eye(2)[labels] * 0.9 + 0.05
    report = judged(labels, good, baselines={"A": worst, "B": same, "C": perfect})
    assert report.verdict.startswith("The RNN beats A by ")
    assert ", cannot be told apart from B (difference " in report.verdict
    assert " and loses to C by " in report.verdict and report.verdict.endswith(").")
    difference = report.extras["accuracy_differences"]["C"]
    expected = report.metrics["accuracy"]["value"] - 1
    assert difference["value"] == pytest.approx(expected)
    assert difference["low"] < expected < difference["high"] < 0
    assert f"loses to C by {-100 * expected:.2f} points" in report.verdict
    assert "no baseline" in judged(labels, good).verdict
    slightly = good.copy()
    row = np.flatnonzero(good.argmax(1) != labels)[0]
    slightly[row] = slightly[row, ::-1]
    verdict = judged(labels, good, baselines={"D": slightly}).verdict
    assert "cannot be told apart from D (difference -0.05 points" in verdict


def test_a_class_that_never_occurs_does_not_count_in_macro_f1():
    labels, probabilities = random_answers(200, 3)
    labels[labels == 2], probabilities[:, 2] = 0, 0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    value = judged(labels, probabilities).metrics["macro_f1"]["value"]
    answers = probabilities.argmax(1)
    assert value == pytest.approx(metrics.f1_score(labels, answers, average="macro"))


def test_a_model_cannot_be_told_apart_from_itself():
    labels, probabilities = random_answers(100, 2)
    report = judged(labels, probabilities, baselines={"itself": probabilities})
    assert "cannot be told apart from itself" in report.verdict
    assert report.baselines["itself"] == report.metrics


def test_paired_intervals_are_narrower_than_those_of_two_models_alone():
    labels, probabilities = random_answers(2000, 2)
    close = probabilities.copy()
    close[:20] = close[:20, ::-1]
    report = judged(labels, probabilities, baselines={"close": close})
    paired = report.extras["accuracy_differences"]["close"]
    alone = report.metrics["accuracy"]
    assert paired["high"] - paired["low"] < 0.5 * (alone["high"] - alone["low"])


def test_one_class_alone_has_no_roc_auc_and_the_report_says_why(tmp_path):
    _, probabilities = random_answers(50, 2)
    report = judged(np.ones(50, int), probabilities, ["bad", "good"])
    area = json.loads(report.save(tmp_path)[-1].read_text())["metrics"]["roc_auc"]
    assert area["value"] is area["low"] is area["high"] is None
    assert "every label is 'good'" in area["reason"] and area["reason"] in str(report)
    assert report.metrics["accuracy"]["value"] is not None


def test_a_class_without_examples_is_left_out_of_roc_auc_and_said_so():
    labels, probabilities = random_answers(200, 3)
    labels[labels == 2] = 0
    area = judged(labels, probabilities).metrics["roc_auc"]
    expected = [metrics.roc_auc_score(labels == c, probabilities[:, c]) for c in (0, 1)]
    assert area["value"] == pytest.approx(np.mean(expected))
    assert "['c2']" in area["reason"]


def test_one_example_is_enough():
    report = judged([1], [[0.25, 0.75]], baselines={"majority": [[1.0, 0.0]]})
    assert report.metrics["accuracy"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert report.examples == 1


@pytest.mark.parametrize(
    "labels, probabilities, message",
    [
        ([0, 2], np.full((2, 2), 0.5), "from 0 to 2 with 2 classes"),
        ([0, -1], np.full((2, 2), 0.5), "from -1"),
        (["a", "b"], np.full((2, 2), 0.5), "one class index"),
        ([], np.zeros((0, 2)), "one or more examples"),
        ([0, 1], np.full((3, 2), 0.5), r"'model' have the shape \(3, 2\)"),
        ([0, 1], np.full((2, 2), 0.7), "softmax"),
        ([0, 1], np.full((2, 2), np.nan), "not a number"),
        ([0, 1], np.array([[1.5, -0.5]] * 2), "negative"),
    ],
)
def test_what_cannot_be_judged_is_refused(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        judged(labels, probabilities)


def test_pictures_show_class_names_of_any_kind(tmp_path):
    labels, probabilities = random_answers(100, 3)
    paths = judged(labels, probabilities, ["$bad_$", "so so", "gut"]).save(tmp_path)
    names = ["metrics.png", "confusion_matrix.png", "calibration.png", "report.json"]
    assert [path.name for path in paths] == names
    assert all(path.stat().st_size > 1000 for path in paths)


def test_twenty_five_thousand_examples_take_seconds():
    labels, probabilities = random_answers(25_000, 2)
    start = time.perf_counter()
    judged(labels, probabilities, resamples=100)
    assert time.perf_counter() - start < 3  # about 0.1 s on an idle core


# --- baselines -----------------------------------------------------------------------------------


def test_the_majority_class_answers_with_the_shares_of_training():
    answers = majority_class([2, 2, 0, 2], num_classes=4, examples=3)
    np.testing.assert_array_equal(answers, [[0.25, 0, 0.75, 0]] * 3)
    with pytest.raises(ValueError, match="one or more"):
        majority_class(np.array([], int), 2, 3)


def texts(classes, count):
    words = ["dreadful", "middling", "splendid", "odd"][:classes]
    labels = np.arange(count) % classes
    return [f"a {words[label]} film number n{i}" for i, label in enumerate(labels)], labels


@pytest.mark.parametrize("classes, count", [(2, 40), (3, 40), (2, 1200)])
def test_logistic_regression_learns_words(classes, count):
    train, labels = texts(classes, count)
    asked, truth = [text + " again" for text in train], labels
    answers = tfidf_logistic_regression(train, labels + 1, asked, classes + 1)
    assert answers.shape == (count, classes + 1)
    np.testing.assert_allclose(answers.sum(1), 1)
    assert (answers.argmax(1) == truth + 1).all() and (answers[:, 0] == 0).all()


def test_word_pairs_count():
    train = ["not good", "good not"] * 20
    answers = tfidf_logistic_regression(train, [0, 1] * 20, ["not good at", "good not at"], 2)
    assert answers.argmax(1).tolist() == [0, 1]


def test_training_texts_that_are_asked_for_are_left_out():
    train, labels = texts(2, 40)
    leaked = [*train, "zebra"], [*labels, 1]
    with_leak = tfidf_logistic_regression(*leaked, ["zebra"], 2)
    without = tfidf_logistic_regression(train, labels, ["zebra"], 2)
    np.testing.assert_array_equal(with_leak, without)
    with pytest.raises(ValueError, match="nothing to learn from"):
        tfidf_logistic_regression(train, labels, train, 2)


def test_without_words_or_without_two_classes_the_shares_remain():
    answers = tfidf_logistic_regression(["!", "?", ","], [0, 1, 1], ["."], 2)
    np.testing.assert_allclose(answers, [[1 / 3, 2 / 3]])
    answers = tfidf_logistic_regression(["fine film", "good film"], [1, 1], ["bad film"], 2)
    np.testing.assert_array_equal(answers, [[0, 1]])


def test_texts_and_labels_must_be_as_many():
    with pytest.raises(ValueError, match="3 training texts came with 2 labels"):
        tfidf_logistic_regression(["a", "b", "c"], [0, 1], ["d"], 2)


def read_reviews(name):
    with gzip.open(REVIEWS / name, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["text"] for row in rows], np.array([int(row["label"]) for row in rows])


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not REVIEWS.is_dir(), reason="the reviews do not lie beside the project")
def test_the_linear_baseline_reaches_its_known_accuracy_on_imdb():
    (train, train_labels), (test, labels) = map(
        read_reviews, ("imdb.train.tsv.gz", "imdb.test.tsv.gz")
    )
    answers = tfidf_logistic_regression(train, train_labels, test, 2)
    assert (answers.argmax(1) == labels).mean() >= 0.906
