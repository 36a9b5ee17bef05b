"""What the local server reaches under load, beside a plain call in a loop.

    python tests/benchmarks/serving.py [throughput publishing killing overload] [--quick]

Prints the figures as they come, and all of them as JSON at the end. The clients run on the same
machine, over loopback; not beside anything else. `--quick` takes a tenth of the time.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import requests
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import serving_load  # noqa: E402  lies in the folder above

EXPORT = ROOT / "saved_models" / "sentiment" / "1"
PATH = "/v1/models/sentiment:predict"
TEXTS = (
    "A quiet masterpiece, and the story is not dull at all.",
    "The cast is fine, the music is loud and the ending is hollow.",
    "I wanted to like it. I could not.",
    "Clever, warm and moving from the first scene to the last one.",
    "Not bad.",
    "The pace is slow, the tone is tired, and nobody on the screen seems to care about anything.",
    "Worth every minute.",
    "It takes its time, and by the end you are glad that it did; few stories are told so well.",
)
BATCHING = (  # a batch of all 16 clients: one core runs it, while the other reads and writes
    "max_batch_size { value: 16 }\nbatch_timeout_micros { value: 2000 }\n"
    "max_enqueued_batches { value: 100 }\nnum_batch_threads { value: 1 }\n"
)
_LOOP = """
import sys, time
import numpy as np, tensorflow as tf, tensorflow_text
call = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
texts = [tf.constant([text]) for text in sys.argv[3:]]
for number in range(100):
    call(text=texts[number % len(texts)])
start, count = time.perf_counter(), 0
while time.perf_counter() < start + float(sys.argv[2]):
    {name: value.numpy() for name, value in call(text=texts[count % len(texts)]).items()}
    count += 1
print(count / (time.perf_counter() - start))
"""


def models_folder(folder):
    """Writes the ready-made classifier as version 1 into a folder of models."""
    publish(folder, 1)
    return folder


def publish(folder, number):
    """Publishes a copy of the ready-made classifier as `rnn-apps export` does: by one rename."""
    base = pathlib.Path(folder) / "sentiment"
    base.mkdir(exist_ok=True)
    hidden = base / f".export-{number}"
    shutil.copytree(EXPORT, hidden)
    os.rename(hidden, base / str(number))


def asked(text):
    return serving_load.request_of(PATH, {"instances": [text]})


def plain_rate(seconds):
    """Calls a second of a plain loop over a loaded model, in a process of its own."""
    command = [sys.executable, "-c", _LOOP, str(EXPORT), str(seconds), *TEXTS]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
        env=serving_load.ENVIRONMENT,
    )  # fmt: skip
    return float(done.stdout)


def throughput(folder, seconds=10.0, rounds=3, connections=16):
    """Requests a second over REST beside the plain loop, in turns: medians and their ratios."""
    models_folder(folder)
    parameters = pathlib.Path(folder) / "batching_parameters.txt"
    parameters.write_text(BATCHING)
    texts = [asked(text) for text in TEXTS]
    flags = {
        "unbatched": [],
        "batched": ["--enable_batching", f"--batching_parameters_file={parameters}"],
    }
    found = {"plain": [], "unbatched": [], "batched": []}
    for _ in range(rounds):
        found["plain"].append(plain_rate(seconds))
        for kind, more in flags.items():
            with serving_load.Process(folder, *more) as server:
                serving_load.closed_loop(server.rest_port, texts, connections, 1)
                load = serving_load.closed_loop(server.rest_port, texts, connections, seconds)
            if (load.status != 200).any():
                raise RuntimeError(f"{(load.status != 200).sum()} requests failed")
            found[kind].append(load.rate)
    middle = {kind: statistics.median(rates) for kind, rates in found.items()}
    return {
        **{f"{kind}_per_second": round(rate) for kind, rate in middle.items()},
        "unbatched_ratio": round(middle["unbatched"] / middle["plain"], 2),
        "batched_ratio": round(middle["batched"] / middle["plain"], 2),
    }


def publishing(folder, seconds=30.0, every=1.0, rate=150):
    """A new version every second under steady load over REST and gRPC: failures and steps back."""
    models_folder(folder)
    with serving_load.Process(folder) as server:
        stop, versions, failed = threading.Event(), [[] for _ in range(2)], []
        threads = [
            threading.Thread(target=_ask_by_grpc, args=(server.port, stop, seen, failed))
            for seen in versions
        ]
        threads.append(threading.Thread(target=_publish, args=(folder, stop, every)))
        before = server.resident_bytes()
        for thread in threads:
            thread.start()
        texts = [asked(text) for text in TEXTS]
        load = serving_load.open_loop(server.rest_port, texts, rate, 32, seconds)
        stop.set()
        for thread in threads:
            thread.join()
        grown = server.resident_bytes() - before
    back = sum(b < a for seen in versions for a, b in zip(seen, seen[1:], strict=False))
    return {
        "requests": len(load.status) + sum(map(len, versions)) + len(failed),
        "failed": int((load.status != 200).sum()) + len(failed),
        "versions_seen": len(set().union(*versions)),
        "steps_back": back,
        "p50_ms": round(load.quantile(0.5) * 1e3, 1),
        "p99_ms": round(load.quantile(0.99) * 1e3, 1),
        "memory_grown_mb": round(grown / 1e6),
    }


def _publish(folder, stop, every):
    number = 1
    while not stop.wait(every):
        number += 1
        publish(folder, number)


def _ask_by_grpc(port, stop, seen, failed):
    """Asks one request after the other and keeps the versions that answered."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "sentiment"
    request.inputs["text"].dtype = 7
    request.inputs["text"].tensor_shape.dim.add(size=1)
    request.inputs["text"].string_val.append(TEXTS[0].encode())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        while not stop.wait(0.01):
            try:
                seen.append(stub.Predict(request, timeout=120).model_spec.version.value)
            except grpc.RpcError as error:
                failed.append(error.code().name)


