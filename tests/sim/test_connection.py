"""TCP connections between a real server and a bare recorder: how they open, keep order, and end."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.random_streams import RandomStreams
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.path import Path, Paths
from chatlab.sim.retransmission import GIVE_UP
from chatlab.transports.failures import LOST, REFUSED, RESET, UNREACHABLE
from chatlab.transports.machine import Closed, Opened, Received
from tests.sim.pair import QUERY, D, Pair, Person, text


def test_opening_takes_two_round_trips() -> None:
    pair = Pair()
    link = pair.open()
    pair.run(10)
    assert pair.server.seen == [(D, "SYN"), (3 * D, "upgrade")]
    (at, event), (welcome_at, welcome) = pair.person.seen
    assert (at, event) == (4 * D, Opened(1))
    assert welcome_at == 4 * D
    assert isinstance(welcome, Received)
    assert "welcome" in welcome.data
    assert link.up_to_date
    assert pair.network.requests == 1


def test_a_stopped_server_refuses_after_one_round_trip() -> None:
    pair = Pair()
    pair.server.stop()
    pair.open()
    pair.run(10)
    assert pair.person.seen == [(2 * D, Closed(1, REFUSED))]
    assert pair.network.requests == 0


def test_a_full_backlog_refuses_at_once() -> None:
    pair = Pair(accept_rate=0.5, backlog=1, overflow="refuse")
    pair.open()
    pair.open()
    pair.run(10)
    assert pair.person.seen[0] == (2 * D, Closed(1, REFUSED))
    assert (D + 2.0, "upgrade") in pair.server.seen
    assert (D + 2.0 + D, Opened(1)) in pair.person.seen


@pytest.mark.slow
@given(seed=st.integers(0, 1000), gaps=st.lists(st.floats(0, 0.3), min_size=5, max_size=10))
def test_bytes_arrive_in_order_whatever_each_packets_latency(seed: int, gaps: list[float]) -> None:
    pair = Pair(Paths(NetworkConfig(latency=0.01, jitter=1.0), RandomStreams(seed)).make(0))
    link = pair.open()
    pair.run(10)
    pair.person.seen.clear()
    pair.server.seen.clear()
    at = 10.0
    sent: list[float] = []
    for number, gap in enumerate(gaps):
        at += gap
        sent.append(at)
        pair.environment.call_at(at, link.send, text(number))
    pair.run(at + 10)
    streams = RandomStreams(seed).uniform(0, "up")
    delay, before = streams(), 0.0  # of the upgrade request
    expected, last = [], 0.0
    for when in sent:
        delay, before = (streams() if when != before else delay), when  # at one instant: one packet
        last = max(last, when + (0.01 + delay))
        expected.append(last)
    assert [frame for _, frame in pair.server.seen] == [text(number) for number in range(len(gaps))]
    assert [when for when, _ in pair.server.seen] == pytest.approx(expected, abs=1e-9)
    answers = [event.data for _, event in pair.person.seen if isinstance(event, Received)]
    assert [f'"text":"{number}"' in answer for number, answer in enumerate(answers)] == [True] * len(gaps)


def test_head_of_line_blocking_happens() -> None:
    delays = iter([1.0, 1.0, 5.0, 1.0])  # of the upgrade request, of four frames at once, and of two more
    path = Path(lambda: next(delays), lambda: 0.0, lambda: 1.0)
    pair = Pair(path)
    link = pair.open()
    pair.run(10)
    for number in range(4):
        link.send(text(number))
    pair.environment.call_at(11, link.send, text(4))
    pair.environment.call_at(12, link.send, text(5))
    pair.run(30)
    assert [at for at, what in pair.server.seen if what not in ("SYN", "upgrade")] == [
        11,
        11,
        11,
        11,
        16,
        16,
    ]


def test_an_abandoned_attempt_gets_no_event() -> None:
    pair = Pair()
    link = pair.open()
    pair.run(2.5 * D)  # the upgrade request is on its way
    link.close(1006, "connect timeout")
    pair.run(10)
    assert pair.person.seen == []
    assert pair.server.seen == [(D, "SYN"), (3 * D, "upgrade"), (3.5 * D, "leave")]
    pair = Pair()
    pair.open().close(1006, "abandoned")
    pair.run(10)
    assert pair.server.seen == [(D, "SYN"), (3 * D, "leave")]  # when its SYN-ACK has been answered
    assert pair.network.requests == 0


def test_a_dying_server_is_noticed_after_one_latency() -> None:
    pair = Pair()
    pair.opened()
    pair.server.stop()
    pair.run(10)
    assert pair.person.seen == [(4 + D, Closed(1, LOST))]


def test_both_ends_see_a_reset_after_one_latency_behind_bytes_under_way() -> None:
    pair = Pair()
    link = pair.opened()
    link.send(text(1))
    link.reset()
    link.send(text(2))
    pair.run(10)
    assert pair.server.seen == [(4 + D, text(1)), (4 + D, "leave")]
    assert pair.person.seen == [(4 + D, Closed(1, LOST))]


def test_a_silent_link_drops_all_packets_in_both_directions() -> None:
    pair = Pair()
    link = pair.opened()
    other = Person(pair.environment)
    second = pair.network.open(
        Paths(NetworkConfig(latency=D), RandomStreams(0)).make(1), other, 1, QUERY | {"sender": "bob"}
    )
    pair.run(6)
    link.send(text(1))  # on its way when the link goes silent
    link.silence(6.0, ["up", "down"])
    pair.server.seen.clear()
    pair.run(7)
    link.send(text(2))
    second.send(text(3, "bob"))
    link.ping(1)
    link.reset()
    pair.run(10)
    assert not link.up_to_date
    assert second.up_to_date
    link.close(4000, "Pong timeout")
    pair.server.stop()
    pair.run(20)
    assert pair.person.seen == []
    assert pair.server.seen == [(7 + D, text(3, "bob"))]


@pytest.mark.parametrize(("until", "tries"), [(0.5, 1.0), (1.0, 1.0), (4.5, 5.0), (5.5, 7.0), (10.0, 11.0)])
def test_SYNs_are_sent_again_until_the_server_can_be_reached(until: float, tries: float) -> None:
    pair = Pair()
    pair.path.unreachable_until = until
    pair.open()
    pair.run(100)
    assert pair.server.seen == [(tries + D, "SYN"), (tries + 3 * D, "upgrade")]


def test_a_client_that_gives_up_sends_no_further_SYN() -> None:
    pair = Pair()
    pair.path.unreachable_until = 1.5
    link = pair.open()
    pair.run(1.25)
    link.close(1006, "connect timeout")
    pair.run(100)
    assert pair.server.seen == pair.person.seen == []


def test_an_unreachable_server_is_tried_eleven_times() -> None:
    pair = Pair()
    pair.path.unreachable_until = 68.0
    pair.open()
    pair.run(130)
    assert pair.server.seen == pair.person.seen == []


def test_a_link_that_is_silent_downwards_still_carries_upwards() -> None:
    pair = Pair()
    link = pair.opened()
    pair.run(6)
    link.silence(6.0, ["down"])
    pair.server.seen.clear()
    link.send(text(1))
    link.ping(1)
    pair.run(8)
    link.close(4000, "Pong timeout")
    pair.run(10)
    assert pair.person.seen == []
    assert [at for at, _ in pair.server.seen] == [6 + D, 8 + D]
    assert not link.up_to_date


def test_a_link_that_is_silent_upwards_still_carries_downwards() -> None:
    pair = Pair()
    link = pair.opened()
    other = Person(pair.environment)
    second = pair.network.open(
        Paths(NetworkConfig(latency=D), RandomStreams(0)).make(1), other, 1, QUERY | {"sender": "bob"}
    )
    pair.run(6)
    link.silence(6.0, ["up"])
    pair.person.seen.clear()
    pair.server.seen.clear()
    link.send(text(1))
    link.ping(1)
    second.send(text(2, "bob"))
    pair.run(8)
    assert link.up_to_date
    link.close(4000, "bye")
    pair.run(10)
    assert pair.server.seen == [(6 + D, text(2, "bob"))]
    assert [at for at, _ in pair.person.seen] == [6 + 2 * D]
    assert link.server_open


@pytest.mark.parametrize("direction", ["up", "down"])
def test_the_server_gives_up_a_silent_link_at_last(direction: Literal["up", "down"]) -> None:
    pair = Pair()
    link = pair.opened()
    link.silence(4.0, [direction])
    other = Person(pair.environment)
    second = pair.network.open(
        Paths(NetworkConfig(latency=D), RandomStreams(0)).make(1), other, 1, QUERY | {"sender": "bob"}
    )
    for at in (10.0, 20.0):
        pair.environment.call_at(at, second.send, text(int(at), "bob"))
    pair.run(10.0 + D + GIVE_UP - 0.1)
    assert link.server_open
    pair.run(10.0 + D + GIVE_UP + 100)
    assert pair.server.seen[-1] == (10.0 + D + GIVE_UP, "leave")
    assert not link.server_open


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("sent_at", [4.0, 10.0])
def test_a_client_gives_up_a_silent_link_at_last(sent_at: float, direction: Literal["up", "down"]) -> None:
    pair = Pair()
    link = pair.opened()
    pair.environment.call_at(sent_at, link.send, text(1))
    pair.environment.call_at(4.1, lambda: link.silence(4.1, [direction]))
    pair.run(2000.0)
    gave_up_at = max(sent_at, 4.1) + GIVE_UP
    assert [one for one in pair.person.seen if isinstance(one[1], Closed)] == [(gave_up_at, Closed(1, LOST))]


def test_a_client_with_nothing_to_send_does_not_learn_of_silence() -> None:
    pair = Pair()
    link = pair.opened()
    link.silence(4.0, ["up", "down"])
    pair.run(2000.0)
    assert pair.person.seen == []


def test_connecting_fails_131_seconds_after_the_first_SYN() -> None:
    pair = Pair()
    pair.path.unreachable_until = 1000.0
    pair.open()
    pair.run(1000.0)
    assert pair.person.seen == [(131.0, Closed(1, UNREACHABLE))]


def test_a_partitioned_path_delays_and_loses_nothing() -> None:
    pair = Pair(Paths(NetworkConfig(latency=D), RandomStreams(0), lossy=True).make(0))
    link = pair.opened()
    pair.path.lose(0.0, 9.0)
    link.send(text(1))
    pair.run(20)
    # The only samples were of the handshake, and of the upgrade request: the time-out is 0.5 s and four
    # times 7/8 of 0.1875 s.
    wait = 0.5 + 4 * 0.234375
    assert [at for at, _ in pair.server.seen] == [pytest.approx(4 + 1.2 + 3 * wait + D)]
    assert len(pair.person.seen) == 1


def test_a_link_is_up_to_date_with_nothing_under_way() -> None:
    pair = Pair()
    link = pair.opened()
    link.send(text(1))
    pair.run(4 + 1.5 * D)
    assert not link.up_to_date
    pair.run(4 + 2 * D)
    pair.run(5)
    assert link.up_to_date


def test_tls_takes_one_more_round_trip() -> None:
    pair = Pair()
    pair.network.tls = True
    pair.open()
    pair.run(10)
    assert pair.server.seen == [(D, "SYN"), (5 * D, "upgrade")]
    assert pair.person.seen[0] == (6 * D, Opened(1))


def test_tls_waits_until_the_server_has_accepted() -> None:
    pair = Pair(accept_rate=0.5, overflow="refuse")
    pair.network.tls = True
    pair.open()
    pair.run(10)
    assert pair.server.seen == [(D, "SYN"), (D + 2.0 + 2 * D, "upgrade")]


def test_a_reset_before_the_SYN_is_answered_is_reported_as_one() -> None:
    """As the system's own error, not one of the library's."""
    pair = Pair()
    link = pair.open()
    pair.run(0.5 * D)
    link.reset()
    pair.run(10)
    assert pair.person.seen == [(1.5 * D, Closed(1, RESET))]


def test_bytes_sent_before_the_accept_are_read_even_if_the_client_has_closed() -> None:
    pair = Pair(accept_rate=0.5, overflow="refuse")
    link = pair.open()
    pair.run(4 * D)
    link.close(1006, "connect timeout")
    pair.run(10)
    assert pair.server.seen == [(D, "SYN"), (D + 2, "upgrade"), (D + 2, "leave")]
