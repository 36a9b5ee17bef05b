import json

import numpy as np
import pytest

from rnn_apps.evaluation.forecasts import judge
from rnn_apps.evaluation.persistence import Forecasts, baselines
from rnn_apps.evaluation.skill import MODEL, PROCESS

LEVELS = np.sort([*np.arange(1, 10) / 10, 0.025, 0.25, 0.75, 0.975])
TRAILING = "persistence, trailing volatility"


def walks(series=5, dates=420, seed=0):
    jumps = np.random.default_rng(seed).normal(0, 0.01, (series, dates))
    return np.arange(1, series + 1)[:, None] * 20 * np.exp(jumps.cumsum(axis=1))


def grid(series, dates):
    return np.array([(s, d) for s in range(series) for d in dates])


def stretched(forecasts, factor, noise=0.0, seed=9):
    """The forecasts with another spread, and noise on every price."""
    middle = forecasts.quantiles[..., 6:7]
    quantiles = middle * (forecasts.quantiles / middle) ** factor
    shift = np.exp(np.random.default_rng(seed).normal(0, noise, (*forecasts.mean.shape, 1)))
    return Forecasts(quantiles * shift, forecasts.mean * shift[..., 0])


def judged(model=None, closes=None, origins=None, horizon=5, named=None, **options):
    closes = walks() if closes is None else closes
    origins = grid(len(closes), range(200, 415)) if origins is None else origins
    if named is None:
        named = baselines(closes, origins, horizon, LEVELS, learned_until=199)
    model = named["persistence, all volatility"] if model is None else model(named)
    dates = np.datetime64("2020-01-01") + np.arange(closes.shape[1])
    names = [f"series {row}" for row in range(len(closes))]
    options = {"data": "walks", "application": "forecasting", "resamples": 300, **options}
    return judge(closes, dates, names, origins, model, LEVELS, baselines=named, **options)


def true_quantiles(origins, closes, horizon=5):
    from scipy.special import ndtri

    spread = 0.01 * np.sqrt(np.arange(1, horizon + 1))[:, None] * ndtri(LEVELS)
    return closes[origins[:, 0], origins[:, 1], None, None] * np.exp(spread)


def test_the_report_holds_what_people_script_against():
    report = judged()
    kept = report.to_dict()
    assert {"application", "data", "examples", "metrics", "baselines", "verdict"} < set(kept)
    assert kept["examples"] == 5 * 215 and kept["data"] == "walks"
    measures = {
        "weighted_quantile_loss", "mase", "rmse", "coverage_80", "width_80",
        "directional_accuracy",
    }  # fmt: skip
    for column in (kept["metrics"], *kept["baselines"].values()):
        assert set(column) == measures
        for metric in column.values():
            assert metric["low"] <= metric["value"] <= metric["high"]
    steps = kept["steps"][MODEL]
    assert {len(values) for values in steps.values()} == {5}
    assert {"crps", "coverage_50", "coverage_95", "weighted_quantile_loss_at_0.025"} < set(steps)
    assert len(kept["diebold_mariano"][TRAILING]["p_value"]) == 5
    assert np.shape(kept["calibration"]) == (5, len(LEVELS))
    json.dumps(kept, allow_nan=False)


def test_a_forecast_that_is_a_baseline_has_no_skill_at_all():
    # Spread out by one and no noise: the same but for the last digits.
    report = judged(lambda named: stretched(named["drift"], 1.0))
    skill = report.extras["skill"]["against"]["drift"]
    assert skill == {"value": 0, "low": 0, "high": 0}


def test_a_forecast_as_good_as_a_baseline_seldom_shows_skill():
    closes, origins = walks(), grid(5, range(200, 415))
    drift = baselines(closes, origins, 5, LEVELS, learned_until=199)["drift"]
    held = 0
    for seed in range(20):
        noisy, other = (stretched(drift, 1.0, 0.003, seed=100 * side + seed) for side in (1, 2))
        report = judged(lambda _, n=noisy: n, closes, origins, named={"other": other})
        skill = report.extras["skill"]
        held += skill["low"] <= 0 <= skill["high"]
        assert skill["high"] - skill["low"] > 1e-4
    assert held >= 17


def test_no_skill_is_said_in_words():
    report = judged(lambda named: stretched(named["persistence, all volatility"], 1.01))
    skill = report.extras["skill"]
    assert skill["low"] <= 0 <= skill["high"]
    opening = "No skill: the RNN cannot be told apart from "
    assert report.verdict.startswith(opening + skill["best_baseline"])
    assert "yesterday's price shifted by a day" in report.verdict
    assert "spread is not shown to be better" in report.verdict


