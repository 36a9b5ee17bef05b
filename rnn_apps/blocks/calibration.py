"""Split-conformal calibration of quantiles, carried by the model that it corrects."""

import keras
import numpy as np
import tensorflow as tf

from rnn_apps.blocks.distributions import middle


@keras.saving.register_keras_serializable(package="rnn_apps")
class ConformalCalibration(keras.layers.Layer):
    """Corrects quantile forecasts by what held-out examples show of them.

    The centre is multiplied by a share in [0, 1], and each quantile's distance from the centre by a
    factor for its level and step: the conformal quantile of the scores |y - centre| / distance, which
    is conformalised quantile regression (Romano, Patterson and Candès, 2019, section 4) with a
    multiplicative score. Levels t and 1 - t share a factor where both are there.

    Where this departs from the paper: held-out forecasts of one date are wrong together, and those of
    neighbouring dates overlap, so that thousands of them may be worth a few. Each correction is
    therefore shrunk towards none by its standard error over blocks of dates (the positive-part
    James-Stein estimator, as in Efron and Morris, 1973): none that the held-out part does not bear
    out. For the same reason the paper's finite-sample guarantee does not hold for time series.

    Args:
        horizon: int, U future steps.
        levels: the Q quantile levels, ascending.

    Call:
        quantiles: float (…, U, Q), around a centre that would be 0 for "as it is now".
        Returns float (…, U, Q), ascending; what it was given, until `learn`.

    Example:
        >>> layer = ConformalCalibration(2, [0.1, 0.5, 0.9])
        >>> layer(tf.constant([[[-1.0, 0.0, 1.0]] * 2])).numpy().tolist()
        [[[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]]]
    """

    def __init__(self, horizon, levels, **kwargs):
        super().__init__(**kwargs)
        self.horizon = horizon
        self.levels = tuple(levels)

    def build(self, quantiles_shape):
        """Makes the corrections, which change nothing yet."""
        settings = {"initializer": "ones", "trainable": False, "dtype": "float32"}
        self.centre_share = self.add_weight(name="centre_share", shape=(), **settings)
        shape = (self.horizon, len(self.levels))
        self.factors = self.add_weight(name="factors", shape=shape, **settings)

    def call(self, quantiles):
        """Corrects quantiles; see the class."""
        place = middle(self.levels)
        centre = quantiles[..., place : place + 1]
        moved = self.centre_share * centre + self.factors * (quantiles - centre)
        return tf.sort(moved, axis=-1)

    def forget(self):
        """Takes all corrections back."""
        self.centre_share.assign(1.0)
        self.factors.assign(np.ones(self.factors.shape))

    def learn(self, quantiles, outcomes, dates):
        """Finds the corrections.

        Args:
            quantiles: float (N, U, Q), uncorrected forecasts of held-out examples.
            outcomes: float (N, U), what came; NaN where unknown.
            dates: int (N,), the number of each forecast's date, consecutive dates one apart.
        """
        quantiles, outcomes = np.float64(quantiles), np.float64(outcomes)
        place = middle(self.levels)
        centre = quantiles[..., place]
        share = _shrunken_slope(centre, outcomes, dates, self.horizon)
        self.centre_share.assign(share)
        factors = np.ones((self.horizon, len(self.levels)))
        for step in range(self.horizon):
            known = np.isfinite(outcomes[:, step])
            error = (outcomes[:, step] - share * centre[:, step])[known]
            distances = (quantiles[:, step] - centre[:, step, None])[known]
            for q in range(len(self.levels)):
                if q != place and known.any():
                    scores, level = self._scores(error, distances, q)
                    factors[step, q] = _shrunken_factor(scores, level, dates[known], step + 1)
        self.factors.assign(factors)

    def _scores(self, error, distances, q):
        """Conformity scores of one level, and the share of them that should be below 1."""
        level = self.levels[q]
        mirror = [i for i, other in enumerate(self.levels) if abs(other - (1 - level)) < 1e-6]
        own = error / distances[:, q]
        if not mirror:
            return own, max(level, 1 - level)
        return np.maximum(own, error / distances[:, mirror[0]]), abs(2 * level - 1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "horizon": self.horizon, "levels": self.levels}


def _shrunken_slope(centre, outcomes, dates, horizon):
    """Slope of outcomes over centres through the origin, shrunk to 0, within [0, 1]."""
    known = np.isfinite(outcomes)
    spread = np.sqrt(np.nanmean(outcomes**2, axis=0)) + 1e-12  # each step counts the same
    product = np.where(known, outcomes * centre, 0) / spread**2
    square = np.where(known, centre**2, 0) / spread**2
    if not square.sum() > 0:
        return 0.0
    slope = product.sum() / square.sum()
    error = _error_of_sum((product - slope * square).sum(-1), dates, horizon) / square.sum()
    return float(np.clip(slope * _kept(slope, error), 0, 1))


def _shrunken_factor(scores, level, dates, step):
    """The conformal quantile of scores, shrunk to 1 on the scale of logarithms."""
    count = len(scores)
    rank = min(1.0, level * (1 + 1 / count))
    factor = max(np.quantile(scores, rank), 1e-3)
    error = _error_of_sum((scores <= factor) - level, dates, step) / count
    low, high = np.quantile(scores, np.clip([rank - error, rank + error], 0, 1))
    spread = np.log(max(high, 1e-3) / max(low, 1e-3)) / 2
    return float(factor ** _kept(np.log(factor), spread))


def _kept(estimate, error):
    """The share of an estimate that shrinking by its standard error leaves."""
    return max(0.0, 1 - (error / estimate) ** 2) if estimate else 0.0


def _error_of_sum(values, dates, overlap):
    """Standard error of a sum over examples that are alike within a date and `overlap` dates on.

    Sums of each date, with their covariances up to `overlap` - 1 dates (Newey and West, 1987).
    """
    sums = np.bincount(dates - dates.min(), values)
    sums = sums - sums.mean()
    variance = sums @ sums
    for lag in range(1, min(overlap, len(sums))):
        variance += 2 * (1 - lag / overlap) * (sums[lag:] @ sums[:-lag])
    return np.sqrt(max(variance, 0.0))
