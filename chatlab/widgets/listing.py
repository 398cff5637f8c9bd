"""Texts to read, copy and save, such as a scenario as TOML and as Python."""

from __future__ import annotations

from collections.abc import Mapping

from chatlab.text import visible
from chatlab.widgets import assets
from chatlab.widgets.pacing import Message, SnapshotWidget
from chatlab.widgets.text import encodable


class Listing(SnapshotWidget):
    """A few named texts, of which the page shows one. They aren't part of the synced state."""

    _esm = assets.module("listing.js")

    def __init__(self) -> None:
        self._texts: list[Message] = []
        super().__init__()

    def show(self, texts: Mapping[str, tuple[str, str]]) -> None:
        """Show texts by name, each with the name of a file to save it in. From any thread."""
        self._texts = [
            {"name": encodable(name), "text": encodable(text), "file": encodable(file)}
            for name, (text, file) in texts.items()
        ]
        self._changed()

    def transcript(self) -> str:
        """Return the first text, which is safe in a terminal."""
        return visible(self._texts[0]["text"]) if self._texts else ""

    def _snapshot(self) -> Message:
        return {"type": "listing", "texts": self._texts}
