"""Calls of an application's handlers, each of which may be `async` and belong to another loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Iterator
from contextvars import Context, ContextVar, copy_context

from chatlab.live.client.delivery import Delivery
from chatlab.live.foreign import report, was_cancelled
from chatlab.live.subscribers import HandlerLoop

LOOP_CHECK_INTERVAL = 0.5
"""Seconds between two checks that the loop of an `async` handler is still open."""

_HANDLER = "a handler of chat events"
inside: ContextVar[object] = ContextVar("inside", default=None)
"""The call in whose context the code runs."""
Call = tuple[Awaitable[object], HandlerLoop, Context]
"""The rest of a call, the loop on which it is to run, and its context."""


def call_handlers(delivery: Delivery, loop: asyncio.AbstractEventLoop) -> Iterator[Call]:
    """Pass an item to its receivers; yield what must be awaited before the next call."""
    if delivery.sink is not None:
        delivery.sink(delivery.item)
    if delivery.subscribers is None:
        return
    context = copy_context()
    context.run(inside.set, delivery)
    for handler, handler_loop in delivery.subscribers:
        try:
            result = context.run(handler, delivery.item)
        except BaseException as error:
            report(_HANDLER, error, loop)
            continue
        if inspect.isawaitable(result) and not asyncio.isfuture(result):  # Futures run anyway.
            yield result, handler_loop, context


def wait_for(coroutine: Awaitable[object], loop: asyncio.AbstractEventLoop, context: Context) -> None:
    """Run the rest of a call on a loop of another thread, and wait until it has finished, or the loop has
    closed."""
    work = _finish(coroutine)
    try:
        done = context.run(asyncio.run_coroutine_threadsafe, work, loop)
        finished = threading.Event()
        done.add_done_callback(lambda _: finished.set())
        while not finished.wait(LOOP_CHECK_INTERVAL) and not loop.is_closed():
            pass
    except RuntimeError:  # The loop has closed meanwhile.
        pass
    let_go(work, coroutine)


async def finish_on(
    handler_loop: HandlerLoop, coroutine: Awaitable[object], here: asyncio.AbstractEventLoop | None
) -> None:
    """Await the rest of a call, which runs on the handler's loop, or on the running one, `here`, if that has
    closed."""
    if handler_loop is None or handler_loop.is_closed() or handler_loop is here:
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
                let_go(work, coroutine)


async def _finish(coroutine: Awaitable[object]) -> None:
    try:
        await coroutine
    except BaseException as error:
        if was_cancelled(error) or isinstance(error, GeneratorExit):
            raise
        report(_HANDLER, error, asyncio.get_running_loop())


def let_go(*coroutines: Awaitable[object]) -> None:
    """Close the coroutines that their loop never started before it closed: Python would warn of them as never
    awaited."""
    for coroutine in coroutines:
        if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()
