"""Forecasting through the command line, used as its users do."""

import csv
import io
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import write_prices

import rnn_apps
from rnn_apps import cli, cli_training

NAMES = ("ticker", "day", "last")
COLUMNS = ("--columns", "series=ticker,date=day,close=last")
SMALL = ("--window", 12, "--horizon", 2, "--units", 4, "--levels", "[0.1,0.5,0.9]")
DATES = ("--validation", "2020-06-01", "--test", "2020-07-01")
HEADER = ["series", "date", "q0.1", "q0.5", "q0.9", "mean"]
PNG = b"\x89PNG\r\n"


def call(*arguments):
    """The exit status of a command."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as left:
        return left.code


def train(data, run, *more):
    return ("train", "forecasting", "--data", data, "--run", run, *SMALL, "--fit.epochs", 1, *more)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder, trained by the command, beside the prices it was trained on."""
    folder = tmp_path_factory.mktemp("work")
    prices = write_prices(folder / "prices.csv", NAMES)
    assert call(*train(prices, folder / "run", *COLUMNS, *DATES, "--gap", 1)) == 0
    return folder / "run"


@pytest.fixture
def prices(run):
    return run.parent / "prices.csv"


def rows_of(text):
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == HEADER
    return rows[1:]


def stdin(monkeypatch, raw):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


# Train and evaluate


def test_train_keeps_everything_in_the_run_folder(run):
    assert {path.name for path in run.iterdir()} == {
        "run.json", "config.yaml", "history.csv", "curves.png", "model.keras", "report.json",
        "metrics.png", "calibration.png", "fan_chart.png", "skill_by_horizon.png",
    }  # fmt: skip
    report = json.loads((run / "report.json").read_text())
    assert report["data"] == "prices.csv"
    # Of July's dates all but the last two, and the one that the gap leaves out before.
    assert report["examples"] == 3 * (20 - 2 + 1)
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["validation"] == "2020-06-01"
    assert settings["levels"] == [0.1, 0.5, 0.9]
    assert settings["gap"] == 1


def test_the_configuration_of_a_run_repeats_it(run, tmp_path, capsys):
    again = tmp_path / "again"
    assert call("train", "forecasting", "--config", run / "config.yaml", "--run", again) == 0
    out, err = capsys.readouterr()
    assert "seasonal naive" in out
    assert "Validation: 21 dates from 2020-06-01 to 2020-06-29." in err.splitlines()
    assert err.splitlines()[-1] == f"kept in {again}"
    for name in ("history.csv", "report.json"):
        assert (again / name).read_text() == (run / name).read_text()


def test_parts_may_be_shares_or_other_files(prices, tmp_path):
    lines = prices.read_text().splitlines()
    early = [line for line in lines[1:] if line.split(",")[1] < "2020-06-15"]
    late = [line for line in lines[1:] if line.split(",")[1] >= "2020-06-15"]
    for name, rows in (("early.csv", early), ("late.csv", late)):
        (tmp_path / name).write_text("\n".join([lines[0], *rows]))
    data = (
        "--data",
        tmp_path / "early.csv",
        "--run",
        "r",
        *COLUMNS,
        "--test",
        tmp_path / "late.csv",
    )
    arguments = [str(argument) for argument in (*data, "--validation_fraction", 0.2)]
    settings = cli_training.settings_of(rnn_apps.StockForecaster, "rnn-apps train", arguments)
    splits = cli_training.load_named(rnn_apps.StockForecaster, settings)
    assert splits.name == "late.csv"
    assert splits.notes[-2].startswith("Validation: 30 dates")
    assert splits.notes[-1] == "Test: 32 dates from 2020-06-15 to 2020-07-28."


def test_static_columns_are_read_wherever_bars_are(tmp_path, capsys):
    lines = write_prices(tmp_path / "p.csv").read_text().splitlines()
    rows = [f"{line},{'tech' if line[0] == 'A' else 'oil'}" for line in lines[1:]]
    data = tmp_path / "p.csv"
    data.write_text("\n".join([f"{lines[0]},sector", *rows]))
    model = rnn_apps.StockForecaster(window=12, horizon=2, units=4, static=["sector"])
    model.adapt(rnn_apps.data.load_bars(data, static=["sector"], test="2020-07-01").train)
    model.compile()
    model.save(tmp_path / "model.keras")
    assert call("evaluate", tmp_path / "model.keras", "--data", data) == 0
    assert call("predict", tmp_path / "model.keras", data) == 0
    capsys.readouterr()
    data.write_text("\n".join(lines))
    for command in (
        ("predict", tmp_path / "model.keras", data),
        ("evaluate", tmp_path / "model.keras", "--data", data),
        train(data, tmp_path / "run", "--static", "[sector]"),
    ):
        assert call(*command) == 1
        assert "no column 'sector'" in capsys.readouterr().err


