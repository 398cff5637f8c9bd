"""A server's capacity: its settings, the queue of connections to accept, and the queue of its work."""

from __future__ import annotations

from collections import deque
from typing import Literal

from chatlab.settings import Duration, PositiveDuration, Settings, Size


class ServerConfig(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Capacity of the server.

    It accepts `accept_rate` connections a second (None: any number), and lets `backlog` of them wait; one
    more is refused. Beyond `max_connections` it answers requests with 503. Each request and frame keeps its
    one process busy for `service_time` seconds, always or on average (`exponential`). A sender may post
    `rate` messages a second, with bursts of `burst`.

    A poll is held for `max_hold` at most. A stream gets a comment every `keep_alive`, and is told its
    `reconnection_time` unless that is None. Without `keep_history` a restart loses all messages. `presence`
    tells who comes and goes.
    """

    accept_rate: PositiveDuration | None = None
    backlog: Size = 1000
    max_connections: Size | None = None
    service_time: Duration = 0.0
    service: Literal["constant", "exponential"] = "constant"
    rate: PositiveDuration = 500.0
    burst: Size = 1000
    max_hold: PositiveDuration = 25.0
    keep_alive: PositiveDuration = 15.0
    reconnection_time: PositiveDuration | None = None
    keep_history: bool = True
    presence: bool = False


class Queue:
    """A queue at one server, first come first served; an entry is the time at which it is done."""

    __slots__ = ("_ends", "_longest", "_peak")

    def __init__(self) -> None:
        self._ends: deque[float] = deque()
        self._longest = self._peak = 0

    @property
    def longest(self) -> int:
        """The most that there ever was in it."""
        return max(self._longest, self._peak)

    def take_peak(self, now: float) -> int:
        """Return the most that there was in it since the last call."""
        self._release(now)
        peak, self._longest, self._peak = self._peak, self.longest, len(self._ends)
        return peak

    def clear(self) -> None:
        """Forget everything in it."""
        self._ends.clear()

    def _release(self, now: float) -> None:
        """Remove entries that are done."""
        ends = self._ends
        while ends and ends[0] <= now:
            ends.popleft()

    def _append(self, now: float, work: float) -> float:
        """Add `work` seconds of work; return when they are done."""
        ends = self._ends
        done_at = (ends[-1] if ends else now) + work
        ends.append(done_at)
        if len(ends) > self._peak:
            self._peak = len(ends)
        return done_at


class AcceptQueue(Queue):
    """A bounded queue, served at a constant rate."""

    __slots__ = ("_backlog", "_interval")

    def __init__(self, rate: float | None, backlog: int) -> None:
        super().__init__()
        self._interval = 0.0 if rate is None else 1 / rate
        self._backlog = backlog

    def enter(self, now: float) -> float | None:
        """Take the last place; return when one is served; None: there is no place."""
        if not self._interval:
            return now
        ends = self._ends
        if ends and ends[0] <= now:  # Asked here too, as it saves crowds a call.
            self._release(now)
        return self._append(now, self._interval) if len(ends) < self._backlog else None


class WorkQueue(Queue):
    """The work of one process, one thing after the other."""

    __slots__ = ()

    def enter(self, now: float, work: float) -> float:
        """Add `work` seconds of work; return when they are done."""
        self._release(now)
        return self._append(now, work)
