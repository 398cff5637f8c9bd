"""The interface between a machine and its driver: events go in, effects come out.

A driver (on SimPy, on virtual time, or on real sockets) calls `handle` with each event as it happens and
carries out the effects in order. It sends a `Tick` at the machine's `deadline`; the machine has no other
timer.

In hot code compare events and effects with `type(x) is`: they have no subclasses, and `isinstance` calls
msgspec's metaclass, which takes as long as creating two of them.

A link number identifies a connection or a request. A machine ignores events of a link that it has abandoned,
so a driver may report late.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, Protocol, final

from msgspec import Struct

from chatlab.dialects.base import Answer, Request
from chatlab.messages import ChatEvent, ConnectionStatus, DeliveryState, OutgoingMessage, StatusChange
from chatlab.transports.cursor import Cursor

FailureKind = Literal["close", "http", "answer", "refused", "dns", "timeout", "reset", "tls", "protocol"]


_LABELS = {"close": "closed", "http": "HTTP"}


class Failure(Struct, frozen=True, omit_defaults=True):
    """The end of a connection, a handshake or a request.

    `code` is a WebSocket close code for the kind `close`, and an HTTP status for `http`. The kind `answer` is
    an unexpected answer, such as a captive portal's; its `code` is the HTTP status, if known. Other kinds
    have no code. `retry_after` is the delay in seconds that the server asks for. `in_band` means that the
    server has refused the connection in a frame or a body, and the code is that by which it is judged.
    """

    kind: FailureKind
    code: int | None = None
    reason: str = ""
    retry_after: float | None = None
    in_band: bool = False

    def __str__(self) -> str:
        return _describe(self.kind, self.code, self.reason, self.in_band)


@lru_cache(256)
def _describe(kind: FailureKind, code: int | None, reason: str, in_band: bool) -> str:
    if in_band:
        said = f": {reason}" if reason else ""
        return f"refused by the server{said} (judged as {'close code' if kind == 'close' else 'HTTP'} {code})"
    if kind == "answer":
        known = ", ".join(part for part in (f"HTTP {code}" if code else "", reason) if part)
        return f"unexpected answer ({known})" if known else "unexpected answer"
    label = _LABELS.get(kind, kind)
    head = label if code is None else f"{label} {code}"
    return f"{head}: {reason}" if reason else head


# Events


@final
class Connect(Struct, frozen=True, tag=True):
    """The application's request to connect."""


@final
class Disconnect(Struct, frozen=True, tag=True):
    """The application's request to disconnect. With `drain`, send what can still be sent first."""

    drain: bool = True


@final
class Submit(Struct, frozen=True, tag=True, gc=False, omit_defaults=True):
    """A message to send; it has a `client_id`.

    `again` marks a message that another transport may have sent already. It keeps its id, goes out before
    messages that were never sent, and is accepted even if the outbox is full.
    """

    message: OutgoingMessage
    again: bool = False


@final
class Typing(Struct, frozen=True, tag=True):
    """A sign that the person is typing; ignored unless connected."""


@final
class Opened(Struct, frozen=True, tag=True, gc=False):
    """An open link: the WebSocket handshake is complete, or the stream's response has status 200.

    `protocol` is the subprotocol that the server chose, or the stream's content type.
    """

    link: int
    protocol: str = ""


@final
class Received(Struct, frozen=True, tag=True, gc=False):
    """A text frame from the server."""

    link: int
    data: str


@final
class ReceivedBytes(Struct, frozen=True, tag=True, gc=False):
    """A binary frame, or a piece of a stream's body."""

    link: int
    data: bytes


@final
class Answered(Struct, frozen=True, tag=True, gc=False):
    """The whole answer to a request; of a refused stream only the beginning of its body."""

    link: int
    answer: Answer


@final
class Pong(Struct, frozen=True, tag=True, gc=False):
    """The Pong frame for an earlier `Ping` effect (RFC 6455 §5.5.3)."""

    link: int
    id: int


@final
class Pinged(Struct, frozen=True, tag=True, gc=False):
    """A Ping frame of the server, which the driver has answered (RFC 6455 §5.5.3)."""

    link: int


@final
class Closed(Struct, frozen=True, tag=True, gc=False):
    """The end of a link, or the failure of opening it."""

    link: int
    failure: Failure


@final
class Tick(Struct, frozen=True, tag=True, omit_defaults=True):
    """A timer: the machine's deadline may have passed. `woke`: the computer resumed from sleep, so an open
    connection may be dead."""

    woke: bool = False


