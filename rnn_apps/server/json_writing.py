"""JSON as TensorFlow Serving writes it: numbers, strings, arrays and values that errors repeat."""

import base64
import itertools
import math
import re

import numpy as np

from rnn_apps.server.errors import ServingError

MAX_QUOTED = 4096  # bytes of a request that an error repeats; the real server repeats it all
INDENT = b"    "

_SPECIAL = re.compile(rb'["\\\x00-\x1f]')
_SHORT = {ord('"'): b'\\"', ord("\\"): b"\\\\"}
_SHORT |= {8: b"\\b", 12: b"\\f", 10: b"\\n", 13: b"\\r", 9: b"\\t"}
_INTEGERS = {"int64", "int32", "int16", "int8", "uint8", "uint32", "uint64"}


def string(value):
    """Returns bytes as a JSON string; what is no UTF-8 goes through as it is.

    Example:
        >>> string(b"a b")
        b'"a b"'
    """
    return b'"%b"' % _SPECIAL.sub(lambda at: _SHORT.get(at[0][0], b"\\u%04X" % at[0][0]), value)


def decimals(values):
    """Returns floats as JSON numbers: six digits where they are enough, else all that count.

    Args:
        values: float32 or float64 [N].

    Returns:
        A list of N bytes; NaN and infinities are bare words, whole numbers end with ".0".

    Example:
        >>> decimals(np.array([0.1, 3, 1e9, np.nan], "float32"))
        [b'0.1', b'3.0', b'1e+09', b'NaN']
    """
    digits = b"%.9g" if values.dtype == np.float32 else b"%.17g"
    plain = values.tolist()
    texts = (b"%.6g " * len(plain) % tuple(plain)).split()
    with np.errstate(over="ignore"):  # the greatest float rounds up to more than a float holds
        lossy = np.array([*map(float, texts)], np.float64).astype(values.dtype) != values
    for index in np.flatnonzero(lossy | ~np.isfinite(values)).tolist():
        texts[index] = _whole_or_word(plain[index], digits)
    return [
        text if b"." in text or b"e" in text or text[-1] > 57 else text + b".0" for text in texts
    ]


def _whole_or_word(value, digits):
    if math.isnan(value):
        return b"NaN"
    if math.isinf(value):
        return b"-Infinity" if value < 0 else b"Infinity"
    return digits % value


def values(array, as_base64=False):
    """Returns the values of a tensor, in order, each as JSON.

    Args:
        array: array of any shape; strings are an object array of bytes.
        as_base64: whether strings are written as {"b64": …}.

    Raises:
        ServingError: INVALID_ARGUMENT for a type that JSON answers do not have, such as half.
    """
    flat = array.reshape(-1)
    if array.dtype == object:
        if as_base64:
            return [b'{"b64": "%b"}' % base64.b64encode(value) for value in flat]
        return [*map(string, flat)]
    if array.dtype == bool:
        return [b"true" if value else b"false" for value in flat.tolist()]
    if array.dtype.name in _INTEGERS:
        return [b"%d" % value for value in flat.tolist()]
    if array.dtype.name in ("float32", "float64"):
        return decimals(flat)
    name = {"float16": "half"}.get(array.dtype.name, array.dtype.name)
    raise ServingError("INVALID_ARGUMENT", f"Failed to write JSON value for tensor type: {name}")


def rows(texts, shape):
    """Returns the values of a tensor as the arrays of its first dimension, one line each.

    Args:
        texts: list of bytes, as `values` returns them.
        shape: tuple, of at least one dimension.

    Example:
        >>> rows([b"1", b"2"], (1, 2))
        [b'[1, 2]']
    """
    for axis in range(len(shape) - 1, 0, -1):
        size = shape[axis]
        count = math.prod(shape[:axis])
        texts = [b"[%b]" % b", ".join(texts[i * size : (i + 1) * size]) for i in range(count)]
    return texts


def array(texts, shape, level):
    """Returns the values of a tensor as one array, each value on a line of its own.

    Args:
        texts: list of bytes, as `values` returns them.
        shape: tuple.
        level: int, how deep the array is indented.
    """
    for axis in range(len(shape) - 1, -1, -1):
        size, end = shape[axis], b"\n" + INDENT * (level + axis)
        count = math.prod(shape[:axis])
        if not size:
            texts = [b"[]"] * count
            continue
        texts = [
            b"[%b%b]" % (_lines(texts[i * size : (i + 1) * size], end + INDENT), end)
            for i in range(count)
        ]
    return texts[0]


def _lines(texts, start):
    return start + (b"," + start).join(texts)


def members(pairs, level):
    """Returns an object with one member on each line.

    Args:
        pairs: list of (str, JSON as bytes).
        level: int, how deep the object is indented.
    """
    end = b"\n" + INDENT * level
    lines = [string(encoded(name)) + b": " + text for name, text in pairs]
    return b"{%b%b}" % (_lines(lines, end + INDENT), end)


def encoded(text):
    """Returns a name or a message as the bytes that it came as."""
    return text.encode("utf-8", "surrogateescape")


def quoted(value):
    r"""Returns a value of a request as an error repeats it, cut after `MAX_QUOTED` bytes.

    Args:
        value: as `json_parsing.parse` returns it.

    Example:
        >>> quoted([1, b"a"])
        '[\n    1,\n    "a"\n]'
    """
    if type(value) is float:
        fits = abs(value) <= float(np.finfo(np.float32).max)
        return decimals(np.array([value], np.float32 if fits else np.float64))[0].decode()
    text, waiting = bytearray(), [(value, 0)]
    while waiting and len(text) <= MAX_QUOTED:
        task = waiting.pop()
        if type(task) is bytes:
            text += task
        elif type(task[0]) in (list, dict) and task[0]:
            text += b"[" if type(task[0]) is list else b"{"
            waiting += _inside(*task)
        else:
            text += _scalar(task[0])
    if waiting or len(text) > MAX_QUOTED:
        return bytes(text[:MAX_QUOTED]).decode("utf-8", "replace") + "…"
    return bytes(text).decode("utf-8", "replace")


def _inside(container, level):
    """The parts of a list or an object that is being quoted, last first."""
    start = b"\n" + INDENT * (level + 1)
    tasks = []
    for item in itertools.islice(container, MAX_QUOTED // 4):  # more would not be shown
        separator = b"," + start if tasks else start
        if type(container) is dict:
            tasks += [separator + string(encoded(item)) + b": ", (container[item], level + 1)]
        else:
            tasks += [separator, (item, level + 1)]
    tasks.append(b"\n" + INDENT * level + (b"]" if type(container) is list else b"}"))
    return reversed(tasks)


def _scalar(value):
    if type(value) is bytes:
        return string(value[: MAX_QUOTED + 1])
    if type(value) is float:
        return shortest(value)
    simple = {True: b"true", False: b"false", None: b"null"}
    if type(value) in (bool, type(None)):
        return simple[value]
    return b"[]" if value == [] else b"{}" if value == {} else b"%d" % value


def shortest(value):
    """Returns a float in the fewest digits that tell it, as the real server's writer lays them out.

    Example:
        >>> shortest(1e16), shortest(1e-7), shortest(2.5)
        (b'10000000000000000.0', b'1e-7', b'2.5')
    """
    if not math.isfinite(value):
        return _whole_or_word(value, b"")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return np.format_float_positional(value, trim="0").encode()
    fraction, exponent = repr(value).split("e")
    return f"{fraction}e{int(exponent)}".encode()
