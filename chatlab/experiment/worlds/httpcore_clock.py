"""Lets httpcore live by the running loop's clock, where that isn't the wall's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from httpcore._async import http11


class _LoopTime:
    """Stands in for the module `time` in httpcore: there the time is the running loop's.

    httpcore measures by the wall clock how long a kept connection was idle, which says nothing here. Any
    other loop's time is that clock's own, so nobody else sees a difference.
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
def httpcore_on_loop_time() -> Iterator[None]:
    """Give httpcore the loop's time, for which it has no public way."""
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
