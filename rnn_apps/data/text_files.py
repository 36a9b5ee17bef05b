"""Plain texts in files and folders, and the splits that the folders' names tell."""

import re
from pathlib import Path

from rnn_apps.data import files
from rnn_apps.data.picture_files import SPLITS

_PARTS = re.compile(r"[\W_]+")


def is_text(path):
    """Whether a name is that of a plain text.

    Example:
        >>> is_text("ptb.train.txt.gz"), is_text("reviews.tsv")
        (True, False)
    """
    return Path(path).name.lower().removesuffix(".gz").endswith(".txt")


def read_folder(folder, wanted, *, bad_rows="stop"):
    """Reads the plain texts of a folder and its subfolders, by the splits their names tell.

    A file is of the split that the first folder on the way to it is named after, or the first or
    last word of its own name. If the names tell of no training texts, they tell of nothing, and
    all files are whatever is wanted first.

    Args:
        folder: `Path`.
        wanted: which of "train", "validation" and "test" are wanted, the first of them most.
        bad_rows: "stop" to raise at a file that is empty or no text, "skip" to leave it out.

    Returns:
        `(found, notes)`: a dict from split to list of `str`, in the order of the files' names; and
        a tuple of sentences on files that were left out.

    Raises:
        ValueError: if there is no text, or a file is bad.
        OSError: if a file cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("ptb.train.txt", "ptb.valid.txt"):
        ...     _ = (folder / name).write_text(f"{name} ")
        >>> read_folder(folder, ("train", "validation"))[0]["validation"]
        ['ptb.valid.txt ']
    """
    if bad_rows not in ("stop", "skip"):
        raise ValueError(f"bad_rows is {bad_rows!r}; it must be 'stop' or 'skip'.")
    paths = sorted(path for path in folder.rglob("*") if is_text(path) and path.is_file())
    if not paths:
        raise ValueError(f"{folder} holds no .txt file (also with .gz); name a folder that does.")
    splits = {path: _split_of(path.relative_to(folder)) for path in paths}
    told = "train" in splits.values()
    if not told:
        splits = dict.fromkeys(paths, wanted[0])
    found, bad = {}, []
    for path, split in splits.items():
        if split not in wanted:
            continue
        try:
            text = files.read_text(path)
        except ValueError as error:
            if bad_rows == "stop":
                raise
            bad.append(error)
            continue
        found.setdefault(split, []).append(text)
    if bad and not found:
        raise ValueError(f"No text of {folder} can be read; of the first: {bad[0]}")
    notes = []
    if bad:
        count = "1 bad file was" if len(bad) == 1 else f"{len(bad):,} bad files were"
        notes.append(f"{count} skipped in {folder.name}; of the first: {bad[0]}")
    loose = [path for path, split in splits.items() if split is None]
    if loose:
        count = "1 file is" if len(loose) == 1 else f"{len(loose):,} files are"
        notes.append(f"{count} left out of {folder.name}, as {loose[0].name}: of no named split.")
    return found, tuple(notes)


def _split_of(path):
    """The split that a path within a folder tells, or None."""
    stem = path.name.lower().removesuffix(".gz").removesuffix(".txt")
    words = [word for word in _PARTS.split(stem) if word]
    named = [path.parts[0].lower()] if len(path.parts) > 1 else []
    for word in [*named, *words[:1], *words[-1:]]:
        if word in SPLITS:
            return SPLITS[word]
    return None
