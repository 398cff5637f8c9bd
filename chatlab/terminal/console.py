"""A conversation as a terminal sees it: what happens becomes lines, and faults can be made on its way.

All of it lives on one event loop. Faults need a proxy, and the conversation is led through it once the first
is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from chatlab.conversation import Conversation, Heard, Own, Place, explain, explain_end, place_of
from chatlab.errors import OutboxFull, SettingsError
from chatlab.live.fault_proxy import FaultProxy
from chatlab.live.transport import ChatTransport
from chatlab.messages import ConnectionStatus, DeliveryState, StatusChange
from chatlab.settings import HeaderSource, shown_url
from chatlab.terminal.lines import Line, content, seconds
from chatlab.terminal.standing import MOST_TYPING, Standing
from chatlab.terminal.targets import Target, config_of, make_transport

LATE = 2.0
"""Seconds after which an acknowledgement is worth a line, though the message was sent at once."""

_LOST = (DeliveryState.DROPPED, DeliveryState.EXPIRED, DeliveryState.FAILED)
RETRYING = "/retry sends what can be sent here."


class Console:
    """One person's conversation. `show` gets every line; `changed` is called when `standing` may have.

    `ended` is set while the transport has given up or the server has said goodbye; `hint` is what the line
    that tells so adds. A caller of `go`, `swap` or `faulty` holds the lock `busy`, and is not cancelled.

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
        self.target = self._first = target
        self.kind = kind
        self.proxy: FaultProxy | None = None
        self.down = False
        self.ended = asyncio.Event()
        self.busy = asyncio.Lock()
        self.leaving = False
        self._show = show
        self._changed = changed
        self._hint = hint
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._rtt: float | None = None
        self._heartbeat_rtt: float | None = None
        self._was_connected = False
        self._unsettled = 0
        self._down_at: float | None = None
        self.talk = Conversation(self, make=make_transport, loop=self._loop, retrying=RETRYING)
        self._go(kind, target)

    @property
    def transport(self) -> ChatTransport:
        """The transport that takes what is written now."""
        transport = self.talk.transport
        assert transport is not None
        return transport

    @property
    def lost(self) -> int:
        """Number of messages that came to nothing, and were not sent again."""
        return self.talk.lost + self._unsettled

    # Connecting

    def start(self) -> None:
        """Begin to connect, or begin anew after having given up."""
        self.ended.clear()
        try:
            self.talk.start()
        except Exception as error:
            self._end(f"Not connected: {explain(error)}.")

    async def quiet(self) -> None:
        """Wait until it has been connected and nothing is unsettled."""
        await self._until(lambda: self._was_connected and not self.talk.waiting)

    async def connected(self) -> None:
        """Wait until it's connected, or has given up."""
        await self._until(
            lambda: self._status is ConnectionStatus.CONNECTED or self.ended.is_set() or self.leaving
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
            await self._until(lambda: not self.talk.changing)
            self.talk.stop()
            await self.transport.disconnect()
            if self.proxy is not None:
                await self.proxy.close()
        for own in self.talk.under_way():
            self._unsettled += 1
            self._lose(own, "no acknowledgement in time")

    async def swap(self, kind: str) -> None:
        """Go on with another kind of transport. Errors: as of `go`."""
        await self.go(kind)

    async def go(self, kind: str = "", **changes: Any) -> None:
        """Go on with another kind of transport, or another `url`, `room` or `name`.

        Headers don't go along to another origin, and are back with the first one.

        Errors: `SettingsError` where there is no such kind or target; then all stays as it is.
        """
        target, proxy = replace(self.target, **changes), self.proxy
        if "url" in changes:  # The proxy leads to the server before.
            config_of(kind or self.kind, target)  # What is wrong is said while the old one still works.
            self.proxy, self.down = None, False
            known, before = target.origin == self._first.origin, target.headers
            target = replace(target, headers=self._first.headers if known else HeaderSource(None))
            if target.headers != before and not known:
                self.notice("The headers that you gave stay behind: they are for the first server only.")
        self._go(kind or self.kind, target)
        await self._until(lambda: not self.talk.changing)
        if proxy is not self.proxy and proxy is not None:
            await proxy.close()

    def _go(self, kind: str, target: Target) -> None:
        proxy = self.proxy
        there = target if proxy is None else target.through(proxy.host, proxy.port)
        self.talk.go(config_of(kind, there), place_of(config_of(kind, target)))
        self.kind, self.target = kind, target

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
        self.notice(f"From now on through a proxy on {proxy.host}:{proxy.port}, which makes the faults.")
        was_connected = self._status is ConnectionStatus.CONNECTED
        await self.go()
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
        self.talk.submit(text)

    def typing(self) -> None:
        """Tell the room that the person types."""
        self.talk.typing()

    # How it stands

    @property
    def _status(self) -> ConnectionStatus:
        return self.talk.last_change.status

    def standing(self) -> Standing:
        """Return how the conversation stands now."""
        transport, change = self.transport, self.talk.last_change
        return Standing(
            self.kind,
            change.status,
            change.reason,
            change.attempt,
            self.talk.most_attempts,
            None if change.retry_at is None else max(0.0, change.retry_at - transport.now()),
            self.rtt,
            self.talk.waiting,
            tuple(self._faults()),
            self.talk.typists()[:MOST_TYPING],
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

    # What the conversation shows

    def accepted(self, own: Own) -> None:
        """Show an own message."""
        self._show(Line("accepted", own.text, own.place.name, state=own.state))

    def settled(self, own: Own) -> None:
        """Show what has become of an own message, once that is known."""
        if own.left or own.state in _LOST:
            self._lose(own, own.reason)
        elif own.state is DeliveryState.ACKED or (own.receipt is not None and own.receipt.ends(own.state)):
            took = self._loop.time() - own.accepted_at
            if own.state is DeliveryState.ACKED and not own.waits:
                self._rtt = took
            late = own.waits or took > LATE
            self._show(Line("delivered", own.text, own.place.name, state=own.state, waited=late))

    def _lose(self, own: Own, reason: str) -> None:
        self._show(Line("lost", own.text, state=DeliveryState.FAILED, reason=reason))

    def heard(self, heard: Heard) -> None:
        """Show a message from the server."""
        message = heard.message
        self._show(Line("message", content(message), message.sender, message.posted_at))

    def notice(self, text: str, *, warning: bool = False) -> None:
        """Show a line of the console's own."""
        self._show(Line("warning" if warning else "notice", text))

    def moved(self, before: Place) -> None:
        """Show where the conversation goes on."""
        if (place := self.talk.place) is not None:
            self.notice(f"From here on: {place.seen_from(before)}.")

    def changed(self) -> None:
        """Wake whoever waits for news."""
        self._news.set()
        self._changed()

    def status(self, change: StatusChange) -> None:
        """Show a change of status that a person should know of."""
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
                    advice = " `chatlab serve` starts a server." if refused else ""
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
