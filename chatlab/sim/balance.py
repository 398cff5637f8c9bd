"""Balancers: which node gets a new connection.

    random             each node that is up is equally likely
    round_robin        the next node that is up, in order
    least_connections  the node with the fewest connections, the first of several
    two_choices        the emptier one of two different random nodes, the first drawn if they are equal
    sticky             the person's own node, or else the next one that is up

A balancer works by TCP connection. It knows at once which nodes are up, and how many connections each has;
those in the accept queue count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Generic, Literal, Protocol, TypeVar

from chatlab.transports.backoff import Uniform

Balance = Literal["random", "round_robin", "least_connections", "two_choices", "sticky"]
"""The way in which connections are spread over the nodes."""


class Balanced(Protocol):
    """A node, as a balancer sees it."""

    @property
    def listening(self) -> bool:
        """Whether it takes new connections."""

    @property
    def connections(self) -> Sized:
        """Its connections, including those in the accept queue."""


N = TypeVar("N", bound=Balanced)


class Balancer(Generic[N]):
    """A balancer in front of some nodes. `uniform` draws its random numbers."""

    def __init__(self, balance: Balance, nodes: Sequence[N], uniform: Uniform) -> None:
        self._nodes = nodes
        self._uniform = uniform
        self._next = 0
        self._up = list(nodes)
        # Bound methods would refer back to the balancer, a cycle that only a look for garbage frees.
        choices: dict[Balance, Callable[[Balancer[N], int], N]] = {
            "random": Balancer._random,
            "round_robin": Balancer._round_robin,
            "least_connections": Balancer._least_connections,
            "two_choices": Balancer._two_choices,
            "sticky": Balancer._sticky,
        }
        self._choose = choices[balance]

    def look(self) -> None:
        """Note which nodes are up: to be called whenever that has changed."""
        self._up = [node for node in self._nodes if node.listening]

    def choose(self, person: int) -> N | None:
        """Choose a node for a connection of a person, by number; None: no node is up."""
        if len(self._up) > 1:
            return self._choose(self, person)
        return self._up[0] if self._up else None

    def _random(self, person: int) -> N:
        return self._up[int(self._uniform() * len(self._up))]

    def _round_robin(self, person: int) -> N:
        node = self._first_up(self._next)
        self._next = self._nodes.index(node) + 1
        return node

    def _least_connections(self, person: int) -> N:
        return min(self._up, key=_load)

    def _two_choices(self, person: int) -> N:
        first = int(self._uniform() * len(self._up))
        second = int(self._uniform() * (len(self._up) - 1))
        return min(self._up[first], self._up[second + (second >= first)], key=_load)

    def _sticky(self, person: int) -> N:
        return self._first_up(person)

    def _first_up(self, place: int) -> N:
        """Return the node at `place`, or else the next one that is up."""
        number = len(self._nodes)
        return next(
            node for step in range(number) if (node := self._nodes[(place + step) % number]).listening
        )


def _load(node: Balanced) -> int:
    return len(node.connections)
