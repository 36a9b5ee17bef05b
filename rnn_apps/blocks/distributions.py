"""Distributions over the steps of a horizon: ordered quantiles, and Student's t.

Shapes end in (…, U, P): U future steps, P numbers that describe the distribution at one of them.
Q is the number of quantile levels, in ascending order.
"""

import statistics

import keras
import numpy as np
import tensorflow as tf

_MEAN_RANKS = 200  # at which a quantile function is read for its mean
_LEAST_DF = 2.1  # of a Student's t with a variance
_MOST_DF = 200.0  # of one that could be told from a normal distribution
_MOST_RETURN = 40.0  # a log return that float32 can hold the exponential of, times a price


def check_levels(levels):
    """Returns quantile levels as a tuple of float, or raises.

    Args:
        levels: numbers in (0, 1), in ascending order, one at least.

    Raises:
        ValueError: if they are not.

    Example:
        >>> check_levels([0.1, 0.5, 0.9])
        (0.1, 0.5, 0.9)
    """
    found = tuple(float(level) for level in levels)
    inside = all(0 < level < 1 for level in found)  # NaN is not
    if not found or not inside or list(found) != sorted(set(found)):
        raise ValueError(
            f"Quantile levels came as {list(levels)}; give one or more numbers between 0 and 1, "
            "each larger than the one before, such as [0.1, 0.5, 0.9]."
        )
    return found


def middle(levels):
    """The index of the level nearest to one half."""
    return int(np.argmin(np.abs(np.asarray(levels) - 0.5)))


def normal_scores(levels):
    """The quantiles of the standard normal distribution: levels → float64 array (Q,)."""
    return np.array([statistics.NormalDist().inv_cdf(float(level)) for level in levels])


def ordered(raw, centre):
    """Free numbers → quantiles that cannot cross: a centre and steps of positive size outwards.

    Args:
        raw: float (…, Q).
        centre: int, the index of the quantile that `raw` holds as it is.

    Returns:
        float (…, Q), ascending.

    Example:
        >>> bool(np.all(np.diff(ordered(tf.constant([[3.0, -1.0, -2.0]]), 1)) > 0))
        True
    """
    below = tf.nn.softplus(raw[..., :centre])
    above = tf.nn.softplus(raw[..., centre + 1 :])
    start = raw[..., centre : centre + 1]
    return tf.concat(
        [
            start - tf.cumsum(below, axis=-1, reverse=True),
            start,
            start + tf.cumsum(above, axis=-1),
        ],
        axis=-1,
    )


def unordered(quantiles, centre):
    """What `ordered` turns into these quantiles: float64 (…, Q), ascending → float64 (…, Q)."""
    quantiles = np.asarray(quantiles, np.float64)
    steps = np.log(np.expm1(np.maximum(np.diff(quantiles, axis=-1), 1e-3)))
    return np.concatenate(
        [steps[..., :centre], quantiles[..., centre : centre + 1], steps[..., centre:]], axis=-1
    )


def interpolated(quantiles, levels, scores):
    """Reads a quantile function between and beyond its levels, on the scale of normal scores.

    Between two levels the function is a straight line over the normal scores; beyond the outer
    ones it goes on straight, that is, with the tails of a normal distribution.

    Args:
        quantiles: float (B, U, Q), ascending.
        levels: the Q levels.
        scores: float (B or 1, N, U), standard normal scores of the ranks asked for.

    Returns:
        float (B, N, U).

    Example:
        >>> line = interpolated(tf.constant([[[0.0, 1.0]]]), (0.5, 0.8413447), tf.ones([1, 1, 1]))
        >>> line.numpy().round(3).tolist()
        [[[1.0]]]
    """
    if len(levels) == 1:
        return quantiles[:, None, :, 0] + tf.zeros_like(scores)
    knots = normal_scores(levels)
    along = (scores[..., None] - np.float32(knots[:-1])) / np.float32(np.diff(knots))
    lowest = np.r_[-np.inf, np.zeros(len(knots) - 2)].astype("float32")
    highest = np.r_[np.ones(len(knots) - 2), np.inf].astype("float32")
    along = tf.clip_by_value(along, lowest, highest)  # (B or 1, N, U, Q - 1)
    rises = (quantiles[..., 1:] - quantiles[..., :-1])[:, None]
    return quantiles[:, None, :, 0] + tf.reduce_sum(along * rises, -1)


def mean_of_exponential(quantiles, levels):
    """The mean of exp(x) from quantiles of x, as `interpolated` reads them: (B, U, Q) → (B, U)."""
    scores = normal_scores((np.arange(_MEAN_RANKS) + 0.5) / _MEAN_RANKS).astype("float32")
    scores = tf.constant(np.tile(scores[None, :, None], [1, 1, quantiles.shape[1]]))
    return tf.reduce_mean(growth(interpolated(quantiles, levels, scores)), axis=1)


def growth(returns):
    """What a price is multiplied by, exp(log return), within what float32 can hold: (…) → (…).

    Example:
        >>> np.isfinite(growth(tf.constant([0.0, 1000.0]))).tolist()
        [True, True]
    """
    return tf.exp(tf.clip_by_value(returns, -_MOST_RETURN, _MOST_RETURN))


def empirical_quantiles(paths, levels):
    """Quantiles of sample paths: float (B, N, U) → float (B, U, Q), linear between samples."""
    ranked = tf.sort(tf.transpose(paths, [0, 2, 1]), axis=-1)  # (B, U, N)
    places = np.asarray(levels) * (paths.shape[1] - 1)
    below = np.floor(places).astype(int)
    share = np.float32(places - below)
    above = np.minimum(below + 1, paths.shape[1] - 1)
    return (
        tf.gather(ranked, below, axis=-1) * (1 - share) + tf.gather(ranked, above, axis=-1) * share
    )


