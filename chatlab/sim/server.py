"""The simulated server: nodes behind a balancer, and all connections around the real `Hub`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil, log1p
from operator import attrgetter
from typing import TypeAlias, assert_never

from chatlab.dialects.base import Answer, ServerPing
from chatlab.dialects.chatlab import decode_client_frame
from chatlab.dialects.serving import RETRY_AFTER, TOO_MANY, problem, upgrade_required
from chatlab.hub import Behind, Expel, Hub, HubConfig, MemoryLog, News, Output, Reply, requests
from chatlab.random_streams import RandomStreams
from chatlab.sim.balance import Balancer
from chatlab.sim.blocking import BLOCKED_REASON, BLOCKED_STATUS, BlockableTransport, transport_of
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.fault_context import Breakable
from chatlab.sim.http_session import Exchange, HttpConnection
from chatlab.sim.network import Link
from chatlab.sim.node import Node
from chatlab.sim.service import Service
from chatlab.sim.sizes import CLOSING_SIZE, answer_size, frame_size
from chatlab.transports.explanation import explanation

CLOSE_TIMEOUT = 0.5
"""Seconds that a stopping server gives to requests under way."""
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""The date at which every simulated run begins."""


Refusal: TypeAlias = tuple[int, str, float | None]
"""A status, a reason, and the seconds of `Retry-After`."""
FULL: Refusal = 503, TOO_MANY, RETRY_AFTER
FORBIDDEN: Refusal = BLOCKED_STATUS, BLOCKED_REASON, None


