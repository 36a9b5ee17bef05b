"""What `rnn-apps serve` is told, and its life from the first model loaded to the last answer.

Flags have the names of tensorflow_model_server where they mean the same. TensorFlow and the server
are imported when the command runs.
"""

import argparse
import logging
import pathlib
import signal
import threading

MORE = (
    "FOLDER holds a folder for each model, which holds numbered versions; a new version is loaded "
    "beside the old one and swapped in. A models.config that lies in FOLDER when the server "
    "starts is obeyed, and followed from then on. Flags are named as "
    "those of tensorflow_model_server."
)
CONFIG_FILE = "models.config"
_FLAGS = (  # name, type or the default of a switch, metavar, help
    ("port", int, "PORT", "of gRPC, by default 8500; 0 for none"),
    ("rest_api_port", int, "PORT", "of REST and the page, by default 8501; 0 for none"),
    ("host", str, "ADDRESS", "to listen on, by default 127.0.0.1, which only this machine reaches"),
    ("rest_api_timeout_in_ms", int, "N", "after which REST answers 504, by default 30000"),
    ("rest_api_enable_cors_support", bool, None, "let pages of other origins ask"),
    ("rest_api_num_threads", int, "N", "requests of REST worked on at a time, by default 64"),
    ("grpc_max_threads", int, "N", "requests of gRPC worked on at a time, by default 64"),
    ("enable_grpc_healthcheck_service", bool, None, "answer grpc.health.v1, by default true"),
    ("model_name", str, "NAME", "of the one model in --model_base_path"),
    ("model_base_path", pathlib.Path, "FOLDER", "of the versions of one model, without FOLDER"),
    ("model_config_file", pathlib.Path, "FILE", "a ModelServerConfig in text format; base paths "
        "that begin with /models are looked for in FOLDER"),
    ("model_config_file_poll_wait_seconds", float, "N", "between two looks at that file, by "
        "default 0, which reads it once, and 1 for FOLDER/models.config"),
    ("file_system_poll_wait_seconds", float, "N", "between two looks for versions, by default 1"),
    ("max_num_load_retries", int, "N", "of a version that does not load, by default 5"),
    ("load_retry_interval_micros", int, "N", "between two tries, by default 60000000"),
    ("enable_batching", bool, None, "run requests that wait as one batch"),
    ("batching_parameters_file", pathlib.Path, "FILE", "BatchingParameters in text format"),
    ("enable_per_model_batching_parameters", bool, None, "read batching_params.pbtxt of a version"),
    ("enable_model_warmup", bool, None, "run a version's stored requests before it is served, by "
        "default true"),
    ("num_request_iterations_for_warmup", int, "N", "how often each, by default once"),
    ("allow_version_labels_for_unavailable_models", bool, None, "labels may name versions that are "
        "not loaded yet; needed for any label when the server starts, and given for "
        "FOLDER/models.config"),
    ("enable_signature_method_name_check", bool, None, "a signature's method must be that of the "
        "request; exports of TensorFlow 2 classify and regress only without it"),
    ("monitoring_config_file", pathlib.Path, "FILE", "MonitoringConfig in text format"),
    ("saved_model_tags", str, "TAGS", "of the graph to load, with commas, by default serve"),
    ("tensorflow_intra_op_parallelism", int, "N", "threads of one operation; 0: its own choice"),
    ("tensorflow_inter_op_parallelism", int, "N", "threads for operations; 0: its own choice"),
    ("max_queued_requests", int, "N", "that wait for their turn before more are refused, by "
        "default 64"),
    ("max_queue_wait_in_ms", int, "N", "after which who still waits is refused too; by default 0, "
        "never"),
    ("max_body_bytes", int, "N", "of a request, by default 67108864"),
    ("shutdown_grace_seconds", float, "N", "for what has begun when the server is to stop, by "
        "default 30"),
)  # fmt: skip


def add_options(add):
    """Add the options of `rnn-apps serve`.

    Args:
        add: `add_argument` of its parser.
    """
    add("models_folder", nargs="?", type=pathlib.Path, metavar="FOLDER", help="of models")
    for name, kind, metavar, text in _FLAGS:
        how = {"type": kind, "metavar": metavar}
        if kind is bool:
            how = {"type": _truth, "metavar": "true", "nargs": "?", "const": True}
        add(f"--{name}", default=argparse.SUPPRESS, help=text, **how)


def _truth(text):
    """True or false as TensorFlow's flags take them."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")


def settings_of(options: argparse.Namespace) -> dict:
    """Return the given ones of the server's settings, by name.

    Args:
        options: as parsed.

    Raises:
        ValueError: nothing is there to serve, or a folder is not one of models.
    """
    given = {
        name: value
        for name, value in vars(options).items()
        if name == "models_folder" or name in {flag[0] for flag in _FLAGS}
    }
    folder = given["models_folder"]
    if folder is None and not {"model_config_file", "model_base_path"} & given.keys():
        raise ValueError("Nothing to serve; name a folder of models, such as saved_models.")
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name one that holds models.")
    if folder is not None and any(folder.glob("[0-9]*/saved_model.pb")):
        raise ValueError(
            f"{folder} holds the versions of one model; name the folder above it, or type "
            f"--model_name={folder.resolve().name} --model_base_path={folder}."
        )
    own = None if folder is None else folder / CONFIG_FILE
    if "model_config_file" not in given and own is not None and own.is_file():
        given["model_config_file"] = own
        given.setdefault("model_config_file_poll_wait_seconds", 1.0)
        given.setdefault("allow_version_labels_for_unavailable_models", True)
    return given


def serve(options: argparse.Namespace, importing):
    """Serve until SIGINT or SIGTERM, then finish what has begun.

    Args:
        options: as parsed.
        importing: a context that keeps TensorFlow's messages at its import from the screen.

    Raises:
        ValueError: a setting is faulty, or the extra is not installed.
        OSError: a folder cannot be read, or a port cannot be had.
    """
    settings = settings_of(options)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    logging.getLogger("rnn_apps.server").setLevel(logging.INFO)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        with importing:
            from rnn_apps.server.errors import ServingError
            from rnn_apps.server.server import Server, Settings
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{error.name} is not installed; type pip install 'rnn_apps[serving]'."
        ) from error
    try:
        server = Server(Settings(**settings))
    except ServingError as error:
        raise ValueError(f"The server does not start: {error.code}: {error.message}.") from error
    server.start()
    for number in (signal.SIGINT, signal.SIGTERM):  # a second one does not wait
        stopping.wait()
        signal.signal(number, signal.SIG_DFL)
    server.stop()
