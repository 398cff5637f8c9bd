"""Search the candidates that explain a measured series, and the unknowns of each.

Each round compares points with a few seeds. The first round's points fill the ranges of the unknowns evenly,
the next ones ever smaller boxes around a candidate's best point. After each round the better half of the
candidates stays. The best ones get all seeds in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import ceil, floor
from typing import Any

import numpy as np
from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.experiment.cells import Cell, cells_of
from chatlab.experiment.fit_intervals import Interval, interval
from chatlab.experiment.likeness import LEVELS, Array, Candidate
from chatlab.experiment.measured import Measured
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.trials import WIDE, Setting, show

FIRST = 2
"""Seeds with which candidates are compared at first."""
ROUNDS, POINTS = 6, 4
"""Rounds of the search for unknowns, and points of the first round beside two for each unknown."""
SHRINK = 0.55
"""Size of a round's range, as a part of the one before."""
FINAL = 6
"""Candidates that get all seeds."""
FAKES = 12
"""Runs of the best point, beside those with all seeds, that stand for the measurement."""
BOX, BOXES = 0.4, 4
"""Size of the first box around the best point, as a part of the ranges, and the most of ever smaller ones."""


class Point(Struct, frozen=True):
    """A candidate by its labels, and values of the unknowns."""

    labels: tuple[Any, ...]
    unknowns: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The candidate's name, without the unknowns."""
        return ", ".join(map(show, self.labels)) or "the scenario"


Simulate = Callable[[Sequence[Cell]], Iterator[tuple[int, Array]]]
"""Runs cells; yields the number and the series of each, in the order in which they finish."""


