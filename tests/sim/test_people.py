from __future__ import annotations

import numpy as np
import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.transports.machine import Connect, Disconnect, Submit


def script(*entries: tuple[float, str, str]) -> tuple[ScriptEntry, ...]:
    return tuple(
        ScriptEntry(at=at, person=person, action=what)  # type: ignore[arg-type]
        if what in ("connect", "disconnect")
        else ScriptEntry(at=at, person=person, text=what)
        for at, person, what in entries
    )


@pytest.mark.parametrize(
    ("count", "people", "names"),
    [
        (3, [], ["person-1", "person-2", "person-3"]),
        (3, ["ada", "bob", "ada"], ["ada", "bob", "person-3"]),
        (3, ["person-2"], ["person-1", "person-2", "person-3"]),
        (3, ["person-1", "ada"], ["person-1", "ada", "person-3"]),
        (2, ["person-9"], ["person-9", "person-2"]),
    ],
)
def test_names(count: int, people: list[str], names: list[str]) -> None:
    config = PeopleConfig(count=count, script=script(*((1.0, person, "hi") for person in people)))
    assert config.names == names


def test_a_script_with_too_many_people_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"PeopleConfig\.count: the script has 2 people \(ada, bob\), got 1"
    ):
        PeopleConfig(count=1, script=script((1.0, "ada", "hi"), (2.0, "bob", "hi")))


@pytest.mark.parametrize("entry", [{}, {"text": "hi", "action": "connect"}, {"text": ""}])
def test_a_script_entry_does_one_thing(entry: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="give either a text to send, or the action"):
        ScriptEntry(at=1.0, person="ada", **entry)  # type: ignore[arg-type]


def test_a_script_is_followed() -> None:
    entries = script(
        (2.0, "bob", "connect"), (3.0, "ada", "hi"), (4.0, "ada", "disconnect"), (5.0, "ada", "connect")
    )
    result = run(Scenario(duration=10.0, people=PeopleConfig(count=2, script=entries)))
    wanted = [
        (step.person, step.at, type(step.event))
        for step in result.steps()
        if isinstance(step.event, Connect | Disconnect | Submit)
    ]
    assert wanted == [
        ("ada", 0.0, Connect),
        ("bob", 2.0, Connect),
        ("ada", 3.0, Submit),
        ("ada", 4.0, Disconnect),
        ("ada", 5.0, Connect),
    ]
    assert result.metrics["delivered"] == 2


def test_people_are_spread_over_rooms() -> None:
    entries = script((1.0, "ada", "hi"), (1.0, "bob", "ho"), (1.0, "cy", "hey"))
    result = run(Scenario(duration=3.0, people=PeopleConfig(count=3, rooms=2, script=entries)))
    assert result.metrics["delivered"] == 2 * 2 + 1


@pytest.mark.slow
def test_arrivals_are_uniform_over_their_time() -> None:
    result = run(Scenario(duration=5.0, people=PeopleConfig(count=2_000, arrive_over=4.0)), sample=2_000)
    arrivals = np.sort([step.at for step in result.steps() if isinstance(step.event, Connect)]) / 4.0
    assert len(arrivals) == 2_000
    # Kolmogorov–Smirnov at 99.9 %.
    assert np.abs(arrivals - np.linspace(0, 1, len(arrivals))).max() < 1.95 / np.sqrt(len(arrivals))


@pytest.mark.slow
def test_sending_is_a_poisson_process() -> None:
    people = PeopleConfig(count=20, rooms=20, send_rate=2.0, message_size=7)
    result = run(Scenario(duration=100.0, people=people), sample=20)
    sent = [(step.person, step.at, step.event) for step in result.steps() if isinstance(step.event, Submit)]
    assert {event.message.size for _, _, event in sent} == {7}
    gaps = np.concatenate(
        [np.diff([at for person, at, _ in sent if person == name], prepend=0.0) for name in result.people]
    )
    assert abs(len(sent) - 4_000) < 4 * np.sqrt(4_000)
    # An exponential's mean is its standard deviation: four standard errors each.
    assert abs(gaps.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(gaps))
    assert abs(gaps.std() - 0.5) < 4 * 0.5 * np.sqrt(2) / np.sqrt(len(gaps))
    assert result.metrics["sent"] == len(sent)
