"""Requests read by what was learned, and encoders that are refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import bars_of, prices

from rnn_apps.preprocessing import series
from rnn_apps.preprocessing.series_reader import SeriesReader, refuse_leak

FACTS = {"sector": {"names": ["banks", "energy"]}, "size": {"mean": 1.0, "deviation": 2.0}}


def reader(dates=False, facts=None):
    width = len(series.FEATURES) + dates * len(series.CALENDAR_FEATURES)
    return SeriesReader(0.01, np.full(width, 0.1), np.full(width, 2.0), facts or {})


def test_columns_are_standard_features_and_beside_them_the_static_ones():
    bars = tf.constant(bars_of(prices(1, 20)))
    both = tf.concat([bars, bars], 0)
    facts = {"sector": tf.constant(["energy", "tea"]), "size": tf.constant([5.0, np.nan])}
    made = reader(facts=FACTS)
    seen = made({"bars": both, **facts})
    assert made.width == seen["columns"].shape[-1] == len(series.FEATURES) + 3
    features, scale = series.features(series.compact(both), 0.01)
    count = len(series.FEATURES)
    np.testing.assert_allclose(seen["columns"][..., :count], (features - 0.1) / 2, atol=1e-6)
    np.testing.assert_allclose(seen["columns"][0, :, count:], np.tile([0, 1, 2], [20, 1]))
    np.testing.assert_allclose(seen["columns"][1, :, count:], np.zeros([20, 3]))
    np.testing.assert_allclose(seen["scale"], scale)


def test_a_row_without_a_price_is_not_empty_and_has_none():
    bars = np.full([2, 4, 5], np.nan, np.float32)
    bars[1] = bars_of(prices(1, 4))
    seen = reader()({"bars": tf.constant(bars)}, 3)
    assert seen["mask"].numpy().tolist() == [[True, False, False], [True, True, True]]
    assert seen["count"].numpy().tolist() == [[0], [3]]
    np.testing.assert_array_equal(seen["prices"][0], [0, 0, 0])
    np.testing.assert_array_equal(seen["prices"][1], bars[1, 1:, 3])


@pytest.mark.parametrize("dates", [False, True])
def test_a_request_without_a_bar_is_read_as_one_without_a_price(dates):
    request = {"bars": tf.zeros([2, 0, 5])}
    if dates:
        request["dates"] = tf.zeros([2, 0], tf.int32)
    seen = reader(dates)(request, 3)
    assert seen["columns"].shape == (2, 1, reader(dates).width)
    assert seen["count"].numpy().tolist() == [[0], [0]]


def test_encoders_that_read_forwards_pass_and_others_are_refused_in_a_sentence():
    gru = keras.layers.GRU(4, return_sequences=True)
    assert refuse_leak(gru, 7) is None
    with pytest.raises(ValueError, match="looks ahead: its output at step 0"):
        refuse_leak(keras.layers.Bidirectional(gru), 7)
    with pytest.raises(ValueError, match="looks ahead"):
        refuse_leak(lambda steps: steps / tf.math.reduce_std(steps, 1, keepdims=True), 7)
    with pytest.raises(ValueError, match=r"made \(1, 4\) of \(1, 12, 7\).*return_sequences=True"):
        refuse_leak(keras.layers.GRU(4), 7)
    with pytest.raises(ValueError, match=r"made \(1, 6, 7\)"):
        refuse_leak(lambda steps: steps[:, ::2], 7)
