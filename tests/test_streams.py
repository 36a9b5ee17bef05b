"""Streams of tokens: nothing lost, nothing twice, each batch going on where the last one ended."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_apps.preprocessing.streams import TokenStreams
from rnn_apps.preprocessing.text import BEGIN


def make(lengths, **options):
    values = np.arange(10, 10 + sum(lengths))
    splits = np.cumsum([0, *lengths])
    values[splits[:-1]] = BEGIN
    return TokenStreams(values, splits, **options)


def streams(feed):
    """What each stream reads and is to predict in an epoch, and where it begins anew."""
    batches = list(feed)
    read = np.concatenate([x["tokens"] for x, _ in batches], 1)
    targets = np.concatenate([y for _, y in batches], 1)
    return read, targets, np.stack([x["fresh"] for x, _ in batches], 1)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=9).filter(lambda n: sum(n) > 1),
    batch_size=st.integers(1, 8),
    steps=st.integers(1, 12),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_every_pair_of_neighbours_is_read_once(lengths, batch_size, steps, shuffle, epoch):
    feed = make(lengths, batch_size=batch_size, steps=steps, shuffle=shuffle, seed=1)
    feed.epoch = epoch
    read, targets, _ = streams(feed)
    assert read.shape == targets.shape == (feed.batch_size, len(feed) * feed.steps)
    assert feed.steps <= steps and len(feed) == -(-feed.stream_length // steps)
    assert len(feed) * feed.steps - feed.stream_length < len(feed)
    assert feed.batch_size <= batch_size and len(feed.shapes) == 1
    real = targets > 0
    assert real.sum() == sum(lengths) - 1
    assert (read[real] > 0).all()
    for row, (tokens, after) in enumerate(zip(read, targets, strict=True)):
        count = real[row].sum()
        assert real[row][:count].all()  # padding is on the right
        np.testing.assert_array_equal(tokens[1:count], after[: max(count - 1, 0)])
    if not shuffle:
        found = np.concatenate([after[after > 0] for after in targets])
        np.testing.assert_array_equal(found, feed.values[1:])


def test_shuffled_epochs_keep_each_text_whole_but_for_where_a_stream_begins():
    lengths = [7, 5, 9, 4]
    feed = make(lengths, batch_size=1, steps=5, shuffle=True, seed=2)
    texts = np.split(feed.values, np.cumsum(lengths)[:-1])
    orders = set()
    for epoch in range(6):
        feed.epoch = epoch
        read, targets, _ = streams(feed)
        whole = [read[0, 0], *targets[0][targets[0] > 0]]
        orders.add(tuple(whole))
        assert sorted(whole) == sorted(feed.values)
        twice = "".join(map(chr, whole * 2))
        assert all("".join(map(chr, text)) in twice for text in texts)
    assert len(orders) > 3


def test_the_order_is_a_function_of_seed_and_epoch():
    first, second = (make([30, 20, 40], batch_size=2, steps=7, seed=3) for _ in range(2))
    zero = streams(first)[0]
    first.epoch = second.epoch = 1
    np.testing.assert_array_equal(streams(first)[0], streams(second)[0])
    assert (streams(first)[0] != zero).any()
    second.epoch = 0
    np.testing.assert_array_equal(streams(second)[0], zero)


def test_a_stream_is_fresh_where_an_epoch_or_a_text_begins_a_batch():
    feed = make([6, 9], batch_size=1, steps=3, shuffle=False)
    assert streams(feed)[2].tolist() == [[True, False, True, False, False]]


def test_few_tokens_make_fewer_streams_than_asked():
    assert make([9], batch_size=50, steps=4).batch_size == 2
    assert make([3], batch_size=50, steps=4).batch_size == 1


def test_a_single_token_is_refused():
    with pytest.raises(ValueError, match="Got 1 tokens"):
        make([1])
