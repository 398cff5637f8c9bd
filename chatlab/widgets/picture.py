"""A plot in a notebook: a PNG with a text alternative."""

from __future__ import annotations

import base64
from typing import Any

import anywidget
import traitlets
from matplotlib.figure import Figure

from chatlab.plots.png import png
from chatlab.widgets import assets

PIXELS_PER_MM = 5.0
"""Maximum pixels on the page per millimetre of the figure."""


class Picture(anywidget.AnyWidget):
    """Shows a figure as wide as the cell, up to its own size, with `alt` as its text alternative."""

    _esm = assets.module("picture.js")
    _css = assets.stylesheet()

    png = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)
    """Whether another plot is being computed; then the page fades this one, unless it takes no time."""
    name = traitlets.Unicode("plot").tag(sync=True)
    """The name of the file in which a person saves it, without its ending."""

    def show(self, figure: Figure, alt: str, *, busy: bool = False) -> None:
        """Show a figure with `alt` as its text alternative; from any thread."""
        image = png(figure)
        with self.hold_sync():
            self.busy = busy
            self.width = round(figure.get_figwidth() * 25.4 * PIXELS_PER_MM)
            self.alt = alt
            self.png = image

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle: tuple[dict[str, Any], dict[str, Any]] | None = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/plain"] = self.alt
            if self.png:
                bundle[0]["image/png"] = base64.b64encode(self.png).decode("ascii")
        return bundle
