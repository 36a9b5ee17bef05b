"""What quantile forecasts of prices are measured by.

All is kept as sums per date, so that dates can be drawn again. S series, D dates, N origins, H
steps, Q levels, T dates that have an origin. Every measure is a ratio of two sums over series,
dates and steps (the root mean squared error its root); a target that is missing is in neither.

- weighted_quantile_loss: twice the quantile loss, mean over the levels, over the sum of the actual
  prices (Salinas et al. 2020, DeepAR, section 4.3). The levels are 0.1, 0.2 … 0.9 where all nine
  are among those forecast, else all that are.
- weighted_quantile_loss_at_<level>: the same at one level.
- crps: the continuous ranked probability score as twice the integral of the quantile loss over the
  levels (Gneiting & Ranjan 2011, eq. 17), by the trapezoidal rule through the levels there are and
  zeros at 0 and 1, over the sum of the actual prices. With few levels it is a coarse number.
- mase: absolute error of the median over its series' mean absolute change from one day to the next
  (Hyndman & Koehler 2006, section 3) up to the first origin, in all that is known where that is
  fewer than ten changes. A series that never changed is left out.
- mase_over_persistence: the same over that of the last price at the same steps.
- rmse: of the mean, in currency.
- coverage_<percent>, width_<percent>: share of the actual prices within the central interval, ends
  included, and its width in percent of the last price.
- directional_accuracy: share of the moves from the last price whose sign the median has. No move is
  left out; a median at the last price (to one in a million) has half of it right.
- always_up: share of the moves that went up, which is what "always up" has right.
"""

import functools

import numpy as np

from rnn_apps.evaluation.persistence import Forecasts

LOSS = "weighted_quantile_loss"
_DECILES = np.arange(1, 10) / 10
_CENTRAL = (50, 80, 95)
_ENOUGH = 10  # changes to scale an error by


