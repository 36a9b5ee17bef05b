"""Files that say which picture has which captions: tables, Flickr's token files, COCO's JSON."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from rnn_apps.data import files

FEATURES = ("image", "captions", "split")
SPLITS = {
    "train": "train", "training": "train", "restval": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_TOKENS = (".token", ".token.txt")
_LISTS = {"train": "*trainImages.txt", "validation": "*devImages.txt", "test": "*testImages.txt"}


@dataclass
class Captioned:
    """A picture as a file names it.

    Attributes:
        name: its path, as the file has it.
        captions: list of `str`, none of them blank.
        split: "train", "validation" or "test"; None if the file does not say.
        place: where it is first named: "line 2".
    """

    name: str
    captions: list[str]
    split: str | None
    place: str


def read(path, columns=None, *, bad_rows="stop"):
    r"""Reads which captions pictures have.

    Args:
        path: one of
            - a CSV, TSV or JSONL file (see `rnn_apps.data.files.read`) with the columns "image"
              and "captions" or "caption": one caption a row, or in JSONL a list of them. A column
              "split" says "train", "dev" (or "val", "validation") or "test". Rows of the same
              picture and split go together;
            - Flickr8k's or Flickr30k's token file, whose lines are "name.jpg#0", a tab and a
              caption. Flickr8k's lists of pictures ("Flickr_8k.trainImages.txt", …) beside it say
              which split each is in;
            - COCO's annotation JSON, with "images" and "annotations".
        columns: a dict from "image", "captions" and "split" to the column that holds it, for a
            table whose columns have other names.
        bad_rows: "stop" to raise at the first bad row, "skip" to leave such rows out.

    Returns:
        `(pictures, notes)`: a list of `Captioned`, and a tuple of sentences.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is of another kind, lacks a column or holds a bad row; names the line.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "captions.csv")
        >>> _ = path.write_text("image,caption\na.jpg,a dog\na.jpg,a brown dog\n")
        >>> read(path)[0][0].captions
        ['a dog', 'a brown dog']
    """
    path = Path(path)
    if bad_rows not in ("stop", "skip"):
        raise ValueError(f"bad_rows is {bad_rows!r}; it must be 'stop' or 'skip'.")
    if files.is_table(path):
        rows, notes = _table(path, columns or {}, bad_rows)
    elif columns:
        raise ValueError(
            f"columns were named, but {path} is no table and has none; leave them out."
        )
    elif path.name.lower().endswith(_TOKENS):
        rows, notes = _tokens(path, bad_rows)
    elif path.suffix.lower() == ".json":
        rows, notes = _coco(path, bad_rows)
    else:
        raise ValueError(
            f"{path} is no file of captions; name a .csv, .tsv or .jsonl file (each also with "
            ".gz), a .token.txt file as Flickr8k's, COCO's annotation .json, a folder that holds "
            "one of them, 'tfds:NAME' or 'builtin'."
        )
    return rows, notes


def caption_files(folder):
    """Finds the files of captions in a folder, or else in its subfolders.

    Args:
        folder: `Path`.

    Returns:
        A dict from split to `Path` if the names of several files say which split each is; or
        from None to `Path` if there is only one.

    Raises:
        ValueError: if there is none, or it is not clear which.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("captions_train2014.json", "captions_val2014.json"):
        ...     _ = (folder / name).write_text("")
        >>> sorted(caption_files(folder))
        ['train', 'validation']
    """
    found = sorted(filter(_is_captions, folder.iterdir()))
    found = found or sorted(filter(_is_captions, folder.glob("*/*")))
    if len(found) == 1:
        return {None: found[0]}
    by_split = {_split_in_name(path): path for path in found}
    if not found or None in by_split or len(by_split) < len(found):
        names = ", ".join(path.name for path in found[:5])
        raise ValueError(
            f"{folder} holds {f'several files of captions ({names})' if found else 'no captions'}; "
            "name a .csv, .tsv or .jsonl file with the columns 'image' and 'captions'"
            f"{', or one per split, as train.csv and test.csv' if found else ' in it'}."
        )
    return by_split


def _is_captions(path):
    name = path.name.lower()
    tokens = name.endswith(_TOKENS) and ".lemma." not in name
    coco = name.startswith("captions") and name.endswith(".json")
    return (files.is_table(path) or tokens or coco) and path.is_file()


def _split_in_name(path):
    words = [SPLITS[word] for word in re.findall("[a-z]+", path.stem.lower()) if word in SPLITS]
    return words[0] if len(words) == 1 else None


def _table(path, columns, bad_rows):
    there = files.columns_of(path)
    caption = "caption" if "caption" in there and "captions" not in there else "captions"
    names = {"captions": caption, "image": "image"}
    names |= {"split": "split"} if "split" in there else {}
    names |= columns
    found, places, notes = files.read_placed(
        path, names, optional=("captions",), many=("captions",), bad_rows=bad_rows
    )
    rows, bad = [], []
    for row, place in enumerate(places):
        split = found["split"][row] if "split" in names else None
        if split is not None and split.strip().lower() not in SPLITS:
            _stop_or_keep(
                bad, place, f"the split {split!r} is none of train, dev, test", path, bad_rows
            )
            continue
        captions = found["captions"][row]
        captions = captions if isinstance(captions, list) else [captions]
        split = split and SPLITS[split.strip().lower()]
        rows.append(Captioned(found["image"][row].strip(), captions, split, place))
    return _grouped(rows), (*notes, *files.skip_note(path, bad))


def _tokens(path, bad_rows):
    rows, bad = [], []
    for number, line in enumerate(files.read_lines(path), 1):
        name, tab, caption = line.partition("\t")
        if tab:
            name = re.sub(r"#\d+$", "", name.strip())
            rows.append(Captioned(name, [caption], None, f"line {number}"))
        elif line.strip():
            _stop_or_keep(bad, f"line {number}", "no tab after 'NAME#NUMBER'", path, bad_rows)
    rows, notes = _grouped(rows), files.skip_note(path, bad)
    lists = {split: sorted(path.parent.glob(pattern)) for split, pattern in _LISTS.items()}
    if not any(lists.values()):
        return rows, notes
    split_of = {
        name.strip(): split
        for split, found in lists.items()
        for each in found
        for name in files.read_lines(each)
    }
    for row in rows:
        row.split = split_of.pop(row.name, None)
    unlisted = sum(row.split is None for row in rows)
    without = [Captioned(name, [], split, "its list") for name, split in split_of.items() if name]
    if unlisted:
        names = ", ".join(each.name for found in lists.values() for each in found)
        notes += (
            f"{unlisted:,} of {len(rows):,} captioned pictures were left out: they are in none of "
            f"{names}.",
        )
    return rows + without, notes


def _coco(path, bad_rows):
    try:
        whole = json.loads("\n".join(files.read_lines(path)))
        images = {each["id"]: str(each["file_name"]) for each in whole["images"]}
        annotations = list(whole["annotations"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise ValueError(
            f"{path} is no annotation file as COCO's ({what}); it must be JSON with 'images' (each "
            "with 'id' and 'file_name') and 'annotations' (each with 'image_id' and 'caption')."
        ) from error
    rows = [Captioned(name, [], None, f"image {number}") for number, name in images.items()]
    by_number, bad = dict(zip(images, rows, strict=True)), []
    for number, each in enumerate(annotations, 1):
        number_of = each.get("image_id") if isinstance(each, dict) else None
        row = by_number.get(number_of) if isinstance(number_of, (int, str)) else None
        if row is None or not isinstance(each.get("caption"), str):
            what = "no 'caption'" if row else "no 'image_id' of one of the images"
            _stop_or_keep(bad, f"annotation {number}", what, path, bad_rows)
        else:
            row.captions.append(each["caption"])
    return _grouped(rows), files.skip_note(path, bad)


def _grouped(rows):
    """One row for each picture and split, its captions in order and without blank ones."""
    found = {}
    for row in rows:
        first = found.setdefault(
            (row.name, row.split), Captioned(row.name, [], row.split, row.place)
        )
        first.captions += [text for text in row.captions if text.strip()]
    return list(found.values())


def _stop_or_keep(bad, place, what, path, bad_rows):
    if bad_rows == "stop":
        raise ValueError(
            f"{path}, {place}: {what}; correct it, or pass bad_rows='skip' to leave such rows out "
            "and count them."
        )
    bad.append((place, what))
