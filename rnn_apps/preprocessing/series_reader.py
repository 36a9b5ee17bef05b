"""A raw request → what the network reads, and what turns its answers back into prices."""

import numpy as np
import tensorflow as tf

from rnn_apps.preprocessing import series, static


class SeriesReader:
    """Reads requests by what was learned from training bars.

    Args:
        volatility: float, the usual size of a daily log return.
        mean: F numbers, of the features.
        deviation: F numbers.
        static_facts: {column: what `static.learn` returned}.
    """

    def __init__(self, volatility, mean, deviation, static_facts):
        self.volatility = volatility
        self.mean = tuple(mean)
        self.deviation = tuple(deviation)
        self.static_facts = static_facts
        self.width = len(self.mean) + sum(map(static.width, static_facts.values()))

    def __call__(self, inputs, window=None):
        """Reads a request.

        Args:
            inputs: {"bars": float32 (B, T, 5)}, beside it perhaps "dates" int32 (B, T) and the
                static columns (B,).
            window: int, the most bars to keep of each row; None for all.

        Returns:
            A dict: `columns` float32 (B, T, F), known bars first; `mask` bool (B, T), True for
            these and for the first step, so that no row is empty; `count` int32 (B, 1), how many
            they are; `scale` float32 (B, T); `prices` float32 (B, T), closes, 0 beyond the known
            ones; and, without `window`, `places` int32 (B, T), where the last known bar up to
            each has gone.
        """
        bars, dates = inputs["bars"], inputs.get("dates")
        if window is None:
            known = series.compact(bars, dates)
        else:
            bars = _one_at_least(bars, np.nan)
            dates = None if dates is None else _one_at_least(dates, 0)
            known = series.last_bars(series.compact(bars, dates), window)
        columns, scale = series.features(known, self.volatility)
        columns = series.standardise(columns, self.mean, self.deviation)
        for column, facts in self.static_facts.items():
            said = static.encode(inputs[column], facts)[:, None]
            columns = tf.concat([columns, tf.repeat(said, tf.shape(columns)[1], axis=1)], -1)
        mask = known["mask"]
        return {
            "columns": columns,
            "mask": mask | (tf.range(tf.shape(mask)[1]) == 0),
            "count": tf.reduce_sum(tf.cast(mask, tf.int32), -1, keepdims=True),
            "scale": scale,
            "prices": tf.where(mask, known["bars"][..., series.CLOSE], 0.0),
            "places": known.get("places"),
        }


def _one_at_least(values, filler):
    """Gives rows without any step one that says nothing: (B, T, …) → (B, max(T, 1), …)."""
    beyond = [[0, 0], [0, tf.maximum(1 - tf.shape(values)[1], 0)]]
    return tf.pad(values, beyond + [[0, 0]] * (values.shape.rank - 2), constant_values=filler)


def refuse_leak(encoder, width):
    """Refuses an encoder whose output at a step depends on a later one, or is not one a step.

    Args:
        encoder: float32 (1, T, F) → float32 (1, T, H).
        width: int, F.

    Raises:
        ValueError: if it looks ahead, or gives something else.
    """
    steps = np.ones([1, 12, width], np.float32)
    shape = encoder(tf.constant(steps)).shape
    if shape.rank != 3 or shape[1] != 12:
        raise ValueError(
            f"The encoder made {tuple(shape)} of {steps.shape}; it must give a state for each "
            "step, (batch, steps, units), as keras.layers.GRU(8, return_sequences=True) does."
        )
    leak = series.first_leak(encoder, steps)
    if leak is not None:
        raise ValueError(
            f"The encoder looks ahead: its output at step {leak} depends on a later one, so it "
            "would be trained on what it is to forecast. Give one that reads forwards only."
        )
