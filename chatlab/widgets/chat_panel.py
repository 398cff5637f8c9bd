"""The chat panel: a live conversation with its status, frames and timeline, and what the model predicts of
it."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

import ipywidgets as widgets

from chatlab.conversation import explain, place_of
from chatlab.errors import SettingsError
from chatlab.live.fault_proxy import FaultProxy
from chatlab.live.kinds import make_transport
from chatlab.live.portal import background_portal
from chatlab.live.receipt import Receipt
from chatlab.live.server import EmbeddedServer
from chatlab.live.transport import ChatTransport
from chatlab.luck import Luck
from chatlab.messages import ConnectionStatus
from chatlab.settings import AnyConfig, WebSocketConfig
from chatlab.trace import Step
from chatlab.widgets.course import Course
from chatlab.widgets.face import PanelFace
from chatlab.widgets.fault_controls import FaultControls
from chatlab.widgets.fold import Fold
from chatlab.widgets.frames import FrameRecorder
from chatlab.widgets.keepsake import Keepsake
from chatlab.widgets.settings_form import SettingsForm
from chatlab.widgets.views import ChatLog, FrameLog, StatusBadge, Timeline

RESTING = (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR)
"""Statuses in which a transport does nothing until it is asked to connect."""
UNKNOWN = "ws://127.0.0.1/"
"""The URL of an embedded server that isn't started yet."""
BRINGS_BACK = " The up arrow in the empty box brings the text back."
"""What to do about a text that was refused when it had just been written."""


