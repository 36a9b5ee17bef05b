"""Sentiment classification: sequence → vector. A text in; a label, probabilities, a score out."""

from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from rnn_apps import data, training
from rnn_apps.application import Application
from rnn_apps.blocks.attention import SequencePooling
from rnn_apps.blocks.embedding import TokenEmbedding
from rnn_apps.blocks.ordinal import OrdinalHead
from rnn_apps.blocks.recurrent import RecurrentStack
from rnn_apps.evaluation import baselines, labels
from rnn_apps.export import Endpoint
from rnn_apps.preprocessing import classes
from rnn_apps.preprocessing.batches import LengthBatches
from rnn_apps.preprocessing.text import PADDING, SubwordTokenizer, utf8
from rnn_apps.pretraining import Pretrained


@keras.saving.register_keras_serializable(package="rnn_apps")
class SentimentClassifier(Application):
    """Classifies texts by a recurrent network over subwords.

    Subword ids → embedding → recurrent stack → pooling over the text → class probabilities.

    With `pretrained`, it begins as a language model of subwords, whose vocabulary, vectors and
    recurrent layers are all taken over, and which reads in one direction. Training then goes on
    from the head down (Howard and Ruder, 2018, section 3.3): first what is new, then also the
    recurrent layers, the uppermost first, at last the embedding, each more slowly.

    Args:
        cell: "lstm", "gru" or "simple_rnn".
        units: int, units of each direction of each recurrent layer.
        num_layers: int, recurrent layers.
        bidirectional: bool, whether each layer reads the text in both directions.
        pretrained: path of a saved `LanguageModel` (a .keras file or a run folder), or the language
            model itself, or None. If given, the settings that both share (cell, units, num_layers,
            one direction, embedding_dim, vocabulary_size, lowercase) are the language model's and
            may be left out. What is saved does not need the file.
        unfreeze: int, beside `pretrained`, epochs of a `fit` between one layer and the next that is
            trained along; 0 to train everything from the beginning.
        layer_rate: float, likewise, the learning rate of a layer as a share of that of the one
            above it, with the optimizer of `compile` itself.
        encoder: Keras layer or None. If given, it stands in for the recurrent stack (and the four
            arguments above, the dropouts of the stack and `truncate` are not used): float32
            (B, T, E) with a mask → (B, T, H).
        embedding_dim: int, size of a subword's vector.
        vocabulary_size: int, the most subwords to learn.
        lowercase: bool, whether case is folded.
        max_tokens: int or None. A longer text is read by its first and last halves of so many
            subwords, in training and in serving; None reads everything.
        pooling: "attention", "max", "mean" or "last", or several joined by "+".
        dropout: float, dropout of what enters each recurrent layer, the same at every step of a
            text (Gal and Ghahramani, 2016).
        output_dropout: float, dropout of the pooled vector.
        row_dropout: float, share of the subwords whose vector is left out of a training batch.
        token_dropout: float, share of the places in a text whose vector is zero in training.
        recurrent_dropout: float, dropout of the recurrent state.
        adversarial: float, how far training moves each text's vectors against the network, as a
            share of their norm (Miyato et al., 2017); a step then takes twice as long. 0 for none.
        truncate: int or None, steps after which backpropagation through time is cut.
        classes: sequence of str or None, class names from the most negative to the most positive;
            None takes the labels of the training examples in sorted order. Where labels are
            integers and the names are not, label k means the k-th name.
        ordered: bool, whether the classes are steps on one scale, such as stars; the output is
            then a proportional-odds layer.
        class_weight: None, "balanced" (each class weighs the same in the loss), or
            {class name: weight}.
        name: as in every Keras model.
        dtype: Keras dtype policy, such as "mixed_bfloat16"; None for Keras's own.

    Example:
        >>> model = SentimentClassifier(units=8, embedding_dim=8, vocabulary_size=300)
        >>> train = ["good", "bad", "very good", "very bad"], ["pos", "neg", "pos", "neg"]
        >>> model.adapt(*train)
        >>> model.compile()
        >>> history = model.fit(*train, epochs=1, verbose=0)
        >>> sorted(model.predict(["good"]))
        ['label', 'probabilities', 'score']
    """

    features = ("text", "label")
    request = {"text": tf.TensorSpec([None], tf.string, name="text")}

    def __init__(
        self,
        *,
        cell: Literal["lstm", "gru", "simple_rnn"] = "lstm",
        units: int = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        pretrained: str | None = None,
        unfreeze: int = 1,
        layer_rate: float = 0.385,
        encoder=None,
        embedding_dim: int = 128,
        vocabulary_size: int = 8000,
        lowercase: bool = True,
        max_tokens: int | None = 512,
        pooling: str = "attention+max",
        dropout: float = 0.2,
        output_dropout: float = 0.3,
        row_dropout: float = 0.0,
        token_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        adversarial: float = 0.0,
        truncate: int | None = None,
        classes: Sequence[str] | None = None,
        ordered: bool = False,
        class_weight: Literal["balanced"] | dict[str, float] | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        if pretrained is not None and encoder is not None:
            raise ValueError("pretrained and encoder came both; give one of them.")
        if not (unfreeze >= 0 and 0 < layer_rate <= 1):
            raise ValueError(
                f"unfreeze={unfreeze} and layer_rate={layer_rate} came; give a number of epochs of "
                "0 or more, and a share above 0 and at most 1."
            )
        if not 0 <= adversarial < 1:
            raise ValueError(f"adversarial={adversarial} came; give a share from 0 to below 1.")
        self.cell = cell
        self.units = units
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.pretraining = Pretrained(pretrained)
        self.pretrained = self.pretraining.name
        self.unfreeze = unfreeze
        self.layer_rate = layer_rate
        self.encoder = encoder
        self.embedding_dim = embedding_dim
        self.vocabulary_size = vocabulary_size
        self.lowercase = lowercase
        self.max_tokens = max_tokens
        self.pooling = pooling
        self.dropout = dropout
        self.output_dropout = output_dropout
        self.row_dropout = row_dropout
        self.token_dropout = token_dropout
        self.recurrent_dropout = recurrent_dropout
        self.adversarial = adversarial
        self.truncate = truncate
        self.classes = None if classes is None else tuple(str(label) for label in classes)
        self.ordered = ordered
        self.class_weight = class_weight
        self.tokenizer = SubwordTokenizer(
            vocabulary_size, lowercase=lowercase, max_tokens=max_tokens, name="tokenizer"
        )

    def _pretrained_layers(self):
        """The settings of the layers that are taken over from a language model."""
        if not self.pretraining:
            return {}
        return {"num_layers": self.pretraining.model().num_layers, "bidirectional": False}

    def _language_facts(self):
        """What else a language model does with vectors and states, which is to stay the same."""
        if not self.pretraining:
            return {}
        model = self.pretraining.model()
        return {"residual": model.residual, "scale": model.embedding.scale}

    def learn(self, columns):
        """Learns the subwords, and the class names where none were given."""
        names = self.classes or classes.names_of(columns["label"])
        indices = classes.indices_of(columns["label"], names)
        if len(np.unique(indices)) < 2:
            raise ValueError(
                f"All {len(indices)} training examples have the label {columns['label'][0]!r}; a "
                "classifier needs at least two classes. Look at the label column."
            )
        self.pretraining.learn(self, columns["text"], **self._pretrained_layers())
        return {
            "class_names": names,
            "class_counts": np.bincount(indices, minlength=len(names)).tolist(),
            "num_pieces": self.tokenizer.num_pieces,
            **self._language_facts(),
        }

    def assemble(self, class_names, class_counts, num_pieces, residual=False, scale=1.0):
        """Makes the layers and builds them."""
        self.class_names = tuple(class_names)
        self.class_counts = tuple(class_counts)
        settings = {"dtype": self.dtype_policy}
        self.embedding = TokenEmbedding(
            num_pieces,
            self.embedding_dim,
            row_dropout=self.row_dropout,
            token_dropout=self.token_dropout,
            scale=scale,
            name="embedding",
            **settings,
        )
        self.recurrent = self.encoder or RecurrentStack(
            self.cell,
            self.units,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            residual=residual,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            truncate=self.truncate,
            name="recurrent",
            **settings,
        )
        self.pool = SequencePooling(self.pooling, name="pool", **settings)
        self.pooled_dropout = keras.layers.Dropout(
            self.output_dropout, name="pooled_dropout", **settings
        )
        if self.ordered:
            self.head = OrdinalHead(len(class_names), name="head", **settings)
        else:
            self.head = keras.layers.Dense(len(class_names), name="head", **settings)
        self.call(tf.zeros([1, 8], tf.int32))  # builds every layer
        if self.pretraining:
            self.pretraining.carry_over(self.embedding, recurrent=self.recurrent.forward_layers)

    def _below_the_head(self):
        """The layers that were pretrained, the uppermost first."""
        return [*reversed(self.recurrent.forward_layers), self.embedding]

    def feed(self, columns, *, batch_size, shuffle, seed, sample_weight):
        """Encodes the texts once and batches them by length."""
        token_ids = self.tokenizer.tokenize(tf.constant(utf8(columns["text"])))
        targets = classes.indices_of(columns["label"], self.class_names)
        weights = self._class_weights()
        if weights is not None:
            sample_weight = weights[targets] * (1 if sample_weight is None else sample_weight)
        return LengthBatches(
            token_ids.flat_values,
            token_ids.row_splits,
            targets,
            sample_weight=sample_weight,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
        )

    def _class_weights(self):
        if self.class_weight is None:
            return None
        if self.class_weight == "balanced":
            counts = np.maximum(self.class_counts, 1)
            return (sum(self.class_counts) / (len(counts) * counts)).astype("float32")
        strangers = sorted(set(self.class_weight) - set(self.class_names))
        if strangers:
            raise ValueError(
                f"class_weight names {strangers[0]!r}, but the classes are "
                f"{', '.join(self.class_names)}; use those names."
            )
        return np.float32([self.class_weight.get(name, 1.0) for name in self.class_names])

    def default_compilation(self, optimizer):
        """Cross-entropy over the classes, and accuracy."""
        found = {
            "optimizer": optimizer,
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        }
        if self.pretraining:
            if not self.built:
                self.pretraining.settle(self, **self._pretrained_layers())
            layers = [f"recurrent/forward_{n}" for n in reversed(range(self.num_layers))]
            shares = training.falling_shares([*layers, "embedding"], self.layer_rate)
            found["optimizer"] = training.with_shares(optimizer, shares)
        return found

    def begin(self, examples, validation=None):
        """Trains pretrained layers along one after the other."""
        if self.pretraining and self.unfreeze:
            return training.thaw(self._below_the_head(), self.unfreeze)
        return []

    def trained_variables(self):
        """Those of layers that are trained later are among them from the beginning."""
        if not self.pretraining:
            return super().trained_variables()
        with training.trainable(*self._below_the_head()):
            return self.trainable_variables

    def call(self, token_ids, training=None):
        """The network: int32 (B, T), padded with 0 → float32 logits (B, C)."""
        vectors = self.embedding(token_ids, training=training)
        return self.logits(vectors, token_ids != PADDING, training)

    def logits(self, vectors, mask, training=None):
        """What follows the embedding: (B, T, E) and mask bool (B, T) → float32 logits (B, C)."""
        states = self.recurrent(vectors, mask=mask, training=training)
        pooled = self.pooled_dropout(self.pool(states, mask=mask), training=training)
        return tf.cast(self.head(pooled), tf.float32)

    def hidden(self, token_ids):
        """Reads texts: int32 (B, T) → states float (B, T, H), and the mask, bool (B, T)."""
        mask = token_ids != PADDING
        vectors = self.embedding(token_ids, training=False)
        return self.recurrent(vectors, mask=mask, training=False), mask

    def train_step(self, batch):
        """Keras's hook: learns from a batch; with `adversarial`, also from a harder reading."""
        if not self.adversarial:
            return super().train_step(batch)
        return training.adversarial_step(self, batch, self.adversarial)

    def answer(self, text):
        """Classifies raw texts.

        Args:
            text: string (B,), UTF-8.

        Returns:
            label: string (B,), the likeliest class.
            score: float32 (B,) in [-1, 1], the expected class on a scale from the first class
                (-1) to the last (+1); with two classes P(positive) - P(negative).
            probabilities: float32 (B, C), in the order of `class_names`.
        """
        probabilities = tf.nn.softmax(self(self.tokenizer.encode(text), training=False))
        scale = tf.linspace(-1.0, 1.0, len(self.class_names))
        return {
            "label": tf.gather(tf.constant(self.class_names), tf.argmax(probabilities, -1)),
            "score": tf.linalg.matvec(probabilities, scale),
            "probabilities": probabilities,
        }

    def endpoints(self):
        """Adds `classify`, and `attention` where the pooling attends and lengths are bounded."""
        endpoints = super().endpoints()
        examples = [
            {"inputs": [_example(text) for text in request["text"]]}
            for request in self.example_requests()
        ]
        serialized = tf.TensorSpec([None], tf.string, name="inputs")
        endpoints["classify"] = Endpoint(self._classify, {"inputs": serialized}, examples)
        if "attention" in self.pooling.split("+") and self.max_tokens:
            endpoints["attention"] = Endpoint(self.attention, self.request, self.example_requests())
        return endpoints

    def _classify(self, inputs):
        """TensorFlow Serving's classify: serialized `tf.train.Example`s with a feature "text"."""
        feature = tf.io.FixedLenFeature([], tf.string, default_value="")
        scores = self.answer(tf.io.parse_example(inputs, {"text": feature})["text"])[
            "probabilities"
        ]
        classes = tf.tile(tf.constant([self.class_names]), [tf.shape(scores)[0], 1])
        return {"classes": classes, "scores": scores}

    def attention(self, text):
        """Tells how much each subword weighs in the pooled vector.

        Args:
            text: string (B,), UTF-8.

        Returns:
            tokens: string (B, max_tokens), "" beyond a text's length.
            weights: float32 (B, max_tokens), at least 0, with a sum of 1 for each text.
            length: int32 (B,), subwords of each text, the begin and end tokens among them.
        """
        token_ids = self.tokenizer.encode(text)
        states, mask = self.hidden(token_ids)
        _, weights = self.pool.attention(states, mask=mask, return_weights=True)
        beyond = [[0, 0], [0, self.max_tokens - tf.shape(token_ids)[1]]]
        return {
            "tokens": tf.ensure_shape(
                tf.pad(self.tokenizer.pieces(token_ids), beyond, constant_values=""),
                [None, self.max_tokens],
            ),
            "weights": tf.ensure_shape(tf.pad(weights, beyond), [None, self.max_tokens]),
            "length": tf.reduce_sum(tf.cast(mask, tf.int32), -1),
        }

    def example_requests(self):
        """A short text and a long one."""
        return [{"text": ["Good."]}, {"text": ["I did not expect to like it, but I did. " * 20]}]

    def records(self, x, answers):
        """Label, score, one probability per class, and the text."""
        texts = data.as_columns(x, features=("text",))["text"]
        rows = zip(texts, answers["label"], answers["score"], answers["probabilities"], strict=True)
        return [
            {
                "label": label,
                "score": float(score),
                **{f"P({n})": float(p) for n, p in zip(self.class_names, row, strict=True)},
                "text": text.decode("utf-8", "replace") if isinstance(text, bytes) else text,
            }
            for text, label, score, row in rows
        ]

    def report(self, x, y=None, *, train=None, source="", seed=0):
        """Judges the model beside the majority class and TF-IDF logistic regression.

        Args:
            x: raw test examples, in any form that `adapt` takes.
            y: labels, where `x` does not hold them.
            train: raw training examples for the baselines; None takes those of the last `fit`.
                Without either, only the majority class stands beside the model.
            source: str, the name of the test data, for the report.
            seed: int, of the bootstrap.

        Returns:
            `rnn_apps.evaluation.report.Report`.
        """
        self._require_adapted("report")
        test = self.examples(x, y)
        truth = classes.indices_of(test["label"], self.class_names)
        train = self.training_examples if train is None else self._examples_of(train)
        seen = np.repeat(np.arange(len(self.class_counts)), self.class_counts)
        beside = {
            "majority class": baselines.majority_class(seen, len(self.class_names), len(truth))
        }
        if train is not None:
            beside["TF-IDF logistic regression"] = baselines.tfidf_logistic_regression(
                train["text"],
                classes.indices_of(train["label"], self.class_names),
                test["text"],
                len(self.class_names),
            )
        return labels.judge(
            truth,
            self.predict(test["text"])["probabilities"],
            self.class_names,
            baselines=beside,
            data=source,
            application=type(self).__name__,
            seed=seed,
        )


def _example(text):
    """A serialized `tf.train.Example` with one feature, "text"."""
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
    return tf.train.Example(
        features=tf.train.Features(feature={"text": feature})
    ).SerializeToString()
