"""Calls of the user's own code (handlers, recorders, functions for headers, dialects), and their errors.

Errors are logged, so that none stops a shared thread or loop. On a loop of the user's own, `SystemExit` and
`KeyboardInterrupt` end the loop. They are raised from a separate callback, when the transport's state is
consistent.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

from chatlab.live.background_loop import is_background
from chatlab.live.loggers import get_logger
from chatlab.live.workers import workers

logger = get_logger()

MAX_CALLS = 8
"""Concurrent calls of one function, so that a function that hangs doesn't use up a thread for each
attempt."""

_under_way: Counter[int] = Counter()
_counting = threading.Lock()


class TooManyCalls(Exception):
    """Too many earlier calls haven't returned yet."""


def report(what: str, error: BaseException, loop: asyncio.AbstractEventLoop) -> None:
    """Log an error of the user's code; raise it from a loop of the user's own if it is one that ends
    programs."""
    if isinstance(error, SystemExit | KeyboardInterrupt) and not is_background(loop):
        loop.call_soon_threadsafe(_pass_on, error)
    else:
        logger.error("%s raised", what, exc_info=error)


def _pass_on(error: BaseException) -> NoReturn:
    raise error


def was_cancelled(error: BaseException) -> bool:
    """Whether the running task was cancelled, as opposed to the user's code raising `CancelledError`."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def call_on_thread(function: Callable[[], Any], owner: object) -> Any:
    """Call a function that may block, on a thread of its own.

    Errors: those of the function; `TooManyCalls` if `MAX_CALLS` calls for that owner haven't returned yet.
    """
    key = id(owner)  # Unique, since each call under way refers to its owner.
    if _under_way[key] >= MAX_CALLS:
        raise TooManyCalls
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
        raise RuntimeError(type(error).__name__) from error  # Asyncio would misread the original.
    if error is not None:
        raise error
    return value


def returned(owner: object) -> None:
    """Count a call that has returned."""
    with _counting:
        _under_way[id(owner)] -= 1
        if not _under_way[id(owner)]:
            del _under_way[id(owner)]
