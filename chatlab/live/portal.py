"""One background thread with an asyncio loop, shared by all that lives beside a notebook's own loop.

It starts on first use and ends with the interpreter. `background_portal().call(async_function, …)` runs work
there and waits for it; `background_loop()` is its loop, for `call_soon_threadsafe` and the like.

A `SystemExit` or `KeyboardInterrupt` there is logged and ends nothing. A forked process has none of its
parent's threads, and gets a loop of its own on first use.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from chatlab.live.logs import get_logger

logger = get_logger()

Result = TypeVar("Result")

_lock = threading.Lock()
_portal: Portal | None = None


class Portal:
    """A thread with a loop, and the way to it from other threads."""

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
                    logger.exception("the background loop goes on after what would have ended it")

    def call(self, function: Callable[..., Coroutine[Any, Any, Result]], *args: object) -> Result:
        """Run a coroutine function in the thread, wait for it, and return its result.

        Errors: `RuntimeError` in the thread itself, which would wait for ever.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("this waits for the background thread, so call it from another one")
        return asyncio.run_coroutine_threadsafe(function(*args), self.loop).result()

    def _close(self) -> None:
        if os.getpid() == self._process and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._asked_to_end.set)
            self._thread.join()


def _log_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what asyncio has met, without its `repr` of tasks and callbacks, which may quote secrets."""
    logger.error("on the background loop: %s", context["message"], exc_info=context.get("exception"))


def background_portal() -> Portal:
    """Return the portal into the background thread, which is started when first asked for."""
    global _portal
    with _lock:
        if _portal is None or _portal.loop.is_closed():
            _portal = Portal()
        return _portal


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the background thread's loop."""
    return background_portal().loop


def is_background(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether that is the background thread's loop."""
    return _portal is not None and _portal.loop is loop


def _begin_anew() -> None:
    """In a forked process the thread is gone; so may be whoever held the lock."""
    global _lock, _portal
    _lock, _portal = threading.Lock(), None


os.register_at_fork(after_in_child=_begin_anew)
