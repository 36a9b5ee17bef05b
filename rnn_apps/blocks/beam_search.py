"""Beam search in the graph over any decoder step."""

import typing

import tensorflow as tf

from rnn_apps.blocks.constraints import Constraints, length_penalty, log_sums, per_row
from rnn_apps.blocks.decoding import count_rows, longest, repeat_while

NO_SCORE = -1e9
"""Score of a place without a hypothesis: finite, since JSON has no infinity."""

_DEAD = -float("inf")
_LEAST_COVERAGE = 1e-6  # so that a step that was never looked at has a logarithm


class Beams(typing.NamedTuple):
    """The best hypotheses of each row, best first; N is `n_best`.

    Attributes:
        token_ids: int32 (B, N, U), the end token included, padding after it.
        lengths: int32 (B, N), how many of them are tokens; 0 for a place without a hypothesis.
        scores: float32 (B, N), log-probability over length penalty, plus coverage penalty;
            `NO_SCORE` for a place without a hypothesis.
        count: int32 (B,), how many hypotheses there are: at least 1, at most the row's beam size.
    """

    token_ids: tf.Tensor
    lengths: tf.Tensor
    scores: tf.Tensor
    count: tf.Tensor


class _Live(typing.NamedTuple):
    """The K beams of each row."""

    token_ids: tf.Tensor  # int32 (B, K, U)
    last: tf.Tensor  # int32 (B, K)
    lengths: tf.Tensor  # int32 (B, K)
    log_probs: tf.Tensor  # float32 (B, K), -inf for none
    frozen: tf.Tensor  # bool (B, K)
    coverage: tf.Tensor  # float32 (B, K, T), attention so far; T is 0 without the penalty


class _Kept(typing.NamedTuple):
    """The N best finished hypotheses of each row."""

    token_ids: tf.Tensor  # int32 (B, N, U)
    lengths: tf.Tensor  # int32 (B, N)
    scores: tf.Tensor  # float32 (B, N), -inf for none


def beam_search(
    step,
    state,
    *,
    begin,
    end,
    max_length,
    beams=5,
    beam_size=None,
    length_penalty=0.0,
    coverage_penalty=0.0,
    memory_mask=None,
    min_length=0,
    no_repeat_ngram=0,
    suppress=(),
    n_best=None,
    padding=0,
):
    """Keep the K likeliest beginnings at each step, and return the best endings.

    Beams that end are frozen: they keep their place, at their score, until others outrank them.
    Beams are ranked by log-probability over length penalty. What has ended is also kept apart, so
    that it stays when it is outranked by what never ends well. A row is done when all its beams
    have ended, when `max_length` is reached, or when no live beam can still beat the worst of the
    `n_best` that are kept: a log-probability only falls, and the penalty is at most that of the
    greatest length. If no beam ends in time, the live ones are the hypotheses.

    Core ops in one `tf.while_loop`: the same eagerly, in a `tf.function` and in a SavedModel. What
    a row gets depends on nothing else in the batch.

    Args:
        step: `(token_ids, state) → (logits, state, weights)` with `token_ids` int32 (B, K), the
            last token of each beam; floating logits (B, K, V) of the next; weights (B, K, T) of an
            attention, which only the coverage penalty reads, or None. Its state has B·K rows, the
            beams of a row side by side, and is reordered as a nest.
        state: Nest of tensors with B rows, the first state; at least one.
        begin: Id of the token before the first; an int or int32 (B,).
        end: Id of the end token, int.
        max_length: The most tokens, the end token among them; an int, int32 () or int32 (B,).
        beams: K, the beams that there is room for, int.
        beam_size: How many of them are used, in [1, K]; an int, int32 (B,), or None for K.
        length_penalty: α of ((5 + length) / 6) ** α (Wu et al. 2016, section 7, eq. 14), 0 for none
            and above for longer hypotheses; a float or float32 (B,).
        coverage_penalty: β, at least 0, of β Σ_t log min(Σ_u weight_ut, 1), which is added to the
            score of what has ended (eq. 14 too); a float or float32 (B,). The number 0 switches the
            count off.
        memory_mask: bool (B, T), the steps that coverage is asked of; None for all of them.
        min_length: The least number of tokens, the end token among them; an int or int32 (B,).
        no_repeat_ngram: Length of n-grams that may not come twice, or 0.
        suppress: Ids that are never written.
        n_best: N, how many hypotheses are returned, int in [1, K]; None for K.
        padding: Id after the end.

    Returns:
        `Beams`; U is `max_length`, or the greatest one.

    Raises:
        ValueError: If `beams` or `n_best` is out of its range, the state holds no tensor, or
            coverage is asked of a step without attention.

    Example:
    >>> def step(token_ids, state):  # after token n comes n + 1, or sometimes the end
    ...     return tf.one_hot(token_ids + 1, 5) * 3.0 + tf.one_hot(4, 5), state, None
    >>> found = beam_search(step, tf.zeros([1, 2]), begin=1, end=4, max_length=6, beams=3)
    >>> found.token_ids[0, :2].numpy().tolist(), found.lengths.numpy().tolist()
    ([[2, 3, 4, 0, 0, 0], [4, 0, 0, 0, 0, 0]], [[3, 1, 2]])
    """
    _check(beams, n_best)
    search = _Search(count_rows(state), beams, n_best or beams, padding, max_length)
    search.rules = Constraints(end, min_length, no_repeat_ngram, tuple(suppress))
    search.sizes = tf.clip_by_value(
        per_row(beams if beam_size is None else beam_size, search.rows, tf.int32), 1, beams
    )
    search.alphas = per_row(length_penalty, search.rows, tf.float32)[:, None]  # (B, 1)
    if not (isinstance(coverage_penalty, (int, float)) and coverage_penalty == 0):
        search.betas = per_row(coverage_penalty, search.rows, tf.float32)[:, None]
        search.memory_mask = memory_mask
    return search.run(step, state, begin)


