"""HTTP between clients and one server, over modelled connections.

A client's session keeps idle connections for a while and reuses them. A new one takes a round trip to open
(two with TLS). An exchange is one request with its answer or stream.

Source: RFC 9112 §9.3 (persistence), §7.1 (chunked transfer coding).
"""

from __future__ import annotations

from http import HTTPStatus
from math import inf
from typing import Literal, Protocol

from chatlab.dialects.base import Answer, HttpDialect, Request
from chatlab.dialects.serving import STREAM_TYPE, encode_event
from chatlab.hub import Bucket
from chatlab.sim.alarm import Alarm
from chatlab.sim.blocking import transport_of
from chatlab.sim.connection import Connection, Host, Traffic
from chatlab.sim.network import Client
from chatlab.sim.path import Path
from chatlab.sim.sizes import (
    CLOSING_SIZE,
    STREAM_END_SIZE,
    STREAM_HEAD_SIZE,
    answer_size,
    chunk_size,
    request_size,
)
from chatlab.transports.failures import CUT_SHORT, REFUSED, RESET, STREAM_ENDED, UNREACHABLE
from chatlab.transports.machine import Answered, Closed, Failure, Opened, ReceivedBytes

Purpose = Literal["stream", "poll", "post", "csrf"]

SERVER_KEEP_ALIVE = 5.0
"""Seconds after which the server closes an idle connection. Source: uvicorn."""


class HttpHost(Host, Protocol):
    """The server's end of all exchanges."""

    def request(self, exchange: Exchange) -> None:
        """Handle a request; its body may still be under way."""

    def read(self, exchange: Exchange) -> None:
        """Handle a request whose body has arrived."""

    def ring(self, connection: HttpConnection) -> None:
        """Handle the alarm that was set for the request under way."""


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
        self.connections: list[HttpConnection] = []
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
        connection = idle or HttpConnection(self)
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
            connection.let_go()

    def keep_token(self, exchange: Exchange, answer: Answer) -> Answer:
        """Store the token of a CSRF answer; return the answer for the client."""
        if exchange.purpose == "csrf" and answer.status == HTTPStatus.OK:
            self._csrf_token = self._dialect.csrf_token(answer.body) or ""
            return Answer(answer.status)
        return answer

    def hang_up(self) -> None:
        """Close all idle connections; further requests open new ones."""
        for connection in [connection for connection in self.connections if connection.exchange is None]:
            connection.drop()
            connection.let_go()

    def close(self) -> None:
        """Drop all connections and exchanges at the end of the run."""
        for connection in self.connections:
            connection.forget()
        self.connections.clear()
        self.exchanges.clear()


