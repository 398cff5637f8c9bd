"""Counts of the server in each second: three numbers a second, for any number of people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from chatlab.sim.capacity import Queue

SECOND = 1.0


class Timeline(Protocol):
    """A clock with timers."""

    @property
    def now(self) -> float:
        """Seconds since the run began."""

    def call_later(self, delay: float, callback: Callable[..., object], /, *arguments: Any) -> object:
        """Call back after `delay` seconds."""


class Counting(Protocol):
    """A counter of requests."""

    @property
    def requests(self) -> int:
        """All requests since the run began."""


class Meter:
    """Counts of each second from now on: requests, and the greatest length of an accept queue and of a work
    queue, of which each node has one."""

    __slots__ = ("_counting", "_counts", "_queues", "_requests", "_timeline")

    def __init__(
        self, timeline: Timeline, counting: Counting, queues: Sequence[Queue], works: Sequence[Queue]
    ) -> None:
        self._timeline = timeline
        self._counting = counting
        self._queues = {"queue": queues, "work": works}
        self._requests = counting.requests
        self._counts: dict[str, list[int]] = {"requests": [], "queue": [], "work": []}
        timeline.call_later(SECOND, self._tick)

    def _tick(self) -> None:
        self._read()
        self._timeline.call_later(SECOND, self._tick)

    def _read(self) -> None:
        requests = self._counting.requests
        self._counts["requests"].append(requests - self._requests)
        self._requests = requests
        for name, queues in self._queues.items():
            self._counts[name].append(max(queue.take_peak(self._timeline.now) for queue in queues))

    def close(self) -> dict[str, list[int]]:
        """Return the counts of each second, including the current one, which may be incomplete."""
        self._read()
        return self._counts
