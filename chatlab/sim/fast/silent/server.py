"""A server that serves silent clients beside its connections."""

from __future__ import annotations

from typing import Protocol

from chatlab.sim.connection import Connection
from chatlab.sim.node import Node
from chatlab.sim.server import Server


class Clients(Protocol):
    """Clients that have no connection objects."""

    def server_close(self, code: int | None, reason: str) -> None:
        """End their links, as `Server.stop` does."""


class PoolServer(Server):
    """A `Server` that also serves a `pool` of silent clients."""

    pool: Clients | None = None

    def choose(self, person: int) -> Node | None:
        """Choose the node of a client whose SYN arrives; None: none is up."""
        return self._choose(person)

    def admit(self, connection: Connection) -> None:
        """Add the connection of a client that is in the accept queue, or has left it."""
        self._admit(connection)

    def stop(self, code: int | None = None, reason: str = "", node: int | None = None) -> None:
        super().stop(code, reason, node)
        if self.pool is not None:
            self.pool.server_close(code, reason)

    def close(self) -> None:
        super().close()
        self.pool = None
