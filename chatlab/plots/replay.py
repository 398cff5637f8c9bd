"""Ticks that are laid out once: an axis that is drawn as it was the last time while it stays as it is.

Half of the time that a small plot takes to draw goes into where its ticks, their lines and labels belong,
though most axes are the same from frame to frame. Here what an axis told the renderer to draw is noted, and
told again: the same paths, marks and letters, and so the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from matplotlib.axis import Axis
from matplotlib.backend_bases import GraphicsContextBase, RendererBase


class Recorder:
    """Stands before a renderer, passes on all that it is asked, and notes what it is to draw."""

    def __init__(self, renderer: RendererBase) -> None:
        self.renderer = renderer
        self.tape: list[Callable[[], object]] = []

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self.renderer, name)
        return partial(self._draw, asked) if name.startswith("draw_") else asked

    def _draw(self, draw: Callable[..., object], gc: GraphicsContextBase, *more: Any, **named: Any) -> None:
        kept = self.renderer.new_gc()
        kept.copy_properties(gc)  # who draws goes on to use its own for other things
        self.tape.append(partial(draw, kept, *more, **named))
        draw(gc, *more, **named)


class Replay:
    """Draws an axis; stands in the place of its `draw`.

    It is laid out anew where its ends, scale, ticks, their labels or looks, or its own label have changed, or
    where another renderer is to draw it.
    """

    def __init__(self, axis: Axis) -> None:
        self._axis = axis
        self._lay_out = axis.draw
        self._state: object = None
        self._recorder: Recorder | None = None

    def __call__(self, renderer: RendererBase) -> None:
        recorder = self._recorder
        if recorder is None or recorder.renderer is not renderer:
            self._recorder = recorder = Recorder(renderer)
            self._state = None
        state = _state(self._axis)
        if (state, self._axis.label.get_position()) == self._state:
            for draw in recorder.tape:
                draw()
        else:
            recorder.tape.clear()
            self._lay_out(cast(RendererBase, recorder))
            self._state = (state, self._axis.label.get_position())  # where the numbers have let it


def _state(axis: Axis) -> object:
    """Return all that says how an axis of a plot looks, but for where the axes are, and its label."""
    major, minor = axis.get_majorticklocs().tolist(), axis.get_minorticklocs().tolist()
    label = axis.label
    return (
        tuple(axis.get_view_interval()),
        axis.get_scale(),
        (major, axis.get_major_formatter().format_ticks(major), axis.get_tick_params("major")),
        (minor, axis.get_minor_formatter().format_ticks(minor), axis.get_tick_params("minor")),
        axis.get_visible(),
        (label.get_text(), label.get_fontsize(), label.get_color()),
    )
