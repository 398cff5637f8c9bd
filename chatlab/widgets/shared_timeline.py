"""One timeline for several conversations, each with its own lanes."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

from chatlab.widgets.timeline import Lane, TimelineView


class Shown(NamedTuple):
    """The latest that one conversation has shown."""

    now: float
    lanes: list[Lane]
    running: bool
    note: str


class SharedTimeline:
    """Shows the lanes of several conversations on one timeline, which began at `started_at`."""

    def __init__(self, timeline: TimelineView, started_at: float) -> None:
        self.started_at = started_at
        self._timeline = timeline
        self._guard = threading.Lock()
        self._shown: dict[str, Shown] = {}

    def part(self, name: str) -> TimelinePart:
        """Return the part of a conversation, below those of earlier calls."""
        self._shown[name] = Shown(0.0, [{"name": name, "spans": [], "marks": []}], running=False, note="")
        return TimelinePart(self, name)

    def show(self, name: str, shown: Shown) -> None:
        """Show the lanes of a conversation. From any thread."""
        with self._guard:
            self._shown[name] = shown
            every = list(self._shown.values())
            notes = [f"{each}: {one.note}" for each, one in self._shown.items() if one.note]
        self._timeline.show(
            max(one.now for one in every),
            [lane for one in every for lane in one.lanes],
            running=any(one.running for one in every),
            note=" ".join(notes),
        )


class TimelinePart:
    """The part of one conversation: its lane "live" has the conversation's name."""

    def __init__(self, whole: SharedTimeline, name: str) -> None:
        self._whole = whole
        self._name = name

    def show(self, now: float, lanes: Iterable[Lane], *, running: bool = False, note: str = "") -> None:
        """Show lanes at `now`, in seconds since the start, and a note below."""
        named: list[Lane] = [
            {**lane, "name": self._name if lane["name"] == "live" else lane["name"]} for lane in lanes
        ]
        self._whole.show(self._name, Shown(now, named, running, note))