class ChatPanel(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A chat console. Without a `config` or a `url` it talks to an embedded server, which it starts.

    A panel made again under the same `name` replaces the old one, so a cell can be run again. `seed` makes
    the backoff's randomness repeatable; the model's prediction uses the same.
    """

    _open: ClassVar[WeakValueDictionary[str, ChatPanel]] = WeakValueDictionary()

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
        # Before anything is started, or closed: settings that can't be used leave all as it is.
        made = config or WebSocketConfig(url=url or UNKNOWN, room=room, sender=sender)
        if (old := ChatPanel._open.pop(name, None)) is not None:
            old.close()
        ChatPanel._open[name] = self
        lonely = server is None and config is None and not url
        self._folder = tempfile.TemporaryDirectory(prefix="chatlab-") if lonely else None
        self.server = (
            server if self._folder is None else EmbeddedServer(db=Path(self._folder.name) / "chat.db")
        )
        self.proxy: FaultProxy | None = None
        if self.server is not None:
            self.server.start_in_background()
            self.proxy = FaultProxy(self.server.url)
            background_portal().call(self.proxy.accept)
            if config is None and not url:
                made = made.replace(url=self.proxy.rebase(self.server.ws_url))
        self.seed = secrets.randbits(32) if seed is None else seed
        self._uniform = Luck(self.seed).uniform(0, "backoff")
        self._context = copy_context()  # in which ipykernel 7.0 finds the cell that it sends for

        self.messages = ChatLog()
        self.frames = FrameLog()
        self.badge = StatusBadge()
        self.timeline = Timeline()
        self.form = SettingsForm(made)
        self._course = Course(self.timeline, self.seed)
        self._recorder = FrameRecorder(self.frames)
        self._face = PanelFace(self.messages, self.badge, self._make_transport, self._on_status)
        self._talk = self._face.talk
        self._keepsake = Keepsake(self.messages.pacer, self.transcript)
        self.messages.on_change(self._keepsake.changed)
        self.messages.on_send(self.send)
        self.messages.on_retry(self._retry)
        self.messages.on_typing(self._tell_typing)
        self._connect_button = _button("Connect", "primary", self.connect)
        self._disconnect_button = _button("Disconnect", "", self.disconnect)
        self._disconnect_button.disabled = True
        self._server_button = _button("Stop the server", "warning", self._toggle_server)
        buttons = [self._connect_button, self._disconnect_button]
        if self.server is not None:
            buttons.append(self._server_button)
        faults = []
        if self.proxy is not None:
            faults.append(FaultControls(self.proxy, self._note_fault, self._reporting).view)
        super().__init__(
            [
                self.form.where,
                widgets.HBox(
                    [*buttons, self.badge], layout=widgets.Layout(flex_flow="row wrap", align_items="center")
                ),
                Fold("Settings", self.form.how).view,
                self.messages,
                *faults,
                self.timeline,
                Fold("Frames", self.frames).view,
            ]
        )
        self.add_class("chatlab-panel")

    # What buttons, and cells, do

    @property
    def transport(self) -> ChatTransport | None:
        """The transport that takes what is written now; None before the first message or connection."""
        return self._talk.transport

    def connect(self) -> None:
        """Connect with the settings of the form, at once; whatever fails is said in the log.

        What was written for the same server, room and name goes along. What was written for others is left
        behind, and marked so.
        """
        with self._reporting("Not connected"):
            try:
                self._talk.go(self.form.config())
            except SettingsError as error:
                self._face.notice(f"These settings can't be used: {error}", warning=True)
                return
            if self._talk.last_change.status in RESTING or self._talk.changing:
                self._course.connecting()
                self._uniform = Luck(self.seed).uniform(0, "backoff")
            self._talk.start(at_once=True)

    @contextmanager
    def _reporting(self, what: str, advice: str = "") -> Iterator[None]:
        """Say in the log what fails, and let nothing of it out: nobody hears what a button raises."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self._face.notice(f"{what}: {explain(error)}.{advice}", warning=True)

    def _make_transport(self, config: AnyConfig) -> ChatTransport:
        return make_transport(config, uniform=lambda: self._uniform(), record=self._record)

    def _record(self, step: Step) -> None:
        self._recorder.record(step)
        if (transport := self.transport) is not None:
            self._course.measured(transport.rtt, self._face)

    def disconnect(self) -> None:
        """Disconnect; unsettled messages stay in the outbox."""
        with self._reporting("Not disconnected"):
            self._talk.stop()

    def send(self, text: str) -> Receipt | None:
        """Send a message to where the form says, or say in the log why it can't be sent."""
        with self._reporting("Not sent", BRINGS_BACK):
            if self.transport is None or not self._talk.wanted:
                self._talk.go(self.form.config())
            elif elsewhere := self._elsewhere():
                self._face.notice(f"Not sent: {elsewhere}.{BRINGS_BACK}", warning=True)
                return None
            return self._talk.submit(text)
        return None

    def _elsewhere(self) -> str:
        """Return how another place is reached, if the form says another one than that of the conversation."""
        here = self._talk.place
        assert here is not None
        try:
            there = place_of(self.form.config())
        except SettingsError:  # It's no place at all; “Connect” reports what is wrong.
            return ""
        if there == here:
            return ""
        return (
            f"this is still {here.seen_from(there)}; press “Connect” first to go to {there.seen_from(here)}"
        )

    def _retry(self, id: str) -> None:
        with self._reporting("Not sent again"):
            self._talk.retry(id)

    def _tell_typing(self) -> None:
        self._talk.typing()

    def _note_fault(self, fault: str) -> None:
        self._face.mark("fault", fault)
        self._redraw()

    def _toggle_server(self) -> None:
        """Stop the embedded server as a crash would, or start it again with its history."""
        assert self.server is not None
        with self._reporting("The server could not be started or stopped"):
            if self.server.running:
                self.stop_server()
            else:
                self.start_server()

    def stop_server(self) -> None:
        """Kill the embedded server: connections are reset, and new ones refused."""
        if self.server is not None and self.server.running:
            self._face.outages.append((time.monotonic(), None))
            self._face.mark("fault", "server down")
            self.server.stop_in_background(abrupt=True)
            self._server_button.description = "Start the server"
            self._redraw()

    def start_server(self) -> None:
        """Start the embedded server again, on the same port and with the same history."""
        if self.server is not None and not self.server.running:
            self.server.start_in_background()
            if self._face.outages:  # else it was stopped by other means
                down_at, _ = self._face.outages[-1]
                self._face.outages[-1] = (down_at, time.monotonic())
            self._face.mark("fault", "server up")
            self._server_button.description = "Stop the server"
            self._redraw()

    def _on_status(self) -> None:
        self._redraw()
        resting = self._talk.last_change.status in RESTING
        self._context.copy().run(setattr, self._disconnect_button, "disabled", resting)

    def _redraw(self) -> None:
        self._course.redraw(self._face)

    def close(self) -> None:
        """Disconnect, stop what was started, and take the views off the page."""
        if self.comm is None:
            return
        self._talk.stop()
        if self.proxy is not None:
            background_portal().call(self.proxy.close)
        if self._folder is not None and self.server is not None:
            self.server.stop_in_background()
            self._folder.cleanup()
        for part in (*_parts(self._server_button), *_parts(self)):
            # All: a part that is left refers to closed ones, and a page that is loaded again trips over that.
            widgets.Widget.close(part)

    # What stays

    def save_transcript(self, path: str | Path) -> None:
        """Write all messages into a file: JSON lines where its name ends so (`.jsonl`), else text."""
        self.messages.save(path)

    def save_frames(self, path: str | Path) -> None:
        """Write all frames into a file, in the same way."""
        self.frames.save(path)

    def load_transcript(self, path: str | Path) -> int:
        """Show the messages of a file of JSON lines too; nothing of it is sent. Returns how many there are.

        Errors: `ValueError` naming the first line that is no message; then none is shown.
        """
        return self.messages.load(path)

    def load_frames(self, path: str | Path) -> int:
        """Show the frames of a file of JSON lines too.

        Errors: `ValueError` naming the first line that is no frame; then none is shown.
        """
        return self.frames.load(path)

    def transcript(self) -> str:
        """The status and the latest messages, as plain text that is safe in a terminal."""
        return f"{self.badge.transcript()}\n{self.messages.transcript()}"

    def _ipython_display_(self) -> None:
        self._keepsake.show_under(self._repr_mimebundle_())


def _parts(widget: widgets.Widget) -> list[widgets.Widget]:
    """A widget and all that it is made of, the innermost first."""
    inner = [
        *getattr(widget, "children", ()),
        getattr(widget, "style", None),
        getattr(widget, "layout", None),
    ]
    return [part for child in inner if isinstance(child, widgets.Widget) for part in _parts(child)] + [widget]


def _button(label: str, style: str, action: Callable[[], object]) -> widgets.Button:
    button = widgets.Button(description=label, button_style=style, layout=widgets.Layout(width="auto"))
    button.on_click(lambda _: action())
    return button
