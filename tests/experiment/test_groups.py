"""Groups of people: in files, in faults, in metrics and in views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chatlab.cli import app
from chatlab.errors import SettingsError
from chatlab.experiment.cells import cells_of
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.plots import plot_absences
from chatlab.presets import preset
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.as_written.settings import SeedWebSocket
from chatlab.sim.faults import ConnectionReset, ServerDown
from chatlab.sim.groups import Group
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import LongPollingSettings, SSESettings, WebSocketSettings

PHONES = """
transport = { kind = "sse", history = 3 }
network = { latency = { median = 0.05, p99 = 0.3 }, loss = 0.01, bandwidth = 1000.0 }

[people]
count = 10

[[people.groups]]
name = "phones"
share = 0.3
transport = { preset = "Ably" }
network = { latency = { p99 = 0.8 }, bandwidth = "none" }

[[people.groups]]
name = "bücher 🎈"
share = 0.2
transport = { kind = "websocket" }

[[people.groups]]
name = "tabs"
share = 0.5
transport = { history = 7 }
network = {}
"""


def test_a_group_changes_what_the_scenario_says() -> None:
    scenario = Scenario.from_toml(PHONES)
    phones, books, tabs = scenario.people.groups
    assert phones.transport == SSESettings(history=3, reconnect=preset("Ably").reconnect)
    assert phones.network == NetworkConfig(latency=LogNormal(median=0.05, p99=0.8), loss=0.01)
    assert (books.transport, books.network) == (WebSocketSettings(), None)
    assert (tabs.transport, tabs.network) == (SSESettings(history=7), scenario.network)
    assert Scenario.from_toml(scenario.to_toml()) == scenario


def scenario_of(*groups: Group, **more: Any) -> Scenario:
    people = PeopleConfig(count=20, send_rate=0.1, groups=groups)
    return Scenario(duration=30.0, **({"people": people} | more))


@pytest.mark.parametrize(
    "network",
    [
        NetworkConfig(),
        NetworkConfig(loss=0.0, bandwidth=None, latency=0.04),
        NetworkConfig(latency=LogNormal(median=1.0, p99=1.0), tls=True),
    ],
)
@pytest.mark.parametrize(
    "transport",
    [
        None,
        WebSocketSettings(),
        WebSocketSettings(history=None, heartbeat=HeartbeatConfig(mode=None)),
        SSESettings(reconnect=ReconnectConfig(max_attempts=None)),
    ],
)
def test_groups_come_back_equal_from_a_file(network: NetworkConfig, transport: Any) -> None:
    scenario = scenario_of(
        Group(name="a", share=0.5, transport=transport, network=network),
        Group(name="b", share=0.5),
        transport=WebSocketSettings(history=3, heartbeat=HeartbeatConfig(mode="ping")),
        network=NetworkConfig(latency=LogNormal(median=0.1, p99=0.3), loss=0.2, bandwidth=100.0),
    )
    assert Scenario.from_toml(scenario.to_toml()) == scenario


def test_a_sweep_changes_a_group() -> None:
    scenario = Scenario.from_toml(PHONES)
    over: dict[str, Any] = {
        "people.groups[0].share": [0.0, 0.1],
        "people.groups[1].network.loss": [0.5],
        "people.groups[2].transport.preset": ["Phoenix"],
        "network.jitter": [0.7],
    }
    cells = cells_of(scenario, over, None)
    assert [cell.scenario.people.groups[0].share for cell in cells] == [0.0, 0.1]
    phones, books, tabs = cells[0].scenario.people.groups
    assert cells[0].labels == (0.0, 0.5, "Phoenix", 0.7)
    assert books.network == scenario.network.replace(loss=0.5, jitter=0.7)
    assert phones.network is not None
    assert phones.network.jitter == 0.7
    assert tabs.transport == SSESettings(
        history=7, reconnect=preset("Phoenix").reconnect, connect_timeout=10.0
    )
    whole = Scenario(people=PeopleConfig(groups=(Group(name="a", share=0.5),)))
    (cell,) = cells_of(whole, {"people.groups[0].transport.preset": ["Phoenix"]}, None)
    assert cell.scenario.people.groups[0].transport == WebSocketSettings(
        reconnect=preset("Phoenix").reconnect, heartbeat=HeartbeatConfig(timeout=30.0)
    )


GROUP = '[[people.groups]]\nname = "a"\nshare = 0.5\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("people.groups = 3", r"^people\.groups: give a list"),
        ("people.groups = [3]", r"^people\.groups\[0\]: give a table"),
        ("people = 3", r"^people: give a table"),
        ("[[people.groups]]\nshare = 0.1", r"^people\.groups\[0\]\.name: it's missing"),
        ('[[people.groups]]\nname = ""\nshare = 0.1', r"^people\.groups\[0\]\.name: give a text"),
        ('[[people.groups]]\nname = "a"', r"^people\.groups\[0\]\.share: it's missing"),
        ('[[people.groups]]\nname = "a"\nshare = nan', r"^people\.groups\[0\]\.share: give a number"),
        ('[[people.groups]]\nname = "a"\nshare = -1', r"^people\.groups\[0\]\.share: give a number"),
        (GROUP + GROUP, r"there is a group 'a' already"),
        (GROUP + "lags = 3", r"^people\.groups\[0\]\.lags: there is no such setting"),
        (GROUP + "network = 3", r"^people\.groups\[0\]\.network: give a table"),
        (GROUP + "network = { loss = 2 }", r"^people\.groups\[0\]\.network\.loss: give a number"),
        (GROUP + "transport = 3", r"^people\.groups\[0\]\.transport: give a table"),
        (GROUP + 'transport = { kind = "x" }', r"^people\.groups\[0\]\.transport\.kind: choose one of"),
        (GROUP + "transport = { kind = {} }", r"^people\.groups\[0\]\.transport\.kind: choose one of"),
        (
            GROUP + 'transport = { preset = "x" }',
            r"^people\.groups\[0\]\.transport\.preset: there is no",
        ),
        (
            GROUP + 'transport = { dialect = "text" }',
            r"^people\.groups\[0\]\.transport\.dialect: all people must have the same dialect, 'chatlab'",
        ),
        (GROUP + "[network]\nloss = 3", r"^network\.loss: give a number"),
        (
            GROUP + '[[faults]]\nkind = "connection_reset"\nat = 1.0\ngroups = ["a", "b"]',
            r"^faults\[0\]\.groups: choose from a, others, got 'b'",
        ),
        (
            '[[faults]]\nkind = "connection_reset"\nat = 1.0\ngroups = ["b"]',
            r"^faults\[0\]\.groups: choose from others, got 'b'",
        ),
    ],
)
def test_wrong_groups_are_refused_by_field(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        Scenario.from_toml(text)


def statuses(result: Run, person: str) -> int:
    return len(result.statuses(person))


def test_a_fault_hits_only_the_groups_that_it_names() -> None:
    scenario = scenario_of(
        Group(name="phones", share=0.25),
        faults=(ConnectionReset(at=10.0, groups=("phones",)), ConnectionReset(at=20.0, groups=("others",))),
    )
    result = run(scenario)
    table: Any = result.groups.set_index("group")
    assert table["people"].to_dict() == {"phones": 5, "others": 15}
    assert table["broken"].to_dict() == {"phones": 5, "others": 15}
    lost_at: dict[str, list[float]] = {
        person: [span.start for span in result.statuses(person) if span.status == "reconnecting"]
        for person in result.people
    }
    for person, times in lost_at.items():
        begins = 10.0 if result.group_of(person) == "phones" else 20.0
        assert times
        assert all(begins < at < begins + 5 for at in times)


def test_a_fault_with_people_and_groups_hits_who_is_in_both() -> None:
    fault = ConnectionReset(at=10.0, groups=("phones",), people=("person-1", "person-2", "person-3"))
    scenario = scenario_of(Group(name="phones", share=0.5), faults=(fault,))
    result = run(scenario)
    hit = [person for person in result.people if statuses(result, person) > 3]
    both = [person for person in fault.people if result.group_of(person) == "phones"]
    assert hit == both
    assert 0 < len(both) < 3
    assert not fault.general


@pytest.fixture(scope="module")
def two() -> Run:
    return run(
        scenario_of(
            Group(name="far", share=0.5, network=NetworkConfig(latency=0.5)),
            Group(name="nobody", share=0.0),
            Group(
                name="impatient <b>",
                share=0.25,
                transport=WebSocketSettings(reconnect=ReconnectConfig(enabled=False)),
            ),
            faults=(ServerDown(at=10.0, duration=4.0),),
        )
    )


def test_metrics_of_groups_add_up_to_those_of_all(two: Run) -> None:
    table = two.groups
    assert list(table["group"]) == ["far", "nobody", "impatient <b>", "others"]
    assert list(table["people"]) == [10, 0, 5, 5]
    for name in ("attempts", "broken", "unrecovered", "owed", "undelivered", "lost"):
        assert table[name].sum() == two.metrics[name], name
    assert table["time_connected"].sum() == pytest.approx(two.metrics["time_connected"])


def test_each_group_has_its_own_transport_and_network(two: Run) -> None:
    table: Any = two.groups.set_index("group")
    assert table.loc["far", "latency_p50"] > table.loc["others", "latency_p50"] + 0.4
    assert table.loc["impatient <b>", "unrecovered"] == 5
    assert table.loc["impatient <b>", "recovery_p50"] == float("inf")
    assert table.loc["others", "unrecovered"] == 0
    assert table.loc["nobody"].isna().sum() == 5  # the percentiles


def test_saved_runs_keep_the_groups(two: Run, tmp_path: Path) -> None:
    two.save(tmp_path / "run.jsonl")
    loaded = Run.load(tmp_path / "run.jsonl")
    assert loaded == two
    assert loaded.groups.equals(two.groups)
    header, *steps = (tmp_path / "run.jsonl").read_text().splitlines()
    start = header.index(',"group_metrics":')
    (tmp_path / "older.jsonl").write_text("\n".join([header[:start] + "}", *steps]) + "\n")
    older = Run.load(tmp_path / "older.jsonl")
    assert older.groups.empty
    assert older.metrics == two.metrics


def test_the_view_has_the_groups_if_there_are_any(two: Run) -> None:
    html = two._repr_html_()
    assert html.count("<table") == 2
    assert "impatient &lt;b&gt;" in html
    assert "never (100 %)" in html
    assert run(Scenario(duration=1.0))._repr_html_().count("<table") == 1
    assert run(Scenario(duration=1.0)).groups.empty
    many = run(scenario_of(*(Group(name=f"{n}", share=0.01) for n in range(100))))
    assert "… and 81 more" in many._repr_html_()


def test_a_curve_of_return_for_each_group(two: Run) -> None:
    ax = plot_absences(two, by="group")
    assert [line.get_label() for line in ax.lines if line.get_gid() is None] == [
        "far",
        "impatient <b>",
        "others",
    ]
    legend = plot_absences({"x": two, "y": two}, by="group").get_legend()
    assert legend is not None
    assert "x: far" in [text.get_text() for text in legend.get_texts()]


def test_the_curve_of_a_single_group_has_its_name() -> None:
    reset = ConnectionReset(at=10.0, groups=("far",))
    result = run(scenario_of(Group(name="far", share=0.5), faults=(reset,)))
    legend = plot_absences(result, by="group").get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["far"]
    assert plot_absences(result).get_legend() is None


def test_a_person_of_the_script_is_in_a_group() -> None:
    script = (ScriptEntry(at=5.0, person="zoë", text="hello"),)
    scenario = scenario_of(
        people=PeopleConfig(count=1, script=script, groups=(Group(name="all", share=1.0),))
    )
    result = run(scenario)
    assert result.group_of("zoë") == "all"
    assert result.groups.set_index("group")["people"].to_dict() == {"all": 1, "others": 0}


def test_snippets_as_written_may_be_one_group_of_the_model() -> None:
    scenario = scenario_of(
        Group(name="seed", share=0.5, transport=SeedWebSocket()),
        Group(name="polling", share=0.25, transport=LongPollingSettings()),
        faults=(ServerDown(at=10.0, duration=3.0),),
    )
    table: Any = run(scenario).groups.set_index("group")
    assert table.loc["others", "lost"] == table.loc["polling", "lost"] == 0
    assert run(scenario.replace(people=scenario.people.replace(groups=()))).metrics["lost"] == 0
    with pytest.raises(SettingsError, match=r"'seed_websocket' is the seed as written"):
        run(scenario, "wire")


def test_real_sockets_say_what_a_group_may_not_have() -> None:
    lossy = scenario_of(Group(name="a", share=0.5, network=NetworkConfig(loss=0.1)))
    with pytest.raises(SettingsError, match=r"^people\.groups\[0\]\.network\.loss: real sockets lose no"):
        run(lossy, "live")
    mixed = scenario_of(Group(name="a", share=0.5, network=NetworkConfig(tls=True)))
    with pytest.raises(SettingsError, match=r"^people\.groups\[0\]\.network\.tls: in the world 'wire' every"):
        run(mixed, "wire")
    groups = run(mixed).groups
    assert groups["people"].sum() == 20
    metrics = run(mixed).metrics
    for name in ("never_connected", "gave_up", "attempts"):
        assert groups[name].sum() == metrics[name]


def test_a_group_that_never_gets_in_is_seen(tmp_path: Path) -> None:
    """All others get in; the command prints the groups' table."""
    slow = WebSocketSettings(connect_timeout=0.01, reconnect=ReconnectConfig(max_attempts=2))
    network = NetworkConfig(latency=0.5)
    scenario = scenario_of(Group(name="away", share=0.25, transport=slow, network=network))
    groups = run(scenario).groups.set_index("group")
    assert groups["never_connected"].to_dict() == {"away": 5, "others": 0}
    assert groups["gave_up"].to_dict() == {"away": 5, "others": 0}
    (tmp_path / "groups.toml").write_text(scenario.to_toml(), encoding="utf-8")
    printed = CliRunner().invoke(app, ["simulate", str(tmp_path / "groups.toml")]).stdout
    (row,) = [line.split() for line in printed.splitlines() if line.startswith(" away ")]
    assert row[1] == "5"
