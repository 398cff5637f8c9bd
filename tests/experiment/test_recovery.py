"""Recovery counts from the fault that broke the connection, whatever harmless fault begins after it."""

from __future__ import annotations

import pytest

from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig
from chatlab.sim.faults import (
    AnyFault,
    ConnectionReset,
    HalfOpen,
    HighLatency,
    HttpError,
    NoPong,
    Partition,
    ServerDown,
    ServerRestart,
)
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import (
    AnyTransport,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)

WEBSOCKET = WebSocketSettings(heartbeat=HeartbeatConfig(interval=20.0, timeout=10.0))


BROKEN: dict[str, tuple[AnyTransport, AnyFault]] = {
    "websocket half-open": (WEBSOCKET, HalfOpen(at=30.0)),
    "websocket half-open, up": (WEBSOCKET, HalfOpen(at=30.0, direction="up")),
    "websocket reset": (WEBSOCKET, ConnectionReset(at=30.0)),
    "websocket server down": (WEBSOCKET, ServerDown(at=30.0, duration=4.0)),
    "websocket partition": (WEBSOCKET, Partition(at=30.0, duration=12.0)),
    "websocket no pong": (WEBSOCKET, NoPong(at=30.0, duration=25.0)),
    "sse restart": (SSESettings(), ServerRestart(at=30.0, duration=4.0)),
    "long polling half-open": (LongPollingSettings(), HalfOpen(at=30.0)),
    "short polling server down": (ShortPollingSettings(), ServerDown(at=30.0, duration=4.0)),
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("latency", [0.04, 2.0])
@pytest.mark.parametrize("name", BROKEN)
def test_a_harmless_fault_takes_no_blame(name: str, latency: float) -> None:
    """One of 10 µs that begins before the loss is noticed, or covers the whole run, changes no recovery."""
    transport, fault = BROKEN[name]
    scenario = Scenario(
        duration=140.0,
        seed=1,
        people=PeopleConfig(count=4, arrive_over=20.0),
        network=NetworkConfig(latency=latency),
        transport=transport,
        faults=(fault,),
    )
    alone = run(scenario, sample=0).metrics
    for at, duration in ((0.0, 140.0), (30.01, 60.0), (31.0, 2.0), (36.0, 60.0)):
        harmless = HighLatency(at=at, duration=duration, latency=1e-5)
        both = run(scenario.replace(faults=(fault, harmless)), sample=0).metrics
        for metric in ("broken", "unrecovered", "recovery_p50", "recovery_p99"):
            expected = alone[metric]
            assert both[metric] == (expected and pytest.approx(expected, abs=0.1))


def test_a_fault_after_one_that_was_survived_takes_the_blame() -> None:
    scenario = Scenario(
        duration=140.0,
        people=PeopleConfig(count=4),
        transport=WEBSOCKET,
        faults=(NoPong(at=40.0, duration=45.0),),
    )
    survived = Partition(at=30.0, duration=3.0)
    assert run(scenario.replace(faults=(survived,)), sample=0).metrics["broken"] == 0
    alone, both = (
        run(scenario.replace(faults=faults), sample=0).metrics
        for faults in (scenario.faults, (survived, *scenario.faults))
    )
    assert (both["broken"], both["recovery_p99"]) == (alone["broken"], alone["recovery_p99"])


def test_the_severity_of_a_fault_is_that_of_its_kind_and_latency() -> None:
    assert ServerDown(at=0.0, duration=1.0).severity == 2
    assert HttpError(at=0.0, duration=1.0).severity == 1
    for latency, jitter, severity in (
        (0.9, 0.0, 0),
        (0.9, 0.1, 1),
        (LogNormal(median=0.1, p99=0.9), 0.0, 0),
        (LogNormal(median=0.1, p99=1.0), 0.0, 1),
    ):
        fault = HighLatency(at=0.0, duration=1.0, latency=latency, jitter=jitter)
        assert fault.severity == severity
