"""Bars as serialized `tf.train.Example`s, which TensorFlow Serving's regress takes."""

import numpy as np
import tensorflow as tf

from rnn_apps.preprocessing.series import FIELDS


def parse(serialized, beside):
    """Reads bars out of examples, in graph operations.

    Args:
        serialized: string (B,). Each example has a float list `close`, and `open`, `high`, `low`
            and `volume` where known, one number a bar, oldest first. Where a list is shorter than
            `close`, its last numbers count as missing.
        beside: {name: `tf.TensorSpec`} of the request's other inputs, which are features too.

    Returns:
        {"bars": float32 (B, T, 5), …}, NaN where unknown.
    """
    wanted = {
        name: tf.io.FixedLenSequenceFeature([], tf.float32, True, float("nan")) for name in FIELDS
    }
    for name, spec in beside.items():
        kind = tf.int64 if spec.dtype == tf.int32 else spec.dtype
        if spec.shape.rank == 2:
            wanted[name] = tf.io.FixedLenSequenceFeature([], kind, True, 0)
        else:
            unknown = "" if kind == tf.string else float("nan")
            wanted[name] = tf.io.FixedLenFeature([], kind, unknown)
    found = tf.io.parse_example(serialized, wanted)
    length = tf.shape(found["close"])[1]
    fields = [_as_long(found[name], length, float("nan")) for name in FIELDS]
    others = {
        name: tf.cast(found[name], spec.dtype) if spec.dtype != tf.string else found[name]
        for name, spec in beside.items()
    }
    for name, spec in beside.items():
        if spec.shape.rank == 2:
            others[name] = _as_long(others[name], length, 0)
    return {"bars": tf.stack(fields, -1), **others}


def example_bars(count):
    """Bars such as a price that sways by a percent: list of `count` lists of 5 numbers."""
    close = 100 * np.exp(0.01 * np.sin(np.arange(count)))
    fields = [close, close * 1.01, close * 0.99, close, np.full(count, 1e6)]
    return np.stack(fields, -1).tolist()


def request(count, dates, static_facts):
    """A raw request of one row of `count` bars.

    Args:
        count: int, bars.
        dates: bool, whether it holds dates.
        static_facts: {column: what `rnn_apps.preprocessing.static.learn` found in it}.

    Returns:
        {input: list of one row}.
    """
    made = {"bars": [example_bars(count)]}
    if dates:
        made["dates"] = [list(range(18000, 18000 + count))]
    for column, facts in static_facts.items():
        made[column] = [facts["names"][0] if "names" in facts else facts["mean"]]
    return made


def serialize(request):
    """Turns one request of one row, {input: list}, into a serialized example."""
    columns = dict(zip(FIELDS, np.asarray(request["bars"][0]).T.tolist(), strict=True))
    for name, values in request.items():
        if name != "bars":
            columns[name] = values[0] if isinstance(values[0], list) else values
    features = {name: _feature(values) for name, values in columns.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _as_long(values, length, filler):
    """Cuts or fills rows on the right: (B, T') → (B, length)."""
    values = values[:, :length]
    beyond = [[0, 0], [0, length - tf.shape(values)[1]]]
    return tf.pad(values, beyond, constant_values=filler)


def _feature(values):
    if isinstance(values[0], str):
        texts = [value.encode() for value in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))
