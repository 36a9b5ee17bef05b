"""Writing a sequence token by token in the graph: the likeliest token, or one drawn."""

import typing

import tensorflow as tf

from rnn_apps.blocks.constraints import Constraints, length_penalty, log_sums, per_row


class Decoded(typing.NamedTuple):
    """One sequence for each row.

    Attributes:
        token_ids: int32 (B, U), the end token included, padding after it.
        lengths: int32 (B,), how many of them are tokens.
        scores: float32 (B,), the model's log-probability over the length penalty.
        state: Nest of tensors with B rows, what the last step returned, to go on from.
    """

    token_ids: tf.Tensor
    lengths: tf.Tensor
    scores: tf.Tensor
    state: object


def greedy(
    step,
    state,
    *,
    begin,
    end,
    max_length,
    length_penalty=0.0,
    min_length=0,
    no_repeat_ngram=0,
    suppress=(),
    padding=0,
):
    """Write the likeliest token at each step, until the end token or the greatest length.

    Core ops in one `tf.while_loop`: the same eagerly, in a `tf.function` and in a SavedModel.

    Args:
        step: `(token_ids, state) → (logits, state, weights)` with `token_ids` int32 (B, 1), the
            token before; floating logits (B, 1, V) of the next; the weights are not looked at.
        state: Nest of tensors with B rows, the first state; at least one.
        begin: Id of the token before the first; an int or int32 (B,).
        end: Id of the end token, int.
        max_length: The most tokens, the end token among them; an int, int32 () or int32 (B,).
        length_penalty: Exponent of the penalty in the score (see `constraints.length_penalty`); a
            float or float32 (B,).
        min_length: The least number of tokens, the end token among them; an int or int32 (B,).
        no_repeat_ngram: Length of n-grams that may not come twice, or 0.
        suppress: Ids that are never written.
        padding: Id after the end.

    Returns:
        A `Decoded`; U is `max_length`, or the greatest one.

    Raises:
        ValueError: If the state holds no tensor.

    Example:
    >>> def step(token_ids, state):  # after token n comes n + 1
    ...     return tf.one_hot(token_ids + 1, 5) * 9.0, state, None
    >>> decoded = greedy(step, tf.zeros([1, 2]), begin=1, end=4, max_length=6)
    >>> decoded.token_ids.numpy().tolist(), decoded.lengths.numpy().tolist()
    ([[2, 3, 4, 0, 0, 0]], [3])
    """
    rules = Constraints(end, min_length, no_repeat_ngram, tuple(suppress))

    def choose(values, place):
        return tf.zeros_like(values[:, 0], tf.int32)

    return _walk(step, state, choose, 1, rules, begin, max_length, length_penalty, padding)


def sample(
    step,
    state,
    *,
    begin,
    end,
    max_length,
    temperature=1.0,
    top_k=None,
    top_p=1.0,
    seed=0,
    skip=0,
    min_length=0,
    no_repeat_ngram=0,
    suppress=(),
    padding=0,
):
    """Draw each token from the model's distribution, cut to its likeliest part.

    First the temperature, then the k likeliest words, then the fewest of those whose share reaches
    p (Holtzman et al. 2020, section 3.1). What a row draws is a function of its own seed and step,
    whatever else is in the batch: give rows different seeds where they should differ.

    Args:
        step: As for `greedy`.
        state: As for `greedy`.
        begin: As for `greedy`.
        end: As for `greedy`.
        max_length: As for `greedy`.
        temperature: Above 0; below 1 likely words become likelier still; a float or float32 (B,).
        top_k: The most words to draw from; an int, int32 (B,), or None for all.
        top_p: The share of them, in (0, 1]; a float or float32 (B,).
        seed: An int or int32 (B,).
        skip: How many tokens were drawn before with these seeds; an int or int32 (). What goes on
            from an earlier call's state and last token draws what that call would have drawn.
        min_length: As for `greedy`.
        no_repeat_ngram: As for `greedy`.
        suppress: As for `greedy`.
        padding: As for `greedy`.

    Returns:
        A `Decoded`, whose scores are log-probabilities at temperature 1 of the whole distribution.

    Raises:
        ValueError: If a setting that is a number is out of its range.

    Example:
    >>> def step(token_ids, state):
    ...     return tf.zeros([2, 1, 5]), state, None
    >>> sample(step, tf.zeros([2, 1]), begin=1, end=4, max_length=6, seed=7).token_ids.shape
    TensorShape([2, 6])
    """
    _check(temperature=temperature, top_k=top_k, top_p=top_p)
    rules = Constraints(end, min_length, no_repeat_ngram, tuple(suppress))
    rows = count_rows(state)
    uniforms = _uniforms(per_row(seed, rows, tf.int32), skip + longest(max_length))[:, skip:]
    temperature = per_row(temperature, rows, tf.float32)[:, None]
    top_p = per_row(top_p, rows, tf.float32)[:, None]
    most = top_k if isinstance(top_k, int) else None

    def choose(values, place):
        values = values / temperature  # (B, n), descending
        ranks = tf.range(tf.shape(values)[1])
        if top_k is not None:
            values = tf.where(ranks < tf.reshape(top_k, [-1, 1]), values, -float("inf"))
        shares = tf.nn.softmax(values)
        before = tf.cumsum(shares, axis=-1, exclusive=True)
        shares = tf.where((before < top_p) | (ranks == 0), shares, 0.0)
        reached = tf.cumsum(shares, axis=-1)
        drawn = tf.gather(uniforms, place, axis=1)[:, None] * reached[:, -1:]
        chosen = tf.reduce_sum(tf.cast(reached <= drawn, tf.int32), -1)
        last = tf.reduce_sum(tf.cast(shares > 0, tf.int32), -1) - 1
        return tf.minimum(chosen, last)

    return _walk(step, state, choose, most, rules, begin, max_length, 0.0, padding)


