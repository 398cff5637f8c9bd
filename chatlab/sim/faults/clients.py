"""Faults of a client's computer: a hidden tab, and a closed lid."""

from __future__ import annotations

from math import ceil
from typing import Annotated

from msgspec import Meta

from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults.base import Injection, LastingFault, LosingFault

ROUNDING = 1e-6
"""Part of a period by which a timer may be due behind one wake-up, and still fire at it."""


class Throttled(LastingFault, frozen=True, kw_only=True, tag="throttled"):
    """The client's timers fire only every `period` seconds, as in a hidden tab, and when the fault is over.

    What arrives from the network is handled at once.

    Source: Chromium's intensive throttling, once a minute in a tab that is hidden for five minutes.
    """

    period: Annotated[float, Meta(ge=0.001, le=1e9)] = 60.0

    @property
    def severity(self) -> int:
        return 1

    def fires_at(self, due_at: float) -> float:
        """Return when a timer fires that is due at `due_at`."""
        if not self.at <= due_at < self.end_at:
            return due_at
        periods = ceil((due_at - self.at) / self.period - ROUNDING)
        return min(max(self.at + periods * self.period, due_at), self.end_at)

    def inject(self, context: FaultContext) -> Injection:
        delay = self.fires_at
        for target in context.hit:
            target.timers.add(delay)
        yield self.duration
        for target in context.hit:
            target.timers.remove(delay)


class Suspended(LosingFault, frozen=True, kw_only=True, tag="suspended"):
    """The computer sleeps, as with its lid closed: all packets are lost, and no timer fires.

    At the end everything happens that is overdue, the person's own actions too. Packets that were under way
    at the beginning still arrive; TCP resends those that are lost.
    """

    @property
    def severity(self) -> int:
        return 1

    def inject(self, context: FaultContext) -> Injection:
        for target in context.hit:
            timers = target.timers
            timers.suspended_until = max(timers.suspended_until, self.end_at)
        if (yield self.duration):
            context.end_losses(self.at)
            for target in context.hit:
                target.timers.suspended_until = min(target.timers.suspended_until, context.now)
