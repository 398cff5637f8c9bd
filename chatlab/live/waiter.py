"""Who waits on one thread's loop for what happens on another's."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from threading import get_ident


class Waiter:
    """Somebody who waits on the running loop, by `await`, until woken from any thread."""

    __slots__ = ("_loop", "_thread", "_woken")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._woken = self._loop.create_future()

    def __await__(self) -> Generator[None, None, None]:
        return self._woken.__await__()

    def wake(self) -> bool:
        """Wake it, and return whether its loop still runs; once more does no harm."""
        try:
            if get_ident() == self._thread:
                self._wake()
            else:
                self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # The loop has closed, and whoever waited is gone.
            return False
        return True

    def _wake(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)
