from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from io import StringIO
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from typer.testing import CliRunner

from chatlab.cli import app
from chatlab.errors import SettingsError
from chatlab.experiment.cells import cells_of, read_choices
from chatlab.experiment.percentiles import Value
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.sweep import processes, run_cell, sweep
from chatlab.experiment.worlds.runner import run
from chatlab.presets import preset
from chatlab.settings import ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import ConnectionReset, ServerDown
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import SSESettings, WebSocketSettings

TRANSPORT = WebSocketSettings(reconnect=ReconnectConfig(max_delay=7.0))
BASE = Scenario(
    name="base",
    duration=30.0,
    seed=9,
    people=PeopleConfig(count=4, send_rate=0.2),
    transport=TRANSPORT,
    faults=(ConnectionReset(at=5.0), ServerDown(at=10.0, duration=3.0)),
)
OVER: Mapping[str, Any] = {"people.count": [3, 6], "transport.reconnect.jitter": ["seed", "full"]}
SEEDS = range(2)


def table(**more: Any) -> pd.DataFrame:
    return sweep(BASE, OVER, seeds=SEEDS, progress=False, **more)


@pytest.fixture(scope="module")
def serial() -> pd.DataFrame:
    return table()


def test_settings_in_place_of_others_stand_for_themselves() -> None:
    """SSE's own first delay is 3 s; that of a `ReconnectConfig` is 1 s, and is what was asked for."""
    (cell,) = cells_of(
        BASE.replace(transport=SSESettings()), {"transport.reconnect": {"x": ReconnectConfig()}}, [1]
    )
    assert cell.scenario.transport == SSESettings(reconnect=ReconnectConfig())


@pytest.mark.slow
def test_a_row_is_a_run(serial: pd.DataFrame) -> None:
    assert list(serial.columns[:4]) == ["people.count", "transport.reconnect.jitter", "seed", "sent"]
    assert serial.columns[-1] == "error"
    assert [tuple(row) for row in serial.iloc[:, :3].itertuples(index=False)] == [
        (count, jitter, seed) for count in (3, 6) for jitter in ("seed", "full") for seed in (0, 1)
    ]
    assert serial["error"].isna().all()
    for row in serial.to_dict("records"):
        scenario = BASE.replace(
            seed=row["seed"],
            people=BASE.people.replace(count=row["people.count"]),
            transport=TRANSPORT.replace(
                reconnect=TRANSPORT.reconnect.replace(jitter=row["transport.reconnect.jitter"])
            ),
        )
        metrics = run(scenario, sample=0).metrics
        assert {name: row[name] for name in metrics} == metrics


