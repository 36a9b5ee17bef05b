"""Requests wait here for a thread that runs them, several as one batch if they are to be batched.

The rules are those of TensorFlow Serving's batching: each signature of a servable has a queue, and
a few threads take from all of them the batch whose first request has waited longest. Where nothing
is to be batched, a batch is one request as it came.
"""

import collections
import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from rnn_apps.server.errors import ServingError, from_tensorflow
from rnn_apps.server.merging import Merging, rows_of

_EXPIRED = "Run() timeout exceeded while waiting in batching queue"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batching:
    """When a batch is full, when it goes without being full, and how many may wait.

    Args:
        max_batch_size: rows of one request, and of a batch unless `max_execution_batch_size` says
            otherwise; None runs each request by itself.
        batch_timeout: seconds that a request waits for others.
        max_enqueued_batches: full batches that may wait before requests are refused.
        max_execution_batch_size: rows of a batch where larger requests are split; 0 splits none.
        merging: `Merging`, how requests become one.
    """

    max_batch_size: int | None = None
    batch_timeout: float = 0.0
    max_enqueued_batches: int = 10
    max_execution_batch_size: int = 0
    merging: Merging = Merging()

    @property
    def rows(self) -> int:
        """The most rows of a batch."""
        return self.max_execution_batch_size or self.max_batch_size


@dataclasses.dataclass(eq=False, slots=True)
class _Task:
    inputs: dict
    rows: int
    deadline: float | None
    owner: object  # the servable, which must not be unloaded meanwhile
    future: Future = dataclasses.field(default_factory=Future)
    since: float = dataclasses.field(default_factory=time.monotonic)


