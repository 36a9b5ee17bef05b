"""Which versions of a model are served, and under which labels: going back, labelling, clearing up.

All of it is an edit of `models.config`, which a server that polls it obeys. A server refuses a
whole configuration in which a label moves to a version that is not loaded yet, and then never loads
it; so such a move takes two edits, and the first one must have been obeyed before the second.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from rnn_apps.deployment import model_config
from rnn_apps.version_folders import complete_versions

_REMOVED = ".removed-"  # not a number, so no model server takes it for a version
_NEWEST, _AS_IT_IS = "newest", "as it is"  # what to serve, beside a set of versions
_PATIENCE = 60.0  # seconds for a server to read its configuration and to load


@dataclasses.dataclass(frozen=True)
class Served:
    """What a server is told to serve of one model.

    Args:
        model: str, the name that requests give.
        versions: list of int, ascending; without a version or a label a request gets the last.
        labels: {label: version}.
        loading: list of int, to be loaded before labels can move there: the same edit again then.
        notes: sentences on what follows.
    """

    model: str
    versions: Sequence[int]
    labels: Mapping[str, int]
    loading: Sequence[int] = ()
    notes: Sequence[str] = ()

    def __str__(self):
        labels = ", ".join(f"{name}={version}" for name, version in sorted(self.labels.items()))
        versions = ", ".join(map(str, self.versions)) or "no version"
        return f"{self.model} serves {versions}" + (f"; {labels}" if labels else "")


def rollback(folder, to=None, *, config=None, server=None):
    """Makes an earlier version the one that is served, or the newest one again.

    Args:
        folder: base folder of the model.
        to: int, the version; None for the one before that which is served; "latest" to serve the
            newest, and what is published from then on. Labels of later versions move along.
        config: path of `models.config`; by default beside the folder, made if it is not there.
        server: address of a server's REST, such as "http://localhost:8501", that is waited for.

    Returns:
        `Served`.

    Raises:
        ValueError: there is no such version.
        OSError: `models.config` cannot be written, or the server does not follow.
    """

    def decide(entry, versions, before):
        target = versions[-1] if to == "latest" else to
        if target is None:
            earlier = [version for version in versions if version < before[-1]]
            if not earlier:
                raise ValueError(
                    f"{folder} holds no version before {before[-1]}; there is nothing to go back "
                    "to."
                )
            target = earlier[-1]
        _require(folder, target, versions)
        old = dict(entry.version_labels)
        labels = {name: min(version, target) for name, version in old.items()}
        if to == "latest" and not labels:
            return _NEWEST, {}, []
        notes = [f"The label {name} moved to {target}." for name in old if old[name] > target]
        notes.append(f"{target} stays, whatever is published, until rollback --to latest.")
        return {target, *labels.values()}, labels, notes

    return _change(folder, config, server, decide)


def label(folder, name, version, *, config=None, server=None):
    """Gives a label to a version, which is served from then on, or takes it away.

    Args:
        folder: base folder of the model.
        name: str, of letters, digits and underscores.
        version: int, or None to take the label away.
        config: as for `rollback`.
        server: as for `rollback`.

    Returns:
        `Served`.

    Raises:
        ValueError: there is no such version or no such label, or a server would refuse its name.
        OSError: `models.config` cannot be written, or the server does not follow.
    """

    def decide(entry, versions, before):
        labels, notes = dict(entry.version_labels), []
        if version is None:
            if labels.pop(name, None) is None:
                raise ValueError(f"{folder} has no label {name!r}; it has {sorted(labels)}.")
            return _AS_IT_IS, labels, notes
        _require(folder, version, versions)
        labels[name] = version
        if before and version > before[-1]:
            notes.append(f"Requests without a version or a label now get {version}, the highest.")
        policy = entry.model_version_policy.WhichOneof("policy_choice")
        if policy == "all":
            return _AS_IT_IS, labels, notes
        if policy != "specific":
            notes.append(
                "With labels, what is published later is served once it is labelled, or after "
                "rollback --to latest."
            )
        return {*before, version}, labels, notes

    return _change(folder, config, server, decide)


def keep(folder, count, *, config=None):
    """Removes all but the newest versions, and never one that is served by default or labelled.

    A version is hidden by one rename before its files go.

    Args:
        folder: base folder of the model.
        count: int, at least 1.
        config: as for `rollback`, but not made.

    Returns:
        `Served`, and the list of int of the versions that were removed.

    Raises:
        ValueError: the count is below 1, or there is no version at all.
        OSError: a folder cannot be removed, or `models.config` cannot be written.
    """
    if count < 1:
        raise ValueError(f"keep got {count}; at least 1 version must stay.")
    removed = []
    folder, path = _places(folder, config)
    context = model_config.edited(path) if path.exists() else contextlib.nullcontext()
    with context as configuration:
        versions = _versions(folder)
        newest, wanted, labels = list(versions)[-count:], {max(versions)}, {}
        if configuration is not None:
            entry = model_config.entry_of(configuration, folder)
            before, labels = model_config.served(entry, versions), dict(entry.version_labels)
            wanted = {*before[-1:], *labels.values()}
            if entry.model_version_policy.WhichOneof("policy_choice") == "specific":
                model_config.pin(entry, wanted | (set(before) & set(newest)))
        removed = [version for version in versions if version not in {*newest, *wanted}]
    for version in removed:
        hidden = folder / f"{_REMOVED}{secrets.token_hex(4)}"
        os.rename(versions[version], hidden)
        shutil.rmtree(hidden)
    left = [version for version in versions if version not in removed]
    if configuration is not None:
        left = model_config.served(entry, left)
    return Served(folder.name, left if path.exists() else left[-1:], labels), removed


def current(folder, *, config=None):
    """Returns `Served`: what the configuration says now, without changing it."""
    folder, path = _places(folder, config)
    versions = list(_versions(folder))
    if not path.exists():
        return Served(folder.name, versions[-1:], {})
    with model_config.edited(path) as configuration:
        own = type(configuration)()
        own.CopyFrom(configuration)  # an entry that is missing is not written
        entry = model_config.entry_of(own, folder)
        labels = dict(entry.version_labels)
        return Served(entry.name, model_config.served(entry, versions), labels)


def _places(folder, config):
    folder = pathlib.Path(folder).resolve()
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name one that holds versions.")
    return folder, pathlib.Path(config or folder.parent / model_config.FILE)


def _versions(folder):
    versions = complete_versions(folder)
    if not versions:
        raise ValueError(f"{folder} holds no version; rnn-apps export publishes one.")
    return versions


def _require(folder, version, versions):
    if version not in versions:
        raise ValueError(
            f"{folder} holds no complete version {version}; it holds "
            f"{', '.join(map(str, versions))}."
        )


def _change(folder, config, server, decide):
    """Edits once, or twice with a wait for the server between; returns `Served`."""
    folder, path = _places(folder, config)
    result = _edit(folder, path, decide)
    if server is not None:
        await_versions(server, result.model, [*result.versions, *result.loading])
        if result.loading:
            result = _edit(folder, path, decide)
            await_versions(server, result.model, result.versions)
    return result


def _edit(folder, path, decide):
    versions, is_new = list(_versions(folder)), not path.exists()
    with model_config.edited(path) as configuration:
        if is_new:
            model_config.add_all(configuration, folder.parent)
        entry = model_config.entry_of(configuration, folder)
        before = model_config.served(entry, versions) or versions[-1:]
        wanted, labels, notes = decide(entry, versions, before)
        old = entry.version_labels
        moved = {to for name, to in labels.items() if name in old and old[name] != to}
        loading = sorted(moved - set(before))
        if loading:
            model_config.pin(entry, {*before, *wanted})
            labels, notes = dict(old), []
        elif wanted == _NEWEST:
            entry.ClearField("model_version_policy")
        elif wanted != _AS_IT_IS:
            model_config.pin(entry, wanted)
        model_config.relabel(entry, labels)
        if is_new:
            new = f"{path.name} is new: a server that runs already obeys it once started again"
            notes = [*notes, f"{new}, tensorflow_model_server with --model_config_file."]
        now = model_config.served(entry, versions)
        return Served(entry.name, now, labels, loading, notes)


def await_versions(server, model, versions, seconds=_PATIENCE):
    """Waits until a server answers requests to versions of a model.

    Args:
        server: address of its REST, such as "http://localhost:8501".
        model: str, the model's name.
        versions: list of int.
        seconds: float, how long to wait for all of them.

    Raises:
        TimeoutError: they are not all available by then.
    """
    until, states = time.monotonic() + seconds, {}
    while True:
        for version in versions:
            states[version] = _state(server, model, version)
        waiting = {version: state for version, state in states.items() if state != "AVAILABLE"}
        if not waiting:
            return
        if time.monotonic() > until:
            raise TimeoutError(
                f"{server} has not made version {min(waiting)} of {model} available in "
                f"{seconds:g} s ({waiting[min(waiting)]}); it must be started with "
                "--model_config_file and --model_config_file_poll_wait_seconds."
            )
        time.sleep(0.2)


def _state(server, model, version):
    address = f"{server.rstrip('/')}/v1/models/{model}/versions/{version}"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            statuses = json.load(answer)["model_version_status"]
    except urllib.error.HTTPError as error:
        return "not known there" if error.code == 404 else f"HTTP status {error.code}"
    except (OSError, ValueError, KeyError) as error:
        return f"no answer: {getattr(error, 'reason', error)}"
    return statuses[0]["state"] if statuses else "not known there"
