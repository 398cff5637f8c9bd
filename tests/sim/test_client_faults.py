"""Faults of a client's computer: a hidden tab, a closed lid, another network. See also `test_faults.py`."""

from __future__ import annotations

from math import inf
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.compare import compare
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.random_streams import RandomStreams
from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults import AnyFault, HalfOpen, NetworkChange, Partition, ServerDown, Suspended, Throttled
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.timers import Timers
from chatlab.sim.transport_settings import ShortPollingSettings
from chatlab.transports.machine import Deliver, Fetch, Send, Submit
from tests.sim.test_faults import D, connected, happen

HI = (ScriptEntry(at=20.0, person="person-1", text="hi"),)


def pings(result: Run, person: str = "person-1") -> list[float]:
    return [
        step.at for step in result.steps(person) for effect in step.effects
        if isinstance(effect, Send) and '"ping"' in str(effect.data)
    ]  # fmt: skip


def shown(result: Run, person: str) -> list[float]:
    return [step.at for step in result.steps(person) if any(type(e) is Deliver for e in step.effects)]


# A hidden tab


def test_timers_fire_only_every_period_and_arrivals_are_handled_at_once() -> None:
    result = happen(Throttled(at=5.0, duration=40.0, period=7.0), script=HI)
    # Connected at 1, so pings are due at 11, 22, 36 and 50: the last when the fault is over.
    assert pings(result) == [12.0, 26.0, 40.0, 50.0]
    assert shown(result, "person-2") == [20 + 2 * D]
    assert connected(result, "person-1") == [(1.0, 60.0)]


def test_all_that_is_overdue_fires_when_the_tab_is_visible_again() -> None:
    assert pings(happen(Throttled(at=5.0, duration=10.0)))[0] == 15.0


def test_a_dead_connection_is_found_late() -> None:
    result = happen(Throttled(at=5.0, duration=60.0, period=7.0), NetworkChange(at=10.0))
    # The ping of 12 stays unanswered at 19. The attempt of 20 begins at 26.
    assert connected(result, "person-1") == [(1.0, 19.0), (26 + 4 * D, 60.0)]


def test_a_timer_fires_when_all_of_several_throttles_let_it() -> None:
    result = happen(
        Throttled(at=5.0, duration=50.0, period=4.0), Throttled(at=5.0, duration=50.0, period=6.0)
    )
    assert pings(result)[:2] == [17.0, 29.0]


def test_a_poll_waits_for_a_hidden_tab() -> None:
    scenario = Scenario(
        duration=30.0,
        people=PeopleConfig(count=1),
        network=NetworkConfig(latency=D),
        transport=ShortPollingSettings(interval=3.0),
        faults=(Throttled(at=0.0, duration=21.0, period=10.0),),
    )
    result = run(scenario, sample=1)
    asked = [step.at for step in result.steps() for effect in step.effects if isinstance(effect, Fetch)]
    assert asked == [0.0, 10.0, 20.0, 23.0, 26.0, 29.0]


def test_rounding_delays_no_timer_by_a_period() -> None:
    """A timer that is due at a wake-up, as far as floats tell, fires at it."""
    fault = Throttled(at=0.1, duration=1e6, period=0.3)
    for number in range(1000):
        at = fault.fires_at(0.1 + number * 0.3 - 0.01)
        assert fault.fires_at(at) == at


# A closed lid


def test_a_suspended_computer_sends_nothing_and_does_all_that_is_overdue_at_the_end() -> None:
    result = happen(Suspended(at=15.0, duration=20.0, people=("person-1",)), script=HI)
    # Connected at 1, and the second ping was due at 21.
    assert pings(result) == [11.0, 35.0, 45.0, 55.0]
    assert connected(result, "person-1") == [(1.0, 60.0)]
    [said] = [step.at for step in result.steps("person-1") if isinstance(step.event, Submit)]
    assert said == 35.0
    assert shown(result, "person-2") == [35 + 2 * D]


def test_it_gets_what_was_sent_meanwhile_when_tcp_sends_it_again() -> None:
    asleep = happen(Suspended(at=15.0, duration=20.0, people=("person-2",)), script=HI)
    cut_off = happen(Partition(at=15.0, duration=20.0, people=("person-2",)), script=HI)
    [at] = shown(asleep, "person-2")
    assert at > 35
    assert asleep.metrics["lost"] == 0
    # In a partition the ping of 21 finds the connection dead. After a sleep the ping of 35 does: its pong
    # waits behind the message, which the server's TCP sends again less and less often.
    assert connected(cut_off, "person-2")[0] == (1.0, 24.0)
    assert connected(asleep, "person-2")[0] == (1.0, 38.0)


