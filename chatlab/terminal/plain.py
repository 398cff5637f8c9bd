"""A console for pipes, scripts and plain terminals: each line of input or output is a message.

Messages are written to the standard output, own ones once delivered; all other lines to the standard error.
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
from chatlab.terminal.commands import run_command
from chatlab.terminal.console import Console
from chatlab.terminal.lines import ConsoleLine
from chatlab.terminal.targets import Target

FINISH_TIMEOUT = 10.0
"""Seconds, after the last line of input, to connect and to get all messages acknowledged."""
READ_SIZE = 64 * 1024
READ_AHEAD = 4
"""Maximum chunks of input to read ahead."""
LONGEST_LINE = 1 << 20
"""Maximum bytes kept of a line. The limit of a message is far lower, so a cut line is refused anyway."""


async def run_plain(target: Target, kind: str) -> int:
    """Run until the input ends or a signal arrives, and return the exit code.

    It is 0 unless the transport gave up, or a line was not delivered. Lines from a terminal may be commands;
    lines from a pipe or a file are sent as they are.

    Errors: `SettingsError` for an invalid target or kind of transport.
    """
    output = Output()
    console = Console(target, kind, output.show)
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    output.on_closed = stop_requested.set
    with on_signals(stop_requested.set, "SIGINT", "SIGTERM"):
        sending = loop.create_task(_send_lines(console, output, commands=sys.stdin.isatty()))
        ends = [sending, loop.create_task(stop_requested.wait()), loop.create_task(console.ended.wait())]
        try:
            console.start()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            complete = not sending.done() or sending.result()
        finally:
            for task in ends:
                task.cancel()
            await asyncio.wait(ends)
            failed = console.ended.is_set()
            await console.leave()
    return 0 if complete and not failed and not console.lost else 1


class Output:
    """The standard output and error. `on_closed` is called if the reader of one has closed it."""

    def __init__(self) -> None:
        self.on_closed: Callable[[], None] = lambda: None

    def show(self, line: ConsoleLine) -> None:
        """Write a line, unless it is of the kind `accepted`."""
        if line.kind != "accepted":
            is_message = line.kind in ("message", "delivered")
            self._write(sys.stdout if is_message else sys.stderr, str(line))

    def _write(self, file: TextIO, text: str) -> None:
        print(text, file=file, flush=True)
        if stdio.failure(file) is not None:  # The reader has closed it.
            self.on_closed()


async def _send_lines(console: Console, output: Output, *, commands: bool) -> bool:
    """Send every line of the input, wait until all are settled, and return whether none failed."""
    all_sent = True
    async with aclosing(_lines()) as lines:
        async for line in lines:
            try:
                if commands and line.startswith("/") and not line.startswith("//"):
                    for row in (await run_command(console, line)).splitlines():
                        output.show(ConsoleLine("answer", row))
                elif line:
                    await console.send(line[1:] if commands and line.startswith("//") else line)
            except EOFError:
                return all_sent
            except ChatError as error:
                output.show(ConsoleLine("warning", f"{error}."))
            except Exception as error:
                all_sent = False
                output.show(ConsoleLine("warning", f"Not sent: {explain(error)}."))
    try:
        async with asyncio.timeout(FINISH_TIMEOUT):
            await console.wait_until_settled()
    except TimeoutError:
        return False
    return all_sent


async def _lines() -> AsyncGenerator[str, None]:
    """Yield the lines of the standard input, without blocking the loop.

    A thread reads them, since a file can't be polled. It bypasses the buffer of `sys.stdin`: a blocked read
    would hold the buffer's lock, and keep the interpreter from exiting.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    slots = threading.Semaphore(READ_AHEAD)

    def read() -> None:
        more = True
        while more and slots.acquire():
            try:
                data = os.read(sys.stdin.fileno(), READ_SIZE)
            except (OSError, ValueError):  # For example a folder, a closed terminal, or a closed file.
                data = b""
            more = bool(data)
            with suppress(RuntimeError):  # The loop is closed.
                loop.call_soon_threadsafe(queue.put_nowait, data)

    threading.Thread(target=read, name="chatlab-stdin", daemon=True).start()
    rest, first = b"", True
    while data := await queue.get():
        *lines, rest = (rest[:LONGEST_LINE] + data).split(b"\n")
        if first and lines:
            lines[0], first = lines[0].removeprefix(BOM_UTF8), False
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip("\r")
        slots.release()
    if rest:
        yield rest.removeprefix(BOM_UTF8 if first else b"").decode("utf-8", "replace")
