"""What REST must answer to what: every rule of the interface as one row.

An expected text is the whole message of the error, a pattern is found in it, and anything else is
the parsed body.
"""

import json
import math
import re

RULES = "/v1/models/rules:predict"
HALF = "/v1/models/half_plus_two"
LOST = "Failed to process element: "
IN_LIST = " of 'instances' list."


def ask(signature, **body):
    """A request for a signature of the model `rules`, and where it goes."""
    return "POST", RULES, json.dumps({"signature_name": signature, **body})


def row(signature, *instances):
    return ask(signature, instances=[*instances])


def column(signature, inputs):
    return ask(signature, inputs=inputs)


def post(path, **body):
    return "POST", path, json.dumps(body)


def raw(text):
    return "POST", RULES, text


def get(path):
    return "GET", path, None


def shown(value):
    """A value as errors repeat it."""
    return json.dumps(value, indent=4)


ROUTES = {
    "newest version": (post(f"{HALF}:predict", instances=[1]), 200, {"predictions": [3.5]}),
    "a version": (post(f"{HALF}/versions/1:predict", instances=[1]), 200, {"predictions": [2.5]}),
    "zeros before it": (post(f"{HALF}/versions/001:predict", inputs=[1]), 200, {"outputs": [2.5]}),
    "label stable": (post(f"{HALF}/labels/stable:predict", inputs=[1]), 200, {"outputs": [2.5]}),
    "label canary": (post(f"{HALF}/labels/canary:predict", inputs=[1]), 200, {"outputs": [3.5]}),
    "large letters": (post("/V1/Models/half_plus_two:predict", inputs=[1]), 200,
        {"outputs": [3.5]}),
    "percent": (post("/v1/models/half%5Fplus_two:predict", inputs=[1]), 200, {"outputs": [3.5]}),
    "percent in a label": (post(f"{HALF}/labels/st%61ble:predict", inputs=[1]), 200,
        {"outputs": [2.5]}),
    "a query": (post(f"{HALF}:predict?a=b", inputs=[1]), 200, {"outputs": [3.5]}),
    "unknown model": (post("/v1/models/lost:predict", inputs=[1]), 404,
        "Servable not found for request: Latest(lost)"),
    "large letters in a name": (post("/v1/models/RULES:predict", inputs=[1]), 404,
        "Servable not found for request: Latest(RULES)"),
    "unknown version": (post(f"{HALF}/versions/9:predict", inputs=[1]), 404,
        "Servable not found for request: Specific(half_plus_two, 9)"),
    "a version outside the policy": (post(f"{HALF}/versions/3:predict", inputs=[1]), 404,
        "Servable not found for request: Specific(half_plus_two, 3)"),
    "unknown label": (post(f"{HALF}/labels/lost:predict", inputs=[1]), 400,
        "Unrecognized servable version label: lost"),
    "unknown method": (post("/v1/models/rules:guess", inputs=[1]), 400,
        "Malformed request: POST /v1/models/rules:guess"),
    "no method": (post("/v1/models/rules", inputs=[1]), 400,
        "Malformed request: POST /v1/models/rules"),
    "a large method": (post("/v1/models/rules:PREDICT", inputs=[1]), 400,
        "Malformed request: POST /v1/models/rules:PREDICT"),
    "a label and a version": (post(f"{HALF}/versions/1/labels/stable:predict", inputs=[1]), 400,
        f"Malformed request: POST {HALF}/versions/1/labels/stable:predict"),
    "a version too great": (post(f"{HALF}/versions/9223372036854775808:predict", inputs=[1]), 400,
        re.compile("^$|Failed to convert version: 9223372036854775808 to numeric.")),
    "a version that is no number": (post(f"{HALF}/versions/one:predict", inputs=[1]), 400,
        f"Malformed request: POST {HALF}/versions/one:predict"),
    "get of a method": (get(RULES), 400, f"Malformed request: GET {RULES}"),
    "put": (("PUT", RULES, "{}"), 400, f"Malformed request: PUT {RULES}"),
    "delete": (("DELETE", HALF, None), 400, f"Malformed request: DELETE {HALF}"),
    "get of nothing": (get("/v1/"), 400, "Malformed request: GET /v1/"),
    "get without a model": (get("/v1/models"), 400, "Missing model name in request."),
    "metadata without a model": (get("/v1/models/versions/1"), 400,
        "Missing model name in request."),
    "another path": (get("/v2/models/rules"), 404, None),
    "status of unknown model": (get("/v1/models/lost"), 404,
        "Could not find any versions of model lost"),
    "status of unknown version": (get(f"{HALF}/versions/9"), 404,
        "Could not find version 9 of model half_plus_two"),
    "metadata of unknown model": (get("/v1/models/lost/metadata"), 404,
        "Servable not found for request: Latest(lost)"),
    "metadata of unknown version": (get(f"{HALF}/versions/9/metadata"), 404,
        "Servable not found for request: Specific(half_plus_two, 9)"),
    "metadata of unknown label": (get(f"{HALF}/labels/lost/metadata"), 400,
        "Unrecognized servable version label: lost"),
}  # fmt: skip

