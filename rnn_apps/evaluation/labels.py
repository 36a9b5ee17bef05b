"""Judging class probabilities: four metrics with bootstrap intervals, beside honest baselines.

Every interval is the middle 95 % of what the metric takes on when the examples are drawn again with
replacement (Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13). The model and its
baselines are judged on the same draws, so that their difference is a paired one (ibid., ch. 8).

- accuracy: share of the examples whose most probable class is the label.
- macro_f1: mean F1 of the classes that occur as a label or as an answer.
- roc_auc: area under the ROC curve (Hanley & McNeil 1982: ties count half), for more than two
  classes the mean of one class against the rest, over the classes that occur.
- expected_calibration_error: Guo et al. 2017, On Calibration of Modern Neural Networks, eq. 3,
  15 bins of equal width. Its interval is moved by the bias of the resamples, which are less
  calibrated than the sample they come from.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from rnn_apps.evaluation.report import Report

_BINS = 15  # of the calibration error, as in Guo et al. 2017
_METRICS = ("accuracy", "macro_f1", "roc_auc", "expected_calibration_error")


def judge(
    labels: Sequence[int],
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    baselines: Mapping[str, np.ndarray],
    data: str,
    application: str,
    seed: int = 0,
    resamples: int = 1000,
) -> Report:
    """Measure predicted probabilities against labels, beside the baselines' on the same examples.

    Args:
        labels: int (N,), index of the true class in `classes`.
        probabilities: float (N, C), each row sums to 1.
        classes: the C class names, in the order of the columns.
        baselines: name → float (N, C) probabilities for the same examples.
        data: name of the data, for the report.
        application: name of the application, for the report.
        seed: of the resampling; the same seed gives the same report.
        resamples: how many times the examples are drawn again.

    Returns:
        A `Report`; its extras hold the confusion matrix (rows: true class, columns: answer), the
        calibration curve and the differences in accuracy.

    Raises:
        ValueError: shapes do not fit, labels are no indices, or probabilities are none.

    Example:
        >>> sure = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
        >>> report = judge([0, 1, 0], sure, ["bad", "good"], data="three", application="sentiment",
        ...                baselines={"majority class": np.full((3, 2), 0.5)})
        >>> report.metrics["accuracy"]["value"]
        1.0
    """
    classes = [str(name) for name in classes]
    labels = check_labels(labels, classes)
    if resamples < 1:
        raise ValueError(f"{resamples} resamples give no interval; ask for 100 or more.")
    columns = [
        _Column(labels, _check_probabilities(p, labels, classes, name))
        for name, p in {"model": probabilities, **baselines}.items()
    ]
    draws = _bootstrap(columns, len(labels), seed, resamples)
    measured = [
        _metrics(column, draw, classes) for column, draw in zip(columns, draws, strict=True)
    ]
    differences = {
        name: _metric(columns[0].accuracy - column.accuracy, draws[0][:, 0] - draw[:, 0])
        for name, column, draw in zip(baselines, columns[1:], draws[1:], strict=True)
    }
    extras = {
        "accuracy_differences": differences,
        **_pictured(columns[0], draws[0], classes),
        "bootstrap": {"resamples": resamples, "seed": seed, "level": 0.95},
    }
    return Report(
        application,
        data,
        len(labels),
        measured[0],
        dict(zip(baselines, measured[1:], strict=True)),
        _verdict(differences),
        extras,
        figures={
            name: functools.partial(draw, extras)
            for name, draw in (
                ("confusion_matrix", _draw_confusion),
                ("calibration", _draw_calibration),
            )
        },
    )


class _Column:
    """One model's answers, laid out so that every metric of a resample is a few sums.

    A resample is a vector of weights: how many times each example was drawn.
    """

    def __init__(self, labels, probabilities):
        self.size, self.classes = probabilities.shape
        answers = probabilities.argmax(axis=1)
        confidence = probabilities.max(axis=1)
        self.correct = (answers == labels).astype(float)
        self.confidence = confidence
        self.accuracy = self.correct.mean()
        self.cell = labels * self.classes + answers
        self.bin = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
        self.gap = self.correct - confidence
        # With two classes, the curve of one is the other's turned around.
        ranked = [1] if self.classes == 2 else range(self.classes)
        ranks = [_ranks(labels == c, probabilities[:, c]) for c in ranked]
        self.ranks = [rank for rank in ranks if rank is not None]

    def measure(self, weights):
        """The four metrics, then the confusion matrix row by row: float64 (4 + C * C,)."""
        matrix = self.confusion(weights)
        hits, occurring = np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1)
        f1 = (2 * hits[occurring > 0] / occurring[occurring > 0]).mean()
        gaps = np.bincount(self.bin, weights * self.gap)
        error = np.round(np.abs(gaps).sum() / self.size, 12)  # sums leave dust at zero
        return np.array([hits.sum() / self.size, f1, self._area(weights), error, *matrix.ravel()])

    def confusion(self, weights):
        cells = np.bincount(self.cell, weights, self.classes**2)
        return cells.reshape(self.classes, self.classes)

    def _area(self, weights):
        """Sum over pairs of a positive and a negative, done with one running sum per class."""
        areas = []
        for positive, negative, below, up_to in self.ranks:
            running = np.concatenate([[0.0], np.cumsum(weights[negative])])
            pairs = weights[positive].sum() * running[-1]
            if pairs:
                # No BLAS: its threads cost more than so short a product.
                wins = np.sum(weights[positive] * (running[below] + running[up_to])) / 2
                areas.append(wins / pairs)
        return np.mean(areas) if areas else np.nan

    def calibration(self):
        """Of each bin of confidence that is not empty: mean confidence, accuracy, examples."""
        count = np.bincount(self.bin, minlength=_BINS)
        used = count > 0
        mean = {
            name: np.bincount(self.bin, values, _BINS)[used] / count[used]
            for name, values in (("confidence", self.confidence), ("accuracy", self.correct))
        }
        return {**mean, "examples": count[used]}


def _ranks(positive, scores):
    """Positives, negatives by rising score, and each positive's place among these: before, after.

    None if one of the two is missing: there is nothing to rank then.
    """
    if positive.all() or not positive.any():
        return None
    negatives = np.flatnonzero(~positive)
    negatives = negatives[np.argsort(scores[negatives], kind="stable")]
    places = [
        np.searchsorted(scores[negatives], scores[positive], side) for side in ("left", "right")
    ]
    return np.flatnonzero(positive), negatives, *places


def _bootstrap(columns, size, seed, resamples):
    """Per column, float64 (resamples, 4 + C * C): all of them measured on the same draws."""
    generator = np.random.default_rng(seed)
    draws = [np.empty((resamples, len(_METRICS) + columns[0].classes ** 2)) for _ in columns]
    for row in range(resamples):
        weights = np.bincount(generator.integers(size, size=size), minlength=size).astype(float)
        for column, draw in zip(columns, draws, strict=True):
            draw[row] = column.measure(weights)
    return draws


def _metrics(column, draws, classes):
    point = column.measure(np.ones(column.size))
    metrics = {name: _metric(point[i], draws[:, i]) for i, name in enumerate(_METRICS)}
    error = metrics["expected_calibration_error"]
    bias = draws[:, _METRICS.index("expected_calibration_error")].mean() - error["value"]
    error.update({end: float(np.clip(error[end] - bias, 0, 1)) for end in ("low", "high")})
    occurring = np.unique(column.cell // column.classes)
    if len(occurring) < 2:
        metrics["roc_auc"]["reason"] = (
            f"ROC-AUC is not defined: every label is {classes[occurring[0]]!r}, and it takes two."
        )
    elif len(occurring) < column.classes:
        missing = sorted(set(classes) - {classes[c] for c in occurring})
        metrics["roc_auc"]["reason"] = f"ROC-AUC leaves out {missing}: no label is one of these."
    return metrics


def _metric(value, draws):
    """The value with the middle 95 % of its draws; None where it is not a number."""
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not len(draws):
        return {"value": None, "low": None, "high": None}
    low, high = np.percentile(draws, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high)}


def _pictured(column, draws, classes):
    """What the pictures show, for the report's file too."""
    matrix = column.confusion(np.ones(column.size))
    ends = np.percentile(draws[:, len(_METRICS) :], [2.5, 97.5], axis=0).reshape(2, *matrix.shape)
    cells = {"value": matrix.astype(int), "low": ends[0], "high": ends[1]}
    return {"classes": classes, "confusion_matrix": cells, "calibration": column.calibration()}


