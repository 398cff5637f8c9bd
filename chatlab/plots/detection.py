"""How long a dead connection goes unnoticed: what a run measured, beside the closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from chatlab.errors import SettingsError
from chatlab.experiment.closed_forms import detection_span
from chatlab.plots.style import INK, SMALL, dress, look, new_axes, tint

BARS = 20


def plot_detection(
    noticed: Sequence[float], interval: float, timeout: float, *, ax: Axes | None = None
) -> Axes:
    """Draw after how many seconds people noticed that their connection had gone silent.

    Bars are what was measured, the outline is the closed form: spread evenly from `timeout` to
    `interval + timeout`.

    Errors: `SettingsError` where nobody noticed anything.
    """
    if not len(noticed):
        raise SettingsError("nothing to draw: nobody noticed")
    low, high = detection_span(interval, timeout)
    ax = new_axes(left=14.0) if ax is None else ax
    edges = np.linspace(low, high, BARS + 1)
    shares = np.histogram(np.clip(noticed, low, high), edges)[0] / len(noticed)
    style = look(2)
    ax.stairs(shares, edges, fill=True, facecolor=tint(style.colour), edgecolor=style.colour, linewidth=0.7)
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
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    dress(
        ax,
        title="How soon is a dead connection noticed?",
        note=f"bars: {len(noticed):,} simulated people; dashed: closed form",
        x="since it went silent (s)",
        y="people",
    )
    return ax