class HttpConnection(Connection):
    """One connection of a session, which carries one exchange after the other.

    `exchange` is the client's current exchange, and `serving` the server's. `bucket` is its rate limit.
    `leaving`: the server closes it after the current answer. `let_in`: the services that it needs have
    answered.
    """

    __slots__ = (
        "_finished",
        "_kept_until",
        "_standing",
        "alarm",
        "bucket",
        "exchange",
        "leaving",
        "let_in",
        "serving",
        "session",
    )

    def __init__(self, session: Session) -> None:
        super().__init__(session.traffic, session.host, session.path)
        self.session = session
        self._standing = False
        self._kept_until = inf  # end of the client's keep-alive time
        self._finished = False  # the server has sent the last chunk of the stream
        self.leaving = self.let_in = False
        self.exchange: Exchange | None = None
        self.serving: Exchange | None = None
        self.alarm = Alarm(self._environment, self._ring)  # the server's
        self.bucket = Bucket()

    @property
    def expired(self) -> bool:
        """Whether its keep-alive time is over, so it takes no further request."""
        return self._kept_until <= self._environment.now

    def use(self, exchange: Exchange) -> None:
        """Send a request, now or once the connection is open."""
        self.exchange = exchange
        self._kept_until = inf
        if self._standing:
            self._transmit(exchange)

    def _speak(self) -> None:
        self._standing = True
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
            exchange.whole = False
            self._environment.call_at(whole_at, self._take_body, exchange)

    def _take_request(self, exchange: Exchange) -> None:
        if not self._up_silent:
            self._once_accepted(self._read_request, exchange)

    def _read_request(self, exchange: Exchange) -> None:
        if self.served:
            self.serving = exchange
            self.alarm.set(inf)
            self.session.host.request(exchange)

    def _take_body(self, exchange: Exchange) -> None:
        if self.served and not self._up_silent:
            exchange.whole = True
            if self.serving is None:
                self.alarm.set(inf)  # It is answered already. Any bytes stop uvicorn's timer.
            elif exchange.wanted:
                self.session.host.read(exchange)

    # The server's end

    def _ring(self) -> None:
        if self.serving is not None:
            self.session.host.ring(self)
        elif self.served:  # The keep-alive time is over.
            self._host.on_peer_closed(self)
            self.abort()

    @property
    def buried(self) -> bool:
        """Whether the server can't send on it any more; if so, remove it there."""
        if not self._given_up:
            return False
        if self.served:
            self.served = False
            self._host.on_peer_closed(self)
        return True

    def answer(self, exchange: Exchange, answer: Answer, *, last: bool) -> None:
        """Send an answer; `last`: close the connection behind it."""
        if not self.served:
            return
        self.serving = None
        self.alarm.set(self._environment.now + SERVER_KEEP_ALIVE)
        exchange.result = answer
        announced = last and answer.status == HTTPStatus.SERVICE_UNAVAILABLE  # Not if the server stops.
        last = last or self.leaving
        if last:
            self.served = False
            self._host.on_peer_closed(self)
        size, body = answer_size(answer) + (CLOSING_SIZE if announced else 0), len(answer.body)
        if self.path.lossy and body:  # uvicorn writes head and body apart, so each is sent again by itself.
            self._down(size - body)
            at = self._down(body)
        else:
            at = self._down(size)
        self._environment.call_at(at, self._take_last_answer if last else self._take_answer, exchange)

    def reply(self, frame: str | bytes, size: int) -> None:
        """Send a frame as an event of the stream."""
        if self.serving is not None and not self.leaving and not (self._takes_no_news and self.buried):
            self.serving.write(encode_event(frame))

    def push(self, exchange: Exchange, event: Opened | ReceivedBytes, size: int) -> None:
        """Send the head or a chunk of a stream."""
        self._environment.call_at(self._down(size), exchange.take, event)

    def finish(self) -> bool:
        """Close it after the request under way; return whether there is a request."""
        self.leaving = self.serving is not None
        return self.leaving

    def end_stream(self) -> None:
        """Send the last chunk of the stream."""
        self._finished = True
        self._down(STREAM_END_SIZE)

    def abort(self) -> None:
        self._flush()
        super().abort()
        self.serving = None

    def _lose_person(self) -> None:
        super()._lose_person()
        self.serving = None

    def reset(self) -> None:
        self._flush()
        super().reset()

    def adapt(self) -> None:
        super().adapt()
        if not self.path.impairment.buffer:
            self._flush()

    def _flush(self) -> None:
        """Send the bytes that a proxy buffers, as it does before a close."""
        if self.serving is not None:
            self.serving.flush()

    # The client's end

    def _take_answer(self, exchange: Exchange) -> None:
        if self.listening:
            self.exchange = None
            if self._ends_at <= self._environment.now:  # The server's close came with the answer.
                self.drop()
            self._kept_until = self._environment.now + self.session.keep_alive
            self.session.tidy()
            exchange.conclude()

    def _take_last_answer(self, exchange: Exchange) -> None:
        if self.listening:
            self.drop()
            exchange.conclude()

    @property
    def listening(self) -> bool:
        """Whether the client gets packets that arrive now."""
        return self.held and not self._down_silent

    @property
    def clear(self) -> bool:
        """Whether it works, and nothing is under way to the client."""
        now = self._environment.now
        return self.held and self.served and self.down.arrives_at <= now < self.down.silent_at

    def _refused(self) -> None:
        self._fail(REFUSED)

    def _lose(self, reset: bool) -> None:
        if reset or not self._standing:
            self._fail(RESET)
        else:
            self._fail(STREAM_ENDED if self._finished else CUT_SHORT)

    def _time_out(self) -> None:
        if self.held:
            self._lose_exchange(UNREACHABLE)

    def _fail(self, failure: Failure) -> None:
        if self.listening:
            self._lose_exchange(failure)

    def _lose_exchange(self, failure: Failure) -> None:
        exchange = self.exchange
        self.drop()
        if exchange is not None:
            self.session.client.lose(Closed(exchange.number, failure))

    def drop(self) -> None:
        """Remove it from the client's pool."""
        self.held = False
        self.exchange = None
        if not self.served:
            self.alarm.cancel()
        self.session.connections.remove(self)

    def forget(self) -> None:
        """Drop all references at the end of the run."""
        super().forget()
        self.alarm.cancel()
        self.exchange = self.serving = None


