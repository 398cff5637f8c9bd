"""The WebSocket machine draining: it sends what it still can (SPEC §1; `A…` are rows of HOSTILE)."""

from __future__ import annotations

from math import inf

import pytest

from chatlab.dialects import ChatlabDialect
from chatlab.settings import OutboxConfig
from chatlab.transports.machine import Close, Disconnect, Send, Settle
from tests.transports.websocket_chat import (
    ACKED,
    DISCONNECTED,
    EXPIRED,
    FAILED,
    GOODBYE,
    Chat,
    draining,
    online,
    sent_ids,
    settled,
    status,
)


def test_A67_disconnect_waits_for_acks_then_closes_with_1000() -> None:
    chat = online()
    chat.submit("a", "b")
    assert chat.do(Disconnect(), 10.0) == []
    assert chat.state == "draining"
    assert chat.ack("a") == [Settle("a", ACKED)]
    assert chat.ack("b") == [Settle("b", ACKED), Close(1, 1000), status(DISCONNECTED, GOODBYE)]
    assert chat.machine.deadline == inf


def test_A67_disconnect_waits_no_longer_than_the_drain_timeout() -> None:
    chat = online()
    chat.submit("a")
    chat.do(Disconnect(), 10.0)
    chat.do(Disconnect(), 10.5)
    assert chat.machine.deadline == 10.75
    assert chat.tick() == [Close(1, 1000), status(DISCONNECTED, GOODBYE)]
    assert chat.machine.unsettled == 1, "what is unsettled is kept"
    chat.connect()
    assert sent_ids(chat.open()) == ["a"]


class Polite(ChatlabDialect):
    def last_frame(self) -> str:
        return "bye"


@pytest.mark.parametrize("drain", [True, False])
def test_the_dialects_last_frame_goes_before_a_wanted_close_only(drain: bool) -> None:
    chat = Chat(dialect=Polite())
    chat.connect()
    assert not any(isinstance(effect, Send) for effect in chat.do(Disconnect(drain)))
    chat.connect()
    chat.open()
    assert Send(2, "bye") not in chat.close("reset")
    chat.tick()
    chat.open()
    assert chat.do(Disconnect(drain))[:2] == [Send(3, "bye"), Close(3, 1000)]


def test_a_refusal_ends_the_drain_as_well() -> None:
    chat = draining()
    effects = chat.hear({"type": "nack", "client_id": "m1", "status": 422})
    assert settled(effects) == [("m1", FAILED)]
    assert chat.state == "idle"


def test_draining_without_time_closes_at_once() -> None:
    chat = Chat(drain_timeout=0.0).online()
    chat.submit("a")
    assert chat.do(Disconnect())[0] == Close(1, 1000)


def test_a_drain_sends_what_the_window_held_back() -> None:
    chat = Chat(outbox=OutboxConfig(max_in_flight=1)).online()
    chat.submit("a", "b")
    chat.do(Disconnect())
    assert sent_ids(chat.ack("a")) == ["b"]
    assert chat.state == "draining"
    assert chat.ack("b")[-1] == status(DISCONNECTED, GOODBYE)


def test_a_drain_ends_when_its_last_message_expires() -> None:
    chat = Chat(outbox=OutboxConfig(max_in_flight=1, max_age=0.5)).online()
    chat.submit("a", "b")
    chat.do(Disconnect())
    assert settled(chat.tick()) == [("b", EXPIRED)]
    assert chat.ack("a")[-1] == status(DISCONNECTED, GOODBYE)
    chat = Chat(outbox=OutboxConfig(max_in_flight=1, max_age=0.5)).online()
    chat.submit("a", "b")
    chat.ack("a")
    assert settled(chat.ack("b")) == [("b", ACKED)]


def test_A67_a_drain_that_loses_its_connection_does_not_reconnect() -> None:
    chat = draining()
    assert chat.close("close", 1006) == [status(DISCONNECTED, "closed 1006", code=1006)]
    assert chat.machine.deadline == inf
    chat.connect()
    assert sent_ids(chat.open()) == ["m1"]


def test_A67_a_dead_path_ends_the_drain() -> None:
    chat = Chat(drain_timeout=100.0).online()
    chat.submit("a")
    chat.do(Disconnect())
    chat.tick()
    assert chat.tick() == [
        Close(1, 4000, "Pong timeout"),
        status(DISCONNECTED, "closed 4000: Pong timeout", code=4000),
    ]


def test_connect_calls_a_drain_off() -> None:
    chat = draining()
    chat.connect()
    assert (chat.state, chat.machine.deadline) == ("online", 30.0)
    chat.ack("m1")
    assert chat.state == "online"
