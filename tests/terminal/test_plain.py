"""`chatlab chat` with pipes: real processes and a real server."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner
from websockets.sync.server import ServerConnection, serve

from chatlab.cli import app
from chatlab.hub import HubConfig
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.terminal import plain
from chatlab.terminal.plain import LONGEST_LINE
from tests.terminal.programs import PATIENCE, PROGRAM, Piped, Terminal, command

HASTY = (
    "-c",
    "from chatlab.terminal import plain; plain.FINISH_TIMEOUT = 1.0; from chatlab.cli import main; main()",
)
"""Python's arguments for the program, with only a second of waiting for the last acknowledgements."""

LINES = HubConfig().burst + 200
"""Number of messages: more than the outbox holds, and than the server accepts in one burst."""


def run(
    *arguments: str, given: str | bytes = "", program: Sequence[str] = PROGRAM, **options: object
) -> subprocess.CompletedProcess[str]:
    data = given.encode() if isinstance(given, str) else given
    done = subprocess.run(
        command(*arguments, program=program),
        input=data,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def said(text: str) -> list[str]:
    """Return the messages on a standard output, without their times."""
    return [line.partition(" ")[2] for line in text.splitlines()]


@pytest.mark.proof
def test_two_consoles_chat_with_each_other(server: EmbeddedServer) -> None:
    ada, bob = Piped(server.url, "--name", "ada"), Piped(server.ws_url, "--name", "bob")
    ada.err.has("Connected to ")
    bob.err.has("Connected to ")
    ada.say("hello bob")
    bob.out.has("ada: hello bob")
    bob.say("hello ada")
    ada.out.has("bob: hello ada")
    assert (ada.end(), bob.end()) == (0, 0)
    assert said(ada.out.text) == said(bob.out.text) == ["ada: hello bob", "bob: hello ada"]
    assert "ada left." in bob.err.text


@pytest.mark.proof
def test_a_server_that_is_killed_and_comes_back_loses_nothing(server: EmbeddedServer) -> None:
    ada, bob = Piped(server.url, "--name", "ada"), Piped(server.url, "--name", "bob")
    ada.say("0")
    bob.out.has("ada: 0")
    server.stop_in_background(abrupt=True)
    ada.err.has("The connection was lost")
    for n in range(1, 300):  # More than the outbox holds.
        ada.say(f"{n}")
    server.start_in_background()
    bob.out.has("ada: 299")
    assert (ada.end(), bob.end()) == (0, 0)
    expected = [f"ada: {n}" for n in range(300)]
    assert said(bob.out.text) == expected
    assert said(ada.out.text) == expected, "and own ones are there as soon as they are delivered"
    assert "Connected again after" in ada.err.text


def test_the_lines_of_a_pipe_are_sent_as_they_are(server: EmbeddedServer) -> None:
    given = "/usr/bin/env\r\n\n//x\n\x1b[31mred\x1b[0m\n日本".encode() + b" \xff\nno line feed at the end"
    done = run(server.url, "--name", "log", given=given)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert said(done.stdout) == [
        "log: /usr/bin/env",
        "log: //x",
        "log: ⟨ESC⟩[31mred⟨ESC⟩[0m",
        "log: 日本 \ufffd",
        "log: no line feed at the end",
    ]
    history = run(server.url, "--history", "2", "--name", "bob", given="hi")
    assert said(history.stdout) == ["log: 日本 \ufffd", "log: no line feed at the end", "bob: hi"]


@pytest.mark.proof
def test_a_file_can_be_the_input_and_rooms_are_apart(server: EmbeddedServer, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text("".join(f"line {n}\n" for n in range(LINES)), encoding="utf-8-sig")
    with file.open(encoding="utf-8") as lines:
        done = subprocess.run(
            command(server.url, "--room", "files", "--name", "ada"),
            stdin=lines, capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
    assert said(done.stdout) == [f"ada: line {n}" for n in range(LINES)]
    assert said(run(server.url, "--name", "bob", given="alone").stdout) == ["bob: alone"]


async def test_an_input_that_is_closed_meanwhile_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "closed").open("w") as closed:
        pass
    monkeypatch.setattr(sys, "stdin", closed)
    async with asyncio.timeout(PATIENCE):
        assert [line async for line in plain._lines()] == []


def test_an_invalid_line_is_reported_and_changes_the_exit_code(server: EmbeddedServer) -> None:
    given = f"{'x' * 70_000}\n{'y' * (LONGEST_LINE + 500_000)}\nfine\n"
    done = run(server.url, "--name", "ada", given=given)
    assert done.returncode == 1
    assert said(done.stdout) == ["ada: fine"]
    assert done.stderr.count("Not sent: the text has ") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["localhost:8000"], "such as http://localhost:8000"),
        (["ftp://h"], "http://, https://, ws:// or wss://"),
        (["http://"], "names a host"),
        (["http://h", "--dialect", "klingon"], "no 'klingon'; choose one of chatlab, "),
        (["http://h", "--transport", "pigeon"], "there is no 'pigeon'; choose one of "),
        (["http://h", "--room", ""], "room"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_one_clear_line(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["chat", *arguments])  # A process costs 1.5 s of CPU.
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("chatlab chat: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_dialect_of_ones_own_is_found_in_the_folder_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "board_of_mine.py").write_text(
        "from chatlab.dialects import Dialect\nclass Board(Dialect): websocket, name = False, 'board'\n",
        "utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for place, says in {
        "board_of_mine:Bord": "the module 'board_of_mine' has no 'Bord'",
        "board_of_mine:Board": "'board' has no websocket; set its `websocket` or give it an `http` part",
    }.items():
        done = CliRunner().invoke(app, ["chat", "http://h", "--dialect", place])
        assert (done.exit_code, done.stderr) == (1, f"chatlab chat: --dialect: {says}\n")


def test_it_gives_up_on_an_address_that_has_no_chat(server: EmbeddedServer) -> None:
    program = Piped(f"{server.ws_url}/nowhere")  # Its input stays open.
    assert program.wait() == 1
    assert program.out.text == ""
    assert "Gave up: HTTP 404" in program.err.text
    assert "Traceback" not in program.err.text


@pytest.mark.slow
def test_what_cant_be_delivered_in_time_is_named() -> None:
    done = run("http://127.0.0.1:1", given="never\n", program=HASTY)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(
        r"Can't connect to http://127\.0\.0\.1:1 yet \(refused.*\); trying again\. `chatlab serve` starts",
        done.stderr,
    )
    assert "Not delivered (no acknowledgement in time): never" in done.stderr


@pytest.mark.slow
def test_only_a_chatlab_server_is_started_by_chatlab_serve() -> None:
    done = run("http://127.0.0.1:1", "--dialect", "socket.io", given="never\n", program=HASTY)
    assert "trying again.\n" in done.stderr
    assert "chatlab serve" not in done.stderr


@pytest.mark.proof
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_makes_it_leave(server: EmbeddedServer, number: signal.Signals) -> None:
    bob = Piped(server.url, "--name", "bob")
    bob.err.has("Connected to ")
    ada = Piped(server.url, "--name", "ada")
    ada.err.has("Connected to ")
    ada.process.send_signal(number)
    assert ada.wait() == 0
    bob.err.has("ada left.")
    assert "Traceback" not in ada.err.text
    assert bob.end() == 0


@pytest.mark.proof
def test_it_ends_if_the_reader_of_its_output_ends(server: EmbeddedServer) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command(server.url, "--name", "bob"),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        encoding="utf-8",
    ) as bob:
        assert bob.stdin is not None
        assert bob.stdout is not None
        assert bob.stderr is not None
        run(server.url, "--name", "ada", given="first")
        assert "ada: first" in bob.stdout.readline()
        bob.stdout.close()
        run(server.url, "--name", "ada", given="second")
        assert bob.wait(PATIENCE) == 0, "though its input goes on"
        assert "Broken" not in (told := bob.stderr.read())
        assert "Traceback" not in told


def test_the_text_dialect_talks_to_an_echo_server_without_acks() -> None:
    def echo(connection: ServerConnection) -> None:
        for frame in connection:
            connection.send(f"you said {frame!r}")

    with serve(echo, "127.0.0.1", 0) as echo_server:
        threading.Thread(target=echo_server.serve_forever).start()
        try:
            url = f"ws://127.0.0.1:{echo_server.socket.getsockname()[1]}/"
            program = Piped(url, "--dialect", "text", "--name", "ada")
            program.say("bare")
            program.out.has("server: you said 'bare'")
            assert program.end() == 0
        finally:
            echo_server.shutdown()
    assert said(program.out.text) == ["ada: bare", "server: you said 'bare'"]


def test_commands_of_a_terminal_in_plain_mode(server: EmbeddedServer) -> None:
    terminal = Terminal(server.url, "--name", "ada", "--plain")
    terminal.seen.has("Connected to ")
    terminal.type("/ping\n")
    terminal.seen.has("No round trip was measured yet")
    terminal.type("/nonsense\n")
    terminal.seen.has("Unknown command /nonsense")
    terminal.type("//slash\n")
    terminal.seen.has("ada: /slash")
    terminal.type("/help\n")
    terminal.seen.has("/quit")
    terminal.type("hi\n")
    terminal.seen.has("ada: hi")
    terminal.type("\x04")
    assert terminal.wait() == 0
    assert "\x1b" not in terminal.seen.raw
