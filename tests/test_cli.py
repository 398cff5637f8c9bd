"""Errors of commands say what is wrong, where, and what to do, without a traceback."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import version
from math import inf
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from chatlab.cli import app
from chatlab.cli_errors import format_number
from chatlab.dialects import DIALECTS
from chatlab.experiment.run import Run
from chatlab.live.client.kinds import TITLES
from chatlab.plots.run import PLOTS

GOOD = "duration = 5.0\npeople = { count = 2, send_rate = 0.2 }\n"
COMMANDS = ("lab", "serve", "chat", "probe", "simulate", "compare", "sweep", "find", "fit", "scenarios")
OVER = "--over=people.count=1,2"


def run(*arguments: str, columns: int = 200) -> Result:
    return CliRunner(env={"COLUMNS": str(columns), "NO_COLOR": "1"}).invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with good and bad scenarios."""
    monkeypatch.chdir(tmp_path)
    Path("good.toml").write_text(GOOD, encoding="utf-8")
    Path("typo.toml").write_text("duration = 5.0\npeple = { count = 3 }\n", encoding="utf-8")
    Path("cut.toml").write_text("duration = 5.0\npeople = {\n", encoding="utf-8")
    Path("bytes.toml").write_bytes(b"\xff\xfe")
    Path("folder").mkdir()
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another socket listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.slow
def test_each_command_has_help_and_the_first_page_names_it() -> None:
    first = run("--help").stdout
    for name in COMMANDS:
        assert re.search(rf"│ {name} ", first)
        page = run(name, "--help")
        assert page.exit_code == 0
        assert f"Usage: chatlab {name}" in page.stdout or f"{name} [OPTIONS]" in page.stdout


def test_the_help_of_chat_names_every_transport_and_dialect() -> None:
    page = run("chat", "--help").stdout
    assert [name for name in [*TITLES, *DIALECTS] if name not in page] == []


def test_it_prints_its_version() -> None:
    assert run("--version").stdout == f"chatlab {version('chatlab')}\n"


