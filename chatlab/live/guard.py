"""Who may talk to the server at all."""

from __future__ import annotations

import logging
from collections.abc import Collection

from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected

from chatlab.dialects.serving import RETRY_AFTER, TOO_MANY
from chatlab.live.answers import problem
from chatlab.live.connections import Connections

logger = logging.getLogger(__name__)

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


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
        except (ClientDisconnect, ClientDisconnected):
            pass
        except Exception:
            logger.exception("a request for %r failed", scope["path"])
            connection = scope["state"].get("connection")
            if connection:
                connection.close(1011, "the server has made a mistake")

    def _refusal(self, scope: Scope) -> Response | None:
        if self._connections.full:
            headers = {"Retry-After": str(RETRY_AFTER), "Connection": "close"}
            return problem(503, TOO_MANY, headers)
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
