"""Finds the forecast that is yesterday's price: drawn as a line it hugs the actual one, a day late.

The line is the median one step ahead, F(t + 1 | t) for each date t + 1. Its change from one date to
the next, log F(t + 1 | t) - log F(t | t - 1), is set beside the actual return of the same day (lag
0), log P(t + 1) - log P(t), and of the day before (lag 1), log P(t) - log P(t - 1). A line that
knows the day moves with it at lag 0; a shifted one at lag 1. A third correlation asks for what such
a line may still know: that of the move it forecasts, log F(t + 1 | t) - log P(t), with the actual.

All are over consecutive origins of all series together, each series measured in its own volatility.
"""

import numpy as np

from rnn_apps.evaluation.significance import Resampling

_HIGH = 0.9
_ENOUGH = 30  # pairs of consecutive origins
_DUST = 1e-5  # of a day's volatility: less does not vary


def detect_lag(closes: np.ndarray, origins: np.ndarray, median: np.ndarray, seed: int = 0) -> dict:
    """Correlate a one-step median with the actual returns of the same day and the day before.

    Args:
        closes: float64 (S, D), closing prices in currency, NaN where missing.
        origins: int64 (N, 2), series and date.
        median: float (N,), forecast for the date after each origin, in currency.
        seed: of the resampling behind the interval of the third correlation.

    Returns:
        "lag_0", "lag_1" and "moves": correlations, None where a side does not vary or there are
        fewer than 30 pairs; "pairs": over how many days they are; "moves_follow": whether the
        interval of the third lies above zero; "shifted": whether lag 1 is above 0.9 and above
        lag 0.

    Example:
        >>> prices = np.exp(np.random.default_rng(0).normal(0, 0.01, (1, 100)).cumsum(axis=1))
        >>> origins = np.array([[0, date] for date in range(99)])
        >>> detect_lag(prices, origins, prices[0, :99])["shifted"]
        True
    """
    changes, same, before, moves, dates = _aligned(closes, origins, np.asarray(median, float))
    lag_0, lag_1, along = (
        _correlation(np.sum(_products(*pair), axis=1, keepdims=True))
        for pair in ((changes, same), (changes, before), (moves, same))
    )
    found = {"lag_0": lag_0, "lag_1": lag_1, "moves": along}
    found = {name: float(v[0]) if np.isfinite(v[0]) else None for name, v in found.items()}
    return {
        **found,
        "pairs": len(changes),
        "moves_follow": found["moves"] is not None and _above_zero(moves, same, dates, seed),
        "shifted": bool(lag_1[0] > _HIGH and not lag_0[0] >= lag_1[0]),
    }


def describe_lag(found: dict, skilled: bool) -> str:
    """Say in words what `detect_lag` found.

    Args:
        found: what it returned.
        skilled: whether the forecast beats its baselines.

    Returns:
        A sentence; empty where there is nothing to tell.

    Example:
        >>> found = {"lag_0": 0.1, "lag_1": 0.99, "moves": None, "moves_follow": False}
        >>> describe_lag({**found, "shifted": True}, skilled=False).split(":")[0]
        "As a line, the median is yesterday's price shifted by a day"
    """
    if found["lag_1"] is None:
        return ""
    same = "undefined" if found["lag_0"] is None else f"{found['lag_0']:.2f}"
    changes = f"its daily changes correlate {found['lag_1']:.2f} with those of the day before"
    changes += f" and {same} with those of the same day"
    if not found["shifted"]:
        return f"The median is not yesterday's price shifted by a day: {changes}."
    if found["moves_follow"]:
        follow = f"correlate {found['moves']:.2f} with the actual ones"
        return (
            f"As a line, the median is close to yesterday's price shifted by a day: {changes}. "
            f"The small moves that it adds do {follow}."
        )
    worth = "the value of the forecast lies in its spread alone"
    if not skilled:
        worth = "its spread is not shown to be better than the best baseline's either"
    return f"As a line, the median is yesterday's price shifted by a day: {changes}; {worth}."


def _aligned(closes, origins, median):
    """Changes of the line, returns of the same day and of the day before, forecast moves, dates.

    Float64 (pairs,) each, in volatilities of the series.
    """
    order = np.lexsort((origins[:, 1], origins[:, 0]))
    series, dates = origins[order].T
    line = np.log(np.where(median > 0, median, np.nan)[order])
    logs = np.log(closes)
    ahead = np.pad(logs, ((0, 0), (0, 1)), constant_values=np.nan)[series, dates + 1]
    now = logs[series, dates]
    paired = (np.diff(series) == 0) & (np.diff(dates) == 1) & np.isfinite(ahead[1:])
    paired &= np.isfinite(np.diff(line))
    columns = (np.diff(line), (ahead - now)[1:], np.diff(now), (line - now)[1:])
    columns = [column[paired] for column in columns]
    series, dates = series[1:][paired], dates[1:][paired]
    count = np.maximum(np.bincount(series, minlength=len(closes)), 1)
    volatility = np.sqrt(np.bincount(series, columns[2] ** 2, len(closes)) / count)[series]
    volatility = np.where(volatility > 0, volatility, 1)
    return *(column / volatility for column in columns), dates


def _products(x, y):
    """What a correlation is made of, (6, pairs): 1, x, y, x², y², xy."""
    return np.array([np.ones_like(x), x, y, x * x, y * y, x * y])


def _correlation(sums):
    """Pearson's correlation from sums of `_products`, (6, R) → (R,); NaN where one is none."""
    count, x, y, xx, yy, xy = sums
    count = np.where(count >= _ENOUGH, count, np.nan)
    x, y = x / count, y / count
    spread_x, spread_y = (np.sqrt(np.maximum(s / count - m * m, 0)) for s, m in ((xx, x), (yy, y)))
    varies = (spread_x > _DUST) & (spread_y > _DUST)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(varies, (xy / count - x * y) / (spread_x * spread_y), np.nan)


def _above_zero(moves, actual, dates, seed):
    """Whether the 95 % interval of their correlation is, with whole blocks of dates drawn again."""
    days, place = np.unique(dates, return_inverse=True)
    drawing = Resampling(len(days), 1, seed, resamples=500)
    if drawing.reason:
        return False
    products = _products(moves, actual)
    by_date = np.array([np.bincount(place, row, len(days)) for row in products])
    value = _correlation(products.sum(axis=1, keepdims=True))[0]
    metric = drawing.metric(value, _correlation(drawing.draw(by_date.T).T))
    return metric["low"] is not None and metric["low"] > 0
