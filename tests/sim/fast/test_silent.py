"""Silent clients change nothing: each scenario is run with and without them, and gives the same figures."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.messages import ConnectionStatus, DeliveryState
from chatlab.settings import HeartbeatConfig, HeartbeatMode, ReconnectConfig, Verdict, WebSocketConfig
from chatlab.sim.capacity import QueueOverflow, ServerConfig
from chatlab.sim.driver import Driver
from chatlab.sim.fast import FastModel
from chatlab.sim.fast.heartbeats.driver import ForwardingDriver
from chatlab.sim.fast.silent.client import SilentClient
from chatlab.sim.faults import (
    AnyFault,
    ConnectionReset,
    Flapping,
    HalfOpen,
    HighLatency,
    HttpError,
    IdleTimeout,
    NoPong,
    Partition,
    ServerDown,
    ServerRestart,
    SlowServer,
    Suspended,
    Throttled,
)
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.model import Model, config_of, find_model
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import SSESettings
from tests.sim.fast.crowds import FAULTS, HEARTBEATS, NETWORKS, assert_the_same, crowd, figures, step_by_step
from tests.sizes import examples, rows, steps

CALM = HEARTBEATS["none"]
MODES: tuple[HeartbeatMode | None, ...] = None, "server"
SLOW = ServerConfig(accept_rate=1.0, overflow="refuse")
NARROW = ServerConfig(accept_rate=20.0, backlog=10, overflow="refuse")
DROPPING = ServerConfig(accept_rate=20.0, backlog=10)


def silent(*faults: AnyFault, **more: Any) -> Scenario:
    return crowd(faults, **({"rate": 0.0} | more))


def without(scenario: Scenario, sample: int = 0) -> Run:
    """Run a scenario in which everybody has a machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chatlab.sim.fast.model.can_be_silent", lambda *_: False)
        return run(scenario, sample=sample)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts silent clients, and how many were promoted in which phase."""
    counts: Counter[str] = Counter()
    make, promote = SilentClient.__init__, SilentClient._promote

    def counting_make(self: SilentClient, *arguments: Any, **named: Any) -> None:
        counts["silent"] += 1
        make(self, *arguments, **named)

    def counting_promote(self: SilentClient) -> Driver:
        counts[self._phase] += 1
        return promote(self)

    monkeypatch.setattr(SilentClient, "__init__", counting_make)
    monkeypatch.setattr(SilentClient, "_promote", counting_promote)
    return counts


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize("heartbeat", HEARTBEATS)
@pytest.mark.parametrize("network", rows(NETWORKS, next(iter(NETWORKS))))
@pytest.mark.parametrize("fault", FAULTS)
def test_they_change_nothing(fault: str, network: str, heartbeat: str) -> None:
    scenario = silent(*FAULTS[fault], network=NETWORKS[network], heartbeat=HEARTBEATS[heartbeat])
    slow = step_by_step(scenario, 12)
    assert_the_same(run(scenario, sample=4), slow)
    assert_the_same(run(scenario, sample=0), slow)


@pytest.mark.sampled(4)
@pytest.mark.slow
@pytest.mark.parametrize("overflow", ["drop", "refuse", "503"])
@pytest.mark.parametrize("network", rows(["constant", "log-normal", "jitter"], "constant", "jitter"))
@pytest.mark.parametrize(
    "faults",
    [
        (ConnectionReset(at=10.31),),
        (ServerDown(at=10.31, duration=4.2), ConnectionReset(at=30.0, share=0.3)),
        (ServerRestart(at=10.31, duration=2.2),),
        (Flapping(at=10.31, duration=20.0, period=3.1, down=1.9),),
        (Flapping(at=10.31, duration=5.0, period=0.05, down=0.02),),
    ],
    ids=["reset", "down", "restart", "flapping", "flapping fast"],
)
def test_a_herd_at_a_slow_accept_queue_is_the_same(
    faults: tuple[AnyFault, ...], network: str, overflow: QueueOverflow
) -> None:
    reconnect = ReconnectConfig(jitter="full", max_attempts=None, max_delay=5.0)
    scenario = silent(
        *faults,
        network=NETWORKS[network],
        heartbeat=CALM,
        server=NARROW.replace(overflow=overflow),
        count=150,
        arrive_over=8.0,
        reconnect=reconnect,
    )
    quick = run(scenario, sample=0)
    assert (quick.metrics["attempts"] or 0) > (1.9 if overflow == "drop" else 2.5) * 150
    slow = without(scenario, 20)
    assert_the_same(quick, slow)
    assert_the_same(run(scenario, sample=20), slow)


@pytest.mark.slow
@pytest.mark.sampled(5)
@pytest.mark.parametrize("connect_timeout", [1.3, 3.0, 10.0])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("backlog", [1, 3, 20])
def test_a_herd_that_a_dropping_queue_ignores_is_the_same(
    backlog: int, tls: bool, connect_timeout: float
) -> None:
    """SYNs are sent again, or time out; ACKs find the queue full; handshakes are kept, or not."""
    scenario = silent(
        ServerDown(at=12.0, duration=3.0),
        ConnectionReset(at=24.0),
        network=NetworkConfig(latency=LogNormal(median=0.1, p99=0.6), tls=tls),
        heartbeat=CALM,
        server=ServerConfig(accept_rate=6.0, backlog=backlog),
        count=60,
        duration=45.0,
        connect_timeout=connect_timeout,
        reconnect=ReconnectConfig(jitter="full", max_attempts=None, max_delay=4.0),
    )
    slow = step_by_step(scenario, 12)
    assert_the_same(run(scenario, sample=0), slow)
    assert_the_same(run(scenario, sample=9), slow)


@pytest.mark.parametrize("verdict", ["stop", "give up"])
def test_people_whose_last_attempt_times_out_are_the_same(verdict: Verdict) -> None:
    scenario = silent(
        heartbeat=CALM,
        server=ServerConfig(accept_rate=1.0, backlog=2),
        network=NETWORKS["constant"],
        connect_timeout=2.5,
        count=30,
        failures={"timeout": verdict},
    )
    quick = run(scenario, sample=0)
    assert (quick.metrics["never_connected"] or 0) > 5
    assert_the_same(quick, step_by_step(scenario, 0))


@pytest.mark.sampled(2)
@pytest.mark.sized
@pytest.mark.slow
@pytest.mark.parametrize("latency", [0.3, LogNormal(median=0.3, p99=1.0)], ids=["constant", "log-normal"])
@pytest.mark.parametrize("tls", [False, True])
def test_a_run_may_end_at_any_moment_of_a_handshake(tls: bool, latency: float | LogNormal) -> None:
    for hundredths in range(3000, 3240, steps(8)):
        scenario = silent(
            ConnectionReset(at=28.0),
            network=NetworkConfig(latency=latency, tls=tls),
            heartbeat=CALM,
            server=ServerConfig(accept_rate=4.0, backlog=3),
            duration=hundredths / 100,
        )
        assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.slow
@pytest.mark.parametrize("overflow", ["drop", "503"])
def test_syns_at_the_same_instant_are_the_same(overflow: QueueOverflow) -> None:
    for more in (
        {"arrive_over": 0.0},
        {"reconnect": ReconnectConfig(jitter="none", max_delay=6.0)},
        {"reconnect": ReconnectConfig(jitter="decorrelated", base_delay=3.0, max_delay=3.0)},
    ):
        settings = {"heartbeat": CALM, "count": 40, "arrive_over": 3.0} | more
        scenario = silent(
            ServerDown(at=20.0, duration=3.0),
            ServerDown(at=31.0, duration=1.0),
            network=NETWORKS["constant"],
            server=DROPPING.replace(overflow=overflow),
            **settings,
        )
        assert_the_same(run(scenario, sample=5), step_by_step(scenario, 12))


def test_clients_that_are_promoted_before_the_run_leave_the_server_in_time() -> None:
    scenario = silent(network=NETWORKS["heavy tail"], count=40, server=DROPPING)
    scenario = scenario.replace(people=PeopleConfig(count=40, rooms=2, start="connected"))
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 12))


@pytest.mark.parametrize(
    "more",
    [
        *(
            {"reconnect": ReconnectConfig(jitter=jitter, max_delay=6.0)}
            for jitter in ("none", "decorrelated")
        ),
        {"reconnect": ReconnectConfig(jitter="full", max_attempts=1)},
        {"reconnect": ReconnectConfig(jitter="full", enabled=False)},
        {"reconnect": ReconnectConfig(jitter="full", stable_after=60.0)},
        {"failures": {"refused": "give up"}},
        {"failures": {"refused": "stop", "close 1012": "stop"}},
        {"failures": {"close 1012": "give up"}},
        {"server": ServerConfig(keep_history=False)},
        {"history": 7},
        {"network": NetworkConfig(latency=LogNormal(median=0.2, p99=3.0)), "connect_timeout": 0.9},
        {
            "network": NetworkConfig(latency=0.3, tls=True),
            "server": SLOW,
        },
        {"heartbeat": HeartbeatConfig(interval=0.5, timeout=0.3)},
        {"arrive_over": 0.0},
        {"rooms": 12},
        {"server": ServerConfig(ping_interval=7.3, ping_timeout=2.1)},
    ],
    ids=str,
)
def test_they_are_the_same_with_other_settings(more: dict[str, Any]) -> None:
    scenario = silent(
        ServerRestart(at=10.31, duration=3.2),
        ConnectionReset(at=30.0),
        ServerDown(at=40.0, duration=5.0),
        **more,
    )
    slow = step_by_step(scenario, 12)
    assert_the_same(run(scenario, sample=0), slow)
    assert_the_same(run(scenario, sample=5), slow)


BEGINS, LASTS = st.floats(0.1, 50.0), st.floats(0.05, 20.0)
DIRECTIONS = st.sampled_from(["up", "down", "both"])
SHARES = st.sampled_from([1.0, 1.0, 0.5])
TROUBLES = st.one_of(
    st.builds(ConnectionReset, at=BEGINS, share=SHARES),
    st.builds(ServerDown, at=BEGINS, duration=LASTS, share=SHARES),
    st.builds(ServerRestart, at=BEGINS, duration=LASTS, share=SHARES),
    st.builds(Flapping, at=BEGINS, duration=LASTS, period=st.floats(0.3, 5.0), down=st.floats(0.05, 0.25)),
    st.builds(HalfOpen, at=BEGINS, duration=st.floats(0.0, 5.0), share=SHARES, direction=DIRECTIONS),
    st.builds(HighLatency, at=BEGINS, duration=LASTS, latency=st.floats(0.1, 2.0), share=SHARES),
    st.builds(IdleTimeout, at=BEGINS, duration=LASTS, timeout=st.floats(1.0, 8.0).map(lambda s: s + 0.0037)),
    st.builds(HttpError, at=BEGINS, duration=LASTS, retry_after=st.sampled_from([None, 2.0])),
    st.builds(NoPong, at=BEGINS, duration=LASTS, share=SHARES),
    st.builds(Partition, at=BEGINS, duration=LASTS, share=SHARES),
)
CROWDS = st.builds(
    silent,
    network=st.builds(
        NetworkConfig,
        latency=st.sampled_from(
            [LogNormal(median=0.05, p99=0.3), LogNormal(median=0.2, p99=3.0), LogNormal(median=0.5, p99=1.2)]
        ),
        jitter=st.sampled_from([0.0, 0.2]),
        tls=st.booleans(),
    ),
    heartbeat=st.sampled_from([*HEARTBEATS.values(), HeartbeatConfig(interval=13.0, timeout=4.0)]),
    seed=st.integers(0, 1000),
    server=st.builds(
        ServerConfig,
        accept_rate=st.sampled_from([None, 1.0, 5.0]),
        backlog=st.sampled_from([1, 3, 1000]),
        overflow=st.sampled_from(["refuse", "drop", "drop", "503"]),
        keep_history=st.booleans(),
    ),
    reconnect=st.builds(
        ReconnectConfig,
        jitter=st.sampled_from(["full", "equal", "decorrelated", "seed"]),
        max_delay=st.sampled_from([3.0, 20.0]),
        max_attempts=st.sampled_from([1, 3, None]),
    ),
    connect_timeout=st.sampled_from([1.5, 4.0]),
)


@pytest.mark.slow
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenario=CROWDS, faults=st.lists(TROUBLES, max_size=5))
def test_they_change_nothing_in_random_runs(scenario: Scenario, faults: list[AnyFault]) -> None:
    scenario = scenario.replace(faults=tuple(faults))
    slow = step_by_step(scenario, 12)
    assert_the_same(run(scenario, sample=0), slow)
    assert_the_same(run(scenario, sample=5), slow)


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize("seed", rows(range(6), 0, 1))
@pytest.mark.parametrize("reset_at", [20.0, 20.1, 20.4, 21.0])
def test_a_reset_and_a_server_close_that_cross_are_the_same(reset_at: float, seed: int) -> None:
    """Packets that the server sends before it hears of a reset draw the person's random numbers."""
    slow = NetworkConfig(latency=LogNormal(median=0.4, p99=2.0))
    reset, restart, silence = (
        ConnectionReset(at=reset_at),
        ServerRestart(at=20.5, duration=0.3),
        HalfOpen(at=20.9, share=0.5),
    )
    later, down = ServerRestart(at=21.3, duration=0.3), ServerDown(at=20.3, duration=0.3)
    mute = NoPong(at=20.45, duration=1.0, share=0.5)
    for faults in (
        (reset, restart, silence),
        (reset, silence),
        (reset, silence, later),
        (reset, down),
        (reset, mute, restart),
    ):
        scenario = silent(*faults, network=slow, heartbeat=CALM, seed=seed, count=40)
        assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.parametrize("seed", rows(range(6), 0, 1))
