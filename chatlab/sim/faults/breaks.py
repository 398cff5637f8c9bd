"""Connections break, fall silent, or are cut off for a time."""

from __future__ import annotations

from math import inf
from typing import Literal

from chatlab.settings import Duration
from chatlab.sim.faults.base import Fault, Happening, LastingFault
from chatlab.sim.path import Direction
from chatlab.sim.scene import Scene


class ConnectionReset(Fault, frozen=True, kw_only=True, tag="connection_reset"):
    """Something on the way resets the connections: each side is told that the other has gone."""

    def happen(self, scene: Scene) -> Happening:
        for victim in scene.hit:
            for connection in victim.connections:
                connection.reset()
        yield 0.0


class HalfOpen(Fault, frozen=True, kw_only=True, tag="half_open"):
    """Connections fall silent for good, unreported, both ways or one (`up`: to the server).

    Within `duration` none can be opened.
    """

    duration: Duration = 0.0
    direction: Literal["up", "down", "both"] = "both"

    @property
    def end_at(self) -> float:
        return self.at + self.duration

    @property
    def deaf_until(self) -> float:
        return -inf if self.direction == "up" else inf

    def happen(self, scene: Scene) -> Happening:
        directions: tuple[Direction, ...] = ("up", "down") if self.direction == "both" else (self.direction,)
        for victim in scene.hit:
            # A path that is silent one way lets no handshake through, so no new connection either way.
            victim.path.swallowing += 1
            for connection in victim.connections:
                connection.silence(self.at, directions)
        yield self.duration
        for victim in scene.hit:
            victim.path.swallowing -= 1


class Partition(LastingFault, frozen=True, kw_only=True, tag="partition"):
    """The network drops all packets; TCP sends them again, so they arrive after it if nobody has given up."""

    @property
    def deaf_until(self) -> float:
        return self.end_at

    def happen(self, scene: Scene) -> Happening:
        for victim in scene.hit:
            victim.path.cut_until = max(victim.path.cut_until, self.end_at)
        yield self.duration