def test_a_forecast_that_knows_more_beats_the_best_baseline():
    closes = walks()
    origins = grid(5, range(200, 415))
    came = closes[origins[:, :1], origins[:, 1:] + np.arange(1, 6)]
    last = closes[origins[:, 0], origins[:, 1]][:, None]
    middle = last * (came / last) ** 0.3  # knows three tenths of what will come

    def foreseeing(named):
        own = stretched(named["persistence, all volatility"], 0.9)
        return Forecasts(own.quantiles * (middle / last)[..., None], own.mean * middle / last)

    report = judged(foreseeing, closes, origins)
    skill = report.extras["skill"]
    assert skill["low"] > 0.1
    against = {name: metric["value"] for name, metric in skill["against"].items()}
    assert skill["value"] == min(against.values()) == against[skill["best_baseline"]]
    assert report.verdict.startswith(f"The RNN beats {skill['best_baseline']}")
    tests = report.extras["diebold_mariano"][skill["best_baseline"]]
    assert max(tests["p_value"]) < 0.01 and max(tests["statistic"]) < 0
    assert report.metrics["directional_accuracy"]["value"] == 1


def test_a_forecast_that_is_much_too_wide_loses():
    report = judged(lambda named: stretched(named["drift"], 2.5))
    assert report.extras["skill"]["high"] < 0
    assert report.verdict.startswith("The RNN loses to ")
    assert report.metrics["coverage_80"]["value"] > 0.98


def test_skill_is_one_less_the_ratio_of_the_losses():
    report = judged(lambda named: stretched(named["drift"], 1.3))
    loss = report.metrics["weighted_quantile_loss"]["value"]
    for name, metric in report.extras["skill"]["against"].items():
        other = report.baselines[name]["weighted_quantile_loss"]["value"]
        assert metric["value"] == pytest.approx(1 - loss / other)
        steps = report.extras["steps"]
        ratio = steps[MODEL]["weighted_quantile_loss"] / steps[name]["weighted_quantile_loss"]
        np.testing.assert_allclose(report.extras["skill_by_step"][name]["value"], 1 - ratio)


def test_the_process_itself_is_the_best_that_can_be_reached():
    closes = walks(series=12)
    origins = grid(12, range(200, 415))
    truth = true_quantiles(origins, closes)
    report = judged(
        lambda named: Forecasts(truth, named["drift"].mean), closes, origins, truth=truth
    )
    column = report.baselines[PROCESS]
    assert "rmse" not in column
    best = column["weighted_quantile_loss"]["value"]
    assert best < report.baselines[TRAILING]["weighted_quantile_loss"]["value"]
    assert report.extras["achieved"]["value"] == pytest.approx(1)
    assert PROCESS not in report.extras["skill"]["against"]
    assert "It reaches 100% of the improvement" in report.verdict
    assert f"loss / {PROCESS}" in report.tables["by step"][0]
    still = judged(lambda named: named[TRAILING], closes, origins, truth=truth)
    assert still.extras["achieved"]["value"] == pytest.approx(0, abs=1e-9)


def test_a_process_that_persistence_reaches_leaves_nothing_to_achieve():
    closes, origins = walks(), grid(5, range(200, 415))
    truth = true_quantiles(origins, closes) * 1.2
    report = judged(closes=closes, origins=origins, truth=truth)
    assert report.extras["achieved"]["value"] is None
    assert "process itself does not beat" in report.verdict


def test_missing_prices_weigh_nothing():
    closes = walks()
    closes[0, 300:310] = np.nan
    closes[1, 350:] = np.nan
    origins = grid(5, range(200, 415))
    origins = origins[np.isfinite(closes[origins[:, 0], origins[:, 1]])]
    report = judged(closes=closes, origins=origins)
    json.dumps(report.to_dict(), allow_nan=False)
    nothing_came = [(0, 299), (1, 349)]
    shorter = np.array([own for own in origins if tuple(own) not in nothing_came])
    assert report.examples == len(shorter) == len(origins) - 2
    again = judged(closes=closes, origins=shorter)
    expected = again.metrics["weighted_quantile_loss"]["value"]
    assert report.metrics["weighted_quantile_loss"]["value"] == pytest.approx(expected)


