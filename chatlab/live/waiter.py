"""Waiting on one thread's loop for an event on another thread."""

from __future__ import annotations

import asyncio
from collections import deque
from threading import get_ident
from weakref import WeakKeyDictionary, ref

from msgspec import Struct, field


class Waiter(Struct, eq=False, weakref=True):
    """A future of the running loop, `woken`, that any thread may set."""

    # `Future()` finds the loop itself, in half the time of `get_running_loop().create_future()`.
    woken: asyncio.Future[None] = field(default_factory=asyncio.Future)
    _thread: int = field(default_factory=get_ident)

    def wake(self) -> bool:
        """Wake the waiter; return whether its loop still runs. A second call does nothing."""
        try:
            if get_ident() == self._thread:
                self.wake_here()
            else:
                loop = self.woken.get_loop()
                _waker_of(loop).schedule(loop, self)
        except RuntimeError:  # The loop has closed, and with it the waiter's task.
            return False
        return True

    def wake_here(self) -> None:
        """Wake the waiter on its own thread."""
        if not self.woken.done():
            self.woken.set_result(None)


class _LoopWaker:
    """An object that wakes a loop once for all of its waiters that are due before its next iteration.

    Each wake-up costs a system call, and many messages may be settled together.

    It refers to the waiters weakly: they refer to their loop, and would keep it alive if it closes before
    they are woken.
    """

    __slots__ = ("_scheduled", "_waiters")

    def __init__(self) -> None:
        self._waiters: deque[ref[Waiter]] = deque()
        self._scheduled = False

    def schedule(self, loop: asyncio.AbstractEventLoop, waiter: Waiter) -> None:
        """Schedule a waiter of this loop to be woken, from any thread.

        Errors: `RuntimeError` if the loop has closed.
        """
        self._waiters.append(ref(waiter))
        if not self._scheduled or loop.is_closed():
            self._scheduled = True
            loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        self._scheduled = False  # First: a later waiter must schedule another call.
        while self._waiters:
            waiter = self._waiters.popleft()()
            if waiter is not None:
                waiter.wake_here()


_wakers: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopWaker] = WeakKeyDictionary()


def _waker_of(loop: asyncio.AbstractEventLoop) -> _LoopWaker:
    waker = _wakers.get(loop)
    if waker is None:  # If two threads each create one, both wake the loop.
        waker = _wakers[loop] = _LoopWaker()
    return waker
