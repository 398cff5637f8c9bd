"""A console in a pipe, a script or a plain terminal: a line in is a message, a line out is one too.

Messages go to the standard output, own ones once they are delivered; everything else to the standard error.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import TextIO

from chatlab import stdio
from chatlab.conversation import explain
from chatlab.errors import ChatError
from chatlab.live.signals import on_signals
from chatlab.terminal.commands import obey
from chatlab.terminal.console import Console
from chatlab.terminal.lines import Line
from chatlab.terminal.targets import Target

PATIENCE = 10.0
"""Seconds that are given, after the last line, to connect and to have everything acknowledged."""
READ_SIZE = 64 * 1024
AHEAD = 4
"""Pieces of the input that are read before their turn."""
LONGEST_LINE = 1 << 20
"""Bytes of a line that are kept; a message may have far less, so it's refused all the same."""


async def run_plain(target: Target, kind: str) -> int:
    """Talk until the input ends or a signal comes; return the exit code: 0 unless it gave up, or a line was
    not delivered.

    Lines of a terminal may be commands; those of a pipe or a file are sent as they are.

    Errors: `SettingsError` for a target or a kind that can't be used.
    """
    paper = Paper()
    console = Console(target, kind, paper.show)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    paper.on_torn = asked.set
    with on_signals(asked.set, "SIGINT", "SIGTERM"):
        speaking = loop.create_task(_speak(console, paper, commands=sys.stdin.isatty()))
        ends = [speaking, loop.create_task(asked.wait()), loop.create_task(console.ended.wait())]
        try:
            console.start()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            complete = not speaking.done() or speaking.result()
        finally:
            for task in ends:
                task.cancel()
            await asyncio.wait(ends)
            failed = console.ended.is_set()
            await console.leave()
    return 0 if complete and not failed and not console.lost else 1


class Paper:
    """The standard output and error, of which either may be closed by whoever read it."""

    def __init__(self) -> None:
        self.on_torn: Callable[[], None] = lambda: None

    def show(self, line: Line) -> None:
        """Write a line, if it's worth one here."""
        if line.kind != "accepted":
            spoken = line.kind in ("message", "delivered")
            self._write(sys.stdout if spoken else sys.stderr, str(line))

    def _write(self, file: TextIO, text: str) -> None:
        print(text, file=file, flush=True)
        if stdio.failure(file) is not None:  # Nobody reads any more.
            self.on_torn()


async def _speak(console: Console, paper: Paper, *, commands: bool) -> bool:
    """Send every line of the input, and wait a while until all is settled; return whether all lines were
    good."""
    good = True
    async with aclosing(_lines()) as lines:
        async for line in lines:
            try:
                if commands and line.startswith("/") and not line.startswith("//"):
                    for row in (await obey(console, line)).splitlines():
                        paper.show(Line("answer", row))
                elif line:
                    await console.send(line[1:] if commands and line.startswith("//") else line)
            except EOFError:
                return good
            except ChatError as error:
                paper.show(Line("warning", f"{error}."))
            except Exception as error:
                good = False
                paper.show(Line("warning", f"Not sent: {explain(error)}."))
    try:
        async with asyncio.timeout(PATIENCE):
            await console.quiet()
    except TimeoutError:
        return False
    return good


async def _lines() -> AsyncGenerator[str, None]:
    """Yield the lines of the standard input, without blocking the loop.

    A thread reads them, since a file can't be polled, and without the buffer that `sys.stdin` has: its lock,
    held by a thread that waits for a person, would keep the interpreter from ending.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(AHEAD)

    def read() -> None:
        more = True
        while more and room.acquire():
            try:
                data = os.read(sys.stdin.fileno(), READ_SIZE)
            except (OSError, ValueError):  # Such as a folder, a terminal that is gone, or a closed file.
                data = b""
            more = bool(data)
            with suppress(RuntimeError):  # The loop has closed meanwhile.
                loop.call_soon_threadsafe(queue.put_nowait, data)

    threading.Thread(target=read, name="chatlab-stdin", daemon=True).start()
    rest, first = b"", True
    while data := await queue.get():
        *lines, rest = (rest[:LONGEST_LINE] + data).split(b"\n")
        if first and lines:
            lines[0], first = lines[0].removeprefix(BOM_UTF8), False
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip("\r")
        room.release()
    if rest:
        yield rest.removeprefix(BOM_UTF8 if first else b"").decode("utf-8", "replace")
