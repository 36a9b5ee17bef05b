"""Quantiles that cannot cross, Student's t, and their losses, against scipy and by hand."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from rnn_apps.blocks import distributions as d

RANDOM = np.random.default_rng(0)
LEVELS = (0.025, 0.1, 0.3, 0.5, 0.8, 0.9, 0.99)


@pytest.mark.parametrize("levels", [(), (0.5, 0.5), (0.9, 0.1), (0.0, 0.5), (0.5, 1.0), (np.nan,)])
def test_levels_that_are_none_are_refused_in_a_sentence(levels):
    with pytest.raises(ValueError, match="Quantile levels came as"):
        d.check_levels(levels)


def test_levels_become_plain_numbers():
    assert d.check_levels(np.array([0.1, 0.5])) == (0.1, 0.5)
    assert [d.middle(levels) for levels in [(0.1,), (0.1, 0.2), (0.1, 0.5, 0.9), LEVELS]] == [
        0, 1, 1, 3
    ]  # fmt: skip
    np.testing.assert_allclose(d.normal_scores(LEVELS), scipy.stats.norm.ppf(LEVELS), atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 5, 13])
def test_ordered_numbers_never_cross_and_can_be_any_quantiles(count):
    raw = tf.constant(RANDOM.normal(0, 30, [200, count]), tf.float32)
    for centre in {0, count // 2, count - 1}:
        quantiles = d.ordered(raw, centre).numpy()
        assert (np.diff(quantiles, axis=-1) >= 0).all()
        np.testing.assert_array_equal(quantiles[:, centre], raw[:, centre])
        wanted = np.sort(RANDOM.normal(size=[50, count]), -1) + 0.01 * np.arange(count)
        made = d.ordered(tf.constant(d.unordered(wanted, centre), tf.float32), centre)
        np.testing.assert_allclose(made, wanted, atol=1e-4)


def test_interpolation_of_normal_quantiles_is_the_normal_distribution():
    quantiles = np.stack([scipy.stats.norm.ppf(LEVELS, 1, 2), scipy.stats.norm.ppf(LEVELS, 0, 3)])
    ranks = np.array([1e-4, 0.01, 0.07, 0.5, 0.62, 0.95, 0.999])
    scores = tf.constant(np.repeat(scipy.stats.norm.ppf(ranks)[None, :, None], 2, 2), tf.float32)
    found = d.interpolated(tf.constant(quantiles[None], tf.float32), LEVELS, scores)
    expected = np.stack([scipy.stats.norm.ppf(ranks, 1, 2), scipy.stats.norm.ppf(ranks, 0, 3)], -1)
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_interpolation_meets_its_quantiles_and_never_falls():
    quantiles = np.sort(RANDOM.normal(size=[3, 2, len(LEVELS)])).astype("float32")
    scores = d.normal_scores(np.linspace(0.001, 0.999, 300))
    scores = np.sort(np.r_[scores, d.normal_scores(LEVELS)])
    steps = tf.constant(np.repeat(scores[None, :, None], 2, 2), tf.float32)
    found = d.interpolated(tf.constant(quantiles), LEVELS, steps).numpy()
    assert (np.diff(found, axis=1) >= -1e-6).all()
    places = np.searchsorted(scores, d.normal_scores(LEVELS))
    np.testing.assert_allclose(found[:, places].transpose(0, 2, 1), quantiles, atol=1e-5)
    single = d.interpolated(tf.constant(quantiles[..., :1]), (0.3,), steps).numpy()
    np.testing.assert_array_equal(single, np.repeat(quantiles[:, None, :, 0], len(scores), 1))


@pytest.mark.parametrize("deviation", [0.01, 0.1, 0.5])
def test_the_mean_is_that_of_a_lognormal(deviation):
    quantiles = scipy.stats.norm.ppf(LEVELS, 0.02, deviation)
    found = d.mean_of_exponential(tf.constant(quantiles[None, None], tf.float32), LEVELS)
    np.testing.assert_allclose(found, [[np.exp(0.02 + deviation**2 / 2)]], rtol=4e-3 * deviation)


def test_growth_is_finite_and_never_zero_for_any_return():
    grown = d.growth(tf.constant([-np.inf, -1e9, 0.01, 1e9, np.inf])).numpy()
    assert np.isfinite(grown).all() and (grown > 0).all()
    np.testing.assert_allclose(grown[2], np.exp(0.01), rtol=1e-6)
    assert np.isfinite(np.float32(1e15) * grown).all()


def test_quantiles_of_samples_are_numpys():
    paths = RANDOM.normal(size=[2, 37, 3]).astype("float32")
    found = d.empirical_quantiles(tf.constant(paths), LEVELS)
    np.testing.assert_allclose(
        found, np.quantile(paths, LEVELS, axis=1).transpose(1, 2, 0), atol=1e-6
    )


def test_scores_of_ranks_are_those_of_equally_spaced_ranks():
    paths = RANDOM.normal(size=[2, 50, 3]).astype("float32")
    expected = scipy.stats.norm.ppf((scipy.stats.rankdata(paths, axis=1) - 0.5) / 50)
    np.testing.assert_allclose(d.scores_of_ranks(tf.constant(paths)), expected, atol=1e-5)
    same = d.scores_of_ranks(tf.zeros([1, 50, 1])).numpy()
    assert len(np.unique(same)) == 50  # of equal samples each has a rank of its own


def test_paths_of_a_random_walk_hang_together_and_repeat():
    scores = d.random_walk_scores(2000, 10)
    np.testing.assert_array_equal(scores, d.random_walk_scores(2000, 10))
    assert not np.array_equal(scores, d.random_walk_scores(2000, 10, seed=1))
    expected = scipy.stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    for step in range(10):
        np.testing.assert_allclose(np.sort(scores[0, :, step]), expected, atol=1e-5)
    found = np.corrcoef(scores[0].T)
    steps = np.arange(1, 11)
    expected = np.sqrt(np.minimum.outer(steps, steps) / np.maximum.outer(steps, steps))
    np.testing.assert_allclose(found, expected, atol=0.06)


def test_even_pairs_fill_the_square_evenly_in_an_order_of_each_step():
    pairs = d.even_pairs(512, 3)
    np.testing.assert_array_equal(pairs, d.even_pairs(512, 3))
    assert pairs.shape == (3, 2, 512) and pairs.min() > 0 and pairs.max() < 1
    for first, second in pairs:
        boxes = np.histogram2d(first, second, bins=8, range=[[0, 1]] * 2)[0]
        assert boxes.min() >= 6 and boxes.max() <= 10  # 8 were they perfect; chance: 2 to 16
    assert not np.array_equal(pairs[0], pairs[1])
    assert abs(np.corrcoef(pairs[0, 0], pairs[1, 0])[0, 1]) < 0.15


@pytest.mark.parametrize("df", [2.2, 4.0, 30.0])
def test_samples_are_students(df):
    first, second = d.even_pairs(4000, 1)[0]
    found = d.student_t_samples(0.5, 2.0, df, (tf.constant(first), tf.constant(second)))
    assert scipy.stats.kstest(found.numpy(), scipy.stats.t(df, 0.5, 2.0).cdf).statistic < 0.005


def test_free_numbers_make_a_distribution_with_a_variance():
    raw = tf.constant(RANDOM.normal(0, 300, [500, 3]), tf.float32)
    location, scale, df = d.student_t(raw)
    np.testing.assert_array_equal(location, raw[:, 0])
    assert (scale.numpy() > 0).all() and (df.numpy() > 2).all() and (df.numpy() <= 200).all()


def test_the_likelihood_is_scipys_of_each_step_that_is_known():
    own = RANDOM.normal(0, 0.02, [4, 2, 5])
    said = np.stack([RANDOM.normal(0, 0.01, own.shape), RANDOM.uniform(0.01, 0.05, own.shape),
                     RANDOM.uniform(2.1, 50, own.shape)], -1)  # fmt: skip
    expected = -scipy.stats.t.logpdf(own, said[..., 2], said[..., 0], said[..., 1])
    returns = np.cumsum(own, -1)
    returns[1, 0, 2] = returns[2, 1, 4] = np.nan
    returns[3] = np.nan
    expected[1, 0, 2:4] = expected[2, 1, 4] = expected[3] = np.nan
    rows = [np.nanmean(row) for row in expected[:3]] + [0.0]
    loss = d.StudentTLoss(reduction=None)
    found = loss(tf.constant(returns, tf.float32), tf.constant(said, tf.float32))
    np.testing.assert_allclose(found, rows, atol=1e-4)


def test_the_pinball_loss_is_that_of_a_calculation_by_hand():
    levels, unit = (0.1, 0.5), 0.01
    y_true = [[[0.02, np.nan]], [[-0.01, 0.04]], [[np.nan, np.nan]]]
    y_pred = [[[[0.01, 0.03], [9, 9]]], [[[0.0, 0.0], [0.01, 0.05]]], [[[1, 2], [3, 4]]]]
    rows = [
        2 * (0.1 * 0.01 + 0.5 * 0.01) / 2,
        2 * (0.9 * 0.01 + 0.5 * 0.01 + 0.1 * 0.03 + 0.5 * 0.01) / 4,
        0.0,
    ]
    loss = d.PinballLoss(levels, unit, reduction=None)
    found = loss(tf.constant(y_true, tf.float32), tf.constant(y_pred, tf.float32))
    np.testing.assert_allclose(found, np.array(rows) / unit, rtol=1e-5)


def test_gradients_are_finite_where_outcomes_are_unknown():
    y_true = tf.constant([[[np.nan, 0.01, np.inf]]])
    for loss, width in ((d.PinballLoss(LEVELS), len(LEVELS)), (d.StudentTLoss(), 3)):
        said = tf.Variable(tf.ones([1, 1, 3, width]) * 3.0)
        with tf.GradientTape() as tape:
            value = loss(y_true, said)
        gradient = tape.gradient(value, said).numpy()
        assert np.isfinite(value) and np.isfinite(gradient).all()
        assert (gradient[0, 0, 0] == 0).all()


@pytest.mark.parametrize("loss", [d.PinballLoss([0.2, 0.5], unit=0.5), d.StudentTLoss()])
def test_a_loss_comes_back_from_its_configuration(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
