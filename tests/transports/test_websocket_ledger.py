"""The WebSocket machine's ledger: the state of each message (SPEC §1; `A…` are rows of HOSTILE)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import OutboxConfig
from chatlab.transports.machine import Close, Notify, Received, Refuse, Send, SendBytes, Settle, Submit
from tests.transports.websocket_chat import (
    ACKED,
    CONNECTED,
    DROPPED,
    EXPIRED,
    FAILED,
    SENT,
    STATES,
    Chat,
    delivered,
    frame_of,
    frames,
    idle,
    message,
    online,
    sent_ids,
    settled,
    status,
)


@pytest.mark.parametrize("state", ["idle", "failed", "connecting", "waiting"])
def test_A64_what_is_sent_before_a_connection_is_queued_in_order(state: str) -> None:
    chat = STATES[state]()
    assert chat.submit("a", "b", "c") == []
    assert chat.machine.unsettled == 3
    if state in ("idle", "failed"):
        chat.connect()
    if state == "waiting":
        chat.tick()
    effects = chat.open()
    assert effects[0] == status(CONNECTED, attempt=1 if state == "waiting" else 0)
    assert effects[1:] == [
        effect for id in "abc" for effect in (Send(chat.link, frame_of(id)), Settle(id, SENT))
    ]
    assert chat.machine.unsettled == 3


def test_an_ack_settles() -> None:
    chat = online()
    chat.submit("a", "b")
    assert chat.ack("b") == [Settle("b", ACKED)]
    assert chat.ack("b") == [], "once"
    assert chat.ack("ghost") == []
    assert chat.machine.unsettled == 1


def test_A53_a_messages_echo_is_its_ack() -> None:
    chat = online()
    chat.submit("a")
    echo = message("e-1", sender="ada", client_id="a", text="hi")
    effects = chat.hear(echo)
    assert settled(effects) == [("a", ACKED)]
    assert [event.message for event in delivered(effects)] == [ChatMessage("e-1", "ada", "hi", "a")]
    assert chat.hear(echo) == [], "shown once"


def test_somebody_elses_message_with_the_same_id_is_no_ack() -> None:
    chat = online()
    chat.submit("a")
    assert settled(chat.hear(message("e-1", sender="bob", client_id="a"))) == []
    assert chat.machine.unsettled == 1


def test_a_replayed_echo_acks_even_what_was_seen_before() -> None:
    chat = online()
    chat.hear(message("e-1", sender="ada", client_id="a", text="hi"))
    chat.submit("a")
    effects = chat.hear(message("e-1", sender="ada", client_id="a", text="hi"))
    assert (settled(effects), delivered(effects)) == ([("a", ACKED)], [])


def test_A51_a_refusal_fails_that_message_only() -> None:
    chat = online()
    chat.submit("a", "b")
    nack = {"type": "nack", "client_id": "a", "status": 413, "reason": "too long"}
    assert chat.hear(nack) == [Settle("a", FAILED, "too long", 413)]
    assert chat.hear(nack) == []
    assert settled(chat.ack("b")) == [("b", ACKED)]


def test_a_refusal_that_may_pass_is_tried_again_in_order_after_a_while() -> None:
    chat = online()
    chat.submit("a", "b")
    effects = chat.hear({"type": "nack", "client_id": "a", "status": 503, "reason": "full disk"})
    assert settled(effects) == []
    assert [type(effect) for effect in effects] == [Close, Notify]
    assert (chat.machine.state, chat.machine.unsettled) == ("waiting", 2)
    chat.tick()
    assert frames(chat.open()) == [frame_of("a"), frame_of("b")]


@pytest.mark.parametrize("status", [413, 422, 500, 503])
def test_a_refusal_of_what_was_never_sent_or_is_over_changes_nothing(status: int) -> None:
    chat = online()
    chat.submit("a")
    chat.ack("a")
    assert chat.hear({"type": "nack", "client_id": "a", "status": status}) == []
    assert chat.hear({"type": "nack", "client_id": "ghost", "status": status}) == []


def test_the_users_table_decides_which_refusals_may_pass() -> None:
    chat = Chat(failures={"http 503": "give up", "http 422": "retry"}).online()
    chat.submit("a", "b")
    final = chat.hear({"type": "nack", "client_id": "a", "status": 503, "reason": "full disk"})
    assert final == [Settle("a", FAILED, "full disk", 503)]
    chat.hear({"type": "nack", "client_id": "b", "status": 422})
    assert chat.machine.state == "waiting"


def test_what_was_never_sent_cannot_be_acked() -> None:
    chat = Chat(outbox=OutboxConfig(max_in_flight=1)).online()
    chat.submit("a", "b")
    assert chat.ack("b") == []
    assert settled(chat.ack("a")) == [("a", ACKED), ("b", SENT)]


def test_A66_unacked_messages_are_resent_first_in_order_with_the_same_ids() -> None:
    chat = online()
    chat.submit("a", "b", "c")
    chat.ack("b")
    chat.close()
    chat.submit("d")
    chat.tick()
    effects = chat.open()
    assert sent_ids(effects) == ["a", "c", "d"]
    assert frames(effects)[0] == frame_of("a")
    chat.close()
    chat.tick()
    assert sent_ids(chat.open()) == ["a", "c", "d"]


def test_A66_an_ack_from_the_old_link_is_not_believed() -> None:
    chat = online()
    chat.submit("a")
    chat.close()
    chat.tick()
    old = json.dumps({"type": "ack", "client_id": "a"})
    assert chat.do(Received(1, old)) == []
    chat.open()
    assert chat.do(Received(1, old)) == []
    assert chat.machine.unsettled == 1


def test_the_window_bounds_what_is_in_flight() -> None:
    chat = Chat(outbox=OutboxConfig(max_in_flight=2)).online()
    assert sent_ids(chat.submit("a", "b", "c", "d")) == ["a", "b"]
    assert sent_ids(chat.ack("a")) == ["c"]


def test_a_duplicate_submission_is_refused() -> None:
    chat = idle()
    chat.submit("a")
    assert chat.submit("a") == [Refuse("a", "duplicate")]
    chat.online()
    assert chat.submit("a") == [Refuse("a", "duplicate")]
    assert chat.machine.unsettled == 1


def test_A65_drop_oldest_reports_the_drop() -> None:
    chat = Chat(outbox=OutboxConfig(max_size=2))
    assert chat.submit("a", "b") == []
    assert chat.submit("c") == [Settle("a", DROPPED, "the outbox is full")]
    assert sent_ids(chat.online().submit()) == []
    assert chat.machine.unsettled == 2


def test_A65_drop_newest_reports_the_drop() -> None:
    chat = Chat(outbox=OutboxConfig(max_size=2, overflow="drop-newest"))
    assert chat.submit("a", "b", "c") == [Settle("c", DROPPED, "the outbox is full")]
    chat.connect()
    assert sent_ids(chat.open()) == ["a", "b"]


@pytest.mark.parametrize("overflow", ["reject", "wait"])
def test_A65_reject_and_wait_refuse(overflow: Any) -> None:
    chat = Chat(outbox=OutboxConfig(max_size=1, overflow=overflow))
    assert chat.submit("a") == []
    assert chat.submit("b") == [Refuse("b", "full")]
    chat.connect()
    assert sent_ids(chat.open()) == ["a"]
    assert sent_ids(chat.submit("b")) == ["b"]


def test_A65_bytes_count() -> None:
    chat = Chat(outbox=OutboxConfig(max_bytes=4))
    assert chat.submit("a", text="éé") == []
    assert settled(chat.submit("b", text="x")) == [("a", DROPPED)]


def test_a_drop_leaves_what_is_in_flight_alone() -> None:
    chat = Chat(outbox=OutboxConfig(max_size=1)).online()
    chat.submit("a", "b")
    chat.close()
    assert settled(chat.submit("c", "d")) == [("c", DROPPED)]
    chat.tick()
    assert sent_ids(chat.open()) == ["a", "b", "d"]


@pytest.mark.parametrize("state", ["idle", "connecting", "waiting"])
def test_what_waits_too_long_expires_in_every_state(state: str) -> None:
    chat = Chat(outbox=OutboxConfig(max_age=0.5))
    if state != "idle":
        chat.connect()
    if state == "waiting":
        chat.close()
    chat.submit("a")
    assert chat.machine.deadline == 0.5
    assert chat.tick() == [Settle("a", EXPIRED, "waited longer than 0.5 s")]
    assert chat.state == state
    assert chat.machine.unsettled == 0


def test_what_is_in_flight_does_not_expire_while_online() -> None:
    chat = Chat(outbox=OutboxConfig(max_age=5.0)).online()
    chat.submit("a")
    assert settled(chat.tick()) == []
    chat.hear("", at=31.0)
    assert settled(chat.close(at=32.0)) == []
    assert settled(chat.tick()) == [("a", EXPIRED)]


def test_bytes_go_as_a_binary_frame() -> None:
    chat = online()
    send, settle = chat.do(Submit(OutgoingMessage(data=b"\0\xff", client_id="a")))
    assert isinstance(send, SendBytes)
    assert msgspec.msgpack.decode(send.data) == {"type": "message", "data": b"\0\xff", "client_id": "a"}
    assert settle == Settle("a", SENT)
