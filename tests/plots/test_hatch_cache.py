"""Cached hatches: the pixels are the same, and no tile is drawn twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from chatlab.plots.style import LOOKS
from chatlab.plots.text_cache import TextCachingCanvas

ROUNDED = 1
"""Tolerance of a pixel, of 255, if outline and hatch are blended in another order."""
Draw = Callable[[Axes], object]


def bar(x: float = 1.0, y: float = 1.0, width: float = 5.3, height: float = 0.62, **look: Any) -> Draw:
    style: dict[str, Any] = {
        "facecolor": "#cfe3f3",
        "edgecolor": "#0072b2",
        "hatch": "////",
        "linewidth": 0.8,
    } | look
    return lambda ax: ax.barh(y, width, height, x, **style)


def pixels(draw: Draw, canvas: type[FigureCanvasAgg]) -> NDArray[np.int64]:
    figure = Figure(figsize=(3, 1.5), dpi=200, facecolor="white")
    ax = figure.add_axes((0.1, 0.2, 0.85, 0.75), xlim=(0, 10), ylim=(0, 3))
    ax.set_axis_off()
    draw(ax)
    made = canvas(figure)
    made.draw()
    return np.asarray(made.buffer_rgba()).astype(np.int64)


@pytest.fixture
def hatched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the hatches that Agg draws; those drawn as a cached tile have a * before them."""
    found: list[str] = []
    draw: Callable[..., None] = RendererAgg.draw_path

    def noted(self: RendererAgg, gc: Any, *more: Any) -> None:
        if hatch := gc.get_hatch():
            found.append(hatch if self.width > self.dpi else f"*{hatch}")
        draw(self, gc, *more)

    monkeypatch.setattr(RendererAgg, "draw_path", noted)
    return found


def log_scaled(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_xlim(0.1, 10)
    bar()(ax)


def at_a_slant(ax: Axes) -> None:
    (patch,) = ax.bar([1], [1], facecolor="w", edgecolor="k", hatch="//")
    patch.set_transform(Affine2D().scale(90).rotate_deg(20).translate(200, 100))


PLAIN: dict[str, Draw] = {
    **{look.hatch: bar(hatch=look.hatch, edgecolor=look.colour) for look in LOOKS},
    **{f"{width} points": bar(linewidth=width) for width in (0.0, 0.6, 1.0, 1.5, 4.0)},
    "at a fraction of a pixel": bar(1.003, 1.507, 3.0071, 0.777),
    "out of the axes": bar(-2.0, 0.1, 20.0, 1.0),
    "out of the picture": bar(-90.0, 0.1, 190.0, 90.0, clip_on=False),
    "half opaque": bar(alpha=0.5),
    "with a half opaque line": bar(edgecolor=(0.0, 0.4, 0.7, 0.5)),
    "elsewhere": bar(20.0, clip_on=False),
    "of no width": bar(width=0.0),
    "backwards": bar(x=9.0, width=-5.0),
    "coarse": bar(hatch_linewidth=3.0),
    "upside down": lambda ax: [bar()(ax), ax.set_ylim(3, 0)],
    "a key": lambda ax: ax.legend(handles=[Patch(facecolor="w", edgecolor="k", hatch="....", label="dots")]),
}
LEFT_TO_AGG: dict[str, Draw] = {
    "in another colour": bar(hatchcolor="red"),
    "without an outline": bar(edgecolor="none", hatchcolor="red"),
    "round": lambda ax: ax.add_patch(Circle((5, 1), 0.9, hatch="xx", facecolor="w", edgecolor="k")),
    "at a slant": at_a_slant,
    "not on the pixels": bar(1.003, 1.507, 3.0071, 0.777, snap=False),
    "logarithmic": log_scaled,
}


@pytest.mark.sampled(2)
@pytest.mark.slow
@pytest.mark.parametrize("draw", [*PLAIN.values(), *LEFT_TO_AGG.values()], ids=[*PLAIN, *LEFT_TO_AGG])
def test_a_hatch_looks_as_that_of_agg(draw: Draw) -> None:
    difference = np.abs(pixels(draw, TextCachingCanvas) - pixels(draw, FigureCanvasAgg))
    assert difference.max() <= ROUNDED


def test_one_hatch_is_drawn_once_in_a_colour_and_a_width_of_line(hatched: list[str]) -> None:
    def draw(ax: Axes) -> None:
        for y, colour in enumerate(("black", "black", "#0072b2")):
            bar(y=y, edgecolor=colour)(ax)
            bar(x=7.0, width=1.0, y=y, edgecolor=colour)(ax)
        bar(x=7.0, width=1.0, hatch_linewidth=3.0)(ax)
        bar(x=9.0, width=1.0, hatch="....")(ax)

    figure = Figure()
    draw(figure.add_axes((0, 0, 1, 1)))
    canvas = TextCachingCanvas(figure)
    for _ in range(2):
        canvas.draw()
        assert sorted(hatched) == ["*....", "*////", "*////", "*////"]


@pytest.mark.parametrize("draw", LEFT_TO_AGG.values(), ids=LEFT_TO_AGG)
def test_other_paths_than_plain_bars_are_left_to_agg(draw: Draw, hatched: list[str]) -> None:
    pixels(draw, TextCachingCanvas)
    drawn = list(hatched)
    hatched.clear()
    pixels(draw, FigureCanvasAgg)
    assert drawn == hatched != []


def test_a_graphics_context_is_left_as_it_was() -> None:
    renderer = TextCachingCanvas(Figure()).get_renderer()
    gc = renderer.new_gc()
    gc.set_hatch("////")
    gc.set_hatch_color((0.0, 0.0, 0.0, 1.0))
    renderer.draw_path(gc, Path.unit_rectangle(), Affine2D().scale(50))
    assert gc.get_hatch() == "////"
