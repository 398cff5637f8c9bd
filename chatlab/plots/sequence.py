"""Sequence diagram: the exchange between one person's transport and the server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.spans import FaultSpan
from chatlab.messages import ConnectionStatus
from chatlab.plots.sequence_lines import SequenceLine, sequence
from chatlab.plots.style import INK, SMALL, STATUS_LOOKS, TEXT, TITLE, UNDERLAY, new_axes, size, text_width

__all__ = ["SequenceLine", "plot_sequence", "sequence"]

ROW = 5.6
"""Millimetres from one line to the next."""
LEFT, RIGHT = 42.0, 14.0
"""Millimetres beside the lifelines, for times and notes, and for the names of faults."""
LATEST = 24
"""Lines of a diagram of the latest exchange."""
SLOPE = 0.3
"""Rows that an arrow descends; not to scale."""


def plot_sequence(
    run: Run,
    person: str,
    *,
    start: float = 0.0,
    end: float | None = None,
    limit: int = 24,
    ax: Axes | None = None,
) -> Axes:
    """Draw the exchange between one person's transport and the server from `start` to `end`, in seconds.

    Each event has a line, with its time at the left; time is not to scale. At most `limit` lines are drawn.
    An arrow that ends in a cross was lost, as far as the person can know.

    Errors: `SettingsError` if the person wasn't recorded, or there is nothing to draw.
    """
    end = run.scenario.duration if end is None else end
    return plot_exchange(
        sequence(run.steps(person)), person, run.faults, start=start, end=end, limit=limit, ax=ax
    )


def plot_exchange(
    every: Sequence[SequenceLine],
    person: str,
    faults: Iterable[FaultSpan] = (),
    *,
    start: float,
    end: float,
    limit: int = 24,
    rows: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the lines of one person's exchange from `start` to `end`, in seconds, as `plot_sequence` does.

    New axes have room for `rows` lines at least.

    Errors: `SettingsError` if there is nothing to draw.
    """
    lines = [line for line in every if start <= line.at <= end]
    if not lines:
        raise SettingsError(f"nothing to draw: nothing happened to {person!r} from {start:g} to {end:g} s")
    shown = lines[: max(limit, 1)]
    before = [line.status for line in every if line.at < start and line.status is not None]
    rows = max(rows, len(shown))
    if ax is None:
        ax = new_axes(height=21.0 + ROW * rows, left=LEFT, right=RIGHT, top=17.0, bottom=4.0)
    ax.set_xlim(0, 1)
    ax.set_ylim(rows - 0.3, -0.7)
    ax.set_axis_off()
    _draw_faults(ax, faults, shown, complete=len(shown) == len(lines), end=end)
    _draw_lifelines(ax, person, shown, before[-1] if before else ConnectionStatus.DISCONNECTED)
    for row, line in enumerate(shown):
        is_new = row == 0 or f"{line.at:.2f}" != f"{shown[row - 1].at:.2f}"
        _draw_line(ax, row, line, time=f"{line.at:,.2f} s" if is_new else "")
    more = len(lines) - len(shown)
    _head(
        ax,
        f"{more:,} more {'line' if more == 1 else 'lines'} until {end:g} s"
        if more
        else "time runs down, not to scale",
    )
    return ax


def plot_latest(
    every: Sequence[SequenceLine],
    person: str,
    faults: Iterable[FaultSpan] = (),
    *,
    end: float,
    most: int = LATEST,
    rows: int = 0,
) -> Axes:
    """Draw the latest lines of one person's exchange, `most` of them and those at the same time as the first.

    Errors: `SettingsError` if there is nothing to draw.
    """
    if not every:
        raise SettingsError("there are no frames yet: connect first")
    start = every[-most:][0].at
    return plot_exchange(every, person, faults, start=start, end=end, limit=2 * most, rows=rows)


def _head(ax: Axes, note: str) -> None:
    """Draw title and note from the figure's left edge, as the lifelines leave little room."""
    offset = -72 * LEFT / 25.4 + 8
    for text, points, up, weight in (
        ("What did client and server exchange?", TITLE, 30, "bold"),
        (note, SMALL, 19, "normal"),
    ):
        ax.annotate(
            text,
            (0, 1),
            (offset, up),
            "axes fraction",
            "offset points",
            fontsize=points,
            fontweight=weight,
            color=INK,
        )


