"""What a server can do: its settings, the queue of connections to accept, and the queue of its work."""

from __future__ import annotations

from collections import deque
from typing import Literal

from chatlab.settings import Duration, PositiveDuration, Settings, Size


class ServerConfig(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server can do.

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


class AcceptQueue:
    """A bounded queue, served at a constant rate. `longest` is the most that have ever waited in it."""

    __slots__ = ("_backlog", "_interval", "_waiting", "longest")

    def __init__(self, rate: float | None, backlog: int) -> None:
        self._interval = 0.0 if rate is None else 1 / rate
        self._backlog = backlog
        self._waiting: deque[float] = deque()
        self.longest = 0

    def enter(self, now: float) -> float | None:
        """Take the last place; return when one is served; None: there is no place."""
        if not self._interval:
            return now
        waiting = self._waiting
        while waiting and waiting[0] <= now:
            waiting.popleft()
        if len(waiting) >= self._backlog:
            return None
        served_at = (waiting[-1] if waiting else now) + self._interval
        waiting.append(served_at)
        self.longest = max(self.longest, len(waiting))
        return served_at

    def clear(self) -> None:
        """Send everybody away."""
        self._waiting.clear()


class WorkQueue:
    """What one process has to do, one thing after the other. `longest` is the most that there ever was."""

    __slots__ = ("_ends", "longest")

    def __init__(self) -> None:
        self._ends: deque[float] = deque()
        self.longest = 0

    def enter(self, now: float, work: float) -> float:
        """Add something that takes so many seconds; return when it is done."""
        ends = self._ends
        while ends and ends[0] <= now:
            ends.popleft()
        done_at = (ends[-1] if ends else now) + work
        ends.append(done_at)
        self.longest = max(self.longest, len(ends))
        return done_at

    def clear(self) -> None:
        """Forget all that is to be done."""
        self._ends.clear()
