"""A dialogue in lines: what one person's transport and the server said to each other, step by step."""

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
    Pong,
    Received,
    ReceivedBytes,
    Send,
    SendBytes,
    Submit,
)

ABNORMAL = 1006


class SequenceLine(Struct, frozen=True):
    """One line of a dialogue, at `at` by the person's clock: a note, an arrow, or both.

    `way` is "up" to the server or "down" from it. A *lost* frame has gone up, and the link ended without
    another word from the server.
    """

    at: float
    note: str = ""
    way: Literal["up", "down"] | None = None
    text: str = ""
    lost: bool = False
    status: ConnectionStatus | None = None


def sequence(steps: Iterable[Step]) -> list[SequenceLine]:
    """Return the lines of one person's steps, in order; steps without any leave no trace."""
    steps = list(steps)
    last_received: dict[int, float] = {}
    ended: set[int] = set()
    for step in steps:
        match step.event:
            case Opened(link) | Received(link) | ReceivedBytes(link) | Answered(link) | Pong(link):
                last_received[link] = step.at
            case Closed(link, failure):
                ended.add(link)
                if failure.kind == "refused":
                    last_received[link] = step.at
            case _:
                pass  # nothing has come from the server
        ended |= {effect.link for effect in step.effects if isinstance(effect, Close) and effect.code != 1000}
    lines = []
    for step in steps:
        notes, status = _notes(step)
        arrows = [("down", text, False)] if (text := _incoming(step.event)) else []
        for effect in step.effects:
            if text := _outgoing(effect):
                link = effect.link  # type: ignore[union-attr]  # what goes out has one
                arrows.append(("up", text, link in ended and last_received.get(link, -1.0) <= step.at))
        note = ", ".join(notes)
        if not arrows and note:
            lines.append(SequenceLine(step.at, note, status=status))
        for number, (way, text, lost) in enumerate(arrows):
            first = number == 0
            way_: Literal["up", "down"] = "up" if way == "up" else "down"
            lines.append(
                SequenceLine(step.at, note if first else "", way_, text, lost, status if first else None)
            )
    return lines


def _notes(step: Step) -> tuple[list[str], ConnectionStatus | None]:
    """Say what the person did, and what the transport told."""
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
    """Say what has come from the server; nothing where nothing has."""
    match event:
        case Opened():
            return "open"
        case Received(_, data):
            return _frame(data)
        case ReceivedBytes(_, data):
            return _piece(data)
        case Answered(_, answer):
            return f"{answer.status}, {len(answer.body):,} bytes"
        case Pong(_, id):
            return f"Pong {id}"
        case Closed(_, failure) if failure.kind == "close":
            return "reset" if failure.code == ABNORMAL else f"close {failure.code}"
        case Closed(_, failure) if failure.kind == "http":
            return f"HTTP {failure.code}"
        case Closed(_, failure) if failure.kind in ("refused", "reset"):
            return failure.kind
    return ""


def _outgoing(effect: Effect) -> str:
    """Say what goes to the server; nothing where nothing does."""
    match effect:
        case OpenWebSocket():
            return "open WebSocket"
        case Fetch(_, _, request):
            said = _text(request.body)
            return f"{request.method} {request.path}" if said is None else f"POST {_quoted(said)}"
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
    """What is worth telling of a frame in the seed's shapes."""

    type: str
    text: str | None = None
    sender: str | None = None
    id: str | int | None = None


class _Post(Struct):
    """What is worth telling of a posted message."""

    text: str


def _frame(data: str) -> str:
    try:
        frame = msgspec.json.decode(data, type=_Frame)
    except msgspec.DecodeError:
        return _quoted(data)
    if frame.text is not None:
        return f"{frame.sender or frame.type}: {_quoted(frame.text)}"
    return frame.type if frame.id is None else f"{frame.type} {frame.id}"


def _piece(data: bytes) -> str:
    """Say what a piece of an event stream is, where it holds the beginning of an event or a comment."""
    found = re.search(rb"^data: ?(.*)$", data, re.MULTILINE)
    if found is not None:
        return _frame(found[1].decode(errors="replace"))
    return "keep-alive" if data.startswith(b":") else f"{len(data):,} bytes"


def _text(body: str) -> str | None:
    """Return the text of the message that a request posts, if it does."""
    try:
        return msgspec.json.decode(body, type=_Post).text
    except msgspec.DecodeError:
        return None


def _quoted(text: str | None) -> str:
    return f"“{excerpt(text, 16)}”" if text is not None else "bytes"
