"""Length batches: every row once, known number, an order that repeats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_apps.preprocessing.batches import LengthBatches, padded_length


def make(lengths, **options):
    values = np.arange(1, sum(lengths) + 1)
    splits = np.concatenate([[0], np.cumsum(lengths)])
    return LengthBatches(values, splits, np.arange(len(lengths)), **options)


def rows(batches):
    return [int(row) for index in range(len(batches)) for row in batches[index][1]]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=60),
    batch_size=st.integers(1, 20),
    shuffle=st.booleans(),
)
def test_every_row_stands_in_one_batch_whole_and_padded_on_the_right(lengths, batch_size, shuffle):
    batches = make(lengths, batch_size=batch_size, shuffle=shuffle)
    assert sorted(rows(batches)) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    starts = np.cumsum([0, *lengths])
    for index in range(len(batches)):
        token_ids, targets = batches[index]
        assert len(token_ids) <= batch_size
        for ids, row in zip(token_ids, targets, strict=True):
            expected = np.arange(starts[row] + 1, starts[row + 1] + 1)
            np.testing.assert_array_equal(ids[: len(expected)], expected)
            assert not ids[len(expected) :].any()


@given(st.integers(1, 100_000))
def test_a_padded_length_is_never_shorter_and_at_most_a_quarter_longer(length):
    padded = int(padded_length(length))
    assert length <= padded <= max(8 * -(-length // 8), 1.25 * length)


def test_there_are_four_lengths_per_octave():
    assert len(set(padded_length(np.arange(257, 513)))) == 4


def test_the_order_is_a_function_of_seed_and_epoch():
    lengths = list(np.random.default_rng(0).integers(1, 60, 200))
    first, second = make(lengths, seed=3), make(lengths, seed=3)
    zero = rows(first)
    first.epoch = 1
    assert rows(first) != zero
    second.epoch = 1
    assert rows(second) == rows(first)
    second.epoch = 0
    assert rows(second) == zero
    assert rows(make(lengths, seed=4)) != zero


def test_rows_of_similar_length_stand_together():
    lengths = np.random.default_rng(0).integers(1, 300, 2000)
    batches = make(list(lengths), batch_size=32)
    padded = sum(batches[i][0].size for i in range(len(batches)))
    assert padded < 1.15 * lengths.sum()


def test_without_shuffling_lengths_ascend():
    batches = make([30, 2, 100, 9], batch_size=1, shuffle=False)
    assert rows(batches) == [1, 3, 0, 2]


def test_a_token_budget_bounds_the_padded_tokens_of_a_batch():
    lengths = list(np.random.default_rng(0).integers(1, 300, 500))
    batches = make(lengths, token_budget=1000)
    assert sorted(rows(batches)) == list(range(500))
    sizes = [batches[i][0].size for i in range(len(batches))]
    assert max(sizes) <= 1000
    assert len(make([5000], token_budget=1000)) == 1
    assert np.mean(sizes) > 600


def test_weights_travel_with_their_rows():
    batches = make([3, 4, 5], sample_weight=np.float32([0, 10, 20]), batch_size=2)
    for index in range(len(batches)):
        _, targets, weights = batches[index]
        np.testing.assert_array_equal(weights, targets * 10)


@pytest.mark.parametrize("lengths", [[], [3, 0]])
def test_no_rows_and_empty_rows_are_refused(lengths):
    with pytest.raises(ValueError, match="at least one row, and every row at least one token"):
        make(lengths)


def test_keras_is_told_the_number_of_batches_and_sees_each_epoch_anew():
    batches = make([3, 3, 3, 30, 31, 4], batch_size=2, sample_weight=np.ones(6))
    dataset = batches.dataset()
    assert int(dataset.cardinality()) == 3
    for epoch in (0, 1, 0):
        batches.epoch = epoch
        seen = [targets.numpy().tolist() for _, targets, _ in dataset]
        assert seen == [batches[index][1].tolist() for index in range(3)]
