"""Corrections of quantiles: as many as held-out examples bear out, and no more."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from rnn_apps.blocks.calibration import ConformalCalibration

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
HORIZON = 2
SCALES = np.sqrt(np.arange(1, HORIZON + 1)) * 0.01


def examples(width, *, centre=0.0, dates=400, each=5, seed=0, levels=LEVELS, together=0.0):
    """Normal outcomes, and forecasts with intervals `width` times as wide as they should be.

    `together` is the share of the variance that all series of a date have in common.
    """
    random = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(dates), each)
    own, common = random.normal(size=[len(numbers), HORIZON]), random.normal(size=[dates, HORIZON])
    noise = np.sqrt(1 - together) * own + np.sqrt(together) * common[numbers]
    signal = 0.3 * random.normal(size=[len(numbers), 1])
    outcomes = SCALES * (noise + signal * (centre != 0))
    spread = scipy.stats.norm.ppf(levels)
    spread = spread - spread[int(np.argmin(np.abs(np.array(levels) - 0.5)))]
    quantiles = SCALES[:, None] * (width * spread + centre * signal[..., None])
    return np.float32(quantiles), outcomes, numbers


def learned(*parts, levels=LEVELS):
    layer = ConformalCalibration(HORIZON, levels)
    layer.build([None, HORIZON, len(levels)])
    layer.learn(*parts)
    return layer


def coverage(layer, quantiles, outcomes):
    """Share of outcomes below each quantile, (Q,)."""
    corrected = layer(tf.constant(quantiles)).numpy()
    return (outcomes[..., None] <= corrected).mean((0, 1))


def test_forecasts_that_are_right_stay():
    layer = learned(examples(1.0))
    np.testing.assert_array_equal(layer.factors, np.ones([HORIZON, 5]))


@pytest.mark.parametrize("width", [0.6, 1.6])
def test_intervals_too_narrow_or_wide_come_right_on_other_examples(width):
    layer = learned(examples(width))
    quantiles, outcomes, _ = examples(width, seed=1)
    before = (outcomes[..., None] <= quantiles).mean((0, 1))
    assert np.abs(before - LEVELS)[[0, -1]].min() > 0.05
    after = coverage(layer, quantiles, outcomes)
    np.testing.assert_allclose(after[[0, 1, 3, 4]], np.array(LEVELS)[[0, 1, 3, 4]], atol=0.02)


def test_levels_that_mirror_each_other_share_a_factor():
    factors = learned(examples(0.5)).factors.numpy()
    np.testing.assert_array_equal(factors[:, [0, 1]], factors[:, [4, 3]])
    np.testing.assert_array_equal(factors[:, 2], [1, 1])
    assert (factors[:, [0, 1]] > 1.5).all() and (factors[:, [0, 1]] < 2.1).all()


def test_levels_without_a_mirror_are_corrected_each_by_itself():
    levels = (0.05, 0.5, 0.8)
    quantiles, outcomes, dates = examples(1.0, levels=levels)
    quantiles[..., 0] *= 0.5
    layer = learned((quantiles, outcomes, dates), levels=levels)
    factors = layer.factors.numpy()
    assert (factors[:, 0] > 1.6).all()
    np.testing.assert_array_equal(factors[:, 1:], np.ones([HORIZON, 2]))
    quantiles, outcomes, _ = examples(1.0, levels=levels, seed=1)
    quantiles[..., 0] *= 0.5
    np.testing.assert_allclose(coverage(layer, quantiles, outcomes), levels, atol=0.025)


def test_many_series_of_few_dates_are_not_believed():
    """Of a month that was calm for all series, little follows."""
    moved = []
    for seed in range(12):
        quantiles, outcomes, dates = examples(1.0, dates=25, each=100, together=0.98, seed=seed)
        apart = learned((quantiles, outcomes, np.arange(len(dates))))
        alike = learned((quantiles, outcomes, dates))
        moved.append([(layer.factors.numpy() != 1).any() for layer in (alike, apart)])
    assert np.mean(moved, axis=0)[0] < 0.3
    assert np.mean(moved, axis=0)[1] == 1


def test_a_correction_that_varied_as_much_in_training_is_not_believed():
    held_out = examples(0.8)
    alone = learned(held_out).factors.numpy()
    assert (alone[:, 0] > 1.1).all()
    steady = [examples(0.8, seed=k) for k in range(2, 8)]
    varied = [examples(w, seed=k) for k, w in enumerate((0.5, 1.9, 1.4, 0.7, 1.1, 0.6), 2)]

    def joined(parts):
        quantiles, outcomes, dates = (np.concatenate(each) for each in zip(*parts, strict=True))
        return quantiles, outcomes, dates + 400 * np.repeat(np.arange(len(parts)), 2000)

    np.testing.assert_allclose(learned(held_out, joined(steady)).factors, alone, rtol=0.1)
    np.testing.assert_array_equal(learned(held_out, joined(varied)).factors, np.ones([HORIZON, 5]))


def test_a_centre_that_is_noise_is_taken_away_and_a_true_one_is_kept():
    true = examples(1.0, centre=1.0, dates=1500)
    assert float(learned(true).centre_share) > 0.9
    random = np.random.default_rng(9)
    noise = (true[0], random.permutation(true[1]), true[2])
    assert float(learned(noise).centre_share) == 0
    against = (-true[0][..., ::-1], true[1], true[2])
    assert float(learned(against).centre_share) == 0
    twice = examples(1.0, centre=2.0, dates=1500)
    assert 0.4 < float(learned(twice).centre_share) < 0.6


def test_without_a_centre_there_is_nothing_to_share():
    quantiles, outcomes, dates = examples(1.0)
    assert (quantiles[..., 2] == 0).all()
    assert float(learned((quantiles, outcomes, dates)).centre_share) == 0


@pytest.mark.parametrize("kind", ["unknown", "one example", "no step", "still", "equal"])
def test_corrections_are_finite_whatever_the_examples(kind):
    quantiles, outcomes, dates = examples(0.5, centre=1.0)
    if kind == "unknown":
        outcomes[::3, 1] = outcomes[:7] = np.nan
    elif kind == "one example":
        quantiles, outcomes, dates = quantiles[:1], outcomes[:1], dates[:1]
    elif kind == "no step":
        outcomes[:, 1] = np.nan
    elif kind == "still":
        quantiles[::2], outcomes[::2] = 0, 0
    else:
        quantiles[:] = quantiles[..., 2:3]
    layer = learned((quantiles, outcomes, dates), (quantiles, outcomes, dates))
    assert np.isfinite(layer.factors.numpy()).all() and 0 <= float(layer.centre_share) <= 1
    corrected = layer(tf.constant(quantiles)).numpy()
    assert (np.diff(corrected, axis=-1) >= 0).all()
    if kind in ("no step", "equal"):
        np.testing.assert_array_equal(layer.factors[1], np.ones(5))


def test_what_is_unknown_does_not_count():
    quantiles, outcomes, dates = examples(0.6)
    some = np.random.default_rng(0).random(outcomes.shape) < 0.3
    holes = np.where(some, np.nan, outcomes)
    outcomes = np.where(some, 1e6, outcomes)
    factors = learned((quantiles, holes, dates)).factors.numpy()
    assert (factors[:, 0] < 1.9).all() and (factors[:, 0] > 1.4).all()
    assert (learned((quantiles, outcomes, dates)).factors.numpy()[:, 0] > 10).all()


def test_corrected_quantiles_do_not_cross_whatever_the_factors():
    layer = learned(examples(1.0))
    layer.factors.assign(np.random.default_rng(0).uniform(0.01, 9, [HORIZON, 5]))
    corrected = layer(tf.constant(examples(1.0)[0])).numpy()
    assert (np.diff(corrected, axis=-1) >= 0).all()


def test_corrections_can_be_taken_back():
    layer = learned(examples(0.5))
    quantiles = tf.constant(examples(0.5)[0])
    assert not np.allclose(layer(quantiles), quantiles)
    layer.forget()
    np.testing.assert_allclose(layer(quantiles), quantiles, rtol=1e-6)


def test_corrections_are_weights_and_settings_a_configuration():
    layer = learned(examples(0.5))
    again = ConformalCalibration.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build([None, HORIZON, 5])
    assert not again.trainable_weights
    again.set_weights(layer.get_weights())
    quantiles = tf.constant(examples(0.5, seed=1)[0])
    np.testing.assert_array_equal(again(quantiles), layer(quantiles))
