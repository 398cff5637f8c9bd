"""The way of events to an application's handlers: one call at a time, in the order of what happened.

A transport of the background loop calls them on a thread of its own, where they may block; one on a loop of
the user's own calls them there. An `async` handler runs on the loop on which it was given, and the next call
waits for it.

What the server has said can be held back, for as long as the transport is being disconnected, and then taken
back: the cursor returns to before it, and the next connection brings it again.
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
from chatlab.live.subscribers import Home, Subscribers, running_loop
from chatlab.live.waiter import Waiter
from chatlab.live.workers import workers
from chatlab.messages import ChatEvent, ChatMessage

MUCH = 1 << 20
"""Bytes on their way from which on the transport reads slowly: handlers take longer than the server."""
TOO_MUCH = 16 << 20
"""Bytes on their way from which on it reads nothing."""
CALLS = 100
"""Calls in one turn of a loop."""
TURN = 0.01
"""Seconds after which a turn of a loop makes no further call."""
LOOK = 0.5
"""Seconds between two looks whether a loop on which an `async` handler runs is still open."""

_HANDLER = "a handler of chat events"
_inside: ContextVar[object] = ContextVar("_inside", default=None)
"""The call that this code belongs to."""


class News(Struct, eq=False):
    """One thing to tell, and what is known of it.

    `sink` gets it before the handlers. What the server has `said` can be held back; where it is a message
    with an id, `place` is the cursor before it.
    """

    what: Any
    told: Subscribers[Any] | None = None
    sink: Callable[[Any], object] | None = None
    size: int = 0
    said: bool = False
    place: str | None = None

    @property
    def message(self) -> ChatMessage | None:
        """The message that the server would send again, if it is one."""
        message = self.what.message if self.said else None
        return message if message is not None and message.id else None


class Mark:
    """A point in the order of news, to be waited for."""

    def __init__(self) -> None:
        self.is_reached = False
        self._waiters: list[Waiter] = []

    def reach(self, _: object = None) -> None:
        """Wake those who wait: all before it has been told."""
        self.is_reached = True
        for waiter in tuple(self._waiters):
            waiter.wake()

    async def reached(self) -> None:
        """Wait until all before it has been told."""
        waiter = Waiter()
        self._waiters.append(waiter)
        if not self.is_reached:
            await waiter.woken


class Handover:
    """News on their way to handlers, of one transport."""

    def __init__(self, *, apart: bool) -> None:
        self._apart = apart
        self._lock = threading.Lock()
        self._news: deque[News] = deque()
        self._held: list[News] = []
        self._size = 0
        self.holding = False
        self._running = False
        self._now: News | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def pressure(self) -> int:
        """Whether there is much (1) or too much (2) on its way."""
        return (self._size >= MUCH) + (self._size >= TOO_MUCH)

    @property
    def place(self) -> tuple[str | None] | None:
        """The cursor before the first message that has not been handed over; None: there is none."""
        with self._lock:
            for news in (*self._held, *self._news):
                if news.message is not None:
                    return (news.place,)
        return None

    def move(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go on at a transport's new loop. Where the last one has closed within a call, that call is over."""
        with self._lock:
            if self._loop is not None and not self._apart:
                self._running = False
            self._loop = loop

    def put(self, news: News) -> None:
        """Hand news over, behind all that is on its way."""
        if not news.told and not self._running and not self._news:
            if news.sink is not None:  # None of the user's code has to be waited for.
                news.sink(news.what)
            return
        with self._lock:
            self._news.append(news)
            self._size += news.size
            if self._running:
                return
            self._running = True
        self._begin()

    def mark(self) -> Mark:
        """Return a mark behind all that is on its way and isn't held back."""
        mark = Mark()
        self.put(News(None, sink=mark.reach))
        return mark

    @property
    def inside(self) -> bool:
        """Whether the caller belongs to the call that is being made."""
        call = _inside.get()
        return call is not None and call is self._now

    # Holding back

    def hold(self) -> None:
        """Hand over nothing more of what the server has said, until it is released."""
        self.holding = True

    def release(self) -> None:
        """Go on with what was held back."""
        with self._lock:
            self.holding = False
            self._news.extendleft(reversed(self._held))
            self._held.clear()
            if self._running or not self._news:
                return
            self._running = True
        self._begin(later=True)

    def take_back(self) -> tuple[list[ChatMessage], str | None]:
        """Forget the messages that are held back, and return them with the cursor before the first.

        What the server won't say again stays.
        """
        with self._lock:
            held = [*self._held, *(news for news in self._news if news.said)]
            others = [news for news in self._news if not news.said]
            back = [news for news in held if news.message is not None]
            self._held = [news for news in held if news.message is None and news.what.type != "typing"]
            self._news = deque(others)
            self._size = sum(news.size for news in (*self._held, *others))
        messages = [news.message for news in back if news.message is not None]
        return messages, back[0].place if back else None

    # Handing over

    def _next(self) -> News | None:
        with self._lock:
            while self._news:
                news = self._news.popleft()
                if self.holding and news.said:
                    self._held.append(news)
                    continue
                self._size -= news.size
                self._now = news
                return news
            self._running, self._now = False, None
            return None

    def _begin(self, *, later: bool = False) -> None:
        assert self._loop is not None
        if self._apart:
            workers.run(self._run_apart)
        elif not later and running_loop() is self._loop:
            self._run_here()
        else:
            self._loop.call_soon_threadsafe(self._run_here)

    def _run_apart(self) -> None:
        while (news := self._next()) is not None:
            for coroutine, home, context in self._tell(news):
                assert self._loop is not None
                loop = self._loop if home is None or home.is_closed() else home
                self._wait_for(coroutine, loop, context)

    def _wait_for(
        self, coroutine: Awaitable[object], loop: asyncio.AbstractEventLoop, context: Context
    ) -> None:
        work = _finish(coroutine)
        try:
            done = context.run(asyncio.run_coroutine_threadsafe, work, loop)
            finished = threading.Event()
            done.add_done_callback(lambda _: finished.set())
            while not finished.wait(LOOK) and not loop.is_closed():
                pass
        except RuntimeError:  # It has closed meanwhile.
            pass
        _let_go(work, coroutine)

    def _run_here(self) -> None:
        """Make calls on the loop, some in each turn."""
        loop = self._loop
        assert loop is not None
        until, calls = loop.time() + TURN, CALLS
        while (news := self._next()) is not None:
            rest = self._tell(news)
            for coroutine, home, context in rest:
                task = context.run(loop.create_task, self._run_on(coroutine, home, rest))
                task.add_done_callback(lambda _: _let_go(coroutine))  # noqa: B023  # the loop ends here
                return
            calls -= 1
            if not calls or loop.time() > until:
                loop.call_soon(self._run_here)
                return

    async def _run_on(self, coroutine: Awaitable[object], home: Home, rest: Iterator[_Call]) -> None:
        """Finish a call, and the others of the same news; then go on."""
        try:
            await self._on(home, coroutine)
            for further, home_of_it, _ in rest:
                await self._on(home_of_it, further)
        except asyncio.CancelledError:  # As `asyncio.run` does in the end; there may be another loop later.
            with self._lock:
                self._running, self._now = False, None
            raise
        self._run_here()

    async def _on(self, home: Home, coroutine: Awaitable[object]) -> None:
        if home is None or home.is_closed() or home is self._loop:
            await _finish(coroutine)
        else:
            work = _finish(coroutine)
            try:
                done = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home))
                while not (await asyncio.wait([done], timeout=LOOK))[0] and not home.is_closed():
                    pass
            except RuntimeError:  # It has closed meanwhile.
                pass
            finally:
                if home.is_closed():
                    _let_go(work, coroutine)

    def _tell(self, news: News) -> Iterator[_Call]:
        """Give news to whoever is to get them; yield what is to be awaited before the next call."""
        if news.sink is not None:
            news.sink(news.what)
        if news.told is None:
            return
        context = copy_context()
        context.run(_inside.set, news)
        for handler, home in news.told:
            try:
                result = context.run(handler, news.what)
            except BaseException as error:
                assert self._loop is not None
                report(_HANDLER, error, self._loop)
                continue
            if inspect.isawaitable(result) and not asyncio.isfuture(result):  # Those run anyway.
                yield result, home, context


_Call = tuple[Awaitable[object], Home, Context]


async def _finish(coroutine: Awaitable[object]) -> None:
    try:
        await coroutine
    except BaseException as error:
        if was_cancelled(error) or isinstance(error, GeneratorExit):
            raise
        report(_HANDLER, error, asyncio.get_running_loop())


def _let_go(*coroutines: Awaitable[object]) -> None:
    """Close what its loop, which has closed, never began: Python warns of a coroutine that nobody awaits."""
    for coroutine in coroutines:
        if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()


def size_of(event: ChatEvent) -> int:
    """Return about how many bytes an event takes in memory."""
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
