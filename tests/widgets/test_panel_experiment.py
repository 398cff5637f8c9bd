"""A panel's live run becomes a scenario, a run with a crowd, and a sequence diagram."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import ipywidgets
import pytest

from chatlab import ChatPanel, EmbeddedServer, Scenario, WebSocketConfig, run
from chatlab.errors import SettingsError
from chatlab.widgets.listing import Listing
from tests.widgets.comms import View
from tests.widgets.test_faults import QUICK, connected, cut, notices, until

SECRET = "a s3cret"


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[ChatPanel]:
    """Yield a connected panel with an embedded server."""
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    url = server.ws_url.replace("127.", f"ada:{SECRET.replace(' ', '')}@127.")
    panel = ChatPanel(WebSocketConfig(url=url, **QUICK), server=server, name="experiment", seed=7)
    panel.connect()
    connected(panel)
    yield panel
    panel.close()
    server.stop_in_background()


def state() -> str:
    return json.dumps(ipywidgets.Widget.get_manager_state(drop_defaults=False), default=str)


def texts(panel: ChatPanel) -> list[str]:
    return [one["text"] for one in panel._experiment.listing._snapshot()["texts"]]


def test_a_live_run_gives_the_same_attempts_as_a_scenario(panel: ChatPanel) -> None:
    panel.play("reset")
    cut(panel)
    connected(panel)
    panel.stop_server()
    cut(panel)
    panel.start_server()
    connected(panel)
    record = panel._timeline_controller.latest
    assert record is not None
    assert record.began_at is not None
    made = panel.as_scenario()
    assert [fault.kind for fault in made.scenario.faults] == ["connection_reset", "server_down"]
    live = [at - record.began_at for at in record.attempts(record.changes[-1][0])]
    attempts = [at for span in run(made.scenario).statuses("ada") for at in span.attempts]
    assert attempts[: len(live)] == pytest.approx(live, abs=1.0), "a busy machine is late"


def test_the_scenario_is_shown_without_secrets_and_texts(panel: ChatPanel) -> None:
    experiment = panel._experiment
    receipt = panel.send(SECRET)
    assert receipt is not None
    until(lambda: receipt.state == "acked")
    assert experiment.listing.layout.display == "none"
    experiment.as_scenario.click()
    assert experiment.listing.layout.display is None
    assert experiment.picture.layout.display == "none"
    toml, python = texts(panel)
    assert "s3cret" not in toml + python
    assert 'text = "xxxxxxxx"' in toml
    scenario = Scenario.from_toml(toml)
    assert scenario.seed == 7
    experiment.texts.value = True
    experiment.as_scenario.click()
    assert all(SECRET in text for text in texts(panel))
    assert "s3cret" not in state(), "what is saved with the notebook"
    assert SECRET in experiment.listing.transcript()


@pytest.mark.slow
def test_a_crowd_is_simulated_and_shown(panel: ChatPanel) -> None:
    experiment = panel._experiment
    panel.play("reset")
    cut(panel)
    connected(panel)
    experiment.people.value = 100
    experiment.simulate.click()
    until(lambda: experiment.words.value)
    until(lambda: not experiment.simulate.disabled)
    assert "100 people" in experiment.words.value
    assert experiment.picture.png.startswith(b"\x89PNG")
    assert experiment.picture.layout.display is None
    result = panel.with_people(50)
    assert result.metrics["broken"] == 50
    assert result.metrics["unrecovered"] == 0


def test_the_latest_frames_are_drawn(panel: ChatPanel) -> None:
    receipt = panel.send("hello")
    assert receipt is not None
    until(lambda: receipt.state == "acked")
    panel._experiment.sequence.click()
    assert notices(panel) == []
    assert panel._experiment.picture.png.startswith(b"\x89PNG")
    drawn = [text.get_text() for text in panel.plot_sequence().texts]
    assert "open WebSocket" in drawn
    assert any("hello" in text for text in drawn)


def test_before_anything_has_happened() -> None:
    panel = ChatPanel(url="ws://127.0.0.1:9/ws", name="new")
    experiment = panel._experiment
    for button in (experiment.as_scenario, experiment.simulate, experiment.sequence):
        button.click()
    ends = "nothing has happened yet: connect first, or send a message."
    assert notices(panel) == [
        f"{what}: {ends}" for what in ("No scenario", "Not simulated", "No sequence diagram")
    ]
    for call in (panel.as_scenario, panel.with_people, panel.plot_sequence):
        with pytest.raises(SettingsError, match="nothing has happened yet"):
            call()
    panel.close()


def test_a_message_alone_is_not_yet_an_exchange() -> None:
    panel = ChatPanel(url="ws://127.0.0.1:9/ws", name="silent")
    panel.send("hello")
    until(lambda: panel._timeline_controller.latest and panel._timeline_controller.latest.sends)
    assert [entry.action for entry in panel.as_scenario().scenario.people.script] == ["send"]
    lines = [text.get_text() for text in panel.plot_sequence().texts]
    assert "sends “hello”" in lines
    panel.close()


def test_a_listing_shows_names_and_texts_of_any_kind() -> None:
    listing = Listing()
    assert listing.transcript() == ""
    listing.show({"TOML": ("a\u202e\ud800", "a.toml")})
    View(listing).say(type="ready")
    assert listing._snapshot()["texts"] == [{"name": "TOML", "text": "a\u202e\ufffd", "file": "a.toml"}]
    assert listing.transcript() == "a⟨RLO⟩\ufffd"
