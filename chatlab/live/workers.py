"""Threads for foreign code that may block. They are daemons: one that never returns doesn't keep the program
from ending.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

from chatlab.live.logs import get_logger

logger = get_logger()

T = TypeVar("T")

IDLE = 5.0
"""Seconds for which a thread without work waits for more."""


class Workers:
    """A thread for each piece of work under way; those that are done with one take the next."""

    def __init__(self, idle: float = IDLE) -> None:
        self._idle_time = idle
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[Callable[[], object]]] = []
        """Where each thread without work waits for more; the latest one gets it."""

    def run(self, work: Callable[[], object]) -> None:
        """Begin with the work at once, on a thread of its own. What it raises is logged."""
        with self._lock:
            if self._idle:
                self._idle.pop().put(work)
                return
        threading.Thread(target=self._serve, args=(work,), name="chatlab-worker", daemon=True).start()

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Call a function on a thread of its own; return its future result."""
        result: Future[T] = Future()
        result.set_running_or_notify_cancel()  # A thread can't be called off.

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
                logger.exception("work on a thread failed in an unforeseen way")
            del work  # So that what it held isn't kept.
            with self._lock:
                self._idle.append(more)
            try:
                work = more.get(timeout=self._idle_time)
            except Empty:
                with self._lock:
                    if more in self._idle:
                        self._idle.remove(more)
                        return
                work = more.get()  # It came at the last moment.


workers = Workers()


def _begin_anew() -> None:
    """In a forked process there is none of these threads."""
    workers.__init__()  # type: ignore[misc]  # others have imported this very object


os.register_at_fork(after_in_child=_begin_anew)
