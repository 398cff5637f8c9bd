"""The inbox: events on their way from a transport's thread to an application's loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque

from chatlab.live.waiter import Waiter
from chatlab.messages import ChatEvent

CAPACITY = 10_000
"""Events that wait for a slow reader; beyond, the oldest go, and an `overrun` event tells how many."""


class Inbox:
    """A bounded queue of events, filled from one thread and read by `async for` on any loop."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._events: deque[ChatEvent] = deque()
        self._overrun = 0
        self._open = True
        self._lock = threading.Lock()
        self._readers: deque[Waiter] = deque()

    def put(self, event: ChatEvent) -> None:
        """Add an event, from any thread: without the lock, as `get` looks for it once more where it waits."""
        self._events.append(event)
        if len(self._events) > self._capacity:
            self._make_room()
        if self._readers:
            self._wake_next()

    def _make_room(self) -> None:
        with self._lock:
            while len(self._events) > self._capacity:
                self._events.popleft()
                self._overrun += 1

    def set_open(self, more: bool) -> None:
        """Say whether more may come; a reader of a closed and empty inbox is at its end."""
        with self._lock:
            self._open = more
            readers = [] if more else list(self._readers)
            if not more:
                self._readers.clear()
        for reader in readers:
            reader.wake()

    async def get(self) -> ChatEvent | None:
        """Return the next event, or None at the end."""
        while True:
            with self._lock:
                if self._overrun:
                    count, self._overrun = self._overrun, 0
                    return ChatEvent("overrun", reason=f"{count} events were not read in time", payload=count)
                if self._events:
                    return self._events.popleft()
                if not self._open:
                    return None
                reader = Waiter()
                self._readers.append(reader)
                if self._events:  # It came meanwhile, to no reader.
                    self._readers.pop()
                    continue
            try:
                await reader.woken
            except asyncio.CancelledError:
                self._pass_on(reader)
                raise

    def _pass_on(self, reader: Waiter) -> None:
        """A reader goes away: what it was woken for is another's."""
        with self._lock, contextlib.suppress(ValueError):
            self._readers.remove(reader)
            return
        self._wake_next()

    def _wake_next(self) -> None:
        """Wake the reader that has waited longest, of those whose loops still run."""
        while True:
            with self._lock:
                reader = self._readers.popleft() if self._readers and self._events else None
            if reader is None or reader.wake():
                return
