"""What a dialect is: pure functions between a machine and the frames of one kind of server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

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
    """A frame that makes no sense, why, and how it begins; the reader goes on after its `id`, if it has
    one."""

    reason: str
    excerpt: str
    id: str = ""


Incoming = ChatMessage | ChatEvent | Welcome | Ack | Nack | ServerPing | ServerPong | Unreadable

EXCERPT = 80
"""So many characters of what can't be read are shown."""

REASON = 200
"""So many characters of the reason are; a decoder's error may quote the frame."""


def excerpt(text: str | bytes, limit: int = EXCERPT) -> str:
    """Return how something foreign begins: printable and bounded."""
    head = text[:limit]
    shown = head if isinstance(head, str) else head.decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return shown + ("…" if len(text) > limit else "")


def unreadable(reason: str, frame: str | bytes) -> Unreadable:
    """Make an `Unreadable` that quotes the frame's beginning; it and the reason are printable and bounded."""
    return Unreadable(excerpt(reason, REASON), excerpt(frame))


class Request(Struct, frozen=True, gc=False):
    """An HTTP request: `path` and `query` are added to the configured URL, `headers` to the user's."""

    method: Literal["GET", "POST"]
    path: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: str = ""


class Answer(Struct, frozen=True, gc=False):
    """What a request got. `headers` have lower-case names, and are those that the dialect asks for, and
    `retry-after` in seconds, however the server spelt it."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}


class Page(Struct, frozen=True):
    """What a poll's answer says; with `more`, there is more to fetch at once."""

    items: Sequence[Incoming]
    more: bool = False

    @property
    def resync(self) -> bool:
        """Whether the server no longer has what came after the reader's cursor."""
        return any(isinstance(item, Welcome) and item.resync for item in self.items)

    @property
    def senseless(self) -> bool:
        """Whether nothing of it can be read, nor passed over."""
        return bool(self.items) and all(isinstance(item, Unreadable) and not item.id for item in self.items)


class HttpDialect(Protocol):
    """The part of a dialect for SSE + POST and polling. Pure; decoding never raises."""

    @property
    def answer_headers(self) -> frozenset[str]:
        """Names, in lower case, of the headers of an answer that `page` reads."""

    @property
    def csrf(self) -> Request | None:
        """The request that gets a CSRF token; None: there is none to get."""

    def csrf_token(self, body: bytes) -> str | None:
        """Return the token in the answer of a `csrf` request."""

    def stream(self, config: TransportConfig, cursor: str | None) -> Request:
        """Return the request of an event stream that resumes after `cursor`."""

    def event(self, kind: str, data: str, id: str) -> Sequence[Incoming]:
        """Return what an event of the stream says: its type, data and last event ID."""

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        """Return the request for what came after `cursor`, which the server may hold so many seconds."""

    def page(self, answer: Answer) -> Page | None:
        """Return what a poll's answer says; None: it is a failure, which the failure table judges."""

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        """Return the request that sends a message."""

    def posted(self, answer: Answer, client_id: str) -> Ack | Nack | None:
        """Return what became of a sent message; None: it is a failure, which the failure table judges."""

    def post_typing(self, config: TransportConfig) -> Request | None:
        """Return the request that tells that the person types; None: there is no such thing."""


class Dialect(Protocol):
    """How one kind of server spells what every chat server says. Pure; decoding never raises."""

    @property
    def http(self) -> HttpDialect | None:
        """Its part for transports over HTTP; None: it has WebSockets only."""

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
