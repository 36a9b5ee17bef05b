"""What a forecast of prices has to beat: the last price, with an honest idea of its spread.

S series, D dates, N origins, H steps, Q levels. All baselines are log-normal: a median path, and a
spread around it. None of them sees anything after its origin, and what is fitted once (the
coefficients of the autoregression) sees nothing after `learned_until`. Gaps and short histories:
see `rnn_apps.evaluation.returns`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rnn_apps.evaluation.autoregression import autoregression
from rnn_apps.evaluation.returns import Returns, check_origins

_TRAILING, _DECAY, _SEASON, _YEAR = 60, 0.94, 5, 252
_ENOUGH = 30  # errors of a season


@dataclasses.dataclass(frozen=True)
class Forecasts:
    """Distributions of the prices to come.

    Args:
        quantiles: float64 (N, H, Q), prices in currency.
        mean: float64 (N, H), prices in currency.
    """

    quantiles: np.ndarray
    mean: np.ndarray


def baselines(
    closes: np.ndarray,
    origins: np.ndarray,
    horizon: int,
    levels: Sequence[float],
    *,
    learned_until: int,
) -> dict[str, Forecasts]:
    """Forecast from every origin by what is simplest.

    - persistence, trailing volatility: the last price; standard deviation of the last 60 days.
    - persistence, weighted volatility: the last price; exponentially weighted, decay 0.94.
    - persistence, all volatility: the last price; standard deviation of all days so far.
    - drift: the mean return of all days so far goes on; the deviation grows by what is uncertain
      about that mean (Hyndman & Athanasopoulos 2021, Forecasting: Principles and Practice, 5.5).
    - seasonal naive: the last five daily returns come again, over and over; the spread is the root
      of the mean square of what that missed by in the 252 days so far, step by step.
    - autoregression: see `rnn_apps.evaluation.autoregression`.

    Args:
        closes: float64 (S, D), closing prices in currency, NaN where missing.
        origins: int (N, 2), series and date; a close is known there.
        horizon: H, days of the calendar.
        levels: of the quantiles, between 0 and 1.
        learned_until: date index up to which, inclusive, coefficients may be fitted.

    Returns:
        Name → `Forecasts`, in the order above. The mean is that of the distribution, above the
        median by half its variance.

    Raises:
        ValueError: closes are no prices, or an origin has none, or a level lies outside 0 to 1.

    Example:
        >>> prices = np.exp(np.random.default_rng(0).normal(0, 0.01, (1, 100)).cumsum(axis=1))
        >>> named = baselines(prices, [[0, 99]], 5, [0.1, 0.5, 0.9], learned_until=80)
        >>> bool(np.isclose(named["drift"].quantiles[0, 0, 1], prices[0, 99], rtol=0.005))
        True
    """
    from scipy.special import ndtri

    returns = Returns(closes)
    origins = check_origins(origins, returns.closes)
    levels = check_levels(levels)
    if horizon < 1:
        raise ValueError(f"The horizon is {horizon}; give the number of days to forecast.")
    prices = returns.closes[origins[:, 0], origins[:, 1]]
    quantiles = ndtri(levels)
    return {
        name: _log_normal(prices, path, deviation, quantiles)
        for name, (path, deviation) in _paths(returns, origins, horizon, learned_until).items()
    }


def check_levels(levels: Sequence[float]) -> np.ndarray:
    """Return levels as float64 (Q,), and refuse what are none.

    Raises:
        ValueError: there is none, one lies outside 0 to 1, or they do not rise.
    """
    levels = np.asarray(levels, dtype=np.float64)
    inside = levels.ndim == 1 and len(levels) and ((levels > 0) & (levels < 1)).all()
    if not inside or (np.diff(levels) <= 0).any():
        raise ValueError(
            f"The levels of the quantiles are {levels.tolist()}; give one or more, rising, between "
            "0 and 1."
        )
    return levels


def _paths(returns, origins, horizon, learned_until):
    """{name: (log of the median over the last price, deviation of the log)}, (N, H) each."""
    steps = np.arange(1, horizon + 1)
    root = np.sqrt(steps)
    still = np.zeros((len(origins), horizon))
    trailing = returns.moments(origins, _TRAILING)[1]
    weighted = returns.weighted_volatility(origins, _DECAY)
    mean, volatility, days = (part[:, None] for part in returns.moments(origins))
    growing = volatility * np.sqrt(steps + steps**2 / np.maximum(days, 1))
    return {
        "persistence, trailing volatility": (still, trailing[:, None] * root),
        "persistence, weighted volatility": (still, weighted[:, None] * root),
        "persistence, all volatility": (still, volatility * root),
        "drift": (mean * steps, growing),
        "seasonal naive": _seasonal(returns, origins, horizon, volatility),
        "autoregression": autoregression(returns, origins, horizon, learned_until),
    }


def _seasonal(returns, origins, horizon, volatility):
    """Median path and deviation of "the last season comes again"."""
    series, dates = origins.T
    walked = np.cumsum(returns.changes, axis=1)  # log price over the first close
    season = [_back(returns.changes, _SEASON - 1 - day) for day in range(_SEASON)]
    full = _back(returns.known, _SEASON - 1)  # 1 where the last season has all its returns
    path, times = np.zeros(returns.changes.shape), np.zeros(_SEASON)
    paths, deviations = np.empty((2, len(origins), horizon))
    for step in range(1, horizon + 1):
        path += season[(step - 1) % _SEASON]
        times[(step - 1) % _SEASON] += 1
        paths[:, step - 1] = path[series, dates]
        # What the path from `step` days ago missed by is known today.
        judged = _back(full, step)
        square = judged * (walked - _back(walked + path, step)) ** 2
        square, count = (_last(table, _YEAR)[series, dates] for table in (square, judged))
        own = np.sqrt(np.maximum(square, 0) / np.maximum(count, 1))
        # Of a random walk: its own days, and each day of the season as often as it came.
        walk = volatility[:, 0] * np.sqrt(step + (times**2).sum())
        deviations[:, step - 1] = np.where(count < _ENOUGH, np.maximum(own, walk), own)
    return paths, deviations


def _back(table, days):
    """The table of `days` before, zeros where there is none."""
    return np.pad(table, ((0, 0), (days, 0)))[:, : table.shape[1]]


def _last(table, days):
    """Sum over the last `days` columns up to each, (S, D)."""
    running = np.cumsum(table, axis=1)
    return running - _back(running, days)


def _log_normal(prices, path, deviation, quantiles):
    spread = deviation[..., None] * quantiles
    spread += path[..., None]
    np.exp(spread, out=spread)
    spread *= prices[:, None, None]
    return Forecasts(spread, prices[:, None] * np.exp(path + deviation**2 / 2))