def test_evaluate_judges_later_dates_and_needs_no_training_examples(run, prices, capsys):
    before = (run / "report.json").read_text()
    config = run / "config.yaml"
    kept = config.read_text()
    config.write_text("gone")
    assert call("evaluate", run, "--data", prices, *COLUMNS) == 0
    config.write_text(kept)
    out, err = capsys.readouterr()
    assert "seasonal naive" in out
    assert "left out" not in err
    assert (run / "report.json").read_text() == before


# Predict


def test_predict_answers_with_quantiles_at_the_next_dates(run, prices, capsys):
    assert call("predict", run, prices, *COLUMNS) == 0
    out, err = capsys.readouterr()
    rows = rows_of(out)
    assert [row[:2] for row in rows] == [
        [series, date] for series in ("AAA", "BBB", "CCC") for date in ("2020-07-29", "2020-07-30")
    ]
    frame = rnn_apps.load_model(run).predict(
        pd.read_csv(prices).set_axis(["series", "date", "close"], axis=1)
    )
    values = np.array([row[2:] for row in rows], float)
    np.testing.assert_array_equal(values, frame.iloc[:, 2:].astype(str).astype(float))
    assert (np.diff(values[:, :3], axis=1) > 0).all()
    assert max(len(cell) for row in rows for cell in row[2:]) <= 10  # the digits of a float32


def test_bars_come_from_arguments_a_file_or_standard_input(
    run, prices, tmp_path, monkeypatch, capsys
):
    lines = prices.read_text().splitlines(keepends=True)
    (tmp_path / "a.csv").write_text("".join(lines[:151]))
    (tmp_path / "b.csv").write_text("".join([lines[0], *lines[151:]]))
    stdin(monkeypatch, prices.read_bytes())
    answers = []
    for arguments in (
        (prices,),
        (tmp_path / "b.csv", tmp_path / "a.csv"),
        ("--input", prices),
        (),
    ):
        assert call("predict", run, *COLUMNS, *arguments) == 0
        answers.append(capsys.readouterr().out)
    assert len(rows_of(answers[0])) == 6
    assert len(set(answers)) == 1


@pytest.mark.parametrize("form", ["csv", "jsonl", "txt"])
def test_an_output_file_has_a_picture_beside_it(form, run, prices, tmp_path, capsys):
    output = tmp_path / "deep" / f"forecast.{form}"
    assert call("predict", run, "--input", prices, *COLUMNS, "--output", output) == 0
    out, err = capsys.readouterr()
    picture = output.with_suffix(".png")
    assert out == ""
    assert err.splitlines()[-1].startswith(f"drawn in {picture}: ")
    assert err.splitlines()[-1].endswith("next 2 days of 3 series")
    assert picture.read_bytes().startswith(PNG)
    assert (
        sorted(path.name for path in output.parent.iterdir())
        == [output.name, "forecast.png"][:: 1 if output.name < "forecast.png" else -1]
    )
    text = output.read_text()
    if form == "csv":
        assert len(rows_of(text)) == 6
    elif form == "jsonl":
        assert [list(json.loads(line)) for line in text.splitlines()] == [HEADER] * 6
    else:
        assert all(re.fullmatch(r"\w{3}\t[\d-]{10}(\t\d+\.\d{4}){4}", x) for x in text.splitlines())


def test_a_picture_can_be_had_without_an_output_file(run, prices, tmp_path, capsys):
    assert call("predict", run, prices, *COLUMNS, "--plot", tmp_path / "fan.png") == 0
    assert len(rows_of(capsys.readouterr().out)) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["fan.png"]
    assert (tmp_path / "fan.png").read_bytes().startswith(PNG)


def test_only_so_many_series_are_drawn_as_can_be_seen(run, tmp_path, capsys):
    lines = write_prices(tmp_path / "p.csv", dates=20).read_text().splitlines()
    many = [f"{n}{line}" for n in range(5) for line in lines[1:]]
    (tmp_path / "p.csv").write_text("\n".join([lines[0], *many]))
    assert call("predict", run, tmp_path / "p.csv", "--output", tmp_path / "f.csv") == 0
    assert "12 of 15 series" in capsys.readouterr().err


# Export and check


def test_export_publishes_a_version_that_check_finds_no_error_in(run, tmp_path, capsys):
    assert call("export", run, tmp_path / "forecasting") == 0
    assert capsys.readouterr().out == f"{tmp_path}/forecasting/1\n"
    assert call("check", tmp_path / "forecasting") == 0
    assert "error" not in capsys.readouterr().out