class Backwards(Executor):
    """Runs what it was given when told to, the last first."""

    def __init__(self) -> None:
        self._tasks: list[tuple[Future[Any], Any, tuple[Any, ...]]] = []

    def submit(self, fn: Any, /, *args: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._tasks.append((future, fn, args))
        if len(self._tasks) == 8:
            threading.Thread(target=self._run).start()
        return future

    def _run(self) -> None:
        for future, fn, args in reversed(self._tasks):
            future.set_result(fn(*args))


@pytest.mark.slow
def test_threads_and_another_order_give_the_same_table(serial: pd.DataFrame) -> None:
    with ThreadPoolExecutor(2) as executor:
        assert_frame_equal(table(executor=executor), serial)
    assert_frame_equal(table(executor=Backwards()), serial)


def test_processes_give_the_same_table(serial: pd.DataFrame) -> None:
    with processes(2) as executor:
        assert_frame_equal(table(executor=executor), serial)
    assert_frame_equal(table(executor="processes"), serial)


@pytest.mark.skipif(sys.platform != "linux", reason="new interpreters are started there")
def test_processes_have_the_simulator_loaded_and_nothing_of_this_one() -> None:
    with processes(1) as executor:
        assert executor.submit(eval, "'chatlab.sim.model' in __import__('sys').modules").result()
        assert not executor.submit(eval, f"{__name__!r} in __import__('sys').modules").result()
        assert executor.submit(os.getppid).result() != os.getpid()


@pytest.fixture
def dask_executor() -> Iterator[Executor]:
    if not os.environ.get("CI"):
        pytest.importorskip("distributed")
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            host="127.0.0.1",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


@pytest.mark.proof
@pytest.mark.filterwarnings("default")  # Dask's own threads and sockets close after the test
def test_a_dask_cluster_gives_the_same_table(serial: pd.DataFrame, dask_executor: Executor) -> None:
    assert_frame_equal(table(executor=dask_executor), serial)


def test_tasks_are_small() -> None:
    scenario = BASE.replace(people=BASE.people.replace(count=100_000))
    task = pickle.dumps((run_cell, scenario.to_toml(), "model", None))
    assert len(task) < 1_000


def test_values_may_have_names_and_be_settings() -> None:
    choices = {"seed": ReconnectConfig(), "Phoenix": preset("Phoenix").reconnect}
    found = sweep(BASE, {"transport.reconnect": choices}, metrics=["attempts"], progress=False)
    assert found["transport.reconnect"].tolist() == ["seed", "Phoenix"]
    for name, attempts in zip(choices, found["attempts"], strict=True):
        transport = TRANSPORT.replace(reconnect=choices[name])
        assert attempts == run(BASE.replace(transport=transport), sample=0).metrics["attempts"]


def test_an_entry_of_a_list_is_set_and_the_others_are_kept() -> None:
    found = sweep(
        BASE, {"faults[1].duration": np.array([1.0, 8.0])}, metrics=["recovery_p99"], progress=False
    )
    assert found["seed"].tolist() == [9, 9]
    for duration, recovery in zip((1.0, 8.0), found["recovery_p99"], strict=True):
        faults = (BASE.faults[0], ServerDown(at=10.0, duration=duration))
        assert recovery == run(BASE.replace(faults=faults), sample=0).metrics["recovery_p99"]


def test_none_stands_for_none() -> None:
    found = sweep(
        BASE, {"transport.reconnect.max_attempts": [0, None]}, metrics=["unrecovered"], progress=False
    )
    assert found["transport.reconnect.max_attempts"].tolist() == [0, "none"]
    assert found["unrecovered"].tolist() == [4, 0]


def test_a_value_of_a_list_is_named_as_json() -> None:
    found = sweep(
        BASE, {"faults": [(), (ServerDown(at=1.0, duration=2.0),)]}, metrics=["attempts"], progress=False
    )
    assert found["faults"].tolist() == ["[]", '[{"kind":"server_down","at":1.0,"duration":2.0}]']


def count_latencies(result: Run) -> Mapping[str, Value]:
    return {"in_histogram": sum(result.latencies), "delivered": result.metrics["delivered"]}


def test_a_function_may_measure() -> None:
    found = sweep(BASE, {"people.count": [2]}, metrics=count_latencies, progress=False)
    assert list(found.columns) == ["people.count", "seed", "in_histogram", "delivered", "error"]
    assert 0 < found["in_histogram"][0] <= found["delivered"][0]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (
            {"transport.reconect.jitter": ["full"]},
            r"transport\.reconect: there is no such .* mean 'reconnect'",
        ),
        ({"people.crowd": [1]}, r"people\.crowd: there is no such setting; .*count"),
        ({"people.count": [10, 0]}, r"people\.count: give a whole number of at least 1, got 0"),
        ({"transport.reconnect.jitter": ["ful"]}, r"transport\.reconnect\.jitter: choose one of .*'full'"),
        ({"faults[2].at": [1.0]}, r"faults: there is no \[2\]; choose from \[0\] to \[1\]"),
        ({"faults.first.at": [1.0]}, r"faults: there is no \[first\]"),
        ({"people.script[0].at": [1.0]}, r"people\.script: there is no \[0\]; the list is empty"),
        ({"name.length": [1.0]}, r"name: give a text"),
        ({"network.latency.median": [0.1]}, r"network\.latency\.p99: it's missing"),
        ({"people.count": []}, r"people\.count: give at least one value"),
        ({"people.count": 10}, r"people\.count: give a list of values, got 10"),
        ({"transport.reconnect.jitter": "full"}, r"jitter: give a list of values, got 'full'"),
        ({"seed": [1]}, r"seed: give it as seeds="),
    ],
)
def test_paths_are_checked_before_anything_runs(over: Mapping[str, Any], message: str) -> None:
    executor = Backwards()
    with pytest.raises(SettingsError, match=message):
        sweep(BASE, over, executor=executor, progress=False)
    assert not executor._tasks


