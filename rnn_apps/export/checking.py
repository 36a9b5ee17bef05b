"""What a model server, or whoever moves the folder, would stumble over in any SavedModel.

`check` reads the files without running the model, so it also explains what does not load.
"""

import dataclasses
import hashlib
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from rnn_apps.export import warm_up_records
from rnn_apps.export.graphs import Finding, check_operations, check_signatures, listed, nodes
from rnn_apps.version_folders import number_of, versions_in

_MAX_GRAPH_BYTES = 100 << 20
_MAX_INLINED = 10_000
UNFINISHED = ".export-"  # not a number, so no model server takes it for a version
_LEVELS = ("error", "warning", "note")


_OPTIMIZER = (
    r"(^|/)_?optimizer/|\.OPTIMIZER_SLOT|/(Adam|Momentum|RMSProp|Adagrad|Adadelta|Ftrl)(_\d+)?$"
)


def check(saved_model: str | os.PathLike) -> list[Finding]:
    """Explain what a model server, or whoever moves the folder, would stumble over.

    Args:
        saved_model: a version's folder (with `saved_model.pb`) or a base folder with versions.

    Returns:
        The findings, errors first; an empty list is a clean model.

    Example:
        >>> [str(finding) for finding in check("/no/such/folder")]
        ['error: /no/such/folder does not exist. Give the folder of a SavedModel.']
    """
    path = Path(saved_model)
    if _graph_file(path):
        findings = list(check_version(path))
        if number_of(path.resolve().name) is None:
            findings.append(
                Finding(
                    "warning",
                    f"The folder's name {path.resolve().name!r} is not a version number",
                    "A model server only sees versions named 1, 2, …; rename it inside its base "
                    "folder",
                )
            )
    else:
        findings = list(_check_base(path))
    return sorted(findings, key=lambda finding: _LEVELS.index(finding.level))


def _graph_file(path):
    files = [path / "saved_model.pb", path / "saved_model.pbtxt"]
    return next((file for file in files if file.is_file()), None)


def _check_base(path):
    """Explain a folder that is no version: the versions in it, or what lies there instead."""
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        more = " written by model.export()" if path.suffix in (".keras", ".h5") else ""
        yield Finding("error", f"{path} {what}", f"Give the folder of a SavedModel{more}")
        return
    versions, names = versions_in(path), sorted(os.listdir(path))
    for name in names:
        child = path / name
        if number_of(name) is not None:
            for finding in check_version(child):
                yield dataclasses.replace(finding, what=f"Version {name}: {finding.what}")
        elif name.startswith(UNFINISHED):
            yield Finding(
                "note",
                f"{name} is what a running or killed export has written so far",
                "The next export removes it if nobody works on it",
            )
        elif _graph_file(child):
            yield Finding(
                "warning",
                f"{name!r} holds a SavedModel, but is not a version number",
                "Model servers skip it; rename it to the next number if it is meant",
            )
    for number, count in Counter(versions).items():
        if count > 1:
            yield Finding(
                "error",
                f"{count} folders are version {number}",
                "A model server takes any of them; rename all but one",
            )
    if not versions:
        holds = ", ".join(names[:8]) or "nothing"
        yield Finding(
            "error",
            f"{path} is neither a SavedModel nor a folder of numbered versions; it holds {holds}",
            "A version is a folder named 1, 2, … that holds saved_model.pb and variables/",
        )


