"""A server's log in a SQLite file: every message, and the epoch that their ids belong to.

A message is on the disk before `append` returns (WAL mode, synchronous FULL), so whatever was acknowledged
outlives the process, and a power cut. One server at a time has the file: a second one would give the same ids
to other messages.

All messages stay in the file; readers get the latest, as a `Window` holds them. Nothing of them is kept in
memory but their sizes, and those of the rooms used last.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from os import PathLike, fspath

from msgspec import ValidationError, convert

from chatlab.hub.log import OVERHEAD, Appended, Log, LogError, LogLimits, Window, leading, size_of
from chatlab.live.logs import get_logger
from chatlab.messages import ChatMessage, OutgoingMessage

logger = get_logger(__name__)

APPLICATION_ID = 0x63686C62
"""Tells chatlab's files from those of other programs. Source: SQLite, PRAGMA application_id."""
SCHEMA_VERSION = 1
LOCK_TIMEOUT = 1.0
"""Seconds to wait for a server that is just letting go of the file."""
ROOMS = 256
"""Rooms whose windows are kept in memory."""
MAX_REPORTS = 20
"""Things that can't be read which are logged; there may be a million of them."""
LAST_NUMBER = 10**15
"""The largest number that a message can have; rows with another one are damaged."""

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
KEYS = "CREATE INDEX IF NOT EXISTS keys ON messages (room, sender, client_id)"
"""Finds what a sender has posted by its client id. Files of earlier versions get it when they are opened."""
INSERT = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
FIELDS = "number, sender, client_id, posted_at, text, data"
WHOLE = "typeof(number) = 'integer' AND number BETWEEN ? AND ?"
SELECT_COUNT = f"SELECT number FROM messages WHERE room = ? AND {WHOLE} ORDER BY number DESC LIMIT 1"
SELECT_NUMBERLESS = f"SELECT count(*) FROM messages WHERE room = ? AND NOT ({WHOLE})"
SELECT_SIZES = f"""
SELECT number, length(CAST(text AS BLOB)) + ifnull(length(data), 0) FROM messages
WHERE room = ? AND {WHOLE} ORDER BY number DESC
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


class Store(Log):
    """A log in a file, made where there is none; a new one begins the epoch that it is given.

    Errors: `StoreError`, also when another server has the file.
    """

    def __init__(self, path: str | PathLike[str], new_epoch: str, limits: LogLimits | None = None) -> None:
        self.path = fspath(path)
        self._limits = limits or LogLimits()
        self._windows: OrderedDict[str, Window] = OrderedDict()
        self._refused = 0
        self._reported: set[str] = set()
        with self._failing():
            self._connection = sqlite3.connect(self.path, timeout=LOCK_TIMEOUT, isolation_level=None)
        self._connection.text_factory = _decoded
        try:
            with self._failing():
                self.epoch = self._open(new_epoch)
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
        run(KEYS)
        row = run("SELECT epoch FROM log").fetchone()
        if row and isinstance(row[0], str):
            return row[0]
        logger.warning(
            "%s has lost its epoch; it begins another one, and readers come back to a gap", self.path
        )
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
        run, window, client_id = self._connection.execute, self._window(room), message.client_id
        if client_id:
            known = run(SELECT_KNOWN, (room, sender, client_id, window.first + 1, window.count)).fetchone()
            if known is not None:
                return Appended(self._message(room, known), new=False)
        number, text, data = window.count + 1, message.text, message.data
        posted = ChatMessage(self._id(number), sender, text, client_id, posted_at, data)
        at = posted_at.isoformat() if posted_at else None
        run(INSERT, (room, number, posted.id, sender, client_id, at, text, data))
        window.add(size_of(posted), self._limits)
        self._remember(room, window)
        return Appended(posted, new=True)

    def _span(self, room: str) -> tuple[int, int]:
        with self._reading():
            window = self._window(room)
        return window.first, window.count

    def _read(self, room: str, seen: int, limit: int, size: int) -> Sequence[ChatMessage]:
        with self._reading():
            rows = self._connection.execute(SELECT_AFTER, (room, seen + 1, LAST_NUMBER, limit))
            return leading((self._message(room, row) for row in rows), size)

    def _window(self, room: str) -> Window:
        """Return what is kept of a room, for which the file is looked through where it isn't known."""
        window = self._windows.get(room)
        if window is not None:
            self._windows.move_to_end(room)
            return window
        run, limits = self._connection.execute, self._limits
        (count,) = run(SELECT_COUNT, (room, 1, LAST_NUMBER)).fetchone() or (0,)
        left, sizes = limits.retain_size, list[int]()
        for number, content in run(SELECT_SIZES, (room, max(1, count - limits.retain + 1), count)):
            left -= content + OVERHEAD
            if left < 0 and sizes:
                break
            # A number that is missing takes no bytes; its place is counted all the same.
            sizes.extend([0] * (count - len(sizes) - number))
            sizes.append(content + OVERHEAD)
        (numberless,) = run(SELECT_NUMBERLESS, (room, 1, LAST_NUMBER)).fetchone()
        if numberless:
            self._report(f"{numberless} messages of the room {room!r} have no number, and are left out")
        window = Window(count, reversed(sizes))
        if count:
            self._remember(room, window)
        return window

    def _remember(self, room: str, window: Window) -> None:
        self._windows[room] = window
        if len(self._windows) > ROOMS:
            self._windows.popitem(last=False)

    def _message(self, room: str, row: Sequence[object]) -> ChatMessage:
        """Return a row as a message; what of it can't be read is left empty, and reported once."""
        number, *values = row
        fields = dict(zip(("sender", "client_id", "posted_at", "text", "data"), values, strict=True))
        fields["id"] = f"{self.epoch}-{number}"
        while True:
            try:
                return convert(fields, ChatMessage)
            except ValidationError as error:
                name = str(error).rpartition("$.")[2].rstrip("`")
                self._report(f"message {number} of the room {room!r} has no {name} that can be read")
                del fields[name]

    def _report(self, damage: str) -> None:
        """Log what can't be read, once, and not for ever."""
        if damage not in self._reported and len(self._reported) < MAX_REPORTS:
            self._reported.add(damage)
            logger.warning("%s is damaged: %s; %s", self.path, damage, self._way_out)

    @property
    def _way_out(self) -> str:
        return f'save what can be read with: sqlite3 "{self.path}" .recover | sqlite3 "{self.path}.new"'

    def close(self) -> None:
        """Let go of the file. Twice is harmless."""
        self._connection.close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn SQLite's errors into ours, with what to do."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith("SQLITE_BUSY"):
                raise StoreError(f"{self.path} is in use by another server; choose another file") from error
            what = f"the history in {self.path} fails: {error}"
            if name.startswith("SQLITE_CORRUPT"):
                what += f"; {self._way_out}"
            elif name in ("SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_CANTOPEN"):
                what += "; choose another file"
            raise StoreError(what) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with self._failing():
                yield
        except StoreError as error:
            self._report(str(error))
            raise


def _decoded(text: bytes) -> str:
    """Return a text of the file; what isn't UTF-8 in it is replaced."""
    return text.decode(errors="replace")
