"""The views of the chat panel: messages, frames, status and timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol, TypedDict

import msgspec

from chatlab.text import visible_line
from chatlab.widgets import assets
from chatlab.widgets.feed import FeedWidget, Passes, Row
from chatlab.widgets.pacing import Callbacks, Message, SnapshotWidget
from chatlab.widgets.text import encodable

MOST_TYPING = 50
"""Maximum number of typing people that a view gets."""

MOST_PEOPLE = 500
"""Maximum number of people's names that a view gets."""

MOST_KINDS = 100
"""Maximum number of kinds of frames in a view's filter; later kinds are left out."""

HEARTBEATS = frozenset({"ping", "pong", "comment"})
"""Kinds of frames that only keep a connection alive; event streams use comments."""

MOST_IN_LANE = 500
"""Maximum number of spans, and of marks, in a lane of the timeline: the latest."""


class MessageRow(msgspec.Struct, forbid_unknown_fields=True):
    """A row of a `ChatLog` in a file."""

    id: str
    at: float
    sender: str = ""
    text: str = ""
    own: bool = False
    state: str = ""
    reason: str = ""
    kind: str = "message"


class FrameRow(msgspec.Struct, forbid_unknown_fields=True):
    """A row of a `FrameLog` in a file."""

    id: str
    at: float
    direction: str = "local"
    kind: str = ""
    size: int = 0
    text: str = ""


