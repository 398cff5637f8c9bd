"""The panel's timeline: what has happened, and under it what the model makes of the same outages."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from chatlab.errors import SettingsError
from chatlab.experiment.predict import RoundTrips, predict
from chatlab.live.transport import ChatTransport
from chatlab.messages import ConnectionStatus
from chatlab.widgets.face import PanelFace, since
from chatlab.widgets.views import Lane, Mark, Span, Timeline

_ARTIST = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatlab-timeline")
HORIZON = 30.0
"""Seconds that the prediction of an outage looks ahead of what has happened."""
LOOPBACK = 0.0005
"""One way, in seconds, until something was measured."""


class Course:
    """Draws a conversation on a timeline, and its prediction, whose backoff has the randomness of `seed`."""

    def __init__(self, timeline: Timeline, seed: int) -> None:
        self._timeline = timeline
        self._seed = seed
        self._started_at = time.monotonic()
        self._connected_at: float | None = None
        self._round_trips = RoundTrips(LOOPBACK)
        self._guard = threading.Lock()
        self._redrawing = False

    def connecting(self) -> None:
        """From now on there is something to predict, over a network that isn't known yet."""
        self._round_trips = RoundTrips(LOOPBACK)
        self._connected_at = time.monotonic()

    def measured(self, rtt: float | None, face: PanelFace) -> None:
        """Take note of the last round trip; the prediction is drawn again when the network is another one."""
        if self._round_trips.note(rtt):
            self.redraw(face)

    def redraw(self, face: PanelFace) -> None:
        """Draw soon, on a thread where a prediction holds nobody up; many requests make one drawing."""
        with self._guard:
            wanted, self._redrawing = not self._redrawing, True
        if wanted:
            with suppress(RuntimeError):  # At the interpreter's end connections close, and nobody looks.
                _ARTIST.submit(self._draw, face)

    def _draw(self, face: PanelFace) -> None:
        with self._guard:
            self._redrawing = False
        now = time.monotonic()
        transport = face.transport
        spans, marks = since(self._started_at, face.spans, face.marks)
        lanes: list[Lane] = [{"name": "live", "spans": spans, "marks": marks}]
        if transport is not None and self._connected_at is not None:
            with suppress(SettingsError):  # What the model can't run has no prediction.
                lanes.append(self._prediction(transport, face.outages, self._connected_at, now))
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
        """What the model says of this connection, from when it was asked for."""
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
