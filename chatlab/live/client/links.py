"""The interface between a driver and its links, in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, Protocol

from chatlab.transports.machine import Event


class Link(Protocol):
    """One connection or request under way. Only `run` waits; the other calls are carried out in order."""

    async def run(self) -> None:
        """Open, read to the end, and report all events. Raises only `CancelledError`."""

    def close(self, code: int, reason: str) -> None:
        """Close in the background, within a bounded time, and report nothing more."""


class Connection(Link, Protocol):
    """A link that carries frames in both directions."""

    def send(self, data: str | bytes) -> None:
        """Send a text or a binary frame, after all earlier ones."""

    def ping(self, number: int) -> None:
        """Send a Ping frame, and report its Pong."""


class Port(Protocol):
    """The interface of the driver that a link uses."""

    loop: asyncio.AbstractEventLoop

    def feed(self, *events: Event) -> object:
        """Feed the machine with events."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine that belongs to the link."""

    @property
    def pressure(self) -> Callable[[], int]:
        """A function that returns whether to read slowly (1), not at all (2), or normally (0)."""

    def hold_off(self) -> None:
        """Delay all deadlines, since other code has cancelled a coroutine of the link."""


CHECK_INTERVAL = 0.02
"""Seconds between two checks that the pressure has gone."""
MAX_CHECKS = 5
"""Checks after which reading continues at pressure 1, since a handler may wait for an ack."""


async def pressure_gone(port: Port) -> None:
    """Wait until the handlers have caught up, at least in part."""
    for checks in count(1):
        pressure = port.pressure()
        if not pressure or (pressure == 1 and checks > MAX_CHECKS):
            return
        await asyncio.sleep(CHECK_INTERVAL)
