"""The `matrix` dialect: its requests, and answers as synapse 1.163 gives them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from chatlab.dialects.base import Ack, Answer, Page, Unreadable
from chatlab.dialects.matrix import MatrixDialect, login, refusal_of, token_of
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import HttpConfig

DIALECT = MatrixDialect()
HTTP = DIALECT.http
CONFIG = HttpConfig(url="http://h/", room="!a:b", sender="@ada:b")


def test_what_it_is() -> None:
    assert DIALECT.transports == ("long_polling", "short_polling")
    assert (DIALECT.acks, DIALECT.idempotent) == (True, True)


@pytest.mark.parametrize(("hold", "timeout"), [(None, "0"), (0.0, "0"), (25.0, "25000"), (0.5, "500")])
def test_a_sync_is_held_as_long_as_asked(hold: float | None, timeout: str) -> None:
    request = HTTP.poll(CONFIG, "s7", hold)
    assert (request.method, request.path) == ("GET", "/_matrix/client/v3/sync")
    assert (request.query["since"], request.query["timeout"]) == ("s7", timeout)


@pytest.mark.parametrize(
    ("history", "cursor", "limit"),
    [(50, None, 50), (0, None, 0), (None, None, 100), (500, None, 100), (7, "s7", 100)],
)
def test_the_filter_lets_this_rooms_messages_through(
    history: int | None, cursor: str | None, limit: int
) -> None:
    request = HTTP.poll(CONFIG.replace(history=history), cursor, None)
    assert ("since" in request.query) == (cursor is not None)
    room = json.loads(request.query["filter"])["room"]
    assert room["rooms"] == ["!a:b"]
    assert room["timeline"] == {"limit": limit, "types": ["m.room.message", "m.room.redaction"]}
    assert room["ephemeral"] == {"types": ["m.typing"]}


def sync(*events: Any, typing: tuple[str, ...] = (), limited: bool = False) -> bytes:
    ephemeral = [{"type": "m.typing", "content": {"user_ids": typing}}] if typing else []
    timeline = {"events": events, "limited": limited, "prev_batch": "p"}
    rooms = {"join": {"!a:b": {"timeline": timeline, "ephemeral": {"events": ephemeral}, "summary": {}}}}
    return json.dumps({"next_batch": "s8", "rooms": rooms, "other": 1}).encode()


def event(id: str, *, txn: Any = None, **content: Any) -> dict[str, Any]:
    unsigned = {"age": 1} | ({"transaction_id": txn} if txn else {})
    return {
        "type": "m.room.message",
        "event_id": id,
        "sender": "@ada:b",
        "origin_server_ts": 1795422966500,
        "content": content,
        "unsigned": unsigned,
    }


THEN = datetime(2026, 11, 23, 8, 36, 6, 500_000, tzinfo=UTC)


def test_what_a_sync_says() -> None:
    body = sync(
        event("$1", txn="c1", msgtype="m.text", body="hé"),
        event("$2", msgtype="m.image", body="a cat", url="mxc://x"),
        event("$3", body="(2 bytes)", **{"chatlab.data": "AP8="}),
        event("$4"),
        typing=("@bob:b", "@eve:b"),
    )
    assert HTTP.page(Answer(200, body)) == Page(
        [
            ChatMessage("$1", "@ada:b", "hé", "c1", THEN),
            ChatMessage("$2", "@ada:b", "a cat", "", THEN),
            ChatMessage("$3", "@ada:b", "", "", THEN, b"\0\xff"),
            ChatEvent("typing", sender="@bob:b, @eve:b", payload=["@bob:b", "@eve:b"]),
        ],
        cursor="s8",
    )


def edit(id: str, of: str, **new: Any) -> dict[str, Any]:
    relation = {"rel_type": "m.replace", "event_id": of}
    return event(id, msgtype="m.text", body="* x", **{"m.new_content": new, "m.relates_to": relation})


def test_an_edit_is_an_event_with_the_new_content() -> None:
    body = sync(
        edit("$2", "$1", body="hi there"),
        edit("$3", "$1", body="(1 bytes)", **{"chatlab.data": "AA=="}),
        event("$4", body="> hi", **{"m.relates_to": {"m.in_reply_to": {"event_id": "$1"}}}),
        event("$5", body="x", **{"m.new_content": {"body": "y"}}),
    )
    assert HTTP.page(Answer(200, body)) == Page(
        [
            ChatEvent(
                "edit", ChatMessage("$2", "@ada:b", "hi there", "", THEN), "@ada:b", payload={"id": "$1"}
            ),
            ChatEvent(
                "edit", ChatMessage("$3", "@ada:b", "", "", THEN, b"\0"), "@ada:b", payload={"id": "$1"}
            ),
            ChatMessage("$4", "@ada:b", "> hi", "", THEN),
            ChatMessage("$5", "@ada:b", "x", "", THEN),
        ],
        cursor="s8",
    )


def test_a_redaction_is_told_once_in_the_messages_place_or_when_it_comes() -> None:
    def redaction(id: str, **where: Any) -> dict[str, Any]:
        return (
            event(id, **where.pop("content", {})) | {"type": "m.room.redaction", "sender": "@eve:b"} | where
        )

    spam = redaction("$8", redacts="$1", content={"reason": "spam"})
    body = sync(
        event("$1") | {"unsigned": {"redacted_because": spam}},
        event("$2") | {"unsigned": {"redacted_because": {"type": "m.room.redaction"}}},
        event("$3", body="x") | {"unsigned": {"redacted_because": None}},
        spam,
        redaction("$9", content={"redacts": "$0"}),
    )
    assert HTTP.page(Answer(200, body)) == Page(
        [
            ChatEvent("redaction", sender="@eve:b", reason="spam", payload={"id": "$1"}),
            ChatEvent("redaction", payload={"id": "$2"}),
            ChatMessage("$3", "@ada:b", "x", "", THEN),
            ChatEvent("redaction", sender="@eve:b", payload={"id": "$0"}),
        ],
        cursor="s8",
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"next_batch":"s8"}',
        b'{"next_batch":"s8","rooms":{}}',
        b'{"next_batch":"s8","rooms":null}',
        b'{"next_batch":"s8","rooms":{"join":null}}',
        b'{"next_batch":"s8","rooms":{"join":{"!a:b":{"timeline":null}}}}',
        sync(),
    ],
)
def test_nothing_new_moves_the_cursor_only(body: bytes) -> None:
    assert HTTP.page(Answer(200, body)) == Page([], cursor="s8")


@pytest.mark.parametrize(
    ("stamp", "posted_at"),
    [
        (1795422966500.0, THEN),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        (2**53 - 1, None),
        (1e300, None),
        (None, None),
    ],
)
def test_a_senseless_time_costs_no_message(stamp: float | None, posted_at: datetime | None) -> None:
    page = HTTP.page(Answer(200, sync(event("$1", body="x") | {"origin_server_ts": stamp})))
    assert page is not None
    assert page.items == [ChatMessage("$1", "@ada:b", "x", "", posted_at)]


def test_a_limited_timeline_is_a_gap() -> None:
    page = HTTP.page(Answer(200, sync(event("$9", body="x"), limited=True)))
    assert page is not None
    assert page.gap
    assert not page.more


def test_unreadable_events_keep_their_position() -> None:
    page = HTTP.page(Answer(200, sync({"type": 7}, event("$1", body="x"))))
    assert page is not None
    assert [type(item) for item in page.items] == [Unreadable, ChatMessage]
    for senseless in (b"", b"[]", b"{}", b"\xff", b'{"next_batch":"s8","rooms":[]}'):
        page = HTTP.page(Answer(200, senseless))
        assert page is not None
        assert page.senseless
        assert page.cursor is None


@pytest.mark.parametrize("status", [400, 401, 429, 502])
def test_other_answers_are_failures(status: int) -> None:
    assert HTTP.page(Answer(status, b"{}")) is None
    assert HTTP.posted(Answer(status), "c1") is None


def test_sending() -> None:
    request = HTTP.post(CONFIG, OutgoingMessage("hé", client_id="c/1"))
    assert (request.method, request.path) == (
        "PUT",
        "/_matrix/client/v3/rooms/%21a%3Ab/send/m.room.message/c%2F1",
    )
    assert json.loads(request.body) == {"msgtype": "m.text", "body": "hé"}
    request = HTTP.post(CONFIG, OutgoingMessage(data=b"\0\xff", client_id="c2"))
    assert json.loads(request.body) == {"msgtype": "m.text", "body": "(2 bytes)", "chatlab.data": "AP8="}
    assert HTTP.posted(Answer(200, b'{"event_id":"$1"}'), "c1") == Ack("c1")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (204, b""),
        *(
            (200, body)
            for body in (
                b"<html>",
                b"{}",
                b"[]",
                b'["event_id"]',
                b'{"event_id":""}',
                b'{"event_id":7}',
                b'{"event_id":null}',
                b"[" * 100_000,
                b"\xff",
                b'{"event_id":"\\ud800"}',
            )
        ),
        *((status, b'{"event_id":"$1"}') for status in (302, 403, 409, 500)),
    ],
    ids=[f"{number}" for number in range(15)],
)
def test_A90_without_an_event_id_nothing_was_sent(status: int, body: bytes) -> None:
    assert HTTP.posted(Answer(status, body), "c1") is None


def test_typing() -> None:
    request = HTTP.post_typing(CONFIG)
    assert request is not None
    assert (request.method, request.path) == ("PUT", "/_matrix/client/v3/rooms/%21a%3Ab/typing/%40ada%3Ab")
    assert json.loads(request.body)["typing"] is True


def test_logging_in() -> None:
    request = login("ada", "s3cret", "D1")
    assert (request.method, request.path) == ("POST", "/_matrix/client/v3/login")
    body = json.loads(request.body)
    assert (body["password"], body["device_id"], body["identifier"]["user"]) == ("s3cret", "D1", "ada")
    assert token_of(b'{"access_token":"t","user_id":"@ada:b"}') == "t"
    assert [token_of(body) for body in (b"", b"{}", b"[]", b"\xff", b"[" * 100_000)] == [None] * 5


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":4000}', 4.0),
        (b'{"retry_after_ms":0.5}', 0.0005),
        (b'{"errcode":"M_LIMIT_EXCEEDED"}', None),
        (b'{"retry_after_ms":-1}', None),
        (b'{"retry_after_ms":"4"}', None),
        (b'{"retry_after_ms":1e999}', None),
        (b"[" * 100_000, None),
        (b"<html>", None),
    ],
)
def test_A20_the_body_of_a_refusal_may_ask_to_wait(body: bytes, seconds: float | None) -> None:
    assert HTTP.retry_after(Answer(429, body)) == seconds


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b'{"errcode":"M_FORBIDDEN","error":"Invalid password"}', ("M_FORBIDDEN", "Invalid password")),
        (b'{"errcode":"M_FORBIDDEN"}', ("M_FORBIDDEN", "")),
        (b'{"errcode":7}', ("", "")),
        (b"<html>", ("", "")),
        (b"\xff", ("", "")),
    ],
)
def test_a_refusal_is_read_if_it_is_one(body: bytes, refusal: tuple[str, str]) -> None:
    assert refusal_of(Answer(403, body)) == refusal
