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

from chatlab.dialects.base import Dialect, HttpDialect
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
        """Make the next request."""

    def take(self, event: Opened | ReceivedBytes | Answered | Closed, now: float, out: list[Effect]) -> None:
        """Handle an event of its link."""

    def tick(self, now: float, out: list[Effect]) -> None:
        """Handle the deadline."""

    def stop(self) -> None:
        """Become idle; the caller closes the link."""


class HttpMachine(ABC):
    """One person's chat over HTTP, without sockets or clock; subclasses choose the receiver."""

    __slots__ = ("_config", "_drain_until", "_ledger", "_poster", "_receiver", "_retry_state")
    transport: ClassVar[str]
    """Its name among a dialect's transports."""

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
        self._poster = Poster(config, http, uniform, self._ledger, links, dialect.failures)
        self._receiver = self._make_receiver(http, uniform, links)
        self._drain_until = inf

    @abstractmethod
    def _make_receiver(self, http: HttpDialect, uniform: Uniform, links: Links) -> Receiver:
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
        status = self.status
        match event:
            case Opened() | ReceivedBytes() | Answered() | Closed():
                self._take(event, now, out)
            case Tick():
                self._tick(now, out)
            case Submit():
                self._ledger.submit(event.message, now, out, again=event.again)
            case Connect():
                if not active or self._drain_until < inf:
                    self._drain_until = inf
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
        if self._active:
            if status is not ConnectionStatus.CONNECTED and self.status is ConnectionStatus.CONNECTED:
                self._poster.receiver_connected()
            self._poster.pump(now, out)
            if self._drain_until < inf and not self.unsettled:
                self._leave(out)
        elif active:
            self._poster.stop(out)
        return out

    @property
    def _active(self) -> bool:
        return self._receiver.phase != "idle" or self._drain_until < inf

    def _take(self, event: Opened | ReceivedBytes | Answered | Closed, now: float, out: list[Effect]) -> None:
        poster = self._poster
        if not event.link:
            pass  # No link has the number 0, which a receiver or poster without a link has.
        elif event.link == self._receiver.link:
            self._receiver.take(event, now, out)
        elif event.link == poster.link:
            if isinstance(event, Answered):
                poster.answered(event.answer, now, out)
            elif isinstance(event, Closed):
                poster.failed(event.failure, now, out)
        elif event.link == poster.typing_link and isinstance(event, Answered | Closed):
            poster.typing_link = 0

    def _tick(self, now: float, out: list[Effect]) -> None:
        self._ledger.expire(now, out)
        if now >= self._drain_until:
            self._leave(out)
            return
        if now >= self._receiver.deadline:
            self._receiver.tick(now, out)
        self._poster.tick(now, out)

    def _disconnect(self, drain: bool, now: float, out: list[Effect]) -> None:
        if not self._active:
            return
        can_send = self.status is ConnectionStatus.CONNECTED or self._poster.link
        if drain and can_send and self.unsettled and self._config.drain_timeout > 0:
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