class FitSearch:
    """The search for the best candidates and their unknowns, in rounds that keep the better half."""

    def __init__(
        self,
        scenario: Scenario,
        measured: Measured,
        settings: Sequence[Setting],
        *,
        of: str,
        offsets: tuple[int, int],
        seeds: list[int],
    ) -> None:
        self._scenario, self._counts = scenario, measured.counts
        self._choices = [setting for setting in settings if setting.choices is not None]
        self._ranges = [setting for setting in settings if setting.choices is None]
        self._level, self._offsets, self._seeds = of in LEVELS, offsets, seeds
        self._more_seeds = range(max(seeds, default=0) + 1, max(seeds, default=0) + 1 + FAKES)
        self._points = [
            Point(labels) for labels in product(*(setting.choices or () for setting in self._choices))
        ]
        self._runs: dict[Point, list[Array]] = {}
        self.ran_out = False
        """Whether the runs ended before the search."""

    @property
    def has_unknowns(self) -> bool:
        """Whether a setting is to be fitted within a range."""
        return bool(self._ranges)

    def check(self, runs: int) -> None:
        """Check the limit of runs. Errors: `SettingsError`."""
        if not self._seeds:
            raise SettingsError("seeds: give at least one")
        least = len(self._points) * min(FIRST, len(self._seeds)) * (len(self._round(self._points[0], 0)))
        if runs < least:
            raise SettingsError(f"runs: {len(self._points)} candidates need {least} or more, got {runs}")

    def rank(self, simulate: Simulate, limit: int) -> list[tuple[Point, Candidate]]:
        """Return the best point of each candidate, the best first."""
        self._search(simulate, limit)
        return self.so_far()

    def so_far(self) -> list[tuple[Point, Candidate]]:
        """Return the best point of each candidate that has runs, the best first.

        A point with all seeds is preferred to others, which may be near by chance.
        """
        found: dict[tuple[Any, ...], tuple[Point, Candidate]] = {}
        for point in sorted(self._runs, key=lambda point: -len(self._runs[point])):
            candidate = self._candidate(point)
            before, nearest = found.setdefault(point.labels, (point, candidate))
            if len(self._runs[point]) == len(self._runs[before]) and candidate.distance < nearest.distance:
                found[point.labels] = point, candidate
        return sorted(found.values(), key=lambda pair: pair[1].distance)

    def _search(self, simulate: Simulate, limit: int) -> None:
        left = list(self._points)
        best: dict[tuple[Any, ...], Point] = {}
        for number in range(ROUNDS if self._ranges else 1):
            wanted = [point for start in left for point in self._round(best.get(start.labels, start), number)]
            if self.made() + FIRST * len(wanted) + len(self._seeds) * FINAL > limit and number:
                self.ran_out = True
                break
            self._simulate(simulate, wanted, FIRST)
            for start in left:
                tried = [point for point in self._runs if point.labels == start.labels]
                best[start.labels] = min(tried, key=lambda point: self._candidate(point).distance)
            left.sort(key=lambda start: self._candidate(best[start.labels]).distance)
            if self._ranges:
                left = left[: max(FINAL // 2, (len(left) + 1) // 2)]
        ranked = sorted(best.values(), key=lambda point: self._candidate(point).distance)
        room = (limit - self.made()) // max(1, len(self._seeds) - FIRST)
        self._simulate(simulate, ranked[: max(1, min(FINAL, room))], len(self._seeds))

    def intervals(self, simulate: Simulate, point: Point, limit: int) -> list[tuple[float, float]]:
        """Return an interval of each unknown of a point that has all seeds, or an empty list.

        Points fill a box around it, which becomes smaller until the intervals are a good part of it. The list
        is empty if fewer than `limit` runs are left.
        """
        place, size, found = self._place(point), BOX, None
        fakes_end = len(self._seeds) + FAKES
        for number in range(BOXES):
            box = self._box(point, place, size, number)
            if self.made() + FIRST * len(box) + fakes_end > limit:
                break
            self._simulate(simulate, box, FIRST)
            self._simulate(simulate, [point], fakes_end)
            found = self._interval(point, place, size)
            if max(np.abs(found.estimate - place) + found.reach) > size / 4:
                break
            size /= 3
        if found is None:
            return []
        low = np.clip(np.minimum(found.estimate - found.reach, place), 0.0, 1.0)
        high = np.clip(np.maximum(found.estimate + found.reach, place), 0.0, 1.0)
        return [
            (_rounded(setting, one, floor), _rounded(setting, other, ceil))
            for setting, one, other in zip(self._ranges, low.tolist(), high.tolist(), strict=True)
        ]

    def _place(self, point: Point) -> Array:
        """Return the unknowns of a point as shares of their ranges."""
        pairs = zip(self._ranges, point.unknowns, strict=True)
        return np.array([share_of(setting, value) for setting, value in pairs])

    def _box(self, point: Point, place: Array, size: float, number: int) -> list[Point]:
        """Return points that fill a box of a size around a place evenly."""
        axes = range(len(self._ranges))
        found = []
        for index in range(1 + 8 * len(self._ranges)):
            shares = [halton(500 + 64 * number + index, axis) for axis in axes]
            at = np.clip(place + size * (np.array(shares) - 0.5), 0.0, 1.0)
            values = (
                value_of(setting, float(share)) for setting, share in zip(self._ranges, at, strict=True)
            )
            found.append(Point(point.labels, tuple(values)))
        return found

    def _interval(self, point: Point, place: Array, size: float) -> Interval:
        """Return the interval that the points in a box show."""
        inside = [
            each
            for each in self._runs
            if each.labels == point.labels and np.abs(self._place(each) - place).max() <= size / 2 + 1e-9
        ]
        runs = [np.array(self._runs[each][:FIRST]) for each in inside]
        fakes = np.where(np.isnan(self._counts), np.nan, self._candidate(point).window[FIRST:])
        apart = [[self._seen(counts, each).distance for each in runs] for counts in (self._counts, *fakes)]
        places = np.array([self._place(each) for each in inside])
        return interval(places, np.array(apart[0]), np.array(apart[1:]), place)

    def made(self) -> int:
        """Return the number of runs that were made."""
        return sum(map(len, self._runs.values()))

    def _candidate(self, point: Point) -> Candidate:
        return self._seen(self._counts, np.array(self._runs[point]))

    def _seen(self, counts: Array, runs: Array) -> Candidate:
        return Candidate(counts, runs, level=self._level, offsets=self._offsets)

    def _simulate(self, simulate: Simulate, points: Sequence[Point], seeds: int) -> None:
        cells, owners = list[Cell](), list[Point]()
        for point in dict.fromkeys(points):
            new = [*self._seeds, *self._more_seeds][len(self._runs.get(point, ())) : seeds]
            if new:
                values: dict[str, Any] = {
                    each.path: {label: (each.choices or {})[label]}
                    for each, label in zip(self._choices, point.labels, strict=True)
                }
                values |= {
                    each.path: [value] for each, value in zip(self._ranges, point.unknowns, strict=True)
                }
                cells += cells_of(self._scenario, values, new)
                owners += [point] * len(new)
        length = int(np.ceil(self._scenario.duration))
        made = dict[int, Array]()
        try:
            for number, series in simulate(cells):
                made[number] = series[:length]
        finally:  # An interrupt ends the runs; points that have them all are kept.
            for point in dict.fromkeys(owners):
                numbers = [number for number, owner in enumerate(owners) if owner is point]
                if all(number in made for number in numbers):
                    self._runs.setdefault(point, []).extend(made[number] for number in numbers)

    def _round(self, around: Point, number: int) -> list[Point]:
        """Return the points of a round: of ever smaller boxes around the best one so far."""
        if not self._ranges:
            return [around]
        count = POINTS + 2 * len(self._ranges) if number == 0 else 1 + 2 * len(self._ranges)
        size = SHRINK**number
        points = []
        for index in range(count):
            unknowns = []
            for axis, setting in enumerate(self._ranges):
                share = halton(number * 64 + index + 1, axis)
                centre = share_of(setting, around.unknowns[axis]) if around.unknowns else 0.5
                low = min(max(centre - size / 2, 0.0), 1 - size)
                unknowns.append(value_of(setting, low + size * share))
            points.append(Point(around.labels, tuple(unknowns)))
        return points


def halton(index: int, axis: int) -> float:
    """Return a number of a sequence that fills the unit box evenly."""
    base = (2, 3, 5, 7, 11, 13)[axis % 6]
    share, scale = 0.0, 1.0
    while index:
        scale /= base
        index, digit = divmod(index, base)
        share += digit * scale
    return share


def _is_wide(setting: Setting) -> bool:
    return setting.low > 0 and setting.high / setting.low >= WIDE


def value_of(setting: Setting, share: float) -> float:
    """Return the value at a share of the range, rounded to three digits or a whole number."""
    value = _exact_value(setting, share)
    value = round(value) if setting.whole else float(f"{value:.3g}")
    return min(max(value, setting.low), setting.high)


def _exact_value(setting: Setting, share: float) -> float:
    low, high = setting.low, setting.high
    return low * (high / low) ** share if _is_wide(setting) else low + (high - low) * share


def _rounded(setting: Setting, share: float, towards: Callable[[float], int]) -> float:
    """Return the value at a share, rounded up or down to a whole number if the setting takes only these."""
    value = _exact_value(setting, share)
    return towards(round(value, 9)) if setting.whole else value


def share_of(setting: Setting, value: float) -> float:
    low, high = setting.low, setting.high
    if _is_wide(setting):
        return float(np.log(value / low) / np.log(high / low))
    return (value - low) / (high - low)
