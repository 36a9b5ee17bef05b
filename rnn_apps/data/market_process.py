"""The process behind the built-in prices, and what can be known of its next days.

With closes C, a day's log return is r = log(C_t / C_{t-1}) = σ_t (m_t + ε_t), where ε_t has a
Student t distribution with 5 degrees of freedom and variance 1 (cut off beyond 20, so that prices
have a mean), and σ_t and m_t follow from the bars before t:

    log σ_t = log σ + f_t + g_t          σ: a series' own volatility in the long run
    m_t     = 0.35 n_t - 0.08 d_t
    f_{t+1} = 0.86 f_t + 0.20 x_t + 0.24 s_t - 0.10 l_t             volatility of the last days
    g_{t+1} = 0.992 g_t + 0.085 x_t + 0.03 s_t - 0.035 l_t          and of the last months
    d_{t+1} = 0.7 d_t + ε_t                                         what tends to come back
    n_{t+1} = 0.5 n_t + tanh(2 s_t) tanh(1.5 ε_t)                   what tends to go on
    v_{t+1} = 0.9 v_t + 0.2 s_t                                     the volume to be expected

All on the right can be computed from the bar of the day, with high H, low L and volume V:

    x_t = tanh(log(log(H_t / L_t) / σ_t) - E)  how wide the day was: Parkinson (1980)
    s_t = log V_t - log V - v_t                the surprise in the volume (V: in the long run)
    l_t = ε_t / sqrt(1 + ε_t²)                 the leverage: falls raise volatility, Nelson (1991)

so that volume carries news: a surprise raises the volatility, a move on much volume goes on, and
one on little reverts. A fast and a slow component of volatility: Corsi (2009). Within the day, a
Brownian motion of 64 steps runs from the open to the close, a fifth of the variance is in the gap
between the last close and the open, and both share the day's activity, whose inverse is chi-square
with 5 degrees of freedom. The surprise is s_t = 0.3 x_t + 0.35 N(0, 1).

x_t, s_t and l_t do not depend on what was before t. So paths of f, g, d and n from any state are
those from zero plus the state's own decay, and many origins can share a set of sampled paths.

References: Nelson (1991), "Conditional Heteroskedasticity in Asset Returns", Econometrica 59;
Corsi (2009), "A Simple Approximate Long-Memory Model of Realized Volatility", Journal of Financial
Econometrics 7; Parkinson (1980), "The Extreme Value Method for Estimating the Variance of the Rate
of Return", Journal of Business 53.
"""

import functools
from typing import NamedTuple

import numpy as np

DEGREES = 5  # of freedom of the innovations
LIMIT = 20.0  # no day moves further, in units of its volatility
NUM_PATHS = 4096
_STEPS = 64  # of the path within a day
_GAP = 0.2  # the share of a day's variance between the last close and the open
_MIDDLE = 0.0584  # E of the equations, which makes the mean of x zero
_SURPRISE_OF_WIDTH, _SURPRISE_ALONE = 0.3, 0.35
_STRATUM = 64  # days from which one is drawn for a path
_SETS = 32  # of paths, each for a part of the origins, so that their errors average out
_CHUNK = 500  # origins at once


class Days(NamedTuple):
    """Days in units of their volatility, without drift; float64 arrays of one shape."""

    innovation: np.ndarray  # log(close / last close)
    gap: np.ndarray  # log(open / last close)
    high: np.ndarray  # log(high / open)
    low: np.ndarray  # log(low / open)
    news: np.ndarray  # of the volume, N(0, 1)


class State(NamedTuple):
    """What the past says about the next day: f, g, d, n, v; float64 arrays of one shape."""

    fast: np.ndarray
    slow: np.ndarray
    pull: np.ndarray
    push: np.ndarray
    volume: np.ndarray


