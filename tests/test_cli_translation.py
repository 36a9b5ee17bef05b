"""Translation through the command line, used as its users do."""

import csv
import io
import json
import re
import sys

import pytest
import yaml
from conftest import pairs

from rnn_apps import cli, cli_training

SIZES = {"cell": "gru", "units": 6, "embedding_dim": 6, "vocabulary_size": 320, "beams": 3}
SMALL = [f"--{k}={v}" for k, v in {**SIZES, "encoder_layers": 1, "decoder_layers": 1}.items()]
PNG = b"\x89PNG\r\n"


def call(*arguments):
    """The exit status of a command."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as left:
        return left.code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder, trained by the command, beside the aligned files it was trained on."""
    folder = tmp_path_factory.mktemp("work")
    for name, lines in zip(("train.en", "train.xx"), pairs(), strict=True):
        (folder / name).write_text("\n".join(lines) + "\n")
    data = f"{folder}/train.en+train.xx"
    arguments = ("--run", folder / "run", *SMALL, "--fit.epochs", 1, "--test_fraction", 0.2)
    assert call("train", "translation", "--data", data, *arguments) == 0
    return folder / "run"


def stdin(monkeypatch, raw):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


def test_train_keeps_everything_in_the_run_folder(run):
    assert {path.name for path in run.iterdir()} == {
        "run.json", "config.yaml", "history.csv", "curves.png", "model.keras", "report.json",
        "metrics.png", "attention.png",
    }  # fmt: skip
    report = json.loads((run / "report.json").read_text())
    assert report["application"] == "Translator"
    assert set(report["baselines"]) == {"copy of the source", "table of words"}
    assert "val_bleu" in (run / "history.csv").read_text().split("\n")[0]
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["beams"] == 3
    assert settings["data"].endswith("train.en+train.xx")


def test_evaluate_finds_the_training_pairs_for_its_table_of_words(run, capsys):
    data = f"{run.parent}/train.en+train.xx"
    assert call("evaluate", run, "--data", data) == 0
    said = capsys.readouterr()
    assert "table of words" in said.out
    assert "left out" not in said.err


def test_evaluate_compares_with_another_run(run, capsys):
    data = f"{run.parent}/train.en+train.xx"
    assert call("evaluate", run, "--data", data, "--beside", run) == 0
    assert f"cannot be told apart from {run}" in " ".join(capsys.readouterr().out.split())


def test_only_a_translator_is_compared_with_another_run(run, trained, tmp_path, capsys):
    trained.save(tmp_path / "model.keras")
    arguments = ("--data", "builtin", "--beside", run)
    assert call("evaluate", tmp_path / "model.keras", *arguments) == 2
    assert "a SentimentClassifier does not take --beside here" in capsys.readouterr().err


def test_a_file_is_translated_line_by_line(run, tmp_path, capsys):
    (tmp_path / "in.txt").write_bytes(b"the red cat\r\n\nthe blue house and the new cup\n")
    output = tmp_path / "out.txt"
    assert call("predict", run, "--input", tmp_path / "in.txt", "--output", output) == 0
    lines = output.read_text().split("\n")
    assert len(lines) == 4 and lines[1] == lines[3] == ""
    assert not any("\t" in line for line in lines)
    assert [path.name for path in tmp_path.glob("*.png")] == []
    assert capsys.readouterr().out == ""


def test_scores_and_sources_come_as_csv(run, capsys):
    assert call("predict", run, "the red cat", "--format", "csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(row) == ["translation", "score", "source"]
    assert row["source"] == "the red cat" and float(row["score"]) < 0


def test_several_translations_are_asked_for_by_number(run, capsys):
    ask = ("predict", run, "the red cat", "the dog", "--n_best", 2, "--beam_size", 3)
    assert call(*ask, "--format", "jsonl") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["request"], row["rank"]) for row in rows] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert call(*ask) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [["1", "1"], ["1", "2"], ["2", "1"], ["2", "2"]]
    assert [line[2] for line in lines] == [re.sub(r"\s", " ", row["translation"]) for row in rows]


def test_standard_input_is_translated_too(run, monkeypatch, capsys):
    stdin(monkeypatch, b"the red cat\nthe dog\n")
    assert call("predict", run, "--beam_size", 1, "--length_penalty", 0) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_long_texts_are_counted(run, capsys):
    assert call("predict", run, "the red cat " * 30) == 0
    assert "1 of 1 texts have more subwords than any source" in capsys.readouterr().err


def test_the_attention_is_drawn_when_asked_for(run, tmp_path, capsys):
    picture = tmp_path / "attention.png"
    assert call("predict", run, "the red cat", "--plot", picture) == 0
    assert picture.read_bytes().startswith(PNG)
    assert capsys.readouterr().err.strip().endswith(f"drawn in {picture}")


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (("--beam_size", 9), 1, "beam_size=9 is out of range; give a number from 1 to 3"),
        (("--beam_size", "many"), 2, "--beam_size: invalid int value"),
        (("--splits", "keep"), 2, "a Translator does not take --splits here"),
    ],
)
def test_a_wrong_call_is_refused_in_one_sentence(run, capsys, arguments, status, expected):
    assert call("predict", run, "the red cat", *arguments) == status
    err = capsys.readouterr().err
    assert expected in err and "Traceback" not in err


def test_options_of_a_search_are_those_of_applications_that_search(trained, tmp_path, capsys):
    trained.save(tmp_path / "model.keras")
    assert call("predict", tmp_path / "model.keras", "fine", "--n_best", 2) == 2
    assert "a SentimentClassifier does not take --n_best here" in capsys.readouterr().err


def test_training_is_configured_by_the_loader_of_pairs(capsys):
    assert call("train", "translation", "--help") == 0
    shown = capsys.readouterr().out
    assert "--validation_fraction" in shown and "--vocabulary_size" in shown
    assert "--limits" not in shown and "--encoder " not in shown
    assert "aligned files" in " ".join(cli_training.DATA.split())
