"""`load_captions`: pictures and what people said of them, by one way to name data."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from rnn_apps.data import picture_checks, picture_files, picture_sets, tfds
from rnn_apps.data.examples import check_lengths, gather
from rnn_apps.data.splits import Splits, check_fractions, name_of, part, read_splits

FEATURES = ("image", "captions")


def load_captions(
    source,
    *,
    columns=None,
    folder: str | None = None,
    validation: str | None = None,
    test: str | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
    bad_rows: Literal["stop", "skip"] = "stop",
    seed: int = 0,
):
    r"""Loads pictures with captions by name.

    Data is named as

    - the path of a CSV, TSV or JSONL file with the columns "image" and "captions" (or
      "caption") and perhaps "split"; of a token file of Flickr8k, beside which its lists of
      pictures may lie; or of an annotation JSON of COCO. See `rnn_apps.data.picture_files.read`;
    - a folder that holds one of these, or one for each split, as "train.csv" and "test.csv";
    - "tfds:NAME", a set of TensorFlow Datasets with pictures and captions: "tfds:coco_captions";
    - "builtin": coloured shapes (see `rnn_apps.data.scenes`).

    All captions of a picture go together. The same picture in two splits is found by its bytes,
    whatever it is called, and dropped as `load` drops texts. Pictures without a caption are left
    out, and counted in the notes.

    Args:
        source: the data to train on, and its own "validation" and "test" split if it has them.
            None if only validation or test data is wanted.
        columns: a dict from "image", "captions" and "split" to the column, JSON key or feature key
            ("captions/text" for one within another) that holds it, where its name is another.
        folder: where the pictures of files lie. None to look in the file's folder, in its
            subfolders and in those beside it.
        validation: the validation data, named likewise.
        test: the test data, named likewise.
        validation_fraction: from 0 to below 1, the part of the training pictures held out for
            validation if there is no validation data. 0 holds out none.
        test_fraction: likewise, for a test split if there is no test data.
        bad_rows: "stop" to raise at a bad row of a file and at a picture that is missing or
            unreadable (empty, or no JPEG, PNG, GIF or BMP), "skip" to leave these out.
        seed: which pictures are held out.

    Returns:
        `Splits` of dicts: "image", string scalar, the bytes of the picture's file (read from the
        file whenever the dataset comes to it), and "captions", string (R,).

    Raises:
        ValueError: if a name, column, row, picture or setting is wrong.
        OSError: if data cannot be read, written or downloaded.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("a.png", "b.png"):
        ...     _ = (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode())
        >>> _ = (folder / "all.csv").write_text("image,caption\na.png,one\nb.png,two\na.png,uno\n")
        >>> splits = load_captions(folder, validation_fraction=0)
        >>> as_captioned(splits.train)["captions"].tolist()
        [('one', 'uno'), ('two',)]
    """
    fractions = {"test": test_fraction, "validation": validation_fraction}
    check_fractions(fractions)
    _check_columns(columns)
    given = {"train": source, "validation": validation, "test": test}
    reader = _Reader(columns or {}, folder, bad_rows)
    found, notes = read_splits(given, reader.read)
    notes += picture_checks.uncaptioned(reader.named)
    notes += part(found, "picture", fractions, seed)
    seen = {
        split: there and {name: there[name] for name in ("picture", "captions")}
        for split, there in found.items()
    }
    return Splits(
        **{split: there and _dataset(there) for split, there in found.items()},
        name=name_of(given),
        fingerprint=tfds.fingerprint_splits(seen),
        notes=tuple(notes),
    )


def as_captioned(x, y=None):
    """Brings captioned pictures of any form into columns.

    Args:
        x: a list of pictures, or both features ("image" and "captions") as a DataFrame, a dict
            of columns, a list of dicts or a `tf.data.Dataset`, batched or not. A picture is the
            bytes of its file, the file's path (str or `pathlib.Path`), or pixels, uint8
            (height, width, channels), which are written as PNG.
        y: the captions of a list of pictures. The captions of one picture are a str, or a list or
            array of str.

    Returns:
        A dict of object arrays (N,): "image", bytes, and "captions", tuples of str; blank ones
        are left out of a tuple. "captions" is not there if none were given at all. Rows stay
        apart even where the pictures are the same.

    Raises:
        ValueError: if the form is none of these, or a picture or all its captions are missing.
        OSError: if a file cannot be read.

    Example:
        >>> columns = as_captioned([b"(a JPEG)", b"(a PNG)"], [["a dog", "a brown dog"], "a cat"])
        >>> columns["captions"].tolist()
        [('a dog', 'a brown dog'), ('a cat',)]
    """
    if isinstance(x, tf.data.Dataset):
        x = _encoded(x)
    given = gather(x, y, features=FEATURES)
    readers = {"image": _picture, "captions": _captions}
    columns = {}
    for name, values in given.items():
        values = values.numpy() if isinstance(values, tf.Tensor) else values
        values = values.to_list() if isinstance(values, tf.RaggedTensor) else values
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise ValueError(f"'{name}' is one {type(values).__name__}, not a list of values.")
        columns[name] = np.empty(len(values), dtype=object)
        columns[name][:] = [readers[name](value, row) for row, value in enumerate(values)]
    check_lengths(columns)
    return columns


class _Reader:
    """Reads data by name, and keeps in mind which pictures were named."""

    def __init__(self, columns, folder, bad_rows):
        self.columns = columns
        self.folder = folder
        self.bad_rows = bad_rows
        self.named = []  # (folder, `Captioned`)

    def read(self, data, wanted):
        """Returns a dict from split to columns, and sentences, for `read_splits`."""
        data = os.fspath(data)
        if data == "builtin":
            return picture_sets.read_builtin(self.columns, wanted), ()
        if data.startswith("tfds:"):
            return picture_sets.read(data.removeprefix("tfds:"), self.columns, wanted)
        if not Path(data).is_dir():
            return self._read_file(Path(data), wanted, None)
        there = picture_files.caption_files(Path(data))
        found, notes = {}, []
        for split, path in there.items():
            if split is None or split in wanted:
                parts, remarks = self._read_file(path, wanted, split)
                found |= parts
                notes += remarks
        return found, notes

    def _read_file(self, path, wanted, split):
        """The file of one split, or if it is None, of any."""
        pictures, notes = picture_files.read(path, self.columns, bad_rows=self.bad_rows)
        folder = picture_checks.folder_of(path, [each.name for each in pictures], self.folder)
        self.named += [(folder, each) for each in pictures]
        found, notes = {}, list(notes)
        whole = split or (None if any(each.split for each in pictures) else wanted[0])
        for each in [whole] if whole else wanted:
            some = [picture for picture in pictures if whole or picture.split == each]
            if some:
                found[each], remarks = picture_checks.existing(
                    some, folder, each, path, self.bad_rows
                )
                notes += remarks
        return found, notes


def _check_columns(columns):
    unknown = sorted(set(columns or ()) - set(picture_files.FEATURES))
    if unknown:
        raise ValueError(
            f"columns names the feature '{unknown[0]}', but the features are 'image', 'captions' "
            "and 'split'; write columns={FEATURE: COLUMN}."
        )


def _dataset(columns):
    captions = tf.RaggedTensor.from_row_lengths(
        tf.constant([text for texts in columns["captions"] for text in texts], tf.string),
        [len(texts) for texts in columns["captions"]],
    )
    pictures = tf.constant(columns["image"].tolist(), tf.string)
    dataset = tf.data.Dataset.from_tensor_slices({"image": pictures, "captions": captions})
    if isinstance(columns["image"][0], bytes):
        return dataset
    return dataset.map(
        lambda row: {**row, "image": tf.io.read_file(row["image"])},
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _encoded(dataset):
    """Writes pictures that a dataset has as pixels as PNG."""
    spec = dataset.element_spec
    form = dict if isinstance(spec, Mapping) else tuple if isinstance(spec, tuple) else None
    image = spec.get("image") if form is dict else spec[0] if form is tuple else spec
    if getattr(image, "dtype", None) != tf.uint8:
        return dataset
    if form is dict:
        return dataset.map(lambda row: {**row, "image": tf.io.encode_png(row["image"])})
    if form is tuple:
        return dataset.map(lambda pixels, *rest: (tf.io.encode_png(pixels), *rest))
    return dataset.map(tf.io.encode_png)


def _picture(value, row):
    """One picture as the bytes of its file; `row` is for the sentence."""
    value = value.numpy() if isinstance(value, tf.Tensor) else value
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, (str, os.PathLike)):
        if not os.path.isfile(value):
            raise ValueError(
                f"'image' of example {row} is {os.fspath(value)!r:.80}, and there is no such file; "
                "give the path of a picture, or the bytes of one."
            )
        return Path(value).read_bytes()
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3:
        return tf.io.encode_png(value).numpy()
    raise ValueError(
        f"'image' of example {row} is a {type(value).__name__}; give the bytes of a JPEG, PNG, GIF "
        "or BMP file, its path, or pixels as a uint8 array (height, width, channels)."
    )


def _captions(value, row):
    """The captions of one picture as a tuple of str."""
    value = value.numpy() if isinstance(value, tf.Tensor) else value
    texts = [value] if isinstance(value, (str, bytes)) else value
    if not isinstance(texts, (list, tuple, np.ndarray)):
        raise ValueError(
            f"'captions' of example {row} is a {type(value).__name__}; give a text or a list of "
            "texts."
        )
    texts = [text.decode() if isinstance(text, bytes) else text for text in texts]
    odd = [text for text in texts if not isinstance(text, str)]
    if odd or not any(text.strip() for text in texts):
        what = f"holds {odd[0]!r:.40}, which is no text" if odd else "holds no text"
        raise ValueError(
            f"'captions' of example {row} {what}; give each picture one caption or more, as texts."
        )
    return tuple(str(text) for text in texts if text.strip())
