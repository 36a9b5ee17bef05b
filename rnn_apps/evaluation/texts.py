"""Judging generated texts: sacreBLEU's BLEU and chrF with intervals, beside honest baselines.

What is judged is what a user would be given: answers to sources alone, generated word by word with
no sight of the reference.

Every interval is the middle 95 % of what the metric takes on when the sentences are drawn again
with replacement; the model and its baselines are judged on the same draws (Koehn 2004, Statistical
Significance Tests for Machine Translation Evaluation). The p-values are of approximate
randomisation: how often a difference as great comes about when each sentence's two answers are
exchanged by chance (Riezler & Maxwell 2005, On Some Pitfalls in Automatic Evaluation).

- bleu: sacreBLEU with the tokenizer 13a, cased.
- bleu_lowercased: the same of lowercased texts, as many published figures are.
- chrf: sacreBLEU's chrF, of characters.
- exact_match: share of the answers that are one of their references, but for white space.
- length_ratio: words of the answers to words of the references.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from rnn_apps.evaluation.report import Report
from rnn_apps.evaluation.text_scores import METRICS, TextScores, bleu_parts, score

_SHOWN = 3  # answers in the printed report
_KEPT = 20  # and in its file
_COMPARED = ("bleu", "bleu_lowercased", "chrf", "exact_match")


def judge(
    sources: Sequence[str],
    references: Sequence[str | Sequence[str]],
    hypotheses: Sequence[str],
    *,
    baselines: Mapping[str, Sequence[str]],
    data: str,
    application: str,
    seed: int = 0,
    resamples: int = 1000,
) -> Report:
    """Measure generated texts against references, beside the baselines' on the same examples.

    Args:
        sources: N texts, what was asked; for the examples that the report shows.
        references: N texts, or N lists of one or more texts that are right.
        hypotheses: N texts, the answers. Any may be empty.
        baselines: name → N texts. Another run's answers may be one, and are compared likewise.
        data: name of the data, for the report.
        application: name of the application, for the report.
        seed: of the resampling; the same seed gives the same report.
        resamples: how many times the examples are drawn again.

    Returns:
        A `Report`; its extras hold sacreBLEU's signatures, what BLEU is made of, the differences
        from each baseline with intervals and p-values, and some answers.

    Raises:
        ValueError: numbers of texts do not fit, something is no text, or nothing is there to judge.

    Example:
        >>> sources, right = ["a house", "a cat"], ["ein Haus am See", "eine Katze im Garten"]
        >>> report = judge(sources, right, right, baselines={"copy of the source": sources},
        ...                data="two sentences", application="translation")
        >>> report.metrics["bleu"]["value"], report.metrics["exact_match"]["value"]
        (100.0, 1.0)
    """
    if resamples < 1:
        raise ValueError(f"{resamples} resamples give no interval; ask for 100 or more.")
    references = _check_references(references)
    answers = {"model": hypotheses, **baselines}
    for name, texts in {"sources": sources, **answers}.items():
        _check_texts(texts, name, len(references))
    scores = TextScores(references)
    rows = {name: scores.statistics(texts) for name, texts in answers.items()}
    weights = _bootstrap(len(references), seed, resamples)
    points = {name: score(each.sum(axis=0)) for name, each in rows.items()}
    draws = {name: score(weights @ each) for name, each in rows.items()}
    measured = {
        name: {
            metric: _metric(points[name][place], draws[name][:, place])
            for place, metric in enumerate(METRICS)
        }
        for name in answers
    }
    differences = {
        name: _differences(rows["model"], rows[name], draws["model"] - draws[name], seed)
        for name in baselines
    }
    examples = _examples(sources, references, hypotheses)
    return Report(
        application,
        data,
        len(references),
        measured.pop("model"),
        measured,
        _verdict(differences),
        {
            "signatures": scores.signatures,
            "bleu_parts": bleu_parts(rows["model"].sum(axis=0)),
            "differences": differences,
            "answers": examples,
            "bootstrap": {"resamples": resamples, "seed": seed, "level": 0.95},
        },
        tables={
            "Settings of sacreBLEU": [
                ["metric", "signature"],
                *([name.replace("_", " "), text] for name, text in scores.signatures.items()),
            ],
            "Some answers": [
                ["source", "answer", "reference"],
                *(_shown(example) for example in examples[:_SHOWN]),
            ],
        },
    )


def _bootstrap(size, seed, resamples):
    """How many times each example is drawn, per resample: float64 (R, N)."""
    drawn = np.random.default_rng(seed).integers(size, size=(resamples, size))
    drawn += size * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * size)
    return counts.reshape(resamples, size).astype(np.float64)


def _differences(own, other, draws, seed):
    """Metric → by how much the first is better, with its interval and its p-value."""
    found = score(own.sum(axis=0)) - score(other.sum(axis=0))
    exchanged = np.random.default_rng([seed, 1]).integers(2, size=(len(draws), len(own)))
    moved = exchanged.astype(np.float64) @ (other - own)
    by_chance = score(own.sum(axis=0) + moved) - score(other.sum(axis=0) - moved)
    as_great = np.abs(by_chance) >= np.abs(found) - 1e-9
    p_values = (as_great.sum(axis=0) + 1) / (len(draws) + 1)
    return {
        metric: {**_metric(found[place], draws[:, place]), "p_value": float(p_values[place])}
        for place, metric in enumerate(METRICS)
        if metric in _COMPARED
    }


def _metric(value, draws):
    """The value with the middle 95 % of its draws; None where it is not a number."""
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not len(draws):
        reason = "The length ratio is not defined: the references hold no word."
        return {"value": None, "low": None, "high": None, "reason": reason}
    low, high = np.percentile(draws, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high)}


def _verdict(differences):
    """Say in words where the model stands; only an interval without zero counts."""
    clauses = []
    for name, difference in differences.items():
        points = [difference["bleu"][key] for key in ("value", "low", "high")]
        if points[1] > 0:
            text = "beats {} by {:.1f} points of BLEU (95 % interval {:.1f} to {:.1f}, p = {:.3f})"
        elif points[2] < 0:
            text = (
                "loses to {} by {:.1f} points of BLEU (95 % interval {:.1f} to {:.1f}, p = {:.3f})"
            )
            points = [-points[0], -points[2], -points[1]]
        else:
            text = (
                "cannot be told apart from {} (difference {:+.1f} points of BLEU, "
                "95 % interval {:+.1f} to {:+.1f}, p = {:.3f})"
            )
        clauses.append(text.format(name, *points, difference["bleu"]["p_value"]))
    if not clauses:
        return "The RNN was compared with no baseline."
    *first, last = clauses
    return f"The RNN {', '.join(first)}{' and ' if first else ''}{last}."


def _examples(sources, references, hypotheses):
    """Answers from all over the data, evenly apart."""
    rows = np.unique(np.linspace(0, len(references) - 1, _KEPT).round().astype(int))
    return [
        {"source": sources[row], "answer": hypotheses[row], "references": references[row]}
        for row in rows
    ]


def _shown(example):
    texts = (example["source"], example["answer"], example["references"][0])
    return [" ".join(text.split())[:200] for text in texts]


def _check_references(references):
    references = [[texts] if isinstance(texts, str) else list(texts) for texts in references]
    if not references:
        raise ValueError("No reference came; give one for each of one or more answers.")
    for row, texts in enumerate(references):
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError(
                f"The references of example {row} are {texts!r:.60}; give a text, or a list of one "
                "or more texts."
            )
    return references


def _check_texts(texts, name, size):
    if isinstance(texts, (str, bytes)) or len(texts) != size:
        raise ValueError(
            f"The texts of {name!r} are {len(texts):,}, and the references {size:,}; give a list "
            "with one text for each."
        )
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"Text {row} of {name!r} is a {type(text).__name__}; decode bytes first, and "
                "give '' where there is no answer."
            )
