"""What is wrong with prices, said by series and date, and put right or refused.

Values are float64 (S, D, F) in the order of `bars.FIELDS` (open, high, low, close, volume); each
check gives back values and sentences, and leaves what it was given as it was.
"""

import numpy as np
import pandas as pd

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
_ROUNDING = 1e-3  # of the close
_NAMED = 3  # of several findings of one kind


class Calendar:
    """The series (S,) and dates datetime64[D] (D,) of a table, to name a cell in a sentence."""

    def __init__(self, series, dates):
        self.series, self.dates = series, dates

    def where(self, mask):
        """Names the first cell of bool (S, D): "'A' on 2020-01-02"."""
        s, d = np.unravel_index(np.argmax(mask), mask.shape)
        return f"'{self.series[s]}' on {self.dates[d]}"


def one_row_per_bar(frame):
    """Sorts rows by series and date, and drops those that say the same twice.

    Args:
        frame: the frame of `Rows`.

    Returns:
        `(frame, notes)`: with a column date, datetime64[s], in place of stamp.

    Raises:
        ValueError: if a series has several bars on one date that differ; names it and the date.
    """
    notes = ()
    frame = frame.assign(date=frame["stamp"].to_numpy().astype("datetime64[D]"))
    codes, _ = pd.factorize(frame["series"], sort=True)
    days = frame["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    by_series = np.argsort(codes, kind="stable")
    falls = (np.diff(days[by_series]) < 0) & (np.diff(codes[by_series]) == 0)
    if falls.any():
        row = frame.iloc[by_series[1 + np.argmax(falls)]]
        notes = (
            f"Rows were not in order of their dates ('{row['series']}', {_day(row)}); sorted.",
        )
    order = np.lexsort((days, codes))
    frame, codes, days = frame.iloc[order], codes[order], days[order]
    again = np.append(False, (np.diff(days) == 0) & (np.diff(codes) == 0))
    if not again.any():
        return frame.drop(columns="stamp"), notes
    _refuse_contradictions(frame[again | np.append(again[1:], False)])
    first = frame[again].iloc[0]
    count = "1 row was" if again.sum() == 1 else f"{again.sum():,} rows were"
    notes += (f"{count} there twice ('{first['series']}', {_day(first)}) and dropped once.",)
    return frame[~again].drop(columns="stamp"), notes


def _refuse_contradictions(twice):
    stamps = twice.groupby(["series", "date"], sort=False)["stamp"].nunique()
    if (stamps > 1).any():
        series, date = stamps.index[np.argmax(stamps > 1)]
        raise ValueError(
            f"'{series}' has several bars on {date.date()}, at different times of the day, where "
            "daily bars are expected; aggregate first (first open, highest high, lowest low, last "
            "close, sum of the volume), or pass dates without a time if they are dates."
        )
    distinct = twice.drop_duplicates()
    still = distinct.duplicated(["series", "date"])
    if still.any():
        row = distinct[still].iloc[0]
        raise ValueError(
            f"'{row['series']}' has rows that contradict each other on {_day(row)}; keep one row "
            "per series and date."
        )


def _day(row):
    return row["date"].date()


def one_value_per_series(frame, name):
    """The static value of each series, by name: float64 (S,) if all are numbers, else `str`.

    Raises:
        ValueError: if a series has several values or none; names it.
    """
    values = frame[name].map(lambda value: value.decode() if isinstance(value, bytes) else value)
    given = values.notna() & (values.astype(str).str.strip() != "")
    pairs = pd.DataFrame({"series": frame["series"], "value": values})[given].drop_duplicates()
    again = pairs["series"].duplicated()
    if again.any():
        series = pairs["series"][again].iloc[0]
        both = pairs["value"][pairs["series"] == series].tolist()
        raise ValueError(
            f"'{name}' is static, but '{series}' has several values of it ({both[0]!r}, "
            f"{both[1]!r}); give one value per series, or leave it out of static."
        )
    lacking = sorted(set(frame["series"]) - set(pairs["series"]))
    if lacking:
        raise ValueError(f"'{lacking[0]}' has no value of '{name}'; every series needs one.")
    values = pairs.set_index("series")["value"].sort_index().to_numpy(dtype=object)
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        return np.array([str(value) for value in values], dtype=object)


def drop_impossible(values, adjusted, calendar, present):
    """Takes out prices that are infinite, zero or negative, and volumes below zero.

    Args:
        values: float64 (S, D, 5).
        adjusted: float64 (S, D), adjusted closes, NaN where there are none.
        calendar: the `Calendar` of both.
        present: bool (S, D), where there was a row.

    Returns:
        `(values, adjusted, notes)`, NaN in the place of what was taken out.

    Raises:
        ValueError: if a series has no closing price left; names it.
    """
    notes, values = [], values.copy()
    absent = present & np.isnan(values[..., CLOSE])
    if absent.any():
        notes.append(_missing(absent, calendar, "a missing close"))
    for what, part in (
        ("a close", values[..., CLOSE]),
        ("an adjusted close", adjusted := adjusted.copy()),
    ):
        wrong = ~np.isnan(part) & ~((part > 0) & np.isfinite(part))
        if wrong.any():
            part[wrong] = np.nan
            notes.append(_missing(wrong, calendar, f"{what} that is zero, negative or infinite"))
    ranges, volume = values[..., : LOW + 1], values[..., VOLUME]
    wrong = ~np.isnan(ranges) & ~((ranges > 0) & np.isfinite(ranges))
    ranges[wrong] = np.nan
    below = ~np.isnan(volume) & ~((volume >= 0) & np.isfinite(volume))
    volume[below] = np.nan
    for bars, what in (
        (wrong.any(axis=-1), "an open, high or low that is zero, negative or infinite"),
        (below, "a volume that is negative or infinite"),
    ):
        if bars.any():
            notes.append(f"{_bars(bars, calendar)} {what}, which was left out.")
    empty = ~np.isfinite(values[..., CLOSE]).any(axis=1)
    if empty.any():
        raise ValueError(
            f"'{calendar.series[np.argmax(empty)]}' has no closing price above zero; correct its "
            "prices, or leave the series out."
        )
    return values, adjusted, tuple(notes)


def _bars(mask, calendar):
    have = "1 bar has" if mask.sum() == 1 else f"{mask.sum():,} bars have"
    return f"{have} (first {calendar.where(mask)})"


def _missing(mask, calendar, what):
    return f"{_bars(mask, calendar)} {what}; treated as missing."


def adjust(values, adjusted, calendar):
    """Multiplies open, high, low and close by adjusted close / close, where that is known.

    A series without any adjusted close stays as it is; a bar without one, in a series that has
    them, is missing.

    Args:
        values: float64 (S, D, 5).
        adjusted: float64 (S, D), adjusted closes, NaN where there are none.
        calendar: the `Calendar` of both.

    Returns:
        `(values, notes)`.
    """
    has = ~np.isnan(adjusted).all(axis=1)
    if not has.any():
        return values, ()
    notes, values = [], values.copy()
    closes = values[..., CLOSE]
    lacking = has[:, None] & np.isnan(adjusted) & ~np.isnan(closes)
    if lacking.any():
        notes.append(_missing(lacking, calendar, "a close but no adjusted close"))
    if not has.all():
        names = _names([repr(calendar.series[s]) for s in np.flatnonzero(~has)])
        notes.append(f"There is no adjusted close of {names}, which stays as it is.")
    values[has, :, : LOW + 1] *= (adjusted / closes)[has, :, None]
    values[has, :, CLOSE] = np.where(np.isnan(closes[has]), np.nan, adjusted[has])
    return values, tuple(notes)


def drop_ranges(values, calendar):
    """Takes out open, high and low of bars whose open or close is not between low and high.

    Args:
        values: float64 (S, D, 5).
        calendar: its `Calendar`.

    Returns:
        `(values, notes)`.
    """
    rounding = _ROUNDING * values[..., CLOSE]
    ends = values[..., [OPEN, CLOSE]]
    above = np.fmax(ends[..., 0], ends[..., 1]) > values[..., HIGH] + rounding
    below = np.fmin(ends[..., 0], ends[..., 1]) < values[..., LOW] - rounding
    wrong = above | below | (values[..., HIGH] < values[..., LOW] - rounding)
    if not wrong.any():
        return values, ()
    values = values.copy()
    values[wrong, : LOW + 1] = np.nan
    return values, (
        f"{_bars(wrong, calendar)} an open or close outside its low and high; open, high and low "
        "were left out.",
    )


def coverage(closes, calendar):
    """Sentences on dates that series lack: late starts, early stops, gaps.

    Args:
        closes: float64 (S, D), NaN where there is no bar; none is without any.
        calendar: its `Calendar`.

    Returns:
        A tuple of sentences.
    """
    there, dates = ~np.isnan(closes), calendar.dates
    first = there.argmax(axis=1)
    last = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    late, early, gaps = [], [], []
    for s, name in enumerate(calendar.series):
        if first[s] > 0:
            late.append(f"'{name}' ({dates[first[s]]})")
        if last[s] < len(dates) - 1:
            early.append(f"'{name}' ({dates[last[s]]})")
        lacks = ~there[s, first[s] : last[s] + 1]
        if lacks.any():
            edges = np.flatnonzero(np.diff(np.r_[False, lacks, False])).reshape(-1, 2)
            start, stop = edges[np.argmax(edges[:, 1] - edges[:, 0])]
            days = "1 date" if lacks.sum() == 1 else f"{lacks.sum():,} dates"
            gaps.append(f"'{name}' {days} ({stop - start} in a row from {dates[first[s] + start]})")
    notes = [
        f"{text}: {_names(found)}."
        for text, found in (
            (f"Series that start after {dates[0]}", late),
            (f"Series that stop before {dates[-1]}", early),
            ("Series that lack dates of the others", gaps),
        )
        if found
    ]
    return (*notes, *_holes(dates))


def _holes(dates):
    """A sentence on the longest stretch of the calendar without any bar, if it is long."""
    days = np.diff(dates).astype(int)
    if not len(days):
        return ()
    usual, place = int(np.median(days)), int(np.argmax(days))
    notes = () if usual < 5 else (f"The dates are mostly {usual} days apart: not daily bars.",)
    if days[place] > 10 * max(usual, 1):
        notes += (
            f"No series has a bar between {dates[place]} and {dates[place + 1]} "
            f"({days[place]} days).",
        )
    return notes


def _names(found):
    more = len(found) - _NAMED
    return ", ".join(found[:_NAMED]) + (f" and {more} more" if more > 0 else "")
