"""A scheduler on an asyncio loop whose time is the seconds since a run began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from chatlab.sim.faults import Injection


class LoopScheduler:
    """Scheduled calls on an asyncio loop. Calls of equal times run in the order of scheduling."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._entries: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = count()
        self._closed = False

    def call_at(self, time: float, callback: Callable[..., object], /, *arguments: Any) -> None:
        """Call back at `time`, in seconds since the run began, or at once if that has passed."""
        if self._closed:
            return
        heappush(self._entries, (time, next(self._order), callback, arguments))
        # One timer for each entry, so a loop that keeps the order of equal timers keeps it among all of them.
        self._loop.call_at(time, self._fire)

    def call_later(self, delay: float, callback: Callable[..., object], /, *arguments: Any) -> None:
        """Call back after `delay` seconds."""
        self.call_at(self._loop.time() + delay, callback, *arguments)

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self._loop.time()

    def inject(self, injection: Injection) -> None:
        """Run a fault up to its first wait, and schedule the rest."""
        delay = next(injection, None)
        if delay is not None:
            self.call_later(delay, self.inject, injection)

    def close(self) -> None:
        """Discard all entries, and ignore new ones."""
        self._closed = True
        self._entries.clear()

    def _fire(self) -> None:
        """Call the earliest entry, even if the timer of another one has fired.

        A late loop may fire timers in another order. The earliest entry is due all the same: each fired timer
        calls one entry, so at least one of the remaining entries has a timer that has fired.
        """
        if self._entries:
            _, _, callback, arguments = heappop(self._entries)
            callback(*arguments)
