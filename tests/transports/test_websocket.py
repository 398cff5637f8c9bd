"""The WebSocket machine: every event in every state, then the frames that it receives (`A…` are rows of
HOSTILE)."""

from __future__ import annotations

import json
from math import inf
from typing import get_args

import msgspec
import pytest

from chatlab.dialects.base import Answer
from chatlab.messages import ChatEvent, ChatMessage, ConnectionStatus
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Failure,
    Opened,
    OpenWebSocket,
    Ping,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Send,
    Settle,
    Submit,
    Tick,
    Typing,
)
from tests.transports.websocket_chat import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    ERROR,
    FIRST,
    GOODBYE,
    PING_1,
    RECONNECTING,
    SENT,
    STATES,
    Chat,
    changes,
    delivered,
    frame_of,
    frames,
    message,
    online,
    outgoing,
    queries,
    sent_ids,
    status,
)

# Every event in every state. What isn't in the table does nothing at all.

EVENTS: dict[str, Event] = {
    "Connect": Connect(),
    "Disconnect": Disconnect(),
    "Disconnect at once": Disconnect(drain=False),
    "Submit": Submit(outgoing("m9")),
    "Typing": Typing(),
    "Opened": Opened(1),
    "Opened stale": Opened(0),
    "Received": Received(1, json.dumps(message("e-1"))),
    "Received stale": Received(0, json.dumps(message("e-1"))),
    "ReceivedBytes": ReceivedBytes(1, msgspec.msgpack.encode(message("e-1", data=b"\0"))),
    "ReceivedBytes stale": ReceivedBytes(0, b"\0"),
    "Answered": Answered(1, Answer(200)),
    "Answered stale": Answered(0, Answer(200)),
    "Pong": Pong(1, 1),
    "Pong stale": Pong(0, 1),
    "Pinged": Pinged(1),
    "Pinged stale": Pinged(0),
    "Closed": Closed(1, Failure("reset")),
    "Closed stale": Closed(0, Failure("reset")),
    "Tick": Tick(),
}
YO = ChatMessage("e-1", "bob", "yo")
DELIVERED: list[Effect] = [Deliver(ChatEvent("message", YO, "bob"))]
DELIVERED_BYTES: list[Effect] = [
    Deliver(ChatEvent("message", ChatMessage("e-1", "bob", "yo", data=b"\0"), "bob"))
]
SENT_M9: list[Effect] = [Send(1, frame_of("m9")), Settle("m9", SENT)]
DIAL_1: list[Effect] = [status(CONNECTING), OpenWebSocket(1, FIRST)]
DIAL_2: list[Effect] = [status(CONNECTING), OpenWebSocket(2, FIRST)]
LOST: list[Effect] = [status(RECONNECTING, "reset", 1, 1.0)]

TABLE: dict[tuple[str, str], tuple[str, list[Effect]]] = {
    ("idle", "Connect"): ("connecting", DIAL_1),
    ("failed", "Connect"): ("connecting", DIAL_2),
    ("connecting", "Opened"): ("online", [status(CONNECTED)]),
    ("connecting", "Closed"): ("waiting", LOST),
    ("connecting", "Disconnect"): ("idle", [Close(1, 1006, "abandoned"), status(DISCONNECTED, GOODBYE)]),
    ("connecting", "Tick"): (
        "waiting",
        [
            Close(1, 1006, "connect timeout"),
            status(RECONNECTING, "timeout: no connection within 10 s", 1, 11.0),
        ],
    ),
    ("connecting", "Disconnect at once"): (
        "idle",
        [Close(1, 1006, "abandoned"), status(DISCONNECTED, GOODBYE)],
    ),
    ("online", "Disconnect"): ("idle", [Close(1), status(DISCONNECTED, GOODBYE)]),
    ("online", "Disconnect at once"): ("idle", [Close(1), status(DISCONNECTED, GOODBYE)]),
    ("online", "Submit"): ("online", SENT_M9),
    ("online", "Typing"): ("online", [Send(1, '{"type":"typing"}')]),
    ("online", "Received"): ("online", DELIVERED),
    ("online", "ReceivedBytes"): ("online", DELIVERED_BYTES),
    ("online", "Closed"): ("waiting", LOST),
    ("online", "Tick"): ("online", [Send(1, PING_1)]),
    ("draining", "Connect"): ("online", []),
    ("draining", "Disconnect at once"): ("idle", [Close(1), status(DISCONNECTED, GOODBYE)]),
    ("draining", "Submit"): ("draining", SENT_M9),
    ("draining", "Typing"): ("draining", [Send(1, '{"type":"typing"}')]),
    ("draining", "Received"): ("draining", DELIVERED),
    ("draining", "ReceivedBytes"): ("draining", DELIVERED_BYTES),
    ("draining", "Closed"): ("idle", [status(DISCONNECTED, "reset")]),
    ("draining", "Tick"): ("idle", [Close(1), status(DISCONNECTED, GOODBYE)]),
    ("waiting", "Disconnect"): ("idle", [status(DISCONNECTED, GOODBYE)]),
    ("waiting", "Disconnect at once"): ("idle", [status(DISCONNECTED, GOODBYE)]),
    ("waiting", "Tick"): ("connecting", [status(RECONNECTING, "trying again", 1), OpenWebSocket(2, FIRST)]),
}