class Exchange:
    """One request and its answer, or its stream.

    `whole`: its body arrives at the server with its head, or has arrived; `wanted`: the server waits for the
    body. `begun`: the stream's head was sent; `opened`: the client has it. `read_at` is the time at which the
    server read the log to answer a poll.
    """

    __slots__ = (
        "_connection",
        "_held",
        "_held_size",
        "begun",
        "number",
        "opened",
        "purpose",
        "read_at",
        "request",
        "result",
        "wanted",
        "whole",
    )

    def __init__(self, connection: HttpConnection, number: int, purpose: Purpose, request: Request) -> None:
        self._connection = connection
        self._held: list[tuple[Opened | ReceivedBytes, int]] = []
        self._held_size = 0
        self.number = number
        self.purpose = purpose
        self.request = request
        self.result: Answer | None = None
        self.whole = True
        self.wanted = False
        self.begun = False
        self.opened = False
        self.read_at = -inf

    # The server's end

    @property
    def connection(self) -> HttpConnection:
        """The connection that it uses."""
        return self._connection

    @property
    def awaited(self) -> bool:
        """Whether the server has yet to complete its answer or stream."""
        return self._connection.served and self._connection.serving is self

    def answer(self, answer: Answer, *, last: bool = False) -> None:
        """Send the answer; `last`: close the connection behind it."""
        if self.awaited and not self._connection.buried:
            self._connection.answer(self, answer, last=last)

    def begin(self) -> None:
        """Send the head of a stream."""
        if self._connection.buried:
            return
        self.begun = True
        self._push(Opened(self.number, STREAM_TYPE), STREAM_HEAD_SIZE)

    def write(self, data: bytes) -> None:
        """Send a chunk of the stream."""
        self._push(ReceivedBytes(self.number, data), chunk_size(data))

    def _push(self, event: Opened | ReceivedBytes, size: int) -> None:
        buffer = self._connection.path.impairment.buffer
        if not buffer:
            self._connection.push(self, event, size)
            return
        self._held.append((event, size))
        self._held_size += size
        if self._held_size >= buffer:
            self.flush()

    def flush(self) -> None:
        """Send the bytes that a proxy buffers."""
        held, self._held, self._held_size = self._held, [], 0
        for event, size in held:
            self._connection.push(self, event, size)

    # The client's end

    @property
    def quiet(self) -> bool:
        """Whether it is an open stream, and all bytes sent so far have arrived."""
        return self.opened and not self._held and self._connection.clear

    def take(self, event: Opened | ReceivedBytes) -> None:
        """Receive the head or a chunk of a stream."""
        connection = self._connection
        if connection.listening and connection.exchange is self:
            self.opened = True
            connection.session.client.handle(event)

    def conclude(self) -> None:
        """Pass the answer to the client."""
        session = self._connection.session
        assert self.result is not None
        session.client.lose(Answered(self.number, session.keep_token(self, self.result)))

    def close(self, code: int, reason: str) -> None:
        """Close it with its connection, as part of the answer may be under way."""
        self._connection.drop()
        self._connection.let_go()
