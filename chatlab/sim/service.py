"""The HTTP interface of the simulated server: the same as that of the embedded one.

`GET /csrf`, `POST /messages`, `POST /typing`, `GET /messages`, `GET /messages/poll`, `GET /stream`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from chatlab.dialects import serving
from chatlab.dialects.base import Answer
from chatlab.hub import Hub, News, Output, requests
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.http_connection import Exchange, HttpConnection


class Core(Protocol):
    """The part of the server that the service needs."""

    @property
    def environment(self) -> LadderEnvironment:
        """The clock."""

    @property
    def config(self) -> ServerConfig:
        """Capacity of the server."""

    @property
    def hub(self) -> Hub:
        """The rooms."""

    @property
    def lives(self) -> int:
        """Number of starts of the server; tokens from before the latest one are invalid."""

    def join(self, connection: Connection, join: requests.Join) -> None:
        """Make a connection a member of a room."""

    def carry_out(self, outputs: Iterable[Output]) -> None:
        """Carry out the hub's outputs."""

    def drop(self, connections: Iterable[Connection], code: int | None = None) -> None:
        """End connections, with a close `code` or without."""


class Service:
    """The HTTP routes of a server, and its long polls."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: dict[str, dict[int, tuple[Exchange, requests.Poll]]] = {}

    def close(self) -> None:
        """Drop all references at the end of the run."""
        self._waiting.clear()
        del self._core

    def serve(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        try:
            self._serve(exchange)
        except requests.Refusal as refusal:
            exchange.answer(refusal.answer)

    def _serve(self, exchange: Exchange) -> None:
        match (exchange.request.method, exchange.request.path):
            case ("GET", "/messages"):
                self._answer(exchange, requests.read(self._core.hub, exchange.request.query))
            case ("GET", "/messages/poll"):
                self._poll(exchange)
            case ("POST", "/messages"):
                self._post(exchange)
            case ("GET", "/stream"):
                self._stream(exchange)
            case ("GET", "/csrf"):
                exchange.answer(serving.token(self._token))
            case ("POST", "/typing"):
                self._core.carry_out(self._core.hub.tell_typing(*self._poster(exchange)))
                exchange.answer(Answer(204))
            case _:
                exchange.answer(serving.problem(404, "there is nothing here"))

    def leave(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        if isinstance(connection, HttpConnection):
            connection.alarm.cancel()
            if connection.serving is not None:
                self._remove_poll(connection.serving)

    # Posts

    @property
    def _token(self) -> str:
        """A token as long as the embedded server's: 32 digits of a number, and 64 of its signature."""
        return f"{self._core.lives:032x}.{'0' * 64}"

    def _poster(self, exchange: Exchange) -> tuple[str, str]:
        request = exchange.request
        return requests.admit_poster(
            self._core.hub,
            request.query,
            has_token=request.headers.get("x-csrf-token") == self._token,
            bucket=exchange.connection.bucket,
            address=None,
            now=self._core.environment.now,
        )

    def _post(self, exchange: Exchange) -> None:
        self._poster(exchange)
        if exchange.body_arrived:
            self.read(exchange)
        else:
            exchange.awaits_body = True

    def read(self, exchange: Exchange) -> None:
        """Publish a post whose body has arrived. Members get it before the answer, polls after it."""
        request = exchange.request
        room, sender = request.query["room"], request.query["sender"]
        answer, outputs = requests.post(self._core.hub, room, sender, request.body.encode())
        self._core.carry_out(output for output in outputs if type(output) is not News)
        exchange.answer(answer)
        self._core.carry_out(output for output in outputs if type(output) is News)

    # Polls

    def _poll(self, exchange: Exchange) -> None:
        poll = requests.poll(self._core.hub, exchange.request.query, self._core.config.max_hold)
        connection = exchange.connection
        answer = poll.answer(self._core.hub, at_once=poll.hold <= 0 or connection.closes_next)
        if answer is not None:
            self._send(exchange, answer)
            return
        self._waiting.setdefault(poll.room, {})[connection.number] = exchange, poll
        connection.alarm.set(self._core.environment.now + poll.hold)

    def _answer(self, exchange: Exchange, poll: requests.Poll, *, last: bool = False) -> None:
        answer = poll.answer(self._core.hub)
        assert answer is not None
        self._send(exchange, answer, last=last)

    def _send(self, exchange: Exchange, answer: Answer, *, last: bool = False) -> None:
        exchange.read_at = self._core.environment.now
        exchange.answer(answer, last=last)

    def wake(self, room: str) -> None:
        """Answer the long polls that wait for messages of a room."""
        for exchange, poll in self._waiting.pop(room, {}).values():
            self._answer(exchange, poll)

    def release(self, connection: HttpConnection) -> None:
        """Answer the long poll of a connection, if there is one, as the server stops."""
        exchange = connection.serving
        if exchange is not None and (poll := self._remove_poll(exchange)) is not None:
            self._answer(exchange, poll, last=True)

    def _remove_poll(self, exchange: Exchange) -> requests.Poll | None:
        """Remove and return the long poll of an exchange; None: there is none."""
        room = exchange.request.query.get("room", "")
        held = self._waiting.get(room, {})
        _, poll = held.pop(exchange.connection.number, (None, None))
        if not held:
            self._waiting.pop(room, None)
        return poll

    # Streams

    def _stream(self, exchange: Exchange) -> None:
        request = exchange.request
        join = requests.join(self._core.hub, request.query, request.headers.get("Last-Event-ID"))
        config, connection = self._core.config, exchange.connection
        exchange.begin()
        if config.reconnection_time is not None and not connection.closes_next:
            exchange.write(serving.encode_retry(config.reconnection_time))
        self._core.join(connection, join)
        if connection.closes_next:
            self._core.drop([connection], 1012)
        else:
            connection.alarm.set(self._core.environment.now + config.keep_alive)

    # Alarms

    def on_alarm(self, connection: HttpConnection) -> None:
        """Answer a long poll whose time is over, or send a stream's keep-alive comment."""
        exchange = connection.serving
        if exchange is None or not exchange.awaited or connection.drop_if_reset():
            return
        if not exchange.head_sent:
            poll = self._remove_poll(exchange)
            assert poll is not None
            self._answer(exchange, poll)
            return
        if not connection.path.impairment.mute:
            exchange.write(serving.KEEP_ALIVE)
        connection.alarm.set(self._core.environment.now + self._core.config.keep_alive)
