"""The stock forecaster: what its forecasts depend on and what not, in Python and wherever saved."""

import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import answers_elsewhere, bars_of, prices, small_forecaster

import rnn_apps
from rnn_apps import data, export
from rnn_apps.preprocessing import bar_examples, series
from rnn_apps.preprocessing.windows import SeriesWindows

KINDS = [(h, d) for h in ("quantiles", "student_t") for d in ("direct", "recurrent")]
SLOW = pytest.mark.slow
SOME_SLOW = [
    KINDS[0],
    pytest.param(*KINDS[1], marks=SLOW),
    pytest.param(*KINDS[2], marks=SLOW),
    KINDS[3],
]
NAN = np.float32(np.nan)
CLOSE = 3


def scramble(model, size=0.3):
    """Gives a model weights as no training would, and corrections."""
    random = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(weight + random.normal(0, size, weight.shape))
    model.calibration.factors.assign(random.uniform(0.7, 1.5, model.calibration.factors.shape))
    model.calibration.centre_share.assign(0.4)


@pytest.fixture(scope="module", params=KINDS, ids=["-".join(kind) for kind in KINDS])
def scrambled(request):
    head, decoder = request.param
    model = small_forecaster(head=head, decoder=decoder, num_paths=200)
    model.adapt(prices())
    scramble(model)
    return model


@pytest.fixture
def rows():
    """float32 (3, 20, 5), the last bars of three series; without some bars."""
    rows = np.concatenate([bars_of(prices(), f"S{n}")[:, -20:] for n in range(3)])
    rows[0, 14] = rows[1, 9:13] = np.nan
    return rows


def answers(model, rows):
    return model.predict({"bars": rows})


def assert_same(first, second, rtol=1e-5):
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name], rtol=rtol, atol=0, err_msg=name)


# --- what a forecast depends on --------------------------------------------------------------


def test_prices_times_a_hundred_give_forecasts_times_a_hundred(scrambled, rows):
    one = answers(scrambled, rows)
    for price, volume in ((100, 1), (0.01, 1e-3), (1e6, 1e4)):
        other = answers(scrambled, rows * np.float32([price] * 4 + [volume]))
        assert_same(other, {name: values * price for name, values in one.items()})


def test_quantiles_rise_whatever_the_weights_and_a_series_never_seen_is_forecast(scrambled):
    strange = bars_of(prices(1, 60, seed=77, swing=2.5)) * 3e5
    for size in (0.0, 1.0, 3.0):
        before = scrambled.get_weights()
        if size:
            scramble(scrambled, size)
        found = answers(scrambled, strange)
        scrambled.set_weights(before)
        assert found["quantiles"].shape == (1, 3, 5) and found["mean"].shape == (1, 3)
        assert found["quantiles"].dtype == found["mean"].dtype == np.float32
        assert np.isfinite(found["quantiles"]).all() and np.isfinite(found["mean"]).all()
        assert (np.diff(found["quantiles"]) >= 0).all() and (found["quantiles"] > 0).all()
        assert (found["quantiles"][..., 0] < found["mean"]).all() or size == 3
        assert (found["mean"] < found["quantiles"][..., -1]).all() or size == 3


@pytest.mark.parametrize("missing", [np.nan, 0.0, -1.0, np.inf, -np.inf])
def test_a_close_that_is_none_is_a_missing_bar(scrambled, rows, missing):
    expected = answers(scrambled, rows)
    other = np.where(np.isnan(rows), np.float32(5.0), rows)
    other[..., CLOSE] = np.where(np.isnan(rows[..., CLOSE]), missing, rows[..., CLOSE])
    assert_same(answers(scrambled, other), expected, 0)


def test_padding_on_either_side_changes_nothing(scrambled, rows):
    trimmed = rows[:, -9:]
    expected = answers(scrambled, trimmed)
    for filler in (np.nan, 0.0):
        pad = np.full([3, 30, 5], filler, np.float32)
        for padded in ([pad, trimmed], [trimmed, pad], [pad, trimmed, pad]):
            assert_same(answers(scrambled, np.concatenate(padded, 1)), expected, 1e-6)


