import gzip
import pathlib
import time

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_apps.data import FIELDS, Bars, as_bars, fingerprint

PRICES = pathlib.Path(__file__).parents[2] / "shared" / "data" / "prices" / "sp500_63.csv.gz"
needs_prices = pytest.mark.skipif(
    not PRICES.is_file(), reason=f"real prices are not in {PRICES.parent.name}/{PRICES.name}"
)


def market(names=("A", "B"), dates=60, seed=0, volatility=0.01):
    """A table of simulated bars whose volume is ordinary."""
    random = np.random.default_rng(seed)
    days = np.busday_offset("2024-01-01", np.arange(dates)).astype("datetime64[s]")
    tables = []
    for name in names:
        close = 100 * np.exp(np.cumsum(random.normal(0, volatility, dates)))
        open_ = close * np.exp(random.normal(0, volatility / 3, dates))
        high, low = np.maximum(open_, close) * 1.004, np.minimum(open_, close) * 0.996
        volume = random.uniform(900, 1100, dates).round()
        bars = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
        tables.append(pd.DataFrame({"series": name, "date": days, **bars}))
    return pd.concat(tables, ignore_index=True)


def same(one, two):
    return (
        one.series == two.series
        and np.array_equal(one.dates, two.dates)
        and np.allclose(one.values, two.values, rtol=1e-12, atol=0, equal_nan=True)
    )


def change(frame, row, **values):
    frame = frame.copy()
    for name, value in values.items():
        frame[name] = frame[name].astype(object)
        frame.loc[row, name] = value
    return frame


def halve_before(frame, row, ratio, closes_only=False):
    """Prices of series 'A' as they would stand if a split ratio:1 at `row` was left in them."""
    frame = frame.copy()
    prices = ["open", "high", "low", "close"]
    frame.loc[frame.index < row, prices] *= ratio
    frame.loc[frame.index < row, "volume"] /= ratio
    return frame[["series", "date", "close"]] if closes_only else frame


def note_of(bars, word):
    found = [note for note in bars.notes if word in note]
    assert len(found) == 1, bars.notes
    return found[0]


