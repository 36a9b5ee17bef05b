"""Texts from a decoder: what all applications that write share."""

import dataclasses

import numpy as np
import tensorflow as tf

from rnn_apps.blocks.beam_search import NO_SCORE, beam_search
from rnn_apps.blocks.vocabulary_loss import vocabulary_loss
from rnn_apps.export import Endpoint
from rnn_apps.preprocessing.text import BEGIN, END, PADDING, UNKNOWN, SubwordTokenizer

_VALIDATED = 500  # validation examples that are written after each epoch


@dataclasses.dataclass(frozen=True)
class Writer:
    """Beam search over a decoder, and the texts that it finds.

    Attributes:
        decoder: `rnn_apps.blocks.AttentionDecoder`.
        tokenizer: of what is written.
        beams: int, K, the most beams.
        length_penalty: float, exponent of the length normalisation (Wu et al., 2016, equation 14).
        coverage_penalty: float, weight of the coverage penalty (the same equation).
        no_repeat_ngram: int, length of n-grams that a text has only once; 0 for no rule.
    """

    decoder: object
    tokenizer: SubwordTokenizer
    beams: int
    length_penalty: float
    coverage_penalty: float
    no_repeat_ngram: int

    def search(self, memory, mask, room, empty, *, n_best=None, **how):
        """Searches for the likeliest texts.

        Args:
            memory: floating (B, T, M), what the decoder reads.
            mask: bool (B, T), or None.
            room: int32 (B,) or int, the most subwords of a text, the end token among them.
            empty: bool (B,), whether a row is to be answered with an empty text.
            n_best: int or None, hypotheses to return; None for `beams`.
            **how: `beam_size` int32 (B,) and `length_penalty` float32 (B,), where they are not
                those of all rows.

        Returns:
            `rnn_apps.blocks.Beams`; an empty text has one hypothesis, of length and score 0.
        """
        found = beam_search(
            self.decoder.stepper(memory, mask),
            self.decoder.start(memory, mask),
            begin=BEGIN,
            end=END,
            max_length=room,
            beams=self.beams,
            coverage_penalty=self.coverage_penalty if self.decoder.attention else 0.0,
            memory_mask=mask,
            no_repeat_ngram=self.no_repeat_ngram,
            suppress=(PADDING, UNKNOWN, BEGIN),
            n_best=n_best,
            padding=PADDING,
            **{"length_penalty": self.length_penalty, **how},
        )
        rest = tf.range(tf.shape(found.lengths)[1]) > 0
        return found._replace(
            token_ids=tf.where(empty[:, None, None], PADDING, found.token_ids),
            lengths=tf.where(empty[:, None], 0, found.lengths),
            scores=tf.where(
                empty[:, None], tf.where(rest, tf.constant(NO_SCORE), 0.0), found.scores
            ),
            count=tf.where(empty, 1, found.count),
        )

    def texts(self, found):
        """Decodes `Beams`: string (B, N), "" where there is no hypothesis."""
        ids = tf.reshape(found.token_ids, [-1, tf.shape(found.token_ids)[2]])
        rows = tf.RaggedTensor.from_tensor(ids, lengths=tf.reshape(found.lengths, [-1]))
        texts = tf.reshape(self.tokenizer.detokenize(rows), tf.shape(found.lengths))
        return tf.ensure_shape(texts, found.lengths.shape)

    def attention(self, found, memory, mask):
        """Tells where the decoder looked when it wrote the best hypothesis.

        Returns:
            Subwords, string (B, U), "" beyond the length; their number, int32 (B,); and what each
            attended to, float32 (B, U, T), zeros beyond the length.
        """
        token_ids, length = found.token_ids[:, 0], found.lengths[:, 0]
        before = tf.pad(token_ids[:, :-1], [[0, 0], [1, 0]], constant_values=BEGIN)
        _, weights = self.decoder.hidden(before, memory, mask, return_weights=True)
        real = tf.sequence_mask(length, tf.shape(token_ids)[1])
        weights = tf.cast(weights, tf.float32) * tf.cast(real, tf.float32)[..., None]
        return self.tokenizer.pieces(token_ids), length, weights