def test_attempts_that_are_given_up_before_they_arrive_are_the_same(seed: int) -> None:
    slow = NetworkConfig(latency=LogNormal(median=0.2, p99=3.0))
    faults = ServerDown(at=10.0, duration=8.0), ServerDown(at=30.0, duration=8.0)
    scenario = silent(*faults, network=slow, heartbeat=CALM, seed=seed, connect_timeout=0.7)
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.parametrize("seed", rows(range(4), 0))
@pytest.mark.parametrize(
    "end", [ConnectionReset, partial(ServerDown, duration=0.2), partial(ServerRestart, duration=0.2)]
)
@pytest.mark.parametrize("mode", MODES)
def test_ends_among_heartbeats_are_the_same(
    mode: HeartbeatMode | None, end: Callable[..., AnyFault], seed: int
) -> None:
    slow = NetworkConfig(latency=LogNormal(median=0.4, p99=0.9))
    scenario = silent(
        *(end(at=5.3 + 7.3 * number) for number in range(13)),
        network=slow,
        heartbeat=HeartbeatConfig(interval=5.0, timeout=2.9, mode=mode),
        seed=seed,
        arrive_over=5.0,
        duration=95.0,
        reconnect=ReconnectConfig(jitter="full", base_delay=4.0, max_delay=6.0),
    )
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", rows(range(6), 0, 1))
@pytest.mark.parametrize("end", [ConnectionReset, partial(ServerRestart, duration=0.2)])
@pytest.mark.parametrize("interval", [0.1, 2.6])
def test_ends_that_arrive_late_at_a_client_that_waits_for_pings_are_the_same(
    interval: float, end: Callable[..., AnyFault], seed: int
) -> None:
    """A greeting may come after the server's first ping, and a close after the client's time-out."""
    slow = NetworkConfig(latency=LogNormal(median=0.1, p99=3.0))
    scenario = silent(
        *(end(at=5.3 + 7.3 * number) for number in range(7)),
        network=slow,
        heartbeat=HeartbeatConfig(interval=interval, timeout=0.05 if interval < 1 else 0.5, mode="server"),
        seed=seed,
        count=40,
    )
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.sampled(2)
@pytest.mark.sized
@pytest.mark.slow
@pytest.mark.parametrize("latency", [1.0, LogNormal(median=0.9, p99=2.5)], ids=["constant", "log-normal"])
@pytest.mark.parametrize("mode", MODES)
def test_a_run_may_end_at_any_moment(mode: HeartbeatMode | None, latency: float | LogNormal) -> None:
    network = NetworkConfig(latency=latency)
    heartbeat = HeartbeatConfig(interval=13.0, timeout=8.0, mode=mode)
    for tenths in range(520, 650, steps(3)):
        scenario = silent(
            ConnectionReset(at=50.0), network=network, heartbeat=heartbeat, duration=tenths / 10
        )
        assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.parametrize("arrive_over", [0.0, 3.0])
