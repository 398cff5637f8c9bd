"""Dialects: how a server spells what every chat server says. Pure functions, no I/O."""

from __future__ import annotations

from chatlab.dialects.base import Dialect
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.dialects.text import TextDialect
from chatlab.errors import SettingsError

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (ChatlabDialect(), TextDialect())}
"""The dialects that settings can name."""


def find_dialect(name: str) -> Dialect:
    """Return the dialect of that name.

    Errors: `SettingsError` naming the dialects that there are.
    """
    try:
        return DIALECTS[name]
    except KeyError:
        raise SettingsError(
            f"dialect: there is no {name!r}; choose one of {', '.join(sorted(DIALECTS))}"
        ) from None
