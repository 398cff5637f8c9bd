"""`chatlab chat` in a subprocess, with pipes or in a pseudo-terminal."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyte

PATIENCE = 60.0
"""Seconds until a test that waits for something fails."""
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][AB012]|[=>78])")


class Heard:
    """The text that a program has written to one of its outputs, without escape sequences."""

    def __init__(self) -> None:
        self.raw = ""
        self._more = threading.Condition()

    def add(self, text: str) -> None:
        with self._more:
            self.raw += text
            self._more.notify_all()

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.raw)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def until(self, true: Callable[[str], object], of: str = "") -> None:
        with self._more:
            done = self._more.wait_for(lambda: true(self.text), PATIENCE)
        assert done, f"{of!r} never came; there is:\n{self.text}"

    def has(self, words: str, times: int = 1) -> None:
        self.until(lambda text: text.count(words) >= times, words)


PROGRAM = ("-m", "chatlab")
"""Python's arguments for the program."""


def command(*arguments: str, program: Sequence[str] = PROGRAM) -> list[str]:
    return [sys.executable, *program, "chat", *arguments]


class Glass:
    """A terminal emulator's screen; `answer` is called with its replies to queries."""

    def __init__(self, columns: int, rows: int, answer: Callable[[str], None]) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._screen.write_process_input = answer  # type: ignore[assignment, method-assign]
        self._stream = pyte.Stream(self._screen)

    def draw(self, text: str) -> None:
        self._stream.feed(text)

    @property
    def rows(self) -> list[str]:
        """The rows that aren't empty."""
        return [row.rstrip() for row in self._screen.display if row.strip()]


class Piped:
    """A program with pipes."""

    def __init__(self, *arguments: str, **options: Any) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command(*arguments), stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", **options
        )
        self.out, self.err = Heard(), Heard()
        self._readers = [
            threading.Thread(target=self._read, args=(file, heard))
            for file, heard in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, file: Any, heard: Heard) -> None:
        with file:
            for line in file:
                heard.add(line)

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Close its input; return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        assert self.process.stdin is not None
        self.process.stdin.close()
        return code


class Terminal:
    """A program in a pseudo-terminal."""

    def __init__(self, *arguments: str, columns: int = 100, rows: int = 30, **environment: str) -> None:
        self._end, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.settings = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )
        self._theirs = theirs
        self.seen, self.glass = Heard(), Glass(columns, rows, self.type)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")().decode
        with contextlib.suppress(OSError):  # Its other end is closed.
            while data := os.read(self._end, 65536):
                text = decode(data)
                self.glass.draw(text)
                self.seen.add(text)

    def shows(self, words: str) -> None:
        """Wait until the text is on the screen."""
        end = time.monotonic() + PATIENCE
        while not any(words in row for row in self.glass.rows):
            assert time.monotonic() < end, "\n".join([f"{words!r} isn't on the screen:", *self.glass.rows])
            time.sleep(0.02)

    def type(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def enter(self, line: str) -> None:
        self.type(f"{line}\r")

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(PATIENCE)
        self.settings_after = termios.tcgetattr(self._theirs)
        os.close(self._theirs)
        self._reader.join(PATIENCE)
        os.close(self._end)
        return code
