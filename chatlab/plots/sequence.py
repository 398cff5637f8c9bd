"""Sequence diagram: what one person's transport and the server said to each other, line by line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from msgspec import Struct

from chatlab.dialects.base import excerpt
from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.spans import FaultSpan
from chatlab.messages import ConnectionStatus
from chatlab.plots.style import INK, SMALL, STATUS_LOOKS, TEXT, TITLE, UNDERLAY, new_axes, size, text_width
from chatlab.trace import Step
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Effect,
    Event,
    Fetch,
    Notify,
    Opened,
    OpenWebSocket,
    Ping,
    Pong,
    Received,
    ReceivedBytes,
    Send,
    SendBytes,
    Submit,
)

ROW = 5.6
"""Millimetres from one line to the next."""
LEFT, RIGHT = 42.0, 14.0
"""Millimetres beside the lifelines: for times and notes, and for the names of faults."""
SLOPE = 0.3
"""How many lines an arrow falls on its way; not to scale."""
ABNORMAL = 1006


class Line(Struct, frozen=True):
    """One line of the diagram, at `at` by the person's clock: a note, an arrow, or both.

    `way` is "up" to the server or "down" from it. A *lost* frame has gone up, and the link ended without
    another word from the server.
    """

    at: float
    note: str = ""
    way: Literal["up", "down"] | None = None
    text: str = ""
    lost: bool = False
    status: ConnectionStatus | None = None


def plot_sequence(
    run: Run,
    person: str,
    *,
    start: float = 0.0,
    end: float | None = None,
    limit: int = 24,
    ax: Axes | None = None,
) -> Axes:
    """Draw what one person's transport and the server said to each other from `start` to `end`, in seconds.

    Each event has a line of its own, with its time at the left: time is not to scale, and `limit` is how many
    lines are drawn at most. An arrow that ends in a cross was lost, as far as the person can know.

    Errors: `SettingsError` where the person wasn't recorded, or there is nothing to draw.
    """
    end = run.scenario.duration if end is None else end
    every = sequence(run.steps(person))
    lines = [line for line in every if start <= line.at <= end]
    if not lines:
        raise SettingsError(f"nothing to draw: nothing happened to {person!r} from {start:g} to {end:g} s")
    shown = lines[: max(limit, 1)]
    before = [line.status for line in every if line.at < start and line.status is not None]
    if ax is None:
        ax = new_axes(height=21.0 + ROW * len(shown), left=LEFT, right=RIGHT, top=17.0, bottom=4.0)
    ax.set_xlim(0, 1)
    ax.set_ylim(len(shown) - 0.3, -0.7)
    ax.set_axis_off()
    _draw_faults(ax, run.faults, shown, complete=len(shown) == len(lines), end=end)
    _draw_lifelines(ax, person, shown, before[-1] if before else ConnectionStatus.DISCONNECTED)
    for row, line in enumerate(shown):
        fresh = row == 0 or f"{line.at:.2f}" != f"{shown[row - 1].at:.2f}"
        _draw_line(ax, row, line, time=f"{line.at:,.2f} s" if fresh else "")
    more = len(lines) - len(shown)
    _head(
        ax,
        f"{more:,} more {'line' if more == 1 else 'lines'} until {end:g} s"
        if more
        else "time runs down, not to scale",
    )
    return ax


# From steps to lines


def sequence(steps: Iterable[Step]) -> list[Line]:
    """Return the lines of one person's steps, in order; steps without any leave no trace."""
    steps = list(steps)
    heard: dict[int, float] = {}
    ended: set[int] = set()
    for step in steps:
        match step.event:
            case Opened(link) | Received(link) | ReceivedBytes(link) | Answered(link) | Pong(link):
                heard[link] = step.at
            case Closed(link, failure):
                ended.add(link)
                if failure.kind == "refused":
                    heard[link] = step.at
            case _:
                pass  # nothing has come from the server
        ended |= {effect.link for effect in step.effects if isinstance(effect, Close) and effect.code != 1000}
    lines = []
    for step in steps:
        notes, status = _notes(step)
        arrows = [("down", text, False)] if (text := _incoming(step.event)) else []
        for effect in step.effects:
            if text := _outgoing(effect):
                link = effect.link  # type: ignore[union-attr]  # what goes out has one
                arrows.append(("up", text, link in ended and heard.get(link, -1.0) <= step.at))
        note = ", ".join(notes)
        if not arrows and note:
            lines.append(Line(step.at, note, status=status))
        for number, (way, text, lost) in enumerate(arrows):
            first = number == 0
            way_: Literal["up", "down"] = "up" if way == "up" else "down"
            lines.append(Line(step.at, note if first else "", way_, text, lost, status if first else None))
    return lines


