"""Texts for a language model: files whole or in pieces, and what is held out of them."""

import gzip
import json
from pathlib import Path

import pytest
import tensorflow_datasets

from rnn_apps.data import as_columns, load, load_texts
from rnn_apps.data.files import read_text

PLAY = "Who is there?\n\nNay, answer me.\nStand.\n"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def texts(split):
    return split["text"].tolist()


@pytest.mark.parametrize("name", ["play.txt", "play.TXT", "play.txt.gz"])
@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("file", [PLAY]),
        ("line", ["Who is there?", "Nay, answer me.", "Stand."]),
        ("paragraph", ["Who is there?", "Nay, answer me.\nStand."]),
    ],
)
def test_a_text_file_is_one_text_or_its_lines_or_its_paragraphs(tmp_path, name, unit, expected):
    path = write(tmp_path / name.replace("TXT", "txt"), PLAY.replace("\n", "\r\n"))
    splits = load_texts(path, unit=unit, validation_fraction=0)
    assert texts(splits.train) == expected
    assert splits.validation is None and splits.test is None
    assert splits.name == path.name and len(splits.fingerprint) == 64 and splits.notes == ()
    assert as_columns(splits.train, features=("text",))["text"].tolist() == expected


def test_blank_lines_that_hold_white_space_part_paragraphs_too(tmp_path):
    path = write(tmp_path / "a.txt", "\n one\ntwo\n \t\n\n\n  three\n")
    assert texts(load_texts(path, unit="paragraph", validation_fraction=0).train) == [
        " one\ntwo",
        "  three",
    ]


def test_the_end_of_one_text_is_held_out_at_a_line_break(tmp_path):
    lines = "".join(f"This is line {number} of it.\n" for number in range(1000))
    path = write(tmp_path / "a.txt", lines)
    splits = load_texts(path, test_fraction=0.2)
    parts = [texts(part) for part in (splits.train, splits.validation, splits.test)]
    assert "".join(parts[0] + parts[1] + parts[2]) == lines
    assert all(len(part) == 1 and part[0].startswith("This") for part in parts)
    assert [part[0].count("\n") for part in parts] == pytest.approx([720, 80, 200], abs=4)
    assert splits.notes[0].startswith("The last 20 % of the text (4,7")
    assert "for validation" in splits.notes[1] and len(splits.notes) == 2
    assert load_texts(path, test_fraction=0.2, seed=5).fingerprint == splits.fingerprint


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("word " * 40, "word " * 4),  # no line break near: at a blank
        ("first\n" + "x" * 200, "x" * 21),  # nor a blank: where it comes
        ("ab", "b"),
        (" a\n\n\n\n\n\nb \n\n\n\n\n\n\n", "b \n\n\n\n\n\n\n"),
        ("abc\n\n\n\n\n\n\n\n\n\n", "c\n\n\n\n\n\n\n\n\n\n"),
    ],
)
def test_a_text_without_line_breaks_is_cut_where_it_can_be(tmp_path, text, end):
    splits = load_texts(write(tmp_path / "a.txt", text))
    assert texts(splits.train) + texts(splits.validation) == [text.removesuffix(end), end]


def test_one_letter_cannot_be_divided(tmp_path):
    path = write(tmp_path / "a.txt", "a\n")
    with pytest.raises(ValueError, match="'a' is too short to be divided"):
        load_texts(path)
    assert texts(load_texts(path, validation_fraction=0).train) == ["a\n"]


