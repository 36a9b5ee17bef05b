"""Captioning: picture → sequence. The bytes of a picture in; what is to be seen on it out."""

from typing import Literal

import keras
import tensorflow as tf

from rnn_apps import caption_reports, data, picture_features, training, writing
from rnn_apps.application import Application
from rnn_apps.blocks.decoder import AttentionDecoder
from rnn_apps.blocks.grid_memory import GridMemory
from rnn_apps.blocks.tied_embedding import TiedEmbedding
from rnn_apps.blocks.vision import ImageEncoder
from rnn_apps.data import picture_requests as requests
from rnn_apps.preprocessing.caption_batches import CaptionBatches
from rnn_apps.preprocessing.images import decode_images
from rnn_apps.preprocessing.text import PADDING, SubwordTokenizer, utf8
from rnn_apps.pretraining import Pretrained
from rnn_apps.writing import Writer, fitted


@keras.saving.register_keras_serializable(package="rnn_apps")
class ImageCaptioner(Application):
    """Captions pictures by a convolutional network and a recurrent decoder with attention.

    Bytes of a picture → square of pixels → grid of features → memory; the decoder attends to the
    memory and writes subword by subword, in a beam search that is part of the model (Xu et al.,
    2015). Without attention, all the decoder knows of a picture is the mean of the memory (Vinyals
    et al., 2015). In training every caption of a picture is a target.

    A network that begins with weights is not trained, and what it makes of the pictures is computed
    once and kept on disk (`rnn_apps.picture_features`), unless or until it is trained along. A
    picture that cannot be read has the caption "", and is not `ok`.

    Args:
        backbone: "convnet", a small network for small pictures, or the name of a model in
            `keras.applications`; see `rnn_apps.blocks.ImageEncoder`.
        image_size: int, the side of the squares in pixels that pictures are resized to.
        framing: "pad" to show all of a picture, or "crop" to fill the square with its middle.
        backbone_layer: str, the layer of the backbone whose output is the grid; None for the last.
        backbone_weights: None to begin at random, "imagenet", or the path of a file of
            weights. What is saved does not need the file.
        train_backbone: bool, whether it is trained; None to do so if it begins at random.
        train_backbone_from: int or None. If given, the backbone is trained from this epoch of a
            `fit` on, counted from 1, and held still before.
        backbone_rate: float, its learning rate then, as a share of that of the rest.
        cell: "lstm", "gru" or "simple_rnn".
        units: int, units of each recurrent layer, and the width of the memory.
        decoder_layers: int, recurrent layers that write.
        pretrained: path of a saved `LanguageModel` with residual=True, or the model itself, or
            None. Subwords, their vectors and the layers that write begin as its, with its cell,
            units, embedding_dim, vocabulary_size and lowercase, which may then be left out.
        attention: "scaled", "additive" (slower), "general" or "dot" (`MemoryAttention`), or None.
        embedding_dim: int, size of a subword's vector.
        vocabulary_size: int, the most subwords to learn.
        lowercase: bool, whether captions are written in lower case.
        dropout: float, dropout of what enters each recurrent layer, the same at every step.
        memory_dropout: float, dropout of the memory.
        hidden_dropout: float, dropout of what the output projection sees.
        token_dropout: float, share of the places in a caption whose vector is zero in training.
        label_smoothing: float, probability given away to all subwords (Szegedy et al., 2016).
        attention_regularisation: float, weight of the doubly stochastic penalty, which asks that
            every place of a picture is looked at (Xu et al., 2015, section 4.2.1); 0 for none.
        beams: int, the most beams of a search, and how many it has by default.
        length_penalty: float, exponent of the length normalisation (Wu et al., 2016, equation 14);
            0 for none.
        no_repeat_ngram: int, length of n-grams that a caption has only once; 0 for no rule.
        max_length: int, the most subwords of a caption, its end among them.
        monitored: "cider_d" (of up to 500 validation pictures, captioned greedily after each epoch)
            or "loss": what early stopping goes by.
        name: as in every Keras model.
        dtype: Keras dtype policy, such as "mixed_bfloat16"; None for Keras's own.

    Example:
        >>> model = ImageCaptioner(image_size=16, units=8, embedding_dim=8, vocabulary_size=300)
        >>> pictures = [np.full([16, 16, 3], shade, "uint8") for shade in (0, 255)]
        >>> model.adapt(pictures, [["a dark one", "it is dark"], ["a light one"]])
        >>> model.compile()
        >>> history = model.fit(pictures, [["dark"], ["light"]], epochs=1, verbose=0)
        >>> sorted(model.predict(pictures))
        ['caption', 'ok', 'score']
    """

    features = ("image", "captions")
    request = {"image_bytes": tf.TensorSpec([None], tf.string, name="image_bytes")}
    plain = ("file", "caption")

    def __init__(
        self,
        *,
        backbone: str = "convnet",
        image_size: int = 64,
        framing: Literal["pad", "crop"] = "pad",
        backbone_layer: str | None = None,
        backbone_weights: str | None = None,
        train_backbone: bool | None = None,
        train_backbone_from: int | None = None,
        backbone_rate: float = 0.1,
        cell: Literal["lstm", "gru", "simple_rnn"] = "gru",
        units: int = 256,
        decoder_layers: int = 1,
        pretrained: str | None = None,
        attention: Literal["scaled", "additive", "general", "dot"] | None = "scaled",
        embedding_dim: int = 128,
        vocabulary_size: int = 4000,
        lowercase: bool = True,
        dropout: float = 0.0,
        memory_dropout: float = 0.1,
        hidden_dropout: float = 0.3,
        token_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        attention_regularisation: float = 0.0,
        beams: int = 3,
        length_penalty: float = 1.0,
        no_repeat_ngram: int = 0,
        max_length: int = 40,
        monitored: Literal["cider_d", "loss"] = "cider_d",
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        sizes = {"beams": beams, "max_length": max_length}
        for option, size in (sizes | {"train_backbone_from": train_backbone_from or 1}).items():
            if not size >= 1:
                raise ValueError(f"{option}={size} is too small; give 1 or more.")
        if None not in (train_backbone, train_backbone_from):
            raise ValueError("train_backbone and train_backbone_from came both; give one of them.")
        if framing not in ("pad", "crop"):
            raise ValueError(f"framing={framing!r} is unknown; give 'pad' or 'crop'.")
        self.backbone = backbone
        self.image_size = image_size
        self.framing = framing
        self.backbone_layer = backbone_layer
        self.backbone_weights = backbone_weights
        self.train_backbone = train_backbone
        self.train_backbone_from = train_backbone_from
        self.backbone_rate = backbone_rate
        self.cell = cell
        self.units = units
        self.decoder_layers = decoder_layers
        self.pretraining = Pretrained(pretrained)
        self.pretrained = self.pretraining.name
        self.attention = attention
        self.embedding_dim = embedding_dim
        self.vocabulary_size = vocabulary_size
        self.lowercase = lowercase
        self.dropout = dropout
        self.memory_dropout = memory_dropout
        self.hidden_dropout = hidden_dropout
        self.token_dropout = token_dropout
        self.label_smoothing = label_smoothing
        self.attention_regularisation = attention_regularisation
        self.beams = beams
        self.length_penalty = length_penalty
        self.no_repeat_ngram = no_repeat_ngram
        self.max_length = max_length
        self.monitored = monitored
        self.encoder = None
        self._new_encoder()  # so that mistakes in its settings are found now
        self.tokenizer = SubwordTokenizer(vocabulary_size, lowercase=lowercase, name="tokenizer")

    def _new_encoder(self):
        trained = self.train_backbone if self.train_backbone_from is None else False
        how = {"layer": self.backbone_layer, "weights": self.backbone_weights}
        how |= {"trainable": trained, "name": "encoder", "dtype": self.dtype_policy}
        return ImageEncoder(self.backbone, image_size=self.image_size, **how)

    @property
    def monitor(self):
        """The name in the epochs' logs that early stopping goes by."""
        return f"val_{self.monitored}"

    @classmethod
    def load(cls, source, **options):
        """Loads captioned pictures by name, as `rnn_apps.data.load_captions` does."""
        return data.load_captions(source, **options)

    def read_requests(self, source, columns=None):
        """Reads the pictures of files and folders; see `data.picture_requests.read_pictures`."""
        return requests.read_pictures(source, columns, picture_features.readable)

    def examples(self, x, y=None):
        """Brings captioned pictures of any form into columns; see `data.as_captioned`."""
        return data.as_captioned(x, y)

    def learn(self, columns):
        """Learns the subwords of all captions, and reads the backbone's weights."""
        captions = [text for texts in columns["captions"] for text in texts]
        self.pretraining.learn(self, captions, residual=True)
        self.encoder = self._new_encoder()
        self.encoder.build((None, self.image_size, self.image_size, 3))
        self.encoder.built = True
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {"num_pieces": self.tokenizer.num_pieces, "encoder": encoder}

    def assemble(self, num_pieces, encoder):
        """Makes the layers and builds them; reloaded, the backbone as it was saved."""
        if self.encoder is None:
            self.encoder = keras.saving.deserialize_keras_object(encoder)
        settings = {"dtype": self.dtype_policy}
        self.memory = GridMemory(self.units, dropout=self.memory_dropout, name="memory", **settings)
        words = {"token_dropout": self.token_dropout, "name": "embedding", **settings}
        self.embedding = TiedEmbedding(num_pieces, self.embedding_dim, **words)
        layers = {"num_layers": self.decoder_layers, "residual": True, "attention": self.attention}
        layers |= {"dropout": self.dropout, "hidden_dropout": self.hidden_dropout, **settings}
        self.decoder = AttentionDecoder(
            self.embedding, self.cell, self.units, name="decoder", **layers
        )
        blank = tf.zeros([1, self.image_size, self.image_size, 3])
        self.decoder(tf.ones([1, 8], tf.int32), self.encode(images=blank))  # builds every layer
        self.pretraining.carry_over(self.embedding, decoder=self.decoder.forward_layers)

    def feed(self, columns, *, batch_size, shuffle, seed, sample_weight):
        """Encodes the captions once, and batches pictures with all of theirs."""
        texts = utf8([text for some in columns["captions"] for text in some])
        captions = self.tokenizer.tokenize(tf.constant(texts, tf.string))
        counts = [len(some) for some in columns["captions"]]
        how = {"sample_weight": sample_weight, "batch_size": batch_size, "shuffle": shuffle}
        return CaptionBatches(self.pictures(columns["image"]), captions, counts, seed=seed, **how)

    def pictures(self, image_bytes):
        """Makes pictures ready to train on; see `picture_features.to_train_on`."""
        how = {"later": self.train_backbone_from is not None}
        return picture_features.to_train_on(self.encoder, image_bytes, self.framing, **how)

    def encode(self, images=None, features=None, training=False):
        """Reads pictures.

        Args:
            images: numbers (B, S, S, 3) in [0, 255].
            features: floating (B, grid, grid, M), what the encoder made of them, in their place
                while it is not trained.
            training: bool, whether dropout is on, and the backbone in training mode if trained.

        Returns:
            floating (B, grid·grid, units), the memory.
        """
        if features is None or (images is not None and self.encoder.trainable):
            features = self.encoder.features(images, training=training)
        return self.memory(self.encoder.finish(features), training=training)

    def call(self, inputs, training=None):
        """The network up to the output projection, which the loss applies piece by piece.

        Args:
            inputs: {"images" and/or "features": (P, …), "caption_of": int32 (B,), "target": int32
                (B, U)}: each caption's picture, and its subwords from the begin token on, padded
                with 0.
            training: bool, whether dropout is on.

        Returns:
            floating (B, U, E); `decoder.logits` makes logits of the next subwords of it.
        """
        training, target = bool(training), inputs["target"]
        memory = self.encode(inputs.get("images"), inputs.get("features"), training)
        memory = tf.gather(memory, inputs["caption_of"])
        hidden, weights = self.decoder.hidden(
            target, memory, training=training, return_weights=True
        )
        if training and self.attention and self.attention_regularisation:
            penalty = writing.unevenness(weights, target != PADDING)
            self.add_loss(self.attention_regularisation * penalty)
        return hidden

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
        """Keeps validation pictures to caption after each epoch; trains the backbone in time."""
        later = self.train_backbone_from is not None
        own = [training.TrainFrom(self.encoder, self.train_backbone_from)] if later else []
        wanted = validation is not None and self.monitored == "cider_d"
        self._validated = caption_reports.Validated(self, validation) if wanted else None
        return own

    def trained_variables(self):
        """Those of a backbone that is trained later are among them from the beginning."""
        if self.train_backbone_from is None:
            return super().trained_variables()
        with training.trainable(self.encoder):
            return self.trainable_variables

    def default_compilation(self, optimizer):
        """Gives a backbone that is trained later its share of the learning rate."""
        if self.train_backbone_from is not None:
            optimizer = training.with_shares(optimizer, {"encoder/": self.backbone_rate})
        return {"optimizer": optimizer}

    def evaluate(self, x=None, y=None, batch_size=64, **kwargs):
        """The loss and metrics of `compile`; within `fit` also the CIDEr-D that is monitored."""
        found = super().evaluate(x, y, batch_size, **kwargs)
        if "_use_cached_eval_dataset" in kwargs and self._validated:
            found["cider_d"] = self._validated.cider_d()
        return found

    def writer(self):
        """The search over the decoder, `rnn_apps.writing.Writer`."""
        penalties = (self.length_penalty, 0.0, self.no_repeat_ngram)
        return Writer(self.decoder, self.tokenizer, self.beams, *penalties)

    def _search(self, image_bytes, **how):
        """Reads pictures and searches; returns whether they were read, the memory, and `Beams`."""
        images, ok = decode_images(image_bytes, self.image_size, fit=self.framing)
        memory = self.encode(images)
        return ok, memory, self.writer().search(memory, None, self.max_length, ~ok, **how)

    def answer(self, image_bytes):
        """Captions pictures.

        Args:
            image_bytes: string (B,), the bytes of JPEG, PNG, GIF or BMP files.

        Returns:
            caption: string (B,), the best hypothesis; "" for a picture that cannot be read.
            score: float32 (B,), its log-probability over its length penalty, at most 0.
            ok: bool (B,), whether the picture could be read.
        """
        ok, _, found = self._search(image_bytes, n_best=1)
        return {"caption": self.writer().texts(found)[:, 0], "score": found.scores[:, 0], "ok": ok}

    def n_best(self, image_bytes, beam_size, length_penalty):
        """Captions pictures, each in its own way and several times.

        Args:
            image_bytes: string (B,), as of `answer`.
            beam_size: int32 (B,), beams that are searched, brought into the range 1 to `beams`.
            length_penalty: float32 (B,), as in the constructor.

        Returns:
            caption: string (B, K), best first, "" beyond the count; K is `beams`.
            score: float32 (B, K), -1e9 beyond the count.
            count: int32 (B,), how many there are: at least 1, at most the beam size.
            ok: bool (B,), as of `answer`.
        """
        ok, _, found = self._search(image_bytes, beam_size=beam_size, length_penalty=length_penalty)
        said = self.writer().texts(found)
        return {"caption": said, "score": found.scores, "count": found.count, "ok": ok}

    def attention_weights(self, image_bytes):
        """Captions pictures and tells where each subword looked.

        Args:
            image_bytes: string (B,), as of `answer`.

        Returns:
            caption: string (B,), as of `answer`.
            ok: bool (B,), as of `answer`.
            tokens: string (B, U), subwords, the end token last, then ""; U is `max_length`.
            length: int32 (B,), subwords there are.
            weights: float32 (B, U, grid, grid), what each attended to, the first row at the top;
                each subword's sum is 1.
        """
        ok, memory, found = self._search(image_bytes, n_best=1)
        tokens, length, weights = self.writer().attention(found, memory, None)
        grid = self.encoder.grid
        weights = fitted(weights, self.max_length, grid**2)
        return {
            "caption": self.writer().texts(found)[:, 0],
            "ok": ok,
            "tokens": fitted(tokens, self.max_length),
            "length": length,
            "weights": tf.reshape(weights, [-1, self.max_length, grid, grid]),
        }

    def endpoints(self):
        """Adds `n_best`, and `attention` where there is any."""
        look = self.attention_weights if self.attention else None
        return super().endpoints() | writing.endpoints(self, look)

    def example_requests(self):
        """A small picture and a larger one."""
        pictures = (requests.example_picture(*sides) for sides in ((32, 24), (480, 640)))
        return [{"image_bytes": [picture]} for picture in pictures]

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
        """Captions pictures.

        Args:
            x: list or array of pictures (the bytes of a file, its path, or pixels), or any other
                form that `data.picture_requests.as_pictures` takes.
            batch_size: int, pictures captioned at a time; the answers do not depend on it.
            n_best: int or None; if given, how many hypotheses of each picture are returned.
            beam_size: int from 1 (greedy) to `beams`; None for `beams`.
            length_penalty: float; None for the model's own.
            verbose: "auto" for a progress bar where somebody sees it, or 0.

        Returns:
            {"caption": str (N,), "score": float32 (N,), "ok": bool (N,)}; with `n_best` the first
            two (N, n_best), and "count" int32 (N,), how many hypotheses there are.

        Raises:
            ValueError: if `beam_size` or `n_best` is out of its range.
            OSError: if a file cannot be read.
        """
        self._require_adapted("predict")
        how = {"n_best": n_best, "beam_size": beam_size, "length_penalty": length_penalty}
        request = {"image_bytes": requests.as_pictures(x)}
        return writing.answers(self, request, batch_size, **how, verbose=verbose)

    def records(self, x, answers):
        """A row per caption, with its score, `ok` and file; of several, with number and rank."""
        files = requests.file_names(x, len(answers["ok"]))
        return writing.records("caption", {"ok": answers["ok"].tolist(), "file": files}, answers)

    def draw(self, x, answers):
        """Draws where each subword of the first caption looked; None where there is none."""
        return caption_reports.overlay(self, requests.as_pictures(x)) if self.attention else None

    def report(self, x, y=None, *, train=None, beside=None, source="", seed=0):
        """Judges captions beside those of people, and of who took no look.

        Args:
            x: raw test examples, in any form that `adapt` takes.
            y: captions, where `x` does not hold them.
            train: raw training examples, for the most frequent caption and that of the nearest
                neighbour; None takes those of the last `fit`.
            beside: {name: another captioner, or the N captions it gave}, to compare with.
            source: str, the name of the test data, for the report.
            seed: int, of the bootstrap and of the shuffled pictures.

        Returns:
            `rnn_apps.evaluation.report.Report`, with an overlay of the attention and a contact
            sheet. Captions of the built-in pictures are also checked against their scenes.
        """
        self._require_adapted("report")
        train = self.training_examples if train is None else self._examples_of(train)
        test = self.examples(x, y)
        return caption_reports.report(self, test, train, beside or {}, source, seed)
