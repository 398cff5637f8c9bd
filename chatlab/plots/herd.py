"""The herd that a backoff formula causes: how many clients come back at once after an outage."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from chatlab.errors import SettingsError
from chatlab.experiment.percentiles import describe_share
from chatlab.plots.style import (
    FAINT,
    INK,
    SMALL,
    TEXT,
    bar,
    look,
    new_axes,
    size,
    steps,
    style_axes,
    text_width,
    tint,
)
from chatlab.studies.backoff_delays import Herd

BIN = 0.1
"""Seconds of the interval with the largest share of people, shown beside each name."""
BARS = 150
LANE = 0.78
"""Height of a lane's highest bar; lanes are 1 apart."""


def plot_returns(herds: Mapping[str, Herd] | Herd, *, ax: Axes | None = None) -> Axes:
    """Draw when the people of each herd came back, in seconds since the server's return.

    Each lane has its own vertical scale, so compare widths: a herd is narrow. The figure at its right is the
    largest share of people in any 0.1 s, and the share that gave up.

    Errors: `SettingsError` if there is nothing to draw.
    """
    named = herds if isinstance(herds, Mapping) else {"": herds}
    back = {name: herd.returns[np.isfinite(herd.returns)] for name, herd in named.items()}
    if not any(len(times) for times in back.values()):
        raise SettingsError("nothing to draw: nobody came back")
    ax = new_axes(left=_room(named)) if ax is None else ax
    last = max(float(np.percentile(times, 99.5)) for times in back.values() if len(times))
    last = max(last, BIN)
    notes = [_note(herd) for herd in named.values()]
    room = max(text_width(note, SMALL) for note in notes) + 6
    ax.set_xlim(0, last * size(ax)[0] / max(size(ax)[0] - room, 1))
    edges = np.linspace(0, last, BARS + 1)
    for number, (name, note) in enumerate(zip(named, notes, strict=True)):
        counts = np.histogram(back[name], edges)[0]
        heights = LANE * counts / max(int(counts.max()), 1)
        steps(ax, heights - number, edges, number, baseline=-number)
        ax.axhline(-number, color=FAINT, linewidth=0.5, zorder=0)
        ax.annotate(note, (last, -number), (4, 2), textcoords="offset points", fontsize=SMALL, color=INK)
    ax.set_ylim(0.15 - len(named), 1)
    ax.set_yticks([-number for number in range(len(named))], list(named))
    style_axes(
        ax,
        title="When do clients come back?",
        note="right: largest share in any 0.1 s",
        x="since the server is back (s)",
        lanes=True,
    )
    return ax


def plot_refused(shares: Mapping[str, float], *, ax: Axes | None = None) -> Axes:
    """Draw the share of each herd whose first attempt is refused, in lanes like those of `plot_returns`.

    Errors: `SettingsError` if there is nothing to draw.
    """
    if not shares:
        raise SettingsError("nothing to draw: give one herd or more")
    ax = new_axes(left=_room(shares)) if ax is None else ax
    for number, share in enumerate(shares.values()):
        style = look(number)
        bar(
            ax,
            0,
            -number + 0.1 * LANE,
            share,
            0.8 * LANE,
            facecolor=tint(style.colour),
            edgecolor=style.colour,
            hatch=style.hatch,
        )
        ax.annotate(
            describe_share(share),
            (share, -number + LANE / 2),
            (3, -2.5),
            textcoords="offset points",
            fontsize=SMALL,
            color=INK,
        )
    ax.set_xlim(0, 1.12)
    ax.set_ylim(0.15 - len(shares), 1)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_yticks([LANE / 2 - number for number in range(len(shares))], list(shares))
    style_axes(
        ax,
        title="How many are refused?",
        note="at the first attempt, by the formulas alone",
        x="of all people",
        lanes=True,
    )
    return ax


def _note(herd: Herd) -> str:
    gone = herd.gave_up / len(herd.returns)
    return f"{describe_share(herd.busiest(BIN))}" + (f", {describe_share(gone)} gave up" if gone else "")


def _room(named: Mapping[str, object]) -> float:
    """Return the width of the lanes' names in millimetres."""
    return max(text_width(name, TEXT) for name in named) * 25.4 / 72 + 5.0
