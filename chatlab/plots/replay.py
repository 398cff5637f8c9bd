"""Axes that are laid out once: the drawing commands of an unchanged axis are recorded and replayed.

Positioning ticks, tick lines and labels takes half the time of drawing a small plot, although most axes are
the same in each frame. A replay draws the same paths, markers and texts, and therefore
the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from matplotlib.axis import Axis
from matplotlib.backend_bases import GraphicsContextBase, RendererBase


class Recorder:
    """A proxy of a renderer that records all drawing commands."""

    def __init__(self, renderer: RendererBase) -> None:
        self.renderer = renderer
        self.tape: list[Callable[[], object]] = []

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.renderer, name)
        return partial(self._draw, attribute) if name.startswith("draw_") else attribute

    def _draw(self, draw: Callable[..., object], gc: GraphicsContextBase, *more: Any, **named: Any) -> None:
        kept = self.renderer.new_gc()
        kept.copy_properties(gc)  # the caller reuses its own with other properties
        self.tape.append(partial(draw, kept, *more, **named))
        draw(gc, *more, **named)


class Replay:
    """Replacement for an axis's `draw` method.

    It lays the axis out again if its limits, scale, ticks, tick labels, style or own label have changed, or
    the renderer is another one.
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
            self._state = (state, self._axis.label.get_position())  # as the layout has placed it


def _state(axis: Axis) -> object:
    """Return everything that determines an axis's look, except the axes' and its label's positions."""
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
