"""Errors of the user's own code: handlers, recorders, functions for headers, dialects.

None of them stops what others share: each is logged. On a loop of the user's own, `SystemExit` and
`KeyboardInterrupt` are passed on: they leave the loop from a callback of their own, so that the transport is
in order by then.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

from chatlab.live.logs import get_logger
from chatlab.live.portal import is_background
from chatlab.live.workers import workers

logger = get_logger()

MAX_CALLS = 8
"""Calls of one function that may be under way at once, so that one that hangs takes no thread an attempt."""

_under_way: Counter[int] = Counter()
_counting = threading.Lock()


class Unanswered(Exception):
    """Earlier calls haven't returned yet."""


def report(what: str, error: BaseException, loop: asyncio.AbstractEventLoop) -> None:
    """Log an error of the user's code, or have it leave a loop of the user's own where it ends programs."""
    if isinstance(error, SystemExit | KeyboardInterrupt) and not is_background(loop):
        loop.call_soon_threadsafe(_pass_on, error)
    else:
        logger.error("%s raised", what, exc_info=error)


def _pass_on(error: BaseException) -> NoReturn:
    raise error


def was_cancelled(error: BaseException) -> bool:
    """Whether the running task was cancelled by somebody, instead of that code raising `CancelledError`."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def call_apart(function: Callable[[], Any], owner: object) -> Any:
    """Call a function that may block on a thread of its own.

    Errors: those of the function; `Unanswered` where `MAX_CALLS` for that owner haven't returned yet.
    """
    key = id(owner)  # Kept from being used again by the call, which holds its owner.
    if _under_way[key] >= MAX_CALLS:
        raise Unanswered
    with _counting:
        _under_way[key] += 1
    context = contextvars.copy_context()

    def call() -> tuple[Any, BaseException | None]:
        # A future can't hold every error.
        try:
            return context.run(function), None
        except BaseException as error:
            return None, error
        finally:
            returned(owner)

    value, error = await asyncio.shield(asyncio.wrap_future(workers.call(call)))
    if isinstance(error, asyncio.CancelledError | GeneratorExit | StopIteration):
        raise RuntimeError(type(error).__name__) from error  # Here they would mean something else.
    if error is not None:
        raise error
    return value


def returned(owner: object) -> None:
    """Count a call that has returned."""
    with _counting:
        _under_way[id(owner)] -= 1
        if not _under_way[id(owner)]:
            del _under_way[id(owner)]
