"""Faults: what goes wrong, when, for how long, and for whom.

To add one: a class with its own tag and `happen`, or `trouble`, beside its kin, and its name in `AnyFault`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from chatlab.luck import Luck
from chatlab.sim.faults.base import Fault, Happening, LastingFault
from chatlab.sim.faults.breaks import ConnectionReset, HalfOpen, Partition
from chatlab.sim.faults.conditions import (
    Buffering,
    Condition,
    HighLatency,
    HttpError,
    IdleTimeout,
    LowBandwidth,
    NoPong,
    SlowServer,
)
from chatlab.sim.faults.outages import Flapping, Outage, ServerDown, ServerRestart
from chatlab.sim.scene import Scene, Site, Victim

__all__ = [
    "AnyFault",
    "Buffering",
    "Condition",
    "ConnectionReset",
    "Fault",
    "Flapping",
    "HalfOpen",
    "Happening",
    "HighLatency",
    "HttpError",
    "IdleTimeout",
    "LastingFault",
    "LowBandwidth",
    "NoPong",
    "Outage",
    "Partition",
    "ServerDown",
    "ServerRestart",
    "SlowServer",
    "scenes",
    "schedule",
]

T = TypeVar("T")

AnyFault = (
    ServerDown
    | ServerRestart
    | ConnectionReset
    | HalfOpen
    | HighLatency
    | LowBandwidth
    | IdleTimeout
    | Buffering
    | HttpError
    | NoPong
    | SlowServer
    | Flapping
    | Partition
)


def scenes(faults: Sequence[Fault], people: Sequence[Victim], server: Site, luck: Luck) -> list[Scene]:
    """Return where each fault happens."""
    return [
        Scene(server, fault.hits(people, luck, number), luck, number) for number, fault in enumerate(faults)
    ]


class Calendar(Protocol):
    """A clock that calls."""

    @property
    def now(self) -> float:
        """Seconds since the run began."""

    def call_at(self, time: float, callback: Callable[[T], object], argument: T, /) -> object:
        """Call back at `time`, in seconds since the run began."""


def schedule(
    faults: Sequence[Fault], people: Sequence[Victim], server: Site, luck: Luck, calendar: Calendar
) -> list[Scene]:
    """Schedule the faults; return the scene of each."""
    places = scenes(faults, people, server, luck)
    for fault, scene in zip(faults, places, strict=True):
        calendar.call_at(fault.at, _go_on, (calendar, fault.happen(scene)))
    return places


def _go_on(step: tuple[Calendar, Happening]) -> None:
    calendar, happening = step
    wait = next(happening, None)
    if wait is not None:
        calendar.call_at(calendar.now + wait, _go_on, step)
