"""One node: its accept queue, the connections that it has had, and its lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from chatlab.sim.capacity import ServerConfig
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.node import Node
from chatlab.sim.opening import Handshake


@dataclass(eq=False)
class Fake:
    """A connection."""

    number: int
    accepted: bool = True


def node(**config: Any) -> Node:
    return Node(1, LadderEnvironment(), ServerConfig(**config))


def turns_away(one: Node, connection: Fake) -> bool:
    return one.turns_away(cast(Connection, connection))


def test_the_peak_stays_when_connections_are_gone() -> None:
    one = node()
    for number in (1, 2):
        one.admit(Fake(number))
    one.connections.clear()
    one.admit(Fake(3))
    assert (one.peak, len(one.connections)) == (2, 1)


def test_a_proxy_answers_one_request_of_an_overflowed_connection_with_503() -> None:
    one, overflowed, other = node(accept_rate=1.0, overflow="503"), Fake(1), Fake(2)
    one.admit(overflowed, overflowed=True)
    one.admit(other)
    assert turns_away(one, overflowed)
    assert not turns_away(one, overflowed)
    assert not turns_away(one, other)
    assert one.refused == 1


def test_connections_in_the_accept_queue_do_not_count_against_the_limit_yet() -> None:
    one = node(max_connections=1)
    accepted, waiting = Fake(1), Fake(2, accepted=False)
    one.admit(accepted)
    one.admit(waiting)
    assert not turns_away(one, accepted)
    waiting.accepted = True
    assert turns_away(one, accepted)


def test_a_node_that_closes_forgets_its_accept_queue() -> None:
    one = node(accept_rate=0.5, backlog=1)
    assert one.enter() == 2.0
    assert one.enter() is None
    one.close()
    assert one.enter() is None
    one.start()
    assert one.enter() == 2.0


def test_a_handshake_of_an_earlier_life_takes_no_place_in_this_one() -> None:
    one = node(accept_rate=1.0, backlog=1)
    early = Handshake(one.lives, one.keep_handshake(), 0.0)
    assert early.kept
    one.close()
    one.end_handshake(early)  # The node has forgotten it.
    one.start()
    late = Handshake(one.lives, one.keep_handshake(), 0.0)
    assert late.kept
    one.end_handshake(early)
    assert not one.keep_handshake()
    one.end_handshake(late)
    assert one.keep_handshake()


def test_it_listens_once_all_that_stopped_it_is_over() -> None:
    one = node()
    one.close()
    one.close()
    one.die()
    one.draining = True
    assert not one.start()
    assert (one.listening, one.alive, one.draining, one.lives) == (False, False, True, 1)
    assert one.start()
    assert (one.listening, one.alive, one.draining, one.lives) == (True, True, False, 2)
