"""What the server offers over HTTP, and to whom.

`GET /ws?room&sender&after|history`            WebSocket; frames as in `chatlab.dialects.chatlab`
`GET /messages?room&after|history&limit`       JSON list of messages, oldest first
`GET /healthz`                                 JSON object: `status`, `epoch`, `people`, `rooms`

`after` is the id of the last message that the reader has; `history` asks for the latest so many instead;
neither, for all there are. `/messages` answers with at most `limit` messages (and about 1 MiB of them). Its
header `Chat-Cursor` is what to give as `after` next time, also when the list is empty. A cursor that the
server doesn't know is answered with 410: the reader may have missed something (a resync), and asks again
without `after` for all there are.

Refusals are `{"error": …}` that says what to do: 400 for names and numbers of the wrong shape, 403 for a
foreign or null `Origin`, 404, 405, 421 for a `Host` that isn't this server (DNS rebinding), 426 for `/ws`
without a WebSocket, 503 with `Retry-After` when there are too many connections. A WebSocket's handshake is
refused likewise.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import cast
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.utils import ClientDisconnected

from chatlab.live.connections import Connections, WebSocketConnection
from chatlab.live.hub_driver import HubDriver
from chatlab.messages import ChatMessage

logger = logging.getLogger(__name__)

MAX_PAGE = 200
"""Messages of the largest answer."""
MAX_PAGE_SIZE = 1024 * 1024
"""Bytes of content after which an answer gets no further message."""
RETRY_AFTER = 2
"""Seconds after which a client may try again when there are too many."""

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
PARAMETERS = frozenset({"room", "sender", "after", "history", "limit"})


class Service:
    """The routes, over one hub."""

    def __init__(self, driver: HubDriver) -> None:
        self._driver = driver

    def app(self) -> Starlette:
        """Return the ASGI application, without its `Guard`."""
        app = Starlette(
            routes=[
                WebSocketRoute("/ws", self.websocket),
                Route("/ws", upgrade_required),
                Route("/messages", self.messages),
                Route("/healthz", self.healthz),
                WebSocketRoute("/{path:path}", not_found),
            ],
            exception_handlers={HTTPException: cast(ExceptionHandler, refuse), Exception: apologise},
        )
        app.router.redirect_slashes = False
        return app

    async def websocket(self, websocket: WebSocket) -> None:
        query = parse_query(websocket)
        room, sender = query.get("room", ""), query.get("sender", "")
        refusal = self._driver.hub.refusal(room, sender)
        if refusal:
            raise HTTPException(400, refusal)
        history = count_of(query, "history")
        await websocket.accept()
        connection: WebSocketConnection = websocket.scope["state"]["connection"]
        member = self._driver.join(connection, room, sender, after=query.get("after"), history=history)
        try:
            while (message := await websocket.receive())["type"] == "websocket.receive":
                frame = message.get("text")
                self._driver.receive(member, message["bytes"] if frame is None else frame)
        finally:
            self._driver.leave(member)

    async def messages(self, request: Request) -> Response:
        query = parse_query(request)
        hub, room = self._driver.hub, query.get("room", "")
        refusal = hub.refusal(room, sender=room)
        if refusal:
            raise HTTPException(400, refusal)
        history, limit = count_of(query, "history"), count_of(query, "limit")
        replay = hub.replay(hub.room(room), query.get("after"), history)
        if replay.gap:
            raise HTTPException(410, "the server doesn't have that cursor; ask again without after")
        page = page_of(replay.messages, MAX_PAGE if limit is None else min(limit, MAX_PAGE))
        return answer(page, headers={"Chat-Cursor": page[-1].id if page else replay.start})

    async def healthz(self, request: Request) -> Response:
        driver = self._driver
        status = {"status": "ok", "epoch": driver.hub.epoch, "people": driver.people, "rooms": driver.rooms}
        return answer(status)


def page_of(messages: Sequence[ChatMessage], limit: int) -> Sequence[ChatMessage]:
    """Return the first messages, up to both limits; always one if there is any."""
    size = 0
    for index, message in enumerate(messages[:limit]):
        size += len(message.text) + len(message.data or b"")
        if size > MAX_PAGE_SIZE:
            return messages[: max(1, index)]
    return messages[:limit]


def parse_query(connection: HTTPConnection) -> dict[str, str]:
    """Return the parameters that the service knows, percent-decoded. Others, maybe secret, are passed over.

    Errors: `HTTPException` 400.
    """
    try:
        raw = connection.scope["query_string"].decode("ascii")
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise HTTPException(400, "the query must be percent-encoded UTF-8 with at most 50 fields") from None
    query: dict[str, str] = {}
    for name, value in pairs:
        if name in query:
            raise HTTPException(400, f"give {name} once")
        if name in PARAMETERS:
            query[name] = value
    return query


def count_of(query: Mapping[str, str], name: str) -> int | None:
    """Return a parameter that is a whole number; None: it isn't given.

    Errors: `HTTPException` 400.
    """
    value = query.get(name)
    if value is None:
        return None
    least = 1 if name == "limit" else 0
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and int(value) >= least):
        raise HTTPException(400, f"{name} must be a whole number from {least} to 999999999")
    return int(value)


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response that nobody keeps."""
    own = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(msgspec.json.encode(value), status, {**own, **(headers or {})}, "application/json")


