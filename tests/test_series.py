"""Features of bars: what they are, what they do not depend on, and that they never look ahead."""

import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import bars_of, prices

from rnn_apps.preprocessing import series

VOLATILITY = 0.01
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


@pytest.fixture
def bars():
    """float32 (1, 40, 5), without the bars of steps 0, 7, 8 and 20."""
    values = bars_of(prices(1, 40))
    values[0, [0, 7, 8, 20]] = np.nan
    return values


def dates_of(bars):
    days = pd.bdate_range("2020-01-01", periods=bars.shape[1]).to_numpy().astype("datetime64[D]")
    return np.tile(days.astype(np.int32), [len(bars), 1])


def computed(bars, dates=None):
    """Known bars, features and scale as numpy arrays, the known bars of the first row only."""
    known = series.compact(tf.constant(bars), None if dates is None else tf.constant(dates))
    columns, scale = series.features(known, VOLATILITY)
    here = known["mask"].numpy()[0]
    return known, columns.numpy()[0][here], scale.numpy()[0][here]


def by_date(bars):
    """Features and scale after each date, (B, T, F + 1), zero before the first bar."""
    known = series.compact(bars, tf.constant(dates_of(bars)))
    columns, scale = series.features(known, VOLATILITY)
    both = tf.concat([columns, scale[..., None] / VOLATILITY], -1)
    begun = tf.math.cumsum(tf.cast(tf.math.is_finite(bars[..., CLOSE:VOLUME]), tf.float32), 1) > 0
    return tf.where(begun, tf.gather(both, known["places"], axis=1, batch_dims=1), 0.0)


def column(columns, name):
    return columns[:, (series.FEATURES + series.CALENDAR_FEATURES).index(name)]


@pytest.mark.parametrize("times, tolerance", [((128, 1024), 1e-5), ((100, 0.001), 2e-3)])
def test_features_are_the_same_in_another_currency_and_unit_of_volume(bars, times, tolerance):
    other = bars * np.float32([times[0]] * 4 + [times[1]])
    _, columns, scale = computed(bars)
    _, other_columns, other_scale = computed(other)
    np.testing.assert_allclose(other_columns, columns, atol=tolerance, rtol=0)
    np.testing.assert_allclose(other_scale, scale, rtol=1e-5)


def test_nothing_after_a_date_reaches_its_features(bars):
    before = by_date(bars).numpy()
    for step in (1, 6, 7, 8, 19, 20, 30, 38):
        for future in (np.nan, 0.0, 1e6):
            other = bars.copy()
            other[:, step + 1 :] = future
            np.testing.assert_allclose(
                by_date(other).numpy()[:, : step + 1], before[:, : step + 1], atol=1e-5
            )


def test_the_search_for_leaks_finds_none_in_the_features(bars):
    assert series.first_leak(by_date, bars) is None


def test_a_planted_leak_is_found_where_it_begins(bars, monkeypatch):
    full = bars[:, 9:20]

    def by_whole_deviation(values):
        return values[..., CLOSE] / tf.math.reduce_std(values[..., CLOSE])

    def of_tomorrow(values):
        return tf.roll(values, -1, axis=1)

    late = np.zeros(full.shape[1], np.float32)
    late[5] = 1

    def once(values):
        return late * tf.roll(values[..., CLOSE], -2, axis=1)

    assert series.first_leak(by_whole_deviation, full) == 0
    assert series.first_leak(of_tomorrow, full) == 0
    assert series.first_leak(once, full) == 5
    assert series.first_leak(lambda values: tf.cumsum(values, axis=1), full) is None
    monkeypatch.setattr(series, "_before", lambda values: tf.roll(values, -1, axis=1))
    assert series.first_leak(by_date, bars) is not None


def test_a_network_that_reads_backwards_is_found():
    keras.utils.set_random_seed(0)
    steps = np.ones([1, 12, 3], np.float32)
    forwards = keras.layers.GRU(4, return_sequences=True)
    assert series.first_leak(forwards, steps) is None
    assert series.first_leak(keras.layers.Bidirectional(forwards), steps) == 0
    assert series.first_leak(keras.layers.Conv1D(2, 3, padding="causal"), steps) is None
    assert series.first_leak(keras.layers.Conv1D(2, 3, padding="same"), steps) == 0


@pytest.mark.parametrize("missing", [np.nan, 0.0, -3.0, np.inf, -np.inf, 1e-41, 1e30])
def test_a_bar_without_a_close_is_as_if_it_were_not_there_but_for_the_gap(bars, missing):
    whole = bars_of(prices(1, 40))
    lost = [0, 7, 8, 20]
    whole[0, lost, CLOSE] = missing
    known = series.compact(tf.constant(whole))
    kept = np.delete(whole, lost, axis=1)
    assert known["mask"].numpy().sum() == 36
    np.testing.assert_array_equal(known["mask"].numpy()[0], np.arange(40) < 36)
    np.testing.assert_array_equal(known["bars"].numpy()[:, :36], kept)
    gaps = np.ones(36)
    gaps[[6, 17]] = 3, 2
    np.testing.assert_array_equal(known["gaps"].numpy()[0, :36], gaps)
    places = known["places"].numpy()[0]
    np.testing.assert_array_equal(places[[0, 1, 6, 7, 8, 9, 20, 39]], [0, 0, 5, 5, 5, 6, 16, 35])
    assert np.isfinite(known["bars"].numpy()).all()


