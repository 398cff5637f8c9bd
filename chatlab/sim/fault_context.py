"""The parts of a world that faults act on: clock, server, people and their connections.

A fault acts only on these, so it does the same in every world that provides them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from chatlab.random_streams import RandomStreams
from chatlab.sim.calendar import Clock
from chatlab.sim.path import Direction, Impairment, Path
from chatlab.sim.timers import Timers
from chatlab.transports.backoff import Uniform


class Breakable(Protocol):
    """A connection."""

    @property
    def number(self) -> int:
        """The server's number for it."""

    def reset(self) -> None:
        """Reset it as a middlebox does: each side gets an RST."""

    def silence(self, at: float, directions: Sequence[Direction]) -> None:
        """From `at` on drop all packets in these directions, unreported."""


class FaultTarget(Protocol):
    """A person that a fault may hit."""

    person: int

    @property
    def name(self) -> str:
        """The person's name."""

    @property
    def path(self) -> Path:
        """The person's path to the server."""

    @property
    def timers(self) -> Timers:
        """The client's timers."""

    @property
    def connections(self) -> Iterable[Breakable]:
        """All connections: in use, idle, or closing."""

    def adapt(self) -> None:
        """Apply the changes of the path."""

    def add_impairment(self, impairment: Impairment) -> None:
        """Add an impairment to the path."""

    def remove_impairment(self, impairment: Impairment) -> None:
        """Remove an impairment from the path."""


class ServerControl(Protocol):
    """The server. `loaded`: its work may take time."""

    loaded: bool

    @property
    def environment(self) -> Clock:
        """The clock."""

    @property
    def node_count(self) -> int:
        """Number of nodes, up or not."""

    def stop(self, code: int | None = None, reason: str = "", node: int | None = None) -> None:
        """Stop serving, and end connections with a close `code`, or without.

        Calls nest: it serves again after as many `start` as `stop`.
        `node`: only that one stops, by its number from 1.
        """

    def drain(self, seconds: float, code: int, reason: str, node: int) -> None:
        """Stop a node until `start`, but end its connections evenly over `seconds`, in order of
        acceptance."""

    def start(self, node: int | None = None) -> None:
        """Serve again; `node`: only that one, by its number."""

    def drop(self, connections: Iterable[Breakable], code: int | None = None, reason: str = "") -> None:
        """End some connections, as `stop` does all: those in the accept queue first."""


class FaultContext:
    """The target of one fault: the server, and the people it hits. `number` is its place in the scenario."""

    __slots__ = ("_number", "_streams", "hit", "server")

    def __init__(
        self, server: ServerControl, hit: Sequence[FaultTarget], streams: RandomStreams, number: int
    ) -> None:
        self.server = server
        self.hit = hit
        self._streams = streams
        self._number = number

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self.server.environment.now

    def end_losses(self, begun_at: float) -> None:
        """End the periods of loss that began at `begun_at` now, before their own end."""
        for target in self.hit:
            target.path.end_losses(begun_at, self.now)
            target.adapt()

    def uniform_of(self, target: FaultTarget) -> Uniform:
        """Return the fault's random stream for one person."""
        return self._streams.uniform(target.person, f"fault-{self._number}-packets")
