"""A server's log in a SQLite file: every message, and the epoch of the message ids.

A message is on disk before `append` returns (WAL mode, synchronous FULL), so an acknowledged message survives
a crash of the process and a power cut. Only one server at a time may have the file: a second one would give
the same ids to other messages. `node_store` lets several nodes share a file.

All messages stay in the file; readers get the latest, within the limits. Memory holds only a few counts of
each recently used room (`_Tail`).
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from os import PathLike, fspath
from typing import Any

from msgspec import ValidationError, convert

from chatlab.hub.log import OVERHEAD, Appended, Log, LogError, LogLimits, leading, size_of
from chatlab.live.loggers import get_logger
from chatlab.messages import ChatMessage, OutgoingMessage

logger = get_logger(__name__)

APPLICATION_ID = 0x63686C62
"""Distinguishes chatlab's files from those of other programs. Source: SQLite, PRAGMA application_id."""
SCHEMA_VERSION = 1
LOCK_TIMEOUT = 1.0
"""Seconds to wait for another server to release the file."""
ROOMS = 10_000
"""Maximum number of rooms whose counts are kept in memory."""
MAX_REPORTS = 20
"""Number of unreadable items that are logged; there may be a million of them."""
LAST_NUMBER = 10**15
"""The largest number that a message can have; rows with a larger one are damaged."""

