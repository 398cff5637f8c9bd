"""A reusable figure, for a plot that follows a slider.

Creating the axes takes much of the time of a small plot: for each tick two marks, two labels and a grid line.
They are the same in each frame, so a reusable figure keeps them and removes only the plot's own artists.
"""

from __future__ import annotations

from matplotlib.axes import Axes

from chatlab.plots.replay import Replay
from chatlab.plots.style import figure_of, new_row
from chatlab.plots.text_cache import TextCachingCanvas


class ReusableFigure:
    """Returns the same axes for each request, with nothing drawn on them. Not thread-safe.

    The axes keep their scales, ticks and style, so a plot must set its limits and texts each time, as all
    plots of chatlab do.
    """

    def __init__(self) -> None:
        self._layout: tuple[int, dict[str, float]] | None = None
        self._row: list[Axes] = []

    def row(self, count: int = 1, **layout: float) -> list[Axes]:
        """Return empty axes as `new_row` does: the previous ones if `count` and `layout` are unchanged."""
        if (count, layout) != self._layout:
            self._row, self._layout = new_row(count, **layout), (count, layout)
            TextCachingCanvas(figure_of(self._row[0]))
            for ax in self._row:
                for axis in (ax.xaxis, ax.yaxis):
                    axis.draw = Replay(axis)  # type: ignore[method-assign]  # matplotlib has no other hook
        drawn = not figure_of(self._row[0]).stale
        for ax in self._row:
            if drawn:
                _pin(ax)
            _wipe(ax)
        return self._row


def _pin(ax: Axes) -> None:
    """Fix the axis labels at their present positions, which matplotlib would compute from all tick labels.

    A label at the left isn't fixed, since the width of the tick labels may change.
    """
    label = ax.xaxis.label
    ax.xaxis.set_label_coords(*label.get_position(), label.get_transform())
    if not ax.get_ylabel():
        ax.yaxis.set_label_coords(0.0, 0.5)


def _wipe(ax: Axes) -> None:
    """Remove the plot's artists and legend, and keep the axes, their ticks and titles."""
    for artist in [*ax.lines, *ax.patches, *ax.texts, *ax.collections, *ax.artists]:
        artist.remove()
    if legend := ax.get_legend():
        legend.remove()
