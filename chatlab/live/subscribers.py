"""Handlers that an application has given, to be told of what happens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

logger = logging.getLogger("chatlab")

T = TypeVar("T")
Unsubscribe = Callable[[], None]


class Subscribers(Generic[T]):
    """Handlers of one kind of news. They may come and go on any thread, also while news are told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handlers: dict[int, Callable[[T], object]] = {}
        self._numbers = count()
        self._told: tuple[Callable[[T], object], ...] = ()

    def add(self, handler: Callable[[T], object]) -> Unsubscribe:
        """Tell a handler, too; return what ends that. One that is added twice is told twice."""
        number = next(self._numbers)
        self._change(lambda: self._handlers.update({number: handler}))
        return lambda: self._change(lambda: self._handlers.pop(number, None))

    def _change(self, change: Callable[[], object]) -> None:
        with self._lock:
            change()
            self._told = tuple(self._handlers.values())

    def tell(self, news: T) -> None:
        """Call all handlers. One that raises is logged, and stays."""
        for handler in self._told:
            try:
                handler(news)
            except Exception:
                logger.exception("a handler of chat events raised; it is kept, and the transport goes on")
