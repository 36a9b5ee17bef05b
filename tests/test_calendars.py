import builtins

import numpy as np
import pandas as pd
import pytest

from rnn_apps.data import future_dates


def days(*args, **options):
    return [str(day) for day in future_dates(*args, **options)]


def test_business_days_follow_the_last_date():
    assert days("2024-01-04", 3) == ["2024-01-05", "2024-01-08", "2024-01-09"]
    assert days("2024-01-05", 2) == days("2024-01-06", 2) == days("2024-01-07", 2)
    assert future_dates("2024-01-05", 1).dtype == "datetime64[D]"


@pytest.mark.parametrize("last", [np.datetime64("2024-01-05T22", "h"), pd.Timestamp("2024-01-05")])
def test_the_last_date_comes_in_any_form(last):
    assert days(last, 1) == ["2024-01-08"]


@pytest.mark.parametrize("last", ["2024-01-05", "2024-01-06", "2019-12-31", "2031-07-03"])
def test_dates_ascend_and_none_is_skipped(last):
    found = future_dates(last, 300)
    assert (np.diff(found) > np.timedelta64(0, "D")).all() and found[0] > np.datetime64(last)
    assert np.busday_count(np.datetime64(last) + 1, found[-1] + 1) == 300


def test_an_exchange_is_closed_on_its_holidays():
    assert days("2024-03-27", 3, calendar="XNYS") == ["2024-03-28", "2024-04-01", "2024-04-02"]
    assert days("2024-07-03", 1, calendar="XNYS") == ["2024-07-05"]
    assert days("2024-03-28", 1, calendar="XLON") == ["2024-04-02"]
    assert len(days("2024-07-03", 250, calendar="XNYS")) == 250


def test_an_exchange_calendar_reaches_years_ahead():
    assert days("2034-07-03", 1, calendar="XNYS") == ["2034-07-05"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("2024-01-05", 0), "horizon is 0;"),
        (("2024-01-05", 2.5), "horizon is 2.5;"),
        (("NaT", 2), "There is no last date"),
        (("2024-01-05", 2, "XNYZ"), "no exchange calendar 'XNYZ'; did you mean .*'XNYS'"),
        (("2024-01-05", 2, "the moon"), "no exchange calendar 'the moon'"),
        (("2100-01-05", 2, "XKRX"), "'XKRX' does not reach from 2100-01-05.*calendar=None"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        future_dates(*arguments)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **options):
        if name == "exchange_calendars":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="`pip install exchange_calendars`"):
        future_dates("2024-01-05", 1, calendar="XNYS")
    assert days("2024-01-05", 1) == ["2024-01-08"]
