"""The control of a server of others, which can't be stopped: to one person it looks as if it were down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from chatlab.sim.calendar import Clock
from chatlab.sim.fault_context import Breakable
from chatlab.sim.path import Path


class ProxiedPerson(Protocol):
    """A person whose connections go through a proxy."""

    path: Path

    @property
    def connections(self) -> Sequence[Breakable]:
        """All connections that the person has not closed."""

    def adapt(self) -> None:
        """Apply the changes of the path."""


class ForeignServer:
    """The control of a server that can't be stopped: to the person it looks as if it were down."""

    loaded = False

    def __init__(self, person: ProxiedPerson, environment: Clock) -> None:
        self.environment = environment
        self._person = person

    @property
    def node_count(self) -> int:
        """Number of nodes: one."""
        return 1

    def stop(self, code: int | None = None, reason: str = "", node: int | None = None) -> None:
        """Reset the person's connections, and refuse new ones until one `start` for each `stop`."""
        self._person.path.refusing += 1
        self._person.adapt()
        self.drop(self._person.connections)

    def drain(self, seconds: float, code: int, reason: str, node: int) -> None:
        """Stop as `stop` does: the server of others drains nothing."""
        self.stop()

    def start(self, node: int | None = None) -> None:
        """Accept the person's connections again."""
        self._person.path.refusing -= 1
        self._person.adapt()

    def drop(self, connections: Iterable[Breakable], code: int | None = None, reason: str = "") -> None:
        """Reset some connections."""
        for connection in connections:
            connection.reset()
