"""Windows of bars: each origin once, the same number and order again, and nothing made up."""

import numpy as np
import pytest
from conftest import prices

from rnn_apps.data import as_bars
from rnn_apps.preprocessing.windows import SeriesWindows, future_returns

WINDOW, HORIZON = 12, 3
DIRECT = np.arange(4, 12)  # the origins of a direct decoder
SPACED = np.arange(5, 12, 3)  # and of a recurrent one


@pytest.fixture(scope="module")
def values():
    """float64 (4, 60, 5): one series begins late, one ends early, one has gaps."""
    values = as_bars(prices(4, 60)).values.copy()
    values[1, :25] = values[2, 40:] = values[0, [1, 4]] = np.nan
    values[3, [0, 11, 12, 30, 59]] = np.nan
    return values


def windows(values, **options):
    settings = {"window": WINDOW, "horizon": HORIZON, "origins": DIRECT, "batch_size": 7}
    return SeriesWindows(values, **{**settings, **options})


def origins_of(feed):
    """(series, date) of every origin with a known outcome, as often as it comes, by its bars."""
    found, closes = [], feed.bars[..., 3]
    for (inputs, returns), rows in zip(feed, batches(feed), strict=True):
        for row, (series, last) in enumerate(rows):
            for number, place in enumerate(feed.origins):
                if np.isfinite(returns[row, number]).any():
                    date = last - WINDOW + 1 + place
                    assert inputs["bars"][row, place, 3] == closes[series, date]
                    found.append((int(series), int(date)))
    return found


def batches(feed):
    return [feed.plan()[i : i + feed.batch_size] for i in range(0, feed.count, feed.batch_size)]


def expected_origins(values, first=0):
    returns = future_returns(values[..., 3], HORIZON)
    returns[:, :first] = np.nan
    return sorted(map(tuple, np.argwhere(np.isfinite(returns).any(-1)).tolist()))


def test_future_returns_are_those_of_the_prices(values):
    closes = values[..., 3]
    returns = future_returns(closes, HORIZON)
    assert returns.shape == (4, 60, 3) and returns.dtype == np.float32
    for step in (1, 2, 3):
        expected = np.log(closes[:, step:] / closes[:, :-step])
        np.testing.assert_allclose(returns[:, :-step, step - 1], expected, atol=1e-6)
        assert np.isnan(returns[:, 60 - step :, step - 1]).all()
    assert np.isnan(future_returns(np.array([[1.0, 0.0, -1.0, 2.0]]), 2)[0, 0]).all()
    assert future_returns(np.ones([1, 2]), 5).shape == (1, 2, 5)


@pytest.mark.parametrize("origins", [DIRECT, SPACED], ids=["direct", "spaced"])
@pytest.mark.parametrize("first", [0, 33])
def test_without_shuffling_every_known_origin_comes_once(values, origins, first):
    feed = windows(values, origins=origins, first=first, shuffle=False)
    assert sorted(origins_of(feed)) == expected_origins(values, first)
    plan = feed.plan().tolist()
    assert feed.count == len(plan) == len(set(map(tuple, plan)))
    assert len(feed) == -(-feed.count // 7) == len(list(feed))
    for _, returns in feed:
        assert np.isfinite(returns).any((1, 2)).all()  # no window without an outcome


@pytest.mark.parametrize("origins", [DIRECT, SPACED], ids=["direct", "spaced"])
def test_shuffled_windows_are_a_function_of_seed_and_epoch(values, origins):
    one, other = (windows(values, origins=origins, shuffle=True, seed=5) for _ in range(2))
    plans = []
    for epoch in range(6):
        one.epoch = other.epoch = epoch
        np.testing.assert_array_equal(one.plan(), other.plan())
        plans.append(one.plan().tolist())
        assert len(one.plan()) == one.count and len(list(one)) == len(one)
        assert set(origins_of(one)) <= set(expected_origins(values))
    assert len({str(plan) for plan in plans}) == 6
    assert len({plan[0][1] % len(origins) for plan in plans}) > 1  # windows begin elsewhere too
    one.epoch = 2
    assert one.plan().tolist() == plans[2]
    seeded = windows(values, origins=origins, shuffle=True, seed=6)
    assert seeded.plan().tolist() != plans[0]


def test_over_many_epochs_every_origin_is_trained_on(values):
    feed, seen = windows(values, origins=SPACED, shuffle=True), set()
    for epoch in range(40):
        feed.epoch = epoch
        seen |= set(origins_of(feed))
    assert seen == set(expected_origins(values))


def test_what_lies_before_the_first_date_is_unknown(values):
    feed = windows(values, shuffle=False, batch_size=1000)
    (inputs, returns), (rows,) = feed[0], batches(feed)
    dates = rows[:, 1:] + np.arange(1 - WINDOW, 1)
    assert (dates < 0).any()
    assert np.isnan(inputs["bars"][dates < 0]).all()
    series = np.repeat(rows[:, :1], WINDOW, 1)[dates >= 0]
    expected = np.float32(values[series, dates[dates >= 0]])
    np.testing.assert_array_equal(inputs["bars"][dates >= 0], expected)
    assert np.isnan(returns[dates[:, DIRECT] < 0]).all()


def test_outcomes_are_those_of_the_origins(values):
    feed = windows(values, shuffle=True, batch_size=1000, fed=True)
    (inputs, returns), (rows,) = feed[0], batches(feed)
    expected = future_returns(values[..., 3], HORIZON)
    for row, (series, last) in enumerate(rows):
        for number, place in enumerate(DIRECT):
            date = last - WINDOW + 1 + place
            if date >= 0:
                np.testing.assert_array_equal(returns[row, number], expected[series, date])
    np.testing.assert_array_equal(inputs["fed"], returns)
    assert "fed" not in windows(values)[0][0]


def test_dates_and_static_columns_go_with_their_bars(values):
    static = {"sector": np.array(list("abcd"), object), "size": np.arange(4.0)}
    days = np.arange(1000, 1060)
    feed = windows(values, days=days, static=static, shuffle=False, batch_size=1000)
    (inputs, _), (rows,) = feed[0], batches(feed)
    assert inputs["dates"].dtype == np.int32 and inputs["size"].dtype == np.float32
    assert inputs["sector"].tolist() == ["abcd"[series] for series, _ in rows]
    np.testing.assert_array_equal(inputs["size"], rows[:, 0])
    known = np.isfinite(inputs["bars"][..., 3])
    expected = rows[:, 1:] + 1000 + np.arange(1 - WINDOW, 1)
    np.testing.assert_array_equal(inputs["dates"][known], expected[known])
    assert set(feed.dataset().element_spec[0]) == {"bars", "dates", "sector", "size"}


def test_a_dataset_passes_on_what_the_feed_holds(values):
    feed = windows(values, shuffle=True)
    dataset = feed.dataset()
    assert int(dataset.cardinality()) == len(feed)
    for epoch in (0, 3):
        feed.epoch = epoch
        for number, (inputs, returns) in enumerate(dataset):
            expected = feed[number]
            np.testing.assert_array_equal(inputs["bars"], expected[0]["bars"])
            np.testing.assert_array_equal(returns, expected[1])
        assert number == len(feed) - 1


def test_bars_without_a_known_outcome_are_refused_in_a_sentence(values):
    with pytest.raises(
        ValueError, match="no bar with a known price up to 3 bars after it in the 1"
    ):
        windows(values, first=59)
    with pytest.raises(ValueError, match="give more dates or a shorter horizon"):
        windows(np.full([2, 30, 5], np.nan))
