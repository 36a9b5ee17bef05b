"""An autoregression of daily log returns, with its order from the data, for every origin at once.

Fitted by statsmodels, once per series; what follows from the coefficients is done here for all
origins together, since asking a fitted model anew at each of them takes some 10 s per 15,000.
"""

import numpy as np

from rnn_apps.evaluation.returns import Returns

_LAGS = 10
_ENOUGH = 60  # days to fit on


def autoregression(
    returns: Returns, origins: np.ndarray, horizon: int, learned_until: int
) -> tuple[np.ndarray, np.ndarray]:
    """Forecast the cumulative log return by an autoregression of at most ten lags.

    Its order is the one with the lowest Bayesian information criterion (Schwarz 1978) on the
    returns up to `learned_until`. A series with fewer than 60 of these, or without any variation,
    or with a fit that is not stationary, gets no lags, no drift and all its volatility so far.

    Args:
        returns: of S series.
        origins: int (N, 2), series and date.
        horizon: H, days.
        learned_until: date index up to which, inclusive, the coefficients are fitted.

    Returns:
        float64 (N, H) each: mean and standard deviation of the log return from the origin to each
        step. The deviation comes from the moving-average form (Hamilton 1994, Time Series Analysis,
        eq. 4.2.15, summed over the days).

    Example:
        >>> prices = np.exp(np.random.default_rng(0).normal(0, 0.01, (1, 500)).cumsum(axis=1))
        >>> mean, deviation = autoregression(Returns(prices), np.array([[0, 499]]), 4, 399)
        >>> mean.shape, bool(np.isclose(deviation[0, 3], 0.02, atol=0.002))
        ((1, 4), True)
    """
    series = origins[:, 0]
    rows = np.unique(series)
    place = np.searchsorted(rows, series)
    fits = [_fit(_learned(returns, row, learned_until)) for row in rows]
    fitted = np.array([fit is not None for fit in fits])[place]
    constants, lags, deviations = (
        np.array([fit[part] if fit else empty for fit in fits])
        for part, empty in enumerate((0.0, np.zeros(_LAGS), 0.0))
    )
    past = origins[:, 1, None] - np.arange(_LAGS)  # (N, P), the newest first
    past = np.where(past >= 0, returns.changes[series[:, None], np.maximum(past, 0)], 0)
    mean = _follow(past, constants[place], lags[place], horizon)
    shock = np.zeros((len(rows), _LAGS))
    shock[:, 0] = 1
    # A shock counts itself, and what it does to the days after.
    response = np.pad(1 + _follow(shock, 0, lags, horizon), ((0, 0), (1, 0)), constant_values=1)
    spread = deviations[:, None] * np.sqrt(np.cumsum(response[:, :horizon] ** 2, axis=1))
    walk = returns.moments(origins)[1][:, None] * np.sqrt(np.arange(1, horizon + 1))
    return mean, np.where(fitted[:, None], spread[place], walk)


def _learned(returns, row, learned_until):
    """Returns of a series from its first to its last close not after `learned_until`."""
    days = np.flatnonzero(np.isfinite(returns.closes[row, : learned_until + 1]))
    return returns.changes[row, days[0] + 1 : days[-1] + 1] if len(days) else np.empty(0)


def _fit(changes):
    """Constant, coefficients (P,) padded with zeros, and deviation of the shocks; or None."""
    if len(changes) < _ENOUGH or np.ptp(changes) < 1e-12:
        return None
    from statsmodels.tsa.ar_model import ar_select_order

    fit = ar_select_order(changes, _LAGS, ic="bic").model.fit()
    lags = np.asarray(fit.params[1:])
    if len(lags) and np.abs(fit.roots).min() <= 1:
        return None
    return float(fit.params[0]), np.pad(lags, (0, _LAGS - len(lags))), float(np.sqrt(fit.sigma2))


def _follow(past, constants, lags, horizon):
    """Cumulative sums of the days to come, float64 (N, H), without further shocks."""
    days = []
    for _ in range(horizon):
        days.append(constants + (past * lags).sum(axis=1))
        past = np.column_stack([days[-1], past[:, :-1]])
    return np.cumsum(days, axis=0).T
