"""Pictures to train on: as pixels, or as what a network that is not trained makes of them.

Features of a network that is not trained are computed once and kept in `$XDG_CACHE_HOME/rnn_apps/
features` (`~/.cache/…`), in a file called after all that they depend on: the pictures, how they
are fitted, and the network with its weights. Any file there may be deleted at any time. Together
they take 8 GiB at most: when a new one makes them more, those not used for longest are deleted,
and the new one alone is kept whatever its size.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import time
import warnings

import numpy as np
import tensorflow as tf

from rnn_apps import data, training
from rnn_apps.preprocessing.images import decode_images

_FORM = 1  # of what is kept; to be raised when the same pictures would give other features
_AT_ONCE = 32  # pictures
_IN_MEMORY = 1 << 30  # bytes of pixels that are decoded once and kept
_ON_DISK = 8 << 30  # bytes of all features that are kept
_LEFT_BEHIND = 86400  # seconds after which a file that is still being written is no longer so
_NAMED = 5  # pictures in a sentence
_DIGEST = hashlib.sha256().digest_size
_LARGEST = float(np.finfo(np.float16).max)


@dataclasses.dataclass(frozen=True)
class Stored:
    """Pictures of which all is at hand.

    Attributes:
        name: "images" or "features".
        values: uint8 (N, S, S, 3) or float16 (N, grid, grid, M).
        ok: bool (N,), whether each could be read.

    Example:
        >>> pictures = Stored("images", np.zeros([2, 8, 8, 3], "uint8"), np.array([True, False]))
        >>> pictures.specs["images"].shape
        TensorShape([None, 8, 8, 3])
    """

    name: str
    values: np.ndarray
    ok: np.ndarray

    @property
    def specs(self):
        """{name: `tf.TensorSpec` of what `take` returns}."""
        return {self.name: tf.TensorSpec([None, *self.values.shape[1:]], self.values.dtype)}

    def take(self, rows):
        """Returns {name: pictures} by their numbers, and whether each could be read."""
        return {self.name: np.asarray(self.values[rows])}, self.ok[rows]


class Decoded:
    """Pictures that are decoded whenever they are asked for.

    Args:
        image_bytes: object array (N,) of bytes.
        size: int, S, of `decode_images`.
        fit: of `decode_images`.

    Example:
        >>> pictures = Decoded(np.array([b"no picture"], object), 8, "pad")
        >>> pictures.take(np.array([0]))[1].tolist()
        [False]
    """

    def __init__(self, image_bytes, size, fit):
        self.image_bytes = image_bytes
        self.size = size
        self.fit = fit
        self.specs = {"images": tf.TensorSpec([None, size, size, 3], tf.uint8)}

    def take(self, rows):
        """Returns {name: pictures} by their numbers, and whether each could be read."""
        images, ok = decode_images(_strings(self.image_bytes[rows]), self.size, fit=self.fit)
        return {"images": np.rint(images.numpy()).astype(np.uint8)}, ok.numpy()


class Turning:
    """Features while a network is held still, and pixels once it is trained.

    Args:
        encoder: `rnn_apps.blocks.ImageEncoder`, whose `trainable` is looked at whenever pictures
            are taken.
        kept: `Stored`, its features of the pictures.
        image_bytes: object array (N,) of bytes.
        fit: "pad" or "crop", as of `decode_images`.

    What is not wanted is there too, without rows.

    Example:
        >>> from rnn_apps.blocks import ImageEncoder
        >>> encoder = ImageEncoder(image_size=16, trainable=False)
        >>> kept = Stored("features", np.zeros([1, 2, 2, 128], "float16"), np.array([True]))
        >>> pictures = Turning(encoder, kept, np.array([b"(a JPEG)"], object), "pad")
        >>> {name: values.shape for name, values in pictures.take(np.array([0]))[0].items()}
        {'images': (0, 16, 16, 3), 'features': (1, 2, 2, 128)}
    """

    def __init__(self, encoder, kept, image_bytes, fit):
        self.encoder = encoder
        self.kept = kept
        self.image_bytes = image_bytes
        self.fit = fit
        self.specs = Decoded(image_bytes, encoder.image_size, fit).specs | kept.specs

    @functools.cached_property
    def _pixels(self):
        return pixels(self.image_bytes, self.encoder.image_size, self.fit)

    def take(self, rows):
        """Returns {name: pictures} by their numbers, and whether each could be read."""
        wanted = self._pixels if self.encoder.trainable else self.kept
        found, ok = wanted.take(rows)
        none = {
            name: np.zeros([0, *spec.shape[1:]], spec.dtype.as_numpy_dtype)
            for name, spec in self.specs.items()
        }
        return none | found, ok


def to_train_on(encoder, image_bytes, fit, *, later=False):
    """Makes pictures ready for training: features, or pixels if the network is trained.

    Warns of pictures that cannot be read.

    Args:
        encoder: built `rnn_apps.blocks.ImageEncoder`.
        image_bytes: object array (N,) of bytes, N at least 1.
        fit: "pad" or "crop", as of `decode_images`.
        later: bool, whether a network that is held still may yet be trained.

    Returns:
        What gives pictures by their numbers: `Stored`, `Decoded` or `Turning`.

    Raises:
        ValueError: if no picture can be read.

    Example:
        >>> from rnn_apps.blocks import ImageEncoder
        >>> encoder = ImageEncoder(image_size=16)
        >>> encoder.build((None, 16, 16, 3))
        >>> picture = tf.io.encode_png(np.zeros([4, 4, 3], "uint8")).numpy()
        >>> list(to_train_on(encoder, np.array([picture], object), "pad").specs)
        ['images']
    """
    if encoder.trainable:
        found = pixels(image_bytes, encoder.image_size, fit)
    else:
        found = features(encoder, image_bytes, fit)
    bad = np.flatnonzero(~found.ok) if isinstance(found, Stored) else ()
    if len(bad):
        shown = ", ".join(map(str, bad[:_NAMED])) + (", …" if len(bad) > _NAMED else "")
        what = f"{len(bad):,} of {len(image_bytes):,} pictures cannot be read (rows {shown})"
        if len(bad) == len(image_bytes):
            raise ValueError(f"{what}; give the bytes of JPEG, PNG, GIF or BMP files.")
        warnings.warn(f"{what}; their captions train nothing.", stacklevel=2)
    if later and not encoder.trainable:
        return Turning(encoder, found, image_bytes, fit)
    return found


def readable(image_bytes):
    """Tells which pictures can be read, by reading them.

    Args:
        image_bytes: object array (N,) of bytes.

    Returns:
        bool (N,).

    Example:
        >>> readable(np.array([b"no picture"], object)).tolist()
        [False]
    """
    tried = [decode_images(_strings(image_bytes[rows]), 1)[1] for rows in _parts(image_bytes)]
    return np.concatenate([np.zeros(0, bool), *tried])


def pixels(image_bytes, size, fit):
    """Decodes pictures: once, or if they are too many for memory, again and again.

    Args:
        image_bytes: object array (N,) of bytes.
        size: int, S, the side of a picture in pixels.
        fit: "pad" or "crop", as of `decode_images`.

    Returns:
        `Stored` up to 1 GiB of pixels, else `Decoded`.

    Example:
        >>> pixels(np.array([b"no picture"], object), 8, "pad").values.shape
        (1, 8, 8, 3)
    """
    pictures = Decoded(image_bytes, size, fit)
    if len(image_bytes) * size**2 * 3 > _IN_MEMORY:
        return pictures
    found, ok = zip(*(pictures.take(rows) for rows in _parts(image_bytes)), strict=True)
    values = np.concatenate([part["images"] for part in found])
    return Stored("images", values, np.concatenate(ok))


def features(encoder, image_bytes, fit, *, keep=True):
    """Computes the features of pictures, or finds those computed before.

    Args:
        encoder: built `rnn_apps.blocks.ImageEncoder`.
        image_bytes: object array (N,) of bytes, N at least 1.
        fit: "pad" or "crop", as of `decode_images`.
        keep: bool, whether they are kept on disk, and looked for there.

    Returns:
        `Stored`; where they are kept its values are read from the file whenever they are needed.

    Example:
        >>> from rnn_apps.blocks import ImageEncoder
        >>> encoder = ImageEncoder(image_size=16)
        >>> encoder.build((None, 16, 16, 3))
        >>> features(encoder, np.array([b"no picture"], object), "pad", keep=False).values.shape
        (1, 2, 2, 128)
    """
    shape = (len(image_bytes), encoder.grid, encoder.grid, encoder.width)
    computed = functools.partial(_computed, encoder, image_bytes, fit)
    values = None
    if keep:
        file = _folder() / f"{_key(encoder, image_bytes, fit)}.npy"
        values = _read(file, shape)
        if values is None:
            try:
                _write(file, shape, computed())
                _prune(file)
                values = _read(file, shape)
            except OSError as error:
                warnings.warn(
                    f"The features of {shape[0]:,} pictures cannot be kept in {file.parent} "
                    f"({error}), and will be computed again next time; set XDG_CACHE_HOME to a "
                    "folder that can be written.",
                    stacklevel=2,
                )
    if values is None:
        values = np.concatenate(list(computed()))
    return Stored("features", values, ~np.isnan(values[:, 0, 0, 0]))


def _folder():
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home).expanduser() / "rnn_apps" / "features"


def _key(encoder, image_bytes, fit):
    """Digits that are others where the features would be."""
    settings = {
        "form": _FORM,
        "fit": fit,
        "size": encoder.image_size,
        "backbone": encoder.backbone,
        "layer": encoder.layer,
        "dtype": encoder.dtype_policy.name,
        "pictures": data.fingerprint({"image": image_bytes}),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for weight in encoder.get_weights():
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:32]


def _parts(image_bytes):
    count = len(image_bytes)
    return [np.arange(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE)]


def _strings(image_bytes):
    return tf.constant(image_bytes.tolist(), tf.string, shape=[len(image_bytes)])


def _computed(encoder, image_bytes, fit):
    """Yields features, float16 (P, grid, grid, M), not a number where there is no picture."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def of(batch):
        images, ok = decode_images(batch, encoder.image_size, fit=fit)
        found = tf.cast(encoder.features(images), tf.float32)
        found = tf.cast(tf.clip_by_value(found, -_LARGEST, _LARGEST), tf.float16)
        return tf.where(ok[:, None, None, None], found, tf.constant(np.nan, tf.float16))

    graph = of.get_concrete_function()
    for rows in _parts(image_bytes):
        yield graph(_strings(image_bytes[rows])).numpy()