def draw_days(random, shape, degrees=DEGREES):
    """Draws days; of the uniform numbers of `random` only, which are the same everywhere.

    Args:
        random: a `numpy.random.Generator`.
        shape: of the arrays.
        degrees: 5, or None for normal innovations.

    Returns:
        Days.

    Example:
        >>> days = draw_days(np.random.default_rng(0), (2, 3))
        >>> bool((days.low <= days.innovation - days.gap).all())
        True
    """
    path = np.cumsum(_normal(random, (*shape, _STEPS)), axis=-1) / np.sqrt(_STEPS)
    gap = np.sqrt(_GAP) * _normal(random, shape)
    scale = np.sqrt(1 - _GAP)
    high, low = (scale * np.maximum(sign * path, 0).max(axis=-1) for sign in (1, -1))
    innovation = gap + scale * path[..., -1]
    activity = np.ones(shape)
    if degrees is not None:
        pairs = -2 * np.log((1 - random.random(shape)) * (1 - random.random(shape)))
        activity = np.sqrt((DEGREES - 2) / (pairs + _normal(random, shape) ** 2))
        activity *= np.minimum(1, LIMIT / np.abs(activity * innovation))
    parts = (activity * part for part in (innovation, gap, high, -low))
    return Days(*parts, _normal(random, shape))


def surprises(days):
    """What days tell beside their innovation: `(x, s)` of the module's equations, of their shape.

    Example:
        >>> x, s = surprises(draw_days(np.random.default_rng(0), (10_000,)))
        >>> bool(abs(x.mean()) < 0.02 and abs(s.mean()) < 0.02)
        True
    """
    width = np.tanh(np.log(days.high - days.low) - _MIDDLE)
    return width, _SURPRISE_OF_WIDTH * width + _SURPRISE_ALONE * days.news


def advance(state, innovation, width, surprise):
    """The state after a day: the module's equations.

    Args:
        state: State before the day.
        innovation: ε of the day.
        width: x of the day.
        surprise: s of the day.

    Returns:
        State.

    Example:
        >>> advance(State(1.0, 1.0, 1.0, 1.0, 1.0), 0.0, 0.0, 0.0).slow.item()
        0.992
    """
    leverage = innovation / np.sqrt(1 + innovation**2)
    return State(
        fast=0.86 * state.fast + 0.20 * width + 0.24 * surprise - 0.10 * leverage,
        slow=0.992 * state.slow + 0.085 * width + 0.03 * surprise - 0.035 * leverage,
        pull=0.7 * state.pull + innovation,
        push=0.5 * state.push + np.tanh(2 * surprise) * np.tanh(1.5 * innovation),
        volume=0.9 * state.volume + 0.2 * surprise,
    )


def outlook(state):
    """The next day's `(σ, m)`, σ in units of the volatility in the long run.

    Example:
        >>> [float(part) for part in outlook(State(0.0, 0.0, 1.0, 0.0, 0.0))]
        [1.0, -0.08]
    """
    return np.exp(state.fast + state.slow), 0.35 * state.push - 0.08 * state.pull


def make_bar(last_close, volatility, drift, day, expected_volume):
    """A day's bar in currency, rounded to 4 decimals (the volume to whole numbers).

    Args:
        last_close: float64 (S,), in currency.
        volatility: float64 (S,), σ of the day's log return.
        drift: float64 (S,), m.
        day: Days of shape (S,).
        expected_volume: float64 (S,), the logarithm of the volume without its surprise.

    Returns:
        float64 (S, 5): open, high, low, close, volume.

    Example:
        >>> day = Days(*np.array([[0.0], [0.0], [0.5], [-0.5], [0.0]]))
        >>> bar = make_bar(np.array([100.0]), 0.01, 0.0, day, np.log([1000.0]))
        >>> bar[0, :4].tolist()
        [100.0, 100.5013, 99.5012, 100.0]
    """
    opened = last_close * np.exp(volatility * (drift + day.gap))
    close = last_close * np.exp(volatility * (drift + day.innovation))
    high, low = opened * np.exp(volatility * day.high), opened * np.exp(volatility * day.low)
    volume = np.rint(np.exp(expected_volume + surprises(day)[1]))
    prices = np.stack([opened, high, low, close], axis=-1)
    return np.column_stack([np.rint(prices * 1e4) / 1e4, volume])


def observe(state, bar, last_close, volatility, volume):
    """The state after a bar that somebody saw.

    Args:
        state: State of shape (S,) before it.
        bar: float64 (S, 5), open, high, low, close, volume.
        last_close: float64 (S,), of the day before.
        volatility: float64 (S,), of a day's log return in the long run.
        volume: float64 (S,), the logarithm of a day's volume in the long run.

    Returns:
        State of shape (S,).

    Example:
        >>> state = State(*np.zeros((5, 1)))
        >>> bar = np.array([[100.0, 101.0, 99.0, 100.0, 1000.0]])
        >>> state = observe(state, bar, np.array([100.0]), np.array([0.01]), np.log([1000.0]))
        >>> state.pull.tolist()
        [0.0]
    """
    ratio, drift = outlook(state)
    today = volatility * ratio
    innovation = np.log(bar[:, 3] / last_close) / today - drift
    width = np.tanh(np.log(np.log(bar[:, 1] / bar[:, 2]) / today) - _MIDDLE)
    return advance(state, innovation, width, np.log(bar[:, 4]) - volume - state.volume)


