"""Transcript of a panel that stays in the saved notebook, for readers without a kernel."""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from IPython import display as ipython

from chatlab.widgets.pacing import Pacer

_display: Callable[..., object] = ipython.display  # has no annotations
_update_display: Callable[..., object] = ipython.update_display

EVERY = 2.0
"""Seconds from a change until the notebook is updated."""


class StaticTranscript:
    """A text below a panel, kept equal to `transcript()`; the panel's stylesheet hides it.

    Saved notebooks, exported pages and code hosts show it, since they don't load that stylesheet.
    """

    def __init__(self, pacer: Pacer, transcript: Callable[[], str]) -> None:
        self._pacer = pacer
        self._transcript = transcript
        self._display_id = f"chatlab-{secrets.token_hex(8)}"
        self._shown = ""
        self.next_flush_at = 0.0
        self.context = copy_context()

    def show_under(self, panel: dict[str, Any]) -> None:
        """Display the panel's MIME bundle, and below it the text, in the output of the running cell."""
        self._shown = self._transcript()
        _display({**panel, "text/plain": self._shown}, raw=True)
        _display(self._bundle(), raw=True, display_id=self._display_id)

    def changed(self) -> None:
        """Schedule an update, if the text was ever displayed."""
        if self._shown:
            self._pacer.wake(self, EVERY)

    def flush(self) -> None:
        """Update the displayed text if it has changed."""
        text = self._transcript()
        if text != self._shown:
            self._shown = text
            _update_display(self._bundle(), raw=True, display_id=self._display_id)

    def _bundle(self) -> dict[str, str]:
        page = f'<pre class="chatlab-transcript">{html.escape(self._shown)}</pre>'
        return {"text/plain": self._shown, "text/html": page}