@pytest.mark.parametrize("command", [["simulate"], ["compare"], ["sweep", OVER]], ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("scenario", "told"),
    [
        ("none.toml", "there is no scenario or file 'none.toml'; choose one of "),
        ("thundering_herd.toml", "(did you mean 'thundering_herd'?)"),
        ("folder", "folder is a folder; name a scenario's TOML file in it"),
        ("typo.toml", "typo.toml: peple: there is no such setting; did you mean 'people'?"),
        ("cut.toml", "cut.toml: not valid TOML: "),
        ("bytes.toml", "bytes.toml: not UTF-8 text"),
    ],
)
def test_a_scenario_that_cant_be_read(command: list[str], scenario: str, told: str) -> None:
    ended = run(*command, scenario)
    assert ended.exit_code == (2 if command == ["compare"] else 1)
    assert ended.stderr.startswith(f"chatlab {command[0]}: ")
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["simulate", "good.toml", "--world", "mars"],
            "--world: there is no 'mars'; choose one of model, wire, live",
        ),
        (
            ["simulate", "good.toml", "--sample=0", "--plot=statuses:a.png"],
            "--sample: give 1 or more; the plot statuses shows recorded people only",
        ),
        (["simulate", "good.toml", "--world=live", "--time-scale=0"], "--time-scale: give a number above 0"),
        (
            ["simulate", "good.toml", "--set=people.cuont=1"],
            "people.cuont: there is no such setting; did you",
        ),
        (["compare", "good.toml", "--set=people.count=1,2"], "people.count: give one value; chatlab sweep"),
        (["compare", "good.toml", "--worlds", "model"], "--worlds: give two or more, such as model,wire"),
        (["sweep", "good.toml", "--over", "people.count"], "give a setting and its values, such as people."),
        (["sweep", "good.toml", "--over=people.cuont=1"], "people.cuont: there is no such setting; did you"),
        (
            ["sweep", "good.toml", OVER, OVER],
            "people.count: give all values in one argument, such as people.count=1,2",
        ),
        (["sweep", "good.toml", OVER, "--metrics=sent,lsot"], "there is no 'lsot' (did you mean 'lost'?)"),
        (["sweep", "good.toml", OVER, "--metrics="], "--metrics: there is no ''"),
        (
            ["find", "good.toml", "--vary=people.count=1:9"],
            "keep: give a bound, such as attempts_per_second_",
        ),
        (
            ["find", "good.toml", "--vary=people.count=1:9", "--keep=lsot<=1"],
            "there is no 'lsot' (did you mean 'lost'?)",
        ),
        (["find", "good.toml", "--vary=people.count=1:9", "--keep=lost<1"], "keep: give <= or >= in"),
        (["fit", "good.toml", "--to=none.csv"], "none.csv: no such file or directory"),
        (["fit", "good.toml", "--to=good.toml"], "good.toml: "),
        (
            ["fit", "good.toml", "--to=good.toml", "--of=pies"],
            "--of: there is no 'pies'; choose one of attempts",
        ),
        (["chat", "nonsense"], "give one that starts with http://, https://, ws:// or wss://"),
        (["chat", "http://127.0.0.1:1", "--name="], "--name: give a text of at least one character"),
        (["chat", "http://127.0.0.1:1", "--room="], "--room: give a text of at least one character"),
        (["chat", "http://127.0.0.1:1", "--transport=pigeon"], "--transport: there is no 'pigeon'; choose"),
        (["chat", "http://127.0.0.1:1", "--header=X"], "--header: give a name and a value with a colon"),
        (["chat", "http://127.0.0.1:1", "--token-file=none"], "--token-file none: no such file or directory"),
        (["lab", "none.ipynb"], "none.ipynb doesn't exist; name a notebook or a folder"),
        (["serve", "--port=0", "--host=nowhere.invalid"], "--host nowhere.invalid: "),
        (
            ["serve", "--port=0", "--host=192.0.2.1"],
            "host 192.0.2.1 is not an address of this machine; give one",
        ),
        (["serve", "--port=0", "--db=good.toml"], "the history in good.toml fails: file is not a database"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_one_line(arguments: list[str], told: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == (2 if arguments[0] == "compare" else 1)
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith(f"chatlab {arguments[0]}: ")]
    assert told in line
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["simulate", "good.toml", "--out=none/run.jsonl"], "--out: there is no folder none; create it, or"),
        (["simulate", "good.toml", "--out=folder"], "--out: folder is a folder; name a file in it"),
        (["simulate", "good.toml", "--plot=none/a.png"], "--plot: there is no folder none"),
        (["simulate", "good.toml", "--plot=a.xyz"], "--plot: .xyz is no image format; choose one"),
        (["compare", "good.toml", "--plot=none/a.png"], "--plot: there is no folder none"),
        (["compare", "good.toml", "--plot=a.xyz"], "--plot: .xyz is no image format; choose one"),
        (["sweep", "good.toml", OVER, "--out=none/a.csv"], "--out: there is no folder none"),
        (["serve", "--port=0", "--db=none/chat.db"], "--db: there is no folder none"),
        (["serve", "--port=99999"], "--port: "),
        (["sweep", "good.toml", OVER, "--seeds=1000000000"], "--seeds: "),
        (["sweep", "good.toml", OVER, "--processes=100000"], "--processes: "),
        (["simulate", "good.toml", "--sample=x"], "--sample: "),
        (["simulate"], "missing argument 'scenario'; see chatlab simulate --help"),
        (["sweep", "good.toml"], "missing option '--over'; see chatlab sweep --help"),
        (["simulate", "good.toml", "--wrold=live"], "no such option: --wrold"),
        (["simulate", "good.toml", "--set"], "option '--set' requires an argument; see chatlab simulate"),
        (["scenarios", "all"], "got unexpected extra argument(s) (all); see chatlab scenarios --help"),
        (["--nope"], "no such option: --nope; see chatlab --help"),
        (["simualte"], "no such command 'simualte'. Did you mean 'simulate'?; see chatlab --help"),
    ],
    ids=" ".join,
)
def test_what_cant_work_is_refused_in_one_line_before_it_begins(arguments: list[str], told: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 2
    known = arguments[0] in COMMANDS
    start = f"chatlab {arguments[0]}: " if known else "chatlab: "
    # Typer writes an argument's name in one way or the other.
    assert ended.stderr.lower().startswith(f"{start}{told}".lower())
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_without_a_command_it_prints_the_help() -> None:
    ended = run()
    assert (ended.exit_code, ended.stderr) == (2, "")
    assert ended.stdout.strip() == run("--help").stdout.strip()


@pytest.mark.slow
def test_a_time_scale_without_the_live_world_is_said_to_have_no_effect() -> None:
    for command in (["simulate"], ["compare"]):
        ended = run(*command, "good.toml", "--time-scale=20")
        assert (ended.exit_code, ended.stderr) == (
            0,
            f"chatlab {command[0]}: --time-scale has no effect: only the live world takes it\n",
        )
    assert run("simulate", "good.toml", "--world=live", "--set=duration=1.0", "--time-scale=20").stderr == ""


def test_settings_of_a_scenario_can_be_changed_for_one_run(tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    changed = ("--set=people.count=3", "--set=seed=7", "--set=transport.reconnect.jitter=full")
    assert run("simulate", "good.toml", *changed, f"--out={out}").exit_code == 0
    scenario = Run.load(out).scenario
    assert (scenario.people.count, scenario.seed) == (3, 7)
    assert 'jitter = "full"' in scenario.to_toml()
    compared = run("compare", "good.toml", "--set=people.count=3")
    assert (compared.exit_code, "3 people" in compared.stdout) == (0, True)


@pytest.mark.slow
def test_simulate_says_what_it_leaves_out(tmp_path: Path) -> None:
    late = '--set=faults=[{kind="server_down", at=1e3, duration=1.0}]'
    plot = tmp_path / "plot.png"
    ended = run("simulate", "good.toml", "--set=people.count=20", late, f"--plot=statuses:{plot}")
    assert ended.exit_code == 0
    assert f"{plot} shows the first 12 of 20 people" in ended.stdout
    assert ended.stderr == (
        "chatlab simulate: faults[0] has no effect here: it begins at 1000 s, and the run ends at 5 s\n"
    )
    compared = run("compare", "good.toml", "--set=people.count=60")
    assert "agree: 50 of 60 people," in compared.stdout


def test_simulate_begins_with_the_answer() -> None:
    printed = run("simulate", "good.toml", columns=80).stdout
    assert printed.startswith("Nothing happened: all 2 people connected at the first attempt, and stayed")
    assert "lost" not in printed.partition("metric")[2]
    assert "--all prints" in printed
    everything = run("simulate", "good.toml", "--all").stdout
    assert "lost" in everything.partition("metric")[2]
    assert "time_error" in everything
    assert "--all" not in everything


def test_simulate_saves_what_happened_each_second(tmp_path: Path) -> None:
    assert run("simulate", "good.toml", f"--series={tmp_path / 'a.csv'}").exit_code == 0
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table)[:2] == ["second", "attempts"]
    assert table["connected"].tolist() == [2] * 5


@pytest.mark.slow
def test_a_plot_is_chosen_by_its_name(tmp_path: Path) -> None:
    page = run("simulate", "--help").stdout
    assert [kind for kind in PLOTS if kind not in page] == []
    for value, file in (("crowd", "crowd.png"), ("crowd:a.svg", "a.svg"), ("b.png", "b.png")):
        assert run("simulate", "good.toml", f"--plot={value}").exit_code == 0
        assert Path(file).stat().st_size > 1000
    for wrong in ("qeue", "qeue:a.png"):
        ended = run("simulate", "good.toml", f"--plot={wrong}")
        told = "--plot: there is no kind 'qeue', nor a suffix such as .png; did you mean 'queue'?"
        assert (ended.exit_code, told in ended.stderr) == (2, True)
    assert "choose one of crowd" in run("simulate", "good.toml", "--plot=xyz").stderr
    ended = run("simulate", "good.toml", "--plot=queue:none/a.png")
    assert (ended.exit_code, "there is no folder none" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    "paths", [("transport.reconnect.jitter",), ("transport.reconnect.jitter", "people.count")]
)
def test_no_heading_of_a_sweep_is_cut_off_in_a_usual_terminal(paths: tuple[str, ...]) -> None:
    values = {"transport.reconnect.jitter": "seed,decorrelated", "people.count": "1,2"}
    over = [f"--over={path}={values[path]}" for path in paths]
    table = run("sweep", "good.toml", *over, columns=80).stdout
    assert "…" not in table
    headings = [*paths, "sent", "lost", "latency_p95", "recovery_p99", "unrecovered", "attempts"]
    words = [word for heading in headings for word in re.split(r"(?<=[._])", heading)]
    assert [word for word in words if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", table)] == []


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (0.116133, "0.1161"),
        (173.84, "173.8"),
        (406.0, "406"),
        (999.99, "1,000"),
        (10_228.5, "10,228"),
        (10_629_812, "10,629,812"),
        (inf, "never"),
    ],
)
def test_a_figure_is_written_as_people_write_it(value: float | None, written: str) -> None:
    assert format_number(value) == written


