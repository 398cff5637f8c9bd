"""The times before which no fault and no end of the run interferes with a client."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import TypeVar

from chatlab.sim.environment import LadderEnvironment

T = TypeVar("T")


class Barriers:
    """The next faults, and the end of the run under way.

    Faults are scheduled on it: it notes their times, and calls `before` just before each of them.
    `safe_until` is the next barrier, right as long as the clock hasn't passed it; -inf: none is known.
    """

    __slots__ = ("_environment", "_faults_at", "before", "end", "safe_until")

    def __init__(self, environment: LadderEnvironment) -> None:
        self._environment = environment
        self._faults_at: list[float] = []  # heap
        self.before: Callable[[], None] | None = None
        self.end = self.safe_until = -inf

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self._environment.now

    def call_at(self, time: float, callback: Callable[[T], object], argument: T, /) -> None:
        """Schedule a step of a fault."""
        heappush(self._faults_at, time)
        self.safe_until = min(self.safe_until, time)

        def step() -> None:
            if self.before is not None:
                self.before()
            callback(argument)

        self._environment.call_at(time, step)

    def set_end(self, end: float) -> None:
        """Set when the run under way ends; -inf: there is none."""
        self.end = end
        self.look()

    def look(self) -> float:
        """Return the next barrier, and keep it in `safe_until`."""
        faults_at = self._faults_at
        while faults_at and faults_at[0] < self._environment.now:
            heappop(faults_at)
        self.safe_until = min(self.end, faults_at[0]) if faults_at else self.end
        return self.safe_until

    @property
    def next(self) -> float:
        """`safe_until`, looked for anew if the clock has passed it."""
        return self.safe_until if self.safe_until >= self._environment.now else self.look()
