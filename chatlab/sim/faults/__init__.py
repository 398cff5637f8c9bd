"""Faults: what goes wrong, when, for how long, and for whom.

To add one: a class with its own tag and `happen`, or `trouble`, beside its kin, and its name in `AnyFault`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chatlab.luck import Luck
from chatlab.sim.environment import LadderEnvironment
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


class Sleeper(Victim, Protocol):
    """A person who may rest."""

    def wake(self) -> None:
        """Leave the rest: something is about to happen."""


def schedule(
    faults: Sequence[Fault],
    people: Sequence[Sleeper],
    server: Site,
    luck: Luck,
    environment: LadderEnvironment,
) -> list[Scene]:
    """Schedule the faults on SimPy; return the scene of each."""

    def go_on(happening: Happening) -> None:
        for person in people:
            person.wake()
        wait = next(happening, None)
        if wait is not None:
            appoint(environment.now + wait, happening)

    def appoint(time: float, happening: Happening) -> None:
        environment.appoint(time)
        environment.call_at(time, go_on, happening)

    places = scenes(faults, people, server, luck)
    for fault, scene in zip(faults, places, strict=True):
        appoint(fault.at, fault.happen(scene))
    return places
