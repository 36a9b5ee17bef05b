"""Predict requests become tensors, or are refused in the words of TensorFlow Serving."""

import json

import numpy as np
import pytest

from rnn_apps.server import json_tensor
from rnn_apps.server.errors import ServingError

FAILED = "Failed to process element: "
LIST = " of 'instances' list."
REFUSED = {
    ("[1]", "x:float"): "JSON Value: [\n    1\n] Is not object",
    ('{"a": 1}', "x:float"): "Missing 'inputs' or 'instances' key",
    ('{"inputs": 1}', ""): "Failed to get input map for signature: DEFAULT",
    ('{"signature_name": "s", "inputs": 1}', ""): "Failed to get input map for signature: s",
    ('{"signature_name": 1}', "x:float"): 'JSON Value: {\n    "signature_name": 1\n} not formatted '
    "correctly. 'signature_name' key must be a string value.",
    ('{"instances": 1, "inputs": 2}', "x:float"): 'JSON Value: {\n    "instances": 1,\n    '
    '"inputs": 2\n} Not formatted correctly expecting only one of \'inputs\' or \'instances\' keys '
    "to exist ",
    ('{"instances": 1}', "x:float"): 'JSON Value: {\n    "instances": 1\n} Expecting \'instances\' '
    "to be an list/array",
    ('{"instances": []}', "x:float"): 'JSON Value: {\n    "instances": []\n} No values in '
    "'instances' array",
    ('{"instances": [1]}', "x:float y:float"): "instances is a plain list, but expecting list of "
    "objects as multiple input tensors required as per tensorinfo_map",
    ('{"inputs": [1]}', "x:float y:float"): "inputs is a plain value/list, but expecting an object "
    "as multiple input tensors required as per tensorinfo_map",
    ('{"instances": [{"b": 1, "a": 1}, {"b": 1}]}', "b:float a:float"): f"{FAILED}1{LIST} JSON "
    'object: {\n    "b": 1\n} keys must be equal to: a,b',
    ('{"instances": [{"z": 1}]}', "x:float"): f"{FAILED}0 key: z{LIST} Error: INVALID_ARGUMENT: "
    "JSON object: does not have named input: z",
    ('{"instances": [{"x": 1}, 2]}', "x:float"): "Expecting object but got list at item 1 of input "
    "list",
    ('{"instances": [2, {"x": 1}]}', "x:float"): "Expecting value/list but got object at item 1 of "
    "input list",
    ('{"instances": [[1, 2], [1]]}', "x:float"): f"{FAILED}1{LIST} Error: INVALID_ARGUMENT: "
    "Expecting tensor size: 2 but got: 1",
    ('{"instances": [[[1, 2]], [[1], [2]]]}', "x:float"): f"{FAILED}1{LIST} Error: "
    "INVALID_ARGUMENT: Expecting shape [1,2] but got: [2,1]",
    ('{"instances": [{"x": 1.5}]}', "x:int32"): f"{FAILED}0 key: x{LIST} Error: INVALID_ARGUMENT: "
    "JSON Value: 1.5 Type: Number is not of expected type: int32",
    ('{"instances": [{"b64": "?"}]}', "x:string"): f"{FAILED}0{LIST} Error: INVALID_ARGUMENT: "
    "Unable to base64 decode",
    ('{"inputs": {"b64": "QQ="}}', "x:string"): "Unable to base64 decode",
    ('{"inputs": {"b64": "QQQQQ"}}', "x:string"): "Unable to base64 decode",
    ('{"inputs": [{"b64": 1}]}', "x:string"): 'JSON Value: {\n    "b64": 1\n} not formatted '
    "correctly for base64 data",
    ('{"inputs": {"y": 1}}', "x:float"): "Missing named input: x in 'inputs' object.",
    ('{"inputs": [1, [2]]}', "x:float"): "Encountered list at unexpected level: 1 expected < 1",
    ('{"inputs": [[1], 2]}', "x:float"): "JSON Value: 2 found at incorrect level: 2 in the JSON "
    "DOM. Expected at level: 2",
    ('{"inputs": [[1], [2, 3]]}', "x:float"): "Encountered list at unexpected size: 2 at level: 1 "
    "expected size: 1",
    ('{"inputs": 1.0}', "x:int64"): "JSON Value: 1.0 Type: Number is not of expected type: int64",
    ('{"inputs": -1}', "x:uint64"): "JSON Value: -1 Type: Number is not of expected type: uint64",
    ('{"inputs": 2147483648}', "x:int32"): "JSON Value: 2147483648 Type: Number is not of expected "
    "type: int32",
    ('{"inputs": [true, 0]}', "x:bool"): "JSON Value: 0 Type: Number is not of expected type: bool",
    ('{"inputs": true}', "x:float"): "JSON Value: true Type: True is not of expected type: float",
    ('{"inputs": null}', "x:string"): "JSON Value: null Type: Null is not of expected type: string",
    ('{"inputs": "1"}', "x:double"): 'JSON Value: "1" Type: String is not of expected type: double',
    ('{"inputs": 16777216}', "x:float"): "Cannot convert JSON value: 16777216 to float without "
    "loss of precision.",
    ('{"inputs": 1e39}', "x:float"): "Cannot convert JSON value: 1e+39 to float without loss of "
    "precision.",
    (f'{{"inputs": {"[" * 33}1{"]" * 33}}}', "x:float"): "A list nested 33 deep makes no tensor of "
    "type float.",
}  # fmt: skip
TAKEN = {
    ('{"instances": [1, 2.5]}', "float"): np.array([1, 2.5], np.float32),
    ('{"instances": [[1], [2]]}', "double"): np.array([[1.0], [2.0]]),
    ('{"inputs": 16777215}', "float"): np.array(16777215, np.float32),
    ('{"inputs": [NaN, -Infinity]}', "float"): np.array([np.nan, -np.inf], np.float32),
    ('{"inputs": [[], []]}', "int64"): np.zeros([2, 0], np.int64),
    ('{"inputs": []}', "string"): np.zeros([0], object),
    ('{"inputs": {"x": [300]}}', "uint8"): np.array([44], np.uint8),
    ('{"inputs": {"x": [7], "ignored": {}}}', "int32"): np.array([7], np.int32),
    ('{"inputs": [18446744073709551615]}', "uint64"): np.array([2**64 - 1], np.uint64),
    ('{"instances": [true, false]}', "bool"): np.array([True, False]),
    ('{"instances": ["ä", {"b64": "/ /8"}]}', "string"): np.array(["ä".encode(), b"\xff\xff"]),
    ('{"instances": [{"x": {"b64": "QQ.."}}]}', "string"): np.array([b"A"], object),
    ('{"inputs": {"b64": "QUI="}}', "string"): np.array(b"AB", object),
}


