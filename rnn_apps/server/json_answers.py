"""The bodies with which REST answers: predictions, classes, values, states, metadata, errors."""

import json

import numpy as np

from rnn_apps.server import json_writing
from rnn_apps.server.errors import ServingError


def error(message):
    r"""Returns the body of an answer that says what was wrong.

    Example:
        >>> error("Malformed request: GET /v1/").decode()
        '{\n    "error": "Malformed request: GET /v1/"\n}'
    """
    text = json_writing.string(message.encode("utf-8", "replace"))
    return json_writing.members([("error", text)], 0)


def predict(outputs, by_row):
    r"""Returns the body that answers a predict request.

    Args:
        outputs: {output name: array}; strings are object arrays of bytes.
        by_row: bool, whether the request was a list of instances.

    Raises:
        ServingError: INVALID_ARGUMENT where the outputs cannot be told apart by row, or have a
            type that JSON answers do not have.

    Example:
        >>> predict({"y": np.array([1, 2])}, True).decode()
        '{\n    "predictions": [1, 2\n    ]\n}'
    """
    if not outputs:
        raise ServingError("INVALID_ARGUMENT", "Cannot convert empty tensor map to JSON")
    if by_row:
        return json_writing.members([("predictions", _predictions(outputs))], 0)
    level = 1 if len(outputs) == 1 else 2
    pairs = [
        (name, json_writing.array(_values(name, tensor), tensor.shape, level))
        for name, tensor in outputs.items()
    ]
    answer = pairs[0][1] if len(pairs) == 1 else json_writing.members(pairs, 1)
    return json_writing.members([("outputs", answer)], 0)


def _predictions(outputs):
    """The outputs as a list of rows, each of which is a value or an object."""
    count = None
    for name, tensor in outputs.items():
        if not tensor.ndim:
            message = f"Tensor name: {name} has no shape information "
            raise ServingError("INVALID_ARGUMENT", message)
        if count not in (None, len(tensor)):
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Tensor name: {name} has inconsistent batch size: {len(tensor)} expecting: "
                f"{count}",
            )
        count = len(tensor)
    if not count:
        return b"[]"
    columns = [json_writing.rows(_values(*item), item[1].shape) for item in outputs.items()]
    if len(columns) == 1:
        return b"[%b\n    ]" % b", ".join(columns[0])
    lines = zip(*columns, strict=True)
    objects = [json_writing.members(zip(outputs, line, strict=True), 2) for line in lines]
    return b"[\n        %b\n    ]" % b",\n        ".join(objects)


def _values(name, tensor):
    return json_writing.values(tensor, as_base64=name.endswith("_bytes"))


def classify(results):
    r"""Returns the body that answers a classify request.

    Args:
        results: for each example a list of (class as bytes, score as float).

    Example:
        >>> classify([[(b"positive", 0.75)]]).decode()
        '{\n    "results": [[["positive", 0.75]]\n    ]\n}'
    """
    lists = []
    for classes in results:
        scores = json_writing.decimals(np.array([score for _, score in classes], np.float32))
        names = (json_writing.string(name) for name, _ in classes)
        pairs = (b"[%b, %b]" % pair for pair in zip(names, scores, strict=True))
        lists.append(b"[%b]" % b", ".join(pairs))
    return json_writing.members([("results", b"[%b\n    ]" % b", ".join(lists))], 0)


def regress(results):
    r"""Returns the body that answers a regress request.

    Args:
        results: for each example its value, float.

    Example:
        >>> regress([2.5, 3]).decode()
        '{\n    "results": [2.5, 3.0]\n}'
    """
    numbers = json_writing.decimals(np.array(results, np.float32))
    return json_writing.members([("results", b"[%b]" % b", ".join(numbers))], 0)


def status(versions):
    """Returns the body that tells the states of a model's versions.

    Args:
        versions: list of objects with `version`, `state`, `error_code` and `error_message`.
    """
    states = [
        {
            "version": str(each.version),
            "state": each.state,
            "status": {"error_code": each.error_code, "error_message": each.error_message},
        }
        for each in versions
    ]
    return _message({"model_version_status": states})


def metadata(name, version, signature_defs):
    """Returns the body that tells the signatures of a version.

    Args:
        name: str, the model's.
        version: int.
        signature_defs: {name: SignatureDef}.
    """
    from google.protobuf import json_format

    def printed(definition):
        return {"inputs": {}, "outputs": {}, "method_name": "", "defaults": {}} | (
            json_format.MessageToDict(
                definition,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
        )

    signatures = {key: printed(definition) for key, definition in signature_defs.items()}
    return _message(
        {
            "model_spec": {"name": name, "signature_name": "", "version": str(version)},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
    )


def _message(message):
    """A protocol buffer's JSON, indented by one space as its own printer does it."""
    return json.dumps(message, indent=1, ensure_ascii=False).encode("utf-8", "replace")
