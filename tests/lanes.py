"""The lanes of a tier: the commands of `make check`, `make test` and `make proof`, and their outcome.

    python -m tests.lanes test               # all lanes of a tier
    python -m tests.lanes proof unit         # some of them

A lane is a list of commands, one after the other; the first that fails ends it. Lanes of one row run one
after the other, rows at once. A lane's output is shown when it ends, and is in `build/test/LANE.log`.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[1]
SCRATCH = ROOT / "build" / "test"
SLOWEST = 20
CORES = min(os.cpu_count() or 2, 8)
WORKERS = CORES + 2
"""Processes of a lane with parallel tests: two more than there are cores, since the slow ones mostly wait."""
PATIENCE = 10.0
"""Seconds that a lane has to end when it is interrupted."""
STEP = 20
"""Per cent of a lane's tests after which a line reports progress."""
_PROGRESS = re.compile(r"^[.sFExXR]*\s*\[ *(\d+)%\]$")
_MISSING = re.compile(r"^[\w-]+ is missing: ")
_COLLECTED = re.compile(r"^tests/\S+: \d+$")

# A plugin costs up to 1.4 s in each process that loads it, and each worker is one.
UNUSED = tuple(f"-pno:{name}" for name in ("nbmake", "playwright", "anyio", "rerunfailures"))


class Lane(NamedTuple):
    """Commands, one after the other."""

    name: str
    commands: tuple[tuple[str, ...], ...]


class Result(NamedTuple):
    """The outcome of a lane."""

    lane: Lane
    ok: bool
    seconds: float


def pytest(lane: str, *arguments: str, workers: int = 0) -> tuple[str, ...]:
    """Return the command for a lane's tests; a group of tests stays on one worker."""
    spread = ("-n", str(workers), "--dist", "loadgroup") if workers else ("-p", "no:xdist")
    report = f"--junitxml={SCRATCH / lane}.xml"
    return (sys.executable, "-m", "pytest", "-q", "--no-header", *spread, report, *arguments)


