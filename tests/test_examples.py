import doctest
import importlib

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from rnn_apps.data import as_columns, as_dataset, fingerprint

BOTH = ("text", "label")
TEXTS = ["fine", "", "naïve 😀", "poor"]
LABELS = ["1", "0", "1", "0"]


def forms():
    pairs = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS))
    dicts = tf.data.Dataset.from_tensor_slices({"label": LABELS, "text": TEXTS, "id": range(4)})
    return {
        "lists": (TEXTS, LABELS),
        "tuples": (tuple(TEXTS), tuple(LABELS)),
        "arrays": (np.array(TEXTS), np.array(LABELS, dtype=object)),
        "UTF-8 bytes": ([text.encode() for text in TEXTS], np.array(LABELS, dtype="S")),
        "tensors": (tf.constant(TEXTS), tf.constant(LABELS)),
        "series": (pd.Series(TEXTS, index=[5, 6, 7, 8]), pd.Series(LABELS)),
        "frame": (pd.DataFrame({"label": LABELS, "text": TEXTS, "id": range(4)}), None),
        "dict": ({"text": TEXTS, "label": LABELS}, None),
        "records": ([{"text": t, "label": y} for t, y in zip(TEXTS, LABELS, strict=True)], None),
        "pairs": (pairs, None),
        "pairs in batches": (pairs.batch(3), None),
        "dicts": (dicts, None),
        "dicts in batches": (dicts.batch(3), None),
    }


@pytest.mark.parametrize("form", forms())
def test_every_form_gives_the_same_columns(form):
    columns = as_columns(*forms()[form], features=BOTH)
    assert list(columns) == list(BOTH)
    assert columns["text"].tolist() == TEXTS and columns["label"].tolist() == LABELS
    assert {type(value) for column in columns.values() for value in column} == {str}
    assert all(column.dtype == object and column.shape == (4,) for column in columns.values())


@pytest.mark.parametrize(
    "x",
    [
        TEXTS,
        {"text": TEXTS},
        pd.DataFrame({"text": TEXTS}),
        [{"text": text} for text in TEXTS],
        tf.data.Dataset.from_tensor_slices(TEXTS),
        tf.data.Dataset.from_tensor_slices({"text": TEXTS}).batch(3),
    ],
)
def test_inputs_alone_give_their_column_alone(x):
    columns = as_columns(x, features=BOTH)
    assert list(columns) == ["text"] and columns["text"].tolist() == TEXTS


def test_no_examples_give_empty_columns():
    columns = as_columns([], [], features=BOTH)
    assert columns["text"].shape == (0,)
    assert as_columns(as_dataset(columns), features=BOTH)["text"].shape == (0,)
    assert as_dataset(columns).element_spec["text"].dtype == tf.string


def test_numbers_keep_their_type():
    whole = as_columns(["a", "b"], [1, 0], features=BOTH)["label"]
    assert whole.dtype.kind == "i"
    narrow = as_columns(["a"], np.array([1], "int32"), features=BOTH)["label"]
    assert narrow.tolist() == [1]
    assert as_columns(["a", "b"], [1, 0.5], features=BOTH)["label"].dtype.kind == "f"


def test_bytes_that_are_no_text_stay_bytes_and_lists_stay_lists():
    columns = {"image_bytes": [b"\x89PNG", b"\xff\xd8"], "captions": [["a dog", "a cat"], ["one"]]}
    names = tuple(columns)
    made = as_columns(columns, features=names)
    assert made["image_bytes"].tolist() == columns["image_bytes"]
    again = as_columns(as_dataset(made), features=names)
    assert again["captions"].tolist() == columns["captions"]
    assert fingerprint(again) == fingerprint(made) == fingerprint(columns)


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (["a", "b"], ["1"], "differ in length: 2 of 'text', 1 of 'label'"),
        ("a text", None, r"pass \['a text'\]"),
        (3, None, "came as int"),
        (pd.DataFrame({"txt": ["a"], "label": ["1"]}), None, "'txt', 'label' .did you mean 'txt'"),
        ({"text": ["a"], "lable": ["1"]}, None, "no column 'label'.*did you mean 'lable'"),
        ([{"text": "a", "label": 1}, {"text": "b"}], None, "Example 1 has no 'label'"),
        (["a", None], ["1", "0"], "'text' of example 1 is missing"),
        (
            pd.DataFrame({"text": ["a", float("nan")], "label": [1, 0]}),
            None,
            "example 1 is missing",
        ),
        (["a"], [pd.NA], "'label' of example 0 is missing"),
        (["a", "b"], ["1", 0], "mixes kinds of value"),
        (["a", "b"], np.eye(2), r"shape \(2, 2\)"),
        (pd.DataFrame({"text": ["a"], "label": [1]}), [1], "Labels came twice"),
        (tf.data.Dataset.from_tensors((["a"], ["1"], [1.0])), None, "tuples of 3"),
        ([object()], None, "is a object"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(x, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        as_columns(x, y, features=BOTH)


def test_fingerprints_tell_examples_apart_and_forms_not():
    one = {"text": ["ab", "c"], "label": ["1", "0"]}
    assert fingerprint(one) == fingerprint({"label": ("1", "0"), "text": np.array([b"ab", b"c"])})
    assert fingerprint(one) == fingerprint(as_columns(as_dataset(one), features=BOTH))
    others = [
        {"text": ["a", "bc"], "label": ["1", "0"]},
        {"text": ["c", "ab"], "label": ["0", "1"]},
        {"text": ["ab", "c"], "label": [1, 0]},
        {"text": ["ab", "c"], "target": ["1", "0"]},
    ]
    assert len({fingerprint(each) for each in [one, *others]}) == 5


@pytest.mark.parametrize("module", ["examples", "files", "splits", "tfds", "reviews"])
def test_docstring_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    module = importlib.import_module(f"rnn_apps.data.{module}")
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0 and result.failed == 0
