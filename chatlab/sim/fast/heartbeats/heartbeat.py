"""A heartbeat that can skip beats."""

from __future__ import annotations

from math import ceil, inf
from sys import float_info

from chatlab.transports.heartbeat import Heartbeat


class SkippableHeartbeat(Heartbeat):
    """A `Heartbeat` that can count pending beats, and skip them without pings."""

    __slots__ = ()

    @property
    def latest(self) -> int:
        """The number of the latest ping; 0: there was none."""
        return self._ping

    def pending(self, now: float) -> int:
        """Return the number of beats due before `now`."""
        interval, at = self._config.interval, self._beat_at
        beats = max(0.0, (now - at) / interval)
        due = ceil(beats)
        # Bound of the rounding error: `tick` sums the times one by one, and this is a product.
        error = (due + 2) * float_info.epsilon * (abs(now) / interval + 1)
        if error < due - beats < 1 - error:
            return due
        due = 0
        while at < now:
            at += interval
            due += 1
        return due

    def skip(self, beats: int) -> None:
        """Advance by `beats` beats, each answered before the next one."""
        for _ in range(beats):  # Summed as `tick` does; a product would be rounded differently.
            self._beat_at += self._config.interval
        self._ping += beats
        self._sent_at = -inf
        self.deadline = self._beat_at

    def resume(self, other: SkippableHeartbeat) -> None:
        """Copy the state of another heartbeat with the same settings; no ping is unanswered."""
        self._ping = other._ping
        self.deadline = self._beat_at = other._beat_at