def _draw_lifelines(ax: Axes, person: str, lines: Sequence[SequenceLine], status: ConnectionStatus) -> None:
    """Draw the person's lifeline in the style of its statuses, and the server's."""
    width = 7.0 / size(ax)[0]
    since = -0.5
    changes = [(row, line.status) for row, line in enumerate(lines) if line.status is not None]
    for row, after in [*changes, (len(lines) - 0.5, None)]:
        if after is status:
            continue
        style = STATUS_LOOKS[status]
        ax.add_patch(
            Rectangle(
                (-width / 2, since),
                width,
                row - since,
                facecolor=style.fill,
                edgecolor=INK,
                hatch=style.hatch,
                linewidth=0.6,
                clip_on=False,
                gid=status.value,
            )
        )
        if after is not None:
            status, since = after, row
    ax.plot([1, 1], [-0.5, len(lines) - 0.5], color=INK, linewidth=1.2, clip_on=False, gid="server")
    for x, name in ((0, person), (1, "server")):
        ax.annotate(
            name,
            (x, -0.5),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=TEXT,
            fontweight="bold",
            color=INK,
            annotation_clip=False,
        )


def _draw_line(ax: Axes, row: int, line: SequenceLine, *, time: str) -> None:
    points = size(ax)[0]
    margin = 72 * LEFT / 25.4
    ax.text((8 - margin) / points, row, time, fontsize=SMALL, color=INK, va="center_baseline")
    room = margin - 16 - text_width(f"{line.at:,.2f} s", SMALL) - 4
    ax.text(
        -8 / points,
        row,
        _fitted(line.note, room),
        fontsize=SMALL,
        color=INK,
        ha="right",
        va="center_baseline",
    )
    if line.direction is None:
        return
    far = 0.72 if line.lost else 1.0
    head, tail = (
        ((far, row + SLOPE * far), (0, row)) if line.direction == "up" else ((0, row), (1, row - SLOPE))
    )
    style: dict[str, Any] = {
        "arrowstyle": "-" if line.lost else "-|>",
        "color": INK,
        "linewidth": 0.9,
        "shrinkA": 4,
        "shrinkB": 3,
    }
    style |= {"linestyle": (0, (4, 2))} if line.lost else {}
    ax.annotate(
        "", head, tail, arrowprops=style, annotation_clip=False, gid="lost" if line.lost else line.direction
    )
    if line.lost:
        ax.plot(*head, marker="x", markersize=6, markeredgewidth=1.5, color=INK, gid="cross")
    middle = far / 2
    y = row + SLOPE * middle if line.direction == "up" else row - SLOPE / 2
    ax.text(
        middle,
        y,
        _fitted(line.text, far * points - 24),
        fontsize=SMALL,
        color=INK,
        ha="center",
        va="center_baseline",
        bbox=UNDERLAY,
        gid="frame",
    )


def _fitted(text: str, room: float) -> str:
    """Return the text, shortened to a width of `room` points."""
    while text_width(text, SMALL) > room and text not in ("", "…"):
        text = text.rstrip("…")[:-1] + "…"
    return text


def _draw_faults(
    ax: Axes, faults: Iterable[FaultSpan], lines: Sequence[SequenceLine], *, complete: bool, end: float
) -> None:
    """Shade the lines during each fault, and name the fault at the right."""
    last = end if complete else lines[-1].at
    for fault in faults:
        if fault.end < lines[0].at or fault.start > last:
            continue
        top, bottom = (sum(line.at < at for line in lines) - 0.5 for at in (fault.start, fault.end))
        if bottom > top:
            ax.axhspan(top, bottom, facecolor="#e4e4e4", edgecolor="none", zorder=0, gid="fault")
        ax.axhline(top, color=INK, linewidth=0.8, linestyle=(0, (3, 2)), zorder=0.5, gid="fault")
        ax.annotate(
            fault.kind.replace("_", "\n"),
            (1, top),
            (5, -2),
            textcoords="offset points",
            fontsize=SMALL,
            color=INK,
            va="top",
            linespacing=1.0,
            annotation_clip=False,
        )