def test_somebody_who_comes_while_suspended_comes_at_the_end() -> None:
    for fault in (Suspended(at=0.0, duration=7.0), Suspended(at=0.0, duration=1e3)):
        result = happen(fault)
        begun = [step.at for step in result.steps("person-1")][:1]
        assert begun == ([7.0] if fault.duration == 7 else [])


def test_a_suspended_tab_that_is_hidden_too_waits_for_both() -> None:
    result = happen(Throttled(at=5.0, duration=50.0, period=7.0), Suspended(at=10.0, duration=11.0))
    assert pings(result)[0] == 26.0


# Another network


def test_a_changed_network_leaves_connections_half_open_and_lets_new_ones_in() -> None:
    result = happen(NetworkChange(at=15.0, people=("person-1",)))
    assert connected(result, "person-1") == [(1.0, 24.0), (24 + 1 + 4 * D, 60.0)]
    assert connected(result, "person-2") == [(1.0, 60.0)]
    same = happen(HalfOpen(at=15.0, people=("person-1",)))
    assert result.metrics == same.metrics


def test_a_connection_that_is_being_opened_is_lost_too() -> None:
    result = happen(NetworkChange(at=D))
    assert connected(result, "person-1")[0][0] > 10.0


# What metrics ask of them, and their settings


def test_metrics_know_how_they_break_connections() -> None:
    known = {
        fault.kind: (fault.severity, fault.deaf_until, fault.loses, fault.end_at, fault.leaves_half_open)
        for fault in (
            NetworkChange(at=2.0), Suspended(at=2.0, duration=3.0), Throttled(at=2.0, duration=3.0)
        )
    }  # fmt: skip
    assert known == {
        "network_change": (2, inf, False, 2.0, True),
        "suspended": (1, 5.0, True, 5.0, False),
        "throttled": (1, -inf, False, 5.0, False),
    }


def test_recovery_counts_from_the_end_of_a_sleep() -> None:
    outage = ServerDown(at=20.0, duration=2.0)
    result = happen(Suspended(at=15.0, duration=20.0), outage, count=1)
    assert result.metrics["broken"] == 1
    assert 0 < (result.metrics["recovery_p50"] or 0) < 20


@pytest.mark.parametrize("period", [0.0, -1.0, inf, float("nan"), 1e-9])
def test_a_period_is_checked(period: float) -> None:
    with pytest.raises(SettingsError, match=r"^Throttled\.period: give a number"):
        Throttled(at=0.0, duration=1.0, period=period)


def test_timers_forget_a_delay_that_is_over() -> None:
    timers = Timers()
    assert not timers.delayed
    delay = Throttled(at=0.0, duration=10.0, period=4.0).fires_at
    timers.add(delay)
    assert timers.delayed
    assert timers.fires_at(1.0) == 4.0
    timers.remove(delay)
    assert (timers.delayed, timers.fires_at(1.0)) == (False, 1.0)


@pytest.mark.parametrize(
    "faults",
    [
        (Suspended(at=10.5, duration=12.0),),
        (Throttled(at=5.0, duration=40.0, period=7.0), Suspended(at=16.0, duration=11.0)),
        (Throttled(at=0.0, duration=1e3, period=3.0), NetworkChange(at=15.0)),
    ],
    ids=["suspended", "both", "for ever"],
)
def test_armed_timers_are_late_on_the_wire_too(faults: tuple[AnyFault, ...]) -> None:
    model, wire = happen(*faults, script=HI), happen(*faults, script=HI, world="wire")
    assert compare(model, wire), str(compare(model, wire))


def test_timers_are_free_again_when_the_fault_is_over() -> None:
    """So that heartbeats of large crowds can be left out again."""
    timers = Timers()
    target = SimpleNamespace(timers=timers, person=0)
    context = FaultContext(cast(Any, None), [cast(Any, target)], RandomStreams(0), 0)
    steps = Throttled(at=0.0, duration=5.0).inject(context)
    assert (next(steps), timers.delayed) == (5.0, True)
    assert list(steps) == []
    assert not timers.delayed


@pytest.mark.parametrize(
    "fault",
    [Suspended(at=4.0, duration=5.0), Throttled(at=0.0, duration=25.0, period=7.3), NetworkChange(at=4.0)],
    ids=lambda fault: fault.kind,
)
def test_they_can_be_seen_live(fault: Suspended | Throttled | NetworkChange) -> None:
    scenario = Scenario(
        duration=30.0, people=PeopleConfig(count=2), network=NetworkConfig(latency=D), faults=(fault,)
    )
    model, live = run(scenario, sample=2), run(scenario, "live", sample=2, time_scale=50.0)
    assert compare(model, live), str(compare(model, live))
