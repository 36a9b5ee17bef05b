"""The whole server in one process: what it refuses under load, and how it stops."""

import socket
import threading
import time

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from small_models import write_version
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from rnn_apps.server.errors import ServingError
from rnn_apps.server.server import Server, Settings


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    (base / "m").mkdir()
    write_version(base / "m", 1)
    return base


def start(folder, **settings):
    server = Server(
        Settings(models_folder=folder, port=free_port(), rest_api_port=free_port(), **settings)
    )
    server.start()
    return server


@pytest.fixture(scope="module")
def server(folder):
    """Takes two requests of each kind at a time, and lets two more wait."""
    few = {"rest_api_num_threads": 2, "grpc_max_threads": 2, "max_queued_requests": 2}
    made = start(folder, max_body_bytes=100_000, **few)
    yield made
    made.stop()


def url(server):
    return f"http://127.0.0.1:{server.rest_port}/v1/models/m"


def ask(server, steps, timeout=20):
    """POSTs a request that works for a while."""
    body = {"signature_name": "work", "instances": [steps]}
    return requests.post(f"{url(server)}:predict", json=body, timeout=timeout)


def stub(server, kind=prediction_service_pb2_grpc.PredictionServiceStub):
    return kind(grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}"))


def counted(server, name, model="m", **labels):
    """What Prometheus reads of one of the server's counters of a model."""
    for line in server.metrics.page().splitlines():
        given = [f'"{model}"', *(f'{label}="{value}"' for label, value in labels.items())]
        if line.startswith(f":tensorflow:serving:{name}{{") and all(each in line for each in given):
            return int(line.split()[-1])
    return 0


def predict_request(steps=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    if steps is None:
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    else:
        request.model_spec.signature_name = "work"
        request.inputs["steps"].CopyFrom(tf.make_tensor_proto([steps]))
    return request


def at_once(number, call):
    """What so many calls return that are made at the same time, with the seconds each took."""
    results, threads = [], []

    def run():
        start = time.monotonic()
        results.append((call(), time.monotonic() - start))

    for _ in range(number):
        threads.append(threading.Thread(target=run))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return results


def test_rest_and_grpc_answer_the_same(server):
    answer = requests.post(f"{url(server)}:predict", json={"instances": [1.0]}, timeout=10)
    assert answer.json() == {"predictions": [{"twice": 2.0, "y": 2.0}]}
    response = stub(server).Predict(predict_request(), timeout=10)
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [2.0]
    assert response.outputs["y"].float_val[:] == [2.0]


def test_whoever_finds_the_server_full_gets_503_or_resource_exhausted_at_once(server):
    before = counted(server, "request_count", status="UNAVAILABLE")
    results = at_once(12, lambda: ask(server, 60).status_code)
    refused = sum(status == 503 for status, _ in results)
    assert counted(server, "request_count", status="UNAVAILABLE") == before + refused
    assert {status for status, _ in results} == {200, 503}
    assert max(seconds for status, seconds in results if status == 503) < 0.5
    assert sum(status == 200 for status, _ in results) >= 4

    def call():
        try:
            return stub(server).Predict(predict_request(60), timeout=10) and "OK"
        except grpc.RpcError as error:
            return error.code().name

    codes = [code for code, _ in at_once(12, call)]
    assert set(codes) <= {"OK", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
    assert codes.count("OK") >= 2 and codes.count("RESOURCE_EXHAUSTED") >= 1


def test_both_protocols_count_how_long_a_model_ran(server):
    for ask_one in (
        lambda: ask(server, 1),
        lambda: stub(server).Predict(predict_request(), timeout=10),
    ):
        before = counted(server, "runtime_latency_count", API="Predict", runtime="TF1")
        ask_one()
        assert counted(server, "runtime_latency_count", API="Predict", runtime="TF1") == before + 1


def test_both_protocols_count_the_examples_of_a_request(served):
    """`served` is the ready-made classifier among others."""
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "sentiment", "classify"
    for text in ("Not bad.", "Dull."):
        feature = request.input.example_list.examples.add().features.feature["text"]
        feature.bytes_list.value.append(text.encode())
    body = {"signature_name": "classify", "examples": [{"text": "Not bad."}, {"text": "Dull."}]}
    address = f"{served.url}/v1/models/sentiment:classify"
    calls = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(served.address))
    for ask_one in (
        lambda: requests.post(address, json=body, timeout=20).json()["results"],
        lambda: calls.Classify(request, timeout=20).result.classifications,
    ):
        before = counted(served.server, "request_example_count_total", "sentiment")
        assert len(ask_one()) == 2
        assert counted(served.server, "request_example_count_total", "sentiment") == before + 2
        assert counted(served.server, "runtime_latency_count", "sentiment", API="Classify") > 0


def test_a_request_that_takes_too_long_gets_504_or_deadline_exceeded(folder):
    server = start(folder, rest_api_timeout_in_ms=300)
    start_time = time.monotonic()
    assert ask(server, 3000).status_code == 504
    assert time.monotonic() - start_time >= 0.3
    with pytest.raises(grpc.RpcError) as late:
        stub(server).Predict(predict_request(3000), timeout=0.1)
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    server.stop()


def test_a_request_whose_turn_does_not_come_in_time_is_refused(folder):
    server = start(folder, rest_api_num_threads=1, max_queue_wait_in_ms=100)
    results = at_once(4, lambda: ask(server, 400))
    assert sorted(answer.status_code for answer, _ in results)[0] == 200
    refused = [answer for answer, _ in results if answer.status_code == 503]
    assert refused[0].json() == {"error": "No turn came within 0.1 s, the limit: try again later."}
    server.stop()


def test_a_body_and_a_message_larger_than_allowed_are_refused(server):
    answer = requests.post(f"{url(server)}:predict", data=b"[" * 200_000, timeout=10)
    assert answer.status_code == 413
    request = predict_request()
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros(50_000, np.float32)))
    with pytest.raises(grpc.RpcError) as refused:
        stub(server).Predict(request, timeout=10)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_message_of_a_few_bytes_that_claims_gigabytes_is_refused(server):
    request = predict_request()
    request.inputs["x"].Clear()
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=10**10)
    request.inputs["x"].float_val.append(1.0)
    with pytest.raises(grpc.RpcError, match="larger than the .* bytes") as refused:
        stub(server).Predict(request, timeout=10)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_reload_by_grpc_cannot_make_the_server_read_elsewhere(server):
    service = stub(server, model_service_pb2_grpc.ModelServiceStub)
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="x", base_path="/etc")
    with pytest.raises(grpc.RpcError) as refused:
        service.HandleReloadConfigRequest(request, timeout=10)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert "/etc" not in refused.value.details()
    status = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "m"})
    [version] = service.GetModelStatus(status, timeout=10).model_version_status
    assert (version.version, version.state) == (1, 30)


