"""The chat panel: a live conversation, its status, frames and timeline, and the model's prediction."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path

import ipywidgets as widgets
from matplotlib.axes import Axes

from chatlab.conversation import explain, place_of
from chatlab.errors import SettingsError
from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.experiment.run import Run
from chatlab.live.client.receipt import Receipt
from chatlab.live.client.transport import ChatTransport
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ConnectionStatus
from chatlab.settings import AnyConfig, WebSocketConfig
from chatlab.sim.faults import Fault
from chatlab.studies.recorded import RecordedScenario
from chatlab.widgets.collapsible import Collapsible
from chatlab.widgets.controls import button
from chatlab.widgets.live_transports import LiveTransports
from chatlab.widgets.logs import ChatLog, FrameLog
from chatlab.widgets.named_box import NamedBox
from chatlab.widgets.panel_experiment import PanelExperiment
from chatlab.widgets.panel_faults import PanelFaults
from chatlab.widgets.probe_button import ProbeButton
from chatlab.widgets.settings_form import SettingsForm
from chatlab.widgets.static_transcript import StaticTranscript
from chatlab.widgets.status_badge import StatusBadge
from chatlab.widgets.timeline import Timeline

IDLE_STATUSES = (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR)
"""Statuses in which a transport is idle until `connect` is called."""
UNKNOWN = "ws://127.0.0.1/"
"""Placeholder URL until the embedded server has started."""
RECALL_HINT = " Press the up arrow in the empty box to get the text back."
"""Advice after a text that was just written is refused."""


class ChatPanel(NamedBox):
    """A chat console. Without `config` and `url` it starts an embedded server and connects to that.

    A new panel of the same `name` replaces the old one, so a cell can be run again. `seed` makes the random
    numbers of the backoff repeatable; the model's prediction uses the same seed.
    """

    def __init__(
        self,
        config: AnyConfig | None = None,
        *,
        url: str = "",
        server: EmbeddedServer | None = None,
        room: str = "lobby",
        sender: str = "you",
        name: str = "chat",
        seed: int | None = None,
    ) -> None:
        # First of all: invalid settings must neither start nor close anything.
        given = config or WebSocketConfig(url=url or UNKNOWN, room=room, sender=sender)
        self._take_name(name)
        owns_server = server is None and config is None and not url
        self._folder = tempfile.TemporaryDirectory(prefix="chatlab-") if owns_server else None
        self.server = (
            server if self._folder is None else EmbeddedServer(db=Path(self._folder.name) / "chat.db")
        )
        self.seed = secrets.randbits(32) if seed is None else seed
        self._faults = PanelFaults(
            self.server,
            seed=self.seed,
            settings=self._settings,
            status=lambda: self._conversation.last_change.status,
            reconnect=self._reconnect,
            mark=lambda fault: self._transports.mark_fault(fault),
            server_changed=self._show_server,
            reporting=self._reporting,
        )
        if self.server is not None and self.proxy is not None and config is None and not url:
            given = given.replace(url=self.proxy.rebase(self.server.ws_url))
        self._context = copy_context()  # ipykernel 7.0 looks up the cell in it

        self.messages = ChatLog()
        self.frames = FrameLog()
        self.badge = StatusBadge()
        self.timeline = Timeline()
        self.form = SettingsForm(given)
        self._transports = LiveTransports(
            self.messages,
            self.badge,
            self.frames,
            self.timeline,
            seed=self.seed,
            proxy_of=self._faults.proxy_of,
            on_status=self._on_status,
        )
        self._timeline_controller = self._transports.controller
        self._experiment = PanelExperiment(lambda: self._timeline_controller.latest, self._reporting)
        self._panel_display = self._transports.display
        self._conversation = self._panel_display.conversation
        self._static_transcript = StaticTranscript(self.messages.pacer, self.transcript)
        self.messages.on_change(self._static_transcript.changed)
        self.messages.on_send(self.send)
        self.messages.on_retry(self._retry)
        self.messages.on_retry_all(self._retry_all)
        self.messages.on_typing(self._send_typing)
        self._connect_button = button("Connect", self.connect, "primary")
        self._disconnect_button = button("Disconnect", self.disconnect)
        self._disconnect_button.disabled = True
        self._server_button = button("Stop the server", self._toggle_server, "warning")
        probing = ProbeButton(self.form.config, self._panel_display.notice)
        buttons = [self._connect_button, self._disconnect_button, probing.view]
        if self.server is not None:
            buttons.append(self._server_button)
        super().__init__(
            [
                self.form.address_fields,
                widgets.HBox(
                    [*buttons, self.badge], layout=widgets.Layout(flex_flow="row wrap", align_items="center")
                ),
                self.form.changes.note,
                Collapsible("Settings", self.form.other_fields).view,
                self.messages,
                self._faults.controls.view,
                self.timeline,
                Collapsible("Frames", self.frames).view,
                self._experiment.view,
            ]
        )
        self.add_class("chatlab-panel")

    # Actions of buttons and cells

    @property
    def transport(self) -> ChatTransport | None:
        """The transport that new messages go to; None before the first message or connection."""
        return self._conversation.transport

    @property
    def proxy(self) -> FaultProxy | None:
        """The fault proxy to the embedded server, or else to the server that the first fault was for."""
        return self._faults.home or self._faults.away

    def play(self, faults: str | Sequence[Fault]) -> None:
        """Inject faults such as "down at 10 for 5" or `[ServerDown(at=10, duration=5)]`, in seconds from now.

        Errors: `SettingsError` for a fault that can't be read, or that the server can't have; then none is
        injected. `OSError` if the embedded server can't start again.
        """
        self._faults.play(faults)

    def end_faults(self) -> None:
        """End all faults, and cancel those to come. Errors: `OSError` if the server can't start again."""
        self._faults.end()

    def as_scenario(self, *, texts: bool = False) -> RecordedScenario:
        """Return the live run of the transport in use as a scenario, which prints as TOML.

        It has the settings, the faults, and the times of messages; their texts only with `texts`, and never a
        token. In the model it gives the same attempts.

        Errors: `SettingsError` if nothing has happened yet.
        """
        return self._experiment.scenario(texts=texts)

    def with_people(self, people: int = 1_000) -> Run:
        """Return a run of the model in which that many people have the same settings and faults.

        Errors: `SettingsError` if nothing has happened yet.
        """
        return self._experiment.crowd(people)

    def plot_sequence(self) -> Axes:
        """Draw the latest frames between the transport in use and its server as a sequence diagram.

        Errors: `SettingsError` if nothing has happened yet.
        """
        return self._experiment.plot_sequence()

    def _settings(self) -> AnyConfig:
        """Return the settings of the present or next connection."""
        if self.transport is None or not self._conversation.wanted:
            return self.form.config()
        return self.transport.config

    def _reconnect(self) -> None:
        """Connect again through the present proxy, if a connection is wanted."""
        if self._conversation.wanted:
            self.connect()

    def connect(self) -> None:
        """Connect at once with the settings of the form; report errors in the log.

        Unsent messages for the same server, room and name are sent by the new connection. Unsent messages for
        another one stay undelivered and are marked so.
        """
        with self._reporting("Not connected"):
            try:
                self._switch()
            except SettingsError as error:
                self._panel_display.notice(f"These settings can't be used: {error}", warning=True)
                return
            self._conversation.start(at_once=True)

    @contextmanager
    def _reporting(self, what: str, advice: str = "") -> Iterator[None]:
        """Report an error in the log and suppress it: an exception raised by a button is shown nowhere."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self._panel_display.notice(f"{what}: {explain(error)}.{advice}", warning=True)

    def _switch(self) -> None:
        """Switch to the place in the form. Errors: `SettingsError`."""
        config = self.form.config()
        self._conversation.switch_to(self._faults.through(config), place_of(config))
        self.form.used()

    def disconnect(self) -> None:
        """Disconnect; unsettled messages stay in the outbox."""
        with self._reporting("Not disconnected"):
            self._conversation.stop()

    def send(self, text: str) -> Receipt | None:
        """Send a message to the place in the form; if that fails, say why in the log."""
        with self._reporting("Not sent", RECALL_HINT):
            if self.transport is None or not self._conversation.wanted:
                self._switch()
            elif elsewhere := self._switch_advice():
                self._panel_display.notice(f"Not sent: {elsewhere}.{RECALL_HINT}", warning=True)
                return None
            return self._conversation.submit(text)
        return None

    def _switch_advice(self) -> str:
        """Return advice if the form's place differs from the conversation's; otherwise an empty string."""
        here = self._conversation.place
        assert here is not None
        try:
            there = place_of(self.form.config())
        except SettingsError:  # An invalid place; “Connect” reports the error.
            return ""
        if there == here:
            return ""
        return f"still in {here.describe(there)}; press “Connect” to switch to {there.describe(here)}"

    def _retry(self, id: str) -> None:
        with self._reporting("Not sent again"):
            self._conversation.retry(id)

    def _retry_all(self) -> None:
        with self._reporting("Not sent again"):
            self._conversation.retry_all()

    def _send_typing(self) -> None:
        self._conversation.typing()

    def _show_server(self) -> None:
        label = "Start the server" if self._faults.server_is_down else "Stop the server"
        self._context.copy().run(setattr, self._server_button, "description", label)

    def _toggle_server(self) -> None:
        """Stop the embedded server abruptly, like a crash, or start it again with its history."""
        assert self.server is not None
        with self._reporting("The server could not be started or stopped"):
            if self._faults.server_is_down:
                self.start_server()
            else:
                self.stop_server()

    def stop_server(self) -> None:
        """Kill the embedded server: it resets its connections and refuses new ones."""
        if self.server is not None and not self._faults.server_is_down:
            self._faults.stop_server()

    def start_server(self) -> None:
        """Start the embedded server again, on the same port and with the same history."""
        if self.server is not None and self._faults.server_is_down:
            self._faults.start_server()

    def _on_status(self) -> None:
        idle = self._conversation.last_change.status in IDLE_STATUSES
        self._context.copy().run(setattr, self._disconnect_button, "disabled", idle)

    def close(self) -> None:
        """Disconnect, stop the proxy and the server that the panel made, and remove its views."""
        if self.comm is None:
            return
        self._conversation.stop()
        self._faults.close()
        if self._folder is not None and self.server is not None:
            self.server.stop_in_background()
            self._folder.cleanup()
        self._close_parts(self._server_button)

    # Saving and loading

    def save_transcript(self, path: str | Path) -> None:
        """Write all messages to a file: JSON Lines if its name ends in `.jsonl`, otherwise text."""
        self.messages.save(path)

    def save_frames(self, path: str | Path) -> None:
        """Write all frames to a file: JSON Lines if its name ends in `.jsonl`, otherwise text."""
        self.frames.save(path)

    def load_transcript(self, path: str | Path) -> int:
        """Show the messages of a JSON Lines file as well, without sending them; return their number.

        Errors: `ValueError` naming the first line that is not a message; then none is shown.
        """
        return self.messages.load(path)

    def load_frames(self, path: str | Path) -> int:
        """Show the frames of a JSON Lines file as well; return their number.

        Errors: `ValueError` naming the first line that is not a frame; then none is shown.
        """
        return self.frames.load(path)

    def transcript(self) -> str:
        """Return the status and the latest messages as plain text that is safe in a terminal."""
        return f"{self.badge.transcript()}\n{self.messages.transcript()}"

    def _ipython_display_(self) -> None:
        self._static_transcript.show_under(self._repr_mimebundle_())