class Targets:
    """What came after each origin, and what errors are measured against.

    Args:
        closes: float64 (S, D), closing prices in currency, NaN where missing.
        origins: int64 (N, 2), series and date, a close is known there.
        horizon: H.

    Raises:
        ValueError: no origin has a known price after it.

    Example:
        >>> targets = Targets(np.array([[1.0, 2.0, 4.0]]), np.array([[0, 0], [0, 1]]), horizon=2)
        >>> targets.prices.tolist()
        [[2.0, 4.0], [4.0, nan]]
    """

    def __init__(self, closes, origins, horizon):
        series, dates = origins.T
        self.last = closes[series, dates]  # (N,)
        beyond = np.pad(closes, ((0, 0), (0, horizon)), constant_values=np.nan)
        self.prices = beyond[series[:, None], dates[:, None] + np.arange(1, horizon + 1)]  # (N, H)
        self.known = np.isfinite(self.prices)
        if not self.known.any():
            raise ValueError(
                f"None of the {len(origins)} origins has a known price in the {horizon} days after "
                "it; judge on earlier origins."
            )
        self.dates, self._day = np.unique(dates, return_inverse=True)  # (T,), (N,)
        self._order = np.argsort(self._day, kind="stable")
        self._starts = np.searchsorted(self._day[self._order], np.arange(len(self.dates)))
        self.scale = _mean_change(closes, self.dates[0])[series]
        self.scaled = self.known & (self.scale > 0)[:, None]
        self.count = self.by_date(self.known)
        self._apart = np.median(np.diff(self.dates)) if len(self.dates) > 1 else 1

    def overlap(self, step: int) -> int:
        """Over how many dates with origins a forecast of that step reaches."""
        return int(np.ceil(step / self._apart))

    def by_date(self, values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """Sum (N, H) values over the series of each date, float64 (T, H); unknown ones are zero."""
        values = np.where(self.known if known is None else known, values, 0.0)
        return np.add.reduceat(values[self._order], self._starts, axis=0)

    @functools.cached_property
    def total(self):
        """Sum of the actual prices, float64 (T, H)."""
        return self.by_date(self.prices)

    @functools.cached_property
    def still(self):
        """Scaled absolute error of the last price, float64 (T, H)."""
        return self.by_date(np.abs(self.prices - self.last[:, None]) / self._scale(), self.scaled)

    def _scale(self):
        return np.where(self.scale > 0, self.scale, 1)[:, None]

    def absolute(self, median):
        """Scaled absolute error of (N, H) medians, float64 (T, H)."""
        return self.by_date(np.abs(self.prices - median) / self._scale(), self.scaled)


def score(
    targets: Targets, forecasts: Forecasts, levels: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Measure forecasts: name of a measure → its two sums, float64 (T, H) each.

    Args:
        targets: N origins, H steps.
        forecasts: quantiles (N, H, Q) and mean (N, H); without a mean (None) there is no rmse.
        levels: float64 (Q,), rising.

    Returns:
        The measures of this module, see its head.

    Example:
        >>> targets = Targets(np.array([[1.0, 2.0]]), np.array([[0, 0]]), horizon=1)
        >>> sums = score(targets, Forecasts(np.array([[[1.0, 3.0]]]), np.ones((1, 1))), [0.2, 0.8])
        >>> over, under = sums["weighted_quantile_loss"]  # 2 * mean(0.2 * 1, 0.2 * 1) over 2.0
        >>> round((over / under).item(), 6)
        0.2
    """
    levels = np.asarray(levels)
    quantiles = forecasts.quantiles
    losses = np.array([_loss(targets, quantiles[..., q], at) for q, at in enumerate(levels)])
    weights = np.diff(np.concatenate([[0], levels, [1]]))
    weights = (weights[:-1] + weights[1:]) / 2  # of the trapezoidal rule
    median = median_of(quantiles, levels)
    absolute = targets.absolute(median)
    sums = {
        LOSS: (losses[judged_levels(levels)].mean(axis=0), targets.total),
        "mase": (absolute, targets.by_date(np.ones_like(median), targets.scaled)),
    }
    if forecasts.mean is not None:
        squared = targets.by_date((targets.prices - forecasts.mean) ** 2)
        sums["rmse"] = (squared, targets.count)
    for percent, low, high in central(levels):
        low, high = quantiles[..., low], quantiles[..., high]
        inside = (low <= targets.prices) & (targets.prices <= high)
        width = 100 * (high - low) / targets.last[:, None]
        sums[f"coverage_{percent}"] = (targets.by_date(inside), targets.count)
        sums[f"width_{percent}"] = (targets.by_date(width), targets.count)
    sums.update(_directions(targets, median))
    sums["mase_over_persistence"] = (absolute, targets.still)
    sums["crps"] = (np.tensordot(weights, losses, 1), targets.total)
    for at, loss in zip(levels, losses, strict=True):
        sums[f"{LOSS}_at_{at:g}"] = (loss, targets.total)
    return sums


def ratio(name: str, over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """The measure of that name from its two sums; NaN where there is nothing to divide by."""
    value = np.divide(over, under, out=np.full(np.shape(over), np.nan), where=np.asarray(under) > 0)
    return np.sqrt(value) if name == "rmse" else value


def judged_levels(levels: np.ndarray) -> np.ndarray:
    """Which levels the weighted quantile loss is the mean of, bool (Q,)."""
    deciles = np.isclose(np.asarray(levels)[:, None], _DECILES).any(axis=1)
    return deciles if deciles.sum() == len(_DECILES) else np.ones(len(levels), dtype=bool)


def central(levels: np.ndarray) -> list[tuple[int, int, int]]:
    """Central intervals among the levels, from narrow to wide: percent, low and high index.

    Those of 50, 80 and 95 %; without these the widest there is; without any pair of levels that
    lie as far from 0 as from 1, none.
    """
    levels = np.asarray(levels)
    pairs = [
        (round(100 * (levels[high] - levels[low]), 6), low, high)
        for low in range(len(levels))
        for high in range(low + 1, len(levels))
        if np.isclose(levels[low] + levels[high], 1)
    ]
    pairs = sorted((int(p) if p == int(p) else p, low, high) for p, low, high in pairs)
    return [pair for pair in pairs if pair[0] in _CENTRAL] or pairs[-1:]


def median_of(quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantile (N, H) at 0.5, between its neighbours where it is not among the levels."""
    levels = np.asarray(levels)
    above = int(np.clip(np.searchsorted(levels, 0.5 - 1e-9), 1, max(len(levels) - 1, 1)))
    if len(levels) == 1 or np.isclose(levels[above - 1], 0.5):
        return quantiles[..., above - 1]
    share = np.clip((0.5 - levels[above - 1]) / (levels[above] - levels[above - 1]), 0, 1)
    return quantiles[..., above - 1] * (1 - share) + quantiles[..., above] * share


def below(targets: Targets, quantiles: np.ndarray) -> np.ndarray:
    """Share of the actual prices at or below each quantile, float64 (H, Q); NaN without any."""
    shares = [
        targets.by_date(targets.prices <= quantiles[..., level]).sum(axis=0)
        for level in range(quantiles.shape[-1])
    ]
    return ratio("", np.array(shares), np.broadcast_to(targets.count.sum(0), np.shape(shares))).T


def _loss(targets, quantile, level):
    """Twice the quantile loss (Koenker & Bassett 1978) at a level, (T, H)."""
    error = targets.prices - quantile
    return targets.by_date(2 * np.maximum(level * error, (level - 1) * error))


def _directions(targets, median):
    last = targets.last[:, None]
    moved = targets.known & (targets.prices != last)
    ahead = np.where(np.abs(median / last - 1) <= 1e-6, 0, np.sign(median - last))
    right = (1 + ahead * np.sign(targets.prices - last)) / 2
    moves = targets.by_date(moved)
    return {
        "directional_accuracy": (targets.by_date(right, moved), moves),
        "always_up": (targets.by_date(targets.prices > last, moved), moves),
    }


def _mean_change(closes, date):
    """Mean absolute change from one day to the next up to a date, (S,); 0 without any."""
    changes = np.abs(np.diff(closes, axis=1, prepend=np.nan))
    means = []
    for row in changes:
        before = row[: date + 1]
        before = before[np.isfinite(before)]
        row = before if len(before) >= _ENOUGH else row[np.isfinite(row)]
        means.append(row.mean() if len(row) else 0.0)
    return np.array(means)
