"""The branch coverage of each pure part of chatlab by its own tests.

    python -m tests.pure

The parts are those of the import contract `pure` in pyproject.toml. A part's own tests are `tests/PART` or
`tests/test_PART.py`: coverage by other tests doesn't count, nor by chance examples of Hypothesis.
"""

import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]


def parts() -> list[str]:
    """Return the names of the pure parts, each a module or a package in `chatlab`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (one for one in project["tool"]["importlinter"]["contracts"] if one["id"] == "pure")
    return [module.removeprefix("chatlab.") for module in contract["source_modules"]]


def own_tests(part: str) -> Path:
    """Return the folder or file with a part's own tests."""
    folder = ROOT / "tests" / part
    return folder if folder.is_dir() else ROOT / "tests" / f"test_{part}.py"


def cover(part: str, scratch: Path) -> tuple[bool, str]:
    """Run a part's tests; return whether they pass with full branch coverage, and their output."""
    data = f"--data-file={scratch / part}"
    tests = [
        *("coverage", "run", data, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"),
        *("-p", "no:playwright", "-p", "no:nbmake", "-p", "no:anyio", "-p", "no:xdist"),
        *("-m", "not sized and not slow", own_tests(part)),
    ]
    report = [
        *("coverage", "report", data, "--fail-under=100"),
        f"--include=chatlab/{part}.py,chatlab/{part}/*",
    ]
    output = f"{part}, covered by {own_tests(part).relative_to(ROOT)}\n"
    for command in (tests, report):
        ended = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        output += ended.stdout
        if ended.returncode:
            return False, output
    return True, output


def main() -> int:
    """Cover all parts, two at once, the one with the most tests first."""
    largest_first = sorted(parts(), key=lambda part: -sum(1 for _ in own_tests(part).glob("*.py")))
    with TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda part: cover(part, Path(scratch)), largest_first))
    for _, output in results:
        sys.stdout.write(output)
    return not all(covered for covered, _ in results)


if __name__ == "__main__":
    raise SystemExit(main())
