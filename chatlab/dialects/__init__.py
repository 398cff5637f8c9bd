"""Dialects: how a server spells what every chat server says. Pure functions, no I/O."""

from __future__ import annotations

from chatlab.dialects.base import Dialect
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.dialects.matrix import MatrixDialect
from chatlab.dialects.nchan import NchanDialect
from chatlab.dialects.text import TextDialect
from chatlab.errors import SettingsError

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (ChatlabDialect(), TextDialect(), NchanDialect(), MatrixDialect())
}
"""The dialects that settings can name."""


def find_dialect(dialect: str | Dialect) -> Dialect:
    """Return the dialect of that name; one of the user's own is itself.

    Errors: `SettingsError` naming the dialects that there are.
    """
    if isinstance(dialect, Dialect):
        return dialect
    try:
        return DIALECTS[dialect]
    except KeyError:
        raise SettingsError(
            f"dialect: there is no {dialect!r}; choose one of {', '.join(sorted(DIALECTS))}"
        ) from None
