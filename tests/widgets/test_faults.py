"""Faults of the panel, without a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from chatlab import ChatPanel, EmbeddedServer, WebSocketConfig
from chatlab.errors import SettingsError
from chatlab.messages import ConnectionStatus
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.faults import ConnectionReset, HighLatency, ServerDown
from chatlab.sim.faults.phrases import KINDS, read_faults

PATIENCE = 60.0
SPANS: WeakKeyDictionary[ChatPanel, int] = WeakKeyDictionary()
"""Number of spans on a panel's timeline when it was last seen connected."""
QUICK: dict[str, Any] = {
    "sender": "ada",
    "reconnect": ReconnectConfig(base_delay=0.05, max_delay=0.1, max_attempts=None, jitter="none"),
    "heartbeat": HeartbeatConfig(interval=0.2, timeout=0.2),
}


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[ChatPanel]:
    """Yield a connected panel with an embedded server, which reconnects quickly."""
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    panel = ChatPanel(WebSocketConfig(url=server.ws_url, **QUICK), server=server, name="faults")
    panel.connect()
    connected(panel)
    yield panel
    panel.close()
    server.stop_in_background()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def status(panel: ChatPanel) -> ConnectionStatus:
    return panel._conversation.last_change.status


def connected(panel: ChatPanel) -> None:
    until(lambda: status(panel) is ConnectionStatus.CONNECTED)
    SPANS[panel] = len(panel._panel_display.spans)


def cut(panel: ChatPanel) -> None:
    """Wait until the connection has been lost since `connected`; on a busy machine it may be back already."""
    until(
        lambda: any(
            span["status"] == "reconnecting" for span in [*panel._panel_display.spans][SPANS.get(panel, 0) :]
        )
    )


def notices(panel: ChatPanel) -> list[str]:
    return [row["text"] for row in panel.messages.rows() if row["kind"] == "notice"]


def marks(panel: ChatPanel) -> list[str]:
    return [mark["label"] for mark in panel._panel_display.marks if mark["kind"] == "fault"]


def labels(panel: ChatPanel) -> list[str]:
    return [field.description for field in panel._faults.controls._settings.children]


def test_a_config_of_the_embedded_servers_own_url_goes_through_the_proxy(panel: ChatPanel) -> None:
    assert panel.proxy is not None
    assert panel.transport is not None
    assert f":{panel.proxy.port}/" in repr(panel.transport.config)


@pytest.mark.slow
def test_the_menu_has_the_faults_of_scenarios_with_their_settings(panel: ChatPanel) -> None:
    controls = panel._faults.controls
    names = [name.replace(" ", "_") for name in controls.kind.options]
    assert names == [name for name in KINDS if name != "loss"], "real sockets lose no packets"
    for kind in controls.kind.options.values():
        controls.kind.value = kind
        (fault,) = read_faults(controls.phrase())
        assert type(fault) is kind
        assert getattr(fault, "duration", 10.0) == 10.0
    controls.kind.value = KINDS["http_error"]
    assert labels(panel) == ["status", "retry after (s)", "for (s)"]
    status_field, retry_after, duration = controls._settings.children
    status_field.value, retry_after.value, duration.value = "429", "7", ""
    assert controls.phrase() == "http_error status 429 retry_after 7"


@pytest.mark.slow
def test_a_fault_of_the_menu_is_injected_marked_and_ended(panel: ChatPanel) -> None:
    controls = panel._faults.controls
    controls.kind.value = HighLatency
    for field, value in zip(controls._settings.children, ("0.05", "0", ""), strict=True):
        field.value = value
    controls.inject.click()
    assert notices(panel) == []
    assert controls.under_way.value == "Under way: latency 0.05."
    receipt = panel.send("slowly")
    assert receipt is not None
    until(lambda: receipt.state == "acked")
    assert not controls.ending.disabled
    controls.ending.click()
    assert controls.under_way.value == "No fault is under way."
    assert controls.ending.disabled
    assert marks(panel) == ["latency 0.05", "latency is over"]