def _check(beams, n_best):
    if isinstance(beams, bool) or not isinstance(beams, int) or beams < 1:
        raise ValueError(f"Expected beams to be an integer of at least 1, but got {beams!r}.")
    if n_best is not None and not 1 <= n_best <= beams:
        raise ValueError(
            f"Expected n_best to be from 1 to the {beams} beams, but got {n_best!r}; raise beams, "
            "or pass None for as many hypotheses as beams."
        )


class _Search:
    """The settings of one search as tensors, and its loop. B rows, K beams, N kept, k words."""

    betas = None  # float32 (B, 1), coverage penalty
    memory_mask = None

    def __init__(self, rows, beams, kept, padding, max_length):
        self.rows, self.beams, self.kept, self.padding = rows, beams, kept, padding
        self.limits = tf.maximum(per_row(max_length, rows, tf.int32), 1)[:, None]  # (B, 1)
        self.width = longest(max_length)  # U

    def run(self, step, state, begin):
        """Search; see `beam_search`."""
        state = tf.nest.map_structure(tf.convert_to_tensor, state)
        first = tf.nest.map_structure(lambda leaf: tf.repeat(leaf, self.beams, axis=0), state)
        live, kept = self._begin(step, first, begin)

        def body(place, live, kept, done, state):
            logits, state, weights = step(live.last, state)
            live, parents = self._grow(live, done, tf.cast(logits, tf.float32), weights, place)
            ended = (live.last == self.rules.end) & ~live.frozen & tf.math.is_finite(live.log_probs)
            kept = self._keep(kept, live, ended)
            live = live._replace(frozen=live.frozen | ended)
            done |= (place + 1 >= self.limits[:, 0]) | ~self._can_improve(live, kept, place + 1)
            flat = tf.reshape(tf.range(self.rows)[:, None] * self.beams + parents, [-1])
            state = tf.nest.map_structure(lambda leaf: tf.gather(leaf, flat), state)
            return place + 1, live, kept, done, state

        start = (tf.constant(0), live, kept, tf.zeros([self.rows], tf.bool), first)
        _, live, kept, _, _ = repeat_while(
            lambda place, live, kept, done, state: ~tf.reduce_all(done), body, start
        )
        return self._finish(live, kept)

    def _begin(self, step, state, begin):
        """One live beam for each row, and nothing kept."""
        rows, beams, kept = self.rows, self.beams, self.kept
        steps = 0
        last = tf.tile(per_row(begin, rows, tf.int32)[:, None], [1, beams])
        if self.betas is not None:
            steps = self._memory_steps(step, last, state)
        live = _Live(
            token_ids=self._blank(beams),
            last=last,
            lengths=tf.zeros([rows, beams], tf.int32),
            log_probs=tf.zeros([rows, 1]) + tf.constant([0.0] + [_DEAD] * (beams - 1)),
            frozen=tf.zeros([rows, beams], tf.bool),
            coverage=tf.zeros([rows, beams, steps]),
        )
        nothing = tf.fill([rows, kept], _DEAD)
        return live, _Kept(self._blank(kept), tf.zeros([rows, kept], tf.int32), nothing)

    def _blank(self, count):
        return tf.fill([self.rows, count, self.width], self.padding)

    def _memory_steps(self, step, last, state):
        """T, which only the step's weights tell."""
        if self.memory_mask is not None:
            return tf.shape(self.memory_mask)[1]
        weights = step(last, state)[2]
        if weights is None:
            raise ValueError(
                "A coverage penalty needs attention weights, but the step returned None for them; "
                "pass coverage_penalty=0, or a step with attention."
            )
        return tf.shape(weights)[2]

    def _grow(self, live, done, logits, weights, place):
        """Replace the beams by the best K of their continuations: `(live, parents (B, K))`."""
        k = tf.minimum(self.beams, tf.shape(logits)[2])
        values, ids = self.rules.best(logits, k, live.token_ids, place)  # (B, K, k)
        values -= log_sums(logits)[..., None]
        still = live.frozen | done[:, None]
        coverage = live.coverage
        if self.betas is not None:
            coverage += tf.where(still[..., None], 0.0, tf.cast(weights, tf.float32))
        only = tf.where(tf.range(k) == 0, 0.0, _DEAD)  # a frozen beam has one continuation
        totals = live.log_probs[..., None] + tf.where(still[..., None], only, values)
        lengths = live.lengths + tf.cast(~still, tf.int32)
        ranks = totals / length_penalty(lengths, self.alphas)[..., None]
        flat = tf.stack([self.rows, self.beams * k])
        _, places = tf.math.top_k(tf.reshape(ranks, flat), self.beams)
        parents = places // k

        def chosen(tensor):
            return tf.gather(tensor, parents, batch_dims=1)

        still = chosen(still)
        last = tf.gather(tf.reshape(ids, flat), places, batch_dims=1)
        last = tf.where(still, self.padding, last)
        totals = tf.gather(tf.reshape(totals, flat), places, batch_dims=1)
        written = (tf.range(self.width) == place) & ~still[..., None]
        grown = _Live(
            token_ids=tf.where(written, last[..., None], chosen(live.token_ids)),
            last=last,
            lengths=chosen(lengths),
            log_probs=tf.where(tf.range(self.beams) < self.sizes[:, None], totals, _DEAD),
            frozen=chosen(live.frozen),
            coverage=chosen(coverage),
        )
        return grown, parents

    def _keep(self, kept, live, which):
        """Merge those beams into what is kept, and keep the best N."""
        scores = tf.where(which, self._scores(live), _DEAD)
        scores, places = tf.math.top_k(tf.concat([kept.scores, scores], 1), self.kept)

        def chosen(old, new):
            return tf.gather(tf.concat([old, new], 1), places, batch_dims=1)

        # No more are kept than the row has beams.
        scores = tf.where(tf.range(self.kept) < self.sizes[:, None], scores, _DEAD)
        token_ids = chosen(kept.token_ids, live.token_ids)
        return _Kept(token_ids, chosen(kept.lengths, live.lengths), scores)

    def _scores(self, live):
        scores = live.log_probs / length_penalty(live.lengths, self.alphas)
        if self.betas is None:
            return scores
        logs = tf.math.log(tf.clip_by_value(live.coverage, _LEAST_COVERAGE, 1.0))
        if self.memory_mask is not None:
            logs = tf.where(tf.cast(self.memory_mask, tf.bool)[:, None], logs, 0.0)
        return scores + self.betas * tf.reduce_sum(logs, -1)

    def _can_improve(self, live, kept, place):
        """Whether a live beam may still beat the worst that is kept: bool (B,)."""
        soon = live.log_probs / length_penalty(place + 1, self.alphas)
        late = live.log_probs / length_penalty(self.limits, self.alphas)
        hopes = tf.where(live.frozen, _DEAD, tf.maximum(soon, late))
        wanted = tf.range(self.kept) < self.sizes[:, None]
        worst = tf.reduce_min(tf.where(wanted, kept.scores, float("inf")), 1)
        return tf.reduce_max(hopes, 1) > worst

    def _finish(self, live, kept):
        """Fall back on live beams where none ended, and blank the places of no hypothesis."""
        none = tf.math.is_inf(kept.scores[:, :1])
        kept = self._keep(kept, live, none & tf.math.is_finite(live.log_probs))
        real = tf.math.is_finite(kept.scores)
        return Beams(
            tf.where(real[..., None], kept.token_ids, self.padding),
            tf.where(real, kept.lengths, 0),
            tf.where(real, kept.scores, NO_SCORE),
            tf.reduce_sum(tf.cast(real, tf.int32), 1),
        )
