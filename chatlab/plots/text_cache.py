"""A canvas that caches rendered text, for figures that are drawn repeatedly.

Most texts of a plot stay when its slider moves, but matplotlib lays out each line and fills each glyph
again. Here the pixels of a line are cached by text, font, and subpixel position. The result is the same,
except that edges of touching or rotated glyphs may differ by a few of 255, which isn't visible.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, cos, radians, sin
from typing import Any

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

from chatlab.plots.hatch_cache import HatchCachingRenderer

KEPT = 500
"""Number of lines of text that a canvas caches, about 10 kB each."""
SUBPIXELS = 64
"""Subpixel positions of a glyph that FreeType distinguishes."""
EDGE = 4
"""Pixels by which glyphs may extend beyond a line's box."""


class TextCachingCanvas(FigureCanvasAgg):
    """Agg's canvas with a text cache. It also keeps its renderer, which caches the widths of lines."""

    _made: TextCachingRenderer | None = None

    def get_renderer(self) -> TextCachingRenderer:
        """Return the renderer; make a new one if the figure's size or resolution has changed."""
        width, height = self.get_width_height(physical=True)
        made = self._made
        if made is None or (made.width, made.height, made.dpi) != (width, height, self.figure.dpi):
            self.renderer = self._made = made = TextCachingRenderer(width, height, self.figure.dpi)
        return made


class TextCachingRenderer(HatchCachingRenderer):
    """Agg's renderer, which draws a repeated line of text from a cached image."""

    def __init__(self, width: float, height: float, dpi: float) -> None:
        super().__init__(width, height, dpi)
        self._drawn = lru_cache(KEPT)(_LineRenderer(dpi).draw)

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        """Draw a line of text with its baseline's left end at (x, y), in pixels from the upper left.

        Font features and language are ignored, as chatlab doesn't use them.
        """
        column, right = divmod(round(SUBPIXELS * x), SUBPIXELS)
        row, down = divmod(round(SUBPIXELS * y), SUBPIXELS)
        image, left, above = self._drawn(s, prop, angle, ismath, gc.get_rgb(), right, down)
        self.draw_image(gc, column + left, int(self.height) - row + above, image)


class _LineRenderer:
    """Draws a single line of text on a transparent background."""

    def __init__(self, dpi: float) -> None:
        self._dpi = dpi
        self._ruler = RendererAgg(1, 1, dpi)

    def draw(
        self, text: str, prop: FontProperties, angle: float, ismath: Any, colour: Any, right: int, down: int
    ) -> tuple[NDArray[np.uint8], int, int]:
        """Return the image, lowest row first, and its offset to the right of and above the text's anchor.

        `right` and `down` are the anchor's subpixel position.
        """
        width, height, _ = self._ruler.get_text_width_height_descent(text, prop, ismath)
        along, across = abs(cos(radians(angle))), abs(sin(radians(angle)))
        x = ceil(width * along + height * across) + EDGE
        y = ceil(width * across + height * along) + EDGE
        renderer = RendererAgg(2 * x, 2 * y, self._dpi)
        gc = renderer.new_gc()
        gc.set_foreground(colour)
        renderer.draw_text(gc, x + right / SUBPIXELS, y + down / SUBPIXELS, text, prop, angle, ismath)
        image = np.asarray(renderer.buffer_rgba())[::-1]
        bottom, top = _extent(image[..., 3].max(axis=1), y)
        left, end = _extent(image[..., 3].max(axis=0), x)
        return image[bottom:top, left:end].copy(), left - x, bottom - y


def _extent(inked: NDArray[np.uint8], anchor: int) -> tuple[int, int]:
    """Return the range of inked pixels; an empty range at the anchor if there are none."""
    places = inked.nonzero()[0]
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (anchor, anchor)
