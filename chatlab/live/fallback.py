"""The fallback transport: the best of several that works, over one outbox and one cursor."""

from __future__ import annotations

from chatlab.dialects.base import Dialect
from chatlab.live.driver import LiveDriver
from chatlab.live.http import HttpLink
from chatlab.live.session import HttpSession
from chatlab.live.transport import ENDED, ChatTransport
from chatlab.live.websocket import WebSocketLink
from chatlab.settings import FallbackConfig, HttpConfig, WebSocketConfig
from chatlab.transports.backoff import Uniform
from chatlab.transports.machine import Deliver, Fetch, Machine, Notify, OpenWebSocket, Settle
from chatlab.transports.making import make_machine


class FallbackTransport(ChatTransport):
    """Chat over the first transport of a list that works, and over a better one once that works again."""

    config: FallbackConfig

    def _make_machine(self, dialect: Dialect, uniform: Uniform) -> Machine:
        self._sessions: dict[int, HttpSession] = {}
        return make_machine(self.config, dialect, uniform)

    def _open_link(self, driver: LiveDriver, effect: OpenWebSocket) -> WebSocketLink:
        config = self.config.transports[effect.transport]
        assert isinstance(config, WebSocketConfig)
        return WebSocketLink(driver, config, effect)

    def _fetch(self, driver: LiveDriver, effect: Fetch) -> HttpLink:
        return HttpLink(driver, self._session(effect.transport), effect)

    def _session(self, transport: int) -> HttpSession:
        session = self._sessions.get(transport)
        if session is None:
            config, http = self.config.transports[transport], self._dialect.http
            assert isinstance(config, HttpConfig)
            assert http is not None
            session = self._sessions[transport] = HttpSession(config, http)
        return session

    def _listen(self, effect: Deliver | Notify | Settle) -> None:
        if isinstance(effect, Notify) and effect.change.status in ENDED:
            for session in self._sessions.values():
                session.close()
        super()._listen(effect)