@pytest.mark.parametrize(
    "fault",
    [
        HalfOpen(at=0.0),
        Partition(at=0.0, duration=1e-9),
        ServerDown(at=0.0, duration=1e-9, share=0.999),
        HttpError(at=0.0, duration=1e-300),
        ConnectionReset(at=0.0),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_fault_at_the_very_beginning_is_the_same(fault: AnyFault, arrive_over: float) -> None:
    scenario = silent(fault, arrive_over=arrive_over)
    assert figures(run(scenario, sample=0)) == figures(without(scenario))


# Who is a silent client, and for how long


@pytest.mark.parametrize("server", [NARROW, DROPPING.replace(backlog=300)], ids=["refused", "queued"])
def test_in_a_herd_nobody_is_promoted(server: ServerConfig, seen: Counter[str]) -> None:
    result = run(
        silent(
            ConnectionReset(at=20.0),
            heartbeat=CALM,
            server=server,
            count=300,
            arrive_over=15.0,
            connect_timeout=20.0,
        ),
        sample=7,
    )
    assert seen == {"silent": 293}
    assert result.metrics["unrecovered"] == 0


def test_a_client_is_promoted_only_if_its_ack_is_ignored(seen: Counter[str]) -> None:
    scenario = silent(heartbeat=CALM, server=DROPPING, count=300, network=NetworkConfig(latency=0.001))
    result = run(scenario, sample=0)
    assert (result.metrics["attempts"] or 0) > 2 * 300  # Most time out, as each SYN is ignored.
    assert seen["silent"] == 300
    assert 0 < seen["trying"] < 60
    assert seen.total() == 300 + seen["trying"]


def test_a_client_whose_handshake_takes_a_second_is_promoted(seen: Counter[str]) -> None:
    scenario = silent(heartbeat=CALM, server=DROPPING, network=NetworkConfig(latency=0.6))
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 12))
    assert seen == {"silent": 12, "trying": 12}


