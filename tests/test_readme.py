"""What the README says is what runs."""

import csv
import json
import pathlib
import re
import shlex

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of exported tokenizers
from conftest import serialized, squares, tensors

from rnn_apps import cli

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.S)
LINES = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines() if line]
READY_MADE = {path.parent.name: path for path in (ROOT / "saved_models").glob("*/1")}
RAW_INPUT = {
    "sentiment": "text",
    "forecasting": "bars",
    "translation": "text",
    "captioning": "image_bytes",
    "language": "text",
}  # of instances that are no objects


def commands(program):
    return [line for line in LINES if line.split()[0] == program]


def test_every_block_is_known():
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}
    assert {line.split()[0] for line in LINES} == {"make", "rnn-apps", "cd", "docker", "curl"}


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = {shlex.split(line, comments=True)[1] for line in commands("make")}
    assert targets == {"quickstart", "serve", "test"}
    for target in [*targets, "figures"]:
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.fixture(scope="module")
def signatures():
    return {name: tf.saved_model.load(str(path)).signatures for name, path in READY_MADE.items()}


def as_request(url, body):
    """Application, signature and tensors that a model server makes of a REST request."""
    application, verb = url.rsplit("/", 1)[1].split(":")
    name = body.get("signature_name", "serving_default")
    if verb in ("classify", "regress"):
        return application, name, {"inputs": tf.constant(serialized(body["examples"]))}
    assert verb == "predict"
    rows = body["instances"]
    if isinstance(rows[0], dict) and set(rows[0]) != {"b64"}:
        return application, name, tensors({key: [row[key] for row in rows] for key in rows[0]})
    raw = "closes" if name == "closes" else RAW_INPUT[application]
    return application, name, tensors({raw: rows})


def test_every_curl_line_is_answered_by_a_ready_made_export(signatures):
    answered = []
    for line in commands("curl"):
        program, flag, body, url = shlex.split(line)
        assert (program, flag) == ("curl", "-d")
        assert url.startswith("http://localhost:850")
        application, name, inputs = as_request(url, json.loads(body))
        outputs = signatures[application][name](**inputs)
        assert all(value.shape[0] == 1 for value in outputs.values())
        answered.append((application, name))
    every = [(application, name) for application in signatures for name in signatures[application]]
    assert sorted(answered) == sorted(every)


def test_the_tables_of_signatures_are_the_exports(signatures):
    tables = re.findall(r"\| signature of (\w+) \|", README)
    assert sorted(tables) == sorted(signatures)
    for application, table in re.findall(r"\| signature of (\w+) \|(.*?)\n\n", README, re.S):
        rows = re.findall(r"\| `(\w+)` \| (.*?) \| (.*?) \|(?:\n|$)", table)
        assert {name for name, _, _ in rows} == set(signatures[application])
        for name, takes, gives in rows:
            signature = signatures[application][name]
            assert set(re.findall(r"`(\w+)`:", takes)) == set(
                signature.structured_input_signature[1]
            )
            assert set(re.findall(r"`(\w+)`", gives)) == set(signature.structured_outputs)


def test_a_docker_line_mounts_each_ready_made_export():
    mounts = {}
    for line in commands("docker"):
        words = shlex.split(line)
        folder, mounted = words[words.index("-v") + 1].removeprefix("$PWD/").split(":")
        assert (ROOT / folder / "1" / "saved_model.pb").exists()
        name = words[words.index("-e") + 1].removeprefix("MODEL_NAME=")
        assert mounted == f"/models/{name}"
        port = words[words.index("-p") + 1].split(":")[0]
        assert all(f":{port}/" in line for line in commands("curl") if f"/{name}:" in line)
        mounts[name] = folder
    assert sorted(mounts) == sorted(READY_MADE)


@pytest.fixture
def a_place_with_prices(tmp_path, monkeypatch):
    """A folder with a prices.csv from 2017 to 2019, of three stocks."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    dates = pd.bdate_range("2017-01-02", "2019-06-28")
    frames = []
    for symbol in ("AAA", "BBB", "CCC"):
        close = 50 * np.exp(np.cumsum(0.01 * random.standard_normal(len(dates))))
        frame = pd.DataFrame({"symbol": symbol, "date": dates, "close": close.round(4)})
        frames.append(
            frame.assign(open=frame.close, high=frame.close * 1.01, low=frame.close * 0.99)
        )
    pd.concat(frames).assign(volume=1000).to_csv("prices.csv", index=False)


@pytest.mark.slow
def test_the_python_blocks_run_as_they_stand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    codes = [block for kind, block in BLOCKS if kind == "python"]
    assert len(codes) == len(READY_MADE)
    for code in codes:
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out
    assert "TF-IDF logistic regression" in printed
    assert "seasonal naive" in printed
    assert "table of words" in printed
    assert "nearest neighbour" in printed
    assert "Kneser-Ney 5-grams" in printed
    assert (tmp_path / "sentiment.keras").exists()
    assert (tmp_path / "saved_models" / "sentiment" / "1" / "saved_model.pb").exists()


@pytest.mark.slow
def test_every_command_runs_as_it_stands(a_place_with_prices, tmp_path, capsys):
    for name, offset in (("reviews.csv", 0), ("test.csv", 100)):
        with open(name, "w", newline="") as file:
            rows = [(f"a {w} evening, {n + offset}", w) for n in range(40) for w in ("bad", "good")]
            csv.writer(file).writerows([("review", "stars"), *rows])
    for name, size in (("train", 60), ("test", 8)):
        for language in ("en", "de"):
            lines = [f"{language} {n} is {n % 7} of {name}" for n in range(size)]
            pathlib.Path(f"{name}.{language}").write_text("\n".join(lines) + "\n")
    pathlib.Path("sentences.txt").write_text("en 1 is 2\n\nen 3\n")
    lines = [
        f"It was the {w} of lines, number {n % 9}" for n in range(200) for w in ("best", "last")
    ]
    pathlib.Path("book.txt").write_text("\n".join(lines) + "\n")
    pathlib.Path("album").mkdir()
    for number, (picture, captions) in enumerate(zip(*squares(), strict=True)):
        pathlib.Path("album", f"{number}.png").write_bytes(picture)
        with open("captions.csv", "a", newline="") as file:
            head = [] if number else [("image", "caption")]
            csv.writer(file).writerows([*head, *((f"{number}.png", text) for text in captions)])
    photo = tf.io.encode_jpeg(tf.io.decode_png(squares()[0][0]))
    pathlib.Path("photo.jpg").write_bytes(photo.numpy())
    ran = 0
    for line in commands("rnn-apps"):
        if line.split()[1] == "new":  # its train.py is run by the tests of the templates
            continue
        assert cli.main(shlex.split(line)[1:]) == 0, line
        ran += 1
    assert ran == 26
    printed = capsys.readouterr().out
    assert "TF-IDF logistic regression" in printed
    assert "saved_models/sentiment/1" in printed
    assert "seasonal naive" in printed
    header = (tmp_path / "forecast.csv").read_text().split("\n")[0]
    assert header.startswith("series,date,q0.025,")
    assert (tmp_path / "looked.png").exists()
    assert "It was the best of lines" in printed
    assert "photo.jpg\t" in printed and "album/11.png\t" in printed
    assert len((tmp_path / "translations.txt").read_text().splitlines()) == 3
