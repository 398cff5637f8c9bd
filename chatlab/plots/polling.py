"""Polling: requests per message against latency, by the closed forms and as measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from chatlab.plots.style import INK, SMALL, TEXT, UNDERLAY, grid, look, new_axes, style_axes
from chatlab.studies.closed_forms import Cost, long_poll_cost, push_cost, short_poll_cost

SHORTEST, LONGEST = 0.1, 60.0
"""Seconds between two short polls at the ends of the curve."""
NAMED = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Intervals in seconds that are labelled on the curve."""


def plot_polling(
    rate: float,
    *,
    interval: float = 3.0,
    hold: float = 25.0,
    delay: float = 0.04,
    measured: Mapping[str, tuple[float, float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw requests per message against latency, for short polling, long polling and push.

    Short polling is a curve over its interval, with `interval` marked; the others are points. `rate` is in
    messages per second to one reader, `hold` and the one-way `delay` in seconds. `measured` are (seconds,
    requests per message) by name, drawn as crosses.

    Errors: `SettingsError` naming an invalid number.
    """
    ax = new_axes(left=16.0) if ax is None else ax
    ax.set_xscale("log")
    ax.set_yscale("log")
    curve = [short_poll_cost(rate, each, delay) for each in np.geomspace(SHORTEST, LONGEST, 100)]
    short, long, push = look(2), look(1), look(0)
    ax.plot(
        [cost.latency for cost in curve],
        [cost.requests for cost in curve],
        color=short.colour,
        linestyle=short.line,
        linewidth=1.5,
    )
    floor = min(curve[-1].requests, 0.05) / 2
    for each in (each for each in NAMED if not 0.6 < each / interval < 1.6):
        cost = short_poll_cost(rate, each, delay)
        ax.plot(cost.latency, cost.requests, ".", color=short.colour, markersize=4)
        _name(ax, f"{each:g} s", cost, (4, 3), short.colour, SMALL)
    pushed = Cost(floor, push_cost(delay).latency, delay)
    polled, held = short_poll_cost(rate, interval, delay), long_poll_cost(rate, hold, delay)
    for name, cost, style, offset in (
        ("push: no requests", pushed, push, (8, 4)),
        (f"long poll, {hold:g} s", held, long, (8, -14) if _overlaps_label(polled, held) else (8, 4)),
        (f"short poll, {interval:g} s", polled, short, (8, 4) if interval < LONGEST / 4 else (-8, -14)),
    ):
        ax.plot(cost.latency, cost.requests, style.marker, color=style.colour, markersize=7, zorder=4)
        _name(ax, name, cost, offset, style.colour, TEXT)
    for latency, requests in (measured or {}).values():
        ax.plot(latency, max(requests, floor), "x", color=INK, markersize=8, markeredgewidth=1.3, zorder=5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(10))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.minorticks_off()  # minor ticks take half the time, and have no grid lines
    ax.set_xlim(min(delay or 0.01, curve[0].latency) / 1.6, curve[-1].latency * 3)
    ax.set_ylim(floor / 1.8, curve[0].requests * 3)
    grid(ax.xaxis, ax.yaxis)
    style_axes(
        ax,
        title="What does it cost to be quick?",
        note="lower left is better" + ("; crosses: simulated" if measured else ""),
        x="from the server to the screen (s), logarithmic",
        y="requests per message",
    )
    return ax


def _overlaps_label(one: Cost, other: Cost) -> bool:
    """Return whether one point is where the label at the right of the other would be."""
    return 1 < one.latency / other.latency < 10 and 1 / 4 < one.requests / other.requests < 4


def _name(ax: Axes, name: str, cost: Cost, offset: tuple[int, int], colour: str, points: float) -> None:
    bold = "bold" if points == TEXT else "normal"
    at = (cost.latency, cost.requests)
    ax.annotate(
        name,
        at,
        offset,
        textcoords="offset points",
        ha="left" if offset[0] > 0 else "right",
        fontsize=points,
        fontweight=bold,
        color=colour,
        bbox=UNDERLAY if points == TEXT else None,
    )
