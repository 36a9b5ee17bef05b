"""Requests that wait: together, in turn, not for ever, and not without end."""

import threading
import time

import numpy as np
import pytest

from rnn_apps.server.batching import Batching, Queue, Scheduler
from rnn_apps.server.errors import ServingError
from rnn_apps.server.merging import Merging


class Graph:
    """Doubles x, keeps the sizes of its batches, and waits while it is held."""

    def __init__(self):
        self.sizes, self.free, self.begun = [], threading.Event(), threading.Semaphore(0)
        self.free.set()

    def __call__(self, inputs):
        self.begun.release()
        assert self.free.wait(10)
        self.sizes.append(len(inputs["x"]))
        if (inputs["x"] < 0).any():
            raise ServingError("INVALID_ARGUMENT", "a negative number")
        return {"y": inputs["x"] * 2}


@pytest.fixture
def graph():
    return Graph()


@pytest.fixture
def scheduler():
    made = Scheduler(1, max_waiting=3)
    yield made
    made.close()


def ask(scheduler, queue, *values, deadline=None):
    return scheduler.submit(queue, {"x": np.array(values, np.float64)}, deadline, None)


def hold(graph, scheduler, queue):
    """Has the one thread wait within the graph."""
    graph.free.clear()
    first = ask(scheduler, queue, 0)
    assert graph.begun.acquire(timeout=10)
    return first


def test_what_waits_is_run_as_one_batch_and_each_gets_its_own(graph, scheduler):
    queue = Queue(graph, Batching(max_batch_size=8))
    hold(graph, scheduler, queue)
    waiting = [ask(scheduler, queue, *range(n)) for n in (1, 3, 4, 2)]
    graph.free.set()
    assert [f.result(10)["y"].tolist() for f in waiting] == [
        [0], [0, 2, 4], [0, 2, 4, 6], [0, 2],
    ]  # fmt: skip
    assert graph.sizes == [1, 8, 2]


def test_without_batching_every_request_is_run_by_itself(graph, scheduler):
    queue = Queue(graph, Batching())
    hold(graph, scheduler, queue)
    waiting = [ask(scheduler, queue, *range(n)) for n in (2, 3)]
    graph.free.set()
    assert [len(future.result(10)["y"]) for future in waiting] == [2, 3]
    assert graph.sizes == [1, 2, 3]


def test_a_batch_that_is_not_full_goes_when_its_time_is_up(graph, scheduler):
    queue = Queue(graph, Batching(max_batch_size=8, batch_timeout=0.15))
    start = time.monotonic()
    assert ask(scheduler, queue, 1).result(10)["y"].tolist() == [2]
    assert time.monotonic() - start >= 0.15
    start = time.monotonic()
    full = [ask(scheduler, queue, *range(4)) for _ in range(2)]
    assert [len(future.result(10)["y"]) for future in full] == [4, 4]
    assert time.monotonic() - start < 0.14
    assert graph.sizes == [1, 8]


def test_the_queue_that_has_waited_longest_is_served_first(graph, scheduler):
    order, first, second = [], Graph(), Graph()
    slow = Queue(graph, Batching())
    queues = [Queue(lambda i, n=n, g=g: order.append(n) or g(i), Batching())
              for n, g in enumerate((first, second))]  # fmt: skip
    hold(graph, scheduler, slow)
    waiting = [ask(scheduler, queues[number], 1) for number in (1, 0, 1)]
    graph.free.set()
    assert all(future.result(10) for future in waiting)
    assert order == [1, 0, 1]


def test_who_finds_no_room_is_refused_at_once(graph, scheduler):
    single = Queue(graph, Batching())
    hold(graph, scheduler, single)
    waiting = [ask(scheduler, single, 1) for _ in range(3)]
    with pytest.raises(ServingError, match="3 requests are waiting") as refused:
        ask(scheduler, single, 1)
    assert refused.value.code == "UNAVAILABLE"
    batched = Queue(graph, Batching(max_batch_size=2, max_enqueued_batches=2))
    waiting += [ask(scheduler, batched, 1) for _ in range(4)]
    with pytest.raises(ServingError, match="queue .* is full; currently 2 batches") as refused:
        ask(scheduler, batched, 1)
    assert refused.value.code == "UNAVAILABLE"
    graph.free.set()
    assert all(len(future.result(10)["y"]) == 1 for future in waiting)


def test_a_request_larger_than_a_batch_is_refused_or_split(graph, scheduler):
    with pytest.raises(ServingError, match="Task size 5 is larger than maximum input batch size 4"):
        ask(scheduler, Queue(graph, Batching(max_batch_size=4)), *range(5))
    split = Batching(max_batch_size=9, max_execution_batch_size=4)
    future = ask(scheduler, Queue(graph, split), *range(9))
    assert future.result(10)["y"].tolist() == [2 * n for n in range(9)]
    assert graph.sizes == [4, 4, 1]


def test_a_request_whose_time_is_up_while_it_waits_is_not_run(graph, scheduler):
    queue = Queue(graph, Batching(max_batch_size=4))
    hold(graph, scheduler, queue)
    late = ask(scheduler, queue, 7, deadline=time.monotonic() - 1)
    cancelled = ask(scheduler, queue, 8)
    assert cancelled.cancel()
    good = ask(scheduler, queue, 1)
    graph.free.set()
    with pytest.raises(ServingError, match="waiting in batching queue") as refused:
        late.result(10)
    assert refused.value.code == "DEADLINE_EXCEEDED"
    assert good.result(10)["y"].tolist() == [2]
    assert graph.sizes == [1, 1]


def test_a_request_at_fault_does_not_take_its_batch_with_it(graph, scheduler):
    queue = Queue(graph, Batching(max_batch_size=4))
    hold(graph, scheduler, queue)
    good, bad, also_good = (ask(scheduler, queue, value) for value in (1, -1, 2))
    graph.free.set()
    assert good.result(10)["y"].tolist() == [2]
    assert also_good.result(10)["y"].tolist() == [4]
    with pytest.raises(ServingError, match="a negative number"):
        bad.result(10)


def test_a_batch_is_filled_up_to_an_allowed_size(graph, scheduler):
    queue = Queue(graph, Batching(max_batch_size=8, merging=Merging(sizes=(4, 8))))
    assert ask(scheduler, queue, 1, 2).result(10)["y"].tolist() == [2, 4]
    assert graph.sizes == [4]


def test_closing_runs_what_waits_and_takes_no_more(graph):
    scheduler = Scheduler(2)
    queue = Queue(graph, Batching(max_batch_size=8, batch_timeout=60))
    waiting = ask(scheduler, queue, 1)
    scheduler.close()
    assert waiting.result(0)["y"].tolist() == [2]
    with pytest.raises(ServingError, match="shutting down"):
        ask(scheduler, queue, 1)
