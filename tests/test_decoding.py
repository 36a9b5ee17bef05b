"""Greedy and sampled decoding, and what they may not write."""

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from rnn_apps.blocks import AttentionDecoder, TiedEmbedding, greedy, sample
from rnn_apps.blocks.constraints import Constraints, log_sums

PADDING, BEGIN, END = 0, 1, 2
IDS = {"begin": BEGIN, "end": END}
V = 7
RNG = np.random.default_rng(2)
TABLE = RNG.normal(size=(V, V)).astype("float32")  # logits of the next token given the last
TABLE[5, END] += 4  # some chains end, others run in circles


def step(token_ids, state):
    """A first-order chain, whose state counts the steps."""
    return tf.gather(TABLE, token_ids), state + 1, None


def counts(rows):
    return tf.zeros([rows, 1])


def by_hand(first, steps, allowed=lambda written, token: True):
    """Greedy decoding of the chain, and its log-probability."""
    written, score = [], 0.0
    log_probs = TABLE - np.log(np.exp(TABLE).sum(-1, keepdims=True))
    while len(written) < steps and END not in written:
        last = log_probs[written[-1] if written else first]
        order = [token for token in np.argsort(-last) if allowed(written, token)]
        written.append(int(order[0] if order else END))
        score += last[written[-1]]
    return written, score


def tokens(decoded, row=0):
    length = int(decoded.lengths[row])
    assert not decoded.token_ids[row, length:].numpy().any()
    return decoded.token_ids[row, :length].numpy().tolist()


def test_greedy_follows_the_likeliest_token_to_the_end():
    decoded = greedy(step, counts(V), begin=np.arange(V), end=END, max_length=9)
    assert decoded.token_ids.shape == (V, 9)
    for row in range(V):
        written, score = by_hand(row, 9)
        assert tokens(decoded, row) == written
        np.testing.assert_allclose(decoded.scores[row], score, atol=1e-5)
    ended = [END in tokens(decoded, row) for row in range(V)]
    assert any(ended) and not all(ended)


def test_a_row_has_its_own_greatest_length():
    limits = np.array([1, 3, 9], "int32")
    decoded = greedy(step, counts(3), **IDS, max_length=limits, length_penalty=1.0)
    for row, limit in enumerate(limits):
        alone = greedy(step, counts(1), **IDS, max_length=int(limit))
        assert tokens(decoded, row) == tokens(alone)
        penalty = (5 + len(tokens(alone))) / 6
        np.testing.assert_allclose(decoded.scores[row], alone.scores[0] / penalty, atol=1e-6)


def repeats(n):
    def allowed(written, token):
        grams = [tuple(written[i : i + n]) for i in range(len(written) - n + 1)]
        return token == END or (*written[len(written) - n + 1 :], token) not in grams

    return allowed


@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_ngram_comes_twice(n):
    free = greedy(step, counts(V), begin=np.arange(V), end=END, max_length=12)
    decoded = greedy(step, counts(V), begin=np.arange(V), end=END, max_length=12, no_repeat_ngram=n)
    changed = 0
    for row in range(V):
        written, _ = by_hand(row, 12, repeats(n))
        assert tokens(decoded, row) == written
        grams = [tuple(written[i : i + n]) for i in range(len(written) - n + 1)]
        assert len(set(grams)) == len(grams)
        changed += written != tokens(free, row)
    assert changed


def test_a_text_shorter_than_an_ngram_has_none_twice():
    for limit in (1, 2):
        free, ruled = [
            greedy(step, counts(2), **IDS, max_length=limit, no_repeat_ngram=n) for n in (0, 4)
        ]
        np.testing.assert_array_equal(free.token_ids, ruled.token_ids)


def test_the_end_waits_for_the_least_length_of_each_row():
    least = np.array([0, 1, 4, 8], "int32")
    always = np.zeros((V, V), "float32")
    always[:, END] = 5
    always[:, 4] = 1

    def eager_to_end(token_ids, state):
        return tf.gather(always, token_ids), state, None

    decoded = greedy(eager_to_end, counts(4), **IDS, max_length=9, min_length=least)
    assert [tokens(decoded, row) for row in range(4)] == [
        [4] * (max(n, 1) - 1) + [END] for n in least
    ]


