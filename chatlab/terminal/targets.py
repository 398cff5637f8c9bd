"""Targets of a console, and transports to them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from chatlab.dialects import find_dialect
from chatlab.errors import SettingsError
from chatlab.live.client import kinds
from chatlab.live.client.kinds import make_config
from chatlab.live.client.transport import ChatTransport
from chatlab.settings import (
    AnyConfig,
    HeaderSource,
    HeartbeatConfig,
    OutboxConfig,
    Url,
    parse_problem,
    shown_url,
)
from chatlab.settings.urls import through_proxy
from chatlab.text import quoted

HEARTBEAT = HeartbeatConfig(interval=10.0, timeout=5.0)
"""Shorter than the default, so that a person sees the round trip, and a dead link soon."""

_SCHEMES = ("http", "https", "ws", "wss")
_SECURE = ("https", "wss")


class Target(Struct, frozen=True, kw_only=True):
    """A server, with a room and the person's name. `url` may have any of the four schemes.

    `headers` are for this server only.
    """

    url: str
    room: str = "lobby"
    name: str = "guest"
    dialect: str = "chatlab"
    history: int = 50
    outbox: OutboxConfig = OutboxConfig(overflow="reject")
    headers: HeaderSource = HeaderSource(None)

    def __post_init__(self) -> None:
        force_setattr(self, "url", Url(str.__str__(self.url)))

    @property
    def origin(self) -> tuple[bool, str | None, int | None]:
        """The origin to which headers are sent: TLS or not, host and port."""
        parts = urlsplit(self.url)
        return self.secure, parts.hostname, parts.port or (443 if self.secure else 80)

    @property
    def secure(self) -> bool:
        """Whether the URL uses TLS."""
        return urlsplit(self.url).scheme in _SECURE

    def through(self, host: str, port: int) -> Target:
        """Return the target as reached through a proxy on `host` and `port`."""
        return replace(self, url=through_proxy(self.url, host, port))


_MATRIX = {
    "room": ("!", "the id of a room that you have joined, such as '!abc:example.org'"),
    "name": ("@", "your user id, such as @ada:example.org"),
}
"""First character of rooms and names on a Matrix server, and an example for the error message."""

SETTINGS: dict[str, Any] = {"heartbeat": HEARTBEAT}
"""Settings of a console that differ from the defaults, for transports that have them."""


def best_kind(dialect: str) -> str:
    """Return the name of the best transport that a dialect supports. Errors: `SettingsError`."""
    transports = find_dialect(dialect).transports
    return transports[0] if transports else "websocket"  # which the transport refuses, and says why


def make_transport(config: AnyConfig, **options: Any) -> ChatTransport:
    """Return a transport that runs on the running event loop; `options` are those of `ChatTransport`."""
    return kinds.make_transport(config, loop="current", **options)


def config_of(kind: str, target: Target) -> AnyConfig:
    """Return the settings of a transport of that kind to the target.

    Errors: `SettingsError` for an unknown kind, or invalid settings.
    """
    check_scheme(target.url)
    for field, (start, wanted) in _MATRIX.items():
        if target.dialect == "matrix" and not getattr(target, field).startswith(start):
            got = quoted(getattr(target, field))
            raise SettingsError(f"{field}: a Matrix server wants {wanted}, got {got}")
    try:
        return make_config(
            kind,
            target.url,
            room=target.room,
            sender=target.name,
            dialect=target.dialect,
            history=target.history,
            outbox=target.outbox,
            headers=target.headers,
            **SETTINGS,
        )
    except SettingsError as error:  # with the names of the command line's options
        message = re.sub(r"^\w+Config\.", "", str(error))
        raise SettingsError(re.sub(r"^sender:", "name:", message)) from None


def check_scheme(url: str) -> None:
    """Check the scheme of a server's URL.

    Errors: `SettingsError`, with a likely correction.
    """
    if url.partition("://")[0].lower() not in _SCHEMES:
        shown = shown_url(url)
        likely = shown if "://" not in shown and shown.strip("/") else "127.0.0.1:8000"
        raise SettingsError(
            "url: give one that starts with http://, https://, ws:// or wss://, "
            f"such as http://{likely}, got {shown!r}"
        )
    try:
        urlsplit(url)
    except ValueError as error:
        raise SettingsError(f"url: give one that {parse_problem(error)}, got {shown_url(url)!r}") from None
