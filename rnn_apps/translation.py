"""Translation: sequence → vector → sequence. A sentence in; its translations and scores out."""

import dataclasses
import functools
from typing import Literal

import keras
import tensorflow as tf

from rnn_apps import data, writing
from rnn_apps.application import Application
from rnn_apps.blocks.decoder import AttentionDecoder
from rnn_apps.blocks.embedding import TokenEmbedding
from rnn_apps.blocks.encoder import RecurrentEncoder
from rnn_apps.blocks.tied_embedding import TiedEmbedding
from rnn_apps.evaluation import text_baselines, texts
from rnn_apps.evaluation.attention_figures import heat_map_of
from rnn_apps.evaluation.text_scores import bleu
from rnn_apps.export import graph_of
from rnn_apps.preprocessing.pair_batches import PairBatches
from rnn_apps.preprocessing.text import PADDING, SubwordTokenizer, utf8
from rnn_apps.pretraining import Pretrained
from rnn_apps.writing import Writer, fitted

_GREEDY = "greedy"  # the graph that validation runs, not exported
_LEAST_ROOM = 10  # subwords of a translation, however short its source is
_EMPTY = 2  # subwords of an empty text: begin and end
_SHOWN = 64  # subwords of either side in the attention signature


@keras.saving.register_keras_serializable(package="rnn_apps")
class Translator(Application):
    """Translates sentences by a recurrent encoder and a recurrent decoder with attention.

    Subword ids → embedding → bidirectional recurrent layer and further layers → memory; the
    decoder attends to the memory and writes subword by subword, in a beam search that is part of
    the model. In training the decoder runs over whole targets at once.

    A source of any length is read whole, and its translation may have `max_ratio` times its
    subwords and 10 more, so nothing is cut. Sentences longer than those trained on are translated
    worse; `read_requests` counts them.

    Args:
        cell: "lstm", "gru" or "simple_rnn".
        units: int, units of each recurrent layer, and of each direction of the first one.
        encoder_layers: int, recurrent layers that read; the first one in both directions (as Wu et
            al., 2016, section 3.2).
        decoder_layers: int, recurrent layers that write.
        encoder: Keras layer or None. If given, it reads in place of those layers: float32
            (B, T, E) with a mask → (B, T, M).
        pretrained: path of a saved `LanguageModel` with residual=True, or the model itself, or
            None. Subwords of both languages, their vectors and what recurrent layers have its
            shapes begin as its, with its cell, units, embedding_dim, vocabulary_size and
            lowercase, which may then be left out. `pretraining.carried_over` says which layers.
        attention: "additive", "scaled" (faster), "general" or "dot", as of `MemoryAttention`; None
            for none, so that all the decoder knows of the source is one vector.
        embedding_dim: int, size of a subword's vector.
        vocabulary_size: int, the most subwords to learn; of each language if not shared.
        shared_vocabulary: bool, whether both languages share subwords and their vectors. Those of
            the target are the output projection too (Press and Wolf, 2017).
        lowercase: bool, whether case is folded, of what is read and of what is written.
        dropout: float, dropout of what enters each recurrent layer, the same at every step.
        hidden_dropout: float, dropout of what the output projection sees.
        token_dropout: float, share of the places in a text whose vector is zero in training.
        label_smoothing: float, probability given away to all subwords (Szegedy et al., 2016).
        beams: int, the most beams of a search, and how many it has by default.
        length_penalty: float, exponent of the length normalisation (Wu et al., 2016, equation 14);
            0 for none.
        coverage_penalty: float, weight of the coverage penalty (the same equation); 0 for none.
        no_repeat_ngram: int, length of n-grams that a translation has only once; 0 for no rule.
        max_ratio: float, the most subwords of a translation for each subword of its source.
        monitored: "bleu" (of up to 500 validation sentences, translated greedily after each epoch)
            or "loss": what early stopping goes by.
        name: as in every Keras model.
        dtype: Keras dtype policy, such as "mixed_bfloat16"; None for Keras's own.

    Example:
        >>> model = Translator(units=8, embedding_dim=8, vocabulary_size=300)
        >>> pairs = ["a cat", "a dog"], ["eine Katze", "ein Hund"]
        >>> model.adapt(*pairs)
        >>> model.compile()
        >>> history = model.fit(*pairs, epochs=1, verbose=0)
        >>> sorted(model.predict(["a cat"], beam_size=2))
        ['score', 'translation']
    """

    features = ("source", "target")
    request = {"text": tf.TensorSpec([None], tf.string, name="text")}
    plain = ("translation",)

    def __init__(
        self,
        *,
        cell: Literal["lstm", "gru", "simple_rnn"] = "lstm",
        units: int = 256,
        encoder_layers: int = 2,
        decoder_layers: int = 2,
        pretrained: str | None = None,
        encoder=None,
        attention: Literal["additive", "scaled", "general", "dot"] | None = "additive",
        embedding_dim: int = 256,
        vocabulary_size: int = 8000,
        shared_vocabulary: bool = True,
        lowercase: bool = False,
        dropout: float = 0.2,
        hidden_dropout: float = 0.3,
        token_dropout: float = 0.0,
        label_smoothing: float = 0.1,
        beams: int = 5,
        length_penalty: float = 1.0,
        coverage_penalty: float = 0.0,
        no_repeat_ngram: int = 0,
        max_ratio: float = 2.0,
        monitored: Literal["bleu", "loss"] = "bleu",
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        for option, size in {"beams": beams, "max_ratio": max_ratio}.items():
            if not size >= 1:
                raise ValueError(f"{option}={size} is too small; give 1 or more.")
        self.cell = cell
        self.units = units
        self.encoder_layers = encoder_layers
        self.decoder_layers = decoder_layers
        self.pretraining = Pretrained(pretrained)
        self.pretrained = self.pretraining.name
        self.encoder = encoder
        self.attention = attention
        self.embedding_dim = embedding_dim
        self.vocabulary_size = vocabulary_size
        self.shared_vocabulary = shared_vocabulary
        self.lowercase = lowercase
        self.dropout = dropout
        self.hidden_dropout = hidden_dropout
        self.token_dropout = token_dropout
        self.label_smoothing = label_smoothing
        self.beams = beams
        self.length_penalty = length_penalty
        self.coverage_penalty = coverage_penalty
        self.no_repeat_ngram = no_repeat_ngram
        self.max_ratio = max_ratio
        self.monitored = monitored
        self.tokenizer = self._new_tokenizer("tokenizer")
        self.target_tokenizer = self.tokenizer
        if not shared_vocabulary:
            self.target_tokenizer = self._new_tokenizer("target_tokenizer")

    def _new_tokenizer(self, name):
        return SubwordTokenizer(self.vocabulary_size, lowercase=self.lowercase, name=name)

    @property
    def monitor(self):
        """The name in the epochs' logs that early stopping goes by."""
        return f"val_{self.monitored}"

    @classmethod
    def load(cls, source, **options):
        """Loads pairs by name, as `rnn_apps.data.load_pairs` does."""
        return data.load_pairs(source, **options)

    def read_requests(self, source, columns=None):
        """Reads sentences, and counts those longer than any in training."""
        asked, notes = super().read_requests(source, columns)
        sentences = data.as_columns(asked, features=("text",))["text"]
        lengths = self.tokenizer.tokenize(tf.constant(utf8(sentences), tf.string)).row_lengths()
        longer = int((lengths.numpy() > self.longest_source).sum())
        if longer:
            what = f"{longer:,} of {len(sentences):,} texts have more subwords than any source in "
            what += f"training ({self.longest_source}). They are translated whole, but likely worse"
            notes += (f"{what}: give one sentence at a time.",)
        return asked, notes

    def learn(self, columns):
        """Learns the subwords, and how long a source is at most."""
        sources, targets = (utf8(columns[name]) for name in self.features)
        if self.shared_vocabulary or self.pretraining:
            texts_of_both = [*sources, *targets]
            self.pretraining.learn(self, texts_of_both, residual=True, shared_vocabulary=True)
        else:
            self.tokenizer.adapt(sources)
            self.target_tokenizer.adapt(targets)
        lengths = self.tokenizer.tokenize(tf.constant(sources)).row_lengths()
        return {
            "num_pieces": self.tokenizer.num_pieces,
            "num_target_pieces": self.target_tokenizer.num_pieces,
            "longest_source": int(tf.reduce_max(lengths)),
        }

    def assemble(self, num_pieces, num_target_pieces, longest_source):
        """Makes the layers and builds them."""
        self.longest_source = longest_source
        settings = {"dtype": self.dtype_policy}
        words = {"token_dropout": self.token_dropout, **settings}
        sizes = (num_target_pieces, self.embedding_dim)
        self.embedding = TiedEmbedding(*sizes, name="embedding", **words)
        self.source_embedding = self.embedding
        if not self.shared_vocabulary:
            sizes = (num_pieces, self.embedding_dim)
            self.source_embedding = TokenEmbedding(*sizes, name="source_embedding", **words)
        layers = {"dropout": self.dropout, **settings}
        sizes = (self.cell, self.units)
        self.reader = self.encoder or RecurrentEncoder(
            *sizes, num_layers=self.encoder_layers, name="reader", **layers
        )
        self.decoder = AttentionDecoder(
            self.embedding,
            *sizes,
            num_layers=self.decoder_layers,
            residual=True,
            attention=self.attention,
            hidden_dropout=self.hidden_dropout,
            name="decoder",
            **layers,
        )
        ids = tf.ones([1, 8], tf.int32)
        self.decoder(ids, *self.encode(ids))  # builds every layer
        readers = [] if self.encoder else self.reader.forward_layers
        writers = self.decoder.forward_layers
        self.pretraining.carry_over(self.embedding, encoder=readers, decoder=writers)

    def feed(self, columns, *, batch_size, shuffle, seed, sample_weight):
        """Encodes the pairs once, and batches them by length.

        `batch_size` is that of pairs of average length: longer ones come in smaller batches, so
        that each has about as many subwords as any other.
        """
        sources, targets = (tf.constant(utf8(columns[name])) for name in self.features)
        sides = self.tokenizer.tokenize(sources), self.target_tokenizer.tokenize(targets)
        how = {"sample_weight": sample_weight, "shuffle": shuffle, "seed": seed}
        return PairBatches(*sides, batch_size=batch_size, **how)

    def encode(self, source, training=False):
        """Reads sources: int32 (B, T) → memory floating (B, T, M), and its mask, bool (B, T)."""
        mask = source != PADDING
        vectors = self.source_embedding(source, training=training)
        return self.reader(vectors, mask=mask, training=training), mask

    def call(self, inputs, training=None):
        """The network up to the output projection, which the loss applies piece by piece.

        Args:
            inputs: {"source": int32 (B, T), "target": int32 (B, U)}, padded with 0; the target
                from its begin token on.
            training: bool, whether dropout is on.

        Returns:
            floating (B, U, E); `decoder.logits` makes logits of the next subwords of it.
        """
        memory, mask = self.encode(inputs["source"], training)
        return self.decoder.hidden(inputs["target"], memory, mask, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras's hook: cross-entropy in nats per subword, smoothed in training only."""
        if self.loss is not None:
            seen = writing.at_real_places(self.decoder, y_pred, y, sample_weight)
            return super().compute_loss(x, *seen, training)
        return writing.loss(self, y_pred, y, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Keras's hook: metrics of `compile` see logits, and no padding."""
        if len(self.metrics) > 1:  # more than the loss
            seen = writing.at_real_places(self.decoder, y_pred, y, sample_weight)
            return super().compute_metrics(x, *seen)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def begin(self, examples, validation=None):
        """Keeps validation sentences, evenly apart, to translate after each epoch."""
        self._validated = None
        if validation is not None and self.monitored == "bleu":
            rows = writing.validated(len(validation["source"]))
            self._validated = {name: validation[name][rows] for name in self.features}

    def evaluate(self, x=None, y=None, batch_size=64, **kwargs):
        """The loss and the metrics of `compile`; within `fit` also the BLEU that is monitored."""
        found = super().evaluate(x, y, batch_size, **kwargs)
        if "_use_cached_eval_dataset" in kwargs and self._validated:
            request = {"text": self._validated["source"]}
            answers = self.answers(request, signature=_GREEDY)["translation"]
            found["bleu"] = bleu(self._validated["target"], answers)
        return found

    def _signature(self, name):
        if name == _GREEDY and name not in self._graphs:
            graph = graph_of(functools.partial(self.answer, beams=1), self.request)
            self._graphs[name] = self.request, graph, self.example_requests()[0]
        return super()._signature(name)

    def _writer(self, beams=None):
        penalties = (self.length_penalty, self.coverage_penalty, self.no_repeat_ngram)
        return Writer(self.decoder, self.target_tokenizer, beams or self.beams, *penalties)

    def _search(self, text, beams=None, **how):
        """Reads texts and searches; returns the source's subwords, memory and mask, and `Beams`."""
        source = self.tokenizer.encode(text)
        memory = self.encode(source)
        lengths = tf.reduce_sum(tf.cast(memory[1], tf.int32), -1)
        room = tf.cast(tf.cast(lengths, tf.float32) * self.max_ratio, tf.int32) + _LEAST_ROOM
        found = self._writer(beams).search(*memory, room, lengths <= _EMPTY, **how)
        return source, memory, found

    def answer(self, text, beams=None):
        """Translates raw texts.

        Args:
            text: string (B,), UTF-8.
            beams: int or None, in place of the constructor's.

        Returns:
            translation: string (B,), the best hypothesis; "" for a text without characters.
            score: float32 (B,), its log-probability over its length penalty, plus its coverage
                penalty; at most 0.
        """
        _, _, found = self._search(text, beams, n_best=1)
        return {"translation": self._writer().texts(found)[:, 0], "score": found.scores[:, 0]}

    def n_best(self, text, beam_size, length_penalty):
        """Translates raw texts, each in its own way and several times.

        Args:
            text: string (B,), UTF-8.
            beam_size: int32 (B,), beams that are searched; less than 1 counts as 1, more than
                `beams` as `beams`.
            length_penalty: float32 (B,), as in the constructor.

        Returns:
            translation: string (B, K), best first, "" beyond the count; K is `beams`.
            score: float32 (B, K), -1e9 beyond the count.
            count: int32 (B,), how many there are: at least 1, at most the beam size.
        """
        _, _, found = self._search(text, beam_size=beam_size, length_penalty=length_penalty)
        texts_found = self._writer().texts(found)
        return {"translation": texts_found, "score": found.scores, "count": found.count}

    def attention_weights(self, text):
        """Translates raw texts and tells where each subword looked.

        Args:
            text: string (B,), UTF-8.

        Returns:
            translation: string (B,), as of `answer`.
            source_tokens: string (B, A), subwords, "" beyond the length; A is 64.
            source_length: int32 (B,), subwords there are, begin and end among them; of more than A
                the first are shown.
            target_tokens: string (B, A), subwords written, the end token last.
            target_length: int32 (B,), likewise.
            weights: float32 (B, A, A), what each subword written, along the first of the two,
                attended to; the sum over a whole source is 1.
        """
        source, memory, found = self._search(text, n_best=1)
        written, length, weights = self._writer().attention(found, *memory)
        return {
            "translation": self._writer().texts(found)[:, 0],
            "source_tokens": fitted(self.tokenizer.pieces(source), _SHOWN),
            "source_length": tf.reduce_sum(tf.cast(memory[1], tf.int32), -1),
            "target_tokens": fitted(written, _SHOWN),
            "target_length": length,
            "weights": fitted(weights, _SHOWN, _SHOWN),
        }

    def endpoints(self):
        """Adds `n_best`, and `attention` where there is any."""
        look = self.attention_weights if self.attention else None
        return super().endpoints() | writing.endpoints(self, look)

    def example_requests(self):
        """A short text and a long one."""
        return [{"text": ["A man."]}, {"text": ["A man in a red shirt walks along a street. " * 3]}]

    def predict(
        self,
        x,
        batch_size: int = 64,
        *,
        n_best: int | None = None,
        beam_size: int | None = None,
        length_penalty: float | None = None,
        verbose: Literal["auto", 0] = 0,
    ):
        """Translates raw texts.

        Args:
            x: list or array of texts, or any other form of requests that `data.as_columns` takes.
            batch_size: int, texts translated at a time; the answers do not depend on it.
            n_best: int or None. If given, so many hypotheses of each text are returned.
            beam_size: int from 1 (greedy) to `beams`; None for `beams`.
            length_penalty: float; None for the model's own.
            verbose: "auto" for a progress bar where somebody sees it, or 0.

        Returns:
            {"translation": str (N,), "score": float32 (N,)}; with `n_best` both (N, n_best), and
            "count" int32 (N,), how many hypotheses there are.

        Raises:
            ValueError: if `beam_size` or `n_best` is out of its range.
        """
        self._require_adapted("predict")
        how = {"n_best": n_best, "beam_size": beam_size, "length_penalty": length_penalty}
        request = data.as_columns(x, features=("text",))
        return writing.answers(self, request, batch_size, **how, verbose=verbose)

    def records(self, x, answers):
        """A row per translation, with its score and source; of several, with number and rank."""
        sources = data.as_columns(x, features=("text",))["text"]
        return writing.records("translation", {"source": sources}, answers)

    def draw(self, x, answers):
        """Draws where each subword of the first translation looked; None without attention."""
        sources = data.as_columns(x, features=("text",))["text"][:1]
        if not self.attention or not len(sources):
            return None
        return heat_map_of(self.answers({"text": sources}, signature="attention"))

    def report(self, x, y=None, *, train=None, beside=None, source="", seed=0):
        """Judges translations beside the source as it stands and a table of words.

        Args:
            x: raw test pairs, in any form that `adapt` takes.
            y: targets, where `x` does not hold them.
            train: raw training pairs to learn the table of words from; None takes those of the
                last `fit`. Without either, only the copied source stands beside the model.
            beside: {name: another translator, or the N texts it gave}, to compare with.
            source: str, the name of the test data, for the report.
            seed: int, of the bootstrap.

        Returns:
            `rnn_apps.evaluation.report.Report`, with a heat map of the attention.
        """
        self._require_adapted("report")
        test = self.examples(x, y)
        sources = [str(text) for text in test["source"]]
        train = self.training_examples if train is None else self._examples_of(train)
        others = {"copy of the source": text_baselines.copy_source(sources)}
        if train is not None:
            sides = (train[name] for name in self.features)
            others["table of words"] = text_baselines.word_table(*sides, sources)
        others |= writing.written_beside(beside, sources, "translation")
        report = texts.judge(
            sources,
            [str(text) for text in test["target"]],
            self.predict(sources)["translation"].tolist(),
            baselines=others,
            data=source,
            application=type(self).__name__,
            seed=seed,
        )
        figures = {"attention": lambda: self.draw(sources, None)} if self.attention else {}
        return dataclasses.replace(report, figures=figures)
