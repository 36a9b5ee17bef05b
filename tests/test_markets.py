import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kurtosis, norm, t

from rnn_apps.data import market_process as process
from rnn_apps.data import markets, tfds

LEVELS = np.arange(1, 10) / 10


@pytest.fixture(scope="module")
def market():
    return markets.simulate("market")


@pytest.fixture(scope="module")
def walk():
    return markets.simulate("random_walk")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cached(cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def log_returns(bars):
    return np.diff(np.log(bars.closes), axis=1)


def autocorrelation(rows, lag):
    pairs = (np.corrcoef(row[:-lag], row[lag:])[0, 1] for row in rows)
    return np.mean(list(pairs))


def origins_of(bars, first, last, horizon, every=1):
    dates = np.arange(first, last - horizon, every)
    series = np.arange(len(bars.series))
    return np.stack(np.meshgrid(series, dates, indexing="ij"), axis=-1).reshape(-1, 2)


def next_closes(bars, origins, horizon):
    steps = np.arange(1, horizon + 1)
    return bars.closes[origins[:, :1], origins[:, 1:] + steps]


def quantile_losses(quantiles, actual):
    """Weighted quantile loss of each step (H,)."""
    error = actual[..., None] - quantiles
    loss = np.maximum(LEVELS * error, (LEVELS - 1) * error)
    return 2 * loss.mean(axis=2).sum(axis=0) / np.abs(actual).sum(axis=0)


def persistence(bars, origins, horizon, volatility):
    """Normal quantiles around the last close; `volatility` (S, D - 1) of the log returns."""
    spread = volatility[origins[:, 0], origins[:, 1] - 1, None] * np.sqrt(np.arange(1, horizon + 1))
    moves = spread[..., None] * norm.ppf(LEVELS)
    return bars.closes[tuple(origins.T)][:, None, None] * np.exp(moves)


def trailing(bars):
    frame = pd.DataFrame(log_returns(bars).T)
    return frame.rolling(60).std().to_numpy().T


def exponential(bars):
    frame = pd.DataFrame(log_returns(bars).T ** 2)
    return np.sqrt(frame.ewm(alpha=0.06, adjust=False).mean().to_numpy().T)


@pytest.mark.parametrize("config", ["market", "random_walk"])
def test_the_prices_are_always_the_same(config, cached, monkeypatch):
    frame = markets.read(config)
    assert list(frame) == ["series", "date", *markets.FIELDS, "split"]
    assert len(frame) == 60 * 1500 and frame.notna().all(axis=None)
    simulated = markets.simulate(config)
    assert (frame[list(markets.FIELDS)].to_numpy() == simulated.values.reshape(-1, 5)).all()
    assert (frame.date.to_numpy().reshape(60, -1) == simulated.dates).all()

    def refuse(*args):
        raise AssertionError("generated once more")

    monkeypatch.setattr(tfds, "_generate", refuse)  # what lies in the cache has its fingerprint
    pd.testing.assert_frame_equal(frame, markets.read(config))


def test_the_splits_follow_each_other_by_date(cached):
    frame = markets.read()
    spans = frame.groupby("split").date.agg(["min", "max", "nunique"])
    assert spans.loc["train", "max"] < spans.loc["validation", "min"]
    assert spans.loc["validation", "max"] < spans.loc["test", "min"]
    assert spans["nunique"].to_dict() == {"train": 1050, "validation": 150, "test": 300}
    assert np.is_busday(frame.date.to_numpy().astype("datetime64[D]")).all()


def test_a_market_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no built-in market 'marked'; there are 'market' and"):
        markets.read("marked")
    with pytest.raises(ValueError, match="'random_walk'"):
        markets.simulate("walk")


@pytest.mark.parametrize("config", ["market", "random_walk"])
def test_bars_hold_together(config):
    opened, high, low, close, volume = np.moveaxis(markets.simulate(config).values, -1, 0)
    assert (high >= np.maximum(opened, close)).all() and (low <= np.minimum(opened, close)).all()
    assert (high > low).all() and (volume >= 1000).all()
    assert low.min() > 1  # so that 4 decimals are 5 digits
    assert (np.round(close, 4) == close).all() and (np.round(volume) == volume).all()


def test_the_market_looks_like_one(market):
    returns = log_returns(market)
    assert abs(autocorrelation(returns, 1)) < 0.05 and abs(autocorrelation(returns, 5)) < 0.05
    assert autocorrelation(abs(returns), 1) > 0.25 and autocorrelation(abs(returns), 20) > 0.1
    assert (kurtosis(returns, axis=1, fisher=False) > 4).all()
    assert abs(returns).max() < 0.4
    spread = returns.std(axis=1)
    assert 0.006 < spread.min() < 0.01 and 0.018 < spread.max() < 0.03
    falls, rises = returns[:, :-1] < -spread[:, None], returns[:, :-1] > spread[:, None]
    assert abs(returns[:, 1:])[falls].mean() > 1.1 * abs(returns[:, 1:])[rises].mean()


def test_the_market_is_stationary():
    random = np.random.default_rng(0)
    state = process.State(*np.zeros((5, 100)))
    spread = {}
    for day in range(4000):
        days = process.draw_days(random, (100,))
        state = process.advance(state, days.innovation, *process.surprises(days))
        spread[day] = process.outlook(state)[0]
    early, late = (np.concatenate([spread[day] for day in days]) for days in (
        range(800, 1600, 50), range(3200, 4000, 50)
    ))  # fmt: skip
    assert abs(np.median(late) - 1) < 0.1
    assert abs(np.quantile(late, 0.99) / np.quantile(early, 0.99) - 1) < 0.15


def test_the_walk_has_nothing_to_know(walk):
    returns = log_returns(walk)
    count = returns.size
    assert abs(returns.mean()) < 3 * 0.012 / np.sqrt(count)
    assert abs(returns.std() / 0.012 - 1) < 3 / np.sqrt(2 * count)
    for lag in (1, 20):
        assert abs(autocorrelation(returns, lag)) < 3 / np.sqrt(count) + 1 / 1500
        assert abs(autocorrelation(abs(returns), lag)) < 3 / np.sqrt(count) + 1 / 1500
    assert abs(kurtosis(returns.ravel())) < 0.05


def test_the_state_follows_from_the_bars(market):
    """What is known at an origin is known from the bars: nothing is hidden."""
    state = process.State(*np.zeros((5, 60)))
    start = markets.simulate("market").values[:, 0, 3]
    for day in range(1, 400):  # without the first day, and with too high volatilities at first
        bar = market.values[:, day]
        state = process.observe(state, bar, start, market.volatility, market.volume)
        start = bar[:, 3]
    known = process.State(*(part[:, 399] for part in market.state))
    for own, true in zip(process.outlook(state), process.outlook(known), strict=True):
        np.testing.assert_allclose(own, true, atol=0.05)


def test_one_step_quantiles_are_those_of_student_t(market):
    origins = origins_of(market, 0, 1499, 1, every=7)
    place = tuple(origins.T)
    ratio, drift = process.outlook(process.State(*(part[place] for part in market.state)))
    exact = t.ppf(LEVELS, process.DEGREES) * np.sqrt(3 / 5)
    moves = (market.volatility[place[0]] * ratio)[:, None] * (drift[:, None] + exact)
    quantiles, _ = markets.true_quantiles(market, origins, 1, LEVELS)
    error = np.log(quantiles[:, 0] / market.closes[place][:, None]) - moves
    assert (abs(error) / (market.volatility[place[0]] * ratio)[:, None]).max() < 0.02


def test_one_step_quantiles_cover_what_they_say(market, walk):
    for bars in (market, walk):
        origins = origins_of(bars, 0, 1499, 1, every=2)
        quantiles, _ = markets.true_quantiles(bars, origins, 1, LEVELS)
        below = (next_closes(bars, origins, 1)[..., None] <= quantiles).mean(axis=(0, 1))
        error = np.sqrt(LEVELS * (1 - LEVELS) / len(origins))
        assert (abs(below - LEVELS) < 3 * error).all(), bars.series[0]


def test_quantiles_of_many_steps_are_hit_evenly(market):
    """Origins a horizon apart, so that their returns are independent given the truth."""
    horizon, edges = 10, np.arange(1, 20) / 20
    origins = origins_of(market, 0, 1499, horizon, every=horizon)
    quantiles, _ = markets.true_quantiles(market, origins, horizon, edges)
    rank = (next_closes(market, origins, horizon)[..., None] > quantiles).sum(axis=-1)  # (N, H)
    for step in (1, 4, 9):
        counts = np.bincount(rank[:, step], minlength=20)
        expected = len(origins) / 20
        assert ((counts - expected) ** 2 / expected).sum() < 43.8  # chi-square, 19 degrees: 0.1 %


def test_the_mean_is_that_of_the_paths(market):
    horizon = 5
    origins = origins_of(market, 0, 1499, horizon, every=horizon)
    _, mean = markets.true_quantiles(market, origins, horizon, [0.5])
    last = market.closes[tuple(origins.T)][:, None]
    error = (next_closes(market, origins, horizon) - mean) / last
    assert (abs(error.mean(axis=0)) < 3 * error.std(axis=0) / np.sqrt(len(origins))).all()


def test_more_paths_change_little(market):
    origins = origins_of(market, 1200, 1500, 10, every=15)
    place, actual = tuple(origins.T), next_closes(market, origins, 10)
    state = process.State(*(part[place] for part in market.state))
    losses = []
    for paths in (process.NUM_PATHS, 4 * process.NUM_PATHS):
        ratio, _ = process.forecast(
            state, market.volatility[place[0]], 10, LEVELS, keys=sum(place), num_paths=paths
        )
        losses.append(quantile_losses(market.closes[place][:, None, None] * ratio, actual))
    assert abs(losses[0].mean() / losses[1].mean() - 1) < 0.001


def test_the_truth_leaves_room_above_persistence(market):
    origins = origins_of(market, 1200, 1500, 5)
    actual = next_closes(market, origins, 5)
    truth = quantile_losses(markets.true_quantiles(market, origins, 5, LEVELS)[0], actual).mean()
    known = [
        quantile_losses(persistence(market, origins, 5, volatility(market)), actual).mean()
        for volatility in (trailing, exponential)
    ]
    assert 0.05 < 1 - truth / known[0] < 0.1
    assert known[0] - known[1] < 0.5 * (known[0] - truth)


def test_the_truth_of_the_walk_is_its_spread(walk):
    origins = np.array([[3, 700], [59, 1499]])
    quantiles, mean = markets.true_quantiles(walk, origins, 20, LEVELS)
    last = walk.closes[tuple(origins.T)]
    np.testing.assert_array_equal(quantiles[:, :, 4], np.repeat(last[:, None], 20, axis=1))
    spread = np.log(quantiles[:, 3, 8] / last) / 1.2815515655
    np.testing.assert_allclose(spread, 0.024, rtol=1e-9)
    np.testing.assert_allclose(mean[:, 3], last * np.exp(0.024**2 / 2), rtol=1e-12)


def test_series_and_dates_are_found_wherever_they_stand(market):
    part = SimpleNamespace(
        series=(market.series[7], market.series[2]),
        dates=market.dates[1200:1300],
        closes=market.closes[[7, 2], 1200:1300].astype(np.float32),
    )
    there, _ = markets.true_quantiles(part, [[0, 50], [1, 99]], 5, LEVELS)
    whole, _ = markets.true_quantiles(market, [[7, 1250], [2, 1299]], 5, LEVELS)
    np.testing.assert_array_equal(there, whole)


def test_other_bars_have_no_known_truth(market, walk):
    changed = market.values.copy()
    changed[7, 1300:, 3] *= 1.001
    others = {
        "other names": dataclasses.replace(market, series=tuple("S" + n for n in market.series)),
        "a name too many": dataclasses.replace(walk, series=(*walk.series[1:], "WALK61")),
        "other closes": dataclasses.replace(market, values=changed),
        "other dates": dataclasses.replace(market, dates=market.dates + 1),
        "a missing close": dataclasses.replace(market, values=np.where(changed > 0, np.nan, 1)),
        "no series": SimpleNamespace(series=(), dates=market.dates, closes=np.empty((0, 1500))),
    }
    for what, bars in others.items():
        assert markets.true_quantiles(bars, [[0, 100]], 5, LEVELS) is None, what


def test_what_is_simulated_cannot_be_changed(market):
    with pytest.raises(ValueError, match="read-only"):
        market.closes[0, 0] = 1.0
