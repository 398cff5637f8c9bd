"""Plots of a server's nodes: connections that come to each in each second, and those that it has."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.plots.curves import shade
from chatlab.plots.style import INK, SMALL, UNDERLAY, new_axes, style_axes

SHADES = "#1f4e79", "#8fb4d9"
"""Colours of neighbouring nodes in a stack."""


def plot_node_attempts(run: Run, *, ax: Axes | None = None) -> Axes:
    """Draw the connections that come to the nodes in each second, one node on top of the other.

    Node 1 is at the bottom. Neighbours differ in colour.

    Errors: `SettingsError` if the run has no counts of nodes.
    """
    counts = _counts(run, "attempts")
    ax = new_axes(left=15.0) if ax is None else ax
    seconds, tops = np.arange(counts.shape[1] + 1), np.cumsum(counts, axis=0)
    below = np.zeros(counts.shape[1], dtype=np.int64)
    _begin(ax, run, int(tops[-1].max()))
    for number, top in enumerate(tops):
        ax.fill_between(
            seconds,
            np.append(below, below[-1]),
            np.append(top, top[-1]),
            step="post",
            facecolor=SHADES[number % len(SHADES)],
            edgecolor="none",
            label=f"node {number + 1}",
            zorder=2,
        )
        below = top
    style_axes(
        ax,
        title="Which nodes do clients come to?",
        note="stacked, with node 1 at the bottom",
        x="time (s)",
        y="connections in each second",
    )
    return ax


def plot_node_connections(run: Run, *, ax: Axes | None = None) -> Axes:
    """Draw the number of connections of each node at the end of each second.

    The fullest and the emptiest node at the end of the run are named.

    Errors: `SettingsError` if the run has no counts of nodes.
    """
    counts = _counts(run, "connected")
    ax = new_axes(left=15.0) if ax is None else ax
    _begin(ax, run, int(counts.max()))
    for number, connections in enumerate(counts):
        ax.step(
            np.arange(1, len(connections) + 1),
            connections,
            where="post",
            label=f"node {number + 1}",
            color=SHADES[number % len(SHADES)],
            linewidth=0.9,
            zorder=3,
        )
    for number in {int(counts[:, -1].argmax()): "fullest", int(counts[:, -1].argmin()): "emptiest"}:
        ax.annotate(
            f"node {number + 1}",
            (1, counts[number, -1]),
            (-2, 3),
            ("axes fraction", "data"),
            "offset points",
            ha="right",
            fontsize=SMALL,
            color=INK,
            bbox=UNDERLAY,
            gid="node",
        )
    style_axes(
        ax,
        title="How full are the nodes?",
        note="a line for each node; named: the fullest and the emptiest at the end",
        x="time (s)",
        y="connections",
    )
    return ax


def _counts(run: Run, name: str) -> NDArray[np.int64]:
    """Return counts of the nodes: shape `(nodes, seconds)`."""
    counts = np.array(run.node_series.get(name, []), dtype=np.int64)
    if not counts.size:
        raise SettingsError("nothing to draw: the run has no counts of nodes; the world 'model' makes them")
    return counts


def _begin(ax: Axes, run: Run, top: int) -> None:
    ax.set_xlim(0, run.scenario.duration)
    ax.set_ylim(0, 1.25 * top or 1.0)
    shade(ax, run.faults)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
