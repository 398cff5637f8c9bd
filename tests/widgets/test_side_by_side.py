"""Transports side by side: the same faults, a conversation each, and one timeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances

from chatlab import SideBySide, run
from chatlab.errors import SettingsError
from chatlab.messages import ConnectionStatus
from chatlab.sim.faults import HalfOpen
from chatlab.widgets.side_by_side import MOST
from chatlab.widgets.transport_lane import TransportLane
from tests.widgets.comms import View
from tests.widgets.test_faults import QUICK, until

SETTINGS = {name: value for name, value in QUICK.items() if name != "sender"} | {"error_delay": 0.05}
BOTH = ("WebSocket", "Long polling")


@pytest.fixture
def both() -> Iterator[SideBySide]:
    """Yield two transports side by side, connected."""
    both = SideBySide("websocket", "long_polling", seed=7, name="test", **SETTINGS)
    both.connect()
    all_are(both, ConnectionStatus.CONNECTED)
    yield both
    both.close()


def all_are(both: SideBySide, status: ConnectionStatus) -> None:
    until(lambda: all(lane.conversation.last_change.status is status for lane in both.lanes))


def notices(lane: TransportLane) -> list[str]:
    return [row["text"] for row in lane.messages.rows() if row["kind"] == "notice"]


def texts(lane: TransportLane) -> list[tuple[str, str]]:
    rows = (row for row in lane.messages.rows() if row["kind"] == "message")
    return [(row["sender"], row["text"]) for row in rows]


def drawn(both: SideBySide) -> dict[str, Any]:
    """Return the timeline's message, drawn now."""
    for lane in both.lanes:
        lane.transports.controller._draw(lane.transports.display)
    return both.timeline._snapshot()


def test_each_has_a_conversation_in_the_same_room(both: SideBySide) -> None:
    first, second = both.lanes
    View(first.messages).say(type="send", text="hello")
    until(lambda: texts(second) == [("WebSocket", "hello")])
    both.send("all")
    until(lambda: all(len(texts(lane)) == 3 for lane in both.lanes))
    assert sorted(texts(second)[1:]) == [("Long polling", "all"), ("WebSocket", "all")]
    assert [lane.badge._snapshot()["transport"] for lane in both.lanes] == list(BOTH)


def test_a_fault_hits_all_at_once_and_each_is_predicted(both: SideBySide) -> None:
    both.play([HalfOpen(at=0.0, duration=0.1)])
    over = "half open is over"
    until(
        lambda: all(over in [mark["label"] for mark in lane.transports.display.marks] for lane in both.lanes)
    )
    shown = drawn(both)
    assert [lane["name"] for lane in shown["lanes"]] == [
        "WebSocket",
        "predicted",
        "Long polling",
        "predicted",
    ]
    starts = []
    for lane in shown["lanes"][::2]:
        (begin, _) = (mark["at"] for mark in lane["marks"] if mark["kind"] == "fault")
        starts.append(begin)
    assert starts[0] == pytest.approx(starts[1], abs=1), "one after the other, as soon as the machine can"
    assert all(f"{title}: Predicted: " in shown["note"] for title in BOTH)


def test_one_outage_of_the_server_is_one_for_all(both: SideBySide) -> None:
    both.send("before")
    until(lambda: all(len(texts(lane)) == 2 for lane in both.lanes))
    button = both._server_button
    button.click()
    assert not both.server.running
    all_are(both, ConnectionStatus.RECONNECTING)
    assert button.description == "Start the server"
    assert "Under way: server down." in both.controls.under_way.value
    button.click()
    assert both.server.running
    all_are(both, ConnectionStatus.CONNECTED)
    assert button.description == "Stop the server"
    assert [notices(lane) for lane in both.lanes] == [[], []], "the server has kept its history"
    for title in BOTH:
        scenario = both.as_scenario(title).scenario
        assert [fault.kind for fault in scenario.faults] == ["server_down"], "and not one for each lane"
        assert scenario.seed == 7
    attempts = [at for span in run(scenario).statuses("Long polling") for at in span.attempts]
    assert len(attempts) > 1
    both.controls.script.value = "down at 0.05 for 0.2; reset at 60"
    both.controls.playing.click()
    all_are(both, ConnectionStatus.RECONNECTING)
    all_are(both, ConnectionStatus.CONNECTED)
    assert not both.controls.ending.disabled
    both.controls.ending.click()
    assert both.controls.ending.disabled


def test_each_transport_has_a_sequence_diagram_and_a_scenario(both: SideBySide) -> None:
    experiment = both._experiment
    both.chosen.value = both.lanes[1]
    experiment.sequence.click()
    assert experiment.picture.png.startswith(b"\x89PNG")
    experiment.as_scenario.click()
    assert 'kind = "long_polling"' in experiment.listing.transcript()
    drawn = {text.get_text() for text in both.plot_sequence("Long polling").texts}
    assert "GET /messages/poll" in drawn
    assert "open WebSocket" in {text.get_text() for text in both.plot_sequence("WebSocket").texts}
    with pytest.raises(SettingsError, match="choose one of WebSocket, Long polling"):
        both.plot_sequence("SSE + POST")


def test_what_can_not_be_done_is_reported(both: SideBySide) -> None:
    both.controls.script.value = "dwon"
    both.controls.playing.click()
    View(both.lanes[1].messages).say(type="send", text="W" * 70_000)
    View(both.lanes[1].messages).say(type="retry", id="nothing")
    View(both.lanes[1].messages).say(type="retry all")
    View(both.lanes[1].messages).say(type="typing")
    assert notices(both.lanes[0]) == ["Not played: there is no fault 'dwon'; did you mean down?."]
    assert [text.partition(":")[0] for text in notices(both.lanes[1])] == ["Not sent", "Not sent again"]
    with pytest.raises(SettingsError, match="choose one of WebSocket, Long polling"):
        both.as_scenario("SSE + POST")
    both.disconnect()
    all_are(both, ConnectionStatus.DISCONNECTED)


def test_another_of_the_same_name_replaces_it_and_nothing_is_left() -> None:
    before = set(_instances)
    first = SideBySide("sse", "sse", name="again")
    assert [lane.title for lane in first.lanes] == ["SSE + POST", "SSE + POST 2"]
    second = SideBySide("sse", name="again")
    assert first.comm is None
    assert not first.server.running
    first.close()
    second.close()
    assert set(_instances) == before


def test_wrong_transports_and_settings_start_nothing() -> None:
    before = set(_instances)
    with pytest.raises(SettingsError, match="there is no 'carrier pigeon'; choose from websocket, sse"):
        SideBySide("websocket", "carrier pigeon")
    with pytest.raises(SettingsError, match="at most 6, got 7"):
        SideBySide(*["sse"] * (MOST + 1))
    with pytest.raises(SettingsError, match="connect_timeout"):
        SideBySide("websocket", connect_timeout=-1.0)
    assert set(_instances) == before


def test_without_names_all_five_are_there() -> None:
    five = SideBySide(name="five")
    titles = [lane.title for lane in five.lanes]
    assert titles == ["WebSocket", "SSE + POST", "Long polling", "Short polling", "Fallback"]
    assert len({lane.config.sender for lane in five.lanes}) == 5
    five.close()