def test_suppressed_tokens_are_never_written():
    decoded = greedy(
        step, counts(V), begin=np.arange(V), end=END, max_length=12, suppress=(0, 4, 5)
    )
    for row in range(V):
        written, score = by_hand(row, 12, lambda _, token: token not in (0, 4, 5))
        assert tokens(decoded, row) == written
        # what is left keeps the model's own log-probability
        np.testing.assert_allclose(decoded.scores[row], score, atol=1e-5)


def test_the_sequence_ends_where_nothing_else_is_left():
    decoded = greedy(
        step, counts(1), **IDS, max_length=9, min_length=8, suppress=(0, 1, 3, 5), no_repeat_ngram=1
    )
    assert sorted(tokens(decoded)[:2]) == [4, 6]
    assert tokens(decoded)[2:] == [END]
    assert np.isfinite(decoded.scores[0])


def test_the_best_words_come_in_order_with_their_logits():
    logits = tf.constant(RNG.normal(size=(2, 3, V)).astype("float32"))
    values, ids = Constraints(END, suppress=(3,)).best(logits, V, tf.zeros([2, 3, 4], tf.int32), 0)
    for row, beam in itertools.product(range(2), range(3)):
        order = [token for token in np.argsort(-logits[row, beam]) if token != 3]
        assert ids[row, beam, :-1].numpy().tolist() == order
        assert values[row, beam, -1] == -np.inf
        np.testing.assert_array_equal(values[row, beam, :-1], logits[row, beam].numpy()[order])
    np.testing.assert_allclose(log_sums(logits), tf.reduce_logsumexp(logits, -1), atol=1e-6)


def many(rows=6000, max_length=1, **settings):
    """What many rows draw, each with its own seed."""

    def run():
        seeds = tf.range(rows)
        return sample(step, counts(rows), **IDS, max_length=max_length, seed=seeds, **settings)

    return tf.function(run, autograph=False)()


def draws(**settings):
    """First tokens that many rows draw, and the logits that they were drawn from."""
    decoded = many(**settings)
    first = decoded.token_ids[:, 0].numpy()
    log_probs = TABLE[BEGIN] - np.log(np.exp(TABLE[BEGIN]).sum())
    np.testing.assert_allclose(decoded.scores, log_probs[first], atol=1e-5)
    return np.bincount(first, minlength=V), TABLE[BEGIN]


def assert_follows(frequencies, shares):
    assert not frequencies[shares == 0].any()
    real, shares = shares > 0, shares.astype("float64")
    if real.sum() == 1:
        return
    expected = frequencies.sum() * shares[real] / shares[real].sum()
    assert scipy.stats.chisquare(frequencies[real], expected).pvalue > 1e-3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_their_temperature_says(temperature):
    frequencies, logits = draws(temperature=temperature)
    assert_follows(frequencies, np.exp(logits / temperature))


def test_only_the_k_likeliest_tokens_are_drawn():
    for top_k in (3, np.full(6000, 3, "int32")):
        frequencies, logits = draws(top_k=top_k)
        assert_follows(frequencies, np.exp(logits) * (logits >= np.sort(logits)[-3]))


def test_only_the_fewest_tokens_that_reach_the_share_are_drawn():
    shares = np.exp(TABLE[BEGIN]) / np.exp(TABLE[BEGIN]).sum()
    order = np.argsort(-shares)
    for top_p in (0.05, 0.6, 0.9):
        kept = order[: int(np.searchsorted(np.cumsum(shares[order]), top_p)) + 1]
        frequencies, logits = draws(top_p=top_p)
        assert_follows(frequencies, np.exp(logits) * np.isin(np.arange(V), kept))
    assert len(kept) < V


