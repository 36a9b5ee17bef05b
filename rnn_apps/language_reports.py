"""How a language model is judged: every token of whole texts, beside n-grams of the same tokens."""

import numpy as np
import tensorflow as tf

from rnn_apps.evaluation import language
from rnn_apps.preprocessing.text import PADDING, utf8

_TOGETHER = 16  # texts


def predicted(model, texts):
    """Log-probabilities of every token of raw texts, each read from an empty state.

    Args:
        model: `rnn_apps.LanguageModel`.
        texts: sequence of str or bytes.

    Returns:
        `rnn_apps.evaluation.language.Scored`.
    """
    rows = tokens(model, texts)
    lengths = rows.row_lengths().numpy()
    specs = [tf.TensorSpec([None, None], tf.int32)]
    judge = tf.function(model.log_probabilities, input_signature=specs, autograph=False)
    found = [None] * len(lengths)
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), _TOGETHER):
        batch = order[start : start + _TOGETHER]
        logs = judge(tf.gather(rows, batch).to_tensor(PADDING)).numpy()
        for number, row in zip(batch, logs, strict=True):
            found[number] = row[: lengths[number] - 1]
    return language.Scored(np.concatenate(found), np.cumsum([0, *(lengths - 1)]))


def tokens(model, texts):
    """The token ids of raw texts, int32 ragged (N, None), begin and end ids among them."""
    return model.tokenizer.tokenize(tf.constant(utf8(texts)))


def counts(model, texts):
    """How often each token stands in raw texts: list of V int."""
    token_ids = tokens(model, texts).flat_values.numpy()
    return np.bincount(token_ids, minlength=model.tokenizer.num_pieces).tolist()


def report(model, texts, train, beside, source, seed):
    """Judges a language model by perplexity.

    Args:
        model: `rnn_apps.LanguageModel`.
        texts: test texts.
        train: training texts to count n-grams in, or None for none.
        beside: {name: another language model}, or None.
        source: str, the name of the test data.
        seed: int, of the bootstrap.

    Returns:
        `rnn_apps.evaluation.report.Report`.
    """
    found = {}
    if train is not None:
        seen, test = tokens(model, train), tokens(model, texts)
        found = language.ngram_baselines(
            seen.flat_values.numpy(),
            test.flat_values.numpy(),
            model.tokenizer.num_pieces,
            train_splits=seen.row_splits.numpy(),
            test_splits=test.row_splits.numpy(),
        )
    found |= {name: predicted(other, texts) for name, other in (beside or {}).items()}
    decoded = [text.decode("utf-8", "replace") for text in utf8(texts)]
    ends = [1 + text.count("\n") * model.line_breaks for text in decoded]
    return language.judge(
        predicted(model, texts),
        *language.count(decoded, ends),
        baselines=found,
        data=source,
        application=type(model).__name__,
        seed=seed,
    )
