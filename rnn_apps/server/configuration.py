"""The configuration files of TensorFlow Serving, read as text protobufs, and the models they name.

The wheel of the interface has no messages for batching and monitoring; their few fields are
declared here, for the text format looks at names and types alone.
"""

import functools
import os
import re
from pathlib import Path

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,  # noqa: F401  brings the wrappers into the pool
)
from tensorflow_serving.config import model_server_config_pb2

from rnn_apps.server.errors import ServingError
from rnn_apps.server.versions import versions_in

CONTAINER = "/models"  # where the models lie in the Docker image
PLATFORM = "tensorflow"
_BATCHING = {
    "max_batch_size": "google.protobuf.Int64Value",
    "batch_timeout_micros": "google.protobuf.Int64Value",
    "max_enqueued_batches": "google.protobuf.Int64Value",
    "num_batch_threads": "google.protobuf.Int64Value",
    "thread_pool_name": "google.protobuf.StringValue",
    "allowed_batch_sizes": "int64*",
    "pad_variable_length_inputs": "bool",
    "enable_large_batch_splitting": "google.protobuf.BoolValue",
    "max_execution_batch_size": "google.protobuf.Int64Value",
}
_MESSAGES = {
    "BatchingParameters": _BATCHING,
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "rnn_apps.serving.PrometheusConfig"},
}


def read_text(file: str | os.PathLike, message: str | type):
    """Read a file in the text format of protobufs.

    Args:
        file: path of the file.
        message: "BatchingParameters", "MonitoringConfig", or the class of a message.

    Returns:
        The message.

    Raises:
        ValueError: it is not such a text; the sentence names the file.
        OSError: it cannot be read.
    """
    cls = _messages()[message] if isinstance(message, str) else message
    try:
        return text_format.Parse(Path(file).read_text("utf-8"), cls())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        name = cls.DESCRIPTOR.name
        raise ValueError(f"{file} is not a {name} in text format: {error}") from error


@functools.cache
def _messages():
    file = descriptor_pb2.FileDescriptorProto(
        name="rnn_apps/serving.proto",
        package="rnn_apps.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for name, fields in _MESSAGES.items():
        target = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = target.field.add(name=field, number=number, label=3 if kind[-1] == "*" else 1)
            if "." in kind:
                added.type, added.type_name = added.TYPE_MESSAGE, f".{kind}"
            else:
                added.type = getattr(added, f"TYPE_{kind.rstrip('*').upper()}")
    pool = descriptor_pool.Default()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {
        name: message_factory.GetMessageClass(find(f"rnn_apps.serving.{name}"))
        for name in _MESSAGES
    }


def of_file(file: str | os.PathLike):
    """Return the `ModelServerConfig` of a `models.config`.

    Raises:
        ValueError: it is not such a text.
        OSError: it cannot be read.
    """
    return read_text(file, model_server_config_pb2.ModelServerConfig)


def of_folder(folder: Path):
    """Return a `ModelServerConfig` of every model in a folder: its children that hold versions.

    A child that is a link out of the folder is none.
    """
    config = model_server_config_pb2.ModelServerConfig()
    models = config.model_config_list
    home = Path(os.path.realpath(folder))
    for name in sorted(os.listdir(folder)):
        base = folder / name
        if name[0] != "." and base.is_dir() and _lies_in(base, home) and versions_in(base):
            models.config.add(name=name, base_path=str(base), model_platform=PLATFORM)
    return config


def of_model(name: str, base_path: str | os.PathLike):
    """Return the `ModelServerConfig` of one model."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=str(Path(base_path).resolve()), model_platform=PLATFORM
    )
    return config


def check(config):
    """Raise `ServingError` unless a `ModelServerConfig` names each model once, and whole.

    Labels are letters, digits and underscores; every base path is absolute.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise ServingError(
            "INVALID_ARGUMENT",
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
            "ModelConfigList is currently supported",
        )
    names = set()
    for model in config.model_config_list.config:
        if model.name in names:
            _refuse(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
        if not model.name:
            _refuse("A model in the config list has no name")
        if not os.path.isabs(model.base_path):
            _refuse(
                f"Expected model {model.name} to have an absolute path or URI; got "
                f"base_path()={model.base_path}"
            )
        if (model.model_platform or PLATFORM) != PLATFORM:
            _refuse(f"Model {model.name} has the platform {model.model_platform}, not {PLATFORM}")
        for label in model.version_labels:
            if not re.fullmatch(r"\w+", label, re.ASCII):
                _refuse(f"The label {label!r} of model {model.name} is not of [a-zA-Z0-9_]")


def _refuse(message):
    raise ServingError("INVALID_ARGUMENT", message)


def within(config, folder: Path | None):
    """Return a checked copy of a config whose base paths all lie in a folder.

    A base path that begins with /models, as in the container, is looked for in the folder.

    Args:
        config: `ModelServerConfig`.
        folder: the models' folder; None leaves the paths as they are.

    Raises:
        ServingError: the config is faulty, or a base path lies outside the folder.
    """
    check(config)
    copy = type(config)()
    copy.CopyFrom(config)
    if folder is None:
        return copy
    home = Path(os.path.realpath(folder))
    for model in copy.model_config_list.config:
        path = Path(model.base_path)
        if not _lies_in(path, home) and path.is_relative_to(CONTAINER):
            path = home / path.relative_to(CONTAINER)
        if not _lies_in(path, home):
            message = f"The base path of model {model.name} lies outside the models' folder"
            raise ServingError("PERMISSION_DENIED", message)
        model.base_path = str(path)
    return copy


def _lies_in(path, home):
    return Path(os.path.realpath(path)).is_relative_to(home)