def problem(status: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal."""
    return answer({"error": error}, status, headers)


async def refuse(connection: HTTPConnection, exc: HTTPException) -> Response | None:
    """Answer a request, or refuse a WebSocket's handshake, with a problem."""
    error = exc.detail
    if exc.status_code == 404:
        error = "there is nothing here; the server has /ws, /messages and /healthz"
    elif exc.status_code == 405:
        error = "only GET is possible here"
    response = problem(exc.status_code, error, exc.headers)
    if isinstance(connection, WebSocket):
        await connection.send_denial_response(response)
        return None
    return response


async def apologise(request: Request, exc: Exception) -> Response:
    """Answer a request that met a mistake of ours, which `Guard` logs."""
    return problem(500, "the server has made a mistake; its log says more")


async def upgrade_required(request: Request) -> Response:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    raise HTTPException(426, "this is a WebSocket; connect with ws://", headers)


async def not_found(websocket: WebSocket) -> None:
    raise HTTPException(404)


class Guard:
    """Lets in only who speaks to this server and from where he may, and only so many."""

    def __init__(
        self, app: ASGIApp, connections: Connections, hosts: Collection[str], origins: Collection[str]
    ) -> None:
        self._app = app
        self._connections = connections
        self._hosts = LOOPBACK_NAMES | {name.lower() for name in hosts}
        self._origins = frozenset(origin.lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await (self._refusal(scope) or self._app)(scope, receive, send)
        except ClientDisconnected:
            pass
        except Exception:
            logger.exception("a request for %r failed", scope["path"])
            connection = scope["state"].get("connection")
            if connection:
                connection.close(1011, "the server has made a mistake")

    def _refusal(self, scope: Scope) -> Response | None:
        if self._connections.full:
            headers = {"Retry-After": str(RETRY_AFTER), "Connection": "close"}
            return problem(503, "the server has too many connections; come back later", headers)
        headers_of = HTTPConnection(scope).headers
        host = headers_of.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in self._hosts and name != _literal(scope):
            return problem(421, "the Host header isn't a name of this server; see allowed_hosts")
        origins = [origin.lower() for origin in headers_of.getlist("origin")]
        if any(origin != f"http://{host}" and origin not in self._origins for origin in origins):
            return problem(403, "pages of that origin may not talk to this server; see allowed_origins")
        return None


def _literal(scope: Scope) -> str:
    """Return the address that the connection came in on: literally given, it can't be rebound."""
    address: str = (scope.get("server") or ("",))[0]
    return f"[{address}]" if ":" in address else address
