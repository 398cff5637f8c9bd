"""The simulated server: its capacity, and all connections around the real `Hub`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice, takewhile
from math import ceil, log1p
from operator import attrgetter
from typing import TypeAlias, assert_never

from chatlab.dialects.base import ServerPing
from chatlab.dialects.chatlab import decode_client_frame
from chatlab.dialects.serving import RETRY_AFTER, TOO_MANY, problem
from chatlab.hub import Behind, Expel, Hub, HubConfig, MemoryLog, News, Output, Reply, requests
from chatlab.random_streams import RandomStreams
from chatlab.sim.capacity import AcceptQueue, ServerConfig, WorkQueue
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.fault_context import Breakable
from chatlab.sim.http_session import Exchange, HttpConnection
from chatlab.sim.network import Link
from chatlab.sim.opening import Handshake
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


class Server:
    """One server process, which faults can stop and start.

    It is the `Host` of a `Network`, and the `HttpHost` of sessions. `loaded`: its work may take time.
    """

    def __init__(
        self, environment: LadderEnvironment, config: ServerConfig, streams: RandomStreams | None = None
    ) -> None:
        self.environment = environment
        self.config = config
        self.queue = AcceptQueue(config.accept_rate, config.backlog)
        self.work = WorkQueue()
        self.loaded = config.service_time > 0
        self.lives = 1
        self._uniform = (streams or RandomStreams(0)).uniform(0, "service")
        self._connections: dict[int, Connection] = {}
        self._closing: list[Link] = []
        self._overflown: set[int] = set()  # Connections that a proxy answers with 503.
        self._accepted = 0
        self._outages = 0
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

    def accept(self, connection: Connection) -> float | None:
        """Put a connection into the accept queue; return when it is accepted; None: there is no room."""
        accepted_at = self._enter_queue()
        if accepted_at is None and self.listening and self.config.overflow == "503":
            self._admit(connection)
            self._overflown.add(connection.number)
            return self.environment.now
        if accepted_at is not None:
            self._admit(connection)
        return accepted_at

    def keep_handshake(self) -> bool:
        """Keep one more incomplete handshake, if there is room; return whether there is."""
        return self.queue.keep_handshake()

    def end_handshake(self, handshake: Handshake) -> None:
        """Note that a handshake is complete, or has failed."""
        if handshake.kept and handshake.life == self.lives and self.listening:
            self.queue.end_handshake()

    @property
    def listening(self) -> bool:
        """Whether it listens now."""
        return not self._outages

    @property
    def drops(self) -> bool:
        """Whether it ignores SYNs and final ACKs for which the accept queue has no room."""
        return self.config.overflow == "drop" and self.queue.is_limited

    @property
    def is_full(self) -> bool:
        """Whether the accept queue is full now."""
        return self.queue.is_full(self.environment.now)

    def _enter_queue(self) -> float | None:
        return None if self._outages else self.queue.enter(self.environment.now)

    def _admit(self, connection: Connection) -> None:
        self._accepted += 1
        connection.number = self._accepted
        self._connections[connection.number] = connection

    def on_peer_closed(self, connection: Connection) -> None:
        """Remove a connection whose client's side has ended."""
        del self._connections[connection.number]
        self._service.leave(connection)
        self.carry_out(self.hub.leave(connection.number))

    def upgrade(self, link: Link) -> None:
        """Answer an upgrade request, then send the greeting and the messages since the cursor."""
        if self._turns_away(link):
            self._refuse(link, *FULL)
        elif self.loaded:
            self._do(link, partial(self._upgrade, link))
        else:
            self._upgrade(link)

    def _upgrade(self, link: Link) -> None:
        if (refusal := _error(link)) is not None:
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
        del self._connections[link.number]
        answer = problem(status, reason, retry_after)
        wait = None if retry_after is None else float(retry_after)
        link.refuse(status, explanation(answer.body), wait, answer_size(answer) + CLOSING_SIZE)

    def join(self, connection: Connection, join: requests.Join) -> None:
        """Make a connection a member of a room."""
        room, sender = join.room, join.sender
        self.carry_out(self.hub.join(connection.number, room, sender, after=join.after, history=join.history))

    def request(self, exchange: Exchange) -> None:
        """Handle a request."""
        if self._turns_away(exchange.connection):
            exchange.answer(problem(*FULL), last=True)
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

    def _turns_away(self, connection: Connection) -> bool:
        """Whether a request on this connection is answered with 503."""
        if connection.number in self._overflown:
            self._overflown.discard(connection.number)
            return True
        return self._full

    @property
    def _full(self) -> bool:
        """Whether there are more connections than the limit: those in the accept queue don't count yet, and
        those whose close frame isn't answered still do."""
        most = self.config.max_connections
        if most is None:
            return False
        self._closing = [link for link in self._closing if link.closes_at > self.environment.now]
        beyond = len(self._connections) + len(self._closing) - most
        if beyond <= 0:
            return False
        latest = islice(reversed(self._connections.values()), beyond)
        return sum(1 for _ in takewhile(_waits, latest)) < beyond

    def read(self, exchange: Exchange) -> None:
        """Handle a request whose body has arrived."""
        self._service.read(exchange)

    def ring(self, connection: HttpConnection) -> None:
        """Handle the alarm that was set for the request under way."""
        self._service.ring(connection)

    def await_close(self, link: Link) -> None:
        """Count a link as a connection until its close frame is answered."""
        if self.config.max_connections is not None:
            self._closing.append(link)

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
        """Enter the work queue; call `work` when it is done, if the connection is still served."""
        effort = self.config.service_time
        if self.config.service == "exponential":
            effort *= -log1p(-self._uniform())
        done_at = self.work.enter(self.environment.now, effort + connection.path.impairment.work)
        if done_at > self.environment.now:
            self.environment.call_at(done_at, self._finish, (connection, work))
        else:
            work()

    def _finish(self, job: tuple[Connection, Callable[[], None]]) -> None:
        connection, work = job
        if connection.served:
            work()

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
                connections.pop(output.member).server_close(output.code, output.reason)
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

    def stop(self, code: int | None = None, reason: str = "") -> None:
        """Stop serving until one `start` for each `stop`; end connections with a close `code`, or without.

        With a `code`, requests under way are answered first, within `CLOSE_TIMEOUT` and before the start.
        """
        self._outages += 1
        self.queue.clear()
        self.work.clear()
        self._closing.clear()
        # Connections in the accept queue are closed first, with the listener.
        for connection in sorted(self._connections.values(), key=attrgetter("accepted")):
            self._end(connection, code, reason)

    def _end(self, connection: Connection, code: int | None, reason: str) -> Iterable[Output]:
        """End a connection, and return the outputs for the others in its room."""
        if code is not None and isinstance(connection, HttpConnection) and connection.finish():
            self.environment.call_later(0, self._finish_serving, connection)
            return ()
        del self._connections[connection.number]
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

    def start(self) -> None:
        """Serve again."""
        self._outages -= 1
        if self._outages:
            return
        for connection in list(self._connections.values()):
            self._end(connection, None, "")
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
        own.sort(key=attrgetter("accepted"))
        for news in [self._end(connection, code, reason) for connection in own]:
            self.carry_out(news)  # All are ended by now, so none of them gets anything.


def _waits(connection: Connection) -> bool:
    return not connection.accepted


def _error(connection: Connection) -> Refusal | None:
    """Return the refusal by which the path's impairment answers each request; None: there is none."""
    if connection.path.impairment.error is None:
        return None
    status, retry_after = connection.path.impairment.error
    return status, "a fault of the scenario", None if retry_after is None else ceil(retry_after)


def _date(environment: LadderEnvironment) -> datetime:
    return BEGINNING + timedelta(seconds=environment.now)
