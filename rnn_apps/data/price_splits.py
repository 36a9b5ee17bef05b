"""`load_bars`: prices for training, validation and test, parted by date."""

import dataclasses
import datetime
import os
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from rnn_apps.data import files, tfds
from rnn_apps.data.bar_rows import Rows, join_rows, read_rows
from rnn_apps.data.bar_tables import as_table, find_columns
from rnn_apps.data.bars import Bars, bars_of_rows, is_checked
from rnn_apps.data.examples import fingerprint
from rnn_apps.data.splits import Splits

_MARKETS = ("market", "random_walk")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FEWEST = 2  # dates of a part: an origin, and one date to judge it by
_PARTS = ("validation", "test")


@dataclasses.dataclass(frozen=True)
class _Source:
    """Rows of one source, where its own parts begin ({part: date}), whether they are checked."""

    rows: Rows
    starts: dict
    notes: tuple = ()
    checked: bool = False


def load_bars(
    source,
    *,
    columns=None,
    static=(),
    validation: str | None = None,
    test: str | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    gap: int = 0,
    splits: Literal["refuse", "adjust", "keep"] = "refuse",
    bad_rows: Literal["stop", "skip"] = "stop",
):
    """Loads prices by name, checks them as a whole (see `as_bars`), and parts them by date.

    The dates of each part are the same for all series. What lies before a part is given with it,
    since a forecast needs a past:

    - `train`: all bars before the validation part (or the test part, if there is none).
    - `validation`: all bars before the test part, those of `train` too.
    - `test`: all bars.

    A forecaster knows the last date it has learned from, and is judged from origins after it only.
    An origin whose targets would cross the end of its part is never used, since the bars are not
    there; so no target of one part is a target of another. `gap` leaves out dates before each
    border as well: training (validation) ends earlier, and the later part has them as its past.

    Args:
        source: "builtin" (or "builtin/random_walk"), "tfds:NAME", the path of a CSV, TSV or JSONL
            file (also .gz), or prices in memory, as for `as_bars`. None if only `test` (or
            `validation`) names data.
        columns: a dict from "series", "date", "open", "high", "low", "close", "volume" and
            "adj_close" to the column, JSON key or feature that holds it, where that has none of
            the usual names (see `as_bars`).
        static: names of columns that hold one value per series.
        validation: the date its part begins, as "2018-07-01", or other data, named likewise, all of
            whose bars are later. None for the part the data itself has, or else a fraction.
        test: likewise.
        validation_fraction: from 0 to below 1, the share of all dates that are the validation
            part, the last before the test part; 0 for none.
        test_fraction: likewise, the share of the last dates.
        gap: dates left out before the validation and the test part, at least 0.
        splits: "refuse", "adjust" or "keep" a split of a share left unadjusted.
        bad_rows: "stop" to raise at a row that cannot be read, "skip" to leave such rows out.

    Returns:
        `Splits` of DataFrames, as of `Bars.to_frame`; None for a part there is not.

    Raises:
        ValueError: if a name, column, row, date or setting is wrong, a part has too few dates, or
            prices are refused; says which and what to do.
        OSError: if data cannot be read or downloaded.

    Example:
        >>> prices = {"date": np.arange("2024-01", "2024-03", dtype="datetime64[D]")}
        >>> splits = load_bars({**prices, "close": np.arange(60) + 100.0}, test="2024-02-20")
        >>> splits.notes[-1]
        'Test: 10 dates from 2024-02-20 to 2024-02-29.'
    """
    fractions = {"validation": validation_fraction, "test": test_fraction}
    _check_settings(fractions, gap)
    dates, data = _dates_and_data({"validation": validation, "test": test})
    if source is None and not data:
        raise ValueError("No prices were named; pass 'builtin', 'tfds:NAME' or the path of a file.")
    how = {"columns": columns, "static": static, "bad_rows": bad_rows}
    found = {"train": source} if source is not None else {}
    found = {part: _source(each, how) for part, each in {**found, **data}.items()}
    dates = {**_own_starts(found, data), **dates}
    rows = join_rows([each.rows for each in found.values()])
    checked = len(found) == 1 and all(each.checked for each in found.values())
    bars = bars_of_rows(rows, splits=splits, checked=checked)
    starts = _starts(bars.dates, dates, fractions, begins_with=next(iter(found)))
    parts, notes = _parts(bars, starts, gap, has_train="train" in found)
    remarks = tuple(note for each in found.values() for note in each.notes)
    return Splits(
        **parts,
        name=_name(data.get("test", source if source is not None else data.get("validation"))),
        fingerprint=_fingerprint(bars, parts),
        notes=tuple(dict.fromkeys((*remarks, *bars.notes, *notes))),
    )


