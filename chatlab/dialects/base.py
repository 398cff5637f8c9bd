"""The base of dialects, which translate between a machine and one kind of server's frames, without I/O.

`Dialect` has defaults for most servers; a dialect overrides what differs. `HttpDialect` is its part for
requests. `docs/dialects.md` walks through writing one.

Incoming frames and answers become `Incoming` items. Decoding never raises: an undecodable frame
becomes an `Unreadable`. For sending, a dialect makes an `Opening`, frames and `Request`s. These hold no
secrets. Secrets are in the settings' `headers`, which only the live driver reads; `credentials` puts them
where the server expects them.

Most dialects have no state. One whose frames depend on earlier ones returns a fresh object for each
connection (`for_connection`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from chatlab.dialects.http_base import Answer, HttpDialect, Page, Request
from chatlab.dialects.items import (
    EXCERPT,
    REASON,
    Ack,
    Incoming,
    InFlight,
    Nack,
    Refused,
    Reply,
    ServerPing,
    ServerPong,
    Unreadable,
    Welcome,
    excerpt,
    unreadable,
)
from chatlab.errors import SettingsError
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import HeartbeatMode, TransportConfig, Verdict

__all__ = [
    "EXCERPT",
    "REASON",
    "Ack",
    "Answer",
    "Credentials",
    "Dialect",
    "HttpDialect",
    "InFlight",
    "Incoming",
    "Nack",
    "Opening",
    "Page",
    "Refused",
    "Reply",
    "Request",
    "ServerPing",
    "ServerPong",
    "Unreadable",
    "Welcome",
    "excerpt",
    "unreadable",
]


class Opening(Struct, frozen=True):
    """The opening of a WebSocket; `path` and `query` extend the configured URL, `headers` the user's.

    If there are `protocols`, the server must choose one of them. `frames` are sent first.
    """

    path: str = ""
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    protocols: tuple[str, ...] = ()
    frames: tuple[str | bytes, ...] = ()


class Credentials(Struct, frozen=True):
    """The settings' `headers`, in the places that a server expects: headers, query parameters, or the first
    frames of a WebSocket. It is never printed, and never reaches a machine or a trace.

    `sign` returns each frame of a WebSocket, and each body of a POST, with the secrets added that it needs.
    """

    headers: Mapping[str, str]
    query: Mapping[str, str] = {}
    frames: tuple[str | bytes, ...] = ()
    sign: Callable[[str | bytes], str | bytes] | None = None

    def __repr__(self) -> str:
        return "Credentials(hidden)"


class Dialect:
    """The wire format of one kind of server. No I/O; decoding never raises."""

    name: str = ""
    """Name in settings, errors and the panel."""
    websocket: bool = True
    """Whether there are WebSockets; if so, implement `encode` and `decode`."""
    acks: bool = False
    """Whether the server acknowledges messages on a WebSocket, at least by echoing them. If not, `sent` is
    the final state of a message on a WebSocket and in a fallback. Transports over HTTP don't need it: the
    answer to a POST is the ack."""
    idempotent: bool = True
    """Whether the server drops duplicates; if not, readers drop them by sender, client id and content."""
    reuses_ids: bool = True
    """Whether a restarted server may give an id again, to another message. If so, a known id with another
    content is shown, with a `resync` before the first one."""
    greets: bool = False
    """Whether the server lets a reader in by a `Welcome`. Until then the transport isn't connected, sends no
    message and no heartbeat, and the attempt fails after `connect_timeout`."""
    heartbeat: HeartbeatMode = "ping"
    """Kind of heartbeat if the settings have none."""
    failures: Mapping[str, Verdict] = {}
    """The server's verdicts that differ from the failure table, with the keys of `TransportConfig.failures`,
    which take precedence."""
    gap: Callable[[str, str], bool] | None = None
    """A function that returns whether messages are missing between two consecutive ids; None: ids don't show
    it."""

    @property
    def http(self) -> HttpDialect | None:
        """Its part for transports over HTTP; None: it has WebSockets only."""
        return None

    @cached_property
    def transports(self) -> tuple[str, ...]:
        """The transports that it supports, best first."""
        http = self.http
        streams, polls = (http.streams, http.polls) if http is not None else (False, False)
        offers = {
            "websocket": self.websocket,
            "sse": streams,
            "long_polling": polls,
            "short_polling": polls and http is not None and http.short_polls,
        }
        return tuple(name for name, offered in offers.items() if offered)

    def require(self, transport: str) -> None:
        """Check that it supports a transport.

        Errors: `SettingsError` that lists the supported transports.
        """
        if transport not in self.transports:
            supported = f"choose one of {', '.join(self.transports)}"
            advice = supported if self.transports else "set its `websocket` or give it an `http` part"
            raise SettingsError(f"dialect: {self.name!r} has no {transport}; {advice}")

    def credentials(self, headers: Mapping[str, str]) -> Credentials:
        """Return the settings' `headers` in the places that the server expects."""
        return Credentials(headers)

    def for_connection(self) -> Dialect:
        """Return the dialect of a new connection: itself, or a fresh object with the connection's state.

        The last connection's object is asked, and may hand over what it knows. The new object's `opening`,
        `encode`, `decode`, `ping`, `pong` and `typing` are called for the new connection only.
        """
        return self

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        """Return the opening of a connection that resumes after `cursor`."""
        return Opening()

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str | bytes:
        """Return the frame of a message: text, or bytes for a binary frame."""
        raise NotImplementedError

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        """Return the items of a frame."""
        raise NotImplementedError

    def ping(self, id: int) -> str | bytes:
        """Return the frame of a JSON heartbeat."""
        return f'{{"type":"ping","id":{id}}}'

    def pong(self, id: int | None) -> str | bytes:
        """Return the frame that answers a server's heartbeat; `id` is None if it had none."""
        return '{"type":"pong"}' if id is None else f'{{"type":"pong","id":{id}}}'

    def is_echo(self, sent: OutgoingMessage, came: ChatMessage) -> bool:
        """Return whether `came`, with the sender name and client id of `sent`, is the same message.

        Any client can use any name and id, so the content must be the same. A server that changes texts needs
        another rule.
        """
        return came.text == sent.text and came.data == sent.data

    def last_frame(self) -> str | bytes | None:
        """Return the frame to send before the application disconnects; None: the close frame says enough."""
        return None

    def typing(self, config: TransportConfig) -> str | bytes | None:
        """Return the frame that reports that the person is typing; None: the server has no such frame."""
        return None

    def __repr__(self) -> str:
        return f"<dialect {self.name}>"
