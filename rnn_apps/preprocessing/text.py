"""Raw text to subword ids and back, inside the graph.

SentencePiece (Kudo and Richardson, 2018) learns the subwords from the training texts alone;
tensorflow-text's operations encode and decode them, in training as in a served model. The Python
``sentencepiece`` package only ever trains: it breaks ties differently from the graph operation.
"""

import functools
import hashlib
import io
import pathlib

import keras
import numpy as np
import sentencepiece
import tensorflow as tf
import tensorflow_text

PADDING, UNKNOWN, BEGIN, END = 0, 1, 2, 3
"""Ids of the control pieces; padding is on the right and has id 0."""

_UNADAPTED = "This tokenizer has no vocabulary yet: call adapt(texts) first."
_MODEL_FILE = "sentencepiece.model"
_LINE_BREAK = r"(?i)<br\s*/?>"
_TRAINING_THREADS = 4  # the learned vocabulary depends on it, so it is not the machine's


def utf8(texts):
    """Turns texts into UTF-8 bytes, as string tensors hold them.

    Args:
        texts: sequence of str or bytes. Lone surrogates, which UTF-8 cannot hold, become "?".

    Returns:
        object array (B,) of bytes.
    """
    encoded = np.empty(len(texts), dtype=object)
    for row, text in enumerate(texts):
        encoded[row] = text if isinstance(text, bytes) else str(text).encode("utf-8", "replace")
    return encoded


def decoded(values):
    """Turns an object array of UTF-8 bytes into one of str; leaves other arrays as they are."""
    if values.dtype != object:
        return values
    texts = np.empty(values.shape, dtype=object)
    texts.flat = [value.decode("utf-8", "replace") for value in values.flat]
    return texts


