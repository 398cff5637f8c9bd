"""`chatlab lab` copies the notebooks, never over a changed copy, and starts JupyterLab on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from jupyter_core.paths import jupyter_config_path
from typer.testing import CliRunner

from chatlab import lab
from chatlab.cli import app
from chatlab.lab import FOLDER, RECORD, START, Copied, copy_notebooks, originals

OLD, NEW, MINE = b"old", b"new", b"mine"


class Launch(NamedTuple):
    """The arguments of `exec`."""

    command: list[str]
    environment: Mapping[str, str]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Launch]:
    """The programs that replaced the command; here it ends instead."""
    launches: list[Launch] = []

    def execve(path: str, command: list[str], environment: Mapping[str, str]) -> None:
        launches.append(Launch(command, environment))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.chdir(tmp_path)
    return launches


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of two notebooks in their old state."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in (START, "01.ipynb"):
        (folder / name).write_bytes(OLD)
    return folder


def run(*arguments: str) -> tuple[int, str, str]:
    ended = CliRunner().invoke(app, ["lab", *arguments])
    return ended.exit_code, ended.stdout, ended.stderr


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_empty_folder_gets_every_notebook(launched: list[Launch]) -> None:
    code, told, _ = run()
    assert code == 0
    names = sorted(path.name for path in originals().glob("*.ipynb"))
    assert len(names) > 10
    assert names_in(Path()) == [str(FOLDER)]
    assert names_in(FOLDER) == sorted([RECORD, *names])
    assert told == f"chatlab lab: notebooks copied into {FOLDER.resolve()}: {len(names)}\n"
    (launch,) = launched
    assert f"--ServerApp.root_dir={FOLDER.resolve()}" in launch.command
    assert f"--LabApp.default_url=/lab/tree/{START}" in launch.command
    assert run() == (0, "", "")  # all are there


def test_in_a_folder_of_copies_no_other_one_is_made(
    launched: list[Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.chdir(FOLDER)
    Path(START).unlink()
    assert run()[0] == 0
    assert Path(START).is_file()
    assert not Path(FOLDER).exists()


def test_a_changed_copy_is_kept_and_reported_and_an_unchanged_older_one_updated(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    assert copy_notebooks(source, target) == Copied([START, "01.ipynb"], [])
    (target / START).write_bytes(MINE)
    assert copy_notebooks(source, target) == Copied([], [])  # changed, but nothing newer is there
    for path in source.iterdir():
        path.write_bytes(NEW)
    for _ in range(2):
        copied = copy_notebooks(source, target)
        assert copied.kept == [START]
        assert (target / START).read_bytes() == MINE
        assert (target / "01.ipynb").read_bytes() == NEW
    (target / START).rename(target / "mine.ipynb")
    assert copy_notebooks(source, target) == Copied([START], [])
    assert (target / "mine.ipynb").read_bytes() == MINE


@pytest.mark.parametrize("record", [None, b"", b"[]", b'{"00_start.ipynb": 1}', b"\xff"])
def test_without_a_good_record_nothing_is_overwritten(
    source: Path, tmp_path: Path, record: bytes | None
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / START).write_bytes(MINE)
    if record is not None:
        (target / RECORD).write_bytes(record)
    assert copy_notebooks(source, target) == Copied(["01.ipynb"], [START])
    assert (target / START).read_bytes() == MINE
    assert set(json.loads((target / RECORD).read_bytes())) - {START} == {"01.ipynb"}


def test_a_copy_is_written_whole_or_not_at_all(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    copy_notebooks(source, target)
    for path in source.iterdir():
        path.write_bytes(NEW)

    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:1])
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            copy_notebooks(source, target)
    assert (target / START).read_bytes() == OLD
    assert copy_notebooks(source, target).written == [START, "01.ipynb"]


@pytest.mark.parametrize("blocker", ["file", "folder"])
def test_a_folder_that_cannot_be_made_is_reported_in_one_line(launched: list[Launch], blocker: str) -> None:
    if blocker == "file":
        FOLDER.write_bytes(b"")
    else:
        (FOLDER / START).mkdir(parents=True)
    code, _, told = run()
    assert code == 1
    assert told.startswith("chatlab lab: ")
    assert str(FOLDER) in told
    assert told.count("\n") == 1
    assert launched == []


def test_an_installation_without_notebooks_is_an_error(source: Path, tmp_path: Path) -> None:
    (source / START).unlink()
    with pytest.raises(FileNotFoundError, match="install chatlab again"):
        copy_notebooks(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_named_notebook_is_opened_in_place(launched: list[Launch]) -> None:
    Path("mine").mkdir()
    Path("mine/talk.ipynb").write_bytes(MINE)
    run("mine")
    run("mine/talk.ipynb")
    pages = [[part for part in launch.command if "default_url" in part] for launch in launched]
    assert pages == [["--LabApp.default_url=/lab"], ["--LabApp.default_url=/lab/tree/talk.ipynb"]]
    assert names_in(Path()) == ["mine"]


@pytest.mark.parametrize("browser", [True, False])
def test_without_a_browser_none_is_opened(
    launched: list[Launch], monkeypatch: pytest.MonkeyPatch, browser: bool
) -> None:
    def get() -> None:
        if not browser:
            raise webbrowser.Error("there is none")

    monkeypatch.setattr(webbrowser, "get", get)
    run()
    assert ("--no-browser" in launched[0].command) is not browser


def test_the_news_box_is_off_by_default_and_the_users_settings_stay(
    launched: list[Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/somewhere/else")
    run()
    given = launched[0].environment["JUPYTER_CONFIG_PATH"]
    assert given.split(os.pathsep)[1] == "/somewhere/else"
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", given)
    assert jupyter_config_path()[0] == str(lab.PACKAGE / "jupyter")
    from jupyter_server.services.config import ConfigManager  # takes a second to import

    asked = ConfigManager(config_dir_name="labconfig")  # as JupyterLab asks
    overrides = asked.get("default_setting_overrides")  # type: ignore[no-untyped-call]
    assert overrides["@jupyterlab/apputils-extension:notification"] == {
        "fetchNews": "false",
        "checkForUpdates": False,
    }


def test_without_posix_it_waits_for_jupyterlab_and_nobody_is_root(
    launched: list[Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulate Windows, where exec returns to the shell at once."""
    commands: list[list[str]] = []

    def wait_for(command: list[str], environment: dict[str, str]) -> int:
        commands.append(command)
        return 3

    monkeypatch.setattr(lab, "_wait_for", wait_for)
    monkeypatch.delattr(os, "geteuid")
    monkeypatch.setattr(lab, "WINDOWS", True)
    assert run()[0] == 3
    assert "--allow-root" not in commands[0]
    assert launched == []


def test_ctrl_c_is_jupyterlabs_and_its_exit_code_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = subprocess.Popen.wait
    interrupts = iter([True, False])

    def interrupted(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if next(interrupts, False):
            raise KeyboardInterrupt
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    assert lab._wait_for([sys.executable, "-c", "raise SystemExit(5)"], dict(os.environ)) == 5
