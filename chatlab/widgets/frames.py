"""Frames of a transport's steps as rows of a panel's frame log."""

from __future__ import annotations

import re
import secrets
import time
from itertools import count
from typing import Any

from chatlab.trace import Step
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Effect,
    Event,
    Fetch,
    Opened,
    OpenWebSocket,
    Ping,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Send,
    SendBytes,
)
from chatlab.widgets.logs import FrameLog

_EVENT = re.compile(rb"^event: ?(.{1,40})$", re.MULTILINE)
_TYPE = re.compile(r'"type"\s*:\s*"([^"]{1,40})"')


class FrameRecorder:
    """Writes a transport's frames to a log; steps have times on the monotonic clock."""

    def __init__(self, frames: FrameLog) -> None:
        self._frames = frames
        self._series = secrets.token_hex(8)  # distinguishes ids from those in loaded files
        self._numbers = count(1)
        self._epoch = time.time() - time.monotonic()

    def record(self, step: Step) -> None:
        """Show the frames of a step."""
        at = (self._epoch + step.at) * 1000
        self._frames.upsert_many(
            {"id": f"frame-{self._series}-{next(self._numbers)}", "at": at, **frame}
            for frame in frame_rows(step)
        )


def frame_rows(step: Step) -> list[dict[str, Any]]:
    """Return the frames of a step as rows without `id` and `at`."""
    frames = (frame for item in (step.event, *step.effects) if (frame := _frame(item)) is not None)
    return [
        {"direction": direction, "kind": kind, "size": len(data), "text": shown(data)}
        for direction, kind, data in frames
    ]


def _frame(item: Event | Effect) -> tuple[str, str, bytes] | None:
    """Return the direction, kind and payload of an event or effect; None if the log doesn't show it."""
    match item:
        case Received(data=text):
            return "down", _kind(text), text.encode()
        case Send(data=text):
            return "up", _kind(text), text.encode()
        case ReceivedBytes(data=data):
            return "down", _stream_kind(data), data
        case Fetch(purpose=purpose, request=request):
            query = "&".join(f"{name}={value}" for name, value in request.query.items())
            line = f"{request.method} {request.path}?{query}\n{request.body}"
            return "up", purpose, line.strip().encode()
        case Answered(answer=answer):
            return "down", str(answer.status), answer.body
        case SendBytes(data=data):
            return "up", "binary", data
        case Ping(id=number):
            return "up", "ping", str(number).encode()
        case Pong(id=number):
            return "down", "pong", str(number).encode()
        case Pinged():
            return "down", "ping", b""
        case OpenWebSocket(query=query):
            return "local", "open", " ".join(f"{name}={value}" for name, value in query.items()).encode()
        case Opened(protocol=protocol):
            return "local", "opened", protocol.encode()
        case Closed(failure=failure):
            return "local", "closed", str(failure).encode()
        case Close(code=code, reason=reason):
            return "local", "close", f"{code} {reason}".strip().encode()
        case _:
            return None


def _stream_kind(data: bytes) -> str:
    """Return the name of the first event in a chunk of a stream; "comment" if it has only comments."""
    if event := _EVENT.search(data, 0, 200):
        return event[1].decode("utf-8", "replace")
    lines = data.splitlines()
    return "comment" if any(lines) and all(line[:1] in (b"", b":") for line in lines) else "bytes"


def _kind(text: str) -> str:
    found = _TYPE.search(text, 0, 200)
    return found[1] if found else "text"


def shown(data: bytes) -> str:
    """Return a payload as text; escape bytes that aren't UTF-8."""
    return data.decode("utf-8", "backslashreplace")
