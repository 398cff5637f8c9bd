"""The check of a dialect of the user's own: its mistakes are found before it is used."""

from __future__ import annotations

from typing import get_args

from chatlab.errors import SettingsError
from chatlab.settings.base import HeartbeatMode
from chatlab.text import quoted


def check_dialect(where: str, dialect: object) -> None:
    """Check that `dialect` is a name, or an instance with a name and a known heartbeat.

    Errors: `SettingsError` that begins with `where`, and says what to give.
    """
    if isinstance(dialect, type):
        raise SettingsError(f"{where}: give an instance: {dialect.__name__}()")
    if not isinstance(name := getattr(dialect, "name", dialect), str) or not name:
        raise SettingsError(
            f"{where}: give the name of one, or a Dialect that has a name, got a {type(dialect).__name__}"
        )
    heartbeat = getattr(dialect, "heartbeat", None)
    if heartbeat is not None and heartbeat not in get_args(HeartbeatMode):
        choices = ", ".join(get_args(HeartbeatMode))
        given = quoted(heartbeat) if isinstance(heartbeat, str) else f"a {type(heartbeat).__name__}"
        raise SettingsError(f"{where}: the heartbeat of {quoted(name)} must be one of {choices}, got {given}")
