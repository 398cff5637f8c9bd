"""Marks at the fields of a form whose values are not in use yet."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping

import ipywidgets as widgets

from chatlab.widgets.hidden_field import HiddenField

MARK = "chatlab-unused"
"""Class of a field whose value is not in use yet."""


class UnusedChanges:
    """Compares the fields of a form with the values in use, and names the different ones in `note`.

    `fields` are the form's fields; `values` returns the values of those that have an effect.
    """

    def __init__(
        self,
        fields: Mapping[str, widgets.Widget],
        values: Callable[[], Mapping[str, object]],
    ) -> None:
        self._fields = fields
        self._values = values
        self._used: Mapping[str, object] | None = None
        self.names: tuple[str, ...] = ()
        """The names of the fields that differ."""
        self.note = widgets.HTML()
        self.note.add_class("chatlab-note")
        self.note.add_class("chatlab-wide")
        for field in fields.values():
            if isinstance(field, HiddenField):
                field.on_change(self.compare)
            else:
                field.observe(lambda _: self.compare(), "value")

    def used(self) -> None:
        """Note that the present values are in use now."""
        self._used = dict(self._values())
        self.compare()

    def compare(self) -> None:
        """Mark the fields whose values differ from those in use; none before the first use."""
        used, values = self._used or {}, self._values()
        names = tuple(
            name
            for name in self._fields
            if name in used.keys() & values.keys() and used[name] != values[name]
        )
        if names == self.names:
            return
        for name in {*names} ^ {*self.names}:
            field = self._fields[name]
            if isinstance(field, HiddenField):
                field.unused = name in names
            else:
                (field.add_class if name in names else field.remove_class)(MARK)
        self.names = names
        labels = [self._fields[name].description.partition(" (")[0] for name in names]
        self.note.value = (
            html.escape(f"Not in use yet: {', '.join(labels)}. “Connect” applies this.") if names else ""
        )
