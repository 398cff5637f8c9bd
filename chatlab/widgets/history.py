"""Rows by their ids, in the order in which they came; when there are too many, the oldest are forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any


@dataclass(slots=True)
class Entry:
    """A row at its place `n`; a change makes another dict, so that who reads the old one isn't disturbed."""

    n: int
    row: dict[str, Any] = field(default_factory=dict)
    chars: int = 0
    seq: int = 0
    """The number of the last message to all views that held it."""

    def change(self, row: Mapping[str, Any]) -> int:
        """Returns by how many characters the row has grown."""
        before = self.chars
        self.row = {**self.row, **row}
        self.chars = sum(len(value) for value in self.row.values() if isinstance(value, str))
        return self.chars - before


class History:
    """At most `rows` entries, and `chars` characters unless one row alone has more."""

    def __init__(self, rows: int, chars: int) -> None:
        self._most_rows = rows
        self._most_chars = chars
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._places = count()
        self._chars = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """All entries, oldest first."""
        return iter(self._entries.values())

    @property
    def oldest(self) -> int:
        """The place of the first entry."""
        return next(iter(self)).n if self._entries else 0

    def fresh(self) -> History:
        """An empty one with the same bounds."""
        return History(self._most_rows, self._most_chars)

    def get(self, key: str) -> Entry | None:
        """The entry with this id."""
        return self._entries.get(key)

    def latest(self, rows: int) -> list[Entry]:
        """So many entries at most, oldest first."""
        return list(islice(reversed(self._entries.values()), rows))[::-1]

    def put(self, key: str, row: Mapping[str, Any]) -> None:
        """Adds a row with this id, or changes the fields given of the one that is there."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry(next(self._places))
        self._chars += entry.change({**row, "id": key})
        while self._overfull():
            _, oldest = self._entries.popitem(last=False)
            self._chars -= oldest.chars

    def clear(self) -> None:
        """Forgets all; places go on being counted."""
        self._entries.clear()
        self._chars = 0

    def _overfull(self) -> bool:
        rows = len(self._entries)
        return rows > self._most_rows or (rows > 1 and self._chars > self._most_chars)
