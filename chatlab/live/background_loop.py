"""One background thread with an asyncio loop, shared by everything that must not run on a notebook's own
loop.

It starts on first use and ends with the interpreter. `background_thread().call(async_function, …)` runs a
coroutine there and waits for its result; `background_loop()` is its loop, for `call_soon_threadsafe` and
similar calls.

A `SystemExit` or `KeyboardInterrupt` there is logged and ends nothing. A forked process has none of its
parent's threads, and starts its own on first use.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from chatlab.live.loggers import get_logger

logger = get_logger()

Result = TypeVar("Result")

_lock = threading.Lock()
_background: BackgroundThread | None = None


class BackgroundThread:
    """A thread with a running loop, to which other threads can pass work."""

    def __init__(self) -> None:
        ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="chatlab", daemon=True)
        self._thread.start()
        self.loop, self._asked_to_end = ready.result()
        atexit.register(self._close)

    def _run(self, ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        with asyncio.Runner() as runner:
            loop, asked_to_end = runner.get_loop(), asyncio.Event()
            loop.set_exception_handler(_log_unhandled)
            ready.set_result((loop, asked_to_end))
            serving = loop.create_task(asked_to_end.wait())
            while not serving.done():
                try:
                    loop.run_until_complete(serving)
                except (SystemExit, KeyboardInterrupt):
                    logger.exception("the background loop ignores an exception that ends programs")

    def call(self, function: Callable[..., Coroutine[Any, Any, Result]], *args: object) -> Result:
        """Run a coroutine function in the thread, wait for it, and return its result.

        Errors: `RuntimeError` if called in the thread itself, which would deadlock.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("call this from another thread: it waits for the background thread")
        return asyncio.run_coroutine_threadsafe(function(*args), self.loop).result()

    def _close(self) -> None:
        if os.getpid() == self._process and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._asked_to_end.set)
            self._thread.join()


def _log_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an unhandled error without asyncio's `repr` of tasks and callbacks, which may quote secrets."""
    error = context.get("exception")
    logger.error("unhandled error on the background loop: %s", context["message"], exc_info=error)


def background_thread() -> BackgroundThread:
    """Return the background thread; start it at the first call."""
    global _background
    with _lock:
        if _background is None or _background.loop.is_closed():
            _background = BackgroundThread()
        return _background


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the background thread's loop."""
    return background_thread().loop


def is_background(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `loop` is the background thread's loop."""
    return _background is not None and _background.loop is loop


def _reset_after_fork() -> None:
    """Forget the thread in a forked process, where it doesn't exist, and the lock, whose holder may not
    exist."""
    global _lock, _background
    _lock, _background = threading.Lock(), None


os.register_at_fork(after_in_child=_reset_after_fork)
