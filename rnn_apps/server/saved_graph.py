"""A SavedModel in a session, loaded in the steps in which TensorFlow Serving's C++ loads it."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the operations of SentencePiece
from tensorflow.core.protobuf import config_pb2, saved_model_pb2

from rnn_apps.server.errors import ServingError, from_tensorflow

_INIT = "__saved_model_init_op"
_OLD_INITS = ("saved_model_main_op", "legacy_init_op")  # collections of TensorFlow 1


class SavedGraph:
    """The graph of one SavedModel and its variables, ready to run; safe for many threads.

    Args:
        folder: the folder of a version, with `saved_model.pb`.
        tags: of the graph that is wanted.
        session_config: `ConfigProto`, for the numbers of threads.

    Raises:
        ServingError: the folder holds no whole SavedModel, or reaches out of itself.
    """

    def __init__(self, folder: Path, tags=("serve",), session_config=None):
        self._session, self._calls = None, {}
        refuse_links(folder)
        meta = _meta_graph(folder, set(tags))
        self.signature_defs = dict(meta.signature_def)
        graph = tf.Graph()
        try:
            with graph.as_default():
                tf.graph_util.import_graph_def(meta.graph_def, name="")
            self._session = tf.compat.v1.Session(graph=graph, config=session_config)
            _restore(self._session, folder, meta)
        except (tf.errors.OpError, ValueError, KeyError) as error:
            self.close()
            if isinstance(error, tf.errors.OpError):
                raise from_tensorflow(error) from error
            message = f"The graph cannot be imported: {str(error).splitlines()[0]}"
            raise ServingError("INVALID_ARGUMENT", message) from error

    def run(self, feeds: dict[str, np.ndarray], fetches: tuple[str, ...]) -> list[np.ndarray]:
        """Run the graph once.

        Args:
            feeds: name of a tensor → array; strings are object arrays of bytes.
            fetches: names of tensors.

        Returns:
            An array for each of `fetches`.

        Raises:
            ServingError: with TensorFlow's code and sentence.
        """
        key = (tuple(feeds), fetches)
        call = self._calls.get(key)
        try:
            if call is None:  # two threads may both make it; either will do
                options = config_pb2.CallableOptions(feed=key[0], fetch=fetches)
                # `make_callable` wants tensors where this takes names, and looks at each feed again
                call = self._session._make_callable_from_options(options)
                self._calls[key] = call
            return [_array(value) for value in call(*feeds.values())]
        except Exception as error:  # a status becomes almost any of them
            raise from_tensorflow(error) from error

    def close(self):
        """Free the variables; nothing may be running."""
        self._calls.clear()
        if self._session is not None:
            self._session.close()
            self._session = None


def _array(value):
    """A fetched value as an array: a single text comes as its bytes."""
    if isinstance(value, bytes):
        array = np.empty([], object)
        array[()] = value
        return array
    return value


def refuse_links(folder: Path):
    """Raise `ServingError` if a link leads out of the folder, or the folder is one itself."""
    home = os.path.realpath(folder)
    if os.path.dirname(home) != os.path.realpath(folder.parent):
        message = f"Version {folder.name} is a link out of the model's folder; copy the version"
        raise ServingError("PERMISSION_DENIED", message)
    for parent, folders, files in os.walk(home):
        for name in [*folders, *files]:
            path = os.path.join(parent, name)
            if os.path.islink(path) and not os.path.realpath(path).startswith(home + os.sep):
                message = f"{name} is a link out of the version's folder; copy the file itself"
                raise ServingError("PERMISSION_DENIED", message)


def _meta_graph(folder, tags):
    file = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(file.read_bytes())
    except FileNotFoundError as error:
        message = f"Could not find SavedModel .pb in version {folder.name}"
        raise ServingError("NOT_FOUND", message) from error
    except Exception as error:  # DecodeError or OSError: cut short, or not to be read
        raise ServingError("DATA_LOSS", "Can't parse saved_model.pb as binary proto") from error
    for meta in model.meta_graphs:
        if set(meta.meta_info_def.tags) == tags:
            return meta
    message = (
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(sorted(tags))} }}"
    )
    raise ServingError("NOT_FOUND", message)


def _restore(session, folder, meta):
    """Restores the variables, then initialises the tables, each as the graph itself says."""
    assets = {}
    for asset in meta.asset_file_def:
        if os.path.isabs(asset.filename) or ".." in Path(asset.filename).parts:
            raise ServingError("PERMISSION_DENIED", "An asset lies outside the version's folder")
        assets[asset.tensor_info.name] = str(folder / "assets" / asset.filename)
    saver = meta.saver_def
    if saver.restore_op_name and (folder / "variables" / "variables.index").is_file():
        prefix = {saver.filename_tensor_name: str(folder / "variables" / "variables")}
        session.run(saver.restore_op_name, {**prefix, **assets})
    elif any(node.op in ("VarHandleOp", "VariableV2") for node in meta.graph_def.node):
        raise ServingError("NOT_FOUND", "Could not find variables/variables.index")
    if _INIT in meta.signature_def:
        session.run(meta.signature_def[_INIT].outputs[_INIT].name, assets)
    for name in set(_OLD_INITS) & set(meta.collection_def):
        for node in meta.collection_def[name].node_list.value:
            session.run(node, assets)
