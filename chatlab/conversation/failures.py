"""Texts for failures of a person's actions."""

from __future__ import annotations

from chatlab.errors import ChatError, InvalidMessage, SettingsError
from chatlab.live.loggers import get_logger
from chatlab.messages import ConnectionStatus, StatusChange
from chatlab.transports.retry_state import REQUESTED

logger = get_logger()

_READABLE = (ChatError, SettingsError, InvalidMessage, OSError)


def explain(error: BaseException) -> str:
    """Return an error's message, without a full stop.

    For an unexpected error, such as a bug in a dialect of the user's own, return only its type and log the
    traceback: its message may contain a secret.
    """
    if isinstance(error, _READABLE):
        return str(error) or type(error).__name__
    logger.error("an action failed with an unexpected error", exc_info=error)
    return f"{type(error).__name__} (the traceback is in Python's log)"


def explain_end(change: StatusChange) -> str:
    """Return why a transport stopped, as a sentence; empty if it continues, or was asked to stop."""
    reason = change.reason.removesuffix(".")  # A server's text may end in one.
    if change.status is ConnectionStatus.ERROR:
        return f"G{reason[1:]}." if reason.startswith("gave up") else f"Gave up: {reason}."
    if change.status is ConnectionStatus.DISCONNECTED and reason not in ("", REQUESTED):
        return f"The server has closed the connection: {reason}."
    return ""
