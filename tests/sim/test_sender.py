"""The model of TCP's sender: latency, order, slow start, narrow lines, and lost segments."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.random_streams import RandomStreams
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.path import Path, Paths
from chatlab.sim.retransmission import SEGMENT
from chatlab.sim.sender import Sender

D = 0.25


def sender(numbers: Sequence[float] = (), *, lossy: bool = False, bandwidth: float | None = None) -> Sender:
    """Return a sender after its handshake; `numbers` are the random numbers of its segments and acks."""
    path = Paths(NetworkConfig(latency=D, bandwidth=bandwidth), RandomStreams(0), lossy=lossy).make(0)
    if numbers:
        drawn = iter(numbers)
        path.lose_up = lambda: next(drawn)
    one = Sender(path, "up")
    if one.timer is not None:
        one.timer.begin(2 * D)
    return one


def send(one: Sender, now: float, size: int = 48) -> float:
    return one.send(now, size, lambda: D, D)


def lose(one: Sender, share: float, until: float = inf) -> Path:
    path: Path = one._path
    path.lose(0.0, until, share)
    return path


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1))
def test_nothing_overtakes(packets: list[tuple[float, float]]) -> None:
    one, now, last = sender(), 0.0, 0.0
    for gap, delay in packets:
        now += gap
        last, before = one.send(now, 10, lambda delay=delay: delay, D), last  # type: ignore[misc]
        assert last >= before
        assert last in (now + one.delay, before)


# Slow start


@pytest.mark.parametrize(
    ("segments", "round_trips"), [(1, 0), (10, 0), (11, 1), (30, 1), (31, 2), (70, 2), (71, 3), (667, 6)]
)
@pytest.mark.parametrize("writes", [1, 7])
def test_the_window_doubles_each_round_trip(segments: int, round_trips: int, writes: int) -> None:
    """966 kB are 667 segments."""
    one = sender()
    size = segments * SEGMENT
    parts = [size // writes] * (writes - 1)
    for part in [*parts, size - sum(parts)]:
        at = send(one, 1.0, part)
    assert at == 1.0 + round_trips * 2 * D + D


def test_what_is_small_enough_for_the_window_leaves_in_the_first_round_trip() -> None:
    one = sender()
    assert [send(one, 1.0, 10 * SEGMENT), send(one, 1.0, 1)] == [1 + D, 1 + 3 * D]


def test_a_burst_that_goes_on_waits_for_nothing_that_has_been_acknowledged() -> None:
    one = sender()
    send(one, 0.0, 10 * SEGMENT)
    assert send(one, 0.5 - 2**-20, 20 * SEGMENT) == pytest.approx(0.5 + D)
    assert send(one, 10.0, 11 * SEGMENT) == 10 + 3 * D  # It begins with ten again.


def test_a_narrow_line_is_used_while_the_window_grows() -> None:
    one = sender(bandwidth=10.0 * SEGMENT)  # Ten segments take a second, so the window never holds them back.
    assert send(one, 0.0, 30 * SEGMENT) == pytest.approx(3.0 + D)
    one = sender(bandwidth=40.0 * SEGMENT)
    assert send(one, 0.0, 30 * SEGMENT) == pytest.approx(0.5 + 0.5 + D)  # Ten; a pause until 0.5 s; twenty.
    assert send(one, 0.5, 0) == pytest.approx(1.0 + D)


# Loss


@pytest.mark.parametrize(
    ("lost", "sent_again"),
    [
        (0, 0.0),
        (1, 1.2),  # by the probe, after two round trips and 0.2 s
        (2, 1.2 + 1.5),  # by the timer: the round trip, and four times half of it
        (3, 1.2 + 1.5 + 3.0),
        (4, 1.2 + 1.5 + 3.0 + 6.0),
    ],
)
def test_a_segment_that_is_lost_some_times_is_sent_again_after_waits_that_double(
    lost: int, sent_again: float
) -> None:
    one = sender([0.5 ** (lost + 0.5), 1.0], lossy=True)
    lose(one, 0.5)
    assert send(one, 1.0) == pytest.approx(1.0 + sent_again + D)


def test_a_loss_that_ends_meanwhile_counts_no_more() -> None:
    one = sender([0.01, 1.0], lossy=True)
    lose(one, 0.5, until=3.0)
    assert send(one, 1.0) == pytest.approx(1.0 + 2.7 + D)


def test_a_partition_loses_everything() -> None:
    one = sender([0.6, 1.0], lossy=True)
    lose(one, 0.5).lose(0.0, 2.0)
    assert send(one, 1.0) == pytest.approx(1.0 + 1.2 + D)


def test_what_is_sent_again_in_vain_until_TCP_gives_up_never_arrives_nor_does_anything_behind_it() -> None:
    """The round trip takes 0.5 s, and the time-out 1.5 s: probe and first time-out at 1.2 and 2.7 s, then
    after 3, 6 … 96 s and seven times 120 s."""
    one = sender(lossy=True)
    assert one.timer is not None
    one._path.lose(0.0, 2000.0)
    assert send(one, 0.0) == inf
    assert one.timer.gives_up_at == pytest.approx(2.7 + 3 * (2**6 - 1) + 7 * 120)
    assert send(one, 3000.0) == inf


def test_each_segment_of_a_packet_may_be_lost() -> None:
    one = sender([0.9, 1.0, 0.9, 1.0, 0.4, 1.0], lossy=True)
    lose(one, 0.5)
    assert send(one, 1.0, SEGMENT) == 1 + D
    assert send(one, 1.0, SEGMENT // 2) == 1 + D
    assert send(one, 1.0, SEGMENT // 2) == 1 + D  # in the same segment
    assert send(one, 1.0, 1) == pytest.approx(1 + 1.2 + D)
    assert send(one, 1.0, 1) == pytest.approx(1 + 1.2 + D)


def test_what_is_lost_behind_a_loss_is_sent_again_when_that_one_is_acknowledged() -> None:
    one = sender([0.4, 1.0, 0.2, 1.0], lossy=True)
    lose(one, 0.5)
    assert send(one, 0.0) == pytest.approx(1.2 + D)
    assert send(one, 1.3) == pytest.approx(1.2 + 2 * D + 1.5 + D)  # lost again: by the timer then


def test_what_is_lost_before_the_loss_in_front_of_it_is_found_has_a_probe_of_its_own() -> None:
    one = sender([0.4, 1.0, 0.4, 1.0], lossy=True)
    lose(one, 0.5)
    assert send(one, 0.0) == pytest.approx(1.2 + D)
    assert send(one, 0.1) == pytest.approx(0.1 + 1.2 + D)


def test_a_lost_ack_makes_the_round_trip_look_longer() -> None:
    one = sender([1.0, 0.3, 0.4, 1.0], lossy=True)
    lose(one, 0.5)
    assert send(one, 0.0) == D
    # A sample of 1.7 s: the mean is 0.5 + 1.2/8, the deviation 0.25 + (1.2 − 0.25)/4, both of the handshake.
    assert send(one, 5.0) == pytest.approx(5.0 + min(2 * 0.65 + 0.2, 0.65 + 4 * 0.4875) + D)


@pytest.mark.parametrize(("answer_lost", "wait"), [(False, 0.0), (True, 1.0)])
def test_a_SYN_ACK_is_sent_again_at_the_times_of_the_SYN(answer_lost: bool, wait: float) -> None:
    one = sender([0.4 if answer_lost else 0.6], lossy=True)
    lose(one, 0.5)
    assert one.syn_ack(2.0, lambda: D) == 2.0 + wait + D
    one = sender(lossy=True)
    one._path.lose(0.0, 100.0)
    assert one.syn_ack(2.0, lambda: D) == inf


def test_as_many_segments_are_lost_as_the_network_loses() -> None:
    path = Paths(NetworkConfig(latency=D, loss=0.1), RandomStreams(7)).make(0)
    one = Sender(path, "up")
    assert one.timer is not None
    one.timer.begin(2 * D)
    late = sum(send(one, 20.0 * number) > 20 * number + D + 1e-9 for number in range(4000))
    assert late == pytest.approx(400, abs=4 * (4000 * 0.09) ** 0.5)


def test_a_segment_that_waits_on_a_narrow_line_until_the_loss_before_it_is_mended_has_a_probe() -> None:
    one = sender([0.4, 1.0, 0.4, 1.0], lossy=True, bandwidth=100.0)
    lose(one, 0.5)
    assert send(one, 0.0, 0) == pytest.approx(1.2 + D)
    # It leaves 3 s later; the ack of the first one came after 1.7 s.
    assert send(one, 1.3, 300) == pytest.approx(1.3 + 3.0 + 1.2 + D)
