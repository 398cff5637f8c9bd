"""Contention of clients for one database row: simulated and published figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from chatlab.errors import SettingsError
from chatlab.plots.style import INK, SMALL, grid, look, new_axes, style_axes
from chatlab.studies.contention import FORMULAS

if TYPE_CHECKING:
    import pandas as pd

_WHAT = {"seconds": "until all are done (s)", "writes": "writes of all clients"}


def plot_contention(table: pd.DataFrame, *, of: str = "writes", ax: Axes | None = None) -> Axes:
    """Draw the `seconds` or `writes` of `compare_formulas` over the number of clients, on logarithmic axes.

    Filled marks are simulated values, large open marks published ones.

    Errors: `SettingsError` if there is no such column.
    """
    if of not in _WHAT:
        raise SettingsError(f"of: choose one of {', '.join(_WHAT)}, got {of!r}")
    ax = new_axes(left=15.0, right=28.0) if ax is None else ax
    for number, formula in enumerate(FORMULAS):
        rows = table[table["formula"] == formula]
        style = look(number)
        ax.plot(
            rows["clients"],
            rows[of],
            label=formula,
            color=style.colour,
            linestyle=style.line,
            linewidth=1.2,
            marker=style.marker,
            markersize=4,
        )
        ax.plot(
            rows["clients"],
            rows[f"published_{of}"],
            linestyle="none",
            marker=style.marker,
            markersize=9,
            markerfacecolor="none",
            markeredgecolor=style.colour,
            markeredgewidth=0.8,
            gid="published",
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sorted(set(table["clients"]))))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    grid(ax.yaxis)
    style_axes(
        ax,
        title="What does contention for one row cost?",
        note="every client updates it once, and sleeps after a conflict",
        x="clients",
        y=_WHAT[of],
    )
    published = Line2D(
        [],
        [],
        linestyle="none",
        marker="o",
        markersize=9,
        markerfacecolor="none",
        color=INK,
        label="published",
    )
    ax.legend(
        handles=[*ax.get_lines()[::2], published],
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0,
        fontsize=SMALL,
        frameon=False,
        handlelength=2.8,
    )
    return ax
