"""The predicted lane of the panel's timeline knows the faults, the server and the person's actions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chatlab import ChatPanel, EmbeddedServer, WebSocketConfig
from chatlab.experiment.injected_fault import InjectedFault
from chatlab.live.client.kinds import make_config
from chatlab.messages import ConnectionStatus
from chatlab.sim.faults import ConnectionReset, Fault, HalfOpen, HighLatency
from chatlab.studies.live_record import LiveRecord
from tests.widgets.test_faults import QUICK, connected, cut, foreign, status, until


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[ChatPanel]:
    """Yield a connected panel with an embedded server."""
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    panel = ChatPanel(WebSocketConfig(url=server.ws_url, **QUICK), server=server, name="predicted")
    panel.connect()
    connected(panel)
    yield panel
    panel.close()
    server.stop_in_background()


def drawn(panel: ChatPanel) -> tuple[list[dict[str, Any]], str]:
    """Return the lanes and the note of the timeline, drawn now."""
    panel._timeline_controller._draw(panel._panel_display)
    message = panel.timeline._snapshot()
    return message["lanes"], message["note"]


def predicted(panel: ChatPanel) -> list[str]:
    """Return the statuses of the predicted lane as the panel has drawn it last, by itself."""
    lanes = panel.timeline._snapshot()["lanes"]
    return [span["status"] for lane in lanes[1:] for span in lane["spans"]] or [""]


def shown_as_connected(panel: ChatPanel) -> None:
    """Wait until the live lane ends with a connection."""
    until(lambda: panel._panel_display.spans[-1]["status"] == "connected")


def ups_and_downs(lane: dict[str, Any], now: float) -> list[str]:
    """Return whether a lane was connected, cut or away, in order, until now."""
    names = {"connected": "up", "reconnecting": "cut", "disconnected": "away"}
    seen = [
        names[span["status"]] for span in lane["spans"] if span["status"] in names and span["start"] < now
    ]
    return [name for number, name in enumerate(seen) if seen[number - 1 : number] != [name]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["half open for 0.1", "down for 0.2", "reset", "no pong for 0.6", "restart"]
)
def test_a_fault_cuts_both_lanes(panel: ChatPanel, fault: str) -> None:
    panel.play(fault)
    cut(panel)
    panel._faults.end()
    shown_as_connected(panel)
    (live, predicted), note = drawn(panel)
    now = panel.timeline._now
    assert ups_and_downs(live, now)[-3:] == ["up", "cut", "up"]
    assert ups_and_downs(predicted, now + 1.0)[:2] == ["up", "cut"]
    assert ups_and_downs(predicted, now + 5.0)[-1] == "up"
    assert note.startswith("Predicted: ")
    assert note.endswith("attempts within 0.1 s.")


@pytest.mark.slow
def test_the_server_and_the_persons_actions_are_predicted(panel: ChatPanel) -> None:
    panel.stop_server()
    cut(panel)
    panel.start_server()
    connected(panel)
    panel.disconnect()
    until(lambda: status(panel) is ConnectionStatus.DISCONNECTED)
    until(lambda: predicted(panel)[-1] == "disconnected")  # for the whole horizon
    panel.connect()
    until(lambda: predicted(panel)[-1] == "connected")
    assert predicted(panel).count("disconnected") == 1


@pytest.mark.slow
def test_an_earlier_transports_prediction_is_kept(panel: ChatPanel) -> None:
    panel.play("reset")
    cut(panel)
    connected(panel)
    (_, before), _ = drawn(panel)
    panel.form.transport.value = "long_polling"
    panel.connect()
    until(lambda: panel.transport is not None and panel.transport.kind == "LongPollingConfig")
    connected(panel)
    (_, after), _ = drawn(panel)
    earlier = [span for span in before["spans"] if span["status"] == "reconnecting"]
    assert earlier[0] in after["spans"]
    ends = [(one["start"], one["end"]) for one in after["spans"]]
    assert all(end <= start + 1e-9 for (_, end), (start, _) in pairwise(ends))


@pytest.mark.slow
def test_an_outage_by_another_panel_is_predicted_too(panel: ChatPanel) -> None:
    other = ChatPanel(
        WebSocketConfig(url=panel.server.ws_url, **QUICK),  # type: ignore[union-attr]
        server=panel.server,
        name="another",
    )
    other.stop_server()
    cut(panel)
    (_, predicted), _ = drawn(panel)
    assert predicted["spans"][-1]["status"] == "reconnecting"
    other.close()


def test_the_lane_says_what_the_model_can_not_know() -> None:
    with foreign() as (panel, _):
        assert drawn(panel)[1] == ""
        panel.connect()
        connected(panel)
        # The step is noted after its status, on another thread.
        until(lambda: "The server isn't this panel's own" in drawn(panel)[1])


def test_a_message_is_recorded_with_its_size(panel: ChatPanel) -> None:
    receipt = panel.send("a secret")
    assert receipt is not None
    (record,) = panel._timeline_controller._records
    until(lambda: record.sends)
    assert [sent.size for sent in record.sends] == [8]
    assert not record.measured(0.2), "an embedded server is next door"


def test_latency_is_measured_without_faults() -> None:
    with foreign() as (panel, _):
        panel.play("latency 0.1")
        panel.connect()
        connected(panel)
        record = panel._timeline_controller._records[-1]
        before = record.round_trips.latency
        assert not record.measured(0.2)
        assert record.round_trips.latency == before
        panel.end_faults()
        assert record.measured(0.2)


def test_a_record_without_a_proxy_measures_always() -> None:
    record = LiveRecord(make_config("sse", "http://127.0.0.1:9", sender="ada"), None)
    assert record.connected_at is None
    assert record.attempts(5.0) == []
    assert record.measured(0.2)


@pytest.mark.parametrize(
    ("fault", "ended_at", "expected"),
    [
        (HighLatency(at=12, duration=5), None, HighLatency(at=2, duration=5)),
        (HighLatency(at=12, duration=5), 14.0, HighLatency(at=2, duration=2)),
        (HighLatency(at=12, duration=5), 16.99, HighLatency(at=2, duration=5)),
        (HighLatency(at=12, duration=5), 12.0, None),
        (HalfOpen(at=12), 12.0, HalfOpen(at=2)),
        (ConnectionReset(at=12), 12.1, ConnectionReset(at=2)),
        (ConnectionReset(at=9), 9.1, None),
        (HighLatency(at=8, duration=5), None, HighLatency(at=0, duration=3)),
        (HighLatency(at=8, duration=5), 11.0, HighLatency(at=0, duration=1)),
        (HighLatency(at=8, duration=5), 9.5, None),
    ],
)
def test_a_fault_has_its_true_duration(fault: Fault, ended_at: float | None, expected: Fault | None) -> None:
    injected = InjectedFault(fault, lambda _: None, lambda _: None, None)  # type: ignore[arg-type, return-value]
    injected.ended_at = ended_at
    assert injected.since(10.0) == expected
