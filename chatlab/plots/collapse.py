"""A retry storm that outlasts its cause: good answers in each second, with and without backoff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from chatlab.errors import SettingsError
from chatlab.plots.style import FAINT, INK, SMALL, look, new_axes, style_axes
from chatlab.studies.retry_storm import AFTER, PUBLISHED, SPIKE, Policy, Storm

_SHADE = "#dedede"


def plot_collapse(storms: Mapping[Policy, Sequence[Storm]], *, ax: Axes | None = None) -> Axes:
    """Draw good answers per second, the mean over each policy's storms, and the arriving clients.

    Bars mark the published values and the seconds that they apply to.

    Errors: `SettingsError` if there is nothing to draw.
    """
    if not storms or not all(storms.values()):
        raise SettingsError("nothing to draw: give one storm or more of each policy, as `collapse` returns")
    ax = new_axes(left=12.0) if ax is None else ax
    ax.axvspan(*SPIKE, facecolor=_SHADE, edgecolor="none", zorder=0, gid="spike")
    clients = np.mean([storm.clients for runs in storms.values() for storm in runs], axis=0)
    seconds = np.arange(len(clients) + 1)
    ax.step(
        seconds, [*clients, clients[-1]], where="post", color=FAINT, linewidth=1.2, label="clients that come"
    )
    for number, (policy, runs) in enumerate(storms.items()):
        good = np.mean([storm.good for storm in runs], axis=0)
        style = look(number)
        ax.step(
            seconds,
            [*good, good[-1]],
            where="post",
            color=style.colour,
            linestyle=style.line,
            linewidth=1.5,
            label=policy,
        )
        ax.plot(
            AFTER,
            [PUBLISHED[policy]] * 2,
            color=style.colour,
            linewidth=5,
            alpha=0.35,
            solid_capstyle="butt",
            gid="published",
        )
    ax.set_xlim(0, seconds[-1])
    ax.set_ylim(0, 1.25 * clients.max())
    ax.annotate(
        "spike", (SPIKE[0], 1), (2, -9), ("data", "axes fraction"), "offset points", fontsize=SMALL, color=INK
    )
    style_axes(
        ax,
        title="Does the server recover?",
        note="good answers; bars: as published",
        x="time (s)",
        y="in each second",
    )
    ax.legend(
        loc="upper right",
        fontsize=SMALL,
        facecolor="white",
        edgecolor="none",
        handlelength=3,
        borderaxespad=0.2,
    )
    return ax
