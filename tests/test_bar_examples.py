"""Bars in serialized examples."""

import numpy as np
import tensorflow as tf

from rnn_apps.preprocessing import bar_examples

BESIDE = {
    "dates": tf.TensorSpec([None, None], tf.int32, name="dates"),
    "sector": tf.TensorSpec([None], tf.string, name="sector"),
    "size": tf.TensorSpec([None], tf.float32, name="size"),
}


def serialized(**columns):
    features = {name: bar_examples._feature(values) for name, values in columns.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def test_a_serialized_request_comes_back():
    bars = bar_examples.example_bars(4)
    request = {"bars": [bars], "dates": [[1, 2, 5, 6]], "sector": ["tea"], "size": [2.5]}
    found = bar_examples.parse(tf.constant([bar_examples.serialize(request)] * 2), BESIDE)
    np.testing.assert_allclose(found["bars"], [bars] * 2)
    assert found["dates"].numpy().tolist() == [[1, 2, 5, 6]] * 2
    assert found["dates"].dtype == tf.int32
    assert found["sector"].numpy().tolist() == [b"tea"] * 2
    assert found["size"].numpy().tolist() == [2.5] * 2


def test_what_an_example_lacks_is_unknown():
    rows = [
        serialized(close=[1.0, 2.0, 3.0], open=[1.0], volume=[5.0] * 9, dates=[7, 8], sector=["a"]),
        serialized(close=[4.0], size=[1.0]),
        serialized(open=[1.0]),
    ]
    found = {name: v.numpy() for name, v in bar_examples.parse(tf.constant(rows), BESIDE).items()}
    nan = np.nan
    np.testing.assert_array_equal(found["bars"][..., 3], [[1, 2, 3], [4, nan, nan], [nan] * 3])
    np.testing.assert_array_equal(found["bars"][..., 0], [[1, nan, nan], [nan] * 3, [1, nan, nan]])
    np.testing.assert_array_equal(found["bars"][0, :, 4], [5, 5, 5])
    assert np.isnan(found["bars"][..., 1:3]).all()
    assert found["dates"].tolist() == [[7, 8, 0], [0, 0, 0], [0, 0, 0]]
    assert found["sector"].tolist() == [b"a", b"", b""]
    np.testing.assert_array_equal(found["size"], [nan, 1, nan])


def test_no_example_has_a_close_and_no_bar_is_found():
    found = bar_examples.parse(tf.constant([serialized(open=[1.0])]), BESIDE)
    assert found["bars"].shape == (1, 0, 5)
    assert found["dates"].shape == (1, 0)


def test_example_bars_make_sense():
    opened, high, low, close, volume = np.transpose(bar_examples.example_bars(30))
    assert (low <= np.minimum(opened, close)).all() and (np.maximum(opened, close) <= high).all()
    assert (volume > 0).all() and len(close) == 30
    assert len(set(close)) > 20
