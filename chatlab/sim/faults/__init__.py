"""Faults: their kinds, their times, their durations, and the people they hit.

To add one: a class with its own tag and `inject`, or `impairment`, beside similar ones, and its name in
`AnyFault`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from chatlab.random_streams import RandomStreams
from chatlab.sim.calendar import Calendar
from chatlab.sim.fault_context import FaultContext, FaultTarget, ServerControl
from chatlab.sim.faults.base import ALL_OTHERS, Fault, Injection, LastingFault
from chatlab.sim.faults.blocked import Blocked
from chatlab.sim.faults.breaks import ConnectionReset, HalfOpen, NetworkChange, Partition
from chatlab.sim.faults.clients import Suspended, Throttled
from chatlab.sim.faults.conditions import (
    Buffering,
    Condition,
    HighLatency,
    HttpError,
    IdleTimeout,
    Loss,
    LowBandwidth,
    NoPong,
    SlowServer,
)
from chatlab.sim.faults.nodes import NodeDown, NodeFault, RollingRestart
from chatlab.sim.faults.outages import Flapping, Outage, ServerDown, ServerRestart
from chatlab.sim.groups import Membership
from chatlab.sim.latency import NetworkConfig

__all__ = [
    "AnyFault",
    "Blocked",
    "Buffering",
    "Condition",
    "ConnectionReset",
    "Fault",
    "FaultStep",
    "Flapping",
    "HalfOpen",
    "HighLatency",
    "HttpError",
    "IdleTimeout",
    "Injection",
    "LastingFault",
    "Loss",
    "LowBandwidth",
    "NetworkChange",
    "NoPong",
    "NodeDown",
    "NodeFault",
    "Outage",
    "Partition",
    "RollingRestart",
    "ServerDown",
    "ServerRestart",
    "SlowServer",
    "Suspended",
    "Throttled",
    "fault_contexts",
    "loses_packets",
    "schedule",
]

T = TypeVar("T")

AnyFault = (
    ServerDown
    | ServerRestart
    | ConnectionReset
    | HalfOpen
    | HighLatency
    | Loss
    | LowBandwidth
    | IdleTimeout
    | Buffering
    | HttpError
    | NoPong
    | SlowServer
    | Flapping
    | Partition
    | NodeDown
    | RollingRestart
    | NetworkChange
    | Suspended
    | Throttled
    | Blocked
)


def loses_packets(network: NetworkConfig, faults: Sequence[Fault], group: str | None = None) -> bool:
    """Return whether packets are lost some time in a run, and sent again by TCP; `group`: those of a
    group."""
    return network.loss > 0 or any(
        fault.loses and (group is None or not fault.groups or group in fault.groups) for fault in faults
    )


def fault_contexts(
    faults: Sequence[Fault],
    people: Sequence[FaultTarget],
    server: ServerControl,
    streams: RandomStreams,
    membership: Membership = ALL_OTHERS,
) -> list[FaultContext]:
    """Return the context of each fault, which is prepared."""
    contexts = [
        FaultContext(server, fault.hits(people, streams, number, membership), streams, number)
        for number, fault in enumerate(faults)
    ]
    for fault, context in zip(faults, contexts, strict=True):
        fault.prepare(context)
    return contexts


def schedule(
    faults: Sequence[Fault],
    people: Sequence[FaultTarget],
    server: ServerControl,
    streams: RandomStreams,
    calendar: Calendar,
    membership: Membership = ALL_OTHERS,
) -> list[FaultContext]:
    """Schedule the faults; return the context of each."""
    contexts = fault_contexts(faults, people, server, streams, membership)
    for fault, context in zip(faults, contexts, strict=True):
        calendar.call_at(fault.at, _go_on, FaultStep(calendar, fault, context, fault.inject(context)))
    return contexts


class FaultStep(NamedTuple):
    """A step of a fault that is due."""

    calendar: Calendar
    fault: Fault
    context: FaultContext
    injection: Injection


def _go_on(step: FaultStep) -> None:
    wait = next(step.injection, None)
    if wait is not None:
        step.calendar.call_at(step.calendar.now + wait, _go_on, step)
