import pathlib
import time

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import t as student

from rnn_apps.evaluation.autoregression import autoregression
from rnn_apps.evaluation.persistence import baselines
from rnn_apps.evaluation.returns import Returns

LEVELS = np.arange(1, 10) / 10
PRICES = pathlib.Path(__file__).parents[2] / "shared" / "data" / "prices" / "sp500_63.csv.gz"
TRAILING, WEIGHTED = "persistence, trailing volatility", "persistence, weighted volatility"
ALL = "persistence, all volatility"


def walks(series=3, dates=200, seed=0, volatility=0.01):
    jumps = np.random.default_rng(seed).normal(0, volatility, (series, dates))
    return 50 * np.exp(jumps.cumsum(axis=1))


def deviation(forecasts, level=-1):
    """Of the log price at each step, from the spread of the quantiles, (N, H)."""
    quantiles = np.log(forecasts.quantiles)
    return (quantiles[..., level] - quantiles[..., 4]) / ndtri(LEVELS[level])


def test_persistence_is_the_last_price_with_normal_quantiles_that_widen():
    closes = walks()
    origins = np.array([[1, 150], [2, 199]])
    named = baselines(closes, origins, 4, LEVELS, learned_until=100)
    assert list(named) == [
        TRAILING, WEIGHTED, ALL, "drift", "seasonal naive", "autoregression"
    ]  # fmt: skip
    for n, (series, date) in enumerate(origins):
        changes = np.diff(np.log(closes[series, : date + 1]))
        for name, used in ((TRAILING, changes[-60:]), (ALL, changes)):
            spread = ndtri(LEVELS) * used.std(ddof=1) * np.sqrt(np.arange(1, 5))[:, None]
            expected = closes[series, date] * np.exp(spread)
            np.testing.assert_allclose(named[name].quantiles[n], expected, rtol=1e-10)
            mean = closes[series, date] * np.exp(used.var(ddof=1) * np.arange(1, 5) / 2)
            np.testing.assert_allclose(named[name].mean[n], mean, rtol=1e-10)


def test_weighted_volatility_follows_its_recursion():
    closes = walks()
    named = baselines(closes, [[0, 120]], 1, LEVELS, learned_until=100)
    squares = np.diff(np.log(closes[0, :121])) ** 2
    weights = 0.94 ** np.arange(len(squares))[::-1]
    expected = np.sqrt((weights * squares).sum() / weights.sum())
    assert deviation(named[WEIGHTED])[0, 0] == pytest.approx(expected, rel=1e-9)


def test_drift_goes_on_and_is_less_sure_of_itself_than_persistence():
    closes = walks()
    named = baselines(closes, [[0, 120]], 3, LEVELS, learned_until=100)
    slope = np.log(closes[0, 120] / closes[0, 0]) / 120
    median = named["drift"].quantiles[0, :, 4]
    np.testing.assert_allclose(median, closes[0, 120] * np.exp(slope * np.arange(1, 4)))
    over = deviation(named["drift"]) / deviation(named[ALL])
    np.testing.assert_allclose(over[0], np.sqrt(1 + np.arange(1, 4) / 120))


def test_seasonal_naive_repeats_the_week_and_knows_what_it_missed_by():
    closes = walks(dates=100)
    named = baselines(closes, [[0, 80]], 7, LEVELS, learned_until=50)
    logs = np.log(closes[0])

    def path(date):
        week = np.diff(logs[: date + 1])[-5:]
        return np.cumsum(np.tile(week, 2))[:7]

    median = named["seasonal naive"].quantiles[0, :, 4]
    np.testing.assert_allclose(median, closes[0, 80] * np.exp(path(80)))
    for step in (1, 7):
        starts = range(5, 80 - step + 1)
        missed = [logs[date + step] - logs[date] - path(date)[step - 1] for date in starts]
        expected = np.sqrt(np.mean(np.square(missed)))
        found = deviation(named["seasonal naive"])[0, step - 1]
        assert found == pytest.approx(expected, rel=1e-6)


def test_seasonal_naive_of_a_short_history_is_as_wide_as_a_walk_makes_it():
    closes = walks(dates=6)
    named = baselines(closes, [[0, 5]], 6, LEVELS, learned_until=4)
    over = deviation(named["seasonal naive"])[0] / deviation(named[ALL])[0, 0]
    # A step has its own days and those of the week; the first of these comes again in the sixth.
    np.testing.assert_allclose(over[[0, 4, 5]], np.sqrt([1 + 1, 5 + 5, 6 + 2**2 + 4]))


