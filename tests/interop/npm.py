"""The npm packages that package.json pins, and programs in Node.js that use them."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.requirements import find

HERE = Path(__file__).parent


def install() -> None:
    """Install what package.json pins, unless that has been done since it changed. Other processes wait."""
    installed = HERE / "node_modules" / ".package-lock.json"
    with (HERE / "package.json").open() as pins:
        fcntl.flock(pins, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < (HERE / "package.json").stat().st_mtime:
            command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=HERE, check=True, capture_output=True, timeout=300)
            installed.touch()


@contextmanager
def program(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program of this folder; it ends with its standard input."""
    pipe = subprocess.PIPE
    command = [str(find("node")), name, *arguments]
    with subprocess.Popen(command, cwd=HERE, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdin is not None
        try:
            yield running
        finally:
            running.stdin.close()


def port_of(server: subprocess.Popen[str]) -> int:
    """Return the port that a server prints as its first line."""
    assert server.stdout is not None
    return int(server.stdout.readline())
