"""A console on a terminal: lines scroll above an input line and a status bar."""

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
from chatlab.terminal.commands import COMMANDS, run_command
from chatlab.terminal.console import Console
from chatlab.terminal.drawing import STYLE, Renderer, bar
from chatlab.terminal.lines import ConsoleLine
from chatlab.terminal.targets import Target

BATCH_TIME = 0.05
"""Seconds in which lines are collected before they are drawn together, to avoid flicker."""
REFRESH = 0.25
"""Seconds between two redraws of the status bar, for its countdown."""
TYPING_GAP = 3.0
"""Minimum seconds between two typing notices."""


async def run_screen(target: Target, kind: str) -> int:
    """Run until the person leaves, and return the exit code: 0 unless messages were not delivered.

    Errors: `SettingsError` for an invalid target or kind of transport.
    """
    screen = Screen(target, kind)
    with patch_stdout():  # Other output, such as a log, must not break the input line.
        return await screen.run()


class Screen:
    """The input line, the status bar, and the lines that scroll above them."""

    def __init__(self, target: Target, kind: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._renderer = Renderer()
        self._lines: list[ConsoleLine] = []
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
        # One prompt for all lines: between two prompts, the terminal would echo typed text.
        self._buffer.accept_handler = self._accept
        self._buffer.on_text_changed += self._typing
        self._console = Console(
            target, kind, self._show, session.app.invalidate, hint="/connect tries again."
        )

    async def run(self) -> int:
        """Run until the person leaves, and return the exit code."""
        target = self._console.target
        self._show(
            ConsoleLine(
                "notice", f"Room {target.room}, as {target.name}. /help lists the commands, Ctrl-D leaves."
            )
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

    # Input

    def _accept(self, buffer: Buffer) -> bool:
        """Send the line, or run its command; return False, which empties the buffer."""
        line = buffer.text
        if line.startswith("/") and not line.startswith("//"):
            task = self._loop.create_task(self._run_command(line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif line.strip():
            try:
                self._console.submit(line[1:] if line.startswith("//") else line)
            except Exception as error:
                self._show(ConsoleLine("warning", f"Not sent: {explain(error)}."))
        self._typed_at = -TYPING_GAP
        return False

    async def _run_command(self, line: str) -> None:
        try:
            self._show(ConsoleLine("answer", await run_command(self._console, line)))
        except EOFError:
            self._quit()
        except ChatError as error:
            self._show(ConsoleLine("warning", f"{error}."))

    def _quit(self) -> None:
        app = self._session.app
        if app.is_running and not app.is_done:
            app.exit(exception=EOFError())

    def _typing(self, buffer: Buffer) -> None:
        now = self._loop.time()
        if buffer.text and not buffer.text.startswith("/") and now >= self._typed_at + TYPING_GAP:
            self._typed_at = now
            self._console.typing()

    # Output

    def _show(self, line: ConsoleLine) -> None:
        """Draw a line soon, together with others that follow shortly."""
        if line.kind == "delivered" and not line.waited:
            return  # Its own line already shows it.
        if not self._lines:
            self._loop.call_later(BATCH_TIME, self._draw)
        self._lines.append(line)

    def _draw(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            columns = get_app_session().output.get_size().columns
            print_formatted_text(FormattedText(self._renderer.draw(lines, columns)), style=STYLE, end="")

    def _bar(self) -> StyleAndTextTuples:
        return bar(self._console.status_line())


class CommandCompleter(Completer):
    """Completes commands and their arguments."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Yield completions of the text before the cursor."""
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
