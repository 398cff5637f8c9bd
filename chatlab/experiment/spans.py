"""The spans of a person's statuses, for timelines and metrics."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.messages import ConnectionStatus, StatusChange
from chatlab.trace import Step
from chatlab.transports.machine import Notify


class StatusSpan(Struct, frozen=True):
    """One status from `start` to `end`, in seconds since the run began.

    `attempts` are the times of attempts to connect. A span of zero length stands for attempts that failed at
    once.
    """

    status: ConnectionStatus
    start: float
    end: float
    attempts: tuple[float, ...] = ()


class FaultSpan(Struct, frozen=True):
    """A fault from `start` to `end`, in seconds since the run began.

    Equal times stand for a momentary fault, an infinite `end` for a permanent one.
    """

    kind: str
    start: float
    end: float


def status_spans(steps: Iterable[Step], end: float, start: float = 0.0) -> list[StatusSpan]:
    """Return one person's statuses from `start` to `end`, in order and without gaps.

    Errors: `SettingsError` if the steps are those of several people.
    """
    changes: list[tuple[float, StatusChange]] = []
    person = None
    for step in steps:
        if person not in (None, step.person):
            raise SettingsError(f"give the steps of one person, not of {person!r} and {step.person!r}")
        person = step.person
        changes += [(step.at, effect.change) for effect in step.effects if isinstance(effect, Notify)]
    return change_spans(changes, end, start)


def change_spans(
    changes: Iterable[tuple[float, StatusChange]], end: float, start: float = 0.0
) -> list[StatusSpan]:
    """Return one person's statuses, given their changes with times, such as those of a live transport.

    Changes before `start` only set the first status. Changes after `end` are ignored.
    """
    spans: list[StatusSpan] = []
    status, since, attempts = ConnectionStatus.DISCONNECTED, start, list[float]()

    def finish(at: float) -> None:
        if at > since or attempts:
            spans.append(StatusSpan(status, since, at, tuple(attempts)))

    for at, change in changes:
        if at > end:
            break
        if change.status is not status:
            finish(max(at, start))
            status, since, attempts = change.status, max(at, start), []
        if at >= start and _is_attempt(change):
            attempts.append(at)
    finish(max(end, start))
    return spans


def _is_attempt(change: StatusChange) -> bool:
    """Return whether this change begins an attempt, not the delay before it."""
    trying = change.status in (ConnectionStatus.CONNECTING, ConnectionStatus.RECONNECTING)
    return trying and change.retry_at is None
