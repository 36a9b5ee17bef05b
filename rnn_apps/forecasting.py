"""Stock series forecasting: sequence → sequence. Bars in; the distribution of the next ones out."""

from collections.abc import Mapping, Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from rnn_apps import data
from rnn_apps.application import Application
from rnn_apps.backtesting import backtest
from rnn_apps.blocks import distributions
from rnn_apps.blocks.calibration import ConformalCalibration
from rnn_apps.blocks.forecast_heads import QuantileHead, StudentTHead
from rnn_apps.blocks.recurrent import RecurrentStack
from rnn_apps.evaluation.forecast_figures import draw_forecasts
from rnn_apps.evaluation.walk_forward import origins_after
from rnn_apps.export import Endpoint
from rnn_apps.preprocessing import bar_examples, series, series_statistics, static
from rnn_apps.preprocessing.series_reader import SeriesReader, refuse_leak
from rnn_apps.preprocessing.windows import SeriesWindows, future_returns

_LEVELS = (0.025, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.975)
_EVERY = 5  # dates: of training origins so many are looked at once when calibrating
_AT_ONCE = 512  # windows answered at a time in a report


@keras.saving.register_keras_serializable(package="rnn_apps")
class StockForecaster(Application):
    """Forecasts the distribution of the next closing prices of a series from its last bars.

    Raw bars → features, scaled by the window's own volatility → recurrent encoder → decoder over
    the horizon → distribution of the log return up to each step → prices. One model serves all
    series, among them those it has not been trained on.

    Args:
        window: int, the most bars read before a forecast.
        horizon: int, U, the number of next bars to forecast.
        levels: sequence of float in (0, 1), the quantile levels, ascending.
        head: "quantiles" (free, ordered quantiles, trained by pinball loss) or "student_t" (each
            step's return is Student-t given the ones before, trained by likelihood; quantiles are
            those of sample paths).
        decoder: "direct" (sequence to sequence: all steps are read off the encoder's state) or
            "recurrent" (encoder-decoder: a second network goes through the steps).
        cell: "lstm", "gru" or "simple_rnn".
        units: int, units of each recurrent layer.
        num_layers: int, recurrent layers of the encoder.
        encoder: Keras layer or None. If given, it stands in for the encoder's recurrent stack:
            float32 (B, T, F) with a mask → (B, T, H), each step from no later one.
        dropout: float, dropout of what enters each recurrent layer, and of the encoder's state.
        bar_dropout: float, share of the training windows of which only closing prices are read, so
            that the model can forecast from those alone.
        date_features: bool, whether the network reads weekdays and the days between bars; requests
            then hold `dates`.
        static: sequence of str, names of columns that say something of a whole series, such as a
            sector (text) or a size (number); requests then hold them.
        calendar: str or None, name of an exchange calendar such as "XNYS" for the dates that
            `predict` gives; None for Mondays to Fridays.
        num_paths: int, sample paths of the `paths` signature.
        name: as in every Keras model.
        dtype: Keras dtype policy; None for Keras's own.

    Example:
        >>> import pandas as pd
        >>> model = StockForecaster(window=16, horizon=2, units=4)
        >>> closes = pd.Series(
        ...     100 + np.sin(np.arange(90.0)), pd.bdate_range("2020-01-01", periods=90)
        ... )
        >>> model.adapt(closes)
        >>> model.compile()
        >>> history = model.fit(closes, epochs=1, verbose=0)
        >>> model.predict(closes)[["date", "q0.5"]].shape
        (2, 2)
    """

    features = ("series", "date", "close")
    form = "csv"
    draws_beside = True

    def __init__(
        self,
        *,
        window: int = 120,
        horizon: int = 5,
        levels: Sequence[float] = _LEVELS,
        head: Literal["quantiles", "student_t"] = "quantiles",
        decoder: Literal["direct", "recurrent"] = "direct",
        cell: Literal["lstm", "gru", "simple_rnn"] = "gru",
        units: int = 32,
        num_layers: int = 1,
        encoder=None,
        dropout: float = 0.1,
        bar_dropout: float = 0.1,
        date_features: bool = False,
        static: Sequence[str] = (),
        calendar: str | None = None,
        num_paths: int = 100,
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.autocast = False  # prices stay float32, of which the layers' dtype policy keeps little
        _check_sizes(window=window, horizon=horizon, num_paths=num_paths)
        if head not in ("quantiles", "student_t"):
            raise ValueError(f"head={head!r} is unknown; give 'quantiles' or 'student_t'.")
        self.window = window
        self.horizon = horizon
        self.levels = distributions.check_levels(levels)
        self.head = head
        self.decoder = decoder
        self.cell = cell
        self.units = units
        self.num_layers = num_layers
        self.encoder = encoder
        self.dropout = dropout
        self.bar_dropout = bar_dropout
        self.date_features = date_features
        self.static = tuple(static)
        self.calendar = calendar
        self.num_paths = num_paths

    @property
    def request(self):
        """The raw request: `bars`, and `dates` and static columns where the model reads them."""
        shape = [None, None, len(series.FIELDS)]
        specs = {"bars": tf.TensorSpec(shape, tf.float32, name="bars")}
        if self.date_features:
            specs["dates"] = tf.TensorSpec([None, None], tf.int32, name="dates")
        for column in self.static if self.built else ():
            kind = tf.string if "names" in self.reader.static_facts[column] else tf.float32
            specs[column] = tf.TensorSpec([None], kind, name=column)
        return specs

    @classmethod
    def load(cls, source, **options):
        """Loads bars by name, as `rnn_apps.data.load_bars` does."""
        return data.load_bars(source, **options)

    def read_requests(self, source, columns=None, splits="refuse", bad_rows="stop"):
        """Reads bars: a list of names of data, a file, or a binary stream of CSV."""
        how = {"columns": columns, "splits": splits, "bad_rows": bad_rows}
        bars = data.read_bars(source, static=self.static, **how)
        return bars, bars.notes

    def examples(self, x, y=None):
        """Brings raw bars of any accepted form into `rnn_apps.data.Bars`."""
        if y is not None:
            raise ValueError("y came beside bars, which hold what is to be forecast; leave it out.")
        return data.as_bars(x, static=self.static)

    def fingerprint(self, examples):
        """The SHA-256 of bars."""
        return data.fingerprint(examples.columns())

    def hold_out(self, examples, sample_weight, share):
        """Divides bars by date: the last `share` of the dates is for validation."""
        kept = len(examples.dates) - max(1, int(len(examples.dates) * share))
        return examples.until(examples.dates[kept - 1]), sample_weight, examples

    def learn(self, bars):
        """Learns the usual volatility, the scale of each feature and the spread to begin with."""
        days = bars.days if self.date_features else None
        sizes = {"window": self.window, "horizon": self.horizon, "levels": self.levels}
        return {
            **series_statistics.learn(bars.values, days, **sizes),
            "static_facts": {column: static.learn(bars.static[column]) for column in self.static},
            "last_day": int(bars.days[-1]),
        }

    def assemble(self, volatility, feature_mean, feature_deviation, spread, static_facts, last_day):
        """Makes the layers and builds them."""
        self.reader = SeriesReader(volatility, feature_mean, feature_deviation, static_facts)
        self.bar_seed = keras.random.SeedGenerator()
        self.recurrent = self.encoder or RecurrentStack(
            self.cell,
            self.units,
            num_layers=self.num_layers,
            dropout=self.dropout,
            name="recurrent",
            dtype=self.dtype_policy,
        )
        kind = {"kind": self.decoder, "cell": self.cell, "units": self.units}
        kind |= {"dropout": self.dropout, "name": "distribution"}
        if self.head == "quantiles":
            self.distribution = QuantileHead(self.levels, self.horizon, spread, **kind)
        else:
            self.distribution = StudentTHead(self.levels, self.horizon, **kind)
        self.calibration = ConformalCalibration(self.horizon, self.levels, name="calibration")
        self.calibration.build([None, self.horizon, len(self.levels)])
        self.last_day = self.add_weight(
            name="last_day", shape=(), dtype="int32", trainable=False, initializer="zeros"
        )
        self.last_day.assign(last_day)
        refuse_leak(self.recurrent, self.reader.width)
        states = self.recurrent(tf.zeros([1, 12, self.reader.width]))[:, -1]
        self.distribution(states, tf.ones([1, 1]))

    @property
    def last_date(self):
        """The last date the model has learned from, in training or in validation."""
        return np.datetime64(int(self.last_day), "D")

    def begin(self, bars, validation=None):
        """Takes the last training date for the last one known, and no correction for granted."""
        if validation is not None:  # raises where there is nothing to validate on
            origins_after(validation.closes, validation.dates, bars.dates[-1], self.horizon)
        self.last_day.assign(bars.days[-1])
        self.calibration.forget()

    def feed(self, bars, *, batch_size, shuffle, seed, sample_weight):
        """Batches windows; where some dates are later than those learned from, of these alone."""
        if sample_weight is not None:
            raise ValueError("sample_weight came for bars, which have none; leave it out.")
        later = int(np.searchsorted(bars.dates, self.last_date, "right"))
        return SeriesWindows(
            bars.values,
            days=bars.days if self.date_features else None,
            static={name: bars.static[name] for name in self.static},
            window=self.window,
            horizon=self.horizon,
            origins=self._origins(),
            first=0 if later == len(bars.dates) else later,
            fed=self.distribution.is_fed,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
        )

    def _origins(self):
        """Places in a window after which training forecasts: all with some past, or a few."""
        spacing = 1 if self.decoder == "direct" else self.horizon
        return np.arange(self.window - 1, self.window // 3 - 1, -spacing)[::-1]

    def default_compilation(self, optimizer):
        """Pinball loss of all levels, in percent of log return, or each step's likelihood."""
        loss = distributions.StudentTLoss()
        if self.head == "quantiles":
            loss = distributions.PinballLoss(self.levels, unit=0.01)
        return {"optimizer": optimizer, "loss": loss, "metrics": []}

    def call(self, inputs, training=None):
        """The network on windows: what it says after each of their origins.

        Args:
            inputs: {"bars": float32 (B, T, 5), …}, the request; and, where the decoder reads what
                came before, "fed": float32 (B, N, U), log returns from each origin.
            training: bool, whether dropout is on.

        Returns:
            float32 (B, N, U, Q), quantiles of the log return up to each step; or (B, N, U, 3),
            location, scale and degrees of freedom of each step's own log return.
        """
        if training and self.bar_dropout:
            bars = series.hide_all_but_closes(inputs["bars"], self.bar_dropout, self.bar_seed)
            inputs = inputs | {"bars": bars}
        seen = self.reader(inputs)
        states = self.recurrent(seen["columns"], mask=seen["mask"], training=training)
        places = tf.gather(seen["places"], self._origins(), axis=1)  # (B, N)
        states = tf.gather(states, places, axis=1, batch_dims=1)
        scale = tf.gather(seen["scale"], places, axis=1, batch_dims=1)
        fed = inputs.get("fed")
        said = self.distribution(
            tf.reshape(states, [-1, states.shape[-1]]),
            tf.reshape(scale, [-1, 1]),
            fed=None if fed is None else tf.reshape(fed, [-1, self.horizon]),
            training=training,
        )
        return tf.reshape(said, [-1, len(self._origins()), *said.shape[1:]])

    def _last(self, inputs):
        """State, scale and closing price of the last bar: (B, H), (B, 1), (B, 1)."""
        seen = self.reader(inputs, self.window)
        states = self.recurrent(seen["columns"], mask=seen["mask"], training=False)
        place = tf.maximum(seen["count"] - 1, 0)
        states, scale, price = (
            tf.gather(values, place, axis=1, batch_dims=1)
            for values in (states, seen["scale"], seen["prices"])
        )
        return states[:, 0], scale, price

    def answer(self, bars, **beside):
        """Forecasts from raw bars.

        A bar whose close is not a number above zero counts as missing; an open, high or low that
        contradicts the bar, and a volume of zero, as unknown. A row without a price is answered
        with 0, one shorter than the window with what it shows; bars before the window are not read.

        Args:
            bars: float32 (B, T, 5): open, high, low, close (currency) and volume, oldest first.
            **beside: `dates` int32 (B, T), days since 1970-01-01, where `date_features` is set; and
                the static columns, string or float32 (B,).

        Returns:
            quantiles: float32 (B, U, Q), closing prices in currency, ascending along Q.
            mean: float32 (B, U), currency.
        """
        states, scale, price = self._last({"bars": bars, **beside})
        returns, _ = self.distribution.forecast(states, scale, self.num_paths)
        returns = self.calibration(returns)
        return {
            "quantiles": price[..., None] * distributions.growth(returns),
            "mean": price * distributions.mean_of_exponential(returns, self.levels),
        }

    def paths(self, bars, **beside):
        """Draws sample paths that have the quantiles of `answer` at every step.

        How the steps of a path hang together is that of the sample paths of a Student-t head, and
        for quantiles that of a random walk (the ranks are kept, the values replaced: ensemble
        copula coupling, Schefzik et al., 2013).

        Returns:
            paths: float32 (B, num_paths, U), closing prices in currency.
        """
        states, scale, price = self._last({"bars": bars, **beside})
        returns, scores = self.distribution.forecast(states, scale, self.num_paths)
        values = distributions.interpolated(self.calibration(returns), self.levels, scores)
        return {"paths": price[..., None] * distributions.growth(values)}

    def _of_closes(self, closes, **beside):
        """`answer` from closing prices alone: float32 (B, T)."""
        return self.answer(series.bars_of_closes(closes), **beside)

    def _regress(self, inputs):
        """TensorFlow Serving's regress: the mean of the last step, float32 (B,)."""
        request = bar_examples.parse(inputs, _beside_bars(self.request))
        return {"outputs": self.answer(**request)["mean"][:, -1]}

    def endpoints(self):
        """Adds `closes` (prices alone), `paths` (sample paths) and `regress`."""
        endpoints = super().endpoints()
        examples = self.example_requests()
        closes = {"closes": tf.TensorSpec([None, None], tf.float32, name="closes")}
        closes |= _beside_bars(self.request)
        alone = [
            {"closes": np.float32(one["bars"])[..., 3]} | _beside_bars(one) for one in examples
        ]
        endpoints["closes"] = Endpoint(self._of_closes, closes, alone)
        endpoints["paths"] = Endpoint(self.paths, self.request, examples)
        serialized = {"inputs": tf.TensorSpec([None], tf.string, name="inputs")}
        examples = [{"inputs": [bar_examples.serialize(one)]} for one in examples]
        endpoints["regress"] = Endpoint(self._regress, serialized, examples)
        return endpoints

    def example_requests(self):
        """A few bars, and a window of them."""
        facts = self.reader.static_facts
        return [bar_examples.request(n, self.date_features, facts) for n in (5, self.window)]

    def predict(self, x, batch_size: int = _AT_ONCE, *, verbose: Literal["auto", 0] = 0):
        """Forecasts from the last bars of each series.

        Args:
            x: bars in any form that `adapt` takes; or the raw request itself, a dict of arrays such
                as {"bars": float32 (B, T, 5)}.
            batch_size: int, series answered at a time.
            verbose: "auto" for a progress bar on standard error where it is a terminal, or 0.

        Returns:
            A DataFrame with a row for each series and step: `series`, `date` (the next business
            days after the series' last bar, or sessions of `calendar`), `q0.1` … for each level,
            and `mean`, in currency. For a raw request what `answer` gives: a dict of arrays.
        """
        self._require_adapted("predict")
        if isinstance(x, Mapping) and set(x) == set(self.request):
            return self.answers(x, batch_size, verbose=verbose)
        bars = self.examples(x)
        origins = np.stack(bars.last_places(), -1)
        answers = self.answers_at(bars, origins, batch_size, verbose)
        return data.forecast_frame(bars, origins, answers, self.levels, self.calendar)

    def answers_at(self, bars, origins, batch_size=_AT_ONCE, verbose=0):
        """Runs `answer` at origins, int (N, 2), places of series and date in `bars`."""
        values, days = bars.windows(origins, self.window)
        inputs = {"bars": values, "dates": days}
        inputs |= {name: bars.static[name][origins[:, 0]] for name in self.static}
        return self.answers(inputs, batch_size, verbose=verbose)

    def records(self, x, answers):
        """The rows of the frame that `predict` gave."""
        return data.frame_records(answers)

    def draw(self, x, answers):
        """Draws the frame that `predict` gave, after the last closes of each series."""
        bars = self.examples(x)
        return draw_forecasts(bars.closes[bars.last_places()[0]], bars.dates, answers)

    def calibrate(self, validation):
        """Learns the conformal corrections from validation bars; see `ConformalCalibration`."""
        learned = validation.until(self.last_date)
        enough = len(learned.dates) > self.window + self.horizon
        self.calibration.learn(
            self._forecasts_and_outcomes(validation, self.last_date),
            self._forecasts_and_outcomes(learned, learned.dates[0], _EVERY) if enough else None,
        )
        self.last_day.assign(validation.days[-1])

    def _forecasts_and_outcomes(self, bars, after, every=1):
        """Quantiles (N, U, Q) of log returns, those that came (N, U), and the dates' numbers."""
        origins = origins_after(bars.closes, bars.dates, after, self.horizon)
        origins = origins[origins[:, 1] % every == 0]
        prices = bars.closes[tuple(origins.T)]
        quantiles = self.answers_at(bars, origins)["quantiles"] / prices[:, None, None]
        outcomes = future_returns(bars.closes, self.horizon)[tuple(origins.T)]
        return np.log(quantiles), outcomes, origins[:, 1]

    def report(self, x, y=None, *, source="", seed=0, start=None, refit_every=None, refit=None):
        """Judges forecasts, walking forward, beside persistence and other baselines.

        Every date after the last one learned from is an origin, for each series with a bar on it;
        bars before are history only. So nothing the model has seen is judged.

        Args:
            x: bars in any form that `adapt` takes, with the history before those to judge on.
            y: not used; baselines learn from the history in `x`.
            source: str, the name of the test data, for the report.
            seed: int, of the bootstrap.
            start: str or date, a later date at which to begin; None for the first possible.
            refit_every: int or None. If given, before each so many dates a new model of the same
                settings is trained on all bars up to there; the last tenth of them validates.
            refit: dict or None, arguments of `fit` for those models.

        Returns:
            `rnn_apps.evaluation.report.Report`.

        Raises:
            ValueError: if there is no later bar to judge on, or `start` is not later.
        """
        self._require_adapted("report")
        how = {"start": start, "refit_every": refit_every, "refit": refit}
        return backtest(self, self.examples(x), **how, source=source, seed=seed)


def _beside_bars(request):
    """A request without its bars."""
    return {name: value for name, value in request.items() if name != "bars"}


def _check_sizes(**sizes):
    for name, least in {"window": 3, "horizon": 1, "num_paths": 2}.items():
        if sizes[name] < least:
            raise ValueError(f"{name}={sizes[name]} is too few; give {least} or more.")
