"""HTTP between clients and one server, at the client's end: a pool of connections.

A client's session keeps idle connections for a while and reuses them. A new one takes a round trip to open
(two with TLS).

Source: RFC 9112 §9.3 (persistence).
"""

from __future__ import annotations

from http import HTTPStatus
from math import inf

from chatlab.dialects.base import Answer, HttpDialect, Request
from chatlab.sim.blocking import transport_of
from chatlab.sim.connection import Client
from chatlab.sim.duplex import Traffic
from chatlab.sim.http_connection import Exchange, HttpConnection, HttpHost, Purpose
from chatlab.sim.path import Path
from chatlab.sim.sizes import request_size
from chatlab.transports.failures import CUT_SHORT, REFUSED, RESET, STREAM_ENDED, UNREACHABLE
from chatlab.transports.machine import Answered, Closed, Failure, Opened, ReceivedBytes


class Session:
    """The connection pool and CSRF token of one client; `exchanges` are those under way."""

    __slots__ = (
        "_csrf_token",
        "_dialect",
        "client",
        "connections",
        "exchanges",
        "host",
        "keep_alive",
        "path",
        "traffic",
    )

    def __init__(
        self,
        traffic: Traffic,
        host: HttpHost,
        path: Path,
        client: Client,
        dialect: HttpDialect,
        keep_alive: float,
    ) -> None:
        self.traffic = traffic
        self.host = host
        self.path = path
        self.client = client
        self.keep_alive = keep_alive
        self.connections: list[PooledConnection] = []
        self.exchanges: dict[int, Exchange] = {}
        self._dialect = dialect
        self._csrf_token = ""

    def fetch(self, number: int, purpose: Purpose, request: Request) -> Exchange:
        """Send a request; `number` is the client's number for it."""
        if purpose == "post" and self._csrf_token:
            headers = request.headers | {"x-csrf-token": self._csrf_token}
            request = Request(request.method, request.path, request.query, headers, request.body)
        self.tidy()
        idle = next((connection for connection in self.connections if connection.exchange is None), None)
        connection = idle or PooledConnection(self)
        exchange = self.exchanges[number] = Exchange(connection, number, purpose, request)
        connection.use(exchange)
        if idle is None:
            self.connections.append(connection)
            connection.connect()
        return exchange

    def tidy(self) -> None:
        """Close connections that have been idle for too long, as httpcore's pool does at each request."""
        for connection in [connection for connection in self.connections if connection.expired]:
            connection.drop()
            connection.client_close()

    def keep_token(self, exchange: Exchange, answer: Answer) -> Answer:
        """Store the token of a CSRF answer; return the answer for the client."""
        if exchange.purpose == "csrf" and answer.status == HTTPStatus.OK:
            self._csrf_token = self._dialect.csrf_token(answer.body) or ""
            return Answer(answer.status)
        return answer

    def close_idle(self) -> None:
        """Close all idle connections; further requests open new ones."""
        for connection in [connection for connection in self.connections if connection.exchange is None]:
            connection.drop()
            connection.client_close()

    def close(self) -> None:
        """Drop all connections and exchanges at the end of the run."""
        for connection in self.connections:
            connection.forget()
        self.connections.clear()
        self.exchanges.clear()


class PooledConnection(HttpConnection):
    """One connection of a session; `exchange` is its current one."""

    __slots__ = ("_established", "_kept_until", "exchange", "session")

    def __init__(self, session: Session) -> None:
        super().__init__(session.traffic, session.host, session.path)
        self.session = session
        self._established = False
        self._kept_until = inf  # end of the keep-alive time
        self.exchange: Exchange | None = None

    @property
    def expired(self) -> bool:
        """Whether its keep-alive time is over, so it takes no further request."""
        return self._kept_until <= self._environment.now

    def use(self, exchange: Exchange) -> None:
        """Send a request, now or once the connection is open."""
        self.exchange = exchange
        self._kept_until = inf
        if self._established:
            self._transmit(exchange)

    def _on_established(self) -> None:
        self._established = True
        if self.exchange is not None and not self._down_silent:
            self._transmit(self.exchange)

    def _transmit(self, exchange: Exchange) -> None:
        self._traffic.requests += 1
        size, body = request_size(exchange.request), 0
        if exchange.request.body:
            body = len(exchange.request.body.encode())
        if self._is_blocked(transport_of(exchange.request.method, exchange.request.path), size):
            return
        at = self._up(size - body)
        whole_at = self._up_behind(body) if body else at
        self._environment.call_at(at, self._take_request, exchange)
        if whole_at > at:
            exchange.body_arrived = False
            self._environment.call_at(whole_at, self._take_body, exchange)

    def _take_answer(self, exchange: Exchange) -> None:
        if self.listening:
            self.exchange = None
            if self._ends_at <= self._environment.now:  # The server's close came with the answer.
                self.drop()
            self._kept_until = self._environment.now + self.session.keep_alive
            self.session.tidy()
            self._conclude(exchange)

    def _take_last_answer(self, exchange: Exchange) -> None:
        if self.listening:
            self.drop()
            self._conclude(exchange)

    def take_part(self, exchange: Exchange, event: Opened | ReceivedBytes) -> None:
        if self.listening and self.exchange is exchange:
            exchange.opened = True
            self.session.client.handle(event)

    def _conclude(self, exchange: Exchange) -> None:
        """Pass the answer to the client."""
        session = self.session
        assert exchange.result is not None
        answer = session.keep_token(exchange, exchange.result)
        session.client.lose(Answered(exchange.number, answer))

    @property
    def listening(self) -> bool:
        """Whether the client gets packets that arrive now."""
        return self.client_open and not self._down_silent

    @property
    def nothing_under_way(self) -> bool:
        now = self._environment.now
        return self.client_open and self.server_open and self.down.arrives_at <= now < self.down.silent_at

    def _on_refused(self) -> None:
        self._fail(REFUSED)

    def _on_server_closed(self, reset: bool) -> None:
        if reset or not self._established:
            self._fail(RESET)
        else:
            self._fail(STREAM_ENDED if self._finished else CUT_SHORT)

    def _on_time_out(self) -> None:
        if self.client_open:
            self._end_exchange(UNREACHABLE)

    def _fail(self, failure: Failure) -> None:
        if self.listening:
            self._end_exchange(failure)

    def _end_exchange(self, failure: Failure) -> None:
        exchange = self.exchange
        self.drop()
        if exchange is not None:
            self.session.client.lose(Closed(exchange.number, failure))

    def drop(self) -> None:
        self.client_open = False
        self.exchange = None
        if not self.server_open:
            self.alarm.cancel()
        self.session.connections.remove(self)

    def forget(self) -> None:
        super().forget()
        self.exchange = None
