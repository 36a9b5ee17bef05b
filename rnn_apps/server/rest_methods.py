"""What REST's methods do: find the version, read the JSON, run the signature, write the JSON."""

import time
from dataclasses import dataclass

from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from rnn_apps.server import inference, json_answers, json_examples, json_tensor
from rnn_apps.server.errors import ServingError
from rnn_apps.server.servable import DEFAULT_SIGNATURE


@dataclass(frozen=True)
class Target:
    """The model that a path names, and perhaps one version of it, by number or by label."""

    name: str
    version: int | None = None
    label: str | None = None


def predict(models, counted, target, body, deadline):
    """Answers a predict request.

    Args:
        models: `Models`.
        counted: `Metrics`.
        target: `Target`.
        body: bytes of JSON.
        deadline: float, `time.monotonic()` after which the answer is not wanted any more.

    Returns:
        The bytes of the answer's JSON.

    Raises:
        ServingError: with the code and the words of TensorFlow Serving.
    """
    servable, request = _read_predict(models, target, body)
    start = time.monotonic()
    outputs = servable.run(request.signature, request.inputs, None, deadline)
    counted.ran(target.name, "Predict", time.monotonic() - start)
    return json_answers.predict(outputs, request.by_row)


def begin_predict(models, counted, target, body, deadline):
    """As `predict`, but waits for nothing.

    Returns:
        (the `Future` of the outputs, a function that makes them the bytes of the answer's JSON).
    """
    servable, request = _read_predict(models, target, body)
    start = time.monotonic()

    def write(outputs):
        counted.ran(target.name, "Predict", time.monotonic() - start)
        return json_answers.predict(outputs, request.by_row)

    return servable.submit(request.signature, request.inputs, None, deadline), write


def _read_predict(models, target, body):
    """(the servable, the `PredictRequest` that the JSON is)."""
    found = []

    def input_types(signature):
        found.append(models.find(target.name, target.version, target.label))
        name = signature or DEFAULT_SIGNATURE
        definition = found[0].signature_defs.get(name)
        if definition is None:
            message = f'Serving signature name: "{name}" not found in signature def'
            raise ServingError("INVALID_ARGUMENT", message)
        return {key: type_name(info.dtype) for key, info in sorted(definition.inputs.items())}

    request = json_tensor.read_predict(body, input_types)
    return found[0], request


def type_name(number):
    """Returns what TensorFlow's errors call a type.

    Example:
        >>> type_name(1)
        'float'
    """
    return types_pb2.DataType.Name(number).removeprefix("DT_").lower()


def classify(models, counted, target, body, deadline):
    """Answers a classify request; see `predict`."""
    request = classification_pb2.ClassificationRequest()
    servable = _read_examples(models, target, body, request)
    result = inference.classify(servable, request, deadline, counted).result
    return json_answers.classify(
        [
            [(each.label.encode(), each.score) for each in row.classes]
            for row in result.classifications
        ]
    )


def regress(models, counted, target, body, deadline):
    """Answers a regress request; see `predict`."""
    request = regression_pb2.RegressionRequest()
    servable = _read_examples(models, target, body, request)
    result = inference.regress(servable, request, deadline, counted).result
    return json_answers.regress([each.value for each in result.regressions])


def _read_examples(models, target, body, request):
    """Fills a request from JSON; returns the servable that it is for."""
    signature, source = json_examples.read_examples(body)
    request.model_spec.name = target.name
    try:
        request.model_spec.signature_name = signature
    except (UnicodeEncodeError, ValueError):
        message = "The value of 'signature_name' is not UTF-8"
        raise ServingError("INVALID_ARGUMENT", message) from None
    request.input.CopyFrom(source)
    return models.find(target.name, target.version, target.label)


def status(models, target):
    """Returns the body that tells the states of a model's versions.

    A label is not looked at: the real server tells of all versions then.
    """
    _need_name(target)
    return json_answers.status(models.status(target.name, target.version))


def metadata(models, target):
    """Returns the body that tells the signatures of a version."""
    _need_name(target)
    servable = models.find(target.name, target.version, target.label)
    return json_answers.metadata(target.name, servable.version, servable.signature_defs)


def _need_name(target):
    if not target.name:
        raise ServingError("INVALID_ARGUMENT", "Missing model name in request.")
