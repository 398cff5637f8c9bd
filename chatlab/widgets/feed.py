"""Rows that keep coming: the history stays in Python, the views hold a window of it.

Rows are dicts, added or changed by their `id`. To its views a feed says, all as custom messages:

- `{type: "rows", epoch, seq, oldest, rows}` to all views: what is new. `seq` numbers these messages, each row
  carries its place `n`, `oldest` is the first place that Python still has, and another `epoch` means that all
  before was cleared.
- the same with `{reply, part, parts, replay}` to the view that asked; there `seq` is up to where the answer
  makes up for what was missed, and `replay` says that it is the latest window and not a continuation.
- `{type: "mark", epoch, seq}` when all is quiet: the last number, for a view that missed the last message.
- `{type: "file", reply, part, parts, text}` to the view that asked: a part of the whole history as a file.
- notes without a number, such as who is typing: only the latest of a type counts.

A view asks `{type: "ready", request}` for the latest window, `{type: "missed", request, after}` for what came
after a number, `{type: "before", request, id}` for earlier rows, and `{type: "save", request, format}` for
all as a file, "jsonl" or "txt"; `request` is any string of its own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from chatlab.widgets.files import Format, json_lines, parts, read_rows
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


@dataclass(slots=True)
class _Entry:
    n: int
    row: dict[str, Any] = field(default_factory=dict)
    chars: int = 0
    seq: int = 0  # of the last message to all views that held it

    def change(self, row: Mapping[str, Any]) -> int:
        """Returns by how many characters the row has grown."""
        before = self.chars
        self.row = {**self.row, **row}
        self.chars = sum(len(value) for value in self.row.values() if isinstance(value, str))
        return self.chars - before


@dataclass(frozen=True, slots=True)
class _Reply:
    request: str
    seq: int
    replay: bool
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
        self._history = history
        self._history_chars = history_chars
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._places = count()
        self._chars = 0
        self._epoch = 0
        self._seq = 0
        self._cleared = False
        self._unsent: dict[str, None] = {}  # ids in the order of their first change
        self._replies: deque[_Reply] = deque(maxlen=1_000)  # a view whose answer fell out asks again
        self._notes: dict[str, Message] = {}
        self._unsent_notes: set[str] = set()
        self._downloads: deque[Iterator[Message]] = deque(maxlen=MOST_DOWNLOADS)
        self._on_change = Callbacks[[]]()
        super().__init__(**kwargs)

    def __len__(self) -> int:
        return len(self._entries)

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
            known = key in self._entries
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
            return [dict(entry.row) for entry in self._entries.values()]

    def clear(self) -> None:
        """Forgets all rows, here and in the views."""
        with self._lock:
            self._entries.clear()
            self._unsent.clear()
            self._replies.clear()
            self._chars = 0
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
        """Writes all rows into a file: JSON lines where its name ends so (`.jsonl`), else text."""
        path = Path(path)
        path.write_text(self.document("jsonl" if path.suffix == ".jsonl" else "txt"), encoding="utf-8")

    def load(self, path: str | Path) -> int:
        """Adds the rows of a file of JSON lines; returns how many.

        Errors: `ValueError` naming the first line that is no row; then none is added.
        """
        rows = read_rows(path, self.row_type)
        self.upsert_many(rows)
        return len(rows)

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
            latest = [entry.row for entry in self._latest(TRANSCRIPT)]
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

    def _answer(self, message: Message) -> None:
        request = message.get("request")
        if not isinstance(request, str) or len(request) > 100:
            return
        file = None
        if message.get("type") == "save" and message.get("format") in ("jsonl", "txt"):
            file = parts(request, self.document(message["format"]))
        with self._lock:
            match message:
                case {"type": "save"} if file is not None:
                    self._downloads.append(file)
                case {"type": "ready"}:
                    self._unsent_notes.update(self._notes)
                    self._reply(request, self._latest(WINDOW), replay=True)
                case {"type": "missed", "after": int(after)}:
                    missed = [entry for entry in self._entries.values() if entry.seq > after]
                    replay = len(missed) > 2 * WINDOW
                    self._reply(request, self._latest(WINDOW) if replay else missed, replay=replay)
                case {"type": "before", "id": str(key)} if key in self._entries:
                    later = next(reversed(self._entries.values())).n - self._entries[key].n + 1
                    page = list(islice(reversed(self._entries.values()), later, later + PAGE))
                    self._reply(request, page[::-1], replay=False)
                case _:
                    return
        self.pacer.wake(self)

    # Everything below is called with the lock held.

    def _put(self, key: str, row: Mapping[str, Any]) -> None:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(next(self._places))
        self._chars += entry.change({**row, "id": key})
        self._unsent[key] = None
        while self._overfull():
            _, oldest = self._entries.popitem(last=False)
            self._chars -= oldest.chars

    def _overfull(self) -> bool:
        rows = len(self._entries)
        return rows > self._history or (rows > 1 and self._chars > self._history_chars)

    def _latest(self, rows: int) -> list[_Entry]:
        return list(islice(reversed(self._entries.values()), rows))[::-1]

    def _news(self) -> Message:
        self._seq += 1
        self._cleared = False
        rows, chars, taken = [], 0, []
        for key in islice(self._unsent, WINDOW):
            taken.append(key)
            if entry := self._entries.get(key):  # else it has left the history meanwhile
                entry.seq = self._seq
                rows.append(self._shown(entry))
                chars += entry.chars
                if chars >= MESSAGE_CHARS:
                    break
        for key in taken:
            del self._unsent[key]
        return self._rows(rows, self._seq)

    def _reply(self, request: str, entries: list[_Entry], *, replay: bool) -> None:
        chunks: list[list[str]] = [[]]
        chars = 0
        for entry in entries:
            if len(chunks[-1]) >= WINDOW or chars >= MESSAGE_CHARS:
                chunks.append([])
                chars = 0
            chunks[-1].append(entry.row["id"])
            chars += entry.chars
        for part, ids in enumerate(chunks):
            self._replies.append(_Reply(request, self._seq, replay, part, len(chunks), ids))

    def _download(self, messages: list[Message]) -> None:
        if (part := next(self._downloads[0], None)) is None:
            self._downloads.popleft()
        else:
            messages.append(part)

    def _part(self, reply: _Reply) -> Message:
        rows = [self._shown(self._entries[key]) for key in reply.ids if key in self._entries]
        answer = {"reply": reply.request, "part": reply.part, "parts": reply.parts, "replay": reply.replay}
        return self._rows(rows, reply.seq) | answer

    def _rows(self, rows: list[Message], seq: int) -> Message:
        oldest = next(iter(self._entries.values())).n if self._entries else 0
        return {"type": "rows", "epoch": self._epoch, "seq": seq, "oldest": oldest, "rows": rows}

    def _shown(self, entry: _Entry) -> Message:
        return {**entry.row, "n": entry.n}
