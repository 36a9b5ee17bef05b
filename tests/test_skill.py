import numpy as np
import pytest

from rnn_apps.evaluation.scores import LOSS, Targets
from rnn_apps.evaluation.significance import Resampling, diebold_mariano
from rnn_apps.evaluation.skill import (
    MODEL,
    PROCESS,
    TRAILING,
    achieved,
    compare_steps,
    describe_achieved,
    describe_skill,
    skill,
)


def losses(seed, scale=1.0, steps=2, dates=120):
    sums = scale * np.random.default_rng(seed).uniform(1, 2, (dates, steps))
    return {LOSS: (sums, np.full((dates, steps), 100.0))}


def test_a_date_counts_once_in_the_test_however_many_series_it_has():
    closes = np.random.default_rng(0).uniform(9, 11, (3, 122))
    closes[2, :60] = np.nan
    origins = np.argwhere(np.isfinite(closes[:, :120]))
    targets = Targets(closes, origins, horizon=2)
    sums = {MODEL: losses(1), "drift": losses(2), PROCESS: losses(3)}
    tests = compare_steps(sums, targets)
    assert set(tests) == {"drift"}
    for step in (1, 2):
        apart = (sums[MODEL][LOSS][0] - sums["drift"][LOSS][0])[:, step - 1]
        # The third series' first price comes after an origin of the others, on dates 59 and 58.
        series = np.where(np.arange(120) < 60, 2, 3)
        expected = diebold_mariano(apart / series, step)
        assert tests["drift"]["p_value"][step - 1] == pytest.approx(expected["p_value"])
    late = compare_steps(sums, Targets(closes[:, :121], origins, horizon=2))
    apart = (sums[MODEL][LOSS][0] - sums["drift"][LOSS][0])[:119, 1] / series[:119]
    expected = diebold_mariano(apart, 2)["p_value"]
    assert late["drift"]["p_value"][1] == pytest.approx(expected)


def test_the_best_baseline_is_the_one_with_the_least_loss():
    sums = {MODEL: losses(1), "worse": losses(2, 1.2), "best": losses(3, 0.9)}
    sums[PROCESS] = losses(4, 0.5)
    found, by_step = skill(sums, Resampling(120, 2, seed=0, resamples=200))
    assert found["best_baseline"] == "best" and found["high"] < 0
    assert set(found["against"]) == set(by_step) == {"worse", "best"}


def test_an_improvement_is_measured_between_persistence_and_the_process():
    sums = {MODEL: losses(1, 0.95), TRAILING: losses(1, 1.0), PROCESS: losses(1, 0.9)}
    found = achieved(sums, Resampling(120, 2, seed=0, resamples=200))
    assert found["value"] == pytest.approx(0.5)
    assert found["low"] == pytest.approx(0.5) and found["high"] == pytest.approx(0.5)
    assert "It reaches 50% of the improvement" in describe_achieved(found)
    del sums[TRAILING]
    found = achieved(sums, Resampling(120, 2, seed=0, resamples=200))
    assert found["value"] is None and "no 'persistence, trailing" in describe_achieved(found)


def test_losses_that_are_all_zero_tell_no_skill():
    nothing = {LOSS: (np.zeros((120, 1)), np.ones((120, 1)))}
    found, _ = skill({MODEL: nothing, "drift": nothing}, Resampling(120, 1, 0, 200))
    assert found["value"] is None
    assert "has no loss at all" in describe_skill(found)


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.01, 0.03), "The RNN beats drift, the best baseline, by 2.00%"),
        ((-0.01, 0.05), "No skill: the RNN cannot be told apart from drift"),
        ((None, None), "No skill can be told: the RNN's loss is 2.00% below that of drift"),
    ],
)
def test_only_an_interval_above_zero_is_called_a_win(ends, said):
    found = {"best_baseline": "drift", "value": 0.02, "low": ends[0], "high": ends[1]}
    assert describe_skill(found).startswith(said)


def test_a_loss_is_told_with_its_interval_the_right_way_round():
    found = {"best_baseline": "drift", "value": -0.02, "low": -0.03, "high": -0.01}
    expected = "The RNN loses to drift, the best baseline, by 2.00% of its loss (95 % interval "
    assert describe_skill(found) == expected + "1.00% to 3.00%)."
