"""Plots of a sweep's table: a heat map of a metric over two settings, and cost against latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from chatlab.errors import SettingsError
from chatlab.plots.style import (
    FAINT,
    INK,
    TEXT,
    UNDERLAY,
    grid,
    look,
    new_axes,
    size,
    spread,
    style_axes,
    text_width,
)

if TYPE_CHECKING:
    import pandas as pd

NEVER = 3.0
"""Factor by which marks with an infinite latency are at the right of the others."""
GREYS = (0.97, 0.25)
"""Brightness of the smallest and the largest value; darker is larger."""

_UNITS = {"latency": "s", "recovery": "s", "time": "s of all people", "bytes": "bytes"}


def plot_sweep(
    table: pd.DataFrame, x: str, y: str, value: str, *, log: bool = False, ax: Axes | None = None
) -> Axes:
    """Draw a heat map of a sweep: the median of `value` for each pair of the settings `x` and `y`.

    Each cell shows its median, and below it the least and the greatest value if they differ; darker is
    larger. An infinite median is "never", and as dark as the largest. `log` shades by orders of magnitude. A
    hatched cell has no value: its runs failed, or it wasn't run. Settings keep the order of the table.

    Errors: `SettingsError` naming a missing column, or if there is nothing to draw.
    """
    _check_columns(table, x, y, value)
    columns, rows = (list(dict.fromkeys(table[name])) for name in (x, y))
    found = table.groupby([y, x], sort=False)[value].agg(["median", "min", "max"])
    spreads = {key: found.loc[key].tolist() for key in found.index}
    unknown = [np.nan] * 3
    cells = np.array([[spreads.get((row, column), unknown) for column in columns] for row in rows])
    if np.isnan(cells).all():
        raise SettingsError(f"nothing to draw: no run has a value of {value!r}")
    if ax is None:
        names = max(text_width(_named(row), TEXT) for row in rows) * 25.4 / 72
        ax = new_axes(height=30.0 + 11.0 * len(rows), left=names + 12.0)
    shades = _shades(cells[..., 0], log=log)
    room = size(ax)[0] / len(columns)
    for (row, column), shade in np.ndenumerate(shades):
        _draw_cell(ax, column, row, cells[row, column].tolist(), float(shade), room)
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xticks(range(len(columns)), [_named(column) for column in columns])
    ax.set_yticks(range(len(rows)), [_named(row) for row in rows])
    style_axes(ax, title="What do the settings change?", note=_note(table, value), x=x, y=y)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def plot_cost(
    table: pd.DataFrame,
    by: str | Sequence[str],
    *,
    cost: str = "requests",
    latency: str = "latency_p50",
    ax: Axes | None = None,
) -> Axes:
    """Draw the cost of a delivered message against latency, with one mark for each value of `by`.

    `cost` is a column such as "requests", "bytes_down" or "attempts", divided by the delivered messages. Each
    mark is the median over its runs. Both axes are logarithmic; the lower left is better. A mark with an
    infinite latency is hollow and at the right edge, and named "never".

    Errors: `SettingsError` naming a missing column, or if there is nothing to draw.
    """
    keys = [by] if isinstance(by, str) else list(by)
    _check_columns(table, *keys, cost, latency, "delivered")
    usable = table[(table["delivered"] > 0) & (table[cost] > 0) & (table[latency] > 0)]
    if usable.empty:
        raise SettingsError(f"nothing to draw: no run has a {cost!r} and a {latency!r} above 0")
    marks = (
        usable.assign(each=usable[cost] / usable["delivered"])
        .groupby(keys, sort=False)[[latency, "each"]]
        .median()
    )
    ax = new_axes(left=16.0) if ax is None else ax
    ax.set_xscale("log")
    ax.set_yscale("log")
    never = np.isinf(marks[latency])
    edge = NEVER * float(marks[latency][~never].max()) if not never.all() else 1.0
    late, each = marks[latency].where(~never, edge).tolist(), marks["each"].tolist()
    for number, (x, y, away) in enumerate(zip(late, each, never, strict=True)):
        style = look(number)
        fill = "white" if away else style.colour
        ax.plot(
            x,
            y,
            linestyle="none",
            marker=style.marker,
            markersize=7,
            color=style.colour,
            markerfacecolor=fill,
            gid="never" if away else None,
        )
    names = [
        _setting(key) + (" (never)" if away else "") for key, away in zip(marks.index, never, strict=True)
    ]
    _name_marks(ax, names, late, each)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    grid(ax.xaxis, ax.yaxis)
    style_axes(
        ax,
        title="What does it cost to be quick?",
        note="both axes logarithmic; the lower left is better",
        x=f"{_words(latency)} (s)",
        y=f"{_words(cost)} per delivered message",
    )
    return ax


def _name_marks(ax: Axes, names: Sequence[str], x: Sequence[float], y: Sequence[float]) -> None:
    """Write each name at the right, near the height of its mark, with a line to the mark."""
    width, height = size(ax)
    room = max(text_width(name, TEXT, bold=True) for name in names) + 16
    (left, right), (low, high) = (_span(values) for values in (x, y))
    ax.set_xlim(10**left, 10 ** (right + (right - left) * room / max(width - room, width / 4)))
    ax.set_ylim(10**low, 10**high)
    line = 1.3 * TEXT * (high - low) / height
    places = spread(np.log10(y).tolist(), line, low + line / 2, high - line / 2)
    for number, (name, at_x, at_y, place) in enumerate(zip(names, x, y, places, strict=True)):
        colour = look(number).colour
        ax.annotate(
            name,
            (at_x, at_y),
            (10**right, 10**place),
            va="center",
            fontsize=TEXT,
            fontweight="bold",
            color=colour,
            bbox=UNDERLAY,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4},
        )


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of the values' logarithms, with some margin."""
    low, high = float(np.log10(min(values))), float(np.log10(max(values)))
    room = max(0.12 * (high - low), 0.15)
    return low - room, high + room


