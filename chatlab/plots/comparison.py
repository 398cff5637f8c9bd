"""Two runs of the same people on one time axis: their connections' statuses in each world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from msgspec.structs import replace

from chatlab.errors import SettingsError
from chatlab.experiment.compare import Comparison, Difference, compare
from chatlab.experiment.run import Run
from chatlab.experiment.spans import StatusSpan
from chatlab.plots.style import INK, TEXT, new_axes, style_axes, text_width
from chatlab.plots.timeline import place_keys, plot_statuses

MOST_PEOPLE = 6
FIRST: Mapping[str, Any] = {"linestyle": "none", "marker": "X", "markersize": 7, "color": INK}
FURTHER: Mapping[str, Any] = {"linestyle": "none", "marker": "|", "markersize": 5, "color": INK}


def plot_comparison(run_a: Run, run_b: Run, *, ax: Axes | None = None) -> Axes:
    """Draw the statuses of both runs, person by person, and mark their differences.

    At most six people are drawn, those with differences first.

    Errors: `SettingsError` if the runs have no recorded person in common.
    """
    compared = compare(run_a, run_b)
    differing = list(dict.fromkeys(difference.person for difference in compared.differences))
    common = [person for person in run_a.people if person in run_b.people]
    if not common:
        raise SettingsError("nothing to compare: steps of the same people must have been recorded in both")
    chosen = set((differing + [person for person in common if person not in differing])[:MOST_PEOPLE])
    people = [person for person in common if person in chosen]
    lanes = _lanes(run_a, run_b, people)
    room = max(text_width(name, TEXT) for name in lanes)
    if ax is None:
        left = room * 25.4 / 72 + 5.0
        ax = new_axes(height=39.0 + 8.0 * len(lanes), left=left, right=5.0, top=13.0, bottom=22.0)
    plot_statuses(lanes, faults=run_a.faults, ax=ax)
    for number, person in enumerate(people):
        own = [difference for difference in compared.differences if difference.person == person]
        _mark(ax, own, -2 * number - 0.5)
        if number:
            ax.axhline(0.5 - 2 * number, color=INK, linewidth=0.6)
    title = f"Do {run_a.world} and {run_b.world} agree?"
    style_axes(ax, title=title, note=_note(compared, len(common) - len(people)), x="time (s)")
    ax.tick_params(axis="y", length=0)
    legend = ax.get_legend()
    keys = list(legend.legend_handles) if legend is not None else []
    marks: list[Artist] = [_key(FIRST, "first difference"), _key(FURTHER, "further ones")]
    place_keys(ax, [key for key in keys if key] + marks[: 2 if compared.differences else 0], indent=-room)
    return ax


def _note(compared: Comparison, left_out: int) -> str:
    first = compared.first
    said = f"yes, to within {replace(compared.tolerance, source='')}"
    if first is not None:
        count = len(compared.differences)
        said = f"{count:,} {'difference' if count == 1 else 'differences'}, the first of {first.person}"
        said += f" at {first.at:.2f} s"
    return said + (f"; {left_out:,} more people aren't shown" if left_out else "")


def _key(style: Mapping[str, Any], label: str) -> Line2D:
    return Line2D([], [], label=label, **style)


def _lanes(run_a: Run, run_b: Run, people: list[str]) -> dict[str, list[StatusSpan]]:
    """Return each person's statuses in both worlds, in adjacent lanes."""
    a, b = run_a.world, run_b.world
    if a == b:
        a, b = f"{a} 1", f"{b} 2"
    return {
        f"{person}, {world}": run.statuses(person)
        for person in people
        for world, run in ((a, run_a), (b, run_b))
    }


def _mark(ax: Axes, differences: list[Difference], y: float) -> None:
    """Mark the differences between a person's two lanes, and connect steps that differ only in time."""
    for difference in differences:
        a, b = difference.a, difference.b
        if a is not None and b is not None and a.text == b.text:
            ax.plot([a.at, b.at], [y + 0.25, y - 0.25], color=INK, linewidth=0.6, zorder=3)
    at = [difference.at for difference in differences]
    ax.plot(at[1:], [y] * len(at[1:]), gid="further differences", zorder=4, clip_on=False, **FURTHER)
    ax.plot(at[:1], [y] * len(at[:1]), gid="first difference", zorder=5, clip_on=False, **FIRST)
