"""The package needs nothing that only POSIX systems have. This simulates Windows, which can't run here.

chatlab can't import modules such as `resource`, the system lacks `geteuid` and SIGHUP, and event loops take
no signal handlers.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from chatlab.experiment.worlds.open_files import raise_open_file_limit
from tests.test_repo import ROOT

pytestmark = pytest.mark.slow

PRELUDE = """\
import asyncio, builtins, os, signal, sys
POSIX = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
importing = builtins.__import__
def windows(name, namespace=None, *more, **named):
    if name.partition(".")[0] in POSIX and str((namespace or {}).get("__name__")).startswith("chatlab"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return importing(name, namespace, *more, **named)
builtins.__import__ = windows
for name in ("fork", "getegid", "geteuid", "getgid", "getpgid", "getuid", "setsid", "sched_getaffinity"):
    delattr(os, name)
for name in ("SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1"):
    delattr(signal, name)
def refuse(*more):
    raise NotImplementedError
asyncio.SelectorEventLoop.add_signal_handler = refuse
asyncio.SelectorEventLoop.remove_signal_handler = refuse
"""
COMMAND = f"{PRELUDE}\nfrom chatlab.cli import app\napp()"
IMPORT_ALL = f"""{PRELUDE}
import importlib, pkgutil, chatlab
for module in pkgutil.walk_packages(chatlab.__path__, "chatlab."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
WORLDS = f"""{PRELUDE}
from chatlab import Scenario, run
for world in ("wire", "live"):
    print(world, run(Scenario(duration=2.0), world, time_scale=4).metrics["lost"])
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", COMMAND, *arguments]


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture
def serving() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`chatlab serve` without POSIX, and its address."""
    with subprocess.Popen(
        command("serve", "--port=0"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found
        yield process, found[0]
        process.kill()


@pytest.mark.proof
def test_every_module_can_be_imported() -> None:
    ended = run(IMPORT_ALL)
    assert ended.returncode == 0, ended.stderr


def test_it_serves_chats_in_a_pipe_and_ends_when_asked(
    serving: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = serving
    chatted = subprocess.run(
        command("chat", url, "--name=ada"),
        cwd=ROOT,
        input="one\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert chatted.returncode == 0, chatted.stderr
    assert "ada: one" in chatted.stdout
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


@pytest.mark.proof
def test_worlds_with_loops_of_their_own_run() -> None:
    ended = run(WORLDS)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split("\n")[:2] == ["wire 0", "live 0"]


def test_a_system_without_a_limit_of_open_files_allows_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    raise_open_file_limit(10**12, "people")


def test_what_only_posix_has_is_seen_to_be_missed() -> None:
    ended = run(f"{PRELUDE}\nexec(compile('import resource', 'x', 'exec'), {{'__name__': 'chatlab.x'}})")
    assert "No module named 'resource'" in ended.stderr