def _setting(key: object) -> str:
    return ", ".join(map(_named, key if isinstance(key, tuple) else (key,)))


def _check_columns(table: pd.DataFrame, *names: str) -> None:
    for name in names:
        if name not in table:
            raise SettingsError(
                f"there is no column {name!r}; choose from {', '.join(map(str, table.columns))}"
            )


def _shades(
    grid: np.ndarray[Any, np.dtype[np.float64]], *, log: bool
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Scale the values to the range from 0, the smallest, to 1, the largest or infinite."""
    never = np.isinf(grid)
    grid = np.where(never, np.nan if np.isfinite(grid).any() else 0.0, grid)
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(np.where(grid > 0, grid, np.nan))
        grid = np.where(
            np.isfinite(logs), logs, np.where(np.isnan(grid), np.nan, np.nanmin(logs, initial=0.0))
        )
    low, high = np.nanmin(grid), np.nanmax(grid)
    return np.where(never, 1.0, (grid - low) / (high - low) if high > low else np.zeros_like(grid))


def _draw_cell(ax: Axes, column: int, row: int, spread: Sequence[float], shade: float, room: float) -> None:
    median, least, greatest = spread
    known = not np.isnan(median)
    grey = GREYS[0] + (GREYS[1] - GREYS[0]) * shade if known else 1.0
    ax.add_patch(
        Rectangle(
            (column - 0.5, row - 0.5),
            1,
            1,
            facecolor=(grey, grey, grey),
            edgecolor="white" if known else FAINT,
            hatch="" if known else "////",
            linewidth=1.2,
            gid="cell" if known else "missing",
        )
    )
    if known:
        between = "" if least == greatest else f"\n{_figure(least)} – {_figure(greatest)}"
        ax.text(
            column,
            row,
            _figure(median) + (between if text_width(between.strip(), TEXT) < room else ""),
            fontsize=TEXT,
            color=INK if grey > 0.55 else "white",
            ha="center",
            va="center",
        )


def _figure(value: float) -> str:
    if np.isinf(value):
        return "never"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _named(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(name: str) -> str:
    """Return a metric's name in words, such as "latency, 95th percentile"."""
    head, _, tail = name.rpartition("_p")
    if head and tail.isdecimal():
        return f"{head.replace('_', ' ')}, " + ("median" if tail == "50" else f"{tail}th percentile")
    return name.removesuffix("_max").replace("_", " ") + (", maximum" if name.endswith("_max") else "")


def _note(table: pd.DataFrame, value: str) -> str:
    unit = _UNITS.get(value.split("_")[0])
    seeds = table["seed"].nunique() if "seed" in table else 1
    median = f", median of {seeds} seeds" if seeds > 1 else ""
    return f"{_words(value)}{f' ({unit})' if unit else ''}{median}"
