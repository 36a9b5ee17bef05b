"""Daily bars of many series on one calendar, from prices of any usual form."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from rnn_apps.data import bar_checks, share_splits
from rnn_apps.data.bar_rows import NUMBERS, read_rows
from rnn_apps.data.bar_tables import as_table

FIELDS = ("open", "high", "low", "close", "volume")
_MARK = "rnn_apps checked bars"  # in DataFrame.attrs: these prices need no second look


@dataclass(frozen=True, eq=False)
class Bars:
    """Daily bars of S series on D dates, the union of the dates of all.

    Attributes:
        series: the names (S,), sorted.
        dates: datetime64[D] (D,), ascending; on each at least one series has a close.
        values: float64 (S, D, 5), in the order of `FIELDS`: prices in currency, adjusted where
            there was an adjusted close; NaN where unknown. No close means no bar.
        static: a dict from name to array (S,), float64 or object of `str`.
        notes: sentences on what was found in the prices, and done.
    """

    series: tuple[str, ...]
    dates: np.ndarray
    values: np.ndarray
    static: dict = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        expected = (len(self.series), len(self.dates), len(FIELDS))
        if self.values.shape != expected:
            raise ValueError(
                f"values have the shape {self.values.shape}, but {expected} is expected of "
                f"{expected[0]} series, {expected[1]} dates and the fields {', '.join(FIELDS)}."
            )

    @property
    def closes(self):
        """The adjusted closing prices, float64 (S, D), NaN where there is no bar."""
        return self.values[..., FIELDS.index("close")]

    @property
    def days(self):
        """The dates as int32 (D,), days since 1970-01-01."""
        return self.dates.astype("datetime64[D]").astype(np.int32)

    def last_places(self):
        """Places of the series that have bars, int (N,), and of the last bar of each, int (N,)."""
        known = np.isfinite(self.closes)
        series = np.flatnonzero(known.any(axis=1))
        return series, known.shape[1] - 1 - np.argmax(known[series, ::-1], axis=1)

    def windows(self, origins, length):
        """The bars up to each of some origins.

        Args:
            origins: int (N, 2), places of series and date.
            length: int, T, bars in a window.

        Returns:
            float32 (N, T, 5), NaN before the first date; and int32 (N, T), days since 1970-01-01.
        """
        dates = origins[:, 1:] + np.arange(1 - length, 1)
        values = self.values[origins[:, :1], np.maximum(dates, 0)].astype(np.float32)
        values[dates < 0] = np.nan
        return values, self.days[np.maximum(dates, 0)]

    def until(self, date):
        """The bars up to a date, that date too; the series stay, also those without a bar."""
        return self._cut(self.dates <= np.datetime64(date, "D"))

    def since(self, date):
        """The bars from a date on; the series stay, also those without a bar."""
        return self._cut(self.dates >= np.datetime64(date, "D"))

    def _cut(self, keep):
        return Bars(self.series, self.dates[keep], self.values[:, keep], self.static, self.notes)

    def to_frame(self):
        """The bars in long format, those with a close only, sorted by series and date.

        Returns:
            A DataFrame with the columns series (`str`), date (datetime64[s]), `FIELDS` (float64)
            and the static ones. `as_bars` gives the same bars back.
        """
        s, d = np.nonzero(~np.isnan(self.closes))
        names = np.array(self.series, dtype=object)
        frame = pd.DataFrame({"series": names[s], "date": self.dates[d].astype("datetime64[s]")})
        for number, name in enumerate(FIELDS):
            frame[name] = self.values[s, d, number]
        for name, values in self.static.items():
            frame[name] = values[s]
        frame.attrs[_MARK] = _seal(frame)
        return frame

    def columns(self):
        """The same rows as a dict of columns for `fingerprint`; dates as ISO texts."""
        frame = self.to_frame()
        days = frame["date"].to_numpy().astype("datetime64[D]")
        columns = {name: frame[name].to_numpy() for name in frame.columns}
        return {**columns, "date": self._texts()[np.searchsorted(self.dates, days)]}

    def _texts(self):
        return np.datetime_as_string(self.dates).astype(object)


def as_bars(x, *, columns=None, static=(), splits="refuse", bad_rows="stop"):
    """Brings prices of any usual form onto one calendar, checked.

    What is found is said in `Bars.notes`, by series and date:

    - Prices are adjusted where there is an adjusted close: open, high, low and close are
      multiplied by adjusted close / close. Volumes stay.
    - Rows out of order are sorted; those that are there twice are dropped once.
    - A close that is missing, zero, negative or infinite means that there is no bar. Dates on
      which no series has a bar are no dates of the calendar.
    - Open, high and low are left out of a bar whose open or close is not between low and high.
    - Dates that a series lacks, late starts and early stops are counted.
    - With a time zone, a bar stands on its local date. Dates that are whole numbers, or none at
      all, become consecutive business days from 2000-01-03.

    Refused are contradicting rows, several bars of one series on a day, and a split of a share
    left unadjusted (see `share_splits.handle`).

    Args:
        x: a DataFrame in long format, a dict of columns, a list of dicts, a `tf.data.Dataset` of
            such rows (batched or not) or of one series each, with the columns series (also
            symbol, ticker, unique_id), date (ds, timestamp, datetime), close (y, price), and
            where known open, high, low, volume and adj_close (adjusted_close), case aside; or a
            Series or 1-D array or list of closes of one series; or `Bars`, given back as they are.
        columns: a dict from these names to the columns that hold them, where they differ.
        static: names of columns that hold one value per series.
        splits: "refuse", "adjust" or "keep" a split of a share left unadjusted.
        bad_rows: "stop" to raise at a row that cannot be read, "skip" to leave such rows out.

    Returns:
        `Bars`.

    Raises:
        ValueError: if a column is missing, a value cannot be read, or prices are refused; says
            where and what to do.

    Example:
        >>> bars = as_bars({"date": ["2024-01-03", "2024-01-02"], "close": [10.5, 10.0]})
        >>> bars.closes.tolist(), bars.dates[0]
        ([[10.0, 10.5]], np.datetime64('2024-01-02'))
    """
    if isinstance(x, Bars):
        return x
    table, name = as_table(x)
    rows = read_rows(table, columns=columns, static=static, name=name, bad_rows=bad_rows)
    return bars_of_rows(rows, splits=splits, checked=is_checked(x) and not columns)


def bars_of_rows(rows, *, splits="refuse", checked=False):
    """Checks rows and brings them onto one calendar, as `as_bars` does.

    Args:
        rows: `bar_rows.Rows`.
        splits: as for `as_bars`.
        checked: whether these rows came from `Bars` and need no search for splits of a share.

    Returns:
        `Bars`.

    Raises:
        ValueError: as `as_bars`.
    """
    frame, more = bar_checks.one_row_per_bar(rows.frame)
    notes = [*rows.notes, *more]
    static = {name: bar_checks.one_value_per_series(frame, name) for name in rows.static}
    s, series = pd.factorize(frame["series"], sort=True)
    dates, d = np.unique(frame["date"].to_numpy().astype("datetime64[D]"), return_inverse=True)
    numbers = np.full((len(series), len(dates), len(NUMBERS)), np.nan)
    numbers[s, d] = frame[list(NUMBERS)].to_numpy()
    present = np.zeros(numbers.shape[:2], dtype=bool)
    present[s, d] = True
    calendar = bar_checks.Calendar(tuple(series), dates)
    values, adjusted = numbers[..., : len(FIELDS)], numbers[..., -1]
    values, adjusted, more = bar_checks.drop_impossible(values, adjusted, calendar, present)
    notes += more
    values, more = bar_checks.adjust(values, adjusted, calendar)
    notes += more
    values, more = bar_checks.drop_ranges(values, calendar)
    notes += more
    values[np.isnan(values[..., FIELDS.index("close")])] = np.nan
    values, calendar, more = _without_empty_dates(values, calendar)
    notes += more
    if not checked:
        values, more = share_splits.handle(values, calendar, splits)
        notes += more
    notes += bar_checks.coverage(values[..., FIELDS.index("close")], calendar)
    return Bars(calendar.series, calendar.dates, values, static, tuple(notes))


def is_checked(x):
    """Whether `x` is a DataFrame that `Bars.to_frame` made, its closes unchanged since.

    Such need no search for splits of a share: one that was kept is not to be refused later.

    Example:
        >>> is_checked(as_bars([10.0, 10.5]).to_frame()), is_checked([10.0, 10.5])
        (True, False)
    """
    return isinstance(x, pd.DataFrame) and _MARK in x.attrs and x.attrs[_MARK] == _seal(x)


def _without_empty_dates(values, calendar):
    used = ~np.isnan(values[..., FIELDS.index("close")]).all(axis=0)
    if used.all():
        return values, calendar, ()
    lost = np.flatnonzero(~used)
    dates = "1 date is" if len(lost) == 1 else f"{len(lost):,} dates are"
    note = f"{dates} left out, as no series has a close there (first {calendar.dates[lost[0]]})."
    kept = bar_checks.Calendar(calendar.series, calendar.dates[used])
    return values[:, used], kept, (note,)


def _seal(frame):
    """A digest of the closes of a frame, which shows whether they were changed since."""
    if not {"series", "date", "close"} <= set(frame.columns):
        return None
    parts = (pd.util.hash_pandas_object(frame[name], index=False) for name in ("series", "date"))
    digest = hashlib.blake2b(frame["close"].to_numpy(dtype=np.float64).tobytes(), digest_size=16)
    for part in parts:
        digest.update(part.to_numpy().tobytes())
    return digest.hexdigest()
