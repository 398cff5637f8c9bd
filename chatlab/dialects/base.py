"""What a dialect is: pure functions between a machine and the frames of one kind of server.

`Dialect` is what a server's spelling of a chat is derived from: the class says what is true of most servers,
and a dialect overrides what is different. `HttpDialect` is its part for requests. `docs/dialects.md` walks
through writing one.

What comes in is turned into `Incoming` items, and nothing of that raises: what can't be read is an
`Unreadable`. What goes out is an `Opening`, a frame or a `Request`, and holds no secrets: those are in the
settings' `headers`, which only the live driver asks for, and which `credentials` puts where the server wants
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from chatlab.errors import SettingsError
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import HeartbeatMode, TransportConfig, Verdict

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
    """The server wants a sign of life; the answer has the same `id`, if there is one."""

    id: int | UnsetType = UNSET


class ServerPong(Struct, frozen=True, gc=False, tag_field="type", tag="pong"):
    """The server answers the client's ping."""

    id: int | UnsetType = UNSET


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


class Opening(Struct, frozen=True):
    """How to open a WebSocket: `path` and `query` are added to the configured URL, `headers` to the user's.

    Where there are `protocols`, the server must choose one of them. `frames` are the first to be sent.
    """

    path: str = ""
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    protocols: tuple[str, ...] = ()
    frames: tuple[str | bytes, ...] = ()


class Request(Struct, frozen=True, gc=False):
    """An HTTP request: `path` and `query` are added to the configured URL, `headers` to the user's."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: str = ""


class Answer(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a request got. `headers` have lower-case names, and are those that the dialect asks for,
    `content-type`, and `retry-after` in seconds, however the server spelt it. `redirected` tells that it
    comes from another address than the one that was asked."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    redirected: bool = False


class Page(Struct, frozen=True):
    """What a poll's answer says; with `more`, there is more to fetch at once.

    The reader goes on after the last message's id, or at `cursor` where the server says so. With `gap`,
    something is missing between where the reader stood and these items.
    """

    items: Sequence[Incoming]
    more: bool = False
    cursor: str | None = None
    gap: bool = False

    @property
    def resync(self) -> bool:
        """Whether the server no longer has what came after the reader's cursor."""
        return any(isinstance(item, Welcome) and item.resync for item in self.items)

    @property
    def senseless(self) -> bool:
        """Whether nothing of it can be read, nor passed over."""
        return bool(self.items) and all(isinstance(item, Unreadable) and not item.id for item in self.items)


class Credentials(Struct, frozen=True):
    """Where a server wants what the settings' `headers` hold: headers, query parameters, or the first frames
    of a WebSocket. It is never printed, and never reaches a machine or a trace."""

    headers: Mapping[str, str]
    query: Mapping[str, str] = {}
    frames: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Credentials(hidden)"


class HttpDialect:
    """The part of a dialect for SSE + POST and polling. Pure; what reads an answer never raises."""

    streams: bool = True
    """Whether there are event streams; then it has `stream` and `event`."""
    polls: bool = True
    """Whether there are polls; then it has `poll` and `page`."""
    answer_headers: frozenset[str] = frozenset()
    """Names, in lower case, of the headers of an answer that `page` reads."""
    csrf: Request | None = None
    """The request that gets a CSRF token; None: there is none to get."""
    csrf_header: str = "X-CSRF-Token"
    """The header in which a POST carries the token."""

    def csrf_token(self, body: bytes) -> str | None:
        """Return the token in the answer of a `csrf` request."""
        return None

    def stream(self, config: TransportConfig, cursor: str | None) -> Request:
        """Return the request of an event stream that resumes after `cursor`."""
        raise NotImplementedError

    def event(self, kind: str, data: str, id: str) -> Sequence[Incoming]:
        """Return what an event of the stream says: its type, data and last event ID."""
        raise NotImplementedError

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        """Return the request for what came after `cursor`, which the server may hold so many seconds.

        `hold` is None for short polling; 0 where long polling isn't sure of the connection.
        """
        raise NotImplementedError

    def page(self, answer: Answer) -> Page | None:
        """Return what a poll's answer says; None: it is a failure, which the failure table judges."""
        raise NotImplementedError

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        """Return the request that sends a message."""
        raise NotImplementedError

    def posted(self, answer: Answer, client_id: str) -> Ack | Nack | None:
        """Return what became of a sent message; None: it is a failure, which the failure table judges.

        An answer is an `Ack` only if it says what no captive portal or proxy would say: by its status alone a
        server can't be told from them. So by default nothing is.
        """
        return None

    def retry_after(self, answer: Answer) -> float | None:
        """Return the seconds that a refusal's body asks to wait, where its server says so there; None: it
        doesn't. Such a wish counts if there is no `Retry-After` header."""
        return None

    def post_typing(self, config: TransportConfig) -> Request | None:
        """Return the request that tells that the person types; None: there is no such thing."""
        return None


