"""A server that serves silent clients beside its connections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

from chatlab.hub import Output
from chatlab.random_streams import RandomStreams
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.fast.heartbeats.link import ForwardingLink
from chatlab.sim.fast.order import OrderWatch
from chatlab.sim.node import Node, Served
from chatlab.sim.server import Server
from chatlab.sim.stopping import node_of


class Silent(Served, Protocol):
    """A client that has no connection object. `accepted` is True: no fault finds it in the accept queue."""

    @property
    def node(self) -> Node:
        """The node that its link leads to."""

    def wake_to_leave(self) -> None:
        """Account for pending heartbeats before the server ends the link; a link may take its place."""

    def server_close(self, code: int | None, reason: str) -> None:
        """End its link, as `Server.stop` does."""


class PoolServer(Server):
    """A `Server` that also serves silent clients. Each has a number, and a place at its node.

    `order` watches the order in which packets come to the balancer, and to accept queues.
    """

    def __init__(self, environment: LadderEnvironment, config: ServerConfig, streams: RandomStreams) -> None:
        super().__init__(environment, config, streams)
        self.order = OrderWatch(environment)

    def choose(self, person: int) -> Node | None:
        """Choose the node of a client whose SYN arrives; None: none is up."""
        self.order.note(person)
        return self._choose(person)

    def admit(self, connection: Connection) -> None:
        """Add the connection of a client that is in the accept queue, or has left it."""
        node_of(connection).accepted += 1
        self._admit(connection)

    def admit_silent(self, client: Silent, node: Node) -> None:
        """Add a silent client, which has left the accept queue by the next fault."""
        node.accepted += 1
        self._accepted += 1
        client.number = self._accepted
        node.admit(client)

    def hand_over(self, client: Silent, link: Connection) -> None:
        """Give the place of a silent client to its link."""
        link.number = client.number
        self._connections[link.number] = link
        node_of(link).connections[link.number] = link

    def forget(self, client: Silent, node: Node, number: int) -> None:
        """Remove a silent client which a reset has reached, unless something else has ended it."""
        if node.connections.get(number) is client:
            del node.connections[number]

    def _end(self, connection: Served, code: int | None, reason: str) -> Iterable[Output]:
        if isinstance(connection, Connection):
            if isinstance(connection, ForwardingLink):
                connection.wake()
            return super()._end(connection, code, reason)
        return self._end_silent(cast("Silent", connection), code, reason)

    def _end_silent(self, client: Silent, code: int | None, reason: str) -> Iterable[Output]:
        node, number = client.node, client.number
        client.wake_to_leave()
        if node.connections[number] is not client:
            return self._end(node.connections[number], code, reason)
        node.ended += 1
        del node.connections[number]
        client.server_close(code, reason)
        return ()
