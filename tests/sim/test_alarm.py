from __future__ import annotations

import weakref
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from chatlab.sim.alarm import Alarm
from chatlab.sim.environment import LadderEnvironment


@given(st.lists(st.tuples(st.floats(0, 3), st.just(inf) | st.floats(0, 5)), max_size=20))
def test_it_rings_exactly_at_each_deadline_that_was_not_moved(moves: list[tuple[float, float]]) -> None:
    environment = LadderEnvironment()
    rung: list[float] = []
    alarm = Alarm(environment, lambda: rung.append(environment.now))
    now, expected, deadline = 0.0, list[float](), inf
    for gap, wait in moves:
        now += gap
        if deadline < now:
            expected.append(deadline)
        deadline = now + wait
        environment.call_at(now, alarm.set, deadline)
    if deadline < inf:
        expected.append(deadline)
    environment.run()
    assert rung == expected
    assert alarm.deadline == inf


def test_a_deadline_that_moves_to_later_needs_no_further_entry() -> None:
    environment = LadderEnvironment()
    alarm = Alarm(environment, lambda: None)
    for deadline in (5.0, 6.0, 7.0):
        alarm.set(deadline)
    assert environment.pending == 1


def test_a_cancelled_alarm_never_rings_and_drops_its_callback() -> None:
    class Sleeper:
        def wake(self) -> None:
            raise AssertionError

    environment, sleeper = LadderEnvironment(), Sleeper()
    alarm, watched = Alarm(environment, sleeper.wake), weakref.ref(sleeper)
    alarm.set(3.0)
    alarm.cancel()
    del sleeper
    assert watched() is None
    alarm.set(4.0)
    environment.run()
    assert environment.now == 4.0
