"""Decoders over the steps of a horizon."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks.horizon import HorizonDecoder

RANDOM = np.random.default_rng(0)
STATES = RANDOM.normal(size=[4, 6]).astype("float32")
FED = RANDOM.normal(size=[4, 5, 1]).astype("float32")


def decoder(kind="recurrent", **options):
    """A decoder of random weights."""
    made = HorizonDecoder(kind, 5, 3, **{"units": 4, **options})
    made(tf.constant(STATES))
    for weight in made.trainable_weights:
        weight.assign(np.random.default_rng(1).normal(0, 0.5, weight.shape))
    return made


@pytest.mark.parametrize("kind", ["direct", "recurrent"])
@pytest.mark.parametrize("initial", [(1.0, 2.0, 3.0), np.arange(15.0).reshape(5, 3).tolist()])
def test_before_training_all_states_give_what_was_asked_for(kind, initial):
    made = HorizonDecoder(kind, 5, 3, initial=initial, units=4)(tf.constant(STATES))
    np.testing.assert_array_equal(made, np.broadcast_to(initial, [4, 5, 3]))


@pytest.mark.parametrize("cell", ["gru", "lstm", "simple_rnn"])
def test_steps_are_the_whole(cell):
    made = decoder(cell=cell)
    whole = made(tf.constant(STATES), fed=tf.constant(FED))
    state = made.start(tf.constant(STATES))
    for place in range(5):
        raw, state = made.step(tf.constant(FED[:, place]), tf.constant(place), state)
        np.testing.assert_allclose(raw, whole[:, place], atol=1e-5)
    assert np.ptp(whole, axis=1).min() > 0.01


def test_a_step_reads_what_was_fed_up_to_it_and_no_more():
    made = decoder()
    before = made(tf.constant(STATES), fed=tf.constant(FED)).numpy()
    for place in range(5):
        other = FED.copy()
        other[:, place] += 1
        after = made(tf.constant(STATES), fed=tf.constant(other)).numpy()
        np.testing.assert_array_equal(after[:, :place], before[:, :place])
        assert (np.abs(after[:, place] - before[:, place]).max(-1) > 1e-4).all()


@pytest.mark.parametrize("kind", ["direct", "recurrent"])
def test_each_row_is_decoded_by_itself_and_nothing_fed_is_zeros(kind):
    made = decoder(kind)
    together = made(tf.constant(STATES)).numpy()
    for row in range(4):
        np.testing.assert_allclose(
            made(tf.constant(STATES[row : row + 1]))[0], together[row], atol=1e-6
        )
    if kind == "recurrent":
        zeros = made(tf.constant(STATES), fed=tf.zeros_like(FED))
        np.testing.assert_array_equal(together, zeros)


def test_dropout_is_of_training_alone():
    made = decoder("direct", dropout=0.5)
    states = tf.constant(STATES)
    np.testing.assert_array_equal(made(states), made(states, training=False))
    assert not np.allclose(made(states, training=True), made(states))


@pytest.mark.parametrize("kind", ["direct", "recurrent"])
def test_a_decoder_comes_back_from_its_configuration(kind):
    made = decoder(kind, initial=(1.0, 2.0, 3.0), cell="lstm", dropout=0.25, name="mine")
    again = HorizonDecoder.from_config(made.get_config())
    assert again.get_config() == made.get_config()
    again(tf.constant(STATES))
    again.set_weights(made.get_weights())
    np.testing.assert_array_equal(again(tf.constant(STATES)), made(tf.constant(STATES)))


def test_a_decoder_computes_in_float32_whatever_the_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        made = decoder()
        said = made(tf.constant(STATES, tf.bfloat16))
        raw, _ = made.step(tf.zeros([4, 1]), tf.constant(0), made.start(tf.constant(STATES)))
    finally:
        keras.config.set_dtype_policy("float32")
    assert said.dtype == raw.dtype == tf.float32
    exact = decoder()(tf.cast(tf.constant(STATES, tf.bfloat16), tf.float32))
    np.testing.assert_allclose(said, exact, atol=1e-6)


def test_a_kind_that_is_none_is_refused():
    with pytest.raises(ValueError, match="kind='beam' is no decoder; give 'direct' or 'recurrent'"):
        HorizonDecoder("beam", 5, 3)
