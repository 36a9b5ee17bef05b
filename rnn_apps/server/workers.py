"""Threads that answer requests, with a bounded queue before them: who finds it full is told so."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from rnn_apps.server.errors import ServingError


class Workers:
    """A fixed number of threads and a fixed number of places to wait for one.

    Args:
        threads: int, how many requests are answered at once.
        queue: int, how many more may wait.

    Example:
        >>> Workers(threads=1, queue=1).submit(lambda: 7).result()
        7
    """

    def __init__(self, threads, queue):
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rest")
        self._places = threading.BoundedSemaphore(threads + queue)
        self._limit = threads + queue

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
            message = (
                f"The server is at work on {self._limit} requests, its limit: try again later."
            )
            raise ServingError("UNAVAILABLE", message)
        try:
            future = self._pool.submit(call)
        except RuntimeError:  # closed
            self._places.release()
            raise ServingError("UNAVAILABLE", "The server is shutting down.") from None
        future.add_done_callback(lambda _: self._places.release())
        return future

    def close(self):
        """Finishes what was submitted, and takes no more."""
        self._pool.shutdown()
