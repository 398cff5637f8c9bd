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
from functools import partial
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ExceptionHandler
from starlette.websockets import WebSocket

from chatlab.dialects import serving
from chatlab.hub import requests
from chatlab.live.server.answers import body_of, internal_error, parse_query, refuse, response
from chatlab.live.server.connections import Limits
from chatlab.live.server.csrf import CsrfTokens
from chatlab.live.server.http_connection import HttpConnection
from chatlab.live.server.hub_driver import HubDriver
from chatlab.live.server.streams import EventStream
from chatlab.live.server.websocket_connection import WebSocketConnection

TURN = 0.01
"""Seconds for which one connection's frames are read before other tasks run."""


class Service:
    """The routes, all for one hub."""

    def __init__(self, driver: HubDriver, limits: Limits, csrf_secret: bytes | None = None) -> None:
        self._driver = driver
        self._limits = limits
        self._tokens = CsrfTokens(csrf_secret)

    def app(self) -> Starlette:
        """Return the ASGI application, without its `Guard`."""
        stream, poll = Route("/stream", self.stream), Route("/messages/poll", self.poll)
        for route in (stream, poll):
            cast(set[str], route.methods).discard(
                "HEAD"
            )  # HEAD would join a room or be held, without a reader.
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
            exception_handlers={
                HTTPException: cast(ExceptionHandler, refuse),
                requests.Refusal: cast(ExceptionHandler, refuse),
                Exception: internal_error,
            },
        )
        app.router.redirect_slashes = False
        return app

    # Members

    async def websocket(self, websocket: WebSocket) -> None:
        join = requests.join(self._driver.hub, parse_query(websocket))
        await websocket.accept()
        connection: WebSocketConnection = websocket.scope["state"]["connection"]
        member = self._driver.join(connection, join, address=address_of(websocket))
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
        last_event_id = request.headers.get("last-event-id")
        return EventStream(self._driver, requests.join(self._driver.hub, parse_query(request), last_event_id))

    # Reading

    async def messages(self, request: Request) -> Response:
        if request.method == "POST":
            return await self.post(request)
        hub = self._driver.hub
        answer = requests.read(hub, parse_query(request)).answer(hub)
        assert answer is not None
        return response(answer)

    async def poll(self, request: Request) -> Response:
        hub, clock = self._driver.hub, asyncio.get_running_loop().time
        poll = requests.poll(hub, parse_query(request), self._limits.max_hold)
        deadline = clock() + poll.hold
        connection: HttpConnection = request.scope["state"]["connection"]
        there = True
        while True:
            left = deadline - clock()
            answer = poll.answer(hub, at_once=left <= 0 or connection.ending or not there)
            if answer is not None:
                return response(answer)
            with self._driver.waiting(poll.room, connection.wake):
                there = await connection.wait(request.receive, left)

    # Posting

    async def csrf(self, request: Request) -> Response:
        forbid_other_sites(request)
        return response(serving.token(self._tokens.new()))

    async def post(self, request: Request) -> Response:
        room, sender = self._poster(request)
        answer, outputs = requests.post(self._driver.hub, room, sender, await body_of(request))
        self._driver.carry_out(outputs)
        return response(answer)

    async def typing(self, request: Request) -> Response:
        self._driver.carry_out(self._driver.hub.tell_typing(*self._poster(request)))
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    def _poster(self, request: Request) -> tuple[str, str]:
        """Return the room and the sender of a request that changes something.

        Errors: `HTTPException` 403, and those of `requests.admit_poster`.
        """
        forbid_other_sites(request)
        connection: HttpConnection = request.scope["state"]["connection"]
        address = address_of(request)
        # If the addresses differ, the connection is a proxy's, and carries many clients' requests.
        own = connection.client is not None and connection.client[0] == address
        return requests.admit_poster(
            self._driver.hub,
            parse_query(request),
            has_token=self._tokens.accepts(request.headers.get("x-csrf-token", "")),
            bucket=connection.bucket if own else None,
            address=address,
            now=self._driver.clock(),
        )

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


def address_of(connection: HTTPConnection) -> str:
    """Return a client's IP address; "" if it is unknown."""
    return connection.client.host if connection.client else ""


async def upgrade_required(request: Request) -> Response:
    raise HTTPException(426, serving.UPGRADE_REQUIRED, serving.UPGRADE_FIELDS)


async def not_found(websocket: WebSocket) -> None:
    raise HTTPException(404)
