"""Data sets by name: `tfds:NAME`, and the built-in ones, which write themselves."""

import contextlib
import difflib
import io
import os
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from rnn_apps.data.examples import as_columns, find_column, fingerprint

SPLITS = ("train", "validation", "test")


def read(name, names, splits=SPLITS):
    """Reads splits of a TensorFlow Datasets data set, preparing it first if need be.

    Class ids become class names. A split whose rows have no label (id -1) is left out.

    Args:
        name: what `tfds.builder` takes: "imdb_reviews", "glue/sst2:2.0.0". The data lies where
            TFDS keeps it: `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        names: a dict from feature to the feature key of the data set that holds it.
        splits: which of "train", "validation" and "test" to read; those it lacks are left out.

    Returns:
        `(splits, notes)`: a dict from split to columns, each a dict from feature to object array
        (N,) of `str`; and a tuple of sentences, one for each split left out.

    Raises:
        ValueError: if there is no such data set or feature key, or its values are not texts.
        OSError: if it is not prepared and cannot be downloaded.

    Example:
        >>> import tensorflow_datasets as tfds
        >>> with tfds.testing.mock_data(num_examples=3):
        ...     found, notes = read("imdb_reviews", {"text": "text", "label": "label"}, ("train",))
        >>> len(found["train"]["label"])
        3
    """
    builder = _builder(name)
    keys = builder.info.features
    for feature, key in names.items():
        kind = keys[find_column(key, keys, feature=feature, where=f"tfds:{name}")]
        if kind.shape != ():
            raise ValueError(
                f"'{key}' of tfds:{name} is {type(kind).__name__}, which is neither a text nor "
                "a label; name another feature key in columns."
            )
    _prepare(builder, name)
    return _read(builder, names, splits, f"tfds:{name}")


def supervised_keys(name):
    """The two feature keys that a TensorFlow Datasets data set is learned by: input and target.

    Args:
        name: as for `read`.

    Returns:
        `(input, target)`: for a set of translations, the two languages.

    Raises:
        ValueError: if there is no such data set, or it does not say.

    Example:
        >>> supervised_keys("ted_hrlr_translate/pt_to_en")
        ('pt', 'en')
    """
    info = _builder(name).info
    keys = info.supervised_keys
    if not keys or len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        raise ValueError(
            f"tfds:{name} does not say which of its features ({', '.join(info.features)}) is the "
            "source and which the target; pass columns={'source': KEY, 'target': KEY} to `load`."
        )
    return tuple(keys)


def features_of(name):
    """The features of a TensorFlow Datasets data set, which need not be prepared.

    Args:
        name: as for `read`.

    Returns:
        A `tfds.features.FeaturesDict`.

    Raises:
        ValueError: if there is no such data set.

    Example:
        >>> list(features_of("mnist"))
        ['image', 'label']
    """
    return _builder(name).info.features


def datasets(name, decoders=None):
    """The splits of a TensorFlow Datasets data set with all its features, prepared if need be.

    Args:
        name: as for `read`.
        decoders: what TFDS takes as such: how, and which of, the features are decoded.

    Returns:
        `(found, names)`: a dict from split to `tf.data.Dataset` of dicts, and a dict from each
        feature key that holds class ids to the list of class names.

    Raises:
        ValueError: if there is no such data set.
        OSError: if it is not prepared and cannot be downloaded.

    Example:
        >>> import tensorflow_datasets as tfds
        >>> with tfds.testing.mock_data(num_examples=3):
        ...     found, names = datasets("imdb_reviews")
        >>> names
        {'label': ['neg', 'pos']}
    """
    import tensorflow_datasets

    builder = _builder(name)
    _prepare(builder, name)
    labels = {
        key: feature.names
        for key, feature in builder.info.features.items()
        if isinstance(feature, tensorflow_datasets.features.ClassLabel)
    }
    there = builder.info.splits or SPLITS
    options = {"shuffle_files": False, "decoders": decoders}
    return {each: builder.as_dataset(split=each, **options) for each in there}, labels


def read_builtin(builder_class, names, splits=SPLITS, config=None):
    """Reads a built-in data set from our cache, and generates it first if it is not there.

    It lies in `TFDS_DATA_DIR`, or `$XDG_CACHE_HOME/rnn_apps`, or `~/.cache/rnn_apps`. Several
    processes may ask at once; data that was changed or damaged there is generated anew.

    Args:
        builder_class: a `tfds.core.GeneratorBasedBuilder` with a `fingerprint`, the SHA-256 of
            its splits, and the feature keys as `keys`.
        names: a dict from feature to the feature key that holds it.
        splits: which of "train", "validation" and "test" to read.
        config: the name of the builder's configuration, if it has several.

    Returns:
        A dict from split to columns. A feature that holds a sequence is an object array (N,) of
        lists, and one of pictures is the bytes of their files.

    Raises:
        ValueError: if there is no such feature key.
        OSError: if the cache folder cannot be written.
    """
    keys = {key: key for key in builder_class.keys}
    for feature, key in names.items():
        find_column(key, keys, feature=feature, where="the built-in data")
    with contextlib.suppress(Exception):  # not there yet, or damaged: both are made anew below
        builder = builder_class(data_dir=_cache(), config=config)
        found, _ = _read(builder, keys, SPLITS, "builtin")
        if fingerprint_splits(found) == builder.fingerprint:
            return _select(found, names, splits)
    return _select(_generate(builder_class, keys, config), names, splits)