def test_a_client_that_a_proxy_answers_with_503_is_promoted(seen: Counter[str]) -> None:
    run(silent(heartbeat=CALM, server=DROPPING.replace(overflow="503"), count=150), sample=0)
    assert seen["silent"] == 150
    assert 10 < seen["trying"] < 150


@pytest.mark.parametrize(("mode", "payload"), [(None, '{"type":"ping","id":1}'), ("server", "ping")])
def test_in_a_day_without_faults_nobody_is_promoted(
    mode: HeartbeatMode | None, payload: str, seen: Counter[str]
) -> None:
    heartbeat = HeartbeatConfig(interval=5.0, timeout=2.5, mode=mode)
    scenario = silent(duration=3600.0, count=50, heartbeat=heartbeat)
    result = run(scenario, sample=0)
    assert seen == {"silent": 50}
    beats = 50 * 3590 / 5
    assert (result.metrics["bytes_up"] or 0) > beats * len(payload)
    assert figures(result) == figures(without(scenario))


def test_a_client_whose_pongs_may_come_too_late_is_promoted(seen: Counter[str]) -> None:
    run(silent(network=NETWORKS["heavy tail"], count=50), sample=0)
    assert 40 < seen["online"] < seen["silent"] == 50


def test_a_client_that_a_fault_hits_is_promoted(seen: Counter[str]) -> None:
    run(silent(HalfOpen(at=20.0, people=("person-3", "person-9")), heartbeat=CALM), sample=0)
    assert seen == {"silent": 12, "online": 2}


