"""The widgets' JavaScript, tested by Node with happy-dom for a browser: one test per file of tests/js."""

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "js"


def run(*arguments: str | Path) -> None:
    ended = subprocess.run(arguments, cwd=HERE, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="session")
def happy_dom() -> None:
    """Install what package.json pins, unless that has been done since it changed."""
    installed = HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (HERE / "package.json").stat().st_mtime:
        run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund")
        installed.touch()


@pytest.mark.requires("node")
@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda file: file.name)
def test_javascript(happy_dom: None, file: Path) -> None:
    run("node", "--test", file)
