"""Delivery of events to an application's handlers: one call at a time, in the order of the events.

A transport of the background loop calls them on a thread of its own, where they may block; a transport on a
loop of the user's own calls them there. An `async` handler runs on the loop on which it was added, and the
next call waits until it has finished.

Events from the server can be held back while the transport disconnects, and then withdrawn: the cursor
returns to the position before them, and the next connection brings them again.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any

from msgspec import Struct

from chatlab.live.foreign import report, was_cancelled
from chatlab.live.subscribers import HandlerLoop, Subscribers, running_loop
from chatlab.live.waiter import Waiter
from chatlab.live.workers import workers
from chatlab.messages import ChatEvent, ChatMessage

SLOW_READING_SIZE = 1 << 20
"""Bytes of undelivered events above which the transport reads slowly: the handlers are slower than the
server."""
STOP_READING_SIZE = 16 << 20
"""Bytes of undelivered events above which it stops reading."""
CALLS_PER_TURN = 100
"""Maximum number of handler calls in one turn of a loop."""
TURN_TIME = 0.01
"""Seconds after which a turn of a loop makes no further call."""
LOOP_CHECK_INTERVAL = 0.5
"""Seconds between two checks that the loop of an `async` handler is still open."""

_HANDLER = "a handler of chat events"
_inside: ContextVar[object] = ContextVar("_inside", default=None)
"""The call in whose context the code runs."""


class Delivery(Struct, eq=False):
    """One `item` to deliver: an event, a status change, a receipt or a step.

    `sink` gets it before the handlers. An item `from_server` can be held back; if it is a message with an id,
    `place` is the cursor before it.
    """

    item: Any
    subscribers: Subscribers[Any] | None = None
    sink: Callable[[Any], object] | None = None
    size: int = 0
    from_server: bool = False
    place: str | None = None

    @property
    def message(self) -> ChatMessage | None:
        """The message, if it is one that the server would send again."""
        message = self.item.message if self.from_server else None
        return message if message is not None and message.id else None


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
        self._now: Delivery | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def pressure(self) -> int:
        """Return 1 if many bytes are undelivered, 2 if too many, else 0."""
        return (self._size >= SLOW_READING_SIZE) + (self._size >= STOP_READING_SIZE)

    @property
    def place(self) -> tuple[str | None] | None:
        """The cursor before the first undelivered message; None if there is no such message."""
        with self._lock:
            for delivery in (*self._held, *self._deliveries):
                if delivery.message is not None:
                    return (delivery.place,)
        return None

    def move(self, loop: asyncio.AbstractEventLoop) -> None:
        """Continue on a transport's new loop. A call still running on the last loop, which has closed, counts
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
    def inside(self) -> bool:
        """Whether the caller runs within the present handler call."""
        call = _inside.get()
        return call is not None and call is self._now

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
        return messages, back[0].place if back else None

    # Delivery

    def _next(self) -> Delivery | None:
        with self._lock:
            while self._deliveries:
                delivery = self._deliveries.popleft()
                if self.holding and delivery.from_server:
                    self._held.append(delivery)
                    continue
                self._size -= delivery.size
                self._now = delivery
                return delivery
            self._running, self._now = False, None
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
            for coroutine, handler_loop, context in self._call_handlers(delivery):
                assert self._loop is not None
                loop = self._loop if handler_loop is None or handler_loop.is_closed() else handler_loop
                self._wait_for(coroutine, loop, context)

    def _wait_for(
        self, coroutine: Awaitable[object], loop: asyncio.AbstractEventLoop, context: Context
    ) -> None:
        work = _finish(coroutine)
        try:
            done = context.run(asyncio.run_coroutine_threadsafe, work, loop)
            finished = threading.Event()
            done.add_done_callback(lambda _: finished.set())
            while not finished.wait(LOOP_CHECK_INTERVAL) and not loop.is_closed():
                pass
        except RuntimeError:  # The loop has closed meanwhile.
            pass
        _let_go(work, coroutine)

    def _run_here(self) -> None:
        """Make calls on the loop, a few in each turn."""
        loop = self._loop
        assert loop is not None
        until, calls = loop.time() + TURN_TIME, CALLS_PER_TURN
        while (delivery := self._next()) is not None:
            rest = self._call_handlers(delivery)
            for coroutine, handler_loop, context in rest:
                task = context.run(loop.create_task, self._run_on(coroutine, handler_loop, rest))
                task.add_done_callback(lambda _: _let_go(coroutine))  # noqa: B023  # the loop ends here
                return
            calls -= 1
            if not calls or loop.time() > until:
                loop.call_soon(self._run_here)
                return

    async def _run_on(
        self, coroutine: Awaitable[object], handler_loop: HandlerLoop, rest: Iterator[_Call]
    ) -> None:
        """Finish a call and the remaining ones of the same item; then continue."""
        try:
            await self._on(handler_loop, coroutine)
            for further, further_loop, _ in rest:
                await self._on(further_loop, further)
        except asyncio.CancelledError:  # `asyncio.run` cancels at its end; another loop may follow.
            with self._lock:
                self._running, self._now = False, None
            raise
        self._run_here()

    async def _on(self, handler_loop: HandlerLoop, coroutine: Awaitable[object]) -> None:
        if handler_loop is None or handler_loop.is_closed() or handler_loop is self._loop:
            await _finish(coroutine)
        else:
            work = _finish(coroutine)
            try:
                done = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, handler_loop))
                while (
                    not (await asyncio.wait([done], timeout=LOOP_CHECK_INTERVAL))[0]
                    and not handler_loop.is_closed()
                ):
                    pass
            except RuntimeError:  # The loop has closed meanwhile.
                pass
            finally:
                if handler_loop.is_closed():
                    _let_go(work, coroutine)

    def _call_handlers(self, delivery: Delivery) -> Iterator[_Call]:
        """Pass an item to its receivers; yield what must be awaited before the next call."""
        if delivery.sink is not None:
            delivery.sink(delivery.item)
        if delivery.subscribers is None:
            return
        context = copy_context()
        context.run(_inside.set, delivery)
        for handler, handler_loop in delivery.subscribers:
            try:
                result = context.run(handler, delivery.item)
            except BaseException as error:
                assert self._loop is not None
                report(_HANDLER, error, self._loop)
                continue
            if inspect.isawaitable(result) and not asyncio.isfuture(result):  # Futures run anyway.
                yield result, handler_loop, context


_Call = tuple[Awaitable[object], HandlerLoop, Context]


async def _finish(coroutine: Awaitable[object]) -> None:
    try:
        await coroutine
    except BaseException as error:
        if was_cancelled(error) or isinstance(error, GeneratorExit):
            raise
        report(_HANDLER, error, asyncio.get_running_loop())


def _let_go(*coroutines: Awaitable[object]) -> None:
    """Close the coroutines that their loop never started before it closed: Python would warn of them as never
    awaited."""
    for coroutine in coroutines:
        if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()


def size_of(event: ChatEvent) -> int:
    """Return the approximate size of an event in memory, in bytes."""
    message = event.message
    if message is not None:
        text = message.text
        return 400 + len(text) * (1 if text.isascii() else 4) + len(message.data or b"")
    return 400 + len(event.reason) + _size_of(event.payload)


def _size_of(payload: Any) -> int:
    if isinstance(payload, str | bytes):
        return len(payload)
    if isinstance(payload, dict):
        return 100 + sum(_size_of(key) + _size_of(value) for key, value in payload.items())
    if isinstance(payload, list | tuple):
        return 100 + sum(map(_size_of, payload))
    return 50
