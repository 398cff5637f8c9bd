"""The fast-forward of heartbeats changes nothing: each scenario is run with and without it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig, HeartbeatMode, OutboxConfig, ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.fast.heartbeats.account import AnyAccount, Beats
from chatlab.sim.fast.heartbeats.client_pings import HeartbeatAccount
from chatlab.sim.fast.heartbeats.server_pings import KeepaliveAccount
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
)
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import ScriptEntry
from chatlab.sim.transport_settings import FallbackSettings, SSESettings, WebSocketSettings
from tests.sim.fast.crowds import (
    FAULTS,
    HEARTBEATS,
    NETWORKS,
    RECONNECT,
    SERVER,
    assert_the_same,
    crowd,
    figures,
    step_by_step,
)
from tests.sizes import examples, rows, steps

MODES: tuple[HeartbeatMode | None, ...] = None, "server"


@pytest.fixture(autouse=True)
def nobody_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give everybody a driver; `test_silent.py` tests silent clients."""
    monkeypatch.setattr("chatlab.sim.fast.model.can_be_silent", lambda *_: False)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts heartbeats that were not scheduled, but only counted."""
    counts: Counter[str] = Counter()
    kinds: tuple[type[AnyAccount], ...] = HeartbeatAccount, KeepaliveAccount
    for kind in kinds:
        sizes = kind.sizes

        def counting_sizes(
            self: AnyAccount, beats: Beats, count: int, sizes: Callable[..., tuple[int, int]] = sizes
        ) -> tuple[int, int]:
            counts["beats"] += count
            return sizes(self, beats, count)

        monkeypatch.setattr(kind, "sizes", counting_sizes)
    return counts


@pytest.mark.sampled(5)
@pytest.mark.slow
@pytest.mark.parametrize("heartbeat", HEARTBEATS)
@pytest.mark.parametrize("network", rows(NETWORKS, next(iter(NETWORKS))))
@pytest.mark.parametrize("fault", FAULTS)
def test_it_changes_nothing(
    fault: str,
    network: str,
    heartbeat: str,
) -> None:
    scenario = crowd(FAULTS[fault], NETWORKS[network], HEARTBEATS[heartbeat])
    slow = step_by_step(scenario, 12)
    assert_the_same(run(scenario, sample=12), slow)  # Heartbeats of recorded people take place.
    assert_the_same(run(scenario, sample=4), slow)
    assert_the_same(run(scenario, sample=0), slow)


@pytest.mark.slow
@pytest.mark.parametrize("seed", rows(range(8), 0, 1))
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_it_changes_nothing_with_any_seed(
    rate: float,
    seed: int,
) -> None:
    faults = (ServerDown(at=20.31, duration=6.2, share=0.6), Partition(at=30.7, duration=5.0, share=0.5))
    scenario = crowd(
        faults, rate=rate, seed=seed, server=ServerConfig(accept_rate=1.5, backlog=3, presence=True)
    )
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [
        crowd(script=(ScriptEntry(at=9.3, person="ada", action="disconnect"),)),
        crowd(script=(ScriptEntry(at=25.0, person="person-3", text="hello"),), rate=0.0),
        crowd(FAULTS["server_down"], outbox=OutboxConfig(max_size=1, max_age=2.0), rate=1.0),
        crowd(server=ServerConfig(max_connections=8)),
        crowd(server=ServerConfig(service_time=0.02, service="exponential")),
        crowd(server=ServerConfig(rate=1.0, burst=2), rate=0.7),  # Too many frames: some are expelled.
        crowd(heartbeat=HEARTBEATS["json"], server=ServerConfig(rate=0.5, burst=1), rate=0.1),
        crowd(heartbeat=HEARTBEATS["ping"], server=ServerConfig(rate=0.5, burst=1), rate=0.1),
        crowd(heartbeat=HEARTBEATS["server"], server=ServerConfig(rate=0.5, burst=1), rate=0.1),
        crowd(FAULTS["server_down"], server=ServerConfig(keep_history=False)),
    ],
    ids=[
        "leaves",
        "says",
        "ages",
        "full",
        "busy",
        "expelled",
        "a ping too many",
        "a Ping frame too many",
        "a Pong frame too many",
        "forgets",
    ],
)
def test_it_changes_nothing_for_special_people_and_servers(
    scenario: Scenario,
) -> None:
    slow = step_by_step(scenario, 12)
    assert_the_same(run(scenario, sample=12), slow)
    assert_the_same(run(scenario, sample=0), slow)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", ["server_down", "connection_reset"])
def test_a_connection_ends_while_a_ping_is_under_way(fault: str, mode: HeartbeatMode | None) -> None:
    """Its end takes as long as the pong before, which nobody has looked at either."""
    network = NetworkConfig(latency=0.1, jitter=0.8)
    heartbeat = HeartbeatConfig(interval=4.0, timeout=2.0, mode=mode)
    scenario = crowd(FAULTS[fault], network, heartbeat, rate=0.0, count=60, arrive_over=4.0, duration=30.0)
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


def test_pings_of_both_sides_are_not_forwarded(saved: Counter[str]) -> None:
    scenario = crowd(FAULTS["server_down"], heartbeat=HeartbeatConfig(interval=5.0, timeout=2.0, mode="both"))
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))
    assert not saved


@pytest.mark.slow
@pytest.mark.parametrize("seed", rows(range(6), 0, 1))
@pytest.mark.parametrize(
    ("faults", "server", "rate"),
    [
        (tuple(ServerDown(at=20.3 + 9.7 * number, duration=0.5) for number in range(4)), SERVER, 0.0),
        (
            tuple(ConnectionReset(at=4.3 + 1.1 * number) for number in range(40)),
            ServerConfig(accept_rate=1.0, backlog=1),
            0.0,
        ),
        (
            (
                HighLatency(at=0.0, duration=55.0, latency=0.3, jitter=0.8),
                *(ConnectionReset(at=10.3 + 6.1 * number) for number in range(7)),
            ),
            SERVER,
            3.0,
        ),
    ],
    ids=["a ping is under way", "a SYN is under way", "both ways share a random stream"],
)
def test_it_changes_nothing_with_long_latencies(
    faults: tuple[AnyFault, ...],
    server: ServerConfig,
    rate: float,
    seed: int,
) -> None:
    slow = NetworkConfig(latency=LogNormal(median=0.5, p99=1.2))
    heartbeat = HeartbeatConfig(interval=6.0, timeout=5.0)
    scenario = crowd(faults, slow, heartbeat, rate=rate, seed=seed, server=server)
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.slow
@pytest.mark.parametrize("seed", rows([0, 1, 2, 4], 0))
def test_messages_may_expire_at_an_expelled_client(
    seed: int,
) -> None:
    slow = NetworkConfig(latency=LogNormal(median=0.5, p99=1.2))
    scenario = crowd(
        network=slow,
        heartbeat=HEARTBEATS["none"],
        rate=1.0,
        seed=seed,
        server=ServerConfig(rate=1.0, burst=2),
        outbox=OutboxConfig(max_age=3.0),
    )
    assert_the_same(run(scenario, sample=12), step_by_step(scenario, 12))


@pytest.mark.parametrize("seed", rows(range(4), 0))
def test_the_other_end_of_a_reset_link_may_still_send(
    seed: int,
) -> None:
    resets = tuple(ConnectionReset(at=0.8 + 1.7 * number) for number in range(20))
    scenario = crowd(resets, NETWORKS["heavy tail"], HEARTBEATS["none"], rate=0.3, seed=seed)
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.parametrize("seed", rows([516, *range(5)], 516))
def test_heartbeats_take_place_while_a_link_that_was_given_up_still_closes(
    seed: int,
) -> None:
    """In a partition its close frame is sent again and again; the answer to it draws the person's streams."""
    faults = (Partition(at=5.553, duration=12.3), ConnectionReset(at=27.753))
    heartbeat = HeartbeatConfig(interval=5.0, timeout=1.5, mode="ping")
    scenario = crowd(faults, heartbeat=heartbeat, seed=seed, rate=0.0)
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.slow
@pytest.mark.parametrize("seed", rows(range(8), 0, 1))
@pytest.mark.parametrize("accept_rate", [None, 0.7])
def test_packets_of_an_attempt_that_was_given_up_may_be_under_way(
    accept_rate: float | None,
    seed: int,
) -> None:
    """Its packets may still be under way, or wait at a narrow listener, when the next attempt has begun."""
    resets = tuple(ConnectionReset(at=4.8 + 7.7 * number) for number in range(6))
    slow = NetworkConfig(latency=LogNormal(median=0.4, p99=4.0), tls=True)
    server = ServerConfig(accept_rate=accept_rate)
    scenario = crowd(resets, slow, rate=0.3, seed=seed, server=server, connect_timeout=2.0)
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.parametrize("seed", rows([0, 119, *range(1, 5)], 0, 119))
@pytest.mark.parametrize("jitter", [0.0, 0.2])
@pytest.mark.parametrize("heartbeat", ["ping", "server"])
def test_the_server_may_still_send_to_a_silent_link(
    heartbeat: str,
    jitter: float,
    seed: int,
) -> None:
    """It goes on for as long as the server takes the link for alive, and slow packets share one streams."""
    faults = (
        HalfOpen(at=9.0),
        HighLatency(at=6.0, duration=14.0, latency=0.5, jitter=0.25),
        ServerDown(at=20.0, duration=1.0),
        Partition(at=1.0, duration=10.0, share=0.5),
    )
    network = NetworkConfig(latency=LogNormal(median=0.05, p99=0.3), jitter=jitter)
    server = ServerConfig(backlog=1, max_connections=5, presence=True)
    scenario = crowd(faults, network, HEARTBEATS[heartbeat], rate=0.0, seed=seed, server=server)
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.parametrize("seed", rows(range(4), 0, 1))
def test_the_server_may_still_ping_a_link_that_was_replaced(seed: int) -> None:
    """A reset doesn't reach the server, which pings the old link, and closes it after the time-out."""
    heartbeat = HeartbeatConfig(interval=9.0, timeout=6.0, mode="server")
    faults = HalfOpen(at=12.6, direction="up"), ConnectionReset(at=12.9), ConnectionReset(at=27.6)
    scenario = crowd(faults, heartbeat=heartbeat, rate=0.0, seed=seed, duration=40.3)
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.slow
@pytest.mark.parametrize("seed", rows(range(4), 0))
def test_there_may_be_requests_beside_a_link(
    seed: int,
) -> None:
    """A fallback that streams tries a WebSocket again from time to time."""
    websocket = WebSocketSettings(reconnect=RECONNECT, connect_timeout=1.5)
    stream = SSESettings(reconnect=RECONNECT)
    scenario = replace(
        crowd((ServerDown(at=5.3, duration=3.1),), NETWORKS["heavy tail"], rate=0.5, seed=seed),
        transport=FallbackSettings(
            transports=(websocket, stream), attempts_per_transport=1, upgrade_after=2.0
        ),
    )
    slow = step_by_step(scenario, 12)
    assert_the_same(run(scenario, sample=0), slow)
    assert_the_same(run(scenario, sample=12), slow)


