"""`load`: raw examples for training, validation and test, by one way to name data."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import tensorflow as tf

from rnn_apps.data import files, tfds
from rnn_apps.data.examples import as_dataset


@dataclass(frozen=True)
class Splits:
    """Raw examples by split.

    `load_bars` puts DataFrames of prices here in place of datasets, and `load_texts` dicts of
    texts; what they hold is said there.

    Attributes:
        train: a `tf.data.Dataset` of dicts from feature to string scalar; None if there is none.
        validation: the same, disjoint from `train`.
        test: the same, disjoint from both.
        name: the name of what is judged on, for reports: "builtin", "tfds:NAME", or a file's name.
        fingerprint: SHA-256 of all examples of all splits, in order; 64 hexadecimal digits.
        notes: sentences on rows skipped, held out, and dropped as duplicates.
    """

    train: tf.data.Dataset | pd.DataFrame | dict | None
    validation: tf.data.Dataset | pd.DataFrame | dict | None
    test: tf.data.Dataset | pd.DataFrame | dict | None
    name: str
    fingerprint: str
    notes: tuple[str, ...]


def load(
    source,
    *,
    features=("text", "label"),
    columns=None,
    validation: str | None = None,
    test: str | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
    bad_rows: Literal["stop", "skip"] = "stop",
    seed: int = 0,
):
    """Loads raw examples by name.

    Data is named as "builtin", "tfds:NAME" (any TensorFlow Datasets name), or the path of a CSV,
    TSV or JSONL file (see `rnn_apps.data.files.read`). All values are texts: class ids of TFDS
    become class names, numbers in files their digits.

    Duplicates across splits are dropped: an example whose input (the first feature, without
    regard to case and spacing) is in the test data leaves validation and training, one in the
    validation data leaves training. Duplicates within one split stay, and on one side.

    Args:
        source: the data to train on, and its own "validation" and "test" split if it has them.
            None if only validation or test data is wanted.
        features: the names of the features, the input first.
        columns: a dict from feature to the column name, JSON key or TFDS feature key that holds
            it, where it differs from the feature's name.
        validation: the validation data, named likewise; its "validation" split or its only one.
        test: the test data, named likewise; its "test" split or its only one.
        validation_fraction: from 0 to below 1, the part of the training inputs held out for
            validation if there is no validation data. 0 holds out none.
        test_fraction: likewise, for a test split if there is no test data.
        bad_rows: "stop" to raise at a bad row of a file, "skip" to leave such rows out.
        seed: which examples are held out; the choice depends on nothing but this and the inputs.

    Returns:
        `Splits`.

    Raises:
        ValueError: if a name, column, row or setting is wrong; says which.
        OSError: if data cannot be read, written or downloaded.

    Example:
        >>> splits = load("builtin")
        >>> sorted(next(splits.test.as_numpy_iterator()))
        ['label', 'text']
    """
    fractions = {"test": test_fraction, "validation": validation_fraction}
    check_fractions(fractions)
    names = column_names(features, columns)
    given = {"train": source, "validation": validation, "test": test}
    found, notes = read_splits(
        given, lambda data, wanted: read_named(data, names, wanted, bad_rows)
    )
    return divide(found, next(iter(names)), fractions, seed, name=name_of(given), notes=notes)


def read_splits(given, read):
    """Reads what was named for each split.

    Args:
        given: a dict from "train", "validation" and "test" to a name of data, or None.
        read: a function of a name and of the splits wanted of it, the first of them most; it
            returns a dict from split to columns, and sentences. A file, which has no splits, is
            whatever is wanted first.

    Returns:
        `(found, notes)`: a dict from each split to its columns or None, and a list of sentences.

    Raises:
        ValueError: if nothing was named, or data has no split that could be used.

    Example:
        >>> found, _ = read_splits({"train": "a", "validation": None, "test": None},
        ...                        lambda name, wanted: ({wanted[0]: {"text": [name]}}, ()))
        >>> found["train"], found["test"]
        ({'text': ['a']}, None)
    """
    if all(data is None for data in given.values()):
        raise ValueError("No data was named; pass 'builtin', 'tfds:NAME' or the path of a file.")
    found, notes = dict.fromkeys(tfds.SPLITS), []
    for split, data in given.items():
        if data is None:
            continue
        own = [each for each in tfds.SPLITS if split == "train" and given[each] is None]
        there, remarks = read(data, (split, *own))
        notes += remarks
        if split not in there:
            there, _ = read(data, tfds.SPLITS)
            if split == "train" or len(there) != 1:
                raise ValueError(
                    f"{_name(data)} has no {split} split that could be used, only "
                    f"{', '.join(there) or 'others'}; name other {split} data."
                )
            there = {split: next(iter(there.values()))}
        found.update(there)
    return found, notes


def divide(found, key, fractions, seed, *, name, notes):
    """Drops duplicates across splits, and holds out the splits that are wanted and not there.

    Args:
        found: a dict from each split to its columns or None, which is changed.
        key: the feature that is the input.
        fractions: a dict from "test" and "validation" to the part of training to hold out.
        seed: which examples are held out.
        name: of what is judged on.
        notes: sentences that come before those on what was dropped and held out.

    Returns:
        `Splits`.

    Raises:
        ValueError: if training data is too little.

    Example:
        >>> columns = {"text": np.array(["a", "b", "c"], object)}
        >>> splits = divide({"train": columns, "validation": None, "test": None}, "text",
        ...                 {"test": 0.4, "validation": 0}, 0, name="three", notes=())
        >>> splits.notes
        ('1 of 3 training examples were held out for test.',)
    """
    notes = [*notes, *part(found, key, fractions, seed)]
    return Splits(
        **{split: columns and as_dataset(columns) for split, columns in found.items()},
        name=name,
        fingerprint=tfds.fingerprint_splits(found),
        notes=tuple(notes),
    )


def part(found, key, fractions, seed):
    """Drops duplicates across splits and holds splits out, as `divide` does, in `found` itself.

    Args:
        found: as for `divide`.
        key: the feature that is the input, or that is the same for the same input.
        fractions: as for `divide`.
        seed: as for `divide`.

    Returns:
        A list of sentences on what was dropped and held out.

    Raises:
        ValueError: if training data is too little.

    Example:
        >>> found = {"train": {"text": np.array(["a", "b"], object)}, "validation": None,
        ...          "test": {"text": np.array(["B"], object)}}
        >>> part(found, "text", {}, seed=0)
        ['1 example was dropped from train: the same text is in test.']
    """
    notes = _drop_duplicates(found, key)
    for split, fraction in fractions.items():
        if found["train"] is not None and found[split] is None and fraction:
            notes.append(hold_out(found, key, split, fraction, seed))
    return notes


def check_fractions(fractions):
    """Refuses parts to hold out, by split, that are not from 0 to below 1."""
    for split, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise ValueError(f"{split}_fraction is {fraction}; it must be at least 0 and below 1.")


def name_of(given):
    """The name of what is judged on, of a dict from split to what was named or None.

    Example:
        >>> name_of({"train": "data/a.csv", "validation": None, "test": "data/b.csv"})
        'b.csv'
    """
    order = ("test", "train", "validation")
    return _name(next(given[split] for split in order if given[split] is not None))


def column_names(features, columns):
    """What holds each feature: what `columns`, a dict or None, names, or else its own name.

    Example:
        >>> column_names(("text", "label"), {"label": "stars"})
        {'text': 'text', 'label': 'stars'}
    """
    unknown = sorted(set(columns or ()) - set(features))
    if unknown:
        raise ValueError(
            f"columns names the feature '{unknown[0]}', but the features are "
            f"{', '.join(map(repr, features))}; write columns={{FEATURE: COLUMN}}."
        )
    return {feature: (columns or {}).get(feature, feature) for feature in features}


def _name(data):
    if isinstance(data, (tuple, list)):
        return "+".join(map(_name, data))
    text = os.fspath(data)
    return text if text == "builtin" or text.startswith("tfds:") else Path(text).name


def read_named(data, names, wanted, bad_rows):
    """Reads what is named "builtin", "tfds:NAME" or by the path of a table.

    Args:
        data: the name.
        names: a dict from feature to the column that holds it.
        wanted: names of splits; a table is whatever is wanted first.
        bad_rows: "stop" or "skip", as of `load`.

    Returns:
        A dict from split to columns, and remarks.
    """
    data = os.fspath(data)
    if data == "builtin":
        from rnn_apps.data.reviews import BuiltinReviews

        return tfds.read_builtin(BuiltinReviews, names, wanted), ()
    if data.startswith("tfds:"):
        return tfds.read(data.removeprefix("tfds:"), names, wanted)
    columns, remarks = files.read(data, names, bad_rows=bad_rows)
    return {wanted[0]: columns}, remarks


def _drop_duplicates(found, key):
    """Takes out of each split what a later one holds too; returns a sentence for each loss."""
    notes, holder = [], {}
    for split in reversed(tfds.SPLITS):
        if found[split] is None:
            continue
        inputs = [_folded(text) for text in found[split][key]]
        holders = [holder.get(text) for text in inputs]
        for other in tfds.SPLITS:
            if count := holders.count(other):
                rows = "1 example was" if count == 1 else f"{count:,} examples were"
                notes.append(f"{rows} dropped from {split}: the same {key} is in {other}.")
        keep = [row for row, other in enumerate(holders) if other is None]
        if not keep:
            raise ValueError(
                f"Every {key} of {split} is in the data it is judged on too; name other data."
            )
        found[split] = {name: values[keep] for name, values in found[split].items()}
        holder.update((text, split) for text in inputs if text not in holder)
    return notes


def hold_out(found, key, split, fraction, seed):
    """Moves the training inputs with the smallest seeded hashes, equal ones together.

    Args:
        found: a dict from each split to its columns or None, which is changed.
        key: as for `divide`.
        split: which one to hold out.
        fraction: above 0 and below 1, the part of the different training inputs to hold out.
        seed: as for `divide`.

    Returns:
        A sentence.

    Raises:
        ValueError: if there is only one input.

    Example:
        >>> found = {"train": {"text": np.array(["a", "b", "c", "d"], object)}}
        >>> hold_out(found, "text", "test", 0.25, seed=0)
        '1 of 4 training examples were held out for test.'
    """
    salt = f"{split} {seed}".encode()
    inputs = [_folded(text) for text in found["train"][key]]
    order = sorted(set(inputs), key=lambda text: _hash(salt, text))
    if len(order) < 2:
        raise ValueError(
            f"Training data with one {key} only cannot be divided; give more, or {split} data, "
            f"or {split}_fraction=0."
        )
    held = set(order[: min(max(1, round(fraction * len(order))), len(order) - 1)])
    is_held = [text in held for text in inputs]
    train = found["train"]
    for side, here in ((split, True), ("train", False)):
        rows = [row for row, held_out in enumerate(is_held) if held_out is here]
        found[side] = {name: values[rows] for name, values in train.items()}
    return f"{sum(is_held):,} of {len(inputs):,} training examples were held out for {split}."


def _hash(salt, text):
    data = salt + b"\0" + text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).digest()


def _folded(text):
    return " ".join(text.casefold().split())
