"""One transport's conversation, written into the views of a panel as it happens."""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

from chatlab.live.kinds import KINDS
from chatlab.live.receipt import Receipt
from chatlab.live.transport import ChatTransport
from chatlab.messages import (
    ChatEvent,
    ChatMessage,
    ConnectionStatus,
    DeliveryState,
    OutgoingMessage,
    StatusChange,
)
from chatlab.settings import FallbackConfig
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
    Pong,
    Received,
    ReceivedBytes,
    Send,
    SendBytes,
)
from chatlab.widgets.views import ChatLog, FrameLog, Mark, Span, StatusBadge

_EVENT = re.compile(rb"^event: ?(.{1,40})$", re.MULTILINE)
_TYPE = re.compile(r'"type"\s*:\s*"([^"]{1,40})"')
TYPING_LASTS = 6.0
"""Seconds after which somebody who typed is thought to have stopped."""
MOST_SPANS = 500


class Conversation:
    """Turns what a transport does into rows of messages and frames, a status, and the spans of a timeline.

    Times are seconds on the transport's clock; `changed` is called after every change of status.
    """

    def __init__(
        self, log: ChatLog, frames: FrameLog, badge: StatusBadge, changed: Callable[[], None]
    ) -> None:
        self._log = log
        self._frames = frames
        self._badge = badge
        self._changed = changed
        self._series = secrets.token_hex(4)  # what was loaded from a file has ids of another
        self._numbers = count(1)
        self._epoch = time.time() - time.monotonic()
        self._typing: dict[str, float] = {}
        self._own: dict[str, OutgoingMessage] = {}
        self._waiting: set[str] = set()
        self.transport: ChatTransport | None = None
        self.spans: deque[Span] = deque(maxlen=MOST_SPANS)
        self.marks: deque[Mark] = deque(maxlen=MOST_SPANS)
        self.outages: list[tuple[float, float | None]] = []

    def follow(self, transport: ChatTransport) -> None:
        """Write down what this transport does from now on."""
        self.transport = transport
        transport.on_message(self._on_event)
        transport.on_status_change(self._on_status)
        transport.on_receipt(self._on_receipt)

    def notice(self, text: str) -> None:
        """Add a line that is no message."""
        row = self._next_id("notice")
        self._log.upsert(
            {"id": row, "at": time.time() * 1000, "sender": "", "text": text, "own": False, "kind": "notice"}
        )

    def _next_id(self, kind: str) -> str:
        return f"{kind}-{self._series}-{next(self._numbers)}"

    def mark(self, kind: str, label: str) -> None:
        """Note on the timeline that something happens now."""
        self.marks.append({"kind": kind, "label": label, "at": time.monotonic()})

    # Messages

    def sent(self, receipt: Receipt) -> None:
        """Show a message that the transport has accepted."""
        message = receipt.message
        text = message.text or f"({len(message.data or b''):,} bytes)"
        sender = self.transport.config.sender if self.transport is not None else ""
        self._own[message.client_id] = message
        self._count(receipt)
        self._log.upsert(
            {
                "id": message.client_id,
                "at": time.time() * 1000,
                "sender": sender,
                "text": text,
                "own": True,
                "state": receipt.state.value,
                "reason": "",
                "kind": "message",
            }
        )

    def own(self, id: str) -> OutgoingMessage | None:
        """Return a message of this panel's own that was not acknowledged."""
        return self._own.get(id)

    def _count(self, receipt: Receipt) -> None:
        """Keep count of what is in the outbox."""
        if receipt.state in (DeliveryState.QUEUED, DeliveryState.SENT):
            self._waiting.add(receipt.client_id)
        else:
            self._waiting.discard(receipt.client_id)
        self._badge.show_waiting(len(self._waiting))

    def _on_receipt(self, receipt: Receipt) -> None:
        self._count(receipt)
        self._log.update(receipt.client_id, state=receipt.state.value, reason=str(receipt.error or ""))
        if receipt.state is DeliveryState.ACKED:
            self._own.pop(receipt.client_id, None)

    def _on_event(self, event: ChatEvent) -> None:
        match event.type:
            case "message":
                if event.message is not None:
                    self._received(event.message)
            case "typing":
                self._typing[event.sender] = time.monotonic()
                self._show_typing()
            case "presence":
                state = event.payload.get("state") if isinstance(event.payload, dict) else None
                if state in ("joined", "left"):
                    self.notice(f"{event.sender} {state}")
            case "resync" | "overrun":
                self.notice(f"Messages may be missing here: {event.reason}.")
            case "unreadable":
                self.notice(f"A frame from the server can't be read ({event.reason}): {event.payload}")
            case "error":
                self.notice(f"The server complains: {event.payload}")
            case _:
                pass  # The frame log shows it.

    def _received(self, message: ChatMessage) -> None:
        self._typing.pop(message.sender, None)
        own = self.transport is not None and message.sender == self.transport.config.sender
        row = message.client_id or message.id or self._next_id("received")
        at = message.posted_at.timestamp() if message.posted_at is not None else time.time()
        text = message.text or f"({len(message.data or b''):,} bytes)"
        if not (own and self._log.update(row, state="acked")):
            state = "acked" if own else ""
            self._log.upsert(
                {
                    "id": row,
                    "at": at * 1000,
                    "sender": message.sender,
                    "text": text,
                    "own": own,
                    "state": state,
                    "kind": "message",
                }
            )
        self._show_typing()

    def _show_typing(self) -> None:
        recent = time.monotonic() - TYPING_LASTS
        self._typing = {name: at for name, at in self._typing.items() if at > recent}
        self._log.set_typing(self._typing)

    # Statuses

    def _on_status(self, change: StatusChange) -> None:
        transport = self.transport
        if transport is None:
            return
        now = transport.now()
        if not self.spans or self.spans[-1]["status"] != change.status:
            if self.spans:
                self.spans[-1]["end"] = now
            self.spans.append({"status": change.status.value, "start": now, "end": None})
        if change.attempt and change.retry_at is None and change.status == "reconnecting":
            self.marks.append({"kind": "attempt", "label": f"attempt {change.attempt}", "at": now})
        self._badge.show(
            change.status.value,
            change.reason,
            attempt=0 if change.status is ConnectionStatus.CONNECTED else change.attempt,
            max_attempts=transport.config.reconnect.max_attempts,
            retry_in=None if change.retry_at is None else change.retry_at - now,
            code=change.code,
            at=(self._epoch + now) * 1000,
            details=_details(transport),
        )
        if change.status is not ConnectionStatus.CONNECTED and self._typing:
            self._typing = {}  # who is typing can't be known now
            self._show_typing()
        self._changed()

    # Frames

    def record(self, step: Step) -> None:
        """Show the frames of a step."""
        rows = [frame for thing in (step.event, *step.effects) if (frame := _frame(thing)) is not None]
        at = (self._epoch + step.at) * 1000
        self._frames.upsert_many(
            {
                "id": self._next_id("frame"),
                "at": at,
                "direction": direction,
                "kind": kind,
                "size": len(data),
                "text": shown(data),
            }
            for direction, kind, data in rows
        )


