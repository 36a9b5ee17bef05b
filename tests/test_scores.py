import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from rnn_apps.evaluation.persistence import Forecasts
from rnn_apps.evaluation.scores import (
    Targets,
    below,
    central,
    judged_levels,
    median_of,
    ratio,
    score,
)

DECILES = np.arange(1, 10) / 10


def overall(sums):
    return {name: float(ratio(name, *(t.sum() for t in pair))) for name, pair in sums.items()}


def walks(series=4, dates=300, seed=0):
    jumps = np.random.default_rng(seed).normal(0, 0.01, (series, dates))
    return np.arange(1, series + 1)[:, None] * 20 * np.exp(jumps.cumsum(axis=1))


def grid(series, dates):
    return np.array([(s, d) for s in range(series) for d in dates])


def test_a_small_example_is_measured_as_by_hand():
    closes = np.array([[10.0, 11.0, 8.0, 8.0, np.nan]])
    targets = Targets(closes, np.array([[0, 1], [0, 2], [0, 3]]), horizon=2)
    np.testing.assert_array_equal(targets.prices, [[8, 8], [8, np.nan], [np.nan, np.nan]])
    quantiles = np.array([[[7.0, 9, 10], [8, 9, 12]], [[7, 9, 10], [1, 1, 1]], [[1, 1, 1]] * 2])
    mean = np.array([[9.0, 10], [11, 5], [5, 5]])
    found = overall(score(targets, Forecasts(quantiles, mean), [0.1, 0.5, 0.9]))
    # 8 against (7, 9, 10), twice, and against (8, 9, 12)
    low, middle, high = 2 * (0.1 * 1), 3 * 0.5, 2 * (0.1 * 2) + 0.1 * 4
    assert found["weighted_quantile_loss"] == pytest.approx(2 * (low + middle + high) / 3 / 24)
    assert found["weighted_quantile_loss_at_0.1"] == pytest.approx(2 * low / 24)
    # weights of the trapezoids at 0.1, 0.5, 0.9: 0.25, 0.4, 0.25
    crps = 2 * (0.25 * low + 0.4 * middle + 0.25 * high) / 24
    assert found["crps"] == pytest.approx(crps)
    assert found["mase"] == pytest.approx(1 / np.mean([1, 3, 0]))
    assert found["mase_over_persistence"] == pytest.approx(3 / (3 + 3 + 0))
    assert found["rmse"] == pytest.approx(np.sqrt((1 + 4 + 9) / 3))
    assert found["coverage_80"] == 1
    assert found["width_80"] == pytest.approx(100 * (3 / 11 + 4 / 11 + 3 / 8) / 3)
    assert found["directional_accuracy"] == 1 and found["always_up"] == 0


def test_a_median_at_the_last_price_has_half_of_the_moves_right():
    closes = np.array([[10.0, 11.0, 8.0, 8.0]])
    origins = grid(1, range(3))
    quantiles = closes[0, :3, None, None] * np.array([[[1 + 1e-8]]])
    sums = score(Targets(closes, origins, 1), Forecasts(quantiles, None), [0.5])
    assert sums["directional_accuracy"][1].sum() == 2  # the last price stays
    assert overall(sums)["directional_accuracy"] == 0.5
    assert overall(sums)["always_up"] == 0.5
    assert "rmse" not in sums and not any(name.startswith("coverage") for name in sums)


def test_utilsforecast_measures_the_same():
    from utilsforecast import losses

    closes = walks()
    closes[1, 250] = np.nan
    levels = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    origins = grid(4, range(200, 290))
    origins = origins[np.isfinite(closes[origins[:, 0], origins[:, 1]])]
    targets = Targets(closes, origins, horizon=1)
    noise = np.random.default_rng(3).normal(0, 0.004, (len(origins), 1, 1))
    quantiles = targets.last[:, None, None] * np.exp(noise + 0.012 * norm.ppf(levels))
    forecasts = Forecasts(quantiles, quantiles[..., 2] * 1.001)
    frame = pd.DataFrame(quantiles[:, 0], columns=[f"q{level}" for level in levels])
    frame = frame.assign(
        unique_id="all", y=targets.prices[:, 0], mean=forecasts.mean[:, 0], series=origins[:, 0]
    ).dropna()
    found = overall(score(targets, forecasts, levels))
    names = {"m": [f"q{level}" for level in levels]}
    crps = losses.scaled_crps(frame, names, levels)["m"].item()
    assert found["weighted_quantile_loss"] == pytest.approx(crps, rel=1e-9)
    rmse = losses.rmse(frame, ["mean"])["mean"].item()
    assert found["rmse"] == pytest.approx(rmse, rel=1e-9)
    frame = frame.assign(low=frame["q0.1"], high=frame["q0.9"])
    cover = ((frame.low <= frame.y) & (frame.y <= frame.high)).mean()
    assert found["coverage_80"] == pytest.approx(cover, rel=1e-9)
    upper = losses.coverage(frame.rename(columns={"low": "m-lo-80", "high": "m-hi-80"}), ["m"], 80)
    assert found["coverage_80"] == pytest.approx(upper["m"].item(), rel=1e-9)
    past = pd.DataFrame(
        [(s, d, closes[s, d]) for s in range(4) for d in range(201)],
        columns=["unique_id", "ds", "y"],
    )
    own = frame.assign(unique_id=frame.series, ds=0)
    mase = losses.mase(own, ["q0.5"], 1, past).set_index("unique_id")["q0.5"]
    assert found["mase"] == pytest.approx(mase.loc[frame.series].mean(), rel=1e-9)


