"""Small SavedModels for the tests of the server: what they answer tells their version."""

import os

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2


def write_version(base, number, warm_up=()):
    """Writes a version that answers x + its number, and with `steps` only after some work.

    It is written beside its place and renamed, as `rnn-apps export` does.

    Args:
        base: folder of the model.
        number: of the version.
        warm_up: serialized `PredictionLog`s to store.

    Returns:
        The folder of the version.
    """
    module = tf.Module()
    module.number = tf.Variable(float(number))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def add(x):
        return {"y": x + module.number, "twice": 2 * x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "steps")])
    def work(steps):
        def body(step, matrix):
            return step + 1, tf.tanh(tf.matmul(matrix, matrix))

        most = tf.reduce_max(steps)
        start = (0, tf.fill([300, 300], 0.001))
        _, matrix = tf.while_loop(lambda step, _: step < most, body, start)
        return {"y": tf.cast(steps, tf.float32) * 0 + module.number + 0 * matrix[0, 0]}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "x")])
    def total(x):
        checked = tf.debugging.assert_all_finite(x, "not finite")
        return {"y": tf.reduce_sum(checked, 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def count(x):
        return {"y": tf.size(x)}

    signatures = {"serving_default": add, "work": work, "total": total, "count": count}
    hidden = base / f".{number}.{os.getpid()}"
    tf.saved_model.save(module, str(hidden), signatures)
    if warm_up:
        (hidden / "assets.extra").mkdir()
        with tf.io.TFRecordWriter(str(hidden / "assets.extra/tf_serving_warmup_requests")) as file:
            for record in warm_up:
                file.write(record)
    os.rename(hidden, base / str(number))
    return base / str(number)


def warm_up_record(name="x", signature=""):
    """A stored predict request with the input `name`, serialized."""
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    request.inputs[name].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
    log = prediction_log_pb2.PredictLog(request=request)
    return prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString()


def texts(*values):
    """Texts as a request has them: object (B,), bytes."""
    return np.array([value.encode() for value in values], object)
