import numpy as np
import pytest

from rnn_apps.evaluation.lag import describe_lag, detect_lag
from rnn_apps.evaluation.persistence import baselines

PREDICTABLE = 0.3  # of a move's deviation


def market(series=4, dates=300, seed=0):
    """Prices, origins, and the part of each origin's next move that can be known."""
    generator = np.random.default_rng(seed)
    known = PREDICTABLE * 0.01 * generator.normal(size=(series, dates))
    moves = known + 0.01 * np.sqrt(1 - PREDICTABLE**2) * generator.normal(size=(series, dates))
    closes = 80 * np.exp(np.pad(moves.cumsum(axis=1), ((0, 0), (1, 0))))
    origins = np.array([(s, d) for s in range(series) for d in range(dates)])
    return closes, origins, known.ravel()


def test_yesterdays_price_is_found_out():
    closes, origins, _ = market()
    found = detect_lag(closes, origins, closes[:, :-1].ravel())
    assert found["shifted"] and found["lag_1"] == pytest.approx(1)
    assert abs(found["lag_0"]) < 0.1
    assert found["moves"] is None and not found["moves_follow"]
    assert found["pairs"] == 4 * 299


def test_a_median_that_trails_with_a_little_noise_is_found_out_too():
    closes, origins, _ = market()
    noise = np.random.default_rng(1).normal(0, 0.002, len(origins))
    found = detect_lag(closes, origins, closes[:, :-1].ravel() * np.exp(noise))
    assert found["shifted"] and not found["moves_follow"]


def test_foresight_is_not_taken_for_a_lag():
    closes, origins, _ = market()
    found = detect_lag(closes, origins, closes[:, 1:].ravel())
    assert found["lag_0"] == pytest.approx(1) and abs(found["lag_1"]) < 0.1
    assert not found["shifted"] and found["moves_follow"]
    assert found["moves"] == pytest.approx(1)


def test_a_line_whose_small_moves_come_true_is_told_from_one_without():
    closes, origins, known = market()
    found = detect_lag(closes, origins, closes[:, :-1].ravel() * np.exp(known))
    assert found["moves_follow"]
    assert found["moves"] == pytest.approx(PREDICTABLE, abs=0.06)


def test_baselines_that_carry_the_last_price_on_are_found_out():
    closes, origins, _ = market()
    origins = origins[origins[:, 1] > 100]
    named = baselines(closes, origins, 1, [0.5], learned_until=100)
    for name in ("persistence, trailing volatility", "drift", "autoregression"):
        found = detect_lag(closes, origins, named[name].quantiles[:, 0, 0])
        assert found["shifted"] and not found["moves_follow"], name


def test_only_consecutive_origins_are_compared():
    closes, origins, _ = market()
    every_other = origins[origins[:, 1] % 2 == 0]
    found = detect_lag(closes, every_other, closes[every_other[:, 0], every_other[:, 1]])
    assert found["pairs"] == 0 and found["lag_1"] is None and not found["shifted"]
    mixed = np.random.default_rng(0).permutation(origins)
    found = detect_lag(closes, mixed, closes[mixed[:, 0], mixed[:, 1]])
    assert found["pairs"] == 4 * 299 and found["shifted"]


def test_a_median_that_is_no_price_is_passed_over():
    closes, origins, _ = market()
    median = closes[:, :-1].ravel().copy()
    median[[50, 700]] = [0.0, -3.0]
    found = detect_lag(closes, origins, median)
    assert found["pairs"] == 4 * 299 - 4 and found["shifted"]


def test_missing_prices_and_a_series_that_stands_still_are_no_obstacle():
    closes, origins, _ = market()
    closes[1] = 5.0
    closes[0, 200] = np.nan
    origins = origins[np.isfinite(closes[origins[:, 0], origins[:, 1]])]
    found = detect_lag(closes, origins, closes[origins[:, 0], origins[:, 1]])
    assert found["pairs"] == 4 * 299 - 3 and found["shifted"]


@pytest.mark.parametrize(
    ("shifted", "follow", "skilled", "said"),
    [
        (True, False, True, "value of the forecast lies in its spread alone"),
        (True, False, False, "spread is not shown to be better"),
        (True, True, True, "small moves that it adds do correlate 0.20"),
        (False, False, False, "is not yesterday's price shifted by a day"),
    ],
)
def test_what_was_found_is_said_in_words(shifted, follow, skilled, said):
    found = {"lag_0": 0.1, "lag_1": 0.95, "moves": 0.2, "moves_follow": follow}
    sentence = describe_lag({**found, "shifted": shifted}, skilled)
    assert said in sentence and sentence.endswith(".")
    assert ("is yesterday's price shifted" in sentence) == (shifted and not follow)
