"""Failures of what a person has asked for, in words for a line of the log."""

from __future__ import annotations

from chatlab.errors import ChatError, InvalidMessage, SettingsError
from chatlab.live.logs import get_logger
from chatlab.messages import ConnectionStatus, StatusChange
from chatlab.transports.retry_state import ASKED

logger = get_logger()

_MEANT_TO_BE_READ = (ChatError, SettingsError, InvalidMessage, OSError)


def explain(error: BaseException) -> str:
    """Return what is said of an error, without a full stop.

    One that isn't written for a person to read, such as a mistake in a dialect of the user's own, is logged
    with its traceback, and only its kind is named: its text may hold a secret.
    """
    if isinstance(error, _MEANT_TO_BE_READ):
        return str(error) or type(error).__name__
    logger.error("what a person has asked for failed in an unforeseen way", exc_info=error)
    return f"{type(error).__name__} (Python's log has the traceback)"


def explain_end(change: StatusChange) -> str:
    """Return why a transport tries no more, as a sentence; empty where it goes on, or was asked to end."""
    reason = change.reason.removesuffix(".")  # A server's own words may end in one.
    if change.status is ConnectionStatus.ERROR:
        return f"G{reason[1:]}." if reason.startswith("gave up") else f"Gave up: {reason}."
    if change.status is ConnectionStatus.DISCONNECTED and reason not in ("", ASKED):
        return f"The server has ended the connection: {reason}."
    return ""
