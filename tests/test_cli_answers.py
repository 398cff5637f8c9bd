"""The commands that answer questions: settings without effect, lists from a shell, exit codes, interrupts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatlab.experiment import sweep
from tests.test_cli import GOOD, run

pytestmark = pytest.mark.slow

BROKEN = 'duration = 30.0\npeople.count = 20\n[[faults]]\nkind = "connection_reset"\nat = 8.0\n'
NO_QUEUE = "has no effect here: server.accept_rate is 'none', so nobody waits to be accepted"
VARY, KEEP = "--vary=people.count=1:40", "--keep=attempts<=20"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two scenarios and a file of counts."""
    monkeypatch.chdir(tmp_path)
    Path("good.toml").write_text(GOOD, encoding="utf-8")
    Path("herd.toml").write_text(BROKEN, encoding="utf-8")
    Path("flat.csv").write_text("".join(f"{at},{30 * (at % 2)}\n" for at in range(20)), encoding="utf-8")
    return tmp_path


# Settings without effect


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "good.toml"],
        ["sweep", "good.toml", "--over=people.count=1,2"],
        pytest.param(["compare", "good.toml"], marks=pytest.mark.proof),
        pytest.param(["find", "good.toml", VARY, KEEP, "--seeds=1"], marks=pytest.mark.proof),
        pytest.param(["fit", "good.toml", "--to=flat.csv", "--set=duration=20"], marks=pytest.mark.proof),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_changed_setting_without_effect_is_said(arguments: list[str]) -> None:
    said = run(*arguments, "--set=server.backlog=5").stderr
    assert f"chatlab {arguments[0]}: server.backlog {NO_QUEUE}\n" in said
    assert (
        "server.backlog" not in run(*arguments, "--set=server.backlog=5", "--set=server.accept_rate=9").stderr
    )


def test_settings_without_effect_are_refused_or_said() -> None:
    for command in (
        ["find", "good.toml", "--vary=server.backlog=1:9", KEEP],
        ["fit", "good.toml", "--to=flat.csv", "--set=duration=20", "--over=server.backlog=1:9"],
    ):
        refused = run(*command)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert NO_QUEUE in refused.stderr
    swept = run("sweep", "good.toml", "--over=server.backlog=1,2", "--over=transport.history=1,9")
    assert swept.exit_code == 0
    assert swept.stderr == (
        f"chatlab sweep: server.backlog {NO_QUEUE}\n"
        "chatlab sweep: transport.history made no difference: "
        "every metric is the same at each of its values\n"
    )
    over = ("--over=transport.preset=socket.io,partysocket", "--over=transport.reconnect.jitter=full,none")
    said = run("sweep", "herd.toml", *over).stderr
    assert (
        "in 2 of 4 combinations, such as transport.preset=socket.io, transport.reconnect.jitter has no"
        in said
    )
    assert "made no difference" not in said


def test_a_sweep_changes_settings_for_all_its_runs() -> None:
    swept = run("sweep", "good.toml", "--over=people.rooms=1,2", "--set=people.count=7", "--metrics=attempts")
    assert swept.exit_code == 0
    assert [line.split("│")[2].strip() for line in swept.stdout.splitlines() if "│" in line] == ["7", "7"]


# Values from a shell, which removes quotes


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["transport=sse"], 'transport = { kind = "sse" }'),
        (["transport.kind=fallback", "transport.transports=[sse,long_polling]"], 'kind = "long_polling"'),
        (["transport.preset=socket.io", "transport.reconnect.schedule=none"], "transport"),
        (["faults=[{kind=latency, at=1, duration=2, latency={median=0.1, p99=0.2}}]"], "p99 = 0.2"),
        (["faults=[{kind=blocked, at=1, transports=[websocket,sse]}]"], '"sse"'),
        (["people.script=[{at=1, person=ada, text='a, b'}]"], '"a, b"'),
    ],
    ids=str,
)
def test_lists_and_tables_need_no_quotes(changes: list[str], told: str) -> None:
    from chatlab.experiment.run import Run

    arguments = [f"--set={change}" for change in changes]
    ended = run("simulate", "good.toml", *arguments, "--out=run.jsonl")
    assert (ended.exit_code, ended.stderr) == (0, "")
    scenario = Run.load("run.jsonl").scenario
    assert told in scenario.to_toml().replace("\n", " ").replace('[transport] kind = "sse"', told)
    if "none" in changes[-1]:
        assert scenario.transport.reconnect.schedule == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "transport=pigeon",
            "transport: choose one of websocket, sse, long_polling, short_polling, fallback, ",
        ),
        ("faults=[meteor]", "faults[0]: choose one of "),
        ("faults=[server_down]", "faults[0].at: it's missing"),
        ("people.script=[{at}]", "people.script[0]: give a table, got '{at}'"),
    ],
)
def test_what_a_list_cant_hold_is_said(change: str, told: str) -> None:
    ended = run("simulate", "good.toml", f"--set={change}")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"chatlab simulate: {told}")


