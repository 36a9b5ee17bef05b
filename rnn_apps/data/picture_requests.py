"""Pictures to be captioned: from names of files and folders, or in any form in Python."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from rnn_apps.data.picture_checks import folder_of, looks_like_picture
from rnn_apps.data.pictures import as_captioned
from rnn_apps.data.requests import read_requests

_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
_NAMED = 3  # files that a sentence names
_NAMES = ("image_bytes", "image")


def as_pictures(x):
    """Brings requests of any form into one column.

    Args:
        x: a list or array of pictures, or a DataFrame, a dict of columns, a list of dicts or a
            `tf.data.Dataset` with them as "image_bytes" or "image". A picture is the bytes of its
            file, the file's path, or pixels, as `rnn_apps.data.as_captioned` takes them.

    Returns:
        object array (N,) of bytes.

    Raises:
        ValueError: if the form is none of these, or there is no such file.
        OSError: if a file cannot be read.

    Example:
        >>> as_pictures([{"image": b"(a PNG)", "captions": ["a dog"]}]).tolist()
        [b'(a PNG)']
    """
    if isinstance(x, tf.data.Dataset):
        if isinstance(x.element_spec, Mapping):
            name = _name_in(x.element_spec)
            x = x.map(lambda row: row[name])
    elif isinstance(x, (Mapping, pd.DataFrame)):
        x = x[_name_in(x)]
    elif isinstance(x, (list, tuple)) and len(x) and isinstance(x[0], Mapping):
        x = [row[_name_in(row)] for row in x]
    return as_captioned(x)["image"]


def read_pictures(source, columns=None, readable=None):
    """Reads the pictures of files and folders.

    Args:
        source: a list of `str`, names of pictures and of folders, of which all pictures are taken
            (.jpg, .jpeg, .png, .gif, .bmp) in the order of their names; or one such name; or the
            path of a table with a column "image", or of another file with a name a line; or a
            binary stream of names or of one picture.
        columns: a dict from "image" to the column of the table that holds it.
        readable: takes an object array (N,) of bytes and returns N bools, whether each can be read;
            None to look at the first bytes alone.

    Returns:
        `(pictures, notes)`: {"image_bytes": object array (N,) of bytes, "file": list of `str`},
        with b"" for a file that cannot be read, and a tuple of sentences that name such files,
        those that are no pictures, and folders without any.

    Raises:
        ValueError: if a table is not as it should be.
        OSError: if the file with names cannot be read.

    Example:
        >>> pictures, notes = read_pictures(["nowhere.png"])
        >>> pictures["file"], pictures["image_bytes"].tolist()
        (['nowhere.png'], [b''])
        >>> notes
        ('1 of 1 files cannot be read as a picture (nowhere.png); they have no caption.',)
    """
    if hasattr(source, "read"):
        raw = source.read()
        if looks_like_picture(raw):
            return {"image_bytes": _column([raw]), "file": ["-"]}, ()
        names = [line.strip() for line in os.fsdecode(raw).splitlines() if line.strip()]
    else:
        names = source if isinstance(source, list) else _names_in(Path(source), columns or {})
    files, notes = [], []
    for name in names:
        there = _files_of(name)
        files += there
        if not there:
            notes.append(f"The folder {name} holds no pictures.")
    contents = _column([_content(file) for file in files])
    fine = list(map(looks_like_picture, contents)) if readable is None else readable(contents)
    odd = [file for file, is_fine in zip(files, fine, strict=True) if not is_fine]
    if odd:
        shown = ", ".join(odd[:_NAMED]) + (", …" if len(odd) > _NAMED else "")
        notes.append(
            f"{len(odd):,} of {len(files):,} files cannot be read as a picture ({shown}); they "
            "have no caption."
        )
    return {"image_bytes": contents, "file": files}, tuple(notes)


def file_names(x, count):
    """Names pictures: their files' names, or else numbers.

    Args:
        x: pictures, in any form that `as_pictures` takes.
        count: how many there are.

    Returns:
        A list of `str`; numbers from 1 on.

    Example:
        >>> file_names([b"(a PNG)", b"(a JPEG)"], 2), file_names(["a.png"], 1)
        (['1', '2'], ['a.png'])
    """
    if isinstance(x, dict) and "file" in x:
        return list(x["file"])
    if isinstance(x, (list, tuple)) and all(isinstance(each, (str, os.PathLike)) for each in x):
        return [os.fspath(each) for each in x]
    return [str(number + 1) for number in range(count)]


def example_picture(height, width):
    """Makes a picture of colours that run into each other, bytes of a PNG.

    Example:
        >>> looks_like_picture(example_picture(2, 3))
        True
    """
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 255 // height, columns * 255 // width, rows * 0 + 128], -1)
    return tf.io.encode_png(pixels.astype(np.uint8)).numpy()


def _name_in(found):
    for name in _NAMES:
        if name in found:
            return name
    raise ValueError(
        f"Pictures came with {', '.join(map(repr, found)) or 'no columns'}; name the column that "
        "holds them 'image_bytes' or 'image'."
    )


def _names_in(path, columns):
    """The names that a file holds; a folder's or picture's own name."""
    if path.is_dir() or path.suffix.lower() in _SUFFIXES:
        return [str(path)]
    if Path(path.name.lower().removesuffix(".gz")).suffix not in _TABLES:
        lines = os.fsdecode(path.read_bytes()).splitlines()
        return [str(path.parent / line.strip()) for line in lines if line.strip()]
    rows = read_requests(str(path), ("image",), columns)
    names = [os.fsdecode(row["image"].numpy()) for row in rows]
    folder = folder_of(path, names)
    return [str(folder / name) for name in names]


def _files_of(name):
    if not os.path.isdir(name):
        return [name]
    found = sorted(Path(name).iterdir())
    return [str(path) for path in found if path.suffix.lower() in _SUFFIXES and path.is_file()]


def _content(file):
    try:
        return Path(file).read_bytes()
    except (OSError, ValueError):  # ValueError: a zero byte in its name
        return b""


def _column(values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