@keras.saving.register_keras_serializable(package="rnn_apps")
class SubwordTokenizer(keras.layers.Layer):
    """Subword tokenizer that lives in the model, the ``.keras`` file and the SavedModel.

    HTML line breaks become spaces; unicode is normalised by NFKC and white space is folded;
    characters without a piece of their own are spelled in UTF-8 bytes, so that no input is
    unknown. Invalid UTF-8 becomes U+FFFD. Every row starts with the begin id and ends with the
    end id: even an empty text has two tokens, and no row is fully masked.

    Args:
        vocabulary_size: int, the most pieces to learn, among them 4 control and 256 byte pieces.
            A small corpus yields fewer; `num_pieces` says how many there are.
        lowercase: bool, whether case is folded before anything else.
        max_tokens: int or None. A longer row keeps its first and its last ``max_tokens // 2``
            tokens (rounded up at the beginning); None keeps everything.

    Example:
        >>> tokenizer = SubwordTokenizer(vocabulary_size=300)
        >>> tokenizer.adapt(["a quiet masterpiece", "a loud mess"])
        >>> tokenizer.encode(tf.constant(["a mess", ""])).shape[0]
        2
    """

    def __init__(self, vocabulary_size=8000, *, lowercase=True, max_tokens=None, **kwargs):
        super().__init__(trainable=False, **kwargs)
        if max_tokens is not None and max_tokens < 4:
            raise ValueError(
                f"max_tokens={max_tokens} leaves no room for text between the begin and the end "
                "token; give at least 4, or None to keep everything."
            )
        self.vocabulary_size = vocabulary_size
        self.lowercase = lowercase
        self.max_tokens = max_tokens
        self.num_pieces = None
        self._model = None

    def adapt(self, texts):
        """Learns the subwords.

        Args:
            texts: sequence of str or bytes, the training texts and nothing else.

        Raises:
            ValueError: if the texts hold no characters, or `vocabulary_size` is smaller than
                their alphabet.
        """
        lines = [line for line in self._training_lines(texts) if line.strip()]
        if not lines:
            raise ValueError(
                f"adapt got {len(texts)} texts without a single character in them; a vocabulary "
                "is learned from texts, so give the column that holds them."
            )
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                vocab_size=self.vocabulary_size,
                hard_vocab_limit=False,
                max_sentence_length=10 + max(len(line.encode()) for line in lines),
                pad_id=PADDING,
                unk_id=UNKNOWN,
                bos_id=BEGIN,
                eos_id=END,
                num_threads=_TRAINING_THREADS,
                minloglevel=2,
                **self.training_options(),
            )
        except RuntimeError as error:
            raise ValueError(
                f"vocabulary_size={self.vocabulary_size} is too small for the alphabet of these "
                f"texts plus 260 control and byte pieces; raise it ({error})."
            ) from error
        self._use(model.getvalue())

    def take(self, other):
        """Takes over another tokenizer's vocabulary, and its `vocabulary_size` and `lowercase`.

        Args:
            other: `SubwordTokenizer` that has a vocabulary.

        Raises:
            ValueError: if it has none yet.
        """
        if other._model is None:
            raise ValueError(_UNADAPTED)
        self.vocabulary_size, self.lowercase = other.vocabulary_size, other.lowercase
        self._use(other._model)

    def training_options(self):
        """What SentencePiece's trainer is told beside the vocabulary's size."""
        rule = "nmt_nfkc_cf" if self.lowercase else "nmt_nfkc"
        return {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": rule}

    def cleaned(self, texts):
        """Brings raw texts into SentencePiece's form: string (B,) → string (B,)."""
        return tf.strings.regex_replace(texts, _LINE_BREAK, " ")

    def encoded(self, texts):
        """Encodes cleaned texts: string (B,) → int32 ragged (B, None)."""
        return self._operations().tokenize(texts)

    def restored(self, texts):
        """Brings decoded texts back into raw form: string (B,) → string (B,)."""
        return texts

    def _training_lines(self, texts):
        """Yields what SentencePiece learns from, cleaned as `tokenize` cleans."""
        batch = 4096
        encoded = utf8(texts)
        for start in range(0, len(encoded), batch):
            for line in self.cleaned(encoded[start : start + batch]).numpy():
                yield line.decode("utf-8", "replace").replace("\0", " ")

    def _use(self, serialized):
        self._model = serialized
        processor = sentencepiece.SentencePieceProcessor(model_proto=serialized)
        self.num_pieces = processor.get_piece_size()
        self.built = True

    def _operations(self, ends=True):
        """tensorflow-text's operations, made where they are used.

        An eager tokenizer object would hold a resource that is lost when TensorFlow clears its
        kernels, as `tf.random.set_seed` makes it do; inside a function it is made anew. TensorFlow
        takes operations of one name for one and the same when an export is loaded, so that the
        name tells the vocabulary.
        """
        with tf.name_scope(f"vocabulary_{hashlib.sha256(self._model).hexdigest()[:16]}"):
            return tensorflow_text.SentencepieceTokenizer(
                model=self._model, out_type=tf.int32, add_bos=ends, add_eos=ends
            )

    # Each a function of its own, so that all signatures of an export share its vocabulary.

    @functools.cached_property
    def _tokenize(self):
        def tokenize(texts):
            return self.encoded(self.cleaned(texts))

        specs = [tf.TensorSpec([None], tf.string)]
        return tf.function(tokenize, input_signature=specs, autograph=False)

    @functools.cached_property
    def _detokenize(self):
        def detokenize(values, row_splits):
            rows = tf.RaggedTensor.from_row_splits(values, row_splits, validate=False)
            return self.restored(self._operations().detokenize(rows))

        specs = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.int64)]
        return tf.function(detokenize, input_signature=specs, autograph=False)

    @functools.cached_property
    def _name(self):
        processor = sentencepiece.SentencePieceProcessor(model_proto=self._model)
        named = [processor.id_to_piece(number) for number in range(self.num_pieces)]
        specs = [tf.TensorSpec([None], tf.int32)]
        return tf.function(
            lambda token_ids: tf.gather(tf.constant(named), token_ids),
            input_signature=specs,
            autograph=False,
        )

    def tokenize(self, texts):
        """Encodes texts without padding.

        Args:
            texts: string (B,), UTF-8.

        Returns:
            int32 ragged (B, None), token ids in [0, `num_pieces`).
        """
        if self._model is None:
            raise ValueError(_UNADAPTED)
        token_ids = self._tokenize(texts)
        return token_ids if self.max_tokens is None else _keep_ends(token_ids, self.max_tokens)

    def encode(self, texts):
        """Encodes texts.

        Args:
            texts: string (B,), UTF-8.

        Returns:
            int32 (B, T), token ids, padded on the right with 0; T is the longest row's length.
        """
        return self.tokenize(texts).to_tensor(PADDING)

    def pieces(self, token_ids):
        """Names tokens: string tensor of the same shape, "" for padding."""
        token_ids = tf.convert_to_tensor(token_ids)
        if self._model is None:
            raise ValueError(_UNADAPTED)
        named = tf.reshape(self._name(tf.reshape(token_ids, [-1])), tf.shape(token_ids))
        return tf.ensure_shape(tf.where(token_ids == PADDING, "", named), token_ids.shape)

    def detokenize(self, token_ids):
        """Decodes ids: int32 ragged (B, None) → string (B,), control pieces left out."""
        return self._detokenize(token_ids.values, token_ids.row_splits)

    def get_config(self):
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["trainable"]
        return {
            **config,
            "vocabulary_size": self.vocabulary_size,
            "lowercase": self.lowercase,
            "max_tokens": self.max_tokens,
        }

    def save_assets(self, folder):
        """Keras's hook: writes the vocabulary into the ``.keras`` archive."""
        pathlib.Path(folder, _MODEL_FILE).write_bytes(self._model or b"")

    def load_assets(self, folder):
        """Keras's hook: reads what `save_assets` wrote."""
        serialized = pathlib.Path(folder, _MODEL_FILE).read_bytes()
        if serialized:
            self._use(serialized)


def _keep_ends(token_ids, limit):
    """Shortens each row of a ragged (B, None) to its first and last tokens, `limit` in all."""
    lengths = token_ids.row_lengths()
    positions = tf.ragged.range(lengths)
    head = (limit + 1) // 2
    of_row = tf.gather(lengths, positions.value_rowids())
    kept = (positions.flat_values < head) | (positions.flat_values >= of_row - (limit - head))
    return tf.ragged.boolean_mask(token_ids, positions.with_flat_values(kept))
