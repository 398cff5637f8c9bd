"""A scheduler on an asyncio loop whose time is the seconds since a run began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from chatlab.sim.faults import Happening


class Agenda:
    """Calls on an asyncio loop; what is due at the same time, in the order in which it was asked for."""

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
        # Each has a timer, so that where a loop keeps the order of timers, it is kept among others' as well.
        self._loop.call_at(time, self._fire)

    def call_later(self, delay: float, callback: Callable[..., object], /, *arguments: Any) -> None:
        """Call back after `delay` seconds."""
        self.call_at(self._loop.time() + delay, callback, *arguments)

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self._loop.time()

    def let_happen(self, happening: Happening) -> None:
        """Run a fault up to its first wait, and schedule the rest."""
        delay = next(happening, None)
        if delay is not None:
            self.call_later(delay, self.let_happen, happening)

    def close(self) -> None:
        """Forget what is still to come, and take no more."""
        self._closed = True
        self._entries.clear()

    def _fire(self) -> None:
        """Call the earliest entry.

        There is a timer for each entry, not for its own one alone: a late loop fires timers in another order.
        The earliest is due all the same, as of the entries that are left one has had its timer fire by now.
        """
        if self._entries:
            _, _, callback, arguments = heappop(self._entries)
            callback(*arguments)
