"""Skill: how far a forecast's loss lies below a baseline's, and what to say of it in words.

Skill is 1 - loss / loss of the baseline, with the weighted quantile loss of
`rnn_apps.evaluation.scores`; dates are drawn again for both at once, so that its interval is that
of a paired difference. All functions take what `scores.score` gives, by the name of the forecast:
that of the model is "model", that of the process that made the prices "the process itself", and
all others are baselines. H steps, T dates.
"""

from collections.abc import Mapping

import numpy as np

from rnn_apps.evaluation.scores import LOSS, Targets, ratio
from rnn_apps.evaluation.significance import Resampling, diebold_mariano

MODEL, PROCESS = "model", "the process itself"
TRAILING, WEIGHTED = "persistence, trailing volatility", "persistence, weighted volatility"
_DIGITS = 12  # sums leave dust at zero, which is no skill

Sums = Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]


def skill(sums: Sums, drawing: Resampling) -> tuple[dict, dict]:
    """Measure the skill over all steps, and by step.

    Args:
        sums: name of a forecast → name of a measure → its two sums, float64 (T, H) each.
        drawing: of the T dates.

    Returns:
        "best_baseline", the one with the lowest loss here (None without baselines), the "value",
        "low" and "high" of the skill against it, and "against": the same for each baseline. And,
        name of a baseline → "value", "low", "high": lists of H.

    Example:
        >>> loss, price = np.array([[1.0], [2.0]]), np.full((2, 1), 100.0)
        >>> sums = {"model": {LOSS: (loss, price)}, "drift": {LOSS: (2 * loss, price)}}
        >>> skill(sums, Resampling(2, 1, seed=0, resamples=100))[0]["value"]
        0.5
    """
    losses = {name: own[LOSS][0] for name, own in sums.items() if name != PROCESS}
    model = losses.pop(MODEL)
    against, by_step = {}, {}
    for name, loss in losses.items():
        against[name] = _skill(model.sum(axis=1, keepdims=True), loss.sum(axis=1), drawing)[0]
        steps = _skill(model, loss, drawing)
        by_step[name] = {end: [step[end] for step in steps] for end in ("value", "low", "high")}
    # All share the sum of actual prices, so the least loss is the least weighted loss.
    best = min(losses, key=lambda name: losses[name].sum(), default=None)
    own = against[best] if best else dict.fromkeys(("value", "low", "high"))
    return {"best_baseline": best, **own, "against": against}, by_step


def compare_steps(sums: Sums, targets: Targets) -> dict:
    """Test each step's loss against each baseline's; a date's loss is the mean over its series.

    Args:
        sums: as for `skill`.
        targets: what the forecasts were scored against.

    Returns:
        Name of a baseline → "statistic" and "p_value" of Diebold and Mariano, lists of H.
    """
    model, found = sums[MODEL][LOSS][0], {}
    for name, own in sums.items():
        if name in (MODEL, PROCESS):
            continue
        tests = []
        for h, count in enumerate(targets.count.T):
            judged = count > 0
            differences = (model - own[LOSS][0])[judged, h] / count[judged]
            tests.append(diebold_mariano(differences, targets.overlap(h + 1)))
        found[name] = {key: [test[key] for test in tests] for key in ("statistic", "p_value")}
    return found


def achieved(sums: Sums, drawing: Resampling) -> dict:
    """Measure the share of the way from persistence to the process itself that the model goes.

    Args:
        sums: as for `skill`, with the process itself.
        drawing: of the T dates.

    Returns:
        "value", "low" and "high"; all None, with a "reason", where there is no way to go.
    """
    process, model = (sums[name][LOSS][0].sum(axis=1) for name in (PROCESS, MODEL))
    none = {"value": None, "low": None, "high": None}
    if TRAILING not in sums:
        return {**none, "reason": f"There is no {TRAILING!r} to measure an improvement from."}
    start = sums[TRAILING][LOSS][0].sum(axis=1)
    if start.sum() <= process.sum():
        return {**none, "reason": f"The process itself does not beat {TRAILING!r} here."}
    draws = None
    if not drawing.reason:
        draws = ratio(LOSS, drawing.draw(start - model), drawing.draw(start - process))
    return drawing.metric((start - model).sum() / (start - process).sum(), draws)


def describe_skill(found: Mapping) -> str:
    """Say in a sentence where the model stands; only an interval without zero counts.

    Args:
        found: the first of what `skill` returned.

    Example:
        >>> found = {"best_baseline": "drift", "value": 0.02, "low": 0.01, "high": 0.03}
        >>> describe_skill(found).split(" (")[0]
        'The RNN beats drift, the best baseline, by 2.00% of its loss'
    """
    best, value, low, high = (found[key] for key in ("best_baseline", "value", "low", "high"))
    if best is None:
        return "The RNN was compared with no baseline."
    if value is None:
        return f"No skill can be told: {best}, the best baseline, has no loss at all."
    if low is None:
        side = "below" if value >= 0 else "above"
        return (
            f"No skill can be told: the RNN's loss is {abs(value):.2%} {side} that of {best}, the "
            "best baseline, on too few dates for an interval."
        )
    if low <= 0 <= high:
        return (
            f"No skill: the RNN cannot be told apart from {best}, the best baseline "
            f"(skill {value:+.2%}, 95 % interval {low:+.2%} to {high:+.2%})."
        )
    word, ends = ("beats", (low, high)) if low > 0 else ("loses to", (-high, -low))
    return (
        f"The RNN {word} {best}, the best baseline, by {abs(value):.2%} of its loss "
        f"(95 % interval {ends[0]:.2%} to {ends[1]:.2%})."
    )


def describe_achieved(found: Mapping | None) -> str:
    """Say in a sentence what `achieved` returned; empty without it.

    Example:
        >>> describe_achieved({"value": 0.9, "low": None, "high": None}).split(" of the ")[0]
        'It reaches 90%'
    """
    if found is None:
        return ""
    if found["value"] is None:
        return found["reason"]
    ends = ""
    if found["low"] is not None:
        ends = f" (95 % interval {found['low']:.0%} to {found['high']:.0%})"
    way = f"of the improvement over {TRAILING} that the process itself allows"
    return f"It reaches {found['value']:.0%} {way}{ends}."


def _skill(model, baseline, drawing):
    """A metric for each column of the sums, (T, H)."""
    baseline = baseline.reshape(len(baseline), -1)
    values = (1 - ratio(LOSS, model.sum(axis=0), baseline.sum(axis=0))).round(_DIGITS)
    draws = [None] * len(values)
    if not drawing.reason:
        draws = 1 - ratio(LOSS, drawing.draw(model), drawing.draw(baseline)).T.round(_DIGITS)
    return [drawing.metric(v, own, most=1) for v, own in zip(values, draws, strict=True)]
