"""The application's interface to a transport on real sockets: connect, send, receive.

All transports share one loop in a background thread, so a notebook cell that blocks doesn't stop their
heartbeats. With `loop="current"` a transport runs on the loop that first uses it. Once that loop is closed,
it runs on the next one that uses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Sequence
from random import SystemRandom
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, assert_never
from weakref import ref

from chatlab.dialects import find_dialect
from chatlab.errors import ConnectError, OutboxFull
from chatlab.live.background_loop import background_loop
from chatlab.live.client.audience import ENDED, Audience
from chatlab.live.client.dialer import Dialer
from chatlab.live.client.live_driver import LiveDriver, Moved, Raised
from chatlab.live.client.receipt import Receipt, Receipts
from chatlab.live.client.send_queue import SendQueue
from chatlab.live.foreign import report
from chatlab.live.redaction import RedactingMachine
from chatlab.live.subscribers import Unsubscribe
from chatlab.messages import ChatEvent, ChatMessage, ConnectionStatus, OutgoingMessage, StatusChange
from chatlab.settings import AnyConfig, HttpConfig
from chatlab.trace import Step
from chatlab.transports.backoff import Uniform
from chatlab.transports.factory import make_machine
from chatlab.transports.machine import (
    Connect,
    Deliver,
    Disconnect,
    Notify,
    Refuse,
    Settle,
    Submit,
    Typing,
)

Result = TypeVar("Result")

_UNIFORM = SystemRandom().random
GRACE = 1.0
"""Seconds beyond `drain_timeout` for which `disconnect` waits. It takes less, unless another task calls
`connect` meanwhile."""
NOTIFY_TIMEOUT = 1.0
"""Seconds for which `connect` waits until the handlers were called with the new status."""


class ChatTransport:
    """A chat connection that reconnects by itself, and loses no message that it has accepted.

    Handlers are called one at a time, in the order of events. They run on a thread of the transport's own,
    where a slow one blocks nothing else, or with `loop="current"` on that loop. An `async` handler runs on
    the loop that was running when it was added. An exception of a handler is logged and has no other effect.
    But `SystemExit` and `KeyboardInterrupt` are raised from a loop of the user's own.

    `uniform` is the source of randomness of the backoff. `record` gets every step of the machine, and is
    called as a handler is. `fires_at` may delay the timers, as in a hidden tab: it gets the loop's time at
    which one is due, and returns when it fires. Disconnect a transport before you drop it: one without
    references is closed with a `ResourceWarning`.

    Errors: `SettingsError` when the dialect doesn't support that transport. With `loop="current"`, every
    method raises `RuntimeError` if no event loop runs.
    """

    def __init__(
        self,
        config: AnyConfig,
        *,
        loop: Literal["own", "current"] = "own",
        uniform: Uniform | None = None,
        record: Callable[[Step], None] | None = None,
        fires_at: Callable[[float], float] | None = None,
    ) -> None:
        self.config: AnyConfig = config
        dialect = find_dialect(config.dialect)
        self._machine = make_machine(config, dialect, uniform or _UNIFORM)
        self._dialer = Dialer(config, dialect)
        self._redacted = RedactingMachine(self._machine, self._dialer.redaction)
        record = record and self._dialer.redaction.recorder(record)
        self._own_loop = loop == "own"
        self._record = record
        self._fires_at = fires_at
        self._lock = threading.Lock()
        self._running: LiveDriver | None = None
        self._process = os.getpid()
        self._wanted = False
        self._audience = Audience(own_thread=self._own_loop, record=record)
        self._handover = self._audience.handover
        # Over HTTP the answer to a POST is an ack.
        self._receipts = Receipts(acks=dialect.acks or isinstance(config, HttpConfig))
        self._waits = config.outbox.overflow == "wait"
        self._sending = SendQueue()

    @property
    def _driver(self) -> LiveDriver:
        driver = self._running
        if driver is None or driver.loop.is_closed():
            driver = self._make_driver(driver)
        if self._process != os.getpid():
            raise RuntimeError("this transport was in use when the process was forked; make another one here")
        return driver

    def _make_driver(self, last: LiveDriver | None) -> LiveDriver:
        self._process = os.getpid()
        loop = background_loop() if self._own_loop else asyncio.get_running_loop()
        record = self._record
        if record is not None and self._own_loop:
            record = _recorder(self)
        made = LiveDriver(
            self._redacted,
            loop,
            open_link=self._dialer.open,
            fetch=self._dialer.fetch,
            listen=_listener(self),
            record=record,
            pressure=_pressure(self),
            person=self.config.sender,
            fires_at=self._fires_at,
        )
        with self._lock:  # The first thread makes the driver for all threads.
            if self._running is last:
                self._running, self._sending = made, SendQueue()
                self._handover.move(loop)
            return self._running or made

    def __del__(self) -> None:
        if not getattr(self, "_wanted", False) or self.status in ENDED or sys.is_finalizing():
            return
        driver = self._running
        if driver is None or driver.loop.is_closed() or self._process != os.getpid():
            return
        warnings.warn(f"{self!r} was never disconnected", ResourceWarning, stacklevel=2, source=self)
        with contextlib.suppress(RuntimeError):  # The loop has closed.
            driver.loop.call_soon_threadsafe(driver.feed, Disconnect(drain=False))

    # State

    @property
    def status(self) -> ConnectionStatus:
        """The status as last notified."""
        return self._audience.change.status

    @property
    def last_change(self) -> StatusChange:
        """The latest change of status, with its reason."""
        return self._audience.change

    @property
    def kind(self) -> str:
        """The name of the settings in use, such as `WebSocketConfig`; that of a fallback changes."""
        kind: str = getattr(self._machine, "kind", type(self.config).__name__)
        return kind

    @property
    def rtt(self) -> float | None:
        """Round-trip time of the last answered heartbeat, in seconds."""
        return self._machine.rtt

    def now(self) -> float:
        """Return seconds on the clock that `retry_at` and the recorded steps use."""
        return self._driver.now()

    def __repr__(self) -> str:
        room, sender = self.config.room, self.config.sender
        return f"{type(self).__name__}(room={room!r}, sender={sender!r}, {self.status.value})"

    # Position in the room

    @property
    def cursor(self) -> str | None:
        """The id of the last message that was delivered to handlers or readers, or given to `resume`; None
        before.

        When the transport connects, it asks for the messages after this id; if it is None, for the history.
        """
        undelivered = self._handover.cursor_before
        return undelivered[0] if undelivered else self._machine.cursor.last_id

    def resume(self, after: str) -> None:
        """Continue after a message that another transport has received, at the next connection."""
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
        try:
            self.start()
        except BaseException as error:  # The `ConnectError` names its kind.
            report(f"the dialect of {self.config.sender or 'a transport'}", error, self._driver.loop)
        change = await self._audience.wait_for(
            lambda change: change.status not in _UNDER_WAY, self._driver.loop
        )
        if not self._handover.called_by_handler:  # A handler must not wait for itself.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NOTIFY_TIMEOUT):
                    await self._audience.notified.reached()
        return change if self._wanted else self._audience.change

    async def disconnect(self) -> None:
        """Send as much of the outbox as `drain_timeout` allows, close, and return once nothing runs any more.

        No further message is delivered to a handler. It waits for a handler that is running, unless that is
        the caller. The next `connect` delivers the remaining messages, and sends those left in the outbox.
        """
        await self._on_loop(self._disconnected)

    async def _disconnected(self) -> None:
        self.stop()
        try:
            async with asyncio.timeout(self.config.drain_timeout + GRACE):
                await self._audience.wait_for(lambda change: change.status in ENDED, self._driver.loop)
        except TimeoutError:
            return  # Another call has connected again.
        await self._driver.closed()
        if not self._handover.called_by_handler:
            await self._handover.mark().reached()

    def start(self) -> None:
        """Begin to connect, from any thread, without waiting.

        Errors: those that the dialect raises at once; then the transport has ended in `error`.
        """
        driver = self._driver
        self._wanted = True
        self._audience.release()
        for effect in driver.feed(Connect()):
            if type(effect) is Raised:
                raise effect.error

    def stop(self) -> None:
        """Begin to disconnect, from any thread, without waiting."""
        driver = self._driver
        self._wanted = False
        self._audience.hold()
        driver.feed(Disconnect())

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
        """Submit a message, and return once it is accepted: queued or sent.

        Errors: `OutboxFull` by the overflow policy `reject`; `InvalidMessage` if the message is invalid, or
        a message of that client id is still unsettled. The policy `wait` waits for room instead, first come,
        first served.
        """
        if self._waits:
            return await self._on_loop(lambda: self._sending.send(lambda: self.submit(message)))
        return self.submit(message)

    def submit(self, message: OutgoingMessage | str, *, again: bool = False) -> Receipt:
        """Submit a message from any thread, without waiting. `again` marks a message that another
        transport may have sent already: it is accepted even if the outbox is full, and sent before those that
        were never sent.

        Errors: `OutboxFull` by the overflow policies `reject` and `wait`; `InvalidMessage` as for `send`;
        those that the dialect raises, after which the transport has ended in `error`.
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
            if type(effect) is Raised:
                self._receipts.withdraw(receipt)
                raise effect.error
        return receipt

    def unsettled(self) -> list[OutgoingMessage]:
        """Return the accepted messages without a final state, in the order of their acceptance."""
        return self._receipts.messages()

    def typing(self) -> None:
        """Report to the room that the user is typing, if the transport is connected; from any thread."""
        self._driver.feed(Typing())

    # Receiving

    def on_message(self, handler: Callable[[ChatEvent], object]) -> Unsubscribe:
        """Call the handler with every event; return the function that unsubscribes it.

        While there is a handler, events are kept for `async for` only once that has begun.
        """
        return self._audience.add(handler)

    def on_status_change(self, handler: Callable[[StatusChange], object]) -> Unsubscribe:
        """Call the handler with every change of status; return the function that unsubscribes it."""
        return self._audience.changes.add(handler)

    def on_receipt(self, handler: Callable[[Receipt], object]) -> Unsubscribe:
        """Call the handler with a receipt whenever its state changes; return the function that unsubscribes
        it."""
        return self._audience.receipts.add(handler)

    def __aiter__(self) -> Self:
        self._audience.read()
        return self

    async def __anext__(self) -> ChatEvent:
        self._audience.read()
        event = await self._audience.inbox.get()
        if event is None:
            raise StopAsyncIteration
        return event

    # From the driver, on its loop

    def _listen(self, effect: Deliver | Notify | Settle | Moved, receipt: Receipt | None) -> None:
        if type(effect) is Settle:
            if receipt is not None:
                self._audience.settle(receipt)
            if self._waits:
                self._sending.try_again()
        elif type(effect) is Deliver:
            self._audience.deliver(effect.event)
        elif type(effect) is Notify:
            self._receipts.gave_up(effect.change.status is ConnectionStatus.ERROR)
            self._audience.notify(effect.change, self._rewind)
        elif type(effect) is Moved:
            self._audience.moved(effect)
        else:
            assert_never(effect)

    def _rewind(self, messages: Sequence[ChatMessage], cursor: str | None) -> None:
        if self._running is not None:
            self._running.rewind(messages, cursor)