def test_bars_that_are_lost_at_either_end_change_nothing(bars):
    full = bars_of(prices(1, 30))
    empty = np.full([1, 6, 5], np.nan, np.float32)
    _, columns, scale = computed(full, dates_of(full))
    for before, after in ((empty, empty[:, :0]), (empty[:, :0], empty), (empty, 0 * empty)):
        padded = np.concatenate([before, full, after], 1)
        dates = np.zeros([1, padded.shape[1]], np.int32)
        dates[:, before.shape[1] : before.shape[1] + 30] = dates_of(full)
        _, other, other_scale = computed(padded, dates)
        np.testing.assert_allclose(other, columns, atol=1e-5)
        np.testing.assert_allclose(other_scale, scale, rtol=1e-6)


@pytest.mark.parametrize(
    "field, value",
    [
        (HIGH, 0.9),
        (LOW, 1.1),
        (OPEN, -1.0),
        (OPEN, 9.0),
        (HIGH, np.inf),
        (LOW, 0.0),
        (OPEN, np.nan),
    ],
)
def test_a_price_that_contradicts_its_bar_makes_the_range_unknown(bars, field, value):
    wrong, unknown = bars.copy(), bars.copy()
    wrong[0, 12, field] = value * wrong[0, 12, CLOSE]
    unknown[0, 12, :CLOSE] = np.nan
    _, columns, scale = computed(wrong)
    _, expected, expected_scale = computed(unknown)
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(scale, expected_scale)
    assert column(columns, "ranges known")[12 - 3] == 0
    assert not np.array_equal(columns, computed(bars)[1])


def test_prices_that_are_rounded_do_not_contradict_each_other(bars):
    bars[0, 12, HIGH] = bars[0, 12, [OPEN, CLOSE]].max() * (1 - 5e-5)
    assert column(computed(bars)[1], "ranges known")[12 - 3] == 1


@pytest.mark.parametrize("nothing", [0.0, -5.0, np.inf, 1e-41])
def test_a_volume_of_zero_is_unknown(bars, nothing):
    wrong, unknown = bars.copy(), bars.copy()
    wrong[0, [1, 12], VOLUME] = nothing
    unknown[0, [1, 12], VOLUME] = np.nan
    np.testing.assert_array_equal(computed(wrong)[1], computed(unknown)[1])
    assert column(computed(wrong)[1], "volume known")[[0, 9]].tolist() == [0, 0]
    assert np.isfinite(computed(wrong)[1]).all()


