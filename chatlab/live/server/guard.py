"""Access control of requests: allowed hosts and origins, and the CORS protocol for pages of other origins.

CORS credentials are never allowed: the server uses none, except headers that a page sets itself. Source:
Fetch standard §3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.utils import ClientDisconnected

from chatlab.dialects.serving import RESTARTING, RETRY_AFTER, TOO_MANY
from chatlab.live.loggers import get_logger
from chatlab.live.server.access import Access
from chatlab.live.server.answers import deny, problem
from chatlab.live.server.connections import Connections

logger = get_logger(__name__)

EXPOSED = "Chat-Cursor, Chat-More, Retry-After"
"""Headers of an answer that a page of another origin may read, in addition to those that any page may."""
TWO_LENGTHS = 400, "send Content-Length or Transfer-Encoding, not both: a proxy may use the other one"
"""The refusal of a request with both headers. Source: RFC 9112 §6.1 (request smuggling)."""
LASTING = frozenset({"/ws", "/stream", "/healthz"})
"""Paths that a draining server refuses: those of connections that last, and that by which a balancer asks."""
COME_BACK = {"Retry-After": str(RETRY_AFTER), "Connection": "close"}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Cache-Control, Content-Type, Last-Event-ID, X-CSRF-Token",
    "Access-Control-Max-Age": "600",
}


Wrapper = Callable[[ASGIApp], ASGIApp]
"""Returns an application that passes requests on to the given one."""


class Guard:
    """The outermost ASGI application: it refuses untrusted hosts and origins, and connections beyond the
    limit."""

    def __init__(self, app: ASGIApp, connections: Connections, access: Access) -> None:
        self._inner = self._app = app
        self._connections = connections
        self._access = access

    def wrap(self, wrappers: Iterable[Wrapper]) -> None:
        """Wrap the application in others, the innermost first, instead of those of the last call."""
        self._app = reduce(lambda app, wrapper: wrapper(app), wrappers, self._inner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except (ClientDisconnect, ClientDisconnected):
            pass
        except Exception:
            logger.exception("a request for %r failed", scope["path"])
            connection = scope["state"].get("connection")
            if connection:
                connection.close(1011, "internal server error")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = self._access.visit(scope)
        refusal, headers = visit.refusal, None
        if {"content-length", "transfer-encoding"} <= {*Headers(scope=scope)}:
            refusal, headers = TWO_LENGTHS, {"Connection": "close"}
        elif self._connections.full:
            refusal, headers = (503, TOO_MANY), COME_BACK
        elif self._connections.draining and visit.scope["path"] in LASTING:
            refusal, headers = (503, RESTARTING), COME_BACK
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
        await app(
            visit.scope,
            receive,
            self._with_cors(visit.origin, send) if self._access.allows_other_origins else send,
        )

    def _with_cors(self, origin: str, send: Send) -> Send:
        """Return a `send` that lets pages of an allowed origin read the answer, even if it is a refusal."""

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
    """Whether this is a browser's CORS preflight request. Source: Fetch standard §3.3.2."""
    return scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope)
