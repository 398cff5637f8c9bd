"""`make check`, `make test` and `make proof` show each lane's result, and fail if a lane fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import lanes
from tests.docs.blocks import PAGES
from tests.lanes import ROWS, Lane, Result, summary
from tests.pure import ROOT, own_tests, parts
from tests.sizes import TIERS

GOOD = Lane("good", ((sys.executable, "-c", "print('all is well')"),))
BAD = Lane("bad", ((sys.executable, "-c", "print('so bad'); raise SystemExit(3)"), ("never", "run")))
Main = Callable[..., int]


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Main:
    """Run the given lanes in place of those of `test`."""

    def run(*rows: tuple[Lane, ...]) -> int:
        monkeypatch.setitem(ROWS, "test", rows)
        return lanes.main("test")

    monkeypatch.setattr(lanes, "SCRATCH", tmp_path)
    return run


def test_the_makefile_has_every_tier() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert tuple(ROWS) == TIERS
    assert re.findall(r"^\t\$\(LANES\) (\w+)$", makefile, re.MULTILINE) == list(TIERS)
    for tier, rows in ROWS.items():
        names = [lane.name for row in rows for lane in row]
        assert len(set(names)) == len(names), tier


def test_pages_name_no_target_that_there_is_not() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    pages = [*PAGES, ROOT / "bench" / "README.md", *ROOT.glob("*.md")]
    named = {
        target
        for page in pages
        if page.name != "CHANGELOG.md"
        for target in re.findall(r"`make ([a-z]+)`", page.read_text(encoding="utf-8"))
    }
    assert set(TIERS) <= named <= targets


def test_the_page_on_testing_explains_every_tiers_mark() -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    marks = [mark.partition(":")[0] for mark in project["tool"]["pytest"]["markers"]]
    tiers = [mark for mark in marks if "(" not in mark and mark != "browser"]
    assert tiers
    assert [mark for mark in tiers if f"`@pytest.mark.{mark}`" not in page] == []


def test_ci_runs_test_and_then_proof() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^CI=true make (\w+) \|\| status=\$\?$", script, re.MULTILINE) == ["test", "proof"]
    assert script.endswith('exit "$status"\n')


def test_all_lanes_are_well(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    assert main((GOOD,), (Lane("other", GOOD.commands),)) == 0
    shown = capsys.readouterr().out
    assert "== good: ok after" in shown
    assert "== other: ok after" in shown
    assert shown.count("all is well") == 2
    assert shown.splitlines()[-1].startswith("make test: all well, after ")


def test_counts_of_collected_tests_are_left_out(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    script = "print('tests/sim/test_tcp.py: 12'); print('tests/sim/test_tcp.py:3: in <module>')"
    assert main((Lane("collect", ((sys.executable, "-c", script),)),)) == 0
    shown = capsys.readouterr().out
    assert "test_tcp.py: 12" not in shown
    assert "test_tcp.py:3: in <module>" in shown


@pytest.mark.parametrize(
    "rows",
    [((BAD, GOOD),), ((GOOD, BAD),), ((GOOD,), (BAD,)), ((BAD,), (GOOD,))],
    ids=["first of a row", "last of a row", "last row", "first row"],
)
def test_one_bad_lane_fails_all_and_the_others_go_on(
    main: Main, rows: tuple[tuple[Lane, ...], ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(*rows) == 1
    shown = capsys.readouterr().out
    assert "== bad: FAILED after" in shown
    assert "so bad" in shown
    assert "exit code 3: " in shown
    assert "never run" not in shown
    assert "== good: ok after" in shown
    assert shown.splitlines()[-1].startswith("make test: failed: bad, after ")


PROBE = """
import pytest

@pytest.mark.parametrize("number", range(30))
def test_quick(number):
    pass

def test_without_its_program():
    pytest.skip("no-such-program is missing: make one")

def test_for_another_reason():
    pytest.skip("not today")
"""


@pytest.fixture
def probe(tmp_path: Path, main: Main) -> Callable[[str], Lane]:
    """Return a lane that runs these tests with further arguments."""

    def make(more: str = "") -> Lane:
        file = tmp_path / "test_probe.py"
        file.write_text(PROBE + more, encoding="utf-8")
        return Lane(
            "probe", (lanes.pytest("probe", *lanes.UNUSED, "-c", str(ROOT / "pyproject.toml"), str(file)),)
        )

    return make


@pytest.mark.slow
def test_what_was_skipped_for_want_of_a_program_is_said_in_the_end(
    main: Main, probe: Callable[..., Lane], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main((probe(), GOOD)) == 0
    last = capsys.readouterr().out.split("== good: ok")[1]
    assert re.search(
        r"^skipped: \S*::test_without_its_program: no-such-program is missing", last, re.MULTILINE
    )
    assert "not today" not in last
    assert last.splitlines()[-1].endswith("32 tests; 1 skipped for want of a program, see above")


@pytest.mark.slow
def test_a_failing_test_fails_its_lane_and_how_far_it_is_is_said(
    main: Main, probe: Callable[..., Lane], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main((probe("\ndef test_bad():\n    assert 1 + 1 == 3\n"),)) == 1
    shown = capsys.readouterr().out
    assert "probe: 100 %" in shown
    assert "assert (1 + 1) == 3" in shown
    assert "failed: probe" in shown.splitlines()[-1]


STOPPED = """
import sys
from pathlib import Path
from tests import lanes
lanes.SCRATCH = Path(sys.argv.pop())
lanes.PATIENCE = 0.2
code = "{deaf}import os, time; print(os.getpid(), file=open('{file}', 'w'), flush=True); time.sleep(300)"
lanes.ROWS["test"] = ((lanes.Lane("long", ((sys.executable, "-c", code),)),),)
lanes.command_line()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "deaf",
    ["", "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "],
    ids=["", "in the background"],
)
def test_a_terminated_run_ends_its_lanes(tmp_path: Path, deaf: str) -> None:
    file = tmp_path / "pid"
    code = STOPPED.format(file=file, deaf=deaf)
    with subprocess.Popen(
        [sys.executable, "-c", code, "test", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as running:
        while not (file.exists() and file.read_text().strip()):
            assert running.poll() is None
            time.sleep(0.01)
        running.terminate()
        running.communicate(timeout=60)
    assert running.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


def test_a_lane_of_no_such_name_is_refused() -> None:
    with pytest.raises(SystemExit, match="no lane nowhere in test: browser, lint, unit"):
        lanes.main("test", "nowhere")


@pytest.mark.proof
def test_proof_names_its_slowest_twenty(main: Main, probe: Callable[..., Lane]) -> None:
    lane = probe()
    assert main((lane,)) == 0
    shown = summary("proof", [Result(lane, True, 1.0)], 1.0)
    assert len(re.findall(r"^ +\d+\.\d s  \S*::test_", shown, re.MULTILINE)) == 20


# The pure parts


def test_every_part_of_the_two_lowest_floors_is_pure() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (floors,) = (contract["layers"] for contract in contracts["contracts"] if contract["id"] == "floors")
    lowest = {part for floor in floors[-2:] for part in re.findall(r"\w+", floor)}
    assert set(parts()) == lowest


def test_the_design_shows_the_same_parts() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    shown = "".join(re.findall(r"^(.*) floor [01]\b", design, re.MULTILINE))
    assert sorted(re.findall(r"\w+(?=/|\.py)", shown)) == sorted(parts())


@pytest.mark.parametrize("part", parts())
def test_every_pure_part_has_tests_of_its_own(part: str) -> None:
    assert own_tests(part).exists()
