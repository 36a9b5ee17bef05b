"""Which folders a model server takes for versions of a model."""

import os
import pathlib
import re


def number_of(name):
    """Returns the version that a model server reads in the name of a folder, or None.

    Example:
        >>> number_of("00012"), number_of("3.tmp")
        (12, None)
    """
    return int(name) if re.fullmatch(r"[+-]?\d{1,19}", name, re.ASCII) else None


def versions_in(folder):
    """Returns the version numbers that a model server sees in a base folder, in no order."""
    return [n for n in (number_of(name) for name in os.listdir(folder)) if n is not None]


def complete_versions(folder):
    """Returns {version: path} of the versions in a base folder that hold a graph, oldest first."""
    found = {}
    for path in pathlib.Path(folder).iterdir():
        number = number_of(path.name)
        if number is not None and any(path.glob("saved_model.pb*")):
            found[number] = path
    return dict(sorted(found.items()))
