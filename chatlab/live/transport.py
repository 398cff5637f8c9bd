"""The face of a transport to an application: connect, send, receive, on real sockets.

A transport lives on a loop in a background thread, shared by all, so that a notebook's blocking cell doesn't
stop its heartbeats; with `loop="current"` it lives on the loop that first uses it, and on another once that
one is closed.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Coroutine
from random import SystemRandom
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, assert_never

from chatlab.dialects import find_dialect
from chatlab.errors import ConnectError, OutboxFull
from chatlab.live.dialer import Dialer
from chatlab.live.driver import LiveDriver
from chatlab.live.inbox import Inbox
from chatlab.live.portal import background_loop
from chatlab.live.receipt import Receipt, Receipts
from chatlab.live.redaction import RedactingMachine
from chatlab.live.subscribers import Subscribers, Unsubscribe
from chatlab.messages import ChatEvent, ConnectionStatus, OutgoingMessage, StatusChange
from chatlab.settings import AnyConfig, HttpConfig, WebSocketConfig
from chatlab.trace import Step
from chatlab.transports.backoff import Uniform
from chatlab.transports.machine import Connect, Deliver, Disconnect, Notify, Refuse, Settle, Submit, Typing
from chatlab.transports.making import make_machine

Result = TypeVar("Result")

_UNIFORM = SystemRandom().random
GRACE = 1.0
"""Seconds beyond `drain_timeout` after which a `disconnect` was overtaken by another `connect`."""


class ChatTransport:
    """A chat connection that keeps itself alive, and loses nothing that it has accepted.

    Handlers run in the transport's thread, in the order of events, and should be quick: a slow one keeps the
    loop waiting. One that raises is logged and does no harm.
    `uniform` is the source of randomness of its backoff; `record` gets every step of its machine.

    Errors: `SettingsError` when the dialect can't be spoken over that transport. With `loop="current"`, every
    method raises `RuntimeError` where no event loop runs.
    """

    def __init__(
        self,
        config: AnyConfig,
        *,
        loop: Literal["own", "current"] = "own",
        uniform: Uniform | None = None,
        record: Callable[[Step], None] | None = None,
    ) -> None:
        self.config: AnyConfig = config
        dialect = find_dialect(config.dialect)
        self._machine = make_machine(config, dialect, uniform or _UNIFORM)
        self._dialer = Dialer(config, dialect)
        self._discreet = RedactingMachine(self._machine, self._dialer.redaction)
        record = record and self._dialer.redaction.recorder(record)
        self._own_loop = loop == "own"
        self._record = record
        self._lock = threading.Lock()
        self._running: LiveDriver | None = None
        self._inbox = Inbox()
        self._receipts = Receipts(acks=dialect.acks or isinstance(config, HttpConfig))  # An answer is one.
        self._events: Subscribers[ChatEvent] = Subscribers()
        self._changes: Subscribers[StatusChange] = Subscribers()
        self._settled: Subscribers[Receipt] = Subscribers()
        self._change = StatusChange(ConnectionStatus.DISCONNECTED)
        self._waiters: list[tuple[Callable[[StatusChange], bool], asyncio.Future[StatusChange]]] = []
        self._waits = config.outbox.overflow == "wait"
        self._sending = _Turns()

    @property
    def _driver(self) -> LiveDriver:
        driver = self._running
        if driver is None or driver.loop.is_closed():
            loop = background_loop() if self._own_loop else asyncio.get_running_loop()
            made = LiveDriver(
                self._discreet,
                loop,
                open_link=self._dialer.open,
                fetch=self._dialer.fetch,
                listen=self._listen,
                record=self._record,
                person=self.config.sender,
            )
            with self._lock:  # Whoever comes first makes it for all threads.
                if self._running is driver:
                    self._running, self._sending = made, _Turns()
                driver = self._running or made
        return driver

    # What it is doing

    @property
    def status(self) -> ConnectionStatus:
        """The status as last notified."""
        return self._change.status

    @property
    def last_change(self) -> StatusChange:
        """The latest change of status, with its reason."""
        return self._change

    @property
    def kind(self) -> str:
        """The name of the settings in use, such as `WebSocketConfig`; a fallback's changes."""
        kind: str = getattr(self._machine, "kind", type(self.config).__name__)
        return kind

    @property
    def rtt(self) -> float | None:
        """Seconds that the last answered heartbeat took to come back."""
        return self._machine.rtt

    def now(self) -> float:
        """Return seconds on the clock that `retry_at` and the recorded steps use."""
        return self._driver.now()

    def __repr__(self) -> str:
        room, sender = self.config.room, self.config.sender
        return f"{type(self).__name__}(room={room!r}, sender={sender!r}, {self.status.value})"

    # Where it stands in the room

    @property
    def cursor(self) -> str | None:
        """The id after which it asks for more when it connects; None: it asks for the history."""
        return self._machine.cursor.last_id

    def resume(self, after: str) -> None:
        """Ask for what came after a message that another transport has received, at the next connection."""
        self._machine.cursor.move(after)

    # Connecting

    async def connect(self) -> None:
        """Connect, and return once connected. Calling it again is harmless; cancelling it disconnects.

        Errors: `ConnectError` when the transport gives up, or is disconnected meanwhile.
        """
        try:
            change = await self._on_loop(self._connected)
        except asyncio.CancelledError:
            self.stop()
            raise
        if change.status is not ConnectionStatus.CONNECTED:
            raise ConnectError(change.reason or change.status.value, change.code)

    async def _connected(self) -> StatusChange:
        self.start()
        return await self._reach(lambda change: change.status not in _UNDER_WAY)

    async def disconnect(self) -> None:
        """Send what can still be sent within `drain_timeout`, close, and return when nothing is left running.

        What could not be sent stays in the outbox, for the next `connect`.
        """
        await self._on_loop(self._disconnected)

    async def _disconnected(self) -> None:
        self.stop()
        try:
            async with asyncio.timeout(self.config.drain_timeout + GRACE):
                await self._reach(lambda change: change.status in ENDED)
        except TimeoutError:
            return  # Somebody has connected again meanwhile.
        await self._driver.closed()

    def start(self) -> None:
        """Begin to connect, from any thread, without waiting."""
        self._inbox.set_open(True)
        self._driver.feed(Connect())

    def stop(self) -> None:
        """Begin to disconnect, from any thread, without waiting."""
        self._driver.feed(Disconnect())

    async def _reach(self, wanted: Callable[[StatusChange], bool]) -> StatusChange:
        """Return the first change of status that is wanted: the present one, or one to come."""
        if wanted(self._change):
            return self._change
        reached: asyncio.Future[StatusChange] = self._driver.loop.create_future()
        waiter = (wanted, reached)
        self._waiters.append(waiter)
        try:
            return await reached
        finally:
            self._waiters.remove(waiter)

    async def _on_loop(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run a coroutine on the driver's loop."""
        loop = self._driver.loop
        if asyncio.get_running_loop() is loop:
            return await work()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.disconnect()

    # Sending

    async def send(self, message: OutgoingMessage | str) -> Receipt:
        """Hand over a message, and return once it is accepted: queued or sent.

        Errors: `OutboxFull` by the overflow policy `reject`; `InvalidMessage` where the message is none, or a
        message of that client id is still unsettled. The policy `wait` waits for room instead, first come,
        first served.
        """
        if self._waits:
            return await self._on_loop(lambda: self._send_in_turn(message))
        return self.submit(message)

    async def _send_in_turn(self, message: OutgoingMessage | str) -> Receipt:
        async with self._sending.turn:
            while True:
                self._sending.room.clear()
                try:
                    return self.submit(message)
                except OutboxFull:
                    await self._sending.room.wait()

    def submit(self, message: OutgoingMessage | str, *, again: bool = False) -> Receipt:
        """Hand over a message from any thread, without waiting. One that another transport may have sent
        already goes out `again`: before those that were never sent, and however full the outbox is.

        Errors: `OutboxFull` by the overflow policies `reject` and `wait`; `InvalidMessage` as for `send`.
        """
        if isinstance(message, str):
            message = OutgoingMessage(text=message, client_id=new_id())
        elif not message.client_id:
            message = OutgoingMessage(text=message.text, data=message.data, client_id=new_id())
        driver = self._driver
        receipt = self._receipts.new(message)
        for effect in driver.feed(Submit(message, again)):
            if type(effect) is Refuse:
                self._receipts.withdraw(receipt)
                raise OutboxFull(
                    f"the outbox is full ({self.config.outbox.max_size} messages); "
                    "wait, or choose another overflow policy"
                )
        return receipt

    def unsettled(self) -> list[OutgoingMessage]:
        """Return the accepted messages that aren't in a final state, in the order of their acceptance."""
        return self._receipts.messages()

    def typing(self) -> None:
        """Tell the room that the person types, if connected; from any thread."""
        self._driver.feed(Typing())

    # Receiving

    def on_message(self, handler: Callable[[ChatEvent], object]) -> Unsubscribe:
        """Call the handler with every event; return what unsubscribes it."""
        return self._events.add(handler)

    def on_status_change(self, handler: Callable[[StatusChange], object]) -> Unsubscribe:
        """Call the handler with every change of status; return what unsubscribes it."""
        return self._changes.add(handler)

    def on_receipt(self, handler: Callable[[Receipt], object]) -> Unsubscribe:
        """Call the handler with a receipt whenever its state changes; return what unsubscribes it."""
        return self._settled.add(handler)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatEvent:
        event = await self._inbox.get()
        if event is None:
            raise StopAsyncIteration
        return event

    # From the driver, on its loop

    def _listen(self, effect: Deliver | Notify | Settle) -> None:
        if type(effect) is Settle:
            receipt = self._receipts.settle(effect)
            if receipt is not None:
                self._settled.tell(receipt)
            if self._waits:
                self._sending.room.set()
        elif type(effect) is Deliver:
            self._inbox.put(effect.event)
            self._events.tell(effect.event)
        elif type(effect) is Notify:
            self._notify(effect.change)
        else:
            assert_never(effect)

    def _notify(self, change: StatusChange) -> None:
        self._change = change
        self._receipts.gave_up(change.status is ConnectionStatus.ERROR)
        ended = change.status in ENDED
        if ended:
            self._dialer.hang_up()
        else:
            self._inbox.set_open(True)
        self._changes.tell(change)
        self._listen(Deliver(ChatEvent("connection", reason=change.reason, change=change)))
        for wanted, reached in self._waiters:
            if wanted(change) and not reached.done():
                reached.set_result(change)
        if ended:  # Last, so that readers get this event too.
            self._inbox.set_open(False)


def new_id() -> str:
    """Return a client id that nobody can guess: who knew it beforehand could use it first, and have the
    server take the message for a repetition."""
    return secrets.token_hex(12)


class WebSocketTransport(ChatTransport):
    """Chat over WebSocket. Source: seed ("WebSocket Implementation"); RFC 6455."""

    config: WebSocketConfig


_UNDER_WAY = (ConnectionStatus.CONNECTING, ConnectionStatus.RECONNECTING)
ENDED = (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR)


class _Turns:
    """Those who wait for room in the outbox, on the driver's loop."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.room = asyncio.Event()
