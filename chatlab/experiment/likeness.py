"""How alike a measured series and the runs of a candidate are, and which candidates that rules out.

The distance of two series is the mean difference of their counts in spans of five seconds, for each second. A
spike that is a second early or late makes a small difference then, and one that is missing a large one.

Each candidate has runs with several seeds, which show its own spread. A candidate is ruled out if the
measurement is further from it, beside the best one, than its own runs are (Cox's test of separate hypotheses,
by parametric bootstrap).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RULED_OUT = 3.0
"""Standard deviations of a candidate's own runs from which on it is ruled out."""
SPAN = 5
"""Seconds whose counts are added before they are compared."""
MARGIN = 0.1
"""Part of the best distance by which a candidate must be further away to be ruled out."""
LEVELS = frozenset({"connected", "queue", "work"})
"""Series that are levels, and so aren't added up."""


def windows(runs: Array, length: int) -> Array:
    """Return all windows of `length` seconds: an array (runs, offsets, length)."""
    return np.lib.stride_tricks.sliding_window_view(runs, length, axis=1)


def curves(counts: Array, known: NDArray[np.bool_], *, level: bool) -> Array:
    """Return what is compared, on the last axis: means of five known seconds, or the level of each."""
    seen = counts[..., known]
    if level:
        return seen
    sums = np.cumsum(np.concatenate([np.zeros_like(seen[..., :1]), seen], axis=-1), axis=-1)
    means: Array = (sums[..., SPAN:] - sums[..., :-SPAN]) / SPAN
    return means


def distances(measured: Array, runs: Array, *, level: bool, offsets: tuple[int, int] | None = None) -> Array:
    """Return the distance of each run at each offset: an array (runs, offsets).

    `measured` has NaN where a second is missing. `offsets` are the first and the last offset; None: all.
    """
    known = ~np.isnan(measured)
    shifted = windows(runs, len(measured))
    if offsets is not None:
        shifted = shifted[:, offsets[0] : offsets[1] + 1]
    wanted = curves(measured, known, level=level)
    apart: Array = np.abs(curves(shifted, known, level=level) - wanted).mean(axis=-1)
    return apart


class Candidate:
    """A candidate's runs, seen through the measured seconds at its best offset."""

    def __init__(
        self, measured: Array, runs: Array, *, level: bool, offsets: tuple[int, int] | None = None
    ) -> None:
        self.level = level
        self._known = ~np.isnan(measured)
        apart = distances(measured, runs, level=level, offsets=offsets)
        best = int(np.argmin(apart.mean(axis=0)))
        self.offset = best + (0 if offsets is None else offsets[0])
        self.each = apart[:, best]
        """The distance of each run from the measurement."""
        self.window: Array = runs[:, self.offset : self.offset + len(measured)]
        self._curves = curves(self.window, self._known, level=level)

    @property
    def distance(self) -> float:
        """The mean distance of its runs from the measurement."""
        return float(self.each.mean())

    def from_runs_of(self, other: Candidate) -> Array:
        """Return the mean distance of each run of another candidate from the runs of this one.

        Of its own runs, each is compared with the others.
        """
        apart: Array = np.abs(other._curves[:, None] - self._curves[None]).mean(axis=-1).sum(axis=1)
        count = len(self.each)
        return apart / (count if other is not self else max(count - 1, 1))

    @property
    def own(self) -> float:
        """The mean distance of its runs from each other: its own spread."""
        return float(self.from_runs_of(self).mean())


def exclusion(candidate: Candidate, best: Candidate) -> float:
    """Return how surely the measurement isn't one of the candidate's runs, in standard deviations of those.

    The statistic is the distance from the candidate less that from the best one.
    """
    observed = candidate.distance - best.distance
    simulated = candidate.from_runs_of(candidate) - best.from_runs_of(candidate)
    spread = max(float(simulated.std(ddof=1)) if len(simulated) > 1 else 0.0, 1e-9)
    return (observed - float(simulated.mean())) / spread


def possible(candidates: Sequence[Candidate]) -> list[bool]:
    """Return which candidates, of which the first is the best, aren't ruled out.

    A candidate that is hardly further away than the best one isn't: then the measurement is like neither.
    """
    best = candidates[0]
    near = (1 + MARGIN) * best.distance
    return [each.distance <= near or exclusion(each, best) < RULED_OUT for each in candidates]
