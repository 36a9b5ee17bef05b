"""Predict requests from JSON to tensors and their answers back, by TensorFlow Serving's rules."""

import base64
import binascii
import itertools
from dataclasses import dataclass

import numpy as np

from rnn_apps.server import json_parsing
from rnn_apps.server.errors import ServingError
from rnn_apps.server.json_writing import quoted

_WHITESPACE = b" \t\n\r\v\f"
_MAX_RANK = 32  # more than any placeholder has; numpy ends at 64
_FLOATS = {"float": (np.float32, (1 << 24) - 1), "double": (np.float64, (1 << 53) - 1)}
_INTEGERS = {
    "int8": (np.int8, -(1 << 31), (1 << 31) - 1),  # what does not fit is cut, as the server cuts it
    "int16": (np.int16, -(1 << 31), (1 << 31) - 1),
    "uint8": (np.uint8, -(1 << 31), (1 << 31) - 1),
    "int32": (np.int32, -(1 << 31), (1 << 31) - 1),
    "int64": (np.int64, -(1 << 63), (1 << 63) - 1),
    "uint32": (np.uint32, 0, (1 << 32) - 1),
    "uint64": (np.uint64, 0, (1 << 64) - 1),
}


@dataclass(frozen=True)
class PredictRequest:
    """A predict request whose tensors have been read.

    Args:
        signature: str, "serving_default" where the request names none.
        inputs: {input name: array}; strings are object arrays of bytes.
        by_row: bool, whether the request, and so its answer, is a list of instances.
    """

    signature: str
    inputs: dict[str, np.ndarray]
    by_row: bool


