"""Curves of a run: latency of messages, and attempts, requests and queues in each second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter
from msgspec.structs import replace

from chatlab.errors import SettingsError
from chatlab.experiment.percentiles import describe_share
from chatlab.experiment.run import Run
from chatlab.experiment.series import LATENCY_EDGES
from chatlab.experiment.spans import FaultSpan
from chatlab.plots.style import FAINT, INK, SMALL, look, new_axes, size, style_axes, text_width

Runs = Mapping[str, Run] | Run
"""One run, or several by their names in the plot."""


def plot_latency(runs: Runs, *, ax: Axes | None = None) -> Axes:
    """Draw the cumulative distribution (CDF) of message latency in seconds.

    The curve is exact at the edges of the run's histogram, ten per decade. It stays below 100 % by the share
    that was never shown, which is written at its end. Runs in which nothing was owed have no curve.

    Errors: `SettingsError` if there is nothing to draw.
    """
    owed = {name: run for name, run in _named(runs) if run.owed}
    shares = {name: np.cumsum(run.latencies) / run.owed for name, run in owed.items()}
    if not any(share[-1] for share in shares.values()):
        raise SettingsError("nothing to draw: no message was delivered in any of the runs")
    ax = new_axes(left=17.0) if ax is None else ax
    for number, (name, share) in enumerate(shares.items()):
        style = look(number)
        ax.plot(
            LATENCY_EDGES, [0.0, *share], label=name, color=style.colour, linestyle=style.line, linewidth=1.5
        )
        if owed[name].owed > sum(owed[name].latencies):
            _annotate_never(ax, float(share[-1]), style.colour)
    bins = np.flatnonzero(np.sum([run.latencies for run in owed.values()], axis=0))
    ax.set_xscale("log")
    ax.set_xlim(LATENCY_EDGES[max(0, bins[0] - 1)], LATENCY_EDGES[min(bins[-1] + 2, len(LATENCY_EDGES) - 1)])
    ax.xaxis.set_major_locator(LogLocator(10))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    for percentile in (0.5, 0.95, 0.99):
        ax.axhline(percentile, color=FAINT, linewidth=0.5, zorder=0)
    _percentile_names(ax)
    style_axes(
        ax,
        title="How late are messages?",
        note="share of the messages that were shown within this time",
        x="from sending to display (s), logarithmic",
        y="messages",
    )
    legend(ax, list(shares), "lower right")
    return ax


def _annotate_never(ax: Axes, share: float, colour: str) -> None:
    ax.annotate(
        f"never: {describe_share(1 - share)}",
        (1, share),
        (-2, 2 if share < 0.5 else -9 if share < 0.85 else -30),  # below "95 %"
        ("axes fraction", "data"),
        "offset points",
        ha="right",
        fontsize=SMALL,
        color=colour,
        gid="never",
    )


def _percentile_names(ax: Axes) -> None:
    for share, name, above in ((0.5, "median", 2.0), (0.95, "95 %", -8.0)):
        ax.annotate(
            name,
            (1, share),
            (-2, above),
            ("axes fraction", "data"),
            "offset points",
            ha="right",
            fontsize=SMALL,
            color=INK,
        )


def plot_rates(runs: Runs, *, of: Sequence[str] = ("attempts", "requests"), ax: Axes | None = None) -> Axes:
    """Draw the number of connection attempts and requests of all people in each second.

    `of` selects other series of the runs, such as "sent" or "delivered". Series that a run doesn't have, or
    that are 0 throughout, are left out. Faults are drawn as `common_faults` says.

    Errors: `SettingsError` if there is nothing to draw.
    """
    named = _named(runs)
    present = [series for series in of if any(any(run.series.get(series, ())) for _, run in named)]
    lines = {
        _line_name(name, series, len(named), len(present)): run.series[series]
        for name, run in named
        for series in present
        if any(run.series.get(series, ()))
    }
    if not lines:
        known = ", ".join(dict.fromkeys(series for _, run in named for series in run.series))
        raise SettingsError(f"nothing to draw: {', '.join(of)} are 0 in all runs; their series are {known}")
    ax = draw_series(lines, common_faults(run for _, run in named), ax)
    what = present[0] if len(present) == 1 else "count"
    style_axes(
        ax, title="How much load does the server get?", note=" ", x="time (s)", y=f"{what} in each second"
    )
    return ax


_QUEUES = {
    "queue": ("How long is the accept queue?", "waiting connections"),
    "work": ("How far behind is the server?", "pending requests and frames"),
}


def plot_queue(runs: Runs, *, of: Literal["queue", "work"] = "queue", ax: Axes | None = None) -> Axes:
    """Draw each second's maximum of connections in the accept queue, or of pending `work`.

    Faults are drawn as `common_faults` says.

    Errors: `SettingsError` for an unknown `of`, or if no run has that series.
    """
    if of not in _QUEUES:
        raise SettingsError(f"of: choose one of {', '.join(_QUEUES)}, got {of!r}")
    named = _named(runs)
    lines = {name: run.series[of] for name, run in named if of in run.series}
    if not lines:
        raise SettingsError(f"nothing to draw: the runs' series have no {of!r}")
    ax = draw_series(lines, common_faults(run for _, run in named), ax)
    title, counted = _QUEUES[of]
    style_axes(ax, title=title, note=" ", x="time (s)", y=counted)
    return ax


def _named(runs: Runs) -> list[tuple[str, Run]]:
    return list(runs.items()) if isinstance(runs, Mapping) else [(runs.scenario.name or "run", runs)]


def _line_name(name: str, series: str, runs: int, of: int) -> str:
    if runs == 1:
        return series
    return name if of == 1 else f"{name}: {series}"


def common_faults(runs: Iterable[Run]) -> list[FaultSpan]:
    """Return the faults that begin at the same time in all runs; if their ends differ, as moments."""
    first, *others = (run.faults for run in runs)
    common = []
    for fault in first:
        same = [
            [span for span in faults if (span.kind, span.start) == (fault.kind, fault.start)]
            for faults in others
        ]
        if all(same):
            equal = all(any(span.end == fault.end for span in spans) for spans in same)
            common.append(fault if equal else replace(fault, end=fault.start))
    return common


def draw_series(lines: Mapping[str, Sequence[int]], faults: Iterable[FaultSpan], ax: Axes | None) -> Axes:
    """Draw counts of each second as steps, on top of the faults."""
    ax = new_axes(left=15.0) if ax is None else ax
    longest = max(map(len, lines.values()))
    top = max(map(max, lines.values()))
    ax.set_xlim(0, longest)
    ax.set_ylim(0, 1.25 * top or 1.0)
    shade(ax, faults)
    for number, (name, counts) in enumerate(lines.items()):
        style = look(number)
        ax.step(
            range(len(counts) + 1),
            [*counts, counts[-1]],
            where="post",
            label=name,
            color=style.colour,
            linestyle=style.line,
            linewidth=1.2,
            zorder=3 - number / 100,
        )
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    legend(ax, list(lines))
    return ax


def shade(ax: Axes, faults: Iterable[FaultSpan]) -> None:
    """Draw faults in grey behind everything, and name each one if there is room."""
    left, right = ax.get_xlim()
    second = size(ax)[0] / (right - left)
    free_from = left
    for fault in sorted(faults, key=lambda fault: fault.start):
        if fault.end > fault.start:
            ax.axvspan(
                fault.start,
                min(fault.end, right),
                facecolor="#dedede",
                edgecolor="none",
                zorder=0,
                gid="fault",
            )
        ax.axvline(fault.start, color=INK, linewidth=0.8, linestyle=(0, (3, 2)), zorder=0.5, gid="fault")
        name = fault.kind.replace("_", " ")
        begin = fault.start + 3 / second
        length = (text_width(name, SMALL) + 3) / second
        if begin + length > right:
            begin = fault.start - length
        if begin < free_from:
            continue
        free_from = begin + length
        ax.annotate(
            name, (begin, 1), (0, -9), ("data", "axes fraction"), "offset points", fontsize=SMALL, color=INK
        )


def legend(ax: Axes, names: Sequence[str], place: str = "", *, single: bool = False) -> None:
    """Add a legend, above the axes unless `place` is given; for a single line only if `single`."""
    if len(names) < 2 and not single:
        return
    keys = [line for line in ax.lines if line.get_label() in names]
    above: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": len(keys)}
    where: dict[str, Any] = {"loc": place} if place else above | {"borderaxespad": 0.1, "borderpad": 0.1}
    ax.legend(handles=keys, fontsize=SMALL, facecolor="white", edgecolor="none", handlelength=3, **where)
