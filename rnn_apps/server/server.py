"""The whole server: models, REST and gRPC in one process, from its settings to its last answer."""

import contextlib
import dataclasses
import gc
import logging
import socket
import sys
import threading
import time
from pathlib import Path

import uvicorn
from tensorflow.core.protobuf import config_pb2

from rnn_apps.server import configuration, metrics, rest, web_page
from rnn_apps.server.batching import Batching, Scheduler
from rnn_apps.server.front import Front
from rnn_apps.server.grpc_services import GrpcServer
from rnn_apps.server.loading import Loader, batching_of, threads_of
from rnn_apps.server.models import Models, Polling
from rnn_apps.server.workers import Workers

log = logging.getLogger("rnn_apps.server")
_BACKLOG = 1024  # connections that the system accepts before we do
_CONNECTIONS = 1000  # more get 503, before the system runs out of files
_SWITCH_INTERVAL = 0.0005  # seconds; with 0.005 a thread that decodes holds up the others


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server is told; where a flag of tensorflow_model_server means the same, by its name.

    Args:
        models_folder: outside of which nothing is read; each child with versions is a model.
        model_name: of the one model to serve, with `model_base_path`, its folder.
        model_config_file: the models to serve, as text; base paths that begin with /models are
            looked for in `models_folder`.
        host: address to listen on.
        port: of gRPC; 0 for none.
        rest_api_port: of REST; 0 for none.
        rest_api_timeout_in_ms: after which a request gets 504.
        max_body_bytes: of a request, also once decompressed.
        max_queued_requests: that wait for their turn; more are refused at once.
        max_queue_wait_in_ms: after which a request that still waits is refused too; 0 is never.
        shutdown_grace_seconds: for what has begun when the server is to stop.
    """

    models_folder: Path | None = None
    model_name: str = "default"
    model_base_path: Path | None = None
    model_config_file: Path | None = None
    model_config_file_poll_wait_seconds: float = 0
    file_system_poll_wait_seconds: float = 1
    host: str = "127.0.0.1"
    port: int = 8500
    rest_api_port: int = 8501
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    rest_api_num_threads: int = 64
    grpc_max_threads: int = 64
    enable_grpc_healthcheck_service: bool = True
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    enable_batching: bool = False
    batching_parameters_file: Path | None = None
    enable_per_model_batching_parameters: bool = False
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 1
    allow_version_labels_for_unavailable_models: bool = False
    enable_signature_method_name_check: bool = False
    monitoring_config_file: Path | None = None
    saved_model_tags: str = "serve"
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    max_body_bytes: int = 64 << 20
    max_queued_requests: int = 64
    max_queue_wait_in_ms: int = 0
    shutdown_grace_seconds: float = 30

    @property
    def max_wait(self) -> float | None:
        """Seconds that a request may wait for its turn."""
        return self.max_queue_wait_in_ms / 1000 or None

    @property
    def batching_file(self) -> Path | None:
        """The file of batching's parameters, if there is to be batching by one."""
        return self.batching_parameters_file if self.enable_batching else None


