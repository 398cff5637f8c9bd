"""One background thread with an asyncio loop, shared by all that lives beside a notebook's own loop.

It starts on first use and ends with the interpreter. `background_portal().call(async_function, …)` runs work
there and waits for it; `background_loop()` is its loop, for `call_soon_threadsafe` and the like.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from contextlib import ExitStack

from anyio.from_thread import BlockingPortal, start_blocking_portal

_lock = threading.Lock()
_portal: BlockingPortal | None = None
_loop: asyncio.AbstractEventLoop | None = None


def background_portal() -> BlockingPortal:
    """Return the portal into the background thread, which is started when first asked for."""
    global _portal, _loop
    with _lock:
        if _portal is None:
            stack = ExitStack()
            portal = stack.enter_context(start_blocking_portal(name="chatlab"))
            atexit.register(stack.close)
            _loop = portal.call(_running_loop)
            _portal = portal
        return _portal


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the background thread's loop."""
    background_portal()
    assert _loop is not None
    return _loop


async def _running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
