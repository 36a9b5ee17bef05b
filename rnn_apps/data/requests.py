"""Raw requests from a file, and the answers to them as the text of one."""

import csv
import io
import json
import re
from pathlib import Path

from rnn_apps.data import splits


def read_requests(source, features, columns=None):
    r"""Reads raw requests, in their order.

    Args:
        source: the path of a CSV, TSV or JSONL file (also .gz), which holds a column for each
            feature; or of any other file, or a binary stream, of one request a line, in any
            encoding. An empty line is a request too; line breaks may be those of Windows.
        features: the names of the model's inputs.
        columns: a dict from feature to the column that holds it, where it has another name; other
            features in it, such as the label's, are let be.

    Returns:
        What `predict` takes: a `tf.data.Dataset` of dicts, or a list of bytes.

    Raises:
        ValueError: if a CSV, TSV or JSONL file is not as `rnn_apps.data.files.read` wants it.
        OSError: if the file cannot be read.

    Example:
        >>> read_requests(io.BytesIO(b"fine\n\npoor\n"), ("text",))
        [b'fine', b'', b'poor']
    """
    if hasattr(source, "read"):
        raw = source.read()
    elif re.search(r"\.(csv|tsv|jsonl|ndjson)(\.gz)?$", str(source), re.IGNORECASE):
        columns = {name: column for name, column in (columns or {}).items() if name in features}
        return splits.load(None, test=source, features=tuple(features), columns=columns).test
    else:
        raw = Path(source).read_bytes()
    lines = raw.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")
    return [line.removesuffix(b"\r") for line in lines] if raw else []


def written(rows, form):
    r"""Writes answers as text.

    Args:
        rows: list of flat dicts with the same keys, as `Application.records` returns.
        form: "text" (cells with tabs between and no header, in which white space that would break
            a line is a space and numbers have four decimals), "csv" or "jsonl".

    Returns:
        str, the text of the file; "" if there are no rows.

    Example:
        >>> written([{"label": "fine", "score": 0.5}], "csv")
        'label,score\nfine,0.5\n'
    """
    text = io.StringIO()
    if form == "csv" and rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif form == "jsonl":
        text.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    elif form == "text":
        for row in rows:
            cells = (f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values())
            print(*(re.sub(r"[\t\r\n]", " ", cell) for cell in cells), sep="\t", file=text)
    return text.getvalue()