def test_bars_hold_every_price_where_it_belongs():
    frame = market()
    bars = as_bars(frame)
    assert bars.series == ("A", "B") and bars.notes == () and FIELDS[3] == "close"
    assert bars.values.shape == (2, 60, 5) and bars.values.dtype == np.float64
    assert bars.dates.dtype == "datetime64[D]" and bars.dates[5] == np.datetime64("2024-01-08")
    row = frame.iloc[65]
    assert bars.values[1, 5].tolist() == [row[name] for name in FIELDS]
    assert bars.closes[1, 5] == row["close"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_does_not_matter(seed):
    frame = market(("B", "A", "C"), 12).drop(index=[3, 20])
    shuffled = frame.sample(frac=1, random_state=seed)
    one, two = as_bars(frame), as_bars(shuffled)
    assert same(one, two)
    assert fingerprint(one.columns()) == fingerprint(two.columns())
    assert "not in order of their dates" in two.notes[0]


def test_a_panel_sorted_by_date_is_in_order():
    assert as_bars(market().sort_values(["date", "series"])).notes == ()


@pytest.mark.parametrize(
    "names",
    [
        {"series": "unique_id", "date": "ds", "close": "y"},
        {"series": "Symbol", "date": "Datetime", "close": "PRICE", "open": "Open"},
        {"series": "ticker", "date": "timestamp", "volume": " Volume "},
    ],
)
def test_the_usual_names_of_columns_are_known(names):
    assert same(as_bars(market()), as_bars(market().rename(columns=names)))


def test_other_names_are_given_by_columns():
    frame = market().rename(columns={"series": "share", "date": "day", "close": "last"})
    frame["price"] = 1.0
    names = {"series": "share", "date": "day", "close": "last"}
    assert same(as_bars(market()), as_bars(frame, columns=names))


def test_all_forms_of_rows_give_the_same_bars():
    frame = market(dates=10)
    texts = frame.assign(date=frame["date"].astype(str), volume=frame["volume"].astype(str))
    rows = tf.data.Dataset.from_tensor_slices(dict(texts))
    forms = {
        "dict": {name: frame[name].to_numpy() for name in frame},
        "records": texts.to_dict("records"),
        "index": frame.set_index(["series", "date"]),
        "dataset": rows,
        "batches": rows.batch(3),
        "whole series": tf.data.Dataset.from_generator(
            lambda: (
                {"series": name, "date": part["date"], "bars": dict(part[[*FIELDS]])}
                for name, part in texts.groupby("series")
            ),
            output_signature={
                "series": tf.TensorSpec((), tf.string),
                "date": tf.TensorSpec((None,), tf.string),
                "bars": {
                    name: tf.TensorSpec((None,), tf.string if name == "volume" else tf.float64)
                    for name in FIELDS
                },
            },
        ),
    }
    for name, form in forms.items():
        nested = {each: f"bars/{each}" for each in FIELDS} if name == "whole series" else None
        assert same(as_bars(frame), as_bars(form, columns=nested)), name
    bars = as_bars(frame)
    assert as_bars(bars) is bars


def test_one_series_needs_no_name_and_no_dates():
    closes = [100.0, 101.0, 99.5]
    days = pd.date_range("2024-01-02", periods=3)
    named = as_bars(pd.Series(closes, index=days, name="ACME"))
    assert named.series == ("ACME",) and named.closes.tolist() == [closes] and named.notes == ()
    assert same(named, as_bars(pd.DataFrame({"ACME": closes}, index=days)["ACME"]))
    for form in (closes, np.array(closes), pd.Series(closes), pd.DataFrame({"close": closes})):
        bars = as_bars(form)
        assert bars.series == ("series",) and bars.closes.tolist() == [closes]
        assert bars.dates.tolist() == [np.datetime64(f"2000-01-0{day}").item() for day in (3, 4, 5)]
        assert "consecutive business days from 2000-01-03" in note_of(bars, "no dates")


def test_whole_numbers_are_business_days_and_digits_may_be_dates():
    frame = pd.DataFrame({"ds": [4, 5, 7], "y": [1.0, 2.0, 2.5]})
    bars = as_bars(frame, splits="keep")
    assert [str(day) for day in bars.dates] == ["2000-01-07", "2000-01-10", "2000-01-12"]
    assert "numbers 4 to 7" in note_of(bars, "business days")
    frame["ds"] = ["20240102", "20240103", "20240105"]
    assert as_bars(frame, splits="keep").dates[2] == np.datetime64("2024-01-05")
    with pytest.raises(ValueError, match=r"numbers from 1704\d+ .*unit='s'"):
        as_bars(frame.assign(ds=[1_704_153_600, 1_704_240_000, 1_704_326_400]))


def test_adjusted_closes_adjust_the_whole_bar_but_not_the_volume():
    frame = market()
    factor = np.where(np.arange(120) < 30, 0.97, 1.0)
    bars = as_bars(frame.assign(**{"Adj Close": frame["close"] * factor}))
    expected = as_bars(frame).values.copy()
    expected[0, :30, :4] *= 0.97
    np.testing.assert_allclose(bars.values, expected, rtol=1e-12)


def test_adjusted_closes_alone_are_closes_and_lacking_ones_are_missing():
    frame = market()[["series", "date", "close"]].rename(columns={"close": "adj_close"})
    assert as_bars(frame).closes[0, 0] == frame["adj_close"][0]
    frame = frame.assign(close=frame["adj_close"])
    frame.loc[frame["series"] == "B", "adj_close"] = np.nan
    frame.loc[3, "adj_close"] = np.nan
    bars = as_bars(frame)
    assert "'B', which stays as it is" in note_of(bars, "There is no adjusted")
    assert "'A' on 2024-01-04" in note_of(bars, "but no adjusted close")
    assert np.isnan(bars.closes[0, 3]) and not np.isnan(bars.closes[1]).any()


def test_a_bar_without_a_good_close_is_missing_and_said_so():
    frame = market()
    frame = change(frame, 10, close=np.nan)
    frame = change(frame, 11, close=0.0)
    frame = change(frame, 12, close=-3)
    frame = change(frame, 13, close=np.inf)
    bars = as_bars(frame)
    assert np.isnan(bars.values[0, 10:14]).all() and not np.isnan(bars.values[1]).any()
    assert "'A' on 2024-01-15" in note_of(bars, "a missing close")
    assert note_of(bars, "zero, negative").startswith("3 bars have (first 'A' on 2024-01-16)")
    assert "'A' 4 dates (4 in a row from 2024-01-15)" in note_of(bars, "lack dates")
    assert len(bars.to_frame()) == 116


def test_a_date_without_any_close_is_no_date_of_the_calendar():
    frame = market()
    bars = as_bars(frame.assign(close=frame["close"].mask(frame["date"] == "2024-01-04")))
    assert len(bars.dates) == 59 and np.datetime64("2024-01-04") not in bars.dates
    assert "(first 2024-01-04)" in note_of(bars, "no series has a close")


def test_ranges_that_contradict_the_close_are_left_out():
    frame = market()
    frame = change(frame, 5, high=frame["low"][5] - 1)
    frame = change(frame, 6, low=frame["close"][6] * 1.01)
    frame = change(frame, 7, open=frame["high"][7] * 1.01)
    frame = change(frame, 8, high=frame["close"][8] * 0.9999, open=frame["close"][8] * 0.9995)
    frame = change(frame, 9, open=0.0, volume=-1)
    bars = as_bars(frame)
    assert np.isnan(bars.values[0, 5:8, :3]).all()
    assert not np.isnan(bars.values[0, 5:8, 3:]).any()
    assert not np.isnan(bars.values[0, 8]).any()  # no more than rounding
    assert np.isnan(bars.values[0, 9]).tolist() == [True, False, False, False, True]
    assert note_of(bars, "outside its low").startswith("3 bars have (first 'A' on 2024-01-08)")
    assert "'A' on 2024-01-12" in note_of(bars, "a volume that is negative")


def test_rows_that_are_there_twice_are_dropped_and_contradictions_refused():
    frame = market()
    bars = as_bars(pd.concat([frame, frame.iloc[[7, 7, 70]]]))
    assert same(bars, as_bars(frame))
    assert note_of(bars, "twice").startswith("3 rows were there twice ('A', 2024-01-10)")
    other = change(frame, 7, volume=5.0).iloc[[7]]
    with pytest.raises(ValueError, match="'A' has rows that contradict.* 2024-01-10; keep one row"):
        as_bars(pd.concat([frame, other]))


def test_late_starts_early_stops_gaps_and_holes_are_named():
    frame = market(("A", "B", "C"))
    a, b = frame["series"] == "A", frame["series"] == "B"
    days = frame["date"]
    lost = (a & (days < "2024-01-10")) | (b & (days > "2024-03-01"))
    lost |= (frame["series"] == "C") & days.isin(pd.to_datetime(["2024-02-01", "2024-02-02"]))
    bars = as_bars(frame[~lost & ~days.between("2024-02-10", "2024-02-25")])
    assert "'A' (2024-01-10)" in note_of(bars, "start after 2024-01-01")
    assert "'B' (2024-03-01)" in note_of(bars, "stop before 2024-03-22")
    assert "'C' 2 dates (2 in a row from 2024-02-01)" in note_of(bars, "lack dates")
    assert "between 2024-02-09 and 2024-02-26 (17 days)" in note_of(bars, "No series")


def test_weekly_bars_are_called_what_they_are():
    closes = np.linspace(100, 110, 20)
    bars = as_bars(pd.Series(closes, index=pd.date_range("2024-01-05", periods=20, freq="W")))
    assert bars.notes == ("The dates are mostly 7 days apart: not daily bars.",)


@pytest.mark.parametrize("closes_only", [False, True])
@pytest.mark.parametrize("ratio", [2, 3, 7, 1.5, 20, 1 / 2, 1 / 10])
def test_a_split_left_unadjusted_is_refused_adjusted_or_kept(ratio, closes_only):
    whole = market()[["series", "date", "close"]] if closes_only else market()
    frame = halve_before(market(), 30, ratio, closes_only)
    words = {1.5: "3:2"}.get(ratio, f"{ratio}:1" if ratio > 1 else f"1:{1 / ratio:.0f}")
    with pytest.raises(ValueError, match=f"'A' goes .* 2024-02-12, like a {words} .*adj_close.*or"):
        as_bars(frame)
    adjusted = as_bars(frame, splits="adjust")
    assert same(adjusted, as_bars(whole)) and "were divided" in adjusted.notes[0]
    kept = as_bars(frame, splits="keep")
    assert kept.closes[0, 0] == frame["close"][0] and "kept as it is" in kept.notes[0]
    assert as_bars(frame.assign(adj_close=whole["close"])).notes == ()


def test_several_splits_are_adjusted_together():
    frame = halve_before(halve_before(market(), 40, 2), 20, 3)
    assert same(as_bars(frame, splits="adjust"), as_bars(market()))
    with pytest.raises(ValueError, match="and 1 more like it"):
        as_bars(frame)


def test_a_split_that_was_kept_is_not_refused_later():
    kept = as_bars(halve_before(market(), 30, 2), splits="keep").to_frame()
    assert as_bars(kept).closes[0, 0] == kept["close"][0]
    with pytest.raises(ValueError, match="2:1"):
        as_bars(kept.assign(close=kept["close"] * 1.1))


def crash(frame, row, factor, opening=None, volume=1.0):
    """A real move of series 'A' at `row`: the prices from there on are multiplied."""
    frame = frame.copy()
    after = (frame.index >= row) & (frame["series"] == "A")
    frame.loc[after, ["open", "high", "low", "close"]] *= factor
    if opening:
        frame.loc[row, "open"] *= opening / factor
        ends = frame.loc[row, ["open", "close"]]
        frame.loc[row, ["high", "low"]] = [ends.max() * 1.001, ends.min() * 0.999]
    frame.loc[row, "volume"] *= volume
    return frame


@pytest.mark.parametrize(
    ("factor", "opening", "volume", "volatility"),
    [
        (0.5, 0.9, 1, 0.01),  # falls during the day
        (0.5, 0.5, 15, 0.01),  # falls overnight, and everyone trades
        (0.72, 0.72, 1, 0.01),  # less than any split
        (0.43, 0.43, 1, 0.01),  # between 2:1 and 3:1
        (0.5, 0.5, 1, 0.15),  # usual for such a series
        (1.5, 1.2, 1, 0.01),
    ],
)
def test_a_real_crash_is_not_mistaken_for_a_split(factor, opening, volume, volatility):
    frame = crash(market(volatility=volatility), 30, factor, opening, volume)
    assert as_bars(frame).notes == ()
    if factor != 0.5:  # which closes alone cannot tell from 2:1
        assert as_bars(frame[["series", "date", "close"]]).notes == ()


def test_a_rise_by_half_is_believed_to_be_a_split_only_with_an_open():
    frame = crash(market(), 30, 1.5)
    with pytest.raises(ValueError, match="2:3"):
        as_bars(frame)
    assert as_bars(frame[["series", "date", "close"]]).notes == ()


def test_dates_with_a_time_zone_stand_on_the_local_date():
    frame = market()
    late = pd.to_datetime(frame["date"]) + pd.Timedelta("22h")
    for dates in (
        late.dt.tz_localize("America/New_York"),
        late.dt.tz_localize("America/New_York").astype(str),
        late.dt.tz_localize("America/New_York").astype(object),
        late.dt.tz_localize("America/New_York").convert_dtypes(dtype_backend="pyarrow"),
    ):
        bars = as_bars(frame.assign(date=dates))
        assert same(bars, as_bars(frame))
        note_of(bars, "local date")


def test_dates_in_several_time_zones_are_refused_within_a_series_only():
    frame = market(dates=2)
    zones = ["2024-01-02T00:00-05:00", "2024-07-02T00:00-04:00"]
    far = ["2024-01-02T00:00+09:00", "2024-07-02T00:00+09:00"]
    bars = as_bars(frame.assign(date=zones + far))
    assert bars.dates.tolist() == [np.datetime64(f"2024-0{month}-02").item() for month in (1, 7)]
    for mixed in (["2024-01-02T00:00-05:00", "2024-07-02T00:00Z"], ["2024-01-02", zones[1]]):
        with pytest.raises(ValueError, match="'B' are in several time zones"):
            as_bars(frame.assign(date=zones + mixed))


def test_two_bars_of_a_series_on_a_day_are_refused():
    frame = market(("A",), 4)
    frame["date"] = pd.to_datetime(["2024-01-02 10:00", "2024-01-02 16:00"] * 2)
    frame.loc[2:, "date"] += pd.Timedelta("1D")
    with pytest.raises(ValueError, match="'A' has several bars on 2024-01-02.*aggregate first"):
        as_bars(frame)


def test_dates_in_another_order_are_read_only_when_it_is_clear():
    clear = {"date": ["01/12/2024", "01/16/2024"], "close": [1, 1]}
    bars = as_bars(clear)
    assert str(bars.dates[1]) == "2024-01-16" and "'01/12/2024' were read" in bars.notes[0]
    with pytest.raises(ValueError, match="'01/02/2024' may have the month first"):
        as_bars({"date": ["01/02/2024", "01/03/2024"], "close": [1, 1]})


def test_static_columns_are_taken_once_per_series():
    frame = market().assign(sector=np.repeat(["tech", "food"], 60), beta=np.repeat([1, "0.5"], 60))
    frame.loc[3, "sector"] = None
    bars = as_bars(frame, static=("sector", "beta"))
    assert bars.static["sector"].tolist() == ["tech", "food"]
    assert bars.static["sector"].dtype == object
    assert bars.static["beta"].tolist() == [1.0, 0.5] and bars.static["beta"].dtype == np.float64
    assert bars.to_frame()["sector"].tolist() == ["tech"] * 60 + ["food"] * 60
    for values, sentence in (("x", "'A' has several values of it"), (None, "'A' has no value")):
        wrong = frame.assign(sector=frame["sector"].where(frame["series"] == "B", None))
        wrong.loc[[0, 1], "sector"] = [values, values and "y"]
        with pytest.raises(ValueError, match=sentence):
            as_bars(wrong, static="sector")


def test_a_frame_of_bars_gives_the_same_bars_back():
    frame = market().drop(index=[3, 70])
    bars = as_bars(frame.assign(kind=frame["series"].str.lower()), static=("kind",))
    again = as_bars(bars.to_frame(), static=("kind",))
    assert same(bars, again) and again.static["kind"].tolist() == ["a", "b"]
    assert list(bars.to_frame()) == ["series", "date", *FIELDS, "kind"]


def test_bars_are_cut_by_date_without_losing_a_series():
    bars = as_bars(market().drop(index=range(60, 80)))
    early, late = bars.until("2024-01-05"), bars.since(np.datetime64("2024-01-06"))
    assert len(early.dates) == 5 and str(early.dates[-1]) == "2024-01-05"
    assert str(late.dates[0]) == "2024-01-08" and early.series == late.series == ("A", "B")
    assert len(bars.since("2024-01-08").dates) == 55
    joined = np.concatenate([early.values, late.values], axis=1)
    np.testing.assert_array_equal(joined, bars.values)


def test_bars_of_the_wrong_shape_cannot_be_made():
    with pytest.raises(ValueError, match=r"shape \(1, 2\), but \(1, 2, 5\) is expected"):
        Bars(("A",), np.arange("2024-01-01", "2024-01-03", dtype="datetime64[D]"), np.ones((1, 2)))


def test_bad_rows_are_left_out_when_told_so():
    frame = change(change(market(), 4, date="4th of May"), 6, close="much")
    bars = as_bars(frame, bad_rows="skip")
    assert "2 bad rows were skipped; the first is row 4" in note_of(bars, "skipped")
    assert np.isnan(bars.closes[0]).sum() == 2


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (change(market(), 4, close="1,50"), r"row 4 \(counted from 0\): 'close' is '1,50', not a"),
        (change(market(), 4, date="soon"), "row 4 .*'date' is 'soon', not a date such as"),
        (change(market(), 4, date=None), "row 4 .*'date' is 'None', not a date"),
        (change(market(), 4, date="2024-02-30"), "row 4 .*'2024-02-30', not a date"),
        (change(market(), 4, series=None), "row 4 .*'series' is empty"),
        (market().drop(columns="close"), "no column 'close'.*'open'.*columns={'close'.*melt"),
        (market().drop(columns="close").assign(adj_close=1), "but no close to adjust it by"),
        (market().assign(symbol="A", ticker="B").drop(columns="series"), "could both be the ser"),
        (market().assign(close=0.0), "'A' has no closing price above zero"),
        (market().iloc[:0], "columns but no rows"),
        ([], "columns but no rows"),
        (np.ones((3, 2)), r"shape \(3, 2\) where \(D,\)"),
        ([[1, 2], [3]], r"shape \(2, '…'\) where \(D,\)"),
        (tf.data.Dataset.from_tensor_slices({"close": np.zeros(0)}), "columns but no rows"),
        ("prices.csv", "Prices came as str"),
        ({"date": ["2024-01-02"], "close": [1, 2]}, "make no table"),
        (tf.data.Dataset.range(3), "let it give dicts"),
        (market().set_axis(pd.MultiIndex.from_product([["A"], market().columns]), axis=1), "sever"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        as_bars(x)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"columns": {"last": "close"}}, "columns names 'last', but what a column can hold"),
        ({"columns": {"close": "clse"}}, "no column 'clse'.*did you mean 'close'"),
        ({"static": "sector"}, "no column 'sector'"),
        ({"static": "volume"}, "'volume' cannot be static"),
        ({"bad_rows": "drop"}, "'stop' or 'skip'"),
        ({"splits": "ignore"}, "'refuse', 'adjust' or 'keep'"),
    ],
)
def test_a_wrong_option_is_said_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        as_bars(market(), **options)


@pytest.mark.real_data
@needs_prices
@pytest.mark.parametrize("lacking", [[], ["adj_close"], ["adj_close", "open", "volume"]])
def test_real_prices_are_read_whole_and_at_once_and_no_crash_is_a_split(lacking):
    with gzip.open(PRICES) as file:
        frame = pd.read_csv(file).drop(columns=lacking)
    as_bars(frame.head(1000))
    start = time.perf_counter()
    bars = as_bars(frame)
    assert time.perf_counter() - start < 1
    assert len(bars.series) == 63 and (bars.closes > 0).sum() == 79_314
    assert len(bars.notes) == 2 - ("open" in lacking) and "'DIS' on 2020-01-10" in "".join(
        bars.notes if "open" not in lacking else ["'DIS' on 2020-01-10"]
    )