def _listener(transport: ChatTransport) -> Callable[[Deliver | Notify | Settle | Moved], None]:
    """Return a function that passes effects to a transport, without keeping the transport alive.

    It settles receipts and closes connections even if the transport is gone.
    """
    me, receipts, dialer = ref(transport), transport._receipts, transport._dialer

    def listen(effect: Deliver | Notify | Settle | Moved) -> None:
        receipt = receipts.settle(effect) if type(effect) is Settle else None
        if type(effect) is Notify and effect.change.status in ENDED:
            dialer.close()
        if (transport := me()) is not None:
            transport._listen(effect, receipt)
        elif type(effect) is Notify and effect.change.status in ENDED:
            receipts.give_up("its transport was discarded without a disconnect")

    return listen


def _recorder(transport: ChatTransport) -> Callable[[Step], None]:
    me = ref(transport)

    def record(step: Step) -> None:
        if (transport := me()) is not None:
            transport._audience.note(step)

    return record


def _pressure(transport: ChatTransport) -> Callable[[], int]:
    me = ref(transport)

    def pressure() -> int:
        return 0 if (transport := me()) is None else transport._handover.pressure

    return pressure


def new_id() -> str:
    """Return an unguessable client id. If another client knew it beforehand, it could use it first, and the
    server would take this message for a repetition."""
    return secrets.token_hex(12)


_UNDER_WAY = (ConnectionStatus.CONNECTING, ConnectionStatus.RECONNECTING)