def test_features_are_what_their_names_say(bars):
    known, columns, scale = computed(bars, dates_of(bars))
    kept = known["bars"].numpy()[0, :36].astype(float)
    move = np.diff(np.log(kept[:, CLOSE]), prepend=np.log(kept[0, CLOSE]))
    move[[6, 17]] /= np.sqrt([3, 2])
    sums, weights, deviation = VOLATILITY**2 * 0.94 / 0.06, 0.94 / 0.06, [VOLATILITY]
    for own in move[1:]:
        sums, weights = 0.94 * sums + own**2, 0.94 * weights + 1
        deviation.append(np.sqrt(sums / weights))
    deviation = np.array(deviation)
    np.testing.assert_allclose(scale, deviation, rtol=1e-4)
    width = np.log(kept[:, HIGH] / kept[:, LOW]) / deviation
    expected = {
        "return": move / deviation,
        "size of return": np.abs(move) / deviation,
        "level of volatility": np.log(deviation / VOLATILITY),
        "bars missing before": np.isin(np.arange(36), [6]) * 2.0 + np.isin(np.arange(36), [17]),
        "ranges known": np.ones(36),
        "volume known": np.ones(36),
        "return since open": np.log(kept[:, CLOSE] / kept[:, OPEN]) / deviation,
        "range": np.log(width / math.sqrt(4 * math.log(2)) + 0.05),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(column(columns, name), values, atol=2e-3, err_msg=name)
    overnight = np.log(kept[1:, OPEN] / kept[:-1, CLOSE]) / deviation[1:]
    np.testing.assert_allclose(column(columns, "overnight return")[1:], overnight, atol=2e-3)
    assert columns.shape == (36, len(series.FEATURES) + len(series.CALENDAR_FEATURES))


def test_volatilities_and_volumes_of_a_steady_series_are_those_of_its_days():
    """Returns of 2 % up and down for long, and a volume that then doubles."""
    bars = np.full([1, 600, 5], np.nan, np.float32)
    bars[0, :, CLOSE] = np.exp(0.02 * (np.arange(600) % 2))
    bars[0, :, VOLUME] = np.where(np.arange(600) < 599, 500, 1000)
    _, columns, scale = computed(bars)
    np.testing.assert_allclose(scale[300:], 0.02, rtol=1e-4)
    for name in ("fast volatility", "slow volatility"):
        np.testing.assert_allclose(column(columns, name)[500:], 0, atol=1e-3)
    np.testing.assert_allclose(column(columns, "level of volatility")[-1], math.log(2), atol=1e-3)
    np.testing.assert_allclose(column(columns, "volume surprise")[-2:], [0, math.log(2)], atol=1e-3)
    trend = (0.3 - 0.3 * 0.05 - 0.05) * math.log(2)
    assert column(columns, "volume trend")[-1] == pytest.approx(trend, abs=0.02)


def test_the_calendar_knows_weekdays_and_the_days_between_bars(bars):
    known, columns, _ = computed(bars, dates_of(bars))
    days = pd.DatetimeIndex(known["dates"].numpy()[0, :36].astype("datetime64[D]"))
    for number, name in enumerate(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")):
        np.testing.assert_array_equal(column(columns, name), days.day_of_week == number)
    since = np.diff(known["dates"].numpy()[0, :36], prepend=known["dates"].numpy()[0, 0])
    np.testing.assert_array_equal(column(columns, "days since"), since)


def test_the_last_bars_of_a_row_are_read_as_if_there_had_been_no_others(bars):
    bars[0, -10] = np.nan  # just before the last nine bars
    dates = dates_of(bars)
    known = series.last_bars(series.compact(tf.constant(bars), tf.constant(dates)), 9)
    columns, scale = series.features(known, VOLATILITY)
    _, expected, expected_scale = computed(bars[:, -9:], dates[:, -9:])
    np.testing.assert_allclose(columns[0], expected, atol=1e-6)
    np.testing.assert_allclose(scale[0], expected_scale, rtol=1e-6)
    short = series.last_bars(series.compact(tf.constant(bars)), 50)
    assert short["bars"].shape == (1, 40, 5)


def test_rows_do_not_read_each_other(bars):
    other = bars_of(prices(2, 40), "S1")
    together = by_date(np.concatenate([bars, other, bars * np.nan]))
    np.testing.assert_allclose(together[:1], by_date(bars), atol=1e-6)
    np.testing.assert_allclose(together[1:2], by_date(other), atol=1e-6)


def test_closes_alone_are_bars_of_which_nothing_else_is_known():
    made = series.bars_of_closes(tf.constant([[1.0, 2.0]])).numpy()
    np.testing.assert_array_equal(made[0, :, CLOSE], [1, 2])
    assert np.isnan(np.delete(made, CLOSE, -1)).all()


def test_a_share_of_the_rows_loses_all_but_its_closes(bars):
    many = tf.constant(np.repeat(bars_of(prices(1, 10)), 1000, axis=0))
    seed = keras.random.SeedGenerator(0)
    np.testing.assert_array_equal(series.hide_all_but_closes(many, 0.0, seed), many)
    every = series.hide_all_but_closes(many, 1.0, seed)
    np.testing.assert_array_equal(every, series.bars_of_closes(many[..., CLOSE]))
    some = np.isnan(series.hide_all_but_closes(many, 0.3, seed).numpy())
    hidden = some[:, 0, OPEN]
    expected = hidden[:, None, None] & (np.arange(5) != CLOSE) & np.ones([10, 1], bool)
    np.testing.assert_array_equal(some, expected)
    assert 0.25 < hidden.mean() < 0.35
    again = np.isnan(series.hide_all_but_closes(many, 0.3, seed).numpy())
    assert not np.array_equal(again, some)


def test_standard_features_are_cut_and_one_that_never_varied_is_zero():
    columns = tf.constant([[[3.0, 5.0, 1e9], [-1e9, 7.0, np.inf]]])
    found = series.standardise(columns, [1.0, 5.0, 0.0], [2.0, 0.0, 1.0])
    np.testing.assert_allclose(found, [[[1, 0, 8], [-8, 0, 8]]])


@pytest.mark.parametrize("kind", ["closes alone", "nothing at first", "far apart", "still", "none"])
def test_features_are_finite_whatever_comes(kind):
    bars = bars_of(prices(1, 400))
    if kind == "closes alone":
        bars[0, :, [OPEN, HIGH, LOW, VOLUME]] = np.nan
    elif kind == "nothing at first":
        bars[0, :350, [OPEN, HIGH, LOW, VOLUME]] = np.nan
    elif kind == "far apart":
        bars[0, ::2, :CLOSE] = 1.1e-15, 9e14, 1.1e-15
        bars[0, :, CLOSE] = np.where(np.arange(400) % 2, 1.1e-15, 9e14)
        bars[0, ::3, VOLUME] = 3e38
    elif kind == "still":
        bars[:] = 5.0
    else:
        bars[:] = np.nan
    known = series.compact(tf.constant(bars))
    columns, scale = series.features(known, VOLATILITY)
    assert np.isfinite(columns).all() and np.isfinite(scale).all()
    assert (scale.numpy() > 0).all()
