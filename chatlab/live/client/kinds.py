"""The transports by their names, and the address that each uses for the same server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit, urlunsplit

from chatlab.dialects import find_dialect
from chatlab.errors import SettingsError
from chatlab.live.client.concrete_transports import (
    FallbackTransport,
    LongPollingTransport,
    ShortPollingTransport,
    SSETransport,
    WebSocketTransport,
)
from chatlab.live.client.transport import ChatTransport
from chatlab.settings import (
    AnyConfig,
    FallbackConfig,
    LongPollingConfig,
    Settings,
    ShortPollingConfig,
    SSEConfig,
    TransportConfig,
    WebSocketConfig,
    check_url,
)
from chatlab.text import unknown_name

_COUNTERPARTS = {"http": "ws", "https": "wss", "ws": "http", "wss": "https"}


class Kind(NamedTuple):
    """A kind of transport: its settings, its class, its title, and `address`, a function that returns the
    transport's URL for a server's URL."""

    config: type[TransportConfig]
    transport: Callable[..., ChatTransport]
    title: str
    address: Callable[[str], str]


def websocket_url(url: str) -> str:
    """Return the URL of a WebSocket: a ws:// URL unchanged, or /ws under a server's root."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https"):
        return url
    return urlunsplit(parts._replace(scheme=_COUNTERPARTS[parts.scheme], path=parts.path.rstrip("/") + "/ws"))


def http_url(url: str) -> str:
    """Return the URL of a server's root, even if that of its WebSocket is given."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("ws", "wss"):
        return url
    return urlunsplit(parts._replace(scheme=_COUNTERPARTS[parts.scheme], path=parts.path.removesuffix("/ws")))


def _split(url: str) -> SplitResult | None:
    """Return a URL's parts; None if it is malformed, which the settings report."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


KINDS: dict[str, Kind] = {
    "websocket": Kind(WebSocketConfig, WebSocketTransport, "WebSocket", websocket_url),
    "sse": Kind(SSEConfig, SSETransport, "SSE + POST", http_url),
    "long_polling": Kind(LongPollingConfig, LongPollingTransport, "Long polling", http_url),
    "short_polling": Kind(ShortPollingConfig, ShortPollingTransport, "Short polling", http_url),
}
"""The plain transports, best first. `fallback` uses those that the dialect supports, in this order."""

FALLBACK = "fallback"
TITLES: dict[str, str] = {name: kind.title for name, kind in KINDS.items()} | {FALLBACK: "Fallback"}
"""The transports' titles for people."""


def kind_of(config: AnyConfig) -> str:
    """Return the name of the transport that a config is for."""
    if isinstance(config, FallbackConfig):
        return FALLBACK
    return next(name for name, kind in KINDS.items() if isinstance(config, kind.config))


def make_config(kind: str, url: str, **settings: Any) -> AnyConfig:
    """Return settings for a transport to a server, whose URL may be its root or its WebSocket's.

    Each config gets those of the `settings` that it has a field for. Errors: `SettingsError`.
    """
    if kind == FALLBACK:
        supported = find_dialect(settings.get("dialect", "chatlab")).transports
        transports = tuple(make_config(name, url, **settings) for name in KINDS if name in supported)
        return FallbackConfig(**_known(FallbackConfig, settings) | {"transports": transports})
    if kind not in KINDS:
        raise SettingsError(f"transport: {unknown_name(kind, TITLES)}")
    config = KINDS[kind].config
    scheme = url.partition("://")[0].lower()
    if scheme in _COUNTERPARTS:  # Errors are to quote the given address, not the converted one.
        check_url(config.__name__, url, ("ws", "wss") if scheme.startswith("ws") else ("http", "https"))
    return config(**_known(config, settings) | {"url": KINDS[kind].address(url)})


def _known(config: type[Settings], settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in config.__struct_fields__}


def make_transport(config: AnyConfig, **options: Any) -> ChatTransport:
    """Return the transport for these settings; `options` are those of `ChatTransport`.

    Errors: `SettingsError` as for `ChatTransport`.
    """
    if isinstance(config, FallbackConfig):
        return FallbackTransport(config, **options)
    return KINDS[kind_of(config)].transport(config, **options)