@pytest.mark.slow
def test_other_arguments_are_checked_too() -> None:
    with pytest.raises(SettingsError, match="world: there is no 'mars'; choose one of model"):
        sweep(BASE, OVER, world="mars", progress=False)
    with pytest.raises(SettingsError, match="seeds: give at least one"):
        sweep(BASE, OVER, seeds=[], progress=False)
    for over, seeds in ((OVER, range(10**9)), (OVER, count()), ({"people.count": count(1)}, [1])):
        with pytest.raises(SettingsError, match="the sweep has more than 100,000 values or seeds; at most"):
            sweep(BASE, over, seeds=seeds, progress=False)
    with pytest.raises(SettingsError, match="the sweep has 400,000 runs; at most 100,000"):
        sweep(BASE, OVER, seeds=range(100_000), progress=False)
    with pytest.raises(SettingsError, match="executor: give an Executor, 'processes' or None, got 'threads'"):
        sweep(BASE, OVER, executor="threads", progress=False)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="metrics: there is no 'speed'; choose from sent, acked"):
        table(metrics=["speed"])


def fail_with_many(result: Run) -> Mapping[str, Value]:
    if result.scenario.people.count > 4:
        raise ValueError("too many")
    return {"sent": result.metrics["sent"]}


def test_a_failed_run_leaves_the_others_alone() -> None:
    with pytest.warns(
        RuntimeWarning,
        match=r"^4 of 8 runs failed, .* with people\.count=6, transport\.reconnect\.jitter=seed, seed=0: "
        r"ValueError: too many$",
    ):
        found = table(metrics=fail_with_many)
    assert found["error"].isna().tolist() == [True] * 4 + [False] * 4
    assert found["sent"].isna().tolist() == [False] * 4 + [True] * 4
    assert set(found["error"].dropna()) == {"ValueError: too many"}


def kill_process(result: Run) -> Mapping[str, Value]:
    if result.scenario.people.count > 4:
        os._exit(1)
    return {"sent": result.metrics["sent"]}


def test_a_killed_process_fails_its_own_run_only() -> None:
    over = {"people.count": [6, 2, 5, 3]}
    with processes(1) as executor, pytest.warns(RuntimeWarning, match="2 of 4 runs failed"):
        found = sweep(BASE, over, metrics=kill_process, executor=executor, progress=False)
    assert found["error"].isna().tolist() == [False, True, False, True]
    assert re.fullmatch(r"ProcessDied: process \d+ has ended \(exit code 1\)", found["error"][2])


def test_a_broken_executor_is_reported() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.warns(RuntimeWarning, match="8 of 8 runs failed"):
        assert table(executor=executor)["error"].str.startswith("RuntimeError: cannot schedule").all()


def test_a_function_that_other_processes_cannot_find_is_refused_before_anything_runs() -> None:
    hint = r"metrics: other processes can't find <lambda> .*; define it at the top of a module"
    with processes(1) as executor, pytest.raises(SettingsError, match=hint):
        table(metrics=lambda result: {}, executor=executor)


