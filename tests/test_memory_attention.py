"""Attention to a masked memory, against the formulas written out."""

import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks import MemoryAttention

B, N, T, H, M = 3, 4, 5, 6, 6
SCORES = ("dot", "general", "scaled", "additive")
RNG = np.random.default_rng(0)
QUERIES = RNG.normal(size=(B, N, H)).astype("float32")
MEMORY = RNG.normal(size=(B, T, M)).astype("float32")
MASK = np.arange(T)[None] < np.array([5, 2, 1])[:, None]


def expected_scores(layer):
    if layer.score == "dot":
        return np.einsum("bnh,bth->bnt", QUERIES, MEMORY)
    if layer.score != "additive":
        scores = np.einsum("bnh,mh,btm->bnt", QUERIES, layer.key_kernel.numpy(), MEMORY)
        return scores / np.sqrt(H) if layer.score == "scaled" else scores
    queries, keys = QUERIES @ layer.query_kernel.numpy(), MEMORY @ layer.key_kernel.numpy()
    hidden = np.tanh(queries[:, :, None] + keys[:, None] + layer.bias.numpy())
    return (hidden @ layer.vector.numpy())[..., 0]


@pytest.mark.parametrize("score", SCORES)
def test_weights_are_the_softmax_of_the_score_over_real_steps(score):
    layer = MemoryAttention(score)
    context, weights = layer(QUERIES, MEMORY, memory_mask=MASK, return_weights=True)
    if score == "additive":
        layer.bias.assign(RNG.normal(size=layer.bias.shape))
        context, weights = layer(QUERIES, MEMORY, memory_mask=MASK, return_weights=True)
    powers = np.exp(expected_scores(layer)) * MASK[:, None]
    expected = powers / powers.sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    np.testing.assert_array_equal(weights.numpy()[~np.broadcast_to(MASK[:, None], (B, N, T))], 0)
    np.testing.assert_allclose(context, expected @ MEMORY, atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_prepared_keys_give_the_same_and_queries_know_nothing_of_each_other(score):
    layer = MemoryAttention(score, units=None if score != "additive" else 7)
    whole = layer(QUERIES, MEMORY, memory_mask=MASK)
    keys = layer.prepare(MEMORY)
    assert keys.shape == (B, T, 7 if score == "additive" else H)
    for n in range(N):
        one = layer(QUERIES[:, n : n + 1], MEMORY, memory_mask=MASK, keys=keys)
        np.testing.assert_allclose(one[:, 0], whole[:, n], atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_a_row_without_a_real_step_gives_zeros_and_finite_gradients(score):
    layer = MemoryAttention(score)
    queries = tf.constant(QUERIES)
    with tf.GradientTape() as tape:
        tape.watch(queries)
        context, weights = layer(
            queries, MEMORY, memory_mask=np.zeros((B, T), bool), return_weights=True
        )
        loss = tf.reduce_sum(context)
    np.testing.assert_array_equal(context, np.zeros((B, N, M)))
    np.testing.assert_array_equal(weights, np.zeros((B, N, T)))
    assert np.isfinite(tape.gradient(loss, queries)).all()


@pytest.mark.parametrize("compiled", [False, True])
def test_the_compiled_additive_score_is_the_plain_one(compiled):
    layer = MemoryAttention("additive", units=7)
    layer.build(QUERIES.shape, MEMORY.shape)

    def gradients(queries, memory, training):
        with tf.GradientTape() as tape:
            tape.watch([queries, memory])
            context = layer(queries, memory, memory_mask=MASK, training=training)
            loss = tf.reduce_sum(context * context)
        return tape.gradient(loss, [queries, memory, *[v.value for v in layer.variables]])

    call = tf.function(gradients, autograph=False)
    run = call if compiled else gradients
    plain = run(tf.constant(QUERIES), tf.constant(MEMORY), False)
    by_xla = run(tf.constant(QUERIES), tf.constant(MEMORY), True)
    for a, b in zip(plain, by_xla, strict=True):
        assert np.abs(a).max() > 1e-3
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_weights_stay_float32_in_mixed_precision():
    for score in SCORES:
        layer = MemoryAttention(score, dtype="mixed_bfloat16")
        context, weights = layer(
            QUERIES, MEMORY, memory_mask=MASK, return_weights=True, training=True
        )
        assert (context.dtype, weights.dtype) == (tf.bfloat16, tf.float32)
        np.testing.assert_allclose(weights.numpy().sum(-1), 1, atol=1e-5)


def test_no_rows_give_no_rows():
    for score in SCORES:
        assert MemoryAttention(score)(QUERIES[:0], MEMORY[:0]).shape == (0, N, M)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="general"):
        MemoryAttention("product")
    with pytest.raises(ValueError, match="units"):
        MemoryAttention("additive", units=0)
    with pytest.raises(ValueError, match="6 and 3"):
        MemoryAttention("dot")(QUERIES, MEMORY[..., :3])


def test_a_single_query_over_many_rows_is_attended_for():
    # TensorFlow 2.21 ends the process here if the score is a batched product with a vector.
    queries, memory = np.ones([200, 1, 192], "float32"), np.ones([200, 36, 192], "float32")
    attend = tf.function(MemoryAttention("additive"), autograph=False)
    for _ in range(5):
        np.testing.assert_allclose(attend(queries, memory), queries, atol=1e-5)