@pytest.mark.slow
def test_a_script_is_played(panel: ChatPanel) -> None:
    controls = panel._faults.controls
    controls.script.value = "reset at 0.05; down at 0.3 for 0.2"
    controls.playing.click()
    cut(panel)
    until(lambda: marks(panel) == ["connection reset", "server down for 0.2"])
    until(lambda: panel._server_button.description == "Start the server")
    until(lambda: marks(panel)[2:] == ["server down is over"])
    connected(panel)
    until(lambda: panel._server_button.description == "Stop the server")
    panel.play([ConnectionReset(at=0.0), ServerDown(at=60.0, duration=1.0)])
    assert not controls.ending.disabled, "one is to come"
    panel.end_faults()
    assert controls.ending.disabled


def test_what_can_not_be_read_is_reported(panel: ChatPanel) -> None:
    controls = panel._faults.controls
    controls.script.value = "dwon"
    controls.playing.click()
    assert notices(panel) == ["Not played: there is no fault 'dwon'; did you mean down?."]
    controls.kind.value = HighLatency
    controls._settings.children[0].value = "soon"
    controls.inject.click()
    assert notices(panel)[-1].startswith("Not injected: ")


def test_the_server_button_ends_an_outage_of_a_script(panel: ChatPanel) -> None:
    assert panel.server is not None
    panel.play("down for 60")
    assert not panel.server.running
    until(lambda: panel._server_button.description == "Start the server")
    panel._server_button.click()
    assert panel.server.running
    until(lambda: panel._server_button.description == "Stop the server")
    connected(panel)


@pytest.mark.slow
def test_two_panels_share_the_faults_of_one_server(panel: ChatPanel) -> None:
    assert panel.server is not None
    other = ChatPanel(
        WebSocketConfig(url=panel.server.ws_url, **QUICK), server=panel.server, name="other faults"
    )
    other.connect()
    connected(other)
    panel.play("http error 503; reset")
    until(lambda: "503" in panel._conversation.last_change.reason)
    assert status(other) is ConnectionStatus.CONNECTED, "the fault hits one person"
    panel.end_faults()
    connected(panel)
    panel.stop_server()
    cut(other)
    other._server_button.click()
    assert panel.server.running
    assert panel._faults.controls.under_way.value == "No fault is under way."
    connected(other)
    other.close()
    connected(panel)
    panel.play("no pong")
    cut(panel)


@contextmanager
def foreign(**settings: Any) -> Iterator[tuple[ChatPanel, EmbeddedServer]]:
    """Yield a panel and a server that isn't its own."""
    server = EmbeddedServer()
    server.start_in_background()
    panel = ChatPanel(WebSocketConfig(url=server.ws_url, **QUICK | settings), name="foreign")
    yield panel, server
    panel.close()
    server.stop_in_background()


@pytest.mark.slow
def test_the_first_fault_for_a_foreign_server_makes_a_proxy() -> None:
    with foreign() as (panel, server):
        assert panel.proxy is None
        panel.connect()
        connected(panel)
        panel.play("half open for 0.1")
        assert panel.proxy is not None
        assert panel.transport is not None
        assert f":{panel.proxy.port}/" in repr(panel.transport.config)
        assert panel.form.url.value == server.ws_url, "the form shows the server"
        cut(panel)
        connected(panel)
        panel.play("down for 60")
        cut(panel)
        panel.end_faults()
        connected(panel)
        assert server.running
        receipt = panel.send("still the same place")
        assert receipt is not None
        until(lambda: receipt.state == "acked")
        assert not any("Switched" in text for text in notices(panel))


def test_what_needs_an_embedded_server_is_not_offered_for_a_foreign_one() -> None:
    with foreign() as (panel, _):
        names = list(panel._faults.controls.kind.options)
        assert "server down" in names
        assert not {"server restart", "http error", "no pong", "slow server"} & set(names)
        with pytest.raises(SettingsError, match="no pong: only an embedded server can be made to do that"):
            panel.play("no pong for 5")


def test_TLS_keeps_faults_out() -> None:
    panel = ChatPanel(url="wss://127.0.0.1:9/ws", name="tls")
    with pytest.raises(SettingsError, match="which TLS prevents"):
        panel.play("reset")
    panel.close()