def read_predict(body, input_types):
    """Reads the body of a predict request.

    Args:
        body: bytes of JSON.
        input_types: callable that takes the name of a signature, "" for the default one, and
            returns {input name: name of its type, such as "float"}; it may raise.

    Returns:
        A `PredictRequest`.

    Raises:
        ServingError: INVALID_ARGUMENT with the words of TensorFlow Serving; UNIMPLEMENTED for a
            type that JSON has no values of.

    Example:
        >>> read_predict(b'{"instances": [1, 2]}', lambda signature: {"x": "int32"}).inputs
        {'x': array([1, 2], dtype=int32)}
    """
    document = read_object(body)
    signature = signature_name(document)
    types = input_types(signature)
    if not types:
        raise _invalid(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    signature = signature or "serving_default"
    if "instances" in document:
        if "inputs" in document:
            raise _misshapen(
                document,
                "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to "
                "exist ",
            )
        instances = document["instances"]
        if type(instances) is not list:
            raise _misshapen(document, "Expecting 'instances' to be an list/array")
        if not instances:
            raise _misshapen(document, "No values in 'instances' array")
        return PredictRequest(signature, _from_rows(instances, types), True)
    if "inputs" in document:
        return PredictRequest(signature, _from_columns(document["inputs"], types), False)
    raise _invalid("Missing 'inputs' or 'instances' key")


def read_object(body):
    """Returns the object that the body of a request is, or raises a `ServingError`."""
    document = json_parsing.parse(body)
    if type(document) is not dict:
        raise _misshapen(document, "Is not object")
    return document


def signature_name(document):
    """Returns the name of the signature that a request asks for; "" where it names none."""
    name = document.get("signature_name", b"")
    if type(name) is not bytes:
        raise _misshapen(
            document, "not formatted correctly. 'signature_name' key must be a string value."
        )
    return name.decode("utf-8", "surrogateescape")


def is_base64(value):
    """Returns whether a value is an object that stands for bytes: {"b64": "…"}."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is bytes


def from_base64(value):
    """Returns the bytes that {"b64": "…"} stands for; spaces are allowed, padding is optional."""
    if not is_base64(value):
        raise _invalid(f"JSON Value: {quoted(value)} not formatted correctly for base64 data")
    text = value["b64"].translate(None, _WHITESPACE)
    bare = text.rstrip(b"=.")  # either pads
    padded = len(text) - len(bare)
    wrong_padding = padded and (padded > 2 or len(text) % 4)
    try:
        if wrong_padding or len(bare) % 4 == 1:
            raise binascii.Error
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("Unable to base64 decode") from None


def json_type(value):
    """Returns what an error calls the type of a value, such as "Number"."""
    if type(value) is bool:
        return str(value)
    names = {type(None): "Null", dict: "Object", list: "Array", bytes: "String"}
    return names.get(type(value), "Number")


def _invalid(message):
    return ServingError("INVALID_ARGUMENT", message)


def _misshapen(value, what):
    return _invalid(f"JSON Value: {quoted(value)} {what}")


def _is_object(value):
    return type(value) is dict and not is_base64(value)


def _from_rows(instances, types):
    """{name: array} of a list of instances; the first one says whether they are objects."""
    if type(instances[0]) is not dict and len(types) > 1:
        raise _invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    named = _is_object(instances[0])
    columns = _columns_of(instances, types, named)
    if columns is not None:
        tensors = {name: _tensor(values, types[name]) for name, values in columns.items()}
        if all(tensor is not None for tensor in tensors.values()):
            return tensors
    raise _first_error(instances, types, named)


def _columns_of(instances, types, named):
    """{name: its values}, or None where an instance is not what the first one promised."""
    if not named:
        return None if any(map(_is_object, instances)) else {next(iter(types)): instances}
    keys = set(types)
    if all(_is_object(instance) and instance.keys() == keys for instance in instances):
        return {name: [instance[name] for instance in instances] for name in types}
    return None


def _first_error(instances, types, named):
    """The first thing that is wrong with instances that make no tensors, as a `ServingError`."""
    first = instances[0] if named else {next(iter(types)): instances[0]}
    shapes = {name: _shape(value) for name, value in first.items()}

    def is_good(some):
        columns = _columns_of(some, types, named)
        return columns is not None and all(
            _has_shape(values, types[name], shapes[name]) for name, values in columns.items()
        )

    for number in _suspects(instances, is_good):
        instance = instances[number]
        failed = f"Failed to process element: {number}"
        if named != _is_object(instance):
            expected, got = ("object", "list") if named else ("value/list", "object")
            return _invalid(f"Expecting {expected} but got {got} at item {number} of input list")
        for name, value in instance.items() if named else [(next(iter(types)), instance)]:
            error = _error_of_item(name, value, types, shapes)
            if error:
                key = f" key: {name}" if named else ""
                return _invalid(
                    f"{failed}{key} of 'instances' list. Error: {error.code}: {error.message}"
                )
        if named and instance.keys() != set(types):
            return _invalid(
                f"{failed} of 'instances' list. JSON object: {quoted(instance)} keys must be "
                f"equal to: {','.join(sorted(types))}"
            )
    return _invalid("The instances make no tensor.")


def _suspects(values, is_good, chunk=512):
    """The places of the values in those chunks that are not good as a whole, in order."""
    for start in range(0, len(values), chunk):
        some = values[start : start + chunk]
        if not is_good(some):
            yield from range(start, start + len(some))


def _has_shape(values, kind, shape):
    """Whether each of some values makes a tensor of a shape."""
    tensor = _tensor(values, kind)
    return tensor is not None and [*tensor.shape[1:]] == shape


def _error_of_item(name, value, types, shapes):
    """What is wrong with one value of one instance, or None; `shapes` are the first one's."""
    if name not in types:
        return _invalid(f"JSON object: does not have named input: {name}")
    shape = _shape(value)
    error = _error_of_tensor(value, shape, types[name])
    if error:
        return error
    first = shapes.setdefault(name, shape)
    sizes = [int(np.prod(each, dtype=object)) for each in (first, shape)]
    if sizes[0] != sizes[1]:
        return _invalid(f"Expecting tensor size: {sizes[0]} but got: {sizes[1]}")
    if first != shape:
        texts = ["[" + ",".join(map(str, each)) + "]" for each in (first, shape)]
        return _invalid(f"Expecting shape {texts[0]} but got: {texts[1]}")
    return None


def _from_columns(value, types):
    """{name: array} of the value of "inputs"."""
    if not _is_object(value):
        if len(types) > 1:
            raise _invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        value = {next(iter(types)): value}
    tensors = {}
    for name, kind in types.items():
        if name not in value:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
        tensors[name] = _tensor(value[name], kind)
        if tensors[name] is None:
            raise _error_of_tensor(value[name], _shape(value[name]), kind)
    return tensors


def _shape(value):
    """The shape that the first element at each level of a nested list gives a tensor."""
    shape = []
    while type(value) is list:
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _tensor(value, kind):
    """A value as an array of a type, or None where it does not make one."""
    shape = _shape(value)
    if len(shape) > _MAX_RANK:
        return None
    flat = [value]
    for size in shape:
        if not all(type(each) is list and len(each) == size for each in flat):
            return None
        flat = [*itertools.chain.from_iterable(flat)]
    flat = _leaves(flat, kind)
    return None if flat is None else flat.reshape(shape)


def _leaves(flat, kind):
    """JSON values as a flat array of a type, or None where one is none of it."""
    found = set(map(type, flat))
    if kind in _FLOATS and found <= {int, float}:
        dtype, greatest = _FLOATS[kind]
        array = np.array(flat, np.float64)
        if int in found and any(type(each) is int and abs(each) > greatest for each in flat):
            return None
        if np.any(np.abs(array[np.isfinite(array)]) > np.finfo(dtype).max):
            return None
        return array.astype(dtype)
    if kind in _INTEGERS and found <= {int}:
        dtype, least, greatest = _INTEGERS[kind]
        if flat and (min(flat) < least or max(flat) > greatest):
            return None
        return np.array(flat, np.uint64 if kind == "uint64" else np.int64).astype(dtype)
    if kind == "bool" and found <= {bool}:
        return np.array(flat, bool)
    if kind == "string" and found <= {bytes, dict}:
        array = np.empty(len(flat), object)
        try:
            array[:] = [each if type(each) is bytes else from_base64(each) for each in flat]
        except ServingError:
            return None
        return array
    return None


def _error_of_tensor(value, shape, kind, level=0):
    """The first thing that keeps a value from being a tensor, as a `ServingError`, or None."""
    if len(shape) > _MAX_RANK:
        return _invalid(f"A list nested {len(shape)} deep makes no tensor of type {kind}.")
    if type(value) is not list:
        if level != len(shape):
            return _invalid(
                f"JSON Value: {quoted(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {len(shape)}"
            )
        return _error_of_value(value, kind)
    if level >= len(shape):
        return _invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        return _invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for index in _suspects(value, lambda some: _has_shape(some, kind, shape[level + 1 :])):
        error = _error_of_tensor(value[index], shape, kind, level + 1)
        if error:
            return error
    return None


def _error_of_value(value, kind):
    """What keeps one JSON value from being of a type, as a `ServingError`, or None."""
    if _leaves([value], kind) is not None:
        return None
    if type(value) is dict and kind == "string":
        try:
            from_base64(value)
        except ServingError as error:
            return error
    if kind in _FLOATS and type(value) in (int, float):
        return _invalid(
            f"Cannot convert JSON value: {quoted(value)} to {kind} without loss of precision."
        )
    known = kind in _FLOATS or kind in _INTEGERS or kind in ("bool", "string")
    if known or type(value) is dict:
        return _invalid(
            f"JSON Value: {quoted(value)} Type: {json_type(value)} is not of expected type: {kind}"
        )
    return ServingError(
        "UNIMPLEMENTED", f"Conversion of JSON Value: {quoted(value)} to type: {kind}"
    )
