"""How long people are away after they lost their connections, with those who are still away at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from math import inf

from msgspec import Struct

from chatlab.experiment.run import Run
from chatlab.messages import ConnectionStatus

_LOST = (ConnectionStatus.RECONNECTING, ConnectionStatus.ERROR)


class Absence(Struct, frozen=True):
    """The seconds from the loss of a connection until the person is connected again.

    If not `back`, the person was away for at least that long: until the end of the run, or until they left.
    Someone whose client gave up is away forever (inf).
    """

    seconds: float
    back: bool


def absences(run: Run, group: str | None = None) -> list[Absence]:
    """Return the absences of the recorded people; `group`: only of those who are in that group."""
    people = run.people if group is None else [name for name in run.people if run.group_of(name) == group]
    return [absence for person in people for absence in _absences(run, person)]


def _absences(run: Run, person: str) -> Iterator[Absence]:
    lost_at: float | None = None
    online = False
    for span in run.statuses(person):
        if span.status is ConnectionStatus.CONNECTED:
            if lost_at is not None:
                yield Absence(span.start - lost_at, back=True)
            lost_at = None
        elif online and span.status in _LOST:
            lost_at = span.start
        if lost_at is not None and span.status is ConnectionStatus.ERROR:
            yield Absence(inf, back=False)
            lost_at = None
        if lost_at is not None and span.status is ConnectionStatus.DISCONNECTED:
            yield Absence(span.start - lost_at, back=False)
            lost_at = None
        online = span.status is ConnectionStatus.CONNECTED
    if lost_at is not None:
        yield Absence(run.scenario.duration - lost_at, back=False)


def kaplan_meier(found: Iterable[Absence]) -> tuple[list[float], list[float]]:
    """Return the Kaplan–Meier estimate: the seconds at which people came back, and the share that was back.

    An absence whose end wasn't seen counts among those away until it was last seen, and not after that.
    """
    ordered = sorted(found, key=lambda absence: absence.seconds)
    seconds, shares = list[float](), list[float]()
    away, remaining = 1.0, len(ordered)
    for at, group in groupby(ordered, key=lambda absence: absence.seconds):
        together = list(group)
        if came_back := sum(absence.back for absence in together):
            away *= 1 - came_back / remaining
            seconds.append(at)
            shares.append(1 - away)
        remaining -= len(together)
    return seconds, shares
