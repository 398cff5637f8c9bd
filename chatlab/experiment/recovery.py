"""Which fault broke a connection, and how long its person was away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from chatlab.experiment.column_recorder import CONNECTED, ERROR, RECONNECTING, Column, ColumnRecorder

NOTICED = 10.0
"""Seconds after the end of a fault in which clients notice by time-outs that connections are broken."""
REPORTED = 1.0
"""Seconds after the end of a fault in which the reset of a connection arrives at the client."""


class Incident(NamedTuple):
    """A fault, from its beginning to its end. `hit` has the people in its scope; None: all.

    If a connection was open at the beginning and is lost before `deaf_until`, this fault is the cause, even
    if another one begins in between. A later fault of less `severity` isn't the cause if the connection is
    lost at most `NOTICED` seconds after the end of this one, unless it has a severity of 1, and begins at the
    same time or more than `REPORTED` seconds after that end. A fault that `leaves_half_open` connections
    doesn't end for them. If `others_serve` while it lasts, recovery counts from the loss of the connection.
    """

    begins_at: float
    ends_at: float
    hit: Column | None = None
    deaf_until: float = -np.inf
    severity: int = 2
    leaves_half_open: bool = False
    others_serve: bool = False


def first_fault(faults: Sequence[Incident], duration: float) -> float | None:
    """Return the time at which the first fault begins; None: no fault begins before the end of the run."""
    return faults[0].begins_at if faults and faults[0].begins_at < duration else None


class Broken(NamedTuple):
    """The connections that faults broke: of those that came back, the seconds of recovery and the people; the
    people of the others."""

    seconds: Column
    people: Column
    unrecovered: Column


def recovery(recorder: ColumnRecorder, faults: Sequence[Incident]) -> Broken:
    """Return the connections that faults broke."""
    people, statuses, at = recorder.changes
    if not faults or not len(people):
        return Broken(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    connected = statuses == CONNECTED
    lost = (
        np.flatnonzero(
            connected[:-1] & np.isin(statuses[1:], [RECONNECTING, ERROR]) & (people[1:] == people[:-1])
        )
        + 1
    )
    fault = _causes(people[lost], at[lost - 1], at[lost], faults)
    lost, fault = lost[fault >= 0], fault[fault >= 0]
    again = np.append(np.flatnonzero(connected), len(people))
    again = again[np.searchsorted(again, lost)]
    back = (again < len(people)) & (people[np.minimum(again, len(people) - 1)] == people[lost])
    begins = np.array([fault.ends_at for fault in faults])[fault]
    begins = np.where(np.array([fault.others_serve for fault in faults])[fault], at[lost], begins)
    seconds = np.maximum(0.0, at[again[back]] - begins[back])
    return Broken(seconds, people[lost[back]], people[lost[~back]])


def _causes(people: Column, since: Column, lost_at: Column, faults: Sequence[Incident]) -> Column:
    """Return the number of the fault that broke each connection, which was open from `since` to `lost_at`.

    -1 stands for no fault.
    """
    causes = np.full(len(people), -1)
    lost_to_fault = np.zeros(len(people), dtype=bool)
    severity = np.full(len(people), -1)
    begun_at, ended_at = np.full((2, len(people)), -np.inf)
    for number, fault in enumerate(faults):
        reached = (fault.begins_at <= lost_at) & ~lost_to_fault
        if fault.hit is not None:
            reached &= np.isin(people, fault.hit)
        excused = (fault.severity < severity) & (lost_at <= ended_at + NOTICED)
        if fault.severity:
            excused &= (begun_at < fault.begins_at) & (fault.begins_at <= ended_at + REPORTED)
        reached &= ~excused
        causes[reached] = number
        was_open = reached & (since <= fault.begins_at)
        lost_to_fault |= was_open & (lost_at < fault.deaf_until)
        severity[reached] = fault.severity
        begun_at[reached] = fault.begins_at
        ended_at[reached] = np.where(since[reached] <= fault.ends_at, fault.ends_at, -np.inf)
        if fault.leaves_half_open:
            ended_at[was_open] = np.inf
    return causes