def test_a_long_row_is_answered_as_its_last_bars_are(scrambled):
    row = bars_of(prices())
    row[0, -15:-13] = np.nan  # just before the window
    row[0, -5] = np.nan
    longer = answers(scrambled, row)
    assert_same(longer, answers(scrambled, row[:, -13:]), 1e-6)  # 12 known bars
    other = row.copy()
    other[:, :-13] *= 7
    assert_same(longer, answers(scrambled, other), 0)
    other[0, -13, CLOSE] *= 1.1
    assert not np.allclose(answers(scrambled, other)["quantiles"], longer["quantiles"], rtol=1e-5)


def test_batch_mates_do_not_matter(scrambled, rows):
    rows = np.concatenate([rows, np.full([1, 20, 5], NAN), rows[:, ::-1]])
    together = answers(scrambled, rows)
    assert_same(scrambled.predict({"bars": rows}, batch_size=2), together)
    for row in range(len(rows)):
        alone = answers(scrambled, rows[row : row + 1])
        assert_same(alone, {name: values[row : row + 1] for name, values in together.items()})


def test_a_row_without_a_price_gives_zeros_and_one_with_any_gives_numbers(scrambled, rows):
    for nothing in (np.full([2, 7, 5], NAN), np.zeros([2, 1, 5]), np.zeros([2, 0, 5])):
        found = answers(scrambled, np.float32(nothing))
        assert not found["quantiles"].any() and not found["mean"].any()
    wild = np.where(np.arange(20) % 2, 1.1e-15, 9e14)
    for some in (rows[:, :1], rows[:, :2], rows * [1, 1, 1, 0, 1] + np.float32(wild)[:, None]):
        found = answers(scrambled, np.float32(some))
        assert np.isfinite(found["quantiles"]).all() and np.isfinite(found["mean"]).all()
        assert (np.diff(found["quantiles"]) >= 0).all() and (found["quantiles"] > 0).all()
    no_requests = answers(scrambled, rows[:0])
    assert no_requests["quantiles"].shape == (0, 3, 5)


def test_prices_that_contradict_their_bar_and_no_volume_are_unknown(scrambled, rows):
    wrong, unknown = rows.copy(), rows.copy()
    wrong[2, 15, 1], wrong[2, 16, 0], wrong[2, 17, 4] = 0.5 * wrong[2, 15, CLOSE], -1, 0
    unknown[2, [15, 16], :3] = unknown[2, 17, 4] = NAN
    assert_same(answers(scrambled, wrong), answers(scrambled, unknown), 0)
    assert not np.array_equal(
        answers(scrambled, wrong)["quantiles"], answers(scrambled, rows)["quantiles"]
    )


def test_nothing_after_an_origin_reaches_what_is_said_there(scrambled):
    """In training, from bars to the last layer."""
    window = bars_of(prices())[:, :12]
    window[0, [0, 1, 6]] = np.nan
    origins = scrambled._origins()
    inputs = {"bars": tf.constant(window)}
    if scrambled.distribution.is_fed:
        inputs["fed"] = tf.zeros([1, len(origins), 3])
    before = scrambled(inputs).numpy()
    assert before.shape[:3] == (1, len(origins), 3)
    for number, place in enumerate(origins[:-1]):
        other = window.copy()
        other[:, place + 1 :] = other[:, place + 1 :] * 3 + 5
        other[:, place + 1] = np.nan if number % 2 else 5.0
        after = scrambled(inputs | {"bars": tf.constant(other)}).numpy()
        np.testing.assert_allclose(after[:, : number + 1], before[:, : number + 1], atol=1e-6)
        assert not np.allclose(after, before, atol=1e-4)


def test_training_and_answers_say_the_same_of_an_origin(scrambled):
    if scrambled.head == "student_t":
        pytest.skip("its quantiles are those of samples; see the heads")
    row = bars_of(prices())[:, :12]
    said = scrambled({"bars": tf.constant(row)})[0, -1]
    expected = scrambled.calibration(said)
    found = answers(scrambled, row)["quantiles"][0] / row[0, -1, CLOSE]
    np.testing.assert_allclose(np.log(found), expected, atol=1e-5)