class ChatLog(FeedWidget):
    """Messages with their ledger state, and an input box.

    Rows: `id`, `at` (milliseconds since 1970), `sender`, `text`, `own` (bool), `state` ("", a delivery state,
    or "undelivered": left behind in another place), `reason` (why it was not delivered), `kind` ("message" or
    "notice").
    """

    _esm = assets.module("chat_log.js")
    row_type = MessageRow

    def __init__(self, **kwargs: Any) -> None:
        self._on_send = Callbacks[[str]]()
        self._on_retry = Callbacks[[str]]()
        self._on_retry_all = Callbacks[[]]()
        self._on_typing = Callbacks[[]]()
        super().__init__(**kwargs)

    def on_send(self, callback: Callable[[str], object]) -> Callable[[], None]:
        """Call `callback` with each text sent by a person, on the comm's thread; return an unsubscriber."""
        return self._on_send.add(callback)

    def on_retry(self, callback: Callable[[str], object]) -> Callable[[], None]:
        """Call `callback` with the `id` of each message that a person retries; return an unsubscriber."""
        return self._on_retry.add(callback)

    def on_retry_all(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` when a person retries all undelivered messages; return an unsubscriber."""
        return self._on_retry_all.add(callback)

    def on_typing(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` while a person types, at most once in 3 s; return an unsubscriber."""
        return self._on_typing.add(callback)

    def set_typing(self, names: Iterable[str]) -> None:
        """Show who is typing, until the next call or for 10 s."""
        self._note({"type": "typing", "names": [encodable(str(name)) for name in names][:MOST_TYPING]})

    def set_people(self, names: Iterable[str] | None) -> None:
        """Show who is in the room; None: it isn't known."""
        shown = None if names is None else [encodable(str(name)) for name in names]
        self._note({"type": "people", "names": shown and shown[:MOST_PEOPLE], "count": len(shown or ())})

    def set_lost(self, here: int, elsewhere: int) -> None:
        """Show the number of undelivered messages for this place, and for other places."""
        self._note({"type": "lost", "here": here, "elsewhere": elsewhere})

    def _filter(self, wanted: object) -> Passes | None:
        match wanted:
            case {"text": str(text)} if text:
                sought = text.lower()
                return lambda row: sought in f"{row.get('sender') or ''}\n{row.get('text') or ''}".lower()
            case _:
                return None

    def _answer(self, message: Message) -> None:
        match message:
            case {"type": "retry all"}:
                self._on_retry_all()
            case {"type": "send", "text": str(text)} if text.strip():
                self._on_send(str(encodable(text)))
            case {"type": "retry", "id": str(key)}:
                self._on_retry(key)
            case {"type": "typing"}:
                self._on_typing()
            case _:
                super()._answer(message)

    def _line(self, when: str, row: Mapping[str, Any]) -> str:
        state = f" ({row['state']})" if row.get("state") else ""
        sender, text = visible_line(str(row.get("sender") or "")), visible_line(str(row.get("text") or ""))
        return f"{when} {sender}: {text}{state}"


class FrameFilter(msgspec.Struct):
    """A view's filter of frames. Empty fields match any frame; `text` is searched in kind and payload.

    `passes` in frame_log.js makes the same decision for new frames.
    """

    direction: str = ""
    kind: str = ""
    text: str = ""
    heartbeats: bool = True

    def passes(self, row: Mapping[str, Any]) -> bool:
        """Return whether a frame matches."""
        kind = row.get("kind") or ""
        return (
            (self.heartbeats or kind not in HEARTBEATS)
            and self.direction in ("", row.get("direction"))
            and self.kind in ("", kind)
            and (not self.text or self.text.lower() in f"{kind}\n{row.get('text') or ''}".lower())
        )


class FrameLog(FeedWidget):
    """Log of frames.

    Rows: `id`, `at` (milliseconds since 1970), `direction` ("up", "down" or "local"), `size` (bytes), `kind`
    ("message", "ping", "pong", "ack", "open", "close" …), `text` (the whole payload).
    """

    _esm = assets.module("frame_log.js")
    row_type = FrameRow

    def __init__(self, **kwargs: Any) -> None:
        self._kinds: dict[str, None] = {}
        super().__init__(**kwargs)

    def upsert_many(self, rows: Iterable[Row]) -> None:
        """Add or change frames, and send new kinds to the views."""
        rows = list(rows)
        super().upsert_many(rows)
        before = len(self._kinds)
        for row in rows:
            if (kind := row.get("kind")) and len(self._kinds) < MOST_KINDS:
                self._kinds[str(encodable(kind))] = None
        if len(self._kinds) > before:
            self._note({"type": "kinds", "names": sorted(self._kinds)})

    def _filter(self, wanted: object) -> Passes | None:
        try:
            return msgspec.convert(wanted, FrameFilter).passes
        except msgspec.ValidationError:
            return None

    def _line(self, when: str, row: Mapping[str, Any]) -> str:
        arrow = {"up": "\u2191", "down": "\u2193"}.get(str(row.get("direction")), "\u2022")
        kind, text = visible_line(str(row.get("kind") or "")), visible_line(str(row.get("text") or ""))
        return f"{when} {arrow} {kind} {row.get('size') or 0} B {text}"


class StatusBadge(SnapshotWidget):
    """The connection's status, its reason, and the time until the next attempt."""

    _esm = assets.module("status_badge.js")

    def __init__(self, **kwargs: Any) -> None:
        self._retry_in: float | None = None
        self._shown_at = monotonic()
        self._rate = 1.0
        self._waiting = 0
        self._shown: Message = _status("disconnected")
        super().__init__(**kwargs)

    def show(
        self,
        status: str,
        reason: str = "",
        *,
        attempt: int = 0,
        max_attempts: int | None = None,
        retry_in: float | None = None,
        code: int | None = None,
        at: float | None = None,
        transport: str = "",
        details: str = "",
        rate: float = 1.0,
    ) -> None:
        """Show a status; `retry_in` is the number of seconds until the next attempt, of which `rate` pass in
        each second. From any thread.

        `transport` is the title of the one in use. The tooltip has the time of the change (`at`, milliseconds
        since 1970) and `details`.
        """
        self._retry_in, self._rate, self._shown_at = retry_in, rate, monotonic()
        self._shown = _status(status, reason, attempt, max_attempts, code, at, transport, details)
        self._changed()

    def show_waiting(self, messages: int) -> None:
        """Show the number of messages in the outbox: queued, or sent and unacknowledged. From any thread."""
        self._waiting = messages
        self._changed()

    def transcript(self) -> str:
        """Return the status in one line."""
        shown = self._shown
        attempt = f", attempt {shown['attempt']}" if shown["attempt"] else ""
        reason = f": {visible_line(shown['reason'])}" if shown["reason"] else ""
        used = f" over {visible_line(shown['transport'])}" if shown["status"] == "connected" else ""
        return f"{visible_line(shown['status'])}{used if shown['transport'] else ''}{attempt}{reason}"

    def _snapshot(self) -> Message:
        retry_in = self._retry_in
        if retry_in is not None:
            retry_in = max(0.0, retry_in - self._rate * (monotonic() - self._shown_at))
        return {
            "type": "status",
            **self._shown,
            "retry_in": retry_in,
            "rate": self._rate,
            "waiting": self._waiting,
        }


class Span(TypedDict):
    """A status from `start` to `end` in seconds; `end` is None while it lasts."""

    status: str
    start: float
    end: float | None


class Mark(TypedDict):
    """An event at a point in time; the kind "fault" is highlighted."""

    kind: str
    label: str
    at: float


class Lane(TypedDict):
    """A named row of the timeline, such as "live" or "predicted"."""

    name: str
    spans: Sequence[Span]
    marks: Sequence[Mark]


class TimelineView(Protocol):
    """Shows lanes, as a `Timeline` does."""

    def show(self, now: float, lanes: Iterable[Lane], *, running: bool = False, note: str = "") -> None:
        """Show lanes at `now`, in seconds since the start, and a note below; time goes on while `running`."""


class Timeline(SnapshotWidget):
    """Statuses over time in lanes, with marks for events."""

    _esm = assets.module("timeline.js")

    def __init__(self, **kwargs: Any) -> None:
        self._lanes: list[Message] = []
        self._note = ""
        self._now = 0.0
        self._running = False
        self._rate = 1.0
        self._until = 0.0
        self._shown_at = monotonic()
        super().__init__(**kwargs)

    def show(
        self,
        now: float,
        lanes: Iterable[Lane],
        *,
        running: bool = False,
        note: str = "",
        rate: float = 1.0,
        until: float = 0.0,
    ) -> None:
        """Show lanes at `now`, in seconds since the start, and a note below; time goes on while `running`, by
        `rate` seconds in each second. The axis reaches `until` at least. From any thread.
        """
        self._note = str(encodable(note))
        self._lanes = [
            {
                "name": encodable(lane["name"]),
                "spans": [_encodable(span) for span in lane["spans"][-MOST_IN_LANE:]],
                "marks": [_encodable(mark) for mark in lane["marks"][-MOST_IN_LANE:]],
            }
            for lane in lanes
        ]
        self._now, self._running, self._shown_at = now, running, monotonic()
        self._rate, self._until = rate, until
        self._changed()

    def transcript(self) -> str:
        """Return the spans of each lane, one lane per line."""
        lines = [self._line(lane) for lane in self._lanes]
        if self._note:
            lines.append(visible_line(self._note))
        return "\n".join(lines) or "Timeline: nothing yet"

    def _line(self, lane: Message) -> str:
        spans = []
        for span in lane["spans"]:
            end = self._now if span["end"] is None else span["end"]
            spans.append(f"{visible_line(span['status'])} {span['start']:.1f}\u2013{end:.1f} s")
        return f"{visible_line(lane['name'])}: {', '.join(spans) or 'nothing yet'}"

    def _snapshot(self) -> Message:
        elapsed = monotonic() - self._shown_at if self._running else 0.0
        now = self._now + self._rate * elapsed
        return {
            "type": "timeline",
            "now": now,
            "lanes": self._lanes,
            "running": self._running,
            "rate": self._rate,
            "until": self._until,
            "note": self._note,
        }


def _status(
    status: str,
    reason: str = "",
    attempt: int = 0,
    max_attempts: int | None = None,
    code: int | None = None,
    at: float | None = None,
    transport: str = "",
    details: str = "",
) -> Message:
    fields = {
        "status": str(status),
        "reason": reason,
        "attempt": attempt,
        "max_attempts": max_attempts,
        "code": code,
        "at": at,
        "transport": transport,
        "details": details,
    }
    return _encodable(fields)


def _encodable(fields: Mapping[str, Any]) -> Message:
    return {name: encodable(value) for name, value in fields.items()}
