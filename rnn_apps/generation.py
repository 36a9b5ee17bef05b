"""Texts read and continued by a network of next tokens: what a language model's answers share."""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from rnn_apps.blocks.beam_search import beam_search
from rnn_apps.blocks.decoding import Decoded, sample
from rnn_apps.preprocessing.levels import TextTokenizer
from rnn_apps.preprocessing.text import BEGIN, END, PADDING, UNKNOWN, utf8

NEVER_WRITTEN = (PADDING, UNKNOWN, BEGIN)
"""Ids that no answer holds."""

SETTINGS = {
    "length": tf.TensorSpec([None], tf.int32, name="length"),
    "temperature": tf.TensorSpec([None], tf.float32, name="temperature"),
    "seed": tf.TensorSpec([None], tf.int32, name="seed"),
}
"""What a request to continue a text holds beside the text."""

_COLDEST = 1e-6  # a temperature at which the likeliest token has all of the probability


@dataclasses.dataclass(frozen=True)
class Prompt:
    """Texts read up to their last token.

    Attributes:
        token_ids: int32 (B, T), from the begin id to the last token of the text, padded with 0.
        length: int32 (B,), how many they are; 1 for an empty text.
        state: nest of floating (B, …), before the last token.
    """

    token_ids: tf.Tensor
    length: tf.Tensor
    state: object

    @property
    def last(self):
        """The last token of each, int32 (B,)."""
        return tf.gather(self.token_ids, self.length - 1, batch_dims=1)


@dataclasses.dataclass(frozen=True)
class Generator:
    """Reading and continuing texts.

    Attributes:
        tokenizer: `TextTokenizer`.
        hidden: `(token_ids (B, T), state, mask) → (hidden (B, T, E), state)`.
        logits: hidden (…, E) → float32 (…, V).
    """

    tokenizer: TextTokenizer
    hidden: Callable
    logits: Callable

    def read(self, text):
        """Reads raw texts, string (B,); returns a `Prompt`."""
        token_ids = self.tokenizer.encode(text)
        token_ids = tf.where(token_ids == END, PADDING, token_ids)
        length = tf.reduce_sum(tf.cast(token_ids != PADDING, tf.int32), -1)
        earlier = tf.sequence_mask(length - 1, tf.shape(token_ids)[1])
        return Prompt(token_ids, length, self.hidden(token_ids, None, earlier)[1])

    def step(self, token_ids, state):
        """A step of the decoding blocks: int32 (B, K) → logits (B, K, V), state, None."""
        hidden, state = self.hidden(tf.reshape(token_ids, [-1, 1]), state, None)
        logits = self.logits(hidden)
        shape = tf.concat([tf.shape(token_ids), [logits.shape[-1]]], 0)
        return tf.reshape(logits, shape), state, None

    def likeliest(self, text, count):
        """The likeliest next tokens of raw texts, string (B,), and their probabilities, (B, K)."""
        prompt = self.read(text)
        logits, _, _ = self.step(prompt.last[:, None], prompt.state)
        shares = tf.nn.softmax(logits[:, 0])
        never = tf.reduce_sum(tf.one_hot(NEVER_WRITTEN, shares.shape[1]), 0) > 0
        count = min(count, shares.shape[1] - len(NEVER_WRITTEN))
        found, ids = tf.math.top_k(tf.where(never, -1.0, shares), count)
        return {"tokens": self.tokenizer.surfaces(ids), "probabilities": found}

    def drawn(self, text, length, temperature, seed, top_k, top_p):
        """Continues raw texts, string (B,), by drawing; arguments as of `draw`."""
        prompt = self.read(text)
        found = self.draw(prompt.last, prompt.state, length, temperature, seed, top_k, top_p)
        return self.continuation(prompt, found)

    def searched(self, text, length, beams):
        """Continues raw texts, string (B,), by what is found likeliest by so many beams."""
        prompt = self.read(text)
        found = beam_search(
            self.step,
            prompt.state,
            begin=prompt.last,
            end=END,
            max_length=length,
            beams=beams,
            n_best=1,
            suppress=NEVER_WRITTEN,
            padding=PADDING,
        )
        best = found.token_ids[:, 0], found.lengths[:, 0], found.scores[:, 0]
        return self.continuation(prompt, Decoded(*best, prompt.state))

    def pieces(self, text, length, temperature, seed, top_k, top_p):
        """Yields, token by token, what `drawn` writes behind one text.

        Args:
            text: str.
            length: int, the most tokens.
            temperature: float.
            seed: int.
            top_k: int or None.
            top_p: float.

        Yields:
            str, never empty.
        """
        how = tf.constant([float(temperature)]), tf.constant([seed]), top_k, top_p
        prompt = self.read(tf.constant(utf8([text])))
        last, state, ids, shown = prompt.last, prompt.state, [], ""
        while len(ids) < length and END not in ids:
            found = self._draw_one(last, state, tf.constant([1]), *how, tf.constant(len(ids)))
            last, state = found.token_ids[:, 0], found.state
            ids.append(int(last[0]))
            so_far = found._replace(token_ids=tf.constant([ids]), lengths=tf.constant([len(ids)]))
            written = self.continuation(prompt, so_far)["continuation"].numpy()[0]
            whole = written.decode("utf-8", "replace")
            finished = len(ids) == length or ids[-1] == END
            # What ends in the first bytes of a character waits for the others.
            so_far = whole if finished else whole.rstrip("\ufffd")
            if so_far != shown:
                yield so_far[len(shown) :]
                shown = so_far

    @functools.cached_property
    def _draw_one(self):
        return tf.function(self.draw, autograph=False)

    def draw(self, last, state, length, temperature, seed, top_k, top_p, written=0):
        """Draws tokens behind the last one.

        Args:
            last: int32 (B,).
            state: nest of floating (B, …), before it.
            length: int32 (B,), the most tokens.
            temperature: float32 (B,); 0 for always the likeliest token.
            seed: int32 (B,).
            top_k: int or None.
            top_p: float.
            written: int, how many were drawn before with this seed.

        Returns:
            `rnn_apps.blocks.Decoded`.
        """
        return sample(
            self.step,
            state,
            begin=last,
            end=END,
            max_length=length,
            temperature=tf.maximum(temperature, _COLDEST),
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            skip=written,
            suppress=NEVER_WRITTEN,
            padding=PADDING,
        )

    def continuation(self, prompt, found):
        """Tells what was written behind a prompt.

        Returns:
            continuation: string (B,), what follows the text as the tokenizer gives it back.
            length: int32 (B,), its tokens, the end of the text among them.
            score: float32 (B,), its log-probability.
        """
        before = tf.RaggedTensor.from_tensor(prompt.token_ids, lengths=prompt.length)
        written = tf.RaggedTensor.from_tensor(found.token_ids, lengths=found.lengths)
        start = tf.strings.length(self.tokenizer.detokenize(before))
        whole = self.tokenizer.detokenize(tf.concat([before, written], 1))
        rest = tf.strings.substr(whole, start, tf.strings.length(whole))
        return {"continuation": rest, "length": found.lengths, "score": found.scores}


