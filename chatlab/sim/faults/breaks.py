"""Faults of connections: resets, half-open connections, and partitions."""

from __future__ import annotations

from math import inf
from typing import Literal

from chatlab.settings import Duration
from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults.base import Fault, Injection, LosingFault
from chatlab.sim.path import Direction


class ConnectionReset(Fault, frozen=True, kw_only=True, tag="connection_reset"):
    """A middlebox resets the connections: each side gets an RST."""

    def inject(self, context: FaultContext) -> Injection:
        for target in context.hit:
            for connection in target.connections:
                connection.reset()
        yield 0.0


class HalfOpen(Fault, frozen=True, kw_only=True, tag="half_open"):
    """Connections drop all packets for good, unreported, both ways or one (`up`: to the server).

    No connection can be opened for `duration` seconds: SYNs are lost, and sent again.
    """

    duration: Duration = 0.0
    direction: Literal["up", "down", "both"] = "both"

    @property
    def end_at(self) -> float:
        return self.at + self.duration

    @property
    def deaf_until(self) -> float:
        return -inf if self.direction == "up" else inf

    @property
    def leaves_half_open(self) -> bool:
        return True

    def inject(self, context: FaultContext) -> Injection:
        directions: tuple[Direction, ...] = ("up", "down") if self.direction == "both" else (self.direction,)
        for target in context.hit:
            # A path that is silent one way lets no handshake through.
            target.path.unreachable_until = max(target.path.unreachable_until, self.end_at)
            for connection in target.connections:
                connection.silence(self.at, directions)
        if (yield self.duration):
            for target in context.hit:
                target.path.unreachable_until = min(target.path.unreachable_until, context.now)


class NetworkChange(Fault, frozen=True, kw_only=True, tag="network_change"):
    """A phone changes its network: open connections become half-open, and new ones work."""

    @property
    def deaf_until(self) -> float:
        return inf

    @property
    def leaves_half_open(self) -> bool:
        return True

    def inject(self, context: FaultContext) -> Injection:
        for target in context.hit:
            for connection in target.connections:
                connection.silence(self.at, ("up", "down"))
        yield 0.0


class Partition(LosingFault, frozen=True, kw_only=True, tag="partition"):
    """The network drops all packets; TCP resends them, so they arrive after it unless an end has given up."""