@pytest.mark.slow
def test_find_prints_a_sentence_and_the_toml_to_use(tmp_path: Path) -> None:
    out = tmp_path / "runs.csv"
    found = ("--vary=people.count=1:40", "--keep=attempts<=20", "--seeds=2", f"--out={out}")
    ended = run("find", "good.toml", *found, columns=80)
    assert ended.exit_code == 0
    assert "attempts ≤ 20 is kept up to people.count = 20: there attempts is 20; at 21" in ended.stdout
    assert ended.stdout.endswith("[people]\ncount = 20\n")
    assert set(pd.read_csv(out)["people.count"]) >= {1, 20, 21, 40}
    none = run("find", "good.toml", "--vary=people.count=1:40", "--keep=attempts<=0", "--seeds=1")
    assert (none.exit_code, "values tried of people.count (1 to 40) keeps attempts ≤ 0" in none.stdout) == (
        3,
        True,
    )
    every = run("find", "good.toml", "--vary=people.count=1:40", "--keep=attempts<=50", "--seeds=1")
    assert (every.exit_code, "values tried of people.count, from 1 to 40, keeps" in every.stdout) == (0, True)
    chosen = ("--vary=transport.reconnect.jitter=full,none", "--best=attempts")
    assert "The result is the same at every value of transport" in run("find", "good.toml", *chosen).stdout


