"""Barriers: the next fault, and the end of the run under way."""

from __future__ import annotations

from math import inf

from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.fast.barriers import Barriers


def test_the_next_barrier_is_the_next_fault_or_the_end() -> None:
    environment = LadderEnvironment()
    barriers = Barriers(environment, lambda step: None)
    seen: list[tuple[float, float]] = []

    def look() -> None:
        ahead = barriers.next
        seen.append((environment.now, barriers.look()))
        assert barriers.safe_until == ahead == seen[-1][1]

    for at in (3.0, 2.0):
        barriers.call_at(at, str, None)
    for at in (1.0, 2.5, 3.5, 4.0):
        environment.call_at(at, look)
    environment.call_at(1.5, lambda: barriers.call_at(3.75, str, None))
    assert barriers.safe_until == barriers.look() == -inf, "no end is known"
    barriers.set_end(3.875)
    environment.run(until=3.875)
    barriers.set_end(-inf)
    environment.run()
    assert seen == [(1.0, 2.0), (2.5, 3.0), (3.5, 3.75), (4.0, -inf)]


def test_a_new_fault_brings_the_barrier_nearer_at_once() -> None:
    barriers = Barriers(LadderEnvironment(), lambda step: None)
    barriers.set_end(5.0)
    barriers.call_at(2.0, str, None)
    assert barriers.safe_until == 2.0


def test_everybody_is_prepared_just_before_a_fault() -> None:
    environment = LadderEnvironment()
    seen: list[str] = []
    barriers = Barriers(environment, lambda step: seen.append(f"before the {step}"))
    barriers.call_at(2.0, seen.append, "fault")
    environment.run()
    assert seen == ["before the fault", "fault"]
    assert barriers.now == 2.0