class Server:
    """A server of one or several nodes, which faults can stop and start. They share the rooms.

    It is the `Host` of all connections. `loaded`: its work may take time. `lives` counts how often it began
    to run, with its first node.
    """

    def __init__(
        self, environment: LadderEnvironment, config: ServerConfig, streams: RandomStreams | None = None
    ) -> None:
        self.environment = environment
        self.config = config
        self.nodes = [Node(number + 1, environment, config) for number in range(config.nodes)]
        self.loaded = config.service_time > 0
        self.lives = 1
        streams = streams or RandomStreams(0)
        self._balancer = Balancer(config.balance, self.nodes, streams.uniform(0, "balance"))
        self._uniform = streams.uniform(0, "service")
        self._connections: dict[int, Connection] = {}
        self._accepted = 0
        self._epoch = 0
        self._service = Service(self)
        self.hub = self._new_hub()

    def _new_hub(self) -> Hub:
        self._epoch += 1
        config = self.config
        presence = HubConfig().presence_limit if config.presence else 0
        limits = HubConfig(rate=config.rate, burst=config.burst, presence_limit=presence)
        return Hub(limits, MemoryLog(f"{self._epoch}", limits), utc=partial(_date, self.environment))

    # Connections

    def route(self, connection: Connection) -> None:
        """Set the node of a connection whose SYN arrives; None stays: none is up."""
        connection.node = self._choose(connection.path.person)

    def _choose(self, person: int) -> Node | None:
        node = self._balancer.choose(person)
        if node is not None:
            node.attempts += 1
        return node

    def accept(self, connection: Connection) -> float | None:
        """Put a connection into its node's accept queue; return when it is accepted; None: there is no
        room."""
        node = _node(connection)
        accepted_at = node.enter()
        if accepted_at is not None:
            node.accepted += 1
            self._admit(connection)
        elif node.answers_overflow:
            self._admit(connection, overflown=True)
            return self.environment.now
        return accepted_at

    def _admit(self, connection: Connection, *, overflown: bool = False) -> None:
        self._accepted += 1
        connection.number = self._accepted
        self._connections[connection.number] = connection
        _node(connection).admit(connection, overflown=overflown)

    def _remove(self, connection: Connection) -> None:
        del self._connections[connection.number]
        del _node(connection).connections[connection.number]

    def on_peer_closed(self, connection: Connection) -> None:
        """Remove a connection whose client's side has ended."""
        self._remove(connection)
        self._service.leave(connection)
        self.carry_out(self.hub.leave(connection.number))

    def upgrade(self, link: Link) -> None:
        """Answer an upgrade request, then send the greeting and the messages since the cursor."""
        if _node(link).turns_away(link):
            self._refuse(link, *FULL)
        elif _is_forbidden(link, "websocket") and not link.plain:
            self._refuse(link, *FORBIDDEN)
        elif self.loaded:
            self._do(link, partial(self._upgrade, link))
        else:
            self._upgrade(link)

    def _upgrade(self, link: Link) -> None:
        refusal = _error(link)
        if link.plain:
            self._answer_plainly(link, upgrade_required() if refusal is None else problem(*refusal))
            return
        if refusal is not None:
            self._refuse(link, *refusal)
            return
        try:
            join = requests.join(self.hub, link.query)
        except requests.Refusal as refused:
            self._refuse(link, refused.status, refused.error, None)
            return
        link.accept()
        self.join(link, join)

    def _refuse(self, link: Link, status: int, reason: str, retry_after: float | None) -> None:
        self._remove(link)
        answer = problem(status, reason, retry_after)
        wait = None if retry_after is None else float(retry_after)
        link.refuse(status, explanation(answer.body), wait, answer_size(answer) + CLOSING_SIZE)

    def _answer_plainly(self, link: Link, answer: Answer) -> None:
        """Answer an upgrade request that a proxy has made a plain one."""
        wait = answer.headers.get("retry-after")
        seconds = None if wait is None else float(wait)
        link.answer(answer.status, explanation(answer.body), seconds, answer_size(answer))

    def join(self, connection: Connection, join: requests.Join) -> None:
        """Make a connection a member of a room."""
        room, sender = join.room, join.sender
        self.carry_out(self.hub.join(connection.number, room, sender, after=join.after, history=join.history))

    def request(self, exchange: Exchange) -> None:
        """Handle a request."""
        if _node(exchange.connection).turns_away(exchange.connection):
            exchange.answer(problem(*FULL), last=True)
        elif _is_forbidden(exchange.connection, transport_of(exchange.request.method, exchange.request.path)):
            exchange.answer(problem(*FORBIDDEN))
        elif self.loaded:
            self._do(exchange.connection, partial(self._request, exchange))
        else:
            self._request(exchange)

    def _request(self, exchange: Exchange) -> None:
        if not exchange.awaited:
            return
        refusal = _error(exchange.connection)
        if refusal is None:
            self._service.serve(exchange)
        else:
            exchange.answer(problem(*refusal))

    def read(self, exchange: Exchange) -> None:
        """Handle a request whose body has arrived."""
        self._service.read(exchange)

    def ring(self, connection: HttpConnection) -> None:
        """Handle the alarm that was set for the request under way."""
        self._service.ring(connection)

    def await_close(self, link: Link) -> None:
        """Count a link as a connection until its close frame is answered."""
        _node(link).await_close(link)

    def receive(self, link: Link, frame: str | bytes) -> None:
        """Handle a client's frame."""
        if link.path.impairment.mute and isinstance(decode_client_frame(frame), ServerPing):
            return
        if self.loaded:
            self._do(link, partial(self._receive, link, frame))
        else:
            self.carry_out(self.hub.receive(link.number, frame, self.environment.now))

    def _receive(self, link: Link, frame: str | bytes) -> None:
        self.carry_out(self.hub.receive(link.number, frame, self.environment.now))

    def _do(self, connection: Connection, work: Callable[[], None]) -> None:
        """Enter the node's work queue; call `work` when it is done, if the connection is still served."""
        effort = self.config.service_time
        if self.config.service == "exponential":
            effort *= -log1p(-self._uniform())
        _node(connection).do(connection, effort + connection.path.impairment.work, work)

    def carry_out(self, outputs: Iterable[Output]) -> None:
        """Carry out the hub's outputs; polls are answered last."""
        connections, news = self._connections, None
        for output in outputs:
            if type(output) is Reply:
                frame = output.frame
                size = frame_size(frame, masked=False)
                for member in output.members:
                    if (connection := connections.get(member)) is not None:
                        connection.reply(frame, size)
            elif type(output) is News:
                news = output.room
            elif type(output) is Behind:
                self.carry_out(self.hub.go_on(output.member))
            elif type(output) is Expel:
                connection = connections[output.member]
                self._remove(connection)
                connection.server_close(output.code, output.reason)
                self.carry_out(self.hub.leave(output.member))
            else:
                assert_never(output)
        if news is not None:
            self._service.wake(news)

    def close(self) -> None:
        """Drop all references at the end of the run."""
        for connection in self._connections.values():
            connection.forget()
        self._connections.clear()
        self._service.close()
        self.hub.dissolve()

    # Faults

    def stop(self, code: int | None = None, reason: str = "", node: int | None = None) -> None:
        """Stop serving until one `start` for each `stop`; end connections with a close `code`, or without.

        With a `code`, requests under way are answered first, within `CLOSE_TIMEOUT` and before the start.
        `node`: only that one stops, by its number.
        """
        stopping = self._chosen(node)
        for each in stopping:
            each.close()
            each.die()
        self._balancer.look()
        ended = [connection for each in stopping for connection in each.connections.values()]
        news = self._end_all(ended, code, reason)
        if any(each.alive for each in self.nodes):
            self._tell(news)

    def _chosen(self, node: int | None) -> list[Node]:
        return self.nodes if node is None else [self.nodes[node - 1]]

    def _end_all(
        self, connections: Iterable[Connection], code: int | None, reason: str
    ) -> list[Iterable[Output]]:
        """End connections: those in the accept queue first, with the listener. Return the outputs for the
        others in their rooms."""
        ordered = sorted(connections, key=attrgetter("accepted"))
        return [self._end(connection, code, reason) for connection in ordered]

    def _tell(self, news: Iterable[Iterable[Output]]) -> None:
        for outputs in news:
            self.carry_out(outputs)

    def _end(self, connection: Connection, code: int | None, reason: str) -> Iterable[Output]:
        """End a connection, and return the outputs for the others in its room."""
        if not (isinstance(connection, HttpConnection) and connection.leaving):
            _node(connection).ended += 1
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

    def _finish_serving(self, connection: HttpConnection) -> None:
        """Answer a long poll, or end a stream; give other requests `CLOSE_TIMEOUT` seconds."""
        if not connection.served:
            return
        self._service.release(connection)
        exchange = connection.serving
        if exchange is not None and not exchange.begun:
            self.environment.call_later(CLOSE_TIMEOUT, self.drop, [connection])
        elif exchange is not None:
            connection.end_stream()
            self.drop([connection])

    def start(self, node: int | None = None) -> None:
        """Serve again; `node`: only that one, by its number."""
        running = any(each.alive for each in self.nodes)
        started = [each for each in self._chosen(node) if each.start()]
        self._balancer.look()
        left = [connection for each in started for connection in each.connections.values()]
        self._tell([self._end(connection, None, "") for connection in left])
        if started and not running:
            self.lives += 1
            if not self.config.keep_history:  # Else it stands for a real server's log on disk.
                self.hub = self._new_hub()

    def drop(self, connections: Iterable[Breakable], code: int | None = None, reason: str = "") -> None:
        """End some connections, as `stop` does all."""
        connections = list(connections)
        for one in connections:
            if isinstance(one, Connection):
                one.forget_handshake()
        own = [self._connections[one.number] for one in connections if one.number in self._connections]
        self._tell(self._end_all(own, code, reason))  # All are ended by now, so none of them gets anything.


def _node(connection: Connection) -> Node:
    node = connection.node
    assert isinstance(node, Node)
    return node


def _is_forbidden(connection: Connection, transport: BlockableTransport | None) -> bool:
    """Return whether a proxy answers a request of this transport with 403."""
    blocked = connection.path.impairment.blocked
    return bool(blocked) and transport is not None and blocked.get(transport) == "403"


def _error(connection: Connection) -> Refusal | None:
    """Return the refusal by which the path's impairment answers each request; None: there is none."""
    if connection.path.impairment.error is None:
        return None
    status, retry_after = connection.path.impairment.error
    return status, "a fault of the scenario", None if retry_after is None else ceil(retry_after)


def _date(environment: LadderEnvironment) -> datetime:
    return BEGINNING + timedelta(seconds=environment.now)
