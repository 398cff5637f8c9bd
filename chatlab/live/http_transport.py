"""The transports over HTTP, which all use one server root."""

from __future__ import annotations

from chatlab.live.transport import ChatTransport
from chatlab.settings import LongPollingConfig, ShortPollingConfig, SSEConfig


class SSETransport(ChatTransport):
    """Chat over an event stream and POSTs. Source: the original document ("SSE + POST Pattern"); WHATWG HTML
    §9.2."""

    config: SSEConfig


class LongPollingTransport(ChatTransport):
    """Chat by requests that the server holds. Source: the original document ("Long Polling")."""

    config: LongPollingConfig


class ShortPollingTransport(ChatTransport):
    """Chat by a request every few seconds. Source: the original document ("Short Polling")."""

    config: ShortPollingConfig
