"""A box of which there is one by each name, and which is closed with all its parts."""

from __future__ import annotations

from typing import ClassVar
from weakref import WeakValueDictionary

import ipywidgets as widgets

from chatlab.widgets.controls import parts


class NamedBox(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A box that replaces an open one of its class and name, so a cell can be run again."""

    _open: ClassVar[WeakValueDictionary[tuple[type, str], NamedBox]] = WeakValueDictionary()

    def _take_name(self, name: str) -> None:
        """Close the open one of this name."""
        if (old := NamedBox._open.pop((type(self), name), None)) is not None:
            old.close()
        NamedBox._open[type(self), name] = self

    def _close_parts(self, *others: widgets.Widget) -> None:
        """Close its parts, and other widgets with theirs.

        An open part would refer to closed ones, and break a page reload.
        """
        for whole in (*others, self):
            for part in parts(whole):
                widgets.Widget.close(part)