@pytest.mark.slow
def test_fit_prints_a_ranking_and_the_toml_to_use(tmp_path: Path) -> None:
    broken = '[transport.reconnect]\njitter = "full"\n[[faults]]\nkind = "connection_reset"\nat = 8.0\n'
    Path("herd.toml").write_text(f"duration = 30.0\npeople.count = 20\n{broken}", encoding="utf-8")
    hidden = ("--set=seed=77", "--set=transport.reconnect.base_delay=8")
    assert run("simulate", "herd.toml", *hidden, "--series=herd.csv").exit_code == 0
    table, plot = tmp_path / "ranking.csv", tmp_path / "fit.png"
    ended = run(
        *("fit", "herd.toml", "--to=herd.csv", "--over=transport.reconnect.base_delay=0.5,2,8", "--seeds=3"),
        *(f"--out={table}", f"--plot={plot}"),
        columns=80,
    )
    assert ended.exit_code == 0
    assert "8 explains herd.csv best: on average " in ended.stdout
    assert ended.stdout.endswith("[transport.reconnect]\nbase_delay = 8\n")
    assert sorted(pd.read_csv(table)["candidate"].tolist()) == [0.5, 2, 8]
    assert plot.stat().st_size > 1000


AWAY = (
    "--set=duration=20.0",
    "--set=transport.reconnect.enabled=false",
    '--set=faults=[{kind="connection_reset", at=3.0, people=["person-1"]}]',
)


def test_what_never_happens_is_printed_with_its_share() -> None:
    printed = run("simulate", "good.toml", *AWAY).stdout
    assert "never (100 %)" in printed
    assert "inf" not in printed


def test_a_sweep_prints_medians_over_the_seeds_with_their_spread(tmp_path: Path) -> None:
    out = tmp_path / "runs.csv"
    over = ("--over=transport.reconnect.enabled=true,false", "--metrics=recovery_p50,latency_p99,attempts")
    broken = '[[faults]]\nkind = "connection_reset"\nat = 8.0\nshare = 0.5\n'
    Path("herd.toml").write_text(f"duration = 40.0\npeople.count = 20\n{broken}", encoding="utf-8")
    ended = run("sweep", "herd.toml", *over, "--seeds=4", f"--out={out}")
    assert "median, least – greatest of the seeds" in ended.stdout
    runs = pd.read_csv(out).groupby("transport.reconnect.enabled")
    for setting in (True, False):
        values = runs.get_group(setting)["attempts"]
        assert f"{values.median():g}" in ended.stdout
        if setting:
            assert f"{values.min():g} – {values.max():g}" in ended.stdout
    assert "never (100 %)" in ended.stdout
    assert runs.get_group(False)["recovery_p50"].tolist() == [inf] * 4


@pytest.mark.parametrize("arguments", [["simulate", "good.toml"], ["sweep", "good.toml", OVER]])
def test_a_table_of_metrics_says_the_unit_of_its_times(arguments: list[str]) -> None:
    assert "times are in seconds" in run(*arguments).stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [["simulate", "good.toml"], ["sweep", "good.toml", OVER]])
def test_a_full_disk_is_reported_and_the_results_are_printed(arguments: list[str]) -> None:
    ended = run(*arguments, "--out=/dev/full")
    assert ended.exit_code == 1
    assert f"chatlab {arguments[0]}: /dev/full: no space left on device" in ended.stderr
    assert "sent" in ended.stdout


def test_a_port_in_use_is_reported(taken: int) -> None:
    ended = run("serve", f"--port={taken}")
    assert ended.exit_code == 1
    assert ended.stderr == (
        f"chatlab serve: port {taken} of 127.0.0.1 is in use; choose another, or 0 for any that is free\n"
    )


def test_lab_says_how_to_get_jupyterlab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    ended = run("lab", "folder")
    assert ended.exit_code == 1
    assert ended.stderr == "chatlab lab: JupyterLab is missing; install it with: pip install 'chatlab[lab]'\n"
