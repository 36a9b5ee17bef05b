"""The sampled loss leads where the whole vocabulary's does; log-probabilities are the softmax's."""

import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks.log_probabilities import token_log_probabilities
from rnn_apps.blocks.sampled_loss import sampled_loss, zipf_log_shares

V, E = 40, 6
RNG = np.random.default_rng(0)


def test_words_are_drawn_as_often_as_their_shares_say():
    """With zero logits only the corrections are left, whose softmax is that of the shares."""
    shares = np.exp(zipf_log_shares(tf.range(V), V))
    assert (np.diff(shares) < 0).all()
    np.testing.assert_allclose(shares.sum(), 1, rtol=1e-5)
    uniform = np.random.default_rng(1).random(200_000)
    drawn = (np.exp(uniform * np.log(V + 1)) - 1).astype(int)
    np.testing.assert_allclose(np.bincount(drawn, minlength=V) / 200_000, shares, atol=3e-3)


def test_its_least_is_where_the_words_have_their_own_frequencies():
    true = RNG.dirichlet(np.ones(V) * 0.5)
    targets = tf.constant(RNG.choice(V, p=true, size=20_000).astype("int32"))
    counted = np.bincount(targets, minlength=V) / 20_000
    hidden, table = tf.zeros([20_000, E]), tf.zeros([V, E])
    bias = tf.Variable(tf.zeros(V))
    optimizer = tf.Variable(tf.zeros(V))  # running mean of squares
    for step in range(400):
        with tf.GradientTape() as tape:
            loss = sampled_loss(hidden, targets, table, bias, words=20, seed=step)
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
    losses = []
    for far in (0.0, 100.0):
        moved = hidden + far * ~mask[..., None]
        losses.append(sampled_loss(moved, targets, table, tf.zeros(V), words=9, mask=mask, seed=3))
    assert float(losses[0]) > 0
    np.testing.assert_allclose(*losses, rtol=1e-6)
    none = sampled_loss(hidden, targets, table, tf.zeros(V), words=9, mask=np.zeros_like(mask))
    assert float(none) == 0


def test_no_words_are_refused():
    with pytest.raises(ValueError, match="words"):
        sampled_loss(tf.zeros([1, E]), tf.zeros([1]), tf.zeros([V, E]), tf.zeros(V), words=0)


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
