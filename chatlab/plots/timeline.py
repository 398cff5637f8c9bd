"""Status timeline: a connection's statuses over time, in one lane or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from chatlab.errors import SettingsError
from chatlab.experiment.spans import FaultSpan, StatusSpan
from chatlab.messages import ConnectionStatus
from chatlab.plots.style import (
    INK,
    SMALL,
    STATUS_LOOKS,
    TEXT,
    UNDERLAY,
    bar,
    new_axes,
    size,
    style_axes,
    text_width,
)

LANE = 0.5
"""Thickness of a lane; lanes are 1 apart."""
KEYS = 200.0
"""Width in points below which the legend has two columns instead of three."""
ROW = 1.35 * SMALL
"""Points from one row of fault names to the next."""
ATTEMPT: Mapping[str, Any] = {"linestyle": "none", "marker": "v", "markersize": 4.5, "color": INK}


def plot_statuses(
    lanes: Mapping[str, Sequence[StatusSpan]] | Sequence[StatusSpan],
    *,
    faults: Iterable[FaultSpan] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw the statuses of one connection over time, or of several by name, the first at the top.

    A triangle above a lane is a connection attempt. Faults are grey areas behind all lanes.

    Errors: `SettingsError` if there is nothing to draw.
    """
    named = lanes if isinstance(lanes, Mapping) else {"": lanes}
    spans = [span for lane in named.values() for span in lane]
    if not spans:
        raise SettingsError("nothing to draw: give one lane or more, with a span in it")
    start, end = min(span.start for span in spans), max(span.end for span in spans)
    names = 0.0
    if ax is None:
        names = max(text_width(name, TEXT) for name in named)
        left = names * 25.4 / 72 + 5.0
        ax = new_axes(height=32.0 + 10.0 * len(named), left=left, right=5.0, top=8.0, bottom=18.0)
    ax.set_xlim(start, end if end > start else start + 1)
    shown = [fault for fault in faults if start <= fault.end and fault.start <= end]
    rows = _rows(ax, shown)
    points = size(ax)[1]
    names_room = min(ROW * (max(rows, default=-1) + 1), points / 2)
    unit = (points - names_room) / (len(named) + 0.05)
    ax.set_ylim(0.4 - len(named), 0.45 + names_room / unit)
    for fault, row in zip(shown, rows, strict=True):
        _draw_fault(ax, fault, 0.45 + (row + 0.5) * ROW / unit)
    unnamed: set[ConnectionStatus] = set()
    for number, lane in enumerate(named.values()):
        unnamed |= _draw_lane(ax, lane, -number)
    ax.set_yticks([-number for number in range(len(named))], list(named))
    style_axes(ax, title="When was the connection up?", x="time (s)", lanes=True)
    place_keys(ax, _keys(unnamed, attempts=any(span.attempts for span in spans)), indent=-names)
    return ax


def _draw_lane(ax: Axes, lane: Sequence[StatusSpan], y: float) -> set[ConnectionStatus]:
    """Draw the spans, and name those with enough room; return the statuses that need a legend entry."""
    named: set[ConnectionStatus] = set()
    unit = size(ax)[0] / (ax.get_xlim()[1] - ax.get_xlim()[0])
    for span in lane:
        if span.end <= span.start:
            continue
        style = STATUS_LOOKS[span.status]
        bar(
            ax,
            span.start,
            y - LANE / 2,
            span.end - span.start,
            LANE,
            facecolor=style.fill,
            edgecolor=INK,
            hatch=style.hatch,
            linewidth=0.6,
            gid=span.status.value,
        )
        if text_width(span.status.value, SMALL) + 8 < (span.end - span.start) * unit:
            named.add(span.status)
            ax.text(
                (span.start + span.end) / 2,
                y,
                span.status.value,
                fontsize=SMALL,
                color=style.text,
                ha="center",
                va="center_baseline",
                bbox=UNDERLAY | {"facecolor": style.fill},
            )
    attempts = [at for span in lane for at in span.attempts]
    ax.plot(attempts, [y + LANE / 2 + 0.1] * len(attempts), gid="attempts", clip_on=False, **ATTEMPT)
    return {span.status for span in lane if span.end > span.start} - named


def _draw_fault(ax: Axes, fault: FaultSpan, y: float) -> None:
    if fault.end > fault.start:
        last = min(fault.end, ax.get_xlim()[1])
        ax.axvspan(fault.start, last, facecolor="#dedede", edgecolor="none", zorder=0, gid="fault")
    ax.axvline(fault.start, color=INK, linewidth=0.8, linestyle=(0, (3, 2)), zorder=0.5, gid="fault")
    ax.text(_extent(ax, fault)[0], y, _words(fault), fontsize=SMALL, color=INK, va="center", clip_on=True)


def _words(fault: FaultSpan) -> str:
    return fault.kind.replace("_", " ")


def _extent(ax: Axes, fault: FaultSpan) -> tuple[float, float]:
    """Return begin and end of the fault's name: after the fault's start, or before it for lack of room."""
    left, right = ax.get_xlim()
    second = size(ax)[0] / (right - left)
    length = (text_width(_words(fault), SMALL) + 2) / second
    gap = 3 / second
    begin = fault.start + gap if fault.start + gap + length <= right else fault.start - gap - length
    begin = max(begin, left + gap)
    return begin, begin + length


def _rows(ax: Axes, faults: Sequence[FaultSpan]) -> list[int]:
    """Assign each fault's name to a row, from the lowest up, so that names don't overlap."""
    extents = [_extent(ax, fault) for fault in faults]
    rows = [0] * len(faults)
    ends: list[float] = []
    for index in sorted(range(len(faults)), key=extents.__getitem__):
        begin, end = extents[index]
        row = next((row for row, taken in enumerate(ends) if taken <= begin), len(ends))
        ends[row : row + 1] = [end]
        rows[index] = row
    return rows


def _keys(statuses: set[ConnectionStatus], *, attempts: bool) -> list[Artist]:
    keys: list[Artist] = [
        Patch(
            facecolor=STATUS_LOOKS[status].fill,
            edgecolor=INK,
            hatch=STATUS_LOOKS[status].hatch,
            linewidth=0.6,
            label=status.value,
        )
        for status in ConnectionStatus
        if status in statuses
    ]
    if attempts:
        keys.append(Line2D([], [], label="attempt to connect", **ATTEMPT))
    return keys


def place_keys(ax: Axes, keys: Sequence[Artist], *, indent: float = 0.0) -> None:
    """Set the legend below the axes; `indent` is in points."""
    width, height = size(ax)
    if keys:
        ax.legend(
            handles=keys,
            loc="upper left",
            bbox_to_anchor=(indent / width, -28 / height),
            ncols=3 if width > KEYS else 2,
            fontsize=SMALL,
            frameon=False,
            borderaxespad=0,
            borderpad=0,
            handlelength=2.2,
            columnspacing=1.2,
        )
