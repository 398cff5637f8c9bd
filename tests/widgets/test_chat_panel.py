"""The panel without a page: cleanup, files, retries, and the static transcript."""

import html
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from ipywidgets.widgets.widget import _instances

from chatlab import ChatPanel, OutboxConfig, ReconnectConfig, WebSocketConfig
from chatlab.dialects import ChatlabDialect
from chatlab.errors import SettingsError
from chatlab.live.client.kinds import make_config
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.widgets import static_transcript
from chatlab.widgets.chat_panel import IDLE_STATUSES
from chatlab.widgets.collapsible import Collapsible
from chatlab.widgets.frames import _stream_kind
from chatlab.widgets.logs import HEARTBEATS
from tests.widgets.comms import PATIENCE, View
from tests.widgets.test_faults import until

NOWHERE = "ws://127.0.0.1:9/ws"


@pytest.fixture
def panel() -> Iterator[ChatPanel]:
    """Yield a panel that isn't connected, and whose outbox holds one message."""
    config = WebSocketConfig(url=NOWHERE, room="lobby", sender="ada", outbox=OutboxConfig(max_size=1))
    panel = ChatPanel(config, name="test")
    yield panel
    panel.close()


def states(panel: ChatPanel) -> dict[str, str]:
    return {row["text"]: row["state"] for row in panel.messages.rows() if row.get("own")}


def test_a_closed_panel_leaves_no_widget(panel: ChatPanel) -> None:
    before = set(_instances)
    other = ChatPanel(url=NOWHERE, name="another")
    assert len(set(_instances) - before) > 50
    other.close()
    assert set(_instances) == before


def test_a_panel_of_the_same_name_replaces_the_old_one(panel: ChatPanel) -> None:
    again = ChatPanel(url=NOWHERE, name="test")
    assert panel.comm is None
    assert panel.badge.comm is None
    assert again.comm is not None
    again.close()


def test_transcript_and_frames_are_saved_and_loaded_into_another_panel(
    panel: ChatPanel, tmp_path: Path
) -> None:
    panel.send("hello")
    panel.frames.upsert({"id": "frame", "at": 1.0, "text": "payload"})
    panel.save_transcript(tmp_path / "talk.jsonl")
    panel.save_frames(tmp_path / "frames.jsonl")
    other = ChatPanel(url=NOWHERE, name="other")
    assert (other.load_transcript(tmp_path / "talk.jsonl"), other.load_frames(tmp_path / "frames.jsonl")) == (
        1,
        1,
    )
    assert states(other) == {"hello": "queued"}
    assert [row["text"] for row in other.frames.rows()] == ["payload"]
    assert other.transport is None  # nothing of it is sent
    other.close()


def test_frames_of_two_panels_have_ids_of_their_own(tmp_path: Path) -> None:
    panels = [ChatPanel(url=NOWHERE, name=name) for name in ("one", "two")]
    for panel in panels:
        panel.connect()
        until(panel.frames.rows)
        panel.disconnect()
    panels[0].save_frames(tmp_path / "frames.jsonl")
    own, saved = ({row["id"] for row in panels[n].frames.rows()} for n in (1, 0))
    assert not own & saved
    panels[1].load_frames(tmp_path / "frames.jsonl")
    assert len(panels[1].frames) > len(own)
    for panel in panels:
        panel.close()


def test_a_dropped_message_is_sent_again_under_its_id_with_what_it_held(tmp_path: Path) -> None:
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    config = WebSocketConfig(url=server.ws_url, room="lobby", sender="ada")
    panel = ChatPanel(config.replace(outbox=OutboxConfig(max_size=1)), name="again")
    assert panel.send("first")
    assert panel.send("second")
    until(lambda: states(panel)["first"] == "dropped")
    panel.connect()
    until(lambda: states(panel)["second"] == "acked")
    dropped = next(row for row in panel.messages.rows() if row["text"] == "first")
    View(panel.messages).say(type="retry", id=dropped["id"])
    until(lambda: states(panel)["first"] == "acked")
    panel.close()
    server.stop_in_background()


