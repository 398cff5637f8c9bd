"""The history that a server is given: none, a file, a file that nodes share, or a PostgreSQL database."""

from __future__ import annotations

from os import PathLike

from chatlab.errors import SettingsError
from chatlab.hub import SharedLog
from chatlab.hub.log import LogLimits
from chatlab.live.server.node_store import NodeStore
from chatlab.live.server.store import Store


def open_history(
    db: str | PathLike[str] | None, node: str | None, new_epoch: str, limits: LogLimits
) -> Store | SharedLog | None:
    """Return the log of a server, or of the `node` of that name; None: it is in memory.

    Errors: `SettingsError` for an invalid URL, and if psycopg is missing; `StoreError`.
    """
    if db is None:
        return None
    if isinstance(db, str) and db.startswith(("postgresql://", "postgres://")):
        return _open_postgres(db, node or "main", new_epoch, limits)
    if node is None:
        return Store(db, new_epoch, limits)
    return NodeStore(db, node, new_epoch, limits)


def _open_postgres(url: str, node: str, new_epoch: str, limits: LogLimits) -> SharedLog:
    try:
        from chatlab.live.server.postgres_log import PostgresLog
    except ImportError as error:
        raise SettingsError(
            f"db: PostgreSQL needs psycopg ({error}); install it with: pip install 'chatlab[postgresql]'"
        ) from None
    return PostgresLog(url, node, new_epoch, limits)
