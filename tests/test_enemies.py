"""What goes wrong at users' desks ends in one clear sentence and leaves nothing broken."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import keras
import pytest
from conftest import reviews

import rnn_apps
from rnn_apps import cli, training

ROOT = Path(rnn_apps.__file__).parents[1]
SIZES = {"cell": "gru", "units": 8, "embedding_dim": 8, "vocabulary_size": 300}
SMALL = [f"--{k}={v}" for k, v in {**SIZES, "bidirectional": "false", "pooling": "max"}.items()]


def call(*arguments):
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as left:
        return left.code


def only_sentence(err):
    """The one line of standard error that says what went wrong."""
    assert "Traceback" not in err
    said = [line for line in err.splitlines() if line.startswith("rnn-apps: ")]
    assert len(said) == 1, err
    assert err.splitlines()[-1] == said[0]
    assert said[0].endswith((".", "?"))
    return said[0]


@pytest.fixture
def refused(capsys):
    """Runs a command that must fail; returns its sentence."""

    def run(*arguments, status=1):
        assert call(*arguments) == status
        out, err = capsys.readouterr()
        assert out == ""
        return only_sentence(err)

    return run


def write_csv(path, texts, labels, names=("text", "label"), **options):
    with open(path, "w", newline="", **options) as file:
        csv.writer(file).writerows([names, *zip(texts, labels, strict=True)])
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("data") / "good.csv", *reviews())


@pytest.fixture(scope="module")
def model_file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    trained.save(path)
    return path


def train(data, run, *more):
    return ("train", "sentiment", "--data", data, "--run", run, *SMALL, *more)


# Data


def test_a_wrong_column_name(tmp_path, refused, model_file):
    data = write_csv(tmp_path / "mine.csv", *reviews(), names=("text", "labels"))
    said = refused(*train(data, tmp_path / "run"))
    assert "'label'" in said
    assert "--columns label=labels" in said
    said = refused(*train(data, tmp_path / "run", "--columns", "text=txt,label=labels"))
    assert "'txt'" in said
    assert "--columns text=text" in said
    said = refused(*train(data, tmp_path / "run", "--columns", "stars=labels"))
    assert "'stars'" in said
    assert "'text', 'label'" in said
    assert "--columns label=labels" in refused("evaluate", model_file, "--data", data)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.csv"}


def test_a_label_never_seen_in_training(tmp_path, refused, model_file):
    data = write_csv(tmp_path / "test.csv", ["fine", "odd"], ["positive", "mixed"])
    said = refused("evaluate", model_file, "--data", data)
    assert "'mixed'" in said
    assert "negative, positive" in said


def test_one_class_only(tmp_path, refused):
    data = write_csv(tmp_path / "one.csv", *[reviews()[0], ["positive"] * 96])
    said = refused(*train(data, tmp_path / "run"))
    assert "'positive'" in said
    assert "two classes" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("content", "says"), [("", "is empty"), ("text,label\n", "no rows")])
def test_an_empty_file(content, says, tmp_path, refused, model_file):
    data = tmp_path / "empty.csv"
    data.write_text(content)
    assert says in refused(*train(data, tmp_path / "run"))
    assert says in refused("evaluate", model_file, "--data", data)
    assert says in refused("predict", model_file, "--input", data)
    assert not (tmp_path / "run").exists()


def test_a_file_in_latin_1(tmp_path, refused):
    texts, labels = reviews()
    data = write_csv(tmp_path / "old.csv", [*texts, "un café"], [*labels, "x"], encoding="latin-1")
    said = refused(*train(data, tmp_path / "run"))
    assert "old.csv, line 98" in said
    assert "iconv -f latin-1" in said
    assert not (tmp_path / "run").exists()


def test_a_data_file_that_does_not_exist(tmp_path, refused, good, model_file):
    shutil.copy(good, tmp_path / "reviews.csv")
    said = refused(*train(tmp_path / "review.csv", tmp_path / "run"))
    assert f"did you mean {tmp_path}/reviews.csv?" in said
    assert "There is no file" in refused("evaluate", model_file, "--data", tmp_path / "x.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in refused("evaluate", model_file, "--data", tmp_path / "folder.csv")
    assert not (tmp_path / "run").exists()


def test_a_kind_of_data_that_there_is_not(tmp_path, refused, good):
    shutil.copy(good, tmp_path / "reviews.xlsx")
    assert "'.xlsx'" in refused(*train(tmp_path / "reviews.xlsx", tmp_path / "run"))
    assert "built-in" not in refused(*train("builtins", tmp_path / "run"))


# Training


def test_a_class_weight_of_no_class(tmp_path, refused, good):
    said = refused(*train(good, tmp_path / "run", "--class_weight", '{"neutral": 2.0}'))
    assert "'neutral'" in said
    assert "negative, positive" in said
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite(tmp_path, good, capsys):
    run = tmp_path / "run"
    command = train(good, run, "--fit.epochs", 1, "--fit.batch_size", 8)
    assert call(*command, "--learning_rate", 3e38) == 1
    said = only_sentence(capsys.readouterr().err)
    assert re.search("The loss became (nan|inf) in batch", said)
    assert "learning rate" in said
    assert not (run / "model.keras").exists()
    assert call(*command, "--learning_rate", 0.01) == 0  # the folder is as good as new
    assert (run / "model.keras").exists()


def test_a_validation_loss_that_is_not_finite():
    """What the last step of an epoch has spoiled, only validation sees."""
    stop = training.StopOnNonFinite()
    stop.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0})
    stop.on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(FloatingPointError, match="validation loss became nan in epoch 2"):
        stop.on_epoch_end(1, {"loss": 1.0, "val_loss": float("nan")})


def test_a_run_folder_that_is_finished_or_is_none(tmp_path, refused, good, model_file):
    (tmp_path / "finished").mkdir()
    shutil.copy(model_file, tmp_path / "finished")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.doc").write_text("mine")
    assert "finished run" in refused(*train(good, tmp_path / "finished"))
    assert "chapter.doc" in refused(*train(good, tmp_path / "thesis"))
    assert "is a file" in refused(*train(good, tmp_path / "thesis" / "chapter.doc"))
    assert (tmp_path / "finished" / "model.keras").read_bytes() == model_file.read_bytes()
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.doc"]


_PREFIX = [sys.executable, "-m", "rnn_apps.cli"]


def start(*arguments):
    """Starts a command in a process that Ctrl-C reaches, wherever the tests were started."""
    return subprocess.Popen(
        [*_PREFIX, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def epochs(run):
    with open(run / "history.csv", newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_an_epoch(tmp_path, capsys):
    texts, labels = reviews()
    texts = [f"{text} {number}" for number in range(4) for text in texts]
    data, run = write_csv(tmp_path / "long.csv", texts, labels * 4), tmp_path / "run"
    command = train(data, run, "--fit.epochs", 5, "--fit.patience", "null", "--fit.batch_size", 4)
    process = start(*command)
    wait_for(run / "curves.png", process)  # the last that an epoch writes
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "the same command goes on" in only_sentence(err)
    finished = epochs(run)
    assert finished in ([1], [1, 2], [1, 2, 3])
    assert not [path.name for path in run.iterdir() if path.name.endswith("tmp")]
    assert call("export", run, tmp_path / "exports") == 1
    assert "has not finished" in only_sentence(capsys.readouterr().err)
    assert not (tmp_path / "exports").exists()
    assert call(*command, "--units", 9) == 1
    assert "units was 8 and is now 9" in only_sentence(capsys.readouterr().err)
    assert call(*command) == 0
    assert f"resuming {run} after epoch {len(finished)}" in capsys.readouterr().err
    assert epochs(run) == [1, 2, 3, 4, 5]
    assert (run / "model.keras").is_file()


# Models


def test_a_run_that_there_is_not(tmp_path, refused, good):
    for command in (
        ("evaluate", tmp_path / "no", "--data", good),
        ("predict", tmp_path / "no", "fine"),
        ("export", tmp_path / "no", tmp_path / "exports"),
    ):
        assert f"There is no file {tmp_path}/no;" in refused(*command)
    assert "no run folder" in refused("predict", tmp_path, "fine")
    assert list(tmp_path.iterdir()) == []


def test_a_model_file_cut_in_half(tmp_path, refused, good, model_file):
    half = tmp_path / "half.keras"
    content = model_file.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    for command in (
        ("evaluate", half, "--data", good),
        ("predict", half, "fine"),
        ("export", half, tmp_path / "exports"),
    ):
        assert "half.keras is not a whole .keras file" in refused(*command)
    half.write_bytes(content[: len(content) // 2] + bytes(99) + content[len(content) // 2 + 99 :])
    assert "not a whole .keras file" in refused("predict", half, "fine")
    assert not (tmp_path / "exports").exists()


def altered(source, path, **changes):
    """A copy of a .keras file with another configuration."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = json.dumps(json.loads(content) | changes)
            new.writestr(name, content)
    return path


