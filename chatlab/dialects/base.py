"""What a dialect is: pure functions between a machine and the frames of one kind of server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import HeartbeatMode, TransportConfig

# What a server can say, besides a ChatMessage and a ChatEvent that is simply passed on.


class Welcome(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="welcome"):
    """The server has let the reader in. `cursor` is where the room's log ends before any replay.

    `resync` tells that what came after the reader's own cursor is no longer there.
    """

    cursor: str | None = None
    resync: bool = False


class Ack(Struct, frozen=True, gc=False, tag_field="type", tag="ack"):
    """The server has accepted the message."""

    client_id: str


class Nack(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="nack"):
    """The server has refused the message, with the nearest HTTP status."""

    client_id: str
    status: int
    reason: str = ""


class ServerPing(Struct, frozen=True, gc=False, tag_field="type", tag="ping"):
    """The server wants a sign of life."""

    id: int


class ServerPong(Struct, frozen=True, gc=False, tag_field="type", tag="pong"):
    """The server answers the client's ping."""

    id: int


class Unreadable(Struct, frozen=True, gc=False):
    """A frame that makes no sense, why, and how it begins."""

    reason: str
    excerpt: str


Incoming = ChatMessage | ChatEvent | Welcome | Ack | Nack | ServerPing | ServerPong | Unreadable

EXCERPT = 80
"""So many characters of an unreadable frame are shown."""

REASON = 200
"""So many characters of the reason are; a decoder's error may quote the frame."""


def unreadable(reason: str, frame: str | bytes) -> Unreadable:
    """Make an `Unreadable` that quotes the frame's beginning; it and the reason are printable and bounded."""
    return Unreadable(_shortened(reason, REASON), _shortened(frame, EXCERPT))


def _shortened(text: str | bytes, limit: int) -> str:
    head = text[:limit]
    shown = head if isinstance(head, str) else head.decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return shown + ("…" if len(text) > limit else "")


class Dialect(Protocol):
    """How one kind of server spells what every chat server says. Pure; decoding never raises."""

    @property
    def name(self) -> str:
        """The name that settings use."""

    @property
    def acks(self) -> bool:
        """Whether the server acknowledges messages; without, `sent` is a message's last state."""

    @property
    def heartbeat(self) -> HeartbeatMode:
        """How a client asks for a sign of life where the settings don't say."""

    def query(self, config: TransportConfig, cursor: str | None) -> dict[str, str]:
        """Return the query parameters of a connection that resumes after `cursor`."""

    def encode(self, message: OutgoingMessage) -> str | bytes:
        """Return the frame of a message: text, or bytes for a binary frame."""

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        """Return what a frame says."""

    def ping(self, id: int) -> str:
        """Return the frame of a heartbeat."""

    def pong(self, id: int) -> str:
        """Return the frame that answers a server's heartbeat."""

    def typing(self) -> str | None:
        """Return the frame that tells that the person types; None: there is no such thing."""
