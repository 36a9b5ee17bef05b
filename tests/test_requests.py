"""Requests from files, and answers to them as files."""

import csv
import gzip
import io
import json

import numpy as np
import pytest
import tensorflow as tf

from rnn_apps import data
from rnn_apps.data.requests import read_bars, read_requests, written
from rnn_apps.preprocessing.requests import as_tensor

ROWS = [
    {"label": "good", "score": 0.25, "text": 'a, "b"\tc\r\nd'},
    {"label": "bad", "score": -1.0, "text": "שלום"},
]


def texts(requests):
    return data.as_columns(requests, features=("text",))["text"].tolist()


def test_a_line_is_a_request_whatever_is_in_it(tmp_path):
    lines = b"\xef\xbb\xbfone\r\n\n  two \n\xff\xfe\n\n"
    (tmp_path / "requests.txt").write_bytes(lines)
    expected = [b"one", b"", b"  two ", b"\xff\xfe", b""]
    assert read_requests(tmp_path / "requests.txt", ("text",)) == expected
    assert read_requests(io.BytesIO(lines), ("text",)) == expected
    assert read_requests(io.BytesIO(b"last without an end"), ("text",)) == [b"last without an end"]
    assert read_requests(io.BytesIO(b""), ("text",)) == []


def test_tables_are_read_by_column_and_keep_their_order(tmp_path):
    (tmp_path / "r.csv").write_text('label,text\nx,"b, c"\nx,\nx,a\nx,a\n')
    (tmp_path / "r.TSV").write_text("text\nb\na\n")
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(b'{"review": "b"}\n{"review": "a"}\n'))
    assert texts(read_requests(str(tmp_path / "r.csv"), ("text",))) == ["b, c", "", "a", "a"]
    assert texts(read_requests(tmp_path / "r.TSV", ("text",))) == ["b", "a"]
    columns = {"text": "review", "label": "stars"}
    assert texts(read_requests(tmp_path / "r.jsonl.gz", ("text",), columns)) == ["b", "a"]


def test_typed_requests_keep_their_bytes():
    assert read_requests(["fine", "a \udcff"], ("text",)) == [b"fine", b"a \xff"]


def test_bars_come_from_files_names_or_a_stream_of_csv(tmp_path):
    content = b"\xef\xbb\xbfsymbol,date,close,kind\nNA,2020-01-02,10,x\nNA,2020-01-03,11,x\n"
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "b.csv").write_bytes(b"symbol,date,close,kind\nB,2020-01-03,12,y\n")
    for source in (tmp_path / "a.csv", [str(tmp_path / "a.csv")], io.BytesIO(content)):
        bars = read_bars(source, static=("kind",))
        assert bars.series == ("NA",)
        assert bars.closes.tolist() == [[10.0, 11.0]]
        assert bars.static["kind"].tolist() == ["x"]
    both = read_bars([tmp_path / "b.csv", tmp_path / "a.csv"], static=("kind",))
    assert both.series == ("B", "NA")
    assert both.closes[1].tolist() == [10.0, 11.0]
    assert both.static["kind"].tolist() == ["y", "x"]
    assert read_bars(["builtin/random_walk"]).closes.shape == (60, 1500)


def test_bars_are_read_as_told():
    closes = [100.0 + n % 3 for n in range(30)] + [50.0 + n % 3 for n in range(30)]
    days = [str(np.busday_offset("2020-01-01", n)) for n in range(60)]
    rows = "".join(f"{day},{close}\n" for day, close in zip(days, closes, strict=True))
    content = f"day,last\n{rows}".encode()
    columns = {"date": "day", "close": "last"}
    with pytest.raises(ValueError, match="2:1 split"):
        read_bars(io.BytesIO(content), columns=columns)
    kept = read_bars(io.BytesIO(content), columns=columns, splits="keep")
    assert kept.closes[0, 0] == 100
    assert "kept as it is" in kept.notes[0]
    bars = read_bars(io.BytesIO(content), columns=columns, splits="adjust")
    assert bars.closes[0, 0] == 50
    spoilt = content + b"2021-01-04,x\n"
    bars = read_bars(io.BytesIO(spoilt), columns=columns, splits="keep", bad_rows="skip")
    assert len(bars.dates) == 60
    assert "1 bad row was skipped" in bars.notes[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "No bars came in"),
        (b"date,close\n2020-01-02,10\n2020-01-03,10,11\n", "Expected 2 fields in line 3"),
        (b"date,close\n", "no rows"),
        (b"date,price list\n2020-01-02,10\n", "no column 'close'"),
    ],
)
def test_a_stream_that_holds_no_bars_is_refused(content, says):
    with pytest.raises(ValueError, match=says):
        read_bars(io.BytesIO(content))


def test_answers_can_be_read_back_from_csv_and_jsonl():
    read = list(csv.DictReader(io.StringIO(written(ROWS, "csv"), newline="")))
    assert [{**row, "score": float(row["score"])} for row in read] == ROWS
    assert [json.loads(line) for line in written(ROWS, "jsonl").splitlines()] == ROWS


def test_an_answer_as_text_is_one_line_of_cells():
    assert written(ROWS, "text") == 'good\t0.2500\ta, "b" c  d\nbad\t-1.0000\tשלום\n'


def test_no_answers_are_an_empty_file():
    assert {written([], form) for form in ("text", "csv", "jsonl")} == {""}


def test_a_column_becomes_a_tensor_of_the_inputs_dtype_in_any_form():
    texts = tf.TensorSpec([None], tf.string, name="text")
    expected = ["é".encode(), b"b", b""]
    for column in (["é", b"b", ""], np.array(["é", "b", ""]), tf.constant(["é", "b", ""])):
        assert as_tensor(column, texts).numpy().tolist() == expected
    numbers = tf.TensorSpec([None, None], tf.float32, name="closes")
    for column in ([[1, 2]], np.array([[1.0, 2.0]]), tf.constant([[1.0, 2.0]])):
        made = as_tensor(column, numbers)
        assert made.dtype == tf.float32 and made.numpy().tolist() == [[1, 2]]
    with pytest.raises(ValueError, match=r"'closes' came as \(2,\); give .* \(any, any\)"):
        as_tensor([1, 2], numbers)
    with pytest.raises(ValueError, match=r"'closes' came as .*; give numbers of the shape"):
        as_tensor([[1], [1, 2]], numbers)
