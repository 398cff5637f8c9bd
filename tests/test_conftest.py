import subprocess
import sys
from pathlib import Path

import pytest

import tests.conftest
from tests.sizes import rows

PROBE = """
import pytest

@pytest.mark.requires("{program}")
def test_that_needs_it():
    pass
"""


def run_probe(tmp_path: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a test that requires the program where neither PATH nor CHROMIUM leads to one."""
    (tmp_path / "conftest.py").write_text(f"from {tests.conftest.__name__} import *\n")
    (tmp_path / "test_probe.py").write_text(PROBE.replace("{program}", program))
    root = Path(__file__).parents[1]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:nbmake",
            "-p",
            "no:playwright",
            "-c",
            root / "pyproject.toml",
            tmp_path,
        ],
        env={"PATH": str(tmp_path), "CHROMIUM": "no-such-browser", "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("program", rows(["chromium", "node"], "node"))
def test_a_missing_program_is_skipped_and_named(tmp_path: Path, program: str) -> None:
    run = run_probe(tmp_path, program)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 skipped" in run.stdout.splitlines()[-1]
    assert f"{program} is missing: " in run.stdout.split("short test summary")[1]


@pytest.mark.slow
def test_under_ci_a_missing_program_is_a_failure(tmp_path: Path) -> None:
    run = run_probe(tmp_path, "chromium", CI="true")
    assert run.returncode == 1
    assert "chromium is missing: apt-get install" in run.stdout
    assert "1 error" in run.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.proof
def test_an_unknown_program_is_an_error(tmp_path: Path) -> None:
    run = run_probe(tmp_path, "crystal-ball")
    assert run.returncode == 1
    assert "KeyError: 'crystal-ball'" in run.stdout
