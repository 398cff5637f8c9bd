"""The HTTP interface of the simulated server: the same as that of the embedded one.

`GET /csrf`, `POST /messages`, `POST /typing`, `GET /messages`, `GET /messages/poll`, `GET /stream`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Protocol

from msgspec.structs import replace

from chatlab.dialects import serving
from chatlab.dialects.base import Answer, Nack, Request
from chatlab.dialects.chatlab import decode_posted
from chatlab.hub import Hub, News, Output, Page
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.http import Exchange, HttpConnection


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
        """How often the server has begun to serve; tokens of an earlier life are stale."""

    def join(
        self, connection: Connection, room: str, sender: str, after: str | None, history: str | None
    ) -> None:
        """Make a connection a member of a room."""

    def carry_out(self, outputs: Iterable[Output]) -> None:
        """Do what the hub wants."""

    def drop(self, connections: Iterable[Connection], code: int | None = None) -> None:
        """End connections: by a close code, or without a word."""


class Service:
    """The routes over a server's hub, and the polls that are held."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._held: dict[str, dict[int, Exchange]] = {}

    def close(self) -> None:
        """Release everybody at the end of the run."""
        self._held.clear()
        del self._core

    def serve(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        match (exchange.request.method, exchange.request.path):
            case ("GET", "/messages"):
                self._read(exchange)
            case ("GET", "/messages/poll"):
                self._poll(exchange)
            case ("POST", "/messages"):
                self._post(exchange)
            case ("GET", "/stream"):
                self._stream(exchange)
            case ("GET", "/csrf"):
                exchange.answer(serving.token(self._token))
            case ("POST", "/typing"):
                exchange.answer(self._typing(exchange))
            case _:
                exchange.answer(serving.problem(404, "there is nothing here"))

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has gone."""
        if isinstance(connection, HttpConnection):
            connection.alarm.cancel()
            if connection.serving is not None:
                self._let_go(connection.serving)

    # Who posts

    @property
    def _token(self) -> str:
        """As long as the embedded server's: 32 digits of a number, and 64 of its signature."""
        return f"{self._core.lives:032x}.{'0' * 64}"

    def _post(self, exchange: Exchange) -> None:
        refusal = self._refusal(exchange)
        if refusal is not None:
            exchange.answer(refusal)
        elif exchange.whole:
            self.read(exchange)
        else:
            exchange.wanted = True

    def read(self, exchange: Exchange) -> None:
        """Take what was posted: all of it is there. Members hear of it before the answer, polls behind it."""
        answer, outputs = self._publish(exchange.request)
        self._core.carry_out(output for output in outputs if type(output) is not News)
        exchange.answer(answer)
        self._core.carry_out(output for output in outputs if type(output) is News)

    def _publish(self, request: Request) -> tuple[Answer, Sequence[Output]]:
        message = decode_posted(request.body.encode())
        if isinstance(message, Nack):
            return serving.refused(message), ()
        posted = self._core.hub.publish(request.query["room"], request.query["sender"], message)
        if isinstance(posted, Nack):
            return serving.refused(posted), ()
        message_id, outputs = posted
        return serving.accepted(message.client_id, message_id, new=bool(outputs)), outputs

    def _typing(self, exchange: Exchange) -> Answer:
        request = exchange.request
        refusal = self._refusal(exchange)
        if refusal is not None:
            return refusal
        self._core.carry_out(self._core.hub.tell_typing(request.query["room"], request.query["sender"]))
        return Answer(204)

    def _refusal(self, exchange: Exchange) -> Answer | None:
        """Return the answer to somebody who may not change anything."""
        hub, request = self._core.hub, exchange.request
        query = request.query
        if request.headers.get("x-csrf-token") != self._token:
            return serving.problem(403, serving.STALE_TOKEN)
        if (reason := hub.refusal(query["room"], query["sender"])) is not None:
            return serving.problem(400, reason)
        delay = hub.delay(exchange.connection.bucket, None, self._core.environment.now)
        return serving.problem(429, serving.TOO_FAST, ceil(delay)) if delay else None

    # Who reads

    def _read(self, exchange: Exchange) -> None:
        if not self._refuse_room(exchange):
            self._answer(exchange, self._page(exchange))

    def _poll(self, exchange: Exchange) -> None:
        if self._refuse_room(exchange):
            return
        query = exchange.request.query
        if serving.wants_only_new(query):
            query = query | {"after": self._core.hub.read(query["room"], None, 0).start}
            exchange.request = replace(exchange.request, query=query)
        page = self._page(exchange)
        most = self._core.config.max_hold
        hold = min(float(query.get("hold", most)), most)
        connection = exchange.connection
        if page.messages or page.gap or "after" not in query or hold <= 0 or connection.leaving:
            self._answer(exchange, page)
            return
        self._held.setdefault(query["room"], {})[connection.number] = exchange
        connection.alarm.set(self._core.environment.now + hold)

    def _refuse_room(self, exchange: Exchange) -> bool:
        room = exchange.request.query["room"]
        reason = self._core.hub.refusal(room, room)
        if reason is not None:
            exchange.answer(serving.problem(400, reason))
        return reason is not None

    def _page(self, exchange: Exchange) -> Page:
        query = exchange.request.query
        history = int(query["history"]) if "history" in query else None
        limit = int(query["limit"]) if "limit" in query else None
        return self._core.hub.read(query["room"], query.get("after"), history, limit)

    def _answer(self, exchange: Exchange, page: Page, *, last: bool = False) -> None:
        exchange.read_at = self._core.environment.now
        if page.gap:
            exchange.answer(serving.unknown_cursor(page.start), last=last)
        else:
            exchange.answer(serving.page(page.start, page.messages, more=page.more), last=last)

    def wake(self, room: str) -> None:
        """Answer the polls that are held for news of a room."""
        for exchange in self._held.pop(room, {}).values():
            self._answer(exchange, self._page(exchange))

    def release(self, connection: HttpConnection) -> None:
        """Answer the poll that is held on a connection, if there is one, as the server stops."""
        exchange = connection.serving
        if exchange is not None and self._let_go(exchange):
            self._answer(exchange, self._page(exchange), last=True)

    def _let_go(self, exchange: Exchange) -> bool:
        """Hold a poll no longer; False: it isn't held."""
        room = exchange.request.query.get("room", "")
        held = self._held.get(room, {})
        if held.pop(exchange.connection.number, None) is None:
            return False
        if not held:
            del self._held[room]
        return True

    # Streams

    def _stream(self, exchange: Exchange) -> None:
        query = exchange.request.query
        room, sender = query["room"], query["sender"]
        reason = self._core.hub.refusal(room, sender)
        if reason is not None:
            exchange.answer(serving.problem(400, reason))
            return
        config, connection = self._core.config, exchange.connection
        exchange.begin()
        if config.reconnection_time is not None and not connection.leaving:
            exchange.write(serving.encode_retry(config.reconnection_time))
        after = exchange.request.headers.get("Last-Event-ID") or query.get("after")
        self._core.join(connection, room, sender, after, query.get("history"))
        if connection.leaving:
            self._core.drop([connection], 1012)
        else:
            connection.alarm.set(self._core.environment.now + config.keep_alive)

    # What comes later

    def ring(self, connection: HttpConnection) -> None:
        """The time of a held poll is over, or that of a stream's sign of life has come."""
        exchange = connection.serving
        if exchange is None or not exchange.awaited or connection.buried:
            return
        if not exchange.begun:
            self._let_go(exchange)
            self._answer(exchange, self._page(exchange))
            return
        if not connection.path.trouble.mute:
            exchange.write(serving.KEEP_ALIVE)
        connection.alarm.set(self._core.environment.now + self._core.config.keep_alive)
