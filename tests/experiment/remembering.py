"""An executor that runs each call once, for fits whose candidates have the same runs again and again."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any


class Remembering(Executor):
    """Runs a call in this thread, and returns its result to later calls with the same arguments."""

    def __init__(self) -> None:
        self._results: dict[Any, Any] = {}

    def submit(self, fn: Any, /, *args: Any, **_: Any) -> Future[Any]:
        if args not in self._results:
            self._results[args] = fn(*args)
        future: Future[Any] = Future()
        future.set_result(self._results[args])
        return future