def _details(transport: ChatTransport) -> str:
    """Return what a connection is, a line each: the transport in use, the address, room and name."""
    config = transport.config
    used = next(kind.title for kind in KINDS.values() if kind.config.__name__ == transport.kind)
    if isinstance(config, FallbackConfig):
        used += f", of {len(config.transports)} to fall back on"
        config = config.first
    return f"{used}\n{config.url}\nroom {config.room}, as {config.sender}"


def _frame(thing: Event | Effect) -> tuple[str, str, bytes] | None:
    """Return the direction, kind and payload of an event or effect that concerns the wire."""
    match thing:
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
    """Return the name of the first event in a piece of a stream; "comment" where there is nothing else."""
    if event := _EVENT.search(data, 0, 200):
        return event[1].decode("utf-8", "replace")
    lines = data.splitlines()
    return "comment" if any(lines) and all(line[:1] in (b"", b":") for line in lines) else "bytes"


def _kind(text: str) -> str:
    found = _TYPE.search(text, 0, 200)
    return found[1] if found else "text"


def shown(data: bytes) -> str:
    """Return a payload as text; bytes that aren't text are escaped."""
    return data.decode("utf-8", "backslashreplace")


def since(start: float, spans: Sequence[Span], marks: Sequence[Mark]) -> tuple[list[Span], list[Mark]]:
    """Return spans and marks with times counted from `start`."""
    shifted: list[Span] = [
        {
            "status": span["status"],
            "start": span["start"] - start,
            "end": None if span["end"] is None else span["end"] - start,
        }
        for span in spans
    ]
    return shifted, [
        {"kind": mark["kind"], "label": mark["label"], "at": mark["at"] - start} for mark in marks
    ]