def _write(file, shape, parts):
    """Writes an array as NumPy does, and the SHA-256 of all that after it."""
    digest = hashlib.sha256()
    with training.written_beside(file) as beside, open(beside, "wb") as stream:
        head = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, head)
        for part in parts:
            content = np.ascontiguousarray(part, "<f2").tobytes()
            digest.update(content)
            stream.write(content)
        stream.write(digest.digest())


def _prune(newest):
    """Deletes the files beside the newest that were not used for longest, if there is too much."""
    left = _ON_DISK - newest.stat().st_size
    with os.scandir(newest.parent) as entries:
        others = [(entry.stat(), entry.path) for entry in entries if entry.name != newest.name]
    for file, path in sorted(others, key=lambda each: each[0].st_mtime, reverse=True):
        if os.path.basename(path).startswith("."):
            unwanted = file.st_mtime < time.time() - _LEFT_BEHIND
        else:
            left -= file.st_size
            unwanted = left < 0
        if unwanted:
            pathlib.Path(path).unlink(missing_ok=True)


def _read(file, shape):
    """The array of a file, read where it lies; None if it is not there, or not whole.

    The time of the file is set to now, which says that it was used.
    """
    try:
        values = np.load(file, mmap_mode="r")
        if values.shape != shape or values.dtype != "<f2":
            return None
        digest = hashlib.sha256()
        for row in values:
            digest.update(row.tobytes())
        with open(file, "rb") as stream:
            stream.seek(-_DIGEST, os.SEEK_END)
            whole = stream.read() == digest.digest()
        with contextlib.suppress(OSError):  # somebody else's file
            os.utime(file)
        return values if whole else None
    except (OSError, ValueError, EOFError):
        return None
