"""A server of several nodes: where connections go, and what each node does by itself."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.random_streams import RandomStreams
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.network import Network
from chatlab.sim.path import Paths
from chatlab.sim.people import PeopleConfig
from chatlab.sim.server import Server
from chatlab.transports.failures import LOST, REFUSED
from chatlab.transports.machine import Answered, Closed, Event, Opened, Received

D = 0.25
"""One-way latency; a power of two, so that sums of it are exact."""


class People:
    """Some people, each with a link to a server of some nodes; `seen` has their events without greetings."""

    def __init__(self, count: int, **server: Any) -> None:
        self.environment = LadderEnvironment()
        self.server = Server(self.environment, ServerConfig(**server))
        self.seen: dict[int, list[tuple[float, Event]]] = {person: [] for person in range(count)}
        self._network = Network(self.environment, self.server)
        self._paths = Paths(NetworkConfig(latency=D), RandomStreams(0))

    def connect(self, *people: int) -> None:
        for person in people:
            query = {"room": "lobby", "sender": f"p{person}"}
            self._network.open(self._paths.make(person), End(self, person), 1, query)

    def run(self, until: float) -> None:
        self.environment.run(until=until)

    @property
    def connected(self) -> list[int]:
        """The number of connections of each node."""
        return [len(node.connections) for node in self.server.nodes]

    def failures(self, person: int) -> list[tuple[float, object]]:
        return [(at, event.failure) for at, event in self.seen[person] if isinstance(event, Closed)]


class End:
    """One person's end of a link."""

    def __init__(self, people: People, person: int) -> None:
        self._people = people
        self._person = person

    def handle(self, event: Event) -> None:
        if not isinstance(event, Received):
            self._people.seen[self._person].append((self._people.environment.now, event))

    def lose(self, event: Closed | Answered) -> None:
        self.handle(event)


def test_each_node_has_an_accept_queue_of_its_own() -> None:
    people = People(6, nodes=2, balance="round_robin", accept_rate=1.0, backlog=1, overflow="refuse")
    people.connect(*range(6))
    people.run(9.0)
    assert people.connected == [1, 1]
    assert [people.failures(person) for person in (0, 1)] == [[], []]
    assert [people.failures(person) for person in range(2, 6)] == [[(2 * D, REFUSED)]] * 4
    counts = [(node.attempts, node.refused, node.accepted) for node in people.server.nodes]
    assert counts == [(3, 2, 1), (3, 2, 1)]


def test_a_repeated_SYN_keeps_its_node() -> None:
    """Node 1 has room for one. Who was ignored there comes again after a second, and waits there, not at
    node 2, whose turn it would be."""
    people = People(4, nodes=2, balance="round_robin", accept_rate=1.0, backlog=1)
    people.connect(0)
    people.environment.call_at(0.5, lambda _: people.connect(1, 2), None)
    people.environment.call_at(4.0, lambda _: people.connect(3), None)
    people.run(9.0)
    assert [node.attempts for node in people.server.nodes] == [2, 2]
    assert people.connected == [2, 2]
    assert [event for _, event in people.seen[2]] == [Opened(1)]


def test_nodes_work_at_the_same_time() -> None:
    people = People(2, nodes=2, balance="round_robin", service_time=1.0)
    people.connect(0, 1)
    people.run(9.0)
    assert [people.seen[person] for person in (0, 1)] == [[(4 * D + 1.0, Opened(1))]] * 2


def test_each_node_turns_away_what_is_beyond_its_limit() -> None:
    people = People(4, nodes=2, balance="round_robin", max_connections=1)
    people.connect(*range(4))
    people.run(9.0)
    assert people.connected == [1, 1]
    assert [node.refused for node in people.server.nodes] == [1, 1]


def test_a_stopped_node_loses_its_connections_and_gets_no_more_until_it_starts() -> None:
    people = People(6, nodes=3, balance="round_robin")
    people.connect(0, 1, 2)
    people.run(3.0)
    people.server.stop(node=2)
    assert people.connected == [1, 0, 1]
    people.connect(3, 4)
    people.run(6.0)
    assert people.failures(1) == [(3.0 + D, LOST)]
    assert people.failures(0) == people.failures(2) == []
    assert people.connected == [2, 0, 2]
    people.server.start(node=2)
    people.connect(5)
    people.run(9.0)
    assert [node.ended for node in people.server.nodes] == [0, 1, 0]
    assert sum(people.connected) == 5


def test_if_no_node_is_up_connections_are_refused() -> None:
    people = People(2, nodes=2)
    people.server.stop(node=1)
    people.server.stop()
    people.server.start()  # Node 1 stays down.
    people.connect(0)
    people.run(2.0)
    assert people.connected == [0, 1]
    people.server.stop(node=2)
    people.connect(1)
    people.run(4.0)
    assert people.failures(1) == [(2.0 + 2 * D, REFUSED)]
    assert [node.attempts for node in people.server.nodes] == [0, 1]


@pytest.mark.parametrize("keep", [True, False])
def test_memory_is_lost_only_if_all_nodes_are_down_at_once(keep: bool) -> None:
    server = Server(LadderEnvironment(), ServerConfig(nodes=2, keep_history=keep))
    server.stop(node=1)
    server.start(node=1)
    server.stop(node=2)
    server.start(node=2)
    assert (server.hub.epoch, server.lives) == ("1", 1)
    server.stop(node=1)
    server.stop(node=2)
    server.start(node=1)
    server.start(node=2)
    assert (server.hub.epoch, server.lives) == ("1" if keep else "2", 2)


@pytest.mark.parametrize("world", ["wire", "live"])
def test_the_other_worlds_have_one_node(world: str) -> None:
    scenario = Scenario(duration=1.0, people=PeopleConfig(count=1), server=ServerConfig(nodes=3))
    with pytest.raises(
        SettingsError, match=rf"^server\.nodes: the world '{world}' has one node, got 3; only"
    ):
        run(scenario, world)
