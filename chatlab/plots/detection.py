"""Heartbeats: how soon a dead connection is noticed, and how often a healthy one is taken for dead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from chatlab.errors import SettingsError
from chatlab.plots.style import INK, SMALL, grid, look, new_axes, steps, style_axes
from chatlab.studies.closed_forms import detection_span, false_alarm_after

BARS = 20
SHORTEST, LONGEST = 1.0, 120.0
"""Range of the plotted heartbeat intervals, in seconds."""
SPANS = {10.0: "10 s", 60.0: "1 min", 600.0: "10 min", 3_600.0: "1 h", 36_000.0: "10 h", 360_000.0: "100 h"}


def plot_detection(
    noticed: Sequence[float], interval: float, timeout: float, *, ax: Axes | None = None
) -> Axes:
    """Draw the distribution of the seconds until people noticed that their connection had gone silent.

    Bars are measured. The outline is the closed form: uniform from `timeout` to `interval + timeout`, or from
    `interval` to twice `interval` if `timeout` is longer.

    Errors: `SettingsError` if `noticed` is empty.
    """
    if not len(noticed):
        raise SettingsError("nothing to draw: nobody noticed the silence")
    low, high = detection_span(interval, timeout)
    ax = new_axes(left=14.0) if ax is None else ax
    edges = np.linspace(low, high, BARS + 1)
    shares = np.histogram(np.clip(noticed, low, high), edges)[0] / len(noticed)
    steps(ax, shares, edges, 2)
    ax.plot(
        [low, low, high, high], [0, 1 / BARS, 1 / BARS, 0], color=INK, linewidth=1.4, linestyle=(0, (4, 2))
    )
    mean = (low + high) / 2
    top = 1.3 * max(1 / BARS, float(shares.max()))
    ax.axvline(mean, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    ax.annotate(
        f"mean {mean:.3g} s", (mean, top), (3, -8), textcoords="offset points", fontsize=SMALL, color=INK
    )
    ax.set_xlim(0, 1.08 * high)
    ax.set_ylim(0, top)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _place: f"{100 * share:.3g}%"))
    style_axes(
        ax,
        title="How soon is a dead connection noticed?",
        note=f"bars: {len(noticed):,} simulated people; dashed: closed form",
        x="since it went silent (s)",
        y="people",
    )
    return ax


def plot_alarms(interval: float, loss: float, *, ax: Axes | None = None) -> Axes:
    """Draw the closed form of the mean time between false alarms, over heartbeat intervals.

    `loss` is the share of heartbeats lost on each way. The point is at `interval`.

    Errors: `SettingsError` if `loss` is not a share.
    """
    ax = new_axes(left=14.0) if ax is None else ax
    intervals = np.geomspace(SHORTEST, LONGEST, 30)
    style = look(1)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.minorticks_off()
    if loss:
        alarms = [false_alarm_after(float(every), loss) for every in intervals]
        ax.plot(intervals, alarms, color=style.colour, linewidth=1.4)
        ax.plot([interval], [false_alarm_after(interval, loss)], style.marker, color=style.colour)
    else:
        ax.annotate(
            "never: nothing is lost", (0.5, 0.5), xycoords="axes fraction", ha="center", fontsize=SMALL
        )
    ax.set_xlim(0.8 * SHORTEST, 1.25 * LONGEST)
    ax.set_ylim(2.0, 2 * max(SPANS))
    ax.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    ax.set_yticks(list(SPANS), list(SPANS.values()))
    grid(ax.xaxis, ax.yaxis)
    style_axes(
        ax,
        title="How often is there a false alarm?",
        note=f"mean time between two, {100 * loss:.3g} % lost on each way",
        x="heartbeat every (s)",
    )
    return ax
