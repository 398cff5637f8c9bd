"""Errors while connecting or sending are shown to the person, and the conversation continues."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from chatlab.conversation import explain, explain_end
from chatlab.dialects import ChatlabDialect
from chatlab.errors import ChatError, ConnectError, OutboxFull
from chatlab.live.client.kinds import make_config
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ConnectionStatus, StatusChange
from chatlab.terminal.console import Console
from chatlab.terminal.lines import ConsoleLine
from chatlab.terminal.plain import run_plain
from chatlab.terminal.screen import Screen
from chatlab.terminal.targets import Target
from tests.conversation.displays import AtPanel, connected
from tests.conversation.test_displays import Display, at, displays
from tests.live.watch import until

ERRORS = [ZeroDivisionError("s3cret"), KeyError("s3cret"), SystemExit("s3cret")]
errors = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


class Mine(ChatlabDialect):
    """A dialect with a bug in one of its functions, which can be fixed."""

    name = "mine"

    def __init__(self, where: str, error: BaseException) -> None:
        self.works = False
        working = getattr(self, where)

        def broken(*args: Any, **kwargs: Any) -> Any:
            if self.works:
                return working(*args, **kwargs)
            raise error

        setattr(self, where, broken)


@displays
@pytest.mark.parametrize(
    ("what", "value", "words"),
    [
        ("server", "ws://[::1/ws", "a complete IPv6 address"),
        ("server", "ws://h:99999/ws", "port from 1 to 65535"),
        ("server", "ws://", "names a host"),
        ("server", "h:80", "ws://"),
        ("server", "ws://u:s3cret@h℀/ws", "names a host without special characters"),
        ("room", "x" * 10_000, "give a text of at most 200 characters"),
        ("name", "x" * 10_000, "give a text of at most 200 characters"),
        ("server", "x" * 10_000, "ws://"),
        ("server", f"ftp://{'x' * 10_000}", "ws://"),
        ("name", "half \ud800", "valid Unicode"),
    ],
    ids=lambda value: value[:20],
)
async def test_A107_invalid_settings_are_reported_and_change_nothing(
    display: Display, what: str, value: str, words: str
) -> None:
    async with EmbeddedServer() as server, at(display, server.url) as ada:
        await connected(ada)
        before = len(ada.notices())
        await ada.ask(what, value)
        assert words in ada.notices()
        assert len(ada.notices()) - before < 600
        assert "s3cret" not in ada.notices()
        ada.say("still here")
        await until(lambda: ada.states() == {"still here": "acked"})


@pytest.mark.parametrize(
    ("dialect", "kind"), [("text", "long_polling"), ("matrix", "sse"), ("matrix", "websocket")]
)
async def test_A107_a_dialect_that_a_transport_cant_speak_is_reported(dialect: str, kind: str) -> None:
    async with EmbeddedServer() as server, at(AtPanel, server.url) as ada:
        await connected(ada)
        ada.panel.form.dialect.value, ada.panel.form.transport.value = dialect, kind
        ada.panel.connect()
        assert f"dialect: '{dialect}' has no " in ada.notices()
        ada.panel.form.dialect.value = "chatlab"
        ada.panel.connect()
        assert ada.panel.send("by another way")
        await until(lambda: ada.states() == {"by another way": "acked"})


@pytest.mark.slow
@errors
async def test_A107_a_bug_in_the_users_dialect_is_reported_by_the_panel_and_can_be_fixed(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedServer() as server:
        for where in ("require", "opening", "encode"):
            mine = Mine(where, error)
            async with at(AtPanel, server.url, dialect=mine, sender=where) as ada:
                if where == "encode":
                    await connected(ada)
                    assert ada.panel.send("hi") is None
                    assert f"Not sent: {type(error).__name__}" in ada.notices()
                else:
                    assert f"Not connected: {type(error).__name__}" in ada.notices()
                assert "s3cret" not in ada.notices()
                mine.works = True
                ada.panel.connect()
                await connected(ada)
                assert ada.panel.send("mended")
                await until(lambda: ada.states()["mended"] == "acked")
    assert caplog.text.count("Traceback") >= 3


@displays
@errors
async def test_A107_a_bug_that_shows_after_a_change_is_reported(
    display: Display, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedServer() as server, at(display, server.url) as ada:
        await connected(ada)
        mine = Mine("opening", error)
        config = make_config("websocket", server.url, sender="ada", dialect=mine)
        ada.conversation.switch_to(config)
        await until(lambda: f"Not connected: {type(error).__name__}" in ada.notices())
        assert "Traceback" in caplog.text
        await until(lambda: ada.conversation.last_change.status is ConnectionStatus.ERROR)
        mine.works = True
        ada.conversation.start()
        await connected(ada)


def raising(error: Exception) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"a b": "c"}, "the headers have an invalid name"),
        ({"X": "a\nb"}, "give a name and a value with a colon between"),
        (lambda: 5, "returned int: it must return a dict of names and values"),
        (lambda: raising(KeyError("token")), "KeyError"),
        (lambda: raising(PermissionError("s3cret")), "PermissionError"),
    ],
)
async def test_A107_invalid_headers_are_reported(headers: Any, words: str) -> None:
    async with EmbeddedServer() as server, at(AtPanel, server.url, headers=headers) as ada:
        said = "Gave up: " if callable(headers) else "These settings can't be used: Headers: "
        await until(lambda: said in ada.notices())
        assert words in ada.notices()
        assert ("“Connect” tries again." in ada.notices()) == callable(headers)
        ada.panel.connect()
        await until(lambda: ada.notices().count(said) == 2)


@displays
async def test_A107_a_transport_that_gives_up_says_so_and_one_that_was_stopped_does_not(
    display: Display,
) -> None:
    async with EmbeddedServer() as server, at(display, f"{server.ws_url}/nowhere") as ada:
        await until(lambda: "Gave up: HTTP 404" in ada.notices())
        await ada.ask("server", server.url)
        ada.conversation.start()
        await connected(ada)
        ada.conversation.stop()
        await until(lambda: ada.conversation.last_change.status is ConnectionStatus.DISCONNECTED)
        ada.conversation.start(at_once=True)
        await connected(ada)
        assert "The server has ended" not in ada.notices()


async def test_A107_a_console_reports_a_dialect_that_cant_connect(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[ConsoleLine] = []
    mine: Any = Mine("opening", ERRORS[0])
    async with EmbeddedServer() as server:
        console = Console(Target(url=server.url, dialect=mine), "websocket", lines.append)
        console.start()
        assert console.ended.is_set()
        assert any(line.text.startswith("Not connected: ZeroDivisionError") for line in lines)
        assert "Traceback" in caplog.text
        mine.works = True
        console.start()
        await console.wait_until_connected()
        assert not console.ended.is_set()
        await console.leave()


async def test_A107_the_screen_reports_failed_messages_and_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    mine: Any = Mine("encode", ERRORS[0])
    async with EmbeddedServer() as server:
        with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
            screen = Screen(Target(url=server.url, dialect=mine), "websocket")
            lines: list[ConsoleLine] = []
            monkeypatch.setattr(screen, "_show", lines.append)
            console = screen._console
            console.start()
            await console.wait_until_connected()
            screen._buffer.text = "hi"
            assert screen._accept(screen._buffer) is False
            assert any(line.text.startswith("Not sent: ZeroDivisionError") for line in lines)
            monkeypatch.setattr(console, "switch", lambda **changes: raising(OSError("no such network")))
            await screen._run_command("/room attic")
            assert lines[-1] == ConsoleLine("warning", "/room: no such network.")
            mine.works = True
            await console.leave()


async def test_A107_a_pipe_reports_failed_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lines"
    file.write_text("hi\n", encoding="utf-8")
    mine: Any = Mine("opening", ERRORS[0])
    async with EmbeddedServer() as server:
        with file.open(encoding="utf-8") as lines:
            monkeypatch.setattr(sys, "stdin", lines)
            assert await run_plain(Target(url=server.url, dialect=mine), "websocket") == 1
    assert re.search("Not connected: ZeroDivisionError", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ChatError("words"), "words"),
        (OutboxFull("full"), "full"),
        (ConnectError(""), "ConnectError"),
        (OSError(98, "in use"), "[Errno 98] in use"),
        (RuntimeError("s3cret"), "RuntimeError (the traceback is in Python's log)"),
    ],
)
def test_A107_only_messages_of_expected_errors_are_shown(error: Exception, words: str) -> None:
    assert explain(error) == words


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ("error", "HTTP 400: no.", "Gave up: HTTP 400: no."),
        ("error", "HTTP 404", "Gave up: HTTP 404."),
        ("error", "gave up after 1 retry: refused", "Gave up after 1 retry: refused."),
        ("disconnected", "closed 1000: bye", "The server has closed the connection: closed 1000: bye."),
        ("disconnected", "asked to disconnect", ""),
        ("disconnected", "", ""),
        ("reconnecting", "refused", ""),
    ],
)
def test_A107_an_end_is_explained(status: str, reason: str, words: str) -> None:
    assert explain_end(StatusChange(ConnectionStatus(status), reason)) == words
