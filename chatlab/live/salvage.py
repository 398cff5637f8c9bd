"""Copy the readable messages of a damaged history to a new file.

    python -m chatlab.live.salvage OLD NEW

SQLite's own `.recover` is missing or broken in many builds of its command-line shell.
"""

from __future__ import annotations

import secrets
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from chatlab.live.server.store import INSERT, LAST_NUMBER, Store, StoreError, decoded, epoch_of

CHUNK = 1024
"""Rows that are read at once. If that fails, each half is tried, and so on."""
LEAST_ROW = 32
"""Minimum size of a row in bytes."""
SELECT = """
SELECT room, number, id, sender, client_id, posted_at, text, data FROM messages NOT INDEXED
WHERE rowid BETWEEN ? AND ?
"""
_ERRORS = (sqlite3.Error, UnicodeDecodeError)


class Salvaged(NamedTuple):
    """Numbers of messages in the new file, and of rows that couldn't be read."""

    kept: int
    holes: int


def salvage(old: str, new: str, new_epoch: str) -> Salvaged:
    """Copy the readable messages of the history `old` to the file `new`, which mustn't exist.

    The new history continues the epoch of the old one, or begins `new_epoch` if that can't be read.

    Errors: `StoreError`.
    """
    if not Path(old).is_file():
        raise StoreError(f"there is no file {old}")
    if Path(new).exists():
        raise StoreError(f"{new} exists already; choose another name")
    with closing(sqlite3.connect(old)) as source, closing(Store(new, _epoch(source) or new_epoch)) as target:
        source.text_factory = decoded
        holes = 0
        run = target._connection.execute
        run("BEGIN")
        for rows in _readable(source, 1, _last_row(source, old)):
            if rows is None:
                holes += 1
                continue
            for row in rows:
                if isinstance(row[1], int) and 0 < row[1] <= LAST_NUMBER:
                    run(INSERT.replace("INSERT", "INSERT OR IGNORE"), row)
        run("COMMIT")
        (kept,) = run("SELECT count(*) FROM messages").fetchone()
    return Salvaged(kept, holes)


def _epoch(source: sqlite3.Connection) -> str:
    try:
        return epoch_of(source.execute("SELECT epoch FROM log").fetchone())
    except _ERRORS:
        return ""


def _last_row(source: sqlite3.Connection, path: str) -> int:
    try:
        (last,) = source.execute("SELECT max(rowid) FROM messages").fetchone()
    except _ERRORS:
        return Path(path).stat().st_size // LEAST_ROW
    return last or 0


def _readable(source: sqlite3.Connection, first: int, last: int) -> Iterator[list[Any] | None]:
    """Yield rows; None for each unreadable row."""
    for start in range(first, last + 1, CHUNK):
        ranges = [(start, min(start + CHUNK - 1, last))]
        while ranges:
            low, high = ranges.pop()
            try:
                yield source.execute(SELECT, (low, high)).fetchall()
            except _ERRORS:
                if low == high:
                    yield None
                else:
                    middle = (low + high) // 2
                    ranges += [(middle + 1, high), (low, middle)]


def main() -> int:
    """Salvage the file given on the command line."""
    if len(sys.argv) != 3:
        sys.stderr.write("usage: python -m chatlab.live.salvage OLD NEW\n")
        return 2
    try:
        kept, holes = salvage(sys.argv[1], sys.argv[2], f"salvaged-{secrets.token_hex(4)}")
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{kept:,} messages are in {sys.argv[2]}; {holes:,} couldn't be read\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