def forecast(state, volatility, horizon, levels, *, keys=None, num_paths=NUM_PATHS):
    """The distribution of the next closes, in units of the last one, by Monte Carlo.

    There are 32 sets of paths, with innovations stratified at each step; origins whose keys are
    equal modulo 32 share one. Over many origins, more paths change the weighted quantile loss by
    less than 0.1 %.

    Args:
        state: State of shape (N,), each after the last close.
        volatility: float64 (N,), of a day's log return in the long run.
        horizon: H, in days.
        levels: float64 (Q,), between 0 and 1.
        keys: int (N,), which set of paths an origin takes; 0, 1, 2, ... if None.
        num_paths: how many paths a set has.

    Returns:
        `(quantiles, mean)`: float64 (N, H, Q) and (N, H).

    Example:
        >>> state = State(*np.zeros((5, 1)))
        >>> quantiles, mean = forecast(state, np.array([0.01]), 5, np.array([0.1, 0.5, 0.9]))
        >>> np.round(quantiles[0, 0], 3).tolist()
        [0.989, 1.0, 1.011]
    """
    sets = np.arange(len(volatility)) if keys is None else np.asarray(keys)
    sets = sets % _SETS
    own = np.empty((horizon, len(volatility), 2), np.float32)  # σ, and σ m without the paths' part
    for step in range(horizon):
        ratio, drift = outlook(state)
        own[step] = np.stack([volatility * ratio, volatility * ratio * drift], axis=1)
        state = advance(state, 0.0, 0.0, 0.0)
    quantiles = np.empty((len(volatility), horizon, len(levels)))
    mean = np.empty((len(volatility), horizon))
    for each in np.unique(sets):
        paths = _paths(horizon, num_paths)[each]
        members = np.flatnonzero(sets == each)
        for start in range(0, len(members), _CHUNK):
            rows = members[start : start + _CHUNK]
            total = np.float32(0)
            for step in range(horizon):
                total = total + own[step, rows] @ paths[step]  # (chunk, paths), log return
                quantiles[rows, step] = _quantiles(total, levels)
                mean[rows, step] = np.exp(total).mean(axis=1)
    return np.exp(quantiles), mean


def _quantiles(values, levels):
    """Quantiles (N, Q) of float32 (N, paths), linear between the middles of the paths' shares."""
    values = np.sort(values, axis=1)
    place = np.clip(np.asarray(levels) * values.shape[1] - 0.5, 0, values.shape[1] - 1)
    below = np.minimum(place.astype(int), values.shape[1] - 2)
    lower, upper = values[:, below], values[:, below + 1]
    return lower + (place - below) * (upper - lower)


@functools.lru_cache(maxsize=4)
def _paths(horizon, num_paths):
    """Paths from the state of zeros: float32 (sets, H, 2, paths), σ (m + ε) and σ."""
    random = np.random.Generator(np.random.PCG64(5))
    half = draw_days(random, (num_paths * _STRATUM // 2,))
    mirrored = Days(-half.innovation, -half.gap, -half.low, -half.high, half.news)
    pool = np.concatenate([half, mirrored], axis=1)  # (5, num_paths * _STRATUM)
    strata = np.argsort(pool[0]).reshape(num_paths, _STRATUM)
    paths = np.empty((_SETS, horizon, 2, num_paths), np.float32)
    for each in range(_SETS):
        state = State(*np.zeros((5, num_paths)))
        for step in range(horizon):
            column = (random.random(num_paths) * _STRATUM).astype(int)
            drawn = strata[np.argsort(random.random(num_paths)), column]
            days = Days(*pool[:, drawn])
            ratio, drift = outlook(state)
            paths[each, step] = ratio * (drift + days.innovation), ratio
            state = advance(state, days.innovation, *surprises(days))
    return paths


def _normal(random, shape):
    """Box and Muller (1958): `Generator.normal` may change from one NumPy to the next."""
    radius = np.sqrt(-2 * np.log(1 - random.random(shape)))
    return radius * np.cos(2 * np.pi * random.random(shape))
