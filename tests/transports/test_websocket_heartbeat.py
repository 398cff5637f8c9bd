"""The WebSocket machine's heartbeat (SPEC §2; `A…` are rows of HOSTILE)."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from chatlab.settings import HeartbeatConfig
from chatlab.transports.machine import Close, Disconnect, Ping, Pinged, Pong, Received, Send, Tick
from chatlab.transports.websocket import PONG_GAP
from tests.transports.websocket_chat import (
    PING_1,
    RECONNECTING,
    Chat,
    changes,
    connecting,
    frames,
    message,
    online,
    status,
)


def test_A27_pong_timeout() -> None:
    chat = online()
    assert chat.tick() == [Send(1, PING_1)]
    assert chat.now == 30.0
    assert chat.tick() == [
        Close(1, 4000, "Pong timeout"),
        status(RECONNECTING, "closed 4000: Pong timeout", 1, 41.0, 4000),
    ]
    assert chat.now == 40.0


def test_A27_heartbeat_timeout_if_the_timeout_exceeds_the_interval() -> None:
    chat = Chat(heartbeat=HeartbeatConfig(interval=10.0, timeout=15.0)).online()
    assert frames(chat.tick()) == [PING_1]
    assert chat.tick()[0] == Close(1, 4000, "Heartbeat timeout")
    assert chat.now == 20.0


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "pong", "id": 1},
        {"type": "pong", "id": 77},
        {"type": "ping", "id": 5},
        {"type": "typing", "sender": "bob"},
        {"type": "ack", "client_id": "ghost"},
        message("e-1"),
        "nonsense",
        b"\xc1",
    ],
    ids=str,
)
def test_A28_any_frame_answers_a_ping(frame: Any) -> None:
    chat = online()
    chat.tick()
    chat.hear(frame, at=39.9)
    assert chat.machine.deadline == 60.0
    assert chat.tick(40.0) == []
    assert frames(chat.tick()) == ['{"type":"ping","id":2}']


def test_A28_a_frame_of_another_link_answers_no_ping() -> None:
    chat = online()
    chat.tick()
    chat.do(Received(0, '{"type":"pong","id":1}'), 39.0)
    chat.do(Pong(0, 1), 39.0)
    assert chat.machine.deadline == 40.0


def test_A30_round_trip_time() -> None:
    chat = online()
    assert chat.machine.rtt is None
    chat.hear({"type": "pong", "id": 1}, at=1.0)
    assert chat.machine.rtt is None, "a pong before the ping"
    chat.tick()
    chat.hear(message("e-1"), at=30.1)
    chat.hear({"type": "pong", "id": 1}, at=30.25)
    assert chat.machine.rtt == 0.25
    chat.hear({"type": "pong", "id": 1}, at=33.0)
    assert chat.machine.rtt == 0.25
    chat.tick()
    chat.hear({"type": "pong", "id": 1}, at=61.0)
    assert chat.machine.rtt == 0.25, "a pong for an old ping"


def test_A31_a_heartbeat_dies_with_its_connection() -> None:
    """Check against the seed's flaw: after one stall, each later connection is closed at its first beat."""
    chat = online()
    chat.tick()
    chat.tick()  # pong timeout at 40
    assert chat.machine.deadline == 41.0
    chat.tick()
    chat.open()
    assert chat.machine.deadline == 71.0
    for n in range(1, 6):
        assert frames(chat.tick()) == [f'{{"type":"ping","id":{n}}}']
        chat.hear({"type": "pong", "id": n})
    assert (chat.state, chat.link) == ("online", 2)


def test_A31_no_timer_is_left_when_idle() -> None:
    chat = online()
    chat.tick()
    chat.do(Disconnect())
    assert chat.machine.deadline == inf
    assert chat.do(Tick(), 1e9) == []


def test_A29_ping_frames() -> None:
    chat = Chat(heartbeat=HeartbeatConfig(mode="ping")).online()
    assert chat.tick() == [Ping(1, 1)]
    chat.do(Pong(1, 1), 30.5)
    assert (chat.machine.rtt, chat.machine.deadline) == (0.5, 60.0)
    assert chat.tick() == [Ping(1, 2)]
    chat.do(Pong(1, 1))
    assert chat.machine.rtt == 0.5
    assert chat.machine.deadline == 90.0


