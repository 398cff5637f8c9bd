"""Crowds to be run with and without short cuts, and faults that hit them."""

from __future__ import annotations

from typing import Any

from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import (
    AnyFault,
    Blocked,
    ConnectionReset,
    Flapping,
    HalfOpen,
    HighLatency,
    HttpError,
    IdleTimeout,
    LowBandwidth,
    NetworkChange,
    NoPong,
    Partition,
    ServerDown,
    ServerRestart,
    SlowServer,
    Suspended,
    Throttled,
)
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import WebSocketSettings

FAULTS: dict[str, tuple[AnyFault, ...]] = {
    "calm": (),
    "server_down": (ServerDown(at=20.31, duration=6.2),),
    "server_down_for_some": (ServerDown(at=20.31, duration=6.2, share=0.5),),
    "server_restart": (ServerRestart(at=20.31, duration=3.7),),
    "connection_reset": (ConnectionReset(at=20.31), ConnectionReset(at=35.0, share=0.5)),
    "half_open": (HalfOpen(at=20.31, duration=3.3, share=0.7),),
    "answers_lost": (HalfOpen(at=20.31, duration=3.3, share=0.7, direction="down"),),
    "requests_lost": (HalfOpen(at=20.31, duration=3.3, share=0.7, direction="up"),),
    "latency": (HighLatency(at=20.31, duration=9.4, latency=0.5, jitter=0.3),),
    "bandwidth": (LowBandwidth(at=20.31, duration=9.4, bandwidth=300.0),),
    "idle_timeout": (IdleTimeout(at=20.31, duration=20.0, timeout=4.1),),
    "http_error": (HttpError(at=20.31, duration=9.0, retry_after=2.0), ConnectionReset(at=20.5)),
    "no_pong": (NoPong(at=20.31, duration=12.0),),
    "slow_server": (SlowServer(at=20.31, duration=9.0, service_time=0.05),),
    "flapping": (Flapping(at=20.31, duration=20.0, period=7.0, down=2.3),),
    "partition": (Partition(at=20.31, duration=8.0, share=0.5),),
    "network_change": (NetworkChange(at=20.31, share=0.7),),
    "suspended": (Suspended(at=20.31, duration=8.0, share=0.5),),
    "blocked": (Blocked(at=20.31, share=0.7), ConnectionReset(at=23.0)),
    "blocked by a reset": (
        Blocked(at=0.0, duration=30.0, how="reset", share=0.5),
        ServerDown(at=25.0, duration=3.0),
    ),
    "swallowed": (Blocked(at=20.31, how="swallow", share=0.7), ConnectionReset(at=20.5)),
    "stripped": (Blocked(at=20.31, duration=9.0, how="strip_upgrade", share=0.7), ConnectionReset(at=20.5)),
    "throttled": (Throttled(at=20.31, duration=30.0, period=7.3, share=0.7), ConnectionReset(at=35.0)),
}
NETWORKS = {
    "constant": NetworkConfig(latency=0.08),
    "log-normal": NetworkConfig(latency=LogNormal(median=0.05, p99=0.3)),
    "jitter": NetworkConfig(latency=0.05, jitter=0.04, tls=True),
    "heavy tail": NetworkConfig(latency=LogNormal(median=0.2, p99=1.5), jitter=0.1),
}
HEARTBEATS = {
    "json": HeartbeatConfig(interval=5.0, timeout=2.5),
    "ping": HeartbeatConfig(interval=4.0, timeout=1.9, mode="ping"),
    "server": HeartbeatConfig(interval=4.3, timeout=2.1, mode="server"),
    "long timeout": HeartbeatConfig(interval=3.0, timeout=5.0),
    "none": HeartbeatConfig(enabled=False),
}
SERVER, OUTBOX = ServerConfig(), OutboxConfig()
RECONNECT = ReconnectConfig(jitter="full", max_delay=6.0)


def crowd(
    faults: tuple[AnyFault, ...] = (),
    network: NetworkConfig = NETWORKS["log-normal"],
    heartbeat: HeartbeatConfig = HEARTBEATS["json"],
    *,
    rate: float = 0.05,
    seed: int = 1,
    duration: float = 60.3,
    server: ServerConfig = SERVER,
    script: tuple[ScriptEntry, ...] = (),
    outbox: OutboxConfig = OUTBOX,
    connect_timeout: float = 4.0,
    count: int = 12,
    arrive_over: float = 3.0,
    rooms: int = 2,
    **transport: Any,
) -> Scenario:
    settings = {"reconnect": RECONNECT} | transport
    return Scenario(
        seed=seed,
        duration=duration,
        people=PeopleConfig(count=count, rooms=rooms, send_rate=rate, arrive_over=arrive_over, script=script),
        transport=WebSocketSettings(
            heartbeat=heartbeat, connect_timeout=connect_timeout, outbox=outbox, **settings
        ),
        network=network,
        server=server,
        faults=faults,
    )


def step_by_step(scenario: Scenario, sample: int = 0) -> Run:
    """Run a scenario without short cuts."""
    return run(scenario, sample=sample, fast=False)


def figures(result: Run) -> tuple[object, ...]:
    return result.metrics, result.series, result.latencies


def assert_the_same(quick: Run, slow: Run) -> None:
    assert quick.metrics == slow.metrics
    assert quick.series == slow.series
    assert quick.latencies == slow.latencies
    assert quick.node_totals == slow.node_totals
    assert quick.node_series == slow.node_series
    assert quick.second_latencies == slow.second_latencies
    for person in quick.people:
        assert quick.steps(person) == slow.steps(person)
