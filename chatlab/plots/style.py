"""How every plot looks: for a slide 100 mm wide, seen from the last row, in black and white too.

Figures are white, not transparent, so that they stay legible in a dark notebook. They aren't pyplot's:
nothing global changes, callbacks are safe, and Jupyter shows a cell that ends in `plot_backoff(...).figure`.
Margins are fixed, which is three times as quick as computing them, and keeps the axes still under a slider.
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
"""Millimetres of a figure."""
DPI = 200
TEXT, TITLE, SMALL = 8.0, 9.0, 7.0
"""Points of letters; nothing is smaller than `SMALL`."""
INK, FAINT = "#1a1a1a", "#b8b8b8"

UNDERLAY = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
"""What keeps letters off the lines behind them."""
RGB = tuple[float, float, float]

_INCH = 25.4


class Look(Struct, frozen=True):
    """How one series is told from the others, with colour or without."""

    colour: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str
    hatch: str


class StatusLook(Struct, frozen=True):
    """How a status is filled, what is legible on it, and its hatch."""

    fill: str
    text: str
    hatch: str


# After Okabe and Ito, for the colour-blind; darker than theirs, so that text in them reads well on white.
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
"""White, dotted, grey, striped and black on a photocopy."""


def look(index: int) -> Look:
    """Return the look of the series with that number; they repeat after seven."""
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
    """Return the whole figure that the axes are in."""
    figure = ax.get_figure(root=True)
    assert figure is not None, "the axes were removed from their figure"
    return figure


def new_axes(
    *, height: float = HEIGHT, left: float = 12.0, right: float = 3.0, top: float = 11.0, bottom: float = 10.0
) -> Axes:
    """Return the axes of a new figure; `height` and the margins are millimetres."""
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
    """Return so many axes side by side in a new figure; each has `width`, and margins, in millimetres."""
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
    """Give the axes their question as title, a note under it, and labels with units.

    What stands in `lanes` needs their names at its left, but neither a line nor marks.
    """
    ax.set_facecolor("white")
    # With a given y matplotlib doesn't measure every label to find a free place for the title.
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
    # To set them takes 1 ms where there are some already, as on the axes of a sheet.
    if not wanted.items() <= axis.get_tick_params().items():
        axis.set_tick_params(**wanted)


def grid(*axes: Axis) -> None:
    """Draw a faint line at each mark of those axes, behind all else."""
    for axis in axes:
        if not axis.get_tick_params()["gridOn"]:
            axis.grid(visible=True, color=FAINT, linewidth=0.4)
        axis.axes.set_axisbelow(True)


def bar(ax: Axes, x: float, y: float, width: float, height: float, **look: Any) -> None:
    """Draw an upright rectangle with its lower left corner at (x, y); the axes' limits must be set.

    `Axes.bar` and `Axes.barh` would see what it does to the limits, which takes longer than to draw it.
    """
    ax.add_artist(Rectangle((x, y), width, height, **look))


def steps(ax: Axes, values: ArrayLike, edges: ArrayLike, number: int, *, baseline: float = 0.0) -> None:
    """Fill a histogram in the look of the series with that number; the axes' limits must be set.

    `Axes.stairs` would ask every step for its extent, to guess limits, which takes longer than to draw them.
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
    """Return how wide a line of text is, in points."""
    if not text.strip():
        return 0.0
    path = TextPath((0, 0), text, size=points, prop=FontProperties(weight="bold" if bold else "normal"))
    # A font's curves reach as far as their points; `get_extents` solves for that, and takes far longer.
    return float(np.ptp(path.vertices[path.codes != TextPath.CLOSEPOLY, 0]))


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels as little as it takes for neighbours to be `gap` apart, between low and high.

    The order stays. Where there is no room for all, they are spread evenly.
    """
    order = np.argsort(positions, kind="stable")
    count = len(order)
    gap = min(gap, (high - low) / max(count - 1, 1))
    offsets = gap * np.arange(count)
    # In sorted order, less the gaps, the positions must not fall; cluster by cluster, that is their mean.
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
