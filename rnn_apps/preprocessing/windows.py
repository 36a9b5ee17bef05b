"""Windows of many series, for `fit`: a known number, in an order that repeats."""

import numpy as np
import tensorflow as tf

from rnn_apps.preprocessing.series import CLOSE, FIELDS


def future_returns(closes, horizon):
    """Log returns from each bar to those after it.

    Args:
        closes: float (S, D), prices; NaN where there is no bar.
        horizon: int, U.

    Returns:
        float32 (S, D, U), log(closes[:, t + u] / closes[:, t]) for u = 1 … U; NaN where either is
        unknown or lies beyond the end.

    Example:
        >>> future_returns(np.array([[1.0, 1.0, np.e]]), 2)[0, :, 1].tolist()
        [1.0, nan, nan]
    """
    logs = np.log(np.where(np.asarray(closes) > 0, closes, np.nan))
    returns = np.full([*logs.shape, horizon], np.nan, np.float32)
    for step in range(1, min(horizon, logs.shape[1] - 1) + 1):
        returns[:, :-step, step - 1] = logs[:, step:] - logs[:, :-step]
    return returns


class SeriesWindows:
    """A feed for `fit`: windows of bars, and what came after some of their bars.

    The origins of a window are bars after which a forecast is made. A window is used if something
    is known after one of its origins. Where windows lie is a function of seed and epoch alone.

    Args:
        bars: float32 (S, D, 5), on one calendar; NaN where unknown.
        days: int32 (D,), the calendar's dates as days since 1970-01-01; None to leave them out.
        static: dict from name to array (S,), what is known of each series.
        window: int, T, bars in a window; bars before the first are NaN.
        horizon: int, U.
        origins: int (N,), places of the origins in a window.
        first: int, place in the calendar of the first origin that counts.
        fed: bool, whether the network reads what came at one step before the next.
        batch_size: int, windows in a batch.
        shuffle: bool; if not, windows stand in the order of series and time, each origin once.
        seed: int, of the shuffling.

    Each batch is ``({"bars": (B, T, 5), …}, returns (B, N, U))``, log returns, NaN where unknown.
    `epoch` is to be set before each epoch (`rnn_apps.training.FeedEpoch` does).

    Raises:
        ValueError: if there is no window with a known outcome.
    """

    def __init__(
        self,
        bars,
        *,
        days=None,
        static=None,
        window,
        horizon,
        origins,
        first=0,
        fed=False,
        batch_size=64,
        shuffle=True,
        seed=0,
    ):
        self.returns = future_returns(bars[..., CLOSE], horizon)
        self.returns[:, :first] = np.nan
        self.known = np.isfinite(self.returns).any(-1)  # (S, D)
        self.bars = np.float32(bars)
        self.days = None if days is None else np.int32(days)
        self.static = {
            name: np.float32(values) if values.dtype.kind == "f" else values
            for name, values in (static or {}).items()
        }
        self.window = window
        self.origins = np.asarray(origins)
        self.fed = fed
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self._plan_of = (None, None)
        self.count = len(self._windows(0))
        if not self.count:
            raise ValueError(
                f"There is no bar with a known price up to {horizon} bars after it in the "
                f"{self.bars.shape[1] - first} dates from which to learn or judge; give more dates "
                "or a shorter horizon."
            )

    def __len__(self):
        """The number of batches, the same in every epoch."""
        return -(-self.count // self.batch_size)

    def dataset(self):
        """Returns a `tf.data.Dataset` of known length; each pass yields the current `epoch`."""
        inputs = {"bars": tf.TensorSpec([None, self.window, len(FIELDS)], tf.float32)}
        if self.days is not None:
            inputs["dates"] = tf.TensorSpec([None, self.window], tf.int32)
        for name, values in self.static.items():
            inputs[name] = tf.TensorSpec([None], tf.as_dtype(values.dtype))
        shape = [None, len(self.origins), self.returns.shape[-1]]
        targets = tf.TensorSpec(shape, tf.float32)
        if self.fed:
            inputs["fed"] = targets
        batches = tf.data.Dataset.from_generator(
            lambda: iter(self), output_signature=(inputs, targets)
        )
        return batches.apply(tf.data.experimental.assert_cardinality(len(self))).prefetch(2)

    def __iter__(self):
        """Goes through the batches of the current `epoch`."""
        return (self[index] for index in range(len(self)))

    def plan(self):
        """Returns int (count, 2), series and last date of each window of the current `epoch`."""
        if self._plan_of[0] != self.epoch:
            self._plan_of = (self.epoch, self._make_plan())
        return self._plan_of[1]

    def _make_plan(self):
        if not self.shuffle:
            return self._windows(0)
        random = np.random.default_rng([self.seed, self.epoch])
        windows = self._windows(random.integers(self._stride()))
        windows = random.permutation(windows if len(windows) else self._windows(0))
        return np.resize(windows, [self.count, 2])

    def _stride(self):
        """How far windows are apart, so that their origins meet each date once."""
        spacing = self.origins[1] - self.origins[0] if len(self.origins) > 1 else 1
        return len(self.origins) * spacing

    def _windows(self, offset):
        """The windows, ending `offset` dates earlier than they could, with a known outcome."""
        dates = self.known.shape[1]
        spacing = self.origins[1] - self.origins[0] if len(self.origins) > 1 else 1
        phases = range(spacing) if not self.shuffle else (0,)
        lasts = np.concatenate(
            [np.arange(dates - 1 - offset - phase, -1, -self._stride()) for phase in phases]
        )
        places = lasts[:, None] - (self.window - 1) + self.origins  # (windows, N)
        known = self.known[:, np.maximum(places, 0)] & (places >= 0)
        series, which = np.nonzero(known.any(-1))
        return np.stack([series, lasts[which]], -1)

    def __getitem__(self, index):
        """Returns one batch; see the class."""
        rows = self.plan()[index * self.batch_size : (index + 1) * self.batch_size]
        series, last = rows[:, :1], rows[:, 1:]
        dates = last + np.arange(1 - self.window, 1)  # (B, T)
        inputs = {
            "bars": np.where(
                (dates >= 0)[..., None], self.bars[series, np.maximum(dates, 0)], np.float32(np.nan)
            )
        }
        if self.days is not None:
            inputs["dates"] = self.days[np.maximum(dates, 0)]
        inputs |= {name: values[rows[:, 0]] for name, values in self.static.items()}
        places = dates[:, self.origins]
        returns = np.where(
            (places >= 0)[..., None], self.returns[series, np.maximum(places, 0)], np.nan
        )
        if self.fed:
            inputs["fed"] = returns
        return inputs, returns
