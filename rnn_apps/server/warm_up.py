"""The requests that a version must answer before it is served, stored with it."""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from rnn_apps.server import inference
from rnn_apps.server.errors import ServingError, from_tensorflow

FILE = Path("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000


def warm_up(servable, folder: Path, iterations: int = 1) -> int:
    """Run every stored request of a version.

    Args:
        servable: `Servable`, the version.
        folder: its folder.
        iterations: how often each request is run.

    Returns:
        The number of records; 0 if none are stored.

    Raises:
        ServingError: a record cannot be read, is of a kind that is not served, or fails; the
            version is not to be served then.
    """
    count = 0
    for count, log in enumerate(_records(folder / FILE), 1):  # noqa: B007
        if count > MAX_RECORDS:
            message = f"Number of warmup records exceeds the maximum ({MAX_RECORDS})"
            raise ServingError("INVALID_ARGUMENT", message)
        for _ in range(iterations):
            _run(servable, log)
    return count


def _records(file) -> Iterator[prediction_log_pb2.PredictionLog]:
    if not file.is_file():
        return
    records = iter(tf.data.TFRecordDataset(str(file)))
    while True:
        try:
            serialized = next(records, None)
        except tf.errors.OpError as error:
            found = from_tensorflow(error)
            message = f"{found.message}. Please verify your warmup data is in TFRecord format."
            raise ServingError(found.code, message) from error
        if serialized is None:
            return
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(serialized.numpy())
        except DecodeError as error:
            raise ServingError("INVALID_ARGUMENT", "Failed to parse warmup record") from error
        yield log


def _run(servable, log):
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        inference.predict(servable, log.predict_log.request)
    elif kind == "classify_log":
        inference.classify(servable, log.classify_log.request)
    elif kind == "regress_log":
        inference.regress(servable, log.regress_log.request)
    elif kind == "multi_inference_log":
        inference.infer_many(servable, log.multi_inference_log.request)
    else:
        raise ServingError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind}")
