"""HTTP over a modelled connection, at the server's end: requests, answers, streams.

A connection carries one exchange after the other: a request with its answer or stream. Its client's end is
that of a pool (`chatlab.sim.http_session`).

Source: RFC 9112 §9.3 (persistence), §7.1 (chunked transfer coding).
"""

from __future__ import annotations

from abc import abstractmethod
from http import HTTPStatus
from math import inf
from typing import Literal, Protocol

from chatlab.dialects.base import Answer, Request
from chatlab.dialects.serving import STREAM_TYPE, encode_event
from chatlab.hub import Bucket
from chatlab.sim.alarm import Alarm
from chatlab.sim.connection import Connection, Host
from chatlab.sim.duplex import Traffic
from chatlab.sim.path import Path
from chatlab.sim.sizes import CLOSING_SIZE, STREAM_END_SIZE, STREAM_HEAD_SIZE, answer_size, chunk_size
from chatlab.transports.machine import Opened, ReceivedBytes

Purpose = Literal["stream", "poll", "post", "csrf"]

SERVER_KEEP_ALIVE = 5.0
"""Seconds after which the server closes an idle connection. Source: uvicorn."""


class HttpHost(Host, Protocol):
    """The server's end of all exchanges."""

    def request(self, exchange: Exchange) -> None:
        """Handle a request; its body may still be under way."""

    def read(self, exchange: Exchange) -> None:
        """Handle a request whose body has arrived."""

    def on_alarm(self, connection: HttpConnection) -> None:
        """Handle the alarm that was set for the request under way."""


class HttpConnection(Connection):
    """One connection, as far as the server uses it; `serving` is its current exchange.

    `bucket` is its rate limit. `closes_next`: the server closes it after the current answer. `needs_met`: the
    services that it needs have answered.
    """

    __slots__ = ("_finished", "alarm", "bucket", "closes_next", "needs_met", "serving")
    _host: HttpHost

    def __init__(self, traffic: Traffic, host: HttpHost, path: Path) -> None:
        super().__init__(traffic, host, path)
        self._finished = False  # the server has sent the last chunk of the stream
        self.closes_next = self.needs_met = False
        self.serving: Exchange | None = None
        self.alarm = Alarm(self._environment, self._on_alarm)
        self.bucket = Bucket()

    def _take_request(self, exchange: Exchange) -> None:
        if not self._up_silent:
            self._once_accepted(self._read_request, exchange)

    def _read_request(self, exchange: Exchange) -> None:
        if self.server_open:
            self.serving = exchange
            self.alarm.set(inf)
            self._host.request(exchange)

    def _take_body(self, exchange: Exchange) -> None:
        if self.server_open and not self._up_silent:
            exchange.body_arrived = True
            if self.serving is None:
                self.alarm.set(inf)  # It is answered already. Any bytes stop uvicorn's timer.
            elif exchange.awaits_body:
                self._host.read(exchange)

    def _on_alarm(self) -> None:
        if self.serving is not None:
            self._host.on_alarm(self)
        elif self.server_open:  # The keep-alive time is over.
            self._host.on_peer_closed(self)
            self.abort()

    def drop_if_reset(self) -> bool:
        """Remove the connection at the server if a reset has arrived there; return whether one has."""
        if not self._reset_arrived:
            return False
        if self.server_open:
            self.server_open = False
            self._host.on_peer_closed(self)
        return True

    def answer(self, exchange: Exchange, answer: Answer, *, last: bool) -> None:
        """Send an answer; `last`: close the connection behind it."""
        if not self.server_open:
            return
        self.serving = None
        self.alarm.set(self._environment.now + SERVER_KEEP_ALIVE)
        exchange.result = answer
        announced = last and answer.status == HTTPStatus.SERVICE_UNAVAILABLE  # Not if the server stops.
        last = last or self.closes_next
        if last:
            self.server_open = False
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
        if (
            self.serving is not None
            and not self.closes_next
            and not (self._sends_no_news and self.drop_if_reset())
        ):
            self.serving.write(encode_event(frame))

    def push(self, exchange: Exchange, event: Opened | ReceivedBytes, size: int) -> None:
        """Send the head or a chunk of a stream."""
        self._environment.call_at(self._down(size), exchange.take, event)

    def finish(self) -> bool:
        """Close it after the request under way; return whether there is a request."""
        self.closes_next = self.serving is not None
        return self.closes_next

    def end_stream(self) -> None:
        """Send the last chunk of the stream."""
        self._finished = True
        self._down(STREAM_END_SIZE)

    def abort(self) -> None:
        self._flush()
        super().abort()
        self.serving = None

    def _on_client_closed(self) -> None:
        super()._on_client_closed()
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

    def forget(self) -> None:
        super().forget()
        self.alarm.cancel()
        self.serving = None

    # The client's end

    @abstractmethod
    def _take_answer(self, exchange: Exchange) -> None:
        """Receive an answer."""

    @abstractmethod
    def _take_last_answer(self, exchange: Exchange) -> None:
        """Receive an answer with which the server closes the connection."""

    @abstractmethod
    def take_part(self, exchange: Exchange, event: Opened | ReceivedBytes) -> None:
        """Receive the head or a chunk of a stream."""

    @property
    @abstractmethod
    def nothing_under_way(self) -> bool:
        """Whether it works, and nothing is under way to the client."""

    @abstractmethod
    def drop(self) -> None:
        """Remove it from the client's pool."""


