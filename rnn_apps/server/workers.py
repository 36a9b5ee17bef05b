"""Threads that answer requests, with a bounded queue before them: who finds it full is told so."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from rnn_apps.server.errors import ServingError


class Workers:
    """A fixed number of threads and a fixed number of places to wait for one.

    Args:
        threads: int, how many requests are answered at once.
        queue: int, how many more may wait.
        max_wait: float, seconds after which who still waits is sent away; None is for ever.

    Example:
        >>> Workers(threads=1, queue=1).submit(lambda: 7).result()
        7
    """

    def __init__(self, threads, queue, max_wait=None):
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rest")
        self._places = threading.BoundedSemaphore(threads + queue)
        self._limit = threads + queue
        self._max_wait = max_wait

    def submit(self, call) -> Future:
        """Has a thread make a call, soon.

        Args:
            call: takes nothing.

        Returns:
            The future of what it returns.

        Raises:
            ServingError: UNAVAILABLE, at once, where all places are taken.
        """
        if not self._places.acquire(blocking=False):
            raise self.refusal()
        try:
            future = self._pool.submit(self._in_time, call, time.monotonic())
        except RuntimeError:  # closed
            self._places.release()
            raise ServingError("UNAVAILABLE", "The server is shutting down.") from None
        future.add_done_callback(lambda _: self._places.release())
        return future

    def begin(self, start) -> Future:
        """Starts what another thread will finish; it takes a place here until it is done.

        Args:
            start: takes nothing; returns a `Future` at once.

        Returns:
            That future.

        Raises:
            ServingError: UNAVAILABLE, at once, where all places are taken.
        """
        if not self._places.acquire(blocking=False):
            raise self.refusal()
        try:
            future = start()
        except BaseException:
            self._places.release()
            raise
        future.add_done_callback(lambda _: self._places.release())
        return future

    def _in_time(self, call, since):
        if self._max_wait is not None and time.monotonic() - since > self._max_wait:
            message = f"No turn came within {self._max_wait:g} s, the limit: try again later."
            raise ServingError("UNAVAILABLE", message)
        return call()

    def is_full(self) -> bool:
        """Whether a call that is submitted now finds no place, most likely."""
        if self._places.acquire(blocking=False):
            self._places.release()
            return False
        return True

    def refusal(self) -> ServingError:
        """What to tell whoever finds no place."""
        message = f"The server is at work on {self._limit} requests, its limit: try again later."
        return ServingError("UNAVAILABLE", message)

    def close(self):
        """Finishes what was submitted, and takes no more."""
        self._pool.shutdown()
