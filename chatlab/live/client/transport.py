"""The application's interface to a transport on real sockets: connect, send, receive."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Self

from chatlab.errors import ConnectError, OutboxFull
from chatlab.live.client.audience import ENDED
from chatlab.live.client.driven_machine import DrivenMachine
from chatlab.live.client.live_driver import Raised
from chatlab.live.client.receipt import Receipt
from chatlab.live.foreign import report
from chatlab.live.subscribers import Unsubscribe
from chatlab.messages import ChatEvent, ConnectionStatus, OutgoingMessage, StatusChange
from chatlab.transports.machine import (
    Connect,
    Disconnect,
    Refuse,
    Submit,
    Typing,
)

GRACE = 1.0
"""Seconds beyond `drain_timeout` for which `disconnect` waits. It takes less, unless another task calls
`connect` meanwhile."""
NOTIFY_TIMEOUT = 1.0
"""Seconds for which `connect` waits until the handlers were called with the new status."""


class ChatTransport(DrivenMachine):
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


def new_id() -> str:
    """Return an unguessable client id. If another client knew it beforehand, it could use it first, and the
    server would take this message for a repetition."""
    return secrets.token_hex(12)


_UNDER_WAY = (ConnectionStatus.CONNECTING, ConnectionStatus.RECONNECTING)