def test_later_tokens_are_drawn_anew_from_what_the_first_made_likely():
    decoded = many(max_length=2)
    pairs = decoded.token_ids.numpy()
    for first in (3, 4, 5, 6):
        after = np.bincount(pairs[pairs[:, 0] == first, 1], minlength=V)
        assert_follows(after, np.exp(TABLE[first]))


def test_what_a_row_draws_hangs_on_its_seed_alone():
    seeds, limits = np.array([5, 9, 5, 7], "int32"), np.array([12, 8, 12, 20], "int32")
    settings = {"temperature": 1.5, "top_p": 0.95, **IDS}
    together = sample(step, counts(4), max_length=limits, seed=seeds, **settings)
    for row in range(4):
        alone = sample(
            step, counts(1), max_length=limits[row : row + 1], seed=int(seeds[row]), **settings
        )
        assert tokens(together, row) == tokens(alone)
    assert tokens(together, 0) == tokens(together, 2) != tokens(together, 1)


def test_tiny_top_k_and_temperature_are_greedy():
    likeliest = greedy(step, counts(3), **IDS, max_length=9)
    for settings in ({"top_k": 1}, {"temperature": 1e-3}, {"top_p": 1e-6}):
        drawn = sample(step, counts(3), **IDS, max_length=9, seed=3, **settings)
        np.testing.assert_array_equal(drawn.token_ids, likeliest.token_ids)


def test_sampling_keeps_the_rules_too():
    rules = {"suppress": (0, 1), "min_length": 3, "no_repeat_ngram": 2}
    decoded = many(200, max_length=9, temperature=3.0, **rules)
    rows = [tokens(decoded, row) for row in range(200)]
    assert not any({0, 1} & set(row) for row in rows)
    assert min(map(len, rows)) == 3
    for row in rows:
        pairs = list(itertools.pairwise(row))
        assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("write", [greedy, sample])
def test_a_function_of_any_batch_gives_the_same_and_no_rows_give_none(write):
    decoder = AttentionDecoder(TiedEmbedding(V, 4), "lstm", 5, num_layers=2)
    memory = RNG.normal(size=(3, 4, 6)).astype("float32")
    decoder(np.full((3, 1), BEGIN), memory)

    def run(memory):
        return write(decoder.stepper(memory), decoder.start(memory), **IDS, max_length=8)

    compiled = tf.function(run, input_signature=[tf.TensorSpec([None, None, 6])], autograph=False)
    for a, b in zip(*(tf.nest.flatten(one(memory)) for one in (run, compiled)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for row in range(3):
        np.testing.assert_array_equal(
            compiled(memory[row : row + 1]).token_ids[0], compiled(memory).token_ids[row]
        )
    assert {part.shape[0] for part in tf.nest.flatten(compiled(memory[:0]))} == {0}
    assert run(tf.constant(memory[:0])).token_ids.shape == (0, 8)


def test_what_goes_on_from_a_state_draws_what_one_call_would_have_drawn():
    decoder = AttentionDecoder(TiedEmbedding(V, 4), "gru", 5)
    memory = RNG.normal(size=(3, 4, 6)).astype("float32")
    decoder(np.full((3, 1), BEGIN), memory)
    step, how = decoder.stepper(memory), {"end": IDS["end"], "seed": [4, 5, 6], "suppress": (END,)}
    whole = sample(step, decoder.start(memory), begin=BEGIN, max_length=6, **how)
    first = sample(step, decoder.start(memory), begin=BEGIN, max_length=2, **how)
    assert (first.lengths.numpy() == 2).all()
    rest = sample(step, first.state, begin=first.token_ids[:, 1], max_length=4, skip=2, **how)
    np.testing.assert_array_equal(
        whole.token_ids, np.concatenate([first.token_ids, rest.token_ids], 1)
    )


def test_wrong_settings_are_named():
    for settings in ({"temperature": 0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            sample(step, counts(1), **IDS, max_length=2, **settings)
    with pytest.raises(ValueError, match="no tensor"):
        greedy(step, [], **IDS, max_length=2)
