"""Every event and effect survives encoding and decoding, alone and among others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import msgspec
import pytest

from chatlab.dialects.base import Answer, Request
from chatlab.messages import (
    ChatEvent,
    ChatMessage,
    ConnectionStatus,
    DeliveryState,
    OutgoingMessage,
    StatusChange,
)
from chatlab.trace import Step, decode_step, decode_steps, encode_steps, is_attempt
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
    Fetch,
    Notify,
    Opened,
    OpenWebSocket,
    Ping,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Refuse,
    Send,
    SendBytes,
    Settle,
    Submit,
    Tick,
    Typing,
)

UNAUTHORIZED = Failure("http", 401, "who?", 2.5)
POSTED = ChatMessage("e-1", "ada", "hé\n😀", "c1", datetime(2026, 11, 23, tzinfo=UTC), b"\0\xff")
CHANGE = StatusChange(ConnectionStatus.RECONNECTING, "reset", 3, 12.5, 1006)

EVENTS: list[Event] = [
    Connect(),
    Disconnect(),
    Submit(OutgoingMessage("hi", b"\0\xff", "c1")),
    Typing(),
    Opened(1, "chat"),
    Received(1, '{"type":"x"}\u2028'),
    ReceivedBytes(1, b"\x80\0"),
    Answered(1, Answer(200, b"[\xff]", {"chat-cursor": "e-1"})),
    Pong(1, 2),
    Pinged(1),
    Closed(1, UNAUTHORIZED),
    Tick(),
]
EFFECTS: list[Effect] = [
    OpenWebSocket(2, {"after": "e-1"}, UNAUTHORIZED),
    OpenWebSocket(3),
    Fetch(
        4, "poll", Request("GET", "/messages", {"after": "e-1"}, {"Accept": "text/plain"}), UNAUTHORIZED, 2
    ),
    Fetch(5, "post", Request("POST", "/messages", body='{"text":"hé"}')),
    Send(1, "text"),
    SendBytes(1, b"\x80"),
    Ping(1, 4),
    Close(1, 4000, "Pong timeout"),
    Deliver(ChatEvent("message", POSTED, "ada")),
    Deliver(ChatEvent("poll", payload={"a": [1, None, 2.5, {}]})),
    Deliver(ChatEvent("connection", change=CHANGE)),
    Notify(CHANGE),
    Settle("c1", DeliveryState.FAILED, "no", 422),
    Refuse("c1", "full"),
]


def test_all_kinds_are_here() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))
    assert {type(effect) for effect in EFFECTS} >= set(get_args(Effect))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_survive(event: Event) -> None:
    step = Step(0.1 + 0.2, "ada", event, ())
    assert decode_step(encode_steps([step])) == step


def test_steps_are_json_lines_in_order() -> None:
    steps = [Step(float(at), "ada", Tick(), (effect,)) for at, effect in enumerate(EFFECTS)]
    steps.append(Step(99.0, "bob", Connect(), tuple(EFFECTS)))
    text = encode_steps(steps)
    assert len(text.splitlines()) == len(steps)
    assert list(decode_steps(text.split(b"\n"))) == steps
    assert list(decode_steps([*text.decode().split("\n"), " \n"])) == steps


@pytest.mark.parametrize(
    "line", ["{}", '{"at":0,"person":"a","event":{"type":"Nap"},"effects":[]}', "[", "null"]
)
def test_what_is_no_step_is_refused(line: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_step(line)


@pytest.mark.parametrize(
    ("effect", "connected", "attempt"),
    [
        (OpenWebSocket(1, {}), True, True),
        (Fetch(1, "stream", Request("GET", "/")), True, True),
        (Fetch(1, "poll", Request("GET", "/")), False, True),
        (Fetch(1, "poll", Request("GET", "/")), True, False),
        (Fetch(1, "post", Request("POST", "/")), False, False),
        (Close(1, 1000), False, False),
    ],
)
def test_an_attempt_opens_a_connection_or_polls_without_one(
    effect: Effect, connected: bool, attempt: bool
) -> None:
    status = ConnectionStatus.CONNECTED if connected else ConnectionStatus.RECONNECTING
    assert is_attempt(effect, status) == attempt
