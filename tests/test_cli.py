"""The command line, used as its users do."""

import csv
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

import pytest
import yaml
from conftest import reviews

import rnn_apps
from rnn_apps import cli

SIZES = {"cell": "gru", "units": 8, "embedding_dim": 8, "vocabulary_size": 300}
SMALL = [f"--{k}={v}" for k, v in {**SIZES, "bidirectional": "false", "pooling": "max"}.items()]
PACKAGE = pathlib.Path(rnn_apps.__file__).parent
VERBS = (
    "list", "quickstart", "new", "train", "evaluate", "predict", "export", "check", "rollback",
    "label", "keep", "serve",
)  # fmt: skip


def call(*arguments):
    """The exit status of a command."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as left:
        return left.code


def write_csv(path, columns):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    return path


@pytest.fixture(scope="module")
def model_file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    trained.save(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder, trained by the command, beside the data it was trained on."""
    folder = tmp_path_factory.mktemp("work")
    texts, labels = reviews()
    write_csv(folder / "train.csv", {"review": texts, "stars": labels})
    write_csv(folder / "test.csv", {"review": [f"Well: {t}" for t in texts], "stars": labels})
    status = call(
        "train", "sentiment", "--data", folder / "train.csv", "--test", folder / "test.csv",
        "--columns", "text=review,label=stars", "--run", folder / "run", *SMALL,
        "--learning_rate", 0.02, "--fit.epochs", 2, "--seed", 3,
    )  # fmt: skip
    assert status == 0
    return folder / "run"