BODIES = {
    "empty": (raw(""), 400, "JSON Parse error: The document is empty"),
    "spaces": (raw("  "), 400, "JSON Parse error: The document is empty. at offset: 2"),
    "cut": (raw('{"inputs": [1'), 400,
        "JSON Parse error: Missing a comma or ] after an array element. at offset: 13"),
    "no json": (raw("hello"), 400, "JSON Parse error: Invalid value. at offset: 0"),
    "no name": (raw("{1: 2}"), 400,
        "JSON Parse error: Missing a name for object member. at offset: 1"),
    "no colon": (raw('{"inputs" 1}'), 400,
        "JSON Parse error: Missing a colon after a name of object member. at offset: 10"),
    "no comma": (raw('{"inputs": 1 2}'), 400,
        "JSON Parse error: Missing a comma or } after an object member. at offset: 13"),
    "bad escape": (raw('{"inputs": "\\q"}'), 400,
        "JSON Parse error: Invalid escape character in string. at offset: 12"),
    "too great": (raw('{"inputs": 1e999}'), 400,
        "JSON Parse error: Number too big to be stored in double. at offset: 11"),
    "no fraction": (raw('{"inputs": 1.}'), 400,
        "JSON Parse error: Miss fraction part in number. at offset: 13"),
    "a list": (raw("[1]"), 400, "JSON Value: [\n    1\n] Is not object"),
    "neither": (raw('{"signature_name": "sum"}'), 400, "Missing 'inputs' or 'instances' key"),
    "both": (raw('{"instances": [1], "inputs": 1}'), 400, f"JSON Value: "
        f"{shown({'instances': [1], 'inputs': 1})} Not formatted correctly expecting only one of "
        "'inputs' or 'instances' keys to exist "),
    "no signature": (ask("lost", inputs=[1]), 400,
        'Serving signature name: "lost" not found in signature def'),
    "signature is no text": (raw('{"signature_name": 1}'), 400, "JSON Value: "
        f"{shown({'signature_name': 1})} not formatted correctly. 'signature_name' key must be a "
        "string value."),
    "trailing bytes": (raw('{"signature_name": "float32", "inputs": [1]} }{'), 200,
        {"outputs": [1.0]}),
    "other keys": (ask("float32", inputs=[1], other={"a": [None]}), 200, {"outputs": [1.0]}),
    "a mark of byte order": (raw('\ufeff{"signature_name": "float32", "inputs": [1]}'), 200,
        {"outputs": [1.0]}),
    "no json before no model": (("POST", "/v1/models/lost:predict", "x"), 400,
        "JSON Parse error: Invalid value. at offset: 0"),
}  # fmt: skip