# Help, bars and exit codes


@pytest.mark.parametrize("command", ["simulate", "find", "fit", "sweep", "compare", "serve", "chat"])
def test_no_help_is_cut_off_in_a_usual_terminal(command: str) -> None:
    assert "…" not in run(command, "--help", columns=80).stdout


@pytest.mark.parametrize("command", ["simulate", "find", "fit", "sweep"])
def test_the_help_names_the_exit_codes(command: str) -> None:
    page = run(command, "--help", columns=80).stdout
    assert "Exit codes: 0 " in page
    assert "130 interrupted" in page


def test_no_bar_is_drawn_into_a_pipe() -> None:
    for command in (
        ["find", "good.toml", VARY, KEEP, "--seeds=1"],
        ["sweep", "good.toml", "--over=people.count=1"],
    ):
        assert run(*command).stderr == ""


def test_a_fit_that_explains_nothing_ends_with_3() -> None:
    ended = run(
        "fit", "herd.toml", "--to=flat.csv", "--over=transport.reconnect.jitter=full,none", "--seeds=2"
    )
    assert (ended.exit_code, "None explains flat.csv well" in ended.stdout) == (3, True)


# Interrupts


class Interrupting:
    """Interrupts after a number of runs, as Ctrl-C does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runs: int) -> None:
        self._left, self._run = runs, sweep.run_cell
        monkeypatch.setattr(sweep, "run_cell", self)

    def __call__(self, *task: object) -> object:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._run(*task)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("runs", "options", "told"),
    [
        (5, [VARY, KEEP], "Interrupted after 4 runs. So far: Each of the 2 values tried of people.count"),
        (
            13,
            [VARY, KEEP],
            "Interrupted after 12 runs. So far: attempts ≤ 20 is kept up to people.count = 16",
        ),
        (4, [VARY, "--keep=attempts<=0"], "Interrupted after 4 runs. So far: None of the 2 values tried"),
        (
            9,
            [VARY, "--best=attempts"],
            "Interrupted after 8 runs. So far: attempts is best with people.count = 1:",
        ),
        (
            3,
            ["--vary=people.count=9,30,3", KEEP],
            "Interrupted after 2 runs. So far: attempts ≤ 20 is kept with",
        ),
    ],
)
def test_find_prints_what_it_had_when_interrupted(
    monkeypatch: pytest.MonkeyPatch, runs: int, options: list[str], told: str
) -> None:
    Interrupting(monkeypatch, runs)
    ended = run("find", "good.toml", *options, "--seeds=2", "--out=runs.csv")
    assert ended.exit_code == 130
    assert told in ended.stdout
    assert len(Path("runs.csv").read_text(encoding="utf-8").splitlines()) == 1 + runs // 2 * 2


def test_fit_prints_what_it_had_when_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("simulate", "herd.toml", "--set=seed=77", "--series=herd.csv").exit_code == 0
    Interrupting(monkeypatch, 13)
    over = ("--over=transport.reconnect.base_delay=0.5,1,8", "--over=people.count=15:25")
    ended = run("fit", "herd.toml", "--to=herd.csv", *over, "--seeds=3", "--out=ranking.csv")
    assert ended.exit_code == 130
    assert "Interrupted after 12 runs. So far: " in ended.stdout
    assert "(no interval: " in ended.stdout
    assert Path("ranking.csv").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["find", "good.toml", VARY, KEEP],
        ["fit", "herd.toml", "--to=flat.csv", "--over=people.count=15:25"],
        ["sweep", "good.toml", "--over=people.count=1,2"],
    ],
    ids=lambda command: command[0],
)
def test_an_interrupt_before_anything_was_found(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    Interrupting(monkeypatch, 0)
    ended = run(*command)
    assert (ended.exit_code, ended.stdout) == (130, "")


CTRL_C = """
import os, signal
from chatlab.cli import app
from chatlab.experiment import find

class Bar:
    left = 6
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def update(self):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
find.progress_bar = lambda wanted: Bar()
app(ARGUMENTS)
"""


@pytest.mark.proof
@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT for another process")
def test_ctrl_c_ends_a_search_on_two_processes() -> None:
    arguments = ["find", "good.toml", VARY, KEEP, "--seeds=2", "--processes=2"]
    code = CTRL_C.replace("ARGUMENTS", repr(arguments))
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (ended.returncode, ended.stderr) == (130, "")
    assert "Interrupted after " in ended.stdout
    assert "So far: " in ended.stdout
