from pathlib import Path

import pytest
import tensorflow_datasets

from rnn_apps.data import as_columns, load

BOTH = ("text", "label")
REVIEWS = Path(__file__).parents[1] / "../shared/data/reviews"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def write(path, texts, label="1"):
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text in texts))
    return path


def texts(dataset):
    return as_columns(dataset, features=BOTH)["text"].tolist()


def test_the_builtin_reviews_come_in_three_splits():
    splits = load("builtin")
    assert [len(texts(part)) for part in (splits.train, splits.validation, splits.test)] == [
        5000,
        500,
        1000,
    ]
    assert splits.name == "builtin" and len(splits.fingerprint) == 64
    assert splits.notes == ()


def test_validation_is_held_out_by_content_not_by_position(tmp_path):
    words = [f"text {number}" for number in range(40)]
    one = load(write(tmp_path / "a.csv", words), validation_fraction=0.25)
    two = load(write(tmp_path / "b.csv", words[::-1]), validation_fraction=0.25)
    other = load(tmp_path / "a.csv", validation_fraction=0.25, seed=1)
    assert set(texts(one.validation)) == set(texts(two.validation))
    assert set(texts(one.validation)) != set(texts(other.validation))
    assert len(texts(one.validation)) == 10 and one.test is None
    assert sorted(texts(one.train) + texts(one.validation)) == sorted(words)
    assert texts(one.train) == [word for word in words if word in set(texts(one.train))]
    assert one.notes == ("10 of 40 training examples were held out for validation.",)
    assert one.name == "a.csv" and one.fingerprint != two.fingerprint


def test_equal_texts_are_held_out_together(tmp_path):
    path = write(tmp_path / "a.csv", [f"Text  {number % 10}" for number in range(50)])
    splits = load(path, validation_fraction=0.3)
    assert not set(texts(splits.train)) & set(texts(splits.validation))
    assert len(texts(splits.validation)) == 15


def test_nothing_is_held_out_when_told_so(tmp_path):
    splits = load(write(tmp_path / "a.csv", "abc"), validation_fraction=0)
    assert splits.validation is None and texts(splits.train) == ["a", "b", "c"]


def test_duplicates_across_splits_are_dropped_and_counted(tmp_path):
    splits = load(
        write(tmp_path / "train.csv", ["one", "ONE ", "two", "three", "four", "four"]),
        validation=write(tmp_path / "validation.csv", ["Two", "five"]),
        test=write(tmp_path / "test.csv", [" one", "six", "FIVE"]),
    )
    assert texts(splits.train) == ["three", "four", "four"]
    assert texts(splits.validation) == ["Two"]
    assert texts(splits.test) == [" one", "six", "FIVE"]
    assert splits.notes == (
        "1 example was dropped from validation: the same text is in test.",
        "1 example was dropped from train: the same text is in validation.",
        "2 examples were dropped from train: the same text is in test.",
    )


def test_bad_rows_are_skipped_only_when_told_so(tmp_path):
    path = write(tmp_path / "a.csv", ["one", "two,too"])
    with pytest.raises(ValueError, match="a.csv, line 3"):
        load(path)
    splits = load(path, bad_rows="skip", validation_fraction=0)
    assert splits.notes[0].startswith("1 bad row was skipped in a.csv; the first is line 3")


def test_a_test_file_alone_is_enough(tmp_path):
    splits = load(None, test=write(tmp_path / "a.csv", ["one", "two"]))
    assert splits.train is None and splits.validation is None
    assert texts(splits.test) == ["one", "two"] and splits.name == "a.csv"


def test_test_data_may_have_any_name(tmp_path):
    path = write(tmp_path / "a.csv", ["one", "two"])
    assert len(texts(load(path, test="builtin").test)) == 1000
    with tensorflow_datasets.testing.mock_data(num_examples=3):
        assert len(texts(load(path, test="tfds:imdb_reviews").test)) == 3


def test_column_names_can_be_given(tmp_path):
    (tmp_path / "a.tsv").write_text("en\tde\nhello\tHallo\nyes\tJa\n")
    splits = load(
        tmp_path / "a.tsv", features=("source", "target"), columns={"source": "en", "target": "de"}
    )
    columns = as_columns(splits.train, features=("source", "target"))
    assert columns["target"][0] in ("Hallo", "Ja")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"validation_fraction": 1}, "validation_fraction is 1;"),
        ({"columns": {"txt": "text"}}, "columns names the feature 'txt'"),
        ({"bad_rows": "drop"}, "'stop' or 'skip'"),
        ({"source": None}, "No data was named"),
        ({"test": "a.csv"}, "Every text of train is in the data it is judged on"),
        ({"source": "one.csv"}, "one text only"),
        ({"source": "builtin", "columns": {"text": "txt"}}, "no column 'txt'.*mean 'text'"),
        ({"columns": {"text": "txt"}}, "no column 'txt' in .*pass columns={'text': 'text'}"),
    ],
)
def test_a_wrong_setting_is_said_in_one_sentence(tmp_path, monkeypatch, settings, sentence):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.csv", ["one", "two"])
    write(tmp_path / "one.csv", ["one", "ONE"])
    with pytest.raises(ValueError, match=sentence):
        load(**{"source": "a.csv", **settings})


@pytest.mark.real_data
def test_the_duplicates_of_imdb_are_dropped():
    if not REVIEWS.is_dir():
        pytest.skip(f"there is no folder {REVIEWS}")
    splits = load(REVIEWS / "imdb.train.tsv.gz", test=REVIEWS / "imdb.test.tsv.gz")
    assert splits.notes[0] == "123 examples were dropped from train: the same text is in test."
    assert len(texts(splits.test)) == 25_000
    assert len(texts(splits.train)) + len(texts(splits.validation)) == 24_877
    assert len(texts(load(None, test=REVIEWS / "mr.tsv").test)) == 10_662
