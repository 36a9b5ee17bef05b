"""Texts as subwords, words or characters, with or without their line breaks, inside the graph."""

import re

import keras
import tensorflow as tf

from rnn_apps.preprocessing.text import BEGIN, END, SubwordTokenizer

_LINE_BREAK_SIGN = "␤"
"""Stands for a line break in SentencePiece, which folds white space."""

_SPACE_SIGN = "▁"

_MODELS = {
    "subword": {"model_type": "bpe", "byte_fallback": True},
    "word": {"model_type": "word", "character_coverage": 1.0},
    "character": {
        "model_type": "char",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "character_coverage": 1.0,
    },
}
_NORMALISED = {True: "nmt_nfkc_cf", False: "nmt_nfkc"}  # by whether case is folded
_KEPT = {True: "nfkc_cf", False: "identity"}  # of characters, which are all to come back


@keras.saving.register_keras_serializable(package="rnn_apps")
class TextTokenizer(SubwordTokenizer):
    r"""Tokenizer of a level of your choice that lives in the model and in its SavedModel.

    Subwords are those of `SubwordTokenizer`. Words are what white space divides, the most frequent
    of the training texts; others become the unknown id. Characters are all that the training texts
    hold; none is normalised, unless case is folded, and no white space is lost.

    Args:
        vocabulary_size: int, the most tokens to learn, the 4 control ones among them.
        level: "subword", "word" or "character".
        line_breaks: bool, whether a line break is a token. If not, it is a space.
        lowercase: bool, whether case is folded.
        max_tokens: as of `SubwordTokenizer`.

    Raises:
        ValueError: if the level is unknown.

    Example:
        >>> tokenizer = TextTokenizer(level="character", line_breaks=True, lowercase=False)
        >>> tokenizer.adapt(["To be\nor not"])
        >>> tokenizer.pieces(tokenizer.encode(tf.constant(["be\nB"])))[0, 1:-1].numpy().tolist()
        [b'b', b'e', b'\n', b'<unk>']
    """

    def __init__(self, vocabulary_size=8000, *, level="subword", line_breaks=False, **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        if level not in _MODELS:
            raise ValueError(
                f"level={level!r} is unknown; give one of {', '.join(map(repr, _MODELS))}."
            )
        self.level = level
        self.line_breaks = line_breaks

    def training_options(self):
        """What SentencePiece's trainer is told beside the vocabulary's size."""
        names = _KEPT if self.level == "character" else _NORMALISED
        options = {**_MODELS[self.level], "normalization_rule_name": names[self.lowercase]}
        if self.line_breaks and self.level != "word":  # where it is a word of its own
            options["user_defined_symbols"] = [_LINE_BREAK_SIGN]
        return options

    def cleaned(self, texts):
        """Brings raw texts into SentencePiece's form: string (B,) → string (B,)."""
        texts = super().cleaned(texts)
        if not self.line_breaks:
            return texts if self.level != "character" else _replaced(texts, r"[\r\n]+", " ")
        sign = f" {_LINE_BREAK_SIGN} " if self.level == "word" else _LINE_BREAK_SIGN
        return _replaced(texts, r"\r?\n", sign)

    def encoded(self, texts):
        """Encodes cleaned texts: string (B,) → int32 ragged (B, None)."""
        if self.level != "word":
            return super().encoded(texts)
        # Word by word, since SentencePiece makes one unknown of several that follow each other.
        words = tf.strings.split(texts)
        ids = words.with_flat_values(self._operations(ends=False).tokenize(words.flat_values))
        begin, end = (tf.fill([tf.shape(texts)[0], 1], token) for token in (BEGIN, END))
        return tf.concat([begin, ids.merge_dims(1, 2), end], 1)

    def restored(self, texts):
        """Brings decoded texts back into raw form: string (B,) → string (B,)."""
        if not self.line_breaks:
            return texts
        around = " ?" if self.level == "word" else ""
        return _replaced(texts, around + _LINE_BREAK_SIGN + around, "\n")

    def pieces(self, token_ids):
        """Names tokens: string tensor of the same shape, "" for padding; a line break as it is."""
        named = super().pieces(token_ids)
        return _replaced(named, f"^{_SPACE_SIGN}?{_LINE_BREAK_SIGN}$", "\n")

    def surfaces(self, token_ids):
        """Gives what each token adds to a text: string of the shape of int32 `token_ids`.

        A token that begins a word begins with a space. The end and padding add nothing.
        """
        named = _replaced(self.pieces(token_ids), _SPACE_SIGN, " ")
        return _replaced(named, r"^(<s>|</s>)$", "")

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "level": self.level, "line_breaks": self.line_breaks}


def _replaced(texts, pattern, by):
    return tf.strings.regex_replace(texts, pattern, re.escape(by) if "\\" in by else by)
