"""A server's log in a PostgreSQL database, which nodes on several machines share.

It needs psycopg: the extra `chatlab[postgresql]`. All tables are in the schema `chatlab`, which is created if
it doesn't exist. Texts are bytes (UTF-8) there, since a text of PostgreSQL can't hold NUL.

A post locks its room's row until it is committed, so the numbers of a room are committed in their order. A
node has one connection. It holds an advisory lock on the node's name, which the database server releases when
the connection ends, and another node then removes its people. Posts and notices go to the other nodes by
NOTIFY; `report` reads what has arrived. Calls block the event loop for a few round trips to the database.

If the connection is lost, calls fail until `reconnect` succeeds. Source: PostgreSQL 15, chapter 13.3.5
(advisory locks), NOTIFY, and 9.27 (snapshots).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from msgspec import convert, json
from psycopg.conninfo import conninfo_to_dict

from chatlab.errors import SettingsError
from chatlab.hub import Notice, Person, SharedLog
from chatlab.hub.log import OVERHEAD, Appended, LogLimits, leading, size_of
from chatlab.hub.nodes import Report
from chatlab.live.loggers import get_logger
from chatlab.live.server.store import APPLICATION_ID, StoreError
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import scrub

logger = get_logger(__name__)

SCHEMA_VERSION = 1
LOCK_TIMEOUT = 1.0
"""Seconds to wait for another node to release this node's name."""
CONNECT = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "chatlab",
    "client_encoding": "utf8",
}
"""Parameters of the connection, unless the URL has others. A lost server is noticed after some seconds."""
SESSION = """
SET search_path = chatlab; SET statement_timeout = '10s'; SET client_min_messages = warning;
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3
"""
SCHEMA = """
CREATE SCHEMA IF NOT EXISTS chatlab;
CREATE TABLE IF NOT EXISTS log (version integer NOT NULL, epoch text NOT NULL, csrf bytea NOT NULL);
CREATE TABLE IF NOT EXISTS rooms (room text PRIMARY KEY, count bigint NOT NULL, size bigint NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    room text NOT NULL,
    number bigint NOT NULL,
    sender text NOT NULL,
    client_id bytea NOT NULL,
    posted_at text,
    text bytea NOT NULL,
    data bytea,
    before bigint NOT NULL,
    PRIMARY KEY (room, number)
);
CREATE INDEX IF NOT EXISTS keys ON messages (room, sender, client_id) WHERE client_id != '';
CREATE TABLE IF NOT EXISTS people (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node text NOT NULL,
    room text NOT NULL,
    sender text NOT NULL
);
CREATE INDEX IF NOT EXISTS places ON people (node, room, sender)
"""
"""`rooms` has the number of messages of a room and their bytes, `before` the bytes of those before one."""
_PORT = re.compile(r"[0-9,]*")
LOCK = "%s, hashtext(%s)"
FIELDS = "number, sender, client_id, posted_at, text, data"
LOCK_ROOM = """
INSERT INTO rooms VALUES (%s, 0, 0) ON CONFLICT (room) DO UPDATE SET count = rooms.count RETURNING count, size
"""
SELECT_KNOWN = f"""
SELECT {FIELDS} FROM messages
WHERE room = %s AND sender = %s AND client_id = %s AND client_id != '' AND number > %s
ORDER BY number DESC LIMIT 1
"""
PLACE = "%s::text, %s::text, %s::text, %s::text"
INSERT = f"""
WITH message AS (INSERT INTO messages VALUES (%s, %s, %s, %s, %s, %s, %s, %s)),
room AS (UPDATE rooms SET count = %s, size = %s WHERE room = %s)
SELECT pg_notify('chatlab', json_build_array({PLACE}, pg_current_xact_id()::text)::text)
"""
SELECT_FIRST = """
SELECT number FROM messages WHERE room = %s AND number > %s AND before >= %s ORDER BY number LIMIT 1
"""
SELECT_AFTER = f"""
WITH first AS (
    SELECT number, before FROM messages WHERE room = %(room)s AND number > %(seen)s ORDER BY number LIMIT 1
)
SELECT {FIELDS} FROM messages WHERE room = %(room)s AND number > %(seen)s
AND before - (SELECT before FROM first) - {OVERHEAD} * (number - (SELECT number FROM first)) <= 4 * %(size)s
ORDER BY number LIMIT %(limit)s
"""
"""A message has at least a character for each four bytes, so this is at least a page of `leading`."""
DELETE_PERSON = """
DELETE FROM people WHERE id = (
    SELECT id FROM people WHERE node = %s AND room = %s AND sender = %s LIMIT 1 FOR UPDATE
)
"""
NOTIFY = f"SELECT pg_notify('chatlab', json_build_array({PLACE}, pg_current_xact_id()::text)::text)"
MAX_NAMES = 3000
"""Bytes of names in a notification, which may have less than 8000, also if every byte is escaped."""
SELECT_PEOPLE = """
SELECT pg_current_snapshot()::text, (SELECT json_agg(json_build_array(node, room, sender)) FROM people)
"""


