"""Several requests made one batch, and the answer to it taken apart again."""

import dataclasses

import numpy as np

from rnn_apps.server.errors import ServingError


def rows_of(inputs: dict[str, np.ndarray]) -> int:
    """Return the number of rows that all inputs have.

    Raises:
        ServingError: there are none, or they differ.
    """
    if not inputs:
        _refuse("Batching Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in inputs.values()):
        _refuse("Batching Run() input tensors must have at least one dimension")
    sizes = {len(array) for array in inputs.values()}
    if len(sizes) > 1:
        _refuse("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Merging:
    """How requests become one batch.

    Args:
        pad: whether shorter inputs are filled up on the right, with zeros or empty strings.
        sizes: the numbers of rows that a batch may have, increasing; it is filled up to the next
            one with copies of a row. Empty allows any.

    Example:
        >>> batch, rows = Merging(sizes=(4,)).merge([{"x": np.ones([1])}, {"x": np.zeros([2])}])
        >>> batch["x"].tolist(), rows
        ([1.0, 0.0, 0.0, 0.0], [1, 2, 1])
    """

    pad: bool = False
    sizes: tuple[int, ...] = ()

    def merge(self, requests: list[dict[str, np.ndarray]]):
        """Return ({name: array of all rows}, rows of each request and of what fills up).

        Raises:
            ServingError: the requests differ in shape and are not to be padded, or in rank.
        """
        rows = [len(next(iter(inputs.values()))) for inputs in requests]
        total = sum(rows)
        missing = next((size for size in self.sizes if size >= total), total) - total
        if missing and rows[-1] == 0:
            missing = 0  # nothing there to copy
        if len(requests) == 1 and not missing:
            return requests[0], rows
        merged = {}
        for name in requests[0]:
            arrays = [inputs[name] for inputs in requests]
            if len({array.shape[1:] for array in arrays}) > 1:
                arrays = self._padded(name, arrays)
            if missing:
                arrays.append(np.repeat(arrays[-1][:1], missing, axis=0))
            merged[name] = np.concatenate(arrays)
        return merged, rows + [missing] * bool(missing)

    def _padded(self, name, arrays):
        if not self.pad:
            raise ServingError(
                "FAILED_PRECONDITION",
                f"Tensors with name '{name}' from different tasks have different shapes and "
                "padding is turned off.Set pad_variable_length_inputs to true, or ensure that all "
                "tensors with the same namehave equal dimensions starting with the first dim.",
            )
        if len({array.ndim for array in arrays}) > 1:
            _refuse(f"Tensors with name '{name}' from different tasks have different ranks.")
        longest = np.max([array.shape[1:] for array in arrays], axis=0)
        padded = []
        for array in arrays:
            widths = [(0, 0), *((0, width) for width in longest - array.shape[1:])]
            filling = b"" if array.dtype == object else 0
            padded.append(np.pad(array, widths, constant_values=filling))
        return padded

    def split(self, outputs: dict[str, np.ndarray], rows: list[int]) -> list[dict]:
        """Return each request's part of {name: array of all rows}.

        Raises:
            ServingError: an output has other rows than the inputs.
        """
        for array in outputs.values():
            if array.ndim == 0:
                message = "Batched output tensor has 0 dimensions"
                raise ServingError("FAILED_PRECONDITION", message)
            if len(array) != sum(rows):
                raise ServingError(
                    "FAILED_PRECONDITION",
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                    "dimension sizes of the input tensors",
                )
        if len(rows) == 1:
            return [outputs]
        ends = np.cumsum(rows).tolist()
        return [
            {name: array[end - count : end] for name, array in outputs.items()}
            for count, end in zip(rows, ends, strict=True)
        ]


def _refuse(message):
    raise ServingError("INVALID_ARGUMENT", message)