def loss(model, hidden, targets, weights, training):
    """Mean cross-entropy of what the decoder of an application gave, smoothed in training only.

    Args:
        model: the application; has `decoder` and `label_smoothing`.
        hidden: floating (B, U, E).
        targets: int32 (B, U), the subwords that were to come, padded with 0.
        weights: float32 (B,), the weight of each text, or None.
        training: bool, whether gradients will be asked for.

    Returns:
        float32 (), in nats for each subword; and what layers have added for the call.
    """
    entropy = vocabulary_loss(
        hidden,
        targets,
        *model.decoder.output_weights(),
        mask=targets != PADDING,
        weights=weights,
        label_smoothing=model.label_smoothing if training else 0.0,
        training=training,
    )
    return tf.add_n([entropy, *model.losses])


def at_real_places(decoder, hidden, targets, weights):
    """What Keras's losses and metrics take in place of hidden vectors, padding left out.

    Returns:
        For each of the P subwords that were to come: their ids, int32 (P,); logits, float32 (P, V);
        and weights, float32 (P,), or None where texts have none.
    """
    real = targets != PADDING
    if weights is not None:
        of_rows = tf.cast(weights, tf.float32)[:, None]
        weights = tf.boolean_mask(tf.broadcast_to(of_rows, tf.shape(targets)), real)
    return tf.boolean_mask(targets, real), decoder.logits(tf.boolean_mask(hidden, real)), weights


def fitted(values, *sizes):
    """Cuts or pads (B, …) to fixed sizes of the dimensions after the first.

    Args:
        values: a tensor of strings (padded with "") or numbers (padded with 0).
        *sizes: int, one for each of those dimensions.

    Returns:
        A tensor of the same kind, of the shape (B, *sizes).

    Example:
        >>> fitted(tf.constant([["a", "b", "c"]]), 2).numpy().tolist()
        [[b'a', b'b']]
    """
    values = values[(slice(None), *(slice(size) for size in sizes))]
    beyond = [[0, 0]] + [[0, size - tf.shape(values)[n + 1]] for n, size in enumerate(sizes)]
    filled = tf.pad(values, beyond, constant_values="" if values.dtype == tf.string else 0)
    return tf.ensure_shape(filled, [None, *sizes])


def endpoints(model, attention):
    """The signatures that an application that writes has beside `serving_default`.

    Args:
        model: the application; has `n_best`, `beams`, `length_penalty` and `request`.
        attention: the function behind the signature `attention`, or None for none.

    Returns:
        {name: `rnn_apps.export.Endpoint`}.
    """
    examples = model.example_requests()
    options = {
        "beam_size": tf.TensorSpec([None], tf.int32, name="beam_size"),
        "length_penalty": tf.TensorSpec([None], tf.float32, name="length_penalty"),
    }
    settings = {"beam_size": [model.beams], "length_penalty": [model.length_penalty]}
    found = {
        "n_best": Endpoint(
            model.n_best, model.request | options, [one | settings for one in examples]
        )
    }
    if attention is not None:
        found["attention"] = Endpoint(attention, model.request, examples)
    return found


def unevenness(weights, real):
    """How far attention is from looking at every place equally often, by the square.

    The doubly stochastic penalty of Xu et al., 2015, section 4.2.1.

    Args:
        weights: floating (B, U, T), what each step attended to.
        real: bool (B, U), False at padding.

    Returns:
        float32 (), the sum over places of (1 - the sum over steps)², a mean over rows that have a
        real step.

    Example:
        >>> weights = tf.constant([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])
        >>> float(unevenness(weights, tf.constant([[True, True], [True, True]])))
        1.0
    """
    steps = tf.cast(real, tf.float32)
    looked = tf.einsum("but,bu->bt", tf.cast(weights, tf.float32), steps)
    rows = tf.cast(tf.reduce_any(real, -1), tf.float32)
    squares = tf.reduce_sum(tf.square(1 - looked), -1) * rows
    return tf.reduce_sum(squares) / tf.maximum(tf.reduce_sum(rows), 1)


