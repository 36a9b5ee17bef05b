import gzip
import json
import pathlib
import types

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import rnn_apps.data
from rnn_apps.data import as_bars, load_bars, tfds

PRICES = pathlib.Path(__file__).parents[2] / "shared" / "data" / "prices" / "sp500_63.csv.gz"
needs_prices = pytest.mark.skipif(
    not PRICES.is_file(), reason=f"real prices are not in {PRICES.parent.name}/{PRICES.name}"
)


def market(names=("A", "B"), dates=100, first="2024-01-01"):
    random = np.random.default_rng(0)
    days = np.busday_offset(first, np.arange(dates)).astype("datetime64[s]")
    closes = 100 * np.exp(np.cumsum(random.normal(0, 0.01, (len(names), dates)), axis=1))
    return pd.DataFrame(
        {
            "series": np.repeat(names, dates),
            "date": np.tile(days, len(names)),
            "close": closes.ravel(),
            "volume": 1000.0,
        }
    )


DAYS = [str(day) for day in np.busday_offset("2024-01-01", np.arange(100))]


def span(frame):
    days = frame["date"].to_numpy().astype("datetime64[D]")
    return len(np.unique(days)), str(days.min()), str(days.max())


def test_the_last_dates_are_for_test_and_those_before_for_validation():
    splits = load_bars(market(), validation_fraction=0.2, test_fraction=0.1)
    assert span(splits.train) == (70, DAYS[0], DAYS[69])
    assert span(splits.validation) == (90, DAYS[0], DAYS[89])
    assert span(splits.test) == (100, DAYS[0], DAYS[99])
    assert splits.notes == (
        f"Train: 70 dates from {DAYS[0]} to {DAYS[69]}.",
        f"Validation: 20 dates from {DAYS[70]} to {DAYS[89]}.",
        f"Test: 10 dates from {DAYS[90]} to {DAYS[99]}.",
    )
    assert splits.name == "DataFrame"
    assert list(splits.test)[:2] == ["series", "date"] and len(splits.test) == 200


def test_parts_begin_on_the_dates_given():
    saturday = "2024-02-24"
    splits = load_bars(market(), validation=saturday, test=pd.Timestamp(DAYS[60]))
    assert span(splits.train)[2] == "2024-02-23" and span(splits.validation)[2] == DAYS[59]
    assert "Validation: 20 dates from 2024-02-26" in splits.notes[1]


@pytest.mark.parametrize("gap", [0, 1, 7])
def test_a_gap_is_left_out_before_each_border_but_stays_as_the_past_of_the_later_part(gap):
    splits = load_bars(market(), validation=DAYS[50], test=DAYS[80], gap=gap)
    assert span(splits.train) == (50 - gap, DAYS[0], DAYS[49 - gap])
    assert span(splits.validation) == (80 - gap, DAYS[0], DAYS[79 - gap])
    assert span(splits.test) == (100, DAYS[0], DAYS[99])


def test_no_part_sees_what_comes_after_it():
    later = market()
    later.loc[later["date"] >= DAYS[50], "close"] *= 1.2
    one = load_bars(market(), validation=DAYS[50], test=DAYS[80])
    two = load_bars(later, validation=DAYS[50], test=DAYS[80])
    pd.testing.assert_frame_equal(one.train, two.train)
    assert not one.validation["close"].equals(two.validation["close"])


def test_parts_that_are_not_wanted_are_none():
    splits = load_bars(market(), validation_fraction=0)
    assert splits.validation is None and span(splits.train)[0] == 90
    splits = load_bars(market(), test_fraction=0)
    assert splits.test is None and span(splits.train)[0] == 90 and span(splits.validation)[0] == 100
    splits = load_bars(market(), validation_fraction=0, test_fraction=0)
    assert splits.validation is None and splits.test is None and span(splits.train)[0] == 100


def test_series_share_the_dates_of_the_parts_also_when_they_start_late():
    frame = market()
    late = frame.drop(index=range(100, 195))
    splits = load_bars(late, validation=DAYS[50], test=DAYS[80])
    assert set(splits.train["series"]) == {"A"} and set(splits.test["series"]) == {"A", "B"}
    assert span(splits.train) == (50, DAYS[0], DAYS[49])
    assert any("'B'" in note and "start after" in note for note in splits.notes)


def test_test_data_alone_is_enough():
    splits = load_bars(None, test=market())
    assert splits.train is None and splits.validation is None
    assert span(splits.test) == (100, DAYS[0], DAYS[99])
    assert splits.notes == (f"Test: 100 dates from {DAYS[0]} to {DAYS[99]}.",)


