"""Settings that are said to have no effect have none: runs with other values of them are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.cells import cells_of, with_settings
from chatlab.experiment.effect import (
    changes_without_effect,
    describe_choices,
    faults_without_effect,
)
from chatlab.experiment.effect_rules import value_at, without_effect
from chatlab.experiment.library import load_scenario, scenario_names
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import Settings
from chatlab.settings.base import JITTERS
from chatlab.sim.balance import Balance
from tests.experiment.random_scenarios import drawn
from tests.sizes import times

LATE = '[[faults]]\nkind = "connection_reset"\nat = 60.0\n'
BUFFERING = '[[faults]]\nkind = "buffering"\nat = 1.0\nduration = 9.0\n'
BLOCKED = '[[faults]]\nkind = "blocked"\nat = 1.0\ntransports = ["sse"]\n'
NEED = '[[server.needs]]\nname = "token"\nrate = 5.0\n'
GROUPS = '[[people.groups]]\nname = "phones"\nshare = 1.0\ntransport = { kind = "sse" }\n'
SEED = "transport = { kind = 'seed_websocket', reconnect = { enabled = false } }\n"
RECONNECT, HEARTBEAT = "transport.reconnect", "transport.heartbeat"
FALLBACK = "transport.kind = 'fallback'\n"


@pytest.mark.parametrize(
    ("toml", "path", "reason"),
    [
        ("transport.preset = 'socket.io'", f"{RECONNECT}.jitter", f"{RECONNECT}.schedule replaces it; set "),
        (f"{RECONNECT}.enabled = false", f"{RECONNECT}.max_delay", f"{RECONNECT}.enabled is false"),
        (
            f"{RECONNECT}.jitter = 'decorrelated'",
            f"{RECONNECT}.backoff_multiplier",
            "the jitter decorrelated",
        ),
        ("transport.kind = 'long_polling'", f"{RECONNECT}.base_delay", "transport.error_delay replaces it"),
        (SEED, f"{RECONNECT}.base_delay", f"{RECONNECT}.enabled is false"),
        (f"{RECONNECT}.enabled = false\ntransport.kind = 'sse'", f"{RECONNECT}.max_delay", ""),
        (f"{HEARTBEAT}.enabled = false", f"{HEARTBEAT}.interval", f"{HEARTBEAT}.enabled is false"),
        (f"{HEARTBEAT}.mode = 'none'", f"{HEARTBEAT}.timeout", "nobody sends pings, as transport.heartbeat."),
        (FALLBACK, "transport.transports[1].outbox.max_size", "a fallback's transports share the outbox of "),
        ("", "transport.outbox.max_size", "nobody sends a message"),
        (GROUPS, f"{RECONNECT}.jitter", "everybody is in a group with a transport of its own"),
        ("", "server.backlog", "server.accept_rate is 'none', so nobody waits"),
        ("", "server.overflow", "server.accept_rate is 'none', so nobody waits"),
        ("", "server.balance", "server.nodes is 1"),
        ("", "server.service", "server.service_time is 0"),
        ("", "server.burst", "nobody sends a message"),
        ("", "server.keep_alive", "nobody uses event streams"),
        ("", "server.max_hold", "nobody uses long polling"),
        ("", "network.keep_alive", "nobody uses HTTP, but WebSockets"),
        ("", "people.message_size", "people.send_rate is 0"),
        (NEED, "server.needs[0].status", "server.needs[0] refuses nobody"),
        (NEED + 'per = "message"\n', "server.needs[0].rate", "nobody sends a message"),
        (LATE, "faults[0].share", ""),
        (LATE, "faults[0].groups", "it begins at 60 s, and the run ends at 60 s"),
        (BUFFERING, "faults[0].duration", "nobody uses event streams"),
        (BUFFERING + "share = 0.0\n", "faults[0].duration", "its share is 0"),
        (BLOCKED, "faults[0].how", "nobody uses sse"),
        ("transport.kind = 'sse'\n" + BLOCKED, "faults[0].how", ""),
        (FALLBACK + BUFFERING, "faults[0].size", ""),
        (FALLBACK, "transport.transports[0].outbox", ""),
        (FALLBACK, "network.keep_alive", ""),
        ("people.send_rate = 1", "transport.outbox.max_size", ""),
        ("people.send_rate = 1", "server.burst", ""),
        ("people.send_rate = 1", "people.message_size", ""),
        ("people.script = [{ at = 1.0, person = 'ada', text = 'hi' }]", "server.rate", ""),
        ("server.nodes = 3", "server.balance", ""),
        ("server.service_time = 0.1", "server.service", ""),
        ("server.accept_rate = 5", "server.overflow", ""),
        ("server.accept_rate = 5", "server.backlog", ""),
        ("transport.kind = 'seed_sse'", "server.keep_alive", ""),
        (GROUPS, "server.reconnection_time", ""),
        ("transport.kind = 'seed_long_polling'", "server.max_hold", ""),
        ("transport.kind = 'long_polling'", "transport.error_delay", ""),
        (f"{HEARTBEAT}.mode = 'none'", f"{HEARTBEAT}.mode", ""),
        (f"{RECONNECT}.enabled = false", f"{RECONNECT}.enabled", ""),
        ("network.loss = 0.1", "server.backlog", ""),
        (GROUPS.replace("1.0", "0.5"), f"{RECONNECT}.jitter", ""),
        (NEED + "timeout = 2.0\n", "server.needs[0].status", ""),
        ("", f"{RECONNECT}.jitter", ""),
        ("", "transport.nothing.at.all", ""),
        ("", "faults[3].at", ""),
    ],
)
def test_a_setting_without_effect_is_said_with_its_reason(toml: str, path: str, reason: str) -> None:
    said = without_effect(Scenario.from_toml(toml), path)
    assert said.startswith(f"{path} has no effect here: {reason}" if reason else "")
    assert bool(said) == bool(reason)


def test_changes_are_looked_at_one_by_one() -> None:
    changed = {"transport.heartbeat": {"enabled": False, "interval": 5.0}, "transport.preset": "Ably"}
    scenario = with_settings(Scenario(), ["transport.heartbeat={enabled=false, interval=5.0}"])
    (said,) = changes_without_effect(scenario, changed)
    assert said.startswith("transport.heartbeat.interval has no effect here: transport.heartbeat.enabled is")
    faults = [{"kind": "connection_reset", "at": 90.0, "groups": []}]
    late = Scenario.from_toml(LATE)
    assert len(changes_without_effect(late, {"faults": faults})) == 1
    assert faults_without_effect(late) == [
        "faults[0] has no effect here: it begins at 60 s, and the run ends at 60 s"
    ]
    assert faults_without_effect(late.replace(duration=61.0)) == []


def test_choices_without_effect_are_said_with_those_beside_them() -> None:
    over = {"transport.preset": ["socket.io", "partysocket"], f"{RECONNECT}.jitter": ["full", "none"]}
    (said,) = describe_choices(Scenario(), over)
    assert said.startswith(
        "in 2 of 4 combinations, such as transport.preset=socket.io, transport.reconnect.jitter has no "
    )
    assert describe_choices(Scenario(), {"server.backlog": [1, 2]}) == [
        "server.backlog has no effect here: server.accept_rate is 'none', so nobody waits to be accepted"
    ]
    both: dict[str, list[Any]] = {"server.backlog": [1, 2], "server.accept_rate": ["none", 5]}
    (said,) = describe_choices(Scenario(), both)
    assert said.startswith("in 2 of 4 combinations, such as server.accept_rate=none, server.backlog has no")
    assert describe_choices(Scenario(), {"people.count": [1, 2]}) == []


def leaves(settings: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all settings that are no tables themselves."""
    if isinstance(settings, Settings):
        for name in settings.__struct_fields__:
            yield from leaves(getattr(settings, name), f"{path}.{name}".lstrip("."))
    elif isinstance(settings, tuple) and settings and isinstance(settings[0], Settings):
        for number, each in enumerate(settings):
            yield from leaves(each, f"{path}[{number}]")
    elif path not in ("seed", "name"):
        yield path


