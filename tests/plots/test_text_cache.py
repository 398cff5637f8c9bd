"""Cached text: the pixels are the same, and no line is rendered twice."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from chatlab.plots.text_cache import TextCachingCanvas

ROUNDED = 8
"""Tolerance of a glyph's edge, of 255, as its position is rounded twice, to a 64th of a pixel."""
LOOKS: list[dict[str, Any]] = [
    {},
    {"rotation": 90, "color": "#c85200"},
    {"rotation": 30, "fontsize": 9.5},
    {"fontweight": "bold", "color": "white", "bbox": {"facecolor": "black"}},
    {"alpha": 0.5, "color": "#0072b2"},
    {"color": (0.0, 0.4, 0.7, 0.5)},
    {"x": 0.35 + 1 / 777, "y": 0.5 - 1 / 777},
    {"x": -0.1},
    {"x": 1.0, "ha": "center"},
]


def written(words: str, **look: Any) -> tuple[Figure, Text]:
    figure = Figure(figsize=(2, 1), dpi=200, facecolor="#cfe3f3")
    place = {"x": 0.3, "y": 0.4} | look
    return figure, figure.text(s=words, **place)


def pixels(canvas: FigureCanvasAgg) -> NDArray[np.int64]:
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).astype(np.int64)


def by_agg(words: str, **look: Any) -> NDArray[np.int64]:
    return pixels(FigureCanvasAgg(written(words, **look)[0]))


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize("words", ["60 s", "Lively, WAVy", "r$^2$ = 1", "two\nlines"])
@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_letters_look_as_those_of_agg_the_first_time_and_the_second(words: str, look: dict[str, Any]) -> None:
    expected = by_agg(words, **look)
    assert len(np.unique(expected)) > 10, "nothing is written"
    canvas = TextCachingCanvas(written(words, **look)[0])
    for _ in range(2):
        difference = np.abs(pixels(canvas) - expected)
        assert difference.max() <= ROUNDED


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the lines of text that Agg renders."""
    found: list[str] = []
    write: Callable[..., None] = RendererAgg.draw_text

    def noted(self: RendererAgg, gc: Any, x: float, y: float, s: str, *more: Any, **named: Any) -> None:
        found.append(s)
        write(self, gc, x, y, s, *more, **named)

    monkeypatch.setattr(RendererAgg, "draw_text", noted)
    return found


def test_a_line_that_stays_or_moves_by_whole_pixels_is_written_once(lines: list[str]) -> None:
    figure, text = written("stays")
    canvas = TextCachingCanvas(figure)
    before = pixels(canvas)
    text.set_x(0.3 + 10 / 400)
    after = pixels(canvas)
    assert lines == ["stays"]
    assert (np.roll(before, 10, axis=1) == after).all()


def test_a_cached_line_is_no_larger_than_its_glyphs(monkeypatch: pytest.MonkeyPatch) -> None:
    figure, text = written("a long line")
    canvas = TextCachingCanvas(figure)
    pixels(canvas)
    put = Mock()
    monkeypatch.setattr(canvas.get_renderer(), "draw_image", put)
    canvas.draw()
    height, width, _ = put.call_args.args[3].shape
    box = text.get_window_extent()
    assert 0.9 * box.width < width <= ceil(box.width) + 2
    assert 0.5 * box.height < height <= ceil(box.height) + 2


def test_an_invisible_text_is_drawn_too() -> None:
    assert (pixels(TextCachingCanvas(written("unseen", color=(0, 0, 0, 0))[0])) == by_agg(" ")).all()


@pytest.mark.parametrize(
    "change",
    [{"text": "goes"}, {"fontsize": 12.0}, {"fontweight": "bold"}, {"color": "red"}, {"rotation": 90.0}],
    ids=str,
)
def test_a_line_that_changes_is_written_anew(change: dict[str, Any], lines: list[str]) -> None:
    figure, text = written("stays")
    canvas = TextCachingCanvas(figure)
    pixels(canvas)
    text.set(**change)
    drawn = pixels(canvas)
    assert len(lines) == 2
    look = dict(change)
    assert np.abs(drawn - by_agg(look.pop("text", "stays"), **look)).max() <= ROUNDED


def test_another_size_or_resolution_has_another_renderer() -> None:
    figure, _ = written("stays")
    canvas = TextCachingCanvas(figure)
    first = canvas.get_renderer()
    assert canvas.get_renderer() is first
    figure.set_size_inches(3, 1)
    wide = canvas.get_renderer()
    assert (wide.width, wide.height) == (600, 200)
    figure.set_size_inches(1.5, 0.5)
    small = canvas.get_renderer()
    figure.set_dpi(400)
    figure.set_size_inches(0.75, 0.25)
    assert (small.width, small.height) == (300, 100)
    assert canvas.get_renderer() is not small
    assert canvas.get_renderer().dpi == 400
