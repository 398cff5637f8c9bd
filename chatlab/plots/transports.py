"""Comparison of transports: latency, and cost in requests and bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from chatlab.errors import SettingsError
from chatlab.experiment.percentiles import Value, describe_never
from chatlab.experiment.run import Run
from chatlab.plots.style import INK, SMALL, TEXT, bar, look, new_row, size, style_axes, text_width, tint

BAR = 0.62
"""Thickness of a bar; bars are 1 apart."""


def plot_transports(runs: Mapping[str, Run], *, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Draw three bar charts of several runs: latency, and requests and bytes per delivered message.

    The latency is the median, with the 95th percentile as a tick. If the median is infinite, there is no bar
    but the word "never"; if the percentile is, the tick is an arrow. `axes` must be three.

    Errors: `SettingsError` if there is nothing to draw.
    """
    delivered = {name: run.metrics["delivered"] or 0 for name, run in runs.items()}
    if not any(delivered.values()):
        raise SettingsError("nothing to draw: no message was delivered in any of the runs")

    def each(*metrics: str) -> list[float]:
        return [
            sum(run.metrics[metric] or 0 for metric in metrics) / max(delivered[name], 1)
            for name, run in runs.items()
        ]

    if axes is None:
        axes = new_row(3, **layout(runs))
    late = [run.metrics["latency_p50"] or 0.0 for run in runs.values()]
    latest = [run.metrics["latency_p95"] or 0.0 for run in runs.values()]
    first, second, third = axes
    _bars(first, runs, late, [_latency(run.metrics) for run in runs.values()], latest)
    _bars(second, runs, requests := each("requests"), [f"{value:.2g}" for value in requests])
    _bars(third, runs, sizes := each("bytes_up", "bytes_down"), [f"{value:,.0f}" for value in sizes])
    style_axes(first, title="How late?", note="bar: median, tick: 95 % are earlier", x="seconds", lanes=True)
    cost: dict[str, Any] = {"x": "per delivered message", "lanes": True}
    style_axes(second, title="How many requests?", note="connections that are opened count too", **cost)
    style_axes(third, title="How many bytes?", note="up and down, headers and all", **cost)
    return axes


def layout(names: Collection[str]) -> dict[str, float]:
    """Return the layout in millimetres of three charts of runs with those names, for `new_row`."""
    room = max(text_width(name, TEXT) for name in names) * 25.4 / 72
    return {"width": 70.0, "height": 24.0 + 7.0 * len(names), "left": room + 3.0, "right": 4.0}


def _latency(metrics: Mapping[str, Value]) -> str:
    """Return the label of a latency bar."""
    median, latest = metrics["latency_p50"], metrics["latency_p95"]
    if median is None:
        return "–"
    never = describe_never("latency", metrics)
    return never if median == inf else f"{median:.3g} s" + (f", {never}" if latest == inf else "")


def _bars(
    ax: Axes,
    names: Mapping[str, object],
    values: Sequence[float],
    labels: Sequence[str],
    ticks: Sequence[float] = (),
) -> None:
    finite = [value for value in (*values, *ticks) if value < inf]
    end = max(finite, default=0.0) or 1.0
    never = [max(pair) == inf for pair in zip(values, ticks or values, strict=True)]
    values = [0.0 if value == inf else value for value in values]
    ends = [end if away else max(pair) for *pair, away in zip(values, ticks or values, never, strict=True)]
    room = max(text_width(text, SMALL) for text in labels) + 8
    width = size(ax)[0]
    ax.set_xlim(0, (max(ends) or 1.0) * width / max(width - room, 1))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_yticks(range(len(names)), list(names))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    for number, (value, end, text) in enumerate(zip(values, ends, labels, strict=True)):
        style = look(number)
        bar(
            ax,
            0,
            number - BAR / 2,
            value,
            BAR,
            facecolor=tint(style.colour, 0.35),
            edgecolor=style.colour,
            hatch=style.hatch,
            linewidth=0.8,
        )
        ax.annotate(
            text, (end, number), (4, 0), textcoords="offset points", va="center", fontsize=SMALL, color=INK
        )
    if ticks:
        lanes = np.arange(len(names))
        gaps = np.full(len(names), np.nan)
        ax.plot(np.stack([values, ends, gaps], axis=1).ravel(), lanes.repeat(3), color=INK, linewidth=0.8)
        for marker, away in (("|", False), (">", True)):
            shown = [(x, lane) for lane, x in enumerate(ends) if never[lane] is away]
            if shown:
                ax.plot(
                    *zip(*shown, strict=True), marker, color=INK, markersize=9 - 4 * away, markeredgewidth=1.2
                )
