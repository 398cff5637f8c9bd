"""State of a conversation for the status line, and its text."""

from __future__ import annotations

from msgspec import Struct

from chatlab.messages import ConnectionStatus
from chatlab.terminal.lines import seconds

MOST_TYPING = 3
"""Maximum number of typing people that are shown."""


class StatusLine(Struct, frozen=True):
    """State of a conversation. Durations are in seconds."""

    kind: str
    status: ConnectionStatus
    reason: str
    attempt: int
    max_attempts: int | None
    retry_in: float | None
    rtt: float | None
    outbox: int
    faults: tuple[str, ...]
    typing: tuple[str, ...]


def describe(status_line: StatusLine) -> str:
    """Describe the state in one line, most important first."""
    parts = [status_line.status.value]
    if status_line.attempt and status_line.status is ConnectionStatus.RECONNECTING:
        most = "" if status_line.max_attempts is None else f" of {status_line.max_attempts}"
        wait = "now" if status_line.retry_in is None else f"in {status_line.retry_in:.1f} s"
        parts.append(f"attempt {status_line.attempt}{most} {wait}")
    parts.append(f"outbox {status_line.outbox}")
    if status_line.rtt is not None and status_line.status is ConnectionStatus.CONNECTED:
        parts.append(f"rtt {seconds(status_line.rtt)}")
    parts.append(status_line.kind)
    parts += [f"fault: {fault}" for fault in status_line.faults]
    if status_line.reason and status_line.status is not ConnectionStatus.CONNECTED:
        parts.append(status_line.reason)
    return " · ".join(parts)
