"""A feed of rows: Python keeps the history, and each view a window of it.

Rows are dicts, added or changed by their `id`. A feed sends its views these custom messages:

- `{type: "rows", epoch, seq, oldest, rows}` to all views: new rows. `seq` numbers these messages. Each row
  has a position `n`. `oldest` is the first position in the history. A new `epoch` means that all rows were
  cleared.
- the same with `{reply, part, parts, replay, newest, fitting}` to the view that asked. It covers all
  messages up to `seq`. `replay`: it is the latest window, not a continuation. `newest` is the last position
  that the answer takes into account. `fitting` and `oldest` count only rows that pass the view's filter.
- `{type: "mark", epoch, seq}` after a quiet period: the number of the last message, so that views notice a
  missed one.
- `{type: "file", reply, part, parts, text}` to the view that asked: a part of the whole history as a file.
- `{type: "loaded", reply, rows, error}` to the view that sent a file: its number of rows, or an error.
- notes without a number, such as the list of typing people: the latest of each type replaces earlier ones.

A view requests the latest window with `{type: "ready", request}`, all later messages with
`{type: "missed", request, after}`, and earlier rows with `{type: "before", request, id}`, each with an
optional `filter`. It requests the whole history as a file ("jsonl" or "txt") with
`{type: "save", request, format}`, and sends a file with `{type: "load", request, part, parts, text}`.
`request` is a string of the view's choice. `{type: "clear"}` removes all rows. New rows go to all views, so
each view filters them itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import traitlets

from chatlab.fileio import atomic_write
from chatlab.widgets.files import Format, Uploads, json_lines, parts, read_rows, rows_of
from chatlab.widgets.history import Entry, History
from chatlab.widgets.pacing import INTERVAL, SETTLE, Callbacks, Message, PacedWidget
from chatlab.widgets.replies import MESSAGE_CHARS, WINDOW, Reply, replies
from chatlab.widgets.text import clock, encodable, moment

TRANSCRIPT = 200
"""Rows of the transcript that a notebook shows without a kernel."""

TRANSCRIPT_LINE = 400
"""Maximum characters of a row in that transcript."""

MOST_DOWNLOADS = 10
"""Maximum number of simultaneous downloads; a view whose file was dropped has to ask again."""

Row = Mapping[str, str | int | float | bool | None]
Passes = Callable[[Mapping[str, Any]], bool]


class FeedWidget(PacedWidget):
    """A widget that shows rows; every method may be called from any thread.

    The history holds at most `history` rows, and `history_chars` characters unless a single row has more. The
    oldest rows are dropped first.
    """

    row_type: ClassVar[type[msgspec.Struct]]
    """Schema of a row in a file."""

    elapsed = traitlets.Bool(False).tag(sync=True)
    """Whether the rows' `at` is in milliseconds since a start, instead of 1970."""

    def __init__(self, *, history: int = 100_000, history_chars: int = 50_000_000, **kwargs: Any) -> None:
        self._history = History(history, history_chars)
        self._lock = threading.Lock()
        self._epoch = 0
        self._seq = 0
        self._cleared = False
        self._unsent: dict[str, None] = {}  # ids, by their first change
        self._replies: deque[Reply] = deque(maxlen=1_000)  # a view asks again if its answer was dropped
        self._notes: dict[str, Message] = {}
        self._unsent_notes: set[str] = set()
        self._downloads: deque[Iterator[Message]] = deque(maxlen=MOST_DOWNLOADS)
        self._uploads = Uploads()
        self._on_change = Callbacks[[]]()
        super().__init__(**kwargs)

    def __len__(self) -> int:
        return len(self._history)

    def __bool__(self) -> bool:
        return True

    def upsert(self, row: Row) -> None:
        """Add a row, or change the given fields of the row with that `id`.

        Errors: `KeyError` without an `id`; `TypeError` if a value is not text, a number, a bool or None.
        """
        self.upsert_many([row])

    def upsert_many(self, rows: Iterable[Row]) -> None:
        """Add or change several rows in order, or none of them if one is invalid."""
        cleaned = [(str(row["id"]), {name: encodable(value) for name, value in row.items()}) for row in rows]
        with self._lock:
            for key, row in cleaned:
                self._put(key, row)
        self._changed()

    def update(self, key: str, /, **changes: str | float | bool | None) -> bool:
        """Change fields of the row with the id `key`; return False if there is no such row."""
        cleaned = {name: encodable(value) for name, value in changes.items()}
        with self._lock:
            known = self._history.get(key) is not None
            if known:
                self._put(key, cleaned)
        if known:
            self._changed()
        return known

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` after every change, on the thread that made it; return an unsubscriber."""
        return self._on_change.add(callback)

    def rows(self) -> list[dict[str, Any]]:
        """Return copies of all rows in the history, oldest first."""
        with self._lock:
            return [dict(entry.row) for entry in self._history]

    def clear(self) -> None:
        """Remove all rows, here and in the views."""
        with self._lock:
            self._history.clear()
            self._unsent.clear()
            self._replies.clear()
            self._epoch += 1
            self._cleared = True
        self._changed()

    def document(self, kind: Format) -> str:
        """Return all rows as JSON Lines, or as text with control characters made visible."""
        rows = self.rows()
        if kind == "jsonl":
            return json_lines(rows)
        return "".join(f"{self._line(moment(row.get('at') or 0), row)}\n" for row in rows)

    def save(self, path: str | Path) -> None:
        """Write all rows to a file: JSON Lines if its name ends in `.jsonl`, otherwise text.

        Errors: `OSError` if the file can't be written; then the old file stays.
        """
        kind: Format = "jsonl" if Path(path).suffix == ".jsonl" else "txt"
        with atomic_write(path) as part:
            part.write_text(self.document(kind), encoding="utf-8")

    def load(self, path: str | Path) -> int:
        """Add the rows of a JSON Lines file and return their number; rows with known ids stay unchanged.

        Of a file larger than the history, only the latest rows are kept, also in memory while reading.

        Errors: `ValueError` naming the first line that is not a row, and `OSError`; then none is added.
        """
        return self._add(read_rows(path, self.row_type))

    def _add(self, rows: Iterable[dict[str, Any]]) -> int:
        """Add rows with new ids only: a file may come from anybody, and must not change existing rows."""
        count, new = 0, self._history.fresh()
        for row in rows:
            count += 1
            if self._history.get(row["id"]) is None:
                new.put(row["id"], row)
        with self._lock:
            added = [entry.row for entry in new if self._history.get(entry.row["id"]) is None]
        self.upsert_many(added)
        return count

    def flush(self) -> float | None:
        """Send the latest notes, new rows and a part of an answer; in a quiet period, the last number."""
        if self.comm is None:  # closed
            return None
        with self._lock:
            messages = [self._notes[name] for name in sorted(self._unsent_notes)]
            self._unsent_notes.clear()
            if self._unsent or self._cleared:
                messages.append(self._new_rows())
            if self._replies:
                messages.append(self._part(self._replies.popleft()))
            if self._downloads:
                self._download(messages)
            more = self._unsent or self._replies or self._downloads
            delay = INTERVAL if more else SETTLE if messages else None
            if not messages:
                messages.append({"type": "mark", "epoch": self._epoch, "seq": self._seq})
        for message in messages:
            self.send(message)
        return delay

    def transcript(self) -> str:
        """Return the latest rows, one per line."""
        with self._lock:
            latest = [entry.row for entry in self._history.latest(TRANSCRIPT)]
        lines = (self._line(clock(row.get("at") or 0), row) for row in latest)
        cut = (line if len(line) <= TRANSCRIPT_LINE else f"{line[:TRANSCRIPT_LINE]}\u2026" for line in lines)
        return "\n".join(cut) or f"{type(self).__name__}: nothing yet"

    def _line(self, when: str, row: Mapping[str, Any]) -> str:
        raise NotImplementedError

    def _changed(self) -> None:
        self.pacer.wake(self)
        self._on_change()

    def _note(self, message: Message) -> None:
        """Send a note, which replaces earlier ones of its `type`; later views get it too."""
        with self._lock:
            self._notes[message["type"]] = message
            self._unsent_notes.add(message["type"])
        self.pacer.wake(self)

    def _filter(self, wanted: object) -> Passes | None:
        """Return a predicate for the `filter` in a request; None lets all rows pass."""
        return None

    def _answer(self, message: Message) -> None:
        if message.get("type") == "clear":
            self.clear()
            return
        request = message.get("request")
        if not isinstance(request, str) or len(request) > 100:
            return
        match message:
            case {"type": "save", "format": "jsonl" | "txt" as kind}:
                self._send_in_parts(parts(request, self.document(kind)))
            case {"type": "load"}:
                if (file := self._uploads.take(request, message)) is not None:
                    self._send_in_parts(iter([self._loaded(request, file)]))
            case _:
                self._answer_rows(request, message)

    def _send_in_parts(self, answer: Iterator[Message]) -> None:
        with self._lock:
            self._downloads.append(answer)
        self.pacer.wake(self)

    def _loaded(self, request: str, file: str) -> Message:
        answer: Message = {"type": "loaded", "reply": request, "rows": 0, "error": ""}
        try:
            return answer | {"rows": self._add(rows_of(BytesIO(file.encode()), self.row_type))}
        except ValueError as error:
            return answer | {"error": encodable(str(error))}

    def _answer_rows(self, request: str, message: Message) -> None:
        with self._lock:
            seq, entries = self._seq, list(self._history)
        # A filter reads every payload, so it runs without the lock.
        passes = self._filter(message.get("filter"))
        answer = replies(request, message, seq, entries, passes, self._history.get)
        if not answer:
            return
        with self._lock:
            if message["type"] == "ready":
                self._unsent_notes.update(self._notes)
            self._replies.extend(answer)
        self.pacer.wake(self)

    # All methods below are called with the lock held.

    def _put(self, key: str, row: Mapping[str, Any]) -> None:
        self._history.put(key, row)
        self._unsent[key] = None

    def _new_rows(self) -> Message:
        self._seq += 1
        self._cleared = False
        rows, chars, taken = [], 0, []
        for key in islice(self._unsent, WINDOW):
            taken.append(key)
            if entry := self._history.get(key):  # None if it has left the history
                entry.seq = self._seq
                rows.append(self._shown(entry))
                chars += entry.chars
                if chars >= MESSAGE_CHARS:
                    break
        for key in taken:
            del self._unsent[key]
        return self._rows(rows, self._seq)

    def _download(self, messages: list[Message]) -> None:
        if (part := next(self._downloads[0], None)) is None:
            self._downloads.popleft()
        else:
            messages.append(part)

    def _part(self, reply: Reply) -> Message:
        kept = (entry for key in reply.ids if (entry := self._history.get(key)) is not None)
        answer = self._rows([self._shown(entry) for entry in kept], reply.seq)
        return answer | {
            "reply": reply.request,
            "part": reply.part,
            "parts": reply.parts,
            "replay": reply.replay,
            "newest": reply.newest,
            "oldest": max(reply.oldest, answer["oldest"]),
            "fitting": reply.fitting,
        }

    def _rows(self, rows: list[Message], seq: int) -> Message:
        place = {"epoch": self._epoch, "seq": seq, "oldest": self._history.oldest}
        return {"type": "rows", **place, "total": len(self._history), "rows": rows}

    def _shown(self, entry: Entry) -> Message:
        return {**entry.row, "n": entry.n}
