"""Rate limiting of messages from widgets to their views; widgets may be changed from any thread.

jupyter_server drops widget messages above 1,000 a second, counted over 3 s. A background thread therefore
sends each widget's pending changes together, at most 25 times a second, and repeats the last state once that
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

from chatlab.live.loggers import get_logger
from chatlab.widgets import assets

INTERVAL = 0.04
"""Minimum seconds between two flushes of a widget."""

SETTLE = 4.0
"""Quiet seconds after which a widget repeats its state, since views may have missed the last message."""

Message = dict[str, Any]
P = ParamSpec("P")

_log = get_logger(__name__)


class Paced(Protocol):
    """Interface of the objects that a `Pacer` flushes."""

    next_flush_at: float
    context: Context
    """Context at construction: ipykernel 7.0 looks up the cell in it, and sends nothing without one."""

    def flush(self) -> float | None:
        """Send the pending messages; return the seconds until the next flush, or None."""


class Pacer:
    """A daemon thread that flushes widgets when they are due, and ends when none is left."""

    def __init__(self) -> None:
        self._due: dict[Paced, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def idle(self) -> bool:
        """Whether no flush is due, so that no thread runs."""
        return self._thread is None

    def wake(self, widget: Paced, delay: float = 0.0) -> None:
        """Flush `widget` in `delay` seconds, or later if its rate limit requires that. From any thread."""
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
            except Exception:  # one widget's broken comm must not stop the others
                _log.exception("a widget couldn't send its changes to its views")
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
    """Callbacks of a view's message; an exception is logged, and the other callbacks are still called."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callable[P, object]] = {}

    def add(self, callback: Callable[P, object]) -> Callable[[], None]:
        """Add a callback; return a function that removes it."""
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
    """A widget that sends through the pacer. Its synced state contains no text that a person typed."""

    _css = assets.stylesheet()
    pacer = Pacer()

    def __init__(self, **kwargs: Any) -> None:
        self.next_flush_at = 0.0
        self.context = copy_context()
        super().__init__(**kwargs)
        self.on_msg(self._received)

    def flush(self) -> float | None:
        """Send the pending messages, on the pacer's thread; return seconds until the next flush, or None."""
        raise NotImplementedError

    def transcript(self) -> str:
        """Return its content as plain text that is safe in a terminal."""
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
    """A widget that shows only its latest state; views may miss the states in between."""

    def __init__(self, **kwargs: Any) -> None:
        self._settled = True
        super().__init__(**kwargs)

    def flush(self) -> float | None:
        """Send the latest state, and repeat it once after a quiet period."""
        if self.comm is None:  # closed
            return None
        settled, self._settled = self._settled, True
        self.send(self._snapshot())
        return None if settled else SETTLE

    def _snapshot(self) -> Message:
        """Return the latest state as a message, with durations relative to now."""
        raise NotImplementedError

    def _changed(self) -> None:
        self._settled = False
        self.pacer.wake(self)

    def _answer(self, message: Message) -> None:
        if message.get("type") == "ready":
            self._changed()
