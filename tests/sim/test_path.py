"""What troubles do to a path; without any it's tested with latencies."""

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
