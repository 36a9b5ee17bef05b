"""Answers in JSON: the numbers, the strings and the layout of TensorFlow Serving."""

import json

import numpy as np
import pytest
from tensorflow.core.protobuf import meta_graph_pb2

from rnn_apps.server import json_answers, json_writing
from rnn_apps.server.errors import ServingError
from rnn_apps.server.models import VersionStatus

FLOATS = [0.1, 3, 1e9, 1e-5, -0.0, 16777217, 1 / 3, 3.4028235e38, np.nan, np.inf, -np.inf]


def test_floats_have_six_digits_where_they_suffice_and_else_all():
    written = json_writing.decimals(np.array(FLOATS, np.float32))
    assert written[:5] == [b"0.1", b"3.0", b"1e+09", b"1e-05", b"-0.0"]
    assert written[5:8] == [b"16777216.0", b"0.333333343", b"3.40282347e+38"]
    assert written[8:] == [b"NaN", b"Infinity", b"-Infinity"]
    assert json_writing.decimals(np.array([0.1, 1 / 3])) == [b"0.1", b"0.33333333333333331"]
    random = np.random.default_rng(0).standard_normal(2000) * 10.0 ** np.arange(-20, 20).repeat(50)
    for array in (random.astype(np.float32), random):
        back = np.array([*map(float, json_writing.decimals(array))]).astype(array.dtype)
        np.testing.assert_array_equal(back, array)


def test_an_answer_by_row_is_a_list_of_values_or_of_objects():
    numbers = np.array([[1, 2], [3, 4.5]], np.float32)
    words = np.array([b'a "b"\n', "ü".encode()], object)
    assert json_answers.predict({"y": numbers}, True) == (
        b'{\n    "predictions": [[1.0, 2.0], [3.0, 4.5]\n    ]\n}'
    )
    several = json_answers.predict({"y": numbers, "words": words, "words_bytes": words}, True)
    assert json.loads(several)["predictions"] == [
        {"y": [1.0, 2.0], "words": 'a "b"\n', "words_bytes": {"b64": "YSAiYiIK"}},
        {"y": [3.0, 4.5], "words": "ü", "words_bytes": {"b64": "w7w="}},
    ]
    assert json.loads(json_answers.predict({"y": np.zeros([0, 2])}, True)) == {"predictions": []}


def test_an_answer_by_column_is_the_tensor_or_an_object_of_tensors():
    assert json_answers.predict({"y": np.array([[True], [False]])}, False) == (
        b'{\n    "outputs": [\n        [\n            true\n        ],\n        [\n'
        b"            false\n        ]\n    ]\n}"
    )
    outputs = {"n": np.int64(7)[None][0].reshape([]), "y": np.zeros([2, 1, 0], np.float32)}
    answer = json.loads(json_answers.predict(outputs, False))
    assert answer == {"outputs": {"n": 7, "y": [[[]], [[]]]}}


def test_bytes_that_are_no_text_go_through_and_control_characters_do_not():
    assert json_writing.string(b'\xff\x01\t\x7f\\"') == b'"\xff\\u0001\\t\x7f\\\\\\""'


def test_outputs_that_make_no_rows_are_refused():
    cases = {
        "Tensor name: n has no shape information ": {"n": np.array(1)},
        "Tensor name: b has inconsistent batch size: 1 expecting: 2": {
            "a": np.zeros(2),
            "b": np.zeros(1),
        },
        "Failed to write JSON value for tensor type: half": {"h": np.zeros(1, np.float16)},
        "Cannot convert empty tensor map to JSON": {},
    }
    for message, outputs in cases.items():
        with pytest.raises(ServingError) as refused:
            json_answers.predict(outputs, True)
        assert refused.value.message == message


def test_classes_and_values_are_lists_of_results():
    results = [[(b"pos", 0.9), (b"neg", 0.1)], [(b"", 1.0), (b"x", np.nan)]]
    written = json_answers.classify(results).decode()
    assert '"results": [[["pos", 0.9], ["neg", 0.1]], [["", 1.0], ["x", NaN]]' in written
    assert json_answers.regress([3.5, 4]) == b'{\n    "results": [3.5, 4.0]\n}'


def test_states_and_metadata_have_the_fields_of_the_protocol():
    states = json_answers.status([VersionStatus(7, "AVAILABLE"), VersionStatus(3, "END")])
    assert json.loads(states)["model_version_status"][0] == {
        "version": "7",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert states.startswith(b'{\n "model_version_status": [\n  {\n   "version": "7",')
    definition = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    definition.inputs["x"].dtype = 7
    definition.inputs["x"].name = "x:0"
    definition.inputs["x"].tensor_shape.dim.add(size=-1)
    init = meta_graph_pb2.SignatureDef()
    init.outputs["op"].tensor_shape.unknown_rank = True
    body = json.loads(json_answers.metadata("m", 7, {"s": definition, "init": init}))
    assert body["model_spec"] == {"name": "m", "signature_name": "", "version": "7"}
    signatures = body["metadata"]["signature_def"]["signature_def"]
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signatures["s"]["inputs"] == {
        "x": {"dtype": "DT_STRING", "tensor_shape": shape, "name": "x:0"}
    }
    assert signatures["s"]["method_name"] == "tensorflow/serving/predict"
    assert signatures["init"]["outputs"]["op"]["dtype"] == "DT_INVALID"
    assert signatures["init"]["inputs"] == {} == signatures["init"]["defaults"]


def test_an_error_is_one_object_with_its_message():
    assert json_answers.error('no "x"') == b'{\n    "error": "no \\"x\\""\n}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, [b"a"]], '[\n    1,\n    [\n        "a"\n    ]\n]'),
        ({"a": {}, "b": [None]}, '{\n    "a": {},\n    "b": [\n        null\n    ]\n}'),
        ([True, 2**64 - 1], "[\n    true,\n    18446744073709551615\n]"),
        (1e300, "1e+300"),
        (0.1, "0.1"),
        ([1e16, 1e-7, 2.5], "[\n    10000000000000000.0,\n    1e-7,\n    2.5\n]"),
        ([1e22, 0.000001, 0.0], "[\n    1e22,\n    0.000001,\n    0.0\n]"),
    ],
)  # fmt: skip
def test_an_error_repeats_a_value_in_the_servers_layout(value, text):
    assert json_writing.quoted(value) == text


def test_a_value_of_any_size_or_depth_is_repeated_in_part():
    deep = value = []
    for _ in range(5000):
        value.append([])
        value = value[0]
    for long in ([b"x" * 9] * 10**6, deep, b"y" * 10**6, {"k" * 10**5: 1}):
        assert len(json_writing.quoted(long)) <= json_writing.MAX_QUOTED + 1
