"""Notes what a transport tells its application, and waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chatlab.live.receipt import Receipt
from chatlab.live.transport import ChatTransport, WebSocketTransport
from chatlab.messages import ChatEvent, ConnectionStatus, DeliveryState, StatusChange
from chatlab.settings import HeartbeatConfig, ReconnectConfig, WebSocketConfig

PATIENCE = 20.0
"""Seconds after which a test that waits for something has failed."""
QUICK = ReconnectConfig(max_attempts=3, base_delay=0.01, max_delay=0.02, jitter="none")
PERSISTENT = ReconnectConfig(max_attempts=None, base_delay=0.01, max_delay=0.05, jitter="full")


class Watch:
    """All that a transport has told."""

    def __init__(self, transport: ChatTransport) -> None:
        self.transport = transport
        self.events: list[ChatEvent] = []
        self.changes: list[StatusChange] = []
        self.waits: list[float] = []
        self.states: list[tuple[str, DeliveryState]] = []
        transport.on_message(self.events.append)
        transport.on_status_change(self._note)
        transport.on_receipt(self._settled)

    def _note(self, change: StatusChange) -> None:
        self.changes.append(change)
        if change.retry_at is not None:
            self.waits.append(change.retry_at - self.transport.now())

    def _settled(self, receipt: Receipt) -> None:
        self.states.append((receipt.message.text, receipt.state))

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
        await until(lambda: self.transport.status in ("error", "disconnected") and bool(self.changes))
        return self.transport.last_change

    async def connected(self, times: int) -> None:
        """Wait until it has been connected so many times."""
        await until(lambda: self.statuses.count(ConnectionStatus.CONNECTED) >= times)


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds.

    Errors: `TimeoutError` after `PATIENCE`.
    """
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # what it waits for may happen in another thread
            await asyncio.sleep(0.002)


def websocket(url: str, **settings: Any) -> WebSocketTransport:
    """Return a transport that is quick to try again, and beats only where asked to."""
    options = {key: settings.pop(key) for key in ("loop", "record", "uniform") if key in settings}
    quiet = HeartbeatConfig(enabled=False)
    defaults: dict[str, Any] = {"sender": "ada", "reconnect": QUICK, "heartbeat": quiet}
    return WebSocketTransport(WebSocketConfig(url=url, **defaults | settings), **options)


@contextmanager
def watched(url: str, **settings: Any) -> Iterator[tuple[WebSocketTransport, Watch]]:
    """Make a transport and watch it; whatever a test has left of it is disconnected."""
    transport = websocket(url, **settings)
    try:
        yield transport, Watch(transport)
    finally:
        transport.stop()
