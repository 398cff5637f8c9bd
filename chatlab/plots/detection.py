"""Heartbeats: how soon a dead connection is noticed, and how often a healthy one is taken for dead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from chatlab.errors import SettingsError
from chatlab.plots.style import INK, SMALL, UNDERLAY, grid, look, new_axes, steps, style_axes
from chatlab.studies.closed_forms import detection_span, late_pong_share

BARS = 20
SHORTEST, LONGEST = 0.05, 60.0
"""Range of the plotted delays of pongs, in seconds."""
RAREST = 1e-7
"""Least share of late pongs that is plotted."""
SHARES = {1.0: "100%", 1e-2: "1%", 1e-4: "0.01%", 1e-6: "1 in 10⁶"}


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


def plot_alarms(
    timeout: float,
    loss: float,
    *,
    delay: float = 0.04,
    pongs: Sequence[float] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of a WebSocket's pongs that come later than a time, and the `timeout` for them.

    The share `loss` of the packets is lost in each direction, and the one-way `delay` is in seconds. The
    dashed line is the closed form by TCP's least time-outs. The dotted line is the share of datagrams that
    would be lost for good. `pongs` has simulated seconds until each heartbeat was answered, if there are any.

    Errors: `SettingsError` if `loss` is not a share.
    """
    ax = new_axes(left=18.0) if ax is None else ax
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.minorticks_off()
    times = np.geomspace(SHORTEST, LONGEST, 200)
    least = [late_pong_share(float(time), loss, delay) for time in times]
    lost = 1 - (1 - loss) ** 2
    if loss:
        ax.axhline(lost, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        ax.annotate(
            "datagrams lost for good", (LONGEST, lost), (-2, 2), textcoords="offset points", fontsize=SMALL,
            color=INK, ha="right", va="bottom", bbox=UNDERLAY,
        )  # fmt: skip
    ax.plot(times, np.maximum(least, RAREST / 10), color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
    if len(pongs):
        shares = 1 - np.searchsorted(np.sort(pongs), times, side="right") / len(pongs)
        ax.plot(times, np.where(shares > 0, shares, np.nan), color=look(1).colour, linewidth=1.6)
    ax.axvline(timeout, color=INK, linewidth=0.8)
    ax.annotate("timeout", (timeout, RAREST), (2, 3), textcoords="offset points", fontsize=SMALL, color=INK)
    ax.set_xlim(SHORTEST, LONGEST)
    ax.set_ylim(RAREST, 2.0)
    ax.set_xticks([0.1, 1, 10, 60], ["0.1", "1", "10", "60"])
    ax.set_yticks(list(SHARES), list(SHARES.values()))
    grid(ax.xaxis, ax.yaxis)
    style_axes(
        ax,
        title="How late is a pong?",
        note=f"{100 * loss:.3g} % lost"
        + ("; solid: simulated, dashed: closed form" if len(pongs) else " on each way; dashed: closed form"),
        x="later than (s), logarithmic",
        y="share of the pongs",
    )
    return ax
