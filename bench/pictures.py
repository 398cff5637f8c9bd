"""The pictures of docs/performance.md: the reached share of each aim, and the cost of growing crowds."""

from collections.abc import Sequence
from math import log

from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from bench.report import DOCS, Figure, Growth, Records
from chatlab.plots.style import (
    FAINT,
    INK,
    SMALL,
    UNDERLAY,
    figure_of,
    look,
    new_row,
    style_axes,
    text_width,
)

PICTURES = DOCS / "pictures"
LINE, BARS = 4.0, 80.0
"""Millimetres of a bar with the room around it, and of the longest one."""
REACHED, MISSED = look(2), look(1)


def draw(records: Records) -> None:
    """Draw both pictures into docs/pictures, if there are figures for them."""
    shares = [figure for record in records.values() for figure in record.figures if figure.share]
    if shares:
        _save(aims(sorted(shares, key=lambda figure: figure.item)), "aims.png")
    grown = [record.growth for record in records.values() if record.growth]
    if grown:
        _save(growth(grown[0])[0], "growth.png")


def _save(ax: Axes, name: str) -> None:
    figure_of(ax).savefig(PICTURES / name, pil_kwargs={"optimize": True})


def aims(figures: Sequence[Figure]) -> Axes:
    """Draw a bar for each figure: a longer bar is better, and one that reaches the line has met its aim."""
    names = [f"{figure.item}. {figure.what}" for figure in figures]
    left = max(text_width(name, SMALL) for name in names) * 25.4 / 72 + 4.0
    (ax,) = new_row(1, width=left + BARS, height=24.0 + LINE * len(names), left=left)
    shares = [figure.share or 0.0 for figure in figures]
    low = min(0.5, *shares) / 1.3
    bars = ax.barh(
        names,
        [share - low for share in shares],
        left=low,
        color=[(REACHED if share >= 1 else MISSED).colour for share in shares],
        hatch=["" if share >= 1 else "///" for share in shares],
        edgecolor="white",
        height=0.7,
    )
    ax.axvline(1.0, color=INK, linewidth=1.0)
    labels = [f"{share:.2g}" for share in shares]
    ax.bar_label(bars, labels, padding=2, fontsize=SMALL, color=INK, bbox=UNDERLAY)
    ax.set_xscale("log")
    ax.set_xlim(low, max(2.0, *shares) * 1.6)
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set_ylim(len(names) - 0.4, -0.6)
    note = "striped: less than all of it"
    style_axes(ax, title="How much of each aim is reached?", note=note, x="share of the aim")
    ax.tick_params(axis="y", labelsize=SMALL, length=0)
    return ax


def growth(crowds: Sequence[Growth]) -> list[Axes]:
    """Draw the cost of one person, in CPU time and in memory, by the size of the crowd."""
    people = [crowd.people for crowd in crowds]
    times = [crowd.seconds / crowd.people * 1e6 for crowd in crowds]
    sizes = [crowd.bytes / crowd.people / 1e3 for crowd in crowds]
    row = new_row(2, width=75.0, height=55.0, left=13.0)
    for ax, costs, title, unit in zip(
        row, (times, sizes), ("Time", "Memory"), ("CPU µs a person", "kB a person"), strict=True
    ):
        bound = [costs[0] * log(crowd) / log(people[0]) for crowd in people]
        ax.plot(people, bound, color=FAINT, linestyle=(0, (4, 2)))
        ax.plot(people, costs, "o-", color=REACHED.colour)
        ax.set_xscale("log")
        ax.set_ylim(0.0, 1.15 * max(*costs, *bound))
        style_axes(ax, title=title, note="dashed: n log n, from the smallest crowd", x="people", y=unit)
    return row
