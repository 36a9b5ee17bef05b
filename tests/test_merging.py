"""Requests made one batch, and the answer taken apart again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import texts

from rnn_apps.server.errors import ServingError
from rnn_apps.server.merging import Merging, rows_of


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.sampled_from([(), (4, 20)]))
def test_what_is_merged_and_split_again_is_what_it_was(sizes, allowed):
    requests = [{"x": np.full([size, 2], number)} for number, size in enumerate(sizes)]
    merging = Merging(sizes=allowed)
    merged, rows = merging.merge(requests)
    if allowed and sizes[-1] > 0:
        assert len(merged["x"]) in allowed
    parts = merging.split({"y": merged["x"] * 3}, rows)[: len(requests)]
    for request, part in zip(requests, parts, strict=True):
        np.testing.assert_array_equal(part["y"], request["x"] * 3)


def test_shorter_rows_are_padded_with_zeros_or_empty_strings_on_the_right():
    merging = Merging(pad=True)
    merged, _ = merging.merge([{"x": np.ones([1, 3])}, {"x": np.ones([2, 1])}])
    assert merged["x"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    merged, _ = merging.merge([{"x": texts("a", "b")[None]}, {"x": texts("c")[None]}])
    assert merged["x"].tolist() == [[b"a", b"b"], [b"c", b""]]


def test_rows_of_different_shapes_are_refused_without_padding_and_ranks_always():
    with pytest.raises(ServingError, match="different shapes and padding is turned off") as refused:
        Merging().merge([{"x": np.ones([1, 3])}, {"x": np.ones([1, 2])}])
    assert refused.value.code == "FAILED_PRECONDITION"
    with pytest.raises(ServingError, match="different ranks"):
        Merging(pad=True).merge([{"x": np.ones([1, 3])}, {"x": np.ones([1])}])


@pytest.mark.parametrize(
    "inputs, words",
    [
        ({}, "at least one input tensor"),
        ({"x": np.float32(3)}, "at least one dimension"),
        ({"x": np.ones([2]), "y": np.ones([3])}, "equal 0th-dimension size"),
    ],
)
def test_inputs_that_are_no_rows_are_refused(inputs, words):
    with pytest.raises(ServingError, match=words):
        rows_of(inputs)


def test_an_output_that_is_no_row_for_each_row_is_refused():
    with pytest.raises(ServingError, match="has 0 dimensions"):
        Merging().split({"y": np.float32(1)}, [1, 1])
    with pytest.raises(ServingError, match="does not equal the sum"):
        Merging().split({"y": np.ones([3])}, [1, 1])