def test_labels_beside_the_texts_are_not_read(tmp_path):
    rows = "label\ttext\n" + "".join(f"{n % 2 or ''}\tThe text {n}\n" for n in range(20))
    splits = load_texts(write(tmp_path / "a.tsv", rows))
    assert len(texts(splits.train)) == 18 and len(texts(splits.validation)) == 2
    labelled = rows.replace("\n\t", "\n0\t")
    same = load(write(tmp_path / "b.tsv", labelled), validation_fraction=0.1)
    assert as_columns(same.validation, features=("text", "label"))["text"].tolist() == texts(
        splits.validation
    )
    objects = "".join(json.dumps({"review": text, "stars": 3}) + "\n" for text in "abc")
    path = write(tmp_path / "a.jsonl.gz", objects)
    assert texts(load_texts(path, columns={"text": "review"}, validation_fraction=0).train) == [
        *"abc"
    ]
    with pytest.raises(ValueError, match="no column 'text'"):
        load_texts(path)
    with pytest.raises(ValueError, match="columns names the feature 'label'"):
        load_texts(path, columns={"label": "stars"})


def test_the_builtin_texts_are_divided_as_for_their_classifier():
    splits, labelled = load_texts("builtin"), load("builtin")
    for split in ("train", "validation", "test"):
        columns = as_columns(getattr(labelled, split), features=("text", "label"))
        assert texts(getattr(splits, split)) == columns["text"].tolist()
    assert splits.name == "builtin" and splits.notes == ()


def test_data_sets_by_name_need_no_label():
    with tensorflow_datasets.testing.mock_data(num_examples=12):
        splits = load_texts(None, test="tfds:imdb_reviews")
        with pytest.raises(ValueError, match="no column 'review' in tfds:imdb_reviews"):
            load_texts(None, test="tfds:imdb_reviews", columns={"text": "review"})
    assert len(texts(splits.test)) == 12 and isinstance(texts(splits.test)[0], str)


def test_a_folder_tells_by_its_names_which_split_a_file_is(tmp_path):
    for split in ("train", "valid", "test"):
        write(tmp_path / f"ptb.{split}.txt.gz", f"some {split}\n words\n")
    write(tmp_path / "README.txt", "no data")
    write(tmp_path / "train.md", "no text")
    splits = load_texts(tmp_path)
    assert texts(splits.train) == ["some train\n words\n"]
    assert texts(splits.validation) == ["some valid\n words\n"]
    assert texts(splits.test) == ["some test\n words\n"]
    assert splits.notes == (
        f"1 file is left out of {tmp_path.name}, as README.txt: of no named split.",
    )
    assert texts(load_texts(None, test=tmp_path, unit="line").test) == ["some test", " words"]


def test_subfolders_may_be_splits_or_only_folders(tmp_path):
    for name in ("train/pos/2.txt", "train/neg/1.txt", "test/pos/1.txt", "dev/1.txt"):
        write(tmp_path / "a" / name, name)
        write(tmp_path / "b" / name.replace("train", "more"), name)
    splits = load_texts(tmp_path / "a")
    assert texts(splits.train) == ["train/neg/1.txt", "train/pos/2.txt"]
    assert texts(splits.validation) == ["dev/1.txt"] and texts(splits.test) == ["test/pos/1.txt"]
    assert len(texts(load_texts(tmp_path / "b", validation_fraction=0).train)) == 4


def test_texts_of_a_later_split_are_dropped_and_lines_are_not(tmp_path):
    train = write(tmp_path / "train.csv", "text\none\ntwo\ntwo\nthree\n")
    test = write(tmp_path / "test.csv", "text\nTWO\nfour\n")
    splits = load_texts(train, test=test, validation_fraction=0)
    assert texts(splits.train) == ["one", "three"] and texts(splits.test) == ["TWO", "four"]
    assert splits.notes == ("2 examples were dropped from train: the same text is in test.",)
    train = write(tmp_path / "train.txt", "one\ntwo\ntwo\nthree\n")
    test = write(tmp_path / "test.txt", "two\nfour\n")
    splits = load_texts(train, test=test, unit="line", validation_fraction=0)
    assert texts(splits.train) == ["one", "two", "two", "three"] and splits.notes == ()
    with pytest.raises(ValueError, match="Every text of train is in the data it is judged on"):
        load_texts(train, test=train, unit="line")