def _verdict(differences):
    """Say in words where the model stands; only an interval without zero counts."""
    clauses = []
    for name, difference in differences.items():
        points = [100 * difference[key] for key in ("value", "low", "high")]
        if points[1] > 0:
            text = "beats {} by {:.2f} points of accuracy (95 % interval {:.2f} to {:.2f})"
        elif points[2] < 0:
            text = "loses to {} by {:.2f} points of accuracy (95 % interval {:.2f} to {:.2f})"
            points = [-points[0], -points[2], -points[1]]
        else:
            text = (
                "cannot be told apart from {} (difference {:+.2f} points of accuracy, "
                "95 % interval {:+.2f} to {:+.2f})"
            )
        clauses.append(text.format(name, *points))
    if not clauses:
        return "The RNN was compared with no baseline."
    *first, last = clauses
    return f"The RNN {', '.join(first)}{' and ' if first else ''}{last}."


def check_labels(labels, classes):
    """Returns labels as int64 (N,), and refuses what are no indices into `classes`."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iub":
        raise ValueError(
            f"Labels came as {labels.dtype} of shape {labels.shape}; give one class "
            f"index from 0 to {len(classes) - 1} for each of one or more examples."
        )
    labels = labels.astype(np.int64)
    if len(classes) < 2 or labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(
            f"Labels run from {labels.min()} to {labels.max()} with {len(classes)} "
            "classes; name two classes or more, and give indices into them."
        )
    return labels


def _check_probabilities(probabilities, labels, classes, name):
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.shape != (len(labels), len(classes)):
        raise ValueError(
            f"The probabilities of {name!r} have the shape {probabilities.shape}; "
            f"{len(labels)} labels of {len(classes)} classes need "
            f"{(len(labels), len(classes))}."
        )
    sums = probabilities.sum(axis=1)
    if not (probabilities >= 0).all() or not np.allclose(sums, 1, atol=1e-3):
        raise ValueError(
            f"The probabilities of {name!r} are negative, not a number, or do not sum "
            "to 1 in every row; apply softmax to logits first."
        )
    return probabilities


def _draw_confusion(extras):
    from matplotlib.figure import Figure

    classes, counts = extras["classes"], extras["confusion_matrix"]["value"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 3.2 + 0.55 * len(classes)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape) if len(classes) <= 12 else ():
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}\n{shares[row, column]:.0%}",
            fontsize=8,
            ha="center",
            va="center",
            color="white" if shares[row, column] > 0.5 else "black",
        )
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(classes)), classes, parse_math=False)
    axes.set(xlabel="answer", ylabel="true class", title="Confusion matrix")
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    return figure


def _draw_calibration(extras):
    from matplotlib.figure import Figure

    curve = extras["calibration"]
    figure = Figure(figsize=(5.5, 6), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
    axes.plot(curve["confidence"], curve["accuracy"], "o-", color="tab:blue", label="model")
    axes.set(ylabel="accuracy", title="Calibration", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="upper left")
    below.bar(curve["confidence"], curve["examples"], width=0.8 / _BINS, color="silver")
    below.set(xlabel="confidence in the answer", ylabel="examples")
    return figure