def validated(count):
    """Numbers of the validation examples that are written anew after each epoch, evenly apart.

    Args:
        count: int, how many examples there are, 1 at least.

    Returns:
        int array, in ascending order; of up to 500 examples all.

    Example:
        >>> validated(3).tolist(), len(validated(2000))
        ([0, 1, 2], 500)
    """
    return np.unique(np.linspace(0, count - 1, _VALIDATED).round().astype(int))


def written_beside(beside, x, name):
    """What others write of the same requests.

    Args:
        beside: {name: another application, or the list of N texts that it gave}, or None.
        x: N requests.
        name: of the output that holds the texts.

    Returns:
        {name: list of N str}.

    Example:
        >>> written_beside({"another person": ["a dog"]}, [b"(a PNG)"], "caption")
        {'another person': ['a dog']}
    """
    return {
        who: other if isinstance(other, list) else other.predict(x)[name].tolist()
        for who, other in (beside or {}).items()
    }


def answers(model, request, batch_size, *, n_best, beam_size, length_penalty, verbose):
    """Answers with one setting of the search for all requests.

    Args:
        model: the application; has `beams` and `length_penalty`.
        request: {input: array (N, …)}.
        batch_size: int, requests answered at a time.
        n_best: int or None, hypotheses wanted of each; None for the best alone, without a count.
        beam_size: int or None, beams; None for the model's.
        length_penalty: float or None; None for the model's.
        verbose: as for `Application.predict`.

    Returns:
        The outputs of `answer`, (N,); or where `n_best` is given those of the signature of that
        name, (N, n_best), with a count.

    Raises:
        ValueError: if `beam_size` or `n_best` is out of its range.
    """
    if n_best is None and beam_size is None and length_penalty is None:
        return model.answers(request, batch_size, verbose=verbose)
    beam_size = model.beams if beam_size is None else beam_size
    limits = (("beam_size", beam_size, model.beams), ("n_best", n_best, beam_size))
    for name, value, most in limits:
        if value is not None and not 1 <= value <= most:
            raise ValueError(
                f"{name}={value} is out of range; give a number from 1 to {most}, or make a model "
                "with more beams."
            )
    count = len(next(iter(request.values())))
    alpha = model.length_penalty if length_penalty is None else length_penalty
    request = request | {
        "beam_size": np.full(count, beam_size),
        "length_penalty": np.full(count, alpha),
    }
    found = model.answers(request, batch_size, signature="n_best", verbose=verbose)
    several = {name for name, values in found.items() if values.ndim > 1}
    if n_best is None:
        return {
            name: values[:, 0] if name in several else values
            for name, values in found.items()
            if name != "count"
        }
    found["count"] = np.minimum(found["count"], n_best)
    return {
        name: values[:, :n_best] if name in several else values for name, values in found.items()
    }


def records(name, requests, answers):
    """Rows for files and the command line, of the answers of an application that writes.

    Args:
        name: of the output that holds the texts.
        requests: {column: N values} that a row names its request by.
        answers: outputs (N,); or with several hypotheses of each, (N, K) and a "count" (N,).

    Returns:
        One dict per hypothesis: of one each text, score and request; of several with the request's
        number and the hypothesis's rank before them, both from 1.

    Example:
        >>> records("caption", {"file": ["a.png"]}, {"caption": ["A dog."], "score": [-0.5]})
        [{'caption': 'A dog.', 'score': -0.5, 'file': 'a.png'}]
    """
    asked = [dict(zip(requests, row, strict=True)) for row in zip(*requests.values(), strict=True)]
    texts, scores = answers[name], answers["score"]
    if "count" not in answers:
        return [
            {name: text, "score": float(score), **request}
            for text, score, request in zip(texts, scores, asked, strict=True)
        ]
    return [
        {"request": number + 1, "rank": rank + 1}
        | {name: texts[number][rank], "score": float(scores[number][rank])}
        | request
        for number, request in enumerate(asked)
        for rank in range(answers["count"][number])
    ]