def test_all_undelivered_messages_are_retried_at_once_also_when_their_rows_were_cleared(
    tmp_path: Path,
) -> None:
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    config = WebSocketConfig(url=server.ws_url, room="lobby", sender="ada", outbox=OutboxConfig(max_size=1))
    panel = ChatPanel(config, name="all")
    view = View(panel.messages)
    for text in ("one", "two", "three"):
        assert panel.send(text)
    until(lambda: list(states(panel).values()).count("dropped") == 2)
    until(lambda: panel.messages._notes.get("lost") == {"type": "lost", "here": 2, "elsewhere": 0})
    view.say(type="clear")
    panel.connect()
    until(lambda: panel.messages._notes.get("people", {}).get("names", []) == ["ada"])
    view.say(type="retry all")
    until(lambda: panel.messages._notes["lost"]["here"] == 0)
    panel.disconnect()
    until(lambda: panel.messages._notes.get("people", {}).get("names", []) is None)
    other = ChatPanel(config, name="reader")
    other.connect()
    until(lambda: {row["text"] for row in other.messages.rows()} >= {"one", "two", "three"})
    for each in (panel, other):
        each.close()
    server.stop_in_background()


def status(panel: ChatPanel) -> dict[str, Any]:
    """Return the badge's message to its views."""
    return panel.badge._snapshot()


def test_the_badge_counts_what_the_outbox_holds(tmp_path: Path) -> None:
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    panel = ChatPanel(server=server, name="counting")
    for text in ("one", "two", "three"):
        panel.send(text)
    assert status(panel)["waiting"] == 3
    assert panel._disconnect_button.disabled
    panel.connect()
    until(lambda: status(panel)["waiting"] == 0 and status(panel)["status"] == "connected")
    until(lambda: not panel._disconnect_button.disabled)
    assert set(states(panel).values()) == {"acked"}
    panel.disconnect()
    until(lambda: panel._disconnect_button.disabled)
    panel.close()
    server.stop_in_background()


def test_the_badge_knows_since_when_and_what_connection_it_is(tmp_path: Path) -> None:
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    panel = ChatPanel(server=server, sender="ada", name="details")
    panel.connect()
    until(lambda: status(panel)["status"] == "connected")
    assert abs(status(panel)["at"] / 1000 - time.time()) < PATIENCE
    assert status(panel)["details"] == f"WebSocket\n{panel.form.url.value}\nroom lobby, as ada"
    panel.form.transport.value = "fallback"
    panel.connect()
    until(lambda: "4 to fall back on" in status(panel)["details"] and status(panel)["status"] == "connected")
    assert status(panel)["details"].startswith("WebSocket, of 4 to fall back on\n")
    panel.close()
    server.stop_in_background()


def test_the_badge_names_the_transport_that_a_fallback_uses(tmp_path: Path) -> None:
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    quick = ReconnectConfig(base_delay=0.05, max_delay=0.1, max_attempts=None)
    config = make_config(
        "fallback", server.url, sender="ada", reconnect=quick, attempts_per_transport=1, upgrade_after=0.2
    )
    panel = ChatPanel(config, server=server, name="falling back")
    panel.play("blocked transports websocket how 403")
    panel.connect()
    until(lambda: status(panel)["status"] == "connected")
    assert status(panel)["transport"] == "SSE + POST"
    assert panel.badge.transcript() == "connected over SSE + POST"
    panel.end_faults()
    until(lambda: status(panel)["transport"] == "WebSocket")
    assert status(panel)["status"] == "connected"
    panel.disconnect()
    until(lambda: panel.badge.transcript().startswith("disconnected"))
    panel.close()
    server.stop_in_background()


def test_a_panel_survives_a_dialect_that_returns_the_wrong_thing(tmp_path: Path) -> None:
    class Own(ChatlabDialect):
        mended = False

        def decode(self, frame: str | bytes) -> Any:
            return super().decode(frame) if self.mended else None

    own = Own()
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    panel = ChatPanel(WebSocketConfig(url=server.ws_url, sender="ada", dialect=own), name="own dialect")
    panel.connect()
    until(lambda: status(panel)["status"] == "error")
    assert "Own.decode returned None: return a tuple of items" in status(panel)["reason"]
    own.mended = True
    panel.connect()
    panel.send("still here")
    until(lambda: states(panel) == {"still here": "acked"})
    panel.close()
    server.stop_in_background()


def test_connect_does_not_wait_for_the_countdown(tmp_path: Path) -> None:
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    slow = ReconnectConfig(base_delay=3_600.0, max_delay=3_600.0, jitter="none", max_attempts=None)
    panel = ChatPanel(WebSocketConfig(url=server.ws_url, sender="ada", reconnect=slow), name="patient")
    panel.connect()
    until(lambda: status(panel)["status"] == "connected")
    server.stop_in_background(abrupt=True)
    until(lambda: (status(panel)["retry_in"] or 0) > 3_000)
    panel.send("kept")
    server.start_in_background()
    panel.connect()
    until(lambda: status(panel)["status"] == "connected" and states(panel) == {"kept": "acked"})
    panel.close()
    server.stop_in_background()