def join_bars(sources, *, columns=None, static=(), splits="refuse", bad_rows="stop"):
    """Loads prices by name, as one whole.

    Args:
        sources: a list of what `load_bars` takes as its source.
        columns: as for `load_bars`.
        static: as for `load_bars`.
        splits: as for `load_bars`.
        bad_rows: as for `load_bars`.

    Returns:
        `Bars`.

    Raises:
        ValueError: as `load_bars`.
        OSError: as `load_bars`.

    Example:
        >>> join_bars([{"date": ["2024-01-02"], "close": [10.0]}, [10.5, 10.6]]).closes.shape
        (1, 3)
    """
    how = {"columns": columns, "static": static, "bad_rows": bad_rows}
    found = [_source(each, how) for each in sources]
    checked = len(found) == 1 and found[0].checked
    bars = bars_of_rows(join_rows([each.rows for each in found]), splits=splits, checked=checked)
    remarks = (note for each in found for note in each.notes)
    return dataclasses.replace(bars, notes=tuple(dict.fromkeys((*remarks, *bars.notes))))


def _check_settings(fractions, gap):
    for part, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise ValueError(f"{part}_fraction is {fraction}; it must be at least 0 and below 1.")
    if isinstance(gap, bool) or not isinstance(gap, (int, np.integer)) or gap < 0:
        raise ValueError(f"gap is {gap!r}; it must be a whole number of dates, 0 or more.")


def _dates_and_data(given):
    """Tells dates, as datetime64[D], from other data."""
    dates, data = {}, {}
    for part, each in given.items():
        if isinstance(each, (datetime.date, np.datetime64)) or (
            isinstance(each, str) and _ISO_DATE.fullmatch(each)
        ):
            try:
                dates[part] = np.datetime64(pd.Timestamp(each).date(), "D")
            except ValueError:
                raise ValueError(f"{part} is '{each}', which is no day of the calendar.") from None
        elif each is not None:
            data[part] = each
    return dates, data


def _source(data, how):
    """Reads one source as `_Source`."""
    if isinstance(data, (str, os.PathLike)):
        name = os.fspath(data)
        if name == "builtin" or name.startswith("builtin/"):
            return _builtin(name, how)
        if name.startswith("tfds:"):
            return _tfds(name, how)
        return _file(Path(data), how)
    if isinstance(data, Bars):
        rows = read_rows(data.to_frame(), static=(*data.static,))
        return _Source(rows, {}, data.notes, checked=True)
    table, name = as_table(data)
    return _Source(read_rows(table, name=name, **how), {}, checked=is_checked(data))


def _builtin(name, how):
    from rnn_apps.data import markets

    config = name.removeprefix("builtin").removeprefix("/") or _MARKETS[0]
    if config not in _MARKETS:
        names = " or ".join(f"'builtin/{each}'" for each in _MARKETS)
        raise ValueError(f"There is no built-in market '{config}'; name {names}.")
    return _of_splits(markets.read(config), how, name)


def _tfds(name, how):
    found, labels = tfds.datasets(name.removeprefix("tfds:"))
    tables = {split: as_table(dataset)[0] for split, dataset in found.items()}
    table = pd.concat([each.assign(split=split) for split, each in tables.items()])
    for key, names in labels.items():
        table[key] = [names[number] if number >= 0 else None for number in table[key]]
    return _of_splits(table.reset_index(drop=True), how, name)


