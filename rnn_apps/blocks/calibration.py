"""Split-conformal calibration of quantiles, carried by the model that it corrects."""

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import t as student_t

from rnn_apps.blocks.distributions import middle


@keras.saving.register_keras_serializable(package="rnn_apps")
class ConformalCalibration(keras.layers.Layer):
    """Corrects quantile forecasts by what held-out examples show of them.

    The centre is multiplied by a share in [0, 1], and each quantile's distance from the centre by
    a factor for its level and step: the conformal quantile of the scores |y - centre| / distance,
    which is conformalised quantile regression (Romano, Patterson and Candès, 2019, section 4) with
    a multiplicative score. Levels t and 1 - t share a factor where both are there.

    Where this departs from the paper: forecasts of one date are wrong together, those of
    neighbouring dates overlap, and one half-year is not the next, so that thousands of held-out
    examples may be worth a few. The standard error of a correction is therefore that of sums over
    dates, or how far apart the same correction lies in stretches as long of the training dates,
    whichever is more. A factor goes from 1 only as far as the 95 % interval of the held-out
    factor asks for (of Student's t, with a degree of freedom for each time that the step fits into
    the dates, less one); the share, whose null hypothesis is a random walk, is shrunk to 0 (by the
    positive-part James-Stein estimator; Efron and Morris, 1973). For the same reasons the paper's
    finite-sample guarantee does not hold for time series.

    Args:
        horizon: int, U future steps.
        levels: the Q quantile levels, ascending.

    Call:
        quantiles: float (…, U, Q), around a centre that would be 0 for "as it is now".
        Returns float32 (…, U, Q), ascending; what it was given, until `learn`.

    Example:
        >>> layer = ConformalCalibration(2, [0.1, 0.5, 0.9])
        >>> layer(tf.constant([[[-1.0, 0.0, 1.0]] * 2])).numpy().tolist()
        [[[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]]]
    """

    def __init__(self, horizon, levels, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
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

    def learn(self, held_out, trained_on=None):
        """Finds the corrections.

        Args:
            held_out: a tuple of three: uncorrected forecasts, float (N, U, Q); what came, float
                (N, U), NaN where unknown; and the number of each forecast's date, int (N,),
                consecutive dates one apart.
            trained_on: the same of examples that were trained on, to tell how far corrections
                vary from one stretch of dates to another; or None.
        """
        parts = [held_out, *_stretches(trained_on, np.ptp(held_out[2]) + 1)]
        parts = [(np.float64(q), np.float64(y), dates) for q, y, dates in parts]
        slope, error = _first_of([self._slope(*part) for part in parts])
        kept = max(0.0, 1 - (error / slope) ** 2) if slope > 0 else 0.0
        share = min(1.0, slope * kept)
        self.centre_share.assign(share)
        logs = np.array([self._log_factors(*part, share) for part in parts])  # (parts, 2, U, Q)
        log, error = _first_of(logs)
        stretches = (np.ptp(held_out[2]) + 1) / np.arange(1, self.horizon + 1)[:, None]
        reach = student_t.ppf(0.975, np.maximum(stretches - 1, 1)) * error  # (U, Q)
        least = np.sign(log) * np.maximum(np.abs(log) - reach, 0)
        self.factors.assign(np.exp(least))

    def _slope(self, quantiles, outcomes, dates):
        """Slope of outcomes over centres through the origin, and its standard error."""
        centre = quantiles[..., middle(self.levels)]
        known = np.isfinite(outcomes)
        squares = np.where(known, outcomes**2, 0).sum(0) / np.maximum(known.sum(0), 1)
        spread = np.sqrt(squares) + 1e-12  # each step counts the same
        product = np.where(known, outcomes * centre, 0) / spread**2
        square = np.where(known, centre**2, 0) / spread**2
        if not square.sum() > 0:
            return 0.0, 0.0
        slope = product.sum() / square.sum()
        error = _error_of_sum((product - slope * square).sum(-1), dates, self.horizon)
        return slope, error / square.sum()

    def _log_factors(self, quantiles, outcomes, dates, share):
        """Logarithms of the factors and their standard errors, float (2, U, Q)."""
        found = np.zeros((2, self.horizon, len(self.levels)))
        place = middle(self.levels)
        for step in range(self.horizon):
            known = np.isfinite(outcomes[:, step])
            centre = quantiles[known, step, place]
            error = outcomes[known, step] - share * centre
            distances = quantiles[known, step] - centre[:, None]
            for q in range(len(self.levels)):
                scores, level = self._scores(error, distances, q)
                sound = np.isfinite(scores)  # where float32 can tell the quantiles apart
                if q != place and sound.any():
                    found[:, step, q] = _log_factor(
                        scores[sound], level, dates[known][sound], step + 1
                    )
        return found

    def _scores(self, error, distances, q):
        """Conformity scores of one level, and the share of them that should be below 1."""
        level = self.levels[q]
        mirror = [i for i, other in enumerate(self.levels) if abs(other - (1 - level)) < 1e-6]
        with np.errstate(divide="ignore", invalid="ignore"):
            own, other = (error / distances[:, place] for place in (q, *mirror, q)[:2])
        if not mirror:
            return own, max(level, 1 - level)
        return np.maximum(own, other), abs(2 * level - 1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "horizon": self.horizon, "levels": self.levels}


def _stretches(examples, length):
    """Parts of `examples` that are `length` dates long, the latest first; no shorter rest."""
    if examples is None:
        return []
    dates = examples[2]
    number = (dates.max() - dates) // length
    whole = range((np.ptp(dates) + 1) // length)
    return [tuple(values[number == n] for values in examples) for n in whole]


def _first_of(estimates):
    """The first of several (estimate, standard error), with what the others' spread says too."""
    (estimate, error), *others = estimates
    if len(others) > 1:
        error = np.maximum(error, np.std([other for other, _ in others], axis=0, ddof=1))
    return estimate, error


def _log_factor(scores, level, dates, step):
    """Logarithm of the conformal quantile of scores, and its standard error."""
    rank = min(1.0, level * (1 + 1 / len(scores)))
    factor = max(np.quantile(scores, rank), 1e-3)
    error = _error_of_sum((scores <= factor) - level, dates, step) / len(scores)
    low, high = np.quantile(scores, np.clip([rank - error, rank + error], 0, 1))
    return np.log(factor), np.log(max(high, 1e-3) / max(low, 1e-3)) / 2


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