def killing(folder, times=50):
    """Kills the server while versions are being published, and starts it again, so many times.

    Counts how often it came back on a whole version, no older than the one it had served.
    """
    models_folder(folder)
    chance, whole, seconds, stop = random.Random(0), 0, [], threading.Event()
    publisher = threading.Thread(target=_publish_slowly, args=(folder, stop))
    publisher.start()
    try:
        server = serving_load.Process(folder)
        served = _answering_version(server)
        for _ in range(times):
            time.sleep(chance.uniform(0, 1.5))
            server.kill()
            start = time.monotonic()
            server = serving_load.Process(folder)
            seconds.append(time.monotonic() - start)
            before, served = served, _answering_version(server)
            whole += served >= before > 0
            print(f"{whole} of {len(seconds)} came back whole", file=sys.stderr, flush=True)
        server.kill()
    finally:
        stop.set()
        publisher.join()
    middle = round(statistics.median(seconds), 1)
    return {"kills": times, "came_back_whole": whole, "start_seconds": middle}


def _publish_slowly(folder, stop, steps=40):
    """Publishes one version after the other, each written in pieces over a second; keeps ten."""
    base = pathlib.Path(folder) / "sentiment"
    contents = {
        path.relative_to(EXPORT): path.read_bytes() for path in EXPORT.rglob("*") if path.is_file()
    }
    number = 1
    while not stop.is_set():
        number += 1
        hidden = base / f".export-{number}"
        for name, content in contents.items():
            (hidden / name).parent.mkdir(parents=True, exist_ok=True)
            with open(hidden / name, "wb", buffering=0) as file:
                size = -(-len(content) * len(contents) // steps)
                for start in range(0, len(content), max(1, size)):
                    file.write(content[start : start + size])
                    time.sleep(1 / steps)
        os.rename(hidden, base / str(number))
        if number > 10:
            shutil.rmtree(base / str(number - 10))


def _answering_version(server):
    """The version that a server answers with; 0 if it does not answer as it should."""
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/sentiment"
    answer = requests.post(f"{url}:predict", json={"instances": ["Not bad."]}, timeout=120)
    states = requests.get(url, timeout=120).json()["model_version_status"]
    available = [int(row["version"]) for row in states if row["state"] == "AVAILABLE"]
    if answer.status_code != 200 or "label" not in answer.json()["predictions"][0]:
        return 0
    return max(available, default=0)


def overload(folder, seconds=30.0, times=4, threads=4, waiting=36, wait=0.15):
    """Four times as many requests as it can answer: how long the accepted take, and the refused.

    The queue is bounded in number and in time; who finds it full is refused at once.
    """
    models_folder(folder)
    texts = [asked(text) for text in TEXTS]
    few = [f"--rest_api_num_threads={threads}", f"--max_queued_requests={waiting}"]
    few += [f"--max_queue_wait_in_ms={wait * 1000:.0f}"]
    with serving_load.Process(folder, *few) as server:
        serving_load.closed_loop(server.rest_port, texts, 16, 1)
        calm = serving_load.closed_loop(server.rest_port, texts, 1, max(3, seconds / 3))
        capacity = serving_load.closed_loop(server.rest_port, texts, 16, max(3, seconds / 3)).rate
        load = serving_load.open_loop(server.rest_port, texts, times * capacity, 384, seconds)
        alive = _answering_version(server)
    return {
        "capacity_per_second": round(capacity),
        "offered_per_second": round(len(load.status) / load.elapsed),
        "accepted_per_second": round(load.rate),
        "other_status": sorted(set(load.status.tolist()) - {200, 503}),
        "answers_after": bool(alive),
        "unloaded_p99_ms": round(calm.quantile(0.99) * 1e3, 1),
        "queue_bound_ms": round(wait * 1e3, 1),
        "accepted_p99_ms": round(load.quantile(0.99) * 1e3, 1),
        "allowed_p99_ms": round((3 * calm.quantile(0.99) + wait) * 1e3, 1),
        "refused_p50_ms": round(load.quantile(0.5, accepted=False) * 1e3, 1),
        "refused_p99_ms": round(load.quantile(0.99, accepted=False) * 1e3, 1),
    }


def main():
    """Measures what the command line names, or all."""
    full = {
        throughput: {},
        publishing: {},
        killing: {},
        overload: {},
    }
    quick = {
        throughput: {"seconds": 2, "rounds": 1},
        publishing: {"seconds": 5},
        killing: {"times": 3},
        overload: {"seconds": 5},
    }
    named = {measure.__name__: measure for measure in full}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(named))
    parser.add_argument("--quick", action="store_true", help="a tenth of the time")
    options = parser.parse_args()
    figures = {}
    for name in options.measures or named:
        with tempfile.TemporaryDirectory() as folder:
            settings = (quick if options.quick else full)[named[name]]
            figures[name] = named[name](folder, **settings)
        print(name, *(f"  {key}: {value}" for key, value in figures[name].items()), sep="\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
