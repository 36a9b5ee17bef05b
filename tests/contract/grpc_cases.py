"""What gRPC must answer to what, asked through the official stubs; each function is one case."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

CASES = []


def case(function):
    """Adds a case: a function of the `Stubs` of a server."""
    CASES.append(function)
    return function


class Stubs:
    """The official stubs of all services of a server."""

    def __init__(self, address):
        channel = grpc.insecure_channel(address)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)

    def predict(self, model, inputs, outputs=(), timeout=30, **spec):
        """Outputs, as arrays, and the answer itself."""
        request = predict_pb2.PredictRequest(output_filter=outputs)
        fill(request.model_spec, model, **spec)
        for name, value in inputs.items():
            proto = value if isinstance(value, tf.make_tensor_proto(0).__class__) else None
            request.inputs[name].CopyFrom(proto or tf.make_tensor_proto(value))
        answer = self.prediction.Predict(request, timeout)
        return {name: tf.make_ndarray(proto) for name, proto in answer.outputs.items()}, answer


def fill(spec, model, signature="", version=None, label=""):
    spec.name = model
    spec.signature_name = signature
    if version is not None:
        spec.version.value = version
    if label:
        spec.version_label = label


def refused(code, call, *arguments, **more):
    """The message with which a call is refused, whose code must be right."""
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, **more)
    assert error.value.code() == code, error.value
    return error.value.details()


def floats(*values):
    return np.array(values, np.float32)


def with_examples(request, signature, *values, model="half_plus_two", **spec):
    """A request that has examples with the feature x."""
    fill(request.model_spec, model, signature, **spec)
    for value in values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return request


@case
def the_newest_version_answers(stubs):
    outputs, answer = stubs.predict("half_plus_two", {"x": floats(1, 2)})
    np.testing.assert_array_equal(outputs["y"], [3.5, 4])
    assert answer.model_spec.name == "half_plus_two"
    assert answer.model_spec.version.value == 2
    assert answer.model_spec.signature_name == "serving_default"


@case
def a_version_answers(stubs):
    outputs, answer = stubs.predict("half_plus_two", {"x": floats(1)}, version=1)
    np.testing.assert_array_equal(outputs["y"], [2.5])
    assert answer.model_spec.version.value == 1


@case
def a_label_answers(stubs):
    for label, value in (("stable", 2.5), ("canary", 3.5)):
        outputs, _ = stubs.predict("half_plus_two", {"x": floats(1)}, label=label)
        np.testing.assert_array_equal(outputs["y"], [value])


@case
def an_unknown_model_is_not_found(stubs):
    message = refused(grpc.StatusCode.NOT_FOUND, stubs.predict, "lost", {"x": floats(1)})
    assert message == "Servable not found for request: Latest(lost)"


@case
def an_unknown_version_is_not_found(stubs):
    for version in (3, 9):
        message = refused(
            grpc.StatusCode.NOT_FOUND,
            stubs.predict,
            "half_plus_two",
            {"x": floats(1)},
            version=version,
        )
        assert message == f"Servable not found for request: Specific(half_plus_two, {version})"


@case
def an_unknown_label_is_an_argument_error(stubs):
    message = refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        stubs.predict,
        "half_plus_two",
        {"x": floats(1)},
        label="lost",
    )
    assert message == "Unrecognized servable version label: lost"


@case
def an_unknown_signature_is_a_failed_precondition(stubs):
    code = grpc.StatusCode.FAILED_PRECONDITION
    message = refused(code, stubs.predict, "rules", {"x": floats(1)}, signature="lost")
    assert message == 'Serving signature key "lost" not found.'


@case
def a_missing_input_is_named(stubs):
    code = grpc.StatusCode.INVALID_ARGUMENT
    message = refused(code, stubs.predict, "rules", {"a": floats(1)}, signature="sum")
    assert message == (
        "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. Missing "
        "but required: {b}."
    )


@case
def an_extra_input_is_named(stubs):
    inputs = {"a": floats(1), "b": floats(1), "c": floats(1)}
    code = grpc.StatusCode.INVALID_ARGUMENT
    message = refused(code, stubs.predict, "rules", inputs, signature="sum")
    assert message.startswith(
        "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b})"
    )


@case
def an_input_of_another_name_is_refused(stubs):
    inputs = {"a": floats(1), "c": floats(1)}
    refused(grpc.StatusCode.INVALID_ARGUMENT, stubs.predict, "rules", inputs, signature="sum")


@case
def an_input_of_another_type_is_refused(stubs):
    inputs = {"x": np.array([1], np.int32)}
    refused(grpc.StatusCode.INVALID_ARGUMENT, stubs.predict, "rules", inputs, signature="float32")


@case
def only_the_wanted_outputs_come(stubs):
    inputs = {"x": floats(1, 2).reshape(1, 2)}
    both, _ = stubs.predict("rules", inputs, signature="pairs")
    one, _ = stubs.predict("rules", inputs, ["sum"], signature="pairs")
    assert both.keys() == {"sum", "x"}
    assert one.keys() == {"sum"}
    np.testing.assert_array_equal(one["sum"], [3])


@case
def an_unknown_output_is_refused(stubs):
    code = grpc.StatusCode.INVALID_ARGUMENT
    refused(code, stubs.predict, "rules", {"x": floats(1)}, ["lost"], signature="float32")


@case
def every_type_comes_back_as_it_went(stubs):
    values = {
        "float32": [0.1, np.nan, np.inf],
        "float64": [1e300, -np.inf],
        "int32": [-(2**31), 2**31 - 1],
        "int16": [-(2**15), 2**15 - 1],
        "int8": [-128, 127],
        "uint8": [0, 255],
        "int64": [-(2**63), 2**63 - 1],
        "uint32": [0, 2**32 - 1],
        "uint64": [0, 2**64 - 1],
        "bool": [True, False],
        "string": [b"\xff\0", "ä".encode()],
    }
    for kind, given in values.items():
        array = np.array(given, object if kind == "string" else kind)
        outputs, _ = stubs.predict("rules", {"x": array}, signature=kind)
        assert outputs["y"].dtype == array.dtype
        np.testing.assert_array_equal(outputs["y"], array)
    outputs, _ = stubs.predict("rules", {"x": np.array([1.5], np.float16)}, signature="half")
    np.testing.assert_array_equal(outputs["y"], [1.5])
    outputs, _ = stubs.predict("rules", {"x": floats(1.5)}, signature="half_output")
    assert outputs["y"].dtype == np.float16


@case
def shapes_of_all_ranks_come_back(stubs):
    for shape in ((), (1,), (0,), (2, 0), (2, 3), (1, 2, 3, 4)):
        given = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        outputs, _ = stubs.predict("rules", {"x": given}, signature="float32")
        assert outputs["y"].shape == shape
        np.testing.assert_array_equal(outputs["y"], given)


@case
def a_tensor_may_be_packed_or_repeated(stubs):
    packed = tf.make_tensor_proto(floats(1, 2, 3))
    assert packed.tensor_content
    repeated = tf.make_tensor_proto(0.0, shape=[3])
    del repeated.float_val[:]
    repeated.float_val.append(7)
    for proto, expected in ((packed, [1, 2, 3]), (repeated, [7, 7, 7])):
        outputs, _ = stubs.predict("rules", {"x": proto}, signature="float32")
        np.testing.assert_array_equal(outputs["y"], expected)


@case
def a_broken_tensor_is_refused(stubs):
    proto = tf.make_tensor_proto(floats(1, 2, 3))
    proto.tensor_content = proto.tensor_content[:-1]
    code = grpc.StatusCode.INVALID_ARGUMENT
    message = refused(code, stubs.predict, "rules", {"x": proto}, signature="float32")
    assert message.startswith("tensor parsing error")


@case
def what_the_graph_refuses_is_an_argument_error(stubs):
    code = grpc.StatusCode.INVALID_ARGUMENT
    message = refused(code, stubs.predict, "rules", {"x": floats(-1)}, signature="positive")
    assert "only positive numbers" in message


@case
def a_request_past_its_deadline_is_told_so(stubs):
    code = grpc.StatusCode.DEADLINE_EXCEEDED
    texts = np.array([b"The old man did not buy a red car on Friday."] * 64, object)
    refused(code, stubs.predict, "translation", {"text": texts}, timeout=0.005)


@case
def examples_are_classified(stubs):
    request = with_examples(classification_pb2.ClassificationRequest(), "classify", 1, 2)
    answer = stubs.prediction.Classify(request, 30)
    classes = [[(c.label, c.score) for c in row.classes] for row in answer.result.classifications]
    assert classes == [[("low", -3.5), ("high", 3.5)], [("low", -4), ("high", 4)]]
    assert answer.model_spec.version.value == 2


@case
def scores_may_come_without_classes(stubs):
    request = with_examples(classification_pb2.ClassificationRequest(), "scores_only", 1)
    (row,) = stubs.prediction.Classify(request, 30).result.classifications
    assert [(each.label, each.score) for each in row.classes] == [("", 3.5)]


@case
def examples_get_values(stubs):
    request = with_examples(regression_pb2.RegressionRequest(), "regress", 1, 3, label="stable")
    answer = stubs.prediction.Regress(request, 30)
    assert [each.value for each in answer.result.regressions] == [2.5, 3.5]
    assert answer.model_spec.version.value == 1


@case
def features_may_be_in_a_context(stubs):
    request = regression_pb2.RegressionRequest()
    fill(request.model_spec, "half_plus_two", "regress")
    examples = request.input.example_list_with_context
    examples.context.features.feature["x"].float_list.value.append(1)
    examples.examples.add()
    examples.examples.add().features.feature["x"].float_list.value.append(3)
    values = [each.value for each in stubs.prediction.Regress(request, 30).result.regressions]
    assert values == [3.5, 4.5]


@case
def no_examples_are_refused(stubs):
    request = with_examples(classification_pb2.ClassificationRequest(), "classify")
    code = grpc.StatusCode.INVALID_ARGUMENT
    assert "Input is empty" in refused(code, stubs.prediction.Classify, request, 30)


@case
def a_signature_that_is_not_there_is_refused_to_examples(stubs):
    for request, call in (
        (classification_pb2.ClassificationRequest(), stubs.prediction.Classify),
        (regression_pb2.RegressionRequest(), stubs.prediction.Regress),
    ):
        with_examples(request, "lost", 1)
        message = refused(grpc.StatusCode.INVALID_ARGUMENT, call, request, 30)
        assert "No signature was found with the name: lost" in message


@case
def several_methods_are_answered_at_once(stubs):
    request = inference_pb2.MultiInferenceRequest()
    for signature, method in (("classify", "classify"), ("regress", "regress")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        fill(task.model_spec, "half_plus_two", signature)
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(1)
    try:
        classes, values = stubs.prediction.MultiInference(request, 30).results
    except grpc.RpcError as error:  # TensorFlow 2 gives each signature a placeholder of its own
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == "Input tensor must be the same for all Signatures."
    else:
        assert [
            each.score for each in classes.classification_result.classifications[0].classes
        ] == [
            -3.5,
            3.5,
        ]
        assert values.regression_result.regressions[0].value == 3.5


@case
def one_of_several_methods_is_answered_alone(stubs):
    request = inference_pb2.MultiInferenceRequest()
    task = request.tasks.add(method_name="tensorflow/serving/regress")
    fill(task.model_spec, "half_plus_two", "regress")
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(1)
    (result,) = stubs.prediction.MultiInference(request, 30).results
    assert result.regression_result.regressions[0].value == 3.5


@case
def metadata_are_the_signatures(stubs):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    fill(request.model_spec, "half_plus_two", version=1)
    answer = stubs.prediction.GetModelMetadata(request, 30)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert answer.model_spec.version.value == 1
    names = {"serving_default", "classify", "regress", "scores_only"}
    assert names <= signatures.signature_def.keys()
    x = signatures.signature_def["serving_default"].inputs["x"]
    assert x.dtype == tf.float32.as_datatype_enum
    assert [dim.size for dim in x.tensor_shape.dim] == [-1]


@case
def metadata_need_a_field_and_a_known_one(stubs):
    code = grpc.StatusCode.INVALID_ARGUMENT
    for fields in ([], ["lost"]):
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        fill(request.model_spec, "rules")
        refused(code, stubs.prediction.GetModelMetadata, request, 30)


@case
def states_are_told_of_all_versions_or_of_one(stubs):
    request = get_model_status_pb2.GetModelStatusRequest()
    fill(request.model_spec, "half_plus_two")
    answer = stubs.model.GetModelStatus(request, 30).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert {each.version: each.state for each in answer} == {1: available, 2: available}
    request.model_spec.version.value = 1
    (one,) = stubs.model.GetModelStatus(request, 30).model_version_status
    assert (one.version, one.status.error_code, one.status.error_message) == (1, 0, "")


@case
def states_of_what_is_not_there_are_not_found(stubs):
    request, code = get_model_status_pb2.GetModelStatusRequest(), grpc.StatusCode.NOT_FOUND
    fill(request.model_spec, "lost")
    message = refused(code, stubs.model.GetModelStatus, request, 30)
    assert message == "Could not find any versions of model lost"
    fill(request.model_spec, "half_plus_two", version=9)
    message = refused(code, stubs.model.GetModelStatus, request, 30)
    assert message == "Could not find version 9 of model half_plus_two"


@case
def a_request_without_a_model_is_refused(stubs):
    code = grpc.StatusCode.INVALID_ARGUMENT
    refused(code, stubs.prediction.Predict, predict_pb2.PredictRequest(), 30)
    refused(code, stubs.model.GetModelStatus, get_model_status_pb2.GetModelStatusRequest(), 30)


@case
def health_is_told_of_the_whole_server(stubs):
    answer = stubs.health.Check(health_pb2.HealthCheckRequest(), 30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def reload(stubs, text):
    """Has the server serve what a config says."""
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)
    return stubs.model.HandleReloadConfigRequest(request, 60)


def labels_are_moved_by_a_new_config(stubs, config):
    """The labels change places, and come back; `config` is what the server started with."""
    swapped = config.replace('"stable" value: 1', '"stable" value: 2')
    assert swapped != config
    try:
        assert reload(stubs, swapped).status.error_code == 0
        outputs, _ = stubs.predict("half_plus_two", {"x": floats(1)}, label="stable")
        np.testing.assert_array_equal(outputs["y"], [3.5])
    finally:
        assert reload(stubs, config).status.error_code == 0
    outputs, _ = stubs.predict("half_plus_two", {"x": floats(1)}, label="stable")
    np.testing.assert_array_equal(outputs["y"], [2.5])
