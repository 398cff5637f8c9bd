"""The transports over HTTP, which all speak to one server root."""

from __future__ import annotations

from functools import cached_property

from chatlab.dialects.base import Dialect
from chatlab.live.driver import LiveDriver
from chatlab.live.http import HttpLink
from chatlab.live.session import HttpSession
from chatlab.live.transport import ENDED, ChatTransport
from chatlab.settings import HttpConfig, LongPollingConfig, ShortPollingConfig, SSEConfig
from chatlab.transports.backoff import Uniform
from chatlab.transports.long_polling import LongPollingMachine
from chatlab.transports.machine import Deliver, Fetch, Notify, Settle
from chatlab.transports.short_polling import ShortPollingMachine
from chatlab.transports.sse import SSEMachine


class HttpTransport(ChatTransport):
    """Chat over requests that share connections, cookies and a CSRF token."""

    config: HttpConfig

    @cached_property
    def _session(self) -> HttpSession:
        http = self._dialect.http
        assert http is not None  # The machine has seen to that.
        return HttpSession(self.config, http)

    def _fetch(self, driver: LiveDriver, effect: Fetch) -> HttpLink:
        return HttpLink(driver, self._session, effect)

    def _listen(self, effect: Deliver | Notify | Settle) -> None:
        if isinstance(effect, Notify) and effect.change.status in ENDED:
            self._session.close()
        super()._listen(effect)


class SSETransport(HttpTransport):
    """Chat over an event stream and POSTs. Source: seed ("SSE + POST Pattern"); WHATWG HTML §9.2."""

    config: SSEConfig

    def _make_machine(self, dialect: Dialect, uniform: Uniform) -> SSEMachine:
        return SSEMachine(self.config, dialect, uniform)


class LongPollingTransport(HttpTransport):
    """Chat by requests that the server holds. Source: seed ("Long Polling")."""

    config: LongPollingConfig

    def _make_machine(self, dialect: Dialect, uniform: Uniform) -> LongPollingMachine:
        return LongPollingMachine(self.config, dialect, uniform)


class ShortPollingTransport(HttpTransport):
    """Chat by a request every few seconds. Source: seed ("Short Polling")."""

    config: ShortPollingConfig

    def _make_machine(self, dialect: Dialect, uniform: Uniform) -> ShortPollingMachine:
        return ShortPollingMachine(self.config, dialect, uniform)
