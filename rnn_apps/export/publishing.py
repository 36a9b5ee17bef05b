"""From traced endpoints to a published SavedModel version.

`publish` writes beside the versions, checks by reading back, and shows the result with one rename:
a model server that watches the folder sees a whole version or none.
"""

import contextlib
import dataclasses
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from rnn_apps.export import warm_up_records
from rnn_apps.export.checking import UNFINISHED, check_version
from rnn_apps.version_folders import versions_in


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One thing an application answers, before it is traced.

    Args:
        function: graph function from one tensor per input to a dict of named tensors, batch first.
        inputs: name, dtype and shape of each input, e.g. `tf.TensorSpec([None], tf.string)`.
        examples: raw requests as columns, replayed before publishing and at a server's start.

    Example:
        >>> spec = {"text": tf.TensorSpec([None], tf.string, name="text")}
        >>> endpoint = Endpoint(lambda text: {"bytes": tf.strings.length(text)}, spec,
        ...                     examples=[{"text": ["short", "a longer one"]}])
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: dict[str, tf.TensorSpec]
    examples: list[dict[str, list]] = dataclasses.field(default_factory=list)


def graph_of(function: Callable, specs: Mapping[str, tf.TensorSpec]):
    """Make a `tf.function` of tensors in the order of `specs`.

    Args:
        function: takes the tensors by their names.
        specs: name → dtype and shape.

    Example:
        >>> double = graph_of(lambda x: {"y": 2 * x}, {"x": tf.TensorSpec([None])})
        >>> double([1.0, 2.0])["y"].numpy().tolist()
        [2.0, 4.0]
    """
    return tf.function(
        lambda *tensors: function(**dict(zip(specs, tensors, strict=True))),
        input_signature=list(specs.values()),
        autograph=False,
    )


def publish(
    signatures: Mapping[str, Callable],
    folder: str | os.PathLike,
    *,
    trackables: Sequence = (),
    warm_up: Mapping[str, Sequence[Mapping[str, np.ndarray]]] | None = None,
) -> Path:
    """Write the next version of a SavedModel into `folder`, whole or not at all.

    Only the variables that the signatures use are stored, each once. The version is read back and
    every warm-up request is answered by both, before one rename makes it visible.

    Args:
        signatures: name → `tf.types.experimental.ConcreteFunction` that returns a dict of tensors.
        folder: the model's base folder; versions are its children `1`, `2`, …
        trackables: what else the functions need: tokenizers, lookup tables.
        warm_up: name of a signature → requests, each `{input: array with batch dimension}`.

    Returns:
        The folder of the new version, one above the largest number present.

    Raises:
        ValueError: a request does not fit its signature, `check` finds an error, or the reloaded
            version answers differently; nothing is published.
        OSError: the folder cannot be written or has no room; nothing is left behind.

    Example:
        >>> spec = [tf.TensorSpec([None], tf.string, name="text")]
        >>> count = tf.function(lambda text: {"bytes": tf.strings.length(text)}, spec)
        >>> path = publish({"serving_default": count.get_concrete_function()}, "saved_models/count",
        ...                warm_up={"serving_default": [{"text": np.array(["a", "bc"])}]})
        >>> path.name
        '1'
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            errno.ENOTDIR,
            "This is a file; name the folder that is to hold the versions",
            str(folder),
        )
    requests = _as_tensors(signatures, warm_up or {})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with _reserve(folder) as temporary:
            _write(temporary, signatures, trackables, requests, folder.name)
            _verify(temporary, signatures, requests)
            return _show(temporary, folder)
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or re.search(
            "no space left|disk quota", str(error), re.IGNORECASE
        ):
            raise _no_room(folder, signatures) from error
        raise


def _as_tensors(signatures, warm_up):
    """Check each request against its signature; return name → list of {input: tensor}."""
    requests = {name: [] for name in signatures}
    for name, examples in warm_up.items():
        if name not in signatures:
            raise ValueError(
                f"Warm-up requests for {name!r}, but the signatures are "
                f"{sorted(signatures)}; name one of these."
            )
        if not isinstance(signatures[name].structured_outputs, Mapping):
            raise ValueError(
                f"The signature {name!r} returns a bare tensor; return a dict, whose "
                "keys become the names of the outputs."
            )
        specs = _specs(signatures[name])
        for example in examples:
            if set(example) != set(specs):
                raise ValueError(
                    f"A warm-up request of {name!r} has the inputs {sorted(example)}; "
                    f"the signature takes {sorted(specs)}."
                )
            tensors = {key: tf.constant(example[key], specs[key].dtype) for key in sorted(specs)}
            requests[name].append(tensors)
    return requests


def _specs(function):
    """Input name → TensorSpec of a concrete function."""
    return {spec.name: spec for spec in tf.nest.flatten(function.structured_input_signature)}


@contextlib.contextmanager
def _reserve(folder):
    """Make a hidden folder beside the versions, locked for as long as this process works on it."""
    lock = None
    while lock is None:
        path = folder / f"{UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}"
        path.mkdir()
        try:
            lock = _lock(path)
        except (BlockingIOError, FileNotFoundError):  # another export's sweep came between
            continue
        except OSError:  # a file system without locks, where nothing is ever swept
            break
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # already renamed if all went well
        if lock is not None:
            os.close(lock)


def _lock(path):
    """Open and lock a folder that is there; the kernel lets go of it when the process ends."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(path)
    except OSError:
        os.close(handle)
        raise
    return handle


