"""Subwords, words and characters: what is a token, what comes back, what travels with the model."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.preprocessing.levels import TextTokenizer
from rnn_apps.preprocessing.text import BEGIN, END, UNKNOWN, SubwordTokenizer, utf8

VERSE = "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate in it:\n"
WORDS = ["the cat sat\non the mat", "the dog sat\n\non the log"]


def adapted(level, texts=(VERSE,), **options):
    tokenizer = TextTokenizer(400, level=level, **options)
    tokenizer.adapt(list(texts))
    return tokenizer


def ids_of(tokenizer, text):
    return tokenizer.tokenize(tf.constant(utf8([text])))[0].numpy()


def back(tokenizer, text):
    ids = tokenizer.tokenize(tf.constant(utf8([text])))
    return tokenizer.detokenize(ids)[0].numpy().decode()


@pytest.mark.parametrize(
    "text", [VERSE, "a  b", " lead", "trail ", "\n\n", "Thou\nart", "", "ee\n ee"]
)
def test_characters_come_back_as_they_were_with_every_white_space(text):
    tokenizer = adapted("character", [VERSE, "b\n"], line_breaks=True, lowercase=False)
    ids = ids_of(tokenizer, text)
    assert len(ids) == len(text) + 2 and ids[0] == BEGIN and ids[-1] == END
    assert back(tokenizer, text) == text


def test_without_line_breaks_they_are_spaces_at_every_level():
    for level in ("subword", "word", "character"):
        tokenizer = adapted(level, WORDS)
        assert back(tokenizer, "the cat\nsat") == "the cat sat"
        assert list(ids_of(tokenizer, "the cat\nsat")) == list(ids_of(tokenizer, "the cat sat"))


def test_with_line_breaks_each_is_one_token():
    for level in ("subword", "word"):
        tokenizer = adapted(level, WORDS, line_breaks=True)
        (line_break,) = (n for n in range(4, tokenizer.num_pieces) if named(tokenizer, n) == "\n")
        ids = ids_of(tokenizer, "the cat\n\nsat\r\non")
        assert list(ids).count(line_break) == 3
        assert back(tokenizer, "the cat\n\nsat\r\non") == "the cat\n\nsat\non"


def named(tokenizer, number):
    return tokenizer.pieces(tf.constant([number]))[0].numpy().decode()


def test_each_word_is_one_token_though_it_be_unknown():
    tokenizer = adapted("word", WORDS)
    ids = ids_of(tokenizer, "the aardvark quagga sat")
    assert len(ids) == 6
    assert list(ids[2:4]) == [UNKNOWN, UNKNOWN]
    assert [named(tokenizer, n) for n in ids[[1, 4]]] == ["▁the", "▁sat"]


def test_surfaces_join_to_the_text():
    tokenizer = adapted("word", WORDS, line_breaks=True)
    ids = tokenizer.encode(tf.constant(["the cat\non the mat"]))
    joined = tf.strings.reduce_join(tokenizer.surfaces(ids), -1)[0].numpy().decode()
    assert joined == " the cat\n on the mat"


def test_subwords_are_those_of_the_subword_tokenizer():
    ours, theirs = adapted("subword", [VERSE] * 3), SubwordTokenizer(400)
    theirs.adapt([VERSE] * 3)
    text = tf.constant(utf8(["Thou art<br />café", ""]))
    np.testing.assert_array_equal(ours.encode(text), theirs.encode(text))


@pytest.mark.parametrize("level", ["subword", "word", "character"])
def test_the_vocabulary_and_the_level_travel_in_the_saved_layer(level, tmp_path):
    tokenizer = adapted(level, WORDS, line_breaks=True, lowercase=False)
    again = TextTokenizer.from_config(tokenizer.get_config())
    folder = pathlib.Path(tmp_path)
    tokenizer.save_assets(folder)
    again.load_assets(folder)
    assert keras.saving.serialize_keras_object(again) == keras.saving.serialize_keras_object(
        tokenizer
    )
    for text in (*WORDS, "The\ncat", ""):
        np.testing.assert_array_equal(ids_of(again, text), ids_of(tokenizer, text))


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="'syllable'"):
        TextTokenizer(level="syllable")
