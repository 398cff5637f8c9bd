"""A clock that also runs while the computer is suspended; a loop's may stand still (Linux, macOS)."""

from __future__ import annotations

import asyncio
import time

SUSPENDED = 1.0
"""Seconds by which the loop's clock must lag for a suspension."""


def running_on() -> float:
    """Return seconds of a clock that also runs while the computer is suspended; the wall clock if there is no
    other."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if clock is None else time.clock_gettime(clock)


class SuspensionClock:
    """The time of a loop, and the seconds that the computer `slept` while the loop's clock stood still.

    So a timer that expires during a suspension is due right after it. A loop whose time isn't real isn't
    watched: it `watches` nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.watches: bool = getattr(loop, "keeps_real_time", True)
        self.slept = 0.0
        self._ahead = running_on() - loop.time()

    def now(self) -> float:
        """Return seconds since any fixed time, suspensions included."""
        return self._loop.time() + self.slept

    def skip(self) -> None:
        """Don't count a suspension that has passed: nothing was due, so nothing is late."""
        if self.watches:
            self._ahead = running_on() - self._loop.time()

    def count(self) -> bool:
        """Count a suspension since the last call; return whether there was one."""
        if not self.watches:
            return False
        before, self._ahead = self._ahead, running_on() - self._loop.time()
        if self._ahead - before <= SUSPENDED:
            return False
        self.slept += self._ahead - before
        return True
