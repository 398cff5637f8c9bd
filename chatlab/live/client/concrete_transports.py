"""The transports by name: one class for each kind of settings."""

from __future__ import annotations

from chatlab.live.client.transport import ChatTransport
from chatlab.settings import FallbackConfig, LongPollingConfig, ShortPollingConfig, SSEConfig, WebSocketConfig


class WebSocketTransport(ChatTransport):
    """Chat over WebSocket. Source: the original document ("WebSocket Implementation"); RFC 6455."""

    config: WebSocketConfig


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


class FallbackTransport(ChatTransport):
    """Chat over the first transport of a list that works; it returns to a better one once that works
    again."""

    config: FallbackConfig
