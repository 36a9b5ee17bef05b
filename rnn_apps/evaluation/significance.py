"""Whether a difference between forecasts is more than chance: blocks of dates, and a test.

Forecasts of many steps from neighbouring dates share most of what they are judged on, so that dates
are drawn in blocks that are longer than the horizon.
"""

import numpy as np

_LEAST_BLOCK = 10  # dates: losses come in calm and stormy weeks, whatever the horizon
_LEAST_BLOCKS = 5  # below, an interval would be a guess


class Resampling:
    """Dates drawn again in blocks.

    Moving blocks (Künsch 1989) around a circle (Politis & Romano 1992), so that every date is drawn
    as often as any other. A percentile interval of few blocks is too narrow, as a normal one is
    beside Student's; it is stretched around the value by the same factor (Hesterberg 2015, What
    Teachers Should Know About the Bootstrap, on narrowness bias and its correction).

    Args:
        dates: T, how many.
        overlap: over how many dates an origin's forecast reaches; a block is twice as long or more.
        seed: of the drawing.
        resamples: R, how many times.

    Example:
        >>> drawing = Resampling(dates=100, overlap=5, seed=0, resamples=200)
        >>> drawing.weights.shape, drawing.block
        ((200, 100), 10)
    """

    def __init__(self, dates, overlap, seed, resamples):
        self.block = max(2 * overlap, _LEAST_BLOCK)
        self.seed, self.resamples, self.reason = seed, resamples, None
        blocks = dates / self.block
        if blocks < _LEAST_BLOCKS:
            self.reason = (
                f"{dates} dates are too few for an interval: forecasts that reach over {overlap} "
                f"of them need {_LEAST_BLOCKS * self.block} or more."
            )
            return
        from scipy.stats import norm, t

        self._stretch = t.ppf(0.975, blocks - 1) / norm.ppf(0.975) * np.sqrt(blocks / (blocks - 1))
        starts = np.random.default_rng(seed).integers(dates, size=(resamples, int(np.ceil(blocks))))
        drawn = (starts[..., None] + np.arange(self.block)) % dates
        drawn = drawn.reshape(resamples, -1)[:, :dates] + dates * np.arange(resamples)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=resamples * dates)
        self.weights = counts.reshape(resamples, dates).astype(np.float64)  # (R, T)

    def draw(self, sums: np.ndarray) -> np.ndarray | None:
        """Sums (T, …) of every date added up in each resample, (R, …); None without resamples."""
        return None if self.reason else np.tensordot(self.weights, sums, 1)

    def metric(self, value: float, draws: np.ndarray | None, least=-np.inf, most=np.inf) -> dict:
        """The value with the ends of its 95 % interval, as a report holds it."""
        if not np.isfinite(value):
            return {"value": None, "low": None, "high": None, "reason": _NOTHING}
        draws = None if draws is None else draws[np.isfinite(draws)]
        if draws is None or not len(draws):
            reason = self.reason or _NOTHING
            return {"value": float(value), "low": None, "high": None, "reason": reason}
        ends = value + self._stretch * (np.percentile(draws, [2.5, 97.5]) - value)
        low, high = np.clip(ends, least, most)
        return {"value": float(value), "low": float(low), "high": float(high)}


_NOTHING = "A dash or a missing interval: too few actual prices to measure it by."


def diebold_mariano(differences: np.ndarray, overlap: int) -> dict:
    """Test whether two forecasts have the same expected loss (Diebold & Mariano 1995).

    With the correction and the Student distribution of Harvey, Leybourne & Newbold 1997. Their
    variance, with equal weights up to lag `overlap` - 1, can come out at zero or below; then the
    weights of Newey & West 1987 up to the same lag take its place.

    Args:
        differences: float64 (T,), loss of one less loss of the other, in order of time.
        overlap: over how many of these a forecast reaches: h for steps of h on every date.

    Returns:
        "statistic" and two-sided "p_value". Both are None with fewer differences than ten times the
        overlap, where the test would see differences that are not there. Differences that are all
        zero have 0 and 1.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=200)
        >>> [diebold_mariano(noise + shift, 1)["p_value"] > 0.05 for shift in (0, 1)]
        [True, False]
    """
    from scipy.stats import t

    size = len(differences)
    if size < 10 * overlap:
        return {"statistic": None, "p_value": None}
    mean = differences.mean()
    around = differences - mean
    lags = np.arange(1, overlap)
    covariances = np.array([around[lag:] @ around[: size - lag] for lag in lags]) / size
    own = around @ around / size
    if own <= 1e-24 * max(mean**2, 1e-300):
        same = mean == 0
        return {"statistic": 0.0 if same else None, "p_value": 1.0 if same else None}
    variance = own + 2 * covariances.sum()
    if variance <= 0:
        variance = own + 2 * ((1 - lags / overlap) * covariances).sum()
    corrected = (size + 1 - 2 * overlap + overlap * (overlap - 1) / size) / size
    statistic = mean / np.sqrt(variance / size) * np.sqrt(corrected)
    return {"statistic": float(statistic), "p_value": float(2 * t.sf(abs(statistic), size - 1))}
