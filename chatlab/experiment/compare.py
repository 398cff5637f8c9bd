"""The comparison of two runs: whether they are the same, and where they first differ.

Runs on virtual time are compared step by step, with all events and effects. A person's steps at one instant
may be in any order. A live run depends on the system's scheduler. So only four kinds of steps are compared:
changes of status, attempts to connect, deliveries, and states of messages. Each kind is compared in order,
with times.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import takewhile

from msgspec import Struct

from chatlab.experiment.align import VIRTUAL_TOLERANCE, Tolerance, align, format_seconds
from chatlab.experiment.moments import Moment, all_moments, observable_moments
from chatlab.experiment.run import Run

LIVE_TOLERANCE = 0.005
"""Seconds by which a live run may differ even if its loop wasn't late, since bytes leave a slow line in
pieces."""
UNMEASURED, UNMEASURED_SHARE = 0.05, 0.05
"""Seconds of the wall clock, plus a share of the time, by which a live run of unknown lateness may differ."""
WIDTH, BEFORE = 120, 30
"""Number of characters of a step that are shown, and how many of them precede the first difference."""


class Difference(Struct, frozen=True):
    """A step that only one run has (the other is None), or that the runs have at different times or
    positions."""

    person: str
    a: Moment | None
    b: Moment | None

    @property
    def at(self) -> float:
        """Seconds at which the step happens, in the run in which it comes first."""
        return min(moment.at for moment in (self.a, self.b) if moment is not None)

    @property
    def number(self) -> int:
        """The number of the person's step."""
        moment = self.a or self.b
        assert moment is not None
        return moment.number


class Comparison(Struct, frozen=True):
    """The comparison of two runs, in the `worlds` of these names. It is true if the runs are the same.

    `steps` counts the compared steps, of `people` out of `total_people`: those that both runs have recorded.
    `apart` is the largest difference in time between equal steps, in seconds.
    """

    worlds: tuple[str, str]
    people: int
    steps: int
    tolerance: Tolerance
    apart: float
    differences: tuple[Difference, ...]
    total_people: int = 0

    def __bool__(self) -> bool:
        return not self.differences

    @property
    def first(self) -> Difference | None:
        """The first difference."""
        return self.differences[0] if self.differences else None

    def __str__(self) -> str:
        return "\n".join([self._verdict, *(f"  {world}: {text}" for world, text in self._sides)])

    __repr__ = __str__  # A shell shows it.

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left;vertical-align:top">{escape(world)}</th>'
            f'<td style="text-align:left">{escape(text)}</td></tr>'
            for world, text in self._sides
        )
        return (
            '<div style="font-size:var(--jp-ui-font-size1,13px)">'
            f"<p>{'✓' if self else '✗'} {escape(self._verdict)}</p>"
            + (f"<table><tbody>{rows}</tbody></table>" if rows else "")
            + "</div>"
        )

    @property
    def _verdict(self) -> str:
        a, b = self.worlds
        first = self.first
        if first is None:
            people = "1 person" if self.people == 1 else f"{self.people:,} people"
            if self.people < self.total_people:
                people = f"{self.people:,} of {self.total_people:,} people"
            return (
                f"{a} and {b} agree: {people}, {self.steps:,} steps, "
                f"at most {format_seconds(self.apart)} apart (allowed: {self.tolerance})"
            )
        more = len(self.differences) - 1
        others = f"; {more:,} more {'difference' if more == 1 else 'differences'}" if more else ""
        return f"{a} and {b} differ, first in step {first.number} of {first.person}{others}"

    @property
    def _sides(self) -> Iterator[tuple[str, str]]:
        first = self.first
        if first is None:
            return
        a, b = first.a, first.b
        excerpts = _excerpts(*("no such step" if moment is None else moment.text for moment in (a, b)))
        texts = [
            text if moment is None else f"at {moment.at:.3f} s, {text}"
            for moment, text in zip((a, b), excerpts, strict=True)
        ]
        if a is not None and b is not None and a.text == b.text:
            texts[1] = self._shift(a, b)
        yield from zip(self.worlds, texts, strict=True)

    def _shift(self, a: Moment, b: Moment) -> str:
        """Return how much later or earlier the second run has the same step."""
        if self.tolerance.allows(a.at, b.at):
            steps = abs(b.number - a.number)
            direction = "later" if b.number > a.number else "earlier"
            return f"the same, {steps} {'step' if steps == 1 else 'steps'} {direction}"
        direction = "later" if b.at > a.at else "earlier"
        allowed = format_seconds(self.tolerance.at(max(a.at, b.at)))
        return f"the same, {format_seconds(abs(b.at - a.at))} {direction} (allowed: {allowed})"


def _excerpts(a: str, b: str) -> Iterator[str]:
    """Yield each text, cut to one line around their first difference."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    start = 0 if same < WIDTH - BEFORE or a == b else same - BEFORE
    for text in (a, b):
        shown = text[start : start + WIDTH]
        yield ("…" if start else "") + shown + ("…" if start + WIDTH < len(text) else "")


def compare(run_a: Run, run_b: Run) -> Comparison:
    """Compare two runs by the steps of each person that both have recorded."""
    live = "live" in (run_a.world, run_b.world)
    tolerance = tolerance_of(run_a, run_b)
    end = min(run_a.scenario.duration, run_b.scenario.duration)
    steps, apart = 0, 0.0
    differences: list[Difference] = []
    people = [person for person in run_a.people if person in run_b.people]
    for person in people:
        a, b = run_a.steps(person), run_b.steps(person)
        if live:
            kinds = list(zip(observable_moments(a), observable_moments(b), strict=True))
        else:
            kinds = [(all_moments(a), all_moments(b))]
        for moments_a, moments_b in kinds:
            equal, different = align(moments_a, moments_b, tolerance)
            steps += len(equal) + len(different)
            for one, other in equal:
                apart = max(apart, abs(one.at - other.at))
                if not tolerance.allows(one.at, other.at):
                    different.append((one, other))
            # Close to the end, a step may be missing only because the other run ended before it.
            differences += (
                difference
                for pair in different
                if (difference := Difference(person, *pair)).at + tolerance.at(end) < end
            )
    differences.sort(key=lambda difference: difference.at)
    worlds, total = (run_a.world, run_b.world), run_a.scenario.people.count
    return Comparison(worlds, len(people), steps, tolerance, apart, tuple(differences), total)


def tolerance_of(run_a: Run, run_b: Run) -> Tolerance:
    """Return the allowed difference of times in these two runs."""
    live = [run for run in (run_a, run_b) if run.world == "live"]
    if not live:
        return Tolerance(VIRTUAL_TOLERANCE)
    late = 0.0
    for run in live:
        if run.lateness is None:
            wall_clock = UNMEASURED * max(run_a.time_scale, run_b.time_scale)
            return Tolerance(wall_clock, UNMEASURED_SHARE, "because the live loop's lateness wasn't measured")
        late += run.lateness
    return Tolerance(
        LIVE_TOLERANCE + late, source=f"including the live loop's lateness of {format_seconds(late)}"
    )
