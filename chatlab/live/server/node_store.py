"""A server's log in a SQLite file that several nodes share: processes of one machine.

A message is appended in a transaction, so that all nodes have the same order, and ids and client ids are
unique. A node asks every few milliseconds whether the file has changed (PRAGMA data_version), which costs
microseconds and leaves nothing behind when a node dies.

The file also has the secret of CSRF tokens, the people at each node, and the notices of the nodes. These are
written without waiting for the disk: a power cut ends the nodes, too.

As long as a node runs, it has the lock of a file of its own. The system releases it when the process dies, in
whatever way, and another node then removes its people. Source: SQLite, "Write-Ahead Logging", PRAGMA
data_version, and "File Locking And Concurrency".
"""

from __future__ import annotations

import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from os import PathLike
from typing import Any

from chatlab.errors import SettingsError
from chatlab.hub import Notice, Person, SharedLog
from chatlab.hub.log import Appended, LogLimits
from chatlab.hub.nodes import Report
from chatlab.live.server.store import (
    LAST_NUMBER,
    SELECT_COUNT,
    SELECT_SIZES,
    Store,
    StoreError,
    _Tail,
    decoded,
)
from chatlab.messages import OutgoingMessage

NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
PATIENCE = 2.0
"""Seconds for which a node that starts waits for others that start or recover the file."""
BUSY_TIMEOUT = 5.0
"""Seconds for which a message waits for those of other nodes: SQLite doesn't queue them."""
NOTICE_TIMEOUT = 0.01
"""Seconds that a notice waits for the file; after that it is tried again at the next turn."""
MAX_NOTICES = 10_000
"""Notices that are kept; a node that has missed more reads all people again."""