def test_a_model_file_of_something_else(tmp_path, refused, model_file):
    keras.Sequential([keras.Input([2]), keras.layers.Dense(1)]).save(tmp_path / "dense.keras")
    assert "holds a Sequential" in refused("predict", tmp_path / "dense.keras", "fine")
    later = altered(model_file, tmp_path / "later.keras", module="rnn_apps.telepathy")
    assert "telepathy" in refused("predict", later, "fine")
    names = {"module": "mine", "class_name": "Mine", "registered_name": "mine>Mine"}
    mine = altered(tmp_path / "dense.keras", tmp_path / "mine.keras", **names)
    assert "'Mine'" in refused("predict", mine, "fine")
    with zipfile.ZipFile(model_file) as archive:
        config = json.loads(archive.read("config.json"))["config"]
    wider = altered(model_file, tmp_path / "wider.keras", config=config | {"units": 13})
    assert "could not be loaded" in refused("predict", wider, "fine")
    (tmp_path / "text.keras").write_text("not a model")
    assert "not a whole .keras file" in refused("predict", tmp_path / "text.keras", "fine")


# Requests


def test_requests_that_are_not_there(tmp_path, refused, good, model_file):
    missing = refused("predict", model_file, "--input", tmp_path / "no.txt")
    assert missing == f"rnn-apps: {tmp_path}/no.txt: No such file or directory."
    other = write_csv(tmp_path / "other.csv", *reviews(), names=("review", "label"))
    output = ("--output", tmp_path / "answers.csv")
    assert "no column 'text'" in refused("predict", model_file, "--input", other, *output)
    wrong = ("--columns", "text=reviews")
    assert "--columns text=review" in refused("predict", model_file, "--input", other, *wrong)
    assert not (tmp_path / "answers.csv").exists()


