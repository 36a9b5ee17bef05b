"""The servers that the contract is tried on, and how each is started."""

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import time

import requests

BINARY = "tensorflow_model_server"
FLAGS = (
    "--allow_version_labels_for_unavailable_models=true",
    "--enable_grpc_healthcheck_service=true",
)


@dataclasses.dataclass
class Server:
    """A running server: where it answers, and how it is stopped."""

    url: str  # of REST
    address: str  # of gRPC
    stop: object


def names():
    """Ours, and a real one where there is one."""
    real = os.environ.get("TF_SERVING_URL") or shutil.which(BINARY)
    return ["rnn-apps", BINARY] if real else ["rnn-apps"]


def start(name, folder):
    """Starts a server, or names the one that runs."""
    if name == "rnn-apps":
        return _ours(folder)
    if os.environ.get("TF_SERVING_URL"):
        url = os.environ["TF_SERVING_URL"].rstrip("/")
        host = requests.utils.urlparse(url).hostname
        address = os.environ.get("TF_SERVING_GRPC", f"{host}:8500")
        return Server(url, address, lambda: None)
    return _binary(folder)


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _ours(folder):
    from rnn_apps.server.server import Server as Ours
    from rnn_apps.server.server import Settings

    server = Ours(
        Settings(
            models_folder=folder,
            model_config_file=folder / "models.config",
            monitoring_config_file=folder / "monitoring.config",
            allow_version_labels_for_unavailable_models=True,
            enable_model_warmup=False,
            port=free_port(),
            rest_api_port=free_port(),
        )
    )
    server.start()
    url, address = f"http://127.0.0.1:{server.rest_port}", f"127.0.0.1:{server.grpc_port}"
    return Server(url, address, server.stop)


def _binary(folder):
    port, rest_port = free_port(), free_port()
    command = [BINARY, f"--port={port}", f"--rest_api_port={rest_port}", *FLAGS]
    command += [f"--model_config_file={folder / 'models.config'}"]
    command += [f"--monitoring_config_file={folder / 'monitoring.config'}"]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{rest_port}"
    try:
        wait_for(url)
    except TimeoutError:
        process.kill()
        raise
    return Server(url, f"127.0.0.1:{port}", process.terminate)


def wait_for(url, seconds=300):
    """Returns when a server answers for the last of its models."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/v1/models/translation/metadata", timeout=5).ok:
                return
        time.sleep(0.2)
    raise TimeoutError(f"{url} did not serve the models within {seconds} seconds")
