"""The language model on the command line: trained, judged, asked, and writing as it goes."""

import json

import pytest
from conftest import VERSES

from rnn_apps import cli, load_model

SETTINGS = (
    "--units=16", "--vocabulary_size=300", "--steps=16", "--level=word", "--line_breaks=true",
    "--fit.epochs=2", "--fit.batch_size=4", "--fit.verbose=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder, and the book that it was trained on."""
    folder = tmp_path_factory.mktemp("language")
    (folder / "book.txt").write_text("\n".join(VERSES))
    (folder / "test.txt").write_text("\n".join(VERSES[:9]))
    arguments = [
        "--data",
        folder / "book.txt",
        "--test",
        folder / "test.txt",
        "--run",
        folder / "r",
    ]
    assert cli.main([str(a) for a in ["train", "language", *arguments, *SETTINGS]]) == 0
    return folder / "r"


def test_a_run_keeps_its_report_beside_n_grams(run):
    report = json.loads((run / "report.json").read_text())
    assert set(report["baselines"]) == {"unigrams", "Kneser-Ney 5-grams"}
    assert report["counts"]["texts"] == 1


def test_next_words_are_rows(run, capsys):
    assert cli.main(["predict", str(run), "one cat", "--format=jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert {row["text"] for row in rows} == {"one cat"}
    found = load_model(run).predict(["one cat"])
    assert [row["next"] for row in rows] == found["tokens"][0].tolist()


def test_a_continuation_is_written_behind_its_text(run, capsys):
    asked = ["generate", str(run), "one cat", "--length=9", "--temperature=0.7", "--seed=3"]
    assert cli.main(asked) == 0
    written = capsys.readouterr().out
    found = load_model(run).generate(["one cat"], 9, temperature=0.7, seed=3)
    assert written == f"one cat{found['continuation'][0]}\n"
    assert cli.main(["generate", str(run), "one cat", "--length=9", "--beams=3"]) == 0
    found = load_model(run).generate(["one cat"], 9, beams=3)
    assert capsys.readouterr().out == f"one cat{found['continuation'][0]}\n"


def test_nothing_but_a_language_model_continues_texts(trained, tmp_path, capsys):
    trained.save(tmp_path / "model.keras")
    with pytest.raises(SystemExit) as left:
        cli.main(["generate", str(tmp_path / "model.keras"), "one"])
    assert left.value.code == 2
    assert "a SentimentClassifier continues no texts" in capsys.readouterr().err


def test_a_length_out_of_range_is_refused_in_a_sentence(run, capsys):
    assert cli.main(["generate", str(run), "one", "--length=1000"]) == 1
    assert capsys.readouterr().err.startswith("rnn-apps: ")