def _notes(step: Step) -> tuple[list[str], ConnectionStatus | None]:
    """Say what the person did, and what the transport told."""
    notes, status = [], None
    match step.event:
        case Submit(message):
            notes.append(f"sends {_quoted(message.text)}")
        case Closed(_, failure) if failure.kind in ("timeout", "dns", "tls", "protocol"):
            notes.append(failure.kind)
    for effect in step.effects:
        match effect:
            case Notify(change):
                status = change.status
                wait = None if change.retry_at is None else max(0.0, change.retry_at - step.at)
                notes.append(change.status.value if wait is None else f"retries in {wait:.1f} s")
            case Close(_, code) if code == ABNORMAL:
                notes.append("gives the link up")
    return notes, status


def _incoming(event: Event) -> str:
    """Say what has come from the server; nothing where nothing has."""
    match event:
        case Opened():
            return "open"
        case Received(_, data):
            return _frame(data)
        case ReceivedBytes(_, data):
            return _piece(data)
        case Answered(_, answer):
            return f"{answer.status}, {len(answer.body):,} bytes"
        case Pong(_, id):
            return f"Pong {id}"
        case Closed(_, failure) if failure.kind == "close":
            return "reset" if failure.code == ABNORMAL else f"close {failure.code}"
        case Closed(_, failure) if failure.kind == "http":
            return f"HTTP {failure.code}"
        case Closed(_, failure) if failure.kind in ("refused", "reset"):
            return failure.kind
    return ""


def _outgoing(effect: Effect) -> str:
    """Say what goes to the server; nothing where nothing does."""
    match effect:
        case OpenWebSocket():
            return "open WebSocket"
        case Fetch(_, _, request):
            said = _text(request.body)
            return f"{request.method} {request.path}" if said is None else f"POST {_quoted(said)}"
        case Send(_, data):
            return _frame(data)
        case SendBytes(_, data):
            return f"{len(data):,} bytes"
        case Ping(_, id):
            return f"Ping {id}"
        case Close(_, code) if code != ABNORMAL:
            return f"close {code}"
    return ""


class _Frame(Struct):
    """What is worth telling of a frame in the seed's shapes."""

    type: str
    text: str | None = None
    sender: str | None = None
    id: str | int | None = None


class _Post(Struct):
    """What is worth telling of a posted message."""

    text: str


def _frame(data: str) -> str:
    try:
        frame = msgspec.json.decode(data, type=_Frame)
    except msgspec.DecodeError:
        return _quoted(data)
    if frame.text is not None:
        return f"{frame.sender or frame.type}: {_quoted(frame.text)}"
    return frame.type if frame.id is None else f"{frame.type} {frame.id}"


def _piece(data: bytes) -> str:
    """Say what a piece of an event stream is, where it holds the beginning of an event or a comment."""
    found = re.search(rb"^data: ?(.*)$", data, re.MULTILINE)
    if found is not None:
        return _frame(found[1].decode(errors="replace"))
    return "keep-alive" if data.startswith(b":") else f"{len(data):,} bytes"


def _text(body: str) -> str | None:
    """Return the text of the message that a request posts, if it does."""
    try:
        return msgspec.json.decode(body, type=_Post).text
    except msgspec.DecodeError:
        return None


def _quoted(text: str | None) -> str:
    return f"“{excerpt(text, 16)}”" if text is not None else "bytes"


# Drawing


def _head(ax: Axes, note: str) -> None:
    """Title and note begin at the figure's left: the lifelines leave little room."""
    offset = -72 * LEFT / 25.4 + 8
    for text, points, up, weight in (
        ("What did the two sides say to each other?", TITLE, 30, "bold"),
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


def _draw_lifelines(ax: Axes, person: str, lines: Sequence[Line], status: ConnectionStatus) -> None:
    """Draw the person's lifeline in the looks of its statuses, and the server's."""
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


def _draw_line(ax: Axes, row: int, line: Line, *, time: str) -> None:
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
    if line.way is None:
        return
    far = 0.72 if line.lost else 1.0
    head, tail = ((far, row + SLOPE * far), (0, row)) if line.way == "up" else ((0, row), (1, row - SLOPE))
    style: dict[str, Any] = {
        "arrowstyle": "-" if line.lost else "-|>",
        "color": INK,
        "linewidth": 0.9,
        "shrinkA": 4,
        "shrinkB": 3,
    }
    style |= {"linestyle": (0, (4, 2))} if line.lost else {}
    ax.annotate(
        "", head, tail, arrowprops=style, annotation_clip=False, gid="lost" if line.lost else line.way
    )
    if line.lost:
        ax.plot(*head, marker="x", markersize=6, markeredgewidth=1.5, color=INK, gid="cross")
    middle = far / 2
    y = row + SLOPE * middle if line.way == "up" else row - SLOPE / 2
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
    """Return the text, cut where it is wider than so many points."""
    while text_width(text, SMALL) > room and text not in ("", "…"):
        text = text.rstrip("…")[:-1] + "…"
    return text


def _draw_faults(
    ax: Axes, faults: Iterable[FaultSpan], lines: Sequence[Line], *, complete: bool, end: float
) -> None:
    """Shade the lines that happened during a fault, and name it at the right."""
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
