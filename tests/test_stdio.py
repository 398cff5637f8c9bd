"""Commands end normally with streams that are closed, full, or have a limited encoding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="the shell of POSIX closes and connects the streams"),
]
SCRIPT = """
import sys, socket
from chatlab import stdio
stdio.prepare()
with socket.socket() as opened:
    assert opened.fileno() > 2
assert sys.stdin.read() == ""
print("–…", "\\u2713\\u00e9")
print("kept", file=sys.stderr)
sys.exit(stdio.finish() or 0)
"""
COMMANDS = {
    "simulate": "simulate short.toml --out run.jsonl",
    "sweep": "sweep short.toml --over people.count=1,2 --processes 2",
    "compare": "compare short.toml",
    "scenarios": "scenarios",
    "help": "sweep --help",
    "usage": "simulate",
    "chat": "chat http://127.0.0.1:1 --transport no",
}


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    python = f"'{sys.executable}'"
    return subprocess.run(
        ["sh", "-c", command.replace("PYTHON", python).replace("CHATLAB", f"{python} -m chatlab")],
        cwd=folder,
        env={**os.environ, "SCRIPT": SCRIPT, "PYTHONUNBUFFERED": "", "COLUMNS": "60", **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    ("redirected", "out", "err"),
    [
        ("", "–… ✓é\n", "kept\n"),
        ("<&-", "–… ✓é\n", "kept\n"),
        (">&-", "", "kept\n"),
        ("2>&-", "–… ✓é\n", ""),
        ("<&- >&- 2>&-", "", ""),
        (">/dev/full", "", "kept\nNo space left on device\n"),
        ("2>/dev/full", "–… ✓é\n", ""),
    ],
    ids=["as it is", "<&-", ">&-", "2>&-", "all", ">full", "2>full"],
)
def test_a_stream_that_is_closed_or_full_stops_nothing(
    tmp_path: Path, redirected: str, out: str, err: str, unbuffered: str
) -> None:
    command = f'PYTHON -c "$SCRIPT" </dev/null {redirected}'
    ended = shell(command, tmp_path, PYTHONUNBUFFERED=unbuffered, PYTHONIOENCODING="utf-8")
    assert (ended.stdout.decode(), ended.stderr.decode()) == (out, err)
    assert ended.returncode == ("space" in err)


@pytest.mark.parametrize(
    ("encoding", "out"), [("ascii", b"-... \\u2713\\xe9\n"), ("latin-1", b"-... \\u2713\xe9\n")]
)
def test_what_an_encoding_has_not_is_replaced(tmp_path: Path, encoding: str, out: bytes) -> None:
    ended = shell('PYTHON -c "$SCRIPT" </dev/null', tmp_path, PYTHONIOENCODING=encoding)
    assert ended.stdout == out
    assert ended.returncode == 0


def test_a_broken_pipe_stops_no_work(tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text("duration = 1.0", encoding="utf-8")
    command = "{ CHATLAB simulate short.toml --out run.jsonl; echo $? >code; } | true"
    ended = shell(command, tmp_path)
    assert (ended.stdout, ended.stderr) == (b"", b"")
    assert (tmp_path / "code").read_text() == "0\n"
    assert (tmp_path / "run.jsonl").exists()


@pytest.mark.proof
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("redirected", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"])
def test_no_command_ends_with_a_traceback(tmp_path: Path, command: str, redirected: str) -> None:
    (tmp_path / "short.toml").write_text("duration = 1.0", encoding="utf-8")
    ended = shell(f"CHATLAB {command} {redirected}", tmp_path, PYTHONIOENCODING="ascii")
    assert b"Traceback" not in ended.stderr
    assert b"Exception" not in ended.stderr
    wrong = command in (COMMANDS["usage"], COMMANDS["chat"])
    assert (ended.returncode != 0) == (wrong or redirected == ">/dev/full")
