"""Beam search, against every sequence there is, and against itself one by one."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks import (
    AttentionDecoder,
    TiedEmbedding,
    beam_search,
    greedy,
    kernels,
)
from rnn_apps.blocks.beam_search import NO_SCORE

PADDING, BEGIN, END = 0, 1, 2
IDS = {"begin": BEGIN, "end": END}
V, U, T, M = 5, 4, 3, 6
RNG = np.random.default_rng(3)
MEMORY = RNG.normal(size=(6, T, M)).astype("float32")
MASK = np.arange(T)[None] < np.array([3, 1, 2, 3, 3, 2])[:, None]
FULL = 1 + 4 + 16 + 64 + 4**4  # sequences of at most four tokens that end, or have not ended


def decoder_of(cell, num_layers):
    keras.utils.set_random_seed(5)
    decoder = AttentionDecoder(TiedEmbedding(V, 4), cell, 6, num_layers=num_layers)
    decoder(np.full((1, 1), BEGIN), MEMORY[:1])
    for weight in decoder.weights:  # far from even, so that words and rows differ
        if weight.dtype == "float32":
            weight.assign(RNG.normal(size=weight.shape) * 0.9)
    bias = np.zeros(V)
    bias[END] = 1.5  # some rows end soon, others never
    decoder.embedding.bias.assign(bias)
    return decoder


class Light:
    """A small network with attention and a nested state, which is quick to trace."""

    def __init__(self, vocabulary=V, seed=4):
        rng = np.random.default_rng(seed)
        shapes = {"table": (vocabulary, M), "within": (M, M), "out": (2 * M, vocabulary)}
        for name, shape in shapes.items():
            setattr(self, name, tf.constant(rng.normal(size=shape), tf.float32))
        self.bias = 2.0 * tf.one_hot(END, vocabulary)

    def start(self, memory, mask):
        return {
            "h": [tf.reduce_sum(memory * tf.cast(mask, tf.float32)[..., None], 1)],
            "n": mask[:, 0],
        }

    def stepper(self, memory, mask):
        def step(token_ids, state):
            h = tf.tanh(
                tf.gather(self.table, tf.reshape(token_ids, [-1])) + state["h"][0] @ self.within
            )
            query = tf.reshape(h, tf.concat([tf.shape(token_ids), [M]], 0))  # (B, K, M)
            scores = tf.matmul(query, memory, transpose_b=True)
            weights = tf.nn.softmax(tf.where(mask[:, None], scores, -1e9))
            both = tf.concat([query, weights @ memory], -1)
            logits = tf.tensordot(both, self.out, 1) + self.bias
            return logits, {"h": [h], "n": state["n"]}, weights

        return step


@pytest.fixture(scope="module")
def decoder():
    return Light()


def search(decoder, memory=MEMORY, mask=MASK, find=beam_search, **settings):
    """A search in a function, since steps are slow eagerly."""

    def run(memory, mask):
        step, state = decoder.stepper(memory, mask), decoder.start(memory, mask)
        return find(step, state, **{**IDS, "max_length": U, **settings})

    specs = [tf.TensorSpec([None, None, M]), tf.TensorSpec([None, None], tf.bool)]
    return tf.function(run, input_signature=specs, autograph=False)(memory, mask)


def tokens(found, row, place=0):
    length = int(found.lengths[row, place])
    assert not found.token_ids[row, place, length:].numpy().any()
    return found.token_ids[row, place, :length].numpy().tolist()


def every_ending(decoder, row, alpha=0.0):
    """All sequences of at most U tokens that end, with their scores, best first."""
    words = [w for w in range(V) if w != END]
    starts = [s for n in range(U) for s in itertools.product(words, repeat=n)]
    inputs = np.array([(BEGIN, *s, *[0] * (U - 1 - len(s))) for s in starts])
    memory = np.repeat(MEMORY[row : row + 1], len(starts), 0)
    mask = np.repeat(MASK[row : row + 1], len(starts), 0)
    log_probs = tf.nn.log_softmax(decoder(inputs, memory, memory_mask=mask)).numpy()
    endings = []
    for start, log_prob in zip(starts, log_probs, strict=True):
        sequence = [*start, END]
        total = sum(log_prob[place, token] for place, token in enumerate(sequence))
        endings.append((total / ((5 + len(sequence)) / 6) ** alpha, sequence))
    return sorted(endings, reverse=True)


@pytest.mark.parametrize(("cell", "num_layers"), [("lstm", 1), ("gru", 2), ("lstm", 2)])
def test_a_full_beam_finds_the_best_of_all_sequences(cell, num_layers):
    decoder = decoder_of(cell, num_layers)
    alphas = np.array([0, 1, 0.5, 0, 1, 2], "float32")
    found = search(decoder, beams=FULL, length_penalty=alphas, n_best=20)
    for row in range(len(MEMORY)):
        endings = every_ending(decoder, row, alphas[row])[:20]
        assert int(found.count[row]) == 20
        assert [tokens(found, row, n) for n in range(20)] == [s for _, s in endings]
        np.testing.assert_allclose(found.scores[row], [score for score, _ in endings], atol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("rules", [{}, {"no_repeat_ngram": 2, "suppress": (0, 1)}])
def test_one_beam_is_greedy(decoder, alpha, rules):
    settings = {"max_length": 12, "length_penalty": alpha, **rules}
    one = search(decoder, beams=1, **settings)
    likeliest = search(decoder, find=greedy, **settings)
    np.testing.assert_array_equal(one.token_ids[:, 0], likeliest.token_ids)
    np.testing.assert_array_equal(one.lengths[:, 0], likeliest.lengths)
    np.testing.assert_allclose(one.scores[:, 0], likeliest.scores, atol=1e-5)
    assert len(set(likeliest.lengths.numpy())) > 1


def test_scores_are_those_of_what_was_written():
    decoder = decoder_of("gru", 1)
    found = search(decoder, beams=4, length_penalty=0.8, max_length=9)
    for row, place in itertools.product(range(len(MEMORY)), range(4)):
        if place >= found.count[row]:
            assert found.scores[row, place] == NO_SCORE
            assert found.lengths[row, place] == 0
            continue
        written = tokens(found, row, place)
        inputs = np.array([[BEGIN, *written[:-1]]])
        memory, mask = MEMORY[row : row + 1], MASK[row : row + 1]
        log_probs = tf.nn.log_softmax(decoder(inputs, memory, memory_mask=mask))[0].numpy()
        total = log_probs[np.arange(len(written)), written].sum()
        score = total / ((5 + len(written)) / 6) ** 0.8
        np.testing.assert_allclose(found.scores[row, place], score, atol=1e-5)


def test_a_batch_is_its_rows_one_by_one_whatever_their_padding_and_settings(decoder):
    rows = len(MEMORY)
    settings = {
        "beam_size": np.array([1, 2, 3, 4, 5, 3], "int32"),
        "length_penalty": np.linspace(0, 1.5, rows).astype("float32"),
        "coverage_penalty": np.linspace(0, 0.5, rows).astype("float32"),
        "max_length": np.array([9, 1, 5, 8, 2, 12], "int32"),
        "min_length": np.array([0, 1, 3, 0, 2, 6], "int32"),
    }

    def run(memory, mask, beams=5, **own):
        step, state = decoder.stepper(memory, mask), decoder.start(memory, mask)
        rules = {"memory_mask": mask, "no_repeat_ngram": 3, "beams": beams}
        return beam_search(step, state, **IDS, **rules, **own)

    compiled = tf.function(run, reduce_retracing=True, autograph=False)
    together = compiled(MEMORY, MASK, **settings)
    for row in range(rows):
        real = MASK[row : row + 1, : MASK[row].sum()]
        own = {name: value[row : row + 1] for name, value in settings.items()}
        find = compiled
        if row == 2:  # no room for more beams than are used
            find, own["beams"] = run, int(own.pop("beam_size")[0])
        alone = find(MEMORY[row : row + 1, : real.shape[1]], real, **own)
        assert int(together.count[row]) == int(alone.count[0]) <= settings["beam_size"][row]
        for place in range(int(alone.count[0])):
            assert tokens(together, row, place) == tokens(alone, 0, place)
        count = alone.scores.shape[1]
        np.testing.assert_allclose(together.scores[row, :count], alone.scores[0], atol=1e-5)
        assert (together.scores[row, settings["beam_size"][row] :].numpy() == NO_SCORE).all()


def test_asking_for_fewer_hypotheses_gives_the_first_of_them(decoder):
    alphas = np.array([0, 0, 0, 1, 1, 1], "float32")
    settings = {"beams": 4, "length_penalty": alphas, "max_length": 10}
    everything, two = [search(decoder, n_best=n, **settings) for n in (4, 2)]
    assert two.token_ids.shape == (len(MEMORY), 2, 10)
    np.testing.assert_array_equal(two.token_ids, everything.token_ids[:, :2])
    np.testing.assert_allclose(two.scores, everything.scores[:, :2], atol=1e-5)


def chain(table):
    """A step whose logits hang on the last token alone."""

    def step(token_ids, state):
        return tf.gather(tf.constant(table, tf.float32), token_ids), state, None

    return step


def test_the_live_beams_are_the_answer_when_none_ends():
    table = np.log([[0.5, 0.1, 1e-9, 0.3, 0.1]] * V)
    for limit in (1, 6):
        found = beam_search(chain(table), tf.zeros([2, 1]), **IDS, max_length=limit, beams=3)
        assert found.count.numpy().tolist() == [3, 3]
        assert tokens(found, 0) == [0] * limit
        np.testing.assert_allclose(found.scores[:, 0], limit * np.log(0.5), atol=1e-4)
        assert (np.diff(found.scores[0]) <= 0).all()


def test_a_good_ending_is_not_lost_when_beams_that_never_end_outrank_it():
    table = np.full((V, V), -30.0)
    table[BEGIN, [END, 3, 4]] = np.log([0.2, 0.5, 0.3])
    table[3, [3, 4]] = table[4, [3, 4]] = np.log([0.5, 0.5])
    found = beam_search(chain(table), tf.zeros([1, 1]), **IDS, max_length=8, beams=3, n_best=1)
    assert tokens(found, 0) == [END]
    # with a strong penalty, two live beams rank above it to the last step
    found = beam_search(
        chain(table), tf.zeros([1, 1]), **IDS, max_length=8, beams=2, length_penalty=3.0
    )
    assert int(found.count[0]) == 2  # nothing ended among the best two
    found = beam_search(
        chain(table), tf.zeros([1, 1]), **IDS, max_length=8, beams=3, length_penalty=3.0
    )
    assert tokens(found, 0) == [END]
    assert int(found.count[0]) == 1


def test_an_ended_beam_keeps_its_place():
    table = np.full((V, V), -30.0)
    table[BEGIN, [END, 3, 4]] = np.log([0.5, 0.3, 0.2])
    table[3, [0, 4]] = np.log([0.6, 0.4])
    table[0, [END, 3]] = np.log([0.1, 0.9])
    table[4, END] = 0
    found = beam_search(chain(table), tf.zeros([1, 1]), **IDS, max_length=4, beams=2)
    # beside it there is room for 3 0 alone, not for 3 4 END
    assert (tokens(found, 0), int(found.count[0])) == ([END], 1)


def test_no_more_is_kept_than_the_row_has_beams():
    table = np.full((V, V), -30.0)
    table[:, [END, 3]] = np.log([0.3, 0.7])  # each step ends a beam that outranks the last
    settings = {**IDS, "max_length": 6, "length_penalty": 3.0}
    found = beam_search(chain(table), tf.zeros([1, 1]), beams=4, beam_size=2, **settings)
    alone = beam_search(chain(table), tf.zeros([1, 1]), beams=2, **settings)
    assert int(found.count[0]) == 2
    np.testing.assert_array_equal(found.token_ids[:, :2], alone.token_ids)


def test_a_row_of_one_beam_beside_rows_of_more_is_greedy():
    network = Light(vocabulary=9)
    sizes = np.array([1, 1, 1, 1, 1, 5], "int32")
    settings = {"max_length": 12, "length_penalty": 1.0}
    found = search(network, beams=5, beam_size=sizes, **settings)
    likeliest = search(network, find=greedy, **settings)
    np.testing.assert_array_equal(found.token_ids[:5, 0], likeliest.token_ids[:5])
    whole = search(network, beams=5, **settings)
    assert np.any(whole.token_ids[:5, 0] != likeliest.token_ids[:5])


def counting(table, calls):
    def step(token_ids, state):
        calls.append(1)
        return tf.gather(tf.constant(table, tf.float32), token_ids), state, None

    return step


def test_the_search_stops_when_no_live_beam_can_win():
    table = np.tile(np.log([0.05, 0.05, 0.5, 0.2, 0.2]), (V, 1))
    calls = []
    settings = {**IDS, "max_length": 50, "beams": 4}
    found = beam_search(counting(table, calls), tf.zeros([1, 1]), n_best=1, **settings)
    assert (tokens(found, 0), len(calls)) == ([END], 1)
    calls.clear()
    found = beam_search(
        counting(table, calls), tf.zeros([1, 1]), n_best=1, length_penalty=1.0, **settings
    )
    # a live beam of log 0.2 may still reach the length of 50, where the penalty is 9
    assert (tokens(found, 0), 1 < len(calls) < 50) == ([END], True)


def attentive(token_ids, state):
    """Two words of even chance; the first looks at step 0 of the memory, the second at step 1."""
    logits = tf.constant(np.log([1e-9, 1e-9, 0.2, 0.45, 0.35]), tf.float32)
    logits = tf.zeros_like(token_ids, tf.float32)[..., None] + logits
    looks = tf.one_hot(token_ids, V) @ tf.constant(
        [[0, 0, 0], [0.4, 0.4, 0], [0, 0, 0], [0.8, 0.1, 0], [0.1, 0.8, 0]], tf.float32
    )
    return logits, state, looks


def test_coverage_prefers_what_has_looked_at_the_whole_memory():
    settings = {**IDS, "max_length": 3, "beams": 40, "suppress": (0, 1)}
    mask = np.array([[True, True, False]])
    plain = beam_search(attentive, tf.zeros([1, 1]), **settings)
    assert tokens(plain, 0) == [END]
    found = beam_search(
        attentive, tf.zeros([1, 1]), coverage_penalty=2.0, memory_mask=mask, **settings
    )
    written = [tokens(found, 0, n) for n in range(7)]
    assert sorted(written) == sorted([[END], *([a, END] for a in (3, 4))]
                                     + [[a, b, END] for a in (3, 4) for b in (3, 4)])  # fmt: skip
    log = np.log
    expected = {
        (2,): log(0.2) + 2 * (log(0.4) + log(0.4)),
        (3, 2): log(0.45 * 0.2) + 2 * (log(1.0) + log(0.5)),
        (3, 4, 2): log(0.45 * 0.35 * 0.2) + 2 * (log(1.0) + log(1.0)),
        (3, 3, 2): log(0.45 * 0.45 * 0.2) + 2 * (log(1.0) + log(0.6)),
        (4, 3, 2): log(0.45 * 0.35 * 0.2) + 2 * (log(1.0) + log(1.0)),
    }
    scores = {
        tuple(ids): float(score) for ids, score in zip(written, found.scores[0], strict=False)
    }
    for sequence, score in expected.items():
        np.testing.assert_allclose(scores[sequence], score, atol=1e-5)
    assert len(written[0]) > 1


def test_coverage_counts_every_step_without_a_mask_and_needs_attention():
    settings = {**IDS, "max_length": 2, "beams": 2, "coverage_penalty": 1.0}
    found = beam_search(attentive, tf.zeros([1, 1]), **settings)
    assert found.scores[0, 0] < np.log(1e-6) + 1  # nothing ever looks at the last step
    with pytest.raises(ValueError, match="coverage_penalty=0"):
        beam_search(chain(np.zeros((V, V))), tf.zeros([1, 1]), **settings)


def test_rules_hold_for_every_hypothesis():
    decoder = Light(vocabulary=9)
    found = search(
        decoder, beams=6, max_length=9, min_length=4, no_repeat_ngram=2, suppress=(0, 1, 5)
    )
    total = 0
    for row in range(len(MEMORY)):
        for place in range(int(found.count[row])):
            written = tokens(found, row, place)
            pairs = list(itertools.pairwise(written))
            assert len(set(pairs)) == len(pairs)
            assert not {0, 1, 5} & set(written)
            assert len(written) >= 4
            total += 1
    assert total >= 2 * len(MEMORY)
    free = search(decoder, beams=6, max_length=9)
    assert np.any(free.token_ids != found.token_ids)


def test_a_row_ends_where_the_rules_leave_nothing_else():
    found = beam_search(
        chain(RNG.normal(size=(V, V))), tf.zeros([2, 1]), **IDS, max_length=9, beams=3,
        suppress=(0, 1), no_repeat_ngram=1, min_length=8,
    )  # fmt: skip
    assert found.count.numpy().tolist() == [2, 2]
    assert sorted(tokens(found, 0, n) for n in range(2)) == [[3, 4, END], [4, 3, END]]


def test_no_rows_give_no_hypotheses_and_eager_is_compiled(decoder):
    nothing = search(decoder, MEMORY[:0], MASK[:0], beams=3)
    assert [part.shape[0] for part in nothing] == [0, 0, 0, 0]
    step, state = decoder.stepper(MEMORY, MASK), decoder.start(MEMORY, MASK)
    eager = beam_search(step, state, **IDS, max_length=U, beams=3)
    for a, b in zip(eager, search(decoder, beams=3), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_reloaded_saved_model_searches_the_same(tmp_path):
    decoder = decoder_of("lstm", 1)

    def answer(memory, mask, beam_size, alpha):
        step, state = decoder.stepper(memory, mask), decoder.start(memory, mask)
        found = beam_search(
            step, state, **IDS, max_length=8, beams=4, beam_size=beam_size,
            length_penalty=alpha, coverage_penalty=0.2, memory_mask=mask, no_repeat_ngram=3,
            suppress=(0,), min_length=2,
        )  # fmt: skip
        return found._asdict()

    specs = [
        tf.TensorSpec([None, None, M], name="memory"),
        tf.TensorSpec([None, None], tf.bool, name="mask"),
        tf.TensorSpec([None], tf.int32, name="beam_size"),
        tf.TensorSpec([None], name="alpha"),
    ]
    with kernels.portable():
        concrete = tf.function(answer, input_signature=specs, autograph=False)
        concrete = concrete.get_concrete_function()
    module = tf.Module()
    module.held = [v.value for v in decoder.variables]
    tf.saved_model.save(module, tmp_path / "model", signatures=concrete)
    given = {
        "memory": MEMORY,
        "mask": MASK,
        "beam_size": np.array([1, 2, 3, 4, 4, 4], "int32"),
        "alpha": np.linspace(0, 1, 6).astype("float32"),
    }
    found = concrete(**{name: tf.constant(value) for name, value in given.items()})
    reloaded = tf.saved_model.load(tmp_path / "model").signatures["serving_default"]
    again = reloaded(**{name: tf.constant(value) for name, value in given.items()})
    assert set(again) == {"token_ids", "lengths", "scores", "count"}
    for name, value in again.items():
        np.testing.assert_allclose(value, found[name], atol=1e-5, err_msg=name)
    one = reloaded(**{name: tf.constant(value[3:4]) for name, value in given.items()})
    np.testing.assert_array_equal(one["token_ids"][0], again["token_ids"][3])


def test_wrong_settings_are_named(decoder):
    for settings in ({"beams": 0}, {"beams": 2, "n_best": 3}):
        with pytest.raises(ValueError, match="beams"):
            beam_search(chain(np.zeros((V, V))), tf.zeros([1, 1]), **IDS, max_length=2, **settings)
