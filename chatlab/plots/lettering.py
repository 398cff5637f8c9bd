"""Words that are drawn once: a canvas that remembers how each one looked, for a figure drawn again and again.

Most words of a plot stay when its slider moves, and letters are dear: matplotlib lays each line of text out
and fills each letter's outline anew. Here a line's pixels are kept, by what it says, in which type, and by
the fractions of a pixel at which it stands, so that a picture is the same as without, but for what can't be
seen: a letter's edge may differ by a few of 255 where letters touch, or stand at a slant.
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

from chatlab.plots.hatching import Hatching

KEPT = 500
"""Lines of text that a canvas remembers, of some 10 kB each."""
SUBPIXELS = 64
"""Places of a letter between two pixels that FreeType tells apart."""
EDGE = 4
"""Pixels around a line's box into which letters may reach."""


class LetteringCanvas(FigureCanvasAgg):
    """Agg's canvas, with letters that are kept; it keeps its renderer, and so the width of each line too."""

    _made: Lettering | None = None

    def get_renderer(self) -> Lettering:
        """Return the renderer; a new one where the figure's size or resolution has changed."""
        width, height = self.get_width_height(physical=True)
        made = self._made
        if made is None or (made.width, made.height, made.dpi) != (width, height, self.figure.dpi):
            self.renderer = self._made = made = Lettering(width, height, self.figure.dpi)
        return made


class Lettering(Hatching):
    """Agg's renderer, which draws a line of text that it has drawn before as the image that it became."""

    def __init__(self, width: float, height: float, dpi: float) -> None:
        super().__init__(width, height, dpi)
        self._drawn = lru_cache(KEPT)(_Writing(dpi).draw)

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

        A font's features and language, which chatlab doesn't use, are left out.
        """
        column, right = divmod(round(SUBPIXELS * x), SUBPIXELS)
        row, down = divmod(round(SUBPIXELS * y), SUBPIXELS)
        image, left, above = self._drawn(s, prop, angle, ismath, gc.get_rgb(), right, down)
        self.draw_image(gc, column + left, int(self.height) - row + above, image)


class _Writing:
    """Draws a line of text alone, on nothing."""

    def __init__(self, dpi: float) -> None:
        self._dpi = dpi
        self._ruler = RendererAgg(1, 1, dpi)

    def draw(
        self, text: str, prop: FontProperties, angle: float, ismath: Any, colour: Any, right: int, down: int
    ) -> tuple[NDArray[np.uint8], int, int]:
        """Return the image, its lowest row first, and how far right of and above the text's anchor it begins.

        `right` and `down` are the anchor's place between two pixels.
        """
        width, height, _ = self._ruler.get_text_width_height_descent(text, prop, ismath)
        along, across = abs(cos(radians(angle))), abs(sin(radians(angle)))
        x = ceil(width * along + height * across) + EDGE
        y = ceil(width * across + height * along) + EDGE
        paper = RendererAgg(2 * x, 2 * y, self._dpi)
        gc = paper.new_gc()
        gc.set_foreground(colour)
        paper.draw_text(gc, x + right / SUBPIXELS, y + down / SUBPIXELS, text, prop, angle, ismath)
        image = np.asarray(paper.buffer_rgba())[::-1]
        bottom, top = _extent(image[..., 3].max(axis=1), y)
        left, end = _extent(image[..., 3].max(axis=0), x)
        return image[bottom:top, left:end].copy(), left - x, bottom - y


def _extent(inked: NDArray[np.uint8], anchor: int) -> tuple[int, int]:
    """Return from where to where there is ink, or nothing at the anchor where there is none."""
    places = inked.nonzero()[0]
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (anchor, anchor)
