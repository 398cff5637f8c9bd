"""Event handlers that an application has added."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Unsubscribe = Callable[[], None]
HandlerLoop = asyncio.AbstractEventLoop | None
"""The loop on which an `async` handler runs: the one that was running when it was added; None if none was."""


class Subscribers(Generic[T]):
    """Handlers of one kind of event. They may be added and removed on any thread, even during an
    iteration."""

    def __init__(self, *handlers: Callable[[T], object]) -> None:
        self._lock = threading.Lock()
        self._handlers: dict[int, tuple[Callable[[T], object], HandlerLoop]] = {}
        self._numbers = count()
        self._current: tuple[tuple[int, Callable[[T], object], HandlerLoop], ...] = ()
        for handler in handlers:
            self.add(handler)

    def __bool__(self) -> bool:
        return bool(self._current)

    def add(self, handler: Callable[[T], object]) -> Unsubscribe:
        """Add a handler; return the function that removes it. A handler that is added twice is called
        twice."""
        number, handler_loop = next(self._numbers), running_loop()
        self._change(lambda: self._handlers.update({number: (handler, handler_loop)}))
        return lambda: self._change(lambda: self._handlers.pop(number, None))

    def _change(self, change: Callable[[], object]) -> None:
        with self._lock:
            change()
            self._current = tuple((number, *handler) for number, handler in self._handlers.items())

    def __iter__(self) -> Iterator[tuple[Callable[[T], Any], HandlerLoop]]:
        """Yield the present handlers with their loops, except those that are removed before their turn."""
        for number, handler, handler_loop in self._current:
            if number in self._handlers:
                yield handler, handler_loop


def running_loop() -> HandlerLoop:
    """Return the loop that runs in this thread; None if there is none."""
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None
