"""What a console has to say, line by line; nothing in it can harm a terminal or feign to be another line."""

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


class Line(Struct, frozen=True):
    """Something to show, with control characters made visible.

    `message` is somebody's; `accepted` is one's own, just handed over, and later `delivered` (`waited`: it
    took its time) or `lost` (`reason`). The others are the console's own words,
    `answer` to a command.
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
        """The sign of its state in the ledger; empty where it isn't one's own message."""
        return "" if self.state is None else MARKS[self.state]

    def __str__(self) -> str:
        """The line as a file or a pipe has it."""
        text = visible_line(self.text)
        if self.kind in ("notice", "warning", "answer"):
            return text
        if self.kind == "lost":
            return f"Not delivered ({self.reason}): {text}"
        return f"{clock(self.at)} {self.name}: {text}"


def content(message: ChatMessage) -> str:
    """Return what is shown of a message: its text, or how much data it holds."""
    return message.text if message.data is None else f"({len(message.data):,} bytes)"


def clock(at: datetime | None) -> str:
    """Return the local time of day, with the date unless it's today's."""
    try:
        local = (at or datetime.now(UTC)).astimezone()
    except (OverflowError, ValueError, OSError):  # A server may say that it's the year 1.
        return "--:--:--"
    today = local.date() == datetime.now(UTC).astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M:%S}"


def seconds(duration: float) -> str:
    """Return a duration in the unit that suits it."""
    if duration < 0.0995:
        return f"{duration * 1000:.2g} ms"
    if duration < 120:
        return f"{duration:.2g} s" if duration < 9.95 else f"{duration:.0f} s"
    return f"{duration / 60:.0f} min"
