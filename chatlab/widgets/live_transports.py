"""The transports of one conversation in a panel: each is recorded, for its prediction and its frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.live.client.kinds import make_transport
from chatlab.live.client.transport import ChatTransport
from chatlab.settings import AnyConfig
from chatlab.studies.live_record import LiveRecord
from chatlab.trace import Step
from chatlab.transports.machine import Connect, Disconnect
from chatlab.widgets.frames import FrameRecorder
from chatlab.widgets.logs import ChatLog, FrameLog
from chatlab.widgets.panel_display import PanelDisplay
from chatlab.widgets.status_badge import StatusBadge
from chatlab.widgets.timeline import TimelineView
from chatlab.widgets.timeline_controller import TimelineController


class LiveTransports:
    """Makes the transports of one conversation, which `display` shows; `seed` is that of their backoff.

    `proxy_of` returns the fault proxy that a connection with given settings leads through. The timeline began
    at `started_at`, on the monotonic clock: by default now.
    """

    def __init__(
        self,
        messages: ChatLog,
        badge: StatusBadge,
        frames: FrameLog,
        timeline: TimelineView,
        *,
        seed: int,
        proxy_of: Callable[[AnyConfig], FaultProxy | None],
        on_status: Callable[[], object] = lambda: None,
        started_at: float | None = None,
    ) -> None:
        self._seed = seed
        self._proxy_of = proxy_of
        self._on_status = on_status
        self._recorder = FrameRecorder(frames)
        self.controller = TimelineController(timeline, started_at)
        self.display = PanelDisplay(messages, badge, self._make, self._status_changed)

    def redraw(self) -> None:
        """Draw the timeline soon."""
        self.controller.redraw(self.display)

    def mark_fault(self, fault: str) -> None:
        """Mark a fault on the timeline."""
        self.display.mark("fault", fault)
        self.redraw()

    def _status_changed(self) -> None:
        self.redraw()
        self._on_status()

    def _make(self, config: AnyConfig) -> ChatTransport:
        proxy = self._proxy_of(config)
        record = LiveRecord(config, proxy, seed=self._seed)
        self.controller.add(record)
        return make_transport(
            config,
            uniform=record.uniform,  # The prediction has the same.
            record=partial(self._record, record),
            fires_at=None if proxy is None else proxy.timers.fires_at,
        )

    def _record(self, record: LiveRecord, step: Step) -> None:
        self._recorder.record(step)
        record.record(step)
        if isinstance(step.event, Connect | Disconnect):  # The status may have been drawn before.
            self.redraw()
        self.display.transport_used()
        transport = self.display.transport
        if transport is not None and transport.config == record.config:
            self.controller.measured(record, transport.rtt, self.display)
