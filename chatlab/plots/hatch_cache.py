"""A renderer that caches hatch tiles, for bars that are drawn repeatedly.

For each bar, Agg draws a square inch of the hatch, with a circle for each dot: 2 ms for dots, 0.7 ms for
stripes. Here the square is cached as an image and pasted over the bar. The pixels differ by at most 1 of 255:
a hatch has the colour of the bar's outline, so the order of the two doesn't matter.
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
"""Number of hatches that a renderer caches, about 160 kB each."""
_SQUARE = Path.unit_rectangle()


class HatchCachingRenderer(RendererAgg):
    """Agg's renderer, with cached images for the hatches of rectangles."""

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
        """Fill and outline a path; Agg draws any hatched path that isn't an upright rectangle."""
        hatch, colour = gc.get_hatch(), gc.get_hatch_color()
        upright = path is _SQUARE and transform.is_separable and gc.get_snap() is not False
        if hatch and upright and colour == gc.get_rgb():
            gc.set_hatch(None)
            super().draw_path(gc, path, transform, rgbFace)
            gc.set_hatch(hatch)
            self._paste(gc, transform, self._tile(hatch, colour, gc.get_hatch_linewidth()))
        else:
            super().draw_path(gc, path, transform, rgbFace)

    def _paste(self, gc: GraphicsContextBase, transform: Transform, tile: NDArray[np.uint8]) -> None:
        """Paste the hatch over the rectangle; Agg snaps its edges to pixels."""
        box = Bbox.intersection(Bbox.unit().transformed(transform), gc.get_clip_rectangle() or self.bbox)
        if box is None:
            return
        left, right = floor(box.x0 + 0.5), floor(box.x1 + 0.5)
        top, bottom = floor(self.height - box.y1 + 0.5), floor(self.height - box.y0 + 0.5)
        # Tiles start at the upper left of the figure; an image's lowest row comes first.
        rows = tile.take(range(bottom - 1, top - 1, -1), axis=0, mode="wrap")
        image = rows.take(range(left, right), axis=1, mode="wrap")
        self.draw_image(gc, left, int(self.height) - bottom, image)

    def _draw_tile(self, hatch: str, colour: Any, linewidth: float) -> NDArray[np.uint8]:
        side = int(self.dpi)
        renderer = RendererAgg(side, side, self.dpi)
        gc = renderer.new_gc()
        gc.set_linewidth(0.0)
        gc.set_hatch(hatch)
        gc.set_hatch_color(colour)
        gc.set_hatch_linewidth(linewidth)
        renderer.draw_path(gc, _SQUARE, Affine2D().scale(side))
        return np.asarray(renderer.buffer_rgba()).copy()
