"""Handlers that an application has given, to be told of what happens."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Unsubscribe = Callable[[], None]
Home = asyncio.AbstractEventLoop | None
"""The loop on which an `async` handler runs: that which ran where it was given. None: there was none."""


class Subscribers(Generic[T]):
    """Handlers of one kind of news. They may come and go on any thread, also while news are told."""

    def __init__(self, *handlers: Callable[[T], object]) -> None:
        self._lock = threading.Lock()
        self._handlers: dict[int, tuple[Callable[[T], object], Home]] = {}
        self._numbers = count()
        self._told: tuple[tuple[int, Callable[[T], object], Home], ...] = ()
        for handler in handlers:
            self.add(handler)

    def __bool__(self) -> bool:
        return bool(self._told)

    def add(self, handler: Callable[[T], object]) -> Unsubscribe:
        """Tell a handler, too; return what ends that. One that is added twice is told twice."""
        number, home = next(self._numbers), running_loop()
        self._change(lambda: self._handlers.update({number: (handler, home)}))
        return lambda: self._change(lambda: self._handlers.pop(number, None))

    def _change(self, change: Callable[[], object]) -> None:
        with self._lock:
            change()
            self._told = tuple((number, *handler) for number, handler in self._handlers.items())

    def __iter__(self) -> Iterator[tuple[Callable[[T], Any], Home]]:
        """Yield the handlers of now with their homes, but for those that go away before their turn."""
        for number, handler, home in self._told:
            if number in self._handlers:
                yield handler, home


def running_loop() -> Home:
    """Return the loop that runs in this thread; None: none does."""
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None
