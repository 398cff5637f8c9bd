"""How faults stop the nodes of a simulated server, drain them, and start them again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from operator import attrgetter

from chatlab.hub import Hub, Output
from chatlab.sim.balance import Balancer
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.fault_context import Breakable
from chatlab.sim.http_connection import HttpConnection
from chatlab.sim.node import Node, Served
from chatlab.sim.service import Service
from chatlab.transports.backoff import Uniform

CLOSE_TIMEOUT = 0.5
"""Seconds that a stopping server gives to requests under way."""

Ending = tuple[Node, int, str]
"""A node whose connections are ended, with a close code and a reason."""


class StoppableServer(ABC):
    """The nodes of a server, and the ends of their connections.

    `lives` counts how often it began to run, with its first node.
    """

    hub: Hub
    _service: Service

    def __init__(self, environment: LadderEnvironment, config: ServerConfig, uniform: Uniform) -> None:
        self.environment = environment
        self.nodes = [Node(number + 1, environment, config) for number in range(config.nodes)]
        self.lives = 1
        self._balancer = Balancer(config.balance, self.nodes, uniform)
        self._keeps_history = config.keep_history
        self._connections: dict[int, Connection] = {}

    @abstractmethod
    def carry_out(self, outputs: Iterable[Output]) -> None:
        """Carry out the hub's outputs."""

    @abstractmethod
    def _new_hub(self) -> Hub:
        """Return a hub with an empty log."""

    @property
    def node_count(self) -> int:
        """Number of nodes, up or not."""
        return len(self.nodes)

    # Faults

    def stop(self, code: int | None = None, reason: str = "", node: int | None = None) -> None:
        """Stop serving, and end connections with a close `code`, or without.

        Calls nest: it serves again after as many `start` as `stop`.
        With a `code`, requests under way are answered first, within `CLOSE_TIMEOUT` and before the start.
        `node`: only that one stops, by its number.
        """
        stopping = self._chosen(node)
        for each in stopping:
            each.close()
        self._balancer.look()
        self._die(stopping, code, reason)

    def drain(self, seconds: float, code: int, reason: str, node: int) -> None:
        """Stop a node until `start`, but end its connections evenly over `seconds`, in order of acceptance.

        Those in the accept queue are reset at once. Nothing happens if the node drains already, or is down.
        """
        (draining,) = self._chosen(node)
        draining.close()
        if draining.draining or not draining.alive:
            return
        draining.draining = True
        self._balancer.look()
        waiting = [each for each in draining.connections.values() if not each.accepted]
        self._tell(self._end_all(waiting, code, reason))
        numbers, now, ending = list(draining.connections), self.environment.now, (draining, code, reason)
        for turn, number in enumerate(numbers):
            self.environment.call_at(now + turn * seconds / len(numbers), self._end_turn, (number, ending))
        self.environment.call_at(now + seconds, self._end_drain, (draining.lives, ending))

    def start(self, node: int | None = None) -> None:
        """Serve again; `node`: only that one, by its number."""
        running = any(each.alive for each in self.nodes)
        started = [each for each in self._chosen(node) if each.start()]
        self._balancer.look()
        left = [connection for each in started for connection in each.connections.values()]
        self._tell([self._end(connection, None, "") for connection in left])
        if started and not running:
            self.lives += 1
            if not self._keeps_history:  # Else it stands for a real server's log on disk.
                self.hub = self._new_hub()

    def drop(self, connections: Iterable[Breakable], code: int | None = None, reason: str = "") -> None:
        """End some connections, as `stop` does all."""
        connections = list(connections)
        for one in connections:
            if isinstance(one, Connection):
                one.forget_handshake()
        own = [self._connections[one.number] for one in connections if one.number in self._connections]
        self._tell(self._end_all(own, code, reason))  # All are ended by now, so none of them gets anything.

    # Ends

    def _chosen(self, node: int | None) -> list[Node]:
        return self.nodes if node is None else [self.nodes[node - 1]]

    def _die(self, dying: list[Node], code: int | None, reason: str) -> None:
        for each in dying:
            each.die()
        ended = [connection for each in dying for connection in each.connections.values()]
        news = self._end_all(ended, code, reason)
        if any(each.alive for each in self.nodes):
            self._tell(news)

    def _end_turn(self, turn: tuple[int, Ending]) -> None:
        """End a connection of a draining node, if it is still there."""
        number, (node, code, reason) = turn
        connection = node.connections.get(number)
        if connection is not None:
            self.carry_out(self._end(connection, code, reason))

    def _end_drain(self, drain: tuple[int, Ending]) -> None:
        """End the node's life in which the drain began, unless that has ended early."""
        life, (node, code, reason) = drain
        if node.lives == life:
            self._die([node], code, reason)

    def _end_all(
        self, connections: Iterable[Served], code: int | None, reason: str
    ) -> list[Iterable[Output]]:
        """End connections: those in the accept queue first, with the listener. Return the outputs for the
        others in their rooms."""
        ordered = sorted(connections, key=attrgetter("accepted"))
        return [self._end(connection, code, reason) for connection in ordered]

    def _tell(self, news: Iterable[Iterable[Output]]) -> None:
        for outputs in news:
            self.carry_out(outputs)

    def _end(self, connection: Served, code: int | None, reason: str) -> Iterable[Output]:
        """End a connection, and return the outputs for the others in its room."""
        assert isinstance(connection, Connection)
        if not (isinstance(connection, HttpConnection) and connection.closes_next):
            node_of(connection).ended += 1
        if code is not None and isinstance(connection, HttpConnection) and connection.finish():
            self.environment.call_later(0, self._finish_serving, connection)
            return ()
        self._remove(connection)
        self._service.leave(connection)
        if code is None:
            connection.abort()
        else:
            connection.server_close(code, reason)
        return self.hub.leave(connection.number)

    def _remove(self, connection: Connection) -> None:
        del self._connections[connection.number]
        del node_of(connection).connections[connection.number]

    def _finish_serving(self, connection: HttpConnection) -> None:
        """Answer a long poll, or end a stream; give other requests `CLOSE_TIMEOUT` seconds."""
        if not connection.server_open:
            return
        self._service.release(connection)
        exchange = connection.serving
        if exchange is not None and not exchange.head_sent:
            self.environment.call_later(CLOSE_TIMEOUT, self.drop, [connection])
        elif exchange is not None:
            connection.end_stream()
            self.drop([connection])


def node_of(connection: Connection) -> Node:
    """Return the node that a connection which was accepted leads to."""
    node = connection.node
    assert isinstance(node, Node)
    return node