class Exchange:
    """One request and its answer, or its stream.

    `body_arrived`: its body arrives at the server with its head, or has arrived; `awaits_body`: the server
    waits for the body. `head_sent`: the stream's head was sent; `opened`: the client has it. `read_at` is the
    time at which the server read the log to answer a poll.
    """

    __slots__ = (
        "_buffered",
        "_buffered_size",
        "_connection",
        "awaits_body",
        "body_arrived",
        "head_sent",
        "number",
        "opened",
        "purpose",
        "read_at",
        "request",
        "result",
    )

    def __init__(self, connection: HttpConnection, number: int, purpose: Purpose, request: Request) -> None:
        self._connection = connection
        self._buffered: list[tuple[Opened | ReceivedBytes, int]] = []
        self._buffered_size = 0
        self.number = number
        self.purpose = purpose
        self.request = request
        self.result: Answer | None = None
        self.body_arrived = True
        self.awaits_body = False
        self.head_sent = False
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
        return self._connection.server_open and self._connection.serving is self

    def answer(self, answer: Answer, *, last: bool = False) -> None:
        """Send the answer; `last`: close the connection behind it."""
        if self.awaited and not self._connection.drop_if_reset():
            self._connection.answer(self, answer, last=last)

    def begin(self) -> None:
        """Send the head of a stream."""
        if self._connection.drop_if_reset():
            return
        self.head_sent = True
        self._push(Opened(self.number, STREAM_TYPE), STREAM_HEAD_SIZE)

    def write(self, data: bytes) -> None:
        """Send a chunk of the stream."""
        self._push(ReceivedBytes(self.number, data), chunk_size(data))

    def _push(self, event: Opened | ReceivedBytes, size: int) -> None:
        buffer = self._connection.path.impairment.buffer
        if not buffer:
            self._connection.push(self, event, size)
            return
        self._buffered.append((event, size))
        self._buffered_size += size
        if self._buffered_size >= buffer:
            self.flush()

    def flush(self) -> None:
        """Send the bytes that a proxy buffers."""
        buffered, self._buffered, self._buffered_size = self._buffered, [], 0
        for event, size in buffered:
            self._connection.push(self, event, size)

    # The client's end

    @property
    def up_to_date(self) -> bool:
        """Whether it is an open stream, and all bytes sent so far have arrived."""
        return self.opened and not self._buffered and self._connection.nothing_under_way

    def take(self, event: Opened | ReceivedBytes) -> None:
        """Receive the head or a chunk of a stream."""
        self._connection.take_part(self, event)

    def close(self, code: int, reason: str) -> None:
        """Close it with its connection, as part of the answer may be under way."""
        self._connection.drop()
        self._connection.client_close()
