"""A server's capacity: its settings, its accept queue, and its work queue."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Literal

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.settings import Duration, HeartbeatConfig, Name, PositiveDuration, Settings, Size
from chatlab.sim.balance import Balance

QueueOverflow = Literal["drop", "refuse", "503"]
"""The treatment of a connection that finds the accept queue full: see `ServerConfig`."""


NeededFor = Literal["connect", "message"]
"""The cause for which a server needs a service: each new connection, or each message."""


class Need(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service that the server calls for each new connection (`per` is `connect`) or for each message.

    It answers `rate` calls a second on average, one after the other, and takes the same time for each
    (`constant`), or a random one (`exponential`). At most `queue` calls wait (None: any number). The server
    refuses a caller that finds no place, or gets no answer within `timeout` seconds, with `status` and
    `retry_after` (seconds) if given. The call isn't cancelled.

    A new connection is a WebSocket, an event stream, or the first poll on a TCP connection.
    """

    name: Name
    rate: Annotated[float, Meta(ge=1e-6, le=1e9)]
    service: Literal["exponential", "constant"] = "exponential"
    queue: Size | None = None
    timeout: PositiveDuration | None = None
    per: NeededFor = "connect"
    status: Literal[429, 503] = 503
    retry_after: Duration | None = None


class ServerConfig(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Capacity of the server: of each of its `nodes`, over which `balance` spreads connections.

    A node accepts `accept_rate` connections a second (None: any number): each one takes 1 / `accept_rate`
    seconds, the first one too. At most `backlog` of them wait.
    Further ones are ignored until the client's TCP tries again (`overflow` is `drop`, Linux's default),
    refused with a reset (`refuse`), or answered with 503, as a proxy does (`503`).

    Beyond `max_connections` a node answers requests with 503. Its one process spends `service_time` seconds
    on each request and frame, exactly (`constant`) or on average (`exponential`). All nodes share the rooms.
    A sender may post `rate` messages a second, with bursts of `burst`.

    The server answers a long poll after `max_hold` seconds at the latest. It sends a comment on a stream
    every `keep_alive` seconds, and first `reconnection_time` as its retry field unless that is None. It pings
    each WebSocket every `ping_interval` seconds (None: only if `heartbeat.mode` asks for it), and closes one
    without an answer after `ping_timeout`. Without `keep_history` a restart loses all messages. With
    `presence` it announces joins and leaves.

    A new connection, or a message, waits for the services that it `needs`, one after the other.
    """

    nodes: Annotated[int, Meta(ge=1, le=1000)] = 1
    balance: Balance = "random"
    accept_rate: PositiveDuration | None = None
    backlog: Size = 1000
    overflow: QueueOverflow = "drop"
    max_connections: Size | None = None
    service_time: Duration = 0.0
    service: Literal["constant", "exponential"] = "constant"
    rate: PositiveDuration = 500.0
    burst: Size = 1000
    max_hold: PositiveDuration = 25.0
    keep_alive: PositiveDuration = 15.0
    reconnection_time: PositiveDuration | None = None
    ping_interval: PositiveDuration | None = None
    ping_timeout: PositiveDuration = 20.0
    keep_history: bool = True
    presence: bool = False
    needs: tuple[Need, ...] = ()

    @property
    def pings(self) -> HeartbeatConfig | None:
        """The pings that it sends whatever the client's settings are; None: it sends none."""
        if self.ping_interval is None:
            return None
        return HeartbeatConfig(interval=self.ping_interval, timeout=self.ping_timeout, mode="server")

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [need.name for need in self.needs]
        for name in names:
            if names.count(name) > 1:
                raise SettingsError(
                    f"ServerConfig.needs: {name!r} is there twice; give each a name of its own"
                )


class Queue:
    """A queue at one server, first come first served; each entry is the time at which its work is done."""

    __slots__ = ("_ends", "_longest", "_peak")

    def __init__(self) -> None:
        self._ends: deque[float] = deque()
        self._longest = self._peak = 0

    @property
    def longest(self) -> int:
        """The greatest length so far."""
        return max(self._longest, self._peak)

    def take_peak(self, now: float) -> int:
        """Return the greatest length since the last call."""
        self._release(now)
        peak, self._longest, self._peak = self._peak, self.longest, len(self._ends)
        return peak

    def clear(self) -> None:
        """Remove all entries."""
        self._ends.clear()

    def _release(self, now: float) -> None:
        """Remove entries that are done."""
        ends = self._ends
        while ends and ends[0] <= now:
            ends.popleft()

    def _append(self, now: float, work: float) -> float:
        """Add `work` seconds of work; return the time at which it is done."""
        ends = self._ends
        done_at = (ends[-1] if ends else now) + work
        ends.append(done_at)
        if len(ends) > self._peak:
            self._peak = len(ends)
        return done_at


class AcceptQueue(Queue):
    """A bounded queue, served at a constant rate."""

    __slots__ = ("_backlog", "_handshakes", "_interval")

    def __init__(self, rate: float | None, backlog: int) -> None:
        super().__init__()
        self._interval = 0.0 if rate is None else 1 / rate
        self._backlog = backlog
        self._handshakes = 0

    def keep_handshake(self) -> bool:
        """Keep an incomplete handshake, if fewer are kept than the queue has places; return whether it is."""
        kept = self._handshakes < self._backlog
        self._handshakes += kept
        return kept

    def end_handshake(self) -> None:
        """Forget a handshake that was kept: it is complete, or was given up."""
        self._handshakes -= 1

    def clear(self) -> None:
        super().clear()
        self._handshakes = 0

    def limit(self, rate: float | None) -> None:
        """Set the rate from now on; None: any number of connections a second."""
        self._interval = 0.0 if rate is None else 1 / rate

    @property
    def is_limited(self) -> bool:
        """Whether connections wait."""
        return self._interval > 0

    def is_full(self, now: float) -> bool:
        """Return whether a connection that comes now finds no place."""
        ends = self._ends
        if ends and ends[0] <= now:  # Checked here, too: it saves a call.
            self._release(now)
        return len(ends) >= self._backlog and self._interval > 0

    def accepts_at(self, now: float) -> float | None:
        """Return when a connection is accepted that enters now; None: the queue is full."""
        if self.is_full(now):
            return None
        return (self._ends[-1] if self._ends else now) + self._interval

    def enter(self, now: float) -> float | None:
        """Enter the queue; return the time of acceptance; None: the queue is full."""
        if not self._interval:
            return now
        ends = self._ends
        if ends and ends[0] <= now:
            self._release(now)
        return self._append(now, self._interval) if len(ends) < self._backlog else None


class WorkQueue(Queue):
    """The work of one process, done in order of arrival."""

    __slots__ = ()

    def enter(self, now: float, work: float) -> float:
        """Add `work` seconds of work; return the time at which it is done."""
        self._release(now)
        return self._append(now, work)