def test_a_client_that_waits_when_a_fault_hits_is_promoted(seen: Counter[str]) -> None:
    reconnect = ReconnectConfig(base_delay=30.0, jitter="none", max_attempts=1)
    scenario = silent(
        ConnectionReset(at=20.0, share=0.5),
        HighLatency(at=25.0, duration=1.0, latency=0.1),
        HttpError(at=58.0, duration=1.0),
        heartbeat=CALM,
        reconnect=reconnect,
    )
    run(scenario, sample=0)
    assert (seen["online"] + seen["waiting"], seen["silent"]) == (12, 12)
    assert seen["waiting"] > 0


def test_a_client_that_waits_too_long_in_the_accept_queue_is_promoted(seen: Counter[str]) -> None:
    scenario = silent(heartbeat=CALM, server=SLOW, connect_timeout=3.0)
    transport = scenario.transport.config()
    assert isinstance(transport, WebSocketConfig)
    model = FastModel(
        1, transport, scenario.people, scenario.network, scenario.server, (), ColumnRecorder(), 0
    )
    model.run(3.0)
    statuses = [
        person.promoted.machine.status for person in model.everybody if isinstance(person, SilentClient)
    ]
    assert 0 < seen["trying"] < 12
    assert statuses.count(ConnectionStatus.CONNECTING) == seen["trying"] + seen["away"]


