"""Replayed axes: the same pixels, and a new layout if something has changed."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from chatlab.plots.replay import Recorder, Replay
from chatlab.plots.style import figure_of
from chatlab.plots.text_cache import TextCachingCanvas

Change = Callable[[Axes], object]
CHANGES: dict[str, Change] = {
    "an end": lambda ax: ax.set_xlim(0.1, 10),
    "the direction": lambda ax: ax.set_xlim(10, 0),
    "another end at the same ticks": lambda ax: ax.set_xlim(0, 10.5),
    "the scale": lambda ax: ax.set(xscale="log", xlim=(0.1, 10)),
    "ticks": lambda ax: ax.set_xticks([1.0, 3.0]),
    "small ticks": lambda ax: ax.set_xticks([1.0, 3.0], minor=True),
    "names": lambda ax: ax.set_xticks([2.0, 8.0], ["two", "eight"]),
    "numbers": lambda ax: ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1f}")),
    "letters": lambda ax: ax.tick_params("x", labelsize=6),
    "length": lambda ax: ax.tick_params("x", length=1),
    "colours": lambda ax: ax.tick_params("x", colors="red"),
    "a grid": lambda ax: ax.xaxis.grid(visible=True, color="blue", linestyle=":"),
    "the label": lambda ax: ax.set_xlabel("minutes"),
    "the label's size": lambda ax: ax.set_xlabel("time", fontsize=7),
    "the label's colour": lambda ax: ax.set_xlabel("time", color="red"),
    "the label's place": lambda ax: ax.xaxis.set_label_coords(0.3, -0.4),
    "all": lambda ax: ax.xaxis.set_visible(False),
}


def axes() -> Axes:
    figure = Figure(figsize=(3, 1.5), dpi=100, facecolor="white")
    TextCachingCanvas(figure)
    ax = figure.add_axes((0.2, 0.4, 0.7, 0.5))
    ax.set(xlim=(0, 10), ylim=(0, 3), xlabel="time", ylabel="people")
    ax.yaxis.grid(visible=True, color="#b8b8b8", linewidth=0.4)
    ax.plot([1, 9], [1, 2])
    return ax


def replayed(axis: Axis) -> Mock:
    """Replay an axis; return a mock of its own `draw`, which counts calls."""
    lay_out = Mock(side_effect=axis.draw)
    axis.draw = lay_out  # type: ignore[method-assign]
    axis.draw = Replay(axis)  # type: ignore[method-assign]
    return lay_out


def pixels(ax: Axes) -> NDArray[np.uint8]:
    canvas = ax.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def test_what_stays_is_laid_out_once_and_has_the_same_pixels() -> None:
    expected = pixels(axes())
    ax = axes()
    laid_out = [replayed(axis) for axis in (ax.xaxis, ax.yaxis)]
    for _ in range(3):
        assert (pixels(ax) == expected).all()
    assert [axis.call_count for axis in laid_out] == [1, 1]


@pytest.mark.sampled(2)
@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_is_laid_out_anew(change: Change) -> None:
    ax, new = axes(), axes()
    laid_out = replayed(ax.xaxis), replayed(ax.yaxis)
    before = pixels(ax)
    change(ax)
    change(new)
    expected = pixels(new)
    assert (expected != before).any(), "nothing has changed"
    for _ in range(2):
        assert (pixels(ax) == expected).all()
    assert [axis.call_count for axis in laid_out] == [2, 1]


def squared(ax: Axes) -> None:
    ax.set_xscale("function", functions=(np.square, np.sqrt))
    ax.set_xticks([1, 2, 10])


SAME: dict[str, tuple[Change, Change]] = {
    "names": (
        lambda ax: ax.set_xticks([2, 8], ["two", "eight"]),
        lambda ax: ax.set_xticks([3, 9], ["two", "eight"]),
    ),
    "number of small ticks": (
        lambda ax: ax.set_xticks([1, 7], minor=True),
        lambda ax: ax.set_xticks([3, 9], minor=True),
    ),
    "ends and ticks": (
        lambda ax: ax.set(xlim=(1, 10), xticks=[1, 2, 10]),
        squared,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), SAME.values(), ids=SAME)
def test_other_places_are_laid_out_anew_though_they_look_the_same(first: Change, second: Change) -> None:
    ax, new = axes(), axes()
    replayed(ax.xaxis)
    for change in (first, second):
        change(ax)
        change(new)
        assert (pixels(ax) == pixels(new)).all()


def test_a_graphics_context_may_change_after_it_was_drawn_with() -> None:
    def draw(renderer: Any) -> None:
        gc = renderer.new_gc()
        for colour, place in (("red", 5.0), ("blue", 25.0)):
            gc.set_foreground(colour)
            renderer.draw_path(gc, Path.unit_rectangle(), Affine2D().scale(9).translate(place, 5))

    first, second = RendererAgg(40, 20, 72), RendererAgg(40, 20, 72)
    draw(first)
    recorder = Recorder(second)
    draw(recorder)
    second.clear()
    for again in recorder.tape:
        again()
    assert (np.asarray(first.buffer_rgba()) == np.asarray(second.buffer_rgba())).all()


@pytest.mark.slow
def test_a_label_that_moves_with_its_numbers_is_laid_out_once_more() -> None:
    ax, new = axes(), axes()
    replayed(ax.yaxis)
    pixels(ax)
    for each in (ax, new):
        each.set_ylim(0, 1e5)
    assert (pixels(ax) == pixels(new)).all()


@pytest.mark.slow
def test_another_renderer_gets_what_it_has_to_draw() -> None:
    ax, new = axes(), axes()
    laid_out = replayed(ax.xaxis)
    pixels(ax)
    for each in (ax, new):
        each.figure.set_dpi(150)
    assert (pixels(ax) == pixels(new)).all()
    drawing = BytesIO()
    figure_of(ax).savefig(drawing, format="svg", metadata={"Date": None})
    assert drawing.getvalue().count(b"xtick_") == 6
    assert laid_out.call_count == 3