LATENCIES = st.sampled_from(
    [
        LogNormal(median=0.05, p99=0.3),
        LogNormal(median=0.2, p99=3.0),
        LogNormal(median=0.5, p99=1.2),
    ]  # No constants: what happens at the very same instant has no order. No proxy is as patient as a beat.
)
DIRECTIONS = st.sampled_from(["up", "down", "both"])
BEGINS, LASTS = st.floats(0.1, 50.0), st.floats(0.3, 20.0)
TROUBLES = st.one_of(
    st.builds(ServerDown, at=BEGINS, duration=LASTS, share=st.sampled_from([1.0, 0.5])),
    st.builds(ServerRestart, at=BEGINS, duration=LASTS, share=st.sampled_from([1.0, 0.5])),
    st.builds(ConnectionReset, at=BEGINS, share=st.sampled_from([1.0, 0.5])),
    st.builds(
        HalfOpen,
        at=BEGINS,
        duration=st.floats(0.0, 5.0),
        share=st.sampled_from([1.0, 0.5]),
        direction=DIRECTIONS,
    ),
    st.builds(
        HighLatency, at=BEGINS, duration=LASTS, latency=st.floats(0.1, 2.0), jitter=st.floats(0.1, 1.0)
    ),
    st.builds(IdleTimeout, at=BEGINS, duration=LASTS, timeout=st.floats(1.0, 8.0).map(lambda s: s + 0.0037)),
    st.builds(HttpError, at=BEGINS, duration=LASTS, retry_after=st.sampled_from([None, 2.0])),
    st.builds(NoPong, at=BEGINS, duration=LASTS, share=st.sampled_from([1.0, 0.5])),
    st.builds(Partition, at=BEGINS, duration=LASTS, share=st.sampled_from([1.0, 0.5])),
)
CROWDS = st.builds(
    crowd,
    st.lists(TROUBLES, max_size=4).map(tuple),
    st.builds(NetworkConfig, latency=LATENCIES, jitter=st.sampled_from([0.0, 0.2]), tls=st.booleans()),
    st.sampled_from([*HEARTBEATS.values(), HeartbeatConfig(interval=13.0, timeout=4.0)]),
    rate=st.sampled_from([0.0, 0.05, 1.0]),
    seed=st.integers(0, 1000),
    server=st.builds(
        ServerConfig,
        accept_rate=st.sampled_from([None, 1.0, 5.0]),
        backlog=st.sampled_from([1, 1000]),
        max_connections=st.sampled_from([None, 5]),
        rate=st.sampled_from([500.0, 1.0]),
        burst=st.sampled_from([1000, 2]),
        presence=st.booleans(),
    ),
    outbox=st.builds(OutboxConfig, max_size=st.sampled_from([1, 100]), max_age=st.sampled_from([None, 3.0])),
)


