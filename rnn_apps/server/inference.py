"""The requests of PredictionService, answered by one servable: messages in, messages out."""

import time

import numpy as np
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2, regression_pb2

from rnn_apps.server import tensors
from rnn_apps.server.errors import ServingError
from rnn_apps.server.servable import CLASSIFY, DEFAULT_SIGNATURE, REGRESS

_EXAMPLES = "inputs"  # what TensorFlow Serving calls the one input of both


def predict(servable, request, deadline: float | None = None, counted=None):
    """Answer a `PredictRequest` with a `PredictResponse`.

    Args:
        servable: `Servable` that answers.
        request: the message.
        deadline: `time.monotonic()` at which the caller stops waiting.
        counted: `Metrics` that the run is counted in, or None.

    Raises:
        ServingError: as `Servable.run`, or an input is not a tensor.
    """
    spec = request.model_spec
    signature = spec.signature_name or DEFAULT_SIGNATURE
    servable.check(signature, request.inputs.keys())
    inputs = {name: tensors.to_array(name, proto) for name, proto in request.inputs.items()}
    run = _timed(servable, spec.name, "Predict", counted)
    outputs = run(signature, inputs, request.output_filter, deadline)
    response = predict_pb2.PredictResponse()
    _fill_spec(response.model_spec, spec.name, signature, servable.version)
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(tensors.to_proto(array))
    return response


def classify(servable, request, deadline: float | None = None, counted=None):
    """Answer a `ClassificationRequest` with a `ClassificationResponse`; see `predict`."""
    spec = request.model_spec
    _, fetched = _of_classes(servable, spec.signature_name)
    examples = serialized(request.input)
    run = _timed(servable, spec.name, "Classify", counted)
    outputs = run(spec.signature_name, {_EXAMPLES: examples}, fetched, deadline)
    response = classification_pb2.ClassificationResponse()
    _fill_spec(response.model_spec, spec.name, spec.signature_name, servable.version)
    _fill_classes(response.result, outputs, len(examples))
    _count_examples(counted, spec.name, len(examples))
    return response


def regress(servable, request, deadline: float | None = None, counted=None):
    """Answer a `RegressionRequest` with a `RegressionResponse`; see `predict`."""
    spec = request.model_spec
    _, fetched = _of_values(servable, spec.signature_name)
    examples = serialized(request.input)
    run = _timed(servable, spec.name, "Regress", counted)
    outputs = run(spec.signature_name, {_EXAMPLES: examples}, fetched, deadline)
    response = regression_pb2.RegressionResponse()
    _fill_spec(response.model_spec, spec.name, spec.signature_name, servable.version)
    _fill_values(response.result, outputs["outputs"], len(examples))
    _count_examples(counted, spec.name, len(examples))
    return response


