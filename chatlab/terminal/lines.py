"""Lines of a console. Their texts can neither control a terminal nor imitate another line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import force_setattr

from chatlab.messages import ChatMessage, DeliveryState
from chatlab.text import short_name, visible, visible_line

MARKS = {
    DeliveryState.QUEUED: "◷",
    DeliveryState.SENT: "✓",
    DeliveryState.ACKED: "✓✓",
    DeliveryState.DROPPED: "⚠",
    DeliveryState.EXPIRED: "⚠",
    DeliveryState.FAILED: "⚠",
}


class ConsoleLine(Struct, frozen=True):
    """A line to show, with control characters made visible.

    Kinds: `message` from another person; `accepted`, an own message that was just submitted, and later
    `delivered` (`waited`: late) or `lost` (`reason`); `notice` and `warning` from the console; `answer` to a
    command.
    """

    kind: Literal["message", "accepted", "delivered", "lost", "notice", "warning", "answer"]
    text: str
    name: str = ""
    at: datetime | None = None
    state: DeliveryState | None = None
    waited: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        force_setattr(self, "text", visible(self.text))
        force_setattr(self, "reason", visible_line(self.reason))
        force_setattr(self, "name", short_name(self.name))

    @property
    def mark(self) -> str:
        """The symbol of an own message's state; empty for all other lines."""
        return "" if self.state is None else MARKS[self.state]

    def __str__(self) -> str:
        """Return the line as plain text, for a file or a pipe."""
        text = visible_line(self.text)
        if self.kind in ("notice", "warning", "answer"):
            return text
        if self.kind == "lost":
            return f"Not delivered ({self.reason}): {text}"
        return f"{clock(self.at)} {self.name}: {text}"


def content(message: ChatMessage) -> str:
    """Return a message's text, or the size of its data."""
    return message.text if message.data is None else f"({len(message.data):,} bytes)"


def clock(at: datetime | None) -> str:
    """Return the local time of day, with the date unless it's today."""
    try:
        local = (at or datetime.now(UTC)).astimezone()
    except (OverflowError, ValueError, OSError):  # A server may send the year 1.
        return "--:--:--"
    today = local.date() == datetime.now(UTC).astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M:%S}"


def seconds(duration: float) -> str:
    """Format a duration in ms, s or min."""
    if duration < 0.0995:
        return f"{duration * 1000:.2g} ms"
    if duration < 120:
        return f"{duration:.2g} s" if duration < 9.95 else f"{duration:.0f} s"
    return f"{duration / 60:.0f} min"