def check_version(path):
    """Yield every finding about the one SavedModel in the folder `path`."""
    file = _graph_file(path)
    if file is None:
        holds = ", ".join(sorted(os.listdir(path))[:8]) if path.is_dir() else "no folder"
        yield Finding(
            "error",
            f"There is no saved_model.pb; found {holds or 'nothing'}",
            "Remove the folder, or export or copy it again",
        )
        return
    model = saved_model_pb2.SavedModel()
    try:
        if file.suffix == ".pb":
            model.ParseFromString(file.read_bytes())
        else:
            text_format.Parse(file.read_text("utf-8"), model)
    except (DecodeError, text_format.ParseError, UnicodeDecodeError, OSError) as error:
        yield Finding(
            "error",
            f"{file.name} cannot be read ({error})",
            "It is cut short or not a SavedModel; export or copy it again",
        )
        return
    graphs = [graph for graph in model.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not graphs:
        tags = [sorted(graph.meta_info_def.tags) for graph in model.meta_graphs]
        yield Finding(
            "error",
            f"No graph has the tag 'serve', which servers load; tags: {tags}",
            "It is cut short or meant for something else; export it again",
        )
        return
    yield from check_operations(graphs[0])
    yield from check_signatures(graphs[0].signature_def)
    yield from _check_variables(path, graphs[0])
    yield from _check_files(path, graphs[0])
    yield from _check_size(file, graphs[0])
    yield from _check_warm_up(path, graphs[0].signature_def)


def _check_variables(path, graph):
    """Read every stored variable once: are all there, and is each stored once?"""
    prefix = path / "variables" / "variables"
    if not prefix.with_suffix(".index").is_file():
        if {"VarHandleOp", "VariableV2", "RestoreV2"} & {node.op for node in nodes(graph)}:
            yield Finding(
                "error",
                "variables/variables.index is missing, and the graph needs it",
                "The weights are lost; export or copy the folder again",
            )
        return
    copies, optimizer = {}, []
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for key in sorted(reader.get_variable_to_shape_map()):
            value = np.asarray(reader.get_tensor(key))
            if re.search(_OPTIMIZER, key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")):
                optimizer.append((key, value.nbytes))
            elif value.nbytes >= 1024 and (value != value.flat[0]).any():
                digest = hashlib.sha256(np.ascontiguousarray(value)).digest()
                copies.setdefault((value.shape, digest), []).append((key, value.nbytes))
    except Exception as error:  # the reader turns a status into almost any of them
        yield Finding(
            "error",
            f"The variables cannot be read ({str(error).splitlines()[0]})",
            "A file is missing or cut short; export or copy the folder again",
        )
        return
    twice = [entry for same in copies.values() for entry in same[1:]]
    for found, what, advice in (
        (twice, "weights are stored twice", "Track only the variables that the signatures use"),
        (optimizer, "variables of an optimizer are stored", "Export the model, not its training"),
    ):
        if found:
            size = sum(nbytes for _, nbytes in found) / 1e6
            names = listed([key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE") for key, _ in found])
            yield Finding("warning", f"{len(found)} {what}, {size:.1f} MB: {names}", advice)


def _check_files(path, graph):
    """Look for what breaks when the folder moves: asset paths, absolute paths, links."""
    for asset in graph.asset_file_def:
        if os.path.isabs(asset.filename) or ".." in Path(asset.filename).parts:
            yield Finding(
                "error",
                f"The asset {asset.filename} lies outside the folder",
                "Track the object that reads it, so that it is copied to assets/",
            )
        elif not (path / "assets" / asset.filename).is_file():
            yield Finding(
                "error",
                f"The asset assets/{asset.filename} is missing",
                "Export or copy the folder again",
            )
    constants = [n.attr["value"].tensor for n in nodes(graph) if n.op == "Const"]
    scalars = {
        bytes(t.string_val[0])
        for t in constants
        if t.string_val and not t.tensor_shape.dim and len(t.string_val[0]) < 500
    }
    paths = [
        s.decode()
        for s in sorted(scalars)
        if re.fullmatch(rb"/[\w.-]+(/[\w.-]+)+|[A-Za-z]:\\[\w.\\-]+", s)
    ]
    if paths:
        yield Finding(
            "warning",
            f"The graph names files of one machine: {listed(paths)}",
            "Track what reads them, so that they travel as assets",
        )
    links = [str(p.relative_to(path)) for p in sorted(path.rglob("*")) if p.is_symlink()]
    if links:
        yield Finding(
            "warning",
            f"{listed(links)} are symbolic links",
            "They break when the folder is moved; copy the files themselves",
        )


def _check_size(file, graph):
    size = file.stat().st_size
    if size > _MAX_GRAPH_BYTES:
        yield Finding(
            "warning",
            f"The graph takes {size / 1e6:.0f} MB; it cannot exceed 2 GB and is slow to load",
            "Keep large constants in variables or asset files",
        )
    for node in nodes(graph):
        tensor = node.attr["value"].tensor if node.op == "Const" else None
        if tensor and tensor.dtype == tf.string.as_datatype_enum and tensor.tensor_shape.dim:
            count = int(np.prod([dim.size for dim in tensor.tensor_shape.dim]))
            if count >= _MAX_INLINED:
                yield Finding(
                    "warning",
                    f"A table of {count} strings, "
                    f"{tensor.ByteSize() / 1e6:.1f} MB, lies in the graph ({node.name})",
                    "Read it from an asset file with tf.lookup.TextFileInitializer",
                )


def _check_warm_up(path, signatures):
    file = path / warm_up_records.FILE
    if not file.is_file():
        yield Finding(
            "note",
            "There are no warm-up requests, so the first answer is slow",
            f"Publish with warm_up=…, which writes {warm_up_records.FILE}",
        )
        return
    for problem in warm_up_records.problems_in(file, signatures):
        yield Finding(
            "error",
            f"Warm-up: {problem}",
            "A model server would refuse to load this version; write the file again",
        )
