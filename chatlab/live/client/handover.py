"""Delivery of events to an application's handlers: one call at a time, in the order of the events.

A transport on the background loop calls handlers on a thread of its own, where they may block. A transport on
the user's own loop calls them there. An `async` handler runs on the loop on which it was added, and the next
call waits until it has finished.

Events from the server can be held back while the transport disconnects, and then withdrawn. The cursor is
rewound to the position before them, so the next connection brings them again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Iterator

from chatlab.live.client.delivery import Delivery
from chatlab.live.client.handler_calls import (
    Call,
    call_handlers,
    close_unstarted,
    current_delivery,
    finish_on,
    finish_on_thread,
)
from chatlab.live.subscribers import HandlerLoop, running_loop
from chatlab.live.waiter import Waiter
from chatlab.live.workers import workers
from chatlab.messages import ChatMessage

SLOW_READING_SIZE = 1 << 20
"""Bytes of undelivered events above which the transport reads slowly: the handlers are slower than the
server."""
STOP_READING_SIZE = 16 << 20
"""Bytes of undelivered events above which it stops reading."""
CALLS_PER_TURN = 100
"""Maximum number of handler calls in one iteration of a loop."""
TURN_TIME = 0.01
"""Seconds after which an iteration of a loop makes no further call."""


class Mark:
    """A position in the queue that can be awaited."""

    def __init__(self) -> None:
        self.is_reached = False
        self._waiters: list[Waiter] = []

    def reach(self, _: object = None) -> None:
        """Wake the waiters, since everything before the mark has been delivered."""
        self.is_reached = True
        for waiter in tuple(self._waiters):
            waiter.wake()

    async def reached(self) -> None:
        """Wait until everything before the mark has been delivered."""
        waiter = Waiter()
        self._waiters.append(waiter)
        if not self.is_reached:
            await waiter.woken


class Handover:
    """The delivery queue of one transport. `own_thread`: handlers run on a thread of their own."""

    def __init__(self, *, own_thread: bool) -> None:
        self._own_thread = own_thread
        self._lock = threading.Lock()
        self._deliveries: deque[Delivery] = deque()
        self._held: list[Delivery] = []
        self._size = 0
        self.holding = False
        self._running = False
        self._current: Delivery | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def pressure(self) -> int:
        """1 from `SLOW_READING_SIZE` undelivered bytes on, 2 from `STOP_READING_SIZE` on, else 0."""
        return (self._size >= SLOW_READING_SIZE) + (self._size >= STOP_READING_SIZE)

    @property
    def cursor_before(self) -> tuple[str | None] | None:
        """The cursor before the first undelivered message, in a tuple; None if there is no such message."""
        with self._lock:
            for delivery in (*self._held, *self._deliveries):
                if delivery.message is not None:
                    return (delivery.cursor_before,)
        return None

    def move(self, loop: asyncio.AbstractEventLoop) -> None:
        """Continue on a transport's new loop. The last one has closed, so a call still running there counts
        as ended."""
        with self._lock:
            if self._loop is not None and not self._own_thread:
                self._running = False
            self._loop = loop

    def put(self, delivery: Delivery) -> None:
        """Deliver an item, after all earlier ones."""
        if not delivery.subscribers and not self._running and not self._deliveries:
            if delivery.sink is not None:  # No handler has to be called.
                delivery.sink(delivery.item)
            return
        with self._lock:
            self._deliveries.append(delivery)
            self._size += delivery.size
            if self._running:
                return
            self._running = True
        self._begin()

    def mark(self) -> Mark:
        """Return a mark after everything that is queued and not held back."""
        mark = Mark()
        self.put(Delivery(None, sink=mark.reach))
        return mark

    @property
    def called_by_handler(self) -> bool:
        """Whether the caller is the handler that is being called, or code that it runs."""
        call = current_delivery.get()
        return call is not None and call is self._current

    # Holding back

    def hold(self) -> None:
        """Deliver no further events from the server until `release`."""
        self.holding = True

    def release(self) -> None:
        """Continue with the events that were held back."""
        with self._lock:
            self.holding = False
            self._deliveries.extendleft(reversed(self._held))
            self._held.clear()
            if self._running or not self._deliveries:
                return
            self._running = True
        self._begin(later=True)

    def take_back(self) -> tuple[list[ChatMessage], str | None]:
        """Drop the messages that are held back, and return them with the cursor before the first.

        Items that the server won't send again stay.
        """
        with self._lock:
            held = [*self._held, *(delivery for delivery in self._deliveries if delivery.from_server)]
            others = [delivery for delivery in self._deliveries if not delivery.from_server]
            back = [delivery for delivery in held if delivery.message is not None]
            self._held = [
                delivery for delivery in held if delivery.message is None and delivery.item.type != "typing"
            ]
            self._deliveries = deque(others)
            self._size = sum(delivery.size for delivery in (*self._held, *others))
        messages = [delivery.message for delivery in back if delivery.message is not None]
        return messages, back[0].cursor_before if back else None

    # Delivery

    def _next(self) -> Delivery | None:
        with self._lock:
            while self._deliveries:
                delivery = self._deliveries.popleft()
                if self.holding and delivery.from_server:
                    self._held.append(delivery)
                    continue
                self._size -= delivery.size
                self._current = delivery
                return delivery
            self._running, self._current = False, None
            return None

    def _begin(self, *, later: bool = False) -> None:
        assert self._loop is not None
        if self._own_thread:
            workers.run(self._run_on_thread)
        elif not later and running_loop() is self._loop:
            self._run_here()
        else:
            self._loop.call_soon_threadsafe(self._run_here)

    def _run_on_thread(self) -> None:
        while (delivery := self._next()) is not None:
            assert self._loop is not None
            for coroutine, handler_loop, context in call_handlers(delivery, self._loop):
                loop = self._loop if handler_loop is None or handler_loop.is_closed() else handler_loop
                finish_on_thread(coroutine, loop, context)

    def _run_here(self) -> None:
        """Call handlers on the loop, a few in each of its iterations."""
        loop = self._loop
        assert loop is not None
        until, calls = loop.time() + TURN_TIME, CALLS_PER_TURN
        while (delivery := self._next()) is not None:
            rest = call_handlers(delivery, loop)
            for coroutine, handler_loop, context in rest:
                task = context.run(loop.create_task, self._run_on(coroutine, handler_loop, rest))
                task.add_done_callback(lambda _: close_unstarted(coroutine))  # noqa: B023  # the loop ends here
                return
            calls -= 1
            if not calls or loop.time() > until:
                loop.call_soon(self._run_here)
                return

    async def _run_on(
        self, coroutine: Awaitable[object], handler_loop: HandlerLoop, rest: Iterator[Call]
    ) -> None:
        """Await a call, then the remaining ones of the same item; then go on with the next item."""
        try:
            await finish_on(handler_loop, coroutine, self._loop)
            for further, further_loop, _ in rest:
                await finish_on(further_loop, further, self._loop)
        except asyncio.CancelledError:  # `asyncio.run` cancels at its end; another loop may follow.
            with self._lock:
                self._running, self._current = False, None
            raise
        self._run_here()
