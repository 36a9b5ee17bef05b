"""What the picture of a forecast shows."""

import numpy as np
import pandas as pd
import pytest

from rnn_apps.evaluation.forecast_figures import draw_forecasts


def forecasts(series, horizon=3, closes=80):
    """Closes of some series on one calendar, and a table of forecasts that follows them."""
    values = 100 + np.arange(series * closes, dtype=float).reshape(series, closes) % 7
    dates = np.busday_offset("2024-01-01", np.arange(closes + horizon))
    frame = pd.DataFrame(
        {
            "series": np.repeat([f"S{n}" for n in range(series)], horizon),
            "date": np.tile(dates[closes:], series).astype("datetime64[s]"),
            "q0.1": 95.0,
            "q0.5": 101.0,
            "q0.9": 107.0,
            "mean": 101.0,
        }
    )
    return values, dates[:closes], frame


def line(panel, label):
    (found,) = [each for each in panel.lines if each.get_label() == label]
    return found.get_xdata(), found.get_ydata()


def test_each_series_has_its_last_closes_and_a_fan_that_opens_at_the_last_one():
    closes, dates, frame = forecasts(2)
    closes[1, -10:] = np.nan  # stopped earlier
    frame.loc[3:, "date"] = dates[70:73].astype("datetime64[s]")
    figure = draw_forecasts(closes, dates, frame)
    assert [panel.get_title() for panel in figure.axes] == ["S0", "S1"]
    assert figure.get_suptitle() == "The last closes and the next 3 days of 2 series"
    for panel, own, last in zip(figure.axes, closes, (79, 69), strict=True):
        days, values = line(panel, "close")
        np.testing.assert_array_equal(days, dates[last - 59 : last + 1])
        np.testing.assert_array_equal(values, own[last - 59 : last + 1])
        days, values = line(panel, "median")
        assert values.tolist() == [own[last], 101, 101, 101]
        assert days[0] == dates[last]
        (fan,) = panel.collections
        assert fan.get_label() == "80 %"
        corners = fan.get_paths()[0].vertices[:, 1]
        assert (corners.min(), corners.max()) == (95, 107)


@pytest.mark.parametrize(("series", "panels"), [(1, 1), (5, 5), (12, 12), (13, 12)])
def test_at_most_twelve_series_are_drawn_and_it_is_said(series, panels):
    figure = draw_forecasts(*forecasts(series))
    assert len(figure.axes) == panels
    assert figure.get_suptitle().endswith("12 of 13 series" if series == 13 else f"{series} series")
