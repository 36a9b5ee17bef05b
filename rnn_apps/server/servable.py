"""One loaded version of a model: its signatures, and a request checked against one and run."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

import numpy as np

from rnn_apps.server import tensors
from rnn_apps.server.batching import Batching, Queue, Scheduler
from rnn_apps.server.errors import ServingError
from rnn_apps.server.saved_graph import SavedGraph

DEFAULT_SIGNATURE = "serving_default"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
METHODS = ("tensorflow/serving/predict", CLASSIFY, REGRESS)


class Servable:
    """One version of one model, loaded.

    Whoever holds a servable can run it: its variables are freed when the last reference to it is
    gone, so that a version that is being unloaded finishes what it began.

    Args:
        name: of the model.
        version: number of the version.
        graph: the loaded SavedModel.
        scheduler: runs requests; None runs each in the thread that asks.
        batching: which requests are run as one.
        checks_method_names: whether a signature's method must be one of TensorFlow Serving's, and
            that of the request.
    """

    def __init__(
        self,
        name: str,
        version: int,
        graph: SavedGraph,
        scheduler: Scheduler | None = None,
        batching: Batching | None = None,
        checks_method_names: bool = False,
    ):
        self.name = name
        self.version = version
        self.checks_method_names = checks_method_names
        self.signature_defs = graph.signature_defs
        self.graph, self._scheduler = graph, scheduler
        self._batching = batching or Batching()
        self._queues: dict[tuple, Queue] = {}

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
            Name → array.

        Raises:
            ServingError: with TensorFlow Serving's code and sentence.
        """
        future = self.submit(signature, inputs, outputs, deadline)
        try:
            return future.result(None if deadline is None else deadline - time.monotonic())
        except FutureTimeoutError as error:
            future.cancel()
            raise ServingError("DEADLINE_EXCEEDED", "Run() timeout exceeded") from error

    def submit(
        self,
        signature: str,
        inputs: dict[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        deadline: float | None = None,
    ) -> Future:
        """Let a request wait for its turn; as `run`, but returns a `Future` at once.

        A request that does not fit its signature, or for which there is no room, raises here.
        Without a scheduler the request is run here, and the future is done.
        """
        definition, names = self._checked(signature, inputs, outputs)
        if self._scheduler is None:
            future = Future()
            future.set_result(_runner(self.graph, definition, names)(inputs))
            return future
        key = (signature or DEFAULT_SIGNATURE, tuple(names))
        queue = self._queues.get(key)
        if queue is None:
            made = Queue(_runner(self.graph, definition, names), self._batching)
            queue = self._queues.setdefault(key, made)
        return self._scheduler.submit(queue, inputs, deadline, self)

    def check(self, signature: str, names: Iterable[str]):
        """Raise `ServingError` unless there is such a signature, with just these inputs."""
        wanted = self._definition(signature).inputs
        given = set(names)
        if given == set(wanted):
            return
        extra, missing = sorted(given - set(wanted)), sorted(set(wanted) - given)
        raise ServingError(
            "INVALID_ARGUMENT",
            f"input size does not match signature: {len(given)}!={len(wanted)} "
            f"len({{{','.join(sorted(given))}}}) != len({{{','.join(sorted(wanted))}}}). "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}.",
        )

    def close(self):
        """Free the variables; nothing may be running."""
        self.graph.close()

    def _definition(self, signature):
        name = signature or DEFAULT_SIGNATURE
        if name not in self.signature_defs:
            raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        definition = self.signature_defs[name]
        if self.checks_method_names and definition.method_name not in METHODS:
            raise ServingError(
                "INTERNAL",
                "Expected prediction signature method_name to be one of "
                f"{{{', '.join(METHODS)}}}. Was: {definition.method_name}",
            )
        return definition

    def _checked(self, signature, inputs, outputs):
        """(SignatureDef, sorted names of outputs) of a request, which is of the right types."""
        definition = self._definition(signature)
        self.check(signature, inputs)
        for position, name in enumerate(sorted(inputs)):
            expected = tensors.c_name(definition.inputs[name].dtype)
            got = tensors.c_name(inputs[name].dtype)
            if got != expected:
                message = f"Expects arg[{position}] to be {expected} but {got} is provided"
                raise ServingError("INVALID_ARGUMENT", message)
        return definition, _wanted(definition, outputs)


def _runner(graph, definition, names):
    """A function from {input: array} to {output: array} of some outputs of a signature."""
    feeds = {name: info.name for name, info in definition.inputs.items()}
    fetches = tuple(definition.outputs[name].name for name in names)

    def run(inputs):
        answers = graph.run({feeds[name]: inputs[name] for name in feeds}, fetches)
        return dict(zip(names, answers, strict=True))

    return run


def _wanted(definition, outputs):
    """The sorted names of the outputs that a request asks for, each once and each there."""
    if not outputs:
        return sorted(definition.outputs)
    for number, name in enumerate(outputs):
        if name not in definition.outputs:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{','.join(sorted(definition.outputs))}}}.",
            )
        if name in outputs[:number]:
            raise ServingError("INVALID_ARGUMENT", f"duplicate output tensor alias: {name}")
    return sorted(outputs)
