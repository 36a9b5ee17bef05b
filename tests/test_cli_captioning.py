"""Captioning through the command line, used as its users do."""

import base64
import csv
import io
import json
import re
import sys

import pytest
import yaml
from conftest import squares

from rnn_apps import ImageCaptioner, cli, cli_training

SIZES = {"image_size": 24, "units": 8, "embedding_dim": 8, "vocabulary_size": 320, "max_length": 12}
SMALL = [f"--{name}={value}" for name, value in SIZES.items()]
PNG = b"\x89PNG\r\n"
PICTURES, CAPTIONS = squares()


def call(*arguments):
    """The exit status of a command."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as left:
        return left.code


def write_pictures(folder):
    """Writes the squares into a folder; returns their names."""
    folder.mkdir(parents=True)
    names = [f"{number:02}.png" for number in range(len(PICTURES))]
    for name, picture in zip(names, PICTURES, strict=True):
        (folder / name).write_bytes(picture)
    return names


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """A folder of pictures and a table of their captions."""
    folder = tmp_path_factory.mktemp("work") / "album"
    names = write_pictures(folder / "images")
    with open(folder / "captions.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for name, texts in zip(names, CAPTIONS, strict=True):
            writer.writerows([name, text] for text in texts)
    return folder


@pytest.fixture(scope="module")
def run(album):
    """A run folder, trained by the command on the album."""
    arguments = ("--run", album.parent / "run", *SMALL, "--test_fraction", 0.3)
    arguments += ("--fit.epochs", 12, "--learning_rate", 0.02, "--fit.patience", "null")
    assert call("train", "captioning", "--data", album, *arguments) == 0
    return album.parent / "run"


def test_train_keeps_everything_in_the_run_folder(run):
    assert {path.name for path in run.iterdir()} == {
        "run.json", "config.yaml", "history.csv", "curves.png", "model.keras", "report.json",
        "metrics.png", "attention.png", "captions.png",
    }  # fmt: skip
    report = json.loads((run / "report.json").read_text())
    assert report["application"] == "ImageCaptioner"
    assert set(report["baselines"]) == {
        "most frequent caption", "nearest neighbour", "own model on shuffled pictures",
        "another person",
    }  # fmt: skip
    assert "val_cider_d" in (run / "history.csv").read_text().split("\n")[0]
    assert yaml.safe_load((run / "config.yaml").read_text())["image_size"] == 24


def test_evaluate_prints_the_report_and_draws_the_attention_and_a_contact_sheet(run, album, capsys):
    drawn = ("attention.png", "captions.png")
    for name in drawn:
        (run / name).unlink()
    assert call("evaluate", run, "--data", album / "captions.csv", "--beside", run) == 0
    said = capsys.readouterr()
    assert "nearest neighbour" in said.out and "shuffled pictures" in said.out
    assert f"cannot be told apart from {run}" in " ".join(said.out.split())
    assert "left out" not in said.err
    assert all((run / name).read_bytes().startswith(PNG) for name in drawn)


def test_evaluate_is_told_where_the_pictures_lie(run, album, tmp_path, capsys):
    (tmp_path / "far").mkdir()
    table = tmp_path / "far" / "captions.csv"
    table.write_text((album / "captions.csv").read_text())
    assert call("evaluate", run, "--data", table) == 1
    assert "00.png" in capsys.readouterr().err
    assert call("evaluate", run, "--data", table, "--folder", album / "images") == 0
    assert "12 examples" in capsys.readouterr().out


def test_files_and_folders_are_captioned_with_their_names_beside(run, album, tmp_path, capsys):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    one = album / "images" / "03.png"
    assert call("predict", run, one, tmp_path / "bad.jpg", album / "images") == 0
    said = capsys.readouterr()
    rows = [line.split("\t") for line in said.out.splitlines()]
    names = [str(album / "images" / f"{number:02}.png") for number in range(12)]
    assert [name for name, _ in rows] == [str(one), str(tmp_path / "bad.jpg"), *names]
    assert rows[1][1] == "" and rows[0][1] == rows[5][1] != ""
    assert "1 of 14 files cannot be read as a picture" in said.err and "bad.jpg" in said.err


def test_scores_come_as_csv_and_several_captions_by_number(run, album, tmp_path, capsys):
    pictures = [album / "images" / name for name in ("00.png", "01.png")]
    output = tmp_path / "captions.csv"
    assert call("predict", run, *pictures, "--output", output) == 0
    rows = list(csv.DictReader(output.open()))
    assert list(rows[0]) == ["caption", "score", "ok", "file"]
    assert [row["file"] for row in rows] == [str(picture) for picture in pictures]
    assert not list(tmp_path.glob("*.png"))
    ask = ("predict", run, *pictures, "--n_best", 2, "--beam_size", 3, "--format", "jsonl")
    assert call(*ask) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["request"], row["rank"]) for row in rows] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_picture_or_names_come_by_standard_input(run, album, monkeypatch, capsys):
    for raw, name in (
        (PICTURES[0], "-"),
        (f"{album}/images/00.png\n".encode(), f"{album}/images/00.png"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        assert call("predict", run, "--beam_size", 1, "--length_penalty", 0) == 0
        assert capsys.readouterr().out.split("\t")[0] == name


def test_where_it_looked_is_drawn_when_asked_for(run, album, tmp_path, capsys):
    picture = tmp_path / "looked.png"
    assert call("predict", run, album / "images" / "00.png", "--plot", picture) == 0
    assert picture.read_bytes().startswith(PNG)
    said = capsys.readouterr()
    caption = said.out.rstrip("\n").split("\t")[1]
    title = "".join(letter if letter.isprintable() else " " for letter in caption)
    assert said.err.rstrip("\n").endswith(f"drawn in {picture}: {title}")
    assert call("predict", run, tmp_path / "gone.png", "--plot", tmp_path / "no.png") == 2
    assert "an ImageCaptioner has nothing to draw" in capsys.readouterr().err
    assert not (tmp_path / "no.png").exists()


@pytest.fixture(scope="module")
def exported(run):
    """A version, published by the command."""
    folder = run.parent / "saved_models" / "captioning"
    assert call("export", run, folder) == 0
    return folder / "1"


def test_an_export_is_published_and_found_without_fault(exported, capsys):
    assert call("check", exported) == 0
    assert "nothing to find fault with" in capsys.readouterr().out


def test_quickstart_shows_a_request_in_bytes_as_a_server_takes_it(
    exported, tmp_path, monkeypatch, capsys
):
    template = tmp_path / "templates" / "captioning" / "train.py"
    template.parent.mkdir(parents=True)
    template.write_text(
        f"PICTURE = bytes.fromhex({PICTURES[0].hex()!r})\n"
        'REQUEST = {"image_bytes": [PICTURE]}\n'
        f"version = {str(exported)!r}\n"
    )
    monkeypatch.setattr(cli, "_templates", lambda: tmp_path / "templates")
    monkeypatch.setattr(sys, "argv", [])
    assert call("quickstart", "captioning") == 0
    shown = capsys.readouterr().out
    asked = json.loads(re.search(r"answers (.*)", shown)[1])
    assert list(asked) == ["image_bytes"]
    (text,) = (part["b64"] for part in asked["image_bytes"])
    assert text.endswith("…") and PICTURES[0].startswith(base64.b64decode(text[:-1]))
    assert re.search(r"^  ok: True$", shown, re.M)
    assert re.search(r"^  caption: \S", shown, re.M)
    assert re.search(r"^  score: -\d", shown, re.M)


def named(data, *arguments):
    """The examples that `train captioning` is told to train on."""
    arguments = ["--data", str(data), "--run", "run", *map(str, arguments)]
    settings = cli_training.settings_of(ImageCaptioner, "rnn-apps train captioning", arguments)
    splits = cli_training.load_named(ImageCaptioner, settings)
    return ImageCaptioner.examples(None, splits.train), splits


def by_picture(columns):
    return dict(zip(columns["image"], columns["captions"], strict=True))


EVERY = dict(zip(PICTURES, CAPTIONS, strict=True))


def test_a_folder_a_table_and_lines_of_json_are_trained_on(album, tmp_path):
    names = write_pictures(tmp_path / "2024")
    with open(tmp_path / "captions.jsonl", "w") as file:
        for name, texts in zip(names, CAPTIONS, strict=True):
            print(json.dumps({"photo": name, "said": texts}), file=file)
    whole = ("--validation_fraction", 0)
    for data in (album, album / "captions.csv"):
        assert by_picture(named(data, *whole)[0]) == EVERY
    columns = ("--columns", "image=photo,captions=said", "--folder", tmp_path / "2024")
    found, splits = named(tmp_path / "captions.jsonl", *whole, *columns)
    assert by_picture(found) == EVERY
    assert splits.validation is None
    assert len(by_picture(named(album, "--validation_fraction", 0.25)[0])) == 9


def test_the_token_file_of_flickr8k_is_trained_on(tmp_path):
    names = write_pictures(tmp_path / "Flicker8k_Dataset")
    lines = [
        f"{name}#{number}\t{text}"
        for name, texts in zip(names, CAPTIONS, strict=True)
        for number, text in enumerate(texts)
    ]
    (tmp_path / "text").mkdir()
    token = tmp_path / "text" / "Flickr8k.token.txt"
    token.write_text("\n".join(lines) + "\n")
    for split, some in (("train", names[:8]), ("dev", names[8:10]), ("test", names[10:])):
        path = tmp_path / "text" / f"Flickr_8k.{split}Images.txt"
        path.write_text("\n".join(some) + "\n")
    found, splits = named(token)
    assert by_picture(found) == dict(list(EVERY.items())[:8])
    assert [len(list(part)) for part in (splits.validation, splits.test)] == [2, 2]


def test_the_annotations_of_coco_are_trained_on(tmp_path):
    names = write_pictures(tmp_path / "train2017")
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    said = [
        {"id": 2 * number + which, "image_id": number, "caption": text}
        for number, texts in enumerate(CAPTIONS)
        for which, text in enumerate(texts)
    ]
    (tmp_path / "annotations").mkdir()
    path = tmp_path / "annotations" / "captions_train2017.json"
    path.write_text(json.dumps({"images": images, "annotations": said}))
    assert by_picture(named(path, "--validation_fraction", 0)[0]) == EVERY


def test_a_set_of_tensorflow_datasets_is_judged_on(run, capsys):
    import tensorflow_datasets as tfds

    with tfds.testing.mock_data(num_examples=3):  # the same three in every split of it
        assert call("evaluate", run, "--data", "tfds:coco_captions") == 0
        with pytest.raises(ValueError, match="Every picture of validation is in the data"):
            named("tfds:coco_captions")
    assert "tfds:coco_captions, 3 examples" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (("--beam_size", 9), 1, "beam_size=9 is out of range; give a number from 1 to 3"),
        (("--splits", "keep"), 2, "an ImageCaptioner does not take --splits here"),
        (("--bad_rows", "skip"), 2, "an ImageCaptioner does not take --bad_rows here"),
    ],
)
def test_a_wrong_call_is_refused_in_one_sentence(run, album, capsys, arguments, status, expected):
    assert call("predict", run, album / "images" / "00.png", *arguments) == status
    err = capsys.readouterr().err
    assert expected in err and "Traceback" not in err


def test_only_a_captioner_is_told_a_folder(trained, tmp_path, capsys):
    trained.save(tmp_path / "model.keras")
    arguments = ("--data", "builtin", "--folder", tmp_path)
    assert call("evaluate", tmp_path / "model.keras", *arguments) == 2
    assert "a SentimentClassifier does not take --folder here" in capsys.readouterr().err


def test_training_is_configured_by_the_loader_of_captions(capsys):
    assert call("train", "captioning", "--help") == 0
    shown = capsys.readouterr().out
    assert "--folder" in shown and "--backbone_weights" in shown
    assert "annotation JSON" in " ".join(cli_training.DATA.split())
    assert call("train", "captioning", "--data", "a", "--run", "b", "--bad_rows", "mend") == 2
    assert "--bad_rows does not take 'mend'" in capsys.readouterr().err
