"""Which folders are versions, and which of them a policy wants."""

import os
import re
from pathlib import Path

_NUMBER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_LARGEST = 2**63 - 1


def versions_in(base: Path) -> dict[int, Path]:
    """Return the versions in a model's base folder, by their numbers.

    A child is a version if its whole name is a number of 64 bits. Of two names for one number the
    later one in the alphabet is taken, as the real server does.

    Args:
        base: the folder that holds the versions' folders.

    Raises:
        OSError: the folder cannot be read.
    """
    found = {}
    for name in sorted(os.listdir(base)):
        if _NUMBER.fullmatch(name) and -_LARGEST - 1 <= int(name) <= _LARGEST:
            found[int(name)] = base / name
    return found


def wanted(policy, found) -> set[int]:
    """Return the numbers that a policy wants of those that were found.

    Args:
        policy: `FileSystemStoragePathSourceConfig.ServableVersionPolicy`; unset, it is the latest.
        found: numbers of versions.

    Example:
        >>> from tensorflow_serving.config import file_system_storage_path_source_pb2 as source
        >>> policy = source.FileSystemStoragePathSourceConfig.ServableVersionPolicy()
        >>> policy.latest.num_versions = 2
        >>> sorted(wanted(policy, [1, 9, 10]))
        [9, 10]
    """
    choice = policy.WhichOneof("policy_choice") or "latest"
    if choice == "all":
        return set(found)
    if choice == "specific":
        return set(found) & set(policy.specific.versions)
    count = policy.latest.num_versions if choice == "latest" else 1
    return set(sorted(found)[-max(1, count) :])
