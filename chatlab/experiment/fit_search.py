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

    def intervals(self, point: Point) -> list[tuple[float, float]]:
        """Return an interval of each unknown: two root mean square errors around its value.

        It is a parametric bootstrap: runs of the point, with seeds that no other point has, stand for the
        measurement, and the point that fits each of them best is looked for among all that were tried.
        """
        best = self._candidate(point)
        fakes = np.where(np.isnan(self._counts), np.nan, best.window[FIRST:])
        tried = {
            each: np.array(runs[:FIRST]) for each, runs in self._runs.items() if each.labels == point.labels
        }
        found = [
            min(tried, key=lambda each: self._seen(fake, tried[each]).distance).unknowns for fake in fakes
        ]
        errors = np.array(found or [point.unknowns]) - np.array(point.unknowns)
        reach = 2 * np.sqrt((errors**2).mean(axis=0))
        ends = [
            (max(setting.low, value - float(by)), min(setting.high, value + float(by)))
            for setting, value, by in zip(self._ranges, point.unknowns, reach, strict=True)
        ]
        return [
            (floor(low), ceil(high)) if setting.whole else (low, high)
            for setting, (low, high) in zip(self._ranges, ends, strict=True)
        ]

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
            new = self._seeds[len(self._runs.get(point, ())) : seeds]
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
    low, high = setting.low, setting.high
    value = low * (high / low) ** share if _is_wide(setting) else low + (high - low) * share
    value = round(value) if setting.whole else float(f"{value:.3g}")
    return min(max(value, low), high)


def share_of(setting: Setting, value: float) -> float:
    low, high = setting.low, setting.high
    if _is_wide(setting):
        return float(np.log(value / low) / np.log(high / low))
    return (value - low) / (high - low)
