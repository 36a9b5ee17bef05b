"""Files that a reader sees whole or not at all."""

import contextlib
import os
import pathlib


@contextlib.contextmanager
def written_beside(path):
    """Context that gives a path to write to and, at its end, flushes and renames it to `path`.

    Args:
        path: path of the file to be; its folder is made if it is not there.

    Raises:
        OSError: as the system says; `path` is then as it was, and nothing is left beside it.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_atomically(path, content):
    """Writes bytes so that a reader sees all or nothing of them; see `written_beside`."""
    with written_beside(path) as beside:
        beside.write_bytes(content)
