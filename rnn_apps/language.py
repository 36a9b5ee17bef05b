"""The language model: sequence → sequence. A text in; its next words, or how likely it is, out."""

import functools
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from rnn_apps import data, generation, language_reports, writing
from rnn_apps.application import Application
from rnn_apps.blocks.carried_state import CarriedState
from rnn_apps.blocks.log_probabilities import token_log_probabilities
from rnn_apps.blocks.recurrent import RecurrentStack
from rnn_apps.blocks.sampled_loss import sampled_loss, shares_of
from rnn_apps.blocks.tied_embedding import TiedEmbedding
from rnn_apps.blocks.vocabulary_loss import vocabulary_loss
from rnn_apps.export import Endpoint, graph_of
from rnn_apps.generation import Generator
from rnn_apps.preprocessing.levels import TextTokenizer
from rnn_apps.preprocessing.streams import TokenStreams
from rnn_apps.preprocessing.text import PADDING


@keras.saving.register_keras_serializable(package="rnn_apps")
class LanguageModel(Application):
    """Predicts each token of a text from all tokens before it.

    Token ids → embedding → recurrent stack → the embedding again, as the output projection. It
    trains on continuous streams by truncated backpropagation through time; a request begins anew.

    Args:
        level: "subword", "word" or "character": what a token is.
        vocabulary_size: int, the most tokens to learn.
        line_breaks: bool, whether a line break is a token; if not, it is a space.
        lowercase: bool, whether case is folded.
        cell: "lstm", "gru" or "simple_rnn".
        units: int, units of each recurrent layer.
        num_layers: int, recurrent layers.
        embedding_dim: int, size E of a vector, to which states are projected; None for `units`.
        embedding_scale: float, what goes in is multiplied by; None for √E, 1 for `optimizer="sgd"`.
        residual: bool, whether a layer's input is added to its output.
        dropout: float, dropout of what enters each recurrent layer and of what leaves the last,
            the same at every step of a batch (Gal and Ghahramani, 2016).
        embedding_dropout: float, share of the tokens whose vector is left out of a training batch.
        recurrent_dropout: float, dropout of the recurrent state.
        weight_dropout: float, share of the recurrent weights left out of a training batch (Merity
            et al., 2018, section 2).
        activation_penalty: float, weight in the loss of the mean square of the outputs that
            dropout leaves (the same, section 4.3).
        change_penalty: float, likewise of the mean square of their change from step to step.
        sampled_words: int or None. If given, training compares each token with so many, drawn
            for each batch by their frequencies, instead of with the whole vocabulary.
        steps: int, steps of backpropagation through time: the tokens of each stream in a batch.
        shown: int, how many next tokens an answer names.
        longest: int, the most tokens of a continuation.
        top_k: int or None, of how many tokens a continuation draws; None for all.
        top_p: float in (0, 1], the share of probability that it draws from (Holtzman et al., 2020).
        name: as in every Keras model.
        dtype: Keras dtype policy, such as "mixed_bfloat16"; None for Keras's own.

    Example:
        >>> model = LanguageModel(level="character", units=8, steps=8)
        >>> texts = ["to be or not to be", "that is the question"]
        >>> model.adapt(texts)
        >>> model.compile()
        >>> history = model.fit(texts, epochs=1, verbose=0)
        >>> sorted(model.predict(["to b"]))
        ['probabilities', 'tokens']
    """

    features = ("text",)
    request = {"text": tf.TensorSpec([None], tf.string, name="text")}

    def __init__(
        self,
        *,
        level: Literal["subword", "word", "character"] = "subword",
        vocabulary_size: int = 8000,
        line_breaks: bool = False,
        lowercase: bool = True,
        cell: Literal["lstm", "gru", "simple_rnn"] = "lstm",
        units: int = 256,
        num_layers: int = 1,
        embedding_dim: int | None = None,
        embedding_scale: float | None = None,
        residual: bool = False,
        dropout: float = 0.2,
        embedding_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        activation_penalty: float = 0.0,
        change_penalty: float = 0.0,
        sampled_words: int | None = None,
        steps: int = 64,
        shown: int = 10,
        longest: int = 256,
        top_k: int | None = None,
        top_p: float = 1.0,
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        generation.check(1, longest, 1.0, top_k, top_p, None)
        generation.check_counts(steps=steps, shown=shown, sampled_words=sampled_words)
        self.level = level
        self.vocabulary_size = vocabulary_size
        self.line_breaks = line_breaks
        self.lowercase = lowercase
        self.cell = cell
        self.units = units
        self.num_layers = num_layers
        self.embedding_dim = embedding_dim
        self.embedding_scale = embedding_scale
        self.residual = residual
        self.dropout = dropout
        self.embedding_dropout = embedding_dropout
        self.recurrent_dropout = recurrent_dropout
        self.weight_dropout = weight_dropout
        self.activation_penalty = activation_penalty
        self.change_penalty = change_penalty
        self.sampled_words = sampled_words
        self.steps = steps
        self.shown = shown
        self.longest = longest
        self.top_k = top_k
        self.top_p = top_p
        self.tokenizer = TextTokenizer(
            vocabulary_size,
            level=level,
            line_breaks=line_breaks,
            lowercase=lowercase,
            name="tokenizer",
        )

    @classmethod
    def load(cls, source, **options):
        """Loads texts by name, as `rnn_apps.data.load_texts` does."""
        return data.load_texts(source, **options)

    def learn(self, columns):
        """Learns the tokens, and how often each stands there if words are to be drawn."""
        self.tokenizer.adapt(columns["text"])
        counts = language_reports.counts(self, columns["text"]) if self.sampled_words else None
        return {"num_pieces": self.tokenizer.num_pieces, "counts": counts}

    def assemble(self, num_pieces, counts=None):
        """Makes the layers and builds them."""
        settings = {"dtype": self.dtype_policy}
        width = self.embedding_dim or self.units
        self.embedding = TiedEmbedding(
            num_pieces,
            width,
            scale=self.embedding_scale,
            row_dropout=self.embedding_dropout,
            name="embedding",
            **settings,
        )
        self.recurrent = RecurrentStack(
            self.cell,
            self.units,
            num_layers=self.num_layers,
            residual=self.residual,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            weight_dropout=self.weight_dropout,
            returns="both",
            name="recurrent",
            **settings,
        )
        self.projection = None
        if width != self.units:
            self.projection = keras.layers.Dense(width, name="projection", **settings)
        self.output_dropout = keras.layers.SpatialDropout1D(
            self.dropout, name="output_dropout", **settings
        )
        self.shares = None if counts is None else shares_of(counts)
        self.drawing = keras.random.SeedGenerator()
        self.hidden(tf.ones([1, 2], tf.int32))  # builds every layer
        self._carried = CarriedState(self.recurrent)

    def feed(self, columns, *, batch_size, shuffle, seed, sample_weight):
        """Encodes the texts once, and cuts them into `batch_size` streams."""
        if sample_weight is not None:
            raise ValueError(
                "Got sample weights, but a language model reads all texts as continuous streams; "
                "leave them out, or repeat the texts that are to count for more."
            )
        token_ids = language_reports.tokens(self, columns["text"])
        return TokenStreams(
            token_ids.flat_values,
            token_ids.row_splits,
            batch_size=batch_size,
            steps=self.steps,
            shuffle=shuffle,
            seed=seed,
        )

    def hidden(self, token_ids, state=None, mask=None, training=False):
        """Reads tokens.

        Args:
            token_ids: int32 (B, T).
            state: what an earlier call returned, to go on from; or None for the beginning.
            mask: bool (B, T), False at padding, which is on the right; or None.
            training: bool, whether dropout is on.

        Returns:
            floating (B, T, E), which `embedding.logits` makes logits of the next tokens of; and
            the state after the last real token.
        """
        vectors = self.embedding(token_ids, training=training)
        states, state = self.recurrent(vectors, mask=mask, initial_state=state, training=training)
        dropped = self.output_dropout(states, training=training)
        if training and self.activation_penalty:
            self.add_loss(self.activation_penalty * _mean_square(dropped))
        if training and self.change_penalty:
            self.add_loss(self.change_penalty * _mean_square(states[:, 1:] - states[:, :-1]))
        return dropped if self.projection is None else self.projection(dropped), state

    def call(self, inputs, training=None):
        """The network up to the output projection, on the next batch of the streams.

        Args:
            inputs: {"tokens": int32 (B, T), "fresh": bool (B,), whether a stream begins here}.
            training: bool, whether dropout is on.

        Returns:
            floating (B, T, E).
        """
        tokens = inputs["tokens"]
        state = self._carried.read(tf.shape(tokens)[0], ~inputs["fresh"])
        hidden, state = self.hidden(tokens, state, training=bool(training))
        self._carried.write(state)
        return hidden

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras's hook: cross-entropy in nats per token, and what layers have added."""
        if self.loss is not None:
            seen = writing.at_real_places(self.embedding, y_pred, y, None)
            return super().compute_loss(x, *seen, training)
        output = (y_pred, y, self.embedding.embeddings, self.embedding.bias)
        if training and self.sampled_words:
            how = {"shares": self.shares, "words": self.sampled_words, "seed": self.drawing}
            entropy = sampled_loss(*output, mask=y != PADDING, **how)
        else:
            entropy = vocabulary_loss(*output, mask=y != PADDING, training=training)
        return tf.add_n([entropy, *self.losses])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Keras's hook: metrics of `compile` see logits, and no padding."""
        if len(self.metrics) > 1:  # more than the loss
            y, y_pred, sample_weight = writing.at_real_places(self.embedding, y_pred, y, None)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def evaluate(self, x=None, y=None, batch_size=64, **kwargs):
        """The loss on continuous streams, and the perplexity, which is its exponential."""
        found = super().evaluate(x, y, batch_size, **kwargs)
        if isinstance(found, dict):
            found["perplexity"] = float(np.exp(found["loss"]))
        return found

    @functools.cached_property
    def generator(self):
        """What reads and continues texts: `rnn_apps.generation.Generator`."""
        return Generator(self.tokenizer, self.hidden, self.embedding.logits)

    def answer(self, text):
        """Predicts what comes next.

        Args:
            text: string (B,), UTF-8.

        Returns:
            tokens: string (B, K), the likeliest next tokens, best first, as they stand in a text:
                one that begins a word begins with a space, and "" is the end of the text.
            probabilities: float32 (B, K), of each.
        """
        return self.generator.likeliest(text, self.shown)

    def continuations(self, text, length, temperature, seed, top_k=None, top_p=None):
        """Continues raw texts by drawing, each in its own way.

        Args:
            text: string (B,), UTF-8.
            length: int32 (B,), the most tokens to write; less than 1 counts as 1, more than
                `longest` as `longest`.
            temperature: float32 (B,), below 1 for likelier tokens; 0 for always the likeliest.
            seed: int32 (B,); the same seed gives the same continuation, whatever else is asked.
            top_k: int or None, in place of the constructor's.
            top_p: float or None, likewise.

        Returns:
            continuation: string (B,), what follows the text.
            length: int32 (B,), its tokens, the end of the text among them.
            score: float32 (B,), its log-probability.
        """
        cut = (top_k or self.top_k, top_p or self.top_p)
        length = tf.clip_by_value(length, 1, self.longest)
        return self.generator.drawn(text, length, temperature, seed, *cut)

    def score(self, text):
        """Tells how likely raw texts are, from their beginning to their end.

        Args:
            text: string (B,), UTF-8.

        Returns:
            log_probability: float32 (B,), natural logarithm, the end of the text included.
            tokens: int32 (B,), how many were predicted, the end among them.
            perplexity: float32 (B,), per token.
        """
        token_ids = self.tokenizer.encode(text)
        real = token_ids[:, 1:] != PADDING
        total = tf.reduce_sum(tf.where(real, self.log_probabilities(token_ids), 0.0), -1)
        tokens = tf.reduce_sum(tf.cast(real, tf.int32), -1)
        perplexity = tf.exp(-total / tf.cast(tokens, tf.float32))
        return {"log_probability": total, "tokens": tokens, "perplexity": perplexity}

    def log_probabilities(self, token_ids):
        """Natural logarithms of each token but the first: int32 (B, T) → float32 (B, T - 1)."""
        before, after = token_ids[:, :-1], token_ids[:, 1:]
        hidden, _ = self.hidden(before, mask=after != PADDING)
        kernel, bias = self.embedding.kernel(), self.embedding.bias
        return token_log_probabilities(hidden, after, kernel, bias)

    def endpoints(self):
        """Adds `generate` and `score`."""
        examples = self.example_requests()
        settings = {"length": [20], "temperature": [1.0], "seed": [0]}
        asked = [one | settings for one in examples]
        return super().endpoints() | {
            "generate": Endpoint(self.continuations, self.request | generation.SETTINGS, asked),
            "score": Endpoint(self.score, self.request, examples),
        }

    def example_requests(self):
        """A short text and a long one."""
        return [{"text": ["It"]}, {"text": ["I did not expect to like it, but I did. " * 5]}]

    def generate(
        self,
        x,
        length: int = 50,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        beams: int | None = None,
        seed: int = 0,
        batch_size: int = 64,
    ):
        """Continues raw texts.

        Args:
            x: list or array of texts, or any other form of requests that `data.as_columns` takes.
            length: int from 1 to `longest`, the most tokens to write.
            temperature: float, below 1 for likelier tokens; 0 for always the likeliest.
            top_k: int or None, of how many tokens to draw; None for the constructor's.
            top_p: float or None, the share of probability to draw from; None for the constructor's.
            beams: int or None. If given, nothing is drawn: so many beams search for the likeliest
                continuation.
            seed: int. The n-th text draws from seed + n, so that equal texts differ.
            batch_size: int, texts at a time; the answers do not depend on it.

        Returns:
            {"continuation": str (N,), "length": int32 (N,), "score": float32 (N,)}.

        Raises:
            ValueError: if an argument is out of its range.
        """
        self._require_adapted("generate")
        generation.check(length, self.longest, temperature, top_k, top_p, beams)
        texts = data.as_columns(x, features=("text",))["text"]
        request = {"text": texts, "length": np.full(len(texts), length)}
        specs = self.request | {"length": generation.SETTINGS["length"]}
        if beams is None:
            request["temperature"] = np.full(len(texts), temperature)
            request["seed"] = seed + np.arange(len(texts))
            specs = self.request | generation.SETTINGS
            function = functools.partial(self.continuations, top_k=top_k, top_p=top_p)
        else:
            function = functools.partial(self.generator.searched, beams=beams)
        name = ("generate", top_k, top_p, beams)
        if name not in self._graphs:
            example = {key: [values[0]] for key, values in request.items()} if len(texts) else {}
            self._graphs[name] = specs, graph_of(function, specs), example
        return self.answers(request, batch_size, signature=name)

    def stream(
        self,
        text: str,
        length: int = 50,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ):
        """Gives a continuation piece by piece as it is written; joined it is `generate`'s.

        Args:
            text: what is continued.
            length: as of `generate`.
            temperature: as of `generate`.
            top_k: as of `generate`.
            top_p: as of `generate`.
            seed: as of `generate`.

        Returns:
            An iterator of str, none of them empty.

        Raises:
            ValueError: if an argument is out of its range.
        """
        self._require_adapted("stream")
        generation.check(length, self.longest, temperature, top_k, top_p, None)
        cut = (top_k or self.top_k, top_p or self.top_p)
        return self.generator.pieces(text, length, temperature, seed, *cut)

    def records(self, x, answers):
        """A row for each next token of each text, best first."""
        return generation.records(data.as_columns(x, features=("text",))["text"], answers)

    def report(self, x, y=None, *, train=None, beside=None, source="", seed=0):
        """Judges the model by perplexity, beside n-grams of the same tokens.

        Each text is read from an empty state, as a request is, however long it is.

        Args:
            x: raw test texts, in any form that `adapt` takes.
            y: not used; texts have no targets.
            train: raw training texts to count n-grams in; None takes those of the last `fit`.
                Without either, nothing stands beside the model.
            beside: {name: another language model}, to compare with.
            source: str, the name of the test data, for the report.
            seed: int, of the bootstrap.

        Returns:
            `rnn_apps.evaluation.report.Report`.
        """
        self._require_adapted("report")
        train = self.training_examples if train is None else self._examples_of(train)
        seen = None if train is None else train["text"]
        return language_reports.report(self, self.examples(x)["text"], seen, beside, source, seed)


def _mean_square(values):
    return tf.reduce_mean(tf.square(tf.cast(values, tf.float32)))
