"""Access control of requests: allowed hosts and origins, and the CORS protocol for pages of other origins.

Source: Fetch standard §3.3. Credentials are never allowed: there are none but what a page sends itself.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.utils import ClientDisconnected

from chatlab.dialects.serving import RETRY_AFTER, TOO_MANY
from chatlab.live.access import Access
from chatlab.live.answers import deny, problem
from chatlab.live.connections import Connections
from chatlab.live.logs import get_logger

logger = get_logger(__name__)

EXPOSED = "Chat-Cursor, Chat-More, Retry-After"
"""The headers of an answer that a page of another origin may read, beside those that any page may."""
TWO_LENGTHS = 400, "a request has a Content-Length or a Transfer-Encoding: a proxy may believe the other one"
"""Source: RFC 9112 §6.1 (request smuggling)."""
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Cache-Control, Content-Type, Last-Event-ID, X-CSRF-Token",
    "Access-Control-Max-Age": "600",
}


class Guard:
    """Lets in only who speaks to this server and from where he may, and only so many."""

    def __init__(self, app: ASGIApp, connections: Connections, access: Access) -> None:
        self._app = app
        self._connections = connections
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except (ClientDisconnect, ClientDisconnected):
            pass
        except Exception:
            logger.exception("a request for %r failed", scope["path"])
            connection = scope["state"].get("connection")
            if connection:
                connection.close(1011, "the server has made a mistake")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = self._access.visit(scope)
        refusal, headers = visit.refusal, None
        if {"content-length", "transfer-encoding"} <= {*Headers(scope=scope)}:
            refusal, headers = TWO_LENGTHS, {"Connection": "close"}
        elif self._connections.full:
            refusal, headers = (503, TOO_MANY), {"Retry-After": str(RETRY_AFTER), "Connection": "close"}
        if scope["type"] == "websocket":
            if refusal:
                await deny(WebSocket(visit.scope, receive, send), *refusal, headers)
            else:
                await self._app(visit.scope, receive, send)
            return
        app = self._app
        if refusal:
            app = problem(*refusal, headers)
        elif visit.origin and _is_preflight(scope):
            app = Response(status_code=204, headers=PREFLIGHT)
        await app(visit.scope, receive, self._sharing(visit.origin, send) if self._access.crosses else send)

    def _sharing(self, origin: str, send: Send) -> Send:
        """Return a `send` that lets pages of an allowed origin read the answer, also a refusal."""

        async def share(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=[*message["headers"]])
                headers.add_vary_header("Origin")
                if origin:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers["Access-Control-Expose-Headers"] = EXPOSED
                message = {**message, "headers": headers.raw}
            await send(message)

        return share


def _is_preflight(scope: Scope) -> bool:
    """Whether a browser asks what a page may send. Source: Fetch standard §3.3.2."""
    return scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope)
