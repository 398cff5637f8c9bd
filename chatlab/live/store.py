"""A server's history in a SQLite file: every message, and the epoch that their ids belong to.

A message is on the disk before `keep` returns (WAL mode, synchronous FULL), so whatever was acknowledged
outlives the process, and a power cut. One server at a time has the file: a second one would give the same ids
to other messages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from os import PathLike, fspath
from typing import NamedTuple

from msgspec import ValidationError, convert
from msgspec.structs import asdict

from chatlab.errors import ChatError
from chatlab.messages import ChatMessage

APPLICATION_ID = 0x63686C62
"""Tells chatlab's files from those of other programs. Source: SQLite, PRAGMA application_id."""
SCHEMA_VERSION = 1
LOCK_TIMEOUT = 1.0
"""Seconds to wait for a server that is just letting go of the file."""

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE log (epoch TEXT NOT NULL);
CREATE TABLE messages (
    room TEXT NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    sender TEXT NOT NULL,
    client_id TEXT NOT NULL,
    posted_at TEXT,
    text TEXT NOT NULL,
    data BLOB,
    PRIMARY KEY (room, number)
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""
INSERT = """
INSERT INTO messages VALUES (:room, :number, :id, :sender, :client_id, :posted_at, :text, :data)
"""
SELECT_ROOMS = "SELECT room, max(number) FROM messages GROUP BY room"
SELECT_LATEST = """
SELECT id, sender, client_id, posted_at, text, data FROM messages
WHERE room = ? AND number > ? ORDER BY number
"""


class StoreError(ChatError):
    """The history can't be opened, read or written."""


class RoomHistory(NamedTuple):
    """The end of a room's log, and how many messages were posted in all."""

    room: str
    messages: list[ChatMessage]
    posted: int


class Store:
    """A history file, made where there is none; a new one begins the epoch that it is given.

    Errors: `StoreError`, also when another server has the file.
    """

    def __init__(self, path: str | PathLike[str], new_epoch: str) -> None:
        self.path = fspath(path)
        try:
            self._connection = sqlite3.connect(self.path, timeout=LOCK_TIMEOUT, isolation_level=None)
        except sqlite3.Error as error:
            raise self._failure(error) from error
        self._connection.row_factory = sqlite3.Row
        try:
            self.epoch = self._open(new_epoch)
        except sqlite3.Error as error:
            self._connection.close()
            raise self._failure(error) from error
        except StoreError:
            self._connection.close()
            raise

    def _open(self, new_epoch: str) -> str:
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("BEGIN IMMEDIATE").execute("COMMIT")  # takes the lock, and keeps it
        (application,) = run("PRAGMA application_id").fetchone()
        (version,) = run("PRAGMA user_version").fetchone()
        if not application and not run("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            self._connection.executescript(SCHEMA)
            run("INSERT INTO log VALUES (?)", (new_epoch,)).execute("COMMIT")
        elif application != APPLICATION_ID:
            raise StoreError(f"{self.path} is another program's database; choose another file")
        elif version != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has format {version}; this chatlab reads {SCHEMA_VERSION}: "
                "choose another file, or the chatlab that wrote it"
            )
        epoch: str = run("SELECT epoch FROM log").fetchone()[0]
        return epoch

    def keep(self, room: str, message: ChatMessage) -> None:
        """Write a message, and return when it's safe. Its id ends in its number in its room.

        Errors: `StoreError`; then the message isn't in the history.
        """
        row = asdict(message)
        row["room"], row["number"] = room, int(message.id.rpartition("-")[2])
        row["posted_at"] = message.posted_at.isoformat() if message.posted_at else None
        try:
            self._connection.execute(INSERT, row)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def rooms(self, latest: int) -> Iterator[RoomHistory]:
        """Yield each room with its latest messages.

        Errors: `StoreError`.
        """
        try:
            for room, posted in self._connection.execute(SELECT_ROOMS).fetchall():
                rows = self._connection.execute(SELECT_LATEST, (room, posted - latest)).fetchall()
                yield RoomHistory(room, [convert(dict(row), ChatMessage) for row in rows], posted)
        except (sqlite3.Error, ValidationError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Let go of the file. Twice is harmless."""
        self._connection.close()

    def _failure(self, error: Exception) -> StoreError:
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
            return StoreError(f"{self.path} is in use by another server; choose another file")
        return StoreError(f"the history in {self.path} fails: {error}")
