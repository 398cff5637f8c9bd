"""A measured series, and what the candidates that explain it would have counted."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from chatlab.experiment.fit import Fitted
from chatlab.plots.curves import legend
from chatlab.plots.style import look, new_axes, style_axes, tint


def plot_fit(fitted: Fitted, *, ax: Axes | None = None) -> Axes:
    """Draw the measured counts of each second as points, and those of the best candidate beside them.

    The area is from the least to the greatest count of its runs. The next candidate is a line, the mean of
    its runs.
    """
    ax = new_axes(left=15.0) if ax is None else ax
    measured = np.array(fitted.measured)
    seconds = np.arange(len(measured))
    names = ["measured"]
    top = float(np.nanmax(measured))
    for number, (name, runs) in enumerate(list(fitted.curves.items())[:2], 1):
        style, counts = look(number), np.array(runs)
        label = f"{name} (fitted)" if number == 1 else name
        if number == 1:
            ax.fill_between(
                seconds,
                counts.min(axis=0),
                counts.max(axis=0),
                step="mid",
                color=tint(style.colour),
                linewidth=0,
            )
        ax.step(
            seconds,
            counts.mean(axis=0),
            where="mid",
            color=style.colour,
            linestyle=style.line,
            linewidth=1.2 if number == 1 else 0.8,
            label=label,
            zorder=3 - number / 10,
        )
        names.append(label)
        top = max(top, float(counts.max()))
    style = look(0)
    ax.plot(
        seconds,
        measured,
        linestyle="",
        marker="o",
        markersize=2,
        color=style.colour,
        label="measured",
        zorder=4,
    )
    ax.set_xlim(0, len(measured))
    ax.set_ylim(0, 1.15 * top)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    what = f"{fitted.of} in each second" if fitted.of not in ("connected", "queue", "work") else fitted.of
    style_axes(ax, title="What explains it?", note=" ", x="since the measurement begins (s)", y=what)
    legend(ax, names)
    return ax