class Server:
    """A server that has loaded its models and listens, but does not answer yet.

    `rest_port` is where REST listens, 0 if it does not.

    Args:
        settings: `Settings`.

    Raises:
        ValueError: a file of settings is faulty.
        ServingError: the models' config is faulty.
        OSError: a folder cannot be read, or a port cannot be had.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._rest_thread, self._rest = None, None
        self.metrics = metrics.Metrics()
        monitoring = None
        if settings.monitoring_config_file is not None:
            monitoring = configuration.read_text(
                settings.monitoring_config_file, "MonitoringConfig"
            ).prometheus_config
        self._scheduler = Scheduler(
            threads_of(settings.batching_file),
            settings.max_queued_requests + settings.rest_api_num_threads,  # as `Workers` let in
            settings.max_wait,
            self._observe,
        )
        with contextlib.ExitStack() as undo:
            undo.callback(self._scheduler.close)
            self._socket = self._listen(undo)
            self.rest_port = self._socket.getsockname()[1] if self._socket else 0
            self.models = _models(settings, self._loader())
            undo.callback(self.models.close)
            self._grpc = self._make_grpc()
            self._rest = self._make_rest(monitoring)
            undo.pop_all()

    @property
    def grpc_port(self) -> int:
        """Where gRPC listens; 0 if it does not."""
        return self._grpc.port if self._grpc else 0

    def start(self):
        """Begin to answer."""
        sys.setswitchinterval(_SWITCH_INTERVAL)
        gc.collect()
        gc.freeze()  # what is there now stays; a collection need not look at it again
        host = self._settings.host
        if self._grpc:
            self._grpc.start()
            log.info("Running gRPC ModelServer at %s:%d ...", host, self.grpc_port)
        if self._rest:
            run = self._rest.run
            self._rest_thread = threading.Thread(target=run, args=[[self._socket]], name="rest")
            self._rest_thread.start()
            while not self._rest.started and self._rest_thread.is_alive():
                time.sleep(0.01)
            log.info("Exporting HTTP/REST API at:%s:%d ...", host, self.rest_port)

    def stop(self):
        """Take no more requests, finish those that have begun, free the models."""
        grace = self._settings.shutdown_grace_seconds
        if self._rest:
            self._rest.should_exit = True
        if self._grpc:
            self._grpc.stop(grace)
        if self._rest_thread:
            self._rest_thread.join(grace + 1)
        if self._socket:
            self._socket.close()
        self._scheduler.close()
        self.models.close()

    def _observe(self, name, seconds):
        if name == "queued":
            self.metrics.observe(metrics.QUEUING_LATENCY, seconds * 1e6, "batching_session")

    def _listen(self, undo):
        settings = self._settings
        if not settings.rest_api_port:
            return None
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.socket(family, proto=socket.IPPROTO_TCP)  # else there is no TCP_NODELAY
        undo.callback(listening.close)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, settings.rest_api_port))
            listening.listen(_BACKLOG)
        except OSError as error:
            address = f"{settings.host}:{settings.rest_api_port}"
            raise OSError(f"REST cannot listen on {address}: {error.strerror}.") from error
        return listening

    def _loader(self):
        settings = self._settings
        return Loader(
            scheduler=self._scheduler,
            batching=_batching(settings),
            per_model_batching=settings.enable_per_model_batching_parameters,
            tags=tuple(settings.saved_model_tags.split(",")),
            enable_warm_up=settings.enable_model_warmup,
            warm_up_iterations=max(1, settings.num_request_iterations_for_warmup),
            check_method_names=settings.enable_signature_method_name_check,
            session_config=config_pb2.ConfigProto(
                intra_op_parallelism_threads=settings.tensorflow_intra_op_parallelism,
                inter_op_parallelism_threads=settings.tensorflow_inter_op_parallelism,
            ),
            metrics=self.metrics,
        )

    def _make_grpc(self):
        settings = self._settings
        if not settings.port:
            return None
        return GrpcServer(
            self.models,
            f"{settings.host}:{settings.port}",
            settings.grpc_max_threads,
            settings.max_queued_requests,
            settings.max_body_bytes,
            self.metrics,
            settings.enable_grpc_healthcheck_service,
        )

    def _make_rest(self, monitoring):
        settings = self._settings
        if self._socket is None:
            return None
        path = (monitoring.path or rest.MONITORING_PATH) if monitoring is not None else None
        workers = Workers(
            settings.rest_api_num_threads, settings.max_queued_requests, settings.max_wait
        )
        application = rest.application(
            self.models,
            self.metrics,
            workers,
            web_page.routes(self.models),
            timeout_seconds=settings.rest_api_timeout_in_ms / 1000,
            enable_cors=settings.rest_api_enable_cors_support,
            monitoring_path=path if monitoring is not None and monitoring.enable else None,
            max_body_bytes=settings.max_body_bytes,
        )
        config = uvicorn.Config(
            Front(application, workers),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=int(settings.shutdown_grace_seconds),
        )
        return uvicorn.Server(config)


def _batching(settings):
    """The `Batching` of all models, None for none; without a file its defaults."""
    if not settings.enable_batching:
        return None
    file = settings.batching_parameters_file
    return Batching(max_batch_size=1000) if file is None else batching_of(file)


def _models(settings, loader):
    """The `Models` of what the settings name: a folder, a file of models, or one model."""
    polling = Polling(
        file_system_poll_wait=settings.file_system_poll_wait_seconds,
        config_file_poll_wait=settings.model_config_file_poll_wait_seconds,
        max_num_load_retries=settings.max_num_load_retries,
        load_retry_interval=settings.load_retry_interval_micros / 1e6,
        allow_labels_for_unavailable=settings.allow_version_labels_for_unavailable_models,
    )
    folder, config = settings.models_folder, settings.model_config_file
    if config is None and settings.model_base_path is not None:
        config = configuration.of_model(settings.model_name, settings.model_base_path)
        folder = folder or settings.model_base_path
    if folder is None and config is None:
        raise ValueError("Nothing to serve: name a folder of models, or give --model_config_file.")
    return Models(folder, config, loader=loader, polling=polling)
