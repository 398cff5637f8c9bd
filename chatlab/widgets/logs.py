"""The logs of a conversation: its messages, and its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from chatlab.text import visible_line
from chatlab.widgets import assets
from chatlab.widgets.feed import FeedWidget, Passes, Row
from chatlab.widgets.pacing import Callbacks, Message
from chatlab.widgets.text import encodable

MOST_TYPING = 50
"""Maximum number of typing people that a view gets."""

MOST_PEOPLE = 500
"""Maximum number of people's names that a view gets."""

MOST_KINDS = 100
"""Maximum number of kinds of frames in a view's filter; later kinds are left out."""

HEARTBEATS = frozenset({"ping", "pong", "comment"})
"""Kinds of frames that only keep a connection alive; event streams use comments."""


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
