"""The JavaScript packages of tests, pinned in tests/js/package.json and installed when that has changed."""

import fcntl
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent / "js"
MODULES = FOLDER / "node_modules"


def run(*arguments: str | Path) -> str:
    """Run a command in tests/js and return what it prints; if it fails, raise with its output."""
    ended = subprocess.run(arguments, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def install() -> None:
    """Install the packages if package.json has changed; one process at a time."""
    wanted, installed = FOLDER / "package.json", MODULES / ".package-lock.json"
    with wanted.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
            run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund")
            installed.touch()
