"""Short cuts change nothing if people have groups: each group may allow others."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import ReconnectConfig
from chatlab.sim.as_written.settings import SeedWebSocket
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.fast import FastModel
from chatlab.sim.fast.silent.client import SilentClient
from chatlab.sim.fast.ties import may_tie
from chatlab.sim.faults import ConnectionReset, HalfOpen, HighLatency, Loss, ServerDown, ServerRestart
from chatlab.sim.groups import Group
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.transport_settings import FallbackSettings, SSESettings, WebSocketSettings
from tests.sim.fast.crowds import HEARTBEATS, NETWORKS, assert_the_same, crowd, step_by_step

FULL = ReconnectConfig(jitter="full", max_delay=6.0)
NONE = ReconnectConfig(jitter="none", max_delay=6.0)
NARROW = ServerConfig(accept_rate=20.0, backlog=4, overflow="refuse")

GROUPS: dict[str, tuple[Group, ...]] = {
    "other heartbeats and networks": (
        Group(
            name="a",
            share=0.3,
            transport=WebSocketSettings(heartbeat=HEARTBEATS["ping"], reconnect=FULL, connect_timeout=3.0),
            network=NETWORKS["jitter"],
        ),
        Group(name="b", share=0.3, network=NETWORKS["heavy tail"]),
    ),
    "lossy": (Group(name="a", share=0.4, network=NetworkConfig(latency=0.1, loss=0.1)),),
    "narrow": (Group(name="a", share=0.4, network=NetworkConfig(latency=0.1, bandwidth=500.0)),),
    "streams": (
        Group(name="a", share=0.3, transport=SSESettings(reconnect=FULL)),
        Group(
            name="b",
            share=0.3,
            transport=FallbackSettings(transports=(WebSocketSettings(), SSESettings(reconnect=FULL))),
        ),
    ),
    "small frames": (Group(name="a", share=0.5, transport=WebSocketSettings(max_frame_size=2000)),),
    "the same": (Group(name="a", share=0.5), Group(name="b", share=0.2)),
}
FAULTS: dict[str, tuple[Any, ...]] = {
    "calm": (),
    "down": (ServerDown(at=20.31, duration=6.2),),
    "restart": (ServerRestart(at=20.31, duration=6.2),),
    "one group": (
        ConnectionReset(at=20.31, groups=("a",)),
        HighLatency(at=30.0, duration=5.0, latency=0.3, groups=("a",)),
        HalfOpen(at=40.0, duration=3.0, groups=("others",)),
    ),
    "loss": (Loss(at=20.31, duration=8.0, loss=0.3, groups=("a",)), ServerDown(at=22.0, duration=3.0)),
}


def with_groups(scenario: Scenario, groups: tuple[Group, ...], faults: tuple[Any, ...] = ()) -> Scenario:
    return scenario.replace(people=scenario.people.replace(groups=groups), faults=faults)


def assert_as_without(scenario: Scenario, sample: int = 2) -> Run:
    quick = run(scenario, sample=sample)
    slow = step_by_step(scenario, sample)
    assert_the_same(quick, slow)
    assert quick.group_metrics == slow.group_metrics
    return quick


@pytest.mark.sampled(7)
@pytest.mark.parametrize("rate", [0.0, 0.05], ids=["silent", "talking"])
@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("groups", GROUPS)
def test_short_cuts_change_nothing(groups: str, faults: str, rate: float) -> None:
    assert_as_without(with_groups(crowd(rate=rate, count=20), GROUPS[groups], FAULTS[faults]))


@pytest.mark.sampled(5)
@pytest.mark.parametrize("network", ["constant", "log-normal"])
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("server", [NARROW, ServerConfig()], ids=["narrow", "wide"])
def test_people_who_arrive_together_enter_the_accept_queue_in_the_same_order(
    groups: str, network: str, server: ServerConfig
) -> None:
    scenario = crowd(
        (),
        NETWORKS[network],
        rate=0.0,
        count=20,
        server=server,
        arrive_over=0.0,
        reconnect=NONE,
    )
    assert_as_without(with_groups(scenario, GROUPS[groups], FAULTS["down"]), sample=0)


def kinds(groups: str, **more: Any) -> dict[str, int]:
    """Return how many people of each group are silent."""
    scenario = with_groups(crowd(rate=0.0, count=20, **more), GROUPS[groups])
    made: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FastModel, "close", lambda model: made.extend(model.everybody))
        run(scenario, sample=0)
    names, group = scenario.people.membership.names, scenario.people.membership.group
    found = dict.fromkeys(names, 0)
    for person in made:
        found[names[group(person.person)]] += isinstance(person, SilentClient)
    return found


def test_clients_are_silent_where_their_group_allows_it() -> None:
    assert kinds("other heartbeats and networks") == {"a": 6, "b": 6, "others": 8}
    assert kinds("lossy") == {"a": 0, "others": 12}
    assert kinds("narrow") == {"a": 0, "others": 12}
    assert kinds("streams") == {"a": 0, "b": 0, "others": 8}
    assert kinds("the same") == {"a": 10, "b": 4, "others": 6}
    constant = {"network": NETWORKS["constant"], "server": NARROW}
    assert kinds("lossy", **constant) == {"a": 0, "others": 12}


def test_nobody_has_short_cuts_if_they_may_change_the_order_in_the_accept_queue() -> None:
    constant = {"network": NETWORKS["constant"], "server": NARROW}
    nobody = {"a": 0, "others": 0}
    assert kinds("lossy", **constant, arrive_over=0.0) == nobody
    assert kinds("lossy", **constant, reconnect=NONE) == nobody
    assert kinds("lossy", network=NETWORKS["constant"], arrive_over=0.0) == {"a": 0, "others": 12}
    assert kinds("the same", **constant, reconnect=NONE) == nobody | {"b": 0}
    assert kinds("the same", **constant, arrive_over=0.0) == {"a": 10, "b": 4, "others": 6}


NETWORK, RANDOM = NetworkConfig(), NETWORKS["log-normal"]


@pytest.mark.parametrize(
    ("reconnect", "tied"),
    [
        (FULL, False),
        (NONE, True),
        (ReconnectConfig(), False),
        (ReconnectConfig(base_delay=30.0), True),
        (ReconnectConfig(jitter="decorrelated", base_delay=30.0), True),
        (ReconnectConfig(jitter="full", base_delay=0.0), True),
        (ReconnectConfig(jitter="full", max_delay=0.0), True),
        (ReconnectConfig(schedule=((0.0, 1.0), (2.0, 2.0))), False),
        (ReconnectConfig(schedule=((2.0, 2.0), (0.0, 1.0))), True),
        (ReconnectConfig(schedule=((2.0, 3.0),), max_delay=2.0), True),
    ],
)
def test_delays_that_may_tie(reconnect: ReconnectConfig, tied: bool) -> None:
    config = WebSocketSettings(reconnect=reconnect).config()
    assert may_tie(config, NETWORK, together=False) == tied
    assert may_tie(config, NETWORK, together=True)
    assert not may_tie(config, RANDOM, together=True)
    either = FallbackSettings(
        transports=(WebSocketSettings(reconnect=FULL), SSESettings(reconnect=reconnect))
    )
    assert may_tie(either.config(), NETWORK, together=False) == tied
    assert may_tie(SeedWebSocket(), NETWORK, together=False)


@pytest.mark.parametrize(
    ("reconnect", "tied"),
    [
        (FULL, False),
        (ReconnectConfig(jitter="equal"), False),
        (NONE, True),
        (ReconnectConfig(), True),
        (ReconnectConfig(jitter="decorrelated"), True),
        (ReconnectConfig(schedule=((0.0, 1.0), (2.0, 2.0))), True),
        (ReconnectConfig(schedule=((0.0, 1.0), (2.0, 3.0))), False),
    ],
)
def test_delays_that_may_tie_later(reconnect: ReconnectConfig, tied: bool) -> None:
    config = WebSocketSettings(reconnect=reconnect).config()
    assert may_tie(config, NETWORK, together=False, later=True) == tied
    assert not may_tie(config, RANDOM, together=True, later=True)