@pytest.mark.slow
@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(scenario=CROWDS)
def test_it_changes_nothing_in_random_runs(
    scenario: Scenario,
) -> None:
    slow = step_by_step(scenario, 12)
    assert_the_same(run(scenario, sample=0), slow)
    assert_the_same(run(scenario, sample=12), slow)


@pytest.mark.sampled(2)
@pytest.mark.sized
@pytest.mark.slow
@pytest.mark.parametrize("latency", [1.0, LogNormal(median=0.9, p99=2.5)], ids=["constant", "log-normal"])
@pytest.mark.parametrize("mode", MODES)
def test_a_run_may_end_at_any_moment_of_a_heartbeat(
    mode: HeartbeatMode | None,
    latency: float | LogNormal,
) -> None:
    network = NetworkConfig(latency=latency)
    heartbeat = HeartbeatConfig(interval=13.0, timeout=8.0, mode=mode)
    for tenths in range(520, 650, steps(3)):
        scenario = crowd(network=network, heartbeat=heartbeat, rate=0.0, duration=tenths / 10)
        assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.parametrize("heartbeat", ["json", "ping", "server"])
def test_many_heartbeats_add_up_to_single_ones(
    heartbeat: str,
) -> None:
    scenario = crowd(heartbeat=HEARTBEATS[heartbeat], rate=0.0, duration=600.0)
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))


