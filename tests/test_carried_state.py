"""The state between batches: read as it was written, begun anew where asked."""

import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks import RecurrentStack
from rnn_apps.blocks.carried_state import CarriedState


@pytest.fixture
def written():
    stack = RecurrentStack("lstm", 3, num_layers=2, returns="both")
    _, state = stack(np.random.default_rng(0).normal(size=(2, 4, 5)).astype("float32"))
    carried = CarriedState(stack)
    carried.write(state)
    return carried, state


def leaves(state):
    return [np.array(leaf) for leaf in tf.nest.flatten(state)]


def test_it_is_read_as_it_was_written(written):
    carried, state = written
    assert len(leaves(state)) == 4
    for expected, found in zip(leaves(state), leaves(carried.read(2)), strict=True):
        assert np.abs(expected).max() > 0
        np.testing.assert_array_equal(found, expected)


def test_rows_that_begin_anew_have_zeros(written):
    carried, state = written
    kept = tf.constant([True, False])
    for expected, found in zip(leaves(state), leaves(carried.read(2, kept)), strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        assert not found[1].any()


@pytest.mark.parametrize("rows", [1, 3])
def test_another_number_of_rows_begins_anew(written, rows):
    for found in leaves(written[0].read(rows)):
        assert found.shape == (rows, 3) and not found.any()


def test_no_gradient_goes_back_through_it(written):
    carried, _ = written
    x = tf.Variable(tf.ones([2, 3]))
    with tf.GradientTape() as tape:
        carried.write([[x, x], [x, x]])
        total = tf.add_n(tf.nest.flatten(carried.read(2)))
    assert tape.gradient(total, x) is None