def scores_of_ranks(paths):
    """Each sample's rank among its step's, as a normal score: float (B, N, U) → float (B, N, U)."""
    count = paths.shape[1]
    ranks = tf.argsort(tf.argsort(paths, axis=1, stable=True), axis=1)
    table = normal_scores((np.arange(count) + 0.5) / count).astype("float32")
    return tf.gather(tf.constant(table), ranks)


def random_walk_scores(paths, steps, seed=0):
    """Normal scores of paths that hang together as a random walk does: float32 (1, N, U).

    At each step the scores are made to be those of equally spaced ranks, so that N paths meet every
    quantile as often as they should.
    """
    walks = np.cumsum(np.random.default_rng(seed).standard_normal([paths, steps]), axis=1)
    ranks = np.argsort(np.argsort(walks, axis=0), axis=0)
    return normal_scores((np.arange(paths) + 0.5) / paths)[ranks][None].astype("float32")


def even_pairs(count, steps, seed=0):
    """Pairs of uniform numbers that fill the unit square evenly, in a new order at each step.

    A rank-1 lattice with the golden ratio (Niederreiter, 1992, chapter 5), so that quantiles of few
    samples come near those of their distribution.

    Returns:
        float32 (steps, 2, count), in (0, 1).
    """
    random = np.random.default_rng(seed)
    places = np.arange(count)
    lattice = np.stack([(places + 0.5) / count, (places * (np.sqrt(5) - 1) / 2 + 0.25) % 1])
    return np.stack([lattice[:, random.permutation(count)] for _ in range(steps)]).astype("float32")


def student_t(raw):
    """Free numbers → location, scale and degrees of freedom: float (…, 3) → three of float (…)."""
    df = tf.minimum(_LEAST_DF + tf.nn.softplus(raw[..., 2]), _MOST_DF)
    return raw[..., 0], tf.nn.softplus(raw[..., 1]) + 1e-4, df


def student_t_samples(location, scale, df, uniforms):
    """Draws from Student's t by the polar method (Bailey, 1994, Math. Comp. 62, p. 779).

    Args:
        location: float (…).
        scale: float (…), above 0.
        df: float (…), above 0.
        uniforms: a pair of float (…), in (0, 1).

    Returns:
        float (…).
    """
    first, second = uniforms
    radius = tf.sqrt(df * (first ** (-2 / df) - 1))
    return location + scale * radius * tf.cos(2 * np.pi * second)


@keras.saving.register_keras_serializable(package="rnn_apps")
class PinballLoss(keras.losses.Loss):
    """Mean pinball loss of quantiles (Koenker and Bassett, 1978), twice, over a unit.

    With many levels it approaches the continuous ranked probability score (Gneiting and Raftery,
    2007, section 4.2). Targets that are NaN do not count.

    Args:
        levels: the Q levels.
        unit: float, what the loss is counted in.

    Call:
        y_true: float (B, N, U).
        y_pred: float (B, N, U, Q).

    Example:
        >>> loss = PinballLoss(levels=[0.5])
        >>> float(loss(tf.constant([[[1.0, np.nan]]]), tf.zeros([1, 1, 2, 1])))
        1.0
    """

    def __init__(self, levels, unit=1.0, name="pinball_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.levels = check_levels(levels)
        self.unit = unit

    def call(self, y_true, y_pred):
        """Returns float (B,)."""
        levels = tf.constant(self.levels, y_pred.dtype)
        error = _known(y_true)[..., None] - y_pred
        loss = tf.reduce_mean(tf.maximum(levels * error, (levels - 1) * error), -1)
        return _mean_of_known(2 * loss / self.unit, y_true)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "levels": self.levels, "unit": self.unit}


@keras.saving.register_keras_serializable(package="rnn_apps")
class StudentTLoss(keras.losses.Loss):
    """Negative log-likelihood of Student's t, of single steps of what is cumulative.

    Call:
        y_true: float (B, N, U), log returns from the origin to each step; NaN where unknown.
        y_pred: float (B, N, U, 3): location, scale and degrees of freedom of each step's own
            return.

    Example:
        >>> cauchy = tf.constant([[[[0.0, 1.0, 1.0]]]])
        >>> round(float(StudentTLoss()(tf.zeros([1, 1, 1]), cauchy)), 3)
        1.145
    """

    def __init__(self, name="student_t_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """Returns float (B,)."""
        y_true = tf.concat([y_true[..., :1], y_true[..., 1:] - y_true[..., :-1]], -1)
        location, scale, df = tf.unstack(y_pred, axis=-1)
        squared = ((_known(y_true) - location) / scale) ** 2
        loss = (df + 1) / 2 * tf.math.log1p(squared / df) + tf.math.log(scale)
        loss += tf.math.lgamma(df / 2) - tf.math.lgamma((df + 1) / 2)
        return _mean_of_known(loss + 0.5 * tf.math.log(np.pi * df), y_true)


def _known(y_true):
    return tf.where(tf.math.is_finite(y_true), y_true, tf.zeros_like(y_true))


def _mean_of_known(loss, y_true):
    weights = tf.cast(tf.math.is_finite(y_true), loss.dtype)
    axes = list(range(1, len(loss.shape)))
    return tf.math.divide_no_nan(tf.reduce_sum(loss * weights, axes), tf.reduce_sum(weights, axes))
