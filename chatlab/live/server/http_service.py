"""The server's HTTP interface.

`GET /ws?room&sender&after|history`             WebSocket; frames as in `chatlab.dialects.chatlab`
`GET /stream?room&sender&after|history`         server-sent events: the same frames as JSON
`GET /messages?room&after|history&limit`        JSON list of messages, oldest first
`GET /messages/poll?room&after|history&limit&hold`     the same, as soon as there are any
`GET /csrf`                                     JSON object: the `token` that a POST needs as `X-CSRF-Token`
`POST /messages?room&sender`                    a message as JSON; 201, or 200 when it is there already
`POST /typing?room&sender`                      204
`GET /healthz`                                  JSON object: `status`, `epoch`, `people`, `rooms`

`after` is the id of the last message that the reader has; `history` asks for that number of the latest
messages instead; without either, the reader gets all. `/messages` answers with at most `limit` messages (and
about 1 MiB of them). Its header `Chat-Cursor` is the next `after`, even if the list is empty; `Chat-More: 1`
says that there are more messages already. An unknown cursor is answered with 410: the reader may have missed
messages (a resync), and gets all that there are by asking again after the `Chat-Cursor` of that answer.

`/messages/poll` answers at once if there are new messages, or if there is no `after`, so that every reader
has a cursor before it waits. Without `after`, `history` and `hold`, only messages from now on are new.
Otherwise the request is held for up to `hold` seconds (default and maximum: `Limits.max_hold`), and then
answered with an empty list; the same happens when the server stops.

A stream is a member of the room, as a WebSocket is. Its events have the frame's type as `event`, the frame as
`data`, and a message's id or the welcome's cursor as `id`; `Last-Event-ID` takes the place of `after`. Bytes
of a message are base64.

A message is in the history before its POST is answered. `{"type":"ack","client_id":…,"id":…}` holds its id in
the log. If the same sender has used the `client_id` before, it is the earlier message's id; if that message
has other content, the answer is 422 (over a WebSocket a `nack`), and nothing is posted.

Refusals are `{"error": …}` with advice: 400 for malformed names and numbers; 403 for a foreign or null
`Origin`, and for a POST from another site or without a token of this run of the server; 404, 405; 413 for a
message above 64 KiB; 415 for a body that isn't JSON; 421 for a `Host` that isn't this server (DNS rebinding);
422 for JSON that isn't a message; 426 for `/ws` without a WebSocket; 429 with `Retry-After` for too many
POSTs of a connection or an address; 503 with `Retry-After` when there are too many connections, or when the
history can't be read or written. The refusal of a message contains its `client_id`, if that can be read. A
WebSocket's handshake is refused in the same way; but a browser's is accepted and closed with 4000 plus the
status, since its page sees only that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from math import ceil
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ExceptionHandler
from starlette.websockets import WebSocket

from chatlab.dialects import serving
from chatlab.dialects.base import Nack
from chatlab.dialects.chatlab import decode_posted
from chatlab.hub import LogError, Page
from chatlab.live.server.answers import (
    body_of,
    count_of,
    internal_error,
    parse_query,
    refuse,
    response,
    seconds_of,
)
from chatlab.live.server.connections import Limits
from chatlab.live.server.csrf import CsrfTokens
from chatlab.live.server.http_connection import HttpConnection
from chatlab.live.server.hub_driver import UNREADABLE, HubDriver
from chatlab.live.server.streams import EventStream
from chatlab.live.server.websocket_connection import WebSocketConnection

UPGRADE_REQUIRED = "this path is a WebSocket: connect with ws://, and let proxies forward the Upgrade header"

TURN = 0.01
"""Seconds for which one connection's frames are read before other tasks run."""


