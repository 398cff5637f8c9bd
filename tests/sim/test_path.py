"""Impairments of a path; unimpaired paths are tested with latencies."""

from __future__ import annotations

from math import inf

import pytest

from chatlab.random_streams import RandomStreams
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.path import UNIMPAIRED, Impairment, Path, Paths


def path(**network: float) -> Path:
    return Paths(NetworkConfig(latency=0.25, **network), RandomStreams(0)).make(0)  # type: ignore[arg-type]


def test_impairments_add_up_and_are_removed_in_any_order() -> None:
    there = path()
    assert there.impairment is UNIMPAIRED
    one = Impairment(delays=(lambda: 1.0,), bandwidth=100.0, error=(503, None), work=0.5)
    other = Impairment(delays=(lambda: 2.0,), bandwidth=50.0, idle_timeout=9.0, error=(429, 2.0), work=0.5)
    there.add_impairment(one)
    there.add_impairment(other)
    both = there.impairment
    assert (both.bandwidth, both.idle_timeout, both.error, both.work) == (50.0, 9.0, (429, 2.0), 1.0)
    assert there.delay(lambda: 0.25) == 3.0 + 0.25
    assert there.impaired_arrival("up", 0.0, 0.25, 100, -inf) == 2.0 + 0.25
    there.remove_impairment(one)
    assert (there.impairment.bandwidth, there.impairment.error, there.impairment.work) == (
        50.0,
        (429, 2.0),
        0.5,
    )
    there.remove_impairment(other)
    assert there.impairment is UNIMPAIRED


@pytest.mark.parametrize("order", [1, -1])
def test_the_worse_of_two_impairments_counts_in_either_order(order: int) -> None:
    there = path()
    worse = Impairment(bandwidth=50.0, idle_timeout=9.0, buffer=10.0, work=1.0)
    for impairment in [worse, Impairment(bandwidth=100.0, idle_timeout=20.0, buffer=5.0, work=0.5)][::order]:
        there.add_impairment(impairment)
    both = there.impairment
    assert (both.bandwidth, both.idle_timeout, both.buffer, both.work) == (50.0, 9.0, 10.0, 1.5)


@pytest.mark.parametrize(
    ("partitioned_until", "sent_at"), [(2.0, 3.0), (60.0, 63.0), (120.0, 123.0), (400.0, 423.0)]
)
def test_retransmission_time_outs_double_up_to_a_minute(partitioned_until: float, sent_at: float) -> None:
    there = path()
    there.partitioned_until = partitioned_until
    assert there.arrival(0.0, 0.25, -inf) == sent_at + 0.25


def test_two_equal_impairments_are_two() -> None:
    there = path()
    one, other = Impairment(mute=True), Impairment(mute=True)
    there.add_impairment(one)
    there.add_impairment(other)
    there.remove_impairment(one)
    assert there.impairment.mute


def test_bytes_leave_one_after_the_other_in_each_direction() -> None:
    there = path(bandwidth=100.0)
    assert there.impaired_arrival("up", 1.0, 0.25, 100, -inf) == 2.25
    assert there.impaired_arrival("up", 1.0, 0.25, 50, -inf) == 2.75
    assert there.impaired_arrival("down", 1.0, 0.25, 50, -inf) == 1.75
    assert there.impaired_arrival("up", 9.0, 0.25, 50, -inf) == 9.75


@pytest.mark.parametrize("count", [1, 3])
def test_people_do_not_share_a_line(count: int) -> None:
    paths = Paths(NetworkConfig(latency=0.25, bandwidth=100.0), RandomStreams(0))
    all_of_them = [paths.make(person) for person in range(count)]
    assert [one.impaired_arrival("up", 0.0, 0.0, 100, -inf) for one in all_of_them] == [1.0] * count
