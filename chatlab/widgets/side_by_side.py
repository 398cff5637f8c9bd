"""Several transports side by side: the same faults, a conversation each, and one timeline."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from matplotlib.axes import Axes

from chatlab.conversation import explain
from chatlab.errors import SettingsError
from chatlab.experiment.fault_proxy import OUTAGES
from chatlab.experiment.injected_fault import InjectedFault
from chatlab.live.background_loop import background_thread
from chatlab.live.client.kinds import TITLES, make_config
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.sim.faults import Fault, ServerDown
from chatlab.sim.faults.phrases import UNTIL_ENDED, kind_name, phrase_of, read_faults
from chatlab.studies.live_record import LiveRecord
from chatlab.studies.recorded import RecordedScenario, scenario_of
from chatlab.widgets.controls import button
from chatlab.widgets.fault_controls import FaultControls
from chatlab.widgets.named_box import NamedBox
from chatlab.widgets.panel_experiment import PanelExperiment, plot_record
from chatlab.widgets.shared_timeline import SharedTimeline
from chatlab.widgets.timeline import Timeline
from chatlab.widgets.transport_lane import TransportLane

MOST = 6
"""Maximum number of transports."""


class SideBySide(NamedBox):
    """Transports side by side, such as `SideBySide("websocket", "long_polling")`: without names, all five.

    Each has a conversation in the same room, under its own name, and a line of its own to one server, by
    default an embedded one. Every fault hits all lines at the same time. The timeline has two lanes for each:
    the live connection, and the model's prediction. `settings` are those of the transports, such as
    `heartbeat`; each gets those that it has. `seed` is that of the random numbers, the same for all.

    A new one of the same `name` replaces the old one, so a cell can be run again.

    Errors: `SettingsError` for an unknown transport or a wrong setting.
    """

    def __init__(
        self,
        *transports: str,
        server: EmbeddedServer | None = None,
        name: str = "side by side",
        seed: int | None = None,
        **settings: Any,
    ) -> None:
        kinds = transports or tuple(TITLES)
        check_kinds(kinds)
        for kind in kinds:
            make_config(kind, "http://127.0.0.1/", **{"sender": "you"} | settings)
        self._take_name(name)
        self._context = copy_context()  # ipykernel 7.0 looks up the cell in it
        # With a file: what was sent before an outage is there after it.
        self._folder = tempfile.TemporaryDirectory(prefix="chatlab-") if server is None else None
        self.server = server or EmbeddedServer(
            db=Path(self._folder.name) / "chat.db" if self._folder else None
        )
        self.server.start_in_background()
        self.seed = secrets.randbits(32) if seed is None else seed
        self.timeline = Timeline()
        shared = SharedTimeline(self.timeline, time.monotonic())
        self.lanes = [
            TransportLane(
                title,
                kind,
                {"sender": title} | settings,
                self.server,
                shared,
                seed=self.seed,
                changed=self._changed,
                redraw=self._redraw,
            )
            for title, kind in zip(titles(kinds), kinds, strict=True)
        ]
        for lane in self.lanes:
            lane.messages.on_send(partial(self._send_over, lane))
            lane.messages.on_retry(partial(self._retry_over, lane))
            lane.messages.on_retry_all(partial(self._retry_all, lane))
            lane.messages.on_typing(lane.conversation.typing)
        self.controls = FaultControls(self.play, self.end_faults, reporting=self._reporting)
        self._server_button = button("Stop the server", self._toggle_server, "warning")
        self.chosen = widgets.Dropdown(
            options={lane.title: lane for lane in self.lanes},
            description="Transport",
            style={"description_width": "auto"},
            layout=widgets.Layout(width="17em"),
        )
        self._experiment = PanelExperiment(
            lambda: self.chosen.value.transports.controller.latest, self._reporting, self.chosen
        )
        buttons = [
            button("Connect all", self.connect, "primary"),
            button("Disconnect all", self.disconnect),
            self._server_button,
        ]
        wrap = widgets.Layout(flex_flow="row wrap", align_items="stretch")
        super().__init__(
            [
                widgets.HBox(buttons, layout=widgets.Layout(flex_flow="row wrap")),
                widgets.HBox([lane.view for lane in self.lanes], layout=wrap),
                self.controls.view,
                self.timeline,
                self._experiment.view,
            ]
        )
        self.add_class("chatlab-panel")
        self.add_class("chatlab-side-by-side")

    # Actions of buttons and cells

    def connect(self) -> None:
        """Connect all transports at once; report errors in their logs."""
        for lane in self.lanes:
            with self._reporting("Not connected", lane):
                lane.connect()

    def disconnect(self) -> None:
        """Disconnect all; unsettled messages stay in their outboxes."""
        for lane in self.lanes:
            with self._reporting("Not disconnected", lane):
                lane.conversation.stop()

    def send(self, text: str) -> None:
        """Send the same message over each transport; report errors in their logs."""
        for lane in self.lanes:
            self._send_over(lane, text)

    def play(self, faults: str | Sequence[Fault]) -> None:
        """Inject faults such as "down at 10 for 5" on all lines, in seconds from now.

        Errors: `SettingsError` for a fault that can't be read or injected; then none is injected.
        """
        script = read_faults(faults) if isinstance(faults, str) else list(faults)
        background_thread().call(self._play, script)

    def end_faults(self) -> None:
        """End all faults, and cancel those to come."""
        background_thread().call(self._end)

    def stop_server(self) -> None:
        """Kill the server: it resets its connections and refuses new ones, until it is started."""
        background_thread().call(self._play, [ServerDown(at=0.0, duration=UNTIL_ENDED)])

    def start_server(self) -> None:
        """Start the server again, with its history."""
        background_thread().call(self.lanes[0].proxy.start_server)

    def as_scenario(self, transport: str, *, texts: bool = False) -> RecordedScenario:
        """Return one transport's live run as a scenario, as a panel's `as_scenario` does.

        Errors: `SettingsError` for an unknown title, or if nothing has happened yet.
        """
        return scenario_of(self._record_of(transport), texts=texts)

    def plot_sequence(self, transport: str) -> Axes:
        """Draw the latest frames between one transport and the server as a sequence diagram.

        Errors: `SettingsError` for an unknown title, or if nothing has happened yet.
        """
        return plot_record(self._record_of(transport))

    def _record_of(self, transport: str) -> LiveRecord:
        for lane in self.lanes:
            if lane.title == transport and (record := lane.transports.controller.latest) is not None:
                return record
        known = ", ".join(lane.title for lane in self.lanes)
        raise SettingsError(f"transport: choose one of {known}, once it has connected; got {transport!r}")

    async def _play(self, script: Sequence[Fault]) -> None:
        for lane in self.lanes:
            for fault in script:
                lane.proxy.check(fault)
        for number, lane in enumerate(self.lanes):
            # One server goes down once: the other lanes see the first one's outage.
            lane.proxy.play(fault for fault in script if number == 0 or not isinstance(fault, OUTAGES))
        await self._settle()

    async def _end(self) -> None:
        for lane in self.lanes:
            lane.proxy.end_faults()
        await self._settle()

    async def _settle(self) -> None:
        for lane in self.lanes:
            await lane.proxy.settle()

    def _changed(self, lane: TransportLane, injected: InjectedFault) -> None:
        """Mark a fault that begins or ends: an outage on all lanes."""
        text = ""
        if injected.under_way:
            text = phrase_of(injected.fault)
        elif injected.has_begun and injected.lasted:
            text = f"{kind_name(type(injected.fault))} is over"
        outage = isinstance(injected.fault, OUTAGES)
        if text:
            for each in self.lanes if outage else [lane]:
                each.transports.mark_fault(text)
        if lane is self.lanes[0]:
            self._show_faults()
        if outage:
            label = "Start the server" if self._server_is_down else "Stop the server"
            self._context.copy().run(setattr, self._server_button, "description", label)

    def _show_faults(self) -> None:
        faults = self.lanes[0].proxy.faults
        texts = [phrase_of(one.fault) for one in faults if one.under_way]
        words = f"Under way: {'; '.join(texts)}." if texts else "No fault is under way."
        left = any(one.ended_at is None for one in faults)
        self._context.copy().run(self.controls.show, words, any_left=left)

    @property
    def _server_is_down(self) -> bool:
        return any(isinstance(one.fault, OUTAGES) for one in self.lanes[0].proxy.under_way)

    def _toggle_server(self) -> None:
        with self._reporting("The server could not be started or stopped"):
            if self._server_is_down:
                self.start_server()
            else:
                self.stop_server()

    def _send_over(self, lane: TransportLane, text: str) -> None:
        with self._reporting("Not sent", lane):
            lane.send(text)

    def _retry_over(self, lane: TransportLane, key: str) -> None:
        with self._reporting("Not sent again", lane):
            lane.conversation.retry(key)

    def _retry_all(self, lane: TransportLane) -> None:
        with self._reporting("Not sent again", lane):
            lane.conversation.retry_all()

    def _redraw(self) -> None:
        """Draw all lanes, as they end at the same time."""
        for lane in getattr(self, "lanes", ()):
            lane.transports.redraw()

    @contextmanager
    def _reporting(self, what: str, lane: TransportLane | None = None) -> Iterator[None]:
        """Report an error in a log and suppress it: an exception raised by a button is shown nowhere."""
        try:
            yield
        except (Exception, SystemExit) as error:
            display = (lane or self.lanes[0]).transports.display
            display.notice(f"{what}: {explain(error)}.", warning=True)

    def close(self) -> None:
        """Disconnect, stop the server that it started, and remove its views."""
        if self.comm is None:
            return
        for lane in self.lanes:
            lane.conversation.stop()
        for lane in self.lanes:
            lane.end()
        if self._folder is not None:
            self.server.stop_in_background()
            self._folder.cleanup()
        self._close_parts(*(lane.frames for lane in self.lanes))


def check_kinds(kinds: Sequence[str]) -> None:
    """Check the names of transports. Errors: `SettingsError`."""
    for kind in kinds:
        if kind not in TITLES:
            raise SettingsError(f"transport: there is no {kind!r}; choose from {', '.join(TITLES)}")
    if len(kinds) > MOST:
        raise SettingsError(f"transports: give at most {MOST}, got {len(kinds)}")


def titles(kinds: Iterable[str]) -> list[str]:
    """Return a title for each kind of transport; a second one of a kind has a number."""
    seen: dict[str, int] = {}
    result = []
    for kind in kinds:
        seen[kind] = seen.get(kind, 0) + 1
        result.append(TITLES[kind] if seen[kind] == 1 else f"{TITLES[kind]} {seen[kind]}")
    return result
