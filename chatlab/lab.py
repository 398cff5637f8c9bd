"""JupyterLab on copies of the notebooks, so that the originals stay as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import webbrowser
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, NoReturn

from chatlab.fileio import atomic_write

PACKAGE = Path(__file__).parent
FOLDER = Path("chatlab-notebooks")
START = "00_start.ipynb"
WINDOWS = os.name == "nt"
RECORD = ".chatlab.json"
"""Name of a file in the folder of copies, with the SHA-256 of each notebook as it was copied."""


class Copied(NamedTuple):
    """Names of the notebooks that `copy_notebooks` wrote, or left unchanged."""

    written: list[str]
    kept: list[str]
    """Copies that a person changed, and whose original has changed since."""


def originals() -> Path:
    """Return the folder of the notebooks: in the installed package, or beside it in a checkout."""
    installed = PACKAGE / "notebooks"
    return installed if installed.is_dir() else PACKAGE.parent / "notebooks"


def copies() -> Path:
    """Return the folder of the copies: the current folder if it has copies, otherwise a folder in it."""
    here = Path()
    return here if (here / RECORD).is_file() else FOLDER


def copy_notebooks(source: Path, target: Path) -> Copied:
    """Copy each notebook that is missing in `target`, or is an unmodified older copy there.

    Other files stay: copies that were modified, and files that never were copies.

    Errors: OSError.
    """
    notebooks = {path.name: path.read_bytes() for path in sorted(source.glob("*.ipynb"))}
    if START not in notebooks:
        raise FileNotFoundError(f"{source} has no {START}; install chatlab again")
    target.mkdir(parents=True, exist_ok=True)
    record = _read_record(target / RECORD)
    copied = Copied([], [])
    for name, content in notebooks.items():
        copy, original = target / name, _digest(content)
        present = _digest(copy.read_bytes()) if copy.exists() else None
        if present not in (None, original, record.get(name)):
            if record.get(name) != original:
                copied.kept.append(name)
            continue
        if present != original:
            _replace(copy, content)
            copied.written.append(name)
        record[name] = original
    _replace(target / RECORD, json.dumps(record, indent=2).encode())
    return copied


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _read_record(path: Path) -> dict[str, str]:
    """Read the record of copies; if missing or damaged, return {}, so that all copies count as modified."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _replace(path: Path, content: bytes) -> None:
    with atomic_write(path) as part:
        part.write_bytes(content)


def open_lab(notebook: Path) -> NoReturn:
    """Replace this process by JupyterLab on a notebook or folder; without a browser, it prints its URL."""
    folder, page = notebook, "/lab"
    if not notebook.is_dir():
        folder, page = notebook.parent, f"/lab/tree/{notebook.name}"
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={folder.resolve()}", f"--LabApp.default_url={page}"]
    if not _has_browser():
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # root doesn't exist on Windows
        command.append("--allow-root")
    # Defaults only: the user's own settings take precedence.
    configs = [str(PACKAGE / "jupyter"), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    environment = {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(configs)}
    if WINDOWS:  # after exec, the shell would read the keyboard too
        sys.exit(_wait_for(command, environment))
    os.execve(command[0], command, environment)


def _has_browser() -> bool:
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _wait_for(command: list[str], environment: dict[str, str]) -> int:
    """Run a program, leave Ctrl-C to it, and return its exit code."""
    with subprocess.Popen(command, env=environment) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
