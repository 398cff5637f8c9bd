"""TCP that gives up, in model and wire."""

from __future__ import annotations

import pytest

from chatlab.experiment.compare import compare
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig
from chatlab.sim.faults import AnyFault, HalfOpen, Partition
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    AnyTransport,
    LongPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from chatlab.transports.machine import Closed

LONG = 5000.0
WEBSOCKET = WebSocketSettings(heartbeat=HeartbeatConfig(enabled=False), connect_timeout=LONG)
SSE = SSESettings(idle_timeout=LONG, request_timeout=LONG, connect_timeout=LONG)
LONG_POLLING = LongPollingSettings(hold=LONG - 1.0, timeout=LONG, request_timeout=LONG, connect_timeout=LONG)
LOST, UNREACHABLE = "closed 1006: the connection was lost", "timeout: the server can't be reached in time"


@pytest.mark.parametrize(
    ("transport", "fault", "first"),
    [
        (WEBSOCKET, HalfOpen(at=50.0), (974.9, LOST)),
        (WEBSOCKET, HalfOpen(at=50.32, direction="up"), (974.92, LOST)),
        (WEBSOCKET, Partition(at=50.0, duration=1500.0), (1043.9, LOST)),
        (WEBSOCKET, Partition(at=0.0, duration=300.0), (131.0, UNREACHABLE)),
        (SSE, HalfOpen(at=50.32, direction="down"), (974.92, UNREACHABLE)),
        (SSE, HalfOpen(at=20.0, direction="up"), None),
        (LONG_POLLING, Partition(at=50.0, duration=1100.0), (181.3, UNREACHABLE)),
    ],
)
def test_it_is_reported_at_the_same_time_in_model_and_wire(
    transport: AnyTransport, fault: AnyFault, first: tuple[float, str] | None
) -> None:
    scenario = Scenario(
        duration=1200.0,
        people=PeopleConfig(
            count=2,
            script=(
                ScriptEntry(at=50.3, person="ada", text="lost"),
                ScriptEntry(at=1100.3, person="bob", text="hello"),
            ),
        ),
        network=NetworkConfig(latency=0.05),
        transport=transport,
        faults=(fault,),
    )
    model, wire = run(scenario), run(scenario, "wire")
    compared = compare(model, wire)
    assert compared, str(compared)
    assert model.metrics == wire.metrics
    ends = [(step.at, str(step.event.failure)) for step in model.steps("ada") if type(step.event) is Closed]
    assert (round(ends[0][0], 6), ends[0][1]) == first if first else ends == []
