"""Modified Kneser-Ney is the textbook's formula, and a distribution whatever text it was given."""

import gzip
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_apps.evaluation.ngrams import KneserNey, Unigram

PENN_TREEBANK = Path(__file__).parents[1] / "../shared/data/language"
SIZE = 6  # tokens of the vocabulary; 0 stands at the beginning of documents
DOCUMENT = st.lists(st.integers(1, SIZE - 1), max_size=12).map(lambda ids: [0, *ids])
DOCUMENTS = st.lists(DOCUMENT, min_size=1, max_size=8).filter(
    lambda documents: max(map(len, documents)) > 1
)


def sentences(count=120, seed=0):
    """Documents in which what follows hangs on several tokens, some far more frequent."""
    random = np.random.default_rng(seed)
    tokens = np.minimum(random.geometric(0.3, (count, 9)), SIZE - 1)
    tokens[:, 2::3] = (tokens[:, ::3] + tokens[:, 1::3]) % (SIZE - 1) + 1
    return [[0, *row[: random.integers(1, 10)]] for row in tokens.tolist()]


class Textbook:
    """The same model, one n-gram after the other, with dictionaries of tuples."""

    def __init__(self, documents, size, order):
        self.size, self.order = size, order
        self.counts, self.taken = {}, {}
        for length in range(1, order + 1):
            stands, before = Counter(), {}
            for ids in documents:
                for end in range(max(length, 2), len(ids) + 1):
                    gram = tuple(ids[end - length : end])
                    at_beginning = end == length
                    stands[gram] += length == order or at_beginning
                    before.setdefault(gram, set()).update(
                        () if at_beginning else [ids[-1 + end - length]]
                    )
            counts = {
                gram: stands[gram] + (len(before[gram]) if length < order else 0) for gram in before
            }
            self.counts[length] = counts
            of_counts = Counter(counts.values())
            n1, n2, n3, n4 = (of_counts[k] for k in (1, 2, 3, 4))
            taken = (0.5, 1.0, 1.5)
            if n1 and n2 and n3 and n4:
                y = n1 / (n1 + 2 * n2)
                found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
                taken = found if min(found) > 0 else taken
            self.taken[length] = taken

    def probability(self, context, token):
        return self._probability(tuple(context)[max(0, len(context) - self.order + 1) :], token)

    def _probability(self, context, token):
        length = len(context) + 1
        counts, taken = self.counts[length], self.taken[length]
        below = self._probability(context[1:], token) if context else 1 / self.size
        following = [counts.get((*context, each), 0) for each in range(self.size)]
        if not sum(following):
            return below
        removed = [taken[min(count, 3) - 1] if count else 0 for count in following]
        own = following[token] - removed[token]
        return (own + sum(removed) * below) / sum(following)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_is_the_formula_of_the_textbook(order):
    documents, others = sentences(), sentences(20, seed=1)
    model, slow = KneserNey.fit(documents, SIZE, order), Textbook(documents, SIZE, order)
    found = model.log_probabilities(others)
    expected = [slow.probability(ids[:k], ids[k]) for ids in others for k in range(1, len(ids))]
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-10)
    usual = [each.discounts == (0.5, 1.0, 1.5) for each in model.orders]
    assert order < 3 or not all(usual)  # the equation's discounts were tried, too
    for length, each in enumerate(model.orders, 1):
        assert each.discounts == pytest.approx(slow.taken[length])


