"""Judging distribution forecasts of prices from many origins, beside baselines from the same.

What is measured: `rnn_apps.evaluation.scores`. How sure it is: `rnn_apps.evaluation.significance`.
Which of it decides: `rnn_apps.evaluation.skill`.
S series, D dates, N origins, H steps, Q levels.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from rnn_apps.evaluation import forecast_figures as pictures
from rnn_apps.evaluation import skill as skills
from rnn_apps.evaluation.lag import describe_lag, detect_lag
from rnn_apps.evaluation.persistence import Forecasts, check_levels
from rnn_apps.evaluation.report import Report
from rnn_apps.evaluation.returns import check_closes, check_origins
from rnn_apps.evaluation.scores import (
    LOSS,
    Targets,
    below,
    central,
    judged_levels,
    median_of,
    ratio,
    score,
)
from rnn_apps.evaluation.significance import Resampling
from rnn_apps.evaluation.skill import MODEL, PROCESS, TRAILING, WEIGHTED

_SHOWN = (1, 2, 5, 10, 20, 60, 120, 250)  # steps of the table


def judge(
    closes: np.ndarray,
    dates: Sequence,
    series: Sequence[str],
    origins: np.ndarray,
    model: Forecasts,
    levels: Sequence[float],
    *,
    baselines: Mapping[str, Forecasts],
    truth: np.ndarray | None = None,
    data: str,
    application: str,
    seed: int = 0,
    resamples: int = 1000,
) -> Report:
    """Measure forecasts against what came, beside the baselines' from the same origins.

    Args:
        closes: float64 (S, D), closing prices in currency, NaN where missing.
        dates: datetime64 (D,), ascending.
        series: names of the S series.
        origins: int (N, 2), series and date; a close is known there.
        model: what is judged.
        levels: float (Q,), of the quantiles, rising.
        baselines: name → forecasts from the same origins.
        truth: float (N, H, Q), quantiles of the process that made the prices, in currency; where
            they are known, they have the best score that can be reached.
        data: name of the data, for the report.
        application: name of the application, for the report.
        seed: of the resampling; the same seed gives the same report.
        resamples: how many times the dates are drawn again.

    Returns:
        A `Report` over all steps. Its extras hold every measure by step, the skill (1 - loss / loss
        of a baseline) against each baseline and the best of them, the test of Diebold and Mariano
        by step, the calibration, the lag (`rnn_apps.evaluation.lag`), and with `truth` the share of
        what can be reached.

    Raises:
        ValueError: shapes do not fit, a forecast is not finite, or no origin has a price after it.

    Example:
        >>> from rnn_apps.evaluation.persistence import baselines
        >>> prices = np.exp(np.random.default_rng(0).normal(0, 0.01, (2, 300)).cumsum(axis=1))
        >>> origins = [(s, d) for s in (0, 1) for d in range(200, 299)]
        >>> named = baselines(prices, origins, 5, [0.1, 0.5, 0.9], learned_until=199)
        >>> dates = np.datetime64("2020-01-01") + np.arange(300)
        >>> report = judge(prices, dates, ["A", "B"], origins, named["drift"], [0.1, 0.5, 0.9],
        ...                baselines=named, data="walks", application="forecasting")
        >>> report.extras["skill"]["against"]["drift"]["value"]
        0.0
    """
    closes = check_closes(closes)
    origins, levels = check_origins(origins, closes), check_levels(levels)
    dates = np.asarray(dates, dtype="datetime64[D]")
    if (len(series), len(dates)) != closes.shape:
        raise ValueError(
            f"{len(series)} names and {len(dates)} dates came with closes of the shape "
            f"{closes.shape}; give one name per row and one date per column."
        )
    if resamples < 100:
        raise ValueError(f"{resamples} resamples give no interval; ask for 100 or more.")
    columns = {MODEL: model, **baselines}
    if truth is not None:
        columns[PROCESS] = Forecasts(truth, None)
    horizon = np.shape(model.quantiles)[1] if np.ndim(model.quantiles) == 3 else 0
    columns = {
        name: _check_forecasts(column, (len(origins), horizon, len(levels)), name)
        for name, column in columns.items()
    }
    targets = Targets(closes, origins, horizon)
    drawing = Resampling(len(targets.dates), targets.overlap(horizon), seed, resamples)
    sums = {name: score(targets, column, levels) for name, column in columns.items()}
    measures = {name: _overall(own, drawing, levels) for name, own in sums.items()}
    extras = _extras(closes, origins, columns[MODEL], targets, sums, drawing, levels)
    best = extras["skill"]["best_baseline"]
    steps = [step for step in _SHOWN if step < horizon] + [horizon]
    chosen = pictures.choose_origins(origins, targets.known)
    fans = (closes, dates, [str(name) for name in series], origins[chosen])
    fans += (np.asarray(model.quantiles)[chosen], levels)
    return Report(
        application,
        data,
        int(targets.known.any(axis=1).sum()),
        measures.pop(MODEL),
        measures,
        _verdict(extras),
        extras,
        tables={"by step": _table(extras, steps, best)},
        figures={
            "fan_chart": functools.partial(pictures.draw_fans, *fans),
            "calibration": functools.partial(
                pictures.draw_calibration, levels, steps, extras["calibration"][np.array(steps) - 1]
            ),
            "skill_by_horizon": functools.partial(
                pictures.draw_skill, extras["skill_by_step"], best
            ),
        },
    )


def _extras(closes, origins, model, targets, sums, drawing, levels):
    found, by_step = skills.skill(sums, drawing)
    median = median_of(model.quantiles[:, 0], levels)
    extras = {
        "levels": levels,
        "loss_levels": levels[judged_levels(levels)],
        "skill": found,
        "steps": {name: _by_step(own) for name, own in sums.items()},
        "skill_by_step": by_step,
        "diebold_mariano": skills.compare_steps(sums, targets),
        "calibration": below(targets, model.quantiles),
        "lag": detect_lag(closes, origins, median, drawing.seed),
        "bootstrap": {
            "resamples": drawing.resamples,
            "seed": drawing.seed,
            "block": drawing.block,
            "level": 0.95,
        },
    }
    if PROCESS in sums:
        extras["achieved"] = skills.achieved(sums, drawing)
    return extras


def _verdict(extras):
    found = extras["skill"]
    sentences = [
        skills.describe_skill(found),
        skills.describe_achieved(extras.get("achieved")),
        describe_lag(extras["lag"], skilled=(found["low"] or 0) > 0),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _overall(sums, drawing, levels):
    """The measures of the report's own table, over all steps, with intervals."""
    widest = central(levels)
    percent = next((p for p, *_ in widest if p == 80), widest[-1][0] if widest else None)
    names = [LOSS, "mase", "rmse", f"coverage_{percent}", f"width_{percent}"]
    return {
        name: _measure(name, sums[name], drawing)
        for name in [*names, "directional_accuracy"]
        if name in sums
    }


