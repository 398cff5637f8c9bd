"""Style of all plots: legible on a slide 100 mm wide from the last row, also in black and white.

Figures are white, not transparent, so that they stay legible in a dark notebook. They don't use pyplot: no
global state changes, callbacks are safe, and Jupyter shows a cell that ends in `plot_backoff(...).figure`.
Margins are fixed, which is three times as fast as computing them, and keeps the axes still under a slider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.textpath import TextPath
from msgspec import Struct
from numpy.typing import ArrayLike

from chatlab.messages import ConnectionStatus
from chatlab.plots.png import png

WIDTH, HEIGHT = 100.0, 64.0
"""Default size of a figure in millimetres."""
DPI = 200
TEXT, TITLE, SMALL = 8.0, 9.0, 7.0
"""Font sizes in points; none is smaller than `SMALL`."""
INK, FAINT = "#1a1a1a", "#b8b8b8"

UNDERLAY = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
"""Text background that hides the lines behind."""
RGB = tuple[float, float, float]

_INCH = 25.4


class Look(Struct, frozen=True):
    """Style of a series, distinguishable with and without colour."""

    colour: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str
    hatch: str


class StatusLook(Struct, frozen=True):
    """Style of a status: fill colour, text colour and hatch."""

    fill: str
    text: str
    hatch: str


# After Okabe and Ito, for the colour-blind, but darker, so that coloured text is legible on white.
LOOKS = (
    Look("#000000", "-", "o", "////"),
    Look("#c85200", (0, (5, 1.5)), "s", "\\\\\\\\"),
    Look("#0072b2", (0, (1, 1.2)), "^", "...."),
    Look("#00795a", (0, (5, 1.5, 1, 1.5)), "D", "||||"),
    Look("#a3427a", (0, (8, 2)), "v", "----"),
    Look("#7f5a00", (0, (3, 1, 1, 1, 1, 1)), "P", "xxxx"),
    Look("#3b7da8", (0, (2, 2)), "X", "++++"),
)


STATUS_LOOKS: Mapping[ConnectionStatus, StatusLook] = MappingProxyType(
    {
        ConnectionStatus.DISCONNECTED: StatusLook("#ffffff", INK, ""),
        ConnectionStatus.CONNECTING: StatusLook("#cfe3f3", INK, "...."),
        ConnectionStatus.CONNECTED: StatusLook("#63c3a0", INK, ""),
        ConnectionStatus.RECONNECTING: StatusLook("#ffd08a", INK, "////"),
        ConnectionStatus.ERROR: StatusLook(INK, "#ffffff", ""),
    }
)
"""Styles of the statuses; on a photocopy they are white, dotted, grey, striped and black."""


def look(index: int) -> Look:
    """Return the style of the series with that index; styles repeat after seven."""
    return LOOKS[index % len(LOOKS)]


def tint(colour: str, share: float = 0.25) -> RGB:
    """Return the colour mixed with white, opaque."""
    red, green, blue = to_rgb(colour)
    return (1 - share + share * red, 1 - share + share * green, 1 - share + share * blue)


class Chart(Figure):
    """A figure that Jupyter shows as PNG without pyplot or a magic command."""

    def _repr_png_(self) -> bytes:
        return png(self)


def figure_of(ax: Axes) -> Figure:
    """Return the figure that contains the axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None, "the axes were removed from their figure"
    return figure


def new_axes(
    *, height: float = HEIGHT, left: float = 12.0, right: float = 3.0, top: float = 11.0, bottom: float = 10.0
) -> Axes:
    """Return the axes of a new figure; `height` and margins are in millimetres."""
    return new_row(1, height=height, left=left, right=right, top=top, bottom=bottom)[0]


def new_row(
    count: int,
    *,
    width: float = WIDTH,
    height: float = HEIGHT,
    left: float = 12.0,
    right: float = 3.0,
    top: float = 11.0,
    bottom: float = 10.0,
) -> list[Axes]:
    """Return `count` axes side by side in a new figure; `width` of each and margins are in millimetres."""
    whole = count * width
    figure = Chart(figsize=(whole / _INCH, height / _INCH), dpi=DPI, facecolor="white")
    return [
        figure.add_axes(
            (
                (number * width + left) / whole,
                bottom / height,
                (width - left - right) / whole,
                (height - top - bottom) / height,
            )
        )
        for number in range(count)
    ]