class Dialect:
    """How one kind of server spells what every chat server says. Pure; decoding never raises."""

    name: str = ""
    """What settings, errors and the panel call it."""
    websocket: bool = True
    """Whether there are WebSockets; then it has `encode` and `decode`."""
    acks: bool = False
    """Whether the server acknowledges messages on a WebSocket, if only by sending them back; without, `sent`
    is a message's last state there, and in a fallback. Over HTTP alone an answer always is one."""
    idempotent: bool = True
    """Whether the server drops a message that it has already; if not, readers do, by sender, client id and
    content."""
    heartbeat: HeartbeatMode = "ping"
    """How a client asks for a sign of life where the settings don't say."""
    failures: Mapping[str, Verdict] = {}
    """What the server's close codes and statuses mean, where that isn't what the failure table says; with the
    same keys as `TransportConfig.failures`, which come first."""
    gap: Callable[[str, str], bool] | None = None
    """Tells whether something is missing between two messages' ids; None: ids don't show it."""

    @property
    def http(self) -> HttpDialect | None:
        """Its part for transports over HTTP; None: it has WebSockets only."""
        return None

    @cached_property
    def transports(self) -> tuple[str, ...]:
        """The transports that can speak it, best first."""
        http = self.http
        streams, polls = (http.streams, http.polls) if http is not None else (False, False)
        offers = {"websocket": self.websocket, "sse": streams, "long_polling": polls, "short_polling": polls}
        return tuple(name for name, offered in offers.items() if offered)

    def require(self, transport: str) -> None:
        """Check that it can be spoken over a transport.

        Errors: `SettingsError`, with the transports over which it can.
        """
        if transport not in self.transports:
            spoken = ", ".join(self.transports)
            raise SettingsError(f"dialect: {self.name!r} has no {transport}; choose one of {spoken}")

    def credentials(self, headers: Mapping[str, str]) -> Credentials:
        """Put what the settings' `headers` hold where the server wants it."""
        return Credentials(headers)

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        """Return how to open a connection that resumes after `cursor`."""
        return Opening()

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str | bytes:
        """Return the frame of a message: text, or bytes for a binary frame."""
        raise NotImplementedError

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        """Return what a frame says."""
        raise NotImplementedError

    def ping(self, id: int) -> str:
        """Return the frame of a heartbeat in JSON."""
        return f'{{"type":"ping","id":{id}}}'

    def pong(self, id: int | None) -> str:
        """Return the frame that answers a server's heartbeat; None: it had no id."""
        return '{"type":"pong"}' if id is None else f'{{"type":"pong","id":{id}}}'

    def is_echo(self, sent: OutgoingMessage, came: ChatMessage) -> bool:
        """Whether a message that came, by the own name and client id, is the one that was sent.

        Everybody can choose a name and an id, so the content must be the same; a server that changes texts
        needs another rule.
        """
        return came.text == sent.text and came.data == sent.data

    def typing(self, config: TransportConfig) -> str | None:
        """Return the frame that tells that the person types; None: there is no such thing."""
        return None

    def __repr__(self) -> str:
        return f"<dialect {self.name}>"
