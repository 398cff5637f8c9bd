"""A console on a terminal: lines scroll by above an input line and a status bar."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.application import get_app_session
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.patch_stdout import patch_stdout

from chatlab.conversation import explain
from chatlab.errors import ChatError
from chatlab.live.signals import on_signals
from chatlab.terminal.commands import COMMANDS, obey
from chatlab.terminal.console import Console
from chatlab.terminal.drawing import STYLE, Artist, bar
from chatlab.terminal.lines import Line
from chatlab.terminal.targets import Target

GATHER = 0.05
"""Seconds that lines are gathered before they are drawn at once, so that a flood of them doesn't flicker."""
REFRESH = 0.25
"""Seconds between two drawings of the status bar, for its countdown."""
TYPING_GAP = 3.0
"""Seconds between two notes to the room that the person types."""


async def run_screen(target: Target, kind: str) -> int:
    """Talk until the person leaves, and return the exit code: 0 unless messages were not delivered.

    Errors: `SettingsError` for a target or a kind that can't be used.
    """
    screen = Screen(target, kind)
    with patch_stdout():  # What else is written, such as a log, must not tear the input line.
        return await screen.run()


class Screen:
    """The input line, the status bar and what scrolls by above them."""

    def __init__(self, target: Target, kind: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._artist = Artist()
        self._lines: list[Line] = []
        self._typed_at = -TYPING_GAP
        self._tasks: set[asyncio.Task[None]] = set()
        session: PromptSession[str] = PromptSession(
            [("class:prompt", "› ")],
            style=STYLE,
            completer=CommandCompleter(),
            complete_while_typing=Condition(lambda: self._buffer.text.startswith("/")),
            bottom_toolbar=self._bar,
            refresh_interval=REFRESH,
            erase_when_done=True,
        )
        self._session = session
        self._buffer = session.default_buffer
        # One prompt for all lines: between two, the terminal would echo what is typed.
        self._buffer.accept_handler = self._accept
        self._buffer.on_text_changed += self._typing
        self._console = Console(
            target, kind, self._show, session.app.invalidate, hint="/connect tries again."
        )

    async def run(self) -> int:
        """Talk until the person leaves."""
        target = self._console.target
        self._show(
            Line("notice", f"Room {target.room}, as {target.name}. /help lists the commands, Ctrl-D leaves.")
        )
        try:
            with on_signals(self._quit, "SIGTERM", "SIGHUP"):
                await self._session.prompt_async(pre_run=self._console.start)
        except (EOFError, KeyboardInterrupt):
            pass
        finally:
            await self._console.leave()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._draw()
        return 1 if self._console.lost else 0

    # What the person does

    def _accept(self, buffer: Buffer) -> bool:
        """Send the line, or carry it out; the buffer is then emptied."""
        line = buffer.text
        if line.startswith("/") and not line.startswith("//"):
            task = self._loop.create_task(self._obey(line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif line.strip():
            try:
                self._console.submit(line[1:] if line.startswith("//") else line)
            except Exception as error:
                self._show(Line("warning", f"Not sent: {explain(error)}."))
        self._typed_at = -TYPING_GAP
        return False

    async def _obey(self, line: str) -> None:
        try:
            self._show(Line("answer", await obey(self._console, line)))
        except EOFError:
            self._quit()
        except ChatError as error:
            self._show(Line("warning", f"{error}."))

    def _quit(self) -> None:
        app = self._session.app
        if app.is_running and not app.is_done:
            app.exit(exception=EOFError())

    def _typing(self, buffer: Buffer) -> None:
        now = self._loop.time()
        if buffer.text and not buffer.text.startswith("/") and now >= self._typed_at + TYPING_GAP:
            self._typed_at = now
            self._console.typing()

    # What is drawn

    def _show(self, line: Line) -> None:
        """Draw a line soon, together with those that come meanwhile."""
        if line.kind == "delivered" and not line.waited:
            return  # Its own line has said so.
        if not self._lines:
            self._loop.call_later(GATHER, self._draw)
        self._lines.append(line)

    def _draw(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            columns = get_app_session().output.get_size().columns
            print_formatted_text(FormattedText(self._artist.draw(lines, columns)), style=STYLE, end="")

    def _bar(self) -> StyleAndTextTuples:
        return bar(self._console.standing())


class CommandCompleter(Completer):
    """Offers the commands, and the values that one takes."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Return what the text before the cursor may become."""
        text = document.text_before_cursor
        if not text.startswith("/"):
            return
        name, space, rest = text.partition(" ")
        if not space:
            for command, (argument, summary, *_) in COMMANDS.items():
                if command.startswith(name.lower()):
                    usage = f"{command} {argument}".rstrip()
                    yield Completion(command, -len(name), display=usage, display_meta=summary)
        elif name.lower() in COMMANDS:
            for value in COMMANDS[name.lower()].values():
                if value.startswith(rest):
                    yield Completion(value, -len(rest))
