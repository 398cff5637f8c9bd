"""The standard streams of a command: none that is closed, broken or short of characters stops it."""

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

    A closed one leads nowhere from then on, so that no socket gets its number. An output drops what can't be
    written any more, and replaces what its encoding hasn't.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It gets the lowest number that is free: this one.
    codecs.register_error("chatlab", _replace)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = _output(sys.stdout, 1)
    sys.stderr = _output(sys.stderr, 2)


def failure(stream: TextIO) -> OSError | None:
    """Return what an output of `prepare` failed with; None: nothing."""
    raw = _raw(stream)
    return raw.failure if isinstance(raw, _Output) else None


def finish() -> str:
    """Write what is buffered; return why the standard output lacks something, or "".

    A reader who has gone, as in `| head -1`, is no reason.
    """
    sys.stdout.flush()
    failed = failure(sys.stdout)
    return "" if failed is None or isinstance(failed, BrokenPipeError) else str(failed.strerror)


class _Output(io.FileIO):
    """A file that takes everything: after a failure it drops what it gets."""

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