@pytest.mark.parametrize(
    "scenario",
    [
        crowd(rate=0.1),
        silent(script=(ScriptEntry(at=9.0, person="ada", text="hi"),)),
        silent(server=ServerConfig(presence=True)),
        silent(server=ServerConfig(service_time=0.01)),
        silent(server=ServerConfig(max_connections=5)),
        silent(server=ServerConfig(ping_interval=20.0)),
        silent(network=NetworkConfig(bandwidth=1e4)),
        silent(SlowServer(at=9.0, duration=2.0)),
        silent(server=DROPPING, network=NETWORKS["constant"], arrive_over=0.0),
        silent(server=DROPPING, network=NETWORKS["constant"], reconnect=ReconnectConfig(jitter="none")),
        silent(Suspended(at=9.0, duration=2.0), server=DROPPING, network=NETWORKS["constant"]),
        silent().replace(transport=SSESettings()),
    ],
    ids=[
        "they write",
        "one writes",
        "presence",
        "busy",
        "full",
        "server pings",
        "bandwidth",
        "slow",
        "all at once",
        "again at once",
        "awake at once",
        "streams",
    ],
)
def test_no_client_is_silent_if_more_than_connecting_is_modelled(
    scenario: Scenario, seen: Counter[str]
) -> None:
    run(scenario, sample=0)
    assert seen == {}


