"""Impairments of a path; unimpaired paths are tested with latencies."""

from __future__ import annotations

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
    assert there.leave("up", 0.0, 100) == 2.0
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


def test_independent_losses_add_up_for_as_long_as_they_last() -> None:
    there = path(loss=0.1)
    there.lose(10.0, 20.0, 0.5)
    assert there.loss_at(9.0) == pytest.approx(0.1)
    assert there.loss_at(10.0) == there.loss_at(19.0) == pytest.approx(1 - 0.9 * 0.5)
    assert there.loss_at(20.0) == pytest.approx(0.1)
    there.lose(15.0, 30.0)
    assert there.loss_at(15.0) == there.loss_at(29.0) == 1.0
    assert there.loss_at(30.0) == pytest.approx(0.1)


def test_numbers_are_drawn_only_where_packets_may_be_lost() -> None:
    assert not path().lossy
    assert path().lose_up() == path().lose_down() == 0.5
    there = path(loss=0.1)
    assert there.lossy
    assert there.lose_up() != there.lose_down()
    assert Paths(NetworkConfig(), RandomStreams(0), lossy=True).make(0).lossy


def test_two_equal_impairments_are_two() -> None:
    there = path()
    one, other = Impairment(mute=True), Impairment(mute=True)
    there.add_impairment(one)
    there.add_impairment(other)
    there.remove_impairment(one)
    assert there.impairment.mute


def test_bytes_leave_one_after_the_other_in_each_direction() -> None:
    there = path(bandwidth=100.0)
    assert there.leave("up", 1.0, 100) == 2.0
    assert there.leave("up", 1.0, 50) == 2.5
    assert there.leave("down", 1.0, 50) == 1.5
    assert there.leave("up", 9.0, 50) == 9.5
    assert path().leave("up", 1.0, 50) == 1.0


@pytest.mark.parametrize("count", [1, 3])
def test_people_do_not_share_a_line(count: int) -> None:
    paths = Paths(NetworkConfig(latency=0.25, bandwidth=100.0), RandomStreams(0))
    all_of_them = [paths.make(person) for person in range(count)]
    assert [one.leave("up", 0.0, 100) for one in all_of_them] == [1.0] * count