def tool(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command of a program in this environment."""
    return (str(Path(sys.executable).parent / name), *arguments)


LINT = Lane(
    "lint",
    (
        tool("ruff", "check"),
        tool("ruff", "format", "--check"),
        tool("lint-imports", "--no-logo"),
        tool("mypy"),
        (sys.executable, "-m", "tests.style"),
    ),
)
UNIT = ("tests", "--ignore=tests/browser", *UNUSED)
# In a fresh clone all workers would compile the same test files at the same time, which one can do for all.
COMPILED = any((ROOT / "tests" / "__pycache__").glob("conftest.*-pytest-*.pyc"))
COLLECT = () if COMPILED else (pytest("unit", *UNIT, "--collect-only", "-q", workers=1),)
BROWSER = ("tests/browser", "-p", "no:nbmake", "-p", "no:anyio", "--reruns=1", "-rR")
"""A failed browser test is run once more, and named: a page, a kernel and a server share two cores."""
REST = ("-m", "proof or sized")

ROWS: dict[str, tuple[tuple[Lane, ...], ...]] = {
    "check": (
        (Lane("unit", (pytest("unit", *UNIT, "-m", "not slow", workers=CORES),)),),  # which don't wait
        (LINT,),
    ),
    "test": (
        (Lane("unit", (*COLLECT, pytest("unit", *UNIT, workers=WORKERS))),),
        (LINT, Lane("browser", (pytest("browser", *BROWSER),))),
    ),
    "proof": (
        (
            Lane("unit", (*COLLECT, pytest("unit", *UNIT, *REST, workers=WORKERS))),
            Lane("notebooks", (pytest("notebooks", "--nbmake", "--nbmake-timeout=120", "notebooks"),)),
        ),
        (
            Lane("pure", ((sys.executable, "-m", "tests.pure"),)),
            Lane("browser", (pytest("browser", *BROWSER, *REST),)),
        ),
    ),
}


class Lanes:
    """A run of a tier's lanes."""

    def __init__(self, tier: str, wanted: list[str]) -> None:
        self._rows = [[lane for lane in row if not wanted or lane.name in wanted] for row in ROWS[tier]]
        self._environment = {**os.environ, "CHATLAB_TIER": tier}
        # Without bytecode each process would compile all tests again, and each process of a test chatlab.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._printing = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False

    def run(self) -> list[Result]:
        """Run the lanes; return the outcome of each, in the order in which they ended."""
        results: list[Result] = []

        def follow(row: list[Lane]) -> None:
            for lane in row:
                if not self._ended:
                    results.append(self._lane(lane))  # noqa: PERF401

        with ThreadPoolExecutor(len(self._rows)) as pool:
            try:
                for done in [pool.submit(follow, row) for row in self._rows]:
                    done.result()
            except BaseException:
                self._ended = True
                self._stop()
                raise
        return results

    def _stop(self) -> None:
        """Interrupt running processes; terminate those that ignore it, as background jobs of a shell do."""
        running = list(self._running)
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.terminate()

    def _lane(self, lane: Lane) -> Result:
        begun = time.monotonic()
        self._print(f"{lane.name}: begins")
        output: list[str] = []
        ok = all(self._command(lane, command, output) for command in lane.commands)
        seconds = time.monotonic() - begun
        text = "".join(output)
        (SCRATCH / f"{lane.name}.log").write_text(text, encoding="utf-8")
        self._print(f"\n== {lane.name}: {'ok' if ok else 'FAILED'} after {seconds:.0f} s\n{text.strip()}\n")
        return Result(lane, ok, seconds)

    def _command(self, lane: Lane, command: tuple[str, ...], output: list[str]) -> bool:
        shown = STEP
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            self._running.add(process)
            assert process.stdout is not None
            for line in process.stdout:
                progress = _PROGRESS.match(line.rstrip())
                if progress is None:
                    if not _COLLECTED.match(line):
                        output.append(line)
                elif int(progress[1]) >= shown:
                    shown = int(progress[1]) // STEP * STEP + STEP
                    self._print(f"{lane.name}: {progress[1]} %")
        self._running.discard(process)
        if process.returncode:
            output.append(f"exit code {process.returncode}: {' '.join(command)}\n")
        return not process.returncode

    def _print(self, text: str) -> None:
        with self._printing:
            print(text, flush=True)  # noqa: T201


def tests_of(lane: Lane) -> list[tuple[str, float, str]]:
    """Return each test of a lane, its seconds, and the reason for which it was skipped, if it was."""
    file = SCRATCH / f"{lane.name}.xml"
    if not file.exists():
        return []
    return [
        (
            f"{test.get('classname', '')}::{test.get('name', '')}",
            float(test.get("time", "0")),
            skipped.get("message", "") if (skipped := test.find("skipped")) is not None else "",
        )
        for test in ET.parse(file).iter("testcase")
    ]


def summary(tier: str, results: list[Result], seconds: float) -> str:
    """Return the last lines: skipped tests, the slowest tests of `proof`, and the outcome of each lane."""
    tests = [test for result in results for test in tests_of(result.lane)]
    missing = [(name, reason) for name, _, reason in tests if _MISSING.match(reason)]
    lines = [f"skipped: {name}: {reason}" for name, reason in missing]
    if tier == "proof":
        lines.append(f"the slowest {SLOWEST}:")
        slowest = sorted(tests, key=lambda test: -test[1])[:SLOWEST]
        lines += [f"{took:8.1f} s  {name}" for name, took, _ in slowest]
    lines += [f"{'ok' if ok else 'FAILED':8}{lane.name:10} {took:4.0f} s" for lane, ok, took in results]
    failed = [result.lane.name for result in results if not result.ok]
    verdict = f"failed: {', '.join(failed)}" if failed else "all well"
    skips = f"; {len(missing)} skipped for want of a program, see above" if missing else ""
    return "\n".join([*lines, f"make {tier}: {verdict}, after {seconds:.0f} s, {len(tests)} tests{skips}"])


def main(tier: str = "test", *wanted: str) -> int:
    """Run a tier's lanes, or only the `wanted` ones; return 1 if one failed."""
    names = {lane.name for row in ROWS[tier] for lane in row}
    if unknown := set(wanted) - names:
        raise SystemExit(f"no lane {', '.join(sorted(unknown))} in {tier}: {', '.join(sorted(names))}")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    for old in [*SCRATCH.glob("*.xml"), *SCRATCH.glob("*.log")]:
        old.unlink()
    begun = time.monotonic()
    results = Lanes(tier, list(wanted)).run()
    sys.stdout.write(summary(tier, results, time.monotonic() - begun) + "\n")
    return not all(result.ok for result in results)


def command_line() -> int:
    """Run the lanes of the command line; stop them when this program gets SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return main(*sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(command_line())
