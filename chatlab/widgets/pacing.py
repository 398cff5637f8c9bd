"""Widgets that any thread may feed, and that speak to their views at a steady pace.

jupyter_server drops widget messages above 1,000 a second, counted over 3 s. So what a widget has to say is
gathered, and said by one background thread at most 25 times a second; the last word is repeated when that
window is over.
"""

from __future__ import annotations

import html
import math
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from time import monotonic
from typing import Any, Generic, ParamSpec, Protocol

import anywidget

from chatlab.live.logs import get_logger
from chatlab.widgets import assets

INTERVAL = 0.04
"""Seconds between two flushes of a widget, at least."""

SETTLE = 4.0
"""Seconds of quiet after which a widget tells its views where it stands, as they may have missed the last."""

Message = dict[str, Any]
P = ParamSpec("P")

_log = get_logger(__name__)


class Paced(Protocol):
    """What a `Pacer` serves."""

    next_flush_at: float
    context: Context
    """Where it was made: ipykernel 7.0 sends for a cell, which it knows from the context, or not at all."""

    def flush(self) -> float | None:
        """Says one round of messages; returns the seconds until it wants the next one, or None."""


class Pacer:
    """One daemon thread that flushes widgets when they are due, and ends when none is."""

    def __init__(self) -> None:
        self._due: dict[Paced, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is due, and so no thread runs."""
        return self._thread is None

    def wake(self, widget: Paced, delay: float = 0.0) -> None:
        """Has `widget` flushed in `delay` seconds, or when its pace allows it; from any thread."""
        with self._changed:
            at = max(monotonic() + delay, widget.next_flush_at)
            if at >= self._due.get(widget, math.inf):
                return
            self._due[widget] = at
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="chatlab-widgets", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while (widget := self._next()) is not None:
            delay: float | None = None
            try:
                delay = widget.context.run(widget.flush)
            except Exception:  # the broken comm of one widget must not silence the others
                _log.exception("a widget couldn't tell its views what is new")
            if delay is not None:
                self.wake(widget, delay)

    def _next(self) -> Paced | None:
        with self._changed:
            while self._due:
                widget, at = min(self._due.items(), key=lambda item: item[1])
                wait = at - monotonic()
                if wait <= 0:
                    del self._due[widget]
                    widget.next_flush_at = monotonic() + INTERVAL
                    return widget
                self._changed.wait(wait)
            self._thread = None
            return None


class Callbacks(Generic[P]):
    """The functions that a view's message calls; one that raises is logged and the rest are called still."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callable[P, object]] = {}

    def add(self, callback: Callable[P, object]) -> Callable[[], None]:
        """Returns a function that removes it again."""
        key = object()
        self._callbacks[key] = callback

        def remove() -> None:
            self._callbacks.pop(key, None)

        return remove

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        for callback in list(self._callbacks.values()):
            try:
                callback(*args, **kwargs)
            except Exception:
                _log.exception("a callback of a widget failed")


class PacedWidget(anywidget.AnyWidget):
    """A widget whose messages go through the pacer; nothing that a person typed is in its synced state."""

    _css = assets.stylesheet()
    pacer = Pacer()

    def __init__(self, **kwargs: Any) -> None:
        self.next_flush_at = 0.0
        self.context = copy_context()
        super().__init__(**kwargs)
        self.on_msg(self._received)

    def flush(self) -> float | None:
        """Says one round of messages, on the pacer's thread; returns the seconds until the next, or None."""
        raise NotImplementedError

    def transcript(self) -> str:
        """What it shows as plain text, safe in a terminal."""
        raise NotImplementedError

    def _answer(self, message: Message) -> None:
        raise NotImplementedError

    def _received(self, _widget: object, content: object, _buffers: object) -> None:
        if isinstance(content, dict):
            self._answer(content)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle: tuple[dict[str, Any], dict[str, Any]] | None = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            text = self.transcript()
            bundle[0].update({"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>"})
        return bundle


class SnapshotWidget(PacedWidget):
    """A widget that shows one latest state; its views may never see the states in between."""

    def __init__(self, **kwargs: Any) -> None:
        self._settled = True
        super().__init__(**kwargs)

    def flush(self) -> float | None:
        """Says the latest state, and once more when all is quiet."""
        if self.comm is None:  # closed
            return None
        settled, self._settled = self._settled, True
        self.send(self._snapshot())
        return None if settled else SETTLE

    def _snapshot(self) -> Message:
        """The latest state, with durations counted from now."""
        raise NotImplementedError

    def _changed(self) -> None:
        self._settled = False
        self.pacer.wake(self)

    def _answer(self, message: Message) -> None:
        if message.get("type") == "ready":
            self._changed()