def test_a_function_of_a_notebook_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = "def latest(result): return result.metrics"
    main = ModuleType("__main__")
    exec(cell, vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(SettingsError, match=r"can't find latest \(it's in no file\)"):
        table(metrics=main.latest, executor="processes")
    assert not table(metrics=main.latest)["error"].any()


@pytest.mark.proof
def test_other_processes_find_a_function_of_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from chatlab import Scenario, sweep\n"
        "def latest(result): return {'sent': result.metrics['sent']}\n"
        "if __name__ == '__main__':\n"
        "    found = sweep(Scenario(duration=2.0), {'people.count': [2, 3]}, metrics=latest, "
        "executor='processes', progress=False)\n"
        "    print(found['error'].isna().all())\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_a_result_that_cannot_be_pickled_is_reported() -> None:
    class Narrow(ThreadPoolExecutor):
        def submit(self, *task: Any, **options: Any) -> Future[Any]:
            lost: Future[Any] = Future()
            lost.set_exception(pickle.PicklingError("too wide"))
            return lost

    with Narrow(1) as executor, pytest.warns(RuntimeWarning, match="8 of 8 runs failed"):
        assert set(table(executor=executor)["error"]) == {"PicklingError: too wide"}


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "progress", "drawn"),
    [(Terminal, True, True), (Terminal, False, False), (StringIO, True, False)],
)
def test_there_is_a_bar_on_a_terminal_unless_told_otherwise(
    stream: type[StringIO], progress: bool, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", written := stream())
    sweep(BASE, {"people.count": [2, 3]}, progress=progress)
    assert ("2/2" in written.getvalue()) == drawn
    assert drawn or written.getvalue() == ""


def test_a_sweep_warns_of_settings_without_effect() -> None:
    with pytest.warns(
        RuntimeWarning, match="server.backlog has no effect here: server.accept_rate is 'none'"
    ):
        sweep(BASE.replace(server=ServerConfig()), {"server.backlog": [2, 3]}, progress=False)


# The command line


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("people.count=100,1000", "people.count", [100, 1000]),
        ("transport.reconnect.jitter = seed, full", "transport.reconnect.jitter", ["seed", "full"]),
        ("people.send_rate=0.5,1e-2", "people.send_rate", [0.5, 0.01]),
        ("server.presence=true,false", "server.presence", [True, False]),
        ("transport.reconnect.max_attempts=10,none", "transport.reconnect.max_attempts", [10, "none"]),
        ('name="a, b",c', "name", ["a, b", "c"]),
        ('name="a, b","c"', "name", ["a, b", "c"]),
        (
            "network.latency=0.1,{median=0.1,p99=0.2}",
            "network.latency",
            [0.1, {"median": 0.1, "p99": 0.2}],
        ),
        ("name=" + "[" * 5000, "name", ["[" * 5000]),
        ("name=" + "9" * 5000, "name", ["9" * 5000]),
    ],
    ids=lambda text: str(text)[:40],
)
def test_choices_are_read_from_text(text: str, path: str, values: list[Any]) -> None:
    assert read_choices(text) == (path, values)


@pytest.mark.parametrize("text", ["people.count", "people.count=", "=3", ""])
def test_choices_without_a_value_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"such as people\.count=100,1000"):
        read_choices(text)


def test_the_command_prints_means_and_saves_all(tmp_path: Path, serial: pd.DataFrame) -> None:
    BASE.save(tmp_path / "base.toml")
    result = CliRunner().invoke(
        app,
        [
            "sweep",
            str(tmp_path / "base.toml"),
            "--over=people.count=3,6",
            "--over=transport.reconnect.jitter=seed,full",
            "--seeds=2",
            "--processes=2",
            "--metrics=sent",
            f"--out={tmp_path / 'table.csv'}",
        ],
    )
    assert result.exit_code == 0, result.output
    saved = pd.read_csv(tmp_path / "table.csv")
    assert_frame_equal(saved.iloc[:, :4], serial.iloc[:, :4], check_dtype=False)
    for mean in serial.groupby(["people.count", "transport.reconnect.jitter"])["sent"].mean():
        assert f"{mean:,.4g}" in result.stdout


def test_the_sweep_command_reports_errors(tmp_path: Path) -> None:
    BASE.save(tmp_path / "base.toml")
    result = CliRunner().invoke(app, ["sweep", str(tmp_path / "base.toml"), "--over=people.cuont=3"])
    assert result.exit_code == 1
    assert "chatlab sweep: people.cuont: there is no such setting; did you mean 'count'?" in result.stderr
    result = CliRunner().invoke(
        app, ["sweep", str(tmp_path / "base.toml"), "--over=transport.dialect=chatlab,text"]
    )
    assert result.exit_code == 1
    assert "chatlab sweep: with transport.dialect=text, seed=0: SettingsError" in result.stderr
