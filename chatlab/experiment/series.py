"""Counts and latencies of each second of a run, and the latency histogram."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chatlab.experiment.column_recorder import CONNECTED, Column, ColumnRecorder
from chatlab.experiment.deliveries import Deliveries, Population

LATENCY_EDGES: NDArray[np.float64] = np.geomspace(1e-3, 1e3, 61)
"""Edges of the latency histogram's bins in seconds. The first and last bin also count values beyond them."""


def series(recorder: ColumnRecorder, duration: float) -> dict[str, list[int]]:
    """Return counts of each second: attempts, messages sent and delivered, people connected at its end.

    A world adds the server's requests, and the maximum length of its accept `queue` and of its `work` queue.
    """
    return {
        "attempts": per_second(recorder.attempted_at, duration).tolist(),
        "sent": per_second(recorder.accepted_at, duration).tolist(),
        "delivered": per_second(recorder.deliveries[2], duration).tolist(),
        "connected": _connected(recorder, duration),
    }


class Latencies:
    """The latencies of all owed pairs that were shown: from sending to showing, in seconds."""

    def __init__(self, recorder: ColumnRecorder, population: Population) -> None:
        shown = Deliveries(recorder, population)
        self._seconds = shown.latency()
        self._shown_at = shown.shown_at()

    def histogram(self) -> list[int]:
        """Return how many pairs were shown with a latency in each bin of `LATENCY_EDGES`."""
        seconds = np.clip(self._seconds, LATENCY_EDGES[0], LATENCY_EDGES[-1])
        counts: list[int] = np.histogram(seconds, LATENCY_EDGES)[0].tolist()
        return counts

    def by_second(self, seconds: int) -> dict[str, list[float | None]]:
        """Return percentiles of the latencies of the pairs that were shown in each second; None: there were
        none. They are interpolated linearly."""
        second = self._shown_at.astype(np.int64)
        ordered = self._seconds[np.lexsort((self._seconds, second))]
        counts = np.bincount(second, minlength=seconds)[:seconds]
        ends = np.cumsum(counts)
        there = counts > 0
        first, last = (ends - counts)[there], ends[there] - 1
        columns: dict[str, list[float | None]] = {}
        for q in (50, 99):
            rank = first + (last - first) * q / 100
            below = rank.astype(np.int64)
            above = np.minimum(below + 1, last)
            values = ordered[below] + (rank - below) * (ordered[above] - ordered[below])
            column: list[float | None] = [None] * seconds
            for at, value in zip(np.flatnonzero(there).tolist(), values.tolist(), strict=True):
                column[at] = value
            columns[f"latency_p{q}"] = column
        return columns


def per_second(times: Column, duration: float) -> Column:
    """Return how many of these times are in each second."""
    return np.bincount(times.astype(np.int64), minlength=int(np.ceil(duration)))


def _connected(recorder: ColumnRecorder, duration: float) -> list[int]:
    people, statuses, at = recorder.changes
    connected = statuses == CONNECTED
    before = np.append(False, connected[:-1] & (people[1:] == people[:-1]))[: len(people)]
    change = connected.astype(np.int64) - before
    seconds = int(np.ceil(duration))
    count = np.cumsum(np.bincount(at.astype(np.int64), weights=change, minlength=seconds))
    connected_people: list[int] = count.astype(np.int64).tolist()
    return connected_people
