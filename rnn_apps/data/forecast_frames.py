"""Forecasts as a table: a row for each series and step, in the user's units."""

import numpy as np
import pandas as pd

from rnn_apps.data.calendars import future_dates


def forecast_frame(bars, origins, answers, levels, calendar=None):
    """Puts forecasts from several origins into one table.

    Args:
        bars: `Bars`.
        origins: int (N, 2), places of series and date in `bars`.
        answers: "quantiles" float32 (N, H, Q) and "mean" float32 (N, H), in currency.
        levels: float (Q,), of the quantiles.
        calendar: as for `future_dates`.

    Returns:
        A DataFrame (N H rows) with the columns `series`, `date`, `q0.1` … for each level, `mean`.

    Raises:
        ValueError: as `future_dates`.
        ImportError: as `future_dates`.

    Example:
        >>> from rnn_apps.data.bars import as_bars
        >>> answers = {"quantiles": np.float32([[[10.6]]]), "mean": np.float32([[10.6]])}
        >>> forecast_frame(as_bars([10.0, 10.5]), np.array([[0, 1]]), answers, [0.5])
           series       date  q0.5  mean
        0  series 2000-01-05  10.6  10.6
    """
    horizon = answers["mean"].shape[1]
    names = np.array([bars.series[row] for row in origins[:, 0]], dtype=object)
    ahead = {day: future_dates(day, horizon, calendar) for day in set(bars.dates[origins[:, 1]])}
    dates = [ahead[day] for day in bars.dates[origins[:, 1]]]
    columns = {
        "series": np.repeat(names, horizon),
        "date": np.concatenate(dates).astype("datetime64[s]"),
    }
    for place, level in enumerate(levels):
        columns[f"q{level:g}"] = answers["quantiles"][..., place].ravel()
    return pd.DataFrame({**columns, "mean": answers["mean"].ravel()})


def frame_records(frame):
    """The rows of a table of forecasts as dicts of plain values.

    Args:
        frame: as of `forecast_frame`.

    Returns:
        A list of dicts: dates as ISO texts, prices as float with the digits of a float32.

    Example:
        >>> date = pd.to_datetime(["2024-01-02"])
        >>> frame_records(pd.DataFrame({"date": date, "mean": np.float32([10.1])}))
        [{'date': '2024-01-02', 'mean': 10.1}]
    """
    frame = frame.assign(date=frame["date"].dt.strftime("%Y-%m-%d"))
    prices = frame.select_dtypes("float32")
    return frame.assign(**prices.astype(str).astype(float)).to_dict("records")
