"""A timer of the simulation whose deadline may move."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from chatlab.sim.environment import LadderEnvironment


class Alarm:
    """Calls back at its `deadline` (inf: never).

    A later deadline keeps the queue entry, which is scheduled anew when it fires. An earlier deadline adds an
    entry; the old one does nothing when it fires.
    """

    __slots__ = ("_armed_at", "_callback", "_environment", "_generation", "deadline")

    def __init__(self, environment: LadderEnvironment, callback: Callable[[], None]) -> None:
        self._environment = environment
        self._callback = callback
        self._armed_at = inf
        self._generation = 0
        self.deadline = inf

    def set(self, deadline: float) -> None:
        """Move the deadline."""
        self.deadline = deadline
        if deadline < self._armed_at:
            self._arm()

    def cancel(self) -> None:
        """Cancel the alarm, and drop the reference to the callback."""
        self.deadline = inf
        self._callback = _do_nothing

    def _arm(self) -> None:
        self._armed_at = self.deadline
        self._generation += 1
        self._environment.call_at(self.deadline, self._fire, self._generation)

    def _fire(self, generation: int) -> None:
        if generation != self._generation:
            return
        self._armed_at = inf
        if self.deadline <= self._environment.now:
            self.deadline = inf
            self._callback()
        elif self.deadline < inf:
            self._arm()


def _do_nothing() -> None:
    """Do nothing, in place of a cancelled callback."""