def _measure(name, pair, drawing):
    over, under = (table.sum(axis=1) for table in pair)
    draws = None if drawing.reason else ratio(name, drawing.draw(over), drawing.draw(under))
    share = name.startswith(("coverage", "directional"))
    most = 1 if share else np.inf
    return drawing.metric(ratio(name, over.sum(), under.sum()), draws, least=0, most=most)


def _by_step(sums):
    return {name: ratio(name, *(t.sum(axis=0) for t in pair)) for name, pair in sums.items()}


def _table(extras, steps, best):
    """Rows of text, the first of them the head."""
    model = extras["steps"][MODEL]
    columns = {"step": [f"{step}" for step in steps]}

    def add(title, values, form):
        cells = ["–" if v is None or not np.isfinite(v) else format(v, form) for v in values]
        columns[title] = [cells[step - 1] for step in steps]

    add("loss", model[LOSS], ".6f")
    for title, name in (("trailing", TRAILING), ("weighted", WEIGHTED), (PROCESS, PROCESS)):
        if name in extras["steps"]:
            add(f"loss / {title}", model[LOSS] / extras["steps"][name][LOSS], ".4f")
    add("mase", model["mase"], ".3f")
    add("mase / persistence", model["mase_over_persistence"], ".3f")
    for name, values in model.items():
        if name.startswith("coverage_"):
            add(f"in {name.removeprefix('coverage_')} %", values, ".1%")
    add("direction", model["directional_accuracy"], ".1%")
    add("always up", model["always_up"], ".1%")
    if best:
        add("p, best baseline", extras["diebold_mariano"][best]["p_value"], ".3f")
    return [list(columns), *map(list, zip(*columns.values(), strict=True))]


def _check_forecasts(forecasts, shape, name):
    """Forecasts as float arrays of the shape they must have."""
    quantiles, mean = np.asarray(forecasts.quantiles), forecasts.mean
    shapes = [quantiles.shape] + ([] if mean is None else [(*np.shape(mean), shape[2])])
    if any(own != shape for own in shapes) or not shape[1]:
        raise ValueError(
            f"The forecasts of {name!r} have quantiles of the shape {quantiles.shape} and a mean "
            f"of the shape {np.shape(mean)}; {shape[0]} origins, {shape[2]} levels and the model's "
            f"{shape[1]} steps need {shape} and {shape[:2]}, one step or more."
        )
    for values in [quantiles] if mean is None else [quantiles, np.asarray(mean)]:
        if not np.isfinite(values).all():
            raise ValueError(
                f"The forecasts of {name!r} are not all finite; give a number for every origin, "
                "step and level."
            )
    return Forecasts(quantiles, None if mean is None else np.asarray(mean, np.float64))
