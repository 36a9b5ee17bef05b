"""PredictionService, ModelService and health checking over gRPC."""

import functools
import logging
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from rnn_apps.server import inference
from rnn_apps.server.errors import ServingError
from rnn_apps.server.metrics import Metrics

log = logging.getLogger("rnn_apps.server")
PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"
_METADATA = "signature_def"
_LONG = 1e6  # seconds


def _answering(method):
    """A method of a service that turns its `ServingError` into a status of gRPC."""

    @functools.wraps(method)
    def answer(self, request, context):
        try:
            return method(self, request, context)
        except ServingError as error:
            context.abort(getattr(grpc.StatusCode, error.code), error.message)
        except Exception as error:
            log.exception("A request over gRPC")
            context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__} in the server.")

    return answer


def _counting(method):
    """A method of `PredictionService` whose requests are counted, by model and status."""

    @functools.wraps(method)
    def count(self, request, context):
        start, status = time.monotonic(), "OK"
        try:
            return method(self, request, context)
        except ServingError as error:
            status = error.code
            raise
        except Exception:
            status = "INTERNAL"
            raise
        finally:
            name, seconds = _model_of(request), time.monotonic() - start
            served = name if name in self._models.names else ""
            self._metrics.request(served, method.__name__, "GRPC", status, seconds)

    return count


def _model_of(request):
    if isinstance(request, inference_pb2.MultiInferenceRequest):
        return request.tasks[0].model_spec.name if request.tasks else ""
    return request.model_spec.name


def _deadline(context):
    left = context.time_remaining()  # centuries, for a client that set no deadline
    return None if left is None or left > _LONG else time.monotonic() + left


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers Predict, Classify, Regress, MultiInference and GetModelMetadata.

    Args:
        models: `Models`.
        metrics: `Metrics` that requests are counted in.
    """

    def __init__(self, models, metrics):
        self._models = models
        self._metrics = metrics

    def _servable(self, spec):
        if not spec.name:
            raise ServingError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        version = spec.version.value if spec.WhichOneof("version_choice") == "version" else None
        return self._models.find(spec.name, version, spec.version_label or None)

    @_answering
    @_counting
    def Predict(self, request, context):
        """Answer a `PredictRequest`."""
        servable = self._servable(request.model_spec)
        return inference.predict(servable, request, _deadline(context), self._metrics)

    @_answering
    @_counting
    def Classify(self, request, context):
        """Answer a `ClassificationRequest`."""
        servable = self._servable(request.model_spec)
        return inference.classify(servable, request, _deadline(context), self._metrics)

    @_answering
    @_counting
    def Regress(self, request, context):
        """Answer a `RegressionRequest`."""
        servable = self._servable(request.model_spec)
        return inference.regress(servable, request, _deadline(context), self._metrics)

    @_answering
    @_counting
    def MultiInference(self, request, context):
        """Answer a `MultiInferenceRequest`."""
        first = request.tasks[0] if request.tasks else inference_pb2.InferenceTask()
        servable = self._servable(first.model_spec)
        return inference.infer_many(servable, request, _deadline(context), self._metrics)

    @_answering
    def GetModelMetadata(self, request, context):
        """Answer a `GetModelMetadataRequest` with the signatures."""
        if not request.HasField("model_spec"):
            raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
        if not request.metadata_field:
            what = "GetModelMetadataRequest must specify at least one metadata_field"
            raise ServingError("INVALID_ARGUMENT", what)
        for field in request.metadata_field:
            if field != _METADATA:
                raise ServingError("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
        return metadata_of(self._servable(request.model_spec))


def metadata_of(servable):
    """Return the `GetModelMetadataResponse` about a servable."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in servable.signature_defs.items():
        signatures.signature_def[name].CopyFrom(definition)
        signatures.signature_def[name].ClearField("defaults")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.metadata[_METADATA].Pack(signatures)
    return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Answers GetModelStatus and HandleReloadConfigRequest.

    Args:
        models: `Models`.
    """

    def __init__(self, models):
        self._models = models

    @_answering
    def GetModelStatus(self, request, context):
        """Answer a `GetModelStatusRequest`; a label is not looked at, as by the real server."""
        spec = request.model_spec
        if not spec.name:
            raise ServingError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        version = spec.version.value if spec.WhichOneof("version_choice") == "version" else None
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self._models.status(spec.name, version):
            added = response.model_version_status.add(version=status.version)
            added.state = get_model_status_pb2.ModelVersionStatus.State.Value(status.state)
            added.status.error_code = _code_number(status.error_code)
            added.status.error_message = status.error_message
        return response

    @_answering
    def HandleReloadConfigRequest(self, request, context):
        """Answer a `ReloadConfigRequest`; returns when the new models are there."""
        self._models.reload(request.config)
        return model_management_pb2.ReloadConfigResponse(status={})


def _code_number(code):
    return getattr(grpc.StatusCode, code).value[0]


class GrpcServer:
    """The services on one port.

    Args:
        models: `Models`.
        address: "host:port"; port 0 takes a free one.
        threads: requests that are worked on at the same time, most of which wait for a batch.
        max_waiting: more of them that may wait; the rest get RESOURCE_EXHAUSTED at once.
        max_message_bytes: of a request and of an answer.
        metrics: `Metrics` that requests are counted in; its own where it is None.
        check_health: whether grpc.health.v1 is answered too.

    Raises:
        OSError: the address cannot be had.
    """

    def __init__(
        self,
        models,
        address,
        threads,
        max_waiting,
        max_message_bytes,
        metrics=None,
        check_health=True,
    ):
        self._pool = futures.ThreadPoolExecutor(threads, "grpc")
        self._server = grpc.server(
            self._pool,
            maximum_concurrent_rpcs=threads + max_waiting,
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                ("grpc.so_reuseport", 0),  # a second server on the same port is an error
            ],
        )
        add = prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server
        add(PredictionService(models, metrics or Metrics()), self._server)
        add = model_service_pb2_grpc.add_ModelServiceServicer_to_server
        add(ModelService(models), self._server)
        self._health = health.HealthServicer()
        if check_health:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {address}; is the port taken?") from error

    def start(self):
        """Begin to answer."""
        self._server.start()
        for service in ("", PREDICTION, MODEL):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace: float):
        """Take no more requests, and finish those begun within so many seconds."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait()
        self._pool.shutdown(wait=False)
