"""CSV, TSV and JSONL files, plain or gzipped, to columns of text."""

import csv
import difflib
import gzip
import io
import json
import re
import zlib
from pathlib import Path

import numpy as np

from rnn_apps.data.examples import find_column

_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
_SURROGATE = re.compile("[\ud800-\udfff]")
_QUOTE_WITHIN = re.compile(r'[^\t\n\r"]"[^\t\n\r"]')  # in a quoted file these are doubled
_QUOTED_FIELD = re.compile(r'(?<![^\t\n\r])"(?:[^"]|"")*+"(?![^\t\n\r])')


def read(path, names, *, bad_rows="stop"):
    r"""Reads columns of a file with one example per row.

    CSV follows RFC 4180 (fields with commas, quotes or line breaks are quoted). TSV is read as
    quoted in the same manner if each of its quote marks stands as that rule would write it, and
    otherwise as plain tab-separated lines in which a quote mark is text. JSONL holds one JSON
    object per line. A name that ends in `.gz` is unpacked. Blank lines do not count.

    Args:
        path: a `.csv`, `.tsv` or `.jsonl` file in UTF-8, or one of these with `.gz` after it.
        names: a dict from feature to the column (JSON key) that holds it, the input first. The
            input may be empty in a row, the others may not.
        bad_rows: "stop" to raise at the first bad row, "skip" to leave such rows out.

    Returns:
        `(columns, notes)`: a dict from feature to object array (N,) of `str`, and a tuple of
        sentences, one if rows were skipped.

    Raises:
        OSError: if the file cannot be read; FileNotFoundError names the closest file there is.
        ValueError: if it is empty, not UTF-8, of another kind, lacks a column or holds a bad row;
            names the file and, where there is one, the line.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "reviews.csv")
        >>> _ = path.write_text("text,label\nfine,1\n")
        >>> read(path, {"text": "text", "label": "label"})[0]["label"].tolist()
        ['1']
    """
    columns, _, notes = read_placed(path, names, bad_rows=bad_rows)
    return columns, notes


def read_placed(path, names, *, optional=(), many=(), bad_rows="stop"):
    r"""Reads columns of a file as `read` does, and where each row stands.

    Args:
        path: as for `read`.
        names: as for `read`.
        optional: the features that may be empty (in JSON: null or NaN) in a row, and then are "".
        many: the features that may be a list of texts in JSON, and then are a list of `str`.
        bad_rows: as for `read`.

    Returns:
        `(columns, places, notes)`: `columns` and `notes` as of `read`, and between them an object
        array (N,) of `str`, "line 2" for the first row under a header.

    Raises:
        OSError: as `read`.
        ValueError: as `read`.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "prices.csv")
        >>> _ = path.write_text("date,close\n2024-01-02,\n")
        >>> columns, places, _ = read_placed(path, {"close": "close"}, optional=("close",))
        >>> columns["close"].tolist(), places.tolist()
        ([''], ['line 2'])
    """
    if bad_rows not in ("stop", "skip"):
        raise ValueError(f"bad_rows is {bad_rows!r}; it must be 'stop' or 'skip'.")
    path = Path(path)
    parse, text = _parser(path), _full_text(path)
    good, bad = [], []
    for line, row in parse(text, names, path):
        row = row if isinstance(row, str) else _checked(row, names, optional, many)
        (bad if isinstance(row, str) else good).append((line, row))
        if bad and bad_rows == "stop":
            raise ValueError(
                f"{path}, {bad[0][0]}: {bad[0][1]}; correct the row, or pass bad_rows='skip' to "
                "leave such rows out and count them."
            )
    if not good:
        what = f"no good row ({bad[0][0]}: {bad[0][1]})" if bad else "columns but no rows"
        raise ValueError(f"{path} has {what}; it must hold one example per row.")
    columns = {name: np.empty(len(good), dtype=object) for name in names}
    for position, name in enumerate(names):
        columns[name][:] = [row[position] for _, row in good]
    places = np.array([place for place, _ in good], dtype=object)
    return columns, places, skip_note(path, bad)


