"""The sampled loss leads where the whole vocabulary's does; log-probabilities are the softmax's."""

import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks.log_probabilities import token_log_probabilities
from rnn_apps.blocks.sampled_loss import sampled_loss, shares_of

V, E = 40, 6
RNG = np.random.default_rng(0)
EVENLY = tf.fill([V], 1 / V)


def test_words_are_drawn_as_often_as_their_shares_say():
    """The drawn words are those whose bias has a gradient: as large as each is often drawn."""
    shares = shares_of(RNG.integers(0, 100, V))
    np.testing.assert_allclose(tf.reduce_sum(shares), 1, rtol=1e-5)
    hidden, bias = tf.zeros([1, E]), tf.Variable(tf.math.log(shares))  # corrected, all are equal
    with tf.GradientTape() as tape:
        target = tf.constant([V - 1])
        given = {"shares": shares, "words": 200_000, "seed": 1}
        loss = sampled_loss(hidden, target, tf.zeros([V, E]), bias, **given)
    slope = tf.convert_to_tensor(tape.gradient(loss, bias))[:-1]
    rest = shares[:-1] / tf.reduce_sum(shares[:-1])
    np.testing.assert_allclose(slope / tf.reduce_sum(slope), rest, atol=3e-3)


@pytest.mark.parametrize("matched", [False, True])
def test_its_least_is_where_the_words_have_their_own_frequencies(matched):
    true = RNG.dirichlet(np.ones(V) * 0.5)
    targets = tf.constant(RNG.choice(V, p=true, size=20_000).astype("int32"))
    counted = np.bincount(targets, minlength=V) / 20_000
    given = {"shares": shares_of(counted * 20_000) if matched else EVENLY, "words": 20}
    hidden, table = tf.zeros([20_000, E]), tf.zeros([V, E])
    bias = tf.Variable(tf.zeros(V))
    optimizer = tf.Variable(tf.zeros(V))  # running mean of squares
    for step in range(400):
        with tf.GradientTape() as tape:
            loss = sampled_loss(hidden, targets, table, bias, seed=step, **given)
        slope = tf.convert_to_tensor(tape.gradient(loss, bias))
        optimizer.assign(0.9 * optimizer + 0.1 * slope**2)
        bias.assign_sub(0.1 * 0.99**step * slope / (tf.sqrt(optimizer) + 1e-3))
    found = tf.nn.softmax(bias).numpy()
    often = counted > 0.02
    assert often.sum() > 10
    np.testing.assert_allclose(found[often], counted[often], rtol=0.35)


def test_positions_that_are_masked_count_for_nothing():
    hidden, table = (RNG.normal(size=s).astype("float32") for s in ((2, 3, E), (V, E)))
    targets = RNG.integers(0, V, (2, 3)).astype("int32")
    mask = np.array([[True, True, False], [True, False, False]])
    given = {"shares": EVENLY, "words": 9}
    losses = []
    for far in (0.0, 100.0):
        moved = hidden + far * ~mask[..., None]
        losses.append(sampled_loss(moved, targets, table, tf.zeros(V), mask=mask, seed=3, **given))
    assert float(losses[0]) > 0
    np.testing.assert_allclose(*losses, rtol=1e-6)
    none = sampled_loss(hidden, targets, table, tf.zeros(V), mask=np.zeros_like(mask), **given)
    assert float(none) == 0


def test_no_words_are_refused():
    with pytest.raises(ValueError, match="words"):
        given = (tf.zeros([1, E]), tf.zeros([1]), tf.zeros([V, E]), tf.zeros(V))
        sampled_loss(*given, shares=EVENLY, words=0)


@pytest.mark.parametrize(("rows", "steps", "chunk"), [(3, 5, 4), (1, 1, 512), (0, 4, 8), (2, 6, 1)])
def test_log_probabilities_are_those_of_the_softmax(rows, steps, chunk):
    hidden = RNG.normal(size=(rows, steps, E)).astype("float32")
    kernel, bias = RNG.normal(size=(E, V)).astype("float32"), RNG.normal(size=V).astype("float32")
    targets = RNG.integers(0, V, (rows, steps)).astype("int32")
    expected = tf.nn.log_softmax(hidden @ kernel + bias)
    expected = tf.gather(expected, targets, batch_dims=2)
    found = token_log_probabilities(hidden, targets, kernel, bias, chunk=chunk)
    assert found.shape == (rows, steps)
    np.testing.assert_allclose(found, expected, atol=1e-5)
