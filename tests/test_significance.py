import time

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from rnn_apps.evaluation.significance import Resampling, diebold_mariano


def overlapping(size, steps, generator):
    """Differences that share all but one of their `steps` days with the next, mean zero."""
    noise = generator.standard_t(5, size + steps - 1)
    return np.convolve(noise, np.ones(steps) / steps, "valid")


def test_with_one_step_the_test_is_students():
    differences = np.random.default_rng(0).normal(0.1, 1, 80)
    found, known = diebold_mariano(differences, 1), ttest_1samp(differences, 0)
    assert found["statistic"] == pytest.approx(known.statistic)
    assert found["p_value"] == pytest.approx(known.pvalue)


def test_two_steps_are_corrected_as_in_the_paper():
    d = np.array([1.0, 3, 2, 5, 4, 4, 1, 2, 6, 3, 2, 4, 5, 1, 3, 2, 4, 3, 6, 2])
    around, size = d - d.mean(), len(d)
    variance = (around @ around + 2 * around[1:] @ around[:-1]) / size
    statistic = d.mean() / np.sqrt(variance / size)
    statistic *= np.sqrt((size + 1 - 4 + 2 / size) / size)
    assert diebold_mariano(d, 2)["statistic"] == pytest.approx(statistic)


def test_a_variance_below_zero_is_replaced():
    d = np.tile([1.0, -1.0], 30) + 0.01 * np.arange(60) / 60
    found = diebold_mariano(d, 2)
    assert np.isfinite(found["statistic"]) and 0 <= found["p_value"] <= 1


@pytest.mark.parametrize(("steps", "size"), [(1, 100), (5, 250), (20, 250)])
def test_equal_forecasts_are_rarely_told_apart_by_the_test(steps, size):
    generator = np.random.default_rng(steps)
    p_values = [
        diebold_mariano(overlapping(size, steps, generator), steps)["p_value"] for _ in range(400)
    ]
    share = np.mean(np.array(p_values) < 0.05)
    assert 0.02 <= share <= 0.13  # the paper finds as much for 20 steps


def test_unequal_forecasts_are_told_apart_whichever_is_better():
    noise = overlapping(250, 5, np.random.default_rng(0))
    better, worse = diebold_mariano(noise - 0.5, 5), diebold_mariano(noise + 0.5, 5)
    assert better["p_value"] < 0.01 and worse["p_value"] < 0.01
    assert better["statistic"] < 0 < worse["statistic"]


def test_the_test_says_nothing_of_too_few_and_same_of_equal_losses():
    assert diebold_mariano(np.arange(99.0), 10) == {"statistic": None, "p_value": None}
    assert diebold_mariano(np.arange(100.0), 10)["p_value"] is not None
    assert diebold_mariano(np.zeros(50), 1) == {"statistic": 0.0, "p_value": 1.0}
    assert diebold_mariano(np.ones(50), 1) == {"statistic": None, "p_value": None}
    assert diebold_mariano(np.empty(0), 1)["p_value"] is None


def test_blocks_are_whole_and_every_date_is_as_likely():
    drawing = Resampling(100, 10, seed=0, resamples=4000)
    assert drawing.block == 20
    assert (drawing.weights.sum(axis=1) == 100).all()
    np.testing.assert_allclose(drawing.weights.mean(axis=0), 1, atol=0.08)
    together = np.corrcoef(drawing.weights[:, 30], drawing.weights[:, 31])[0, 1]
    apart = np.corrcoef(drawing.weights[:, 30], drawing.weights[:, 70])[0, 1]
    assert together > 0.85 and apart < 0.1


def test_the_same_seed_draws_the_same_dates():
    first, same, other = (Resampling(60, 1, seed, 100).weights for seed in (4, 4, 5))
    assert (first == same).all() and (first != other).any()


@pytest.mark.parametrize("steps", [1, 20])
def test_an_interval_holds_the_truth_about_as_often_as_it_says(steps):
    generator, held = np.random.default_rng(2), 0
    for run in range(200):
        sample = overlapping(250, steps, generator)
        drawing = Resampling(250, steps, run, 200)
        metric = drawing.metric(sample.mean(), drawing.draw(sample) / 250)
        held += metric["low"] <= 0 <= metric["high"]
    assert 0.87 <= held / 200 <= 0.99


def test_too_few_dates_give_a_reason_in_place_of_an_interval():
    drawing = Resampling(99, 10, seed=0, resamples=100)
    metric = drawing.metric(1.0, drawing.draw(np.ones(99)))
    assert metric["value"] == 1 and metric["low"] is None and metric["high"] is None
    assert "99 dates are too few" in metric["reason"] and "need 100 or more" in metric["reason"]
    assert Resampling(100, 10, seed=0, resamples=100).reason is None


def test_what_is_no_number_is_no_metric_and_ends_stay_within_bounds():
    drawing = Resampling(100, 1, seed=0, resamples=100)
    assert drawing.metric(np.nan, np.ones(100))["value"] is None
    metric = drawing.metric(0.9, np.linspace(0.5, 1.0, 100), least=0.6, most=1)
    assert metric["low"] == 0.6 and metric["high"] == 1


@pytest.mark.slow
def test_a_thousand_resamples_take_less_than_a_second():
    start = time.perf_counter()
    drawing = Resampling(250, 20, seed=0, resamples=1000)
    drawing.draw(np.ones((250, 100)))
    assert time.perf_counter() - start < 1