def test_all_kinds_of_events_are_in_the_table() -> None:
    assert {type(event) for event in EVENTS.values()} == set(get_args(Event))


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_table(state: str, event: str) -> None:
    chat = STATES[state]()
    before = chat.state
    assert before == ("idle" if state == "failed" else state)
    deadline = chat.machine.deadline
    tick_at = deadline if event == "Tick" and deadline < inf else None
    effects = chat.do(EVENTS[event], tick_at)
    after, expected = TABLE.get((state, event), (before, []))
    assert (chat.state, effects) == (after, expected)
    if not expected and before == after:
        assert chat.machine.deadline == deadline


@pytest.mark.parametrize("state", STATES)
def test_early_ticks_do_nothing(state: str) -> None:
    chat = STATES[state]()
    deadline = chat.machine.deadline
    for at in (0.0, min(deadline, 1e6) - 1e-6, -3600.0):  # A32: even where the clock has stepped back
        assert chat.do(Tick(), at) == []
    assert chat.machine.deadline == deadline


@pytest.mark.parametrize(
    ("state", "deadline"),
    [
        ("idle", inf),
        ("failed", inf),
        ("connecting", 10.0),
        ("online", 30.0),
        ("draining", 0.75),
        ("waiting", 1.0),
    ],
)
def test_deadlines(state: str, deadline: float) -> None:
    assert STATES[state]().machine.deadline == deadline


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("idle", DISCONNECTED),
        ("failed", ERROR),
        ("connecting", CONNECTING),
        ("online", CONNECTED),
        ("draining", CONNECTED),
        ("waiting", RECONNECTING),
    ],
)
def test_statuses(state: str, expected: ConnectionStatus) -> None:
    assert STATES[state]().machine.status == expected


# Giving up, and coming back from it (SPEC §1: `error` means gave up; only connect() leaves it).


def test_A68_error_is_left_by_connect_alone_and_starts_afresh() -> None:
    chat = Chat(reconnect={"max_attempts": 1})
    chat.connect()
    chat.close()
    chat.tick()
    assert chat.close() == [status(ERROR, "gave up after 1 retry: reset", 1)]
    for event in EVENTS.values():
        if not isinstance(event, Connect | Submit):
            assert chat.do(event) == []
    assert chat.machine.status == ERROR
    assert chat.connect() == [status(CONNECTING), OpenWebSocket(3, FIRST)]
    assert changes(chat.close())[0].attempt == 1, "the attempts are counted from the start again"


def test_A68_connect_twice_is_one_connection() -> None:
    chat = Chat()
    links = [effect for _ in range(3) for effect in chat.connect() if isinstance(effect, OpenWebSocket)]
    assert len(links) == 1
    chat.open()
    assert chat.connect() == []


def test_A67_disconnect_twice_is_one_disconnect() -> None:
    for state, build in STATES.items():
        chat = build()
        effects = [*chat.do(Disconnect()), *chat.do(Disconnect())]
        count = 0 if state in ("idle", "failed", "draining") else 1
        assert [change.status for change in changes(effects)] == [DISCONNECTED] * count


# Events, and frames that can't be decoded


def test_other_events_pass() -> None:
    chat = online()
    effects = chat.hear({"type": "typing", "sender": "bob"})
    assert effects == [Deliver(ChatEvent("typing", sender="bob", payload={"sender": "bob"}))]


@pytest.mark.parametrize(
    "frame",
    [
        "hello",
        "",
        "null",
        "3",
        '"x"',
        "[]",
        "{}",
        '{"type":"message","id":true}',
        '{"type":"ping","id":1.0}',
        '{"type":"x","a":NaN}',
        '{"type":"x","a":1e400}',
        "[" * 100_000,
        '{"type":"x","a":' + "9" * 5000 + "}",
        '{"type":"x","a":"\\ud800"}',
        '{"type":"\ud800"}',
        b"\xc1",
        b"",
        b"\x91" * 100_000,
    ],
    ids=lambda frame: repr(frame)[:24].encode("ascii", "replace").decode(),
)
def test_A02_A03_A04_A05_A06_what_makes_no_sense_is_visible_and_harmless(frame: str | bytes) -> None:
    chat = online()
    (event,) = delivered(chat.hear(frame))
    assert event.type == "unreadable"
    assert event.reason
    assert len(event.payload) < 1000
    assert len(delivered(chat.hear(message("e-1")))) == 1
    assert chat.state == "online"


def test_typing_is_sent_only_while_connected() -> None:
    assert frames(online().do(Typing())) == ['{"type":"typing"}']
    assert Chat(dialect="text").online().do(Typing()) == []


# A server without acks (SPEC §7): `sent` is the last state.


def test_text_dialect() -> None:
    chat = Chat(dialect="text")
    assert queries(chat.connect()) == [{}]
    chat.open()
    assert chat.submit("a") == [Send(1, "hi"), Settle("a", SENT)]
    assert chat.machine.unsettled == 0
    for _ in range(2):  # the same words twice are two messages
        assert [event.message for event in delivered(chat.hear("hi"))] == [ChatMessage("", "server", "hi")]
    assert chat.tick() == [Ping(1, 1)]
    chat.submit("b")
    assert chat.do(Disconnect())[0] == Close(1, 1000), "nothing to wait for"
    chat.connect()
    assert sent_ids(chat.open()) == [], "and nothing to resend"
