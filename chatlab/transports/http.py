"""The base of the machines over HTTP: a receiver (a stream, or polls) beside a poster.

The receiver determines the transport's status. The poster sends independently of it, until the transport is
disconnected or has given up. On a disconnect the receiver stops at once, and the poster once all messages are
settled or `drain_timeout` is over; until then the state is `draining`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import inf
from typing import ClassVar, Protocol, assert_never

from chatlab.dialects.base import Dialect
from chatlab.messages import ConnectionStatus
from chatlab.settings import HttpConfig
from chatlab.transports.backoff import Uniform
from chatlab.transports.cursor import Cursor
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Disconnect,
    Effect,
    Event,
    Failure,
    Links,
    Opened,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Submit,
    Tick,
    Typing,
)
from chatlab.transports.posting import Poster
from chatlab.transports.retry_state import RetryState
from chatlab.transports.session import Session


class Receiver(Protocol):
    """The receiving half of a transport over HTTP. `link` is that of its request in flight, or 0."""

    link: int
    deadline: float

    @property
    def rtt(self) -> float | None:
        """Round-trip time in seconds of its last request that the server didn't hold, else None."""

    @property
    def phase(self) -> str:
        """The name of its state; `idle` if it neither receives nor waits for a retry."""

    def fetch(self, now: float, out: list[Effect], failure: Failure | None = None) -> None:
        """Begin a session, by its first request."""

    def take(self, event: Opened | ReceivedBytes | Answered | Closed, now: float, out: list[Effect]) -> None:
        """Handle an event of its link."""

    def tick(self, now: float, out: list[Effect]) -> None:
        """Handle the deadline."""

    def fail(self, failure: Failure, now: float, out: list[Effect]) -> None:
        """Handle a failure of the session that the poster met."""

    def stop(self) -> None:
        """End the session, and become idle; the caller closes the link."""


