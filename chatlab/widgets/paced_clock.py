"""A clock that a person slows down, pauses and sets."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple


class _Setting(NamedTuple):
    """The time `at` which it was set, and when that was on the clock that it follows; None: it stands."""

    at: float
    since: float | None
    rate: float


class PacedClock:
    """A clock from 0 to `end`, in seconds. While it runs, it advances by `rate` seconds in each second.

    `time` is the clock that it follows. It may be read on any thread.
    """

    def __init__(self, end: float, rate: float = 1.0, time: Callable[[], float] = monotonic) -> None:
        self.end = end
        self._time = time
        self._set = _Setting(0.0, None, rate)

    @property
    def now(self) -> float:
        """The time, at most `end`."""
        return self._read(self._set)

    @property
    def running(self) -> bool:
        """Whether it runs. It stops at the end."""
        return self._set.since is not None and self.now < self.end

    @property
    def rate(self) -> float:
        """Seconds by which it advances in each second."""
        return self._set.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._change(self.now, running=self.running, rate=rate)

    def resume(self) -> None:
        """Start to run."""
        self._change(self.now, running=True, rate=self.rate)

    def pause(self) -> None:
        """Stop."""
        self._change(self.now, running=False, rate=self.rate)

    def jump(self, at: float) -> None:
        """Set the time, between 0 and `end`."""
        self._change(min(max(at, 0.0), self.end), running=self.running, rate=self.rate)

    def _change(self, at: float, *, running: bool, rate: float) -> None:
        self._set = _Setting(at, self._time() if running else None, rate)

    def _read(self, setting: _Setting) -> float:
        passed = 0.0 if setting.since is None else setting.rate * (self._time() - setting.since)
        return min(setting.at + passed, self.end)
