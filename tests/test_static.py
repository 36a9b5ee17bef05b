"""What is known of whole series, as numbers."""

import numpy as np
import tensorflow as tf

from rnn_apps.preprocessing import static


def test_names_become_one_column_each_and_a_stranger_has_none():
    facts = static.learn(np.array(["énergie", "banks", "énergie"], dtype=object))
    assert facts == {"names": ["banks", "énergie"]}
    assert static.width(facts) == 2
    said = static.encode(tf.constant(["énergie", "banks", "tea", ""]), facts)
    assert said.numpy().tolist() == [[0, 1], [1, 0], [0, 0], [0, 0]]


def test_numbers_are_standardised_cut_and_where_unknown_the_usual_one():
    facts = static.learn(np.array([1.0, 3.0]))
    assert facts == {"mean": 2.0, "deviation": 1.0}
    assert static.width(facts) == 1
    said = static.encode(tf.constant([2.0, 5.0, 1e30, -1e30, np.nan, np.inf]), facts)
    assert said.numpy().tolist() == [[0], [3], [8], [-8], [0], [0]]


def test_a_number_that_is_the_same_for_all_says_nothing_but_of_others():
    facts = static.learn(np.array([7.0, 7.0]))
    assert static.encode(tf.constant([7.0, 9.0]), facts).numpy().tolist() == [[0], [2]]
