"""Judging language models: perplexity with intervals, beside n-grams on the same texts.

All of it comes from the natural logarithms of the probabilities of the tokens that were predicted,
-log p summed up and spread over

- perplexity_per_token: the tokens; the exponential of the mean. It compares models with the same
  tokens only.
- perplexity_per_word: the words; the exponential of the mean, which compares any models. A word is
  what stands between white space, and each end that was predicted counts as one more: that of a
  text, and that of a line where line breaks are tokens. So the Penn Treebank's test part has
  78,669 words and 3,761 ends of lines, and its perplexity is the one that is published.
- bits_per_character: the characters, logarithms to base 2. White space counts, and an end that is
  no character does not, though it has to be predicted.
- nats_per_character: the same in natural logarithms.

Every interval is the middle 95 % of what the metric takes on when the texts are drawn again with
replacement, or where there are few, stretches of about 500 tokens of them; the model and its
baselines are judged on the same draws. The p-values are of approximate randomisation: each text's
two predictions are exchanged by chance (Riezler & Maxwell 2005).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from rnn_apps.evaluation import comparison, language_figures
from rnn_apps.evaluation.ngrams import KneserNey, Unigram
from rnn_apps.evaluation.report import Report

METRICS = (
    "perplexity_per_token",
    "perplexity_per_word",
    "bits_per_character",
    "nats_per_character",
)
_FEW = 100  # texts; fewer are taken apart
_STRETCH = 500  # tokens
_LEAST_STRETCHES = 20  # however short they are
_LEAST_TEXTS = 10  # that are as long, for a perplexity at a place in texts
_NOT_DEFINED = "A metric is not defined where the texts hold none of what it is spread over."
_UNIT = "% of the perplexity per word"


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a model made of the tokens of texts.

    Args:
        log_probabilities: float (N,), natural logarithm of each token that was predicted, all
            texts' in one.
        row_splits: int (D + 1,), where in them each text begins, and the end.

    Raises:
        ValueError: they are no logarithms of probabilities, or the two do not fit.

    Example:
        >>> Scored(np.log([0.5, 0.25, 0.5]), [0, 2, 3]).lengths
        array([2, 1])
    """

    log_probabilities: np.ndarray
    row_splits: np.ndarray

    def __post_init__(self):
        found = np.asarray(self.log_probabilities, dtype=np.float64)
        row_splits = np.asarray(self.row_splits)
        ends = [*row_splits[:1], *row_splits[-1:]]
        if found.ndim != 1 or ends != [0, len(found)] or (np.diff(row_splits) < 0).any():
            raise ValueError(
                f"The row splits do not fit log probabilities of the shape {found.shape}; they "
                "begin with 0, never fall, and end with the number of tokens."
            )
        if not ((found <= 1e-5) & np.isfinite(found)).all():
            raise ValueError(
                "Some log probabilities are above 0, infinite or not a number; give natural "
                "logarithms of probabilities above 0."
            )
        object.__setattr__(self, "log_probabilities", found)
        object.__setattr__(self, "row_splits", row_splits)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int (D,)."""
        return np.diff(self.row_splits)


def count(texts: Sequence[str], ends: int | Sequence[int] = 1) -> tuple[np.ndarray, np.ndarray]:
    r"""Count what perplexity is spread over.

    Args:
        texts: D texts.
        ends: how many tokens that are no part of a word were predicted at ends, for all texts or
            for each: 1 if there is one at the end of a text, and one more for each line break
            within it that is a token.

    Returns:
        `(words, characters)`, both int64 (D,): the words with the ends, and the characters alone.

    Example:
        >>> [counts.tolist() for counts in count(["feeling under\nthe weather", ""])]
        [[5, 1], [25, 0]]
    """
    words = np.array([len(text.split()) for text in texts], dtype=np.int64)
    characters = np.array([len(text) for text in texts], dtype=np.int64)
    return words + np.asarray(ends, dtype=np.int64), characters


def ngram_baselines(
    train, test, vocabulary_size: int, *, order: int = 5, train_splits=None, test_splits=None
) -> dict[str, np.ndarray]:
    """Fit n-grams to training texts, and predict the test texts.

    Args:
        train: ids of the training texts' tokens, each text from the token on that marks its
            beginning; as for `rnn_apps.evaluation.ngrams.KneserNey.fit`.
        test: likewise, of the test texts.
        vocabulary_size: V, tokens there are.
        order: tokens of the longest n-gram.
        train_splits: int (texts + 1,), where each text begins, if `train` has all in one.
        test_splits: likewise for `test`.

    Returns:
        Name → float64 (N,), natural logarithm of each test token's probability but that of each
        text's first: what `judge` takes.

    Example:
        >>> sorted(ngram_baselines([[0, 1, 2]] * 3, [[0, 1, 2]], 3))
        ['Kneser-Ney 5-grams', 'unigrams']
    """
    models = {
        "unigrams": Unigram.fit(train, vocabulary_size, row_splits=train_splits),
        f"Kneser-Ney {order}-grams": KneserNey.fit(train, vocabulary_size, order, train_splits),
    }
    return {name: model.log_probabilities(test, test_splits) for name, model in models.items()}


def judge(
    scored: Scored,
    words: Sequence[int],
    characters: Sequence[int],
    *,
    baselines: Mapping[str, Scored | np.ndarray],
    data: str,
    application: str,
    seed: int = 0,
    resamples: int = 1000,
) -> Report:
    """Measure a language model, beside its baselines on the same texts.

    Args:
        scored: what the model made of D texts.
        words: int (D,), words of each text and the ends that were predicted, as `count` has them.
        characters: int (D,), characters of each text.
        baselines: name → float (N,), log probabilities of the same tokens; or → `Scored`, of the
            same texts in tokens of its own.
        data: name of the data, for the report.
        application: name of the application, for the report.
        seed: of the resampling; the same seed gives the same report.
        resamples: how many times the texts are drawn again.

    Returns:
        A `Report`; its extras hold the ratios of the model's perplexities to each baseline's with
        intervals and p-values, perplexities by place in the text, and how it was measured.

    Raises:
        ValueError: numbers do not fit, or nothing is there to judge.

    Example:
        >>> scored = Scored(np.log(np.full(60, 0.5)), [0, 20, 60])
        >>> report = judge(scored, [9, 21], [40, 80], baselines={"guess": np.log(np.full(60, 0.1))},
        ...                data="two texts", application="language")
        >>> {name: round(metric["value"], 3) for name, metric in report.metrics.items()}
        {'perplexity_per_token': 2.0, 'perplexity_per_word': 4.0,
         'bits_per_character': 0.5, 'nats_per_character': 0.347}
        >>> report.to_dict()["ratios"]["guess"]["perplexity_per_token"]["value"]
        0.2
    """
    if resamples < 1:
        raise ValueError(f"{resamples} resamples give no interval; ask for 100 or more.")
    others = {name: _as_scored(name, other, scored) for name, other in baselines.items()}
    counts = _check_counts(scored, words, characters)
    pieces = _pieces(scored.lengths)
    sums = {name: _sums(each, pieces) for name, each in {"model": scored, **others}.items()}
    spread = _spread(counts, pieces, sums["model"][:, 1])
    rows = {name: np.hstack([each, spread]) for name, each in sums.items()}
    weights = comparison.bootstrap(len(spread), seed, resamples)
    measured = {name: _measured(each, weights) for name, each in rows.items()}
    ratios = {
        name: _ratios(rows["model"], rows[name], weights, seed, same=_same(scored, other))
        for name, other in others.items()
    }
    alike = {name: other for name, other in others.items() if _same(scored, other)}
    places = _by_place({"model": scored, **alike})
    counted = {
        "texts": len(pieces),
        "tokens": len(scored.log_probabilities),
        "words_and_ends": int(counts[:, 0].sum()),
        "characters": int(counts[:, 1].sum()),
        "stretches_resampled": len(spread),
    }
    return Report(
        application,
        data,
        len(pieces),
        measured.pop("model"),
        measured,
        comparison.verdict({name: _percent(each) for name, each in ratios.items()}, _UNIT, 1),
        {
            "ratios": ratios,
            "by_place": places,
            "counts": counted,
            "bootstrap": {"resamples": resamples, "seed": seed, "level": 0.95},
        },
        tables={
            "What was counted": [
                ["", "number"],
                *([name.replace("_", " "), f"{number:,}"] for name, number in counted.items()),
            ]
        },
        figures={"by_place": lambda: language_figures.by_place(places)} if places else {},
    )


def _as_scored(name, other, scored):
    if not isinstance(other, Scored):
        if np.shape(other) != scored.log_probabilities.shape:
            raise ValueError(
                f"The model has log probabilities of {len(scored.log_probabilities):,} tokens, and "
                f"{name!r} of {np.shape(other)}; give those of the same tokens, or a `Scored`."
            )
        return Scored(other, scored.row_splits)
    if len(other.lengths) != len(scored.lengths):
        raise ValueError(
            f"The model was asked about {len(scored.lengths):,} texts, and {name!r} about "
            f"{len(other.lengths):,}; ask both about the same."
        )
    return other


def _check_counts(scored, words, characters):
    """Words and characters of each text, float64 (D, 2)."""
    for name, each in {"words": words, "characters": characters}.items():
        if np.shape(each) != scored.lengths.shape or np.min(each, initial=0) < 0:
            raise ValueError(
                f"There are {len(scored.lengths):,} texts and {np.shape(each)} numbers of {name}; "
                "give one of 0 or more for each."
            )
    if not len(scored.log_probabilities):
        raise ValueError("The texts have no token to predict, so that there is nothing to judge.")
    return np.stack([words, characters], axis=-1).astype(np.float64)


def _pieces(lengths):
    """How many stretches each text is taken apart to: one, unless there are few texts."""
    if len(lengths) >= _FEW:
        return np.ones(len(lengths), dtype=np.int64)
    stretch = min(_STRETCH, max(lengths.sum() / _LEAST_STRETCHES, 1))
    return np.maximum(np.round(lengths / stretch), 1).astype(np.int64)


def _sums(scored, pieces):
    """Nats and tokens of each stretch, float64 (G, 2)."""
    lengths, (places, texts) = scored.lengths, _places(scored)
    firsts = np.cumsum(pieces) - pieces
    groups = firsts[texts] + places * pieces[texts] // lengths[texts]
    nats = np.bincount(groups, -scored.log_probabilities, minlength=pieces.sum())
    return np.column_stack([nats, np.bincount(groups, minlength=pieces.sum())])


def _spread(counts, pieces, tokens):
    """Words and characters of each stretch, float64 (G, 2): a text's go with its tokens."""
    texts = np.repeat(np.arange(len(pieces)), pieces)
    lengths = np.bincount(texts, tokens)[texts]
    share = np.where(lengths > 0, tokens / np.maximum(lengths, 1), 1.0)
    return counts[texts] * share[:, None]


