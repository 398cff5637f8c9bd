"""The parts of scenarios, and the tools that work on scenarios and their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatlab.lazy import lazy_names

if TYPE_CHECKING:
    from chatlab.experiment.align import Tolerance
    from chatlab.experiment.compare import Comparison, Difference, tolerance_of
    from chatlab.experiment.library import find_scenario, load_scenario, scenario_names, scenario_question
    from chatlab.experiment.spans import FaultSpan, StatusSpan
    from chatlab.experiment.sweep import processes
    from chatlab.experiment.worlds.wire_world import talk_on_wire
    from chatlab.sim.capacity import Need, ServerConfig
    from chatlab.sim.groups import Group
    from chatlab.sim.latency import LogNormal, NetworkConfig
    from chatlab.sim.people import PeopleConfig, ScriptEntry
    from chatlab.sim.transport_settings import (
        FallbackSettings,
        LongPollingSettings,
        ShortPollingSettings,
        SSESettings,
        WebSocketSettings,
    )

_HOMES = {
    "experiment.align": "Tolerance",
    "experiment.compare": "Comparison Difference tolerance_of",
    "experiment.library": "find_scenario load_scenario scenario_names scenario_question",
    "experiment.spans": "FaultSpan StatusSpan",
    "experiment.sweep": "processes",
    "sim.transport_settings": (
        "FallbackSettings LongPollingSettings SSESettings ShortPollingSettings WebSocketSettings"
    ),
    "experiment.worlds.wire_world": "talk_on_wire",
    "sim.capacity": "Need ServerConfig",
    "sim.groups": "Group",
    "sim.latency": "LogNormal NetworkConfig",
    "sim.people": "PeopleConfig ScriptEntry",
}
"""Public names by module."""

__all__ = [
    "Comparison",
    "Difference",
    "FallbackSettings",
    "FaultSpan",
    "Group",
    "LogNormal",
    "LongPollingSettings",
    "Need",
    "NetworkConfig",
    "PeopleConfig",
    "SSESettings",
    "ScriptEntry",
    "ServerConfig",
    "ShortPollingSettings",
    "StatusSpan",
    "Tolerance",
    "WebSocketSettings",
    "find_scenario",
    "load_scenario",
    "processes",
    "scenario_names",
    "scenario_question",
    "talk_on_wire",
    "tolerance_of",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
