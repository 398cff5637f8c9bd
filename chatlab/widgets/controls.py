"""Helpers for controls of ipywidgets."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets


def button(label: str, action: Callable[[], object], style: str = "") -> widgets.Button:
    """Return a button as wide as its label, which calls `action`; `style` is that of ipywidgets."""
    made = widgets.Button(description=label, button_style=style, layout=widgets.Layout(width="auto"))
    made.on_click(lambda _: action())
    return made


def parts(widget: widgets.Widget) -> list[widgets.Widget]:
    """Return a widget and all its parts, innermost first."""
    inner = [
        *getattr(widget, "children", ()),
        getattr(widget, "style", None),
        getattr(widget, "layout", None),
    ]
    return [part for child in inner if isinstance(child, widgets.Widget) for part in parts(child)] + [widget]
