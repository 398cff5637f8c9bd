"""The plot that fits a run: the load of a crowd, the latency of a chat, or people's statuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.plots.absences import plot_absences
from chatlab.plots.curves import draw_series, plot_latency, plot_queue, shade
from chatlab.plots.style import SMALL, look, new_axes, style_axes
from chatlab.plots.timeline import plot_statuses
from chatlab.text import unknown_name
from chatlab.transports.machine import Deliver, Submit

LANES = 12
"""Number of people whose statuses are drawn."""
CHAT = 100
"""Number of people up to which a run with messages is a chat rather than a crowd."""


def plot_run(run: Run, kind: str = "", *, ax: Axes | None = None) -> Axes:
    """Draw what a run is about, or the `kind` of plot that is given: one of `PLOTS`.

    A chat of up to a hundred people gets the latency over time, a crowd its attempts and connected people.

    Errors: `SettingsError` for an unknown `kind`, or if there is nothing to draw.
    """
    chosen = kind or fitting(run)
    if chosen not in PLOTS:
        raise SettingsError(f"plot: {unknown_name(chosen, PLOTS)}")
    return PLOTS[chosen](run, ax)


def fitting(run: Run) -> str:
    """Return the name of the plot that fits a run, see `PLOTS`."""
    if run.scenario.people.count > CHAT:
        return "crowd"
    if any(_latencies(run)):
        return "lateness"
    return "statuses" if run.people else "crowd"


def plot_crowd(run: Run, *, ax: Axes | None = None) -> Axes:
    """Draw the attempts to connect of each second, and on the right axis the people connected at its end."""
    ax = draw_series(
        {"attempts": run.series["attempts"]},
        run.faults,
        new_axes(left=15.0, right=15.0) if ax is None else ax,
    )
    style_axes(ax, title="When do they come back?", note=" ", x="time (s)", y="attempts in each second")
    right = ax.twinx()
    style = look(1)
    connected = run.series["connected"]
    right.step(
        range(len(connected) + 1),
        [*connected, connected[-1]],
        where="post",
        color=style.colour,
        linestyle=style.line,
        linewidth=1.2,
    )
    right.set_ylim(0, 1.25 * run.scenario.people.count)
    right.set_ylabel("connected people", fontsize=SMALL, color=style.colour)
    right.tick_params(axis="y", labelsize=SMALL, colors=style.colour)
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    right.spines[["top", "left"]].set_visible(False)
    return ax


def plot_lateness(run: Run, *, ax: Axes | None = None) -> Axes:
    """Draw the latency of messages over the time at which they were sent, as a point for each reader.

    It shows the messages that recorded people sent to recorded people. A message that was never shown has no
    point.

    Errors: `SettingsError` if no such message was shown.
    """
    points = np.array(list(_latencies(run)))
    if not len(points):
        raise SettingsError("nothing to draw: no message of recorded people was shown; record more of them")
    ax = new_axes(left=15.0) if ax is None else ax
    style = look(2)
    ax.set_xlim(0, run.scenario.duration)
    ax.set_yscale("log")
    ax.plot(points[:, 0], points[:, 1], linestyle="", marker="o", markersize=2, color=style.colour, zorder=3)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    shade(ax, run.faults)
    style_axes(
        ax,
        title="How late are messages?",
        note="each point: a message as one person saw it",
        x="sent at (s)",
        y="latency (s), logarithmic",
    )
    return ax


def _latencies(run: Run) -> Iterator[tuple[float, float]]:
    """Yield when a recorded person sent a message, and the seconds until each recorded person saw it."""
    sent_at: dict[str, float] = {}
    shown = set[tuple[str, str]]()
    for step in run.trace:
        if isinstance(step.event, Submit):
            sent_at[step.event.message.client_id] = step.at
        for effect in step.effects:
            if isinstance(effect, Deliver) and (message := effect.event.message) is not None:
                key = step.person, message.client_id
                if message.client_id in sent_at and key not in shown:
                    shown.add(key)
                    yield sent_at[message.client_id], max(step.at - sent_at[message.client_id], 1e-3)


def _statuses(run: Run, ax: Axes | None) -> Axes:
    if not run.people:
        raise SettingsError("nothing to draw: nobody was recorded; give sample=1 or more")
    lanes = {name: run.statuses(name) for name in run.people[:LANES]}
    return plot_statuses(lanes, faults=run.faults, ax=ax)


PLOTS: Mapping[str, Callable[[Run, Axes | None], Axes]] = MappingProxyType(
    {
        "crowd": lambda run, ax: plot_crowd(run, ax=ax),
        "lateness": lambda run, ax: plot_lateness(run, ax=ax),
        "latency": lambda run, ax: plot_latency(run, ax=ax),
        "statuses": _statuses,
        "returns": lambda run, ax: plot_absences(run, ax=ax),
        "queue": lambda run, ax: plot_queue(run, ax=ax),
    }
)
"""The kinds of plots of one run."""
