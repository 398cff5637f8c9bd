"""One of several transports side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.experiment.injected_fault import InjectedFault
from chatlab.live.background_loop import background_thread
from chatlab.live.client.kinds import make_config
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.settings import AnyConfig
from chatlab.widgets.live_transports import LiveTransports
from chatlab.widgets.logs import ChatLog, FrameLog
from chatlab.widgets.shared_timeline import SharedTimeline
from chatlab.widgets.status_badge import StatusBadge


class TransportLane:
    """One transport with its line to the server, its conversation, and its lanes of the timeline.

    `changed` is called with a fault that begins or ends on its line, and `redraw` after a change of status.
    """

    def __init__(
        self,
        title: str,
        kind: str,
        settings: dict[str, Any],
        server: EmbeddedServer,
        timeline: SharedTimeline,
        *,
        seed: int,
        changed: Callable[[TransportLane, InjectedFault], object],
        redraw: Callable[[], object],
    ) -> None:
        self.title = title
        self.messages = ChatLog()
        self.badge = StatusBadge()
        self.frames = FrameLog()
        self.proxy = FaultProxy(server, seed=seed, on_change=lambda injected: changed(self, injected))
        background_thread().call(self.proxy.accept)
        try:
            self.config: AnyConfig = make_config(kind, self.proxy.rebase(server.url), **settings)
        except Exception:
            self.end()
            raise
        self.transports = LiveTransports(
            self.messages,
            self.badge,
            self.frames,
            timeline.part(title),
            seed=seed,
            proxy_of=lambda config: self.proxy,
            on_status=redraw,
            started_at=timeline.started_at,
        )
        self.conversation = self.transports.display.conversation
        heading = widgets.HTML(f"<h4 class='chatlab-lane-title'>{title}</h4>")
        self.view = widgets.VBox(
            [heading, self.badge, self.messages], layout=widgets.Layout(flex="1 1 300px", min_width="260px")
        )
        self.view.add_class("chatlab-lane")

    def connect(self) -> None:
        """Connect at once."""
        self.conversation.switch_to(self.config)
        self.conversation.start(at_once=True)

    def send(self, text: str) -> None:
        """Send a message. Errors: `OutboxFull`, `InvalidMessage`."""
        self.conversation.switch_to(self.config)
        self.conversation.submit(text)

    def end(self) -> None:
        """Close the line to the server."""
        background_thread().call(self.proxy.close)
