from collections import Counter

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from rnn_apps.data import reviews
from rnn_apps.data.tfds import fingerprint_splits


@pytest.fixture(scope="module")
def written():
    return {split: reviews.generate(split) for split in reviews.SIZES}


def test_the_reviews_are_always_the_same(written):
    columns = {
        split: dict(
            zip(("text", "label"), zip(*(row[:2] for row in rows), strict=True), strict=True)
        )
        for split, rows in written.items()
    }
    assert fingerprint_splits(columns) == reviews.BuiltinReviews.fingerprint
    assert reviews.generate("test") == written["test"]


def test_labels_are_balanced_and_no_text_stands_twice(written):
    texts = [text for rows in written.values() for text, _, _ in rows]
    assert len(set(texts)) == len(texts) == 6500
    for split, rows in written.items():
        count = Counter(label for _, label, _ in rows)
        assert count["positive"] == count["negative"] == reviews.SIZES[split] / 2


def test_no_pair_of_opinion_and_form_is_in_two_splits(written):
    pairs = {
        split: {pair for _, _, pairs in rows for pair in pairs} for split, rows in written.items()
    }
    assert min(map(len, pairs.values())) > 100
    assert not pairs["test"] & pairs["train"]
    assert not pairs["validation"] & (pairs["train"] | pairs["test"])
    for split, joined in pairs.items():
        assert {reviews.split_of(*pair) for pair in joined} == {split}


def test_every_opinion_and_every_form_of_the_test_split_is_known_from_training(written):
    def parts(split):
        return {part for _, _, pairs in written[split] for pair in pairs for part in pair}

    assert parts("test") <= parts("train")
    assert {opinion for opinion, _, _ in reviews.OPINIONS} <= parts("train")


def test_no_opinion_gives_the_label_away(written):
    count = Counter(
        (opinion, label)
        for _, label, pairs in written["train"]
        for opinion in {opinion for opinion, _ in pairs}
    )
    for opinion, _, _ in reviews.OPINIONS:
        positive, negative = count[opinion, "positive"], count[opinion, "negative"]
        assert 0.35 < positive / (positive + negative) < 0.65, opinion


@pytest.mark.parametrize(
    ("form", "said"),
    [("{aspect} {apart}", "the soup was not, to be honest, superb"), ("{aspect} {hardly}", None)],
)
def test_forms_turn_adjectives_and_verbs_into_english(form, said):
    adjective = form.format(
        aspect="the soup", **reviews._inflect("was superb", "be superb", "to be honest")
    )
    verb = form.format(
        aspect="the soup", **reviews._inflect("let me down", "let me down", "to be honest")
    )
    if said:
        assert adjective == said and verb == "the soup did not, to be honest, let me down"
    else:
        assert adjective == "the soup was hardly superb" and verb == "the soup hardly let me down"


def test_word_counts_are_not_enough(written):
    train, test = written["train"], written["test"]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = LogisticRegression(C=10, max_iter=1000)
    model.fit(vectorizer.fit_transform([row[0] for row in train]), [row[1] for row in train])
    accuracy = model.score(vectorizer.transform([row[0] for row in test]), [row[1] for row in test])
    assert 0.4 < accuracy < 0.7