class Queue:
    """The requests of one signature that wait.

    Args:
        run: takes {name: array}, returns {name: array}; raises `ServingError`.
        batching: `Batching`.
    """

    def __init__(self, run: Callable[[dict], dict], batching: Batching):
        self.run, self.batching = run, batching
        self.tasks: collections.deque[_Task] = collections.deque()
        self.rows = 0

    def refuse_if_full(self, rows: int):
        """Raise `ServingError` if a request of so many rows does not fit where rows are batched."""
        batching = self.batching
        if batching.max_batch_size is None:
            return
        if rows > batching.max_batch_size:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Task size {rows} is larger than maximum input batch size "
                f"{batching.max_batch_size}",
            )
        if self.rows + rows > batching.rows * batching.max_enqueued_batches:
            raise ServingError(
                "UNAVAILABLE",
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{-(-self.rows // batching.rows)} batches enqueued and max_enqueued_batches is "
                f"{batching.max_enqueued_batches}",
            )

    def ready_at(self, closing: bool) -> float:
        """When the first batch may go, by `time.monotonic()`; only if something waits."""
        full = self.batching.max_batch_size is None or self.rows >= self.batching.rows
        if full or closing:
            return self.tasks[0].since
        return self.tasks[0].since + self.batching.batch_timeout

    def take(self) -> list[_Task]:
        """Remove and return the tasks of the next batch."""
        batch = [self.tasks.popleft()]
        rows = batch[0].rows
        if self.batching.max_batch_size is not None:
            while self.tasks and rows + self.tasks[0].rows <= self.batching.rows:
                batch.append(self.tasks.popleft())
                rows += batch[-1].rows
        self.rows -= rows
        return batch


class Scheduler:
    """The threads that run what waits.

    Args:
        threads: how many batches run at the same time.
        max_waiting: requests that may wait in all queues where nothing is batched.
        max_wait: seconds after which a request that still waits is refused; None is for ever.
        observe: is called as `observe(name, seconds)` with the seconds that a request "queued" and
            a batch "ran".
    """

    def __init__(
        self,
        threads: int,
        max_waiting: int = 64,
        max_wait: float | None = None,
        observe: Callable[[str, float], None] = lambda name, seconds: None,
    ):
        self.max_waiting, self._max_wait, self._observe = max_waiting, max_wait, observe
        self._queues: set[Queue] = set()  # those in which something waits
        self._single = 0  # requests that wait and are not to be batched
        self._changed = threading.Condition()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"serving-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, queue: Queue, inputs: dict, deadline: float | None, owner) -> Future:
        """Let a request wait for its turn.

        Args:
            queue: of its signature.
            inputs: {name: array}.
            deadline: `time.monotonic()` after which it is not run any more, or None.
            owner: what must not be freed while the request is in flight.

        Returns:
            A `Future` of {name: array}; its exception is a `ServingError`.

        Raises:
            ServingError: the queue is full, or the inputs are not rows.
        """
        batching = queue.batching
        rows = 1 if batching.max_batch_size is None else rows_of(inputs)
        if rows <= (batching.rows or rows):
            tasks = [_Task(inputs, rows, deadline, owner)]
        else:
            tasks = [
                _Task(
                    {name: array[start : start + batching.rows] for name, array in inputs.items()},
                    min(batching.rows, rows - start),
                    deadline,
                    owner,
                )
                for start in range(0, rows, batching.rows)
            ]
        with self._changed:
            if self._closing:
                raise ServingError("UNAVAILABLE", "The server is shutting down")
            if batching.max_batch_size is None:
                if self._single >= self.max_waiting:
                    message = f"{self.max_waiting} requests are waiting already; try again later"
                    raise ServingError("UNAVAILABLE", message)
                self._single += 1
            queue.refuse_if_full(rows)
            queue.tasks.extend(tasks)
            queue.rows += rows
            self._queues.add(queue)
            self._changed.notify(len(tasks))
        return tasks[0].future if len(tasks) == 1 else _joined(tasks)

    def close(self):
        """Run what still waits, then end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self):
        while True:
            with self._changed:
                queue, batch = self._next_batch()
            if batch is None:
                return
            self._answer(queue, batch)
            del queue, batch  # an idle thread keeps no servable loaded

    def _answer(self, queue, batch):
        started = time.monotonic()
        batch = [task for task in batch if self._is_wanted(task, started)]
        if batch:
            for task in batch:
                self._observe("queued", started - task.since)
            _run(queue, batch)
            self._observe("ran", time.monotonic() - started)

    def _next_batch(self):
        """Waits for a batch that may go; (None, None) when there will be no more."""
        while True:
            if not self._queues:
                if self._closing:
                    return None, None
                self._changed.wait()
                continue
            queue = min(self._queues, key=lambda each: each.ready_at(self._closing))
            left = queue.ready_at(self._closing) - time.monotonic()
            if left > 0:
                self._changed.wait(left)
                del queue
                continue
            batch = queue.take()
            if queue.batching.max_batch_size is None:
                self._single -= 1
            if not queue.tasks:
                self._queues.discard(queue)
            return queue, batch

    def _is_wanted(self, task, now):
        if not task.future.set_running_or_notify_cancel():
            return False
        if task.deadline is not None and now > task.deadline:
            task.future.set_exception(ServingError("DEADLINE_EXCEEDED", _EXPIRED))
            return False
        if self._max_wait is not None and now - task.since > self._max_wait:
            message = f"No turn came within {self._max_wait:g} s, the limit: try again later."
            task.future.set_exception(ServingError("UNAVAILABLE", message))
            return False
        return True


def _run(queue, batch):
    """Runs a batch and gives each task its rows.

    If the model refuses a batch, each of its requests is run by itself, so that one which is at
    fault does not take the others with it.
    """
    merging = queue.batching.merging
    try:
        if queue.batching.max_batch_size is None:
            answers = [queue.run(batch[0].inputs)]
        else:
            merged, sizes = merging.merge([task.inputs for task in batch])
            try:
                outputs = queue.run(merged)
            except ServingError:
                if len(batch) == 1:
                    raise
                for task in batch:
                    _run(queue, [task])
                return
            answers = merging.split(outputs, sizes)[: len(batch)]
    except Exception as error:
        found = error if isinstance(error, ServingError) else from_tensorflow(error)
        for task in batch:
            task.future.set_exception(found)
        return
    for task, answer in zip(batch, answers, strict=True):
        task.future.set_result(answer)


def _joined(tasks):
    """A future of the rows of all tasks, or of the first error."""
    future, left, lock = Future(), [len(tasks)], threading.Lock()
    future.set_running_or_notify_cancel()

    def finish(_):
        with lock:
            left[0] -= 1
            if left[0]:
                return
        errors = [task.future.exception() for task in tasks if task.future.exception()]
        if errors:
            future.set_exception(errors[0])
            return
        parts = [task.future.result() for task in tasks]
        future.set_result(
            {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )

    for task in tasks:
        task.future.add_done_callback(finish)
    return future
