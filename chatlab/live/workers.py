"""Daemon threads for code that may block. A call that never returns doesn't keep the program from ending."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

from chatlab.live.loggers import get_logger

logger = get_logger()

T = TypeVar("T")

IDLE = 5.0
"""Seconds for which an idle thread waits for more work."""


class Workers:
    """A thread pool without a limit; idle threads are used again."""

    def __init__(self, idle: float = IDLE) -> None:
        self._idle_time = idle
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[Callable[[], object]]] = []
        """The queues of the idle threads. The thread that became idle last gets the next work."""

    def run(self, work: Callable[[], object]) -> None:
        """Start the work at once, on a thread of its own. Its exceptions are logged."""
        with self._lock:
            if self._idle:
                self._idle.pop().put(work)
                return
        threading.Thread(target=self._serve, args=(work,), name="chatlab-worker", daemon=True).start()

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Call a function on a thread of its own; return a future of its result."""
        result: Future[T] = Future()
        result.set_running_or_notify_cancel()  # A thread can't be cancelled.

        def work() -> None:
            try:
                value = function()
            except BaseException as error:
                result.set_exception(error)
            else:
                result.set_result(value)

        self.run(work)
        return result

    def _serve(self, work: Callable[[], object]) -> None:
        more: SimpleQueue[Callable[[], object]] = SimpleQueue()
        while True:
            try:
                work()
            except BaseException:
                logger.exception("work on a thread failed unexpectedly")
            del work  # Release the objects that it refers to.
            with self._lock:
                self._idle.append(more)
            try:
                work = more.get(timeout=self._idle_time)
            except Empty:
                with self._lock:
                    if more in self._idle:
                        self._idle.remove(more)
                        return
                work = more.get()  # Work was assigned at the last moment.


workers = Workers()


def _reset_after_fork() -> None:
    """Drop all threads in a forked process, where they don't exist."""
    workers.__init__()  # type: ignore[misc]  # others have imported this very object


os.register_at_fork(after_in_child=_reset_after_fork)