def _uniforms(seeds, steps):
    """Draw numbers in [0, 1) for each row from its own seed: float32 (B, steps)."""
    seeds = tf.concat([seeds, [0]], 0)  # a loop over no rows could not be stacked
    drawn = tf.map_fn(
        lambda seed: tf.random.stateless_uniform(tf.stack([steps]), tf.stack([seed, 0])),
        seeds,
        fn_output_signature=tf.TensorSpec([None], tf.float32),
    )
    return drawn[:-1]


def _check(temperature, top_k, top_p):
    """Refuse numbers out of their range; what is a tensor is known too late."""
    if isinstance(temperature, (int, float)) and not temperature > 0:
        raise ValueError(
            f"Expected temperature to be above 0, but got {temperature!r}; use greedy for the "
            "likeliest token."
        )
    if isinstance(top_k, int) and not top_k >= 1:
        raise ValueError(f"Expected top_k to be at least 1 or None, but got {top_k!r}.")
    if isinstance(top_p, (int, float)) and not 0 < top_p <= 1:
        raise ValueError(f"Expected top_p to be in (0, 1], but got {top_p!r}.")


def count_rows(state):
    """Count the rows of a state's first tensor, int32 (); refuse a state that has none."""
    leaves = tf.nest.flatten(state)
    if not leaves:
        raise ValueError(
            "The state holds no tensor, so that nothing says how many rows there are; pass one "
            "with B rows, even if the step does not read it."
        )
    return tf.shape(leaves[0])[0]


def _walk(step, state, choose, most, rules, begin, max_length, alpha, padding):
    """Write with `choose(values, step) → place` among the best `most` words, or all of them."""
    state = tf.nest.map_structure(tf.convert_to_tensor, state)
    rows = count_rows(state)
    limits = tf.maximum(per_row(max_length, rows, tf.int32), 1)
    width = longest(max_length)

    def body(place, token_ids, last, lengths, log_probs, done, state):
        logits, state, _ = step(last[:, None], state)
        logits = tf.cast(logits, tf.float32)
        words = tf.shape(logits)[2]
        k = words if most is None else tf.minimum(most, words)
        values, ids = rules.best(logits, k, token_ids[:, None], place)
        chosen = choose(values[:, 0], place)
        gain = tf.gather(values[:, 0], chosen, batch_dims=1) - log_sums(logits[:, 0])
        token = tf.where(done, padding, tf.gather(ids[:, 0], chosen, batch_dims=1))
        log_probs += tf.where(done, 0.0, gain)
        lengths += tf.where(done, 0, 1)
        token_ids = tf.where(tf.range(width) == place, token[:, None], token_ids)
        done |= (token == rules.end) | (place + 1 >= limits)
        return place + 1, token_ids, token, lengths, log_probs, done, state

    token_ids = tf.fill(tf.stack([rows, width]), padding)
    start = (
        tf.constant(0),
        token_ids,
        per_row(begin, rows, tf.int32),
        tf.zeros([rows], tf.int32),
        tf.zeros([rows]),
        tf.zeros([rows], tf.bool),
        state,
    )
    _, token_ids, _, lengths, log_probs, _, state = repeat_while(
        lambda place, *rest: ~tf.reduce_all(rest[-2]), body, start
    )
    alphas = per_row(alpha, rows, tf.float32)
    return Decoded(token_ids, lengths, log_probs / length_penalty(lengths, alphas), state)


def longest(max_length):
    """Return the width of what is written, int32 (): the greatest of the rows' lengths."""
    return tf.maximum(tf.reduce_max(tf.cast(max_length, tf.int32)), 1)


def repeat_while(wanted, body, variables):
    """Run `tf.while_loop` over variables whose number of rows, and nothing else, may be unknown.

    Args:
        wanted: `(*variables) → bool ()`, whether to go on.
        body: `(*variables) → variables`.
        variables: Tuple of nests of tensors; of those that are not (), the first dimension is rows.

    Returns:
        The variables in the end.
    """

    def shape(tensor):
        return tf.TensorShape([None, *tensor.shape[1:]]) if tensor.shape.rank else tensor.shape

    def ensured(*before):
        return tf.nest.map_structure(
            lambda new, old: tf.ensure_shape(new, shape(old)), body(*before), variables
        )

    shapes = tf.nest.map_structure(shape, variables)
    return tf.while_loop(wanted, ensured, variables, shape_invariants=shapes)