def fingerprint_splits(found):
    """The SHA-256 of several splits: `found` is a dict from split to columns or None.

    Example:
        >>> len(fingerprint_splits({"train": {"text": ["fine"]}, "test": None}))
        64
    """
    return fingerprint(
        {split: [fingerprint(columns)] for split, columns in found.items() if columns is not None}
    )


def _select(found, names, splits):
    return {
        split: {feature: found[split][key] for feature, key in names.items()} for split in splits
    }


def _cache():
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TFDS_DATA_DIR") or Path(home) / "rnn_apps").expanduser()


def _generate(builder_class, keys, config):
    """Generates beside the cache, reads, and moves the folder into place in one step."""
    cache = _cache()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="unfinished-") as folder:
            builder = builder_class(data_dir=folder, config=config)
            unseen = io.StringIO()  # TFDS announces downloads and draws progress bars
            with contextlib.redirect_stdout(unseen), contextlib.redirect_stderr(unseen):
                _write(builder)
            found, _ = _read(builder, keys, SPLITS, "builtin")
            _publish(Path(builder.data_dir), cache / Path(builder.data_dir).relative_to(folder))
    except OSError as error:
        raise OSError(
            f"The built-in data cannot be written to {cache} ({error}); set "
            "XDG_CACHE_HOME to a folder that can be written."
        ) from error
    return found


def _write(builder):
    """Has TFDS write a data set, without drawing from the random numbers of what comes after.

    A training of one seed is then the same whether its data was there before or not.
    """
    before = random.getstate(), np.random.get_state()
    try:
        builder.download_and_prepare()
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def _publish(made, place):
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        made.rename(place)
    except OSError:  # damaged data, or another process was faster: ours is as good
        with contextlib.suppress(OSError):
            place.rename(made.with_name("replaced"))
            made.rename(place)


def _builder(name):
    import tensorflow_datasets

    try:
        return tensorflow_datasets.builder(name, try_gcs=False)
    except tensorflow_datasets.core.DatasetNotFoundError:
        known = tensorflow_datasets.list_builders(with_community_datasets=False)
        stem = name.split("/")[0].split(":")[0]
        close = difflib.get_close_matches(stem, known, n=1)
        guess = (
            f"did you mean tfds:{close[0]}?" if close else "see tensorflow.org/datasets/catalog."
        )
        raise ValueError(
            f"TensorFlow Datasets knows no data set '{stem}' (tfds:{name}); {guess}"
        ) from None
    except ValueError as error:
        what = " ".join(str(error).split())[:300]
        raise ValueError(
            f"tfds:{name} names no data set; write tfds:NAME, tfds:NAME/CONFIG or "
            f"tfds:NAME/CONFIG:VERSION ({what})."
        ) from error


def _prepare(builder, name):
    if builder.is_prepared():
        return
    try:
        with contextlib.redirect_stdout(sys.stderr):
            _write(builder)
    except Exception as error:  # TFDS, requests and each data set's own code raise many kinds
        what = " ".join(str(error).split())[:200]
        raise OSError(
            f"tfds:{name} is not prepared in {builder.data_dir}, and preparing it failed "
            f"({type(error).__name__}: {what}); run `tfds build {name}` where there is a network, "
            "and set TFDS_DATA_DIR to the folder that holds it."
        ) from error


def _read(builder, names, splits, source):
    # A mocked builder that has no metadata knows no splits, and gives any.
    there = set(builder.info.splits) or set(SPLITS)
    found, notes = {}, []
    for split in splits:
        if split not in there:
            continue
        decoders = _kept_encoded(builder, names.values())
        dataset = builder.as_dataset(split=split, shuffle_files=False, decoders=decoders)
        dataset = dataset.map(lambda row: {name: row[key] for name, key in names.items()})
        columns = as_columns(dataset, features=tuple(names))
        columns = {
            name: _texts(values, builder.info.features[names[name]])
            for name, values in columns.items()
        }
        if any(values is None for values in columns.values()):
            notes.append(f"The {split} split of {source} has no labels, so it is left out.")
        else:
            found[split] = columns
    return found, tuple(notes)


def _kept_encoded(builder, keys):
    """The decoders that leave pictures as they are in their files; None if there are none."""
    from tensorflow_datasets import decode, features

    found = builder.info.features
    pictures = [key for key in keys if key in found and isinstance(found[key], features.Image)]
    return {key: decode.SkipDecoding() for key in pictures} or None


def _texts(values, feature):
    """The values of a feature as texts, or None if they are class ids that were withheld.

    Sequences stay what they are.
    """
    import tensorflow_datasets

    if feature.shape != ():
        return values
    if isinstance(feature, tensorflow_datasets.features.ClassLabel):
        if (values == -1).any():
            return None
        values = [feature.int2str(int(value)) for value in values]
    column = np.empty(len(values), dtype=object)
    column[:] = [str(value) for value in values]
    return column
