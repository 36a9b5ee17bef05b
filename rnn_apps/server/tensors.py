"""Tensors as messages, and back; bounded, for a message of a few bytes may claim gigabytes."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from rnn_apps.server.errors import ServingError

MAX_DECODED_BYTES = 256 << 20
_FIELDS = {  # the fields that the real server fills, which clients read without TensorFlow
    "float32": "float_val",
    "float64": "double_val",
    "bool": "bool_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    **dict.fromkeys(("int32", "int16", "int8", "uint8", "uint16"), "int_val"),
}
_C_NAMES = {"float32": "float", "float64": "double", "float16": "half"}


def to_array(name: str, proto, limit: int = MAX_DECODED_BYTES) -> np.ndarray:
    """Decode a message.

    Args:
        name: of the input, for the error.
        proto: `TensorProto`.
        limit: of the array's size in bytes.

    Returns:
        An array; strings are an object array of bytes.

    Raises:
        ServingError: the message is not a tensor, or too large a one.
    """
    shape = [dim.size for dim in proto.tensor_shape.dim]
    try:
        dtype = tf.dtypes.as_dtype(proto.dtype)
        if min(shape, default=0) < 0 or proto.tensor_shape.unknown_rank:
            raise ValueError("a tensor has a definite shape")
        if math.prod(shape) * max(dtype.size or 0, 8) > limit:
            message = f"The tensor {name} is larger than the {limit} bytes that are allowed"
            raise ServingError("RESOURCE_EXHAUSTED", message)
        if dtype == tf.string:
            return _texts(proto.string_val, shape)
        return tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise ServingError("INVALID_ARGUMENT", f"tensor parsing error: {name}") from error


def _texts(values, shape):
    count = math.prod(shape)
    array = np.empty([count], object)
    if len(values) > count or not (values or count == 0):
        raise ValueError("the values do not fill the shape")
    array[: len(values)] = list(values)
    array[len(values) :] = values[-1] if values else b""
    return array.reshape(shape)


def to_proto(array: np.ndarray):
    """Write an array as a `TensorProto`, its values in the field of its type."""
    dtype = tf.string if array.dtype.kind in "OSU" else tf.dtypes.as_dtype(array.dtype)
    field = "string_val" if dtype == tf.string else _FIELDS.get(dtype.name)
    if field is None:
        return tf.make_tensor_proto(array, dtype)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    proto.tensor_shape.SetInParent()  # a scalar has a shape too
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, field).extend(array.ravel().tolist())
    return proto


def c_name(dtype) -> str:
    """Return the name of a type as TensorFlow's C++ writes it.

    Example:
        >>> c_name(np.dtype("float32")), c_name(np.dtype(object)), c_name(tf.int64)
        ('float', 'string', 'int64')
    """
    if isinstance(dtype, np.dtype) and dtype.kind in "OSU":
        return "string"
    name = tf.dtypes.as_dtype(dtype).name
    return _C_NAMES.get(name, name)
