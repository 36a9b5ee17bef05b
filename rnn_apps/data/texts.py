"""`load_texts`: texts for a language model, by one way to name data."""

import os
import re
from pathlib import Path
from typing import Literal

import numpy as np

from rnn_apps.data import files, text_files, tfds
from rnn_apps.data.splits import (
    Splits,
    check_fractions,
    column_names,
    hold_out,
    name_of,
    part,
    read_named,
    read_splits,
)

UNITS = ("file", "line", "paragraph")
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


def load_texts(
    source,
    *,
    unit: Literal["file", "line", "paragraph"] = "file",
    columns=None,
    validation: str | None = None,
    test: str | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
    bad_rows: Literal["stop", "skip"] = "stop",
    seed: int = 0,
):
    r"""Loads texts without labels by name.

    Data is named as

    - the path of a plain text, `.txt` or `.txt.gz`;
    - a folder of such: those in subfolders "train", "validation" (or "valid", "val", "dev") and
      "test", or with one of these words at the beginning or the end of their names
      ("ptb.train.txt"), are that split; with no such names all of them are one;
    - the path of a CSV, TSV or JSONL file (see `rnn_apps.data.files.read`) with a column "text".
      Its other columns, labels say, are not read;
    - "tfds:NAME", a set of TensorFlow Datasets with a feature "text";
    - "builtin": the texts of the built-in reviews, divided as for their classifier.

    Texts keep their line breaks, as "\n". Texts that stand in a later split too are dropped as
    `load` drops them, before they are taken apart: lines and paragraphs may repeat, as language
    does.

    Args:
        source: the data to train on, and its own "validation" and "test" split if it has them.
            None if only validation or test data is wanted.
        unit: what one text is: a whole "file" (of a table: what a row holds), each "line" of it
            that is not blank, or each "paragraph" between blank lines.
        columns: a dict from "text" to the column, JSON key or feature key that holds it.
        validation: the validation data, named likewise.
        test: the test data, named likewise.
        validation_fraction: from 0 to below 1, the part of the training texts held out for
            validation if there is no validation data: the same as `load` holds out of the same
            texts. Of one text alone it is the last part, cut at a line break (or else a blank)
            where there is one near. 0 holds out none.
        test_fraction: likewise, for a test split if there is no test data.
        bad_rows: "stop" to raise at a bad row of a file and at a bad file of a folder, "skip" to
            leave such out.
        seed: which texts are held out.

    Returns:
        `Splits` of dicts: "text", object array (N,) of `str`, none of them blank.

    Raises:
        ValueError: if a name, column, row or setting is wrong, or a file is no text in UTF-8.
        OSError: if data cannot be read, written or downloaded.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "play.txt")
        >>> _ = path.write_text("Who's there?\nNay, answer me.\nLong live the king!\n" * 10)
        >>> splits = load_texts(path)
        >>> splits.validation["text"].tolist()
        ["Who's there?\nNay, answer me.\nLong live the king!\n"]
    """
    fractions = {"test": test_fraction, "validation": validation_fraction}
    check_fractions(fractions)
    if unit not in UNITS:
        raise ValueError(f"unit is {unit!r}; it must be 'file', 'line' or 'paragraph'.")
    names = column_names(("text",), columns)
    given = {"train": source, "validation": validation, "test": test}
    found, notes = read_splits(given, lambda data, wanted: _read(data, names, wanted, bad_rows))
    for split, there in found.items():
        if there is not None:
            found[split], remarks = _without_blank(there, split)
            notes += remarks
    notes += part(found, "text", {}, seed)
    found = {split: there and _taken_apart(there, unit) for split, there in found.items()}
    for split, fraction in fractions.items():
        if found["train"] is not None and found[split] is None and fraction:
            alone = len(found["train"]["text"]) == 1
            held = _hold_out_end if alone else hold_out
            notes.append(held(found, "text", split, fraction, seed))
    return Splits(
        **found,
        name=name_of(given),
        fingerprint=tfds.fingerprint_splits(found),
        notes=tuple(notes),
    )


def _read(data, names, wanted, bad_rows):
    """Returns a dict from split to columns, and remarks; a file is whatever is wanted first."""
    data = os.fspath(data)
    if data == "builtin" or data.startswith("tfds:") or files.is_table(data):
        return read_named(data, names, wanted, bad_rows)
    if text_files.is_text(data):
        return {wanted[0]: _column([files.read_text(data)])}, ()
    if Path(data).is_dir():
        found, notes = text_files.read_folder(Path(data), wanted, bad_rows=bad_rows)
        return {split: _column(texts) for split, texts in found.items()}, notes
    raise ValueError(
        f"{data} is neither a folder that is there nor a file of texts by its name; name a .txt, "
        ".csv, .tsv or .jsonl file (each also with .gz), a folder of .txt files, 'tfds:NAME' or "
        "'builtin'."
    )


def _column(texts):
    column = np.empty(len(texts), dtype=object)
    column[:] = texts
    return {"text": column}


def _without_blank(columns, split):
    texts = [text for text in columns["text"] if text.strip()]
    blank = len(columns["text"]) - len(texts)
    if not texts:
        raise ValueError(f"Every text of {split} is blank; name data that holds texts.")
    if not blank:
        return columns, []
    count = "1 blank text was" if blank == 1 else f"{blank:,} blank texts were"
    return _column(texts), [f"{count} left out of {split}."]


def _taken_apart(columns, unit):
    if unit == "file":
        return columns
    pieces = (
        piece
        for text in columns["text"]
        for piece in (text.split("\n") if unit == "line" else _BLANK_LINES.split(text.strip("\n")))
    )
    return _column([piece for piece in pieces if piece.strip()])


def _hold_out_end(found, key, split, fraction, seed):
    """Moves the end of the one training text; returns a sentence. Nothing is left to chance."""
    (text,) = found["train"][key]
    place = _cut(text, fraction)
    found["train"], found[split] = _column([text[:place]]), _column([text[place:]])
    share = 100 * len(text[place:]) / len(text)
    return (
        f"The last {share:.3g} % of the text ({len(text) - place:,} of {len(text):,} characters) "
        f"were held out for {split}."
    )


def _cut(text, fraction):
    """Where the last part of a text begins: after the break nearest to its share of the text."""
    size = len(text.rstrip())
    first = len(text) - len(text.lstrip()) + 1  # so that neither part is blank
    if size <= first:
        raise ValueError(
            f"The training text {text.strip()!r} is too short to be divided; give more text, or "
            "other data for validation, or validation_fraction=0."
        )
    place = min(max(round(size * (1 - fraction)), first), size - 1)
    reach = (size - place) // 2
    for mark in ("\n", " "):
        before = text.rfind(mark, max(first, place - reach), place) + 1
        after = text.find(mark, place, min(place + reach, size - 1)) + 1
        near = [each for each in (before, after) if each]
        if near:
            return min(near, key=lambda each: abs(each - place))
    return place
