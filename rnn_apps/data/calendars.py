"""The dates after the last bar: business days, or the sessions of an exchange."""

import difflib

import numpy as np

_SPARE_DAYS = 30  # of an exchange's calendar, for its longest holidays


def future_dates(last, horizon, calendar=None):
    """The next `horizon` dates after `last`.

    Args:
        last: the date of the last bar, anything that `numpy.datetime64` takes.
        horizon: how many dates, at least 1.
        calendar: None for Monday to Friday without holidays, or the name of an exchange calendar
            such as "XNYS" (New York), for which the package `exchange_calendars` must be there.

    Returns:
        datetime64[D] (horizon,), ascending.

    Raises:
        ValueError: if horizon is below 1, or there is no such calendar or it ends too early.
        ImportError: if a calendar is named and `exchange_calendars` is not installed.

    Example:
        >>> future_dates("2024-01-05", 2).tolist()
        [datetime.date(2024, 1, 8), datetime.date(2024, 1, 9)]
    """
    if isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or horizon < 1:
        raise ValueError(f"horizon is {horizon!r}; it must be a whole number of dates from 1.")
    last = np.datetime64(last, "D")
    if np.isnat(last):
        raise ValueError("There is no last date; pass the date of the last bar.")
    if calendar is None:
        return np.busday_offset(last, np.arange(horizon) + 1, roll="backward")
    return _sessions(last, horizon, calendar)


def _sessions(last, horizon, name):
    try:
        import exchange_calendars
    except ImportError:
        raise ImportError(
            f"calendar is '{name}', for which the package exchange_calendars is missing; install "
            "it with `pip install exchange_calendars`, or pass calendar=None for Monday to Friday."
        ) from None
    known = exchange_calendars.get_calendar_names()
    if name not in known:
        close = difflib.get_close_matches(str(name).upper(), known, n=3, cutoff=0.5)
        guess = f"did you mean {' or '.join(map(repr, close))}?" if close else "try 'XNYS'."
        raise ValueError(
            f"There is no exchange calendar '{name}'; {guess} All names: "
            "exchange_calendars.get_calendar_names()."
        )
    end = last + 2 * horizon + _SPARE_DAYS
    try:
        found = exchange_calendars.get_calendar(name, start=str(last), end=str(end)).sessions
    except ValueError as error:
        raise ValueError(
            f"The exchange calendar '{name}' does not reach from {last} to {end} ({error}); pass "
            "calendar=None for Monday to Friday."
        ) from None
    days = found.to_numpy().astype("datetime64[D]")
    days = days[days > last][:horizon]
    if len(days) < horizon:
        raise ValueError(
            f"The exchange calendar '{name}' has {len(days)} sessions between {last} and {end} "
            f"where {horizon} are needed; pass calendar=None for Monday to Friday."
        )
    return days