def style_axes(ax: Axes, *, title: str, note: str = "", x: str, y: str = "", lanes: bool = False) -> None:
    """Set the title, which is a question, a note below it, and axis labels with units.

    With `lanes`, the left axis has only the lanes' names, without a line and tick marks.
    """
    ax.set_facecolor("white")
    # With a given y, matplotlib needn't measure every label to place the title.
    pad = 13 if note else 5
    ax.set_title(title, loc="left", y=1.0, fontsize=TITLE, fontweight="bold", color=INK, pad=pad)
    if note:
        ax.annotate(note, (0, 1), (0, 3), "axes fraction", "offset points", fontsize=SMALL, color=INK)
    ax.set_xlabel(x, fontsize=TEXT, color=INK, labelpad=2)
    ax.set_ylabel(y, fontsize=TEXT, color=INK, labelpad=3)
    _set_ticks(ax.xaxis, length=3)
    _set_ticks(ax.yaxis, length=0 if lanes else 3)
    ax.spines[["top", "right", "left"] if lanes else ["top", "right"]].set_visible(False)


def _set_ticks(axis: Axis, *, length: float) -> None:
    wanted: dict[str, Any] = {"length": length, "labelsize": TEXT, "color": INK, "labelcolor": INK}
    # Setting them again, as on the axes of a reusable figure, would take 1 ms.
    if not wanted.items() <= axis.get_tick_params().items():
        axis.set_tick_params(**wanted)


def grid(*axes: Axis) -> None:
    """Draw a faint line at each tick of the axes, behind everything else."""
    for axis in axes:
        if not axis.get_tick_params()["gridOn"]:
            axis.grid(visible=True, color=FAINT, linewidth=0.4)
        axis.axes.set_axisbelow(True)


def bar(ax: Axes, x: float, y: float, width: float, height: float, **look: Any) -> None:
    """Draw an upright rectangle with its lower left corner at (x, y); set the axes' limits first.

    `Axes.bar` and `Axes.barh` would update the limits, which takes longer than drawing.
    """
    ax.add_artist(Rectangle((x, y), width, height, **look))


def steps(ax: Axes, values: ArrayLike, edges: ArrayLike, number: int, *, baseline: float = 0.0) -> None:
    """Draw a filled histogram in the style of series `number`; set the axes' limits first.

    `Axes.stairs` would compute limits from every step, which takes longer than drawing.
    """
    style = look(number)
    patch = StepPatch(
        values,
        edges,
        baseline=baseline,
        fill=True,
        facecolor=tint(style.colour),
        edgecolor=style.colour,
        linewidth=0.7,
    )
    ax.add_artist(patch)


def size(ax: Axes) -> tuple[float, float]:
    """Return the width and height of the axes in points."""
    box = ax.get_position()
    width, height = figure.get_size_inches() if (figure := ax.get_figure(root=True)) else (0.0, 0.0)
    return float(box.width * width * 72), float(box.height * height * 72)


@lru_cache(maxsize=1_000)
def text_width(text: str, points: float, *, bold: bool = False) -> float:
    """Return the width of a line of text in points."""
    if not text.strip():
        return 0.0
    path = TextPath((0, 0), text, size=points, prop=FontProperties(weight="bold" if bold else "normal"))
    # A font's curves reach their control points; `get_extents` solves the curves, and takes far longer.
    return float(np.ptp(path.vertices[path.codes != TextPath.CLOSEPOLY, 0]))


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move label positions as little as possible so that neighbours are `gap` apart, between low and high.

    The order stays. If there is too little room, they are spread evenly.
    """
    order = np.argsort(positions, kind="stable")
    count = len(order)
    gap = min(gap, (high - low) / max(count - 1, 1))
    offsets = gap * np.arange(count)
    # Isotonic regression: sorted and less the gaps, positions must not decrease; a cluster gets its mean.
    clusters: list[tuple[float, int]] = []
    for wanted in np.asarray(positions, dtype=float)[order] - offsets:
        mean, members = float(wanted), 1
        while clusters and clusters[-1][0] > mean:
            before, others = clusters.pop()
            mean, members = (before * others + mean * members) / (others + members), others + members
        clusters.append((mean, members))
    fitted = np.repeat([mean for mean, _ in clusters], [members for _, members in clusters])
    placed = np.clip(fitted, low, high - gap * (count - 1)) + offsets if count else fitted
    result = np.empty(count)
    result[order] = placed
    return [float(value) for value in result]