# Disks


@contextlib.contextmanager
def disk(path, size):
    """A disk of so many bytes; changed in size by calling what it gives."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    try:
        subprocess.run([*mount, f"size={size}", "rnn_apps", path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk takes the right to mount one: {error}")
    try:
        yield lambda new: subprocess.run([*mount, f"remount,size={new}", path], check=True)
    finally:
        subprocess.run(["umount", path], check=True)


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_full_disk_while_exporting(tmp_path, refused, model_file, capsys):
    with disk(tmp_path / "disk", 100_000) as resize:
        said = refused("export", model_file, tmp_path / "disk" / "sentiment")
        assert "No room" in said
        assert "MB are free" in said
        assert files(tmp_path / "disk") == []
        resize(10_000_000)
        assert call("export", model_file, tmp_path / "disk" / "sentiment") == 0
        assert capsys.readouterr().out == f"{tmp_path}/disk/sentiment/1\n"


def test_a_full_disk_while_training(tmp_path, good, capsys):
    with disk(tmp_path / "disk", 40_000) as resize:
        run = tmp_path / "disk" / "run"
        command = train(good, run, "--fit.epochs", 1)
        assert call(*command) == 1
        assert "No space left on device" in only_sentence(capsys.readouterr().err)
        assert {path.name for path in files(run)} <= {"run.json", "config.yaml"}
        resize(10_000_000)
        assert call(*command) == 0
        assert epochs(run) == [1]


def test_a_full_disk_while_answers_are_written(tmp_path, refused, model_file):
    requests = tmp_path / "requests.txt"
    requests.write_text("The story is fine.\n" * 2000)
    with disk(tmp_path / "disk", 40_000):
        output = tmp_path / "disk" / "answers.csv"
        output.write_text("of yesterday")
        said = refused("predict", model_file, "--input", requests, "--output", output)
        assert "No space left on device" in said
        assert output.read_text() == "of yesterday"
        assert files(tmp_path / "disk") == [output]


@pytest.mark.slow
def test_two_exports_at_once(tmp_path, model_file):
    both = [start("export", model_file, tmp_path / "sentiment") for _ in range(2)]
    printed = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    versions = {out.strip() for out, _ in printed}
    assert versions == {str(tmp_path / "sentiment" / number) for number in "12"}
    assert sorted(os.listdir(tmp_path / "sentiment")) == ["1", "2"]
    assert call("check", tmp_path / "sentiment") == 0