def _of_splits(table, how, name):
    """Rows of all splits, which say where the parts begin if they follow each other in time."""
    rows = read_rows(table.drop(columns="split"), **{**how, "bad_rows": "stop"})
    stamps = rows.frame["stamp"].groupby(table["split"].to_numpy())
    first, last = stamps.min().to_dict(), stamps.max().to_dict()
    order = [split for split in tfds.SPLITS if split in first]
    follow = all(last[a] < first[b] for a, b in zip(order, order[1:], strict=False))
    if len(first) > 1 and (len(order) < len(first) or not follow):
        names = ", ".join(map(str, first))
        note = f"The splits of {name} ({names}) were joined, and parted by date instead."
        return _Source(rows, {}, (note,))
    starts = {part: np.datetime64(first[part].date(), "D") for part in _PARTS if part in first}
    return _Source(rows, starts if "train" in first else {})


def _file(path, how):
    names = find_columns(files.columns_of(path), how["columns"], how["static"])
    optional = [name for name in names if name not in ("series", "date")]
    columns, places, notes = files.read_placed(
        path, names, optional=optional, bad_rows=how["bad_rows"]
    )
    rows = read_rows(
        pd.DataFrame(columns),
        static=how["static"],
        name=path.name.split(".")[0],
        places=f"{path}, " + places,
        bad_rows=how["bad_rows"],
    )
    return _Source(rows, {}, notes)


def _own_starts(found, data):
    """Where parts begin by the data: each later source after all before it."""
    starts = dict(found["train"].starts) if "train" in found else {}
    before = None
    for part, source in found.items():
        stamps = source.rows.frame["stamp"]
        first, last = stamps.min().date(), stamps.max().date()
        if part in data:
            starts = {name: each for name, each in starts.items() if name != "test"} | {part: first}
        if before is not None and first <= before:
            raise ValueError(
                f"The {part} data begins on {first}, but the data before it goes on to {before}; "
                f"give {part} data that is later as a whole, or a date to part one file by."
            )
        before = last
    return {part: np.datetime64(each, "D") for part, each in starts.items()}


def _starts(dates, given, fractions, begins_with):
    """The index (D for none) of the first date of each part."""
    starts, end = {}, len(dates)
    for part in reversed(_PARTS):
        if part == begins_with:
            starts[part] = 0
        elif part in given:
            if not dates[0] < given[part] <= dates[-1]:
                raise ValueError(
                    f"{part} would begin on {given[part]}, but the prices go from {dates[0]} to "
                    f"{dates[-1]}; name a date between these."
                )
            starts[part] = int(np.searchsorted(dates, given[part]))
        elif begins_with == "train" and fractions[part]:
            starts[part] = max(end - max(1, round(fractions[part] * len(dates))), 0)
        else:
            starts[part] = end
        if starts[part] > end:
            raise ValueError(
                f"validation would begin on {dates[starts[part]]}, not before test, which begins "
                f"on {dates[end]}; name an earlier date for validation, or a later one for test."
            )
        end = starts[part]
    return starts


def _parts(bars, starts, gap, has_train):
    """The frames by part, and a sentence on each."""
    dates, ends = bars.dates, {"validation": starts["test"], "test": len(bars.dates)}
    ranges = {"train": (0, starts["validation"] if has_train else 0)}
    ranges |= {part: (starts[part], ends[part]) for part in _PARTS}
    parts, notes = {}, []
    for part, (start, end) in ranges.items():
        there = start < end or (part == "train" and has_train)
        parts[part] = None
        if not there:
            continue
        end -= gap if end < len(dates) else 0
        if end - start < _FEWEST:
            raise ValueError(
                f"The {part} part would have {max(end - start, 0)} of the {len(dates)} dates "
                f"({dates[0]} to {dates[-1]}); it needs {_FEWEST} at least, so give more data, or "
                "other dates, fractions or a smaller gap."
            )
        parts[part] = bars.until(dates[end - 1]).to_frame()
        count, days = end - start, f"from {dates[start]} to {dates[end - 1]}"
        notes.append(f"{part.capitalize()}: {count:,} dates {days}.")
    return parts, notes


def _fingerprint(bars, parts):
    """Of all bars, and of the dates at which the parts end."""
    ends = {part: [str(frame["date"].max())] for part, frame in parts.items() if frame is not None}
    return fingerprint({"bars": [fingerprint(bars.columns())], **ends})


def _name(data):
    if not isinstance(data, (str, os.PathLike)):
        return type(data).__name__
    text = os.fspath(data)
    return text if text.startswith(("builtin", "tfds:")) else Path(text).name
