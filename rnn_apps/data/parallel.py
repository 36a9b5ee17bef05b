"""`load_pairs`: sentences and their translations, by one way to name data."""

import os
from pathlib import Path

from rnn_apps.data import files, tfds
from rnn_apps.data.pair_checks import PairLimits, drop_odd
from rnn_apps.data.splits import check_fractions, divide, name_of, read_splits

FEATURES = ("source", "target")
_DEFAULT_LIMITS = PairLimits()


def load_pairs(
    source,
    *,
    columns=None,
    validation=None,
    test=None,
    validation_fraction=0.1,
    test_fraction=0.0,
    bad_rows="stop",
    limits=_DEFAULT_LIMITS,
    seed=0,
):
    r"""Loads pairs of a sentence and its translation by name.

    Data is named as

    - "train.en+train.de", or a pair of paths: two files (also .gz) of one sentence a line, the
      sources first. A name without a folder lies in the folder of the first one:
      "data/train.en+train.de" is short for "data/train.en+data/train.de";
    - the path of a CSV, TSV or JSONL file (see `rnn_apps.data.files.read`) with the columns
      "source" and "target";
    - "tfds:NAME", a set of translations of TensorFlow Datasets;
    - "builtin": English and German sentences (see `rnn_apps.data.sentences`).

    Pairs are checked (see `PairLimits`): what is odd is counted in the notes, and some of it leaves
    training. Duplicates across splits, by source, are dropped as `load` does.

    Args:
        source: the data to train on, and its own "validation" and "test" split if it has them.
            None if only validation or test data is wanted.
        columns: a dict from "source" and "target" to the column, JSON key or language that holds
            it. By default columns have these names, translations of TFDS go the way the data set
            says, and the built-in ones from "en" to "de".
        validation: the validation data, named likewise.
        test: the test data, named likewise.
        validation_fraction: from 0 to below 1, the part of the training sources held out for
            validation if there is no validation data. 0 holds out none.
        test_fraction: likewise, for a test split if there is no test data.
        bad_rows: "stop" to raise at a bad row of a file, "skip" to leave such rows out. An empty
            sentence is no bad row.
        limits: `PairLimits`.
        seed: which examples are held out.

    Returns:
        `Splits` of dicts with "source" and "target".

    Raises:
        ValueError: if a name, column, row or setting is wrong, or two files differ in length.
        OSError: if data cannot be read, written or downloaded.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "train.en").write_text("yes\nno\n")
        >>> _ = (folder / "train.de").write_text("ja\nnein\n")
        >>> splits = load_pairs(f"{folder}/train.en+train.de", validation_fraction=0)
        >>> next(splits.train.as_numpy_iterator())
        {'source': b'yes', 'target': b'ja'}
    """
    fractions = {"test": test_fraction, "validation": validation_fraction}
    check_fractions(fractions)
    given = {"train": source, "validation": validation, "test": test}
    given = {split: data and two_files(data) for split, data in given.items()}
    _check_columns(columns, given)
    found, notes = read_splits(given, lambda data, wanted: _read(data, columns, wanted, bad_rows))
    for split, there in found.items():
        if there is not None:
            found[split], remarks = drop_odd(there, split, limits)
            notes += remarks
    return divide(found, "source", fractions, seed, name=name_of(given), notes=notes)


def two_files(data):
    """Tells a name of two files from others.

    Args:
        data: a name of data, as for `load_pairs`.

    Returns:
        A pair of `Path`, or `data` as text if it names anything else.

    Raises:
        ValueError: if it is not clear where the first name ends.

    Example:
        >>> [path.as_posix() for path in two_files("data/train.en+train.de")]
        ['data/train.en', 'data/train.de']
    """
    if isinstance(data, (tuple, list)):
        if len(data) != 2:
            raise ValueError(f"{len(data)} names came; two files are named (SOURCES, TARGETS).")
        return Path(data[0]), Path(data[1])
    text = os.fspath(data)
    plain = text == "builtin" or text.startswith(("builtin/", "tfds:"))
    if plain or "+" not in text or Path(text).is_file():
        return text
    places = [place for place, letter in enumerate(text) if letter == "+"]
    pairs = [_beside(text[:place], text[place + 1 :]) for place in places]
    there = [pair for pair in pairs if all(path.is_file() for path in pair)]
    if len(there) != 1 and len(pairs) > 1:
        raise ValueError(
            f"'{text}' holds {len(pairs)} plus signs, and {len(there)} ways to part it name two "
            "files that are there; pass a pair of paths, or files without a plus in their names."
        )
    return (there or pairs)[0]


def _beside(first, second):
    first, second = Path(first), Path(second)
    return first, second if second.name != str(second) else first.parent / second


def _check_columns(columns, given):
    unknown = sorted(set(columns or ()) - set(FEATURES))
    if unknown:
        raise ValueError(
            f"columns names the feature '{unknown[0]}', but the features are 'source' and "
            "'target'; write columns={FEATURE: COLUMN}."
        )
    if columns and all(isinstance(data, tuple) for data in given.values() if data is not None):
        raise ValueError(
            "columns were named, but two aligned files have none; name the file of the sources "
            "first and that of the targets second."
        )


def _read(data, columns, wanted, bad_rows):
    """Returns a dict from split to columns, and remarks; files are whatever is wanted first."""
    if isinstance(data, tuple):
        return {wanted[0]: _read_aligned(*data)}, ()
    if data == "builtin":
        from rnn_apps.data.sentences import BuiltinSentences

        names = _languages(BuiltinSentences.keys, columns)
        return tfds.read_builtin(BuiltinSentences, names, wanted), ()
    if data.startswith("tfds:"):
        name = data.removeprefix("tfds:")
        given = columns or {}
        whole = len(given) == len(FEATURES)
        names = given if whole else _languages(tfds.supervised_keys(name), given)
        return tfds.read(name, {feature: names[feature] for feature in FEATURES}, wanted)
    if not files.is_table(data):
        raise ValueError(
            f"{data} is no name of pairs; name two files, as in 'train.en+train.de', a .csv, .tsv "
            "or .jsonl file (each also with .gz), 'tfds:NAME' or 'builtin'."
        )
    names = {feature: (columns or {}).get(feature, feature) for feature in FEATURES}
    found, _, notes = files.read_placed(data, names, optional=("target",), bad_rows=bad_rows)
    return {wanted[0]: found}, notes


def _languages(keys, columns):
    """{feature: language}: if one of two languages is named, the other is the other feature's."""
    one, other = keys
    columns = columns or {}
    turned = columns.get("source") == other or columns.get("target") == one
    names = dict(zip(FEATURES, (other, one) if turned else (one, other), strict=True))
    return {**names, **columns}


def _read_aligned(sources, targets):
    columns = dict(zip(FEATURES, map(files.read_lines, (sources, targets)), strict=True))
    count, other = map(len, columns.values())
    if count != other:
        raise ValueError(
            f"{sources} has {count:,} lines and {targets} has {other:,}; line by line, one must "
            "be the translation of the other: find the line that is missing or too many."
        )
    return columns
