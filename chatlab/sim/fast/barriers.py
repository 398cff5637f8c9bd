"""The times before which no fault and no end of the run interferes with a client."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import TypeVar

from chatlab.sim.environment import LadderEnvironment

T = TypeVar("T")


class Barriers:
    """The steps of faults to come, and the end of the run under way.

    Faults are scheduled here, as on the environment; `before` is called just before each step of one, with
    that step.
    `safe_until` is the next barrier, valid until the clock passes it; -inf: none is known. `end` is the end
    of the run under way; -inf: there is none.
    """

    __slots__ = ("_before", "_environment", "_steps_at", "end", "safe_until")

    def __init__(self, environment: LadderEnvironment, before: Callable[[object], None]) -> None:
        self._environment = environment
        self._before = before
        self._steps_at: list[float] = []  # heap
        self.end = self.safe_until = -inf

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self._environment.now

    def call_at(self, time: float, callback: Callable[[T], object], argument: T, /) -> None:
        """Schedule a step of a fault."""
        heappush(self._steps_at, time)
        self.safe_until = min(self.safe_until, time)
        self._environment.call_at(time, self._take_step, (callback, argument))

    def _take_step(self, step: tuple[Callable[[T], object], T]) -> None:
        callback, argument = step
        self._before(argument)
        callback(argument)

    def set_end(self, end: float) -> None:
        """Set the end of the run under way; -inf: there is none."""
        self.end = end
        self.look()

    def look(self) -> float:
        """Compute the next barrier, and store it in `safe_until`."""
        steps_at = self._steps_at
        while steps_at and steps_at[0] < self._environment.now:
            heappop(steps_at)
        self.safe_until = min(self.end, steps_at[0]) if steps_at else self.end
        return self.safe_until

    @property
    def next(self) -> float:
        """The next barrier; it is computed only if the clock has passed `safe_until`."""
        return self.safe_until if self.safe_until >= self._environment.now else self.look()
