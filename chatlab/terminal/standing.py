"""How a conversation stands, in figures and in a line."""

from __future__ import annotations

from msgspec import Struct

from chatlab.messages import ConnectionStatus
from chatlab.terminal.lines import seconds

MOST_TYPING = 3
"""Names of typing people that are shown at most."""


class Standing(Struct, frozen=True):
    """How a conversation stands now. Durations are seconds."""

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


def describe(standing: Standing) -> str:
    """Return a conversation's standing in one line, the most important first."""
    parts = [standing.status.value]
    if standing.attempt and standing.status is ConnectionStatus.RECONNECTING:
        most = "" if standing.max_attempts is None else f" of {standing.max_attempts}"
        wait = "now" if standing.retry_in is None else f"in {standing.retry_in:.1f} s"
        parts.append(f"attempt {standing.attempt}{most} {wait}")
    parts.append(f"outbox {standing.outbox}")
    if standing.rtt is not None and standing.status is ConnectionStatus.CONNECTED:
        parts.append(f"rtt {seconds(standing.rtt)}")
    parts.append(standing.kind)
    parts += [f"fault: {fault}" for fault in standing.faults]
    if standing.reason and standing.status is not ConnectionStatus.CONNECTED:
        parts.append(standing.reason)
    return " · ".join(parts)
