"""The simulated server: nodes behind a balancer, and all connections around the real `Hub`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from math import log1p
from typing import assert_never

from chatlab.dialects.base import Answer, ServerPing
from chatlab.dialects.chatlab import decode_client_frame
from chatlab.dialects.serving import problem, upgrade_required
from chatlab.hub import Behind, Expel, Hub, HubConfig, MemoryLog, News, Output, Reply, requests
from chatlab.messages import OutgoingMessage
from chatlab.random_streams import RandomStreams
from chatlab.sim.blocking import transport_of
from chatlab.sim.capacity import Need, ServerConfig
from chatlab.sim.closing import ClosingLink
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.http_connection import Exchange, HttpConnection
from chatlab.sim.link import Link
from chatlab.sim.needs import Needs, cause_of, nack, refusal_of
from chatlab.sim.node import Node
from chatlab.sim.refusals import FORBIDDEN, is_forbidden, refusal_by_fault, refusal_by_node
from chatlab.sim.service import Service
from chatlab.sim.sizes import CLOSING_SIZE, answer_size, frame_size
from chatlab.sim.stopping import StoppableServer, node_of
from chatlab.transports.explanation import explanation

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""The date at which every simulated run begins."""


STREAM = "/stream"


class Server(StoppableServer):
    """A server of one or several nodes, which faults can stop and start. They share the rooms.

    It is the `Host` of all connections. `loaded`: its work may take time. `lives` counts how often it began
    to run, with its first node.
    """

    def __init__(
        self, environment: LadderEnvironment, config: ServerConfig, streams: RandomStreams | None = None
    ) -> None:
        self.config = config
        self.loaded = config.service_time > 0 and environment.now >= 0
        streams = streams or RandomStreams(0)
        super().__init__(environment, config, streams.uniform(0, "balance"))
        self._uniform = streams.uniform(0, "service")
        self._accepted = 0
        self._epoch = 0
        self.needs = Needs(config.needs, streams, environment)
        self._service = Service(self)
        self.hub = self._new_hub()

    def _new_hub(self) -> Hub:
        self._epoch += 1
        config = self.config
        presence = HubConfig().presence_limit if config.presence else 0
        limits = HubConfig(rate=config.rate, burst=config.burst, presence_limit=presence)
        return Hub(limits, MemoryLog(f"{self._epoch}", limits), utc=partial(_date, self.environment))

    def begin(self) -> None:
        """Limit the capacity, which was unlimited: the run begins."""
        self.loaded = self.config.service_time > 0
        for node in self.nodes:
            node.begin(self.config)

    # Connections

    def route(self, connection: Connection) -> None:
        """Set the node of a connection whose SYN arrives. Leave `node` None if no node is up."""
        connection.node = self._choose(connection.path.person)

    def _choose(self, person: int) -> Node | None:
        node = self._balancer.choose(person)
        if node is not None:
            node.attempts += 1
        return node

    def accept(self, connection: Connection) -> float | None:
        """Put a connection into its node's accept queue; return when it is accepted; None: there is no
        room."""
        node = node_of(connection)
        accepted_at = node.enter()
        if accepted_at is not None:
            node.accepted += 1
            self._admit(connection)
        elif node.answers_overflow:
            self._admit(connection, overflowed=True)
            return self.environment.now
        return accepted_at

    def _admit(self, connection: Connection, *, overflowed: bool = False) -> None:
        self._accepted += 1
        connection.number = self._accepted
        self._connections[connection.number] = connection
        node_of(connection).admit(connection, overflowed=overflowed)

    def on_peer_closed(self, connection: Connection) -> None:
        """Remove a connection whose client's side has ended."""
        self._remove(connection)
        self._service.leave(connection)
        self.carry_out(self.hub.leave(connection.number))

    def upgrade(self, link: Link) -> None:
        """Answer an upgrade request, then send the greeting and the messages since the cursor."""
        if (refusal := refusal_by_node(link, lasts=True)) is not None:
            self._refuse(link, *refusal)
        elif is_forbidden(link, "websocket") and not link.plain:
            self._refuse(link, *FORBIDDEN)
        elif self.loaded:
            self._do(link, partial(self._upgrade, link))
        else:
            self._upgrade(link)

    def _upgrade(self, link: Link) -> None:
        refusal = refusal_by_fault(link)
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
        if self.needs.connects:
            go_on = partial(self._let_in, link, join)
            self.needs.wait("connect", lambda: link.server_open, go_on, partial(self._refuse_for, link))
        else:
            self._let_in(link, join)

    def _let_in(self, link: Link, join: requests.Join) -> None:
        link.accept()
        self.join(link, join)

    def _refuse_for(self, link: Link, need: Need) -> None:
        self._refuse(link, *refusal_of(need))

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
        connection, lasts = exchange.connection, exchange.request.path == STREAM
        if (refusal := refusal_by_node(connection, lasts=lasts)) is not None:
            exchange.answer(problem(*refusal), last=True)
        elif is_forbidden(connection, transport_of(exchange.request.method, exchange.request.path)):
            exchange.answer(problem(*FORBIDDEN))
        elif self.loaded:
            self._do(connection, partial(self._request, exchange))
        else:
            self._request(exchange)

    def _request(self, exchange: Exchange) -> None:
        if not exchange.awaited:
            return
        refusal = refusal_by_fault(exchange.connection)
        if refusal is None:
            self._meet_needs(exchange)
        else:
            exchange.answer(problem(*refusal))

    def _meet_needs(self, exchange: Exchange) -> None:
        """Serve a request once all services that it needs have answered."""
        connection, needs = exchange.connection, self.needs
        cause = cause_of(exchange.request.method, exchange.request.path) if needs.queues else None

        def serve() -> None:
            connection.needs_met = connection.needs_met or cause == "connect"
            self._service.serve(exchange)

        def refuse(need: Need) -> None:
            exchange.answer(problem(*refusal_of(need)))

        if cause is None or (cause == "connect" and connection.needs_met):
            self._service.serve(exchange)
        else:
            needs.wait(cause, lambda: exchange.awaited, serve, refuse)

    def read(self, exchange: Exchange) -> None:
        """Handle a request whose body has arrived."""
        self._service.read(exchange)

    def on_alarm(self, connection: HttpConnection) -> None:
        """Handle the alarm that was set for the request under way."""
        self._service.on_alarm(connection)

    def await_close(self, link: ClosingLink) -> None:
        """Count a link as a connection until its close frame is answered."""
        node_of(link).await_close(link)

    def receive(self, link: Link, frame: str | bytes) -> None:
        """Handle a client's frame."""
        if link.path.impairment.mute and isinstance(decode_client_frame(frame), ServerPing):
            return
        take = self._receive_after_needs if self.needs.messages else self._receive
        if self.loaded:
            self._do(link, partial(take, link, frame))
        else:
            take(link, frame)

    def charge(self, link: Link) -> None:
        """Count a Ping or Pong frame of the client."""
        self.carry_out(self.hub.charge(link.number, 1, self.environment.now))

    def drop_unanswered(self, link: Link) -> None:
        """Remove a link whose ping wasn't answered."""
        self._remove(link)
        self.carry_out(self.hub.leave(link.number))

    def _receive(self, link: Link, frame: str | bytes) -> None:
        self.carry_out(self.hub.receive(link.number, frame, self.environment.now))

    def _receive_after_needs(self, link: Link, frame: str | bytes) -> None:
        """Receive a frame; if it is a message, once all services that it needs have answered."""
        message = decode_client_frame(frame)
        if not isinstance(message, OutgoingMessage):
            self._receive(link, frame)
            return

        def refuse(need: Need) -> None:
            answer = nack(need, message)
            link.reply(answer, frame_size(answer, masked=False))

        self.needs.pass_message(link, lambda: link.server_open, partial(self._receive, link, frame), refuse)

    def _do(self, connection: Connection, work: Callable[[], None]) -> None:
        """Enter the node's work queue; call `work` when it is done, if the connection is still served."""
        effort = self.config.service_time
        if self.config.service == "exponential":
            effort *= -log1p(-self._uniform())
        node_of(connection).do(connection, effort + connection.path.impairment.work, work)

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
        for node in self.nodes:
            node.connections.clear()
        self._service.close()
        self.hub.dissolve()


def _date(environment: LadderEnvironment) -> datetime:
    return BEGINNING + timedelta(seconds=environment.now)