def columns_of(path):
    r"""The names of a file's columns: its first line, or the keys of its JSON objects.

    Args:
        path: as for `read`.

    Returns:
        A list of `str`, in the order of the file.

    Raises:
        OSError: as `read`.
        ValueError: as `read`, as far as this needs to look.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "prices.csv")
        >>> _ = path.write_text("date,close\n2024-01-02,10\n")
        >>> columns_of(path)
        ['date', 'close']
    """
    path = Path(path)
    parse, text = _parser(path), _full_text(path)
    if parse is _jsonl:
        objects = (_json_object(line) for line in text.split("\n") if line.strip())
        return list(dict.fromkeys(key for row in objects if isinstance(row, dict) for key in row))
    first = next(line for line in text.splitlines() if line.strip())
    return next(csv.reader([first], delimiter="\t" if parse is _tsv else ","))


def is_table(path):
    """Whether a name is that of a table: CSV, TSV or JSONL, plain or gzipped.

    Example:
        >>> is_table("reviews.TSV.gz"), is_table("reviews.txt")
        (True, False)
    """
    return Path(Path(path).name.lower().removesuffix(".gz")).suffix in _TABLES


def read_text(path):
    r"""Reads a whole file as one text.

    Args:
        path: a file in UTF-8, unpacked if its name ends in `.gz`.

    Returns:
        A `str`, whose line breaks are "\n", however the file writes them.

    Raises:
        OSError: as `read`.
        ValueError: if it is empty, not UTF-8 or no text.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "play.txt")
        >>> _ = path.write_bytes(b"one\r\ntwo\r\n")
        >>> read_text(path)
        'one\ntwo\n'
    """
    path = Path(path)
    text = _text(path)
    if not text.strip():
        raise ValueError(f"{path} is empty; it must hold text.")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(
            f"{path}, line {line}: a byte of zero, which no text in UTF-8 holds; name a file "
            "of text, or convert it first, for instance with `iconv -f utf-16 -t utf-8 OLD > NEW`."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path):
    r"""Reads a file of one text per line.

    Lines end at "\n" (or "\r\n") and at nothing else: a line may hold tabs and any other
    separator of Unicode's. An empty line is an empty text.

    Args:
        path: a file in UTF-8, unpacked if its name ends in `.gz`.

    Returns:
        An object array (N,) of `str`.

    Raises:
        OSError: as `read`.
        ValueError: if it is empty or not UTF-8.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "train.en")
        >>> _ = path.write_text("one\n\nthree\n")
        >>> read_lines(path).tolist()
        ['one', '', 'three']
    """
    path = Path(path)
    text = _text(path)
    if not text.strip():
        raise ValueError(f"{path} is empty; it must hold one text per line.")
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    column = np.empty(len(lines), dtype=object)
    column[:] = lines
    return column


def skip_note(path, bad):
    """Counts the bad rows of a file, a list of (place, what is wrong), in a tuple of sentences.

    Example:
        >>> skip_note(Path("a.csv"), [("line 3", "no text")])
        ('1 bad row was skipped in a.csv; the first is line 3: no text.',)
    """
    if not bad:
        return ()
    rows = "1 bad row was" if len(bad) == 1 else f"{len(bad)} bad rows were"
    return (f"{rows} skipped in {path.name}; the first is {bad[0][0]}: {bad[0][1]}.",)


def _parser(path):
    suffix = Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()
    parsers = {".csv": _csv, ".tsv": _tsv, ".jsonl": _jsonl, ".ndjson": _jsonl}
    if suffix not in parsers:
        raise ValueError(
            f"{path} ends in {suffix!r}; data must be 'builtin', 'tfds:NAME', or a file that ends "
            "in .csv, .tsv or .jsonl (each also with .gz)."
        )
    return parsers[suffix]


def _full_text(path):
    text = _text(path)
    if not text.strip():
        raise ValueError(f"{path} is empty; it must name its columns and hold one example per row.")
    return text


def _text(path):
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".gz":
            data = gzip.decompress(data)
    except FileNotFoundError:
        there = [each.name for each in path.parent.glob("*")]
        close = difflib.get_close_matches(path.name, there, n=1)
        guess = f"did you mean {path.parent / close[0]}?" if close else "check the path."
        raise FileNotFoundError(f"There is no file {path}; {guess}") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{path} is a folder; name the file in it.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} is not a whole gzip file ({error}); fetch it again, or drop .gz from its name "
            "if it is not packed."
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        old = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
        raise ValueError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; convert the file "
            f"first, for instance with `iconv -f {old} -t utf-8 OLD > NEW` if it is {old}."
        ) from None


