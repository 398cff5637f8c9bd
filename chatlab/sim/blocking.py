"""A proxy that blocks some transports: how it knows them, and what it does."""

from __future__ import annotations

from typing import Literal

BlockableTransport = Literal["websocket", "sse", "long_polling", "short_polling"]
Blocking = Literal["403", "strip_upgrade", "swallow", "reset"]
"""The treatment of a request by a proxy: see `Blocked`."""

BLOCKED_STATUS = 403
BLOCKED_REASON = "blocked by a proxy"

_PATHS: dict[str, BlockableTransport] = {
    "/stream": "sse",
    "/messages/poll": "long_polling",
    "/messages": "short_polling",
}
_UPGRADE = b"\r\nupgrade: websocket\r\n"


def transport_of(method: str, path: str) -> BlockableTransport | None:
    """Return the transport to which a request without an upgrade belongs; None: it may be any, as a post."""
    return _PATHS.get(path) if method == "GET" else None


def read_transport(data: bytes) -> BlockableTransport | None:
    """Return the transport to which the request at the beginning of these bytes belongs."""
    head = data.partition(b"\r\n\r\n")[0]
    if _UPGRADE in head.lower() + b"\r\n":
        return "websocket"
    method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    return transport_of(method, rest.partition(" ")[0].partition("?")[0])


def strip_upgrade(data: bytes) -> bytes:
    """Return an upgrade request as a proxy passes it on that doesn't know `Upgrade`.

    The fields get other names of the same length, so that the bytes take the same time.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    fields = head.split(b"\r\n")
    names = {b"upgrade": b"X-Strip", b"connection": b"X-Stripped"}
    for number, field in enumerate(fields):
        name, colon, value = field.partition(b":")
        fields[number] = names.get(name.lower(), name) + colon + value
    return b"\r\n".join(fields) + end + rest
