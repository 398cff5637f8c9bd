"""The curve of people's return after they lost their connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from chatlab.errors import SettingsError
from chatlab.experiment.percentiles import describe_share
from chatlab.plots.curves import Runs, legend
from chatlab.plots.style import SMALL, look, new_axes, style_axes
from chatlab.studies.survival import absences, kaplan_meier


def plot_absences(runs: Runs, *, by: Literal["group"] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the share of the recorded people who are back, over the seconds since they lost their connections.

    It is the Kaplan–Meier estimate. A person who is still away at the end of the run has a tick at the
    seconds until then; one whose client gave up has none. The share that hasn't come back is written at the
    end of the curve. Runs in which nobody lost a connection have no curve. `by="group"` draws a curve for
    each group of people.

    Errors: `SettingsError` if there is nothing to draw.
    """
    named = runs if isinstance(runs, Mapping) else {runs.scenario.name or "run": runs}
    if by is None:
        found = {name: lost for name, run in named.items() if (lost := absences(run))}
    else:
        found = {
            group if len(named) == 1 else f"{name}: {group}": lost
            for name, run in named.items()
            for group in run.scenario.people.membership.names
            if (lost := absences(run, group))
        }
    if not found:
        raise SettingsError("nothing to draw: none of the recorded people lost a connection")
    ax = new_axes(left=17.0) if ax is None else ax
    last = max(
        (one.seconds for lost in found.values() for one in lost if np.isfinite(one.seconds)), default=1.0
    )
    ax.set_xlim(0, 1.02 * (last or 1.0))
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    for number, (name, lost) in enumerate(found.items()):
        style = look(number)
        seconds, shares = kaplan_meier(lost)
        x, y = np.array([0.0, *seconds, last]), np.array([0.0, *shares, shares[-1] if shares else 0.0])
        ax.step(x, y, where="post", label=name, color=style.colour, linestyle=style.line, linewidth=1.5)
        seen = np.array([one.seconds for one in lost if not one.back and np.isfinite(one.seconds)])
        if len(seen):
            at = y[np.searchsorted(x[:-1], seen, side="right") - 1]
            ax.plot(seen, at, "|", color=style.colour, markersize=6, gid="still away")
        if y[-1] < 1:
            ax.annotate(
                f"not back: {describe_share(1 - y[-1])}",
                (1, y[-1]),
                (-2, 3 if y[-1] < 0.85 else -9),
                ("axes fraction", "data"),
                "offset points",
                ha="right",
                fontsize=SMALL,
                color=style.colour,
                gid="never",
            )
    style_axes(
        ax,
        title="When are people back?",
        note="Kaplan–Meier; ticks: still away at the end of the run",
        x="since the connection was lost (s)",
        y="recorded people",
    )
    legend(ax, list(found), "lower right", single=by is not None)
    return ax
