"""Threads for foreign code that may block. They are daemons: one that never returns doesn't keep the program
from ending.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
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
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], object]] = deque()
        self._idle = 0

    def run(self, work: Callable[[], object]) -> None:
        """Begin with the work at once, on a thread of its own. What it raises is logged."""
        with self._changed:
            if self._idle > len(self._waiting):
                self._waiting.append(work)
                self._changed.notify()
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

    def _serve(self, work: Callable[[], object] | None) -> None:
        while work is not None:
            try:
                work()
            except BaseException:
                logger.exception("work on a thread failed in an unforeseen way")
            work = None  # So that what it held isn't kept.
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._waiting, self._idle_time)
                self._idle -= 1
                if self._waiting:
                    work = self._waiting.popleft()


workers = Workers()


def _begin_anew() -> None:
    """In a forked process there is none of these threads."""
    workers.__init__()  # type: ignore[misc]  # others have imported this very object


os.register_at_fork(after_in_child=_begin_anew)
