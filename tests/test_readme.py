"""What the README says is what runs."""

import csv
import json
import pathlib
import re
import shlex

import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of exported tokenizers
from conftest import serialized

from rnn_apps import cli

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.S)
LINES = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines() if line]
READY_MADE = ROOT / "saved_models" / "sentiment" / "1"


def commands(program):
    return [line for line in LINES if line.split()[0] == program]


def test_every_block_is_known():
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}
    assert {line.split()[0] for line in LINES} == {"make", "rnn-apps", "cd", "docker", "curl"}


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = {shlex.split(line, comments=True)[1] for line in commands("make")}
    assert targets == {"quickstart", "test"}
    for target in [*targets, "figures"]:
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.fixture(scope="module")
def signatures():
    return tf.saved_model.load(str(READY_MADE)).signatures


def as_request(url, body):
    """The signature and the tensor that a model server makes of a REST request."""
    verb = url.rsplit(":", 1)[1]
    if verb == "classify":
        return "classify", {"inputs": tf.constant(serialized(body["examples"]))}
    assert verb == "predict"
    return body.get("signature_name", "serving_default"), {"text": tf.constant(body["instances"])}


def test_every_curl_line_is_answered_by_the_ready_made_export(signatures):
    answered = []
    for line in commands("curl"):
        program, flag, body, url = shlex.split(line)
        assert (program, flag) == ("curl", "-d")
        assert url.startswith("http://localhost:8501/v1/models/sentiment:")
        name, inputs = as_request(url, json.loads(body))
        outputs = signatures[name](**inputs)
        assert all(value.shape[0] == 1 for value in outputs.values())
        answered.append(name)
    assert sorted(answered) == ["attention", "classify", "serving_default"]


def test_the_table_of_signatures_is_the_exports(signatures):
    for name, takes, gives in re.findall(r"\| `(\w+)` \| (.*?) \| (.*?) \|\n", README):
        assert set(re.findall(r"`(\w+)`:", takes)) == set(
            signatures[name].structured_input_signature[1]
        )
        assert set(re.findall(r"`(\w+)`", gives)) == set(signatures[name].structured_outputs)


def test_the_docker_line_mounts_a_model_that_is_there():
    (line,) = commands("docker")
    words = shlex.split(line)
    folder, mounted = words[words.index("-v") + 1].removeprefix("$PWD/").split(":")
    assert (ROOT / folder / "1" / "saved_model.pb").exists()
    assert mounted == "/models/" + words[words.index("-e") + 1].removeprefix("MODEL_NAME=")


@pytest.mark.slow
def test_the_python_block_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert "TF-IDF logistic regression" in capsys.readouterr().out
    assert (tmp_path / "sentiment.keras").exists()
    assert (tmp_path / "saved_models" / "sentiment" / "1" / "saved_model.pb").exists()


@pytest.mark.slow
def test_every_command_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, offset in (("reviews.csv", 0), ("test.csv", 100)):
        with open(name, "w", newline="") as file:
            rows = [(f"a {w} evening, {n + offset}", w) for n in range(40) for w in ("bad", "good")]
            csv.writer(file).writerows([("review", "stars"), *rows])
    ran = 0
    for line in commands("rnn-apps"):
        if line.split()[1] == "new":  # its train.py is run by the tests of the templates
            continue
        assert cli.main(shlex.split(line)[1:]) == 0, line
        ran += 1
    assert ran == 5
    printed = capsys.readouterr().out
    assert "TF-IDF logistic regression" in printed
    assert "saved_models/sentiment/1" in printed