def _sweep(folder):
    """Remove what killed exports left: the unfinished folders that no living process has locked."""
    for path in folder.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError):
            lock = _lock(path)
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _write(path, signatures, trackables, requests, model_name):
    module = tf.Module()
    in_use = {id(v): v for function in signatures.values() for v in function.variables}
    module.variables_in_use = list(in_use.values())
    module.trackables = list(trackables)
    try:
        tf.saved_model.save(module, str(path), signatures=dict(signatures))
    except AssertionError as error:
        raise ValueError(
            f"A signature uses a resource that was not handed over; add its owner to "
            f"`trackables`: {error}"
        ) from error
    (path / warm_up_records.FILE).parent.mkdir()
    with tf.io.TFRecordWriter(str(path / warm_up_records.FILE)) as writer:
        for name, examples in requests.items():
            for example in examples:
                writer.write(warm_up_records.record(model_name, name, example))


def _verify(path, signatures, requests):
    """Raise ValueError unless what lies in `path` loads and answers as the traced functions do."""
    errors = [str(finding) for finding in check_version(path) if finding.level == "error"]
    if errors:
        raise ValueError("Not published, because a model server would fail: " + " ".join(errors))
    loaded = tf.saved_model.load(str(path))
    for name, examples in requests.items():
        for example in examples:
            expected, answer = signatures[name](**example), loaded.signatures[name](**example)
            for key, tensor in expected.items():
                if not _same(tensor.numpy(), answer[key].numpy()):
                    raise ValueError(
                        f"Not published: reloaded, the signature {name!r} answers "
                        f"another {key!r} than before; make the endpoint a pure "
                        f"function of its inputs."
                    )


def _same(left, right):
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype.kind == "f":
        return np.allclose(left, right, rtol=1e-5, atol=1e-5, equal_nan=True)
    return np.array_equal(left, right)


def _show(temporary, folder):
    """Bring every byte to the disk, then rename to the next free number."""
    for parent, _, files in os.walk(temporary, topdown=False):
        for name in [*files, "."]:
            _sync(os.path.join(parent, name))
    while True:
        path = folder / str(max([0, *versions_in(folder)]) + 1)
        try:
            os.rename(temporary, path)
        except OSError as error:  # another export took the number: take the next
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        else:
            _sync(folder)
            return path


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _no_room(folder, signatures):
    variables = {id(v): v for function in signatures.values() for v in function.variables}
    needed = sum(v.dtype.size * v.shape.num_elements() for v in variables.values())
    needed += sum(f.graph.as_graph_def().ByteSize() for f in signatures.values())
    existing = next(parent for parent in [folder, *folder.parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    return OSError(
        errno.ENOSPC,
        f"No room to export: the model takes about {needed / 1e6:.1f} MB "
        f"and {free / 1e6:.1f} MB are free there; make room or choose another folder. "
        "Nothing was left behind",
        str(folder),
    )
