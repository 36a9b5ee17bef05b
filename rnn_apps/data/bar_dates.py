"""Dates of bars as people write them: with or without a time zone, as text, as numbers, or none."""

import re

import numpy as np
import pandas as pd

FIRST_DAY = np.datetime64("2000-01-03", "D")  # of bars without dates, a Monday
_FORMATS = (
    "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d.%m.%Y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y",
)  # fmt: skip
_ZONE = re.compile(r"(.*\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)")


def read_dates(values):
    """Reads dates of any accepted form, in local time where they have a time zone.

    Texts are ISO 8601 ("2020-01-02", also with a time and an offset from UTC, and "20200102"),
    or all in one other common order, as long as it is clear which. Whole numbers are YYYYMMDD, or
    count business days from 2000-01-03, which is 0.

    Args:
        values: a pandas Series (N,) of stamps, dates, periods, texts or whole numbers.

    Returns:
        `(stamps, offsets, notes)`: datetime64[s] (N,), local time, NaT where a value is no date;
        float64 (N,), offset from UTC in minutes, NaN where none is written with the value; and a
        tuple of sentences on what was assumed.

    Raises:
        ValueError: if it is not clear which is the month and which the day, or what numbers mean.

    Example:
        >>> read_dates(pd.Series(["2020-01-02T16:00:00-05:00"]))[0]
        array(['2020-01-02T16:00:00'], dtype='datetime64[s]')
    """
    offsets, notes = np.full(len(values), np.nan), ()
    if isinstance(values.dtype, pd.ArrowDtype):
        values = pd.Series(values.tolist())
    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        notes = (f"Dates are in the time zone {values.dt.tz}; a bar stands on its local date.",)
        values = values.dt.tz_localize(None)
    if values.dtype.kind == "M":
        return values.to_numpy().astype("datetime64[s]"), offsets, notes
    codes, unique = pd.factorize(values)
    texts = [each.decode() if isinstance(each, bytes) else str(each).strip() for each in unique]
    digits = [bool(re.fullmatch(r"-?\d+(\.0+)?", text)) for text in texts]
    if digits and all(digits):
        stamps, notes = _from_numbers(np.array([int(float(text)) for text in texts]))
        return _spread(stamps, codes), offsets, notes
    zones = [_ZONE.fullmatch(text) for text in texts]
    bare = [zone.group(1) if zone else text for text, zone in zip(texts, zones, strict=True)]
    stamps, notes = _from_texts(bare)
    minutes = np.array([_minutes(zone.group(2)) if zone else np.nan for zone in zones])
    if written := sorted({zone.group(2) for zone in zones if zone}):
        which = ", ".join(written[:3])
        notes += (f"Dates have offsets from UTC ({which}); a bar stands on its local date.",)
    return _spread(stamps, codes), np.append(minutes, np.nan)[codes], notes


def _spread(stamps, codes):
    return np.append(stamps, np.datetime64("NaT", "s"))[codes]  # code -1 is a missing value


def _minutes(zone):
    if zone in ("Z", "UTC"):
        return 0.0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return (1 if zone[0] == "+" else -1) * (60.0 * int(digits[:2]) + int(digits[2:]))


def _from_numbers(numbers):
    low, high = numbers.min(), numbers.max()
    if low >= 19000101 and high <= 21991231:
        days = pd.to_datetime(numbers.astype(str), format="%Y%m%d", errors="coerce")
        return days.to_numpy().astype("datetime64[s]"), ()
    if max(-low, high) > 100_000:
        raise ValueError(
            f"Dates came as numbers from {low} to {high}, which are neither YYYYMMDD nor a count "
            "of days; convert them first, for instance with pd.to_datetime(values, unit='s')."
        )
    days = np.busday_offset(FIRST_DAY, numbers)
    note = (
        f"Dates came as the numbers {low} to {high}; they were taken as consecutive business days, "
        f"0 as {FIRST_DAY}."
    )
    return days.astype("datetime64[s]"), (note,)


def _from_texts(texts):
    stamps = _parsed(texts, "ISO8601")
    known = ~np.isnat(stamps)
    if known.all() or 2 * known.sum() > len(texts):
        return stamps, ()
    tried = {form: _parsed(texts, form) for form in _FORMATS}
    counts = {form: (~np.isnat(each)).sum() for form, each in tried.items()}
    most = max(counts.values())
    if most <= known.sum():
        return stamps, ()
    first, *others = [form for form in _FORMATS if counts[form] == most]
    row = int(np.flatnonzero(~np.isnat(tried[first]))[0])
    for form in others:
        if not np.array_equal(tried[form], tried[first], equal_nan=True):
            raise ValueError(
                f"Dates such as '{texts[row]}' may have the month first or the day; write them as "
                f"{tried[first][row].astype('datetime64[D]')} (year, month, day)."
            )
    day = tried[first][row].astype("datetime64[D]")
    return tried[first], (f"Dates such as '{texts[row]}' were read as {day}.",)


def _parsed(texts, form):
    texts = np.array(texts, dtype=object)
    return pd.to_datetime(texts, format=form, errors="coerce").to_numpy().astype("datetime64[s]")
