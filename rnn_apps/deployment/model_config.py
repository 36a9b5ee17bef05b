"""`models.config`, which tells a model server what to serve: read, edited, written whole.

It is TensorFlow Serving's `ModelServerConfig` as text. Comments at its top stay; an edit loses
others.
"""

import contextlib
import fcntl
import itertools
import os
import pathlib
import re

from rnn_apps.version_folders import complete_versions
from rnn_apps.whole_files import write_atomically

FILE = "models.config"
MOUNTED = (
    "/models"  # where the official image looks, and where `docker-compose.yml` puts the folder
)
_LABEL = r"[a-zA-Z0-9_]+"


@contextlib.contextmanager
def edited(path):
    """Context that gives the `ModelServerConfig` of a file, and writes it whole if it was changed.

    A second process that edits files of the same folder waits until the first is done.

    Args:
        path: path of the file; an empty configuration if it is not there yet.

    Raises:
        ValueError: the file is no `ModelServerConfig`, or not a list of models.
        OSError: it cannot be read or written; it is then as it was.
    """
    text_format, config = _messages()
    path = pathlib.Path(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        text = path.read_text("utf-8") if path.exists() else ""
        try:
            text_format.Parse(text, config)
        except text_format.ParseError as error:
            raise ValueError(
                f"{path} is not the text of a ModelServerConfig ({error}); correct it, or move it "
                "away to have it written anew."
            ) from error
        if config.WhichOneof("config") == "custom_model_config":
            raise ValueError(f"{path} holds no model_config_list; only such a list can be edited.")
        before = config.SerializeToString(deterministic=True)
        yield config
        if config.SerializeToString(deterministic=True) != before:
            content = _comments(text) + text_format.MessageToString(config, as_utf8=True)
            write_atomically(path, content.encode())
    finally:
        os.close(folder)


def _messages():
    try:
        from google.protobuf import text_format
        from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig
    except ImportError as error:
        raise ValueError(
            "models.config needs tensorflow-serving-api, which is not installed; "
            "type pip install 'rnn_apps[serving]'."
        ) from error
    return text_format, ModelServerConfig()


def _comments(text):
    lines = text.splitlines(keepends=True)
    return "".join(itertools.takewhile(lambda line: line.lstrip()[:1] in ("", "#"), lines))


def entry_of(config, folder):
    """Returns the entry of a model, which is added if there is none.

    Args:
        config: ModelServerConfig.
        folder: `pathlib.Path` of the model's versions; its name is the model's.
    """
    entries, name = config.model_config_list.config, pathlib.Path(folder).resolve().name
    for entry in entries:
        if entry.name == name:
            return entry
    for entry in entries:
        if pathlib.PurePosixPath(entry.base_path).name == name:
            return entry
    beside = {str(pathlib.PurePosixPath(entry.base_path).parent) for entry in entries}
    parent = beside.pop() if len(beside) == 1 else MOUNTED
    return entries.add(name=name, base_path=f"{parent}/{name}", model_platform="tensorflow")


def add_all(config, folder):
    """Adds every model of a folder of models that has a version and no entry."""
    for path in sorted(pathlib.Path(folder).iterdir()):
        if path.is_dir() and path.name[0] != "." and complete_versions(path):
            entry_of(config, path)


def served(entry, versions):
    """Returns those of the versions that a server with this entry loads, a sorted list.

    Args:
        entry: ModelConfig.
        versions: the numbers that lie in the model's folder.
    """
    policy, newest = entry.model_version_policy, sorted(versions)
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return newest
    if kind == "specific":
        return sorted(set(policy.specific.versions) & set(versions))
    return newest[-(policy.latest.num_versions or 1) :]


def pin(entry, versions):
    """Makes a server load exactly these versions, whatever is published later."""
    entry.model_version_policy.specific.ClearField("versions")
    entry.model_version_policy.specific.versions.extend(sorted(versions))


def relabel(entry, labels):
    """Gives an entry these labels, {name: version}.

    Raises:
        ValueError: a name that a model server refuses.
    """
    for name in labels:
        if not re.fullmatch(_LABEL, name):
            raise ValueError(
                f"{name!r} cannot be a label; letters, digits and underscores can, as in stable."
            )
    entry.version_labels.clear()
    entry.version_labels.update(labels)
