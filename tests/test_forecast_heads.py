"""Heads: distributions that hold whatever the weights are."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from rnn_apps.blocks import distributions
from rnn_apps.blocks.forecast_heads import QuantileHead, StudentTHead

RANDOM = np.random.default_rng(0)
STATES = RANDOM.normal(size=[6, 5]).astype("float32")
SCALE = RANDOM.uniform(0.005, 0.03, [6, 1]).astype("float32")
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
HORIZON = 4


def head(kind, decoder="direct", levels=LEVELS, spread=1.0, size=3.0):
    """A head of random weights."""
    if kind == "quantiles":
        steps = np.linspace(-1, 1, len(levels))
        made = QuantileHead(levels, HORIZON, steps, kind=decoder, units=4)
    else:
        made = StudentTHead(levels, HORIZON, kind=decoder, units=4)
    made(tf.constant(STATES), tf.constant(SCALE))
    random = np.random.default_rng(1)
    for weight in made.trainable_weights:
        weight.assign(weight + random.normal(0, size, weight.shape))
    return made


def forecast(made, paths=50, rows=slice(None)):
    states, scale = tf.constant(STATES[rows]), tf.constant(SCALE[rows])
    return [values.numpy() for values in made.forecast(states, scale, paths)]


KINDS = [(k, d) for k in ("quantiles", "student_t") for d in ("direct", "recurrent")]


@pytest.mark.parametrize("levels", [LEVELS, (0.4,), (0.05, 0.1, 0.7), (0.6, 0.99)])
@pytest.mark.parametrize("kind, decoder", KINDS)
def test_quantiles_never_cross_whatever_the_weights_and_levels(kind, decoder, levels):
    for size in (0.1, 1.0, 5.0):
        quantiles, scores = forecast(head(kind, decoder, levels, size=size))
        assert quantiles.shape == (6, HORIZON, len(levels))
        assert np.isfinite(quantiles).all() and np.isfinite(scores).all()
        assert (np.diff(quantiles, axis=-1) >= 0).all()


@pytest.mark.parametrize("kind, decoder", KINDS)
def test_a_forecast_repeats_and_is_each_rows_own(kind, decoder):
    made = head(kind, decoder, size=0.5)
    together, scores = forecast(made)
    again, same_scores = forecast(made)
    np.testing.assert_array_equal(together, again)
    np.testing.assert_array_equal(scores, same_scores)
    for row in range(6):
        alone, own = forecast(made, rows=slice(row, row + 1))
        np.testing.assert_allclose(alone[0], together[row], rtol=2e-4, atol=1e-6)
        assert own.shape == (1, 50, HORIZON)


@pytest.mark.parametrize("kind, decoder", KINDS)
def test_a_forecast_is_in_units_of_the_scale(kind, decoder):
    made = head(kind, decoder, size=0.5)
    one = made.forecast(tf.constant(STATES), tf.constant(SCALE), 20)[0]
    ten = made.forecast(tf.constant(STATES), tf.constant(SCALE * 10), 20)[0]
    np.testing.assert_allclose(ten, 10 * one, rtol=1e-4, atol=1e-6)


def test_before_training_quantiles_are_the_spread_times_the_root_of_the_step():
    spread = np.array([-2.0, -0.5, 0.0, 0.5, 3.0])
    made = QuantileHead(LEVELS, HORIZON, spread, kind="recurrent", units=4)
    found = made(tf.constant(STATES), tf.constant(SCALE))
    roots = np.sqrt(np.arange(1, 5))
    np.testing.assert_allclose(found, SCALE[:, :, None] * roots[:, None] * spread, rtol=1e-4)


@pytest.mark.parametrize("raw", [(0.1, -0.2, 2.0), (-0.5, 1.0, 0.0), (0.0, -3.0, 300.0)])
def test_quantiles_of_samples_are_students(raw):
    made = StudentTHead((0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975), 1, kind="direct")
    made(tf.constant(STATES), tf.constant(SCALE))
    made.decoder.bias.assign([raw])
    found, _ = forecast(made)
    location, scale, df = (float(x) for x in distributions.student_t(tf.constant(raw)))
    expected = scipy.stats.t.ppf(made.levels, df, location, scale)
    error = np.abs(found[:, 0] / SCALE - expected) / scale
    assert error[:, 1:-1].max() < 0.05 and error.max() < 0.2


def test_sums_of_independent_steps_spread_as_they_should():
    """Of t with 200 degrees of freedom, so nearly normal, deviation 1: that of four steps is 2."""
    made = StudentTHead((0.1, 0.5, 0.9), HORIZON, kind="direct")
    made(tf.constant(STATES), tf.constant(SCALE))
    made.decoder.bias.assign([[0.0, np.log(np.expm1(1.0)), 300.0]] * 4)
    found = forecast(made)[0] / SCALE[..., None]
    expected = np.sqrt(np.arange(1, 5))[:, None] * scipy.stats.norm.ppf([0.1, 0.5, 0.9])
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=0.15)


def test_a_recurrent_head_draws_each_step_from_what_training_says_of_it():
    """Feeding back the paths that were drawn gives the distributions they were drawn from."""
    made = head("student_t", "recurrent", size=0.4)
    uniforms = tf.constant(distributions.even_pairs(40, HORIZON))
    moves = made._fed_moves(tf.constant(STATES), uniforms).numpy()  # (6, 40, U)
    paths = np.cumsum(moves * SCALE[:, None], -1).reshape(240, HORIZON)
    states, scale = (tf.constant(np.repeat(x, 40, 0)) for x in (STATES, SCALE))
    location, width, df = tf.unstack(made(states, scale, fed=tf.constant(paths)), axis=-1)
    pairs = np.tile(uniforms.numpy(), [1, 1, 6]).transpose(1, 2, 0)
    expected = distributions.student_t_samples(location, width, df, tf.unstack(tf.constant(pairs)))
    np.testing.assert_allclose(np.cumsum(expected, -1), paths, rtol=1e-3, atol=1e-5)


def test_a_recurrent_head_is_fed_the_step_before_and_nothing_where_that_is_unknown():
    made = head("student_t", "recurrent", size=0.4)
    fed = RANDOM.normal(0, 0.02, [6, HORIZON]).astype("float32")
    before = made(tf.constant(STATES), tf.constant(SCALE), fed=tf.constant(fed)).numpy()
    for step in range(HORIZON):
        other = fed.copy()
        other[:, step:] += 0.05
        after = made(tf.constant(STATES), tf.constant(SCALE), fed=tf.constant(other)).numpy()
        np.testing.assert_array_equal(after[:, : step + 1], before[:, : step + 1])
        assert step == HORIZON - 1 or (after[:, step + 1] != before[:, step + 1]).any(-1).all()
    fed[0] = np.nan
    unknown = made(tf.constant(STATES), tf.constant(SCALE), fed=tf.constant(fed)).numpy()
    zeros = made(tf.constant(STATES), tf.constant(SCALE), fed=tf.zeros_like(fed)).numpy()
    np.testing.assert_allclose(unknown[0], zeros[0], atol=1e-6)
    np.testing.assert_array_equal(unknown[1:], before[1:])


@pytest.mark.parametrize("paths", [7, 50, 600])
@pytest.mark.parametrize("kind, decoder", KINDS)
def test_as_many_paths_are_scored_as_were_asked_for(kind, decoder, paths):
    scores = forecast(head(kind, decoder, size=0.5), paths)[1]
    expected = distributions.normal_scores((np.arange(paths) + 0.5) / paths)
    np.testing.assert_allclose(np.sort(scores, 1)[0, :, 2], expected, atol=1e-5)


@pytest.mark.parametrize("kind, decoder", KINDS)
def test_a_head_comes_back_from_its_configuration(kind, decoder):
    made = head(kind, decoder)
    again = type(made).from_config(made.get_config())
    assert again.get_config() == made.get_config()
    again(tf.constant(STATES), tf.constant(SCALE))
    again.set_weights(made.get_weights())
    np.testing.assert_array_equal(forecast(again)[0], forecast(made)[0])
