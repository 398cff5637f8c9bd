"""Silent clients and pending heartbeats at several nodes: all figures are those of the plain model."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig
from chatlab.sim.balance import Balance
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.driver import Driver
from chatlab.sim.fast.silent.client import SilentClient
from chatlab.sim.faults import (
    AnyFault,
    ConnectionReset,
    HalfOpen,
    NodeDown,
    RollingRestart,
    ServerDown,
    Throttled,
)
from chatlab.sim.latency import LogNormal, NetworkConfig
from tests.sim.fast.crowds import HEARTBEATS, NETWORKS, assert_the_same, crowd, step_by_step
from tests.sizes import examples

BALANCES: tuple[Balance, ...] = get_args(Balance)
SLOW = NetworkConfig(latency=LogNormal(median=0.4, p99=2.0))


def service(*faults: AnyFault, rate: float = 0.0, **settings: Any) -> Scenario:
    """Return a crowd at four nodes; without a `rate` of messages its people are silent clients."""
    settings = {"count": 40, "arrive_over": 5.0, "connect_timeout": 6.0} | settings
    nodes = ServerConfig(**{"nodes": 4, **settings.pop("server", {})})
    return crowd(faults, rate=rate, server=nodes, **settings)


def assert_as_plain(scenario: Scenario) -> None:
    assert_the_same(run(scenario, sample=0), step_by_step(scenario))


DRAIN = RollingRestart(at=12.3, drain=6.0, down=1.5, pause=2.0)
FAULTS: dict[str, tuple[AnyFault, ...]] = {
    "a rolling restart": (DRAIN,),
    "at once": (RollingRestart(at=12.3, drain=0.0, down=1.5, pause=1.0),),
    "from the beginning": (RollingRestart(at=0.0, drain=4.0, down=1.5, pause=0.0),),
    "beyond the end": (RollingRestart(at=12.3, drain=90.0),),
    "a node dies": (NodeDown(at=12.3, duration=9.0, node=2), NodeDown(at=20.0, duration=3.0, node=3)),
    "all nodes die": tuple(NodeDown(at=12.3 + node, duration=9.0, node=node) for node in (1, 2, 3, 4)),
    "resets in drains": (
        DRAIN,
        *(ConnectionReset(at=12.9 + 1.3 * number, share=0.4) for number in range(12)),
    ),
    "half-open links in drains": (DRAIN, HalfOpen(at=14.0, share=0.5), HalfOpen(at=25.0, share=0.3)),
    "all die in a drain": (DRAIN, ServerDown(at=15.0, duration=4.0)),
    "two at a time": (DRAIN, RollingRestart(at=16.0, drain=1.0, down=1.0, pause=0.0)),
}


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize("faults", FAULTS.values(), ids=list(FAULTS))
@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_faults_of_nodes_are_the_same(faults: tuple[AnyFault, ...], rate: float) -> None:
    assert_as_plain(service(*faults, rate=rate))


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("faults", ["a rolling restart", "resets in drains"])
def test_every_balancer_chooses_the_same(balance: Balance, faults: str) -> None:
    assert_as_plain(service(*FAULTS[faults], server={"balance": balance}, count=90))


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "settings",
    [
        {"network": SLOW},
        {"network": NETWORKS["jitter"]},
        {"network": NETWORKS["constant"]},
        {"network": NETWORKS["constant"], "arrive_over": 0.0},
        {"network": NETWORKS["heavy tail"], "connect_timeout": 1.1},
        {"heartbeat": HEARTBEATS["ping"]},
        {"heartbeat": HEARTBEATS["long timeout"], "network": SLOW},
        {"heartbeat": HEARTBEATS["none"]},
        {"server": {"accept_rate": 2.0, "backlog": 3, "overflow": "refuse", "balance": "two_choices"}},
        {"server": {"accept_rate": 2.0, "backlog": 3}},
        {"server": {"accept_rate": 2.0, "backlog": 3, "overflow": "503", "balance": "least_connections"}},
        {"server": {"accept_rate": 1.0, "backlog": 1, "balance": "least_connections"}, "network": SLOW},
        {"server": {"accept_rate": 9.0, "balance": "round_robin"}, "network": NETWORKS["jitter"]},
        {"server": {"nodes": 1}},
    ],
)
def test_a_rolling_restart_is_the_same_with_other_settings(settings: dict[str, Any]) -> None:
    assert_as_plain(service(*FAULTS["resets in drains"], **settings))


@pytest.mark.parametrize("seed", range(3))
def test_people_whose_timers_fire_at_once_are_the_same(seed: int) -> None:
    throttled = Throttled(at=9.0, duration=20.0, period=3.3)
    faults = throttled, ConnectionReset(at=9.9), DRAIN
    assert_as_plain(service(*faults, network=NETWORKS["constant"], count=60, seed=seed))


@pytest.mark.parametrize("rate", [None, 40.0])
def test_hardly_anybody_is_promoted_by_a_drain(rate: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    promoted: list[int] = []
    promote = SilentClient._promote

    def counting_promote(client: SilentClient) -> Driver:
        promoted.append(client.person)
        return promote(client)

    monkeypatch.setattr(SilentClient, "_promote", counting_promote)
    calm = HeartbeatConfig(interval=25.0)
    result = run(service(DRAIN, count=300, heartbeat=calm, server={"accept_rate": rate}), sample=0)
    assert result.nodes["disconnected"].sum() > 300
    assert len(promoted) < 60


DROPPING: list[dict[str, Any]] = [
    {"accept_rate": 9.0},
    {"accept_rate": 3.0, "backlog": 2},
    {"accept_rate": 1.0, "backlog": 1},
    {"accept_rate": 3.0, "backlog": 2, "overflow": "503"},
]
BEGINS = st.floats(0, 40).map(lambda at: round(at, 2))
LASTS = st.floats(0.2, 15).map(lambda seconds: round(seconds, 2))
node_faults: st.SearchStrategy[AnyFault] = st.one_of(
    st.builds(RollingRestart, at=BEGINS, drain=st.just(0.0) | LASTS, down=LASTS, pause=LASTS),
    st.builds(NodeDown, at=BEGINS, duration=LASTS, node=st.integers(1, 2)),
    st.builds(ConnectionReset, at=BEGINS, share=st.sampled_from([1.0, 0.5])),
    st.builds(ServerDown, at=BEGINS, duration=LASTS, share=st.sampled_from([1.0, 0.5])),
    st.builds(HalfOpen, at=BEGINS, share=st.sampled_from([0.5])),
)


@pytest.mark.slow
@given(
    faults=st.lists(node_faults, min_size=1, max_size=4).map(tuple),
    nodes=st.integers(2, 5),
    balance=st.sampled_from(BALANCES),
    network=st.sampled_from([*NETWORKS.values(), SLOW]),
    heartbeat=st.sampled_from(list(HEARTBEATS.values())),
    rate=st.sampled_from([0.0, 0.0, 0.1]),
    queue=st.sampled_from([{}, {"accept_rate": 3.0, "backlog": 4, "overflow": "refuse"}, *DROPPING]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_services_are_the_same(
    faults: tuple[AnyFault, ...], nodes: int, balance: Balance, queue: dict[str, Any], **rest: Any
) -> None:
    server = {"nodes": nodes, "balance": balance, **queue}
    assert_as_plain(service(*faults, server=server, count=25, duration=50.3, **rest))
