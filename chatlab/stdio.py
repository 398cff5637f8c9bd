"""The standard streams of a command, which survive a closed or broken stream and a limited encoding."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any, TextIO

_PLAIN = {"–": "-", "…": "...", "·": "-", "›": ">", "⟨": "<", "⟩": ">", "↵": "\\n"}
"""ASCII for characters that chatlab itself writes; all others are escaped."""


def prepare() -> None:
    """Make the standard streams usable, whatever they are.

    A closed one is opened on the null device, so that no socket gets its file descriptor. An output drops
    data after a write error, and replaces characters that its encoding lacks.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor: this one
    codecs.register_error("chatlab", _replace)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = _output(sys.stdout, 1)
    sys.stderr = _output(sys.stderr, 2)


def failure(stream: TextIO) -> OSError | None:
    """Return the first write error of an output made by `prepare`; None: there was none."""
    raw = _raw(stream)
    return raw.failure if isinstance(raw, _Output) else None


def finish() -> str:
    """Flush the standard output; return the write error that made it incomplete, or "".

    A broken pipe, as in `| head -1`, doesn't count.
    """
    sys.stdout.flush()
    failed = failure(sys.stdout)
    return "" if failed is None or isinstance(failed, BrokenPipeError) else str(failed.strerror)


class _Output(io.FileIO):
    """A file whose writes never fail: after an error it drops all data."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


def _output(stream: TextIO | None, number: int) -> TextIO:
    if isinstance(stream, io.TextIOWrapper) and type(_raw(stream)) is not io.FileIO:
        stream.reconfigure(errors="chatlab")  # such as the console of Windows
        return stream
    raw = _Output(number, "w", closefd=False)
    unbuffered = stream is not None and isinstance(stream.buffer, io.RawIOBase)  # by PYTHONUNBUFFERED
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="chatlab",
        line_buffering=getattr(stream, "line_buffering", True),
        write_through=getattr(stream, "write_through", False),
    )


def _raw(stream: TextIO) -> object:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if character in _PLAIN:
        return _PLAIN[character], error.start + 1
    alone = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    return codecs.backslashreplace_errors(alone)
