"""Hatches that are drawn once: a renderer that keeps a hatch's tile, for bars drawn again and again.

Agg draws a square of the hatch, as large as an inch, anew for each bar, with a circle for each dot: 2 ms for
dots, 0.7 for stripes. Here the square is kept as an image, and laid over the bar. The picture is the same, to
one of 255: a hatch has the colour of the bar's outline, so it doesn't matter which of them is above.
"""

from __future__ import annotations

from functools import lru_cache
from math import floor
from typing import Any

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, Transform
from numpy.typing import NDArray

KEPT = 50
"""Hatches that a renderer remembers, of some 160 kB each."""
_SQUARE = Path.unit_rectangle()


class Hatching(RendererAgg):
    """Agg's renderer, which draws a hatch of a rectangle as the image that it became."""

    def __init__(self, width: float, height: float, dpi: float) -> None:
        super().__init__(width, height, dpi)
        self._tile = lru_cache(KEPT)(self._draw_tile)

    def draw_path(
        self,
        gc: GraphicsContextBase,
        path: Path,
        transform: Transform,
        rgbFace: Any = None,  # noqa: N803  # matplotlib's name
    ) -> None:
        """Fill and outline a path; what is hatched but no upright rectangle is left to Agg."""
        hatch, colour = gc.get_hatch(), gc.get_hatch_color()
        upright = path is _SQUARE and transform.is_separable and gc.get_snap() is not False
        if hatch and upright and colour == gc.get_rgb():
            gc.set_hatch(None)
            super().draw_path(gc, path, transform, rgbFace)
            gc.set_hatch(hatch)
            self._lay(gc, transform, self._tile(hatch, colour, gc.get_hatch_linewidth()))
        else:
            super().draw_path(gc, path, transform, rgbFace)

    def _lay(self, gc: GraphicsContextBase, transform: Transform, tile: NDArray[np.uint8]) -> None:
        """Lay the hatch over the rectangle, whose edges Agg puts where pixels meet."""
        box = Bbox.intersection(Bbox.unit().transformed(transform), gc.get_clip_rectangle() or self.bbox)
        if box is None:
            return
        left, right = floor(box.x0 + 0.5), floor(box.x1 + 0.5)
        top, bottom = floor(self.height - box.y1 + 0.5), floor(self.height - box.y0 + 0.5)
        # Tiles are counted from the picture's upper left; an image's lowest row comes first.
        rows = tile.take(range(bottom - 1, top - 1, -1), axis=0, mode="wrap")
        image = rows.take(range(left, right), axis=1, mode="wrap")
        self.draw_image(gc, left, int(self.height) - bottom, image)

    def _draw_tile(self, hatch: str, colour: Any, linewidth: float) -> NDArray[np.uint8]:
        side = int(self.dpi)
        paper = RendererAgg(side, side, self.dpi)
        gc = paper.new_gc()
        gc.set_linewidth(0.0)
        gc.set_hatch(hatch)
        gc.set_hatch_color(colour)
        gc.set_hatch_linewidth(linewidth)
        paper.draw_path(gc, _SQUARE, Affine2D().scale(side))
        return np.asarray(paper.buffer_rgba()).copy()
