"""A dialect that greets, in all worlds: chatlab's server speaks it, as its frames are chatlab's."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab import compare, run
from chatlab.dialects import DIALECTS
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.model_world import run_model
from chatlab.messages import ConnectionStatus
from chatlab.sim.faults import ServerDown
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import LongPollingSettings, SSESettings, WebSocketSettings
from chatlab.transports.machine import Notify, Opened, Received, Send
from tests.dialects.greeting import GreetingDialect

TRANSPORTS: dict[str, Any] = {
    "websocket": WebSocketSettings,
    "sse": SSESettings,
    "long_polling": LongPollingSettings,
}


def greeting_scenario(**changes: Any) -> Scenario:
    script = (ScriptEntry(at=0.0, person="ada", text="early"), ScriptEntry(at=5.0, person="bob", text="late"))
    settings: dict[str, Any] = {
        "name": "greeting",
        "duration": 12.0,
        "transport": WebSocketSettings(dialect="greeting"),
        "people": PeopleConfig(count=2, script=script),
        "faults": (ServerDown(at=4.1, duration=2.0),),
    }
    return Scenario(**(settings | changes))


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIALECTS, "greeting", GreetingDialect())


def order(result: Run, person: str) -> list[str]:
    """Return what a person's machine did until it was connected first."""
    kinds = []
    for step in result.trace:
        if step.person != person:
            continue
        if isinstance(step.event, Opened | Received):
            kinds.append(type(step.event).__name__)
        for effect in step.effects:
            if isinstance(effect, Send):
                kinds.append(effect.data[:14])
            if isinstance(effect, Notify) and effect.change.status is ConnectionStatus.CONNECTED:
                return [*kinds, "connected"]
    return kinds


EXPECTED = ["Opened", "Received", '{"type":"ping"', "Received", "connected"]


@pytest.mark.parametrize("world", ["model", "wire", "live"])
def test_each_world_waits_for_the_greeting_and_loses_nothing(world: str) -> None:
    changes: dict[str, Any] = {} if world != "live" else {"duration": 2.0, "faults": ()}
    result = run(greeting_scenario(**changes), world=world)
    assert order(result, "ada") == order(result, "bob") == EXPECTED
    assert 0 < (result.metrics["sent"] or 0) == result.metrics["acked"]
    assert result.metrics["lost"] == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_model_and_wire_agree_on_a_greeting(transport: str) -> None:
    scenario = greeting_scenario(transport=TRANSPORTS[transport](dialect="greeting"))
    model = run(scenario)
    assert compare(model, run(scenario, world="wire"))
    assert model.metrics["sent"] == model.metrics["acked"] == 2
    assert model.metrics["lost"] == 0


@pytest.mark.proof
def test_over_http_a_greeting_works_live() -> None:
    scenario = greeting_scenario(transport=LongPollingSettings(dialect="greeting"), duration=2.0, faults=())
    assert run(scenario, world="live").metrics["acked"] == 1


def test_the_short_cuts_change_no_figure_of_a_greeting() -> None:
    crowd = greeting_scenario(people=PeopleConfig(count=60, arrive_over=3.0))
    fast, plain = (run_model(crowd, 0, fast=fast).metrics for fast in (True, False))
    assert fast == plain
    assert (fast["attempts"] or 0) > 60
