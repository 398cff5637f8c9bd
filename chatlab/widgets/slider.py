"""A slider with an accessible name, a field for its number, and a way back to its first value."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from chatlab.errors import SettingsError
from chatlab.widgets import assets


class Slider(anywidget.AnyWidget):
    """A number between `low` and `high`, in equal steps, in equal ratios (`log`), or integers (`whole`).

    A person may also type any number in between, and return to the `default`, which is the first value.
    """

    _esm = assets.module("slider.js")
    _css = assets.stylesheet()

    label = traitlets.Unicode().tag(sync=True)
    low = traitlets.Float().tag(sync=True)
    high = traitlets.Float().tag(sync=True)
    scale = traitlets.Enum(["linear", "log", "whole"], "linear").tag(sync=True)
    default = traitlets.Float().tag(sync=True)
    value = traitlets.Float().tag(sync=True)

    def __init__(self, label: str, value: float, low: float, high: float, scale: str = "linear") -> None:
        """Errors: `SettingsError` unless `low` < `high`, and `low` > 0 on a `log` scale."""
        if not low < high or (scale == "log" and low <= 0):
            raise SettingsError(f"{label}: give ends with low < high, got {low!r} and {high!r}")
        super().__init__(label=label, low=low, high=high, scale=scale, default=value, value=value)

    @traitlets.validate("value")
    def _between(self, proposal: Any) -> float:
        return float(min(max(proposal["value"], self.low), self.high))