def infer_many(servable, request, deadline: float | None = None, counted=None):
    """Answer a `MultiInferenceRequest` with a `MultiInferenceResponse`; see `predict`.

    All tasks are of one model and read the same examples; each has a signature of its own.
    """
    seen, tasks = set(), []
    names = {task.model_spec.name for task in request.tasks}
    if "" in names:
        _refuse("Found ModelSpec with an empty model name.")
    if len(names) > 1:
        _refuse("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    for task in request.tasks:
        signature = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if signature in seen:
            _refuse(f"Duplicate evaluation of signature: {signature}")
        seen.add(signature)
        if signature not in servable.signature_defs:
            _refuse(f"Requested signature not found in model graph: {signature}")
        if task.method_name == CLASSIFY:
            source, fetched = _of_classes(servable, signature)
        elif task.method_name == REGRESS:
            source, fetched = _of_values(servable, signature)
        else:
            what = f"Unsupported signature method_name: {task.method_name}"
            raise ServingError("UNIMPLEMENTED", what)
        tasks.append((task, signature, source, fetched))
    if len({source for _, _, source, _ in tasks}) > 1:  # so with TensorFlow 2's signatures
        _refuse("Input tensor must be the same for all Signatures.")
    examples = serialized(request.input)
    response = inference_pb2.MultiInferenceResponse()
    run = _timed(servable, "".join(names), "MultiInference", counted)
    for task, signature, _, fetched in tasks:
        outputs = run(signature, {_EXAMPLES: examples}, fetched, deadline)
        result = response.results.add()
        spec = task.model_spec
        _fill_spec(result.model_spec, spec.name, spec.signature_name, servable.version)
        if task.method_name == CLASSIFY:
            _fill_classes(result.classification_result, outputs, len(examples))
        else:
            _fill_values(result.regression_result, outputs["outputs"], len(examples))
    _count_examples(counted, "".join(names), len(examples))
    return response


def _timed(servable, model, api, counted):
    """`servable.run`, whose time is counted where there is something to count it in."""
    if counted is None:
        return servable.run

    def run(*request):
        start = time.monotonic()
        outputs = servable.run(*request)
        counted.ran(model, api, time.monotonic() - start)
        return outputs

    return run


def _count_examples(counted, model, number):
    if counted is not None:
        counted.examples(model, number)


def serialized(source) -> np.ndarray:
    """Return the examples of an `Input` as serialized `tf.train.Example`s, with their context.

    Returns:
        object (B,), bytes.

    Raises:
        ServingError: there are none.
    """
    if source.WhichOneof("kind") == "example_list_with_context":
        context = source.example_list_with_context.context
        rows = [_merged(context, row) for row in source.example_list_with_context.examples]
    else:
        rows = [row.SerializeToString() for row in source.example_list.examples]
    if not rows:
        _refuse("Input is empty.")
    array = np.empty([len(rows)], object)
    array[:] = rows
    return array


def _merged(context, row):
    """A row with the context's features, of which its own take the place."""
    merged = example_pb2.Example()
    merged.CopyFrom(context)
    for name, feature in row.features.feature.items():
        merged.features.feature[name].CopyFrom(feature)
    return merged.SerializeToString()


def _definition(servable, signature, method, most_outputs, expected):
    name = signature or DEFAULT_SIGNATURE
    definition = servable.signature_defs.get(name)
    if definition is None:
        _refuse(f"No signature was found with the name: {name}")
    if servable.checks_method_names and definition.method_name != method:
        kind = "classification" if method == CLASSIFY else "regression"
        _refuse(
            f"Expected {kind} signature method_name to be {method}. Was: {definition.method_name}"
        )
    if len(definition.inputs) != 1:
        _refuse("Expected one input Tensor.")
    if not 1 <= len(definition.outputs) <= most_outputs:
        _refuse(expected.format(len(definition.outputs)))
    return definition


def _of_classes(servable, signature):
    """(name of the input's tensor, names of the outputs) of a signature for `classify`."""
    expected = "Expected one or two output Tensors, found {}"
    definition = _definition(servable, signature, CLASSIFY, 2, expected)
    if _EXAMPLES not in definition.inputs:
        _lack("No classification inputs found in SignatureDef", definition)
    fetched = [name for name in ("classes", "scores") if name in definition.outputs]
    if not fetched:
        _lack(
            "Expected classification signature outputs to contain at least one of "
            '"classes" or "scores". Signature was',
            definition,
        )
    return definition.inputs[_EXAMPLES].name, fetched


def _of_values(servable, signature):
    """(name of the input's tensor, names of the outputs) of a signature for `regress`."""
    definition = _definition(servable, signature, REGRESS, 1, "Expected one output Tensor.")
    if _EXAMPLES not in definition.inputs:
        _lack("No regression inputs found in SignatureDef", definition)
    if "outputs" not in definition.outputs:
        _lack("No regression outputs found in SignatureDef", definition)
    return definition.inputs[_EXAMPLES].name, ["outputs"]


def _fill_spec(spec, name, signature, version):
    spec.name = name
    spec.signature_name = signature
    spec.version.value = version


def _fill_classes(result, outputs, count):
    for name, kind, letters in (("classes", "DT_STRING", "OSU"), ("scores", "DT_FLOAT", "f")):
        array = outputs.get(name)
        if array is None:
            continue
        if array.ndim != 2:
            shape = ",".join(map(str, array.shape))
            _refuse(f"Expected Tensor shape: [batch_size num_classes] but got [{shape}]")
        if array.dtype.kind not in letters:
            _refuse(f"Expected {name} Tensor of {kind}. Got: {tensors.c_name(array.dtype)}")
        if len(array) != count:
            _refuse(f"Expected {name} output batch size of {count}. Got: {len(array)}")
    shapes = {array.shape for array in outputs.values()}
    if len(shapes) > 1:
        widths = " vs. ".join(str(outputs[name].shape[1]) for name in ("classes", "scores"))
        _refuse(f"Tensors class and score should match in dim_size(1). Got {widths}")
    labels, scores = outputs.get("classes"), outputs.get("scores")
    for row in range(count):
        classes = result.classifications.add().classes
        for column in range(next(iter(shapes))[1]):
            added = classes.add()
            if labels is not None:
                added.label = labels[row, column].decode("utf-8", "replace")
            if scores is not None:
                added.score = scores[row, column]


def _fill_values(result, array, count):
    if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 1):
        shape = ",".join(map(str, array.shape))
        _refuse(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"[{shape}]"
        )
    if len(array) != count:
        _refuse(f"Input batch size did not match output batch size: {count} vs. {len(array)}")
    if array.dtype != np.float32:
        _refuse(f"Expected output Tensor of DT_FLOAT.  Got: {tensors.c_name(array.dtype)}")
    for value in array.ravel().tolist():
        result.regressions.add(value=value)


def _refuse(message):
    raise ServingError("INVALID_ARGUMENT", message)


def _lack(message, definition):
    raise ServingError("FAILED_PRECONDITION", f"{message}: {definition}".rstrip())