def test_stopping_finishes_what_has_begun_and_takes_no_more(folder):
    server = start(folder, grpc_max_threads=4)
    running, call = [], stub(server)
    call.Predict(predict_request(), timeout=10)
    for ask_one in (
        lambda: ask(server, 1200).json()["predictions"],
        lambda: call.Predict(predict_request(1200), timeout=30).outputs["y"].float_val[:],
    ):
        thread = threading.Thread(target=lambda each=ask_one: running.append(each()))
        thread.start()
    time.sleep(0.3)
    assert running == []
    server.stop()
    assert running == [[1.0], [1.0]]
    with pytest.raises(requests.ConnectionError):
        ask(server, 1)


def test_a_port_that_is_taken_is_an_error_that_names_it(folder, server):
    with pytest.raises(OSError, match=f"REST cannot listen on 127.0.0.1:{server.rest_port}"):
        Server(Settings(models_folder=folder, port=0, rest_api_port=server.rest_port))
    with pytest.raises(OSError, match=f"gRPC cannot listen on 127.0.0.1:{server.grpc_port}"):
        Server(Settings(models_folder=folder, port=server.grpc_port, rest_api_port=0))


def test_one_model_of_a_folder_elsewhere_is_served_by_its_name(folder):
    server = Server(Settings(model_name="other", model_base_path=folder / "m", port=0))
    assert server.models.names == ["other"]
    server.stop()


def test_a_config_that_is_not_allowed_keeps_the_server_from_starting(folder, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(
        'model_config_list { config { name: "m" base_path: "/models/m" model_platform: "tensorflow"'
        ' version_labels { key: "stable" value: 1 } version_labels { key: "next" value: 2 } } }'
    )
    settings = {"models_folder": folder, "model_config_file": file, "port": 0, "rest_api_port": 0}
    with pytest.raises(ServingError, match="assign label to version [12] of model m"):
        Server(Settings(**settings))
    allowed = Server(Settings(**settings, allow_version_labels_for_unavailable_models=True))
    assert allowed.models.labels("m") == {"stable": 1, "next": 2}
    allowed.stop()