def _csv(text, names, path):
    return _delimited(_quoted_rows(text, ",", path), names, path)


def _tsv(text, names, path):
    quoted = not _QUOTE_WITHIN.search(text) and '"' not in _QUOTED_FIELD.sub("", text)
    rows = _quoted_rows(text, "\t", path) if quoted else _plain_rows(text)
    return _delimited(rows, names, path)


def _plain_rows(text):
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if line:
            yield f"line {number}", line.split("\t")


def _quoted_rows(text, delimiter, path):
    """Returns an iterator of (place, fields), or (place, what is wrong) where a row does not parse.

    All rows are read before the first is handed out, since the csv module's limit on the length
    of a field is the whole process's, and has to be put back.
    """
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, len(text) + 1))
    try:
        return iter(list(_parsed_rows(text, delimiter, path)))
    finally:
        csv.field_size_limit(limit)


def _parsed_rows(text, delimiter, path):
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        first = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise ValueError(
                    f"{path}, line {first}: a quote opened in this row is never closed; write "
                    'a quote inside a field twice (""), and the field in quotes.'
                ) from None
            row = f"a quoted field is not closed before the next one ({error})"
        if row is None:
            return
        if row:
            last = reader.line_num
            yield f"line {first}" if last == first else f"lines {first} to {last}", row


def _delimited(rows, names, path):
    """Yields (place, [value per feature]) of rows under a header."""
    _, header = next(rows)
    if isinstance(header, str):
        raise ValueError(f"{path}, line 1: {header}; the first line must name the columns.")
    where = f"the first line of {path}"
    positions = [
        header.index(find_column(column, header, feature=feature, where=where))
        for feature, column in names.items()
    ]
    for column in names.values():
        if header.count(column) > 1:
            raise ValueError(f"{path} names the column '{column}' twice; rename one of them.")
    for place, row in rows:
        if not isinstance(row, str):
            if len(row) == len(header):
                row = [row[position] for position in positions]
            else:
                hint = "; a field that holds the separator must be quoted"
                row = (
                    f"{len(row)} fields where the first line names {len(header)}"
                    f"{hint if len(row) > len(header) else ''}"
                )
        yield place, row


def _jsonl(text, names, path):
    """Yields (place, [value per feature]) of JSON objects, one per line."""
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            rows.append((f"line {number}", _json_object(line)))
    found = list(dict.fromkeys(key for _, row in rows if isinstance(row, dict) for key in row))
    if found:
        for feature, column in names.items():
            find_column(column, found, feature=feature, where=f"the objects of {path}")
    for place, row in rows:
        if isinstance(row, dict):
            lacking = [column for column in names.values() if column not in row]
            row = f"no '{lacking[0]}'" if lacking else [row[column] for column in names.values()]
        yield place, row


def _json_object(line):
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg} at character {error.pos + 1})"
    except RecursionError:
        return "not JSON that can be read (too deeply nested)"
    return value if isinstance(value, dict) else f"a JSON {type(value).__name__}, not an object"


def _checked(row, names, optional, many=()):
    """The row as texts, or what is wrong with it."""
    texts = []
    for position, (feature, value) in enumerate(zip(names, row, strict=True)):
        if feature in many and isinstance(value, list):
            if not all(isinstance(text, str) and not _SURROGATE.search(text) for text in value):
                return f"'{names[feature]}' is {json.dumps(value):.60}, not a list of texts"
            texts.append(value)
            continue
        if feature in optional and (value is None or value != value):
            value = ""
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, (int, float)) and value == value:
            value = str(value)
        if not isinstance(value, str):
            return f"'{names[feature]}' is {json.dumps(value):.60}, not a text"
        if position and not value.strip() and feature not in optional:
            return f"'{names[feature]}' is empty"
        if not value.isascii() and _SURROGATE.search(value):
            return f"'{names[feature]}' holds half a surrogate pair, which is no character"
        texts.append(value)
    return texts
