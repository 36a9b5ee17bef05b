"""Raw bars → features, in the graph: the same operations for training and for serving.

Everything at a bar is computed from this bar and those before it in the same window, and from
constants learned from training bars; `first_leak` shows that it is. Prices enter only as ratios of
prices, so that a series in another currency, or one never seen in training, has the same features.
"""

import math

import keras
import numpy as np
import tensorflow as tf

FIELDS = ("open", "high", "low", "close", "volume")
OPEN, HIGH, LOW, CLOSE, VOLUME = range(len(FIELDS))
_DECAY = 0.94  # of the variance that scales a window: RiskMetrics (1996), table 5.9, daily data
_LEAST, _MOST = 1e-15, 1e15  # of a price, so that float32 can hold the ratio of any two
_LEAST_WEIGHT = 1e-20  # of a prior; a sum of weights is never zero
_LIMIT = 8.0  # features are cut here, in standard deviations of the training bars
_LEAST_SCALE = 1e-5  # of a series that stands still
FEATURES = (
    "return",
    "size of return",
    "fast volatility",
    "slow volatility",
    "slowest volatility",
    "level of volatility",
    "bars missing before",
    "ranges known",
    "overnight return",
    "return since open",
    "range",
    "fast range",
    "slow range",
    "volume known",
    "volume surprise",
    "volume trend",
)
CALENDAR_FEATURES = ("days since", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def compact(bars, dates=None):
    """Moves the bars with a price to the front of each row, in their order.

    A bar has a price if its close is above zero (from 1e-15 to 1e15, so that float32 can hold what
    is made of it). What else of it makes no sense (a range that does not hold open and close, a
    volume of zero) becomes NaN.

    Args:
        bars: float32 (B, T, 5), the fields of `FIELDS`, prices in currency; NaN where unknown.
        dates: int32 (B, T), days since 1970-01-01, or None.

    Returns:
        A dict: `bars` float32 (B, T, 5) with the known bars first; `mask` bool (B, T), True for
        those; `places` int32 (B, T), where the last known bar up to each has gone; `gaps` float32
        (B, T), bars from the known one before to this, at least 1; `dates` as given, moved alike,
        or None.
    """
    close = bars[..., CLOSE]
    known = (close >= _LEAST) & (close <= _MOST)  # (B, T); NaN is neither
    order = tf.argsort(tf.cast(~known, tf.int32), axis=1, stable=True)
    moved = tf.gather(_plausible(bars), order, axis=1, batch_dims=1)
    mask = tf.gather(known, order, axis=1, batch_dims=1)
    gaps = tf.cast(order - _before(order), tf.float32)
    return {
        "bars": tf.where(mask[..., None], moved, tf.ones_like(moved)),
        "mask": mask,
        "places": tf.maximum(tf.cumsum(tf.cast(known, tf.int32), axis=1) - 1, 0),
        "gaps": tf.maximum(tf.where(mask, gaps, 1.0), 1.0),
        "dates": None if dates is None else tf.gather(dates, order, axis=1, batch_dims=1),
    }


def bars_of_closes(closes):
    """Closing prices float32 (B, T) → bars float32 (B, T, 5) of which nothing else is known."""
    unknown = tf.fill(tf.shape(closes), np.float32(np.nan))
    return tf.stack([closes if field == "close" else unknown for field in FIELDS], -1)


def hide_all_but_closes(bars, share, seed):
    """Makes all but the close unknown in a share of the rows, drawn anew at each call.

    Args:
        bars: float32 (B, T, 5).
        share: float in [0, 1].
        seed: `keras.random.SeedGenerator`.

    Returns:
        float32 (B, T, 5).
    """
    alone = keras.random.uniform([tf.shape(bars)[0], 1, 1], seed=seed) < share
    others = np.array([field != "close" for field in FIELDS])
    return tf.where(alone & others, np.float32(np.nan), bars)


def last_bars(known, window):
    """Keeps the last `window` known bars of each row of what `compact` returned.

    Args:
        known: what `compact` returns.
        window: int, the most bars to keep.

    Returns:
        The same dict without `places`, T at most `window`; it is as if there had been no others.
    """
    length = tf.reduce_sum(tf.cast(known["mask"], tf.int32), -1)  # (B,)
    steps = tf.range(tf.minimum(window, tf.shape(known["mask"])[1]))
    places = tf.maximum(length - window, 0)[:, None] + steps
    kept = {
        name: None if values is None else tf.gather(values, places, axis=1, batch_dims=1)
        for name, values in known.items()
        if name != "places"
    }
    return kept | {"gaps": tf.where(steps > 0, kept["gaps"], 1.0)}


def features(known, volatility):
    """Computes what the network reads, and the scale of its answers.

    Args:
        known: what `compact` returns.
        volatility: float, standard deviation of a daily log return in training, with which the
            volatility of a window begins before its own returns are known.

    Returns:
        `(features, scale)`: float32 (B, T, len(FEATURES)), or with `dates`
        (B, T, len(FEATURES) + len(CALENDAR_FEATURES)), not standardised; and float32 (B, T), the
        exponentially weighted volatility of a daily log return up to each bar.
    """
    bars, mask = known["bars"], tf.cast(known["mask"], tf.float32)
    close = bars[..., CLOSE]
    has_return = mask * tf.cast(tf.range(tf.shape(mask)[1]) > 0, tf.float32)  # (B, T)
    move = tf.math.log(close / _before(close)) / tf.sqrt(known["gaps"]) * has_return
    variance = _weighted(move**2, has_return, _DECAY, prior=volatility**2)
    scale = tf.maximum(tf.sqrt(variance), _LEAST_SCALE)

    def relative(values, weights, decay):
        return _log(tf.sqrt(_weighted(values, weights, decay, prior=variance)) / scale)

    columns = [
        move / scale,
        tf.abs(move) / scale,
        *(relative(move**2, has_return, decay) for decay in (0.8, 0.985)),
        relative(move**2, has_return, 0.997),
        _log(scale / volatility),
        tf.minimum(known["gaps"] - 1, 5.0),
        *_ranges(bars, mask, has_return, scale, relative),
        *_volumes(bars, mask),
    ]
    if known["dates"] is not None:
        columns += _calendar(known["dates"], has_return)
    return tf.stack(columns, -1) * mask[..., None], scale


def standardise(columns, mean, deviation):
    """Centres and scales features by constants of the training bars, and cuts what lies far out.

    Args:
        columns: float32 (B, T, F).
        mean: F numbers.
        deviation: F numbers; 0 for a feature that did not vary in training, which becomes 0.

    Returns:
        float32 (B, T, F) in [-8, 8].
    """
    inverse = np.float32([1 / d if d > 1e-6 else 0 for d in deviation])
    return tf.clip_by_value((columns - tf.constant(mean, tf.float32)) * inverse, -_LIMIT, _LIMIT)


def first_leak(function, inputs, seed=0):
    """Finds out whether a function of sequences looks ahead.

    The steps after the middle, then those after every other step, are replaced by others; what
    comes out up to there must stay the same to the last bit but rounding.

    Args:
        function: float32 (1, T, F) → float32 (1, T, …).
        inputs: float32 (1, T, F), positive.
        seed: int, of the other steps.

    Returns:
        The first step whose output depends on a later one, or None if there is none.

    Example:
        >>> series = np.ones([1, 6, 1], "float32")
        >>> first_leak(lambda x: tf.cumsum(x, axis=1), series) is None
        True
        >>> first_leak(lambda x: x / tf.reduce_max(x), series)
        0
    """
    inputs = np.asarray(inputs, np.float32)
    before = np.asarray(function(tf.constant(inputs)), np.float64)
    noise = np.random.default_rng(seed).uniform(0.5, 2.0, inputs.shape).astype(np.float32)
    leaking = []
    for step in range(inputs.shape[1] - 1):
        other = inputs.copy()
        other[:, step + 1 :] *= noise[:, step + 1 :]
        after = np.asarray(function(tf.constant(other)), np.float64)
        same = np.isclose(before[0, : step + 1], after[0, : step + 1], rtol=1e-4, atol=1e-5)
        leaking += np.flatnonzero(~same.reshape(step + 1, -1).all(-1)).tolist()
    return min(leaking, default=None)


def _before(values):
    """Each step's predecessor, the first one's being itself: (B, T) → (B, T)."""
    return tf.concat([values[:, :1], values[:, :-1]], axis=1)


def _log(ratio):
    return tf.math.log(tf.maximum(ratio, 1e-3))


def _plausible(bars):
    """Makes open, high and low NaN where one of them contradicts the bar, and a volume of zero."""
    prices, volume = bars[..., :VOLUME], bars[..., VOLUME:]
    slack = 1 + 1e-4  # adjusted prices are rounded
    high, low = prices[..., HIGH] * slack, prices[..., LOW] / slack
    ends = tf.stack([prices[..., OPEN], prices[..., CLOSE]], -1)
    fits = (low >= _LEAST) & (high <= _MOST)
    fits &= (tf.reduce_max(ends, -1) <= high) & (tf.reduce_min(ends, -1) >= low)
    fits &= tf.reduce_all(tf.math.is_finite(prices), -1)  # (B, T)
    unknown = tf.fill(tf.shape(volume), math.nan)
    others = tf.where(fits[..., None], prices[..., :CLOSE], unknown)
    known = tf.math.is_finite(volume) & (volume >= _LEAST)
    return tf.concat([others, prices[..., CLOSE:], tf.where(known, volume, unknown)], axis=-1)


def _weighted(values, weights, decay, prior):
    """Exponentially weighted mean up to each step, beginning from a prior of the same kind.

    Step t weighs step s by decay^(t - s) and the prior by decay^(t + 1) / (1 - decay), so that
    without a gap this is the recursion v(t) = decay v(t - 1) + (1 - decay) x(t), v(-1) = prior.

    Args:
        values: float32 (B, T).
        weights: float32 (B, T), 0 where a value is unknown.
        decay: float in (0, 1).
        prior: float, or float32 (B, T).

    Returns:
        float32 (B, T).
    """
    steps = tf.range(tf.shape(values)[1])
    behind = steps[:, None] - steps[None, :]  # (T, T), step t minus step s
    powers = decay ** tf.cast(steps, tf.float32)
    kernel = tf.where(behind >= 0, tf.gather(powers, tf.maximum(behind, 0)), 0.0)
    total = tf.linalg.matmul(weights, kernel, transpose_b=True)
    first = tf.maximum(powers * decay / (1 - decay), _LEAST_WEIGHT)
    sums = tf.linalg.matmul(values * weights, kernel, transpose_b=True)
    return (sums + first * prior) / (total + first)


def _ranges(bars, mask, has_return, scale, relative):
    """Features of open, high and low; zero where these are unknown."""
    opened, high, low, close = (bars[..., field] for field in range(4))
    known = mask * tf.cast(tf.math.is_finite(opened), tf.float32)
    opened, high, low = (tf.where(known > 0, x, close) for x in (opened, high, low))
    overnight = tf.math.log(opened / _before(close)) * known * has_return
    since_open = tf.math.log(close / opened)
    parkinson = tf.math.log(high / low) ** 2 / (4 * math.log(2))  # Parkinson (1980), eq. 5
    both = parkinson + overnight**2
    return [
        known,
        overnight / scale,
        since_open / scale,
        tf.math.log(tf.sqrt(parkinson) / scale + 0.05) * known,
        relative(both, known, 0.7),
        relative(both, known, _DECAY),
    ]


def _volumes(bars, mask):
    """Features of the volume beside the window's own; zero where it is unknown."""
    volume = bars[..., VOLUME]
    known = mask * tf.cast(tf.math.is_finite(volume), tf.float32)
    logs = tf.math.log(tf.where(known > 0, volume, 1.0))
    first = tf.reduce_max(tf.where(_first(known), logs, -math.inf), -1, keepdims=True)
    first = tf.where(tf.math.is_finite(first), first, 0.0)
    logs = (logs - first) * known  # differences only, so that any unit of volume will do
    usual = _weighted(logs, known, 0.95, prior=0.0)
    recent = _weighted(logs, known, 0.7, prior=usual)
    return [known, (logs - _before(usual)) * known, recent - usual]


def _first(known):
    """Marks each row's first known step: float (B, T) → bool (B, T)."""
    return (known > 0) & (tf.cumsum(known, axis=1) <= 1)


def _calendar(dates, has_return):
    """Days since the bar before, and the day of the week (1970-01-01 was a Thursday)."""
    since = tf.cast(dates - _before(dates), tf.float32) * has_return
    weekday = (dates + 3) % 7  # 0 is Monday
    return [
        tf.minimum(since, 10.0),
        *(tf.cast(tf.equal(weekday, day), tf.float32) for day in range(5)),
    ]
