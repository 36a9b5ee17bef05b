"""Class names and class indices."""

import numpy as np


def names_of(labels):
    """Sorts the labels that there are: integers by value, before names.

    Args:
        labels: sequence of str or int (N,).

    Returns:
        tuple of str.

    Example:
        >>> names_of(["10", "9", "9"])
        ('9', '10')
    """
    return tuple(sorted({str(label) for label in labels}, key=_order))


def _order(label):
    return (0, int(label), "") if label.lstrip("-").isdecimal() else (1, 0, label)


def indices_of(labels, names):
    """Turns labels into class indices, by name, or by number where the names are not numbers.

    Args:
        labels: sequence of str, bytes or int (N,).
        names: sequence of str, the classes.

    Returns:
        int32 (N,).

    Raises:
        ValueError: if a label is no class.

    Example:
        >>> indices_of([b"good", "0"], ["bad", "good"]).tolist()
        [1, 0]
    """
    positions = {name: index for index, name in enumerate(names)}
    if not any(name.lstrip("-").isdecimal() for name in names):
        positions |= {str(index): index for index in range(len(names))}
    indices = np.empty(len(labels), np.int32)
    for row, value in enumerate(labels):
        label = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if label not in positions:
            raise ValueError(
                f"Example {row + 1} has the label {label!r}, but the classes are "
                f"{', '.join(names)}. Correct the label, or adapt a new model on examples that "
                "have it."
            )
        indices[row] = positions[label]
    return indices
