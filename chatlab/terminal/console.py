"""A conversation in a terminal, shown as lines, with faults on request.

All of it runs on one event loop. Faults need a proxy: the first fault makes one, and reconnects through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from chatlab.conversation import (
    Conversation,
    OwnMessage,
    Place,
    ReceivedMessage,
    explain,
    explain_end,
    place_of,
)
from chatlab.errors import OutboxFull, SettingsError
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ConnectionStatus, DeliveryState, StatusChange
from chatlab.settings import AnyConfig, HeaderSource, shown_url
from chatlab.studies.live_record import LiveRecord
from chatlab.terminal.lines import ConsoleLine, content, seconds
from chatlab.terminal.status_line import MOST_TYPING, StatusLine
from chatlab.terminal.targets import Target, config_of, make_transport
from chatlab.trace import Step

if TYPE_CHECKING:  # The console starts more quickly without the simulator.
    from chatlab.experiment.fault_proxy import FaultProxy
    from chatlab.experiment.injected_fault import InjectedFault

LATE = 2.0
"""Seconds after which an acknowledgement gets a line, even if the message was sent at once."""

_LOST = (DeliveryState.DROPPED, DeliveryState.EXPIRED, DeliveryState.FAILED)
RETRYING = "/retry sends undelivered messages again."


class Console:
    """One person's conversation. `show` is called with every line, and `changed` if `status_line` may differ.

    `record` is that of the transport that new messages go to.

    `ended` is set while the transport has given up or the server has closed for good; `hint` is appended to
    the line that reports this. Callers of `switch`, `switch_transport` and `open_fault_proxy` must hold the
    lock `busy`, and must not be cancelled.

    Errors: `SettingsError` for an invalid target or kind of transport.
    """

    def __init__(
        self,
        target: Target,
        kind: str,
        show: Callable[[ConsoleLine], None],
        changed: Callable[[], None] = lambda: None,
        *,
        hint: str = "",
    ) -> None:
        self.target = self._first = target
        self.kind = kind
        self.proxy: FaultProxy | None = None
        self.record: LiveRecord
        self.ended = asyncio.Event()
        self.busy = asyncio.Lock()
        self.leaving = False
        self._show = show
        self._changed = changed
        self._hint = hint
        self._loop = asyncio.get_running_loop()
        self._change = asyncio.Event()
        self._rtt: float | None = None
        self._heartbeat_rtt: float | None = None
        self._was_connected = False
        self._unsettled = 0
        self._seed = secrets.randbits(32)
        self._down_at: float | None = None
        self.conversation = Conversation(self, make=self._make_transport, loop=self._loop, retrying=RETRYING)
        self._switch(kind, target)

    @property
    def transport(self) -> ChatTransport:
        """The transport that new messages go to."""
        transport = self.conversation.transport
        assert transport is not None
        return transport

    @property
    def lost(self) -> int:
        """Number of undelivered messages that were not retried."""
        return self.conversation.lost + self._unsettled

    # Connecting

    def start(self) -> None:
        """Start to connect, also after giving up."""
        self.ended.clear()
        try:
            self.conversation.start()
        except Exception as error:
            self._end(f"Not connected: {explain(error)}.")

    async def wait_until_settled(self) -> None:
        """Wait until a connection was made and no message is unsettled."""
        await self._until(lambda: self._was_connected and not self.conversation.waiting)

    async def wait_until_connected(self) -> None:
        """Wait until connected, or until the transport has given up."""
        await self._until(
            lambda: self._status is ConnectionStatus.CONNECTED or self.ended.is_set() or self.leaving
        )

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._change.clear()
            await self._change.wait()

    async def leave(self) -> None:
        """Send what can be sent quickly, disconnect, and report the messages that are left."""
        self.leaving = True
        self._change.set()
        async with self.busy:
            await self._until(lambda: not self.conversation.changing)
            self.conversation.stop()
            await self.transport.disconnect()
            if self.proxy is not None:
                await self.proxy.close()
        gave_up = self._status is ConnectionStatus.ERROR
        for own in self.conversation.under_way():
            self._unsettled += 1
            self._lose(own, "the transport gave up" if gave_up else "no acknowledgement in time")

    async def switch_transport(self, kind: str) -> None:
        """Switch to another kind of transport. Errors: as for `switch`."""
        await self.switch(kind)

    async def switch(self, kind: str = "", **changes: Any) -> None:
        """Switch to another kind of transport, or another `url`, `room` or `name`.

        Headers are sent to the first origin only, and again after a return to it.

        Errors: `SettingsError` for an invalid kind or target; then nothing changes.
        """
        target, proxy = replace(self.target, **changes), self.proxy
        if "url" in changes:  # The proxy leads to the previous server.
            config_of(kind or self.kind, target)  # Raises while the old one still works.
            self.proxy = None
            known, before = target.origin == self._first.origin, target.headers
            target = replace(target, headers=self._first.headers if known else HeaderSource(None))
            if target.headers != before and not known:
                self.notice(
                    "The headers that you gave are not sent to this server: they are for the first one only."
                )
        self._switch(kind or self.kind, target)
        await self._until(lambda: not self.conversation.changing)
        if proxy is not self.proxy and proxy is not None:
            await proxy.close()

    def _make_transport(self, config: AnyConfig) -> ChatTransport:
        proxy = self.proxy
        record = self.record = LiveRecord(config, proxy, seed=self._seed)

        def note(step: Step) -> None:
            record.record(step)
            if record is self.record and self.conversation.transport is not None:
                record.measured(self.transport.rtt)

        fires_at = None if proxy is None else proxy.timers.fires_at
        return make_transport(config, record=note, uniform=record.uniform, fires_at=fires_at)

    def _switch(self, kind: str, target: Target) -> None:
        proxy = self.proxy
        there = target if proxy is None else target.through(proxy.host, proxy.port)
        self.conversation.switch_to(config_of(kind, there), place_of(config_of(kind, target)))
        self.kind, self.target = kind, target

    async def open_fault_proxy(self) -> FaultProxy:
        """Return the fault proxy; the first call makes it, and reconnects through it.

        Errors: `SettingsError` if the server's URL has TLS.
        """
        if self.proxy is not None:
            return self.proxy
        if self.target.secure:
            raise SettingsError(
                "faults need a proxy in the connection, which TLS prevents; use a ws:// or http:// URL"
            )
        from chatlab.experiment.fault_proxy import FaultProxy

        proxy = self.proxy = FaultProxy(
            self.target.url, person=self.target.name[:200], on_change=self._fault_changed
        )
        await proxy.accept()
        self.notice(f"Reconnecting through a fault proxy on {proxy.host}:{proxy.port}.")
        was_connected = self._status is ConnectionStatus.CONNECTED
        await self.switch()
        if was_connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.transport.config.connect_timeout):
                    await self.wait_until_connected()
        return proxy

    # Sending

    async def send(self, text: str) -> None:
        """Submit a message, once the outbox has room for it. Errors: `InvalidMessage`."""
        while True:
            try:
                return self.submit(text)
            except OutboxFull:
                self._change.clear()
                await self._change.wait()

    def submit(self, text: str) -> None:
        """Submit a message. Errors: `InvalidMessage`, `OutboxFull`."""
        self.conversation.submit(text)

    def typing(self) -> None:
        """Send a typing notice to the room."""
        self.conversation.typing()

    # State

    @property
    def _status(self) -> ConnectionStatus:
        return self.conversation.last_change.status

    def status_line(self) -> StatusLine:
        """Return the conversation's present state for the status line."""
        transport, change = self.transport, self.conversation.last_change
        return StatusLine(
            self.kind,
            change.status,
            change.reason,
            change.attempt,
            self.conversation.max_attempts,
            None if change.retry_at is None else max(0.0, change.retry_at - transport.now()),
            self.rtt,
            self.conversation.waiting,
            tuple(self._faults()),
            self.conversation.typists()[:MOST_TYPING],
        )

    @property
    def rtt(self) -> float | None:
        """Seconds of the latest round trip: of a heartbeat, or of a message that was sent at once."""
        heartbeat = self.transport.rtt
        if heartbeat is not None and heartbeat != self._heartbeat_rtt:
            self._heartbeat_rtt = self._rtt = heartbeat
        return self._rtt

    def _faults(self) -> list[str]:
        if self.proxy is None:
            return []
        from chatlab.sim.faults.phrases import phrase_of

        return [phrase_of(injected.fault, duration=False) for injected in self.proxy.under_way]

    def _fault_changed(self, injected: InjectedFault) -> None:
        """Report a fault that has begun or ended by itself."""
        from chatlab.sim.faults.phrases import phrase_of

        if self.leaving:
            return
        if injected.under_way and injected.awaited:
            self.notice(f"Fault: {phrase_of(injected.fault)}.")
        elif injected.has_begun and not injected.under_way and injected.lasted:
            self.notice(f"The fault is over: {phrase_of(injected.fault, duration=False)}.")
        self.changed()

    # The `Display` interface

    def accepted(self, own: OwnMessage) -> None:
        """Show an own message."""
        self._show(ConsoleLine("accepted", own.text, own.place.name, state=own.state))

    def settled(self, own: OwnMessage) -> None:
        """Show the outcome of an own message, once it is known."""
        if own.left_behind or own.state in _LOST:
            self._lose(own, own.reason)
        elif own.state is DeliveryState.ACKED or (own.receipt is not None and own.receipt.ends(own.state)):
            took = self._loop.time() - own.accepted_at
            if own.state is DeliveryState.ACKED and not own.waits:
                self._rtt = took
            late = own.waits or took > LATE
            self._show(ConsoleLine("delivered", own.text, own.place.name, state=own.state, waited=late))

    def _lose(self, own: OwnMessage, reason: str) -> None:
        self._show(ConsoleLine("lost", own.text, state=DeliveryState.FAILED, reason=reason))

    def received(self, received: ReceivedMessage) -> None:
        """Show a message from the server."""
        message = received.message
        self._show(ConsoleLine("message", content(message), message.sender, message.posted_at))

    def notice(self, text: str, *, warning: bool = False) -> None:
        """Show a notice or a warning."""
        self._show(ConsoleLine("warning" if warning else "notice", text))

    def moved(self, before: Place) -> None:
        """Show the place that the conversation switched to."""
        if (place := self.conversation.place) is not None:
            self.notice(f"Switched to {place.describe(before)}.")

    def changed(self) -> None:
        """Wake the coroutines that wait for a change."""
        self._change.set()
        self._changed()

    def status(self, change: StatusChange) -> None:
        """Show a status change, if it matters to a person."""
        match change.status:
            case ConnectionStatus.CONNECTED:
                self.notice(self._greeting())
                self._was_connected, self._down_at = True, None
            case ConnectionStatus.RECONNECTING:
                if self._down_at is None:
                    self._down_at = self._loop.time()
                    never = f"Can't connect to {shown_url(self.target.url)} yet"
                    what = "The connection was lost" if self._was_connected else never
                    refused = not self._was_connected and change.reason.startswith("refused")
                    ours = self.target.dialect == "chatlab"
                    advice = " `chatlab serve` starts a server." if refused and ours else ""
                    self.notice(f"{what} ({change.reason}); trying again.{advice}", warning=True)
            case ConnectionStatus.ERROR | ConnectionStatus.DISCONNECTED if end := explain_end(change):
                if change.status is ConnectionStatus.ERROR or not self.leaving:
                    self._end(end)
            case _:
                pass
        self.changed()

    def _greeting(self) -> str:
        if self._down_at is not None and self._was_connected:
            return f"Connected again after {seconds(self._loop.time() - self._down_at)}."
        return "Connected." if self._was_connected else f"Connected to {shown_url(self.target.url)}."

    def _end(self, text: str) -> None:
        self._down_at = None
        self.notice(f"{text} {self._hint}".rstrip(), warning=True)
        self.ended.set()
