"""The timeline: statuses over time in lanes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any, Protocol, TypedDict

from chatlab.text import visible_line
from chatlab.widgets import assets
from chatlab.widgets.pacing import Message, SnapshotWidget
from chatlab.widgets.text import encodable, encodable_fields

MOST_IN_LANE = 500
"""Maximum number of spans, and of marks, in a lane of the timeline: the latest."""


class Span(TypedDict):
    """A status from `start` to `end` in seconds; `end` is None while it lasts."""

    status: str
    start: float
    end: float | None


class Mark(TypedDict):
    """An event at a point in time; the kind "fault" is highlighted."""

    kind: str
    label: str
    at: float


class Lane(TypedDict):
    """A named row of the timeline, such as "live" or "predicted"."""

    name: str
    spans: Sequence[Span]
    marks: Sequence[Mark]


class TimelineView(Protocol):
    """Shows lanes, as a `Timeline` does."""

    def show(self, now: float, lanes: Iterable[Lane], *, running: bool = False, note: str = "") -> None:
        """Show lanes at `now`, in seconds since the start, and a note below; time goes on while `running`."""


class Timeline(SnapshotWidget):
    """Statuses over time in lanes, with marks for events."""

    _esm = assets.module("timeline.js")

    def __init__(self, **kwargs: Any) -> None:
        self._lanes: list[Message] = []
        self._note = ""
        self._now = 0.0
        self._running = False
        self._rate = 1.0
        self._until = 0.0
        self._shown_at = monotonic()
        super().__init__(**kwargs)

    def show(
        self,
        now: float,
        lanes: Iterable[Lane],
        *,
        running: bool = False,
        note: str = "",
        rate: float = 1.0,
        until: float = 0.0,
    ) -> None:
        """Show lanes at `now`, in seconds since the start, and a note below; time goes on while `running`, by
        `rate` seconds in each second. The axis reaches `until` at least. From any thread.
        """
        self._note = str(encodable(note))
        self._lanes = [
            {
                "name": encodable(lane["name"]),
                "spans": [encodable_fields(span) for span in lane["spans"][-MOST_IN_LANE:]],
                "marks": [encodable_fields(mark) for mark in lane["marks"][-MOST_IN_LANE:]],
            }
            for lane in lanes
        ]
        self._now, self._running, self._shown_at = now, running, monotonic()
        self._rate, self._until = rate, until
        self._changed()

    def transcript(self) -> str:
        """Return the spans of each lane, one lane per line."""
        lines = [self._line(lane) for lane in self._lanes]
        if self._note:
            lines.append(visible_line(self._note))
        return "\n".join(lines) or "Timeline: nothing yet"

    def _line(self, lane: Message) -> str:
        spans = []
        for span in lane["spans"]:
            end = self._now if span["end"] is None else span["end"]
            spans.append(f"{visible_line(span['status'])} {span['start']:.1f}\u2013{end:.1f} s")
        return f"{visible_line(lane['name'])}: {', '.join(spans) or 'nothing yet'}"

    def _snapshot(self) -> Message:
        elapsed = monotonic() - self._shown_at if self._running else 0.0
        now = self._now + self._rate * elapsed
        return {
            "type": "timeline",
            "now": now,
            "lanes": self._lanes,
            "running": self._running,
            "rate": self._rate,
            "until": self._until,
            "note": self._note,
        }
