"""Openings at a full accept queue: SYNs and final ACKs that are ignored, and what the server then says."""

from __future__ import annotations

from functools import partial
from math import inf

import pytest

from chatlab.sim.link import Link
from chatlab.sim.opening import Handshake, Syn
from chatlab.transports.failures import REFUSED, UNANSWERED
from chatlab.transports.machine import Closed, Opened
from tests.sim.pair import QUERY, D, Pair, Person

RTO = 2 * D + 4 * D
"""After a handshake of 2D: four times half of it."""
PROBE = 4 * D + 0.2


def crowd(pair: Pair, *starts: float) -> list[Person]:
    """Open a link at each of these times; return the people."""
    people = [Person(pair.environment) for _ in starts]
    for number, (start, person) in enumerate(zip(starts, people, strict=True)):
        query = QUERY | {"sender": f"person-{number}"}
        pair.environment.call_at(start, partial(pair.network.open, pair.path, person, 1), query)
    return people


def fill(pair: Pair, until: float) -> None:
    """Fill the queue for some time, but not before the first SYN has been answered."""
    now = 2 * D
    pair.environment.call_at(now, lambda _: pair.server.nodes[0].queue._append(now, until - now), None)


def opened(people: list[Person]) -> list[float | None]:
    """Return when each person's link opened."""
    return [next((at for at, event in one.seen if isinstance(event, Opened)), None) for one in people]


def test_a_place_in_the_queue_is_taken_by_the_final_ACK() -> None:
    pair = Pair(accept_rate=0.5)
    (person,) = crowd(pair, 0.0)
    pair.run(10)
    assert opened([person]) == [3 * D + 2.0 + D]
    assert pair.server.nodes[0].queue.longest == 1


def test_a_SYN_that_meets_a_full_queue_is_ignored_and_sent_again() -> None:
    pair = Pair(accept_rate=0.5, backlog=1)
    people = crowd(pair, 0.0, 1.0)
    pair.run(20)
    # The queue is full from 3D to 2.75; the second SYN is sent at 1, 2 and 3.
    assert opened(people) == [3 * D + 2.0 + D, 3.0 + 3 * D + 2.0 + D]


def test_first_bytes_that_meet_a_full_queue_are_sent_again_by_the_clients_timers() -> None:
    pair = Pair(accept_rate=0.5, backlog=1)
    people = crowd(pair, 0.0, 0.0)
    pair.run(20)
    # The queue is full from 0.75 to 2.75; the bytes come again at 1.95 and 3.45. The server keeps one
    # handshake, the first, so it repeats no SYN-ACK of the second.
    at = 3 * D + PROBE + RTO
    assert opened(people) == [3 * D + 2.0 + D, pytest.approx(at + 2.0 + D)]


def test_a_repeated_SYN_ACK_makes_the_client_try_but_its_bytes_come_later() -> None:
    pair = Pair(accept_rate=50.0, backlog=1)
    fill(pair, until=1.5)
    (person,) = crowd(pair, 0.0)
    pair.run(20)
    # Tries at 0.75, and at 1.75 by an ACK; accepted at 1.77. The bytes come at 1.95.
    assert opened([person]) == [pytest.approx(3 * D + PROBE + D)]
    assert [at for at, what in pair.server.seen if what == "SYN"] == [3 * D, 1.75]


def test_a_try_without_bytes_gets_its_turn_in_the_queue() -> None:
    pair = Pair(accept_rate=0.5, backlog=1)
    fill(pair, until=1.5)
    (person,) = crowd(pair, 0.0)
    pair.run(20)
    assert opened([person]) == [1.75 + 2.0 + D]


def test_a_client_that_gave_up_may_still_take_a_place() -> None:
    pair = Pair(accept_rate=0.5, backlog=1)
    fill(pair, until=1.0)
    link = pair.open()
    pair.run(0.8)
    link.close(1006, "connect timeout")
    pair.run(20)
    assert pair.server.nodes[0].queue.longest == 1
    assert [what for _, what in pair.server.seen if what != "SYN"] == ["upgrade", "leave"]
    assert pair.person.seen == []


@pytest.mark.parametrize("back", [False, True])
def test_a_server_that_stops_has_forgotten_incomplete_handshakes(back: bool) -> None:
    pair = Pair(accept_rate=0.5, backlog=1)
    fill(pair, until=1.0)
    pair.open()
    pair.run(0.9)
    pair.server.stop()
    if back:
        pair.server.start()
    pair.run(20)
    [(at, event)] = pair.person.seen
    assert at == pytest.approx(1.75 + D)
    assert event == Closed(1, UNANSWERED)


def test_a_handshake_ends_with_its_clients_reset() -> None:
    pair = Pair(accept_rate=0.5, backlog=1)
    fill(pair, until=5.0)
    link = pair.open()
    pair.run(0.9)
    link.reset()
    pair.run(20)
    assert pair.person.seen == [(0.9 + D, Closed(1, UNANSWERED))]
    assert pair.server.nodes[0].queue._handshakes == 0
    assert not link.server_open


def test_tries_in_a_partition_are_lost() -> None:
    pair = Pair(accept_rate=50.0, backlog=1)
    fill(pair, until=1.0)
    pair.open()
    pair.run(0.8)
    pair.path.lose(0.0, 3.0)
    pair.run(20)
    [(at, event), *_] = pair.person.seen
    assert isinstance(event, Opened)
    assert at == pytest.approx(3 * D + PROBE + RTO + 0.02 + D)


def test_a_silent_connection_tries_in_vain() -> None:
    pair = Pair(accept_rate=50.0, backlog=1)
    fill(pair, until=1.0)
    link = pair.open()
    pair.run(0.8)
    link.silence(0.8, ["up"])
    pair.run(100)
    assert pair.person.seen == []


def test_503_is_answered_as_a_proxy_does() -> None:
    pair = Pair(accept_rate=0.5, backlog=1, overflow="503")
    people = crowd(pair, 0.0, 0.0)
    pair.run(10)
    assert opened(people) == [D + 2.0 + D, None]
    [(at, event)] = people[1].seen
    assert isinstance(event, Closed)
    assert (at, event.failure.kind, event.failure.code) == (4 * D, "http", 503)
    pair.server.stop()
    (late,) = crowd(pair, 10.0)
    pair.run(20)
    assert late.seen == [(10 + 2 * D, Closed(1, REFUSED))]


def test_tries_have_an_end() -> None:
    handshake = Handshake(1, True, 0.25)
    handshake.round_trip = 0.5
    tries = []
    while (at := handshake.wait(0.75, 0.5, 0.25)) < inf:
        tries.append(at)
    assert len(tries) == 14
    assert handshake.gives_up_at == pytest.approx(tries[-1] - 0.25 + 120)
    assert tries[:2] == [pytest.approx(0.75 + PROBE), pytest.approx(0.75 + PROBE + RTO)]


def test_a_SYN_is_sent_eleven_times() -> None:
    syn = Syn(0.0, 0.0)
    times = []
    while syn.next_at < 1e9:
        times.append(syn.next_at)
        assert not syn.passes(1.0)
    assert times == [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]


def test_links_are_numbered_when_they_take_their_place() -> None:
    pair = Pair(accept_rate=0.5)
    link: Link = pair.open()
    pair.run(2.5 * D)
    assert (link.number, link.server_open) == (0, False)
    pair.run(3.5 * D)
    assert (link.number, link.server_open) == (1, True)
