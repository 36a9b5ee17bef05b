"""Daily log returns of closing prices with gaps, and what they say up to a date.

S series, D dates, N origins. An origin is a series and a date on which its close is known. A return
over a gap of g days is spread out: each of the days gets a g-th of it, and a g-th of its square,
so that neither the mean nor the variance of a day depends on which closes are missing. No table
holds anything of a day beyond the origin at the days up to it.
"""

import numpy as np

_ENOUGH = 10  # days; below, a series' volatility is held against that of all series
_UNKNOWN = 0.02  # a day, where no series has enough returns: wide for most shares


class Returns:
    """Log returns of many series, by day.

    Args:
        closes: float64 (S, D), closing prices in currency, NaN where missing.

    Raises:
        ValueError: a close is zero, negative or infinite, or the array is not two-dimensional.

    Example:
        >>> returns = Returns(np.array([[1.0, np.nan, np.e]]))
        >>> returns.changes.tolist(), returns.squares.tolist()
        ([[0.0, 0.5, 0.5]], [[0.0, 0.5, 0.5]])
    """

    def __init__(self, closes):
        self.closes = check_closes(closes)
        self.changes = np.zeros(self.closes.shape)
        self.squares = np.zeros(self.closes.shape)
        self.known = np.zeros(self.closes.shape)  # 1 where the day has a return
        for row, prices in enumerate(self.closes):
            days = np.flatnonzero(np.isfinite(prices))
            if len(days) < 2:
                continue
            gaps, jumps = np.diff(days), np.diff(np.log(prices[days]))
            within = slice(days[0] + 1, days[-1] + 1)
            self.changes[row, within] = np.repeat(jumps / gaps, gaps)
            self.squares[row, within] = np.repeat(jumps**2 / gaps, gaps)
            self.known[row, within] = 1

    def moments(
        self, origins: np.ndarray, days: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and volatility of the days up to each origin.

        Args:
            origins: int (N, 2), series and date.
            days: how many of the last days; all of them by default.

        Returns:
            float64 (N,) each: the mean log return of a day, its standard deviation (n - 1 in the
            denominator), and the number of days these come from. With fewer than ten days the mean
            is 0, and the deviation is the larger of the series' own and that of all series up to
            the same date.
        """
        count, total, square = (
            _up_to(table, origins, days) for table in (self.known, self.changes, self.squares)
        )
        mean = total / np.maximum(count, 1)
        variance = (square - total * mean) / np.maximum(count - 1, 1)
        few = count < _ENOUGH
        return np.where(few, 0, mean), self._floored(variance, few, origins), count

    def weighted_volatility(self, origins: np.ndarray, decay: float) -> np.ndarray:
        """Root of the exponentially weighted mean of the squared returns up to each origin.

        The weights fall by `decay` a day and sum to one, also early on (J.P. Morgan 1996,
        RiskMetrics Technical Document, section 5.2, but for the sum). With fewer than ten days, as
        in `moments`.

        Args:
            origins: int (N, 2), series and date.
            decay: between 0 and 1.

        Returns:
            float64 (N,), of one day.
        """
        from scipy.signal import lfilter

        square, weight = (
            lfilter([1 - decay], [1, -decay], table, axis=1)[origins[:, 0], origins[:, 1]]
            for table in (self.squares, self.known)
        )
        few = _up_to(self.known, origins, None) < _ENOUGH
        return self._floored(square / np.where(weight > 0, weight, 1), few, origins)

    def _floored(self, variance, few, origins):
        """Volatility, where there are few days not below that of all series at the date."""
        count, square = (
            np.cumsum(table.sum(axis=0))[origins[:, 1]] for table in (self.known, self.squares)
        )
        pooled = np.where(count < _ENOUGH, _UNKNOWN**2, square / np.maximum(count, 1))
        variance = np.where(few, np.maximum(variance, pooled), variance)
        return np.sqrt(np.maximum(variance, 0))  # differences of sums leave dust below zero


def check_closes(closes: np.ndarray) -> np.ndarray:
    """Return closing prices as float64 (S, D), and refuse what cannot be a price.

    Raises:
        ValueError: a close is zero, negative or infinite, or the array is not two-dimensional.
    """
    closes = np.asarray(closes, dtype=np.float64)
    if closes.ndim != 2:
        raise ValueError(
            f"Closes came with the shape {closes.shape}; give one row per series, one column per "
            "date: (S, D)."
        )
    wrong = np.argwhere((closes <= 0) | np.isinf(closes))
    if len(wrong):
        series, date = wrong[0]
        raise ValueError(
            f"The close of series {series} at date {date} is {closes[series, date]}; a price is "
            "above zero and finite, a missing one is NaN."
        )
    return closes


def check_origins(origins: np.ndarray, closes: np.ndarray) -> np.ndarray:
    """Return origins as int64 (N, 2), and refuse those that name no known close.

    Raises:
        ValueError: the shape is another, an index lies outside, or a close is missing.
    """
    origins = np.asarray(origins)
    if origins.ndim != 2 or origins.shape[1] != 2 or not len(origins):
        raise ValueError(
            f"Origins came with the shape {origins.shape}; give a series index and a date index "
            "for each of one or more: (N, 2)."
        )
    origins = origins.astype(np.int64)
    outside = ((origins < 0) | (origins >= closes.shape)).any(axis=1)
    if outside.any():
        raise ValueError(
            f"The origin {tuple(origins[outside][0].tolist())} lies outside the closes, which have "
            f"the shape {closes.shape}; give indices into them."
        )
    missing = np.isnan(closes[origins[:, 0], origins[:, 1]])
    if missing.any():
        raise ValueError(
            f"The origin {tuple(origins[missing][0].tolist())} has no close; forecast from dates "
            "on which the price is known."
        )
    return origins


def _up_to(table, origins, days):
    """Sum of the last `days` columns up to each origin, float64 (N,)."""
    running = np.pad(np.cumsum(table, axis=1), ((0, 0), (1, 0)))
    series, ends = origins[:, 0], origins[:, 1] + 1
    total = running[series, ends]
    return total if days is None else total - running[series, np.maximum(ends - days, 0)]
