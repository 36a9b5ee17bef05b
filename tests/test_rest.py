"""REST's bounds, which the real server has not or has as options: bodies, time, room, origins."""

import contextlib
import gzip
import json
import queue
import threading
import time
from concurrent import futures

import numpy as np
import pytest
import requests
import uvicorn
from tensorflow.core.protobuf import meta_graph_pb2

from rnn_apps.server import rest
from rnn_apps.server.errors import ServingError
from rnn_apps.server.metrics import Metrics
from rnn_apps.server.models import VersionStatus
from rnn_apps.server.workers import Workers


class Doubler:
    """A servable that doubles numbers, as slowly as the first one says."""

    version = 1

    def __init__(self):
        definition = meta_graph_pb2.SignatureDef()
        definition.inputs["x"].dtype = 1
        self.signature_defs = {"serving_default": definition}
        self.may_go = threading.Event()
        self.threads = futures.ThreadPoolExecutor(4)

    def run(self, signature, inputs, outputs=None, deadline=None):
        x = inputs["x"]
        if np.any(x == -1):
            self.may_go.wait(20)
        if np.any(x == -2):
            raise OSError("/secret/path is broken")
        return {"y": 2 * x}

    def submit(self, *request):
        return self.threads.submit(self.run, *request)


class OneModel:
    """Models of which there is one."""

    names = ("doubler",)

    def __init__(self):
        self.servable = Doubler()

    def find(self, name, version=None, label=None):
        if name != "doubler":
            raise ServingError("NOT_FOUND", f"Servable not found for request: Latest({name})")
        return self.servable

    def status(self, name, version=None):
        return [VersionStatus(1, "AVAILABLE")]


@contextlib.contextmanager
def serving(**options):
    """The model behind REST on a port of its own: (servable, URL of its method, metrics)."""
    models, metrics = OneModel(), Metrics()
    workers = Workers(*options.pop("workers", (4, 8)))
    application = rest.application(models, metrics, workers, **options)
    settings = {"log_level": "error", "lifespan": "off", "ws": "none"}
    server = uvicorn.Server(uvicorn.Config(application, port=0, **settings))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield models.servable, f"http://127.0.0.1:{port}/v1/models/doubler:predict", metrics
    finally:
        models.servable.may_go.set()
        server.should_exit = True
        thread.join()
        workers.close()


def ask(url, values, spaces=0, **more):
    body = json.dumps({"instances": values}) + " " * spaces
    return requests.post(url, body, timeout=30, **more)


# A small body is read at once, a large one by a worker: what is promised holds for both.
small_and_large = pytest.mark.parametrize("spaces", [0, 3000])


def error_of(response):
    return response.status_code, response.json()["error"]


def test_a_body_that_is_too_large_is_refused_whichever_way_it_comes():
    with serving(max_body_bytes=2000) as (_, url, _):
        assert ask(url, [1] * 300).json() == {"predictions": [2.0] * 300}
        message = "The body of the request is larger than the 2000 bytes that are allowed."
        assert error_of(ask(url, [1] * 3000)) == (413, message)
        chunks = (b"[" * 100 for _ in range(50))  # no length is told beforehand
        assert error_of(requests.post(url, data=chunks, timeout=30)) == (413, message)
        bomb = gzip.compress(b" " * 10**6)
        assert len(bomb) < 2000
        zipped = {"Content-Encoding": "gzip"}
        assert error_of(requests.post(url, bomb, headers=zipped, timeout=30)) == (413, message)


def test_bodies_may_be_gzipped_and_long_answers_are():
    body = gzip.compress(json.dumps({"instances": [1.5] * 1000}).encode())
    zipped = {"Content-Encoding": "gzip"}
    with serving() as (_, url, _):
        response = requests.post(url, body, headers=zipped, timeout=30)
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.json() == {"predictions": [3.0] * 1000}
        long = ask(url, [1.5] * 20_000)
        assert long.headers["Content-Encoding"] == "gzip"
        assert long.json() == {"predictions": [3.0] * 20_000}
        assert "Content-Encoding" not in ask(url, [1]).headers
        for refused in ("identity", "gzip;q=0", "gzip; q=0.000, br", "deflate"):
            plain = ask(url, [1.5] * 1000, headers={"Accept-Encoding": refused})
            assert "Content-Encoding" not in plain.headers, refused
        for broken in (b"no gzip", body[:-9]):
            status, message = error_of(requests.post(url, broken, headers=zipped, timeout=30))
            assert status == 400
            assert message == "The body says that it is gzipped, but cannot be decompressed."


