"""Who waits on one thread's loop for what happens on another's."""

from __future__ import annotations

import asyncio
from collections import deque
from threading import get_ident
from weakref import WeakKeyDictionary, ref

from msgspec import Struct, field


class Waiter(Struct, eq=False, weakref=True):
    """Somebody who waits on the running loop, for `woken`, until woken from any thread."""

    # Which asks for the loop itself, in half the time that it takes to ask first for that, then for a future.
    woken: asyncio.Future[None] = field(default_factory=asyncio.Future)
    _thread: int = field(default_factory=get_ident)

    def wake(self) -> bool:
        """Wake it, and return whether its loop still runs; once more does no harm."""
        try:
            if get_ident() == self._thread:
                self.wake_here()
            else:
                loop = self.woken.get_loop()
                _bell_of(loop).ring(loop, self)
        except RuntimeError:  # The loop has closed, and whoever waited is gone.
            return False
        return True

    def wake_here(self) -> None:
        """Wake it on its own thread."""
        if not self.woken.done():
            self.woken.set_result(None)


class _Bell:
    """Wakes a loop once for all of its waiters whose time comes before its next turn: that takes a system
    call, and many messages may be settled together.

    It doesn't keep them, since they would keep their loop, and so itself, if that ends without an answer.
    """

    __slots__ = ("_rung", "_waiters")

    def __init__(self) -> None:
        self._waiters: deque[ref[Waiter]] = deque()
        self._rung = False

    def ring(self, loop: asyncio.AbstractEventLoop, waiter: Waiter) -> None:
        """Have a waiter of this loop woken, from any thread.

        Errors: `RuntimeError` where the loop has closed.
        """
        self._waiters.append(ref(waiter))
        if not self._rung or loop.is_closed():
            self._rung = True
            loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._rung = False  # First: whoever comes from now on rings again.
        while self._waiters:
            waiter = self._waiters.popleft()()
            if waiter is not None:
                waiter.wake_here()


_bells: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = WeakKeyDictionary()


def _bell_of(loop: asyncio.AbstractEventLoop) -> _Bell:
    bell = _bells.get(loop)
    if bell is None:  # Where two threads make one each, both ring.
        bell = _bells[loop] = _Bell()
    return bell