def _places(scored):
    """Each token's place in its text, and which text that is, both int (N,)."""
    texts = np.repeat(np.arange(len(scored.lengths)), scored.lengths)
    return np.arange(len(texts)) - scored.row_splits[texts], texts


def _score(sums):
    """Nats, tokens, words and characters, (…, 4), as metrics, (…, 4)."""
    per_token, per_word, per_character = np.moveaxis(_means(sums, [1, 2, 3]), -1, 0)
    with np.errstate(over="ignore"):  # of one long word, say
        each = (np.exp(per_token), np.exp(per_word), per_character / np.log(2))
    return np.stack([*each, per_character], axis=-1)


def _means(sums, places):
    """Nats for each of what stands at places, (…, places); not a number where there is none."""
    number = sums[..., places]
    return np.where(number > 0, sums[..., :1] / np.maximum(number, 1e-9), np.nan)


def _measured(rows, weights):
    values, draws = _score(rows.sum(axis=0)), _score(weights @ rows)
    return {
        name: comparison.interval(values[place], draws[:, place], _NOT_DEFINED)
        for place, name in enumerate(METRICS)
    }


def _ratios(own, other, weights, seed, same):
    """The model's perplexities to a baseline's, from the differences of their logarithms."""
    names = ("perplexity_per_word", "perplexity_per_token")

    def score(sums):
        return _means(sums, [2, 1])

    draws = score(weights @ own) - score(weights @ other)
    found = comparison.differences(
        own, other, draws, score=score, names=names, seed=seed, reason=_NOT_DEFINED
    )
    return {
        name: {
            key: value if value is None or key not in ("value", "low", "high") else np.exp(value)
            for key, value in found[name].items()
        }
        for name in (names if same else names[:1])
    }