@pytest.mark.parametrize("name", ["ada", "Zoë & co", "person-7"])
def test_recorded_and_scripted_people_are_not_silent(name: str, seen: Counter[str]) -> None:
    script = (ScriptEntry(at=9.0, person=name, action="disconnect"),)
    scenario = silent(ServerDown(at=20.0, duration=3.0), script=script)
    result = run(scenario, sample=3)
    assert seen["silent"] == 12 - 3 - (name == "person-7")  # The others' place is the first.
    assert_the_same(result, step_by_step(scenario, 3))
    late = silent(script=(ScriptEntry(at=9.0, person="person-9", action="connect"),))
    seen.clear()
    run(late, sample=3)
    assert seen["silent"] == 12 - 3 - 1


def test_only_the_fast_model_has_silent_clients() -> None:
    def people(model: type[Model]) -> list[type]:
        config = WebSocketConfig(url="ws://127.0.0.1:8000/ws")
        made = model(
            0, config, PeopleConfig(count=3), NetworkConfig(), ServerConfig(), (), ColumnRecorder(), 1
        )
        return [type(person) for person in made.everybody]

    assert people(Model) == [Driver] * 3
    assert people(FastModel) == [ForwardingDriver, SilentClient, SilentClient]
    assert (find_model(fast=True), find_model(fast=False)) == (FastModel, Model)


def test_a_silent_client_that_sends_is_promoted() -> None:
    config, recorder = WebSocketConfig(url="ws://127.0.0.1:8000/ws"), ColumnRecorder()
    model = FastModel(0, config, PeopleConfig(count=3), NetworkConfig(), ServerConfig(), (), recorder, 0)
    model.run(10.0)
    writer, leaver, _ = (person for person in model.everybody if isinstance(person, SilentClient))
    writer.promoted.submit("hello")
    leaver.promoted.disconnect()
    model.run(10.0)
    assert recorder.states.tolist() == [list(DeliveryState).index(DeliveryState.ACKED)]
    assert [person.complete_until == float("inf") for person in model.everybody] == [True, False, True]
    _, statuses, _ = recorder.changes
    assert list(ConnectionStatus).index(ConnectionStatus.DISCONNECTED) in statuses
    model.close()


LOSSES = (HalfOpen(at=20.0, share=0.5), ServerDown(at=30.0, duration=60.0))


@pytest.mark.slow
@pytest.mark.parametrize("faults", rows([(), LOSSES], LOSSES), ids=["calm", "faults"])
def test_a_run_leaves_none_behind(faults: tuple[AnyFault, ...]) -> None:
    run(silent(*faults), sample=0)
    gc.collect()
    gc.disable()
    try:
        run(silent(*faults), sample=0)
        assert not [thing for thing in gc.get_objects() if isinstance(thing, SilentClient | Driver)]
    finally:
        gc.enable()


# A run that is watched


def test_a_run_that_is_watched_is_the_same() -> None:
    scenario = silent(ServerDown(at=20.31, duration=6.2))
    times: list[float] = []
    watched = run(scenario, sample=0, watch=times.append)
    assert times == [glance * 60.3 / 1000 for glance in range(1, 1000)] + [60.3]
    assert figures(watched) == figures(run(scenario, sample=0))


def test_a_progress_callback_may_end_the_run() -> None:
    times: list[float] = []

    def watch(now: float) -> None:
        times.append(now)
        if now > 30.0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(silent(), sample=0, watch=watch)
    assert 30.0 < times[-1] < 30.1


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [(300.0,), (47.3, 52.7, 200.0), (1.0, 299.0)], ids=str)
def test_a_run_in_pieces_is_the_same(pieces: tuple[float, ...]) -> None:
    """Heartbeats that are certain until after a piece's end are looked at again in a later one."""
    scenario = silent(
        network=NetworkConfig(latency=LogNormal(median=0.05, p99=0.4)),
        heartbeat=HeartbeatConfig(interval=3.3, timeout=1.2),
        count=120,
    )
    found = []
    for fast in (True, False):
        recorder = ColumnRecorder()
        model = find_model(fast=fast)(
            scenario.seed,
            config_of(scenario.transport),
            scenario.people,
            scenario.network,
            scenario.server,
            scenario.faults,
            recorder,
            0,
        )
        for seconds in pieces:
            model.run(seconds)
        found.append((model.bytes_up, model.bytes_down, model.requests, sorted(recorder.attempted_at)))
        model.close()
    assert found[0] == found[1]
    assert len(found[0][3]) > 120, "some pongs come too late"


