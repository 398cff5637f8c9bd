"""The panel's timeline: the live connection, and below it the model's prediction of the same.

The prediction is a run of the model with the transport's settings, the faults at their times, and the
person's connects, disconnects and messages. A new transport has a prediction of its own; those before are
kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from chatlab.errors import SettingsError
from chatlab.messages import ConnectionStatus
from chatlab.sim.capacity import ServerConfig
from chatlab.studies.live_record import LONGEST_TEXT, LiveRecord
from chatlab.studies.prediction import TOLERANCE, Agreement, agreement, predict
from chatlab.studies.recorded import faults_of
from chatlab.widgets.panel_display import PanelDisplay, since
from chatlab.widgets.timeline import Lane, Mark, Span, TimelineView

_DRAWING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatlab-timeline")
HORIZON = 30.0
"""Seconds by which the prediction extends beyond the present."""
MOST_RECORDS = 50
"""Maximum number of transports whose predictions are kept."""
FOREIGN = "The server isn't this panel's own: the model takes it for one of chatlab's."


class Prediction(NamedTuple):
    """The predicted spans and attempts of one transport, in seconds since the timeline's start."""

    spans: list[Span]
    attempts: list[float]
    live: list[float]
    until: float


class TimelineController:
    """Draws a conversation and its prediction on a timeline, which began at `started_at`: by default now."""

    def __init__(self, timeline: TimelineView, started_at: float | None = None) -> None:
        self._timeline = timeline
        self._started_at = time.monotonic() if started_at is None else started_at
        self._records: list[LiveRecord] = []
        self._over: dict[LiveRecord, Prediction | None] = {}
        self._guard = threading.Lock()
        self._redrawing = False

    def add(self, record: LiveRecord) -> None:
        """Add the record of a new transport."""
        with self._guard:
            self._records = [*self._records, record][-MOST_RECORDS:]

    @property
    def latest(self) -> LiveRecord | None:
        """The record of the latest transport."""
        return self._records[-1] if self._records else None

    def measured(self, record: LiveRecord, rtt: float | None, display: PanelDisplay) -> None:
        """Note the latest round trip in seconds; redraw if it changes the assumed latency."""
        if record.measured(rtt):
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
            records = [record for record in self._records if record.connected_at is not None]
        now = time.monotonic()
        transport = display.transport
        spans, marks = since(self._started_at, display.spans, display.marks)
        lanes: list[Lane] = [{"name": "live", "spans": spans, "marks": marks}]
        predictions = self._predictions(records, now)
        if predictions:
            lanes.append(_lane(predictions))
        running = transport is not None and transport.status not in (
            ConnectionStatus.DISCONNECTED,
            ConnectionStatus.ERROR,
        )
        note = self._note(records, predictions, now - self._started_at)
        self._timeline.show(now - self._started_at, lanes, running=running, note=note)

    def _predictions(self, records: Sequence[LiveRecord], now: float) -> list[Prediction]:
        """Return the predictions of all transports. One that was replaced doesn't change any more."""
        predictions = []
        for number, record in enumerate(records):
            following = records[number + 1].connected_at if number + 1 < len(records) else None
            if following is None or record not in self._over:
                try:
                    prediction: Prediction | None = self._predict(record, now, following)
                except SettingsError:  # The model can't run these settings: no prediction.
                    prediction = None
                if following is not None:
                    self._over[record] = prediction
            else:
                prediction = self._over[record]
            if prediction is not None:
                predictions.append(prediction)
        self._over = {record: one for record, one in self._over.items() if record in records}
        return predictions

    def _predict(self, record: LiveRecord, now: float, following: float | None) -> Prediction:
        origin, connected_at = self._started_at, record.connected_at
        assert connected_at is not None
        end = (now + HORIZON if following is None else following) - origin
        run = predict(
            record.config,
            faults_of(record, origin),
            end,
            latency=record.round_trips.latency,
            seed=record.seed,
            actions=[(at - origin, action) for at, action in record.actions],
            sends=[
                (sent.at - origin, "x" * min(sent.size, LONGEST_TEXT))
                for sent in record.sends
                if sent.at >= connected_at
            ],
            server=_server_of(record),
        )
        begin = connected_at - origin
        statuses = [span for span in run.statuses(record.config.sender) if span.end > begin]
        spans: list[Span] = [
            {"status": span.status.value, "start": max(begin, span.start), "end": span.end}
            for span in statuses
        ]
        attempts = [at for span in statuses for at in span.attempts]
        live = [at - origin for at in record.attempts(now)]
        return Prediction(spans, attempts, live, end)

    def _note(self, records: Sequence[LiveRecord], predictions: Sequence[Prediction], now: float) -> str:
        """Return how well the predictions agree, and what the model can't know."""
        if not records:
            return ""
        if not predictions:
            return "The model can't run these settings, so there is no prediction."
        parts = [agreement(one.live, one.attempts, min(now, one.until)) for one in predictions]
        whole = Agreement(
            sum(part.agreeing for part in parts), sum(part.attempts for part in parts), TOLERANCE
        )
        foreign = f" {FOREIGN}" if _server_of(records[-1]) is None else ""
        return f"Predicted: {whole}.{foreign}"


def _server_of(record: LiveRecord) -> ServerConfig | None:
    """Return the settings of a record's server; None if they aren't known."""
    return None if record.proxy is None else record.proxy.server_config


def _lane(predictions: Sequence[Prediction]) -> Lane:
    spans = [span for one in predictions for span in one.spans]
    marks: list[Mark] = [
        {"kind": "attempt", "label": "attempt", "at": at} for one in predictions for at in one.attempts
    ]
    return {"name": "predicted", "spans": spans, "marks": marks}
