"""Splits of a share that were left in its prices: a jump by 2:1, 3:1, …, which no one lost by."""

import numpy as np

CLOSE, OPEN, VOLUME = 3, 0, 4  # of `bars.FIELDS`
CHOICES = ("refuse", "adjust", "keep")
_RATIOS = np.array([1.5, *range(2, 11), 15, 20, 25, 30, 50])
_LEAST_VOLATILITIES = 8.0  # the jump, in daily volatilities of the series
_TOLERANCE = 0.03, 0.06  # of the logarithm: without and with the day's own move
_REAL_TURNOVER = 4.0  # times the usual: so much is traded when a price really falls by half
_USUAL_VOLATILITY, _FEW = 0.02, 20  # what is taken for a series with fewer returns than that
_TURNOVER_DATES = 20


def handle(values, calendar, splits):
    """Finds splits of a share that its prices were not adjusted for.

    Such is a change of the close from one bar to the next that is within 3 % (and the series'
    usual daily move, 6 % at most) of n:1 or 1:n for n = 2 … 10, 15, 20, 25, 30 and 50, of 3:2 or
    of 2:3, at least 8 times its usual daily volatility (1.48 times the median absolute return),
    and no real crash: the open, where it is given, has jumped as far, and close times volume,
    where it is given, is below 4 times its median of the 20 bars before. 2:3 is rare, so it is
    believed only with an open.

    Args:
        values: float64 (S, D, 5), NaN where unknown.
        calendar: the `Calendar` of the values.
        splits: "refuse" to raise, "adjust" to divide the prices before a split by its ratio (and
            multiply the volumes), or "keep" to leave them.

    Returns:
        `(values, notes)`.

    Raises:
        ValueError: if there is one and `splits` is "refuse"; names series, date, ratio and what
            to do.
    """
    if splits not in CHOICES:
        raise ValueError(f"splits is {splits!r}; it must be 'refuse', 'adjust' or 'keep'.")
    found = [(s, *jump) for s in range(len(values)) for jump in _jumps(values[s])]
    if not found:
        return values, ()
    s, before, d, ratio = found[0]
    more = "" if len(found) == 1 else f" (and {len(found) - 1} more like it)"
    said = (
        f"The close of '{calendar.series[s]}' goes from {values[s, before, CLOSE]:.6g} to "
        f"{values[s, d, CLOSE]:.6g} on {calendar.dates[d]}, like a {_words(ratio)} split of the "
        f"share left unadjusted{more}"
    )
    if splits == "refuse":
        raise ValueError(
            f"{said}; give adj_close, or pass splits='adjust' to `load_bars` to divide the prices "
            f"before it by {1 / ratio:.4g}, or splits='keep' if the price really moved so."
        )
    if splits == "keep":
        return values, (f"{said}; kept as it is.",)
    values = values.copy()
    for s, _, d, ratio in found:
        values[s, :d, : CLOSE + 1] *= ratio
        values[s, :d, VOLUME] /= ratio
    return values, (f"{said}; the prices before it were divided by {1 / ratio:.4g}.",)


def _words(ratio):
    """The ratio of prices, after to before, as new shares for old ones."""
    if np.isclose(max(ratio, 1 / ratio), 1.5):
        return "3:2" if ratio < 1 else "2:3"
    return f"{1 / ratio:.0f}:1" if ratio < 1 else f"1:{ratio:.0f}"


def _jumps(bars):
    """Yields (date before, date, ratio of the prices) of one series, float64 (D, 5)."""
    there = np.flatnonzero(~np.isnan(bars[:, CLOSE]))
    bars = bars[there]
    moves = np.diff(np.log(bars[:, CLOSE]))
    if not len(moves):
        return
    volatility = 1.4826 * np.median(np.abs(moves)) if len(moves) >= _FEW else _USUAL_VOLATILITY
    tolerance = min(_TOLERANCE[0] + volatility, _TOLERANCE[1])
    least = max(np.log(_RATIOS[0]) - tolerance, _LEAST_VOLATILITIES * volatility)
    for row in 1 + np.flatnonzero(np.abs(moves) >= least):
        move = moves[row - 1]
        nearest = _RATIOS[np.argmin(np.abs(np.abs(move) - np.log(_RATIOS)))]
        exact = np.sign(move) * np.log(nearest)
        opening = np.log(bars[row, OPEN] / bars[row - 1, CLOSE])
        if abs(move - exact) > tolerance or abs(opening - exact) > tolerance:
            continue  # an open that is not known is NaN, which is not greater
        rare = move > 0 and nearest == 1.5 and np.isnan(opening)
        if not rare and not _traded_like_news(bars, row):
            yield there[row - 1], there[row], float(np.exp(exact))


def _traded_like_news(bars, row):
    turnover = bars[max(0, row - _TURNOVER_DATES) : row + 1, CLOSE]
    turnover = turnover * bars[max(0, row - _TURNOVER_DATES) : row + 1, VOLUME]
    before = turnover[:-1][~np.isnan(turnover[:-1])]
    return len(before) > 0 and turnover[-1] >= _REAL_TURNOVER * np.median(before) > 0
