"""What is odd about pairs of sentences, counted; and whether two files are aligned at all."""

from dataclasses import dataclass

import numpy as np

KINDS = ("empty", "copied", "overlong", "unequal", "repeated")
_SHORT = 40  # characters; below, a pair may be of any ratio ("No." and "Nein, danke schön.")
_BLOCK = 200  # pairs; fewer say nothing about how their lengths go together
_BLOCKS = 20  # at most, so that one of few pairs is not found astray by chance
_ASTRAY = 0.2  # correlation of lengths; translations have 0.6 or more
_SHIFTS = (-3, -2, -1, 1, 2, 3)


@dataclass(frozen=True)
class PairLimits:
    """What pairs are odd, and which of them leave training.

    All lengths are counted in characters, which every script has. A pair is

    - "empty": its source or its target has nothing but white space;
    - "copied": source and target are the same, but for white space;
    - "overlong": its source or its target is longer than `max_characters`;
    - "unequal": its target is more than `max_ratio` times longer or shorter than is usual beside
      such a source (the median of the split), and one of the two is longer than 40 characters;
    - "repeated": an equal pair stands before it.

    Attributes:
        drop: the kinds that leave training. No pair leaves validation or test data.
        max_characters: at least 1.
        max_ratio: above 1.

    Example:
        >>> PairLimits(drop=("empty",)).max_characters
        1000
    """

    drop: tuple[str, ...] = ("empty", "overlong", "unequal")
    max_characters: int = 1000
    max_ratio: float = 3.0

    def __post_init__(self):
        unknown = [kind for kind in self.drop if kind not in KINDS]
        if isinstance(self.drop, str) or unknown:
            raise ValueError(
                f"drop is {self.drop!r}; it must be a tuple of some of {', '.join(KINDS)}."
            )
        if self.max_characters < 1 or not self.max_ratio > 1:
            raise ValueError(
                f"max_characters is {self.max_characters} and max_ratio {self.max_ratio}; they "
                "must be at least 1 and above 1."
            )


def find_odd(sources, targets, limits):
    """Finds odd pairs.

    Args:
        sources: the N sources.
        targets: the N targets.
        limits: `PairLimits`.

    Returns:
        A dict from each kind to bool (N,). A pair may be of several kinds.

    Example:
        >>> odd = find_odd(["No.", "one"], ["No.", " "], PairLimits())
        >>> odd["copied"].tolist(), odd["empty"].tolist()
        ([True, False], [False, True])
    """
    sources, targets = ([" ".join(text.split()) for text in side] for side in (sources, targets))
    lengths = _lengths(sources, targets)
    shorter, longer = lengths.min(axis=0), lengths.max(axis=0)
    empty = shorter == 0
    ratio = np.log(np.maximum(lengths[1], 1) / np.maximum(lengths[0], 1))
    usual = np.median(ratio[~empty]) if not empty.all() else 0.0
    seen, repeated = set(), np.zeros(len(sources), dtype=bool)
    for row, pair in enumerate(zip(sources, targets, strict=True)):
        repeated[row] = pair in seen
        seen.add(pair)
    copied = [one == other for one, other in zip(sources, targets, strict=True)]
    far = np.abs(ratio - usual) > np.log(limits.max_ratio)
    return {
        "empty": empty,
        "copied": np.array(copied, dtype=bool) & ~empty,
        "overlong": longer > limits.max_characters,
        "unequal": far & (longer > _SHORT) & ~empty,
        "repeated": repeated,
    }


def drop_odd(columns, split, limits):
    """Counts the odd pairs of a split, and drops those that are to leave it.

    Args:
        columns: a dict from "source" and "target" to object array (N,).
        split: "train", "validation" or "test"; only training pairs are dropped.
        limits: `PairLimits`.

    Returns:
        `(columns, notes)`: the columns that are left, and a list of sentences, none if no pair is
        odd and the lengths go together.

    Raises:
        ValueError: if no pair would be left.

    Example:
        >>> columns = {"source": np.array(["one", ""], object),
        ...            "target": np.array(["eins", "zwei"], object)}
        >>> columns, notes = drop_odd(columns, "train", PairLimits())
        >>> columns["source"].tolist(), notes
        (['one'], ['train: of 2 pairs, 1 was empty (dropped).'])
    """
    sources, targets = columns["source"], columns["target"]
    odd = find_odd(sources, targets, limits)
    notes = alignment_notes(sources, targets, split)
    leaving = [kind for kind in limits.drop if split == "train"]
    counts = [
        f"{np.sum(rows):,} {'was' if np.sum(rows) == 1 else 'were'} {kind} "
        f"({'dropped' if kind in leaving else 'kept'})"
        for kind, rows in odd.items()
        if rows.any()
    ]
    if counts:
        pairs = "1 pair" if len(sources) == 1 else f"{len(sources):,} pairs"
        notes.insert(0, f"{split}: of {pairs}, {', '.join(counts)}.")
    keep = ~np.any([odd[kind] for kind in leaving], axis=0) if leaving else slice(None)
    if leaving and not keep.any():
        raise ValueError(f"{notes[0].removesuffix('.')}, and none is left; see to the data.")
    return {name: values[keep] for name, values in columns.items()}, notes


def alignment_notes(sources, targets, split):
    """Warns of pairs whose lengths have nothing to do with each other.

    The lengths of a text and of its translation go together; they no longer do once a line is
    missing on one side. So their correlation is looked at in blocks of 200 pairs or more.

    Args:
        sources: the N sources, in the order of the data.
        targets: the N targets.
        split: their name, for the sentence.

    Returns:
        A list of one sentence, or of none if there is nothing to warn of or there are few pairs.

    Example:
        >>> sources = ["a" * (7 * row % 50 + 5) for row in range(300)]
        >>> alignment_notes(sources, sources, "train")
        []
    """
    lengths = np.log1p(_lengths(sources, targets))
    size = lengths.shape[1]
    if size < _BLOCK:
        return []
    blocks = np.array_split(np.arange(size), min(_BLOCKS, size // _BLOCK))
    astray = [block for block in blocks if _correlation(*lengths[:, block]) < _ASTRAY]
    if not astray:
        return []
    first = astray[0]
    note = (
        f"{split}: WARNING: from pair {first[0] + 1:,} to {first[-1] + 1:,} the lengths of source "
        f"and target have nothing to do with each other ({len(astray)} of {len(blocks)} stretches "
        "are so): the two may not be aligned"
    )
    one, other = lengths[:, first]
    best = max(_SHIFTS, key=lambda shift: _correlation(*_shifted(one, other, shift)))
    if _correlation(*_shifted(one, other, best)) > 2 * _ASTRAY:
        late = "target" if best > 0 else "source"
        lines = "a line" if abs(best) == 1 else f"{abs(best)} lines"
        note += f", and there the {late} is {lines} late"
    return [f"{note}."]


def _lengths(sources, targets):
    return np.array([[len(text) for text in side] for side in (sources, targets)])


def _shifted(one, other, shift):
    return (one[:-shift], other[shift:]) if shift > 0 else (one[-shift:], other[:shift])


def _correlation(one, other):
    """Pearson's; 1 where one of the two does not vary, and so says nothing."""
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one**2).sum() * (other**2).sum())
    return (one * other).sum() / scale if scale > 1e-9 else 1.0