def test_lines_are_held_out_by_content_and_equal_ones_together(tmp_path):
    path = write(tmp_path / "a.txt", "".join(f"line {number % 10}\n" for number in range(50)))
    splits = load_texts(path, unit="line", validation_fraction=0.3)
    assert not set(texts(splits.train)) & set(texts(splits.validation))
    assert len(texts(splits.validation)) == 15
    assert splits.notes == ("15 of 50 training examples were held out for validation.",)


def test_blank_texts_are_left_out_and_counted(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": " \\n"}\n{"text": ""}\n')
    splits = load_texts(path, validation_fraction=0)
    assert texts(splits.train) == ["a"]
    assert splits.notes == ("2 blank texts were left out of train.",)
    with pytest.raises(ValueError, match="Every text of test is blank"):
        load_texts(None, test=write(tmp_path / "b.jsonl", '{"text": ""}\n'))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b" \n", "is empty; it must hold text"),
        (b"good\n\x89PNG\xff", "line 2: byte 0x89 is not UTF-8"),
        ("Müller".encode("latin-1"), "iconv -f latin-1"),
        ("text".encode("utf-16"), "iconv -f utf-16"),
        (b"good\nELF\0\0", "line 2: a byte of zero"),
    ],
)
def test_what_is_no_text_is_refused_by_name_and_line(tmp_path, content, said):
    path = write(tmp_path / "books" / "bad.txt", content)
    with pytest.raises(ValueError, match=said) as caught:
        load_texts(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ValueError, match=said):
        load_texts(path.parent)
    with pytest.raises(ValueError, match="No text of .* can be read"):
        load_texts(path.parent, bad_rows="skip")
    for name in "abc":
        write(path.parent / f"{name}.txt", f"the text {name}")
    splits = load_texts(path.parent, bad_rows="skip", validation_fraction=0)
    assert texts(splits.train) == ["the text a", "the text b", "the text c"]
    assert splits.notes[0].startswith("1 bad file was skipped in books; of the first: ")


def test_wrong_names_and_settings_say_what_is_right(tmp_path):
    write(tmp_path / "play.txt", PLAY)
    with pytest.raises(FileNotFoundError, match="did you mean .*play.txt"):
        load_texts(tmp_path / "pley.txt")
    with pytest.raises(ValueError, match="neither a folder that is there nor a file of texts"):
        load_texts(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no .txt file"):
        load_texts(tmp_path / "empty")
    with pytest.raises(ValueError, match="unit is 'word'"):
        load_texts(tmp_path / "play.txt", unit="word")
    with pytest.raises(ValueError, match="bad_rows is 'no'"):
        load_texts(tmp_path, bad_rows="no")
    with pytest.raises(ValueError, match="validation_fraction is 1"):
        load_texts(tmp_path / "play.txt", validation_fraction=1)
    with pytest.raises(ValueError, match="No data was named"):
        load_texts(None)


def test_a_byte_order_mark_and_old_line_breaks_are_no_text(tmp_path):
    path = write(tmp_path / "a.txt", b"\xef\xbb\xbfone\rtwo\r\n")
    assert read_text(path) == "one\ntwo\n"


DATA = Path(__file__).parents[1] / "../shared/data"


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not there")
def test_real_texts_are_read_as_their_papers_read_them():
    ptb = load_texts(DATA / "language/ptb.train.txt.gz", test=DATA / "language/ptb.test.txt.gz")
    (text,) = texts(ptb.test)
    assert len(text.split()) + text.count("\n") == 82_430
    play = load_texts(DATA / "language/tinyshakespeare.txt.gz")
    (train,), (end,) = texts(play.train), texts(play.validation)
    assert len(train) + len(end) == 1_115_394 and len(end) == pytest.approx(111_539, abs=100)
    imdb = load_texts(DATA / "reviews/imdb.train.tsv.gz", test=DATA / "reviews/imdb.test.tsv.gz")
    labelled = load(DATA / "reviews/imdb.train.tsv.gz", test=DATA / "reviews/imdb.test.tsv.gz")
    assert (
        texts(imdb.validation)
        == as_columns(labelled.validation, features=("text", "label"))["text"].tolist()
    )
