"""Running a scenario: choice of the world, and progress."""

from __future__ import annotations

import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.library import load_scenario
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.sim.people import PeopleConfig


@pytest.mark.slow
def test_a_watched_run_is_the_same_run() -> None:
    scenario = load_scenario("thundering_herd").replace(duration=77.7, people=PeopleConfig(count=100))
    seen: list[float] = []
    watched = run(scenario, watch=seen.append)
    assert watched.to_json_lines() == run(scenario).to_json_lines()
    assert len(seen) == 1000
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(77.7)


def test_a_progress_callback_may_end_the_run() -> None:
    def enough(now: float) -> None:
        if now > 3.0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Scenario(duration=1e6), watch=enough)


def test_more_steps_than_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario.from_toml("duration = 9.0\npeople = { count = 3, send_rate = 1.0 }")
    steps = len(run(scenario).trace)
    monkeypatch.setattr("chatlab.sim.recorder.MOST_STEPS", steps)
    run(scenario)
    monkeypatch.setattr("chatlab.sim.recorder.MOST_STEPS", steps - 1)
    with pytest.raises(SettingsError, match=rf"took more than {steps - 1} steps, the last at \d.* s; record"):
        run(scenario)
    run(scenario, sample=1)


def test_the_wire_world_names_its_limit() -> None:
    scenario = Scenario(people=PeopleConfig(count=10_001))
    with pytest.raises(SettingsError, match="the wire world holds at most 10,000 people, got 10,001"):
        run(scenario, "wire")


def test_an_unknown_world_is_reported_with_the_choices() -> None:
    with pytest.raises(SettingsError, match="no 'moon'; choose one of model, wire, live"):
        run(Scenario(), "moon")
