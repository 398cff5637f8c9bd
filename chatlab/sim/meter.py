"""Counts of the server, and of each of its nodes, in each second: a few numbers, for any number of people."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any, Protocol

from msgspec import Struct

from chatlab.sim.capacity import AcceptQueue, Queue, WorkQueue

SECOND = 1.0
NODE_SERIES = "attempts", "refused", "connected", "queue"
"""Counts of a node in each second: connections that came and that were refused, those at the end of the
second, and the greatest length of the accept queue."""
NODE_TOTALS = "attempts", "refused", "accepted", "disconnected", "connected", "connected_max", "queue_max"
"""Counts of a node in a run: connections that came, were refused, got a place in the accept queue, were ended
by the node, and those at the end; the most at one time; the greatest length of the accept queue."""


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


class Metered(Protocol):
    """A node's own counts since it was made, and its queues. `peak` is the greatest number of connections."""

    queue: AcceptQueue
    work: WorkQueue
    attempts: int
    refused: int
    accepted: int
    ended: int
    peak: int

    @property
    def connections(self) -> Sized:
        """Its connections, including those in the accept queue."""


class NodeCounts(Struct):
    """The counts of the nodes of a run, by name: a number for each node, or for each node and second."""

    totals: dict[str, list[int]] = {}
    series: dict[str, list[list[int]]] = {}


class Meter:
    """Counts of each second from now on: requests, and the greatest length of an accept queue and of a work
    queue, of which each node has one. `nodes` are counted one by one, too."""

    __slots__ = (
        "_before",
        "_counting",
        "_counts",
        "_latest",
        "_nodes",
        "_queues",
        "_requests",
        "_series",
        "_timeline",
    )

    def __init__(
        self,
        timeline: Timeline,
        counting: Counting,
        queues: Sequence[Queue],
        works: Sequence[Queue],
        nodes: Sequence[Metered] = (),
    ) -> None:
        self._timeline = timeline
        self._counting = counting
        self._queues = {"queue": queues, "work": works}
        self._nodes = nodes
        self._before = [_totals(node) for node in nodes]
        self._latest = [(node.attempts, node.refused) for node in nodes]
        self._series: dict[str, list[list[int]]] = {name: [[] for _ in nodes] for name in NODE_SERIES}
        for node in nodes:
            node.peak = len(node.connections)
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
            peaks = [queue.take_peak(self._timeline.now) for queue in queues]
            self._counts[name].append(max(peaks))
            if self._nodes and name == "queue":
                self._read_nodes(peaks)

    def _read_nodes(self, peaks: Sequence[int]) -> None:
        series = self._series
        for number, (node, peak) in enumerate(zip(self._nodes, peaks, strict=True)):
            attempts, refused = self._latest[number]
            self._latest[number] = node.attempts, node.refused
            series["attempts"][number].append(node.attempts - attempts)
            series["refused"][number].append(node.refused - refused)
            series["connected"][number].append(len(node.connections))
            series["queue"][number].append(peak)

    def close(self) -> dict[str, list[int]]:
        """Return the counts of each second, including the current one, which may be incomplete."""
        self._read()
        return self._counts

    def node_counts(self) -> NodeCounts:
        """Return the counts of the nodes up to now; after `close`."""
        totals: dict[str, list[int]] = {name: [] for name in NODE_TOTALS}
        for node, before in zip(self._nodes, self._before, strict=True):
            for name, count in _totals(node).items():
                totals[name].append(count - before[name])
            totals["connected"].append(len(node.connections))
            totals["connected_max"].append(node.peak)
            totals["queue_max"].append(node.queue.longest)
        return NodeCounts(totals, self._series)


def _totals(node: Metered) -> dict[str, int]:
    return {
        "attempts": node.attempts,
        "refused": node.refused,
        "accepted": node.accepted,
        "disconnected": node.ended,
    }
