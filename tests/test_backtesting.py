"""Reports: only dates that were not learned from, and models retrained on what came before."""

import json

import numpy as np
import pytest
from conftest import prices, small_forecaster

import rnn_apps
from rnn_apps import data
from rnn_apps.application import Application

LEARNED = 139  # place of the last date that the fixture's model has learned from
WHOLE = prices(4, 180)


@pytest.fixture
def judged(forecaster, monkeypatch):
    """The origins asked for, by model: list of (model, int (N, 2))."""
    asked, answer = [], type(forecaster).answers_at

    def spy(self, bars, origins, *args):
        asked.append((self, np.array(origins)))
        return answer(self, bars, origins, *args)

    monkeypatch.setattr(type(forecaster), "answers_at", spy)
    return asked


def test_only_dates_after_the_last_one_learned_from_are_judged(forecaster, judged):
    report = forecaster.report(WHOLE, source="later prices").to_dict()
    ((model, origins),) = judged
    assert model is forecaster
    expected = [[s, d] for s in range(4) for d in range(LEARNED + 1, 180 - 3)]
    assert origins.tolist() == expected
    assert report["examples"] == len(expected)
    assert report["data"] == "later prices" and report["application"] == "StockForecaster"
    assert len(report["baselines"]) >= 5 and "achieved" not in report
    assert json.loads(json.dumps(report)) == report
    assert forecaster.report(WHOLE, source="later prices").to_dict() == report


def test_what_comes_after_an_origin_does_not_reach_its_forecast(forecaster):
    bars = data.as_bars(WHOLE, static=("sector", "size"))
    origins = np.array([[s, d] for s in range(4) for d in (5, 100, 150)])
    before = forecaster.answers_at(bars, origins)
    for series, date in origins:
        values = bars.values.copy()
        values[:, date + 1 :] *= 3
        values[np.arange(4) != series] = 7
        other = data.Bars(bars.series, bars.dates, values, bars.static)
        row = origins.tolist().index([series, date])
        after = forecaster.answers_at(other, origins[row : row + 1])
        np.testing.assert_allclose(after["quantiles"][0], before["quantiles"][row], rtol=1e-6)


def test_a_later_start_is_kept_and_an_earlier_one_refused(forecaster, judged):
    dates = np.unique(WHOLE["date"].to_numpy()).astype("datetime64[D]")
    forecaster.report(WHOLE, start=str(dates[160]))
    assert judged[0][1][:, 1].min() == 160
    forecaster.report(WHOLE, start=dates[LEARNED + 1])
    assert judged[1][1][:, 1].min() == LEARNED + 1
    for start in (dates[LEARNED], "2020-02-01"):
        with pytest.raises(
            ValueError, match=f"start={start} is not after {dates[LEARNED]}, .*name a"
        ):
            forecaster.report(WHOLE, start=start)
    with pytest.raises(ValueError, match="No bar after .* has 3 dates after it"):
        forecaster.report(prices())
    with pytest.raises(ValueError, match="No bar after 2030-01-01"):
        forecaster.report(WHOLE, start="2030-01-02")
    assert len(judged) == 2


def test_models_are_retrained_on_bars_before_what_they_judge(forecaster, judged, monkeypatch):
    given = []

    def fit(self, x, *, validation_data, **options):
        given.append((self, x, validation_data, options))
        self.begin(x, validation_data)

    monkeypatch.setattr(Application, "fit", fit)
    weights = forecaster.get_weights()
    forecaster.report(WHOLE, refit_every=15, refit={"epochs": 7}, start="2020-08-03")
    first = int(np.searchsorted(data.as_bars(WHOLE).dates, np.datetime64("2020-08-03")))
    asked = [(m, o) for m, o in judged if o[:, 1].min() >= first]
    assert [o[:, 1].min() for _, o in asked] == [first, first + 15]
    assert [o[:, 1].max() for _, o in asked] == [first + 14, 180 - 4]
    dates = data.as_bars(WHOLE).dates
    for (model, origins), (fitted, train, validation, options) in zip(asked, given, strict=True):
        assert model is fitted is not forecaster
        assert validation.dates[-1] == dates[origins[:, 1].min()]
        assert train.dates[-1] < validation.dates[-1]
        assert abs(len(train.dates) - 0.9 * len(validation.dates)) <= 1
        assert options == {"verbose": 0, "epochs": 7}
        assert model.get_config()["window"] == 12 and model.static == ("sector", "size")
        assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    for before, after in zip(weights, forecaster.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.slow
def test_a_model_that_is_not_compiled_can_be_retrained():
    model = small_forecaster()
    model.adapt(prices(2, 100))
    report = model.report(prices(2, 110), refit_every=50, refit={"epochs": 1})
    assert "skill" in report.to_dict() and not model.compiled


@pytest.mark.slow
def test_a_model_that_is_not_trained_is_hardly_worse_than_persistence():
    market = data.load_bars("builtin")
    model = rnn_apps.StockForecaster(horizon=5)
    model.adapt(market.train)
    report = model.report(market.test).to_dict()
    assert report["skill"]["against"]["persistence, trailing volatility"]["value"] > -0.01