def start(*arguments, **options):
    """Runs the command in a process of its own."""
    command = [sys.executable, "-m", "rnn_apps.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent, **options)


# Help and wrong calls


def test_help_answers_in_under_half_a_second():
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        answer = start("--help")
        seconds.append(time.perf_counter() - began)
        assert answer.returncode == 0
    assert all(verb in answer.stdout for verb in VERBS)
    assert statistics.median(seconds) < 0.5


def test_neither_the_package_nor_help_imports_tensorflow():
    code = (
        "import sys, rnn_apps, rnn_apps.cli\n"
        "try: rnn_apps.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, cwd=PACKAGE.parent).returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_explains_itself(verb, capsys):
    assert not call(verb, "--help")
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: rnn-apps {verb}")
    assert len(shown.splitlines()) >= 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "required: COMMAND"),
        (["trane"], "invalid choice: 'trane'"),
        (["list", "--all"], "unrecognized arguments: --all"),
        (["new", "sentiment"], "required: FOLDER"),
        (["new", "speech", "x"], "'speech' is no application"),
        (["quickstart", "speech"], "'speech' is no application"),
        (["train"], "name an application first"),
        (["train", "speech"], "'speech' is no application"),
        (["train", "sentiment"], "required: data, run"),
        (["train", "sentiment", "--data", "a", "--run", "b", "--unit", "3"], "--unit"),
        (["train", "sentiment", "--data", "a", "--run", "b", "--units", "x"],
         "--units does not take 'x'"),
        (["train", "sentiment", "--data", "a", "--run", "b", "--fit.epoch", "3"], "--fit.epoch"),
        (["train", "sentiment", "--data", "a", "--run", "b", "--class_weight", "balance"],
         "--class_weight does not take 'balance'"),
        (["train", "sentiment", "--data", "a", "--run", "b", "--columns", "review"],
         "'review' where FEATURE=COLUMN is expected"),
        (["train", "sentiment", "--config", "no.yaml"], "File does not exist"),
        (["evaluate", "r"], "required: --data"),
        (["evaluate", "r", "--data", "d", "--columns", "=x"], "FEATURE=COLUMN is expected"),
        (["predict"], "required: RUN"),
        (["predict", "r", "text", "--shout"], "unrecognized arguments: --shout"),
        (["predict", "r", "text", "--format", "xml"], "invalid choice: 'xml'"),
        (["predict", "r", "text", "--input", "file"], "give one of them"),
        (["predict", "r", "--out", "x"], "unrecognized arguments: --out"),
        (["export", "r"], "required: FOLDER"),
        (["check"], "required: SAVED_MODEL"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_call_is_refused_in_one_sentence(arguments, says, capsys):
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rnn-apps: ")
    assert err.count("\n") == 1
    assert says in err
    assert "--help`" in err


def test_list_names_what_there_is(capsys):
    assert call("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line[0] != " "] == [
        "applications", "templates", "cells", "built-in data"
    ]  # fmt: skip
    assert {"  lstm", "  gru", "  simple_rnn", "  sentiment"} <= set(lines)


def test_the_application_lists_every_option_with_its_explanation(capsys):
    assert call("train", "sentiment", "--help") == 0
    shown = capsys.readouterr().out
    for option in (
        "--units",
        "--class_weight",
        "--learning_rate",
        "--fit.epochs",
        "--print_config",
    ):
        assert f"\n  {option}" in shown
    assert "steps after which backpropagation" in " ".join(shown.split())
    assert not {"--name", "--encoder", "--loss_weights", "--fit.validation_freq"} & set(
        shown.split()
    )


# A new folder


def test_new_copies_the_template_and_says_how_to_run_it(tmp_path, capsys):
    (tmp_path / "my app").mkdir()
    assert call("new", "sentiment", tmp_path / "my app") == 0
    assert {path.name for path in (tmp_path / "my app").iterdir()} == {"train.py", "README.md"}
    assert capsys.readouterr().out == f"cd '{tmp_path}/my app' && python train.py\n"


def test_new_leaves_a_folder_alone_that_is_not_empty(tmp_path, capsys):
    (tmp_path / "train.py").write_text("mine")
    assert call("new", "sentiment", tmp_path) == 1
    assert "not empty" in capsys.readouterr().err
    assert (tmp_path / "train.py").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


# Train and evaluate


def test_train_keeps_everything_in_the_run_folder(run):
    assert {path.name for path in run.iterdir()} == {
        "run.json", "config.yaml", "history.csv", "curves.png", "model.keras", "report.json",
        "metrics.png", "calibration.png", "confusion_matrix.png",
    }  # fmt: skip
    assert json.loads((run / "report.json").read_text())["data"] == "test.csv"
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["units"] == 8
    assert settings["fit"]["epochs"] == 2
    assert settings["seed"] == 3


def test_the_configuration_of_a_run_repeats_it(run, tmp_path, capsys):
    status = call(
        "train", "sentiment", "--config", run / "config.yaml", "--run", tmp_path / "again"
    )
    assert status == 0
    out, err = capsys.readouterr()
    assert "majority class" in out
    assert err.splitlines()[-1] == f"kept in {tmp_path}/again"
    for name in ("config.yaml", "history.csv", "report.json"):
        assert (tmp_path / "again" / name).read_text() == (run / name).read_text()


def test_an_option_after_the_configuration_overrides_it(run, capsys):
    arguments = ("--config", run / "config.yaml", "--units", 5, "--run", "elsewhere")
    assert call("train", "sentiment", *arguments, "--print_config") == 0
    settings = yaml.safe_load(capsys.readouterr().out)
    assert (settings["units"], settings["embedding_dim"], settings["run"]) == (5, 8, "elsewhere")


def test_evaluate_reads_the_training_examples_again_for_the_baselines(run, tmp_path, capsys):
    (run / "report.json").unlink()
    test = run.parent / "test.csv"
    columns = ("--columns", "text=review,label=stars")
    assert call("evaluate", run, "--data", test, *columns) == 0
    out, err = capsys.readouterr()
    assert "TF-IDF logistic regression" in out
    assert "left out" not in err
    assert json.loads((run / "report.json").read_text())["examples"] == 96


def test_evaluate_says_why_a_baseline_is_missing(run, model_file, capsys):
    test = ("--data", run.parent / "test.csv", "--columns", "text=review,label=stars")
    data = run.parent / "train.csv"
    content = data.read_text()
    config = (run / "config.yaml").read_text()
    reasons = []
    for spoil in (
        lambda: data.write_text(content.replace("fine", "fair")),
        data.unlink,
        lambda: (run / "config.yaml").write_text("units: 3\n"),
        lambda: (run / "config.yaml").write_text("- [\n"),
    ):
        spoil()
        assert call("evaluate", run, *test) == 0
        out, err = capsys.readouterr()
        assert "majority class" in out
        assert "TF-IDF" not in out
        reasons += [line for line in err.splitlines() if "left out: " in line]
    data.write_text(content)
    (run / "config.yaml").write_text(config)
    assert call("evaluate", model_file, *test) == 0
    reasons += [line for line in capsys.readouterr().err.splitlines() if "left out: " in line]
    assert len(reasons) == 5
    assert "has changed since" in reasons[0]
    assert "There is no file" in reasons[1]
    assert "has no config.yaml" in reasons[4]
    assert not (model_file.parent / "report.json").exists()


# Predict


def lines(text):
    return [line.split("\t") for line in text.splitlines()]


def stdin(monkeypatch, raw):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


def test_requests_as_arguments_stand_anywhere(model_file, capsys):
    texts = ["The story is fine.", "The story is not fine."]
    for arguments in (
        [model_file, *texts],
        [model_file, "--format", "text", *texts],
        [model_file, texts[0], "--format", "text", texts[1]],
        ["--format", "text", model_file, "--", *texts],
    ):
        assert call("predict", *arguments) == 0
        answers = lines(capsys.readouterr().out)
        assert [(row[0], row[-1]) for row in answers] == list(
            zip(["positive", "negative"], texts, strict=True)
        )
    assert call("predict", model_file, "fine", "--format", "text", "--", "--fine") == 0
    assert [row[-1] for row in lines(capsys.readouterr().out)] == ["fine", "--fine"]


def test_requests_on_standard_input_are_answered_line_by_line(model_file, monkeypatch, capsys):
    stdin(monkeypatch, b"The cast is dull.\n\nThe cast is not dull.\r\n caf\xe9 \xff\n")
    assert call("predict", model_file) == 0
    out, err = capsys.readouterr()
    assert [row[-1] for row in lines(out)] == [
        "The cast is dull.", "", "The cast is not dull.", " caf\ufffd \ufffd"
    ]  # fmt: skip
    assert [row[0] for row in lines(out)][::2] == ["negative", "positive"]
    assert err == ""


def test_nothing_asked_is_nothing_answered(model_file, monkeypatch, capsys):
    stdin(monkeypatch, b"")
    assert call("predict", model_file, "--format", "csv") == 0
    assert capsys.readouterr().out == ""


def test_arguments_that_are_not_utf8_are_answered(model_file, capsys):
    assert call("predict", model_file, "fine \udcff", "--format", "jsonl") == 0
    assert json.loads(capsys.readouterr().out)["text"] == "fine \ufffd"


@pytest.mark.parametrize("name", ["requests.txt", "requests.csv", "requests.tsv", "requests.jsonl"])
@pytest.mark.parametrize("form", ["text", "csv", "jsonl"])
def test_files_of_requests_become_files_of_answers(name, form, model_file, trained, tmp_path):
    texts = [f"The {thing} is {word}." for thing in ("cast", "plot") for word in ("dull", "fine")]
    texts += ["", texts[0]]
    contents = {
        "txt": "".join(f"{text}\n" for text in texts),
        "csv": "".join(f'x,"{text}"\n' for text in ["text", *texts]),
        "tsv": "".join(f"{text}\tx\n" for text in ["text", *texts]),
        "jsonl": "".join(f"{json.dumps({'text': text})}\n" for text in texts),
    }
    (tmp_path / name).write_text(contents[name.split(".")[1]])
    output = tmp_path / "deep" / f"answers.{form}"
    assert call("predict", model_file, "--input", tmp_path / name, "--output", output) == 0
    if form == "text":
        answers = [(row[-1], float(row[1])) for row in lines(output.read_text())]
    elif form == "csv":
        with open(output, newline="") as file:
            answers = [(row["text"], float(row["score"])) for row in csv.DictReader(file)]
    else:
        rows = map(json.loads, output.read_text().splitlines())
        answers = [(row["text"], row["score"]) for row in rows]
    assert [text for text, _ in answers] == texts
    scores = [score for _, score in answers]
    assert scores == pytest.approx(trained.predict(texts)["score"].tolist(), abs=1e-4)
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_an_output_that_is_no_file_is_written_to_not_replaced(model_file, tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    assert call("predict", model_file, "fine", "--output", pipe) == 0
    reader.join(10)
    assert read[0].startswith("positive\t")
    assert pipe.is_fifo()


def test_an_output_that_is_a_link_stays_one(model_file, tmp_path):
    (tmp_path / "link.csv").symlink_to("answers.csv")
    assert call("predict", model_file, "fine", "--output", tmp_path / "link.csv") == 0
    assert (tmp_path / "answers.csv").read_text().startswith("label,")
    assert (tmp_path / "link.csv").is_symlink()


# Export and check


def test_export_prints_the_version_it_published_and_check_finds_nothing(
    model_file, tmp_path, capsys
):
    assert call("export", model_file, tmp_path / "sentiment", "--with", "all") == 0
    assert capsys.readouterr().out == f"{tmp_path}/sentiment/1\n"
    files = {"models.config", "batching_parameters.txt", "monitoring.config", "docker-compose.yml"}
    assert {path.name for path in tmp_path.iterdir()} == {"sentiment", *files}
    asked = (tmp_path / "sentiment" / "clients" / "ask.sh").read_text()
    assert '{"instances": ["Good."]}' in asked and "/v1/models/sentiment:predict" in asked
    assert call("check", tmp_path / "sentiment") == 0
    assert "nothing to find fault with" in capsys.readouterr().out


def test_check_fails_where_a_server_would(tmp_path, capsys):
    assert call("check", tmp_path) == 1
    assert capsys.readouterr().out.startswith("error: ")
