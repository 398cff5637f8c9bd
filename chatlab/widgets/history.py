"""Rows by id, in order of arrival; the oldest are dropped beyond a maximum."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any


@dataclass(slots=True)
class Entry:
    """A row and its position `n`. A change makes a new dict and leaves the old one to its readers."""

    n: int
    row: dict[str, Any] = field(default_factory=dict)
    chars: int = 0
    seq: int = 0
    """Number of the last broadcast message that contained it."""

    def change(self, row: Mapping[str, Any]) -> int:
        """Change fields of the row; return by how many characters it has grown."""
        before = self.chars
        self.row = {**self.row, **row}
        self.chars = sum(len(value) for value in self.row.values() if isinstance(value, str))
        return self.chars - before


class History:
    """At most `rows` entries, and `chars` characters unless a single row has more."""

    def __init__(self, rows: int, chars: int) -> None:
        self._most_rows = rows
        self._most_chars = chars
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._places = count()
        self._chars = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Yield all entries, oldest first."""
        return iter(self._entries.values())

    @property
    def oldest(self) -> int:
        """Position of the first entry."""
        return next(iter(self)).n if self._entries else 0

    def fresh(self) -> History:
        """Return an empty history with the same bounds."""
        return History(self._most_rows, self._most_chars)

    def get(self, key: str) -> Entry | None:
        """Return the entry with this id, or None."""
        return self._entries.get(key)

    def latest(self, rows: int) -> list[Entry]:
        """Return the latest `rows` entries at most, oldest first."""
        return list(islice(reversed(self._entries.values()), rows))[::-1]

    def put(self, key: str, row: Mapping[str, Any]) -> None:
        """Add a row with this id, or change the given fields of the existing one."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry(next(self._places))
        self._chars += entry.change({**row, "id": key})
        while self._overfull():
            _, oldest = self._entries.popitem(last=False)
            self._chars -= oldest.chars

    def clear(self) -> None:
        """Remove all entries; positions continue to count up."""
        self._entries.clear()
        self._chars = 0

    def _overfull(self) -> bool:
        rows = len(self._entries)
        return rows > self._most_rows or (rows > 1 and self._chars > self._most_chars)
