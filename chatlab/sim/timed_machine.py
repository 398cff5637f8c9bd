"""A machine on simulated time: it gets a `Tick` at its deadline.

It has one armed timer at most. Timers stay in the environment's queue: each has a generation, and a timer of
an old generation does nothing when it fires. A deadline that moves to *later* (a heartbeat's does with every
packet received) keeps the timer, which is armed again when it fires.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from math import inf

from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.timers import Timers
from chatlab.transports.machine import Event, Machine, Tick

TICK = Tick()


class TimedMachine(ABC):
    """A machine and its timer."""

    __slots__ = ("_armed_at", "_environment", "_generation", "_machine", "_timers")

    def __init__(self, machine: Machine, environment: LadderEnvironment) -> None:
        self._machine = machine
        self._environment = environment
        self._armed_at = inf
        self._generation = 0
        self._timers: Timers | None = None  # Until a fault touches them.

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Pass an event to the machine, and carry out its effects."""

    @property
    def machine(self) -> Machine:
        """The person's machine."""
        return self._machine

    @property
    def timers(self) -> Timers:
        """The client's timers."""
        if self._timers is None:
            self._timers = Timers()
        return self._timers

    def _postponed(self, action: Callable[..., None], *arguments: str) -> bool:
        """Whether the computer is suspended; the person acts when that is over."""
        timers, environment = self._timers, self._environment
        if timers is None or timers.suspended_until <= environment.now:
            return False
        environment.call_at(timers.suspended_until, partial(action, *arguments))
        return True

    def _arm(self, deadline: float) -> None:
        environment = self._environment
        deadline = max(deadline, environment.now)
        if self._timers is not None:
            deadline = self._timers.fires_at(deadline)
            if deadline >= self._armed_at:
                return
        self._armed_at = deadline
        self._generation += 1
        environment.call_at(deadline, self._fire, self._generation)

    def _fire(self, generation: int) -> None:
        if generation != self._generation:
            return
        armed_at, self._armed_at = self._armed_at, inf
        if self._timers is not None and self._timers.fires_at(armed_at) > armed_at:
            self._arm(armed_at)
            return
        deadline = self._machine.deadline
        if deadline <= self._environment.now:
            self.handle(TICK)
        elif deadline < inf:
            self._arm(deadline)
