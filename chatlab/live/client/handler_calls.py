"""Calls of an application's handlers. Each handler may be `async`, and belong to another loop."""

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
current_delivery: ContextVar[object] = ContextVar("current_delivery", default=None)
"""The delivery whose handlers are being called, in the context of such a call; else None."""
Call = tuple[Awaitable[object], HandlerLoop, Context]
"""The awaitable of an `async` handler, the loop on which to await it, and the call's context."""


def call_handlers(delivery: Delivery, loop: asyncio.AbstractEventLoop) -> Iterator[Call]:
    """Pass an item to its receivers; yield the results that must be awaited before the next call."""
    if delivery.sink is not None:
        delivery.sink(delivery.item)
    if delivery.subscribers is None:
        return
    context = copy_context()
    context.run(current_delivery.set, delivery)
    for handler, handler_loop in delivery.subscribers:
        try:
            result = context.run(handler, delivery.item)
        except BaseException as error:
            report(_HANDLER, error, loop)
            continue
        if inspect.isawaitable(result) and not asyncio.isfuture(result):  # Futures run anyway.
            yield result, handler_loop, context


def finish_on_thread(coroutine: Awaitable[object], loop: asyncio.AbstractEventLoop, context: Context) -> None:
    """Run an `async` handler's coroutine on a loop of another thread; block until it has finished, or the
    loop has closed."""
    work = _finish(coroutine)
    try:
        done = context.run(asyncio.run_coroutine_threadsafe, work, loop)
        finished = threading.Event()
        done.add_done_callback(lambda _: finished.set())
        while not finished.wait(LOOP_CHECK_INTERVAL) and not loop.is_closed():
            pass
    except RuntimeError:  # The loop has closed meanwhile.
        pass
    close_unstarted(work, coroutine)


async def finish_on(
    handler_loop: HandlerLoop, coroutine: Awaitable[object], here: asyncio.AbstractEventLoop | None
) -> None:
    """Run an `async` handler's coroutine on the handler's loop, and await it. If that loop has closed, run
    it on the running one, `here`."""
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
                close_unstarted(work, coroutine)


async def _finish(coroutine: Awaitable[object]) -> None:
    try:
        await coroutine
    except BaseException as error:
        if was_cancelled(error) or isinstance(error, GeneratorExit):
            raise
        report(_HANDLER, error, asyncio.get_running_loop())


def close_unstarted(*coroutines: Awaitable[object]) -> None:
    """Close the coroutines that never started, since their loop has closed. Otherwise Python warns that they
    were never awaited."""
    for coroutine in coroutines:
        if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()
