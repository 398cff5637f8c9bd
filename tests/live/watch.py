"""A recorder of everything that a transport reports to its application, with waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chatlab.live.client.concrete_transports import WebSocketTransport
from chatlab.live.client.kinds import KINDS, TITLES, make_config, make_transport
from chatlab.live.client.receipt import Receipt
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ChatEvent, ConnectionStatus, DeliveryState, StatusChange
from chatlab.settings import FallbackConfig, HeartbeatConfig, HttpConfig, ReconnectConfig

PATIENCE = 60.0
"""Seconds after which a test that waits for something has failed."""
QUICK = ReconnectConfig(max_attempts=3, base_delay=0.01, max_delay=0.02, jitter="none")
PERSISTENT = ReconnectConfig(max_attempts=None, base_delay=0.01, max_delay=0.05, jitter="full")
QUICKLY: dict[str, Any] = {
    "sender": "ada",
    "reconnect": QUICK,
    "heartbeat": HeartbeatConfig(enabled=False),
    "error_delay": 0.01,
    "min_gap": 0.02,
    "interval": 0.02,
}
OPTIONS = ("loop", "record", "uniform")
ALL = tuple(TITLES)
OVER_HTTP = tuple(name for name, kind in KINDS.items() if issubclass(kind.config, HttpConfig))
KNOWN = frozenset(FallbackConfig.__struct_fields__).union(
    *(kind.config.__struct_fields__ for kind in KINDS.values())
)


class Watch:
    """The events, changes and receipts that a transport has reported."""

    def __init__(self, transport: ChatTransport) -> None:
        self.transport = transport
        self._events: list[ChatEvent] = []
        self._changes: list[StatusChange] = []
        self._waits: list[float] = []
        self._states: list[tuple[str, DeliveryState]] = []
        transport.on_message(self._events.append)
        transport.on_status_change(self._note)
        transport.on_receipt(self._settled)

    def _note(self, change: StatusChange) -> None:
        self._changes.append(change)
        if change.retry_at is not None:
            self._waits.append(change.retry_at - self.transport.now())

    def _settled(self, receipt: Receipt) -> None:
        self._states.append((receipt.message.text, receipt.state))

    @property
    def events(self) -> list[ChatEvent]:
        hear(self.transport)
        return self._events

    @property
    def changes(self) -> list[StatusChange]:
        hear(self.transport)
        return self._changes

    @property
    def waits(self) -> list[float]:
        hear(self.transport)
        return self._waits

    @property
    def states(self) -> list[tuple[str, DeliveryState]]:
        hear(self.transport)
        return self._states

    @property
    def statuses(self) -> list[ConnectionStatus]:
        return [change.status for change in self.changes]

    @property
    def texts(self) -> list[str]:
        return [event.message.text for event in self.events if event.message is not None]

    def of(self, kind: str) -> list[ChatEvent]:
        return [event for event in self.events if event.type == kind]

    def codes(self, status: ConnectionStatus) -> list[int | None]:
        return [change.code for change in self.changes if change.status is status and change.code is not None]

    async def ended(self) -> StatusChange:
        """Wait until the transport has given up or is disconnected."""
        await until(lambda: self.changes and self.changes[-1].status in ("error", "disconnected"))
        return self.changes[-1]

    async def connected(self, times: int) -> None:
        """Wait until it has been connected `times` times."""
        await until(lambda: self.statuses.count(ConnectionStatus.CONNECTED) >= times)


def hear(transport: ChatTransport, patience: float = 2.0) -> None:
    """Wait until the transport's handlers and recorder were called with everything that has happened to it.

    They run on a thread of their own; calls that take longer than `patience` seconds are not waited for.
    """
    if not transport._own_loop:
        return
    if transport._running is not None and transport._running.loop.is_running():
        turn_over = threading.Event()
        transport._running.loop.call_soon_threadsafe(turn_over.set)
        turn_over.wait(patience)  # The turn that has settled a message may still have to deliver it.
    mark, end = transport._handover.mark(), time.monotonic() + patience
    while not mark.is_reached and time.monotonic() < end:
        time.sleep(0.0005)


async def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until the condition holds.

    Errors: `TimeoutError` after `patience` seconds.
    """
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110  # what it waits for may happen in another thread
            await asyncio.sleep(0.002)


def transport_of(kind: str, url: str, **settings: Any) -> ChatTransport:
    """Return a transport with short retry delays, and heartbeats only if a test asks for them.

    `settings` and options are given by name; settings that this kind's config doesn't have are ignored.
    """
    options = {name: settings.pop(name) for name in OPTIONS if name in settings}
    assert settings.keys() <= KNOWN, settings.keys() - KNOWN
    return make_transport(make_config(kind, url, **QUICKLY | settings), **options)


@contextmanager
def talking(
    kind: str, url: str, sender: str = "ada", **settings: Any
) -> Iterator[tuple[ChatTransport, Watch]]:
    """Make a transport of that kind and watch it; finally disconnect it if it is still connected."""
    transport = transport_of(kind, url, **{"sender": sender} | settings)
    try:
        yield transport, Watch(transport)
    finally:
        transport.stop()
        hear(transport)


def websocket(url: str, **settings: Any) -> WebSocketTransport:
    """Return a WebSocket transport, as `transport_of` does."""
    transport = transport_of("websocket", url, **settings)
    assert isinstance(transport, WebSocketTransport)
    return transport


@contextmanager
def watched(url: str, **settings: Any) -> Iterator[tuple[WebSocketTransport, Watch]]:
    """Make a WebSocket transport and watch it, as `talking` does."""
    with talking("websocket", url, **settings) as (transport, watch):
        assert isinstance(transport, WebSocketTransport)
        yield transport, watch
