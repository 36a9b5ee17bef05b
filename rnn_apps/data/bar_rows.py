"""Rows of prices: numbers, dates and series read from a table, each bad value named by its row."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rnn_apps.data.bar_dates import FIRST_DAY, read_dates
from rnn_apps.data.bar_tables import find_columns

PRICES = ("open", "high", "low", "close", "adj_close")
NUMBERS = ("open", "high", "low", "close", "volume", "adj_close")
_ABSENT = ("", "nan", "na", "n/a", "<na>", "null", "none")


@dataclass(frozen=True)
class Rows:
    """Rows as they were read, not yet checked.

    Attributes:
        frame: the columns series (`str`), stamp (datetime64[s], local time), `NUMBERS` (float64,
            NaN where unknown) and the static columns (as they came).
        static: the names of the static columns.
        notes: sentences on what was found and done.
    """

    frame: pd.DataFrame
    static: tuple
    notes: tuple


def read_rows(table, *, columns=None, static=(), name="series", places=None, bad_rows="stop"):
    """Reads the rows of a table, and names what cannot be read.

    Args:
        table: a DataFrame with one row per series and date, as of `as_table`.
        columns: as for `find_columns`.
        static: the names of the columns that hold one value per series.
        name: the name of the series, where no column holds one.
        places: a sequence (N,) of words on where each row stands, "prices.csv, line 2" for
            instance; None for the numbers of the rows.
        bad_rows: "stop" to raise at the first row with a value that cannot be read, "skip" to
            leave such rows out.

    Returns:
        `Rows`.

    Raises:
        ValueError: if there is no row, a column is missing, or a value cannot be read; names it
            and its row.

    Example:
        >>> read_rows(pd.DataFrame({"date": ["2020-01-02"], "close": ["10.5"]})).frame["close"][0]
        np.float64(10.5)
    """
    if bad_rows not in ("stop", "skip"):
        raise ValueError(f"bad_rows is {bad_rows!r}; it must be 'stop' or 'skip'.")
    static = (static,) if isinstance(static, str) else tuple(static)
    found = find_columns(table.columns, columns, static)
    if not len(table):
        raise ValueError("The prices have columns but no rows; give one row per series and date.")
    bad = np.full(len(table), None, dtype=object)  # what is wrong with a row
    rows = {"series": np.full(len(table), name, dtype=object)}
    if "series" in found:
        rows["series"] = _texts(table[found["series"]], found["series"], bad)
    rows["stamp"], notes = _stamps(table, found, rows["series"], bad)
    for each in NUMBERS:
        rows[each] = np.full(len(table), np.nan)
        if each in found:
            rows[each] = _numbers(table[found[each]], found[each], bad)
    rows |= {each: table[found[each]].to_numpy(dtype=object) for each in static}
    keep, more = _good(bad, places, bad_rows)
    return Rows(pd.DataFrame(rows).iloc[keep].reset_index(drop=True), static, (*notes, *more))


def join_rows(parts):
    """Puts several `Rows` with the same static columns below each other.

    Example:
        >>> rows = read_rows(pd.DataFrame({"date": ["2020-01-02"], "close": [10.5]}))
        >>> len(join_rows([rows, rows]).frame)
        2
    """
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return Rows(frame, parts[0].static, tuple(notes))


def _good(bad, places, bad_rows):
    """The rows to keep, and a sentence if some are left out."""
    wrong = np.flatnonzero(bad != None)  # noqa: E711 (element by element)
    if not len(wrong):
        return slice(None), ()
    place = f"row {wrong[0]} (counted from 0)" if places is None else places[wrong[0]]
    first = f"{place}: {bad[wrong[0]]}"
    if bad_rows == "stop":
        raise ValueError(
            f"{first}; correct it, or pass bad_rows='skip' to leave such rows out and count them."
        )
    if len(wrong) == len(bad):
        raise ValueError(f"No row of the prices can be read; {first}; correct them.")
    count = "1 bad row was" if len(wrong) == 1 else f"{len(wrong):,} bad rows were"
    return np.delete(np.arange(len(bad)), wrong), (f"{count} skipped; the first is {first}.",)


def _blame(bad, rows, sentence):
    """Says what is wrong with rows, of each the first thing only."""
    for row in rows:
        if bad[row] is None:
            bad[row] = sentence(row)


def _texts(values, column, bad):
    codes, unique = pd.factorize(values)
    texts = [each.decode() if isinstance(each, bytes) else str(each).strip() for each in unique]
    texts = np.array([*texts, ""], dtype=object)[codes]  # code -1 is a missing value
    _blame(bad, np.flatnonzero(texts == ""), lambda row: f"'{column}' is empty, not a name")
    return texts


def _numbers(values, column, bad):
    """A column as float64 (N,), NaN where it is empty."""
    if values.dtype.kind in "iuf":
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    raw = values.to_numpy(dtype=object)
    try:
        return raw.astype(np.float64)  # numbers, or texts of them, and not one empty
    except (ValueError, TypeError):
        numbers = np.array([_number(each) for each in raw], dtype=object)
    wrong = np.flatnonzero(numbers == None)  # noqa: E711 (element by element)
    _blame(bad, wrong, lambda row: f"'{column}' is {str(raw[row])[:40]!r}, not a number")
    numbers[wrong] = np.nan
    return numbers.astype(np.float64)


def _number(value):
    """A number, NaN for what is absent, or None for what is no number."""
    value = value.decode() if isinstance(value, bytes) else value
    if value is None or value is pd.NA or str(value).strip().casefold() in _ABSENT:
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _stamps(table, found, series, bad):
    if "date" not in found:
        order = pd.Series(series).groupby(series).cumcount().to_numpy()
        days = np.busday_offset(FIRST_DAY, order).astype("datetime64[s]")
        return days, (
            f"There are no dates; the bars were taken in the order they came, as consecutive "
            f"business days from {FIRST_DAY}.",
        )
    column = table[found["date"]]
    stamps, offsets, notes = read_dates(column)
    _blame(
        bad,
        np.flatnonzero(np.isnat(stamps)),
        lambda row: (
            f"'{found['date']}' is {str(column.iloc[row])[:40]!r}, not a date such as 2020-01-31"
        ),
    )
    if not np.isnan(offsets).all():
        _check_offsets(pd.Series(offsets)[~np.isnat(stamps)], pd.Series(series))
    return stamps, notes


def _check_offsets(offsets, series):
    """Refuses series in several time zones; one hour more in summer is the same zone."""
    each = offsets.groupby(series[offsets.index])
    mixed = (each.max() - each.min() > 60) | (each.count() % each.size() != 0)
    if mixed.any():
        raise ValueError(
            f"The dates of '{mixed.idxmax()}' are in several time zones, or only some have one; "
            "bring them into one, for instance with "
            "pd.to_datetime(dates, utc=True).tz_convert('America/New_York')."
        )
