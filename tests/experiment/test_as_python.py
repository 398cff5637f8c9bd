"""Settings as Python code make equal settings, whatever they are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chatlab import ReconnectConfig, Scenario
from chatlab.experiment import (
    FallbackSettings,
    LogNormal,
    NetworkConfig,
    PeopleConfig,
    ScriptEntry,
    SSESettings,
    WebSocketSettings,
    find_scenario,
    scenario_names,
)
from chatlab.experiment.as_python import WIDTH, as_python
from chatlab.faults import Blocked, HalfOpen, ServerDown
from chatlab.settings import Settings


def made(code: str) -> Any:
    names: dict[str, Any] = {}
    exec(code, names)  # The code is what is tested.
    return names["scenario"]


@pytest.mark.parametrize("name", scenario_names())
def test_every_ready_made_scenario(name: str) -> None:
    scenario = find_scenario(name)
    code = as_python(scenario)
    assert made(code) == scenario
    private = re.findall(r"^from (?!chatlab(?:\.experiment|\.faults|\.settings)? )(\S+)", code, re.MULTILINE)
    assert all(module.startswith("chatlab.sim.as_written") for module in private)


SCENARIO = Scenario(
    name='it\'s "quoted"\n',
    duration=20.5,
    people=PeopleConfig(
        count=2,
        script=(
            ScriptEntry(at=1.0, person="ada", text="hello"),
            ScriptEntry(at=2.0, person="ada", action="connect"),
        ),
    ),
    transport=FallbackSettings(
        transports=(
            WebSocketSettings(reconnect=ReconnectConfig(max_attempts=None), failures={"http 401": "retry"}),
            SSESettings(),
        )
    ),
    network=NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)),
    faults=(ServerDown(at=5.0, duration=2.0), HalfOpen(at=9.0, people=("ada",)), Blocked(at=10.0)),
)


def test_a_scenario_with_everything() -> None:
    code = as_python(SCENARIO)
    assert made(code) == SCENARIO
    assert max(map(len, code.splitlines())) <= WIDTH
    assert "duration=None" not in code, "which is the default"
    assert code.startswith(
        "from chatlab import Scenario\nfrom chatlab.experiment import (\n    FallbackSettings,\n"
    )
    assert code.endswith(")\n")
    assert 'action="connect"' in code


def test_short_settings_have_one_line() -> None:
    assert as_python(ReconnectConfig(base_delay=2.0), "backoff") == (
        "from chatlab.settings import ReconnectConfig\n\nbackoff = ReconnectConfig(base_delay=2.0)\n"
    )
    assert as_python(Scenario(), "plain") == "from chatlab import Scenario\n\nplain = Scenario()\n"


class Own(Settings, frozen=True):
    """Settings of somebody's own."""

    size: int = 1


def test_settings_of_ones_own_come_from_their_module() -> None:
    assert as_python(Own(size=2)).startswith(f"from {__name__} import Own\n")
