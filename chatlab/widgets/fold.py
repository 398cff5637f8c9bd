"""A part of a panel that is shown on demand."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets


class Fold:
    """A button that shows and hides `content`; it is a button, so that the keyboard reaches it."""

    def __init__(self, title: str, content: widgets.Widget) -> None:
        self._title = title
        self._content = widgets.Box([content], layout=widgets.Layout(width="100%"))
        self.button = widgets.ToggleButton(layout=widgets.Layout(width="auto", align_self="flex-start"))
        self.button.observe(self._turn, "value")
        self._turn({"new": False})
        self.view = widgets.VBox([self.button, self._content], layout=widgets.Layout(overflow="visible"))

    def _turn(self, change: Any) -> None:
        opened: bool = change["new"]
        arrow = "\u25be" if opened else "\u25b8"
        self.button.description = f"{arrow} {self._title}"
        self._content.layout.display = None if opened else "none"
