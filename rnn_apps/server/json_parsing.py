"""JSON as TensorFlow Serving reads it: its grammar, its limits and the texts of its errors.

The server's parser takes NaN and infinities, ignores what follows the first value, lets bytes that
are no UTF-8 pass, and says at which byte it gave up. Python's parser does none of that, so it only
reads what it is fastest at: nested lists of plain numbers.
"""

import json
import math
import re

from rnn_apps.server.errors import ServingError

MAX_DEPTH = 512
MAX_VALUES = 1 << 21  # a body of many tiny lists would otherwise take twenty times its size

_SPACE = re.compile(rb"[ \t\n\r]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NUMBERS = re.compile(rb"\[[\[\]0-9eE+.,\- \t\n\r]*")
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_OVERFLOWING = re.compile(rb"[eE]\+?[0-9]{3}|(?<![.0-9])[0-9]{19}")
_EXPONENT = re.compile(rb"[eE][+-]?")
_INFINITY = re.compile(rb"Inf(inity)?")
_ESCAPES = dict(
    zip(b'"\\/bfnrt', (b'"', b"\\", b"/", b"\b", b"\f", b"\n", b"\r", b"\t"), strict=True)
)
_LITERALS = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}
_DECODER = json.JSONDecoder()


def parse(document, max_depth=MAX_DEPTH, max_values=MAX_VALUES):
    """Reads the first JSON value of a document.

    Args:
        document: bytes.
        max_depth: int, how deep lists and objects may be nested.
        max_values: int, how many values a document may hold, counted by its separators.

    Returns:
        None, bool, int (of at most 64 bits), float, bytes for a string, list, or dict with str
        keys, of which the first counts where one is repeated.

    Raises:
        ServingError: INVALID_ARGUMENT with the parser's words and the byte they are about;
            RESOURCE_EXHAUSTED when there are too many values.

    Example:
        >>> parse(b'{"instances": [1, NaN, "a"]}')
        {'instances': [1, nan, b'a']}
    """
    if not document:
        raise ServingError("INVALID_ARGUMENT", "JSON Parse error: The document is empty")
    if sum(map(document.count, (b",", b"[", b"{"))) > max_values:
        raise ServingError(
            "RESOURCE_EXHAUSTED",
            f"The JSON document holds more than the {max_values} values that this server takes "
            "at once: send it in parts.",
        )
    return _Reader(document, max_depth).read()


class _Reader:
    """One document; what is open is kept in a list, so that no nesting overflows a stack."""

    def __init__(self, document, max_depth):
        self.document = document
        self.max_depth = max_depth
        # The last run of bytes that only lists of numbers have. No byte is looked at twice for it:
        # a body could make the time grow with its square.
        self.run_start, self.run_end, self.run = 0, 0, None

    def read(self):
        position = self.after_space(3 if self.document.startswith(b"\xef\xbb\xbf") else 0)
        if self.at(position) in (b"", b"\0", b"]", b"}", b",", b":"):
            self.fail("The document is empty.", position)
        containers, keys = [], []  # those still open; a list has None among the keys
        while True:
            value, position, is_open = self.begin(position)
            if is_open:
                if len(containers) == self.max_depth:
                    self.fail("Terminate parsing due to Handler error.", position)
                containers.append(value)
                keys.append(None)
                position = self.name(containers, keys, position)
                continue
            while containers:  # what ends with this value ends here too
                is_list = type(containers[-1]) is list
                if is_list:
                    containers[-1].append(value)
                else:
                    containers[-1].setdefault(keys[-1], value)
                position = self.after_space(position)
                byte = self.at(position)
                if byte == b",":
                    position = self.name(containers, keys, self.after_space(position + 1))
                    break
                if byte != (b"]" if is_list else b"}"):
                    inside = "] after an array element" if is_list else "} after an object member"
                    self.fail(f"Missing a comma or {inside}.", position)
                value, position = containers.pop(), position + 1
                keys.pop()
            else:
                return value

    def begin(self, position):
        """(value, the position after it, False), or True where a list or an object has more."""
        byte = self.at(position)
        if byte == b"[":
            value, end = self.numbers(position)
            if end:
                return value, end, False
        if byte in (b"[", b"{"):
            value, closing = ([], b"]") if byte == b"[" else ({}, b"}")
            position = self.after_space(position + 1)
            if self.at(position) == closing:
                return value, position + 1, False
            return value, position, True
        if byte == b'"':
            return *self.string(position), False
        if byte in _LITERALS:
            return *self.literal(position), False
        return *self.number(position), False

    def name(self, containers, keys, position):
        """Reads the name of an object's next member; returns where its value begins."""
        if type(containers[-1]) is list:
            return position
        if self.at(position) != b'"':
            self.fail("Missing a name for object member.", position)
        name, position = self.string(position)
        position = self.after_space(position)
        if self.at(position) != b":":
            self.fail("Missing a colon after a name of object member.", position)
        keys[-1] = name.decode("utf-8", "surrogateescape")
        return self.after_space(position + 1)

    def numbers(self, position):
        """(value, end) of a list of nothing but plain numbers and such lists, else (None, 0)."""
        if position >= self.run_end:
            run = _NUMBERS.match(self.document, position)[0]
            self.run_start, self.run_end = position, position + len(run)
            self.run = None if _is_risky(run) else run.decode("ascii")
        if self.run is None:
            return None, 0
        try:
            value, end = _DECODER.raw_decode(self.run, position - self.run_start)
        except (ValueError, RecursionError):
            self.run = None  # the slow way finds out what is wrong, if anything is
            return None, 0
        return value, self.run_start + end

    def literal(self, position):
        word, value = _LITERALS[self.at(position)]
        for letter in word:
            if self.at(position) != bytes([letter]):
                self.fail("Invalid value.", position)
            position += 1
        return value, position

    def number(self, position):
        found = _NUMBER.match(self.document, position)
        if not found:
            return self.infinity(position)
        end = found.end()
        if self.at(end) == b"." and not (found[1] or found[2]):
            self.fail("Miss fraction part in number.", end + 1)
        exponent = None if found[2] else _EXPONENT.match(self.document, end)
        if exponent:
            self.fail("Miss exponent in number.", exponent.end())
        if not (found[1] or found[2]) and end - position < 22:
            value = int(found[0])
            if -(1 << 63) <= value < 1 << 64:
                return value, end
        value = float(found[0])
        if math.isinf(value):
            self.fail("Number too big to be stored in double.", position)
        return value, end

    def infinity(self, position):
        """NaN, Inf and Infinity, with or without a minus."""
        start = position + (self.at(position) == b"-")
        if self.document.startswith(b"NaN", start):
            return math.nan, start + 3
        found = _INFINITY.match(self.document, start)
        if not found or (not found[1] and self.at(found.end()) == b"i"):
            word = b"Infinity" if self.at(start) == b"I" else b"NaN"
            while word[:1] and self.at(start) == word[:1]:
                start, word = start + 1, word[1:]
            self.fail("Invalid value.", start)
        return (-math.inf if start > position else math.inf), found.end()

    def string(self, position):
        """The bytes of the string that begins at a quotation mark; UTF-8 is not checked."""
        parts, position = [], position + 1
        while True:
            plain = _PLAIN.match(self.document, position)
            parts.append(plain[0])
            position = plain.end()
            byte = self.at(position)
            if byte == b'"':
                return b"".join(parts), position + 1
            if byte in (b"", b"\0"):
                self.fail("Missing a closing quotation mark in string.", position)
            if byte != b"\\":
                self.fail("Invalid encoding in string.", position)
            part, position = self.escape(position)
            parts.append(part)

    def escape(self, position):
        letter = self.document[position + 1 : position + 2]
        if letter and letter[0] in _ESCAPES:
            return _ESCAPES[letter[0]], position + 2
        if letter != b"u":
            self.fail("Invalid escape character in string.", position)
        code = self.hexadecimal(position + 2, position)
        if not 0xD800 <= code <= 0xDFFF:
            return chr(code).encode(), position + 6
        if code > 0xDBFF or not self.document.startswith(b"\\u", position + 6):
            self.fail("The surrogate pair in string is invalid.", position)
        low = self.hexadecimal(position + 8, position)
        if not 0xDC00 <= low <= 0xDFFF:
            self.fail("The surrogate pair in string is invalid.", position)
        return chr(0x10000 + ((code - 0xD800) << 10) + low - 0xDC00).encode(), position + 12

    def hexadecimal(self, position, escape):
        found = _HEX.match(self.document, position)
        if not found:
            self.fail("Incorrect hex digit after \\u escape in string.", escape)
        return int(found[0], 16)

    def at(self, position):
        return self.document[position : position + 1]

    def after_space(self, position):
        return _SPACE.match(self.document, position).end()

    def fail(self, what, position):
        raise ServingError("INVALID_ARGUMENT", f"JSON Parse error: {what} at offset: {position}")


def _is_risky(numbers):
    """Whether a number may be one that Python rounds, or reads as infinite, without saying so."""
    suspicious = b"e" in numbers or b"E" in numbers or b"0" * 19 in numbers.translate(_DIGITS)
    return suspicious and _OVERFLOWING.search(numbers) is not None
