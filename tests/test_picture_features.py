"""Features of a network that is not trained: computed once, and kept whole or not at all."""

import os

import numpy as np
import pytest
import tensorflow as tf
from conftest import squares

from rnn_apps import picture_features
from rnn_apps.blocks import ImageEncoder
from rnn_apps.preprocessing.images import decode_images

PICTURES = np.array([*squares()[0], b"no picture"], dtype=object)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "rnn_apps" / "features"


@pytest.fixture
def counted(monkeypatch):
    """Counts the times that features are computed."""
    times, compute = [], picture_features._computed

    def computed(*arguments):
        times.append(1)
        return compute(*arguments)

    monkeypatch.setattr(picture_features, "_computed", computed)
    return times


def encoder_of(size=24, **options):
    encoder = ImageEncoder(image_size=size, trainable=False, **options)
    encoder.build((None, size, size, 3))
    encoder.built = True
    return encoder


def test_kept_features_are_those_of_the_network(folder):
    encoder = encoder_of()
    images, ok = decode_images(PICTURES.tolist(), 24)
    expected = encoder.features(images).numpy()
    for keep in (True, False):
        found = picture_features.features(encoder, PICTURES, "pad", keep=keep)
        assert found.ok.tolist() == ok.numpy().tolist() == [True] * 12 + [False]
        taken, good = found.take(np.array([3, 12, 0]))
        values = taken["features"]
        assert good.tolist() == [True, False, True] and values.dtype == np.float16
        np.testing.assert_allclose(values[[0, 2]], expected[[3, 0]], rtol=1e-3, atol=1e-3)


def test_features_are_computed_once_for_the_same_pictures_and_network(folder, counted):
    encoder = encoder_of()
    first = picture_features.features(encoder, PICTURES, "pad")
    again = picture_features.features(encoder, PICTURES, "pad")
    assert len(counted) == 1 and len(list(folder.iterdir())) == 1
    np.testing.assert_array_equal(first.values, again.values)
    other = encoder_of()
    other.set_weights(encoder.get_weights())
    picture_features.features(other, PICTURES, "pad")
    assert len(counted) == 1


def test_whatever_features_depend_on_makes_them_anew(folder, counted):
    encoder = encoder_of()
    picture_features.features(encoder, PICTURES, "pad")
    picture_features.features(encoder, PICTURES, "crop")
    picture_features.features(encoder, PICTURES[::-1], "pad")
    picture_features.features(encoder_of(32), PICTURES, "pad")
    picture_features.features(encoder_of(layer="conv_2_relu"), PICTURES, "pad")
    weights = encoder.get_weights()
    weights[-1] = weights[-1] + 0.001
    encoder.set_weights(weights)
    picture_features.features(encoder, PICTURES, "pad")
    assert len(counted) == len(list(folder.iterdir())) == 6


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-1],
        lambda raw: raw[:50],
        lambda raw: b"",
        lambda raw: raw[:300] + bytes([raw[300] ^ 1]) + raw[301:],
        lambda raw: raw + b"x",
        lambda raw: b"something else altogether, of no use",
    ],
    ids=["a byte short", "cut", "empty", "one bit", "too long", "another file"],
)
def test_a_spoilt_file_is_computed_again(folder, counted, spoil):
    encoder = encoder_of()
    expected = np.array(picture_features.features(encoder, PICTURES, "pad").values)
    (file,) = folder.iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    found = picture_features.features(encoder, PICTURES, "pad")
    assert len(counted) == 2
    np.testing.assert_array_equal(found.values, expected)
    picture_features.features(encoder, PICTURES, "pad")
    assert len(counted) == 2


def test_features_not_used_for_longest_make_room_for_new_ones(folder, counted, monkeypatch):
    encoder = encoder_of()
    rows = [PICTURES[:1], PICTURES[1:2], PICTURES[2:3]]

    def used():
        """The numbers of the rows whose features are there, from the one not used for longest."""
        files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        keys = [f"{picture_features._key(encoder, row, 'pad')}.npy" for row in rows]
        return [keys.index(path.name) for path in files]

    for row in rows[:2]:
        picture_features.features(encoder, row, "pad")
        for path in folder.iterdir():
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**12))  # longer ago, all of them
    assert used() == [0, 1]
    picture_features.features(encoder, rows[0], "pad")
    assert used() == [1, 0] and len(counted) == 2
    size = max(path.stat().st_size for path in folder.iterdir())
    monkeypatch.setattr(picture_features, "_ON_DISK", 2 * size)
    (folder / ".left.1.tmp.npy").write_bytes(b"half a file")
    (folder / ".being.2.tmp.npy").write_bytes(b"half a file")
    os.utime(folder / ".left.1.tmp.npy", (0, 0))
    picture_features.features(encoder, rows[2], "pad")
    (folder / ".being.2.tmp.npy").unlink()
    assert used() == [0, 2]
    monkeypatch.setattr(picture_features, "_ON_DISK", 1)
    picture_features.features(encoder, rows[1], "pad")
    assert used() == [1]  # the newest is kept, whatever its size
    assert picture_features.features(encoder, rows[1], "pad").ok.all()
    assert len(counted) == 4


def test_an_interrupted_computation_leaves_nothing(folder, monkeypatch):
    def interrupted(*_):
        yield np.zeros([5, 3, 3, 128], np.float16)
        raise KeyboardInterrupt

    monkeypatch.setattr(picture_features, "_computed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        picture_features.features(encoder_of(), PICTURES, "pad")
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="set XDG_CACHE_HOME"):
        found = picture_features.features(encoder_of(), PICTURES, "pad")
    assert found.ok.sum() == 12


def test_pixels_are_the_same_kept_in_memory_or_decoded_each_time(monkeypatch):
    kept = picture_features.pixels(PICTURES, 24, "pad")
    monkeypatch.setattr(picture_features, "_IN_MEMORY", 1000)
    again = picture_features.pixels(PICTURES, 24, "pad")
    assert isinstance(kept, picture_features.Stored)
    assert isinstance(again, picture_features.Decoded)
    rows = np.array([5, 12, 1])
    (one, good), (other, too) = kept.take(rows), again.take(rows)
    np.testing.assert_array_equal(one["images"], other["images"])
    np.testing.assert_array_equal(good, too)
    np.testing.assert_array_equal(kept.values[2], tf.io.decode_png(PICTURES[2]))
    assert kept.specs == again.specs