def test_paths_have_the_quantiles_of_the_answer_and_repeat(scrambled, rows):
    paths = scrambled.paths(tf.constant(rows))["paths"].numpy()
    np.testing.assert_array_equal(scrambled.paths(tf.constant(rows))["paths"], paths)
    assert paths.shape == (3, 200, 3) and (paths > 0).all()
    found = np.quantile(np.log(paths), scrambled.levels, axis=1, method="hazen")
    expected = np.log(answers(scrambled, rows)["quantiles"]).transpose(2, 0, 1)
    spread = expected[-1] - expected[0]
    assert (np.abs(found - expected) < 0.02 * spread).all()
    ranks = paths.argsort(1).argsort(1)
    assert np.corrcoef(ranks[0, :, 1], ranks[0, :, 2])[0, 1] > 0.5


def test_closes_alone_are_bars_of_closes(scrambled, rows):
    found = scrambled._of_closes(tf.constant(rows[..., CLOSE]))
    alone = np.where(np.arange(5) == CLOSE, rows, NAN)
    assert_same({name: v.numpy() for name, v in found.items()}, answers(scrambled, alone), 1e-6)


@pytest.mark.parametrize("levels", [(0.5,), (0.02, 0.3), (0.6, 0.7, 0.95)])
def test_any_levels_will_do(levels, rows):
    model = small_forecaster(levels=levels)
    model.adapt(prices())
    scramble(model)
    found = answers(model, rows)
    assert (np.diff(found["quantiles"]) >= 0).all() and np.isfinite(found["mean"]).all()
    frame = model.predict(prices())
    assert list(frame.columns) == ["series", "date", *(f"q{level:g}" for level in levels), "mean"]
    assert model.paths(tf.constant(rows))["paths"].shape == (3, 100, 3)


# --- the table that predict gives ------------------------------------------------------------


