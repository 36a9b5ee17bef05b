import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow_datasets

from rnn_apps.data import tfds
from rnn_apps.data.reviews import BuiltinReviews

NAMES = {"text": "text", "label": "label"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    return tmp_path / "rnn_apps"


def generations(monkeypatch):
    """A list that grows by one at each generation of built-in data."""
    calls, generate = [], tfds._generate
    monkeypatch.setattr(tfds, "_generate", lambda *args: calls.append(1) or generate(*args))
    return calls


def test_class_ids_become_class_names():
    with tensorflow_datasets.testing.mock_data(num_examples=20):
        found, notes = tfds.read("imdb_reviews", NAMES, ("train", "test"))
    assert list(found) == ["train", "test"] and notes == ()
    assert set(found["train"]["label"]) == {"neg", "pos"}
    assert all(type(text) is str for text in found["train"]["text"])
    assert len(found["test"]["text"]) == 20


def test_feature_keys_can_be_given_and_a_wrong_one_is_named():
    with tensorflow_datasets.testing.mock_data(num_examples=3):
        found, _ = tfds.read("glue/sst2", {"text": "sentence", "label": "label"}, ("train",))
        assert len(found["train"]["text"]) == 3
        with pytest.raises(ValueError, match="no column 'text' in tfds:glue/sst2.*'sentence'"):
            tfds.read("glue/sst2", NAMES)
        with pytest.raises(ValueError, match="'image' of tfds:mnist is Image"):
            tfds.read("mnist", {"text": "image", "label": "label"})


def test_an_unknown_name_brings_the_closest():
    with pytest.raises(ValueError, match="did you mean tfds:imdb_reviews"):
        tfds.read("imdb_review", NAMES)
    with pytest.raises(ValueError, match="names no data set; write tfds:NAME"):
        tfds.read("no such/thing at all", NAMES)


def test_data_that_cannot_be_downloaded_says_what_to_do(monkeypatch):
    def refuse(self, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tensorflow_datasets.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(OSError, match="ConnectionError: no route.*tfds build imdb_reviews"):
        tfds.read("imdb_reviews", NAMES)


class Small(tensorflow_datasets.core.GeneratorBasedBuilder):
    """One row in each of three splits, the last one without its label."""

    VERSION = tensorflow_datasets.core.Version("1.0.0")

    def _info(self):
        features = tensorflow_datasets.features.FeaturesDict(
            {
                "text": tensorflow_datasets.features.Text(),
                "label": tensorflow_datasets.features.ClassLabel(names=["no", "yes"]),
            }
        )
        return tensorflow_datasets.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        labels = {"train": 0, "validation": 1, "test": -1}
        return {split: self._generate_examples(label) for split, label in labels.items()}

    def _generate_examples(self, label):
        yield 0, {"text": "naïve", "label": label}


class Builtin(Small):
    """The same with all labels, as a built-in set."""

    VERSION = tensorflow_datasets.core.Version("1.0.0")
    keys = ("text", "label")
    fingerprint = tfds.fingerprint_splits(
        {
            split: {"text": ["naïve"], "label": [label]}
            for split, label in {"train": "yes", "validation": "no", "test": "yes"}.items()
        }
    )

    def _split_generators(self, dl_manager):
        labels = {"train": 1, "validation": 0, "test": 1}
        return {split: self._generate_examples(label) for split, label in labels.items()}


def test_a_split_without_labels_is_left_out_and_noted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tensorflow_datasets, "builder", lambda *_, **__: Small(data_dir=tmp_path))
    found, notes = tfds.read("withheld", NAMES)
    assert list(found) == ["train", "validation"]
    assert (found["train"]["text"][0], found["train"]["label"][0]) == ("naïve", "no")
    assert notes == ("The test split of tfds:withheld has no labels, so it is left out.",)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "read",
    [lambda: tfds.read_builtin(Builtin, NAMES), lambda: tfds.read("withheld", NAMES)],
    ids=["builtin", "named"],
)
def test_what_is_drawn_after_a_seed_does_not_depend_on_the_cache(read, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_datasets, "builder", lambda *_, **__: Small(data_dir=tmp_path))
    prepare = Small.download_and_prepare  # which draws from Python's numbers, but not from NumPy's
    monkeypatch.setattr(
        Small, "download_and_prepare", lambda self: np.random.random() and prepare(self)
    )
    drawn = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        read()
        drawn.append((random.random(), np.random.random(), float(keras.random.normal([]))))
    assert drawn[0] == drawn[1]


def test_builtin_data_is_written_once_and_leaves_nothing_beside(cache, monkeypatch, capfd):
    calls = generations(monkeypatch)
    first = tfds.read_builtin(BuiltinReviews, NAMES)
    second = tfds.read_builtin(BuiltinReviews, NAMES)
    assert len(calls) == 1 and capfd.readouterr().out == ""
    assert tfds.fingerprint_splits(first) == tfds.fingerprint_splits(second)
    assert [each.name for each in cache.iterdir()] == ["builtin_reviews"]


@pytest.mark.parametrize("damage", ["cut", "changed", "no facts", "nothing in it"])
def test_damaged_builtin_data_is_made_anew(cache, monkeypatch, damage):
    calls = generations(monkeypatch)
    tfds.read_builtin(Builtin, NAMES)
    folder = cache / "builtin" / "1.0.0"
    record = next(folder.glob("*-train.tfrecord*"))
    if damage == "cut":
        record.write_bytes(record.read_bytes()[:-10])
    elif damage == "changed":
        record.write_bytes(next(folder.glob("*-validation.tfrecord*")).read_bytes())
    elif damage == "no facts":
        (folder / "dataset_info.json").write_text("{")
    else:
        for each in folder.iterdir():
            each.unlink()
    for _ in range(2):
        found = tfds.read_builtin(Builtin, NAMES)
        assert tfds.fingerprint_splits(found) == Builtin.fingerprint
    assert len(calls) == 2


def test_data_that_another_process_wrote_meanwhile_does_no_harm(cache, monkeypatch):
    publish = tfds._publish

    def late(made, place):
        monkeypatch.setattr(tfds, "_publish", publish)
        tfds.read_builtin(Builtin, NAMES)  # the other process
        publish(made, place)

    monkeypatch.setattr(tfds, "_publish", late)
    for _ in range(2):
        found = tfds.read_builtin(Builtin, NAMES)
        assert tfds.fingerprint_splits(found) == Builtin.fingerprint
    assert [each.name for each in cache.iterdir()] == ["builtin"]


def test_the_folder_of_tfds_is_used_if_it_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "mine"))
    tfds.read_builtin(Builtin, NAMES, ("test",))
    assert (tmp_path / "mine" / "builtin" / "1.0.0").is_dir()


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match="set XDG_CACHE_HOME"):
        tfds.read_builtin(Builtin, NAMES)


def test_tensorflow_datasets_is_imported_only_when_needed():
    code = "import sys, rnn_apps.data; sys.exit('tensorflow_datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ)).returncode == 0
