"""The factory of the connections and requests that a machine asks for."""

from __future__ import annotations

from chatlab.dialects.base import Dialect
from chatlab.live.client.cookies import cookies_of
from chatlab.live.client.http_link import HttpLink
from chatlab.live.client.http_session import HttpSession
from chatlab.live.client.links import Port
from chatlab.live.client.user_headers import UserHeaders
from chatlab.live.client.websocket_link import WebSocketLink
from chatlab.live.redaction import Redaction
from chatlab.settings import AnyConfig, FallbackConfig, HttpConfig, WebSocketConfig
from chatlab.transports.machine import Fetch, OpenWebSocket


class Dialer:
    """The factory of a machine's links. A fallback's machine has several transports, each with its own
    settings.

    All requests of a transport share connections and a CSRF token. Its WebSockets and requests share cookies.
    """

    def __init__(self, config: AnyConfig, dialect: Dialect) -> None:
        self._configs = config.transports if isinstance(config, FallbackConfig) else (config,)
        self._dialect = dialect
        self._sessions: dict[int, HttpSession] = {}
        self.redaction = Redaction(self._configs)
        self._cookies = cookies_of(config.url for config in self._configs)
        self._user_headers = [UserHeaders(config, self.redaction) for config in self._configs]

    def open(self, port: Port, effect: OpenWebSocket) -> WebSocketLink:
        """Return the link for a connection that the machine asks for."""
        config = self._configs[effect.transport]
        assert isinstance(config, WebSocketConfig)
        return WebSocketLink(
            port,
            config,
            effect,
            self._dialect.credentials,
            self._user_headers[effect.transport],
            self._cookies[effect.transport],
        )

    def fetch(self, port: Port, effect: Fetch) -> HttpLink:
        """Return the link for a request that the machine asks for."""
        return HttpLink(port, self.session(effect.transport), effect)

    def session(self, transport: int = 0) -> HttpSession:
        """Return the session that the requests of one transport share."""
        session = self._sessions.get(transport)
        if session is None:
            config = self._configs[transport]
            assert isinstance(config, HttpConfig)
            session = self._sessions[transport] = HttpSession(
                config, self._dialect, self.redaction, self._cookies[transport]
            )
        return session

    @property
    def sessions(self) -> list[HttpSession]:
        """The sessions of all transports that have made a request."""
        return list(self._sessions.values())

    def close(self) -> None:
        """Close idle connections in the background; further requests open new ones."""
        for session in self._sessions.values():
            session.close()
