"""The connection of one node to a PostgreSQL database, which holds an advisory lock on the node's name.

The database server releases the lock when the connection ends. If the connection is lost, calls fail until
`reconnect` succeeds. Source: PostgreSQL 15, chapter 13.3.5 (advisory locks).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from chatlab.errors import SettingsError
from chatlab.live.loggers import get_logger
from chatlab.live.server.postgres_statements import LOCK, SCHEMA, SCHEMA_VERSION, SESSION
from chatlab.live.server.store import APPLICATION_ID, StoreError
from chatlab.settings import scrub

logger = get_logger(__name__)

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
_PORT = re.compile(r"[0-9,]*")


class PostgresConnection:
    """A connection that has a node's name. `place` names the database; `heard` are the notifications that
    have arrived.

    Errors: `SettingsError` for an invalid URL; `StoreError`, also when a node of that name runs.
    """

    epoch: str
    csrf_secret: bytes

    def __init__(self, url: str, node: str, new_epoch: str) -> None:
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
        self._node = node
        self._parameters: dict[str, Any] = {**CONNECT, **given}
        self._secret = str(given.get("password") or "")
        self.place = f"the database {given.get('dbname', '')!r} on {given.get('host', 'this machine')}"
        self._closed = False
        self.heard: list[psycopg.Notify] = []
        self._connection: psycopg.Connection[Any] | None = None
        self._connection = self._connect(new_epoch)

    @property
    def lost(self) -> bool:
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
        while not lock(connection, self._node):
            if time.monotonic() > until:
                raise StoreError(
                    f"a node named {self._node} runs on {self.place} already; "
                    "give each node a name of its own"
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
        connection.add_notify_handler(self.heard.append)
        connection.execute("LISTEN chatlab")

    def reconnect(self) -> bool:
        """Connect again; return whether that has succeeded. It may take seconds, so call it on another
        thread."""
        try:
            connection = self._connect("")
        except StoreError:
            return False
        if self._closed:
            connection.close()
            return False
        self._connection = connection
        return True

    @contextmanager
    def using(self) -> Iterator[psycopg.Connection[Any]]:
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
        """End the connection, and let others have the node's name."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def lock(connection: psycopg.Connection[Any], node: str) -> bool:
    """Take the lock of a node; return whether that succeeded, because no such node runs."""
    return bool(row_of(connection.execute(f"SELECT pg_try_advisory_lock({LOCK})", (APPLICATION_ID, node)))[0])


def row_of(cursor: psycopg.Cursor[Any]) -> Any:
    """Return the one row of a result."""
    row = cursor.fetchone()
    assert row is not None
    return row
