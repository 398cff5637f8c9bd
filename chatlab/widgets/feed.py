"""Rows that keep coming: the history stays in Python, the views hold a window of it.

Rows are dicts, added or changed by their `id`. To its views a feed says, all as custom messages:

- `{type: "rows", epoch, seq, oldest, rows}` to all views: what is new. `seq` numbers these messages, each row
  carries its place `n`, `oldest` is the first place that Python still has, and another `epoch` means that all
  before was cleared.
- the same with `{reply, part, parts, replay, newest, fitting}` to the view that asked; there `seq` is up to
  where the answer makes up for what was missed, `replay` says that it is the latest window and not a
  continuation, `newest` is the last place that the answer knows of, `fitting` and `oldest` count only rows
  that pass the view's filter.
- `{type: "mark", epoch, seq}` when all is quiet: the last number, for a view that missed the last message.
- `{type: "file", reply, part, parts, text}` to the view that asked: a part of the whole history as a file.
- `{type: "loaded", reply, rows, error}` to the view that sent a file: how many rows it has, or what is wrong.
- notes without a number, such as who is typing: only the latest of a type counts.

A view asks `{type: "ready", request}` for the latest window, `{type: "missed", request, after}` for what came
after a number, and `{type: "before", request, id}` for earlier rows, each with a `filter` if it wants only
some; `{type: "save", request, format}` for all as a file, "jsonl" or "txt", and sends one with
`{type: "load", request, part, parts, text}`; `request` is any string of its own. What is new goes to all
views, so each of them filters that itself.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from chatlab.fileio import atomic_write
from chatlab.widgets.files import Format, Uploads, json_lines, parts, read_rows, rows_of
from chatlab.widgets.history import Entry, History
from chatlab.widgets.pacing import INTERVAL, SETTLE, Callbacks, Message, PacedWidget
from chatlab.widgets.text import clock, encodable, moment

WINDOW = 500
"""Rows that a view gets at first, and that a comm message holds at most."""

PAGE = 250
"""Rows that a view gets when it asks for earlier ones."""

MESSAGE_CHARS = 250_000
"""Characters after which a comm message takes no further row."""

TRANSCRIPT = 200
"""Rows of the transcript that is shown where no kernel runs."""

TRANSCRIPT_LINE = 400
"""Characters of a row in that transcript."""

MOST_DOWNLOADS = 10
"""Files that are on their way to views at a time; a view whose file fell out asks again."""

Row = Mapping[str, str | int | float | bool | None]
Passes = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class _Reply:
    request: str
    seq: int
    replay: bool
    newest: int
    oldest: int
    fitting: int
    part: int
    parts: int
    ids: list[str]


class FeedWidget(PacedWidget):
    """A widget that shows rows; every method may be called from any thread.

    The history holds at most `history` rows, and `history_chars` characters unless one row alone has more;
    the oldest go first.
    """

    row_type: ClassVar[type[msgspec.Struct]]
    """What a row in a file may be."""

    def __init__(self, *, history: int = 100_000, history_chars: int = 50_000_000, **kwargs: Any) -> None:
        self._history = History(history, history_chars)
        self._lock = threading.Lock()
        self._epoch = 0
        self._seq = 0
        self._cleared = False
        self._unsent: dict[str, None] = {}  # ids in the order of their first change
        self._replies: deque[_Reply] = deque(maxlen=1_000)  # a view whose answer fell out asks again
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
        """Adds a row, or changes the fields given of the row with that `id`.

        Errors: `KeyError` without an `id`; `TypeError` when a value is not text, a number, a bool or None.
        """
        self.upsert_many([row])

    def upsert_many(self, rows: Iterable[Row]) -> None:
        """The same for many rows, in their order; a row that raises leaves all of them out."""
        cleaned = [(str(row["id"]), {name: encodable(value) for name, value in row.items()}) for row in rows]
        with self._lock:
            for key, row in cleaned:
                self._put(key, row)
        self._changed()

    def update(self, key: str, /, **changes: str | float | bool | None) -> bool:
        """Changes fields of the row with the id `key`; False, and nothing, when there is no such row."""
        cleaned = {name: encodable(value) for name, value in changes.items()}
        with self._lock:
            known = self._history.get(key) is not None
            if known:
                self._put(key, cleaned)
        if known:
            self._changed()
        return known

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Calls back after every change of rows, on the thread that made it; returns what undoes it."""
        return self._on_change.add(callback)

    def rows(self) -> list[dict[str, Any]]:
        """Copies of all rows in the history, oldest first."""
        with self._lock:
            return [dict(entry.row) for entry in self._history]

    def clear(self) -> None:
        """Forgets all rows, here and in the views."""
        with self._lock:
            self._history.clear()
            self._unsent.clear()
            self._replies.clear()
            self._epoch += 1
            self._cleared = True
        self._changed()

    def document(self, kind: Format) -> str:
        """All rows of the history: as JSON lines, or as text with control characters made visible."""
        rows = self.rows()
        if kind == "jsonl":
            return json_lines(rows)
        return "".join(f"{self._line(moment(row.get('at') or 0), row)}\n" for row in rows)

    def save(self, path: str | Path) -> None:
        """Writes all rows into a file: JSON lines if its name ends so (`.jsonl`), else text.

        Errors: `OSError` when the file can't be written; what it was before stays then.
        """
        kind: Format = "jsonl" if Path(path).suffix == ".jsonl" else "txt"
        with atomic_write(path) as part:
            part.write_text(self.document(kind), encoding="utf-8")

    def load(self, path: str | Path) -> int:
        """Adds the rows of a file of JSON lines; returns how many there are. One that is here stays as it is.

        Of a file larger than the history only the latest rows are kept, also while it is read.

        Errors: `ValueError` naming the first line that is no row, and `OSError`; then none is added.
        """
        return self._add(read_rows(path, self.row_type))

    def _add(self, rows: Iterable[dict[str, Any]]) -> int:
        """A file may be from anybody: its rows change none of those that are here."""
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
        """Says the latest notes, what is new, a part of an answer; after a quiet while, where it stands."""
        if self.comm is None:  # closed
            return None
        with self._lock:
            messages = [self._notes[name] for name in sorted(self._unsent_notes)]
            self._unsent_notes.clear()
            if self._unsent or self._cleared:
                messages.append(self._news())
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
        """The latest rows, one a line."""
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
        """Says something for which only the latest of its `type` counts; views that come later get it too."""
        with self._lock:
            self._notes[message["type"]] = message
            self._unsent_notes.add(message["type"])
        self.pacer.wake(self)

    def _filter(self, wanted: object) -> Passes | None:
        """What rows a view wants, of the `filter` in its request; None: all."""
        return None

    def _answer(self, message: Message) -> None:
        request = message.get("request")
        if not isinstance(request, str) or len(request) > 100:
            return
        match message:
            case {"type": "save", "format": "jsonl" | "txt" as kind}:
                self._say_in_parts(parts(request, self.document(kind)))
            case {"type": "load"}:
                if (file := self._uploads.take(request, message)) is not None:
                    self._say_in_parts(iter([self._loaded(request, file)]))
            case _:
                self._answer_rows(request, message)

    def _say_in_parts(self, answer: Iterator[Message]) -> None:
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
        # A filter reads every payload: not while others wait for the lock.
        passes = self._filter(message.get("filter"))
        fitting = entries if passes is None else [entry for entry in entries if passes(entry.row)]
        replay, chosen = True, fitting[-WINDOW:]
        match message:
            case {"type": "ready"}:
                with self._lock:
                    self._unsent_notes.update(self._notes)
            case {"type": "missed", "after": int(after)}:
                missed = [entry for entry in entries if entry.seq > after]
                if len(missed) <= 2 * WINDOW:
                    replay, chosen = False, missed
            case {"type": "before", "id": str(key)} if (entry := self._history.get(key)) is not None:
                place = bisect_left(fitting, entry.n, key=lambda entry: entry.n)
                replay, chosen = False, fitting[max(0, place - PAGE) : place]
            case _:
                return
        newest = entries[-1].n if entries else -1
        oldest = fitting[0].n if fitting else newest + 1
        chunks = _chunks(chosen)
        with self._lock:
            self._replies.extend(
                _Reply(request, seq, replay, newest, oldest, len(fitting), part, len(chunks), ids)
                for part, ids in enumerate(chunks)
            )
        self.pacer.wake(self)

    # Everything below is called with the lock held.

    def _put(self, key: str, row: Mapping[str, Any]) -> None:
        self._history.put(key, row)
        self._unsent[key] = None

    def _news(self) -> Message:
        self._seq += 1
        self._cleared = False
        rows, chars, taken = [], 0, []
        for key in islice(self._unsent, WINDOW):
            taken.append(key)
            if entry := self._history.get(key):  # else it has left the history meanwhile
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

    def _part(self, reply: _Reply) -> Message:
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


def _chunks(entries: Iterable[Entry]) -> list[list[str]]:
    """The ids of entries, as many together as a comm message holds."""
    chunks: list[list[str]] = [[]]
    chars = 0
    for entry in entries:
        if len(chunks[-1]) >= WINDOW or chars >= MESSAGE_CHARS:
            chunks.append([])
            chars = 0
        chunks[-1].append(entry.row["id"])
        chars += entry.chars
    return chunks
