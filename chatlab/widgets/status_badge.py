"""The badge with a connection's status."""

from __future__ import annotations

from time import monotonic
from typing import Any

from chatlab.text import visible_line
from chatlab.widgets import assets
from chatlab.widgets.pacing import Message, SnapshotWidget
from chatlab.widgets.text import encodable_fields


class StatusBadge(SnapshotWidget):
    """The connection's status, its reason, and the time until the next attempt."""

    _esm = assets.module("status_badge.js")

    def __init__(self, **kwargs: Any) -> None:
        self._retry_in: float | None = None
        self._shown_at = monotonic()
        self._rate = 1.0
        self._waiting = 0
        self._shown: Message = _status("disconnected")
        super().__init__(**kwargs)

    def show(
        self,
        status: str,
        reason: str = "",
        *,
        attempt: int = 0,
        max_attempts: int | None = None,
        retry_in: float | None = None,
        code: int | None = None,
        at: float | None = None,
        transport: str = "",
        details: str = "",
        rate: float = 1.0,
    ) -> None:
        """Show a status; `retry_in` is the number of seconds until the next attempt, of which `rate` pass in
        each second. From any thread.

        `transport` is the title of the one in use. The tooltip has the time of the change (`at`, milliseconds
        since 1970) and `details`.
        """
        self._retry_in, self._rate, self._shown_at = retry_in, rate, monotonic()
        self._shown = _status(status, reason, attempt, max_attempts, code, at, transport, details)
        self._changed()

    def show_waiting(self, messages: int) -> None:
        """Show the number of messages in the outbox: queued, or sent and unacknowledged. From any thread."""
        self._waiting = messages
        self._changed()

    def transcript(self) -> str:
        """Return the status in one line."""
        shown = self._shown
        attempt = f", attempt {shown['attempt']}" if shown["attempt"] else ""
        reason = f": {visible_line(shown['reason'])}" if shown["reason"] else ""
        used = f" over {visible_line(shown['transport'])}" if shown["status"] == "connected" else ""
        return f"{visible_line(shown['status'])}{used if shown['transport'] else ''}{attempt}{reason}"

    def _snapshot(self) -> Message:
        retry_in = self._retry_in
        if retry_in is not None:
            retry_in = max(0.0, retry_in - self._rate * (monotonic() - self._shown_at))
        return {
            "type": "status",
            **self._shown,
            "retry_in": retry_in,
            "rate": self._rate,
            "waiting": self._waiting,
        }


def _status(
    status: str,
    reason: str = "",
    attempt: int = 0,
    max_attempts: int | None = None,
    code: int | None = None,
    at: float | None = None,
    transport: str = "",
    details: str = "",
) -> Message:
    fields = {
        "status": str(status),
        "reason": reason,
        "attempt": attempt,
        "max_attempts": max_attempts,
        "code": code,
        "at": at,
        "transport": transport,
        "details": details,
    }
    return encodable_fields(fields)
