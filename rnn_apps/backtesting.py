"""Backtesting: a forecaster judged, walking forward, on the dates after those it has learned."""

import numpy as np

from rnn_apps.data import markets
from rnn_apps.evaluation import forecasts, persistence
from rnn_apps.evaluation.walk_forward import origins_after, walk_forward


def backtest(model, bars, *, start, refit_every, refit, source, seed):
    """Judges a forecaster beside persistence, drift, seasonal naive and an autoregression.

    Args:
        model: a `StockForecaster`.
        bars: `rnn_apps.data.Bars`, with the history before the dates to judge on.
        start: date from which origins count, or None for the first after `model.last_date`.
        refit_every: int or None, dates after which a new model is trained on all bars before.
        refit: dict or None, arguments of `fit` for those.
        source: str, the name of the data, for the report.
        seed: int, of the bootstrap.

    Returns:
        `rnn_apps.evaluation.report.Report`.

    Raises:
        ValueError: if `start` is not later than the last date learned from, or nothing is.
    """
    after = model.last_date if start is None else np.datetime64(start, "D") - 1
    if after < model.last_date:
        raise ValueError(
            f"start={start} is not after {model.last_date}, the last date that the model has "
            "learned from; name a later one."
        )
    origins = origins_after(bars.closes, bars.dates, after, model.horizon)

    def retrained(date):
        fresh = type(model).from_config(model.get_config())
        train, _, validation = model.hold_out(bars.until(bars.dates[date]), None, 0.1)
        fresh.adapt(train)
        fresh.compile_from_config(model.get_compile_config())
        fresh.fit(train, validation_data=validation, verbose=0, **(refit or {}))
        return fresh

    answers = walk_forward(
        origins,
        model,
        lambda model, some: model.answers_at(bars, some),
        retrained=retrained,
        every=refit_every,
    )
    learned = max(int(np.searchsorted(bars.dates, after, "right")) - 1, 0)
    known = markets.true_quantiles(bars, origins, model.horizon, model.levels)
    return forecasts.judge(
        bars.closes,
        bars.dates,
        bars.series,
        origins,
        persistence.Forecasts(answers["quantiles"], answers["mean"]),
        model.levels,
        baselines=persistence.baselines(
            bars.closes, origins, model.horizon, model.levels, learned_until=learned
        ),
        truth=None if known is None else known[0],
        data=source,
        application=type(model).__name__,
        seed=seed,
    )
