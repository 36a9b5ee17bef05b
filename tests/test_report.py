import dataclasses
import io
import json
import os
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from rnn_apps.evaluation import report as module
from rnn_apps.evaluation.report import Report


def metric(value, low, high):
    return {"value": value, "low": low, "high": high}


def example(**changes):
    fields = {
        "application": "forecasting", "data": "prices $_$", "examples": 12345,
        "metrics": {"error": metric(np.float32(0.25), 0.2, 0.3), "coverage": metric(*[None] * 3)},
        "baselines": {"persistence": {"error": metric(1234.5678, 0.0, 2000)}},
        "verdict": "The model beats persistence.",
    }  # fmt: skip
    fields["metrics"]["coverage"]["reason"] = "Coverage needs quantiles."
    return Report(**{**fields, **changes})


def test_the_dictionary_has_the_shape_that_people_script_against():
    assert example().to_dict() == {
        "application": "forecasting", "data": "prices $_$", "examples": 12345,
        "metrics": {"error": metric(0.25, 0.2, 0.3),
                    "coverage": {**metric(None, None, None),
                                 "reason": "Coverage needs quantiles."}},
        "baselines": {"persistence": {"error": metric(1234.57, 0.0, 2000)}},
        "verdict": "The model beats persistence.",
    }  # fmt: skip


def test_extras_stand_under_their_own_keys_and_may_not_hide_others():
    assert example(extras={"horizon": (1, 2)}).to_dict()["horizon"] == [1, 2]
    with pytest.raises(ValueError, match="verdict"):
        example(extras={"verdict": "fine"}).to_dict()


def test_json_is_strict_whatever_the_numbers_are(tmp_path):
    extras = {"array": np.array([[1.0, np.nan]]), "limit": np.inf, "count": np.int64(3),
              "flag": np.bool_(True), "third": 1 / 3, "word": "déjà"}  # fmt: skip
    example(extras=extras).save(tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    text = (tmp_path / "report.json").read_text("utf-8")
    read = json.loads(text, parse_constant=refuse)
    assert read["array"] == [[1.0, None]] and read["limit"] is None
    assert read["count"] == 3 and read["flag"] is True and read["third"] == 0.333333
    assert "déjà" in text and text.endswith("}\n")


def test_the_table_shows_every_metric_with_its_interval_and_the_verdict():
    text = str(example())
    assert "forecasting on prices $_$, 12,345 examples" in text
    assert "0.250 [0.200, 0.300]" in text and "1235 [0.000, 2000]" in text
    assert "Coverage needs quantiles." in text.splitlines()
    assert text.splitlines()[-1] == "The model beats persistence."
    row = next(line for line in text.splitlines() if "coverage" in line)
    assert row.count("–") == 2
    assert "\x1b" not in text


def test_saving_writes_every_picture_and_the_figures_last(tmp_path):
    paths = example(figures={"extra": lambda: Figure(figsize=(2, 1))}).save(tmp_path / "new")
    assert [path.name for path in paths] == ["metrics.png", "extra.png", "report.json"]
    assert sorted(os.listdir(tmp_path / "new")) == ["extra.png", "metrics.png", "report.json"]
    assert imread(tmp_path / "new" / "extra.png").shape[:2] == (150, 300)
    picture = imread(io.BytesIO((tmp_path / "new" / "metrics.png").read_bytes()))
    assert picture.shape[0] > 300 and picture[..., :3].std() > 0.05


def test_a_report_without_metrics_can_be_shown_and_saved(tmp_path):
    report = example(metrics={}, baselines={}, verdict="Nothing was measured.")
    assert "Nothing was measured." in str(report)
    assert [path.name for path in report.save(tmp_path)] == ["report.json"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    example().save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(source, target):
        raise OSError("no space left")

    monkeypatch.setattr(module.os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        example(examples=1).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_report_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        example().verdict = "better"


def test_further_tables_are_printed_and_not_kept_in_the_file():
    report = example(tables={"by step": [["step", "loss"], ["1", "0.25"]]})
    lines = str(report).splitlines()
    assert "by step" in [line.strip() for line in lines]
    assert any("step" in line and "loss" in line for line in lines)
    assert lines[-1] == report.verdict
    assert report.to_dict() == example().to_dict()


def test_many_columns_show_the_interval_of_the_model_alone():
    error = {"error": metric(0.0123456, 0.0111111, 0.0222222)}
    few = str(example(metrics=error, baselines=dict.fromkeys("abc", error)))
    many = str(example(metrics=error, baselines=dict.fromkeys("abcd", error)))
    assert few.count("0.01111") == 4 and many.count("0.01111") == 1
    assert many.count("0.01235") == 5


def test_letters_that_no_font_has_are_drawn_without_a_word():
    figure = Figure()
    figure.suptitle("\u052a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="missing from font"):
            figure.savefig(io.BytesIO(), format="png")
        picture = module.as_png(figure)
    assert imread(io.BytesIO(picture)).size > 0