SCHEMA = (
    "CREATE TABLE log (epoch TEXT NOT NULL)",
    """
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
)""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
KEYS = "CREATE INDEX IF NOT EXISTS keys ON messages (room, sender, client_id)"
"""Finds a sender's message by its client id. Files of earlier versions get this index when they are
opened."""
INSERT = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
FIELDS = "number, sender, client_id, posted_at, text, data"
WHOLE = "typeof(number) = 'integer' AND number BETWEEN ? AND ?"
SELECT_COUNT = f"SELECT number FROM messages WHERE room = ? AND {WHOLE} ORDER BY number DESC LIMIT 1"
SELECT_NUMBERLESS = f"SELECT count(*) FROM messages WHERE room = ? AND NOT ({WHOLE})"
SELECT_SIZES = f"""
SELECT number, length(CAST(text AS BLOB)) + ifnull(length(data), 0) + {OVERHEAD} FROM messages
WHERE room = ? AND {WHOLE} ORDER BY number
"""
SELECT_AFTER = f"""
SELECT {FIELDS} FROM messages WHERE room = ? AND {WHOLE} ORDER BY number LIMIT ?
"""
SELECT_KNOWN = f"""
SELECT {FIELDS} FROM messages INDEXED BY keys
WHERE room = ? AND sender = ? AND client_id = ? AND {WHOLE}
ORDER BY number DESC LIMIT 1
"""


class StoreError(LogError):
    """The history can't be opened, read or written."""


class _Tail:
    """Counts of a room: `count` messages so far, and `size`, the bytes of those after number `first`."""

    __slots__ = ("count", "first", "size")

    def __init__(self, count: int) -> None:
        self.first = self.count = count
        self.size = 0


def epoch_of(row: Sequence[Any] | None) -> str:
    """Return the epoch in a row of the table `log`; "" if it can't be part of an id, which headers carry."""
    epoch = row[0] if row else ""
    return epoch if isinstance(epoch, str) and epoch.isascii() and epoch.isprintable() else ""


class Store(Log):
    """A log in a file, which is created if it doesn't exist; a new log begins `new_epoch`.

    Errors: `StoreError`, also when another server has the file.
    """

    _user = "another server; choose another file, or let them share it as nodes: --node NAME"

    def __init__(self, path: str | PathLike[str], new_epoch: str, limits: LogLimits | None = None) -> None:
        self.path = fspath(path)
        self._limits = limits or LogLimits()
        self._tails: OrderedDict[str, _Tail] = OrderedDict()
        self._refused = 0
        self._reported: set[str] = set()
        with self._failing():
            self._connection = sqlite3.connect(self.path, timeout=LOCK_TIMEOUT, isolation_level=None)
        self._connection.text_factory = decoded
        try:
            with self._failing():
                self.epoch = self._open(new_epoch)
        except StoreError:
            self._connection.close()
            raise

    def _open(self, new_epoch: str) -> str:
        """Prepare the file, and return its epoch."""
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("BEGIN IMMEDIATE")  # acquires the lock, and keeps it
        epoch = self._prepare(new_epoch)
        run("COMMIT")
        return epoch

    def _prepare(self, new_epoch: str) -> str:
        """Create what is missing in the file, within a transaction, and return its epoch."""
        run = self._connection.execute
        (application,) = run("PRAGMA application_id").fetchone()
        (version,) = run("PRAGMA user_version").fetchone()
        if not application and not run("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            for statement in SCHEMA:
                run(statement)
            run("INSERT INTO log VALUES (?)", (new_epoch,))
        elif application != APPLICATION_ID:
            raise StoreError(f"{self.path} is another program's database; choose another file")
        elif version != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has format {version}; this version reads {SCHEMA_VERSION}: "
                "choose another file, or the version of chatlab that wrote it"
            )
        run(KEYS)
        row = run("SELECT epoch FROM log").fetchone()
        if epoch := epoch_of(row):
            return epoch
        logger.warning("%s has lost its epoch; a new one begins, and returning readers see a gap", self.path)
        run("DELETE FROM log")
        run("INSERT INTO log VALUES (?)", (new_epoch,))
        return new_epoch

    def append(
        self, room: str, sender: str, message: OutgoingMessage, posted_at: datetime | None
    ) -> Appended:
        try:
            with self._failing():
                appended = self._append(room, sender, message, posted_at)
        except StoreError as error:
            if not self._refused:
                logger.error("%s; messages are refused until it can be written again", error)
            self._refused += 1
            raise
        if self._refused:
            logger.warning("%s can be written again; %d messages were refused", self.path, self._refused)
            self._refused = 0
        return appended

    def _append(
        self, room: str, sender: str, message: OutgoingMessage, posted_at: datetime | None
    ) -> Appended:
        run, tail, client_id = self._connection.execute, self._tail(room), message.client_id
        if client_id:
            kept = max(0, tail.count - self._limits.retain)  # A lower bound: `retain_size` may drop more.
            known = run(SELECT_KNOWN, (room, sender, client_id, kept + 1, tail.count)).fetchone()
            if known is not None:
                return Appended(self._message(room, known), new=False)
        number, text, data = tail.count + 1, message.text, message.data
        posted = ChatMessage(self._id(number), sender, text, client_id, posted_at, data)
        at = posted_at.isoformat() if posted_at else None
        run(INSERT, (room, number, posted.id, sender, client_id, at, text, data))
        tail.count = number
        tail.size += size_of(posted)
        self._remember(room, tail)
        return Appended(posted, new=True)

    def _count(self, room: str) -> int:
        with self._reading():
            return self._tail(room).count

    def _start(self, room: str, wanted: int) -> int:
        """Return the number of messages before those kept; read only the sizes that a reader needs, and each
        only once."""
        with self._reading():
            tail, limits = self._tail(room), self._limits
            oldest = max(0, tail.count - limits.retain)
            if tail.first < oldest or tail.size > limits.retain_size:
                for number, size in self._connection.execute(
                    SELECT_SIZES, (room, tail.first + 1, tail.count)
                ):
                    fits = number > oldest and tail.size <= limits.retain_size
                    if fits or number == tail.count:
                        break
                    tail.first, tail.size = number, tail.size - size
            wanted = max(wanted, oldest)
            if wanted < tail.first:
                backwards = f"{SELECT_SIZES} DESC"
                for number, size in self._connection.execute(backwards, (room, wanted + 1, tail.first)):
                    if tail.size + size > limits.retain_size and number < tail.count:
                        break
                    tail.first, tail.size = number - 1, tail.size + size
                else:
                    tail.first = wanted  # Rows may be missing.
            return max(wanted, tail.first)

    def _read(self, room: str, seen: int, limit: int, size: int) -> Sequence[ChatMessage]:
        with self._reading():
            rows = self._connection.execute(SELECT_AFTER, (room, seen + 1, LAST_NUMBER, limit))
            return leading((self._message(room, row) for row in rows), size)

    def _tail(self, room: str) -> _Tail:
        """Return the counts of a room; read them from the file if they aren't in memory."""
        tail = self._tails.get(room)
        if tail is not None:
            self._tails.move_to_end(room)
            return tail
        run = self._connection.execute
        (count,) = run(SELECT_COUNT, (room, 1, LAST_NUMBER)).fetchone() or (0,)
        (numberless,) = run(SELECT_NUMBERLESS, (room, 1, LAST_NUMBER)).fetchone()
        if numberless:
            self._report(f"{numberless} messages of the room {room!r} have no number and are left out")
        tail = _Tail(count)
        if count:
            self._remember(room, tail)
        return tail

    def _remember(self, room: str, tail: _Tail) -> None:
        self._tails[room] = tail
        if len(self._tails) > ROOMS:
            self._tails.popitem(last=False)

    def _message(self, room: str, row: Sequence[object]) -> ChatMessage:
        """Return a row as a message; unreadable fields are left empty, and reported once."""
        number, *values = row
        fields = dict(zip(("sender", "client_id", "posted_at", "text", "data"), values, strict=True))
        fields["id"] = f"{self.epoch}-{number}"
        while True:
            try:
                return convert(fields, ChatMessage)
            except ValidationError as error:
                name = str(error).rpartition("$.")[2].rstrip("`")
                self._report(f"the {name} of message {number} in the room {room!r} can't be read")
                del fields[name]

    def _report(self, damage: str) -> None:
        """Log damage of the file."""
        self._warn(f"{self.path} is damaged: {damage}; {self._advice}")

    def _warn(self, text: str) -> None:
        """Log a warning only once, and at most `MAX_REPORTS` different ones."""
        if text not in self._reported and len(self._reported) < MAX_REPORTS:
            self._reported.add(text)
            logger.warning("%s", text)

    @property
    def _advice(self) -> str:
        return f'copy the readable part: python -m chatlab.live.salvage "{self.path}" "{self.path}.new"'

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._connection.close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Convert SQLite's errors to `StoreError`, with advice."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith("SQLITE_BUSY"):
                raise StoreError(f"{self.path} is in use by {self._user}") from error
            what = f"the history in {self.path} fails: {error}"
            if name.startswith("SQLITE_CORRUPT"):
                what += f"; {self._advice}"
            elif name in ("SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_CANTOPEN"):
                what += "; choose another file"
            raise StoreError(what) from error
        except UnicodeDecodeError as error:  # raised by sqlite3 if SQLite's own message quotes damaged text
            raise StoreError(f"the history in {self.path} is damaged; {self._advice}") from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with self._failing():
                yield
        except StoreError as error:
            self._warn(str(error))
            raise


def decoded(text: bytes) -> str:
    """Return a text of the file, with U+FFFD for invalid UTF-8."""
    return text.decode(errors="replace")