@settings(max_examples=150, deadline=None)
@given(documents=DOCUMENTS, context=DOCUMENT, order=st.integers(1, 5))
def test_probabilities_are_above_zero_and_add_up_to_one(documents, context, order):
    model = KneserNey.fit(documents, SIZE, order)
    for some in (context, context[1:] or [0], documents[0], [SIZE - 1] * 5):
        found = model.probabilities(some)
        assert found.shape == (SIZE,) and found.min() > 0
        assert found.sum() == pytest.approx(1, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(documents=DOCUMENTS, others=DOCUMENTS, order=st.integers(1, 4))
def test_any_text_however_small_agrees_with_the_textbook(documents, others, order):
    slow = Textbook(documents, SIZE, order)
    expected = [slow.probability(ids[:k], ids[k]) for ids in others for k in range(1, len(ids))]
    model = KneserNey.fit(documents, SIZE, order)
    np.testing.assert_allclose(np.exp(model.log_probabilities(others)), expected, rtol=1e-10)
    after = [slow.probability(others[0], token) for token in range(SIZE)]
    np.testing.assert_allclose(model.probabilities(others[0]), after, rtol=1e-10)


def test_no_ngram_reaches_from_one_document_into_another():
    apart = KneserNey.fit([[0, 1, 2], [0, 3, 4]], SIZE, 2)
    together = KneserNey.fit([[0, 1, 2, 0, 3, 4]], SIZE, 2)
    assert len(apart.orders[1].keys) == 4 and len(together.orders[1].keys) == 5
    alone = KneserNey.fit(sentences(), SIZE).log_probabilities([[0, 1, 2], [0, 3]])
    one_by_one = [
        KneserNey.fit(sentences(), SIZE).log_probabilities(t) for t in ([0, 1, 2], [0, 3])
    ]
    np.testing.assert_array_equal(alone, np.concatenate(one_by_one))


@pytest.mark.parametrize("fit", [partial(KneserNey.fit, order=3), Unigram.fit])
def test_documents_may_come_apart_or_in_one_with_their_beginnings(fit):
    documents = [*sentences(), [], [0]]
    flat = np.array([token for ids in documents for token in ids], np.int32)
    row_splits = np.cumsum([0, *map(len, documents)])
    expected = fit(documents, SIZE).log_probabilities(documents)
    found = fit(flat, SIZE, row_splits=row_splits).log_probabilities(flat, row_splits)
    np.testing.assert_array_equal(found, expected)
    assert len(found) == len(flat) - len(documents) + 1  # one document is empty
    assert len(fit(documents, SIZE).log_probabilities([])) == 0
    one = fit(flat, SIZE)
    np.testing.assert_array_equal(one.log_probabilities(flat), one.log_probabilities([flat]))


def test_where_counts_of_counts_are_lacking_the_usual_discounts_are_taken():
    model = KneserNey.fit([[0, 1, 2, 3, 4]], SIZE, 3)  # nothing stands twice
    assert [order.discounts for order in model.orders] == [(0.5, 1.0, 1.5)] * 3
    after = model.probabilities([0, 1])
    assert after.argmax() == 2 and after.min() > 0
    rising = [[0, *[1] * k] for k in range(1, 6)]
    assert all(min(order.discounts) > 0 for order in KneserNey.fit(rising, SIZE).orders)


def test_discounts_that_would_leave_nothing_for_the_unseen_are_not_taken():
    """One token stands once, one twice, four thrice and three four times: D2 would be -2."""
    counts = [1, 2, 3, 3, 3, 3, 4, 4, 4]
    ids = [0, *(token for token, count in enumerate(counts, 1) for _ in range(count))]
    model = KneserNey.fit([ids], 11, order=1)
    assert model.orders[0].discounts == (0.5, 1.0, 1.5)
    assert model.probabilities([0])[10] > 0


def test_a_unigram_model_adds_one_to_every_count():
    model = Unigram.fit([[0, 1, 1, 2], [0, 1]], 4)
    np.testing.assert_allclose(np.exp(model.logarithms), np.array([1, 4, 2, 1]) / 8)
    np.testing.assert_allclose(np.exp(model.log_probabilities([[3, 1, 0]])), [0.5, 0.125])


@pytest.mark.parametrize(
    ("ids", "row_splits", "said"),
    [
        ([0, 9], None, "from 0 to 9; in a vocabulary of 6"),
        ([0, -1], None, "from -1 to 0"),
        ([0.5, 1.0], None, "give whole numbers"),
        ([0, 1], [0, 1], "do not fit the 2 ids"),
        ([0, 1], [0, 2, 1, 2], "never fall"),
        ([[0], [1]], None, "No document has a second token"),
        ([], None, "No document has a second token"),
    ],
)
def test_what_is_no_text_is_refused(ids, row_splits, said):
    with pytest.raises(ValueError, match=said):
        KneserNey.fit(ids, SIZE, row_splits=row_splits)
    with pytest.raises(ValueError, match="order is 0"):
        KneserNey.fit([0, 1], SIZE, order=0)
    with pytest.raises(ValueError, match="No context came"):
        KneserNey.fit([0, 1], SIZE).probabilities([])


@pytest.mark.slow
@pytest.mark.skipif(not PENN_TREEBANK.is_dir(), reason="the Penn Treebank is not there")
def test_it_reaches_the_published_perplexity_on_the_penn_treebank():
    """141.2 of a 5-gram in Mikolov et al. 2011, Empirical Evaluation and Combination, Table 1."""
    lines = {}
    for part in ("train", "test"):
        with gzip.open(PENN_TREEBANK / f"ptb.{part}.txt.gz", "rt") as file:
            lines[part] = [[*line.split(), "<eos>"] for line in file]
    words = {word: k for k, word in enumerate(sorted({w for row in lines["train"] for w in row}))}
    ids = {
        part: [[len(words), *(words[word] for word in row)] for row in rows]
        for part, rows in lines.items()
    }
    start = time.perf_counter()
    model = KneserNey.fit(ids["train"], len(words) + 1)
    found = model.log_probabilities(ids["test"])
    assert len(found) == 82_430
    assert np.exp(-found.mean()) == pytest.approx(141.2, abs=0.1)
    assert time.perf_counter() - start < 30