def test_a_text_that_cannot_be_sent_is_reported(panel: ChatPanel) -> None:
    panel.form.url.value = "nonsense"
    assert panel.send("hello") is None
    panel.form.url.value = NOWHERE
    assert panel.send("W" * 70_000) is None
    first, second = (row["text"] for row in panel.messages.rows())
    assert first.startswith("Not sent: URL: give a URL that starts with ws://, wss://, http:// or https://")
    assert second.startswith("Not sent: the text has 70,000 bytes")
    assert first.endswith(" Press the up arrow in the empty box to get the text back.")
    assert second.endswith(" Press the up arrow in the empty box to get the text back.")


def test_nobody_types_on_a_broken_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.conversation.typists.TYPING_TIMEOUT", 3600.0)  # The lost connection ends it.
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    panels = [ChatPanel(server=server, sender=name, name=name) for name in ("ada", "bob")]
    for panel in panels:
        panel.connect()
    until(lambda: all(status(panel)["status"] == "connected" for panel in panels))
    notes = panels[0].messages._notes
    panels[1]._send_typing()
    until(lambda: notes.get("typing", {}).get("names") == ["bob"])
    server.stop_in_background(abrupt=True)
    until(lambda: notes["typing"]["names"] == [])
    for panel in panels:
        panel.close()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b": \n\n", "comment"),
        (b": keep-alive\r\n\r\n:\n\n", "comment"),
        (b":" + b" " * 2_048 + b"\n\n", "comment"),
        (b":" + b" " * 2_048 + b"\n\ndata: x\n\n", "bytes"),
        (b": \n\nevent: typing\ndata: {}\n\n", "typing"),
        (b"data: x\n\n", "bytes"),
        (b"\n", "bytes"),
        (b"", "bytes"),
    ],
)
def test_a_streams_comments_are_heartbeats_and_nothing_else_is(data: bytes, kind: str) -> None:
    assert _stream_kind(data) == kind
    assert (kind in HEARTBEATS) == (kind == "comment")


def test_a_message_from_a_file_is_not_sent_again(panel: ChatPanel) -> None:
    panel.messages.upsert({"id": "loaded", "at": 0.0, "text": "long ago", "own": True, "state": "failed"})
    View(panel.messages).say(type="retry", id="loaded")
    assert "is from a file" in panel.messages.rows()[-1]["text"]
    assert panel.transport is None


def test_a_file_that_is_loaded_changes_no_row_that_is_there(panel: ChatPanel, tmp_path: Path) -> None:
    receipt = panel.send("I pay 10")
    panel._panel_display.notice("a notice")
    panel.save_transcript(tmp_path / "talk.jsonl")
    before = panel.messages.rows()
    forged = (tmp_path / "talk.jsonl").read_text("utf-8").replace("I pay 10", "I pay 1000")
    (tmp_path / "forged.jsonl").write_text(forged.replace("queued", "acked"), encoding="utf-8")
    assert panel.load_transcript(tmp_path / "forged.jsonl") == len(before)
    View(panel.messages).say(type="load", request="r", part=0, parts=1, text=forged)
    assert panel.messages.rows() == before
    assert receipt is not None
    assert not receipt.final


@pytest.mark.slow
def test_a_message_that_waits_keeps_the_time_at_which_it_was_written(tmp_path: Path) -> None:
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    quick = ReconnectConfig(base_delay=0.02, max_delay=0.05, max_attempts=None)
    panel = ChatPanel(WebSocketConfig(url=server.ws_url, sender="ada", reconnect=quick), name="times")

    def row() -> tuple[str, float]:
        (own,) = (row for row in panel.messages.rows() if row["text"] == "waits")
        return own["state"], own["at"]

    panel.connect()
    until(lambda: status(panel)["status"] == "connected")
    server.stop_in_background(abrupt=True)
    panel.send("waits")
    _, written_at = row()
    for kind in ("long_polling", "sse"):
        until(lambda: time.time() * 1000 > written_at + 5)
        panel.form.transport.value = kind
        panel.connect()
    until(lambda: not panel._conversation.changing)
    assert row()[1] == written_at
    server.start_in_background()
    until(lambda: row() == ("acked", written_at))
    panel.close()
    server.stop_in_background()