def test_one_series_and_one_step_will_do(tmp_path):
    report = judged(closes=walks(series=1), horizon=1)
    assert report.metrics["coverage_80"]["low"] < 0.8 < report.metrics["coverage_80"]["high"]
    assert len(report.tables["by step"]) == 2
    assert len(report.save(tmp_path)) == 5


@pytest.mark.parametrize("last", [201, 204, 240])
def test_few_dates_have_values_but_no_intervals(last, tmp_path):
    report = judged(origins=grid(5, range(200, last)))
    metric = report.metrics["weighted_quantile_loss"]
    assert metric["value"] > 0 and metric["low"] is None
    assert f"{last - 200} dates are too few for an interval" in str(report)
    assert report.verdict.startswith("No skill can be told")
    report.save(tmp_path)


def test_without_baselines_there_is_no_verdict_but_a_report(tmp_path):
    named = baselines(walks(), grid(5, range(200, 415)), 5, LEVELS, learned_until=199)
    report = judged(lambda _: named["drift"], named={})
    assert report.verdict.startswith("The RNN was compared with no baseline.")
    assert len(report.save(tmp_path)) == 5


def test_the_printed_report_has_a_row_for_some_of_the_steps():
    report = judged(horizon=7)
    rows = report.tables["by step"]
    assert [row[0] for row in rows] == ["step", "1", "2", "5", "7"]
    text = str(report)
    for title in ("loss / trailing", "loss / weighted", "mase", "in 50 %", "in 80 %", "in 95 %"):
        assert title in text
    assert text.splitlines()[-1] == report.verdict


def test_the_same_seed_gives_the_same_report():
    assert judged(seed=3).to_dict() == judged(seed=3).to_dict()
    assert judged(seed=3).to_dict()["metrics"] != judged(seed=4).to_dict()["metrics"]


def test_origins_may_stand_apart_and_come_in_any_order():
    closes, origins = walks(), grid(5, range(200, 415))
    whole = judged(closes=closes, origins=origins)
    mixed = judged(closes=closes, origins=np.random.default_rng(0).permutation(origins))
    assert mixed.metrics == {name: pytest.approx(m) for name, m in whole.metrics.items()}
    apart = judged(closes=closes, origins=origins[origins[:, 1] % 3 == 0], horizon=6)
    assert apart.extras["bootstrap"]["block"] == 10  # a forecast reaches over two dates
    assert apart.metrics["mase"]["low"] is not None


def test_the_pictures_show_fans_calibration_and_skill():
    report = judged()
    fans = report.figures["fan_chart"]()
    panels = fans.get_axes()
    assert len(panels) == 9
    assert {panel.get_title().split(",")[0] for panel in panels} == {
        "series 0", "series 2", "series 4"
    }  # fmt: skip
    assert all(len(panel.collections) == 3 for panel in panels)  # 50, 80 and 95 %
    (axes,) = report.figures["calibration"]().get_axes()
    assert [text.get_text() for text in axes.get_legend().get_texts()[1:]] == [
        "step 1", "step 2", "step 5"
    ]  # fmt: skip
    (axes,) = report.figures["skill_by_horizon"]().get_axes()
    named = [line for line in axes.get_lines() if len(line.get_xdata()) == 5]
    assert len(named) == 6
    best = report.extras["skill"]["best_baseline"]
    thick = [line for line in named if line.get_linewidth() > 2]
    assert [line.get_label() for line in thick] == [best]


def test_what_cannot_be_judged_is_refused_in_a_sentence():
    named = baselines(walks(), grid(5, range(200, 415)), 5, LEVELS, learned_until=199)
    drift = named["drift"]

    def wrong(quantiles=drift.quantiles, mean=drift.mean):
        return lambda _: Forecasts(quantiles, mean)

    broken = drift.quantiles.copy()
    broken[3, 1, 2] = np.nan
    with pytest.raises(ValueError, match="'model' are not all finite"):
        judged(wrong(broken))
    with pytest.raises(ValueError, match="'model' have quantiles of the shape"):
        judged(wrong(drift.quantiles[..., :3]))
    with pytest.raises(ValueError, match="a mean of the shape"):
        judged(wrong(mean=drift.mean[:, :2]))
    with pytest.raises(ValueError, match="'drift' have quantiles of the shape"):
        short = Forecasts(drift.quantiles[:, :2], drift.mean[:, :2])
        judged(lambda _: drift, named={"drift": short})
    with pytest.raises(ValueError, match="50 resamples"):
        judged(resamples=50)