@pytest.mark.slow
def test_the_end_of_a_run_wakes_hardly_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[float] = []
    settle = HeartbeatAccount.settle

    def counting(self: HeartbeatAccount, *arguments: Any) -> None:
        woken.append(arguments[-1])
        settle(self, *arguments)

    monkeypatch.setattr(HeartbeatAccount, "settle", counting)
    for tenths in range(580, 600):
        run(crowd(rate=0.0, duration=tenths / 10), sample=0)
    assert len([at for at in woken if at >= 58.0]) < 0.1 * 20 * 12


@pytest.mark.parametrize("mode", MODES)
def test_most_heartbeats_are_only_counted(mode: HeartbeatMode | None, saved: Counter[str]) -> None:
    heartbeat = HeartbeatConfig(interval=5.0, timeout=2.5, mode=mode)
    run(crowd(heartbeat=heartbeat, duration=600.0, rate=0.0), sample=0)
    assert 0.9 * 12 * 600 / 5 < saved["beats"] < 12 * 600 / 5


def test_heartbeats_take_place_if_a_round_trip_may_take_too_long(saved: Counter[str]) -> None:
    run(crowd(network=NETWORKS["heavy tail"], duration=600.0, rate=0.0), sample=0)
    assert saved["beats"] < 0.1 * 12 * 600 / 5


@pytest.mark.parametrize(
    ("heartbeat", "server"),
    [
        (HEARTBEATS["long timeout"], ServerConfig()),
        (HEARTBEATS["json"], ServerConfig(rate=1.0)),
        (HEARTBEATS["server"], ServerConfig(rate=1.0)),
        (HEARTBEATS["json"], ServerConfig(service_time=0.01)),
    ],
    ids=["pings overlap", "the rate limit is felt", "the rate limit is felt by pongs", "work takes time"],
)
def test_heartbeats_take_place_if_they_may_matter(
    heartbeat: HeartbeatConfig, server: ServerConfig, saved: Counter[str]
) -> None:
    run(crowd(heartbeat=heartbeat, server=server, duration=300.0, rate=0.0), sample=0)
    assert saved["beats"] == 0


def test_every_heartbeat_of_a_recorded_person_is_a_step(saved: Counter[str]) -> None:
    result = run(crowd(network=NETWORKS["constant"], duration=301.0, rate=0.0), sample=12)
    assert saved["beats"] == 0
    ticks = Counter(step.person for step in result.trace if type(step.event).__name__ == "Tick")
    assert set(ticks.values()) <= {59, 60}


def test_a_run_that_is_watched_in_pieces_is_the_same() -> None:
    scenario = crowd(FAULTS["server_down"])
    seen: list[float] = []
    watched = run(scenario, sample=0, watch=seen.append)
    assert len(seen) == 1000
    assert figures(watched) == figures(run(scenario, sample=0))


def test_pings_of_the_server_are_simulated_if_their_order_at_one_instant_may_matter() -> None:
    scenario = crowd(
        (Flapping(at=9.0, duration=12.0, period=3.0, down=0.2),),
        NETWORKS["constant"],
        HeartbeatConfig(interval=4.0, timeout=1.9, mode="server"),
        rate=0.0,
        count=40,
        reconnect=ReconnectConfig(jitter="none", base_delay=0.5, max_delay=3.0),
        server=ServerConfig(accept_rate=3.0, backlog=5),
    )
    assert_the_same(run(scenario, sample=0), step_by_step(scenario, 0))
