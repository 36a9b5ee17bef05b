"""Classify and regress requests from JSON: features as JSON values become examples."""

import numpy as np
from tensorflow_serving.apis import input_pb2

from rnn_apps.server import json_tensor
from rnn_apps.server.errors import ServingError
from rnn_apps.server.json_writing import quoted

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_MOST_FLOAT = float(np.finfo(np.float32).max)


def read_examples(body):
    """Reads the body of a classify or regress request.

    Args:
        body: bytes of JSON: an object with "examples", a list of objects of features, and maybe
            "context", features of all of them, and "signature_name". A feature is a value or a
            list of values of one kind: text or {"b64": …}, decimal numbers, or whole ones.

    Returns:
        (name of the signature, "" for the default one; `tensorflow.serving.Input`).

    Raises:
        ServingError: INVALID_ARGUMENT with the words of TensorFlow Serving.

    Example:
        >>> read_examples(b'{"examples": [{"text": "fine"}]}')[0]
        ''
    """
    document = json_tensor.read_object(body)
    signature = json_tensor.signature_name(document)
    source = input_pb2.Input()
    rows = source.example_list.examples
    if "context" in document:
        rows = source.example_list_with_context.examples
        _fill_example(document["context"], source.example_list_with_context.context)
    if "examples" not in document:
        raise _invalid(
            f"JSON Value: {quoted(document)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    examples = document["examples"]
    if type(examples) is not list:
        raise _invalid(
            f"JSON Value: {quoted(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise _invalid(f"JSON Value: {quoted(document)} 'examples' value is an empty array")
    for example in examples:
        _fill_example(example, rows.add())
    return signature, source


def _fill_example(value, example):
    if type(value) is not dict:
        kind = json_tensor.json_type(value)
        raise _invalid(f"Example must be JSON object but got JSON {kind}")
    for name, content in value.items():
        try:
            feature = example.features.feature[name]
        except (UnicodeEncodeError, ValueError):
            shown = name.encode("utf-8", "replace").decode()
            raise _invalid(f"The name of the feature {shown} is not UTF-8") from None
        for each in content if type(content) is list else [content]:
            _add(each, name, feature)


def _add(value, name, feature):
    """Adds one JSON value to a feature, whose kind its first value decides."""
    if value is None or type(value) is list:
        raise _unexpected(value, name)
    if type(value) is float:
        kind, plain = "float_list", value
        if _MOST_FLOAT < abs(value) < float("inf"):
            raise _invalid(
                f"Cannot convert JSON value: {quoted(value)} to float without loss of precision."
            )
    elif type(value) in (bool, int):
        kind, plain = "int64_list", int(value)
        if plain >= 1 << 63:
            raise _invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    else:
        kind, plain = "bytes_list", value
        if type(value) is dict:
            if not json_tensor.is_base64(value):
                raise _unexpected(value, name)
            plain = None
    found = feature.WhichOneof("kind")
    if found not in (None, kind):
        raise _invalid(
            f"Unexpected element type in feature: {name} expecting type: {_KINDS[found]}"
        )
    plain = json_tensor.from_base64(value) if plain is None else plain
    getattr(feature, kind).value.append(plain)


def _unexpected(value, name):
    kind = json_tensor.json_type(value)
    return _invalid(f"Feature: {name} has element with unexpected JSON type: {kind}")


def _invalid(message):
    return ServingError("INVALID_ARGUMENT", message)
