"""Warm-up requests: TensorFlow Serving's PredictionLog records, without its package."""

import functools
import re
from collections import Counter
from pathlib import Path

import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from tensorflow.core.framework import tensor_pb2

FILE = Path("assets.extra", "tf_serving_warmup_requests")
_MAX_RECORDS = 1000  # a model server refuses to load a version with more


def record(model_name, signature_name, request):
    """Returns one predict request as the bytes of a PredictionLog.

    Args:
        model_name: str; a server does not look at it.
        signature_name: str.
        request: {input name: eager tensor with a batch dimension}.
    """
    log = _message()()
    target = log.predict_log.request
    target.model_spec.name = model_name.encode()
    target.model_spec.signature_name = signature_name.encode()
    for name, tensor in request.items():
        proto = tf.make_tensor_proto(tensor.numpy(), tensor.dtype, tensor.shape)
        target.inputs.add(key=name.encode(), value=proto.SerializeToString(deterministic=True))
    return log.SerializeToString(deterministic=True)


def requests_in(version):
    """Reads the warm-up requests of a version.

    Args:
        version: path of the version's folder.

    Returns:
        A list of (signature name, {input name: array with a batch dimension}); strings are bytes.
    """
    file, found = Path(version) / FILE, []
    for serialized in tf.data.TFRecordDataset(str(file)) if file.exists() else ():
        log = _message()()
        log.ParseFromString(serialized.numpy())
        request = log.predict_log.request
        inputs = {
            entry.key.decode(): tf.make_ndarray(tensor_pb2.TensorProto.FromString(entry.value))
            for entry in request.inputs
        }
        found.append((request.model_spec.signature_name.decode(), inputs))
    return found


def problems_in(file, signatures):
    """Says what would keep a model server from loading a version with this warm-up file.

    Args:
        file: path of the records.
        signatures: {name: SignatureDef} of the version.

    Returns:
        A sorted list of phrases, without end marks; empty for a good file.
    """
    count, problems = 0, Counter()
    try:
        for count, serialized in enumerate(tf.data.TFRecordDataset(str(file)), 1):  # noqa: B007
            problems.update([_problem(serialized.numpy(), signatures)])
    except (tf.errors.OpError, OSError) as error:
        problems.update([f"the file cannot be read on ({str(error).splitlines()[0]})"])
    if count > _MAX_RECORDS:
        problems.update([f"{count} records are more than the {_MAX_RECORDS} allowed"])
    return sorted(filter(None, problems))


def _problem(serialized, signatures):
    """What is wrong with one serialized PredictionLog, or None."""
    log = _message()()
    try:
        log.ParseFromString(serialized)
    except DecodeError:
        return "a record is no PredictionLog"
    kinds = {field.name for field, _ in log.ListFields()}
    if not kinds or kinds & {"session_run_log", "predict_streamed_log"}:
        return f"a record holds {', '.join(sorted(kinds)) or 'no request'}"
    if "predict_log" not in kinds:
        return None
    request = log.predict_log.request
    name = request.model_spec.signature_name.decode("utf-8", "replace") or "serving_default"
    if name not in signatures:
        return f"a record asks for the signature {name!r}, which is not there"
    given, wanted = {i.key.decode() for i in request.inputs}, set(signatures[name].inputs)
    if given != wanted:
        return f"a record gives {name!r} the inputs {sorted(given)}, not {sorted(wanted)}"
    return None


@functools.cache
def _message():
    """Declare the few fields we read or write, with the numbers of prediction_log.proto.

    A nested message that we do not look into is declared as bytes: the same on the wire.
    """
    fields = {
        "Log": "classify_log=2 regress_log=3 multi_inference_log=4 session_run_log=5 "
        "predict_log=6:Predict predict_streamed_log=7",
        "Predict": "request=1:Request",
        "Request": "model_spec=1:Model inputs=2:Input*",
        "Model": "name=1 signature_name=3",
        "Input": "key=1 value=2",
    }
    file = descriptor_pb2.FileDescriptorProto(name="warm_up.proto", package="rnn_apps")
    for message, declaration in fields.items():
        target = file.message_type.add(name=message)
        for name, number, kind, many in re.findall(r"(\w+)=(\d+):?(\w*)(\*?)", declaration):
            field = target.field.add(name=name, number=int(number), label=3 if many else 1)
            field.type = field.TYPE_MESSAGE if kind else field.TYPE_BYTES
            if kind:
                field.type_name = f".rnn_apps.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("rnn_apps.Log"))
