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

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from msgspec import convert, json

from chatlab.hub import Notice, Person, SharedLog
from chatlab.hub.log import Appended, LogLimits, leading, size_of
from chatlab.hub.nodes import Report
from chatlab.live.loggers import get_logger
from chatlab.live.server.postgres_connection import PostgresConnection, lock, row_of
from chatlab.live.server.postgres_statements import (
    DELETE_PERSON,
    INSERT,
    LOCK,
    LOCK_ROOM,
    MAX_NAMES,
    NOTIFY,
    SELECT_AFTER,
    SELECT_FIRST,
    SELECT_KNOWN,
    SELECT_PEOPLE,
)
from chatlab.live.server.store import APPLICATION_ID, StoreError
from chatlab.messages import ChatMessage, OutgoingMessage

logger = get_logger(__name__)


class PostgresLog(SharedLog):
    """The view of one node on a shared log in a PostgreSQL database.

    Errors: `SettingsError` for an invalid URL; `StoreError`, also when a node of that name runs.
    """

    def __init__(self, url: str, node: str, new_epoch: str, limits: LogLimits | None = None) -> None:
        self._database = database = PostgresConnection(url, node, new_epoch)
        self.node = node
        self.place, self.epoch, self.csrf_secret = database.place, database.epoch, database.csrf_secret
        self._limits = limits or LogLimits()
        self._refused = 0
        self._whole = True
        self._snapshot = _Snapshot("0:0:")
        with database.using() as connection, connection.transaction():
            _remove(connection, node)  # It has died, and nobody has noticed.

    @property
    def lost(self) -> bool:  # type: ignore[override]
        """Whether the connection is lost."""
        return self._database.lost

    def reconnect(self) -> None:
        refused, self._refused, self._whole = self._refused, 0, True
        if self._database.reconnect():
            self.epoch, self.csrf_secret = self._database.epoch, self._database.csrf_secret
            logger.warning("%s is back; %d messages were refused", self.place, refused)
        else:
            self._refused += refused

    def close(self) -> None:
        """End the connection, and let others have the node's name. A second call does nothing."""
        if not self.lost:
            try:
                with self._database.using() as connection, connection.transaction():
                    _remove(connection, self.node)
            except StoreError:
                pass  # Another node does it.
        self._database.close()

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
        with self._database.using() as connection, connection.transaction():
            run = connection.execute
            count, size = row_of(run(LOCK_ROOM, (room,)))
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
        with self._database.using() as connection:
            return self._room(connection, room)[0]

    def _start(self, room: str, wanted: int) -> int:
        limits = self._limits
        with self._database.using() as connection:
            count, size = self._room(connection, room)
            oldest = max(wanted, count - limits.retain)
            if oldest >= count:
                return wanted
            row = connection.execute(SELECT_FIRST, (room, oldest, size - limits.retain_size)).fetchone()
        return max(wanted, row[0] - 1 if row else count - 1)

    def _read(self, room: str, seen: int, limit: int, size: int) -> Sequence[ChatMessage]:
        given = {"room": room, "seen": seen, "limit": limit, "size": size}
        with self._database.using() as connection:
            rows = connection.execute(SELECT_AFTER, given).fetchall()
        return leading(map(self._message, rows), size)

    def _message(self, row: Sequence[Any]) -> ChatMessage:
        number, sender, client_id, posted_at, text, data = row
        fields = {"id": self._id(number), "sender": sender, "client_id": client_id.decode(), "data": data}
        return convert({**fields, "posted_at": posted_at, "text": text.decode()}, ChatMessage)

    # Nodes

    def tell(self, notices: Sequence[Notice]) -> None:
        with self._database.using() as connection, connection.transaction():
            for notice in notices:
                place = self.node, notice.room, notice.sender
                if notice.kind == "joined":
                    connection.execute("INSERT INTO people (node, room, sender) VALUES (%s, %s, %s)", place)
                elif notice.kind == "left":
                    connection.execute(DELETE_PERSON, place)
                connection.execute(NOTIFY, _notice(notice.kind, *place))

    def report(self) -> Report:
        with self._database.using() as connection:
            self._consume(connection)
            if self._whole:
                row = connection.execute(SELECT_PEOPLE).fetchone()
                assert row is not None
                self._snapshot, self._whole = _Snapshot(row[0]), False
                return Report(people=[Person(*person) for person in row[1] or ()])
        waiting = self._database.heard
        heard, waiting[:] = waiting[:], []
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
            self._database.heard.append(
                psycopg.Notify(notify.relname.decode(), notify.extra.decode(), notify.be_pid)
            )

    def bury(self) -> None:
        with self._database.using() as connection:
            nodes = connection.execute("SELECT DISTINCT node FROM people WHERE node != %s", (self.node,))
            for (node,) in nodes.fetchall():
                if lock(connection, node):
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
