"""The answers of a feed to a view that asks for rows: which rows it gets, and in which parts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatlab.widgets.history import Entry

WINDOW = 500
"""Rows in a view's first window, and maximum in one comm message."""

PAGE = 250
"""Rows in an answer to a request for earlier ones."""

MESSAGE_CHARS = 250_000
"""Characters after which no further row is added to a comm message."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A part of an answer: the `ids` of its rows, and the fields of its message."""

    request: str
    seq: int
    replay: bool
    newest: int
    oldest: int
    fitting: int
    part: int
    parts: int
    ids: list[str]


def replies(
    request: str,
    message: Mapping[str, Any],
    seq: int,
    entries: Sequence[Entry],
    passes: Callable[[Mapping[str, Any]], bool] | None,
    find: Callable[[str], Entry | None],
) -> list[Reply]:
    """Return the parts of the answer to a view's message, empty if that asks for no rows.

    `entries` are all, up to the message `seq`, of which those that `passes` are for this view. `find` returns
    the entry with an id.
    """
    fitting = entries if passes is None else [entry for entry in entries if passes(entry.row)]
    replay, chosen = True, fitting[-WINDOW:]
    match message:
        case {"type": "ready"}:
            pass
        case {"type": "missed", "after": int(after)}:
            missed = [entry for entry in entries if entry.seq > after]
            if len(missed) <= 2 * WINDOW:
                replay, chosen = False, missed
        case {"type": "before", "id": str(key)} if (entry := find(key)) is not None:
            place = bisect_left(fitting, entry.n, key=lambda entry: entry.n)
            replay, chosen = False, fitting[max(0, place - PAGE) : place]
        case _:
            return []
    newest = entries[-1].n if entries else -1
    oldest = fitting[0].n if fitting else newest + 1
    chunks = _chunks(chosen)
    return [
        Reply(request, seq, replay, newest, oldest, len(fitting), part, len(chunks), ids)
        for part, ids in enumerate(chunks)
    ]


def _chunks(entries: Iterable[Entry]) -> list[list[str]]:
    """Group the ids of entries into chunks that each fit into a comm message."""
    chunks: list[list[str]] = [[]]
    chars = 0
    for entry in entries:
        if len(chunks[-1]) >= WINDOW or chars >= MESSAGE_CHARS:
            chunks.append([])
            chars = 0
        chunks[-1].append(entry.row["id"])
        chars += entry.chars
    return chunks