def test_other_data_may_hold_the_later_parts(tmp_path):
    frame = market()
    later = frame[frame["date"] >= DAYS[70]]
    later.to_csv(tmp_path / "later.csv", index=False)
    earlier = frame[frame["date"] < DAYS[70]]
    splits = load_bars(earlier, test=tmp_path / "later.csv", validation_fraction=0.1)
    whole = load_bars(frame, test=DAYS[70], validation_fraction=0.1)
    pd.testing.assert_frame_equal(splits.test, whole.test)
    pd.testing.assert_frame_equal(splits.train, whole.train)
    assert splits.name == "later.csv" and span(splits.train)[0] == 60
    assert splits.fingerprint == whole.fingerprint
    both = load_bars(
        frame[frame["date"] < DAYS[50]],
        validation=frame[(frame["date"] >= DAYS[50]) & (frame["date"] < DAYS[70])],
        test=later,
    )
    assert span(both.train)[0] == 50 and span(both.validation)[0] == 70
    with pytest.raises(ValueError, match=f"test data begins on {DAYS[70]}, but .* goes on to"):
        load_bars(frame, test=later)


def write(path, frame):
    if ".jsonl" in path.name:
        text = frame.to_json(orient="records", lines=True, date_format="iso")
    else:
        text = frame.to_csv(index=False, sep="\t" if ".tsv" in path.name else ",")
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.jsonl.gz"])
def test_files_of_all_kinds_give_the_same_prices(tmp_path, name):
    frame = market()
    frame.loc[7, ["close", "volume"]] = np.nan
    splits = load_bars(write(tmp_path / name, frame))
    expected = load_bars(frame)
    pd.testing.assert_frame_equal(splits.test, expected.test, rtol=1e-9)
    assert splits.notes == expected.notes and splits.name == name


def test_columns_of_a_file_go_by_the_names_given(tmp_path):
    frame = market().assign(kind=np.repeat([1, 2], 100))
    names = {"series": "share", "date": "day", "close": "last"}
    path = write(tmp_path / "a.csv", frame.rename(columns=names))
    splits = load_bars(path, columns=names, static=("kind",))
    assert splits.test["kind"].unique().tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="no column 'close'.*'share', 'day', 'last'"):
        load_bars(path)


def test_a_file_without_names_of_series_is_one_series_of_its_own_name(tmp_path):
    path = write(tmp_path / "acme.daily.csv", market(("A",)).drop(columns="series"))
    assert set(load_bars(path).test["series"]) == {"acme"}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("A,2024-07-01,much,1", "line 4: 'close' is 'much', not a number"),
        ("A,someday,1,1", "line 4: 'date' is 'someday', not a date"),
        (",2024-07-01,1,1", "line 4: 'series' is empty"),
        ("A,,1,1", "line 4: 'date' is empty"),
        ("A,2024-07-01,1,1,1", "line 4: 5 fields where the first line names 4"),
    ],
)
def test_a_bad_row_of_a_file_is_named_by_its_line_or_left_out(tmp_path, line, sentence):
    path = write(tmp_path / "a.csv", market())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], "", line, *lines[2:]]))
    with pytest.raises(ValueError, match=f"a.csv, {sentence}.*bad_rows='skip'"):
        load_bars(path)
    splits = load_bars(path, bad_rows="skip")
    assert "1 bad row was skipped" in splits.notes[0] and sentence[:15] in splits.notes[0]
    pd.testing.assert_frame_equal(splits.test, load_bars(market()).test, rtol=1e-9)


def test_a_json_line_that_is_no_row_is_named(tmp_path):
    path = write(tmp_path / "a.jsonl", market())
    path.write_text(path.read_text() + json.dumps({"series": "A", "date": "2024-07-01"}) + "\n")
    with pytest.raises(ValueError, match="a.jsonl, line 201: no 'close'"):
        load_bars(path)


def test_prices_are_cleaned_once_before_they_are_parted():
    frame = market(("A",))
    frame.loc[frame["date"] < DAYS[50], "close"] *= 2
    with pytest.raises(ValueError, match=f"'A' goes .* on {DAYS[50]}, like a 2:1"):
        load_bars(frame)
    splits = load_bars(frame, splits="adjust", test=DAYS[70], validation=DAYS[60])
    np.testing.assert_allclose(splits.train["close"], market(("A",))["close"][:60])
    kept = load_bars(frame, splits="keep")
    for part in (kept.train, as_bars(kept.train), as_bars(kept.test)):
        assert load_bars(part).train["close"].iloc[0] == frame["close"][0]


def test_the_fingerprint_is_of_the_prices_and_of_the_parts():
    one = load_bars(market())
    assert one.fingerprint == load_bars(market().sample(frac=1, random_state=1)).fingerprint
    assert len(one.fingerprint) == 64
    changed = market()
    changed.loc[3, "close"] += 1e-6
    others = [load_bars(changed), load_bars(market(), gap=1), load_bars(market(), test=DAYS[50])]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 4


def with_splits(frame):
    later = np.where(frame["date"] < DAYS[80], "validation", "test")
    return frame.assign(split=np.where(frame["date"] < DAYS[60], "train", later))


