"""Replace httpcore's clock by the running loop's. httpcore has no public setting for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from httpcore._async import http11


class _LoopTime:
    """A replacement for the module `time` in httpcore that returns the running loop's time.

    httpcore measures by the wall clock how long a kept connection has been idle. In these worlds only the
    loop's time counts. Any other loop's time is the wall clock's, so nothing changes for other users.
    """

    @staticmethod
    def monotonic() -> float:
        """Return the running loop's time."""
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return time.monotonic()


_lock = threading.Lock()
_runs = 0


@contextmanager
def httpcore_uses_loop_time() -> Iterator[None]:
    """Replace httpcore's clock by the running loop's until the last of these contexts ends."""
    global _runs
    with _lock:
        _runs += 1
        vars(http11)["time"] = _LoopTime
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            if not _runs:
                vars(http11)["time"] = time
