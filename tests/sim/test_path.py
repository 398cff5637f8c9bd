"""Troubles of a path; paths without any are tested with latencies."""

from __future__ import annotations

from math import inf

import pytest

from chatlab.luck import Luck
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.path import NO_TROUBLE, Path, Paths, Trouble


def path(**network: float) -> Path:
    return Paths(NetworkConfig(latency=0.25, **network), Luck(0)).make(0)  # type: ignore[arg-type]


def test_troubles_add_up_and_go_again_in_any_order() -> None:
    there = path()
    assert there.trouble is NO_TROUBLE
    one = Trouble(delays=(lambda: 1.0,), bandwidth=100.0, error=(503, None), work=0.5)
    other = Trouble(delays=(lambda: 2.0,), bandwidth=50.0, idle_timeout=9.0, error=(429, 2.0), work=0.5)
    there.suffer(one)
    there.suffer(other)
    both = there.trouble
    assert (both.bandwidth, both.idle_timeout, both.error, both.work) == (50.0, 9.0, (429, 2.0), 1.0)
    assert there.delay(lambda: 0.25) == 3.0 + 0.25
    assert there.troubled_arrival("up", 0.0, 0.25, 100, -inf) == 2.0 + 0.25
    there.recover(one)
    assert (there.trouble.bandwidth, there.trouble.error, there.trouble.work) == (50.0, (429, 2.0), 0.5)
    there.recover(other)
    assert there.trouble is NO_TROUBLE


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_troubles_the_worse_one_counts_whichever_came_first(order: int) -> None:
    there = path()
    worse = Trouble(bandwidth=50.0, idle_timeout=9.0, buffer=10.0, work=1.0)
    for trouble in [worse, Trouble(bandwidth=100.0, idle_timeout=20.0, buffer=5.0, work=0.5)][::order]:
        there.suffer(trouble)
    both = there.trouble
    assert (both.bandwidth, both.idle_timeout, both.buffer, both.work) == (50.0, 9.0, 10.0, 1.5)


@pytest.mark.parametrize(("cut_until", "sent_at"), [(2.0, 3.0), (60.0, 63.0), (120.0, 123.0), (400.0, 423.0)])
def test_what_is_cut_off_is_sent_again_after_twice_the_time_but_a_minute_at_most(
    cut_until: float, sent_at: float
) -> None:
    there = path()
    there.cut_until = cut_until
    assert there.arrival(0.0, 0.25, -inf) == sent_at + 0.25


def test_two_equal_troubles_are_two() -> None:
    there = path()
    one, other = Trouble(mute=True), Trouble(mute=True)
    there.suffer(one)
    there.suffer(other)
    there.recover(one)
    assert there.trouble.mute


def test_bytes_leave_one_after_the_other_in_each_direction() -> None:
    there = path(bandwidth=100.0)
    assert there.troubled_arrival("up", 1.0, 0.25, 100, -inf) == 2.25
    assert there.troubled_arrival("up", 1.0, 0.25, 50, -inf) == 2.75
    assert there.troubled_arrival("down", 1.0, 0.25, 50, -inf) == 1.75
    assert there.troubled_arrival("up", 9.0, 0.25, 50, -inf) == 9.75


@pytest.mark.parametrize("count", [1, 3])
def test_people_do_not_share_a_line(count: int) -> None:
    paths = Paths(NetworkConfig(latency=0.25, bandwidth=100.0), Luck(0))
    all_of_them = [paths.make(person) for person in range(count)]
    assert [one.troubled_arrival("up", 0.0, 0.0, 100, -inf) for one in all_of_them] == [1.0] * count
