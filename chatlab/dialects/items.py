"""The items that a dialect reads from a server's frames and answers; all are plain data.

Decoding never raises: an undecodable frame becomes an `Unreadable`.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from chatlab.messages import ChatEvent, ChatMessage

# Items from a server, besides a ChatMessage and a ChatEvent that is passed on to the application.


class Welcome(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="welcome"):
    """The server's first item, or its greeting. `cursor` is the end of the room's log before any replay.

    `resync` means that the server no longer has the messages after the reader's cursor. A server that sends
    the heartbeats may state their interval and the timeout, in seconds; they replace the settings'.
    """

    cursor: str | None = None
    resync: bool = False
    heartbeat_interval: float | None = None
    heartbeat_timeout: float | None = None


class Ack(Struct, frozen=True, gc=False, tag_field="type", tag="ack"):
    """The server's acceptance of a message."""

    client_id: str


class Nack(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="nack"):
    """The server's refusal of a message, with the nearest HTTP status."""

    client_id: str
    status: int
    reason: str = ""


class InFlight(Struct, frozen=True, gc=False):
    """A POST whose answer says only that the request arrived: the message's ack comes with the received
    items. Only `HttpDialect.posted` of a dialect that `greets` returns it."""

    client_id: str


class Reply(Struct, frozen=True, gc=False):
    """A frame to send at once on the same connection. Over HTTP, `HttpDialect.post_reply` makes its POST."""

    frame: str | bytes


class Refused(Struct, frozen=True, gc=False):
    """The server's refusal of the connection, in a frame or an answer. The connection ends.

    The failure table judges it as that HTTP status; without one, as close code 1013 (try again later).
    `retry_after` is the delay in seconds that the server asks for.
    """

    reason: str
    status: int | None = None
    retry_after: float | None = None


class ServerPing(Struct, frozen=True, gc=False, tag_field="type", tag="ping"):
    """The server's heartbeat; the pong has the same `id`, if there is one."""

    id: int | UnsetType = UNSET


class ServerPong(Struct, frozen=True, gc=False, tag_field="type", tag="pong"):
    """The server's answer to the client's ping."""

    id: int | UnsetType = UNSET


class Unreadable(Struct, frozen=True, gc=False):
    """A frame that can't be decoded: reason and excerpt. The cursor moves to its `id`, if it has one."""

    reason: str
    excerpt: str
    id: str = ""


Incoming = (
    ChatMessage | ChatEvent | Welcome | Ack | Nack | Reply | Refused | ServerPing | ServerPong | Unreadable
)

EXCERPT = 80
"""Maximum characters of an `Unreadable`'s excerpt."""

REASON = 200
"""Maximum characters of an `Unreadable`'s reason: a decoder's error may quote the frame."""


def excerpt(text: str | bytes, limit: int = EXCERPT) -> str:
    """Return the first `limit` characters of a foreign text, made printable."""
    head = text[:limit]
    shown = head if isinstance(head, str) else head.decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return shown + ("…" if len(text) > limit else "")


def unreadable(reason: str, frame: str | bytes) -> Unreadable:
    """Return an `Unreadable` with the frame's beginning; both texts are printable and bounded."""
    return Unreadable(excerpt(reason, REASON), excerpt(frame))