def test_a_frame_has_each_series_steps_and_quantiles(forecaster):
    frame = forecaster.predict(prices())
    names = ["series", "date", "q0.1", "q0.25", "q0.5", "q0.75", "q0.9", "mean"]
    assert list(frame.columns) == names
    assert frame["series"].tolist() == [f"S{n}" for n in range(4) for _ in range(3)]
    expected = pd.bdate_range(prices()["date"].max(), periods=4)[1:].tolist()
    assert frame["date"].tolist() == expected * 4
    assert (frame[names[2:7]].diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    last = prices().groupby("series")["close"].last().repeat(3).to_numpy()
    assert (np.abs(frame["q0.5"] / last - 1) < 0.2).all()
    rows = forecaster.records(prices(), frame)
    assert rows[0]["date"] == str(expected[0].date()) and rows[0]["q0.5"] == frame["q0.5"][0]


def test_a_series_that_stops_early_is_forecast_from_its_own_last_bar(forecaster):
    whole = prices()
    early = whole[(whole["series"] != "S1") | (whole["date"] < "2020-05-15")]
    frame = forecaster.predict(early)
    alone = forecaster.predict(early[early["series"] == "S1"])
    own = frame[frame["series"] == "S1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, alone, rtol=1e-5)
    assert str(own["date"][0].date()) == "2020-05-15"
    others = forecaster.predict(whole[whole["series"] != "S1"])
    rest = frame[frame["series"] != "S1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, others, rtol=1e-5)


def test_a_raw_request_gives_arrays_equal_to_the_frame(forecaster):
    whole = prices()
    frame = forecaster.predict(whole)
    bars = data.as_bars(whole, static=("sector", "size"))
    request = {
        "bars": np.float32(bars.values[:, -30:]),
        "dates": np.tile(bars.days[-30:], [4, 1]),
        "sector": bars.static["sector"].tolist(),
        "size": bars.static["size"],
    }
    found = forecaster.predict(request)
    np.testing.assert_allclose(found["quantiles"][..., 2].ravel(), frame["q0.5"], rtol=1e-5)
    np.testing.assert_allclose(found["mean"].ravel(), frame["mean"], rtol=1e-5)
    for name, other in (("sector", ["tea"] * 4), ("size", [9.0] * 4)):
        assert not np.allclose(
            forecaster.predict(request | {name: other})["mean"], found["mean"], rtol=1e-7
        )
    later = forecaster.predict(request | {"dates": request["dates"] + 1})
    assert not np.allclose(later["mean"], found["mean"], rtol=1e-7)


def test_closes_are_forecast_as_a_list_or_a_series():
    model = small_forecaster(calendar="XNYS")
    closes = prices(1)["close"].to_numpy()
    days = pd.bdate_range(end="2024-07-02", periods=140)
    model.adapt(closes.tolist())
    one = model.predict(closes.tolist())
    other = model.predict(pd.Series(closes, days))
    np.testing.assert_array_equal(one["q0.9"], other["q0.9"])
    found = [str(day.date()) for day in other["date"]]
    assert found == ["2024-07-03", "2024-07-05", "2024-07-08"]  # not on Independence Day


def test_requests_of_another_shape_are_refused_in_a_sentence(forecaster, rows):
    request = forecaster.example_requests()[0]
    for name, wrong, said in (
        ("bars", rows[0], r"'bars' came as \(20, 5\); give numbers of the shape \(any, any, 5\)"),
        ("bars", rows[..., :4], r"came as \(3, 20, 4\)"),
        ("bars", [[[1.0] * 5], [[1.0] * 5] * 2], "'bars' came as .*non-rectangular"),
        ("dates", [1, 2], r"'dates' came as \(2,\)"),
    ):
        with pytest.raises(ValueError, match=said):
            forecaster.predict(request | {name: wrong})


# --- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("head, decoder", SOME_SLOW)
def test_a_training_moves_every_weight_and_no_answer_is_lost_on_disk(head, decoder, tmp_path):
    keras.utils.set_random_seed(0)
    options = {"date_features": True, "static": ("sector", "size")}
    model = small_forecaster(head=head, decoder=decoder, dropout=0.2, **options)
    model.compile(learning_rate=0.01)  # before adapt, which is as good
    model.adapt(prices())
    assert model.jit_compile is False
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    history = model.fit(prices(), epochs=2, verbose=0).history
    still = [w.path for w in model.trainable_weights if np.array_equal(before[w.path], w.numpy())]
    assert still == []
    assert len(before) == len(model.trainable_weights) >= 5
    assert np.isfinite(history["loss"]).all()
    model.save(tmp_path / "model.keras")
    loaded = rnn_apps.load_model(tmp_path / "model.keras")
    pd.testing.assert_frame_equal(loaded.predict(prices()), model.predict(prices()))
    assert loaded.last_date == model.last_date == prices()["date"].max().to_datetime64()


def forms(frame):
    """Prices in every form that is taken."""
    columns = {name: frame[name].to_numpy() for name in frame.columns}
    texts = columns | {"date": frame["date"].dt.strftime("%Y-%m-%d").to_numpy(object)}
    texts |= {name: frame[name].to_numpy(object) for name in ("series", "sector")}
    rows = tf.data.Dataset.from_tensor_slices(texts)
    return {
        "frame": frame.sample(frac=1, random_state=0),
        "columns": columns,
        "dicts": frame.to_dict("records"),
        "tf.data": rows,
        "batches": rows.batch(50),
        "bars": data.as_bars(frame, static=("sector", "size")),
    }


def test_every_form_of_prices_gives_the_same_model():
    made = set()
    for form in forms(prices(2, 60)).values():
        model = small_forecaster(static=("sector", "size"))
        model.adapt(form)
        made.add((model._facts, model.fingerprint(model.examples(form))))
    assert len(made) == 1


@pytest.mark.slow
def test_every_form_of_prices_gives_the_same_training():
    model = small_forecaster(static=("sector", "size"))
    model.adapt(prices(2, 60))
    model.compile()
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    before, losses = [variable.numpy() for variable in variables], []
    for form in forms(prices(2, 60)).values():
        keras.utils.set_random_seed(0)
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        losses.append(model.fit(form, epochs=1, validation_split=0.2, verbose=0).history)
    assert len(losses) == 6
    assert all(loss == losses[0] for loss in losses)


@pytest.fixture
def feeds(monkeypatch):
    """The feeds made, in their order."""
    made, init = [], SeriesWindows.__init__

    def spy(self, *args, **options):
        init(self, *args, **options)
        made.append(self)

    monkeypatch.setattr("rnn_apps.forecasting.SeriesWindows.__init__", spy)
    return made


def test_validation_is_by_date_whether_given_or_split_off(feeds):
    frame, histories, models = prices(), [], []
    border = frame["date"].unique()[105]
    for options in (
        {"x": frame, "validation_split": 0.25},
        {"x": frame[frame["date"] < border], "validation_data": frame},
    ):
        keras.utils.set_random_seed(0)
        model = small_forecaster()
        model.adapt(frame)
        del feeds[:]
        model.compile()
        histories.append(model.fit(epochs=1, verbose=0, **options).history)
        models.append(model)
        train, validation = feeds
        assert train.bars.shape[1] == 105 and validation.bars.shape[1] == 140
        judged = np.flatnonzero(validation.known.any(0))
        assert judged.tolist() == list(range(105, 139))
        assert train.known.any(0).sum() == 104
    assert histories[0] == histories[1]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
    assert str(models[0].last_date) == str(frame["date"].max().date())
    assert_fits_again(models[0], feeds)


def assert_fits_again(model, feeds):
    """On more bars, with no correction left over from before."""
    model.calibration.factors.assign(np.full([3, 5], 9.0))
    longer = prices(4, 160)
    del feeds[:]
    history = model.fit(longer, validation_split=0.1, epochs=1, verbose=0).history
    assert [feed.bars.shape[1] for feed in feeds] == [144, 160]
    assert np.flatnonzero(feeds[1].known.any(0)).min() == 144
    assert np.isfinite(history["val_loss"]).all()
    assert str(model.last_date) == str(longer["date"].max().date())
    assert (model.calibration.factors.numpy() < 5).all()
    del feeds[:]
    assert np.isfinite(model.evaluate(prices(4, 200), verbose=0))
    assert np.flatnonzero(feeds[0].known.any(0)).min() == 160
    model.calibration.factors.assign(np.full([3, 5], 9.0))
    model.begin(model.examples(prices()))
    assert (model.calibration.factors.numpy() == 1).all() and model.calibration.centre_share == 1
    assert str(model.last_date) == str(prices()["date"].max().date())


class Interrupt(keras.callbacks.Callback):
    """Presses Ctrl-C in the middle of the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 2 and batch == 1:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_that_is_resumed_ends_as_if_it_had_not_been_interrupted(tmp_path):
    def train(run, seed, **options):
        keras.utils.set_random_seed(seed)
        model = small_forecaster(dropout=0.3, bar_dropout=0.4)
        model.adapt(prices())
        model.compile(learning_rate=0.02)
        settings = {"epochs": 4, "batch_size": 8, "validation_split": 0.25, "verbose": 0}
        return model.fit(prices(), run=tmp_path / run, **settings, **options)

    whole = train("whole", 0)
    with pytest.raises(KeyboardInterrupt):
        train("run", 0, callbacks=[Interrupt()])
    resumed = train("run", 9)  # other first weights and random states: all must come back
    assert resumed.epoch == [2, 3]
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(resumed.history[name], whole.history[name][2:], atol=1e-6)
    one, other = (rnn_apps.load_model(tmp_path / run) for run in ("whole", "run"))
    np.testing.assert_allclose(one.calibration.factors, other.calibration.factors, rtol=1e-5)
    np.testing.assert_allclose(
        one.calibration.centre_share, other.calibration.centre_share, atol=1e-6
    )
    assert one.last_date == other.last_date == prices()["date"].max().to_datetime64()
    pd.testing.assert_frame_equal(one.predict(prices()), other.predict(prices()), rtol=1e-6)


def test_corrections_are_learned_from_the_validation_dates_alone(forecaster, monkeypatch):
    asked = []
    monkeypatch.setattr(forecaster.calibration, "learn", lambda *parts: asked.extend(parts))
    was = int(forecaster.last_day)
    bars = forecaster.examples(prices())
    forecaster.last_day.assign(bars.days[104])
    try:
        forecaster.calibrate(bars)
    finally:
        forecaster.last_day.assign(was)
    (quantiles, outcomes, dates), (_, _, learned) = asked
    assert sorted(set(dates)) == list(range(105, 137))  # three steps are left after each
    assert learned.max() <= 101 and (np.diff(np.unique(learned)) == 5).all()
    closes = bars.closes
    origins = [(s, d) for s in range(4) for d in range(105, 137)]
    expected = [np.log(closes[s, d + 1 : d + 4] / closes[s, d]) for s, d in origins]
    np.testing.assert_allclose(outcomes, expected, atol=1e-6)
    assert quantiles.shape == (4 * 32, 3, 5) and np.abs(quantiles).max() < 1


def test_mistakes_get_one_clear_sentence(forecaster, tmp_path):
    frame = prices(2, 60)
    still = frame.assign(open=5.0, high=5.0, low=5.0, close=5.0)
    made = small_forecaster()
    made.adapt(frame)
    made.compile()
    backwards = keras.layers.Bidirectional(keras.layers.GRU(3, return_sequences=True))
    cases = [
        (lambda: forecaster.adapt(prices()), "adapted already"),
        (lambda: small_forecaster().fit(frame), "Call model.adapt"),
        (lambda: small_forecaster().predict(frame), "Call model.adapt"),
        (lambda: small_forecaster().report(frame), "Call model.adapt"),
        (lambda: small_forecaster().export(tmp_path / "x"), "Call model.adapt"),
        (lambda: small_forecaster(head="normal"), "head='normal' is unknown"),
        (lambda: small_forecaster(decoder="beam").adapt(frame), "kind='beam' is no decoder"),
        (lambda: small_forecaster(window=2), "window=2 is too few; give 3 or more"),
        (lambda: small_forecaster(horizon=0), "horizon=0 is too few"),
        (lambda: small_forecaster(num_paths=1), "num_paths=1 is too few"),
        (lambda: small_forecaster(levels=[0.5, 0.1]), "Quantile levels came as"),
        (lambda: small_forecaster().adapt(prices(2, 19)), "have 19 dates, but .* at least 20"),
        (lambda: small_forecaster(horizon=80).adapt(frame), "needs at least 83"),
        (lambda: small_forecaster().adapt(still), "No training series has a price that changes"),
        (lambda: small_forecaster(static=("country",)).adapt(frame), "country"),
        (lambda: small_forecaster(encoder=backwards).adapt(frame), "The encoder looks ahead"),
        (lambda: made.fit(frame, sample_weight=np.ones(60)), "sample_weight came for bars"),
        (lambda: made.fit(frame, [1.0]), "y came beside bars"),
        (
            lambda: made.fit(frame, validation_data=frame[frame["date"] < "2020-02-01"]),
            "No bar after 2020-03-24 has 3 dates after it: the bars end on 2020-01-31",
        ),
        (lambda: made.fit(frame, validation_split=0.05), "has 3 dates after it"),
        (lambda: forecaster.predict(frame.drop(columns="sector")), "sector"),
    ]
    for act, expected in cases:
        with pytest.raises(ValueError, match=expected):
            act()
    assert int(made.optimizer.iterations) == 0  # nothing was trained before it was refused


def test_every_constructor_argument_comes_back_from_its_configuration():
    given = {
        "window": 30, "horizon": 7, "levels": (0.2, 0.6), "head": "student_t",
        "decoder": "recurrent", "cell": "lstm", "units": 9, "num_layers": 2, "encoder": None,
        "dropout": 0.3, "bar_dropout": 0.2, "date_features": True, "static": ("sector",),
        "calendar": "XNYS", "num_paths": 11, "name": "mine", "dtype": "mixed_bfloat16",
    }  # fmt: skip
    model = rnn_apps.StockForecaster(**given)
    again = rnn_apps.StockForecaster.from_config(json.loads(json.dumps(model.get_config())))
    kept = {name: getattr(again, name) for name in given if name != "dtype"}
    assert kept == {name: value for name, value in given.items() if name != "dtype"}
    assert again.dtype_policy.name == "mixed_bfloat16"


# --- saved and served --------------------------------------------------------------------------


def test_the_keras_file_answers_as_the_model_does(forecaster, tmp_path):
    forecaster.save(tmp_path / "model.keras")
    expected = forecaster.predict(prices())
    for loaded in (
        rnn_apps.load_model(tmp_path / "model.keras"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        pd.testing.assert_frame_equal(loaded.predict(prices()), expected)
        assert loaded.get_config() == forecaster.get_config()
        assert loaded.last_date == forecaster.last_date == np.datetime64("2020-07-14")
        np.testing.assert_array_equal(loaded.calibration.factors, forecaster.calibration.factors)
        assert int(loaded.optimizer.iterations) == int(forecaster.optimizer.iterations) > 0


def request_of(model):
    """Rows of all kinds: whole, with gaps, padded on the right, short, and empty."""
    rows = np.concatenate([bars_of(prices(), f"S{n % 4}")[:, -20:] for n in range(5)])
    rows[1, 3:6] = rows[1, 15] = NAN
    rows[2, 14:] = 0
    rows[3, :18] = NAN
    rows[4] = NAN
    request = {"bars": rows}
    if model.date_features:
        request["dates"] = np.tile(np.arange(18500, 18520, dtype=np.int32), [5, 1])
    for number, name in enumerate(model.static):
        values = (["energy", "banks", "tea", "", "banks"], np.arange(5, dtype=np.float32))[number]
        request[name] = np.array(values)
    return request


def serialized(request):
    """The request's rows as examples, each without its fields that are unknown at the end."""
    examples = []
    for row in range(5):
        length = (20, 20, 14, 20, 0)[row]
        one = {name: values[row] for name, values in request.items()}
        columns = dict(zip(series.FIELDS, one.pop("bars")[:length].T.tolist(), strict=True))
        for name, value in one.items():
            columns[name] = value[:length].tolist() if np.ndim(value) else [value.item()]
        if row == 3:
            del columns["open"], columns["volume"]
        features = {n: bar_examples._feature(v) for n, v in columns.items() if len(v)}
        example = tf.train.Example(features=tf.train.Features(feature=features))
        examples.append(example.SerializeToString())
    return np.array(examples, object)


@pytest.fixture(
    scope="module",
    params=["dates and static", pytest.param("student_t", marks=pytest.mark.slow)],
)
def served(request, forecaster, tmp_path_factory):
    """A model, what was asked of its export, and the answers of a process without the package."""
    model = forecaster
    if request.param == "student_t":
        model = small_forecaster(head="student_t", decoder="recurrent", num_paths=30)
        model.adapt(prices())
        scramble(model, 0.2)
    folder = tmp_path_factory.mktemp("served")
    version = model.export(folder / "published")
    assert [each for each in export.check(version) if each.level != "note"] == []
    moved = folder / "moved" / "1"
    shutil.move(version, moved)
    asked = request_of(model)
    beside = {name: values for name, values in asked.items() if name != "bars"}
    given = {
        **{f"{signature}/{n}": v for n, v in asked.items() for signature in _WHOLE},
        **{f"closes/{n}": v for n, v in (beside | {"closes": asked["bars"][..., CLOSE]}).items()},
        "regress/inputs": serialized(asked),
    }
    return model, asked, answers_elsewhere(moved, given, folder)


_WHOLE = ("serving_default", "paths")


@pytest.mark.parametrize("size", [1, 5])
def test_the_export_answers_as_python_does(served, size):
    model, asked, found = served
    expected = model.predict(asked)
    for name, values in expected.items():
        np.testing.assert_allclose(found[f"{size}/serving_default/{name}"], values, rtol=1e-5)
        assert values.dtype == np.float32
    alone = asked | {"bars": np.where(np.arange(5) == CLOSE, asked["bars"], NAN)}
    for name, values in model.predict(alone).items():
        np.testing.assert_allclose(found[f"{size}/closes/{name}"], values, rtol=1e-5)
    tensors = {name: tf.constant(values) for name, values in asked.items()}
    paths = model.paths(**tensors)["paths"]
    np.testing.assert_allclose(found[f"{size}/paths/paths"], paths, rtol=1e-5)
    assert paths.shape == (5, model.num_paths, 3)
    lacking = asked["bars"].copy()
    lacking[3, :, [0, 4]] = NAN
    mean = model.predict(asked | {"bars": lacking})["mean"][:, -1]
    np.testing.assert_allclose(found[f"{size}/regress/outputs"], mean, rtol=1e-5)
    assert (mean[:4] > 0).all() and mean[4] == 0
    assert not np.array_equal(expected["mean"], model.predict(alone)["mean"])


@pytest.mark.slow
def test_an_encoder_of_ones_own_and_mixed_precision_train_save_and_export(tmp_path):
    keras.utils.set_random_seed(0)
    own = keras.layers.GRU(6, return_sequences=True, use_cudnn=False)
    model = small_forecaster(encoder=own, dtype="mixed_bfloat16")
    model.adapt(prices())
    model.compile()
    model.fit(prices(), epochs=1, validation_split=0.2, verbose=0)
    frame = model.predict(prices())
    assert {str(frame[name].dtype) for name in frame.columns[2:]} == {"float32"}
    model.save(tmp_path / "model.keras")
    loaded = rnn_apps.load_model(tmp_path / "model.keras")
    pd.testing.assert_frame_equal(loaded.predict(prices()), frame)
    row = bars_of(prices())
    served = tf.saved_model.load(model.export(tmp_path / "served")).signatures["serving_default"]
    found = served(bars=tf.constant(row))["quantiles"]
    np.testing.assert_allclose(found, answers(model, row)["quantiles"], rtol=1e-5)


@pytest.mark.parametrize("head, decoder", KINDS)
def test_mixed_precision_says_nearly_the_same_and_loses_no_price(head, decoder, rows):
    whole, mixed = (
        small_forecaster(head=head, decoder=decoder, dtype=dtype)
        for dtype in ("float32", "mixed_bfloat16")
    )
    for model in (whole, mixed):
        model.adapt(prices())
    scramble(whole)
    mixed.set_weights(whole.get_weights())
    assert mixed.recurrent.compute_dtype == "bfloat16"
    one, other = answers(whole, rows), answers(mixed, rows)
    assert other["quantiles"].dtype == np.float32
    spread = one["quantiles"][..., -1:] - one["quantiles"][..., :1]
    assert (np.abs(one["quantiles"] - other["quantiles"]) < 0.1 * spread).all()
    assert not np.array_equal(one["quantiles"], other["quantiles"])
    trained = [model({"bars": tf.constant(rows[:, -12:])}).numpy() for model in (whole, mixed)]
    assert np.abs(trained[0] - trained[1])[..., :2].max() < 0.1 * np.abs(trained[0][..., :2]).max()
    exact = answers(mixed, rows * np.float32(1.001))["quantiles"] / other["quantiles"]
    np.testing.assert_allclose(exact, 1.001, rtol=2e-4)


# --- it learns -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("head, decoder", KINDS)
def test_it_learns_when_prices_will_move(head, decoder):
    """Volatility that comes and goes by a factor of ten, and so is known before."""
    keras.utils.set_random_seed(0)
    frame = prices(12, 240)
    model = small_forecaster(head=head, decoder=decoder, window=30, units=16, dropout=0.0)
    model.adapt(frame)
    model.compile(learning_rate=0.01)
    start = model.evaluate(frame, verbose=0)
    model.fit(frame, epochs=30, batch_size=8, verbose=0)
    better = 0.9 * start if head == "quantiles" else start - 0.1
    assert model.evaluate(frame, verbose=0) < better
