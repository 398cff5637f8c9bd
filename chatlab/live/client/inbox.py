"""The inbox: a queue of events, from a transport's thread to an application's loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque

from chatlab.live.client.delivery import size_of
from chatlab.live.waiter import Waiter
from chatlab.messages import ChatEvent

CAPACITY = 10_000
"""Events that may wait for a slow reader; beyond it the oldest are dropped, and an `overrun` event counts
them."""
MAX_BYTES = 16 << 20
"""Bytes that these events may take."""


class Inbox:
    """A queue of events, bounded in number and bytes, filled from one thread and read on any loop."""

    def __init__(self, capacity: int = CAPACITY, max_bytes: int = MAX_BYTES) -> None:
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._events: deque[tuple[ChatEvent, int]] = deque()
        self._bytes = 0
        self._overrun = 0
        self._open = True
        self._lock = threading.Lock()
        self._readers: deque[Waiter] = deque()

    def put(self, event: ChatEvent) -> None:
        """Add an event, from any thread."""
        size = size_of(event)
        with self._lock:
            self._events.append((event, size))
            self._bytes += size
            while len(self._events) > self._capacity or self._bytes > self._max_bytes:
                self._bytes -= self._events.popleft()[1]
                self._overrun += 1
        if self._readers:
            self._wake_next()

    def clear(self) -> None:
        """Drop all events."""
        with self._lock:
            self._events.clear()
            self._bytes = self._overrun = 0

    def set_open(self, more: bool) -> None:
        """Set whether more events may come. Once an inbox is closed and empty, `get` returns None."""
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
                    event, size = self._events.popleft()
                    self._bytes -= size
                    return event
                if not self._open:
                    return None
                reader = Waiter()
                self._readers.append(reader)
            try:
                await reader.woken
            except asyncio.CancelledError:
                self._pass_on(reader)
                raise

    def _pass_on(self, reader: Waiter) -> None:
        """Remove a cancelled reader; if it was already woken, wake another in its place."""
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
