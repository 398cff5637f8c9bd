"""Delivery of a transport's events to its application, in the order in which they happened.

Handlers get events through the `Handover`, `async for` through the `Inbox`; waiters for a status are woken at
once. Events from the server can be held back and withdrawn, so that the next connection brings them again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from chatlab.live.client.delivery import Delivery, size_of
from chatlab.live.client.handover import Handover, Mark
from chatlab.live.client.inbox import Inbox
from chatlab.live.client.live_driver import Moved
from chatlab.live.client.receipt import Receipt
from chatlab.live.subscribers import Subscribers
from chatlab.messages import ChatEvent, ChatMessage, ConnectionStatus, StatusChange
from chatlab.trace import Step
from chatlab.transports.machine import Answered, Received, ReceivedBytes

ENDED = (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR)
"""Statuses of a transport that has stopped trying to connect."""

Rewind = Callable[[Sequence[ChatMessage], str | None], object]
"""Moves the cursor back to an id, so that the next connection brings these messages again."""


class Audience:
    """All receivers of one transport's events: handlers, readers (`async for`), and waiters for a status.

    With `own_thread`, handlers run on a thread of their own.
    """

    def __init__(self, *, own_thread: bool, record: Callable[[Step], None] | None) -> None:
        self.handover = Handover(own_thread=own_thread)
        self.inbox = Inbox()
        self.events: Subscribers[ChatEvent] = Subscribers()
        self.changes: Subscribers[StatusChange] = Subscribers()
        self.receipts: Subscribers[Receipt] = Subscribers()
        self.change = StatusChange(ConnectionStatus.DISCONNECTED)
        """The status as last notified."""
        self.waiters: list[tuple[Callable[[StatusChange], bool], asyncio.Future[StatusChange]]] = []
        self._steps: Subscribers[Step] = Subscribers(*([record] if record else []))
        self._reading = False
        self._cursor: str | None = None
        self._exact = False
        self._notified = self.handover.mark()
        self._returning = threading.Lock()
        """Held while undelivered events are withdrawn or released."""

    @property
    def notified(self) -> Mark:
        """The mark after the latest change of status: it is reached once all handlers were called with that
        change."""
        return self._notified

    # Receivers

    def add(self, handler: Callable[[ChatEvent], object]) -> Callable[[], None]:
        """Add a handler of events; return the function that removes it. Unless `read` was called, events are
        no longer kept for readers (`async for`)."""
        unsubscribe = self.events.add(handler)
        if not self._reading:
            self.inbox.clear()
        return unsubscribe

    def read(self) -> None:
        """Keep events for `async for` from now on, even if there are handlers."""
        self._reading = True

    async def wait_for(
        self, wanted: Callable[[StatusChange], bool], loop: asyncio.AbstractEventLoop
    ) -> StatusChange:
        """Return the first change of status that `wanted` accepts: the present one, or a later one."""
        if wanted(self.change):
            return self.change
        reached: asyncio.Future[StatusChange] = loop.create_future()
        waiter = (wanted, reached)
        self.waiters.append(waiter)
        try:
            return await reached
        finally:
            self.waiters.remove(waiter)

    # Holding back

    def release(self) -> None:
        """Deliver events from the server again, beginning with those that were held back."""
        with self._returning:
            self.handover.release()
        self.inbox.set_open(True)

    def hold(self) -> None:
        """Hold back all further events from the server."""
        with self._returning:
            self.handover.hold()

    def _take_back(self, rewind: Rewind) -> None:
        """Withdraw the undelivered events from the server: the next connection brings them again."""
        with self._returning:
            if not self.handover.holding:
                return
            messages, cursor = self.handover.take_back()
            if messages:
                rewind(messages, cursor)

    # From the driver, on its loop

    def moved(self, effect: Moved) -> None:
        """Store the cursor before the next deliveries, for `Delivery.cursor_before`."""
        self._cursor, self._exact = effect.before, effect.exact

    def deliver(self, event: ChatEvent) -> None:
        """Deliver an event from the server."""
        events = self.events
        size = size_of(event) if events else 0
        self.handover.put(Delivery(event, events, self._keep, size, True, self._cursor))
        if self._exact and event.message is not None and event.message.id:
            self._cursor = event.message.id

    def _keep(self, event: ChatEvent) -> None:
        if self._reading or not self.events:
            self.inbox.put(event)

    def settle(self, receipt: Receipt) -> None:
        """Report a receipt's new state."""
        if self.receipts:
            self.handover.put(Delivery(receipt.as_of_now(), self.receipts))

    def note(self, step: Step) -> None:
        """Pass a step to the recorder."""
        self.handover.put(Delivery(step, self._steps, size=_step_size(step)))

    def notify(self, change: StatusChange, rewind: Rewind) -> None:
        """Report a change of status."""
        self.change = change
        ended = change.status in ENDED
        if not ended:
            self.inbox.set_open(True)
        put = self.handover.put
        put(Delivery(change, self.changes))
        put(Delivery(ChatEvent("connection", reason=change.reason, change=change), self.events, self._keep))
        if ended:
            self._take_back(rewind)
            # Last, so that readers get all events before the end.
            put(Delivery(False, sink=self.inbox.set_open))
        self._notified = self.handover.mark()
        for wanted, reached in self.waiters:
            if wanted(change) and not reached.done():
                reached.set_result(change)


def _step_size(step: Step) -> int:
    event = step.event
    data = event.data if type(event) is Received or type(event) is ReceivedBytes else ""
    return 400 + len(data if type(event) is not Answered else event.answer.body)