class PostgresLog(SharedLog):
    """The view of one node on a shared log in a PostgreSQL database.

    Errors: `SettingsError` for an invalid URL; `StoreError`, also when a node of that name runs.
    """

    def __init__(self, url: str, node: str, new_epoch: str, limits: LogLimits | None = None) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:
            given = {}
        names = f"{given.get('host', '')}{given.get('dbname', '@')}"
        if (
            "@" in names
            or ":" in str(given.get("dbname", ""))
            or not _PORT.fullmatch(str(given.get("port", "")))
        ):
            # A reason might quote a part of the password, if special characters in it aren't escaped.
            raise SettingsError(
                "db: not a URL of PostgreSQL; give postgresql://USER@HOST:PORT/DATABASE, with %XX for each "
                "special character in it"
            )
        self.node = node
        self._parameters: dict[str, Any] = {**CONNECT, **given}
        self._secret = str(given.get("password") or "")
        self._limits = limits or LogLimits()
        self.place = f"the database {given.get('dbname', '')!r} on {given.get('host', 'this machine')}"
        self._closed = False
        self._refused = 0
        self._whole = True
        self._heard: list[psycopg.Notify] = []
        self._snapshot = _Snapshot("0:0:")
        self._connection: psycopg.Connection[Any] | None = None
        self._connection = self._connect(new_epoch)
        with self._using() as connection, connection.transaction():
            _remove(connection, node)  # It has died, and nobody has noticed.

    # The connection

    @property
    def lost(self) -> bool:  # type: ignore[override]
        """Whether the connection is lost."""
        return self._connection is None

    def _connect(self, new_epoch: str) -> psycopg.Connection[Any]:
        """Return a new connection that has the node's name, and prepare the database.

        Errors: `StoreError`.
        """
        try:
            connection = psycopg.connect(autocommit=True, **self._parameters)
        except psycopg.Error as error:
            raise StoreError(f"{self.place} can't be reached: {self._described(error)}") from None
        try:
            self._prepare(connection, new_epoch)
        except psycopg.Error as error:
            connection.close()
            raise StoreError(f"{self.place} can't be used: {self._described(error)}") from None
        except StoreError:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: psycopg.Connection[Any], new_epoch: str) -> None:
        connection.execute(SESSION)
        until = time.monotonic() + LOCK_TIMEOUT
        while not _lock(connection, self.node):
            if time.monotonic() > until:
                raise StoreError(
                    f"a node named {self.node} runs on {self.place} already; give each node a name of its own"
                )
            time.sleep(0.02)
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s::bigint)", (APPLICATION_ID,))
            connection.execute(SCHEMA)
            row = connection.execute("SELECT version, epoch, csrf FROM log").fetchone()
            if row is None:
                row = SCHEMA_VERSION, new_epoch, secrets.token_bytes(32)
                connection.execute("INSERT INTO log VALUES (%s, %s, %s)", row)
        version, self.epoch, self.csrf_secret = row
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{self.place} has format {version}; this version reads {SCHEMA_VERSION}: choose another "
                "database, or the version of chatlab that wrote it"
            )
        connection.add_notify_handler(self._heard.append)
        connection.execute("LISTEN chatlab")

    def reconnect(self) -> None:
        """Connect again; do nothing if that fails. It may take seconds, so call it on another thread."""
        try:
            connection = self._connect("")
        except StoreError:
            return
        if self._closed:
            connection.close()
            return
        refused, self._refused, self._whole = self._refused, 0, True
        self._connection = connection
        logger.warning("%s is back; %d messages were refused", self.place, refused)

    @contextmanager
    def _using(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield the connection, and convert errors to `StoreError`."""
        connection = self._connection
        if connection is None:
            raise StoreError(f"{self.place} is gone")
        try:
            yield connection
        except psycopg.Error as error:
            reason = self._described(error)
            if connection.closed:
                self._connection = None
                logger.error("%s is gone: %s; messages are refused until it is back", self.place, reason)
            raise StoreError(f"{self.place} fails: {reason}") from None

    def _described(self, error: psycopg.Error) -> str:
        """Return an error in one line, without the password."""
        text = " ".join(str(error).split()) or type(error).__name__
        return scrub(text, [self._secret] if self._secret else [])

    def close(self) -> None:
        """End the connection, and let others have the node's name. A second call does nothing."""
        self._closed = True
        connection = self._connection
        if connection is not None:
            try:
                with self._using(), connection.transaction():
                    _remove(connection, self.node)
            except StoreError:
                pass  # Another node does it.
            self._connection = None
            connection.close()

    # Messages

    def append(
        self, room: str, sender: str, message: OutgoingMessage, posted_at: datetime | None
    ) -> Appended:
        try:
            return self._append(room, sender, message, posted_at)
        except StoreError as error:
            if not self._refused and not self.lost:
                logger.error("%s; messages are refused until it can be written again", error)
            self._refused += 1
            raise

    def _append(
        self, room: str, sender: str, message: OutgoingMessage, posted_at: datetime | None
    ) -> Appended:
        text, client_id = message.text, message.client_id
        with self._using() as connection, connection.transaction():
            run = connection.execute
            count, size = _row(run(LOCK_ROOM, (room,)))
            if client_id:
                key = room, sender, client_id.encode(), count - self._limits.retain
                known = run(SELECT_KNOWN, key).fetchone()
                if known is not None:
                    return Appended(self._message(known), new=False)
            number = count + 1
            posted = ChatMessage(self._id(number), sender, text, client_id, posted_at, message.data)
            at = posted_at.isoformat() if posted_at else None
            row = room, number, sender, client_id.encode(), at, text.encode(), message.data, size
            run(INSERT, (*row, number, size + size_of(posted), room, *_notice("posted", self.node, room)))
        if self._refused:
            logger.warning("%s can be written again; %d messages were refused", self.place, self._refused)
            self._refused = 0
        return Appended(posted, new=True)

    def _room(self, connection: psycopg.Connection[Any], room: str) -> tuple[int, int]:
        row = connection.execute("SELECT count, size FROM rooms WHERE room = %s", (room,)).fetchone()
        return row or (0, 0)

    def _count(self, room: str) -> int:
        with self._using() as connection:
            return self._room(connection, room)[0]

    def _start(self, room: str, wanted: int) -> int:
        limits = self._limits
        with self._using() as connection:
            count, size = self._room(connection, room)
            oldest = max(wanted, count - limits.retain)
            if oldest >= count:
                return wanted
            row = connection.execute(SELECT_FIRST, (room, oldest, size - limits.retain_size)).fetchone()
        return max(wanted, row[0] - 1 if row else count - 1)

    def _read(self, room: str, seen: int, limit: int, size: int) -> Sequence[ChatMessage]:
        given = {"room": room, "seen": seen, "limit": limit, "size": size}
        with self._using() as connection:
            rows = connection.execute(SELECT_AFTER, given).fetchall()
        return leading(map(self._message, rows), size)

    def _message(self, row: Sequence[Any]) -> ChatMessage:
        number, sender, client_id, posted_at, text, data = row
        fields = {"id": self._id(number), "sender": sender, "client_id": client_id.decode(), "data": data}
        return convert({**fields, "posted_at": posted_at, "text": text.decode()}, ChatMessage)

    # Nodes

    def tell(self, notices: Sequence[Notice]) -> None:
        with self._using() as connection, connection.transaction():
            for notice in notices:
                place = self.node, notice.room, notice.sender
                if notice.kind == "joined":
                    connection.execute("INSERT INTO people (node, room, sender) VALUES (%s, %s, %s)", place)
                elif notice.kind == "left":
                    connection.execute(DELETE_PERSON, place)
                connection.execute(NOTIFY, _notice(notice.kind, *place))

    def report(self) -> Report:
        with self._using() as connection:
            self._consume(connection)
            if self._whole:
                row = connection.execute(SELECT_PEOPLE).fetchone()
                assert row is not None
                self._snapshot, self._whole = _Snapshot(row[0]), False
                return Report(people=[Person(*person) for person in row[1] or ()])
        heard, self._heard[:] = self._heard[:], []
        rooms: dict[str, None] = {}
        notices: list[Notice] = []
        for notify in heard:
            kind, node, room, sender, transaction = json.decode(notify.payload)
            if node == self.node:
                continue
            if kind == "posted":
                rooms[room] = None
            elif kind == "many":
                self._whole = True
            elif int(transaction) not in self._snapshot:
                notices.append(Notice(kind, room, sender, node))
        return Report(tuple(rooms), tuple(notices))

    def _consume(self, connection: psycopg.Connection[Any]) -> None:
        """Read the notifications that have arrived, without waiting for any."""
        server = connection.pgconn
        server.consume_input()
        while (notify := server.notifies()) is not None:
            self._heard.append(psycopg.Notify(notify.relname.decode(), notify.extra.decode(), notify.be_pid))

    def bury(self) -> None:
        with self._using() as connection:
            nodes = connection.execute("SELECT DISTINCT node FROM people WHERE node != %s", (self.node,))
            for (node,) in nodes.fetchall():
                if _lock(connection, node):
                    try:
                        with connection.transaction():
                            _remove(connection, node)
                    finally:
                        connection.execute(f"SELECT pg_advisory_unlock({LOCK})", (APPLICATION_ID, node))


class _Snapshot:
    """The transactions that had been committed at one moment. Source: PostgreSQL, 9.27 (pg_snapshot)."""

    def __init__(self, text: str) -> None:
        _, end, under_way = text.split(":")
        self._end = int(end)
        self._under_way = {int(transaction) for transaction in under_way.split(",") if transaction}

    def __contains__(self, transaction: int) -> bool:
        return transaction < self._end and transaction not in self._under_way


def _lock(connection: psycopg.Connection[Any], node: str) -> bool:
    """Take the lock of a node; return whether that succeeded, because no such node runs."""
    return bool(_row(connection.execute(f"SELECT pg_try_advisory_lock({LOCK})", (APPLICATION_ID, node)))[0])


def _row(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row


def _notice(kind: str, node: str, room: str, sender: str = "") -> tuple[str, str, str, str]:
    """Return the parameters of a notification; if the names are too long for one, only say that."""
    if len(room.encode()) + len(sender.encode()) > MAX_NAMES:
        return "many", node, "", ""
    return kind, node, room, sender


def _remove(connection: psycopg.Connection[Any], node: str) -> None:
    """Remove all people of a node, with a notice for each."""
    gone = connection.execute("DELETE FROM people WHERE node = %s RETURNING room, sender", (node,))
    for room, sender in gone.fetchall():
        connection.execute(NOTIFY, _notice("left", node, room, sender))
