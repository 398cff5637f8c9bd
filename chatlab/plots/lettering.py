"""Words that are drawn once: a canvas that remembers how each one looked, for a figure drawn again and again.

Most words of a plot stay when its slider moves, and letters are dear: matplotlib lays each line of text out
and fills each letter's outline anew. Here a line's pixels are kept, by what it says, in which type, and by
the fractions of a pixel at which it stands, so that a picture is the same as without, but for what can't be
seen: a letter's edge may differ by a few of 255 where letters touch, or stand at a slant.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
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
        image, reach = self._drawn(s, prop, angle, ismath, gc.get_rgb(), right, down)
        self.draw_image(gc, column - reach, int(self.height) - row - reach, image)


class _Writing:
    """Draws a line of text alone, on nothing."""

    def __init__(self, dpi: float) -> None:
        self._dpi = dpi
        self._ruler = RendererAgg(1, 1, dpi)

    def draw(
        self, text: str, prop: FontProperties, angle: float, ismath: Any, colour: Any, right: int, down: int
    ) -> tuple[NDArray[np.uint8], int]:
        """Return the image, its lowest row first, and how far it reaches from the text's anchor to each side.

        `right` and `down` are the anchor's place between two pixels.
        """
        width, height, _ = self._ruler.get_text_width_height_descent(text, prop, ismath)
        reach = ceil(max(width, height)) + EDGE
        paper = RendererAgg(2 * reach, 2 * reach, self._dpi)
        gc = paper.new_gc()
        gc.set_foreground(colour)
        paper.draw_text(gc, reach + right / SUBPIXELS, reach + down / SUBPIXELS, text, prop, angle, ismath)
        return np.asarray(paper.buffer_rgba())[::-1].copy(), reach
