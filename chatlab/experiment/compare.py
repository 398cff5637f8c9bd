"""Two runs side by side: whether they are the same, and if not, where they first differ.

Runs in worlds of virtual time are compared step by step, whatever happened and came of it. A person's steps
at one instant have no order. Where one is live, where the system's scheduler has a say, it is the statuses,
the attempts to connect, what was shown, and what became of messages: each in its order, and at its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from html import escape
from itertools import takewhile, zip_longest

from msgspec import Struct

from chatlab.experiment.describe import describe_delivery, describe_effect, describe_event, describe_status
from chatlab.experiment.run import Run
from chatlab.messages import ConnectionStatus
from chatlab.trace import Step
from chatlab.transports.machine import (
    Deliver,
    Event,
    Fetch,
    Notify,
    OpenWebSocket,
    ReceivedBytes,
    Settle,
)

CLOSE = 1e-3
"""Seconds that times in worlds of virtual time may differ; packets have the same luck in all of them."""
INSTANT = 1e-6
"""Seconds within which everything happens at the same instant."""
LIVE = 0.005
"""Seconds by which a live run may differ if its loop wasn't late: a narrow line's bytes leave in pieces."""
UNMEASURED, UNMEASURED_SHARE = 0.05, 0.05
"""Seconds of the wall clock, and share of the time since the beginning, if it's unknown how late one was."""


class Moment(Struct, frozen=True):
    """One effect of a person's `number`-th step, from 1, `at` seconds after the run began."""

    number: int
    at: float
    text: str


class Difference(Struct, frozen=True):
    """A step that one run has and the other has not, at another time, or in another order; None: never."""

    person: str
    a: Moment | None
    b: Moment | None

    @property
    def at(self) -> float:
        """Seconds at which it is first seen."""
        return min(moment.at for moment in (self.a, self.b) if moment is not None)

    @property
    def number(self) -> int:
        """In which of the person's steps it is."""
        moment = self.a or self.b
        assert moment is not None
        return moment.number


class Tolerance(Struct, frozen=True):
    """The most that two times may be apart: `seconds`, and a `share` of the later one. `source` says why."""

    seconds: float
    share: float = 0.0
    source: str = ""

    def allows(self, a: float, b: float) -> bool:
        """Whether these two times count as the same."""
        return abs(a - b) <= self.at(max(a, b))

    def at(self, time: float) -> float:
        """Return what is allowed at that time, in seconds."""
        return self.seconds + self.share * time

    def __str__(self) -> str:
        share = f" + {self.share:.0%}" if self.share else ""
        source = f", {self.source}" if self.source else ""
        return f"{_seconds(self.seconds)}{share}{source}"


