"""Dialects: the wire formats of chat servers. Pure functions, no I/O."""

from __future__ import annotations

from chatlab.dialects.base import (
    Ack,
    Answer,
    Credentials,
    Dialect,
    HttpDialect,
    Incoming,
    Nack,
    Opening,
    Page,
    Request,
    ServerPing,
    ServerPong,
    Unreadable,
    Welcome,
    unreadable,
)
from chatlab.dialects.bodies import read_lines, read_list, read_one, read_parts
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.dialects.matrix import MatrixDialect
from chatlab.dialects.nchan import NchanDialect
from chatlab.dialects.templates import request_to
from chatlab.dialects.text import TextDialect
from chatlab.errors import SettingsError
from chatlab.text import quoted

__all__ = [
    "DIALECTS",
    "Ack",
    "Answer",
    "ChatlabDialect",
    "Credentials",
    "Dialect",
    "HttpDialect",
    "Incoming",
    "MatrixDialect",
    "Nack",
    "NchanDialect",
    "Opening",
    "Page",
    "Request",
    "ServerPing",
    "ServerPong",
    "TextDialect",
    "Unreadable",
    "Welcome",
    "find_dialect",
    "read_lines",
    "read_list",
    "read_one",
    "read_parts",
    "request_to",
    "unreadable",
]

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (ChatlabDialect(), TextDialect(), NchanDialect(), MatrixDialect())
}
"""The dialects that settings can name."""


def find_dialect(dialect: str | Dialect) -> Dialect:
    """Return the dialect of that name; a `Dialect` is returned as it is.

    Errors: `SettingsError` that lists the names.
    """
    if isinstance(dialect, Dialect):
        return dialect
    try:
        return DIALECTS[dialect]
    except KeyError:
        raise SettingsError(
            f"dialect: there is no {quoted(dialect)}; choose one of {', '.join(sorted(DIALECTS))}"
        ) from None
