"""Search the candidates that explain a measured series, and the unknowns of each.

Each round compares points with a few seeds. The first round's points are the scenario's own values, and some
that fill the ranges of the unknowns evenly; the next ones fill ever smaller boxes around a candidate's best
point. After each round the better half of the candidates stays. The best ones get all seeds in the end. Those
of the best two are then searched more closely, with all seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.experiment.cells import Cell, cells_of
from chatlab.experiment.fit_intervals import Interval, interval
from chatlab.experiment.fit_ranges import SHRINK, Ranges, Values
from chatlab.experiment.likeness import LEVELS, Array, Candidate
from chatlab.experiment.measured import Measured
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.trials import Setting, show

FIRST = 2
"""Seeds with which candidates are compared at first."""
ROUNDS = 4
"""Rounds of the search for unknowns, with a few seeds."""
FINAL = 6
"""Candidates that get all seeds."""
CLOSER = 2
"""Candidates whose unknowns are searched more closely."""
STEP = SHRINK ** (ROUNDS - 1) / 4
"""Distance of points beside the best one, as a part of the ranges."""
FAKES = 12
"""Runs of the best point, beside those with all seeds, that stand for the measurement."""
BOX, BOXES = 0.4, 4
"""Size of the first box around the best point, as a part of the ranges, and the most of ever smaller ones."""


class Point(Struct, frozen=True):
    """A candidate by its labels, and values of the unknowns."""

    labels: tuple[Any, ...]
    unknowns: Values = ()

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
        self._ranges = Ranges([setting for setting in settings if setting.choices is None])
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
        return bool(self._ranges.settings)

    def check(self, runs: int) -> None:
        """Check the limit of runs. Errors: `SettingsError`."""
        if not self._seeds:
            raise SettingsError("seeds: give at least one")
        least = len(self._points) * min(FIRST, len(self._seeds)) * (len(self._round(self._points[0], 0)))
        if runs < least:
            count = len(self._points)
            what = "1 candidate needs" if count == 1 else f"{count} candidates need"
            raise SettingsError(f"runs: {what} {least} or more, got {runs}")

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
        for number in range(ROUNDS if self.has_unknowns else 1):
            wanted = [point for start in left for point in self._round(best.get(start.labels, start), number)]
            if self.made() + FIRST * len(wanted) + len(self._seeds) * FINAL > limit and number:
                self.ran_out = True
                break
            self._simulate(simulate, wanted, FIRST)
            best = {start.labels: self._nearest(start.labels)[0] for start in left}
            left.sort(key=lambda start: self._candidate(best[start.labels]).distance)
            if self.has_unknowns:
                left = left[: max(FINAL // 2, (len(left) + 1) // 2)]
        ranked = sorted(
            (self._nearest(point.labels)[0] for point in self._points),
            key=lambda point: self._candidate(point).distance,
        )
        room = (limit - self.made()) // max(1, len(self._seeds) - FIRST)
        self._simulate(simulate, ranked[: max(1, min(FINAL, room))], len(self._seeds))
        if self.has_unknowns and not self.ran_out:
            for point, _ in self.so_far()[:CLOSER]:
                self._look_closer(simulate, point.labels, limit)

    def _look_closer(self, simulate: Simulate, labels: tuple[Any, ...], limit: int) -> None:
        """Search the unknowns of a candidate around its best points, with all seeds."""
        seeds = len(self._seeds)
        for points_of in (self._known_points, self._points_beside, self._lowest_point, self._lowest_point):
            points = points_of(labels)
            if self.made() + seeds * len(points) > limit:
                self.ran_out = True
                return
            self._simulate(simulate, points, seeds)

    def _known_points(self, labels: tuple[Any, ...]) -> list[Point]:
        """Return a candidate's best two points by the first seeds, and the scenario's own."""
        return [*self._nearest(labels)[:2], *self._own(labels)]

    def _points_beside(self, labels: tuple[Any, ...]) -> list[Point]:
        """Return the points beside the best one."""
        best = self._nearest(labels, len(self._seeds))[0]
        return [Point(labels, values) for values in self._ranges.beside(best.unknowns, STEP)]

    def _lowest_point(self, labels: tuple[Any, ...]) -> list[Point]:
        """Return the point at which the distance should be least, as seen from those with all seeds."""
        tried = self._nearest(labels, len(self._seeds))
        distances = [self._candidate(point).distance for point in tried]
        return [Point(labels, self._ranges.lowest([point.unknowns for point in tried], distances))]

    def _nearest(self, labels: tuple[Any, ...], seeds: int = 1) -> list[Point]:
        """Return the points of a candidate that have as many seeds, or more, the nearest first."""
        tried = [point for point, runs in self._runs.items() if point.labels == labels and len(runs) >= seeds]
        return sorted(tried, key=lambda point: self._candidate(point).distance)

    def intervals(self, simulate: Simulate, point: Point, limit: int) -> list[tuple[float, float]]:
        """Return an interval of each unknown of a point that has all seeds, or an empty list.

        Points fill a box around it, which becomes smaller until the intervals are a good part of it. The list
        is empty if fewer than `limit` runs are left.
        """
        place, size, found = self._ranges.place(point.unknowns), BOX, None
        fakes_end = len(self._seeds) + FAKES
        for number in range(BOXES):
            box = [Point(point.labels, values) for values in self._ranges.box(place, size, number)]
            if self.made() + FIRST * len(box) + fakes_end > limit:
                break
            self._simulate(simulate, box, FIRST)
            self._simulate(simulate, [point], fakes_end)
            found = self._interval(point, place, size)
            if max(np.abs(found.estimate - place) + found.reach) > size / 4:
                break
            size /= 3
        return [] if found is None else self._ranges.ends(found, place)

    def _interval(self, point: Point, place: Array, size: float) -> Interval:
        """Return the interval that the points in a box show."""
        inside = [
            each
            for each in self._runs
            if each.labels == point.labels
            and np.abs(self._ranges.place(each.unknowns) - place).max() <= size / 2 + 1e-9
        ]
        runs = [np.array(self._runs[each][:FIRST]) for each in inside]
        fakes = np.where(np.isnan(self._counts), np.nan, self._candidate(point).window[FIRST:])
        apart = [[self._seen(counts, each).distance for each in runs] for counts in (self._counts, *fakes)]
        places = np.array([self._ranges.place(each.unknowns) for each in inside])
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
                values = self._chosen(point.labels) | {
                    each.path: [value]
                    for each, value in zip(self._ranges.settings, point.unknowns, strict=True)
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
        if not self.has_unknowns:
            return [around]
        values = self._ranges.fill(around.unknowns or None, number)
        return [
            *(self._own(around.labels) if not number else ()),
            *(Point(around.labels, each) for each in values),
        ]

    def _own(self, labels: tuple[Any, ...]) -> list[Point]:
        """Return the point with the values that the scenario itself has with a candidate's choices."""
        (cell,) = cells_of(self._scenario, self._chosen(labels), None)
        return [Point(labels, values) for values in self._ranges.own(cell.scenario)]

    def _chosen(self, labels: tuple[Any, ...]) -> dict[str, Any]:
        return {
            each.path: {label: (each.choices or {})[label]}
            for each, label in zip(self._choices, labels, strict=True)
        }
