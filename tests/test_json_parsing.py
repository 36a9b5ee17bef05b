"""JSON is read by the real server's grammar, and refused with its words and offsets."""

import json
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_apps.server import json_parsing
from rnn_apps.server.errors import ServingError

REFUSED = {
    b" \n": "The document is empty. at offset: 2",
    b"]": "The document is empty. at offset: 0",
    b"x": "Invalid value. at offset: 0",
    b"tru": "Invalid value. at offset: 3",
    b"[": "Invalid value. at offset: 1",
    b"[1,]": "Invalid value. at offset: 3",
    b"[-]": "Invalid value. at offset: 2",
    b"[Na]": "Invalid value. at offset: 3",
    b"[Infix]": "Invalid value. at offset: 5",
    b'{"a":': "Invalid value. at offset: 5",
    b"[1": "Missing a comma or ] after an array element. at offset: 2",
    b"[1 2]": "Missing a comma or ] after an array element. at offset: 3",
    b"[01]": "Missing a comma or ] after an array element. at offset: 2",
    b'{"a":1': "Missing a comma or } after an object member. at offset: 6",
    b"{": "Missing a name for object member. at offset: 1",
    b'{"a":1,}': "Missing a name for object member. at offset: 7",
    b'{"a" 1}': "Missing a colon after a name of object member. at offset: 5",
    b"[1.]": "Miss fraction part in number. at offset: 3",
    b"[1e+]": "Miss exponent in number. at offset: 4",
    b"[7, -1e999]": "Number too big to be stored in double. at offset: 4",
    b'["\\x"]': "Invalid escape character in string. at offset: 2",
    b'["\\ud83dA"]': "The surrogate pair in string is invalid. at offset: 2",
    b'["\\udc00"]': "The surrogate pair in string is invalid. at offset: 2",
    b'["\\u12g4"]': "Incorrect hex digit after \\u escape in string. at offset: 2",
    b'["a': "Missing a closing quotation mark in string. at offset: 3",
    b'["a\nb"]': "Invalid encoding in string. at offset: 3",
    b"[" * 513: "Terminate parsing due to Handler error. at offset: 513",
}
TAKEN = {
    b"\xef\xbb\xbf [1]": [1],
    b'{"a": 1} and more': {"a": 1},
    b'{"a": 1, "a": 2}': {"a": 1},
    b'["\xff"]': [b"\xff"],
    b'["\\ud83d\\ude00\\u0000\\/"]': ["😀\0/".encode()],
    b"[18446744073709551615, 18446744073709551616]": [2**64 - 1, float(2**64)],
    b"[Inf, -Infinity]": [math.inf, -math.inf],
    b'["a", [1, [2.5]], [3], [1e2], [1e400, 4]'[:-11] + b"5]": [b"a", [1, [2.5]], [3], [1e2], 5],
    b"[-0, 0.10000000000000000000001]": [0, 0.1],
    b'[[1, 2], {"b": []}, {}, null, true, false]': [[1, 2], {"b": []}, {}, None, True, False],
    b"[" * 512 + b"]" * 512: json.loads("[" * 512 + "]" * 512),
}


@pytest.mark.parametrize("document", REFUSED, ids=lambda document: repr(document[:20]))
def test_what_is_no_json_is_refused_in_the_servers_words(document):
    with pytest.raises(ServingError) as refused:
        json_parsing.parse(document)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert refused.value.message == f"JSON Parse error: {REFUSED[document]}"


@pytest.mark.parametrize("document", TAKEN, ids=lambda document: repr(document[:20]))
def test_what_the_server_takes_is_taken(document):
    assert json_parsing.parse(document) == TAKEN[document]


def test_an_empty_body_and_a_flood_of_values_have_words_of_their_own():
    with pytest.raises(ServingError, match="^JSON Parse error: The document is empty$"):
        json_parsing.parse(b"")
    with pytest.raises(ServingError, match="more than the 9 values") as refused:
        json_parsing.parse(b"[" + b"[]," * 9 + b"1]", max_values=9)
    assert refused.value.code == "RESOURCE_EXHAUSTED"


def in_bytes(value):
    """A value of Python's JSON with strings as the parser gives them."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return [in_bytes(each) for each in value]
    if isinstance(value, dict):
        return {name: in_bytes(each) for name, each in value.items()}
    return value


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 0, 3]))
def test_whatever_python_writes_is_read_as_it_was(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert json_parsing.parse(text.encode()) == in_bytes(value)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | st.text('[]{}",:0123eE.-+ntfalsruNI\\u ', max_size=40))
def test_no_document_does_more_than_be_refused(document):
    document = document.encode() if isinstance(document, str) else document
    try:
        value = json_parsing.parse(document)
    except ServingError as error:
        assert error.message.startswith("JSON Parse error: ")
    else:
        assert isinstance(value, (type(None), bool, int, float, bytes, list, dict))


def test_time_grows_with_the_length_of_a_document_and_not_with_its_square():
    def seconds(count):
        document, tries = b'["a"' + b",[1.5, [2]]" * count + b"]", []
        for _ in range(4):
            start = time.process_time()
            json_parsing.parse(document)
            tries.append(time.process_time() - start)
        return min(tries)

    assert seconds(40_000) < 50 * seconds(4_000)  # the square would take 100 times as long
