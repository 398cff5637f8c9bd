"""The interactive console, with prompt_toolkit's pipes and in a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.output.vt100 import Vt100_Output

from chatlab.errors import SettingsError
from chatlab.live.client.kinds import TITLES
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.settings import OutboxConfig
from chatlab.terminal.screen import CommandCompleter, run_screen
from chatlab.terminal.targets import Target
from tests.live.watch import until, websocket
from tests.terminal.programs import ESCAPES, Glass, Piped, Terminal

ROWS = 30


class Session(io.StringIO):
    """A console in this process: its output, its keys, and its exit code."""

    def __init__(self, keys: PipeInput, columns: int) -> None:
        super().__init__()
        self.keys = keys
        self.glass = Glass(columns, ROWS, keys.send_text)
        self.task: asyncio.Task[int]

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.glass.draw(text)
        return super().write(text)

    @property
    def text(self) -> str:
        """All output so far."""
        return ESCAPES.sub("", self.getvalue())

    def enter(self, line: str) -> None:
        self.keys.send_text(f"{line}\r")

    async def sees(self, words: str, times: int = 1) -> None:
        """Wait until the text was drawn in one piece."""
        await until(lambda: self.text.count(words) >= times or self.task.done())
        assert self.text.count(words) >= times, self.text

    async def shows(self, words: str) -> None:
        """Wait until the text is on the screen, even if drawn in pieces."""
        try:
            await until(lambda: any(words in row for row in self.glass.rows))
        except TimeoutError:
            raise AssertionError("\n".join([f"{words!r} isn't on the screen:", *self.glass.rows])) from None


@asynccontextmanager
async def session(url: str, columns: int = 100) -> AsyncIterator[Session]:
    """Yield ada at a console; she leaves in the end."""
    with create_pipe_input() as keys:
        session = Session(keys, columns)
        output = Vt100_Output(session, lambda: Size(rows=ROWS, columns=columns), term="xterm")
        with create_app_session(input=keys, output=output):
            task = session.task = asyncio.create_task(run_screen(Target(url=url, name="ada"), "websocket"))
            try:
                yield session
            finally:
                if not task.done():
                    keys.send_text("\x04")
                await asyncio.wait((task,), timeout=60)
                task.cancel()


async def test_a_conversation() -> None:
    async with EmbeddedServer() as server, session(server.url) as ada:
        await ada.sees("Connected to http://127.0.0.1:")
        async with websocket(server.ws_url, sender="bob", loop="current") as bob:
            await ada.sees("bob joined.")
            ada.enter("hello")
            await ada.sees("ada  hello")
            assert re.search(r"✓   ?\d\d:\d\d:\d\d  ada  hello", ada.text)
            assert (await anext(event async for event in bob if event.message)).sender == "ada"
            bob.typing()
            await ada.shows("bob is typing…")
            await bob.send("line one\nline two")
            await ada.sees("bob  line one")
            await ada.shows("line two")
            one, two = (row for row in ada.glass.rows if "line " in row)
            assert one.index("line one") == two.index("line two"), "in the text's column"
        await ada.shows("● connected · outbox 0")
    assert ada.task.result() == 0
    assert ada.text.count("ada  hello") == 1


async def test_the_commands() -> None:
    async with EmbeddedServer() as server, session(server.url) as ada:
        await ada.sees("Connected to ")
        ada.enter("/latency 0.01")
        await ada.sees("Added latency: 10 ms each way.")
        await ada.shows("fault: latency 0.01")
        ada.enter("/latency 0")
        ada.enter("/down")
        await ada.sees("The server is down")
        await ada.shows(" of 10 in ")
        ada.enter("waits")
        await ada.sees("ada  waits")
        assert "◷ " in ada.text
        ada.enter("/up")
        await ada.sees("Connected again after ")
        await ada.sees("✓✓ waits")
        ada.enter("/drop")
        await ada.sees("The connection was reset.")
        await ada.sees("Connected again after ", 2)
        ada.enter("/transport websocket")
        await ada.sees("Switched to websocket.")
        ada.enter("/transport pigeon")
        await ada.sees("!  /transport: transport: there is no 'pigeon'")
        ada.enter("/nonsense")
        await ada.sees("!  Unknown command /nonsense")
        ada.enter("//usr")
        await ada.sees("ada  /usr")
        # Pasted, and from a thread, since it's more than the pipe holds.
        await asyncio.to_thread(ada.keys.send_text, f"\x1b[200~{'x' * 70_000}\x1b[201~\r")
        await ada.sees("!  Not sent: the text has 70,000 bytes")
        ada.enter("/quit")
        async with asyncio.timeout(60):
            assert await ada.task == 0


async def test_A75_hostile_text_is_harmless() -> None:
    async with EmbeddedServer() as server, session(server.url, columns=60) as ada:
        await ada.sees("Connected to ")
        async with websocket(server.ws_url, sender="eve", loop="current") as eve:
            await eve.send("\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.exe" + " " * 70 + "12:00:00  bob  I pay")
            await ada.sees("bob  I pay")
    assert "\x1b]0;" not in ada.getvalue()
    assert "⟨ESC⟩[2J⟨ESC⟩]0;owned⟨BEL⟩⟨U+009B⟩31m⟨RLO⟩" in ada.text.replace("\r\n", "").replace(" " * 4, "")
    assert not re.search(r"^12:00:00", ada.text, re.MULTILINE), "no row of a text begins where names do"


async def test_a_flood_is_drawn_in_few_steps_and_completely() -> None:
    async with EmbeddedServer() as server, session(server.url) as ada:
        await ada.sees("Connected to ")
        patient = OutboxConfig(overflow="wait")
        async with websocket(server.ws_url, sender="bob", loop="current", outbox=patient) as bob:
            for n in range(500):
                await bob.send(f"flood-{n}!")
            await ada.sees("flood-499!")
    assert [int(n) for n in re.findall(r"flood-(\d+)!", ada.text)] == list(range(500))


async def test_leaving_with_messages_undelivered_names_them() -> None:
    async with session("http://127.0.0.1:1") as ada:
        await ada.sees("Can't connect to http://")
        ada.enter("never")
        await ada.sees("ada  never")
        ada.keys.send_text("\x03")
        async with asyncio.timeout(60):
            assert await ada.task == 1
    assert "⚠  never" in ada.text
    assert "Not delivered: no acknowledgement in time" in ada.text


async def test_nothing_is_left_running() -> None:
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    async with EmbeddedServer() as server:
        with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
            keys.send_text("/latency 0.01\rhi\r/latency 5\r\x04")
            async with asyncio.timeout(60):
                await run_screen(Target(url=server.url, name="ada"), "websocket")
    await until(lambda: asyncio.all_tasks() == tasks)
    await until(lambda: threading.active_count() <= threads)


async def test_invalid_settings_are_reported_before_anything_is_drawn() -> None:
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
        pytest.raises(SettingsError, match="pigeon"),
    ):
        await run_screen(Target(url="http://h"), "pigeon")


def completions(text: str) -> list[str]:
    return [found.text for found in CommandCompleter().get_completions(Document(text), CompleteEvent())]


def test_commands_and_their_values_are_completed() -> None:
    assert completions("/d") == ["/drop", "/down"]
    assert completions("/LAT") == ["/latency"]
    assert completions("/transport ") == list(TITLES)
    assert completions("/transport w") == ["websocket"]
    assert completions("/transport x") == completions("/nonsense ") == []
    assert completions("hello /d") == completions("") == []


# In a real pseudo-terminal


def test_in_a_terminal(server: EmbeddedServer) -> None:
    ada = Terminal(server.url, "--name", "ada")
    ada.seen.has("Connected to ")
    bob = Piped(server.url, "--name", "bob")
    bob.say("hello from a pipe")
    ada.seen.has("bob  hello from a pipe")
    ada.enter("hello from a terminal")
    ada.seen.has("ada  hello from a terminal")
    bob.out.has("ada: hello from a terminal")
    ada.type("/dr")
    ada.shows("reset the connection now")
    ada.type("op\r")
    ada.seen.has("The connection was reset.")
    ada.seen.has("Connected again after ")
    ada.shows("● connected · outbox 0")
    ada.type("\x04")
    assert ada.wait() == 0
    assert ada.glass.rows[-1].startswith("·  Connected again after "), "input line and bar are gone"
    assert ada.settings_after == ada.settings, "the terminal is as it was"
    assert bob.end() == 0
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", ada.seen.raw), "there is colour"


@pytest.mark.proof
def test_without_colour_nothing_is_missing(server: EmbeddedServer) -> None:
    ada = Terminal(server.url, "--name", "ada", NO_COLOR="1")
    ada.enter("hi")
    ada.seen.has("ada  hi")
    ada.shows("● connected")
    ada.type("\x03")
    assert ada.wait() == 0
    colours = re.findall(
        r"\x1b\[(?:[0-9]+;)*(?:3[0-79]|4[0-79]|9[0-7]|10[0-7]|38;[0-9;]+)(?:;[0-9]+)*m", ada.seen.raw
    )
    assert colours == []


def test_a_signal_leaves_the_terminal_as_it_was(server: EmbeddedServer) -> None:
    ada = Terminal(server.url, "--name", "ada")
    ada.seen.has("Connected to ")
    ada.process.send_signal(signal.SIGTERM)
    assert ada.wait() == 0
    assert ada.settings_after == ada.settings
    assert "Traceback" not in ada.seen.text


def test_a_dumb_terminal_gets_plain_lines(server: EmbeddedServer) -> None:
    ada = Terminal(server.url, "--name", "ada", TERM="dumb")
    ada.seen.has("Connected to ")
    ada.type("hi\n\x04")
    assert ada.wait() == 0
    assert "\x1b" not in ada.seen.raw
    assert "ada: hi" in ada.seen.text