def test_nothing_after_the_origin_is_seen():
    closes = walks()
    closes[0, 100:103] = np.nan
    origins = np.array([[0, 99], [1, 99], [2, 60]])
    before = baselines(closes, origins, 8, LEVELS, learned_until=60)
    changed = closes.copy()
    changed[:, 100:] = walks(seed=5)[:, 100:]
    changed[2, 61:] = np.nan
    after = baselines(changed, origins, 8, LEVELS, learned_until=60)
    for name, forecasts in before.items():
        np.testing.assert_array_equal(forecasts.quantiles, after[name].quantiles, err_msg=name)


def test_what_is_learned_sees_nothing_after_its_date():
    closes = walks(dates=300)
    changed = closes.copy()
    changed[:, 201:280] = walks(dates=300, seed=7)[:, 201:280]
    origins = np.array([[0, 299], [2, 295]])  # the ten returns before are the same
    before, after, later = (
        autoregression(Returns(prices), origins, 5, until)
        for prices, until in ((closes, 200), (changed, 200), (changed, 290))
    )
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])
    assert np.abs(later[1] / before[1] - 1).min() > 1e-6


def oscillating(dates=3000, lag=-0.4, seed=1):
    shocks = np.random.default_rng(seed).normal(0, 0.01, dates)
    changes = np.zeros(dates)
    for date in range(1, dates):
        changes[date] = lag * changes[date - 1] + shocks[date]
    return changes


def test_the_autoregression_forecasts_what_statsmodels_does():
    from statsmodels.tsa.ar_model import AutoReg

    changes = oscillating()
    closes = np.exp(changes.cumsum())[None]
    mean, spread = autoregression(Returns(closes), np.array([[0, 2999]]), 6, 2999)
    fit = AutoReg(np.diff(np.log(closes[0])), 1).fit()
    np.testing.assert_allclose(mean[0], np.cumsum(fit.forecast(6)), rtol=1e-6)
    lag, sigma = fit.params[1], np.sqrt(fit.sigma2)
    response = [(1 - lag**days) / (1 - lag) for days in range(1, 7)]
    np.testing.assert_allclose(
        spread[0], sigma * np.sqrt(np.cumsum(np.square(response))), rtol=1e-6
    )


def test_the_autoregression_knows_how_sure_it_is():
    changes = oscillating()
    logs = changes.cumsum()
    origins = np.array([[0, date] for date in range(1500, 2990)])
    mean, spread = autoregression(Returns(np.exp(logs)[None]), origins, 5, 1499)
    came = np.array([logs[date + 1 : date + 6] - logs[date] for _, date in origins])
    np.testing.assert_allclose(((came - mean) / spread).std(axis=0), 1, atol=0.06)
    assert spread[0, 4] < 0.8 * spread[0, 0] * np.sqrt(5)


def test_an_autoregression_that_cannot_be_fitted_is_persistence():
    closes = walks(dates=200)
    closes[1] = 7.0
    named = baselines(closes, [[0, 150], [1, 150]], 3, LEVELS, learned_until=40)
    np.testing.assert_allclose(named["autoregression"].quantiles, named[ALL].quantiles)
    assert (named["autoregression"].quantiles[1] == 7.0).all()


def test_missing_days_change_neither_the_volatility_nor_the_drift_of_a_day():
    closes = np.exp(np.random.default_rng(0).normal(0.001, 0.02, (1, 8001)).cumsum(axis=1))
    holes = closes.copy()
    holes[0, np.random.default_rng(1).random(8001) < 0.5] = np.nan
    holes[0, [0, 8000]] = closes[0, [0, 8000]]
    whole, holed = (Returns(c).moments(np.array([[0, 8000]])) for c in (closes, holes))
    assert holed[0] == pytest.approx(whole[0], rel=1e-9)
    assert holed[1][0] == pytest.approx(0.02, rel=0.04)
    weighted = Returns(holes).weighted_volatility(np.array([[0, 8000]]), 0.999)
    assert weighted[0] == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("history", [1, 2, 5, 9])
