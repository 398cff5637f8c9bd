"""Where a console talks to, and the transports by which it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct
from msgspec.structs import replace

from chatlab.errors import SettingsError
from chatlab.live.transport import ChatTransport, WebSocketTransport
from chatlab.settings import HeartbeatConfig, OutboxConfig, WebSocketConfig, redacted

HEARTBEAT = HeartbeatConfig(interval=10.0, timeout=5.0)
"""More often than the default: whoever looks on wants to see the round trip, and soon that a link is dead."""

_SCHEMES = {"http": "ws", "https": "wss", "ws": "http", "wss": "https"}
_SECURE = ("https", "wss")


class Target(Struct, frozen=True, kw_only=True):
    """A server, and who talks there about what. `url` may have any of the four schemes."""

    url: str
    room: str = "lobby"
    name: str = "guest"
    dialect: str = "chatlab"
    history: int = 50
    after: str | None = None
    outbox: OutboxConfig = OutboxConfig(overflow="reject")

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken there."""
        return urlsplit(self.url).scheme in _SECURE

    def through(self, host: str, port: int) -> Target:
        """Return the target as it is reached by a proxy."""
        parts = urlsplit(self.url)
        user, at, _ = parts.netloc.rpartition("@")
        return replace(self, url=urlunsplit(parts._replace(netloc=f"{user}{at}{host}:{port}")))


class Kind(NamedTuple):
    """A way to talk: its settings, its transport, and how a target's URL becomes the one that it takes."""

    config: Callable[..., Any]
    transport: Callable[..., ChatTransport]
    address: Callable[[str], str]
    settings: dict[str, Any]


def websocket_url(url: str) -> str:
    """Return the URL of a WebSocket: one of its own as it is, or /ws under a server's root."""
    parts = urlsplit(url)
    if parts.scheme in ("ws", "wss"):
        return url
    return urlunsplit(parts._replace(scheme=_SCHEMES[parts.scheme], path=parts.path.rstrip("/") + "/ws"))


def http_url(url: str) -> str:
    """Return the URL of a server's root, also where the one of its WebSocket is given."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return url
    return urlunsplit(parts._replace(scheme=_SCHEMES[parts.scheme], path=parts.path.removesuffix("/ws")))


TRANSPORTS: dict[str, Kind] = {
    "websocket": Kind(WebSocketConfig, WebSocketTransport, websocket_url, {"heartbeat": HEARTBEAT}),
}
"""The transports that a console can name."""


def make_transport(kind: str, target: Target) -> ChatTransport:
    """Return a transport of that kind to the target, which lives on the running loop.

    Errors: `SettingsError` for a transport that there isn't, or settings that it can't have.
    """
    found = TRANSPORTS.get(kind)
    if found is None:
        raise SettingsError(f"transport: there is no {kind!r}; choose one of {', '.join(TRANSPORTS)}")
    check_scheme(target.url)
    config = found.config(
        url=found.address(target.url),
        room=target.room,
        sender=target.name,
        dialect=target.dialect,
        history=target.history,
        after=target.after,
        outbox=target.outbox,
        **found.settings,
    )
    return found.transport(config, loop="current")


def check_scheme(url: str) -> None:
    """Check that a URL can be a chat server's.

    Errors: `SettingsError`, with the likely correction.
    """
    if url.partition("://")[0].lower() not in _SCHEMES:
        shown = redacted(url)
        likely = shown if "://" not in shown and shown.strip("/") else "127.0.0.1:8000"
        raise SettingsError(
            "url: give one that starts with http://, https://, ws:// or wss://, "
            f"such as http://{likely}, got {shown!r}"
        )
    try:
        urlsplit(url)
    except ValueError as error:
        raise SettingsError(f"url: {error}, got {redacted(url)!r}") from None
