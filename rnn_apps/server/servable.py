"""One loaded version of a model: its signatures, and a request checked against one and run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from rnn_apps.server.errors import ServingError
from rnn_apps.server.saved_graph import SavedGraph

DEFAULT_SIGNATURE = "serving_default"


class Servable:
    """One version of one model, loaded and warmed up.

    Whoever holds a servable can run it: its variables are freed when the last reference to it is
    gone, so that a version that is being unloaded finishes what it began.

    Args:
        name: of the model.
        version: number of the version.
        graph: the loaded SavedModel.
    """

    def __init__(self, name: str, version: int, graph: SavedGraph):
        self.name = name
        self.version = version
        self.signature_defs = graph.signature_defs
        self._graph = graph

    def run(
        self,
        signature: str,
        inputs: dict[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        deadline: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Answer one request; blocks, and may be called from many threads.

        Args:
            signature: name of a signature; "" is `serving_default`.
            inputs: name → array with the batch dimension; strings are object arrays of bytes.
            outputs: names of the wanted outputs; all of them if empty.
            deadline: `time.monotonic()` after which the answer is not wanted any more.

        Returns:
            Name → array, in the order of `outputs` or of the signature.

        Raises:
            ServingError: with TensorFlow Serving's code and sentence.
        """
        name = signature or DEFAULT_SIGNATURE
        definition = self.signature_defs.get(name)
        if definition is None:
            raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        check_inputs(definition, inputs)
        names = _wanted(definition, outputs)
        feeds = {definition.inputs[key].name: value for key, value in inputs.items()}
        fetches = tuple(definition.outputs[key].name for key in names)
        return dict(zip(names, self._graph.run(feeds, fetches), strict=True))

    def close(self):
        """Free the variables; nothing may be running."""
        self._graph.close()


def check_inputs(definition, inputs: dict[str, np.ndarray]):
    """Raise `ServingError` unless the inputs are those of a signature, each of its type.

    Args:
        definition: `SignatureDef`.
        inputs: name → array.
    """
    wanted = definition.inputs
    if inputs.keys() != set(wanted):
        extra, missing = sorted(set(inputs) - set(wanted)), sorted(set(wanted) - set(inputs))
        raise ServingError(
            "INVALID_ARGUMENT",
            f"input size does not match signature: {len(inputs)}!={len(wanted)} "
            f"len({{{','.join(sorted(inputs))}}}) != len({{{','.join(sorted(wanted))}}}). "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}.",
        )
    for name, value in inputs.items():
        expected = tf.dtypes.as_dtype(wanted[name].dtype)
        got = tf.string if value.dtype.kind in "OSU" else tf.dtypes.as_dtype(value.dtype)
        if got != expected:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Expects arg[{name}] to be {expected.name} but {got.name} is provided",
            )


def _wanted(definition, outputs):
    """The names of the outputs that a request asks for, each once and each there."""
    seen = set()
    for name in outputs or ():
        if name not in definition.outputs:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{','.join(sorted(definition.outputs))}}}.",
            )
        if name in seen:
            raise ServingError("INVALID_ARGUMENT", f"duplicate output tensor alias: {name}")
        seen.add(name)
    return list(outputs or definition.outputs)


def load(name: str, version: int, folder: Path, **options) -> Servable:
    """Load one version; `options` are those of `SavedGraph`.

    Raises:
        ServingError: it is broken.
    """
    return Servable(name, version, SavedGraph(Path(folder), **options))