def test_little_history_is_answered_by_what_there_is_and_never_narrower(history):
    closes = walks()
    closes[0, : 150 - history + 1] = np.nan
    named = baselines(closes, [[0, 150], [1, 150]], 6, LEVELS, learned_until=100)
    changes = np.diff(np.log(closes[:, :151]), axis=1)
    pooled = np.sqrt(np.nanmean(changes**2))
    for name, forecasts in named.items():
        assert np.isfinite(forecasts.quantiles).all() and np.isfinite(forecasts.mean).all(), name
        assert (deviation(forecasts)[0] >= 0.999 * pooled * np.sqrt(np.arange(1, 7))).all(), name


def test_a_single_price_has_a_forecast_too():
    for forecasts in baselines([[3.0]], [[0, 0]], 2, LEVELS, learned_until=0).values():
        assert deviation(forecasts)[0, 0] > 0.015
        assert np.isfinite(forecasts.quantiles).all()


def test_one_step_and_one_level_will_do():
    named = baselines(walks(), [[0, 50]], 1, [0.5], learned_until=50)
    assert {f.quantiles.shape for f in named.values()} == {(1, 1, 1)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"closes": [[1.0, 0.0]]}, "close of series 0 at date 1 is 0"),
        ({"closes": [1.0, 2.0]}, r"the shape \(2,\)"),
        ({"origins": [[0, 2]]}, r"\(0, 2\) lies outside"),
        ({"origins": [[0, -1]]}, "lies outside"),
        ({"origins": [0, 1]}, "series index and a date index"),
        ({"closes": [[1.0, np.nan]]}, "has no close"),
        ({"levels": [0.5, 1.0]}, "between 0 and 1"),
        ({"levels": [0.5, 0.4]}, "rising"),
        ({"horizon": 0}, "horizon is 0"),
    ],
)
def test_what_cannot_be_forecast_is_refused_in_a_sentence(changes, message):
    given = {"closes": [[1.0, 2.0]], "origins": [[0, 1]], "horizon": 2, "levels": [0.5], **changes}
    with pytest.raises(ValueError, match=message):
        baselines(**given, learned_until=1)


@pytest.mark.slow
def test_baselines_of_fifteen_thousand_origins_take_less_than_five_seconds():
    closes = walks(series=60, dates=1000)
    origins = np.stack(np.meshgrid(range(60), range(740, 990), indexing="ij"), -1).reshape(-1, 2)
    start = time.perf_counter()
    baselines(closes, origins, 5, LEVELS, learned_until=700)
    assert time.perf_counter() - start < 5


@pytest.mark.real_data
@pytest.mark.skipif(not PRICES.is_file(), reason=f"real prices are not in {PRICES.parent.name}")
def test_persistence_on_real_prices_loses_what_is_known_of_it():
    import pandas as pd

    frame = pd.read_csv(PRICES).pivot(index="date", columns="symbol", values="adj_close")
    closes = frame.to_numpy().T
    origins = np.argwhere(np.isfinite(closes) & (np.array(frame.index) >= "2019-01-02"))
    origins = origins[origins[:, 1] < closes.shape[1] - 1]
    named = baselines(closes, origins, 20, LEVELS, learned_until=len(frame[:"2018-06-30"]) - 1)
    # The known figures of the trailing volatility leave out origins after a gap.
    whole = np.array([np.isfinite(closes[s, d - 60 : d + 1]).all() for s, d in origins])
    weighted = named[WEIGHTED].quantiles
    last = closes[origins[:, 0], origins[:, 1]]
    thick = student.ppf(LEVELS, 4) / np.sqrt(2)  # of unit variance
    thick = last[:, None, None] * np.exp(deviation(named[WEIGHTED])[..., None] * thick)
    for quantiles, kept, known in (
        (named[TRAILING].quantiles, whole, (0.008246, 0.018525, 0.026460, 0.038161)),
        (weighted, whole | True, (0.008160, 0.018384, 0.026312, 0.037958)),
        (thick, whole | True, (0.008087, 0.018240, 0.026224, 0.038037)),
    ):
        for step, loss in zip((1, 5, 10, 20), known, strict=True):
            padded = np.pad(closes, ((0, 0), (0, step)), constant_values=np.nan)
            came = np.where(kept, padded[origins[:, 0], origins[:, 1] + step], np.nan)
            error = came[:, None] - quantiles[:, step - 1]
            pinball = np.nansum(np.maximum(LEVELS * error, (LEVELS - 1) * error))
            assert 2 * pinball / 9 / np.nansum(came) == pytest.approx(loss, abs=1e-6)
