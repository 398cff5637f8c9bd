"""A conversation as a terminal sees it: what happens becomes lines, and faults can be made on its way.

All of it lives on one event loop. The transport may be exchanged under a conversation, for another kind or to
go through a fault proxy: what is unsettled goes out by the new one under its old ids, and the new one asks
for what came after the last message received.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from chatlab.errors import ChatError, OutboxFull, SettingsError
from chatlab.live.fault_proxy import FaultProxy
from chatlab.live.receipt import Receipt
from chatlab.live.subscribers import Unsubscribe
from chatlab.messages import (
    ChatEvent,
    ChatMessage,
    ConnectionStatus,
    DeliveryState,
    OutgoingMessage,
    StatusChange,
)
from chatlab.settings import redacted
from chatlab.terminal.lines import Line, content, seconds
from chatlab.terminal.memory import OwnMessages, Typists
from chatlab.terminal.standing import Standing
from chatlab.terminal.targets import Target, make_transport
from chatlab.transports.cursor import Cursor

LATE = 2.0
"""Seconds after which an acknowledgement is worth a line, though the message was sent at once."""

_ENDED = (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR)


class Console:
    """One person's conversation. `show` gets every line; `changed` is called when `standing` may have.

    `lost` counts the messages that came to nothing, and `ended` is set while the transport has given up or
    the server has said goodbye; `hint` is what the line that tells so adds. Who calls `swap` or `faulty`
    holds the lock `busy`, and is not cancelled.

    Errors: `SettingsError` for a target or a kind that can't be used.
    """

    def __init__(
        self,
        target: Target,
        kind: str,
        show: Callable[[Line], None],
        changed: Callable[[], None] = lambda: None,
        *,
        hint: str = "",
    ) -> None:
        self.target = target
        self.kind = kind
        self.proxy: FaultProxy | None = None
        self.down = False
        self.lost = 0
        self.ended = asyncio.Event()
        self.busy = asyncio.Lock()
        self.leaving = False
        self._show = show
        self._changed = changed
        self._hint = hint
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._cursor = Cursor()
        self._own = OwnMessages()
        self._typists = Typists()
        self._rtt: float | None = None
        self._heartbeat_rtt: float | None = None
        self._was_connected = False
        self._down_at: float | None = None
        self._subscriptions: list[Unsubscribe] = []
        self.transport = make_transport(kind, target)
        self._follow()

    # Connecting

    def start(self) -> None:
        """Begin to connect, or begin anew after having given up."""
        self.ended.clear()
        self.transport.start()

    async def quiet(self) -> None:
        """Wait until it has been connected and nothing is unsettled."""
        await self._until(lambda: self._was_connected and not self.transport.unsettled())

    async def connected(self) -> None:
        """Wait until it's connected, or won't be."""
        await self._until(
            lambda: self.transport.status is ConnectionStatus.CONNECTED or self.ended.is_set() or self.leaving
        )

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._news.clear()
            await self._news.wait()

    async def leave(self) -> None:
        """Send what can still be sent in a moment, disconnect, and name what is left."""
        self.leaving = True
        self._news.set()
        async with self.busy:
            await self.transport.disconnect()
            if self.proxy is not None:
                await self.proxy.close()
        for message in self.transport.unsettled():
            self._lose(message.text, "no acknowledgement in time")

    async def swap(self, kind: str) -> None:
        """Go on with another kind of transport.

        Errors: `SettingsError` where there is no such kind, or it can't reach the target.
        """
        make_transport(kind, self.target)  # What is wrong is said while the old one still works.
        await self._swap(kind)

    async def _swap(self, kind: str) -> None:
        old = self.transport
        ran = old.status not in _ENDED
        self._subscriptions.pop()()  # Its end is no news.
        await old.disconnect()
        for unsubscribe in self._subscriptions:
            unsubscribe()
        self._own.let_wait()
        unsettled = old.unsettled()
        room = max(self.target.outbox.max_size, len(unsettled))
        target = self.target if self.proxy is None else self.target.through(self.proxy.host, self.proxy.port)
        target = replace(target, after=self._cursor.last_id, outbox=target.outbox.replace(max_size=room))
        self.kind = kind
        self.transport = make_transport(kind, target)
        self._follow()
        for message in unsettled:
            self.transport.submit(message)
        if ran:
            self.transport.start()
        self._tell()

    async def faulty(self) -> FaultProxy:
        """Return the proxy that makes faults. When first asked for, the conversation is led through it first.

        Errors: `SettingsError` where there can't be one.
        """
        if self.proxy is not None:
            return self.proxy
        if self.target.secure:
            raise SettingsError(
                "faults are made by a proxy, and TLS keeps it out: they need a ws:// or http:// URL"
            )
        proxy = self.proxy = FaultProxy(self.target.url)
        await proxy.accept()
        self._say(f"From now on through a proxy on {proxy.host}:{proxy.port}, which makes the faults.")
        was_connected = self.transport.status is ConnectionStatus.CONNECTED
        await self._swap(self.kind)
        if was_connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.transport.config.connect_timeout):
                    await self.connected()
        return proxy

    # Sending

    async def send(self, text: str) -> None:
        """Hand over a message, once the outbox has room for it. Errors: `InvalidMessage`."""
        while True:
            try:
                return self.submit(text)
            except OutboxFull:
                self._news.clear()
                await self._news.wait()

    def submit(self, text: str) -> None:
        """Hand over a message. Errors: `InvalidMessage`, `OutboxFull`."""
        message = OutgoingMessage(text=text, client_id=secrets.token_hex(8))
        own = self._own.add(message.client_id, text, self._loop.time())
        try:
            receipt = self.transport.submit(message)
        except ChatError:
            self._own.take_back(message.client_id)
            raise
        own.waits = receipt.state is DeliveryState.QUEUED
        self._show(Line("accepted", text, self.target.name, state=receipt.state))
        self._tell()

    def typing(self) -> None:
        """Tell the room that the person types."""
        self.transport.typing()

    # How it stands

    def standing(self) -> Standing:
        """Return how the conversation stands now."""
        transport, change, now = self.transport, self.transport.last_change, self._loop.time()
        return Standing(
            self.kind,
            change.status,
            change.reason,
            change.attempt,
            transport.config.reconnect.max_attempts,
            None if change.retry_at is None else max(0.0, change.retry_at - transport.now()),
            self.rtt,
            len(transport.unsettled()),
            tuple(self._faults()),
            self._typists.names(now),
        )

    @property
    def rtt(self) -> float | None:
        """Seconds of the latest round trip: a heartbeat's, or that of a message that went out at once."""
        heartbeat = self.transport.rtt
        if heartbeat is not None and heartbeat != self._heartbeat_rtt:
            self._heartbeat_rtt = self._rtt = heartbeat
        return self._rtt

    def _faults(self) -> list[str]:
        faults = []
        if self.proxy is not None:
            if self.down:
                faults.append("down")
            if self.proxy.up.silent:
                faults.append("silent")
            if self.proxy.up.latency:
                faults.append(f"latency {seconds(self.proxy.up.latency)} each way")
        return faults

    # What happens

    def _follow(self) -> None:
        transport = self.transport
        self._subscriptions = [
            transport.on_message(self._on_event),
            transport.on_receipt(self._on_receipt),
            transport.on_status_change(self._on_status),
        ]

    def _say(self, text: str, *, warning: bool = False) -> None:
        self._show(Line("warning" if warning else "notice", text))

    def _tell(self) -> None:
        self._news.set()
        self._changed()

    def _on_event(self, event: ChatEvent) -> None:
        match event.type:
            case "message":
                if event.message is not None:
                    self._received(event.message)
            case "typing":
                self._typists.typed(event.sender, self._loop.time())
            case "presence":
                state = event.payload.get("state") if isinstance(event.payload, dict) else None
                if state == "left":
                    self._typists.stopped(event.sender)
                if state in ("joined", "left") and event.sender != self.target.name:
                    self._say(f"{event.sender} {state}.")
            case "resync":
                self._say(f"Messages may be missing here: {event.reason}.", warning=True)
            case "unreadable":
                self._say(f"A frame can't be read ({event.reason}): {_excerpt(event.payload)}", warning=True)
            case "error":
                self._say(f"The server complains: {_excerpt(event.payload)}", warning=True)
            case _:
                pass  # Statuses have their own way, and a server's other events aren't for reading.
        self._changed()

    def _received(self, message: ChatMessage) -> None:
        self._typists.stopped(message.sender)
        new = self._cursor.advance(message.id)
        if new and not (message.sender == self.target.name and message.client_id in self._own):
            self._show(Line("message", content(message), message.sender, message.posted_at))

    def _on_receipt(self, receipt: Receipt) -> None:
        own = self._own.settle(receipt.client_id) if receipt.final else None
        if own is not None:
            if receipt.error is not None:
                self._lose(own.text, str(receipt.error))
            else:
                took = self._loop.time() - own.accepted_at
                if receipt.state is DeliveryState.ACKED and not own.waits:
                    self._rtt = took
                late = own.waits or took > LATE
                self._show(Line("delivered", own.text, self.target.name, state=receipt.state, waited=late))
        self._tell()

    def _lose(self, text: str, reason: str) -> None:
        self.lost += 1
        self._show(Line("lost", text, state=DeliveryState.FAILED, reason=reason))

    def _on_status(self, change: StatusChange) -> None:
        if change.status is not ConnectionStatus.CONNECTED:
            self._own.let_wait()
        match change.status:
            case ConnectionStatus.CONNECTED:
                self._say(self._greeting())
                self._was_connected, self._down_at = True, None
            case ConnectionStatus.RECONNECTING:
                if self._down_at is None:
                    self._down_at = self._loop.time()
                    never = f"Can't connect to {redacted(self.target.url)} yet"
                    what = "The connection was lost" if self._was_connected else never
                    refused = not self._was_connected and change.reason.startswith("refused")
                    advice = " `chatlab serve` starts a server." if refused else ""
                    self._say(f"{what} ({change.reason}); trying again.{advice}", warning=True)
            case ConnectionStatus.ERROR:
                reason = change.reason
                self._end(f"G{reason[1:]}." if reason.startswith("gave up") else f"Gave up: {reason}.")
            case ConnectionStatus.DISCONNECTED if not self.leaving:
                self._end(f"The server has ended the connection: {change.reason}.")
            case _:
                pass
        self._tell()

    def _greeting(self) -> str:
        if self._down_at is not None and self._was_connected:
            return f"Connected again after {seconds(self._loop.time() - self._down_at)}."
        return "Connected." if self._was_connected else f"Connected to {redacted(self.target.url)}."

    def _end(self, text: str) -> None:
        self._down_at = None
        self._say(f"{text} {self._hint}".rstrip(), warning=True)
        self.ended.set()


def _excerpt(payload: Any, limit: int = 200) -> str:
    text = payload if isinstance(payload, str) else repr(payload)
    return text if len(text) <= limit else text[: limit - 1] + "…"
