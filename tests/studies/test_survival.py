from __future__ import annotations

from math import inf

import pytest

from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import ReconnectConfig
from chatlab.sim.faults import ConnectionReset, ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import WebSocketSettings
from chatlab.studies import Absence, absences, kaplan_meier


@pytest.fixture(scope="module")
def result() -> Run:
    """People who try to reconnect every second, and lose the server for some seconds, two until the end."""
    downs = {
        "person-1": (10.5, 5.0),
        "person-2": (20.5, 10.0),
        "person-3": (57.5, 9.0),
        "person-4": (40.5, 7.0),
    }
    downs["person-5"] = (52.5, 9.0)
    return run(
        Scenario(
            duration=60.0,
            people=PeopleConfig(count=6),
            network=NetworkConfig(latency=0.0),
            transport=WebSocketSettings(
                reconnect=ReconnectConfig(schedule=((1.0, 1.0),), max_attempts=None),
            ),
            faults=tuple(
                ServerDown(at=at, duration=seconds, people=(person,))
                for person, (at, seconds) in downs.items()
            ),
        )
    )


def test_kaplan_meier_by_hand_on_one_run(result: Run) -> None:
    found = sorted((round(absence.seconds, 6), absence.back) for absence in absences(result))
    assert found == [(2.5, False), (5.0, True), (7.0, True), (7.5, False), (10.0, True)]
    # Of four who are away for 5 s or more one comes back then: 3/4 remain away. Of three who are away for 7 s
    # or more one comes back: 3/4 · 2/3 = 1/2. The only one who was seen away for 10 s comes back.
    seconds, shares = kaplan_meier(absences(result))
    assert seconds == pytest.approx([5.0, 7.0, 10.0])
    assert shares == pytest.approx([1 / 4, 1 / 2, 1.0])


def test_those_who_give_up_stay_away() -> None:
    lost = [
        Absence(3.0, back=True),
        Absence(3.0, back=False),
        Absence(inf, back=False),
        Absence(4.0, back=True),
    ]
    seconds, shares = kaplan_meier(lost)
    assert seconds == [3.0, 4.0]
    assert shares == pytest.approx([1 / 4, 1 - 3 / 4 * 1 / 2])
    assert kaplan_meier([]) == ([], [])
    assert kaplan_meier(lost[2:3]) == ([], [])


def test_who_gives_up_or_leaves_is_not_seen_to_come_back() -> None:
    people = PeopleConfig(count=2, script=(ScriptEntry(at=12.5, person="person-1", action="disconnect"),))
    settings = {
        "person-1": ReconnectConfig(schedule=((9.0, 9.0),)),
        "person-2": ReconnectConfig(enabled=False),
    }
    for person, expected in (("person-1", Absence(2.5, back=False)), ("person-2", Absence(inf, back=False))):
        scenario = Scenario(
            duration=60.0,
            people=people,
            network=NetworkConfig(latency=0.0),
            transport=WebSocketSettings(reconnect=settings[person]),
            faults=(ConnectionReset(at=10.0, people=(person,)),),
        )
        assert absences(run(scenario)) == [expected]
