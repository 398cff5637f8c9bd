"""A clock that also runs while the computer is suspended. On Linux and macOS a loop's clock stands still
then."""

from __future__ import annotations

import asyncio
import time

SUSPENDED = 1.0
"""Seconds by which the loop's clock must have fallen behind to count as a suspension."""


def boot_time() -> float:
    """Return the seconds since the computer's start, suspensions included; the wall clock's if there is no
    such clock."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if clock is None else time.clock_gettime(clock)


class SuspensionClock:
    """A loop's clock, plus the seconds that the computer `slept` while the loop's clock stood still.

    So a timer that expires during a suspension is due right after it. `watches` is False for a loop of
    virtual or scaled time, for which suspensions don't count.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.watches: bool = getattr(loop, "keeps_real_time", True)
        self.slept = 0.0
        self._ahead = boot_time() - loop.time()

    def now(self) -> float:
        """Return seconds since any fixed time, suspensions included."""
        return self._loop.time() + self.slept

    def skip(self) -> None:
        """Ignore a suspension since the last call. For times without a deadline, when nothing can be late."""
        if self.watches:
            self._ahead = boot_time() - self._loop.time()

    def count(self) -> bool:
        """Count a suspension since the last call; return whether there was one."""
        if not self.watches:
            return False
        before, self._ahead = self._ahead, boot_time() - self._loop.time()
        if self._ahead - before <= SUSPENDED:
            return False
        self.slept += self._ahead - before
        return True