def fake_markets(monkeypatch):
    asked = []

    def read(config):
        asked.append(config)
        return with_splits(market())

    fake = types.SimpleNamespace(read=read)
    monkeypatch.setattr(rnn_apps.data, "markets", fake, raising=False)
    return asked


def test_the_builtin_markets_have_parts_of_their_own(monkeypatch):
    asked = fake_markets(monkeypatch)
    splits = load_bars("builtin")
    assert span(splits.train) == (60, DAYS[0], DAYS[59])
    assert span(splits.validation)[2] == DAYS[79] and span(splits.test)[2] == DAYS[99]
    assert splits.name == "builtin" and "split" not in splits.test
    assert span(load_bars("builtin/random_walk", test=DAYS[90], gap=2).validation)[2] == DAYS[87]
    assert load_bars(None, test="builtin").train is None
    assert asked == ["market", "random_walk", "market"]
    with pytest.raises(ValueError, match="no built-in market 'walk'; name .*random_walk"):
        load_bars("builtin/walk")


def fake_tfds(monkeypatch, frame):
    """A data set of whole series, its series given as class ids."""

    def rows(part):
        for number, name in enumerate("AB"):
            bars = part[part["series"] == name]
            dates = bars["date"].astype(str).str[:10].to_numpy()
            yield {"series": number, "date": dates, "close": bars["close"].to_numpy()}

    spec = {
        "series": tf.TensorSpec((), tf.int64),
        "date": tf.TensorSpec((None,), tf.string),
        "close": tf.TensorSpec((None,), tf.float64),
    }
    found = {
        split: tf.data.Dataset.from_generator(lambda part=part: rows(part), output_signature=spec)
        for split, part in frame.groupby("split")
    }
    monkeypatch.setattr(tfds, "datasets", lambda name: (found, {"series": ["A", "B"]}))


def test_a_data_set_by_name_may_hold_one_series_per_example(monkeypatch):
    fake_tfds(monkeypatch, with_splits(market()))
    splits = load_bars("tfds:prices")
    expected = load_bars(market(), validation=DAYS[60], test=DAYS[80])
    for part in ("train", "validation", "test"):
        mine, theirs = getattr(splits, part), getattr(expected, part)
        pd.testing.assert_frame_equal(mine.drop(columns="volume"), theirs.drop(columns="volume"))
    assert splits.name == "tfds:prices"


def test_splits_by_series_are_joined_and_parted_by_date(monkeypatch):
    frame = market()
    by_series = np.where(frame["series"] == "A", "train", "test")
    fake_tfds(monkeypatch, frame.assign(split=by_series))
    splits = load_bars("tfds:prices")
    assert "(test, train) were joined, and parted by date" in splits.notes[0]
    assert set(splits.train["series"]) == {"A", "B"} and span(splits.train)[0] == 80


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"validation_fraction": 1}, "validation_fraction is 1;"),
        ({"test_fraction": -0.1}, "test_fraction is -0.1;"),
        ({"gap": 1.5}, "gap is 1.5;"),
        ({"test": "2030-01-01"}, f"test would begin on 2030-01-01, but .* {DAYS[0]} to {DAYS[99]}"),
        ({"validation": "2020-01-01"}, "validation would begin on 2020-01-01, but the prices go"),
        ({"test": DAYS[0]}, f"test would begin on {DAYS[0]}, but"),
        ({"test": "2024-02-31"}, "test is '2024-02-31', which is no day"),
        (
            {"validation": DAYS[60], "test": DAYS[50]},
            f"validation would begin on {DAYS[60]}, not before test, which begins on {DAYS[50]}",
        ),
        ({"validation": DAYS[1]}, "train part would have 1 of the 100 dates"),
        ({"test": DAYS[99]}, "test part would have 1 of"),
        ({"gap": 10}, "validation part would have 0 of.*smaller gap"),
        ({"gap": 200}, "would have 0 of"),
        ({"validation_fraction": 0.9, "test_fraction": 0.5}, "train part would have 0 of"),
        ({"source": None}, "No prices were named"),
        ({"source": None, "test": "2024-02-01"}, "No prices were named"),
        ({"splits": "ignore"}, "splits is 'ignore'"),
        ({"source": "prices.txt"}, "ends in '.txt'"),
        ({"bad_rows": "drop"}, "'stop' or 'skip'"),
    ],
)
def test_a_wrong_setting_is_said_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        load_bars(**{"source": market(), **options})


@pytest.mark.real_data
@needs_prices
def test_real_prices_are_parted_by_date():
    splits = load_bars(PRICES, validation="2018-07-01", test="2019-01-01")
    assert len(splits.test) == 79_314 and splits.test["series"].nunique() == 63
    assert span(splits.train)[2] == "2018-06-29" and span(splits.validation)[2] == "2018-12-31"
    assert "Test: 259 dates from 2019-01-02 to 2020-01-10." in splits.notes