def others(value: Any) -> Iterator[Any]:
    """Yield other values that a setting may have, if it takes them."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value / 2, value + 0.5)
    elif isinstance(value, str):
        yield from JITTERS
        yield from ("drop", "refuse", "503", *get_args(Balance), "constant", "exponential", "reject", "403")
    elif value is None:
        yield from (1, 429, 3.0, "json")


def with_another(scenario: Scenario, path: str) -> Scenario | None:
    """Return the scenario with another value of a setting; None if none of those tried is valid."""
    for value in others(value_at(scenario, path)):
        if value == value_at(scenario, path):
            continue
        try:
            (cell,) = cells_of(scenario, {path: [value]}, None)
        except SettingsError:
            continue
        return cell.scenario
    return None


def figures(scenario: Scenario) -> tuple[Any, ...]:
    result = run(scenario)
    return result.metrics, result.series, result.trace


def differing(scenario: Scenario) -> list[str]:
    """Return the settings that are said to have no effect, and have one."""
    inert = [path for path in leaves(scenario) if without_effect(scenario, path)]
    changed = {path: with_another(scenario, path) for path in inert}
    usual = figures(scenario)
    return [path for path, other in changed.items() if other is not None and figures(other) != usual]


@pytest.mark.slow
@pytest.mark.sized
def test_other_values_of_settings_without_effect_change_nothing_in_random_scenarios() -> None:
    seen = [(path, scenario.to_toml()) for scenario in drawn(times(10), 24) for path in differing(scenario)]
    assert seen == []


@pytest.mark.proof
@pytest.mark.parametrize("name", scenario_names())
def test_other_values_of_settings_without_effect_change_nothing(name: str) -> None:
    scenario = load_scenario(name)
    scenario = scenario.replace(people=scenario.people.replace(count=min(scenario.people.count, 50)))
    assert differing(scenario) == []
