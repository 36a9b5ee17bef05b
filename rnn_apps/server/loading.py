"""From a version's folder to a servable that has answered its warm-up requests."""

import dataclasses
import os
import time
from pathlib import Path

from rnn_apps.server import configuration
from rnn_apps.server.batching import Batching, Scheduler
from rnn_apps.server.errors import ServingError
from rnn_apps.server.merging import Merging
from rnn_apps.server.metrics import WARM_UP_LATENCY, WARM_UP_RECORDS, Metrics
from rnn_apps.server.saved_graph import SavedGraph
from rnn_apps.server.servable import Servable
from rnn_apps.server.warm_up import warm_up

BATCHING_FILE = "batching_params.pbtxt"  # of one version, in its folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loader:
    """How versions are loaded.

    Args:
        scheduler: runs requests; None runs each in the thread that asks.
        batching: for every model; None batches nothing.
        per_model_batching: read a version's own parameters where its folder holds some.
        tags: of the graph in the SavedModel.
        enable_warm_up: run the stored requests before a version is served.
        warm_up_iterations: how often each.
        check_method_names: refuse signatures whose method is not the request's.
        session_config: `ConfigProto` of the sessions.
        metrics: `Metrics` that warming up is counted in.
    """

    scheduler: Scheduler | None = None
    batching: Batching | None = None
    per_model_batching: bool = False
    tags: tuple[str, ...] = ("serve",)
    enable_warm_up: bool = True
    warm_up_iterations: int = 1
    check_method_names: bool = False
    session_config: object = None
    metrics: Metrics = dataclasses.field(default_factory=Metrics)

    def load(self, name: str, version: int, folder: Path) -> Servable:
        """Load one version and run its warm-up requests.

        Args:
            name: of the model.
            version: its number.
            folder: of the version.

        Raises:
            ServingError: the version is broken; nothing of it is left in memory.
        """
        batching = self.batching
        graph = SavedGraph(folder, self.tags, self.session_config)
        try:
            if self.per_model_batching and (folder / BATCHING_FILE).is_file():
                batching = batching_of(folder / BATCHING_FILE)
            if self.enable_warm_up:  # by itself, for a record need not be fit for a batch
                checks = self.check_method_names
                bare = Servable(name, version, graph, checks_method_names=checks)
                self._warm_up(bare, folder)
        except (ValueError, OSError) as error:
            graph.close()
            message = f"{BATCHING_FILE} cannot be used: {str(error).split(': ', 1)[-1]}"
            raise ServingError("INVALID_ARGUMENT", message) from error
        except BaseException:
            graph.close()
            raise
        return Servable(name, version, graph, self.scheduler, batching, self.check_method_names)

    def _warm_up(self, servable, folder):
        where = f"{servable.name}/{servable.version}"  # what the real server calls its path
        start, status = time.monotonic(), "OK"
        try:
            count = warm_up(servable, folder, self.warm_up_iterations)
            self.metrics.count(WARM_UP_RECORDS, where, by=count)
        except ServingError as error:
            status = error.code
            raise
        finally:
            microseconds = (time.monotonic() - start) * 1e6
            self.metrics.observe(WARM_UP_LATENCY, microseconds, where, status)


def batching_of(file: str | os.PathLike) -> Batching:
    """Read TensorFlow Serving's parameters of batching.

    Raises:
        ValueError: the file is no such text, or its values contradict each other.
        OSError: it cannot be read.
    """
    given = configuration.read_text(file, "BatchingParameters")

    def value(name, default, least):
        number = getattr(given, name).value if given.HasField(name) else default
        if number < least:
            raise ValueError(f"{file}: {name} is {number}; give at least {least}.")
        return number

    most = value("max_batch_size", 1000, 1)
    execution = 0
    if given.enable_large_batch_splitting.value:
        execution = value("max_execution_batch_size", most, 1)
        if execution > most:
            raise ValueError(
                f"{file}: max_execution_batch_size is {execution}, more than max_batch_size, "
                f"{most}."
            )
    sizes = tuple(given.allowed_batch_sizes)
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != (execution or most)):
        raise ValueError(
            f"{file}: allowed_batch_sizes are {list(sizes)}; they must increase, and the last be "
            f"{execution or most}, the size of the largest batch."
        )
    return Batching(
        max_batch_size=most,
        batch_timeout=value("batch_timeout_micros", 0, 0) / 1e6,
        max_enqueued_batches=value("max_enqueued_batches", 10, 1),
        max_execution_batch_size=execution,
        merging=Merging(pad=given.pad_variable_length_inputs, sizes=sizes),
    )


def threads_of(file: str | os.PathLike | None) -> int:
    """Return the number of threads that run batches: as a file says, else one for each CPU.

    Raises:
        ValueError: the file is no such text, or says less than one.
        OSError: it cannot be read.
    """
    cpus = len(os.sched_getaffinity(0))
    if file is None:
        return cpus
    given = configuration.read_text(file, "BatchingParameters")
    threads = given.num_batch_threads.value if given.HasField("num_batch_threads") else cpus
    if threads < 1:
        raise ValueError(f"{file}: num_batch_threads is {threads}; give at least 1.")
    return threads
