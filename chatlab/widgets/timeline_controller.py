"""The panel's timeline: the live connection, and below it the model's prediction for the same outages."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from chatlab.errors import SettingsError
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ConnectionStatus
from chatlab.studies.prediction import RoundTrips, predict
from chatlab.widgets.panel_display import PanelDisplay, since
from chatlab.widgets.views import Lane, Mark, Span, Timeline

_DRAWING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatlab-timeline")
HORIZON = 30.0
"""Seconds by which the prediction extends beyond the present."""
LOOPBACK = 0.0005
"""One-way latency in seconds, assumed until a round trip has been measured."""


class TimelineController:
    """Draws a conversation and its prediction on a timeline; `seed` is that of the predicted backoff."""

    def __init__(self, timeline: Timeline, seed: int) -> None:
        self._timeline = timeline
        self._seed = seed
        self._started_at = time.monotonic()
        self._connected_at: float | None = None
        self._round_trips = RoundTrips(LOOPBACK)
        self._guard = threading.Lock()
        self._redrawing = False

    def connecting(self) -> None:
        """Start the prediction now, with a latency that hasn't been measured yet."""
        self._round_trips = RoundTrips(LOOPBACK)
        self._connected_at = time.monotonic()

    def measured(self, rtt: float | None, display: PanelDisplay) -> None:
        """Note the latest round trip in seconds; redraw if it changes the assumed latency."""
        if self._round_trips.add(rtt):
            self.redraw(display)

    def redraw(self, display: PanelDisplay) -> None:
        """Draw soon, on a background thread, so that predicting blocks nobody; merge pending requests."""
        with self._guard:
            wanted, self._redrawing = not self._redrawing, True
        if wanted:
            with suppress(RuntimeError):  # The interpreter is shutting down.
                _DRAWING.submit(self._draw, display)

    def _draw(self, display: PanelDisplay) -> None:
        with self._guard:
            self._redrawing = False
        now = time.monotonic()
        transport = display.transport
        spans, marks = since(self._started_at, display.spans, display.marks)
        lanes: list[Lane] = [{"name": "live", "spans": spans, "marks": marks}]
        if transport is not None and self._connected_at is not None:
            with suppress(SettingsError):  # The model can't run these settings: no prediction.
                lanes.append(self._prediction(transport, display.outages, self._connected_at, now))
        running = transport is not None and transport.status not in (
            ConnectionStatus.DISCONNECTED,
            ConnectionStatus.ERROR,
        )
        self._timeline.show(now - self._started_at, lanes, running=running)

    def _prediction(
        self,
        transport: ChatTransport,
        outages: list[tuple[float, float | None]],
        connected_at: float,
        now: float,
    ) -> Lane:
        """Return the model's prediction for this connection, from `connected_at` on."""
        since_then = [
            (max(0.0, down - connected_at), None if up is None else up - connected_at)
            for down, up in outages
            if up is None or up > connected_at
        ]
        horizon = now - connected_at + HORIZON
        latency = self._round_trips.latency
        run = predict(transport.config, since_then, horizon, latency=latency, seed=self._seed)
        statuses = run.statuses(transport.config.sender)
        begin = connected_at - self._started_at
        spans: list[Span] = [
            {"status": span.status.value, "start": begin + span.start, "end": begin + span.end}
            for span in statuses
        ]
        marks: list[Mark] = [
            {"kind": "attempt", "label": "attempt", "at": begin + at}
            for span in statuses
            for at in span.attempts
        ]
        return {"name": "predicted", "spans": spans, "marks": marks}