ROWS = {
    "values": (row("float32", 1, 2.5), 200, {"predictions": [1.0, 2.5]}),
    "lists": (row("float32", [1, 2], [3, 4]), 200, {"predictions": [[1.0, 2.0], [3.0, 4.0]]}),
    "an object of one input": (row("float32", {"x": 1}), 200, {"predictions": [1.0]}),
    "objects": (row("sum", {"a": 1, "b": 2}, {"b": 3, "a": 4}), 200, {"predictions": [3.0, 7.0]}),
    "two outputs": (row("pairs", [1, 2]), 200, {"predictions": [{"sum": 3.0, "x": [1.0, 2.0]}]}),
    "no list": (ask("float32", instances=1), 400,
        re.compile(r"^JSON Value: \{.*\} E..ecting 'instances' to be an list/array$", re.S)),
    "an empty list": (row("float32"), 400,
        re.compile(r"^JSON Value: \{.*\} No values in 'instances' array$", re.S)),
    "plain for two inputs": (row("sum", 1), 400, "instances is a plain list, but expecting list of "
        "objects as multiple input tensors required as per tensorinfo_map"),
    "keys are missing": (row("sum", {"a": 1}), 400, f"{LOST}0{IN_LIST} JSON object: "
        f"{shown({'a': 1})} keys must be equal to: a,b"),
    "a key too many": (row("sum", {"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 1}), 400,
        f"{LOST}1 key: c{IN_LIST} Error: INVALID_ARGUMENT: JSON object: does not have named "
        "input: c"),
    "an object, then a list": (row("float32", {"x": 1}, [1]), 400,
        "Expecting object but got list at item 1 of input list"),
    "a list, then an object": (row("float32", [1], {"x": 1}), 400,
        "Expecting value/list but got object at item 1 of input list"),
    "ragged": (row("float32", [1, 2, 3], [1, 2]), 400,
        f"{LOST}1{IN_LIST} Error: INVALID_ARGUMENT: Expecting tensor size: 3 but got: 2"),
    "of other shapes": (row("float32", [[1, 2]], [[1], [2]]), 400,
        f"{LOST}1{IN_LIST} Error: INVALID_ARGUMENT: Expecting shape [1,2] but got: [2,1]"),
    "of another type": (row("int32", 1, 1.5), 400,
        f"{LOST}1{IN_LIST} Error: INVALID_ARGUMENT: JSON "
        "Value: 1.5 Type: Number is not of expected type: int32"),
    "not base64": (row("bytes", {"b64": "?"}), 400,
        f"{LOST}0{IN_LIST} Error: INVALID_ARGUMENT: Unable to base64 decode"),
    "no rows": (row("scalar", 1, 2), 400, "Tensor name: y has no shape information "),
    "rows of two counts": (row("sizes", 1), 400, re.compile(
        "^Tensor name: (b has inconsistent batch size: 1 expecting: 2|"
        "a has inconsistent batch size: 2 expecting: 1)$")),
    "half out": (row("half_output", 1), 400, "Failed to write JSON value for tensor type: half"),
    "one input of two as bytes": (row("sum", {"b64": "QQ=="}), 400, re.compile("type: float")),
}  # fmt: skip

COLUMNS = {
    "a tensor": (column("float32", [[1], [2]]), 200, {"outputs": [[1.0], [2.0]]}),
    "a scalar": (column("float32", 7), 200, {"outputs": 7.0}),
    "a named tensor": (column("float32", {"x": [1]}), 200, {"outputs": [1.0]}),
    "an empty tensor": (column("float32", []), 200, {"outputs": []}),
    "empty rows": (column("float32", [[], []]), 200, {"outputs": [[], []]}),
    "two inputs": (column("sum", {"a": [1], "b": [2]}), 200, {"outputs": [3.0]}),
    "keys too many": (column("sum", {"a": [1], "b": [2], "c": "?"}), 200, {"outputs": [3.0]}),
    "two outputs": (column("pairs", [[1, 2]]), 200, {"outputs": {"sum": [3.0], "x": [[1.0, 2.0]]}}),
    "a scalar output": (column("scalar", [1, 2]), 200, {"outputs": 3.0}),
    "outputs of two sizes": (column("sizes", [1]), 200, {"outputs": {"a": [1.0, 1.0], "b": [1.0]}}),
    "a plain list for two": (column("sum", [1]), 400, "inputs is a plain value/list, but expecting "
        "an object as multiple input tensors required as per tensorinfo_map"),
    "a key too few": (column("sum", {"a": [1]}), 400, "Missing named input: b in 'inputs' object."),
    "ragged": (column("float32", [[1], [2, 3]]), 400,
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
    "too deep": (column("float32", [1, [2]]), 400,
        "Encountered list at unexpected level: 1 expected < 1"),
    "too flat": (column("float32", [[1], 2]), 400,
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    "not base64": (column("bytes", {"b64": "?"}), 400, "Unable to base64 decode"),
    "half out": (column("half_output", [1]), 400,
        "Failed to write JSON value for tensor type: half"),
}  # fmt: skip


def wrong(value, kind, name):
    shape = f"JSON Value: {shown(value)} Type: {name} is not of expected type: {kind}"
    return column({"float": "float32", "double": "float64"}.get(kind, kind), [value]), 400, shape


def echoed(kind, sent, back=None):
    return column(kind, sent), 200, {"outputs": sent if back is None else back}


TYPES = {
    "float of ints": echoed("float32", [1, 2], [1.0, 2.0]),
    "float of all kinds": echoed("float32", [0.1, -1e-30, 3.4e38, 16777215.0]),
    "double": echoed("float64", [0.1, 1e300, 1 / 3, 7.0]),
    "not a number": echoed("float32", [math.nan, math.inf, -math.inf]),
    "double, not a number": echoed("float64", [math.nan, math.inf, -math.inf]),
    "int32": echoed("int32", [-(2**31), 2**31 - 1]),
    "int16": echoed("int16", [-(2**15), 2**15 - 1]),
    "int8": echoed("int8", [-128, 127]),
    "uint8": echoed("uint8", [0, 255]),
    "int64": echoed("int64", [-(2**63), 2**63 - 1]),
    "uint32": echoed("uint32", [0, 2**32 - 1]),
    "uint64": echoed("uint64", [0, 2**64 - 1]),
    "bool": echoed("bool", [True, False]),
    "string": echoed("string", ["ä", 'a "b" \\ \n\t', "", "😀"]),
    "string of base64": echoed("string", [{"b64": "w6Q="}], ["ä"]),
    "base64 without padding": echoed("string", [{"b64": "w6Q"}], ["ä"]),
    "base64 with spaces": echoed("string", [{"b64": " w6\nQ = "}], ["ä"]),
    "one base64 for a scalar": echoed("string", {"b64": "w6Q="}, "ä"),
    "bytes out": (column("bytes", ["ä"]), 200, {"outputs": [{"b64": "w6Q="}]}),
    "bytes that are no text": (column("bytes", [{"b64": "//8="}]), 200,
        {"outputs": [{"b64": "//8="}]}),
    "bytes by row": (row("bytes", "A"), 200, {"predictions": [{"b64": "QQ=="}]}),
    "text and bytes": (row("texts", "A"), 200,
        {"predictions": [{"y": "A", "y_bytes": {"b64": "QQ=="}}]}),
    "an infinite answer": (column("inverse", [0, -0.0]), 200, {"outputs": [math.inf, -math.inf]}),
    "a text for a float": wrong("a", "float", "String"),
    "true for a float": wrong(True, "float", "True"),
    "null for a float": wrong(None, "float", "Null"),
    "an object for a float": wrong({"a": 1}, "float", "Object"),
    "a text for a double": wrong("a", "double", "String"),
    "a fraction for int32": wrong(1.5, "int32", "Number"),
    "1.0 for int32": wrong(1.0, "int32", "Number"),
    "too great for int32": wrong(2**31, "int32", "Number"),
    "1.0 for int16": wrong(1.0, "int16", "Number"),
    "1.0 for int8": wrong(1.0, "int8", "Number"),
    "1.0 for uint8": wrong(1.0, "uint8", "Number"),
    "1.0 for int64": wrong(1.0, "int64", "Number"),
    "too great for int64": wrong(2**63, "int64", "Number"),
    "below zero for uint32": wrong(-1, "uint32", "Number"),
    "below zero for uint64": wrong(-1, "uint64", "Number"),
    "1 for bool": wrong(1, "bool", "Number"),
    "a text for bool": wrong("true", "bool", "String"),
    "1 for string": wrong(1, "string", "Number"),
    "false for string": wrong(False, "string", "False"),
    "half": (column("half", [1]), 501, "Conversion of JSON Value: 1 to type: half"),
    "half by row": (row("half", 1), 400,
        f"{LOST}0{IN_LIST} Error: UNIMPLEMENTED: Conversion of JSON "
        "Value: 1 to type: half"),
    "an int that no float is": (column("float32", [16777217]), 400,
        "Cannot convert JSON value: 16777217 to float without loss of precision."),
    "a number that no float is": (column("float32", [1e39]), 400,
        "Cannot convert JSON value: 1e+39 to float without loss of precision."),
    "an int that no double is": (column("float64", [2**53 + 1]), 400,
        f"Cannot convert JSON value: {2**53 + 1} to double without loss of precision."),
    "base64 and more": (column("string", [{"b64": "QQ==", "a": 1}]), 400,
        f"JSON Value: {shown({'b64': 'QQ==', 'a': 1})} not formatted correctly for base64 data"),
    "a graph that refuses": (column("positive", [-1]), 400, re.compile("only positive numbers")),
}  # fmt: skip


def examples(method, signature, *given, **more):
    body = {"signature_name": signature, "examples": [*given], **more}
    return post(f"{HALF}:{method}", **body)


CLASSIFY = "classify"
EXAMPLES = {
    "classes": (examples(CLASSIFY, "classify", {"x": 1.0}, {"x": [2.0]}), 200,
        {"results": [[["low", -3.5], ["high", 3.5]], [["low", -4.0], ["high", 4.0]]]}),
    "classes of a version": (post(f"{HALF}/versions/1:classify", signature_name="classify",
        examples=[{"x": 1.0}]), 200, {"results": [[["low", -2.5], ["high", 2.5]]]}),
    "scores without classes": (examples(CLASSIFY, "scores_only", {"x": 1.0}), 200,
        {"results": [[["", 3.5]]]}),
    "values": (examples("regress", "regress", {"x": 1.0}, {"x": 3.0}), 200,
        {"results": [3.5, 4.5]}),
    "values of a label": (post(f"{HALF}/labels/stable:regress", signature_name="regress",
        examples=[{"x": 1.0}]), 200, {"results": [2.5]}),
    "context": (examples("regress", "regress", {}, {"x": 3.0}, context={"x": 1.0}), 200,
        {"results": [3.5, 4.5]}),
    "other features": (examples("regress", "regress", {"x": 1.0, "a": "b", "c": True}), 200,
        {"results": [3.5]}),
    "an int for a float": (examples("regress", "regress", {"x": 1}), 400,
        re.compile("expected type: float")),
    "a feature that lacks": (examples("regress", "regress", {"y": 1.0}), 400, re.compile("x")),
    "mixed kinds": (examples("regress", "regress", {"x": [1.0, "a"]}), 400,
        "Unexpected element type in feature: x expecting type: float"),
    "mixed kinds, int first": (examples("regress", "regress", {"x": [1, 1.5]}), 400,
        "Unexpected element type in feature: x expecting type: int64"),
    "mixed kinds, text first": (examples("regress", "regress", {"x": ["a", True]}), 400,
        "Unexpected element type in feature: x expecting type: bytes"),
    "null": (examples("regress", "regress", {"x": None}), 400,
        "Feature: x has element with unexpected JSON type: Null"),
    "a list in a list": (examples("regress", "regress", {"x": [[1.0]]}), 400,
        "Feature: x has element with unexpected JSON type: Array"),
    "an object": (examples("regress", "regress", {"x": {"a": 1}}), 400,
        "Feature: x has element with unexpected JSON type: Object"),
    "bad base64": (examples("regress", "regress", {"x": {"b64": "?"}}), 400,
        "Unable to base64 decode"),
    "too great an int": (examples("regress", "regress", {"x": 2**63}), 400,
        "Feature: x has uint64 element. Only int64 is supported."),
    "too great a float": (examples("regress", "regress", {"x": 1e39}), 400,
        "Cannot convert JSON value: 1e+39 to float without loss of precision."),
    "no object": (examples("regress", "regress", 1), 400,
        "Example must be JSON object but got JSON Number"),
    "a context that is no object": (examples("regress", "regress", {"x": 1.0}, context=[]), 400,
        "Example must be JSON object but got JSON Array"),
    "no examples": (examples("regress", "regress"), 400,
        re.compile(r"^JSON Value: \{.*\} 'examples' value is an empty array$", re.S)),
    "examples are lacking": (post(f"{HALF}:regress", signature_name="regress"), 400, "JSON Value: "
        f"{shown({'signature_name': 'regress'})} When method is classify, key 'examples' is "
        "expected "
        "and was not found"),
    "examples are no list": (post(f"{HALF}:classify", examples=1), 400, "JSON Value: "
        f"{shown({'examples': 1})} Expecting 'examples' value to be an list/array"),
    "no such signature": (examples(CLASSIFY, "lost", {"x": 1.0}), 400,
        re.compile("No signature was found with the name: lost")),
    "another signature": (examples(CLASSIFY, "serving_default", {"x": 1.0}), 400,
        re.compile("input")),
    "no json": (("POST", f"{HALF}:classify", "x"), 400,
        "JSON Parse error: Invalid value. at offset: 0"),
    "unknown model": (post("/v1/models/lost:regress", examples=[{"x": 1.0}]), 404,
        "Servable not found for request: Latest(lost)"),
}  # fmt: skip

TABLES = {
    "routes": ROUTES,
    "bodies": BODIES,
    "rows": ROWS,
    "columns": COLUMNS,
    "types": TYPES,
    "examples": EXAMPLES,
}
