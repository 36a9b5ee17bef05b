"""Columns of a raw request → the tensors that a model takes."""

import tensorflow as tf

from rnn_apps.preprocessing import text


def as_tensor(values, spec):
    """Turns a column of a request into the tensor that an input takes.

    Args:
        values: array, list or tensor (N, …); strings as str or bytes.
        spec: `tf.TensorSpec` of the input, with a name.

    Returns:
        A tensor of the dtype of `spec`.

    Raises:
        ValueError: if the column has another shape, or is ragged.

    Example:
        >>> as_tensor([1, 2], tf.TensorSpec([None], tf.float32, name="size")).numpy().tolist()
        [1.0, 2.0]
    """
    values = values.numpy() if tf.is_tensor(values) else values
    try:
        tensor = tf.constant(text.utf8(values) if spec.dtype == tf.string else values, spec.dtype)
        came = tuple(tensor.shape)
    except (TypeError, ValueError) as error:
        tensor, came = None, str(error).rstrip(".")
    if tensor is None or not spec.shape.is_compatible_with(tensor.shape):
        letters = ", ".join("any" if size is None else str(size) for size in spec.shape)
        raise ValueError(
            f"'{spec.name}' came as {came}; give numbers of the shape ({letters}), the first of "
            "which counts requests."
        )
    return tensor
