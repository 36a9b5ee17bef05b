import csv
import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_apps.data.files import read

NAMES = {"text": "text", "label": "label"}
ANY = st.text(st.characters(exclude_categories=["Cs"]))
LABEL = ANY.filter(str.strip)
ROWS = st.lists(st.tuples(ANY, LABEL), min_size=1, max_size=5)


def write(path, content):
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def pairs(path, **options):
    columns, _ = read(path, NAMES, **options)
    return list(zip(columns["text"], columns["label"], strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "csv.gz"])
@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_what_a_csv_writer_writes_is_read_back(folder, suffix, rows):
    path = folder / f"quoted.{suffix}"
    with (gzip.open if suffix.endswith("gz") else open)(
        path, "wt", encoding="utf-8", newline=""
    ) as file:
        writer = csv.writer(file, delimiter="\t" if suffix == "tsv" else ",")
        writer.writerows([("text", "label"), *rows])
    assert pairs(path) == rows


@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_json_lines_are_read_back(folder, rows):
    lines = [json.dumps({"text": t, "label": y}, ensure_ascii=len(t) % 2 == 0) for t, y in rows]
    assert pairs(write(folder / "any.jsonl", "\n".join(lines))) == rows


PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r"))


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(PLAIN, PLAIN.filter(str.strip)), min_size=1, max_size=5))
def test_plain_tsv_keeps_its_quote_marks(folder, rows):
    rows = [('5" and "so', "x"), *rows]
    content = "".join(f"{t}\t{y}\r\n" for t, y in [("text", "label"), *rows])
    assert pairs(write(folder / "plain.tsv", content)) == rows


def test_a_byte_order_mark_and_other_columns_do_not_matter(tmp_path):
    path = write(tmp_path / "a.csv", "\ufefflabel,id,text\n1,7,fine\n\n0,8,\n")
    assert pairs(path) == [("fine", "1"), ("", "0")]


def test_json_numbers_become_text(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": 5, "label": 0}\n\n{"text": "b", "label": true}')
    assert pairs(path) == [("5", "0"), ("b", "true")]


def test_columns_go_by_the_names_given(tmp_path):
    path = write(tmp_path / "a.tsv", "de\ten\nHallo\thello\n")
    columns, notes = read(path, {"source": "en", "target": "de"})
    assert columns["source"].tolist() == ["hello"] and columns["target"].tolist() == ["Hallo"]
    assert notes == ()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"text,label\nfine,1\ncaf\xe9,0\n", "line 3: byte 0xe9 is not UTF-8.*latin-1"),
        ("a.csv", "text,label\nfine,1\n".encode("utf-16"), "iconv -f utf-16"),
        ("a.csv", "", "is empty"),
        ("a.jsonl.gz", "\n\n", "is empty"),
        ("a.csv", "text,label\n", "columns but no rows"),
        ("a.csv", "review,label\nx,1\n", "no column 'text'.*'review', 'label'"),
        ("a.tsv", "texts\tlabel\nx\t1\n", "did you mean 'texts'"),
        ("a.jsonl", '{"txt": "x", "label": 1}', "no column 'text' in the objects.*mean 'txt'"),
        ("a.csv", "text,text,label\na,b,1\n", "names the column 'text' twice"),
        ("a.csv", 'text,label\n"a\nb",1\nc,0,2\n', "line 4: 3 fields.*names 2; a field that"),
        ("a.csv", 'text,label\r\n"a\r\nb",1\r\nc\r\n', "line 4: 1 fields"),
        ("a.csv", 'text,label\na,1\n"b" c,0\n', "line 3: a quoted field is not closed"),
        ("a.csv", 'text,label\na,1\n"b,0\nc,1\n', "line 3: a quote opened in this row is never"),
        ("a.csv", "text,label\na, \n", "line 2: 'label' is empty"),
        ("a.tsv", "text\tlabel\na\t1\nb\n", "line 3: 1 fields"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"\n', "line 2: not JSON"),
        ("a.jsonl", '{"text": "a", "label": 1}\n\n{"text": "b"}\n', "line 3: no 'label'"),
        ("a.jsonl", '{"text": "a", "label": null}', "line 1: 'label' is null, not a text"),
        ("a.jsonl", '{"text": ["a"], "label": 1}', r"line 1: 'text' is \[\"a\"\], not a text"),
        ("a.jsonl", '{"text": "\\ud800", "label": 1}', "half a surrogate pair"),
        ("a.jsonl", '{"text": "a", "label": 1}\n[1]', "line 2: a JSON list, not an object"),
        ("a.jsonl", "[" * 100_000, "line 1: not JSON"),
        ("a.txt", "x", "ends in '.txt'"),
        ("a", "x", "'builtin', 'tfds:NAME'"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, name, content, sentence):
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=sentence) as caught:
        read(path, NAMES)
    assert str(path) in str(caught.value)


def test_skipped_rows_are_counted_and_the_first_is_named(tmp_path):
    content = 'text,label\n"two\nlines",1\nbad\nfine,0\n"x" y,1\nz,\n'
    columns, notes = read(write(tmp_path / "a.csv", content), NAMES, bad_rows="skip")
    assert columns["text"].tolist() == ["two\nlines", "fine"]
    assert notes == (
        "3 bad rows were skipped in a.csv; the first is line 4: 1 fields where the first line "
        "names 2.",
    )


def test_nothing_good_is_an_error_even_when_skipping(tmp_path):
    with pytest.raises(ValueError, match="no good row"):
        read(write(tmp_path / "a.csv", "text,label\nbad\n"), NAMES, bad_rows="skip")
    with pytest.raises(ValueError, match="'stop' or 'skip'"):
        read(tmp_path / "a.csv", NAMES, bad_rows="ignore")


def test_a_quote_that_is_never_closed_stops_even_when_skipping(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\na,1\n"b,0\nc,1\n')
    with pytest.raises(ValueError, match="line 3"):
        read(path, NAMES, bad_rows="skip")


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    write(tmp_path / "reviews.csv", "x")
    with pytest.raises(FileNotFoundError, match="did you mean .*reviews.csv"):
        read(tmp_path / "review.csv", NAMES)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError, match="name the file in it"):
        read(tmp_path / "folder.csv", NAMES)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"text,label\na,1\n"])
def test_a_damaged_gzip_file_is_named(tmp_path, damage):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(damage(gzip.compress(b"text,label\n" + b"fine,1\n" * 100)))
    with pytest.raises(ValueError, match="not a whole gzip file"):
        read(path, NAMES)


def test_a_very_long_field_is_read_and_the_csv_limit_is_put_back(tmp_path):
    limit = csv.field_size_limit()
    path = write(tmp_path / "a.csv", f'text,label\n"{"x" * 300_000}",1\n')
    assert len(pairs(path)[0][0]) == 300_000
    assert csv.field_size_limit() == limit
    broken = write(tmp_path / "b.csv", 'text,label\n"a",1\nb\n')
    with pytest.raises(ValueError) as kept:  # with its traceback, and all that lives in it
        read(broken, NAMES)
    assert csv.field_size_limit() == limit, kept