def check(length, longest, temperature, top_k, top_p, beams):
    """Refuses settings of a continuation that are out of their range.

    Args:
        length: int from 1 to `longest`.
        longest: int.
        temperature: float, at least 0.
        top_k: int, at least 1, or None.
        top_p: float in (0, 1], or None.
        beams: int, at least 1, or None.

    Raises:
        ValueError: if one of them is not so.

    Example:
        >>> check(20, 256, 1.0, None, 0.9, None)
    """
    if not (isinstance(length, int) and 1 <= length <= longest):
        raise ValueError(
            f"length={length!r} is out of range; give an integer from 1 to {longest}, or make a "
            "model with a greater `longest`."
        )
    if not temperature >= 0:
        raise ValueError(
            f"temperature={temperature!r} is out of range; give 1 for the model's own "
            "probabilities, less for likelier tokens, 0 for always the likeliest."
        )
    check_counts(top_k=top_k, beams=beams)
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(
            f"top_p={top_p!r} is out of range; give a share above 0 and at most 1, or None."
        )


def check_counts(**counts):
    """Refuses a number that is not 1 or more; None stands for none.

    Raises:
        ValueError: if one of them is not so.

    Example:
        >>> check_counts(steps=64, sampled_words=None)
    """
    for name, value in counts.items():
        if value is not None and not (isinstance(value, int) and value >= 1):
            raise ValueError(f"{name}={value!r} is out of range; give 1 or more.")


def records(texts, answers):
    """Rows for files and the command line: one for each next token of each text, best first.

    Args:
        texts: N texts, str or bytes.
        answers: "tokens", str (N, K), and "probabilities", float (N, K).

    Returns:
        List of N·K dicts.

    Example:
        >>> records(["a"], {"tokens": [[" b"]], "probabilities": [[0.5]]})
        [{'next': ' b', 'probability': 0.5, 'rank': 1, 'text': 'a'}]
    """
    decoded = [text.decode("utf-8", "replace") for text in utf8(texts)]
    rows = zip(decoded, answers["tokens"], answers["probabilities"], strict=True)
    return [
        {"next": token, "probability": float(share), "rank": rank + 1, "text": text}
        for text, tokens, shares in rows
        for rank, (token, share) in enumerate(zip(tokens, shares, strict=True))
    ]
