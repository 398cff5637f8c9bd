"""People who are connected when the run starts."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.messages import ConnectionStatus
from chatlab.plots import plot_run, plot_sequence
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.capacity import Need, ServerConfig
from chatlab.sim.faults import ConnectionReset, HalfOpen, ServerDown, ServerRestart
from chatlab.sim.groups import Group
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    AnyTransport,
    FallbackSettings,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from chatlab.transports.machine import Tick
from tests.sizes import rows

FULL = ReconnectConfig(jitter="full", max_delay=6.0)
TRANSPORTS: dict[str, AnyTransport] = {
    "websocket": WebSocketSettings(reconnect=FULL, heartbeat=HeartbeatConfig(interval=7.0, timeout=3.0)),
    "sse": SSESettings(reconnect=FULL),
    "long_polling": LongPollingSettings(reconnect=FULL),
    "short_polling": ShortPollingSettings(reconnect=FULL),
    "fallback": FallbackSettings(),
}
SLOW = ServerConfig(
    accept_rate=2.0,
    backlog=2,
    service_time=0.01,
    needs=(Need(name="token", rate=1.0, timeout=1.0),),
)


def connected(transport: str = "websocket", *, count: int = 8, rate: float = 0.0, **more: Any) -> Scenario:
    people = PeopleConfig(count=count, send_rate=rate, start="connected", rooms=2)
    settings: dict[str, Any] = {"duration": 30.0, "seed": 3, "people": people}
    return Scenario(**(settings | {"transport": TRANSPORTS[transport]} | more))


@pytest.mark.parametrize("world", ["model", "wire"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_everybody_is_connected_from_0_on(transport: str, world: str) -> None:
    """Also at a server that would need minutes to let them in; and nothing before 0 is counted."""
    result = run(connected(transport, server=SLOW), world)
    assert result.metrics["attempts"] == 0
    assert result.metrics["time_connected"] == 8 * 30.0
    assert result.metrics["queue_max"] == 0
    assert result.series["connected"] == [8] * 30
    assert result.series["attempts"] == [0] * 30
    assert sum(result.series["requests"]) == result.metrics["requests"]
    assert len(result.series["requests"]) == 30
    for person in result.people:
        (span,) = result.statuses(person)
        assert (span.status, span.start, span.end, span.attempts) == (ConnectionStatus.CONNECTED, 0, 30, ())


def test_bytes_and_requests_count_from_0_on() -> None:
    quiet = connected(transport="websocket").replace(
        transport=WebSocketSettings(heartbeat=HeartbeatConfig(enabled=False))
    )
    result = run(quiet)
    assert (result.metrics["requests"], result.metrics["bytes_up"], result.metrics["bytes_down"]) == (0, 0, 0)
    polling = run(connected("short_polling"))
    assert polling.metrics["requests"] == pytest.approx(8 * 30 / 3, abs=8)


def test_heartbeats_have_spread_phases() -> None:
    result = run(connected("websocket", count=50))
    pings = [step.at for step in result.trace if type(step.event) is Tick and 0 <= step.at < 7]
    assert len(pings) == 50
    assert {int(at) for at in pings} == set(range(7))


def test_recorded_steps_keep_their_times() -> None:
    result = run(connected())
    first = min(step.at for step in result.trace)
    assert -90 < first < -30
    assert max(step.at for step in result.trace if type(step.event).__name__ == "Opened") < -29
    plot_run(result)
    with pytest.raises(SettingsError, match="nothing happened to 'person-1' from 0 to 1 s"):
        plot_sequence(result, "person-1", end=1.0)


FAULTS: dict[str, tuple[Any, ...]] = {
    "calm": (),
    "at once": (ConnectionReset(at=0.0), ServerRestart(at=11.0, duration=2.0)),
    "down": (ServerDown(at=3.31, duration=6.2),),
    "half-open": (HalfOpen(at=0.0, duration=3.0, share=0.5),),
}


def assert_the_same(quick: Run, slow: Run) -> None:
    assert quick.metrics == slow.metrics
    assert quick.series == slow.series
    assert quick.group_metrics == slow.group_metrics
    assert quick.trace == slow.trace


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 0.2], ids=["silent", "talking"])
@pytest.mark.parametrize("latency", [0.05, LogNormal(median=0.05, p99=0.5)], ids=["constant", "random"])
@pytest.mark.parametrize("faults", rows(FAULTS, "at once"))
def test_short_cuts_change_nothing(faults: str, latency: Any, rate: float) -> None:
    scenario = connected(
        count=20,
        rate=rate,
        faults=FAULTS[faults],
        network=NetworkConfig(latency=latency),
        server=ServerConfig(accept_rate=3.0, backlog=5, overflow="refuse"),
    )
    assert_the_same(run(scenario, sample=3), run(scenario, sample=3, fast=False))
    groups = (Group(name="a", share=0.4, network=NetworkConfig(latency=0.2, jitter=0.1)),)
    grouped = scenario.replace(people=scenario.people.replace(groups=groups))
    assert_the_same(run(grouped, sample=3), run(grouped, sample=3, fast=False))


def test_messages_are_sent_from_0_on() -> None:
    result = run(connected(rate=1.0))
    sent_at = [step.at for step in result.trace if type(step.event).__name__ == "Submit"]
    assert 0 <= min(sent_at) < 1
    assert result.metrics["lost"] == result.metrics["undelivered"] == 0
    assert result.metrics["delivered"] == pytest.approx(len(sent_at) * 4, abs=20)


def test_a_person_whose_script_connects_isnt_connected_before() -> None:
    script = (ScriptEntry(at=5.0, person="late", action="connect"),)
    people = PeopleConfig(count=3, start="connected", script=script)
    result = run(connected(people=people))
    assert result.statuses("late")[0].status == ConnectionStatus.DISCONNECTED
    assert result.metrics["attempts"] == 1
    assert result.series["connected"] == [2] * 5 + [3] * 25


def test_a_second_run_of_a_model_goes_on() -> None:
    """Only the first one begins before 0."""
    result = run(connected(duration=2.5))
    assert len(result.series["connected"]) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('people = { start = "connected", arrive_over = 3.0 }', r"^people\.arrive_over: people who are"),
        ('people = { start = "conected" }', r"^people\.start: choose one of .*did you mean 'connected'"),
    ],
)
def test_wrong_starts(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        Scenario.from_toml(text)


def test_real_sockets_connect_within_the_run() -> None:
    with pytest.raises(SettingsError, match=r"^people\.start: real sockets connect within the run"):
        run(connected(), "live")


def test_the_start_comes_back_from_a_file() -> None:
    assert Scenario.from_toml(connected().to_toml()) == connected()
