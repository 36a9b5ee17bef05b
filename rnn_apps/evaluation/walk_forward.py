"""Walking forward: forecasts from many origins in order of time, optionally with refits."""

import numpy as np


def origins_after(closes, dates, after, horizon):
    """Finds the origins that can be judged: bars with the whole horizon on the calendar after them.

    Args:
        closes: float (S, D), NaN where there is no bar.
        dates: datetime64[D] (D,), ascending.
        after: datetime64[D]; origins are later than this date.
        horizon: int, U.

    Returns:
        int (N, 2), series and date of each origin, by series and then by date.

    Raises:
        ValueError: if there is none.

    Example:
        >>> dates = np.arange("2020-01-01", "2020-01-06", dtype="datetime64[D]")
        >>> origins_after(np.ones([1, 5]), dates, np.datetime64("2020-01-01"), 2).tolist()
        [[0, 1], [0, 2]]
    """
    usable = np.isfinite(closes) & (dates > after)
    usable[:, max(len(dates) - horizon, 0) :] = False
    origins = np.argwhere(usable)
    if not len(origins):
        raise ValueError(
            f"No bar after {after} has {horizon} dates after it: the bars end on {dates[-1]}. Give "
            "bars that are later than those the model has learned from."
        )
    return origins


def walk_forward(origins, model, forecast, *, retrained=None, every=None):
    """Forecasts from origins, by one model or by models trained on the way.

    Args:
        origins: int (N, 2), series and date.
        model: what forecasts first.
        forecast: function (model, origins (n, 2)) → {name: array (n, …)}.
        retrained: function (date index) → a model that has learned from the bars up to there.
        every: int or None, dates after which a model is retrained; the first one too.

    Returns:
        {name: array (N, …)}.

    Example:
        >>> origins = np.array([[0, 3], [0, 4], [0, 5]])
        >>> def name(model, some):
        ...     return {"by": np.full(len(some), model)}
        >>> walk_forward(origins, -1, name, retrained=lambda date: date, every=2)["by"].tolist()
        [3, 3, 5]
    """
    if every is None:
        return forecast(model, origins)
    if every < 1:
        raise ValueError(f"refit_every={every}; give a number of dates, 1 or more.")
    blocks = (origins[:, 1] - origins[:, 1].min()) // every
    found = {}
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)
        answers = forecast(retrained(int(origins[rows, 1].min())), origins[rows])
        for name, values in answers.items():
            whole = found.setdefault(
                name, np.empty([len(origins), *values.shape[1:]], values.dtype)
            )
            whole[rows] = values
    return found
