"""Batches of pictures with all their captions."""

import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.picture_features import Stored
from rnn_apps.preprocessing.caption_batches import CaptionBatches

COUNTS = [1, 3, 2, 5, 2, 1, 4]


def captions(seed=0):
    """Captions of the pictures of `COUNTS`; the first token after begin says whose it is."""
    random, rows = np.random.default_rng(seed), []
    for picture, count in enumerate(COUNTS):
        for _ in range(count):
            length = int(random.integers(1, 20))
            rows.append([2, 100 + picture, *random.integers(4, 90, length).tolist(), 3])
    return rows


def feed(rows=None, ok=None, **options):
    values = np.arange(len(COUNTS), dtype=np.uint8)[:, None, None, None]
    ok = np.ones(len(COUNTS), bool) if ok is None else np.array(ok)
    pictures = Stored("images", np.broadcast_to(values, [len(COUNTS), 2, 2, 3]), ok)
    tokens = tf.ragged.constant(rows or captions(), dtype=tf.int32)
    return CaptionBatches(pictures, tokens, COUNTS, **{"batch_size": 3, **options})


def written(batches):
    """The captions of batches, each with the picture beside it."""
    found = []
    for inputs, following, *_ in batches:
        for row, target in enumerate(inputs["target"]):
            if target.any():
                picture = int(inputs["images"][inputs["caption_of"][row], 0, 0, 0])
                assert target[0] == 2 and target[1] == 100 + picture
                whole = [2, *following[row][following[row] != 0].tolist()]
                assert target[target != 0].tolist() == whole[:-1]
                found.append(whole)
    return sorted(found)


def test_every_caption_of_every_picture_comes_once_an_epoch_beside_its_picture():
    batches = feed()
    for batches.epoch in range(3):
        assert written(batches) == sorted(captions())
        assert sum(len(inputs["images"]) for inputs, _ in batches) == len(COUNTS)


def test_captions_are_a_multiple_of_the_batch_size():
    sizes = [len(inputs["target"]) for inputs, _ in feed()]
    assert all(size % 3 == 0 for size in sizes)
    assert sum(COUNTS) <= sum(sizes) < sum(COUNTS) + 3 * len(sizes)


def test_the_order_is_a_function_of_seed_and_epoch():
    first, second, other = feed(), feed(), feed(seed=1)
    plans = {}
    for epoch in range(3):
        for each in (first, second, other):
            each.epoch = epoch
        plans[epoch] = [rows.tolist() for rows in first.plan()]
        assert plans[epoch] == [rows.tolist() for rows in second.plan()]
        assert plans[epoch] != [rows.tolist() for rows in other.plan()]
    assert plans[0] != plans[1] != plans[2]
    still = feed(shuffle=False)
    before = [rows.tolist() for rows in still.plan()]
    still.epoch = 1
    assert before == [rows.tolist() for rows in still.plan()]


def test_the_captions_of_a_picture_that_cannot_be_read_are_padding():
    batches = feed(ok=[True, False, True, True, True, True, True])
    expected = [row for row in captions() if row[1] != 101]
    assert written(batches) == sorted(expected)
    batches = feed(ok=[False] * 7)
    assert written(batches) == []
    assert len(list(batches)) == len(batches)


def test_a_weight_goes_with_each_caption_of_its_picture():
    weights = np.arange(7) + 0.5
    for inputs, _, weight in feed(sample_weight=weights):
        shown = inputs["images"][inputs["caption_of"], 0, 0, 0]
        np.testing.assert_array_equal(weight, shown + np.float32(0.5))


def test_a_dataset_has_a_known_length_and_yields_the_epoch_that_is_set():
    batches = feed()
    dataset = batches.dataset()
    assert int(dataset.cardinality()) == len(batches) == 3
    for batches.epoch in (0, 1):
        got = [inputs["target"].numpy().tolist() for inputs, _ in dataset]
        assert got == [inputs["target"].tolist() for inputs, _ in batches]
    assert dataset.element_spec[0]["images"].shape.as_list() == [None, 2, 2, 3]


def test_pictures_without_captions_and_captions_without_tokens_are_refused():
    pictures = Stored("images", np.zeros([1, 2, 2, 3], np.uint8), np.array([True]))
    cases = [(tf.ragged.constant([[2]], dtype=tf.int32), [1])]
    cases += [(tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int32), []), counts)
              for counts in ([], [0])]  # fmt: skip
    for tokens, counts in cases:
        with pytest.raises(ValueError, match="one picture at least"):
            CaptionBatches(pictures, tokens, counts)
