"""What a classifier has to beat: the most frequent class, and a linear model on words."""

from collections.abc import Sequence

import numpy as np

from rnn_apps.evaluation.labels import check_labels

_ENOUGH = 1000  # training texts; from here on a term must stand in two of them


def majority_class(train_labels: Sequence[int], num_classes: int, examples: int) -> np.ndarray:
    """Answer every example with the shares of the classes in training: the most frequent one wins.

    Args:
        train_labels: int (any number,), indices of classes.
        num_classes: C.
        examples: N, how many answers to give.

    Returns:
        float64 (N, C), all rows the same.

    Raises:
        ValueError: there is no training label, or one is no index.

    Example:
        >>> majority_class([0, 1, 1, 1], num_classes=2, examples=1)
        array([[0.25, 0.75]])
    """
    labels = check_labels(train_labels, range(num_classes))
    shares = np.bincount(labels, minlength=num_classes) / len(labels)
    return np.tile(shares, (examples, 1))


def tfidf_logistic_regression(
    train_texts: Sequence[str],
    train_labels: Sequence[int],
    texts: Sequence[str],
    num_classes: int,
) -> np.ndarray:
    """Answer with a logistic regression on the words and word pairs of a text.

    Weights are TF-IDF with sublinear term frequency, C is 10; with 1,000 training texts or more, a
    term must stand in two of them. Training texts that are also asked for are left out.

    Args:
        train_texts: the training texts.
        train_labels: int, index of the class of each.
        texts: the N texts to answer.
        num_classes: C.

    Returns:
        float64 (N, C). Without two classes or a single word to learn from: `majority_class`.

    Raises:
        ValueError: texts and labels differ in number, or no training text is left.

    Example:
        >>> answers = tfidf_logistic_regression(["so good", "too bad"], [1, 0], ["good film"], 2)
        >>> int(answers.argmax())
        1
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    labels = check_labels(train_labels, range(num_classes))
    if len(train_texts) != len(labels):
        raise ValueError(
            f"{len(train_texts)} training texts came with {len(labels)} labels; "
            "give one label per text."
        )
    asked = set(texts)
    kept = [row for row, text in enumerate(train_texts) if text not in asked]
    if not kept:
        raise ValueError(
            "Every training text is also among the texts to judge on, so a baseline "
            "has nothing to learn from; judge on other texts than those of training."
        )
    kept_texts, labels = [train_texts[row] for row in kept], labels[kept]
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        decode_error="replace",
        min_df=2 if len(kept) >= _ENOUGH else 1,
    )
    try:
        features = vectorizer.fit_transform(kept_texts)
    except ValueError:  # no text has a word
        return majority_class(labels, num_classes, len(texts))
    present = np.unique(labels)
    if len(present) < 2:
        return majority_class(labels, num_classes, len(texts))
    # The dual is the fastest of those that converge here, but knows two classes only.
    settings = {"solver": "liblinear", "dual": True} if len(present) == 2 else {"max_iter": 1000}
    model = LogisticRegression(C=10, random_state=0, **settings).fit(features, labels)
    answers = np.zeros((len(texts), num_classes))
    answers[:, present] = model.predict_proba(vectorizer.transform(texts))
    return answers