class Output:
    """Recorder of the static transcript's outputs in a notebook."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[tuple[dict[str, Any], str]] = []
        monkeypatch.setattr(static_transcript, "EVERY", 0.0)
        monkeypatch.setattr(static_transcript, "_display", self)
        monkeypatch.setattr(static_transcript, "_update_display", self)

    def __call__(self, bundle: dict[str, Any], *, raw: bool, display_id: str = "") -> None:
        assert raw
        self.shown.append((bundle, display_id))


def test_a72_what_stays_in_the_notebook_follows_the_conversation_and_is_plain_text(
    panel: ChatPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Output(monkeypatch)
    panel._panel_display.notice("not shown yet")
    assert output.shown == []
    panel._ipython_display_()
    (widget, _), (text, display_id) = output.shown
    assert widget["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id
    assert "not shown yet" in widget["text/plain"]
    assert "text/html" not in widget  # otherwise a code host shows it twice
    evil = "</pre></script><script>alert(1)</script>\u202e"
    panel._panel_display.notice(evil)
    until(lambda: len(output.shown) == 3)
    latest, same_id = output.shown[-1]
    assert (same_id, text["text/html"].count("<")) == (display_id, 2)
    assert latest["text/html"].count("<") == 2
    assert html.escape("</script><script>alert(1)</script>⟨RLO⟩") in latest["text/html"]


def test_a_large_message_is_cut_in_the_notebook(panel: ChatPanel) -> None:
    panel.messages.upsert({"id": "large", "at": 0.0, "text": "x" * 64_000})
    assert len(panel.transcript()) < 1_000
    assert len(panel.messages.document("txt")) > 64_000


def test_a_connection_that_closes_at_the_interpreters_end_raises_nothing(
    panel: ChatPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    artist = ThreadPoolExecutor(1)
    artist.shutdown()
    monkeypatch.setattr("chatlab.widgets.timeline_controller._DRAWING", artist)
    panel._transports.redraw()


def test_a_collapsible_is_a_button_that_shows_and_hides() -> None:
    inside = ipywidgets.Label("inside")
    collapsible = Collapsible("Settings", inside)
    box = collapsible.view.children[1]
    assert (collapsible.button.description, box.layout.display, box.children) == (
        "▸ Settings",
        "none",
        (inside,),
    )
    collapsible.button.value = True
    assert (collapsible.button.description, box.layout.display) == ("▾ Settings", None)
    collapsible.button.value = False
    assert box.layout.display == "none"


def notices(panel: ChatPanel) -> list[str]:
    return [row["text"] for row in panel.messages.rows() if row["kind"] == "notice"]


def test_a101_a_message_goes_to_the_place_in_the_form_or_nowhere(panel: ChatPanel) -> None:
    panel.send("for the lobby")
    panel.form.room.value = "attic"
    receipt = panel.send("for the attic, without a connection yet")
    assert receipt is not None
    assert panel.transport is not None
    assert panel.transport.config.room == "attic"
    until(lambda: "undelivered" in states(panel).values())
    panel.connect()
    until(lambda: panel._conversation.last_change.status not in IDLE_STATUSES)
    panel.form.room.value = "lobby"
    assert panel.send("for the lobby again") is None
    assert notices(panel)[-1].startswith(
        "Not sent: still in room attic; press “Connect” to switch to room lobby."
    )
    panel.form.room.value = " "
    assert panel.send("by the way") is not None, "a form that says no place misleads nobody"


def test_a_server_that_was_stopped_elsewhere_is_started(tmp_path: Path) -> None:
    server = EmbeddedServer(db=tmp_path / "chat.db")
    panel = ChatPanel(server=server, name="stopped")
    server.stop_in_background()
    panel._server_button.click()
    assert server.running
    assert notices(panel) == []
    panel.close()
    server.stop_in_background()


def test_a_fallbacks_attempts_are_counted_over_all_transports_so_there_is_no_number_of_them() -> None:
    config = make_config("fallback", NOWHERE, reconnect=ReconnectConfig(base_delay=0.01, max_attempts=1))
    panel = ChatPanel(config, name="fallback")
    panel.connect()
    until(lambda: status(panel)["attempt"] > 1)
    assert status(panel)["max_attempts"] is None
    panel.close()


@pytest.mark.parametrize("wrong", [{"sender": ""}, {"room": "r" * 201}, {"url": "nonsense"}])
def test_wrong_settings_start_nothing_and_close_nothing(panel: ChatPanel, wrong: dict[str, Any]) -> None:
    server = EmbeddedServer()
    with pytest.raises(SettingsError):
        ChatPanel(server=server, name="test", **wrong)
    assert not server.running
    assert panel.comm is not None, "the panel before stays"


def test_an_undelivered_message_gets_its_row_back(panel: ChatPanel) -> None:
    panel.send("first")
    panel.messages.clear()
    panel.send("second")
    until(lambda: states(panel) == {"second": "queued", "first": "dropped"})
