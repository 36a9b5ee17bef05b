"""The built-in prices: daily bars of 60 series whose future is known as well as it can be.

Two sets, "market" and "random_walk". The first follows the process of `market_process`, in which
volatility, volume and the last days' moves say something about the next days; all that can be
known of them follows from a series' own past. In the second each close is the last one times
exp(0.012 z) with z ~ N(0, 1), on volumes that mean nothing: all there is to know is the spread.

`true_quantiles` gives the true distribution of what comes after any of their dates. It knows the
sets by their names and closes, so nothing of the truth is in the data.
"""

import dataclasses
import functools

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from scipy.special import ndtri

from rnn_apps.data import market_process as process
from rnn_apps.data.bars import FIELDS
from rnn_apps.data.tfds import read_builtin

SPLITS = {"train": (0, 1050), "validation": (1050, 1200), "test": (1200, 1500)}  # rows of dates
_FIRST_DATE = "2010-01-04"
_SERIES, _DATES = 60, 1500
_NAMES = {"market": "MARKET", "random_walk": "WALK"}
_SEEDS = {"market": 8, "random_walk": 2011}
_WALK_VOLATILITY = 0.012  # of a day's log return
_WALK_VOLUME_SPREAD = 0.4  # standard deviation of the logarithm


@dataclasses.dataclass(frozen=True)
class Simulated:
    """A built-in set, and what its process knows after each date.

    Attributes:
        series: tuple of S names.
        dates: datetime64[D] (D,), business days.
        values: float64 (S, D, 5), open, high, low, close (in currency) and volume.
        volatility: float64 (S,), of a day's log return in the long run.
        volume: float64 (S,), the logarithm of a day's volume in the long run.
        state: State of float64 (S, D), after each date; None for the random walk.
    """

    series: tuple
    dates: np.ndarray
    values: np.ndarray
    volatility: np.ndarray
    volume: np.ndarray
    state: process.State | None

    @property
    def closes(self):
        """float64 (S, D), in currency."""
        return self.values[..., 3]


@dataclasses.dataclass
class MarketsConfig(tfds.core.BuilderConfig):
    """One of the two sets; `fingerprint` is that of its splits."""

    fingerprint: str = ""


