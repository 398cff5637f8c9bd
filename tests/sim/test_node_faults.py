"""Nodes that die, drain, and are restarted one after the other."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.messages import ConnectionStatus
from chatlab.random_streams import RandomStreams
from chatlab.settings import ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults import AnyFault, ConnectionReset, NodeDown, RollingRestart, ServerDown, ServerRestart
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import WebSocketSettings
from chatlab.transports.failures import LOST, REFUSED, UNANSWERED
from chatlab.transports.machine import Closed, Failure
from tests.sim.test_nodes import D, People

RESTART = Failure("close", 1012, "service restart")
SURE = ReconnectConfig(jitter="none", base_delay=1.0, backoff_multiplier=1.0, max_attempts=None)


def drain(people: People, at: float, seconds: float, node: int = 1) -> None:
    people.run(at)
    people.server.drain(seconds, 1012, "service restart", node)


# A rolling restart that is ended early


@pytest.mark.parametrize("ended_at", [2.0, 4.0], ids=["in a drain", "in a pause"])
def test_a_rolling_restart_that_is_ended_early_spares_the_other_nodes(ended_at: float) -> None:
    people = People(4, nodes=2, balance="round_robin")
    people.connect(*range(4))
    people.run(1.5)
    restart = RollingRestart(at=1.5, drain=1.0, down=1.0, pause=10.0)
    injection = restart.inject(FaultContext(people.server, [], RandomStreams(0), 0))
    next(injection)
    if ended_at > 3.5:
        people.run(3.5)
        assert next(injection) == restart.pause
    people.run(ended_at)
    with pytest.raises(StopIteration):
        injection.send(True)
    people.run(20.0)
    assert [node.alive and node.listening and not node.draining for node in people.server.nodes] == [True] * 2
    assert people.connected == [0, 2]


# A drain


def test_a_drain_closes_connections_evenly_in_order_of_acceptance() -> None:
    people = People(4, accept_rate=10.0)
    people.connect(2, 0, 3, 1)
    drain(people, 3.0, 8.0)
    people.run(20.0)
    ends = {person: people.failures(person) for person in range(4)}
    assert ends == {
        2: [(3.0 + D, RESTART)],
        0: [(5.0 + D, RESTART)],
        3: [(7.0 + D, RESTART)],
        1: [(9.0 + D, RESTART)],
    }
    assert people.server.nodes[0].ended == 4


def test_who_left_before_keeps_a_turn_that_nobody_gets() -> None:
    people = People(3)
    people.connect(0, 1, 2)
    drain(people, 3.0, 6.0)
    people.server.on_peer_closed(people.server._connections[1])
    people.run(20.0)
    assert people.failures(2) == [(7.0 + D, RESTART)]


def test_a_draining_node_takes_no_connections_and_resets_those_in_its_accept_queue() -> None:
    people = People(4, nodes=2, balance="round_robin", accept_rate=0.25, overflow="refuse")
    people.connect(0, 1)
    drain(people, 1.0, 4.0)  # Node 1 would accept person 0 after 4 s.
    people.connect(2, 3)
    people.run(20.0)
    assert people.failures(0) == [(1.0 + D, UNANSWERED)]
    assert people.failures(1) == people.failures(2) == people.failures(3) == []
    assert people.connected == [0, 3]


def test_connections_in_the_accept_queue_have_no_turn_in_a_drain() -> None:
    people = People(4, accept_rate=0.5, overflow="refuse")
    people.connect(0, 1, 2, 3)  # accepted at 2.25, 4.25, 6.25 and 8.25
    drain(people, 5.0, 8.0)
    people.run(20.0)
    ends = {person: people.failures(person) for person in range(4)}
    assert ends == {
        0: [(5.0 + D, RESTART)],
        1: [(9.0 + D, RESTART)],
        2: [(5.0 + D, UNANSWERED)],
        3: [(5.0 + D, UNANSWERED)],
    }


def test_a_drain_of_a_node_that_is_down_ends_no_later_connection() -> None:
    people = People(2)
    people.connect(0)
    people.run(3.0)
    people.server.stop(node=1)
    people.server.drain(8.0, 1012, "service restart", 1)
    people.server.start(node=1)
    people.server.start(node=1)
    people.connect(1)
    people.run(20.0)
    assert people.failures(1) == []
    assert people.connected == [1]


def test_the_only_node_refuses_while_it_drains_and_is_down() -> None:
    people = People(3)
    drain(people, 1.0, 4.0)
    people.connect(0)
    people.run(6.0)
    people.connect(1)
    people.run(8.0)
    people.server.start(node=1)
    people.connect(2)
    people.run(10.0)
    assert people.failures(0) == [(1.0 + 2 * D, REFUSED)]
    assert people.failures(1) == [(6.0 + 2 * D, REFUSED)]
    assert people.connected == [1]


def test_a_draining_node_begins_nothing_that_lasts() -> None:
    """Its SYN was accepted before the drain began, its upgrade request comes after."""
    people = People(2)
    people.connect(0)
    people.run(1.0)
    people.connect(1)
    drain(people, 1.0 + 2 * D, 8.0)
    people.run(2.5)
    ((at, failure),) = people.failures(1)
    assert isinstance(failure, Failure)
    assert (at, failure.kind, failure.code, failure.retry_after) == (1.0 + 4 * D, "http", 503, 2.0)
    assert people.failures(0) == [(1.5 + D, RESTART)]


def test_a_node_that_dies_while_it_drains_is_down_until_the_drain_is_over() -> None:
    people = People(2)
    people.connect(0, 1)
    drain(people, 3.0, 8.0)
    people.run(4.0)
    people.server.stop()
    people.server.start()
    people.run(6.0)
    assert people.failures(1) == [(4.0 + D, LOST)]
    assert not people.server.nodes[0].listening
    people.run(11.5)
    people.server.start(node=1)
    assert people.server.nodes[0].listening
    assert people.server.lives == 2


def test_a_second_drain_only_waits_for_the_first() -> None:
    people = People(2)
    people.connect(0, 1)
    drain(people, 3.0, 8.0)
    drain(people, 4.0, 1.0)
    people.run(20.0)
    assert people.failures(1) == [(7.0 + D, RESTART)]
    people.server.start(node=1)
    assert not people.server.nodes[0].listening
    people.server.start(node=1)
    assert people.server.nodes[0].listening


# The faults


def happen(*faults: AnyFault, count: int = 12, duration: float = 90.0, nodes: int = 3, **server: Any) -> Run:
    scenario = Scenario(
        duration=duration,
        people=PeopleConfig(count=count),
        network=NetworkConfig(latency=D),
        transport=WebSocketSettings(reconnect=SURE),
        server=ServerConfig(nodes=nodes, **{"balance": "round_robin", **server}),
        faults=faults,
    )
    return run(scenario, sample=count)


def ends(result: Run) -> list[tuple[float, Failure]]:
    """Return when somebody learned of the end of an attempt or a connection, and why."""
    return [(step.at - D, step.event.failure) for step in result.trace if isinstance(step.event, Closed)]


def test_a_node_that_dies_loses_its_people_who_go_to_the_others() -> None:
    result = happen(NodeDown(at=10.0, duration=20.0, node=2))
    assert ends(result) == [(10.0, LOST)] * 4
    assert result.metrics["attempts"] == 16
    assert result.metrics["broken"] == 4
    assert result.metrics["last_back"] == 2.0  # Seconds from the loss: all are back before the node is.


def test_nodes_are_restarted_in_order_and_one_after_the_other() -> None:
    """Round robin spreads the four of each node over the others: 4, 6, then 9 connections are closed."""
    result = happen(RollingRestart(at=10.0, drain=4.0, down=3.0, pause=2.0))
    times = [at for at, failure in ends(result) if failure == RESTART]
    expected = [
        begin + 4.0 * turn / number
        for begin, number in ((10.0, 4), (19.0, 6), (28.0, 9))
        for turn in range(number)
    ]
    assert times == pytest.approx(expected)
    assert len(ends(result)) == len(times)
    (span,) = result.faults
    assert span.end == 10.0 + 3 * 7.0 + 2 * 2.0


def test_the_only_node_is_down_from_its_drain_on() -> None:
    result = happen(RollingRestart(at=10.0, drain=2.0, down=3.0), nodes=1, count=2)
    assert [at for at, failure in ends(result) if failure == RESTART] == [10.0, 11.0]
    # Each attempt, a second after the last one has failed, is refused until 15 s.
    assert {failure for _, failure in ends(result)} == {RESTART, REFUSED}
    for person in result.people:
        *_, last = result.statuses(person)
        assert last.status is ConnectionStatus.CONNECTED
        assert 15.0 < last.start < 18.0


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize(
    "faults",
    [
        (RollingRestart(at=0.0, drain=3.0, down=1.0, pause=0.0),),
        (RollingRestart(at=0.0, drain=0.0, down=0.5, pause=0.0), NodeDown(at=0.0, duration=1.0)),
        (RollingRestart(at=10.0, drain=300.0),),
        (NodeDown(at=10.0, duration=500.0),),
        (RollingRestart(at=10.0, drain=9.0), RollingRestart(at=12.0, drain=2.0, down=1.0, pause=0.0)),
        (RollingRestart(at=10.0, drain=9.0, down=2.0), ServerDown(at=11.0, duration=3.0)),
        (RollingRestart(at=10.0, drain=9.0, down=2.0), ServerDown(at=11.0, duration=30.0)),
        (RollingRestart(at=10.0, drain=9.0, down=2.0), ServerRestart(at=11.0, duration=3.0)),
        (RollingRestart(at=10.0, drain=9.0, down=2.0), ServerDown(at=11.0, duration=3.0, share=0.5)),
        (RollingRestart(at=10.0, drain=9.0, down=2.0), NodeDown(at=11.0, duration=3.0)),
        (NodeDown(at=9.0, duration=3.0), RollingRestart(at=10.0, drain=9.0, down=2.0)),
        (RollingRestart(at=10.0, drain=9.0, down=2.0), ConnectionReset(at=12.0, share=0.5)),
    ],
)
def test_faults_of_nodes_overlap_without_harm(faults: tuple[AnyFault, ...], nodes: int) -> None:
    """Everybody is back once all faults are over, if the run lasts until then."""
    result = happen(*faults, nodes=nodes, duration=120.0)
    if all(span.end < 110.0 for span in result.faults):
        last = {person: result.statuses(person)[-1].status for person in result.people}
        assert set(last.values()) == {ConnectionStatus.CONNECTED}


# Settings


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            'kind = "node_down"\nat = 1.0\nduration = 1.0\nshare = 0.5',
            r"faults\[0\]: it hits everybody",
        ),
        ('kind = "rolling_restart"\nat = 1.0\npeople = ["a"]', "it hits everybody"),
        ('kind = "rolling_restart"\nat = 1.0\ndown = 0', "down: give a number above 0"),
        (
            'kind = "node_down"\nat = 1.0\nduration = 1.0\nnode = 4',
            r"faults\[0\]\.node: give at most server\.nodes",
        ),
        ('kind = "node_down"\nat = 1.0\nduration = 1.0\nnode = 0', "node: give a whole number of at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fault: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Scenario.from_toml(f"server.nodes = 3\n[[faults]]\n{fault}\n")


def test_a_rolling_restart_takes_longer_the_more_nodes_there_are() -> None:
    fault = RollingRestart(at=10.0, drain=4.0, down=3.0, pause=2.0)
    ends = [fault.ends_at(nodes) for nodes in range(1, 5)]
    assert ends[0] == fault.end_at == 17.0
    assert [later - earlier for earlier, later in pairwise(ends)] == [9.0] * 3
