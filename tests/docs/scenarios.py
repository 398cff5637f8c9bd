"""`docs/scenarios.md`, made from the types of a scenario.

python -m tests.docs.scenarios --write
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import msgspec

from chatlab.errors import SettingsError
from chatlab.experiment.library import scenario_names, scenario_question
from chatlab.experiment.metrics import measure
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import (
    FallbackConfig,
    HeartbeatConfig,
    LongPollingConfig,
    OutboxConfig,
    ReconnectConfig,
    Settings,
    ShortPollingConfig,
    SSEConfig,
    WebSocketConfig,
)
from chatlab.sim.as_written.settings import AnyAsWritten, SeedHeartbeat, SeedReconnect
from chatlab.sim.capacity import Need, ServerConfig
from chatlab.sim.faults import AnyFault, Fault
from chatlab.sim.groups import Group
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    FallbackSettings,
    HttpSettings,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    TransportSettings,
    WebSocketSettings,
)
from tests.docs.tables import fields_in_a_line, fold, prose, settings_table

PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"
WRITE = "python -m tests.docs.scenarios --write"


def _mistake() -> str:
    """Return the error message for a fault whose duration is a word."""
    try:
        Scenario.from_toml('[[faults]]\nkind = "server_down"\nat = 1.0\nduration = "long"')
    except SettingsError as error:
        return str(error)
    raise AssertionError("a word was taken for a duration")


BEGINNING = f"""\
# Scenarios

A scenario is one experiment as plain data: people, their transport, the network, the server, and faults.
You write it in Python or as TOML, and every world runs it.
A setting that isn't given has its default.
An error names the field: ``{_mistake()}``.
TOML has no null: `"none"` stands for it if a setting may be nothing.

This page is generated from the types by `{WRITE}`.

```toml
name = "outage"
duration = 120.0                 # seconds
seed = 7                         # the same seed gives the same run

[people]
count = 1000
rooms = 50
send_rate = 0.02                 # messages a second, of each person

[transport]
kind = "websocket"
[transport.reconnect]
jitter = "full"

[network]
latency = {{ median = 0.04, p99 = 0.2 }}   # one way, log-normal; or a number

[server]
accept_rate = 500.0              # connections a second
backlog = 1000

[[faults]]
kind = "server_down"
at = 30.0
duration = 20.0
```
"""

TRANSPORTS = (
    (WebSocketSettings, WebSocketConfig, TransportSettings),
    (SSESettings, SSEConfig, HttpSettings),
    (LongPollingSettings, LongPollingConfig, HttpSettings),
    (ShortPollingSettings, ShortPollingConfig, HttpSettings),
    (FallbackSettings, FallbackConfig, None),
)


def page() -> str:
    """Return the page."""
    lines = [BEGINNING, "## The scenario", "", prose(Scenario), "", *settings_table(Scenario)]
    for title, kind in (
        ("`[people]`: PeopleConfig", PeopleConfig),
        ("`[[people.script]]`: ScriptEntry", ScriptEntry),
        ("`[[people.groups]]`: Group", Group),
        ("`[network]`: NetworkConfig", NetworkConfig),
        ("`latency = { … }`: LogNormal", LogNormal),
        ("`[server]`: ServerConfig", ServerConfig),
        ("`[[server.needs]]`: Need", Need),
    ):
        lines += _section("##", title, kind)
    return fold("\n".join([*lines, *_transports(), *_faults(), *_metrics(), *_ready_made()]))


def _section(level: str, title: str, kind: type) -> list[str]:
    return [
        f'<a id="{kind.__name__.lower()}"></a>',
        "",
        f"{level} {title}",
        "",
        prose(kind),
        "",
        *settings_table(kind),
    ]


def _transports() -> list[str]:
    lines = [
        "## `[transport]`",
        "",
        "The transport of all people.\n"
        "The world provides URL, room and name.\n"
        "All kinds except `fallback` have:",
        "",
        *settings_table(TransportSettings),
        "`dialect` is the name of a [dialect](dialects.md); the model world supports only `chatlab`.\n"
        '`failures` overrides the reaction to a failure: `"close 4429" = "retry"`.',
        "",
        "The kinds that use HTTP also have a time-out for requests:",
        "",
        *settings_table(HttpSettings, TransportSettings),
    ]
    for kind, config, beyond in TRANSPORTS:
        tag = kind.__struct_config__.tag
        lines += [f'### `kind = "{tag}"`', "", prose(config), "", *settings_table(kind, beyond)]
    lines += ['### The seed as written: `kind = "seed_…"`', ""]
    lines += ["The snippets of the original document with their mistakes, for the model world only.", ""]
    lines += ["| kind | what | settings |", "|---|---|---|"]
    for kind in get_args(AnyAsWritten):
        base = kind.__mro__[1]
        lines.append(_row(kind, base))
    lines.append("")
    parts: tuple[tuple[str, type], ...] = (
        ("`[transport.reconnect]` as written", SeedReconnect),
        ("`[transport.heartbeat]` as written", SeedHeartbeat),
        ("`[transport.reconnect]`: ReconnectConfig", ReconnectConfig),
        ("`[transport.heartbeat]`: HeartbeatConfig", HeartbeatConfig),
        ("`[transport.outbox]`: OutboxConfig", OutboxConfig),
    )
    for title, part in parts:
        lines += _section("###", title, part)
    return lines


def _row(kind: type[Settings], base: type) -> str:
    """Return the table row of one kind, with the settings that its base doesn't have."""
    what = " ".join(prose(kind).split())
    return f"| `{kind.__struct_config__.tag}` | {what} | {fields_in_a_line(kind, base)} |"


def _faults() -> list[str]:
    return [
        "## `[[faults]]`",
        "",
        prose(Fault),
        "",
        *settings_table(Fault),
        "| kind | what happens | further settings |",
        "|---|---|---|",
        *(_row(kind, Fault) for kind in get_args(AnyFault)),
        "",
        "One of each, with the required settings:",
        "",
        "```toml",
        "duration = 600.0",
        "",
        _one_of_each(),
        "```",
        "",
    ]


def _one_of_each() -> str:
    required = {"duration": 10.0, "bandwidth": 2000.0, "loss": 0.01}
    blocks = []
    for number, kind in enumerate(get_args(AnyFault)):
        lines = ["[[faults]]", f'kind = "{kind.__struct_config__.tag}"', f"at = {30.0 * (number + 1)}"]
        needed = [name for name in required if name in _must_be_given(kind)]
        blocks.append("\n".join([*lines, *(f"{name} = {required[name]}" for name in needed)]))
    return "\n\n".join(blocks)


def _must_be_given(kind: type[Settings]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(kind) if field.required}


def _metrics() -> list[str]:
    told = run(Scenario(duration=1.0)).metrics
    body = prose(measure).split("\n\n", 1)[1]
    return [
        "## Metrics",
        "",
        "`run(scenario).metrics` has " + ", ".join(f"`{name}`" for name in told) + ".",
        "",
        body,
        "",
    ]


def _ready_made() -> list[str]:
    return [
        "## Ready-made scenarios",
        "",
        "`chatlab simulate NAME`, or `load_scenario(NAME)` of `chatlab.experiment`:",
        "",
        "| name | question |",
        "|---|---|",
        *(
            f"| `{name}` | {scenario_question(name).replace('|', chr(92) + '|')} |"
            for name in scenario_names()
        ),
        "",
    ]


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
