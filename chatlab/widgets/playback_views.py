"""The views of a panel that show a recorded run at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import NamedTuple

from chatlab.experiment.spans import FaultSpan
from chatlab.plots.sequence import plot_latest
from chatlab.plots.sequence_lines import SequenceLine
from chatlab.plots.style import figure_of
from chatlab.text import visible_line
from chatlab.widgets.feed import FeedWidget
from chatlab.widgets.logs import ChatLog, FrameLog
from chatlab.widgets.picture import Picture
from chatlab.widgets.playback import Playback, Rows, said
from chatlab.widgets.status_badge import StatusBadge
from chatlab.widgets.timeline import Timeline

LINES = 14
"""Lines of the sequence diagram: the latest ones."""

_DRAWING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatlab-slow-drawing")


class _Diagram(NamedTuple):
    """A sequence diagram to be drawn."""

    person: str
    lines: list[SequenceLine]
    faults: list[FaultSpan]
    at: float


class PlaybackViews:
    """Messages, frames, status, statuses over time, and the latest frames as a sequence diagram."""

    def __init__(self) -> None:
        self.messages = ChatLog(elapsed=True)
        self.frames = FrameLog(elapsed=True)
        self.badge = StatusBadge()
        self.timeline = Timeline()
        self.picture = Picture(name="slow-motion")
        self._context = copy_context()  # ipykernel 7.0 looks up the cell in it
        self._shown: dict[FeedWidget, Rows] = {}
        self._moment: object = None
        self._going: tuple[object, float, float | None] | None = None
        self._wanted: _Diagram | None = None

    def show(self, playback: Playback, now: float, rate: float) -> None:
        """Show a run at `now`; time goes on by `rate` seconds in each second. Call it on one thread only."""
        moment = (playback, playback.present(now))
        if moment != self._moment:
            self._show_moment(playback, now)
            self._moment = moment
        if (going := (moment, rate, None if rate else now)) != self._going:
            self._show_status(playback, now, rate)
            self._going = going

    def _show_moment(self, playback: Playback, now: float) -> None:
        """Show what changes only when something happens."""
        _show(self.messages, playback.messages(now), self._shown)
        _show(self.frames, playback.frames(now), self._shown)
        self._wanted = _Diagram(playback.person, playback.lines(now), playback.faults(now), now)
        with suppress(RuntimeError):  # The interpreter is shutting down.
            _DRAWING.submit(self._context.copy().run, self._draw)

    def _show_status(self, playback: Playback, now: float, rate: float) -> None:
        """Show badge and timeline, which go on by themselves while time runs."""
        change, waiting = playback.change(now), playback.waiting(now)
        self.badge.show(
            change.status.value,
            change.reason,
            attempt=change.attempt,
            retry_in=None if change.retry_at is None else change.retry_at - now,
            code=change.code,
            rate=rate,
        )
        self.badge.show_waiting(waiting)
        lane = playback.lane(now)
        self.timeline.show(now, [lane], running=bool(rate), rate=rate, until=playback.end)

    def _draw(self) -> None:
        """Draw the sequence diagram that is wanted last, once."""
        wanted, self._wanted = self._wanted, None
        if wanted is None or not wanted.lines or self.picture.comm is None:
            return
        axes = plot_latest(wanted.lines, wanted.person, wanted.faults, end=wanted.at, most=LINES, rows=LINES)
        said_so_far = "; ".join(latest_in_words(wanted.lines))
        self.picture.show(figure_of(axes), f"The latest frames of {wanted.person}: {said_so_far}")


def latest_in_words(lines: Sequence[SequenceLine]) -> list[str]:
    """Return the latest lines of a sequence diagram in words."""
    return [visible_line(f"{line.at:.3f} s {said(line)}") for line in lines[-LINES:]]


def _show(feed: FeedWidget, rows: Rows, shown: dict[FeedWidget, Rows]) -> None:
    """Show rows in a feed; start anew if one that is shown is gone."""
    before = shown.get(feed, {})
    if list(before) != list(rows)[: len(before)]:
        feed.clear()
        before = {}
    if changed := [row for key, row in rows.items() if before.get(key) != row]:
        feed.upsert_many(changed)
    shown[feed] = rows
