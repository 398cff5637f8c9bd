from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest
from msgspec import structs

from chatlab.errors import SettingsError
from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.spans import FaultSpan
from chatlab.experiment.worlds.results import make_run
from chatlab.experiment.worlds.runner import WORLDS, run
from chatlab.messages import ConnectionStatus
from chatlab.settings import ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import ConnectionReset, HalfOpen, NodeDown, Partition, ServerDown
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import WebSocketSettings
from tests.sizes import rows

SCENARIO = Scenario(
    name="small <b>",
    duration=40.0,
    seed=3,
    people=PeopleConfig(
        count=12,
        rooms=3,
        send_rate=0.2,
        arrive_over=2.0,
        script=(ScriptEntry(at=5.0, person="ada", text="héllo"),),
    ),
    transport=WebSocketSettings(reconnect=ReconnectConfig(jitter="full", max_attempts=None)),
    network=NetworkConfig(latency=LogNormal(median=0.04, p99=0.2), jitter=0.01),
    server=ServerConfig(accept_rate=20.0, backlog=5, presence=True),
    faults=(
        ServerDown(at=10.0, duration=5.0),
        ConnectionReset(at=20.0, share=0.5),
        HalfOpen(at=25.0, people=("ada",)),
        Partition(at=30.0, duration=2.0, share=0.3),
    ),
)


@pytest.fixture(scope="module")
def result() -> Run:
    return run(SCENARIO)


def test_a_run_comes_back_equal(result: Run, tmp_path: Path) -> None:
    result.save(tmp_path / "run.jsonl")
    loaded = Run.load(tmp_path / "run.jsonl")
    assert loaded == result
    loaded.save(tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "run.jsonl").read_bytes()


