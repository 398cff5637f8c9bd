"""Balancers: which node gets a connection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from chatlab.random_streams import RandomStreams
from chatlab.sim.balance import Balance, Balancer


@dataclass(eq=False)
class Fake:
    """A node."""

    listening: bool = True
    connections: list[int] = field(default_factory=list)


def balancer(balance: Balance, nodes: list[Fake], *draws: float) -> Balancer[Fake]:
    numbers = iter(draws)
    return Balancer(balance, nodes, lambda: next(numbers))


def taken(balance: Balance, nodes: list[Fake], people: list[int], *draws: float) -> list[int]:
    """Return the places of the nodes that people get."""
    chosen, places = balancer(balance, nodes, *draws), []
    for person in people:
        node = chosen.choose(person)
        assert node is not None
        node.connections.append(person)
        places.append(nodes.index(node))
    return places


def down(number: int, *places: int) -> list[Fake]:
    """Return nodes of which some are down."""
    return [Fake(place not in places) for place in range(number)]


def test_random_takes_each_node_that_is_up_equally_often() -> None:
    assert taken("random", [Fake() for _ in range(4)], [0] * 4, 0.0, 0.24, 0.25, 0.99) == [0, 0, 1, 3]
    nodes = down(4, 1)
    chosen = balancer("random", nodes, 0.0, 0.34, 0.99)
    chosen.look()
    assert [nodes.index(node) for _ in range(3) if (node := chosen.choose(0))] == [0, 2, 3]


def test_round_robin_takes_the_next_that_is_up() -> None:
    nodes = [Fake() for _ in range(3)]
    chosen = balancer("round_robin", nodes)
    places = []
    for up in (True, True, True, True, False, False, True, True):
        nodes[1].listening = up
        chosen.look()
        node = chosen.choose(0)
        assert node is not None
        places.append(nodes.index(node))
    assert places == [0, 1, 2, 0, 2, 0, 1, 2]


def test_least_connections_takes_the_emptiest_and_the_first_of_several() -> None:
    nodes = [Fake(connections=[0] * number) for number in (2, 1, 3, 1)]
    assert taken("least_connections", nodes, list(range(5))) == [1, 3, 0, 1, 3]


def test_two_choices_takes_the_emptier_of_two_different_ones() -> None:
    nodes = [Fake(connections=[0] * number) for number in (9, 1, 1, 0)]
    # The second number draws from the others: 0.0 is the first of them, which isn't the first drawn.
    assert taken("two_choices", nodes, [0] * 4, 0.0, 0.0, 0.25, 0.0, 0.6, 0.4, 0.99, 0.99) == [1, 1, 2, 3]


@pytest.mark.parametrize("first", range(5))
def test_two_choices_are_never_the_same_node_twice(first: int) -> None:
    """If all others are empty, the fullest is never taken."""
    nodes = [Fake(connections=[0] if place == first else []) for place in range(5)]
    uniform = RandomStreams(first).uniform(0, "balance")
    chosen = Balancer("two_choices", nodes, uniform)
    counts = Counter(id(chosen.choose(0)) for _ in range(400))
    assert set(counts) == {id(node) for place, node in enumerate(nodes) if place != first}


def test_sticky_people_keep_their_node_and_go_to_the_next_if_it_is_down() -> None:
    assert taken("sticky", [Fake() for _ in range(3)], [0, 1, 2, 3, 4, 1, 1]) == [0, 1, 2, 0, 1, 1, 1]
    nodes = down(4, 1, 2)
    chosen = balancer("sticky", nodes)
    chosen.look()
    assert [nodes.index(node) for person in range(5) if (node := chosen.choose(person))] == [0, 3, 3, 3, 0]


@pytest.mark.parametrize("balance", ["random", "round_robin", "least_connections", "two_choices", "sticky"])
def test_without_a_choice_nothing_is_drawn(balance: Balance) -> None:
    nodes = down(3, 0, 2)
    chosen = balancer(balance, nodes)
    chosen.look()
    assert chosen.choose(7) is nodes[1]
    nodes[1].listening = False
    chosen.look()
    assert chosen.choose(7) is None
