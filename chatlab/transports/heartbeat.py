"""Finding out that a quiet connection is dead.

Every `interval` a numbered ping goes out. Anything that comes in answers it; a pong with its number also
measures the round trip. A ping that stays unanswered for `timeout`, or until the next ping is due, ends the
connection:

    beat:     no ping open         -> send ping n, expect life until now + timeout
              the last ping open   -> dead, "Heartbeat timeout"
    timeout:  the ping still open  -> dead, "Pong timeout"

Departs: the seed's timers are shared by all connections, so after one stall every later healthy connection is
closed at its first beat. Here a heartbeat belongs to one connection.
"""

from __future__ import annotations

from math import ceil, inf
from sys import float_info

from chatlab.settings import HeartbeatConfig


class Heartbeat:
    """The heartbeat of one connection, which opened at `now`."""

    __slots__ = ("_beat_at", "_config", "_due_at", "_ping", "_sent_at", "deadline")

    def __init__(self, config: HeartbeatConfig, now: float) -> None:
        self._config = config
        self._beat_at = now + config.interval
        self._due_at = inf
        self._ping = 0
        self._sent_at = -inf
        self.deadline = self._beat_at

    def tick(self, now: float) -> int | str | None:
        """Return the number of the ping to send now, or why the connection is dead, or None."""
        if now >= self._beat_at and self._beat_at <= self._due_at:
            if self._due_at < inf:
                return "Heartbeat timeout"
            self._ping += 1
            self._sent_at = now
            self._due_at = now + self._config.timeout
            self._beat_at = now + self._config.interval
            self.deadline = min(self._beat_at, self._due_at)
            return self._ping
        if now >= self._due_at:
            return "Pong timeout"
        return None

    def beat_now(self, now: float) -> None:
        """Let the next beat be due now, unless a ping is unanswered."""
        if not self.open:
            self.deadline = self._beat_at = min(self._beat_at, now)

    @property
    def open(self) -> bool:
        """Whether a ping is unanswered."""
        return self._due_at < inf

    def skip(self, beats: int) -> None:
        """Be as after so many further beats, each answered before the next one."""
        for _ in range(beats):  # As `tick` adds them up; a product would be rounded elsewhere.
            self._beat_at += self._config.interval
        self._ping += beats
        self._sent_at = -inf
        self.deadline = self._beat_at

    def due(self, now: float) -> int:
        """Return how many beats lie before `now`."""
        interval, at = self._config.interval, self._beat_at
        beats = max(0.0, (now - at) / interval)
        due = ceil(beats)
        # Added up one by one, as `tick` does, they lie elsewhere than by a product, but by no more than this.
        error = (due + 2) * float_info.epsilon * (abs(now) / interval + 1)
        if error < due - beats < 1 - error:
            return due
        due = 0
        while at < now:
            at += interval
            due += 1
        return due

    @property
    def latest(self) -> int:
        """The number of the latest ping; 0: there was none."""
        return self._ping

    def activity(self) -> None:
        """Something has come in, so the connection lives."""
        self._due_at = inf
        self.deadline = self._beat_at

    def pong(self, ping: int, now: float) -> float | None:
        """Return the round trip in seconds, if this pong answers the latest ping for the first time."""
        if ping != self._ping or self._sent_at == -inf:
            return None
        rtt = now - self._sent_at
        self._sent_at = -inf
        return rtt