Event = (
    Connect
    | Disconnect
    | Submit
    | Typing
    | Opened
    | Received
    | ReceivedBytes
    | Answered
    | Pong
    | Pinged
    | Closed
    | Tick
)


# Effects, which the driver carries out in order


@final
class OpenWebSocket(Struct, frozen=True, tag=True, gc=False):
    """Open a WebSocket to the configured URL, with this path and these query parameters added.

    `headers` are added to the user's, `protocols` to those of the settings. `failure` is the refusal to pass
    to the user's `headers` function. `transport` is the index of the transport in a fallback's list.
    """

    link: int
    query: dict[str, str] = {}
    failure: Failure | None = None
    transport: int = 0
    path: str = ""
    headers: dict[str, str] = {}
    protocols: tuple[str, ...] = ()


@final
class Fetch(Struct, frozen=True, tag=True, gc=False):
    """Make a request, and report its answer as `Answered`.

    Report a `stream` with status 200 as `Opened`, and its body as `ReceivedBytes`. Keep the token from the
    answer to a `csrf` request in the driver, and add it to each `post`. `failure` is the refusal to pass to
    the user's `headers` function.
    """

    link: int
    purpose: Literal["stream", "poll", "post", "csrf"]
    request: Request
    failure: Failure | None = None
    transport: int = 0


@final
class Send(Struct, frozen=True, tag=True, gc=False):
    """Send a text frame."""

    link: int
    data: str


@final
class SendBytes(Struct, frozen=True, tag=True, gc=False):
    """Send a binary frame."""

    link: int
    data: bytes


def frame_effect(link: int, frame: str | bytes) -> Send | SendBytes:
    """Return the effect that sends a text or binary frame."""
    return Send(link, frame) if isinstance(frame, str) else SendBytes(link, frame)


@final
class Ping(Struct, frozen=True, tag=True, gc=False):
    """Send a Ping frame, and report its `Pong` with the same id."""

    link: int
    id: int


@final
class Close(Struct, frozen=True, tag=True, gc=False):
    """Close the link, and don't report its end.

    If `code` is 1006, abort without a closing handshake. The driver limits the time of a closing handshake.
    """

    link: int
    code: int = 1000
    reason: str = ""


@final
class Deliver(Struct, frozen=True, tag=True, gc=False):
    """Pass an event to the application."""

    event: ChatEvent


@final
class Notify(Struct, frozen=True, tag=True, gc=False):
    """Report a change of status to the application."""

    change: StatusChange


@final
class Settle(Struct, frozen=True, tag=True, gc=False):
    """Report a message's new delivery state; `status` is the HTTP status of a server that refused it."""

    client_id: str
    state: DeliveryState
    reason: str = ""
    status: int | None = None


@final
class Refuse(Struct, frozen=True, tag=True, gc=False):
    """Report that a submitted message was not accepted, and isn't in the ledger."""

    client_id: str
    reason: Literal["full", "duplicate"]


Effect = OpenWebSocket | Fetch | Send | SendBytes | Ping | Close | Deliver | Notify | Settle | Refuse


class Unencodable(Exception):
    """A message for which the dialect raised `__cause__`; it was removed from the ledger.

    `effects` are the event's effects up to then, which the driver must still carry out.
    """

    def __init__(self, client_id: str, effects: Sequence[Effect]) -> None:
        super().__init__(client_id)
        self.client_id = client_id
        self.effects = effects


class Machine(Protocol):
    """A chat transport without sockets or clock. No event raises in any state, unless the dialect does.

    Errors of `handle`: `Unencodable`, and whatever else the dialect raises. Disconnect the machine then.
    """

    @property
    def status(self) -> ConnectionStatus:
        """The transport's status as last notified."""

    @property
    def deadline(self) -> float:
        """Time of the next `Tick`, in seconds on the clock of `now`; inf: none."""

    @property
    def rtt(self) -> float | None:
        """Round-trip time of the last answered heartbeat in seconds."""

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Handle an event at `now` (seconds on any monotonic clock); return the effects in order."""


class Reader(Machine, Protocol):
    """A machine that resumes from its cursor."""

    @property
    def cursor(self) -> Cursor:
        """The reader's position in the room."""


class Links:
    """Generator of link numbers. The machines of one transport share it, so that each number is unique."""

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest = 0

    def next(self) -> int:
        """Return an unused number."""
        self._latest += 1
        return self._latest
