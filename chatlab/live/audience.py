"""The events of a transport, delivered to its application in the order in which they happened.

Handlers get it by the handover, `async for` by the inbox, and those who wait for a status at once. What the
server has said can be held back and taken back, so that the next connection brings it again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from chatlab.live.driver import Moved
from chatlab.live.handover import Handover, Mark, News, size_of
from chatlab.live.inbox import Inbox
from chatlab.live.receipt import Receipt
from chatlab.live.subscribers import Subscribers
from chatlab.messages import ChatEvent, ChatMessage, ConnectionStatus, StatusChange
from chatlab.trace import Step
from chatlab.transports.machine import Answered, Received, ReceivedBytes

ENDED = (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR)
"""Statuses of a transport that tries no more."""

Rewind = Callable[[Sequence[ChatMessage], str | None], object]
"""Moves the cursor back to a place, and has these messages come again."""


class Audience:
    """All who hear of one transport. `apart`: its handlers have a thread of their own."""

    def __init__(self, *, apart: bool, record: Callable[[Step], None] | None) -> None:
        self.handover = Handover(apart=apart)
        self.inbox = Inbox()
        self.events: Subscribers[ChatEvent] = Subscribers()
        self.changes: Subscribers[StatusChange] = Subscribers()
        self.receipts: Subscribers[Receipt] = Subscribers()
        self.change = StatusChange(ConnectionStatus.DISCONNECTED)
        """The status as last notified."""
        self.waiters: list[tuple[Callable[[StatusChange], bool], asyncio.Future[StatusChange]]] = []
        self._steps: Subscribers[Step] = Subscribers(*([record] if record else []))
        self._reading = False
        self._place: str | None = None
        self._exact = False
        self._told = self.handover.mark()
        self._returning = threading.Lock()
        """Held while what wasn't handed over is taken back, or is let go on."""

    @property
    def told(self) -> Mark:
        """The point behind which all have heard of the latest change of status."""
        return self._told

    # Who hears

    def add(self, handler: Callable[[ChatEvent], object]) -> Callable[[], None]:
        """Tell a handler of events, too; return what ends that. Without a reader nothing is kept any more."""
        unsubscribe = self.events.add(handler)
        if not self._reading:
            self.inbox.clear()
        return unsubscribe

    def read(self) -> None:
        """Keep events for `async for` from now on, whatever handlers there are."""
        self._reading = True

    async def reach(
        self, wanted: Callable[[StatusChange], bool], loop: asyncio.AbstractEventLoop
    ) -> StatusChange:
        """Return the first change of status that is wanted: the present one, or one to come."""
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
        """Hand over what the server says, and first what was held back."""
        with self._returning:
            self.handover.release()
        self.inbox.set_open(True)

    def hold(self) -> None:
        """Hand over nothing more of what the server has said."""
        with self._returning:
            self.handover.hold()

    def _take_back(self, rewind: Rewind) -> None:
        """Leave what the server has said, and wasn't handed over, to the next connection."""
        with self._returning:
            if not self.handover.holding:
                return
            messages, place = self.handover.take_back()
            if messages:
                rewind(messages, place)

    # From the driver, on its loop

    def moved(self, effect: Moved) -> None:
        """Note where the cursor was before the next deliveries."""
        self._place, self._exact = effect.before, effect.exact

    def deliver(self, event: ChatEvent) -> None:
        """Tell what the server has said."""
        events = self.events
        size = size_of(event) if events else 0
        self.handover.put(News(event, events, self._keep, size, True, self._place))
        if self._exact and event.message is not None and event.message.id:
            self._place = event.message.id

    def _keep(self, event: ChatEvent) -> None:
        if self._reading or not self.events:
            self.inbox.put(event)

    def settle(self, receipt: Receipt) -> None:
        """Tell of a receipt's new state."""
        if self.receipts:
            self.handover.put(News(receipt.as_of_now(), self.receipts))

    def note(self, step: Step) -> None:
        """Have a step recorded."""
        self.handover.put(News(step, self._steps, size=_step_size(step)))

    def notify(self, change: StatusChange, rewind: Rewind) -> None:
        """Tell of a change of status."""
        self.change = change
        ended = change.status in ENDED
        if not ended:
            self.inbox.set_open(True)
        put = self.handover.put
        put(News(change, self.changes))
        put(News(ChatEvent("connection", reason=change.reason, change=change), self.events, self._keep))
        if ended:
            self._take_back(rewind)
            put(News(False, sink=self.inbox.set_open))  # Last, so that readers get all of it.
        self._told = self.handover.mark()
        for wanted, reached in self.waiters:
            if wanted(change) and not reached.done():
                reached.set_result(change)


def _step_size(step: Step) -> int:
    event = step.event
    data = event.data if type(event) is Received or type(event) is ReceivedBytes else ""
    return 400 + len(data if type(event) is not Answered else event.answer.body)