class Comparison(Struct, frozen=True):
    """Whether two runs, in the worlds of those names, are the same; true where they are.

    `steps` counts what was compared; `apart` is how far the times of the same things are at most, in seconds.
    """

    worlds: tuple[str, str]
    people: int
    steps: int
    tolerance: Tolerance
    apart: float
    differences: tuple[Difference, ...]

    def __bool__(self) -> bool:
        return not self.differences

    @property
    def first(self) -> Difference | None:
        """The first difference."""
        return self.differences[0] if self.differences else None

    def __str__(self) -> str:
        return "\n".join([self._verdict, *(f"  {who}: {what}" for who, what in self._sides)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left;vertical-align:top">{escape(who)}</th>'
            f'<td style="text-align:left">{escape(what)}</td></tr>'
            for who, what in self._sides
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
            return (
                f"{a} and {b} agree: {people}, {self.steps:,} steps, "
                f"at most {_seconds(self.apart)} apart (allowed: {self.tolerance})"
            )
        more = len(self.differences) - 1
        further = f", and {more:,} further on" if more else ""
        return f"{a} and {b} differ, first in step {first.number} of {first.person}{further}"

    @property
    def _sides(self) -> Iterator[tuple[str, str]]:
        first = self.first
        if first is None:
            return
        a, b = first.a, first.b
        texts = _windows(*("nothing like it" if moment is None else moment.text for moment in (a, b)))
        said = [
            text if moment is None else f"at {moment.at:.3f} s, {text}"
            for moment, text in zip((a, b), texts, strict=True)
        ]
        if a is not None and b is not None and a.text == b.text:
            said[1] = self._later(a, b)
        yield from zip(self.worlds, said, strict=True)

    def _later(self, a: Moment, b: Moment) -> str:
        """Say how much later or earlier the second run does the same."""
        if self.tolerance.allows(a.at, b.at):
            steps = abs(b.number - a.number)
            way = "later" if b.number > a.number else "earlier"
            return f"the same, {steps} {'step' if steps == 1 else 'steps'} {way}"
        way = "later" if b.at > a.at else "earlier"
        allowed = _seconds(self.tolerance.at(max(a.at, b.at)))
        return f"the same, {_seconds(abs(b.at - a.at))} {way} (allowed: {allowed})"


WIDTH, BEFORE = 120, 30
"""Characters of a step that are shown, and how many of them before the first that differs."""


def _windows(a: str, b: str) -> Iterator[str]:
    """Yield each text, of a long one only what fits on a line, around where the two first differ."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    start = 0 if same < WIDTH - BEFORE or a == b else same - BEFORE
    for text in (a, b):
        shown = text[start : start + WIDTH]
        yield ("…" if start else "") + shown + ("…" if start + WIDTH < len(text) else "")


def compare(run_a: Run, run_b: Run) -> Comparison:
    """Compare two runs person by person, by what was recorded of whom both have recorded."""
    live = "live" in (run_a.world, run_b.world)
    tolerance = tolerance_of(run_a, run_b)
    end = min(run_a.scenario.duration, run_b.scenario.duration)
    steps, apart = 0, 0.0
    differences: list[Difference] = []
    people = [person for person in run_a.people if person in run_b.people]
    for person in people:
        a, b = run_a.steps(person), run_b.steps(person)
        lanes = zip(_lanes(a), _lanes(b), strict=True) if live else [(_whole(a), _whole(b))]
        for one, other in lanes:
            together, unlike = align(one, other, tolerance)
            steps += len(together) + len(unlike)
            for first, second in together:
                apart = max(apart, abs(first.at - second.at))
                if not tolerance.allows(first.at, second.at):
                    unlike.append((first, second))
            differences += (
                difference
                for pair in unlike
                if (difference := Difference(person, *pair)).at + tolerance.at(end) < end
            )  # Else the other run was over too early.
    differences.sort(key=lambda difference: difference.at)
    return Comparison((run_a.world, run_b.world), len(people), steps, tolerance, apart, tuple(differences))


def tolerance_of(run_a: Run, run_b: Run) -> Tolerance:
    """Return how far times in these two runs may be apart."""
    live = [run for run in (run_a, run_b) if run.world == "live"]
    if not live:
        return Tolerance(CLOSE)
    late = 0.0
    for run in live:
        if run.lateness is None:
            wall_clock = UNMEASURED * max(run_a.time_scale, run_b.time_scale)
            return Tolerance(wall_clock, UNMEASURED_SHARE, "as it wasn't measured how late the live loop was")
        late += run.lateness
    return Tolerance(LIVE + late, source=f"of which the live loop was late by {_seconds(late)}")


Pair = tuple[Moment | None, Moment | None]


def align(
    a: Sequence[Moment], b: Sequence[Moment], tolerance: Tolerance
) -> tuple[list[tuple[Moment, Moment]], list[Pair]]:
    """Return what both have in the same order, and what they have in each other's place, or one of them only.

    What may be further apart than `CLOSE` has no order within that tolerance.
    """
    matcher = SequenceMatcher(
        None, [moment.text for moment in a], [moment.text for moment in b], autojunk=False
    )
    together: list[tuple[Moment, Moment]] = []
    unlike: list[Pair] = []
    only_a: list[Moment] = []
    only_b: list[Moment] = []
    for tag, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        if tag == "equal":
            together += zip(a[a_from:a_to], b[b_from:b_to], strict=True)
        elif tolerance.at(0) > CLOSE:
            only_a += a[a_from:a_to]
            only_b += b[b_from:b_to]
        else:
            unlike += zip_longest(a[a_from:a_to], b[b_from:b_to])
    for moment in only_a:
        swapped = next((other for other in only_b if _same(moment, other, tolerance)), None)
        if swapped is None:
            unlike.append((moment, None))
        else:
            only_b.remove(swapped)
            together.append((moment, swapped))
    return together, _found_again([*unlike, *((None, moment) for moment in only_b)])


def _found_again(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs, with the same step in both places of one where each run has it, but not in order."""
    rest = list(pairs)
    found: list[Pair] = []
    for a in [a for a, _ in rest if a is not None]:
        near = [b for _, b in rest if b is not None and b.text == a.text]
        if not near:
            continue
        b = min(near, key=lambda moment: abs(moment.number - a.number))
        found.append((a, b))
        rest = [(None if one is a else one, None if other is b else other) for one, other in rest]
    return found + [pair for pair in rest if pair != (None, None)]


def _same(a: Moment, b: Moment, tolerance: Tolerance) -> bool:
    return a.text == b.text and tolerance.allows(a.at, b.at)


def _whole(steps: Iterable[Step]) -> list[Moment]:
    """Return every step, those of one instant in the order of their words.

    Pieces of a body that come at once are one: how it is cut is the system's affair.
    """
    moments: list[Moment] = []
    instant: list[tuple[int, Step]] = []
    for number, step in enumerate(steps, 1):
        if instant and step.at - instant[0][1].at > INSTANT:
            moments += _of_one_instant(instant)
            instant = []
        instant.append((number, step))
    return moments + _of_one_instant(instant)


def _of_one_instant(steps: Sequence[tuple[int, Step]]) -> list[Moment]:
    """Return what happened at one instant, numbered as the instant's steps."""
    happened: list[tuple[Event, list[str]]] = []
    bodies: dict[int, int] = {}
    for _, step in steps:
        event, came_of_it = step.event, [describe_effect(effect) for effect in step.effects]
        if isinstance(event, ReceivedBytes) and event.link in bodies:
            place = bodies[event.link]
            before, already = happened[place]
            assert isinstance(before, ReceivedBytes)
            happened[place] = ReceivedBytes(event.link, before.data + event.data), already + came_of_it
            continue
        if isinstance(event, ReceivedBytes):
            bodies[event.link] = len(happened)
        happened.append((event, came_of_it))
    texts = sorted("; ".join([describe_event(event), *came_of_it]) for event, came_of_it in happened)
    return [Moment(number, step.at, text) for (number, step), text in zip(steps, texts, strict=False)]


def _lanes(steps: Iterable[Step]) -> tuple[list[Moment], ...]:
    """Return the changes of status, the attempts, what was shown, and what became of messages."""
    statuses, attempts, shown, ledger = lanes = tuple(list[Moment]() for _ in range(4))
    status = ConnectionStatus.DISCONNECTED
    for number, step in enumerate(steps, 1):
        for effect in step.effects:
            if isinstance(effect, Notify):
                status = effect.change.status
        for effect in step.effects:
            match effect:
                case Notify(change):
                    statuses.append(Moment(number, step.at, describe_status(change, reason=False)))
                case OpenWebSocket():
                    attempts.append(Moment(number, step.at, "tries a WebSocket"))
                case Fetch(_, purpose) if purpose == "stream" or (
                    purpose == "poll" and status is not ConnectionStatus.CONNECTED
                ):
                    attempts.append(Moment(number, step.at, f"tries a {purpose}"))
                case Deliver(event):
                    shown.append(Moment(number, step.at, describe_delivery(event)))
                case Settle():
                    ledger.append(Moment(number, step.at, describe_effect(effect)))
                case _:
                    pass
    return lanes


def _seconds(seconds: float) -> str:
    """Write a time with three digits, and never as 1e+03."""
    value, unit = (seconds * 1000, "ms") if seconds < 0.9995 else (seconds, "s")
    return f"{value:,.3g} {unit}" if value < 999.5 else f"{value:,.0f} {unit}"