@small_and_large
def test_a_request_that_takes_too_long_gets_504_and_the_server_goes_on(spaces):
    with serving(timeout_seconds=0.3) as (servable, url, metrics):
        start = time.monotonic()
        assert error_of(ask(url, [-1], spaces)) == (504, "Timed out waiting for notification")
        assert 0.25 < time.monotonic() - start < 5
        assert ask(url, [1]).json() == {"predictions": [2.0]}
        servable.may_go.set()
        count = ':tensorflow:serving:request_count{model_name="doubler",status="%s"} 1'
        assert count % "DEADLINE_EXCEEDED" in metrics.page()
        assert count % "OK" in metrics.page()


def test_a_body_that_does_not_come_gets_504():
    def trickle():
        yield b'{"instances"'
        time.sleep(1)
        yield b": [1]}"

    with serving(timeout_seconds=0.3) as (_, url, _):
        with contextlib.suppress(requests.ConnectionError):  # it may be closed before we end
            assert requests.post(url, data=trickle(), timeout=30).status_code == 504
        assert ask(url, [1]).json() == {"predictions": [2.0]}


@small_and_large
def test_who_finds_no_room_is_told_at_once(spaces):
    with serving(workers=(1, 1)) as (servable, url, _):
        answers = queue.SimpleQueue()
        threads = [
            threading.Thread(target=lambda: answers.put(ask(url, [-1], spaces))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        refused = answers.get(timeout=15)  # while one runs and one waits, for 20 seconds
        message = "The server is at work on 2 requests, its limit: try again later."
        assert error_of(refused) == (503, message)
        servable.may_go.set()
        for thread in threads:
            thread.join()
        assert [answers.get().status_code, answers.get().status_code] == [200, 200]
        assert ask(url, [1]).status_code == 200


@small_and_large
def test_a_fault_of_the_server_shows_neither_a_path_nor_a_stack(caplog, spaces):
    with serving() as (_, url, _):
        response = ask(url, [-2], spaces)
    assert error_of(response) == (500, "The server failed at this request; its log says how.")
    assert "/secret/path" in caplog.text


def test_pages_from_elsewhere_may_ask_only_where_that_is_enabled():
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "POST, GET",
        "Access-Control-Allow-Headers": "Content-Type",
    }
    origin = {"Origin": "https://elsewhere.example"}
    for enabled in (True, False):
        with serving(enable_cors=enabled) as (_, url, _):
            for response in (
                ask(url, [1], headers=origin),
                requests.options(url, headers=origin, timeout=30),
                requests.get(url, timeout=30),
            ):
                found = {name: response.headers.get(name) for name in headers}
                assert found == (headers if enabled else dict.fromkeys(headers))


def test_what_is_counted_does_not_grow_with_names_that_clients_invent():
    with serving(monitoring_path="/metrics") as (_, url, _):
        for number in range(5):
            assert ask(url.replace("doubler", f"invented{number}"), [1]).status_code == 404
        page = requests.get(url.split("/v1")[0] + "/metrics", timeout=30).text
    assert ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 5' in page
    assert "invented" not in page


def test_other_paths_are_bare_404s_and_odd_ones_do_no_harm():
    with serving() as (_, url, _):
        base = url.split("/v1")[0]
        for path in (
            "/",
            "/v1",
            "/metrics",
            "/monitoring/prometheus/metrics",
            "/v2/models/doubler",
        ):
            response = requests.get(base + path, timeout=30)
            assert (response.status_code, response.content) == (404, b"")
        for path in ("/v1/models/%2e%2e%2fetc", "/v1/models/a%0Ab%00", "/v1/models/%ff/metadata"):
            assert requests.get(base + path, timeout=30).status_code in (200, 404)
        long = requests.get(f"{base}/v1/models/doubler/versions/{'9' * 9000}", timeout=30)
        assert long.status_code == 400
        assert "Failed to convert version: 9" in long.json()["error"]