def test_the_client_sends_no_pings_if_the_server_does_and_counts_its_silence() -> None:
    chat = Chat(heartbeat=HeartbeatConfig(interval=25.0, timeout=20.0, mode="server")).online()
    assert chat.machine.deadline == 45.0
    assert chat.do(Pinged(1), 25.0) == []
    assert chat.machine.deadline == 70.0
    chat.do(Pinged(0), 30.0)
    assert chat.machine.deadline == 70.0, "of another link"
    chat.hear(message("e-1"), at=40.0)
    assert chat.do(Tick(woke=True), 84.0) == []
    assert chat.tick(85.0)[0] == Close(1, 4000, "Heartbeat timeout")


def test_pings_of_both_sides_answer_the_clients() -> None:
    chat = Chat(heartbeat=HeartbeatConfig(mode="both")).online()
    assert frames(chat.tick()) == [PING_1]
    assert chat.do(Pinged(1), 39.0) == []
    assert chat.machine.deadline == 60.0


@pytest.mark.parametrize("settings", [HeartbeatConfig(mode="none"), HeartbeatConfig(enabled=False)])
def test_A29_no_heartbeat(settings: HeartbeatConfig) -> None:
    chat = Chat(heartbeat=settings).online()
    assert chat.machine.deadline == inf
    chat.hear(message("e-1"))
    chat.hear({"type": "pong", "id": 1})
    assert chat.do(Pong(1, 1)) == chat.do(Pinged(1)) == []
    assert chat.do(Tick(), 1e9) == []
    assert chat.machine.rtt is None


@pytest.mark.parametrize(
    ("mode", "code", "ping_open", "hint"),
    [
        ("json", 1008, True, True),
        ("json", 1003, True, True),
        ("json", 1008, False, False),
        ("json", 1011, True, False),
        ("ping", 1008, True, False),
    ],
)
def test_A29_a_1008_right_after_the_json_ping_names_the_cause(
    mode: Any, code: int, ping_open: bool, hint: bool
) -> None:
    chat = Chat(heartbeat=HeartbeatConfig(mode=mode)).online()
    if ping_open:
        chat.tick()
    (change,) = changes(chat.close("close", code))
    assert ("HeartbeatConfig(mode='ping')" in change.reason) == hint


def test_A29_no_hint_without_a_heartbeat_or_a_connection() -> None:
    quiet = Chat(heartbeat=HeartbeatConfig(enabled=False)).online()
    for chat in (quiet, connecting()):
        (change,) = changes(chat.close("close", 1008))
        assert change.reason == "closed 1008"


def test_A30_a_servers_ping_is_answered_once_and_a_flood_is_not_doubled() -> None:
    chat = online()
    assert frames(chat.hear({"type": "ping", "id": 5}, at=1.0)) == ['{"type":"pong","id":5}']
    answers = [answer for _ in range(1000) for answer in chat.hear({"type": "ping", "id": 6})]
    assert answers == []
    assert frames(chat.hear({"type": "ping", "id": 7}, at=1.0 + PONG_GAP)) == ['{"type":"pong","id":7}']


def test_A32_after_sleep_one_ping_goes_out_at_once() -> None:
    chat = online()
    assert chat.do(Tick(woke=True), 3.0) == [Send(1, PING_1)]
    assert chat.do(Tick(woke=True), 4.0) == []
    assert chat.tick() == [
        Close(1, 4000, "Pong timeout"),
        status(RECONNECTING, "closed 4000: Pong timeout", 1, 14.0, 4000),
    ]
    assert chat.now == 13.0
    assert chat.do(Tick(woke=True), 13.5) == [], "a wait that a server may have asked for is kept"


def test_A32_without_a_heartbeat_no_ping_goes_out() -> None:
    chat = Chat(heartbeat=HeartbeatConfig(enabled=False)).online()
    assert chat.do(Tick(woke=True), 3.0) == []
