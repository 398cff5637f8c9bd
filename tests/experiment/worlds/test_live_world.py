"""The live world: a blocking call from any thread, on a scaled clock, which leaves nothing running."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from chatlab import compare, run
from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.live_world import run_live_together
from chatlab.sim.as_written.settings import SeedWebSocket
from chatlab.sim.capacity import QueueOverflow, ServerConfig
from chatlab.sim.faults import (
    AnyFault,
    Buffering,
    ConnectionReset,
    HalfOpen,
    IdleTimeout,
    Partition,
    ServerDown,
)
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    AnyTransport,
    LongPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from chatlab.transports.machine import Deliver

HELLO = ScriptEntry(at=2.1, person="ada", text="hello")


def scenario(*faults: AnyFault, **changes: object) -> Scenario:
    small = Scenario(duration=8.0, people=PeopleConfig(count=2, script=(HELLO,)), faults=faults)
    return small.replace(**changes)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("chatlab-live")}


def test_a_run_is_one_of_its_world_and_leaves_no_thread() -> None:
    result = run(scenario(), "live", time_scale=8.0)
    assert (result.world, result.time_scale, result.people) == ("live", 8.0, ["ada", "person-2"])
    assert (result.metrics["sent"], result.metrics["delivered"], result.metrics["lost"]) == (1, 2, 0)
    assert result.metrics["bytes_up"]
    assert result.metrics["requests"] == 2
    assert all(0 <= step.at < 8.0 for step in result.steps())
    assert [step.at for step in result.steps()] == sorted(step.at for step in result.steps())
    assert result.lateness is not None
    assert result.lateness >= 0.0
    assert threads() == set()


async def test_it_works_where_a_loop_is_running() -> None:
    assert asyncio.get_running_loop().is_running()
    result = run(scenario(), "live", time_scale=8.0)
    assert result.metrics["delivered"] == 2


def test_a_saved_run_keeps_its_time_scale(tmp_path: object) -> None:
    result = run(scenario(duration=1.0), "live", time_scale=8.0)
    path = f"{tmp_path}/run.jsonl"
    result.save(path)
    assert Run.load(path) == result


def test_several_run_at_once_each_with_its_own_server() -> None:
    both = [scenario(transport=WebSocketSettings()), scenario(transport=SSESettings(), seed=2)]
    runs = run_live_together(both, sample=1, time_scale=8.0)
    assert [result.scenario for result in runs] == both
    assert [result.metrics["delivered"] for result in runs] == [2, 2]
    assert [result.people for result in runs] == [["ada"], ["ada"]]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan"), 1e308])
def test_a_time_scale_is_a_positive_number(scale: float) -> None:
    with pytest.raises(SettingsError, match="time_scale: give a number above 0"):
        run(scenario(), "live", time_scale=scale)


@pytest.mark.parametrize("world", ["wire", "live"])
def test_settings_without_a_real_transport_are_refused(world: str) -> None:
    with pytest.raises(SettingsError, match="runs in the model world only"):
        run(scenario(transport=SeedWebSocket()), world)
    with pytest.raises(SettingsError, match="the server speaks 'chatlab', got 'text'"):
        run(scenario(transport=WebSocketSettings(dialect="text")), world)
    assert threads() == set()


def test_a_proxy_buffers_only_streams_and_flushes_at_the_faults_end() -> None:
    played = scenario(Buffering(at=0.05, duration=4.0), transport=SSESettings())
    live = run(played, "live", time_scale=8.0)
    shown = [
        step.at for step in live.steps("person-2") for effect in step.effects if isinstance(effect, Deliver)
    ]
    assert len(shown) == 1
    assert shown[0] > 4.0
    assert compare(run(played), live), str(compare(run(played), live))


def test_a_fault_may_hit_only_some_people() -> None:
    live = run(scenario(ServerDown(at=3.1, duration=1.0, people=("ada",))), "live", time_scale=8.0)
    assert len(live.statuses("ada")) > len(live.statuses("person-2"))


FULL: list[tuple[QueueOverflow, bool, AnyTransport]] = [
    ("drop", False, WebSocketSettings(connect_timeout=4.0)),
    ("drop", True, SSESettings(connect_timeout=4.0)),
    ("refuse", False, WebSocketSettings()),
    ("503", False, WebSocketSettings()),
]
OPENING: dict[str, dict[str, Any]] = {
    "the handshake waits to be accepted": {
        "network": NetworkConfig(tls=True),
        "server": ServerConfig(accept_rate=1.1),
        "people": PeopleConfig(count=4),
    },
    "only accepted connections count": {
        "server": ServerConfig(accept_rate=2.0, max_connections=2),
        "people": PeopleConfig(count=3, arrive_over=0.3),
    },
    "a connection is reset before it is accepted": {
        "network": NetworkConfig(latency=0.3),
        "server": ServerConfig(accept_rate=0.4),
        "people": PeopleConfig(count=3),
        "faults": (ConnectionReset(at=1.17),),
    },
    "a connection is reset before its request is read": {
        "duration": 16.0,
        "server": ServerConfig(accept_rate=0.7),
        "people": PeopleConfig(
            count=2,
            script=tuple(ScriptEntry(at=at, person="ada", text=f"at {at}") for at in (3.1, 10.3)),
        ),
        "transport": LongPollingSettings(),
        "faults": (ConnectionReset(at=10.93),),
    },
    "a connection is reset in its handshake": {
        "network": NetworkConfig(latency=0.7, tls=True),
        "faults": (ConnectionReset(at=0.53), ConnectionReset(at=3.17)),
    },
    "the server dies with a full queue": {
        "network": NetworkConfig(tls=True),
        "server": ServerConfig(accept_rate=0.7),
        "people": PeopleConfig(count=4),
        "faults": (ServerDown(at=2.53, duration=1.1),),
    },
    "a proxy cuts what is idle, but knows nothing of a lost SYN": {
        "network": NetworkConfig(latency=0.3),
        "server": ServerConfig(accept_rate=0.4),
        "people": PeopleConfig(count=3),
        "faults": (
            IdleTimeout(at=0.07, duration=6.0, timeout=1.0),
            HalfOpen(at=0.13, duration=0.9, direction="up"),
        ),
    },
    "a partition loses SYNs and messages": {
        "duration": 24.0,
        "people": PeopleConfig(
            count=2,
            script=tuple(
                ScriptEntry(at=at, person="ada", text=f"at {at}") for at in (5.1, 8.1, 8.7, 9.9, 15.3)
            ),
        ),
        "faults": (Partition(at=0.01, duration=1.5), Partition(at=8.03, duration=2.3)),
    },
    "a client gives up before its SYN arrives": {
        "transport": WebSocketSettings(connect_timeout=1.3),
        "faults": (HalfOpen(at=0.0, duration=1.7),),
    },
    "a front end dies with a connection in the queue": {
        "server": ServerConfig(accept_rate=0.5),
        "faults": (ServerDown(at=0.53, duration=0.5, people=("ada",)),),
    },
    "a client gives up in the queue": {
        "server": ServerConfig(accept_rate=0.4, presence=True),
        "people": PeopleConfig(count=3),
        "transport": WebSocketSettings(connect_timeout=1.3),
    },
    **{
        f"a full queue, {overflow}{', TLS' if tls else ''}": {
            "duration": 20.0,
            "network": NetworkConfig(tls=tls),
            "server": ServerConfig(accept_rate=0.4, backlog=1, overflow=overflow),
            "people": PeopleConfig(count=5, arrive_over=1.9),
            "transport": transport,
            "faults": (ServerDown(at=6.31, duration=2.2), Partition(at=9.17, duration=1.1)),
        }
        for overflow, tls, transport in FULL
    },
    "a client gives up in its handshake": {
        "network": NetworkConfig(latency=0.3, tls=True),
        "server": ServerConfig(accept_rate=0.4, presence=True),
        "people": PeopleConfig(count=3),
        "transport": WebSocketSettings(connect_timeout=1.3),
    },
}


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", OPENING)
def test_connections_open_as_on_the_wire(case: str) -> None:
    played = scenario(**OPENING[case])
    live = run(played, "live", time_scale=200.0)
    compared = compare(run(played, "wire"), live)
    assert compared, str(compared)
    assert compared.steps >= 6
    for name in ("sent", "delivered", "attempts", "requests"):
        assert live.metrics[name] == run(played, "wire").metrics[name]
