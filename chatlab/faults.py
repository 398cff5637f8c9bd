"""Faults of scenarios, base classes for faults of your own, and a proxy that breaks real connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatlab.lazy import lazy_names

if TYPE_CHECKING:
    from chatlab.experiment.fault_proxy import FaultProxy
    from chatlab.sim.fault_context import FaultContext
    from chatlab.sim.faults import (
        AnyFault,
        Blocked,
        Buffering,
        Condition,
        ConnectionReset,
        Fault,
        Flapping,
        HalfOpen,
        HighLatency,
        HttpError,
        IdleTimeout,
        LastingFault,
        Loss,
        LowBandwidth,
        NetworkChange,
        NodeDown,
        NoPong,
        Outage,
        Partition,
        RollingRestart,
        ServerDown,
        ServerRestart,
        SlowServer,
        Suspended,
        Throttled,
    )
    from chatlab.sim.path import Impairment

_HOMES = {
    "experiment.fault_proxy": "FaultProxy",
    "sim.faults": (
        "AnyFault Blocked Buffering Condition ConnectionReset Fault Flapping HalfOpen HighLatency "
        "HttpError IdleTimeout LastingFault Loss LowBandwidth NetworkChange NodeDown NoPong Outage "
        "Partition RollingRestart ServerDown ServerRestart SlowServer Suspended Throttled"
    ),
    "sim.path": "Impairment",
    "sim.fault_context": "FaultContext",
}
"""Public names by module."""

__all__ = [
    "AnyFault",
    "Blocked",
    "Buffering",
    "Condition",
    "ConnectionReset",
    "Fault",
    "FaultContext",
    "FaultProxy",
    "Flapping",
    "HalfOpen",
    "HighLatency",
    "HttpError",
    "IdleTimeout",
    "Impairment",
    "LastingFault",
    "Loss",
    "LowBandwidth",
    "NetworkChange",
    "NoPong",
    "NodeDown",
    "Outage",
    "Partition",
    "RollingRestart",
    "ServerDown",
    "ServerRestart",
    "SlowServer",
    "Suspended",
    "Throttled",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