QUICK = """
import tensorflow as tf

@tf.function(input_signature=[tf.TensorSpec([None, None, 5], name="bars")])
def answer(bars):
    last = tf.tile(bars[:, -1:, 3], [1, 2])
    return {"mean": last, "quantiles": tf.stack([last - 1.5, last + 1e6], -1)}

version = "sm/1"
tf.saved_model.save(tf.Module(), version, signatures=answer)
REQUEST = {"bars": [[[100, 102, 99, 101, 1e6]] * 12]}
"""


def test_quickstart_prints_quantiles_step_by_step(tmp_path, monkeypatch, capsys):
    (tmp_path / "forecasting").mkdir()
    (tmp_path / "forecasting" / "train.py").write_text(QUICK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_templates", lambda: tmp_path)
    monkeypatch.setattr(sys, "argv", ["rnn-apps"])
    assert call("quickstart", "forecasting") == 0
    asked, *answers = capsys.readouterr().out.strip().splitlines()
    assert asked.startswith('sm/1 answers {"bars": [[[100, 102, 99, 101, 1000000.0], ')
    assert len(asked) < 130
    row = "    99.5 1.0001e+06"
    assert answers == ["  mean: 101 101", "  quantiles:", row, row]


# Wrong calls


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--test", "2030-01-01"), "name a date between these"),
        (("--test", "2020-02-30"), "no day of the calendar"),
        (("--validation", "2020-07-01", "--test", "2020-06-01"), "not before test"),
        (("--columns", "close=lst"), "'last'"),
        (("--columns", "stars=last"), "'stars'"),
        (("--window", "2"), "window=2"),
        (("--data", "builtin/stocks"), "'builtin/random_walk'"),
        (("--data", "price.csv"), "no file price.csv"),
    ],
    ids=" ".join,
)
def test_a_training_that_cannot_be_is_refused_before_it_begins(
    arguments, says, prices, tmp_path, capsys
):
    assert call(*train(prices, tmp_path / "run", *COLUMNS, *arguments)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    said = err.splitlines()[-1]
    assert said.startswith("rnn-apps: ")
    assert said.endswith(".")
    assert says in said
    assert not (tmp_path / "run").exists()


def test_a_missing_column_is_named_as_the_option_names_it(run, prices, tmp_path, capsys):
    for command in (
        train(prices, tmp_path / "run"),
        ("evaluate", run, "--data", prices),
        ("predict", run, prices),
    ):
        assert call(*command) == 1
        assert "pass --columns close=COLUMN" in capsys.readouterr().err


def test_evaluate_says_that_there_are_no_later_bars(run, tmp_path, capsys):
    assert call("evaluate", run, "--data", write_prices(tmp_path / "p.csv", dates=120)) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("rnn-apps: No bar after 2020-06-29 ")
    assert "Give bars that are later" in said


def test_a_split_of_a_share_is_refused_until_told(run, tmp_path, capsys):
    lines = write_prices(tmp_path / "p.csv").read_text().splitlines()
    rows = [line.rsplit(",", 1) for line in lines[1:]]
    halved = [
        f"{key},{float(close) / (1 + (key > 'AAA,2020-03') * (key < 'B'))}" for key, close in rows
    ]
    data = tmp_path / "p.csv"
    data.write_text("\n".join([lines[0], *halved]))
    for command in (("predict", run, data), ("evaluate", run, "--data", data)):
        assert call(*command) == 1
        assert "pass --splits adjust" in capsys.readouterr().err
        assert call(*command, "--splits", "keep") == 0
        assert "kept as it is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["no.csv"], "There is no file no.csv"), (["AAPL"], "a file that ends in .csv")],
)
def test_an_input_that_is_no_file_is_refused(arguments, says, run, capsys):
    assert call("predict", run, *arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err


def test_nothing_on_standard_input_is_no_forecast(run, monkeypatch, capsys):
    stdin(monkeypatch, b"")
    assert call("predict", run) == 1
    assert "No bars came in" in capsys.readouterr().err


def test_the_application_lists_the_options_of_its_own_loader(capsys):
    assert call("train", "forecasting", "--help") == 0
    shown = capsys.readouterr().out
    for option in ("--gap", "--splits", "--validation", "--static", "--horizon", "--fit.epochs"):
        assert f"\n  {option}" in shown
    assert call("train", "sentiment", "--help") == 0
    assert not {"--gap", "--splits", "--static"} & set(capsys.readouterr().out.split())