def test_a_file_of_before_lateness_was_measured_is_read(result: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    live = structs.replace(result, world="live", lateness=0.25)
    live.save(path)
    assert Run.load(path) == live
    path.write_bytes(path.read_bytes().replace(b',"lateness":0.25', b"", 1))
    assert Run.load(path) == structs.replace(live, lateness=None)


def test_the_same_seed_gives_the_same_bytes(result: Run) -> None:
    assert run(SCENARIO).to_json_lines() == result.to_json_lines()
    assert run(SCENARIO.replace(seed=4)).to_json_lines() != result.to_json_lines()


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", rows(["1", "2"], "1"))
def test_another_process_gives_the_same_bytes(result: Run, tmp_path: Path, hash_seed: str) -> None:
    SCENARIO.save(tmp_path / "scenario.toml")
    program = (
        "import sys\n"
        "from chatlab.experiment.scenario import Scenario\n"
        "from chatlab.experiment.worlds.runner import run\n"
        "run(Scenario.load(sys.argv[1])).save(sys.argv[2])\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "scenario.toml", tmp_path / "run.jsonl"],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()},  # noqa: PTH109
    )
    assert (tmp_path / "run.jsonl").read_bytes() == result.to_json_lines()


def test_the_sample_does_not_change_the_run(result: Run) -> None:
    few = run(SCENARIO, sample=2)
    assert few.people == ["ada", "person-2"]
    assert few.metrics == result.metrics
    assert few.steps("ada") == result.steps("ada")


def test_steps_and_statuses_by_name(result: Run) -> None:
    assert result.people == ["ada", *(f"person-{number}" for number in range(2, 13))]
    assert {step.person for step in result.steps("person-3")} == {"person-3"}
    assert len(result.steps()) == sum(len(result.steps(person)) for person in result.people)
    spans = result.statuses("ada")
    assert spans[0].status is ConnectionStatus.DISCONNECTED
    assert (spans[0].start, spans[-1].end) == (0.0, 40.0)
    with pytest.raises(
        SettingsError, match=r"no steps of 'eve' were recorded; choose one of ada, person-2, .* …"
    ):
        result.steps("eve")


def test_faults_are_spans(result: Run) -> None:
    assert result.faults[0] == FaultSpan("server_down", 10.0, 15.0)


def test_the_metrics_are_a_tidy_table(result: Run) -> None:
    table = result.to_frame()
    assert list(table.columns) == ["scenario", "world", "seed", "metric", "value"]
    assert len(table) == len(result.metrics)
    assert set(table["world"]) == {"model"}
    assert table.set_index("metric")["value"]["sent"] == result.metrics["sent"]


def test_series_are_a_table_of_seconds(result: Run) -> None:
    table = result.per_second()
    assert table.index.name == "second"
    assert {name: table[name].tolist() for name in result.series} == result.series
    assert [*table][len(result.series) :] == ["latency_p50", "latency_p99"]
    assert sum(result.series["requests"]) == result.metrics["requests"]
    assert max(result.series["requests"]) == result.metrics["requests_per_second_max"]
    assert max(result.series["queue"]) == result.metrics["queue_max"] > 0  # type: ignore[operator]
    assert table["attempts"].to_numpy().sum() == result.metrics["attempts"]


def test_each_second_has_the_latency_of_what_was_shown_in_it(result: Run) -> None:
    table = result.per_second()
    shown = table["delivered"] > 0
    assert table["latency_p50"][shown].notna().mean() > 0.9  # Some shown messages aren't owed.
    assert table["latency_p50"][~shown].isna().all()
    assert (table["latency_p50"] <= table["latency_p99"])[table["latency_p50"].notna()].all()


def test_nodes_have_tables_of_their_own() -> None:
    fault = NodeDown(at=10.0, duration=5.0, node=2)
    server = ServerConfig(nodes=3, balance="round_robin", accept_rate=1.0, backlog=2, overflow="refuse")
    people = PeopleConfig(count=12)
    result = run(SCENARIO.replace(server=server, people=people, faults=(fault,)))
    nodes, seconds = result.nodes, result.nodes_per_second()
    assert nodes.index.tolist() == [1, 2, 3]
    assert nodes["attempts"].sum() == result.metrics["attempts"]
    assert (nodes["attempts"] == nodes["refused"] + nodes["accepted"]).all()
    assert nodes["connected"].sum() == 12
    assert nodes["disconnected"].tolist()[0] == nodes["disconnected"].tolist()[2] == 0
    assert nodes["disconnected"].tolist()[1] > 0
    assert nodes["queue_max"].max() == result.metrics["queue_max"] == 2
    assert [*seconds] == ["second", "node", "attempts", "refused", "connected", "queue"]
    assert len(seconds) == 40 * 3
    for name in ("attempts", "refused"):
        assert seconds.groupby("node")[name].sum().tolist() == nodes[name].tolist()
    assert seconds.groupby("second")["connected"].sum()[39] == 12
    assert seconds[(seconds["node"] == 2) & (seconds["second"] == 12)]["connected"].tolist() == [0]


def test_a_file_of_before_nodes_were_counted_is_read(result: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    head, *steps = result.to_json_lines().splitlines()
    old = json.loads(head)
    for name in ("node_totals", "node_series", "second_latencies"):
        del old[name]
    path.write_bytes(b"\n".join([json.dumps(old).encode(), *steps]))
    loaded = Run.load(path)
    assert loaded == structs.replace(result, node_totals={}, node_series={}, second_latencies={})
    assert len(loaded.nodes) == len(loaded.nodes_per_second()) == 0
    assert [*loaded.nodes_per_second()] == [*result.nodes_per_second()]
    assert loaded.per_second()["latency_p99"].isna().all()


def test_latencies_are_shares(result: Run) -> None:
    table = result.latency_shares()
    assert table["share"].is_monotonic_increasing
    assert table["share"].iloc[-1] == 1
    median = result.metrics["latency_p50"] or 0
    assert (
        table[table["seconds"] < median]["share"].max()
        < 0.5
        <= table[table["seconds"] >= median]["share"].min()
    )
    assert run(Scenario(duration=1.0)).latency_shares().empty


def test_recorded_people_are_a_table(result: Run) -> None:
    table = result.people_table()
    assert table["person"].tolist() == result.people
    assert table["attempts"].sum() == result.metrics["attempts"]
    assert table["delivered"].sum() == (result.metrics["delivered"] or 0) + (
        result.metrics["duplicated"] or 0
    )
    for status in ConnectionStatus:
        assert table[f"time_{status}"].sum() == pytest.approx(result.metrics[f"time_{status}"])


def test_what_cannot_be_measured_is_none() -> None:
    quiet = run(Scenario(duration=5.0))
    assert quiet.metrics["latency_p50"] is quiet.metrics["recovery_p99"] is None
    assert quiet.to_frame().set_index("metric")["value"].isna()["latency_p50"]
    assert "–" in quiet._repr_html_()


def test_infinite_metrics_are_null_in_a_file_and_never_in_a_view(tmp_path: Path) -> None:
    away = run(
        Scenario(
            duration=60.0,
            people=PeopleConfig(count=4, send_rate=0.2),
            transport=WebSocketSettings(reconnect=ReconnectConfig(enabled=False)),
            faults=(ConnectionReset(at=30.0, people=("person-1",)),),
        )
    )
    assert (away.metrics["broken"], away.metrics["unrecovered"]) == (1, 1)
    assert away.metrics["recovery_p50"] == away.metrics["latency_p99"] == inf
    away.save(tmp_path / "away.jsonl")
    header = json.loads((tmp_path / "away.jsonl").read_text(encoding="utf-8").splitlines()[0])
    written = header["metrics"]
    assert written["recovery_p99"] is written["latency_p99"] is None
    assert (written["owed"], written["undelivered"]) == (away.metrics["owed"], away.metrics["undelivered"])
    assert Run.load(tmp_path / "away.jsonl").metrics == away.metrics
    assert "never (100 %)" in away._repr_html_()
    share = (away.metrics["undelivered"] or 0) / (away.metrics["owed"] or 1)
    assert away.latency_shares()["share"].iloc[-1] == pytest.approx(1 - share)


def test_peaks_since_the_first_fault(result: Run) -> None:
    begins_at = int(result.scenario.faults[0].at)
    metrics, series = result.metrics, result.series
    assert metrics["attempts_per_second_max_after"] == max(series["attempts"][begins_at:])
    assert metrics["queue_max_after"] == max(series["queue"][begins_at:])
    calm = run(result.scenario.replace(faults=(ConnectionReset(at=1e6),)), sample=0).metrics
    assert calm["attempts_per_second_max_after"] is calm["queue_max_after"] is None


def test_views_show_figures_and_escape_names(result: Run) -> None:
    shown = result._repr_html_()
    assert "small &lt;b&gt;" in shown
    assert "<b>small <b>" not in shown
    assert f"{result.metrics['delivered']:,}" in shown
    assert "12 people, 40 s" in shown
    assert repr(result).startswith("Run('small <b>', 'model', 12 people, 40 s, sent=")


def test_an_unknown_world_is_named() -> None:
    with pytest.raises(SettingsError, match=r"world: there is no 'mars'; choose one of " + ", ".join(WORLDS)):
        run(SCENARIO, "mars")


def test_the_model_speaks_one_dialect() -> None:
    with pytest.raises(
        SettingsError, match=r"transport\.dialect: the model's server speaks 'chatlab', got 'text'"
    ):
        run(Scenario(transport=WebSocketSettings(dialect="text")))


@pytest.mark.parametrize(
    "content", [b"", b"{}\n", b"hello\n", b"\xff\xfe\n", b'{"chatlab":"run","format":2}\n']
)
def test_a_file_that_is_no_run_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"run\.jsonl: not a run of format 1"):
        Run.load(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda head, step: [head.replace(b'"latencies":[', b'"latencies":[0,')], r"latencies: expected \d+"),
        (lambda head, step: [head.replace(b'"sent":[', b'"sent":[0,0,')], "series: expected lists of the"),
        (
            lambda head, step: [head.replace(b'"refused":[[', b'"refused":[[0,')],
            "node_totals and node_series",
        ),
        (
            lambda head, step: [head.replace(b'"accepted":[', b'"accepted":[0,')],
            "node_totals and node_series",
        ),
        (lambda head, step: [head.replace(b'_p99":[', b'_p99":[null,')], "second_latencies: expected lists"),
        (lambda head, step: [head, step, step.replace(b'n":"', b'n":"no', 1)], r"a step of 'no.*line 3\)"),
        (lambda head, step: [head, b"", b"[" * 100_000], r"\(line 3\); give a file that Run.save wrote"),
        (lambda head, step: [b"[" * 100_000], r"\(line 1\)"),
        (lambda head, step: [head, b"{}"], r"\(line 2\)"),
    ],
    ids=[
        "latencies",
        "series",
        "node seconds",
        "nodes",
        "percentiles",
        "a stranger",
        "a deep step",
        "a deep header",
        "no step",
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(
    result: Run, tmp_path: Path, change: Callable[[bytes, bytes], list[bytes]], told: str
) -> None:
    path = tmp_path / "run.jsonl"
    head, step, *_ = result.to_json_lines().splitlines()
    path.write_bytes(b"\n".join(change(head, step)))
    with pytest.raises(SettingsError, match=rf"^run\.jsonl: not a run of format 1: .*{told}"):
        Run.load(path)


def test_a_byte_order_mark_is_passed_over(result: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + result.to_json_lines())
    assert Run.load(path) == result


def test_a_torn_file_is_refused(result: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(result.to_json_lines()[:-20])
    with pytest.raises(SettingsError, match="not a run"):
        Run.load(path)


def test_all_series_have_the_length_of_the_longest(tmp_path: Path) -> None:
    recorder = ColumnRecorder()
    recorder.changed(0, ConnectionStatus.CONNECTED, 0.1)
    counts = {"requests": [1, 2, 1], "queue": [0, 1, 0], "work": [0, 0, 0]}  # of a live run that took longer
    short = Scenario(duration=2.0, people=PeopleConfig(count=1))
    late = make_run("live", short, [], recorder, [-inf], [], {}, [], counts)
    table = late.per_second()
    assert table["requests"].tolist() == [1, 2, 1]
    assert table["connected"].tolist() == [1, 1, 1]
    assert table["attempts"].tolist() == [0, 0, 0]
    late.save(tmp_path / "late.jsonl")
    assert Run.load(tmp_path / "late.jsonl") == late