class HttpMachine(ABC):
    """One person's chat over HTTP, without sockets or clock; subclasses choose the receiver."""

    __slots__ = ("_config", "_drain_until", "_ledger", "_poster", "_receiver", "_retry_state", "_session")
    transport: ClassVar[str]
    """Its name among a dialect's transports."""
    answers: ClassVar[str] = "answer"
    """The name of a unit that its receiver gets from the server."""

    def __init__(
        self,
        config: HttpConfig,
        dialect: Dialect,
        uniform: Uniform,
        *,
        ledger: Ledger | None = None,
        links: Links | None = None,
    ) -> None:
        dialect.require(self.transport)
        http = dialect.http
        assert http is not None  # `require` has checked it
        links = links or Links()
        self._config = config
        self._retry_state = RetryState(config, uniform, dialect.failures)
        self._ledger = ledger or Ledger(config, dialect, acks=True)
        self._session = Session(http, config.connect_timeout, self.answers, greets=dialect.greets)
        self._poster = Poster(config, self._session, uniform, self._ledger, links, dialect.failures)
        self._receiver = self._make_receiver(uniform, links)
        self._drain_until = inf

    @abstractmethod
    def _make_receiver(self, uniform: Uniform, links: Links) -> Receiver:
        """Return the receiver."""

    @property
    def state(self) -> str:
        """The name of the receiver's state, or `draining`."""
        return self._receiver.phase if self._drain_until == inf else "draining"

    @property
    def status(self) -> ConnectionStatus:
        """The transport's status as last notified."""
        return self._retry_state.status

    @property
    def cursor(self) -> Cursor:
        """The reader's position in the room."""
        return self._ledger.cursor

    @property
    def unsettled(self) -> int:
        """Number of accepted messages that aren't in a final state."""
        return self._ledger.unsettled

    @property
    def rtt(self) -> float | None:
        """Round-trip time in seconds of the last poll that the server didn't hold, else of the last POST."""
        measured = self._receiver.rtt
        return self._poster.rtt if measured is None else measured

    @property
    def deadline(self) -> float:
        """Time of the next `Tick`, in seconds on the clock of `now`; inf: none."""
        return min(self._receiver.deadline, self._poster.deadline, self._drain_until, self._ledger.deadline)

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Handle an event at `now` (seconds on any monotonic clock); return the effects in order."""
        out: list[Effect] = []
        active = self._active
        status, session = self.status, self._session.number
        match event:
            case Opened() | ReceivedBytes() | Answered() | Closed():
                self._take(event, now, out)
            case Tick():
                self._tick(now, out)
            case Submit():
                self._ledger.submit(event.message, now, out, again=event.again)
            case Connect():
                self._drain_until = inf
                if self._receiver.phase == "idle":
                    self._retry_state.start(out)
                    self._receiver.fetch(now, out)
            case Disconnect():
                self._disconnect(event.drain, now, out)
            case Typing():
                if self.status is ConnectionStatus.CONNECTED:
                    self._poster.typing(now, out)
            case Received() | Pong() | Pinged():
                pass  # Frames are a WebSocket's.
            case unknown:
                assert_never(unknown)
        if self._session.greets and self._session.number != session:
            self._poster.stop(out)  # Its requests were the old session's.
        if self._active:
            connected = self.status is ConnectionStatus.CONNECTED
            if connected is not (status is ConnectionStatus.CONNECTED):
                self._poster.receiver_changed(connected=connected)
            self._poster.pump(now, out)
            if self._drain_until < inf and (not self.unsettled or self._lost_while_draining):
                self._leave(out)
        elif active:
            self._poster.stop(out)
        return out

    @property
    def _active(self) -> bool:
        return self._receiver.phase != "idle" or self._drain_until < inf

    @property
    def _lost_while_draining(self) -> bool:
        """Whether no ack can come any more, as the session of a dialect that greets has ended."""
        return self._session.greets and self._receiver.phase in ("idle", "waiting")

    def _take(self, event: Opened | ReceivedBytes | Answered | Closed, now: float, out: list[Effect]) -> None:
        poster = self._poster
        if not event.link:
            pass  # No link has the number 0, which a receiver or poster without a link has.
        elif event.link == self._receiver.link:
            self._receiver.take(event, now, out)
        elif event.link == poster.link:
            if isinstance(event, Answered):
                self._end_session(poster.answered(event.answer, now, out), now, out)
            elif isinstance(event, Closed):
                self._end_session(poster.failed(event.failure, now, out), now, out)
        elif event.link == poster.typing_link and isinstance(event, Answered | Closed):
            poster.typing_link = 0

    def _tick(self, now: float, out: list[Effect]) -> None:
        self._ledger.expire(now, out)
        if now >= self._drain_until:
            self._leave(out)
            return
        if now >= self._receiver.deadline:
            self._receiver.tick(now, out)
        self._end_session(self._poster.tick(now, out), now, out)

    def _end_session(self, failure: Failure | None, now: float, out: list[Effect]) -> None:
        """End the receiver's session if the poster met a failure of it."""
        if failure is None:
            return
        if self._receiver.link:
            out.append(Close(self._receiver.link, 1006, "the session has ended"))
        if self._receiver.phase not in ("idle", "waiting"):
            self._receiver.fail(failure, now, out)
        self._poster.stop(out)

    def _disconnect(self, drain: bool, now: float, out: list[Effect]) -> None:
        if not self._active:
            return
        can_send = self.status is ConnectionStatus.CONNECTED or self._poster.link
        if drain and can_send and self.unsettled and self._config.drain_timeout > 0:
            if not self._session.greets:  # Otherwise the acks come with the received items.
                self._stop_receiving(out)
            self._drain_until = min(self._drain_until, now + self._config.drain_timeout)
        else:
            self._leave(out)

    def _stop_receiving(self, out: list[Effect]) -> None:
        if self._receiver.link:
            out.append(Close(self._receiver.link, 1000))
        self._receiver.stop()

    def _leave(self, out: list[Effect]) -> None:
        """Become idle, as the application asked; unsettled messages stay in the outbox."""
        self._stop_receiving(out)
        self._drain_until = inf
        self._poster.stop(out)
        self._retry_state.disconnected(out)
