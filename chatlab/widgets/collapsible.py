"""A collapsible section of a panel."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets


class Collapsible:
    """A toggle button that shows and hides `content`, and can be reached by keyboard."""

    def __init__(self, title: str, content: widgets.Widget) -> None:
        self._title = title
        self._content = widgets.Box([content], layout=widgets.Layout(width="100%"))
        self.button = widgets.ToggleButton(layout=widgets.Layout(width="auto", align_self="flex-start"))
        self.button.observe(self._toggle, "value")
        self._toggle({"new": False})
        self.view = widgets.VBox([self.button, self._content], layout=widgets.Layout(overflow="visible"))

    def _toggle(self, change: Any) -> None:
        opened: bool = change["new"]
        arrow = "\u25be" if opened else "\u25b8"
        self.button.description = f"{arrow} {self._title}"
        self._content.layout.display = None if opened else "none"