def test_a_calibrated_normal_forecast_has_the_loss_of_theory():
    rng = np.random.default_rng(0)
    closes = np.full((1, 40001), 100.0)
    closes[0, 1::2] += rng.normal(0, 2.0, 20000)
    origins = grid(1, range(0, 40000, 2))
    levels = np.array([0.025, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.975])
    quantiles = np.tile(100 + 2 * norm.ppf(levels), (len(origins), 1, 1))
    targets = Targets(closes, origins, horizon=1)
    sums = score(targets, Forecasts(quantiles, np.full((len(origins), 1), 100.0)), levels)
    found = overall(sums)
    theory = np.mean(2 * 2.0 * norm.pdf(norm.ppf(DECILES))) / 100
    assert found["weighted_quantile_loss"] == pytest.approx(theory, rel=0.01)
    assert found["crps"] == pytest.approx(2.0 / np.sqrt(np.pi) / 100, rel=0.03)
    assert found["rmse"] == pytest.approx(2.0, rel=0.02)
    for percent in (50, 80, 95):
        assert found[f"coverage_{percent}"] == pytest.approx(percent / 100, abs=0.01)
        width = 2 * 2.0 * norm.ppf(0.5 + percent / 200)
        assert found[f"width_{percent}"] == pytest.approx(width, rel=1e-9)
    np.testing.assert_allclose(below(targets, quantiles)[0], levels, atol=0.01)


def test_persistence_over_persistence_is_one_at_every_step():
    closes = walks()
    targets = Targets(closes, grid(4, range(200, 299)), horizon=3)
    still = np.broadcast_to(targets.last[:, None, None], (len(targets.last), 3, 1))
    sums = score(targets, Forecasts(still, still[..., 0]), [0.5])
    over, under = (table.sum(axis=0) for table in sums["mase_over_persistence"])
    np.testing.assert_allclose(over / under, 1)
    assert overall(sums)["mase"] > 1  # later steps err more than one


def test_dates_are_kept_apart_and_missing_targets_weigh_nothing():
    closes = walks(series=2, dates=10)
    closes[1, 6] = np.nan
    targets = Targets(closes, np.array([[1, 5], [0, 3], [0, 5]]), horizon=1)
    assert targets.dates.tolist() == [3, 5]
    assert targets.count.tolist() == [[1], [1]]
    expected = [[closes[0, 4]], [closes[0, 6]]]
    np.testing.assert_allclose(targets.total, expected)


def test_a_series_that_never_moved_is_left_out_of_mase():
    closes = np.vstack([np.full(30, 5.0), walks(series=1, dates=30)[0]])
    targets = Targets(closes, grid(2, range(20, 25)), horizon=2)
    still = targets.last[:, None, None] * np.ones((1, 2, 1))
    sums = score(targets, Forecasts(still, None), [0.5])
    assert sums["mase"][1].sum() == 10 and np.isfinite(overall(sums)["mase"])


def test_the_loss_is_over_the_deciles_where_all_are_there():
    both = np.sort([*DECILES, 0.025, 0.975])
    np.testing.assert_array_equal(both[judged_levels(both)], DECILES)
    assert judged_levels([0.1, 0.5, 0.9]).all()


def test_central_intervals_are_those_that_were_forecast():
    levels = [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]
    assert central(levels) == [(50, 2, 4), (80, 1, 5), (95, 0, 6)]
    assert central([0.2, 0.4, 0.6, 0.8]) == [(60, 0, 3)]
    assert central([0.1, 0.5]) == []


def test_the_median_lies_between_its_neighbours_where_it_was_not_forecast():
    assert median_of(np.array([[1.0, 2.0, 4.0]]), [0.1, 0.5, 0.9]).item() == 2
    assert median_of(np.array([[1.0, 2.0, 4.0]]), [0.2, 0.4, 0.8]).item() == pytest.approx(2.5)
    assert median_of(np.array([[3.0]]), [0.3]).item() == 3
    assert median_of(np.array([[3.0, 5.0]]), [0.6, 0.8]).item() == 3
    assert median_of(np.array([[3.0, 5.0]]), [0.1, 0.5]).item() == 5


def test_origins_without_any_price_after_them_are_refused():
    with pytest.raises(ValueError, match="judge on earlier origins"):
        Targets(walks(), np.array([[0, 299]]), horizon=5)