# The order of packets at the same instant


def counted_runs(monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> tuple[Run, list[bool]]:
    """Return a run, and whether each model that it took had short cuts."""
    kinds: list[bool] = []
    init = Model.__init__

    def counting_init(self: Model, *arguments: Any) -> None:
        kinds.append(isinstance(self, FastModel))
        init(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Model, "__init__", counting_init)
        return run(scenario, sample=0), kinds


WATCHED_CROWD: dict[str, Any] = {
    "heartbeat": CALM,
    "network": NetworkConfig(),
    "count": 60,
    "reconnect": ReconnectConfig(max_delay=2.0),
}
WATCHED: dict[str, dict[str, Any]] = {
    "drop": {"server": DROPPING},
    "503": {"server": DROPPING.replace(overflow="503")},
    "refuse": {"server": NARROW},
    "server pings": {"server": DROPPING, "heartbeat": HEARTBEATS["server"]},
    "balancer": {"server": ServerConfig(nodes=3)},
}
FLAPPING = Flapping(at=10.0, duration=30.0, period=3.0, down=1.5)


@pytest.mark.parametrize("settings", WATCHED.values(), ids=list(WATCHED))
def test_people_with_the_default_network_and_jitter_are_silent(
    settings: dict[str, Any], seen: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delays are equal only at the cap, and nobody comes back from there at one instant."""
    faults = ServerDown(at=20.31, duration=4.2), ConnectionReset(at=33.0, share=0.4)
    scenario = silent(*faults, **WATCHED_CROWD | {"reconnect": ReconnectConfig()} | settings)
    quick, kinds = counted_runs(monkeypatch, scenario)
    assert kinds == [True]
    assert seen["silent"] == 60
    assert_the_same(quick, step_by_step(scenario))


@pytest.mark.parametrize("settings", WATCHED.values(), ids=list(WATCHED))
def test_a_run_is_repeated_without_short_cuts_if_packets_meet_at_one_instant(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All lose their connections at once, some of them again and again, and wait for the longest delay."""
    scenario = silent(FLAPPING, **WATCHED_CROWD | settings)
    quick, kinds = counted_runs(monkeypatch, scenario)
    assert kinds == [True, False]
    assert_the_same(quick, step_by_step(scenario))


def test_the_progress_of_a_repeated_run_never_goes_back() -> None:
    reached: list[float] = []
    run(silent(FLAPPING, server=DROPPING, **WATCHED_CROWD), sample=0, watch=reached.append)
    assert len(reached) > 1000
    assert reached == sorted(reached)
    assert reached[-1] == 60.3


def test_heartbeats_are_simulated_if_their_order_at_one_instant_may_matter() -> None:
    """All timers fire at once in a throttled tab."""
    scenario = silent(
        NoPong(at=5.0, duration=3.0, share=0.5),
        HttpError(at=4.0, duration=3.82),
        Flapping(at=30.9, duration=2.65, period=0.5, down=0.2),
        Throttled(at=30.71, duration=10.13, period=3.3),
        network=NetworkConfig(latency=0.08, tls=True),
        heartbeat=HeartbeatConfig(interval=4.0, timeout=2.0, mode="ping"),
        server=ServerConfig(accept_rate=7.0, backlog=5, overflow="503"),
        reconnect=ReconnectConfig(max_attempts=3, max_delay=3.0, stable_after=0.0),
        connect_timeout=1.5,
        count=25,
        arrive_over=0.0,
        duration=43.8,
        seed=9027,
    )
    assert_the_same(run(scenario, sample=0), step_by_step(scenario))
