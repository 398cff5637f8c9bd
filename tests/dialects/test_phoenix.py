"""The `phoenix` dialect: frames of version 2 of Phoenix's serializer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatlab.dialects.base import Ack, Nack, Refused, ServerPong, Unreadable, Welcome
from chatlab.dialects.phoenix import PhoenixDialect
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import WebSocketConfig

DIALECT = PhoenixDialect()
CONFIG = WebSocketConfig(url="ws://h/socket", room="lobby", sender="ada")


def frame(*parts: Any) -> str:
    return json.dumps(parts)


def reply(ref: str | None, status: str, response: Any, topic: str = "room:lobby") -> str:
    return frame("1", ref, topic, "phx_reply", {"status": status, "response": response})


def test_what_it_is() -> None:
    assert DIALECT.transports == ("websocket",)
    assert (DIALECT.acks, DIALECT.idempotent, DIALECT.greets, DIALECT.heartbeat) == (
        True,
        False,
        True,
        "json",
    )
    assert not PhoenixDialect(acks=False).acks


@pytest.mark.parametrize(
    ("cursor", "person", "resync"),
    [
        (None, {"sender": "ada"}, False),
        ("7", {"sender": "ada", "after": "7"}, False),
        ("phoenix", {"sender": "ada"}, True),
    ],
)
def test_the_opening_joins_the_topic_and_a_rejoin_without_an_id_is_a_resync(
    cursor: str | None, person: dict[str, str], resync: bool
) -> None:
    dialect = PhoenixDialect(acks=False).for_connection()
    assert not dialect.acks
    opening = dialect.opening(CONFIG, cursor)
    assert (opening.path, opening.query) == ("/websocket", {"vsn": "2.0.0"})
    (join,) = opening.frames
    assert json.loads(join) == ["1", "1", "room:lobby", "phx_join", person]
    assert dialect.decode(reply("1", "ok", {})) == (Welcome(cursor="phoenix", resync=resync),)


@pytest.mark.parametrize(
    ("headers", "kept", "query"),
    [
        ({}, {}, {}),
        ({"Token": "t", "X": "1"}, {"X": "1"}, {"token": "t"}),
        ({"Authorization": "Bearer t"}, {}, {"token": "t"}),
        ({"Authorization": "Basic eA=="}, {"Authorization": "Basic eA=="}, {}),
    ],
)
def test_a_token_becomes_a_parameter(
    headers: dict[str, str], kept: dict[str, str], query: dict[str, str]
) -> None:
    found = DIALECT.credentials(headers)
    assert (found.headers, found.query) == (kept, query)


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        (OutgoingMessage("hé", client_id="c1"), {"body": "hé", "sender": "ada", "client_id": "c1"}),
        (
            OutgoingMessage(data=b"\0", client_id="c1"),
            {"body": "", "sender": "ada", "client_id": "c1", "data": "AA=="},
        ),
    ],
)
def test_a_message_is_pushed_with_its_client_id_as_ref(message: OutgoingMessage, payload: Any) -> None:
    sent = DIALECT.encode(CONFIG, message)
    assert isinstance(sent, str)
    assert json.loads(sent) == ["1", "c1", "room:lobby", "new_msg", payload]
    back = frame(None, None, "room:lobby", "new_msg", payload)
    assert DIALECT.decode(back) == (ChatMessage("", "ada", message.text, "c1", None, message.data),)


def test_topics_events_and_texts_have_names_of_the_servers_choice() -> None:
    dialect = PhoenixDialect(topic="chat:{room}:1", event="shout", text="msg")
    sent = dialect.encode(CONFIG, OutgoingMessage("hi", client_id="c"))
    assert json.loads(sent) == [
        "1",
        "c",
        "chat:lobby:1",
        "shout",
        {"msg": "hi", "sender": "ada", "client_id": "c"},
    ]
    assert dialect.decode(frame(None, None, "t", "shout", {"msg": "hi", "id": 7, "more": 1})) == (
        ChatMessage("7", "", "hi"),
    )


@pytest.mark.parametrize(
    ("came", "item"),
    [
        (reply("1", "ok", {}), Welcome(cursor="phoenix")),
        (reply("c1", "ok", {}), Ack("c1")),
        (reply("c1", "error", {"reason": "too long"}), Nack("c1", 422, "too long")),
        (reply("c1", "error", {"code": 7}), Nack("c1", 422, '{"code":7}')),
        (
            reply("1", "error", {"reason": "unauthorized"}),
            Refused("the server refuses the join: unauthorized", 401),
        ),
        (
            reply("1", "error", {"reason": "unmatched topic"}),
            Refused("the server refuses the join: unmatched topic", 404),
        ),
        (reply("1", "error", "full"), Refused("the server refuses the join: full", 403)),
        (reply("beat7", "ok", {}, "phoenix"), ServerPong(7)),
        (frame("1", "1", "room:lobby", "phx_error", {}), Refused("the channel crashed")),
        (frame("1", "1", "room:lobby", "phx_close", {}), Refused("the channel was closed")),
        (frame(None, None, "room:lobby", "poll", {"q": 1}), ChatEvent("poll", payload={"q": 1})),
        (frame(None, None, "room:lobby", "resync", {}), ChatEvent("server:resync", payload={})),
    ],
)
def test_what_a_frame_says(came: str, item: Any) -> None:
    assert list(DIALECT.decode(came)) == [item]


def test_a_reply_to_another_clients_heartbeat_says_nothing() -> None:
    assert DIALECT.decode(reply("x", "ok", {}, "phoenix")) == ()
    assert DIALECT.decode(reply(None, "ok", {}, "phoenix")) == ()


def test_presence_is_told_person_by_person() -> None:
    diff = {"joins": {"bob": {"metas": []}, "cleo": {}}, "leaves": {"eve": {}}}
    assert DIALECT.decode(frame(None, None, "room:lobby", "presence_diff", diff)) == [
        ChatEvent("presence", sender="bob", payload={"state": "joined"}),
        ChatEvent("presence", sender="cleo", payload={"state": "joined"}),
        ChatEvent("presence", sender="eve", payload={"state": "left"}),
    ]


@pytest.mark.parametrize(
    "came",
    [
        b"\0",
        "",
        "[]",
        "null",
        '{"type": "message"}',
        frame("1", "1", "t", 7, {}),
        frame("1", "1", "t", "phx_reply", {}),
        frame("1", "1", "t", "new_msg", []),
        frame("1", "1", "t", "new_msg", {"body": 7}),
        frame("1", "1", "t", "new_msg", {"body": "x", "sender": 7}),
        frame("1", "1", "t", "presence_diff", {"joins": []}),
        "[" * 100_000,
    ],
)
def test_what_makes_no_sense_is_unreadable(came: str | bytes) -> None:
    (item,) = DIALECT.decode(came)
    assert isinstance(item, Unreadable)


def test_a_heartbeat_is_a_frame_on_a_topic_of_its_own() -> None:
    assert json.loads(DIALECT.ping(7)) == [None, "beat7", "phoenix", "heartbeat", {}]
