"""Backoff curves: how long each formula waits before each retry, and how far it spreads the clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import FixedLocator

from chatlab.errors import SettingsError
from chatlab.plots.style import (
    TEXT,
    UNDERLAY,
    Look,
    bar,
    grid,
    look,
    new_axes,
    size,
    spread,
    style_axes,
    text_width,
    tint,
)
from chatlab.settings import ReconnectConfig
from chatlab.studies.backoff_delays import Floats, backoff_delays

PERCENTILES = (10, 50, 90)
"""Percentiles of the band's lower edge, the line, and the band's upper edge."""
GAP = 4.0
"""Points between the end of a curve and the thin line to its name."""


def plot_backoff(
    configs: Mapping[str, ReconnectConfig] | ReconnectConfig,
    *,
    samples: int = 10_000,
    seed: int = 0,
    attempts: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw the delay before each of the first `attempts` retries: its median, and a band from 10 to 90 %.

    `configs` is one configuration, or several by name; more than six are hard to tell apart. Bands are drawn
    side by side; settings without jitter have none. A line ends at the last attempt before giving up.

    Errors: `SettingsError` if there is nothing to draw.
    """
    if isinstance(configs, ReconnectConfig):
        configs = {"schedule" if configs.schedule else configs.jitter: configs}
    bands = {
        name: band
        for name, config in configs.items()
        if (band := _band(config, samples, seed, attempts)) is not None
    }
    if not bands:
        raise SettingsError("nothing to draw: give enabled settings with one attempt or more")
    ax = new_axes() if ax is None else ax
    lane = min(0.28, 0.8 / len(bands))
    offsets = [lane * (number - (len(bands) - 1) / 2) for number in range(len(bands))]
    for number, (name, band) in enumerate(bands.items()):
        _draw(ax, name, band, np.arange(1, band.shape[1] + 1) + offsets[number], 0.8 * lane, look(number))
    longest = max(band.shape[1] for band in bands.values())
    ax.set_ylim(0, 1.1 * max(band[2].max() for band in bands.values()) or 1.0)
    ax.xaxis.set_major_locator(FixedLocator(range(1, longest + 1)))
    grid(ax.yaxis)
    style_axes(
        ax,
        title="How long until the next attempt?",
        note=f"line: median, bar: the middle 80 % of {samples:,} clients",
        x="retry since the connection was lost",
        y="delay (s)",
    )
    _name_lines(ax, bands, offsets, longest)
    return ax


@lru_cache(32)
def _band(config: ReconnectConfig, samples: int, seed: int, attempts: int) -> Floats | None:
    delays = backoff_delays(config, samples=samples, seed=seed, attempts=attempts)
    return np.asarray(np.percentile(delays, PERCENTILES, axis=0), dtype=np.float64) if delays.size else None


def _draw(ax: Axes, name: str, band: Floats, retries: Floats, width: float, style: Look) -> None:
    low, median, high = band
    bars = {"facecolor": tint(style.colour), "edgecolor": style.colour, "linewidth": 0.6}
    for x, bottom, top in zip(retries, low, high, strict=True):
        if top > bottom:
            bar(ax, x - width / 2, bottom, width, top - bottom, **bars)
    ax.plot(
        retries,
        median,
        label=name,
        color=style.colour,
        linestyle=style.line,
        linewidth=1.5,
        marker=style.marker,
        markersize=5.5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        zorder=3,
    )


def _name_lines(ax: Axes, bands: Mapping[str, Floats], offsets: Sequence[float], longest: int) -> None:
    """Write each name to the right of its line, or above the end of a line that gives up earlier."""
    width, height = size(ax)
    last = {number: name for number, (name, band) in enumerate(bands.items()) if band.shape[1] == longest}
    room = max(text_width(name, TEXT, bold=True) for name in last.values()) + 18
    left, right = 0.4, longest + 0.4 + longest * room / (width - room)
    ax.set_xlim(left, right)
    top = ax.get_ylim()[1]
    line = 1.2 * TEXT * top / height
    ends = {number: (longest + offsets[number], float(bands[name][1, -1])) for number, name in last.items()}
    places = dict(
        zip(last, spread([y for _, y in ends.values()], line, 0.8 * line, top - line / 2), strict=True)
    )
    points = np.array([width / (right - left), height / top])
    names_at = longest + 0.4 + 14 / points[0]
    middles = [
        (names_at + text_width(name, TEXT, bold=True) / 2 / points[0], places[number])
        for number, name in last.items()
    ]
    _draw_leaders(ax, np.array([*ends.values()]), np.array(middles), points, [look(i).colour for i in last])
    for number, (name, band) in enumerate(bands.items()):
        colour = look(number).colour
        text: dict[str, Any] = {"fontsize": TEXT, "fontweight": "bold", "color": colour, "bbox": UNDERLAY}
        if number in places:
            ax.text(names_at, places[number], name, va="center", **text)
        else:
            end = (band.shape[1] + offsets[number], band[1, -1])
            ax.annotate(f"{name} gives up", end, (0, 5), textcoords="offset points", ha="center", **text)


def _draw_leaders(ax: Axes, ends: Floats, names: Floats, points: Floats, colours: Sequence[str]) -> None:
    """Draw a thin line from near each end to the middle of its name; `points` is points per data unit.

    One collection for all is faster than annotation arrows, which matplotlib would clip at both ends.
    """
    ways = (names - ends) * points
    starts = ends + GAP * ways / np.hypot(*ways.T)[:, None] / points
    lines = np.stack([starts, names], axis=1)
    ax.add_artist(LineCollection(list(lines), colors=colours, linewidths=0.6, zorder=3, clip_on=False))