class Service:
    """The routes, over one hub."""

    def __init__(self, driver: HubDriver, limits: Limits) -> None:
        self._driver = driver
        self._limits = limits
        self._tokens = CsrfTokens()

    def app(self) -> Starlette:
        """Return the ASGI application, without its `Guard`."""
        stream, poll = Route("/stream", self.stream), Route("/messages/poll", self.poll)
        for route in (stream, poll):
            cast(set[str], route.methods).discard("HEAD")  # it would join a room or be held, without a reader
        app = Starlette(
            routes=[
                WebSocketRoute("/ws", self.websocket),
                Route("/ws", upgrade_required),
                stream,
                poll,
                Route("/messages", self.messages, methods=["GET", "POST"]),
                Route("/typing", self.typing, methods=["POST"]),
                Route("/csrf", self.csrf),
                Route("/healthz", self.healthz),
                WebSocketRoute("/{path:path}", not_found),
            ],
            exception_handlers={HTTPException: cast(ExceptionHandler, refuse), Exception: internal_error},
        )
        app.router.redirect_slashes = False
        return app

    # Members

    async def websocket(self, websocket: WebSocket) -> None:
        query = parse_query(websocket)
        room, sender = self._names(query)
        history = count_of(query, "history")
        await websocket.accept()
        connection: WebSocketConnection = websocket.scope["state"]["connection"]
        member = self._driver.join(
            connection, room, sender, after=query.get("after"), history=history, address=address_of(websocket)
        )
        connection.charge = partial(self._driver.charge, member)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            while (message := await websocket.receive())["type"] == "websocket.receive":
                frame = message.get("text")
                self._driver.receive(member, message["bytes"] if frame is None else frame)
                if clock() - began > TURN:  # `receive` returns at once while frames wait
                    await asyncio.sleep(0)
                    began = clock()
        finally:
            self._driver.leave(member)

    async def stream(self, request: Request) -> EventStream:
        forbid_other_sites(request)
        query = parse_query(request)
        room, sender = self._names(query)
        after = request.headers.get("last-event-id") or query.get("after")
        return EventStream(self._driver, room, sender, after=after, history=count_of(query, "history"))

    # Reading

    async def messages(self, request: Request) -> Response:
        if request.method == "POST":
            return await self.post(request)
        query = parse_query(request)
        history, limit = count_of(query, "history"), count_of(query, "limit")
        return page_answer(self._read(self._room(query), query.get("after"), history, limit))

    def _read(self, room: str, after: str | None, history: int | None, limit: int | None) -> Page:
        """Return a page. Errors: `HTTPException` 503 if the history can't be read."""
        try:
            return self._driver.hub.read(room, after, history, limit)
        except LogError:
            raise unavailable(UNREADABLE) from None

    async def poll(self, request: Request) -> Response:
        query = parse_query(request)
        room = self._room(query)
        after, history, limit = query.get("after"), count_of(query, "history"), count_of(query, "limit")
        hold, most = seconds_of(query, "hold"), self._limits.max_hold
        if serving.wants_only_new(query):
            after = self._read(room, None, 0, None).start
        clock = asyncio.get_running_loop().time
        deadline = clock() + (most if hold is None else min(hold, most))
        connection: HttpConnection = request.scope["state"]["connection"]
        there = True
        while True:
            page = self._read(room, after, history, limit)
            left = deadline - clock()
            if page.messages or page.gap or after is None or left <= 0 or connection.ending or not there:
                return page_answer(page)
            with self._driver.waiting(room, connection.wake):
                there = await connection.wait(request.receive, left)

    # Posting

    async def csrf(self, request: Request) -> Response:
        forbid_other_sites(request)
        return response(serving.token(self._tokens.new()))

    async def post(self, request: Request) -> Response:
        room, sender = self._poster(request)
        message = decode_posted(await body_of(request))
        if isinstance(message, Nack):
            return response(serving.refused(message))
        posted = self._driver.post(room, sender, message)
        if isinstance(posted, Nack):
            return response(serving.refused(posted))
        return response(serving.accepted(message.client_id, posted.id, new=posted.new))

    async def typing(self, request: Request) -> Response:
        self._driver.tell_typing(*self._poster(request))
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    def _poster(self, request: Request) -> tuple[str, str]:
        """Return the room and the sender of a request that changes something.

        Errors: `HTTPException` 400, 403, 429.
        """
        forbid_other_sites(request)
        if not self._tokens.accepts(request.headers.get("x-csrf-token", "")):
            raise HTTPException(403, serving.STALE_TOKEN)
        room, sender = self._names(parse_query(request))
        connection: HttpConnection = request.scope["state"]["connection"]
        address = address_of(request)
        own = (
            connection.client is not None and connection.client[0] == address
        )  # Otherwise the connection is a proxy's.
        delay = self._driver.delay(connection.bucket if own else None, address)
        if delay:
            raise HTTPException(429, serving.TOO_FAST, {"Retry-After": f"{ceil(delay)}"})
        return room, sender

    def _names(self, query: Mapping[str, str]) -> tuple[str, str]:
        room, sender = query.get("room", ""), query.get("sender", "")
        refusal = self._driver.hub.refusal(room, sender)
        if refusal:
            raise HTTPException(400, refusal)
        return room, sender

    def _room(self, query: Mapping[str, str]) -> str:
        room = query.get("room", "")
        refusal = self._driver.hub.refusal(room, sender=room)
        if refusal:
            raise HTTPException(400, refusal)
        return room

    async def healthz(self, request: Request) -> Response:
        driver = self._driver
        return response(serving.health(driver.hub.epoch, driver.people, driver.rooms))


def forbid_other_sites(request: Request) -> None:
    """Refuse a request that a page of another site makes without an `Origin`. An `Origin`, if there is one,
    has been checked already.

    Errors: `HTTPException` 403.
    """
    headers = request.headers
    if headers.get("sec-fetch-site", "").lower() == "cross-site" and "origin" not in headers:
        raise HTTPException(403, "pages of other sites may not make this request")


def page_answer(page: Page) -> Response:
    """Return a page as an answer, or the refusal of an unknown cursor."""
    if page.gap:
        return response(serving.unknown_cursor(page.start))
    return response(serving.page(page.start, page.messages, more=page.more))


def unavailable(why: str) -> HTTPException:
    """Return the refusal of a request that may succeed later."""
    return HTTPException(503, why, {"Retry-After": f"{serving.RETRY_AFTER}"})


def address_of(connection: HTTPConnection) -> str:
    """Return a client's address."""
    return connection.client.host if connection.client else ""


async def upgrade_required(request: Request) -> Response:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    raise HTTPException(426, UPGRADE_REQUIRED, headers)


async def not_found(websocket: WebSocket) -> None:
    raise HTTPException(404)