def _percent(ratios):
    """How much of a baseline's perplexity the model saves, as `comparison.verdict` takes it."""
    ratio = ratios["perplexity_per_word"]
    if ratio["value"] is None:
        return ratio
    value, low, high = (100 * (1 - ratio[key]) for key in ("value", "high", "low"))
    return {"value": value, "low": low, "high": high, "p_value": ratio["p_value"]}


def _same(scored, other):
    return np.array_equal(scored.row_splits, other.row_splits)


def _by_place(scored):
    """Perplexity per token by place in the text, in octaves: what context is worth.

    Args:
        scored: name → `Scored`, of the same tokens.

    Returns:
        A list of dicts: "first" and "last" place, counted from 1, "tokens" there are, and
        "perplexity", name → float. Places that few texts reach are left out: what stands there
        would say more of these texts than of the place.
    """
    places, _ = _places(scored["model"])
    octaves = np.frexp(places + 1)[1] - 1  # 0 for the first place, 1 for two and three, …
    tokens = np.bincount(octaves)
    reached = np.bincount(octaves[places + 1 == 2**octaves])  # by how many texts
    found = {
        name: np.exp(np.bincount(octaves, -each.log_probabilities) / tokens)
        for name, each in scored.items()
    }
    return [
        {
            "first": 2**octave,
            "last": min(2 ** (octave + 1) - 1, int(places.max()) + 1),
            "tokens": int(tokens[octave]),
            "perplexity": {name: float(values[octave]) for name, values in found.items()},
        }
        for octave in np.flatnonzero(reached >= _LEAST_TEXTS).tolist()
    ]