SHARED_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS secrets (csrf BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS people (node TEXT NOT NULL, room TEXT NOT NULL, sender TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS places ON people (node, room, sender)",
    """
CREATE TABLE IF NOT EXISTS notices (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    room TEXT NOT NULL,
    sender TEXT NOT NULL,
    node TEXT NOT NULL
)""",
)
SELECT_ROOMS = "SELECT room, max(rowid) FROM messages WHERE rowid > ? GROUP BY room"
SELECT_NOTICES = "SELECT number, kind, room, sender, node FROM notices WHERE number > ? ORDER BY number"
INSERT_NOTICE = "INSERT INTO notices (kind, room, sender, node) VALUES (?, ?, ?, ?)"
DELETE_PERSON = """
DELETE FROM people
WHERE rowid = (SELECT rowid FROM people WHERE node = ? AND room = ? AND sender = ? LIMIT 1)
"""


def check_node_name(name: str) -> str:
    """Return the name of a node.

    Errors: `SettingsError` if it isn't one.
    """
    if not NODE_NAME.fullmatch(name):
        raise SettingsError(
            f"node: {name!r} is no name of a node; give 1 to 40 letters, digits, or any of _ . -"
        )
    return name


class NodeStore(Store, SharedLog):
    """The view of one node on a shared log in a file.

    Errors: `StoreError`, also when a node of that name runs, or a server that isn't a node has the file.
    """

    _user = "a server that isn't a node, or is locked by another program; give each server a --node NAME"

    def __init__(
        self, path: str | PathLike[str], node: str, new_epoch: str, limits: LogLimits | None = None
    ) -> None:
        self.node = node
        self._version = self._last_row = self._last_notice = 0
        self._whole = True
        self._notices: sqlite3.Connection | None = None
        self._lock: sqlite3.Connection | None = None
        try:
            super().__init__(path, new_epoch, limits)
        except StoreError:
            if self._lock is not None:
                self._lock.close()
            raise
        self._connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000:.0f}")
        self._notices = sqlite3.connect(self.path, timeout=NOTICE_TIMEOUT, isolation_level=None)
        self._notices.text_factory = decoded
        self._notices.execute("PRAGMA synchronous = NORMAL")

    def _open(self, new_epoch: str) -> str:
        self._lock = self._lock_of(self.node, timeout=1.0)
        if self._lock is None:
            raise StoreError(
                f"a node named {self.node} runs on {self.path} already; give each node a name of its own"
            )
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self._open_shared(new_epoch)
            except sqlite3.OperationalError as error:
                if not _busy(error) or time.monotonic() > until:
                    raise
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            time.sleep(0.01)

    def _open_shared(self, new_epoch: str) -> str:
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("BEGIN IMMEDIATE")
        epoch = self._prepare(new_epoch)
        for statement in SHARED_SCHEMA:
            run(statement)
        row = run("SELECT csrf FROM secrets").fetchone()
        if row is None:
            run("INSERT INTO secrets VALUES (?)", (secrets.token_bytes(32),))
            row = run("SELECT csrf FROM secrets").fetchone()
        self.csrf_secret = bytes(row[0])
        _remove(self._connection, self.node)  # It has died, and nobody has noticed.
        run("COMMIT")
        (self._last_row,) = run("SELECT ifnull(max(rowid), 0) FROM messages").fetchone()
        return epoch

    def _lock_of(self, node: str, timeout: float) -> sqlite3.Connection | None:
        """Return the lock of a node; None if it is taken, so that the node runs."""
        lock = sqlite3.connect(f"{self.path}-node-{node}", timeout=timeout, isolation_level=None)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if _busy(error):
                return None
            raise
        return lock

    # Messages

    def _append(
        self, room: str, sender: str, message: OutgoingMessage, posted_at: datetime | None
    ) -> Appended:
        with _transaction(self._connection):
            try:
                return super()._append(room, sender, message, posted_at)
            except sqlite3.Error:
                self._tails.pop(room, None)
                raise

    def _tail(self, room: str) -> _Tail:
        """Return the counts of a room, with the messages of other nodes."""
        tail = super()._tail(room)
        run = self._connection.execute
        (count,) = run(SELECT_COUNT, (room, 1, LAST_NUMBER)).fetchone() or (0,)
        if count > tail.count:
            tail.size += sum(size for _, size in run(SELECT_SIZES, (room, tail.count + 1, count)))
            tail.count = count
        return tail

    # Nodes

    def reconnect(self) -> None:
        """Do nothing: a file isn't lost."""

    def tell(self, notices: Sequence[Notice]) -> None:
        assert self._notices is not None
        with self._failing(), _transaction(self._notices):
            run = self._notices.execute
            for notice in notices:
                place = (self.node, notice.room, notice.sender)
                if notice.kind == "joined":
                    run("INSERT INTO people VALUES (?, ?, ?)", place)
                elif notice.kind == "left":
                    run(DELETE_PERSON, place)
                _insert(self._notices, notice.kind, notice.room, notice.sender, self.node)
            run("DELETE FROM notices WHERE number <= (SELECT max(number) FROM notices) - ?", (MAX_NOTICES,))

    def report(self) -> Report:
        run = self._connection.execute
        with self._reading():
            (version,) = run("PRAGMA data_version").fetchone()
            if version == self._version and not self._whole:
                return Report()
            rooms = run(SELECT_ROOMS, (self._last_row,)).fetchall()
            oldest, latest = run(
                "SELECT ifnull(min(number), 0), ifnull(max(number), 0) FROM notices"
            ).fetchone()
            if self._whole or oldest > self._last_notice + 1:
                run("BEGIN")
                (latest,) = run("SELECT ifnull(max(number), 0) FROM notices").fetchone()
                people = run("SELECT node, room, sender FROM people").fetchall()
                run("COMMIT")
                report = Report(people=[Person(*row) for row in people])
                self._whole = False
            else:
                notices = run(SELECT_NOTICES, (self._last_notice,)).fetchall()
                latest = notices[-1][0] if notices else self._last_notice
                told = [_notice(row) for row in notices if row[-1] != self.node]
                report = Report(tuple(room for room, _ in rooms), tuple(told))
        self._version, self._last_notice = version, latest
        self._last_row = max([self._last_row, *(last for _, last in rooms)])
        return report

    def bury(self) -> None:
        with self._reading():
            nodes = self._connection.execute("SELECT DISTINCT node FROM people").fetchall()
        for (node,) in nodes:
            if node == self.node or not NODE_NAME.fullmatch(node):
                continue
            with self._failing():
                lock = self._lock_of(node, timeout=0.0)
                if lock is not None:
                    assert self._notices is not None
                    with closing(lock), _transaction(self._notices):
                        _remove(self._notices, node)

    def close(self) -> None:
        """Close the file, and let others have the node's name. A second call does nothing."""
        if self._notices is not None:
            try:
                with _transaction(self._notices):
                    _remove(self._notices, self.node)
            except sqlite3.Error:
                pass  # Another node does it.
            self._notices.close()
            self._notices = None
        super().close()
        if self._lock is not None:
            self._lock.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has ended it already after some errors.
            connection.execute("ROLLBACK")
        raise


def _insert(connection: sqlite3.Connection, *notice: str) -> None:
    connection.execute(INSERT_NOTICE, notice)


def _remove(connection: sqlite3.Connection, node: str) -> None:
    """Remove all people of a node, with a notice for each."""
    people = connection.execute("SELECT room, sender FROM people WHERE node = ?", (node,)).fetchall()
    for room, sender in people:
        _insert(connection, "left", room, sender, node)
    connection.execute("DELETE FROM people WHERE node = ?", (node,))


def _notice(row: Sequence[Any]) -> Notice:
    _, kind, room, sender, node = row
    return Notice(kind, room, sender, node)


def _busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
