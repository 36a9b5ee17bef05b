"""One contract for every server: ours always, and TensorFlow Serving where there is one.

Where `TF_SERVING_URL` names its REST port (and `TF_SERVING_GRPC` its gRPC port, unless that is
8500), it must serve what `contract_models.py` wrote (at `TF_SERVING_MODELS`); where
`tensorflow_model_server` is on the PATH, it is started.
"""

import base64
import json
import os
import pathlib
import re

import contract_models
import contract_server
import grpc_cases
import numpy as np
import pytest
import requests
import rest_cases
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, regression_pb2
from tensorflow_serving.apis import get_model_metadata_pb2 as messages

STORED = pathlib.Path(__file__).parents[1] / "ready_made"
REST_CASES = [(table, name) for table, cases in rest_cases.TABLES.items() for name in cases]
EXPORT_CASES = [
    (application, number)
    for application in contract_models.APPLICATIONS
    for number in range(len(json.loads((STORED / f"{application}.json").read_text())))
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The models that are served."""
    return contract_models.write(tmp_path_factory.mktemp("contract") / "models")


@pytest.fixture(scope="session", params=contract_server.names())
def server(request, folder):
    """Each server that there is."""
    started = contract_server.start(request.param, folder)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def http(server):
    """A connection that is kept."""
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="session")
def stubs(server):
    return grpc_cases.Stubs(server.address)


def test_no_case_is_lost():
    assert len(REST_CASES) == 164
    assert len(grpc_cases.CASES) == 33
    assert len(EXPORT_CASES) == 40


def ask(http, server, method, path, body):
    data = body.encode() if isinstance(body, str) else body
    return http.request(method, server.url + path, data=data, timeout=60)


def assert_same(got, expected):
    """Compares parsed JSON; not-a-number equals itself."""
    assert json.dumps(got, sort_keys=True) == json.dumps(expected, sort_keys=True)


@pytest.mark.parametrize(("table", "name"), REST_CASES)
def test_rest_answers_as_the_interface_says(server, http, table, name):
    asked, status, expected = rest_cases.TABLES[table][name]
    response = ask(http, server, *asked)
    assert response.status_code == status, response.text
    if expected is None:
        return
    assert response.headers["Content-Type"] == "application/json"
    got = json.loads(response.content)
    if isinstance(expected, (str, re.Pattern)):
        assert got.keys() == {"error"}
        if isinstance(expected, str):
            assert got["error"] == expected
            assert response.text.startswith('{\n    "error": "')
        else:
            assert expected.search(got["error"]), got["error"]
    else:
        assert_same(got, expected)


@pytest.mark.parametrize("case", grpc_cases.CASES, ids=lambda case: case.__name__)
def test_grpc_answers_as_the_interface_says(stubs, case):
    case(stubs)


def test_grpc_takes_a_new_config_and_its_labels(server, stubs, folder):
    base = os.environ.get("TF_SERVING_MODELS", str(folder))
    config = (folder / "models.config").read_text().replace(str(folder), base)
    grpc_cases.labels_are_moved_by_a_new_config(stubs, config)
    assert requests.get(f"{server.url}/v1/models/rules", timeout=30).ok


def stored(application, number):
    return json.loads((STORED / f"{application}.json").read_text())[number]


def assert_outputs(got, expected):
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        if np.asarray(value).dtype.kind in "US":
            assert got[name] == value
        else:
            np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-4)


def rows_of(columns):
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


@pytest.mark.parametrize(("application", "number"), EXPORT_CASES)
def test_an_export_answers_its_stored_request_over_rest(server, http, application, number):
    case = stored(application, number)
    path, signature = f"/v1/models/{application}", case["signature"]
    if "examples" in case:
        check_examples_over_rest(server, http, path, case)
        return
    asked = {"signature_name": signature, "inputs": case["inputs"]}
    response = ask(http, server, "POST", f"{path}:predict", json.dumps(asked))
    assert response.status_code == 200, response.text
    columns = case["outputs"]
    got = response.json()["outputs"]
    assert_outputs(got if len(columns) > 1 else {next(iter(columns)): got}, columns)
    asked = {"signature_name": signature, "instances": rows_of(case["inputs"])}
    response = ask(http, server, "POST", f"{path}:predict", json.dumps(asked))
    assert response.status_code == 200, response.text
    rows = response.json()["predictions"]
    if len(columns) == 1:
        rows = [{next(iter(columns)): each} for each in rows]
    assert_outputs({name: [row[name] for row in rows] for name in columns}, columns)


def check_examples_over_rest(server, http, path, case):
    examples = [
        {
            name: value if isinstance(value, str) else [*map(float, value)]
            for name, value in row.items()
        }
        for row in case["examples"]
    ]
    asked = {"signature_name": case["signature"], "examples": examples}
    response = ask(http, server, "POST", f"{path}:{case['signature']}", json.dumps(asked))
    assert response.status_code == 200, response.text
    results, expected = response.json()["results"], case["outputs"]
    if case["signature"] == "regress":
        assert_outputs({"outputs": results}, expected)
    else:
        names = [[name for name, _ in row] for row in results]
        scores = [[score for _, score in row] for row in results]
        assert_outputs({"classes": names, "scores": scores}, expected)


@pytest.mark.parametrize(("application", "number"), EXPORT_CASES)
def test_an_export_answers_its_stored_request_over_grpc(stubs, application, number):
    case = stored(application, number)
    if "examples" in case:
        check_examples_over_grpc(stubs, application, case)
        return
    inputs = {name: tensor(values) for name, values in case["inputs"].items()}
    metadata = signature_of(stubs, application, case["signature"])
    inputs = {
        name: value.astype(tf.dtypes.as_dtype(metadata.inputs[name].dtype).as_numpy_dtype)
        for name, value in inputs.items()
    }
    outputs, _ = stubs.predict(application, inputs, signature=case["signature"])
    assert_outputs({name: plain(array) for name, array in outputs.items()}, case["outputs"])


def tensor(values):
    flat = [base64.b64decode(v["b64"]) if isinstance(v, dict) else v for v in values]
    if isinstance(flat[0], (str, bytes)):
        return np.array([v.encode() if isinstance(v, str) else v for v in flat], object)
    return np.array(flat)


def plain(array):
    return np.vectorize(bytes.decode)(array).tolist() if array.dtype == object else array


def signature_of(stubs, application, name):
    request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = application
    signatures = messages.SignatureDefMap()
    answer = stubs.prediction.GetModelMetadata(request, 30)
    answer.metadata["signature_def"].Unpack(signatures)
    return signatures.signature_def[name]


def check_examples_over_grpc(stubs, application, case):
    is_regress = case["signature"] == "regress"
    kind = (
        regression_pb2.RegressionRequest if is_regress else classification_pb2.ClassificationRequest
    )
    request = kind()
    grpc_cases.fill(request.model_spec, application, case["signature"])
    for row in case["examples"]:
        features = request.input.example_list.examples.add().features.feature
        for name, value in row.items():
            if isinstance(value, str):
                features[name].bytes_list.value.append(value.encode())
            else:
                features[name].float_list.value.extend(value)
    if is_regress:
        result = stubs.prediction.Regress(request, 30).result
        got = {"outputs": [each.value for each in result.regressions]}
    else:
        result = stubs.prediction.Classify(request, 30).result
        rows = [row.classes for row in result.classifications]
        got = {
            "classes": [[each.label for each in row] for row in rows],
            "scores": [[each.score for each in row] for row in rows],
        }
    assert_outputs(got, case["outputs"])


def test_states_and_metadata_are_the_protocols_json(server, http):
    response = ask(http, server, "GET", f"{rest_cases.HALF}/versions/1", None)
    assert response.json() == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    for path in (rest_cases.HALF, f"{rest_cases.HALF}/labels/stable"):
        states = ask(http, server, "GET", path, None).json()["model_version_status"]
        assert {each["version"]: each["state"] for each in states} == {
            "1": "AVAILABLE",
            "2": "AVAILABLE",
        }
    for path, version in (("", "2"), ("/versions/1", "1"), ("/labels/stable", "1")):
        body = ask(http, server, "GET", f"{rest_cases.HALF}{path}/metadata", None).json()
        assert body["model_spec"] == {
            "name": "half_plus_two",
            "signature_name": "",
            "version": version,
        }
        signatures = body["metadata"]["signature_def"]["signature_def"]
        x = signatures["serving_default"]["inputs"]["x"]
        assert x["dtype"] == "DT_FLOAT"
        assert x["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
        assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"
        init = signatures["__saved_model_init_op"]["outputs"]["__saved_model_init_op"]
        assert init["dtype"] == "DT_INVALID"


def test_a_preflight_needs_an_origin(server, http):
    url = f"{server.url}/v1/models/rules:predict"
    origin = {"Origin": "http://localhost:3000"}
    assert http.options(url, headers=origin, timeout=30).status_code == 200
    refused = http.options(url, timeout=30)
    assert (refused.status_code, refused.content) == (400, b"")


def test_a_connection_is_kept_and_any_content_type_will_do(server):
    with requests.Session() as session:
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            response = session.post(
                f"{server.url}{rest_cases.HALF}:predict",
                data=b'{"instances": [1]}',
                headers={"Content-Type": kind},
                timeout=30,
            )
            assert response.json() == {"predictions": [3.5]}
        pools = session.get_adapter(server.url).poolmanager.pools
        pool = pools[next(iter(pools.keys()))]
        assert (pool.num_requests, pool.num_connections) == (3, 1)


def test_prometheus_reads_the_servers_metrics(server, http, stubs):
    asked = rest_cases.post(f"{rest_cases.HALF}:predict", instances=[1])
    assert ask(http, server, *asked).ok
    stubs.predict("half_plus_two", {"x": grpc_cases.floats(1)})
    response = http.get(f"{server.url}/monitoring/prometheus/metrics", timeout=30)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    page = response.text
    name, model = ":tensorflow:serving:request_", 'model_name="half_plus_two"'
    assert f"# TYPE {name}count counter" in page
    assert f"# TYPE {name}latency histogram" in page
    assert re.search(rf'{name}count{{{model},status="OK"}} [1-9]', page)
    for entry in ("REST", "GRPC"):
        labels = rf'{model},API="Predict",entrypoint="{entry}",(status="OK",)?'
        assert re.search(rf'{name}latency_bucket{{{labels}le="\+Inf"}} [1-9]', page), entry
    assert re.search(r':tensorflow:serving:runtime_latency_count{model_name="half_plus_two"', page)
