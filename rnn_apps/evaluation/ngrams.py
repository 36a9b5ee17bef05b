"""Language models of counts, which a network that predicts the next token stands beside.

`KneserNey` is interpolated Kneser-Ney smoothing with three discounts an order (Chen & Goodman 1999,
An Empirical Study of Smoothing Techniques for Language Modeling, Section 3). With c the count of an
n-gram, h the tokens before w, and h' those without the first:

    p(w | h) = (c(h w) - D(c(h w))) / c(h ·) + g(h) p(w | h')
    g(h) = (D1 N1(h ·) + D2 N2(h ·) + D3 N3+(h ·)) / c(h ·)

where c is how often the n-gram stands in the text for the highest order, and for the lower ones
after how many different tokens it does. An n-gram at the beginning of a document stands after none:
what counts there is how often it does. (Chen & Goodman fill up with tokens that stand for no text,
which makes all of these one.) Below the single tokens is the uniform distribution, so that every
token of the vocabulary may follow any other.

An n-gram is known by one number, its rank among all of its order, and the next order's key is this
number and one token more. So each order costs a sort of the text, and a look-up a binary search.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

_USUAL_DISCOUNTS = (0.5, 1.0, 1.5)  # where the counts of counts give none


@dataclasses.dataclass(frozen=True)
class Unigram:
    """How often each token is, whatever stands before it; one is added to every count.

    Args:
        logarithms: float64 (V,), natural logarithm of each token's probability.

    Example:
        >>> model = Unigram.fit([[0, 1, 1, 2]], vocabulary_size=4)
        >>> np.exp(model.log_probabilities([[0, 1]])).round(4)
        array([0.4286])
    """

    logarithms: np.ndarray

    @classmethod
    def fit(cls, ids, vocabulary_size: int, row_splits=None) -> "Unigram":
        """Count the tokens of documents but the first of each, which is given.

        Args:
            ids: as for `KneserNey.fit`.
            vocabulary_size: V, tokens there are.
            row_splits: as for `KneserNey.fit`.

        Returns:
            The model.

        Raises:
            ValueError: as `KneserNey.fit`.
        """
        ids, offsets = _flat(ids, row_splits, vocabulary_size)
        counts = 1.0 + np.bincount(ids[offsets > 0], minlength=vocabulary_size)
        return cls(np.log(counts / counts.sum()))

    def log_probabilities(self, ids, row_splits=None) -> np.ndarray:
        """Return what `KneserNey.log_probabilities` does."""
        ids, offsets = _flat(ids, row_splits, len(self.logarithms))
        return self.logarithms[ids[offsets > 0]]


@dataclasses.dataclass(frozen=True)
class _Order:
    """The n-grams of one order.

    Args:
        keys: int64 (G,), ascending: number of the context times V, plus the last token.
        shares: float64 (G,), what is left of each one's count, as a share of its context's.
        backoffs: float64 (contexts,), what was taken, as a share; 1 where nothing ever follows.
        discounts: D1, D2 and D3.
    """

    keys: np.ndarray
    shares: np.ndarray
    backoffs: np.ndarray
    discounts: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class KneserNey:
    """N-grams of tokens with modified Kneser-Ney smoothing, interpolated.

    Args:
        vocabulary_size: V, tokens there are.
        orders: what `fit` learned of each order, the single tokens first.

    Example:
        >>> text = [[0, 1, 2, 1, 2, 1, 3], [0, 1, 2, 1, 3]]
        >>> model = KneserNey.fit(text, vocabulary_size=5, order=3)
        >>> after = model.probabilities([0, 1])
        >>> after.argmax(), round(after.sum(), 12), after.min() > 0
        (np.int64(2), np.float64(1.0), np.True_)
    """

    vocabulary_size: int
    orders: tuple[_Order, ...] = dataclasses.field(repr=False)

    @classmethod
    def fit(cls, ids, vocabulary_size: int, order: int = 5, row_splits=None) -> "KneserNey":
        """Count the n-grams of documents; none reaches from one document into another.

        Args:
            ids: integers from 0 to V - 1: a list of the documents' ids, or with `row_splits` all of
                them in one, or without one document. The first token of each document is what the
                others follow, and is not predicted: let it be one that marks the beginning.
            vocabulary_size: V, tokens there are.
            order: tokens of the longest n-gram; fewer where no document is as long.
            row_splits: int (documents + 1,), where in `ids` each document begins, and the end.

        Returns:
            The model.

        Raises:
            ValueError: ids are none of the vocabulary, `row_splits` does not fit them, no document
                has two tokens, or the order is below 1.
        """
        if order < 1:
            raise ValueError(f"The order is {order}; n-grams have one token or more, 5 as a rule.")
        ids, offsets = _flat(ids, row_splits, vocabulary_size)
        if not (offsets > 0).any():
            raise ValueError(
                "No document has a second token, so that there is nothing to count; give documents "
                "of their beginning's token and at least one more."
            )
        numbers = ids  # of the n-gram that ends at each place, one order below; -1 where none does
        keys, contexts = np.arange(vocabulary_size), 1
        places = np.flatnonzero(offsets > 0)
        orders = []
        for length in range(1, order):
            longer = np.flatnonzero(offsets >= length)  # where an n-gram of one token more ends
            if not len(longer):
                break
            above, first, ranks = np.unique(
                numbers[longer - 1] * vocabulary_size + ids[longer],
                return_index=True,
                return_inverse=True,
            )
            follows = numbers[longer[first]]  # each longer n-gram's own without its first token
            counts = np.bincount(follows, minlength=len(keys))
            if length > 1:
                counts += np.bincount(numbers[offsets == length - 1], minlength=len(keys))
            orders.append(_discounted(keys, counts, contexts, vocabulary_size))
            contexts, keys, places = len(keys), above, longer
            numbers = np.full(len(ids), -1)
            numbers[longer] = ranks
        counts = np.bincount(numbers[places], minlength=len(keys))
        orders.append(_discounted(keys, counts, contexts, vocabulary_size))
        return cls(vocabulary_size, tuple(orders))

    def log_probabilities(self, ids, row_splits=None) -> np.ndarray:
        """Look up how probable each token is after those that stand before it in its document.

        Args:
            ids: documents of any text, as for `fit`.
            row_splits: as for `fit`.

        Returns:
            float64 (N,), natural logarithms, in the order of the text and without the first token
            of each document, which follows nothing.

        Raises:
            ValueError: ids are none of the vocabulary, or `row_splits` does not fit them.
        """
        ids, offsets = _flat(ids, row_splits, self.vocabulary_size)
        places = np.flatnonzero(offsets > 0)
        found = np.full(len(places), 1 / self.vocabulary_size)
        contexts = np.zeros(len(places), dtype=np.int64)
        for length, order in enumerate(self.orders, 1):
            known = np.flatnonzero(contexts >= 0)
            ranks, seen = _look_up(
                order.keys, contexts[known] * self.vocabulary_size + ids[places[known]]
            )
            found[known] *= order.backoffs[contexts[known]]
            found[known[seen]] += order.shares[ranks]
            numbers = np.full(len(ids), -1)
            numbers[places[known[seen]]] = ranks
            contexts = (ids if length == 1 else numbers)[places - 1]
        return np.log(found)

    def probabilities(self, context: Sequence[int]) -> np.ndarray:
        """Look up how probable every token of the vocabulary is as the next.

        Args:
            context: one id or more; those of the highest order but one are enough.

        Returns:
            float64 (V,), which add up to 1.

        Raises:
            ValueError: there is no context, or an id is none of the vocabulary.
        """
        context = np.asarray(context)[-max(len(self.orders) - 1, 1) :]
        if not len(context):
            raise ValueError("No context came; give at least the token that marks a beginning.")
        rows = np.tile(np.append(context, 0), (self.vocabulary_size, 1))  # (V, context + 1)
        rows[:, -1] = np.arange(self.vocabulary_size)
        row_splits = np.arange(len(rows) + 1) * rows.shape[1]
        found = self.log_probabilities(rows.ravel(), row_splits)
        return np.exp(found.reshape(len(rows), -1)[:, -1])


def _look_up(keys, wanted):
    """Ranks, among ascending keys, of those wanted that are there, and which these are: bool (W,).

    The wanted are sorted first: searching in order touches the memory of the keys in order, which
    for millions is many times faster.
    """
    order = np.argsort(wanted)
    ranks = np.empty(len(wanted), dtype=np.int64)
    ranks[order] = np.minimum(np.searchsorted(keys, wanted[order]), len(keys) - 1)
    seen = keys[ranks] == wanted
    return ranks[seen], seen


def _discounted(keys, counts, contexts, vocabulary_size):
    """Takes from each count of an order, and gives to the order below, context by context."""
    discounts = _discounts(counts)
    taken = np.array([0.0, *discounts])[np.minimum(counts, 3)]
    context = keys // vocabulary_size
    totals = np.bincount(context, counts, minlength=contexts)
    backoffs = np.bincount(context, taken, minlength=contexts)
    followed = np.maximum(totals, 1)
    return _Order(
        keys,
        (counts - taken) / followed[context],
        np.where(totals > 0, backoffs / followed, 1.0),
        discounts,
    )


def _discounts(counts):
    """The discounts of counts of one, two, and three or more (Chen & Goodman 1999, equation 26).

    Each is above 0, so that something is left for what was never seen, and takes no more than
    there is. Where the text is so small or its tokens so few that the equation gives none such, as
    when no n-gram stands there exactly three times, they are the usual ones.
    """
    once, twice, thrice, fourfold = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not min(once, twice, thrice, fourfold):
        return _USUAL_DISCOUNTS
    share = once / (once + 2 * twice)
    found = (
        1 - 2 * share * twice / once,
        2 - 3 * share * thrice / twice,
        3 - 4 * share * fourfold / thrice,
    )
    return found if min(found) > 0 else _USUAL_DISCOUNTS


def _flat(ids, row_splits, vocabulary_size):
    """All ids in one, int64 (N,), and each one's place in its document, int64 (N,)."""
    if row_splits is None:
        documents = [ids] if np.ndim(ids[0] if len(ids) else 0) == 0 else ids
        row_splits = np.cumsum([0, *map(len, documents)])
        filled = [np.asarray(document) for document in documents if len(document)]
        ids = np.concatenate(filled) if filled else np.zeros(0, np.int64)
    ids, row_splits = np.asarray(ids), np.asarray(row_splits)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(
            f"The ids are {ids.dtype} {ids.shape}; give whole numbers, all documents' in one "
            "array, or a list of one array for each document."
        )
    lengths = np.diff(row_splits)
    if not len(row_splits) or row_splits[0] or row_splits[-1] != len(ids) or (lengths < 0).any():
        raise ValueError(
            f"The row splits do not fit the {len(ids):,} ids; they begin with 0, never fall, and "
            "end with the number of ids."
        )
    if len(ids) and not 0 <= ids.min() <= ids.max() < vocabulary_size:
        raise ValueError(
            f"The ids go from {ids.min()} to {ids.max()}; in a vocabulary of {vocabulary_size:,} "
            f"they are from 0 to {vocabulary_size - 1:,}."
        )
    return ids.astype(np.int64), np.arange(len(ids)) - np.repeat(row_splits[:-1], lengths)
