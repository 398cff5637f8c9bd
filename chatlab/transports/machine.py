"""What a machine is: the events that it takes, the effects that it gives, and the interface that drivers use.

A driver (on SimPy, on virtual time, or on real sockets) calls `handle` with each event as it happens and
carries out the effects in order. It owes the machine a `Tick` when `deadline` has come, and nothing else.

Events and effects are told by their type: nothing derives from them, and to ask whether one is an instance
of another's class goes to msgspec's metaclass each time, which takes as long as to make two.

Links number connections and requests. A machine ignores whatever an abandoned link still says, so a
driver may report late without harm.
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


_SPOKEN = {"close": "closed", "http": "HTTP"}


class Failure(Struct, frozen=True, omit_defaults=True):
    """How a connection, a handshake or a request ended.

    `kind` says what `code` is: a WebSocket close code (`close`) or an HTTP status (`http`); the others have
    none. `answer` is an answer that makes no sense, such as a captive portal's, with its status if one is
    known. `retry_after` is the server's wish in seconds.
    """

    kind: FailureKind
    code: int | None = None
    reason: str = ""
    retry_after: float | None = None

    def __str__(self) -> str:
        return _spoken(self.kind, self.code, self.reason)


@lru_cache(256)
def _spoken(kind: FailureKind, code: int | None, reason: str) -> str:
    if kind == "answer":
        known = ", ".join(part for part in (f"HTTP {code}" if code else "", reason) if part)
        return f"unexpected answer ({known})" if known else "no answer that makes sense"
    what = _SPOKEN.get(kind, kind)
    head = what if code is None else f"{what} {code}"
    return f"{head}: {reason}" if reason else head


# Events: what happened.


@final
class Connect(Struct, frozen=True, tag=True):
    """The application wants to be connected."""


@final
class Disconnect(Struct, frozen=True, tag=True):
    """The application wants to be disconnected: after what can still be sent, or without `drain` at once."""

    drain: bool = True


@final
class Submit(Struct, frozen=True, tag=True, gc=False, omit_defaults=True):
    """The application hands over a message, which has a `client_id`.

    One that another transport may have sent already goes out `again`: under the same id, before those
    that were never sent, and however full the outbox is.
    """

    message: OutgoingMessage
    again: bool = False


@final
class Typing(Struct, frozen=True, tag=True):
    """The person types; worth telling only while connected."""


@final
class Opened(Struct, frozen=True, tag=True, gc=False):
    """The link is open: its opening handshake is done, or a stream was answered with 200.

    `protocol` is the sub-protocol that the server chose, or the stream's content type.
    """

    link: int
    protocol: str = ""


@final
class Received(Struct, frozen=True, tag=True, gc=False):
    """A text frame has come in."""

    link: int
    data: str


@final
class ReceivedBytes(Struct, frozen=True, tag=True, gc=False):
    """A binary frame, or a piece of a response's body, has come in."""

    link: int
    data: bytes


@final
class Answered(Struct, frozen=True, tag=True, gc=False):
    """A request has been answered in full; of a stream's refusal only the beginning is told."""

    link: int
    answer: Answer


@final
class Pong(Struct, frozen=True, tag=True, gc=False):
    """The Pong frame for an earlier `Ping` effect has come in (RFC 6455 §5.5.3)."""

    link: int
    id: int


@final
class Closed(Struct, frozen=True, tag=True, gc=False):
    """The link has ended, or has never come to be."""

    link: int
    failure: Failure


@final
class Tick(Struct, frozen=True, tag=True, omit_defaults=True):
    """The machine's deadline may have come; or the computer `woke`, and what is open may have died."""

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
    | Closed
    | Tick
)


# Effects: what the driver must now do, in order.


@final
class OpenWebSocket(Struct, frozen=True, tag=True, gc=False):
    """Open a WebSocket to the configured URL, with this path and these query parameters added.

    `headers` are added to the user's, `protocols` to those of the settings. `failure` is the refusal that the
    next call of the user's `headers` function is told of. `transport` is which of a fallback's transports it
    is for.
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
    """Make a request, and report what is `Answered`.

    A `stream` is reported as `Opened` where its status is 200, then as it comes. The driver keeps the answer
    of a `csrf` request to itself, and adds the token in it to each `post`. `failure` is the refusal that the
    next call of the user's `headers` function is told of.
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


@final
class Ping(Struct, frozen=True, tag=True, gc=False):
    """Send a Ping frame, and report its `Pong` with the same id."""

    link: int
    id: int


@final
class Close(Struct, frozen=True, tag=True, gc=False):
    """Close the link, and don't report its end: the machine has done with it.

    Where `code` is 1006 nothing is owed to the other side: abort. The driver bounds its own closing
    handshake.
    """

    link: int
    code: int = 1000
    reason: str = ""


@final
class Deliver(Struct, frozen=True, tag=True, gc=False):
    """Give the application an event."""

    event: ChatEvent


@final
class Notify(Struct, frozen=True, tag=True, gc=False):
    """Tell the application of a change of status."""

    change: StatusChange


@final
class Settle(Struct, frozen=True, tag=True, gc=False):
    """An accepted message has a new state in the ledger; `status` is the refusing server's HTTP status."""

    client_id: str
    state: DeliveryState
    reason: str = ""
    status: int | None = None


@final
class Refuse(Struct, frozen=True, tag=True, gc=False):
    """A submitted message was not accepted, and isn't in the ledger."""

    client_id: str
    reason: Literal["full", "duplicate"]


Effect = OpenWebSocket | Fetch | Send | SendBytes | Ping | Close | Deliver | Notify | Settle | Refuse


class Unencodable(Exception):
    """A message for which the dialect has raised the `__cause__`; it is in the ledger no more.

    `effects` are those of the same event before it, which are still to be carried out.
    """

    def __init__(self, client_id: str, effects: Sequence[Effect]) -> None:
        super().__init__(client_id)
        self.client_id = client_id
        self.effects = effects


class Machine(Protocol):
    """A chat transport without sockets or clock. Total: no event raises, in any state, but for its dialect.

    Errors of `handle`: `Unencodable`, and whatever else the dialect raises. Disconnect the machine then.
    """

    @property
    def status(self) -> ConnectionStatus:
        """The transport's status as last notified."""

    @property
    def deadline(self) -> float:
        """Absolute seconds when it wants a `Tick`; inf: never."""

    @property
    def rtt(self) -> float | None:
        """Seconds that the last answered heartbeat took to come back."""

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Take what happened at `now` (seconds on any steady clock); return what to do, in order."""


class Reader(Machine, Protocol):
    """A machine that resumes where its cursor stands."""

    @property
    def cursor(self) -> Cursor:
        """The reader's place in the room."""


class Links:
    """Numbers links. Machines that work for one transport share it, so that no number is used twice."""

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest = 0

    def next(self) -> int:
        """Return a number that was not used before."""
        self._latest += 1
        return self._latest
