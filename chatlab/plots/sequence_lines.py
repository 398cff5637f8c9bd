"""Lines of a sequence diagram: the exchange between one person's transport and the server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct

from chatlab.dialects.base import excerpt
from chatlab.messages import ConnectionStatus
from chatlab.trace import Step
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Effect,
    Event,
    Fetch,
    Notify,
    Opened,
    OpenWebSocket,
    Ping,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Send,
    SendBytes,
    Submit,
)

ABNORMAL = 1006


class SequenceLine(Struct, frozen=True):
    """One line of a sequence diagram, at `at` on the person's clock: a note, an arrow, or both.

    `direction` is "up" to the server, or "down" from it. A `lost` frame went up, and its link ended without
    anything more from the server.
    """

    at: float
    note: str = ""
    direction: Literal["up", "down"] | None = None
    text: str = ""
    lost: bool = False
    status: ConnectionStatus | None = None


def sequence(steps: Iterable[Step]) -> list[SequenceLine]:
    """Return the lines of one person's steps, in order; some steps have none."""
    steps = list(steps)
    last_received: dict[int, float] = {}
    ended: set[int] = set()
    for step in steps:
        match step.event:
            case (
                Opened(link)
                | Received(link)
                | ReceivedBytes(link)
                | Answered(link)
                | Pong(link)
                | Pinged(link)
            ):
                last_received[link] = step.at
            case Closed(link, failure):
                ended.add(link)
                if failure.kind == "refused":
                    last_received[link] = step.at
            case _:
                pass  # nothing came from the server
        ended |= {effect.link for effect in step.effects if isinstance(effect, Close) and effect.code != 1000}
    lines = []
    for step in steps:
        notes, status = _notes(step)
        arrows = [("down", text, False)] if (text := _incoming(step.event)) else []
        for effect in step.effects:
            if text := _outgoing(effect):
                link = effect.link  # type: ignore[union-attr]  # outgoing effects have one
                arrows.append(("up", text, link in ended and last_received.get(link, -1.0) <= step.at))
        note = ", ".join(notes)
        if not arrows and note:
            lines.append(SequenceLine(step.at, note, status=status))
        for number, (way, text, lost) in enumerate(arrows):
            first = number == 0
            direction: Literal["up", "down"] = "up" if way == "up" else "down"
            lines.append(
                SequenceLine(step.at, note if first else "", direction, text, lost, status if first else None)
            )
    return lines


def _notes(step: Step) -> tuple[list[str], ConnectionStatus | None]:
    """Describe the person's actions and the transport's notifications; return them and the new status."""
    notes, status = [], None
    match step.event:
        case Submit(message):
            notes.append(f"sends {_quoted(message.text)}")
        case Closed(_, failure) if failure.kind in ("timeout", "dns", "tls", "protocol"):
            notes.append(failure.kind)
    for effect in step.effects:
        match effect:
            case Notify(change):
                status = change.status
                wait = None if change.retry_at is None else max(0.0, change.retry_at - step.at)
                notes.append(change.status.value if wait is None else f"retries in {wait:.1f} s")
            case Close(_, code) if code == ABNORMAL:
                notes.append("gives the link up")
    return notes, status


def _incoming(event: Event) -> str:
    """Describe what came from the server; empty if nothing came."""
    match event:
        case Opened():
            return "open"
        case Received(_, data):
            return _frame(data)
        case ReceivedBytes(_, data):
            return _chunk(data)
        case Answered(_, answer):
            return f"{answer.status}, {len(answer.body):,} bytes"
        case Pong(_, id):
            return f"Pong {id}"
        case Pinged():
            return "Ping"
        case Closed(_, failure) if failure.kind == "close":
            return "reset" if failure.code == ABNORMAL else f"close {failure.code}"
        case Closed(_, failure) if failure.kind == "http":
            return f"HTTP {failure.code}"
        case Closed(_, failure) if failure.kind in ("refused", "reset"):
            return failure.kind
    return ""


def _outgoing(effect: Effect) -> str:
    """Describe what goes to the server; empty if nothing goes."""
    match effect:
        case OpenWebSocket():
            return "open WebSocket"
        case Fetch(_, _, request):
            posted = _text(request.body)
            return f"{request.method} {request.path}" if posted is None else f"POST {_quoted(posted)}"
        case Send(_, data):
            return _frame(data)
        case SendBytes(_, data):
            return f"{len(data):,} bytes"
        case Ping(_, id):
            return f"Ping {id}"
        case Close(_, code) if code != ABNORMAL:
            return f"close {code}"
    return ""


class _Frame(Struct):
    """Fields shown of a frame in the original document's format."""

    type: str
    text: str | None = None
    sender: str | None = None
    id: str | int | None = None


class _Post(Struct):
    """Fields shown of a posted message."""

    text: str


def _frame(data: str) -> str:
    try:
        frame = msgspec.json.decode(data, type=_Frame)
    except msgspec.DecodeError:
        return _quoted(data)
    if frame.text is not None:
        return f"{frame.sender or frame.type}: {_quoted(frame.text)}"
    return frame.type if frame.id is None else f"{frame.type} {frame.id}"


def _chunk(data: bytes) -> str:
    """Describe a chunk of an event stream: its first data, a keep-alive comment, or its size."""
    found = re.search(rb"^data: ?(.*)$", data, re.MULTILINE)
    if found is not None:
        return _frame(found[1].decode(errors="replace"))
    return "keep-alive" if data.startswith(b":") else f"{len(data):,} bytes"


def _text(body: str) -> str | None:
    """Return the text of the message in a request body, or None."""
    try:
        return msgspec.json.decode(body, type=_Post).text
    except msgspec.DecodeError:
        return None


def _quoted(text: str | None) -> str:
    return f"“{excerpt(text, 16)}”" if text is not None else "bytes"