class BuiltinMarkets(tfds.core.GeneratorBasedBuilder):
    """The prices as a TFDS builder: one example per series and split.

    Example:
        >>> sorted(BuiltinMarkets.builder_configs)
        ['market', 'random_walk']
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [
        MarketsConfig(
            name="market",
            description="Prices of which a little can be known.",
            fingerprint="d0965419e9870b8bfb12587066058e318a31580ca7128e2ea871d29c5ac3cdd9",
        ),
        MarketsConfig(
            name="random_walk",
            description="Prices of which nothing can be known but the spread.",
            fingerprint="c9c2dcbcc654695e60f23bfe1e8c43c00bedd3c78da6ec218cf0fb2ad7f4a71c",
        ),
    ]
    keys = ("symbol", "date", *FIELDS)

    @property
    def fingerprint(self):
        """The SHA-256 of the splits of this configuration."""
        return self.builder_config.fingerprint

    def _info(self):
        # As a Sequence, float64 would be stored in float32.
        numbers = tfds.features.Tensor(shape=(None,), dtype=np.float64, encoding="bytes")
        return tfds.core.DatasetInfo(
            builder=self,
            description="Simulated daily bars.",
            features=tfds.features.FeaturesDict(
                {
                    "symbol": tfds.features.Text(),
                    "date": tfds.features.Sequence(tfds.features.Text()),
                    **dict.fromkeys(FIELDS, numbers),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split):
        simulated = simulate(self.builder_config.name)
        rows = slice(*SPLITS[split])
        dates = [str(date) for date in simulated.dates[rows]]
        for row, symbol in enumerate(simulated.series):
            fields = dict(zip(FIELDS, simulated.values[row, rows].T, strict=True))
            yield row, {"symbol": symbol, "date": dates, **fields}


def read(config="market"):
    """Reads a built-in set from the cache; writes it there first if need be.

    Args:
        config: "market" or "random_walk".

    Returns:
        A DataFrame in long format, sorted by series and date: series (str), date (datetime64),
        open, high, low, close (float64, in currency), volume (float64), split ("train",
        "validation" or "test": the first 70 %, the next 10 %, and the last 20 % of the dates).

    Raises:
        ValueError: if there is no such set.
        OSError: if the cache folder cannot be written.

    Example:
        >>> read("stocks")
        Traceback (most recent call last):
            ...
        ValueError: There is no built-in market 'stocks'; there are 'market' and 'random_walk'.
    """
    _check(config)
    found = read_builtin(BuiltinMarkets, {key: key for key in BuiltinMarkets.keys}, config=config)
    parts = []
    for split, columns in found.items():
        lengths = [len(dates) for dates in columns["date"]]
        part = {"series": np.repeat(columns["symbol"], lengths)}
        part["date"] = np.concatenate(columns["date"]).astype("datetime64[D]")
        part |= {field: np.concatenate(columns[field]) for field in FIELDS}
        parts.append(pd.DataFrame(part).assign(split=split))
    return pd.concat(parts).sort_values(["series", "date"], ignore_index=True)


@functools.cache
def simulate(config="market"):
    """Simulates a built-in set, always the same one, with what its process knows.

    Args:
        config: "market" or "random_walk".

    Returns:
        Simulated, whose arrays cannot be written to.

    Raises:
        ValueError: if there is no such set.

    Example:
        >>> simulate("market").closes.shape
        (60, 1500)
    """
    _check(config)
    random = np.random.Generator(np.random.PCG64(_SEEDS[config]))
    degrees = process.DEGREES if config == "market" else None
    days = process.draw_days(random, (_DATES, _SERIES), degrees)
    start = np.exp(_between(random, np.log(5), np.log(1000)))
    volume = _between(random, np.log(1e5), np.log(1e7))
    volatility = np.exp(_between(random, np.log(0.007), np.log(0.016)))
    if config == "market":
        values, state = _follow(days, start, volatility, volume)
    else:
        volatility = np.full(_SERIES, _WALK_VOLATILITY)
        values, state = _walk(days, start, volatility, volume), None
    for array in (values, *(state or ())):
        array.setflags(write=False)
    dates = np.busday_offset(_FIRST_DATE, np.arange(_DATES))
    series = tuple(f"{_NAMES[config]}{number:02}" for number in range(1, _SERIES + 1))
    return Simulated(series, dates, values, volatility, volume, state)


def true_quantiles(bars, origins, horizon, levels):
    """The true quantiles of the next closes of a built-in set, given all bars up to each origin.

    Those of "market" are by Monte Carlo from the exact state of the process; see
    `market_process.forecast`. 18,000 origins take some 3 seconds at horizon 5, and 10 at 20.

    Args:
        bars: has `series` (S names), `dates` datetime64 (D,) and `closes` float64 (S, D): any
            series and dates of a built-in set.
        origins: int (N, 2), indices of series and date in `bars`.
        horizon: H, in business days.
        levels: float (Q,), between 0 and 1.

    Returns:
        `(quantiles, mean)`, float64 (N, H, Q) and (N, H), in currency; or None if `bars` are not
        those of a built-in set.

    Example:
        >>> walk = simulate("random_walk")
        >>> quantiles, mean = true_quantiles(walk, [[0, 100]], horizon=5, levels=[0.1, 0.5, 0.9])
        >>> bool(quantiles[0, 4, 1] == walk.closes[0, 100])
        True
    """
    found = _recognise(bars)
    if found is None:
        return None
    simulated, series, dates = found
    origins = np.asarray(origins, int).reshape(-1, 2)
    place = series[origins[:, 0]], dates[origins[:, 1]]
    volatility, last = simulated.volatility[place[0]], simulated.closes[place]
    levels = np.asarray(levels, float)
    if simulated.state is None:
        spread = volatility[:, None] * np.sqrt(np.arange(1, horizon + 1))  # (N, H)
        quantiles, mean = np.exp(spread[..., None] * ndtri(levels)), np.exp(spread**2 / 2)
    else:
        state = process.State(*(part[place] for part in simulated.state))
        quantiles, mean = process.forecast(state, volatility, horizon, levels, keys=sum(place))
    return last[:, None, None] * quantiles, last[:, None] * mean


def _check(config):
    if config not in _NAMES:
        raise ValueError(
            f"There is no built-in market {config!r}; there are {' and '.join(map(repr, _NAMES))}."
        )


def _between(random, low, high):
    return low + (high - low) * random.random(_SERIES)


def _follow(days, start, volatility, volume):
    """Values (S, D, 5) and State (S, D); each day sees only the bars before it, as rounded."""
    state = process.State(*np.zeros((5, _SERIES)))
    values, states, close = [], [], start
    for day in zip(*days, strict=True):
        ratio, drift = process.outlook(state)
        bar = process.make_bar(
            close, volatility * ratio, drift, process.Days(*day), volume + state.volume
        )
        state = process.observe(state, bar, close, volatility, volume)
        close = bar[:, 3]
        values.append(bar)
        states.append(state)
    return np.stack(values, axis=1), process.State(*np.moveaxis(np.array(states), 0, -1).copy())


def _walk(days, start, volatility, volume):
    """Values (S, D, 5)."""
    values, close = [], start
    for day in zip(*days, strict=True):
        day = process.Days(*day)
        bar = process.make_bar(close, volatility, 0.0, day, volume)
        bar[:, 4] = np.rint(np.exp(volume + _WALK_VOLUME_SPREAD * day.news))
        close = bar[:, 3]
        values.append(bar)
    return np.stack(values, axis=1)


def _recognise(bars):
    """Returns (Simulated, its rows for the series, and for the dates, of `bars`), or None."""
    for config, name in _NAMES.items():
        if not len(bars.series) or not all(str(each).startswith(name) for each in bars.series):
            continue
        simulated = simulate(config)
        series = pd.Index(simulated.series).get_indexer([str(each) for each in bars.series])
        given = np.asarray(bars.dates, "datetime64[D]")
        dates = pd.Index(simulated.dates).get_indexer(given)
        if (series < 0).any() or (dates < 0).any():
            continue
        if np.allclose(bars.closes, simulated.closes[np.ix_(series, dates)], rtol=1e-6, atol=0):
            return simulated, series, dates
    return None