def read(body, types):
    types = dict(each.split(":") for each in types.split())
    return json_tensor.read_predict(body.encode(), lambda signature: types)


@pytest.mark.parametrize(("body", "types"), REFUSED, ids=lambda text: text[:32])
def test_a_wrong_request_is_refused_in_the_servers_words(body, types):
    with pytest.raises(ServingError) as refused:
        read(body, types)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert refused.value.message == REFUSED[body, types]


@pytest.mark.parametrize(("body", "kind"), TAKEN, ids=lambda text: text[:32])
def test_a_request_becomes_the_tensor_that_the_server_makes(body, kind):
    request = read(body, f"x:{kind}")
    expected = TAKEN[body, kind]
    array = request.inputs["x"]
    assert request.by_row == ("instances" in body)
    assert array.dtype == (object if kind == "string" else expected.dtype)
    assert array.shape == expected.shape
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("kind", ["half", "bfloat16", "complex64"])
def test_a_type_without_json_values_is_not_implemented_by_column_and_an_error_by_row(kind):
    with pytest.raises(ServingError, match=f"^Conversion of JSON Value: 1 to type: {kind}$") as by:
        read('{"inputs": 1}', f"x:{kind}")
    assert by.value.http_status == 501
    with pytest.raises(ServingError, match="Error: UNIMPLEMENTED: Conversion of JSON") as by:
        read('{"instances": [1]}', f"x:{kind}")
    assert by.value.http_status == 400


def test_the_first_wrong_value_of_many_is_named_and_a_long_request_is_not_repeated_whole():
    values = [[0.5] * 4 for _ in range(3000)]
    values[2000][3] = "wrong"
    with pytest.raises(ServingError, match=r'element: 2000 of .* JSON Value: "wrong" Type'):
        read(json.dumps({"instances": values}), "x:float")
    with pytest.raises(ServingError, match=r'JSON Value: "wrong" Type: String'):
        read(json.dumps({"inputs": values}), "x:float")
    with pytest.raises(ServingError, match="… Expecting 'instances' to be") as refused:
        read(json.dumps({"instances": {"x": values}}), "x:float")
    assert len(refused.value.message) < 5000


def test_the_signature_is_asked_for_by_its_name_before_the_inputs_are_read():
    asked = []
    with pytest.raises(ServingError, match="^gone$"):
        json_tensor.read_predict(
            b'{"signature_name": "n_best", "instances": 1}',
            lambda signature: asked.append(signature) or _refuse(),
        )
    assert asked == ["n_best"]
    assert read('{"instances": [1]}', "x:float").signature == "serving_default"


def _refuse():
    raise ServingError("NOT_FOUND", "gone")
