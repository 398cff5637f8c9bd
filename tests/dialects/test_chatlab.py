"""The `chatlab` dialect: the seed's shapes, and hostile frames (SPEC §7; HOSTILE A01-A06, A30, A47)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.dialects import serving
from chatlab.dialects.base import (
    Ack,
    Answer,
    Incoming,
    Nack,
    Opening,
    Page,
    ServerPing,
    ServerPong,
    Unreadable,
    Welcome,
)
from chatlab.dialects.chatlab import (
    MAX_FRAME_SIZE,
    ChatlabDialect,
    ClientTyping,
    decode_client_frame,
    decode_posted,
    encode_frame,
    encode_message,
    refusal_of,
    refused_client_id,
    stream_event,
)
from chatlab.messages import MAX_CONTENT_SIZE, ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import HttpConfig, WebSocketConfig

DIALECT = ChatlabDialect()
SOCKET = WebSocketConfig(url="ws://h/")
ONCE = datetime(2026, 11, 23, 12, tzinfo=UTC)

contents = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


def test_what_it_is() -> None:
    assert (DIALECT.name, DIALECT.acks, DIALECT.heartbeat) == ("chatlab", True, "json")


@pytest.mark.parametrize(
    ("history", "cursor", "query"),
    [
        (50, None, {"history": "50"}),
        (0, None, {"history": "0"}),
        (None, None, {}),
        (50, "e-3", {"after": "e-3"}),
        (None, "", {"after": ""}),
    ],
)
def test_query_asks_for_history_first_and_for_what_came_after_later(
    history: int | None, cursor: str | None, query: dict[str, str]
) -> None:
    config = WebSocketConfig(url="ws://h/", room="attic", sender="ada", history=history)
    assert DIALECT.opening(config, cursor) == Opening(query={"room": "attic", "sender": "ada"} | query)


def test_client_frames() -> None:
    frames: list[tuple[str | bytes, dict[str, Any], Any]] = [
        (
            DIALECT.encode(SOCKET, OutgoingMessage("hé", client_id="c1")),
            {"type": "message", "text": "hé", "client_id": "c1"},
            OutgoingMessage("hé", client_id="c1"),
        ),
        (DIALECT.ping(3), {"type": "ping", "id": 3}, ServerPing(3)),
        (DIALECT.pong(3), {"type": "pong", "id": 3}, ServerPong(3)),
        (DIALECT.pong(None), {"type": "pong"}, ServerPong()),
        (DIALECT.typing(SOCKET) or "", {"type": "typing"}, ClientTyping()),
    ]
    for frame, plain, meaning in frames:
        assert json.loads(frame) == plain
        assert decode_client_frame(frame) == meaning


def test_A01_bytes_travel_as_messagepack_of_the_same_shape() -> None:
    frame = DIALECT.encode(SOCKET, OutgoingMessage(data=b"\0\xff", client_id="c1"))
    assert isinstance(frame, bytes)
    assert msgspec.msgpack.decode(frame) == {"type": "message", "data": b"\0\xff", "client_id": "c1"}
    assert decode_client_frame(frame) == OutgoingMessage(data=b"\0\xff", client_id="c1")


@given(contents.filter(bool), contents, st.none() | st.binary(max_size=50))
def test_what_a_client_sends_a_server_reads_and_back(text: str, client_id: str, data: bytes | None) -> None:
    sent = OutgoingMessage(text, data, client_id)
    assert decode_client_frame(DIALECT.encode(SOCKET, sent)) == sent
    posted = ChatMessage("e-1", "ada", text, client_id, ONCE, data)
    assert DIALECT.decode(encode_message(posted)) == (posted,)


def test_largest_legal_message_fits_the_largest_frame() -> None:
    for text in ("\0" * MAX_CONTENT_SIZE, '"' * MAX_CONTENT_SIZE, "\u2028" * (MAX_CONTENT_SIZE // 3)):
        largest = ChatMessage("e-" + "9" * 18, "\0" * 200, text, "c" * 64, ONCE)
        frame = encode_message(largest)
        assert isinstance(frame, str)
        assert len(frame.encode()) <= MAX_FRAME_SIZE


@pytest.mark.parametrize(
    ("frame", "meaning"),
    [
        ('{"type":"welcome"}', Welcome()),
        ('{"type":"welcome","cursor":"e-1","resync":true}', Welcome("e-1", True)),
        ('{"type":"message","id":"e-1"}', ChatMessage("e-1")),
        ('{"type":"message","id":"e-1","new":[1]}', ChatMessage("e-1")),
        ('{"id":"e-1","text":"a","type":"message"}', ChatMessage("e-1", text="a")),
        ('{"type":"ack","client_id":"c1"}', Ack("c1")),
        ('{"type":"nack","client_id":"c1","status":413,"reason":"big"}', Nack("c1", 413, "big")),
        ('{"type":"ping","id":1}', ServerPing(1)),
        ('{"type":"ping"}', ServerPing()),
        ('{"type":"pong","id":1}', ServerPong(1)),
        ('{"type":"typing","sender":"bob"}', ChatEvent("typing", sender="bob", payload={"sender": "bob"})),
        ('{"type":"presence","state":"here"}', ChatEvent("presence", payload={"state": "here"})),
        ('{"type":"poll","sender":3}', ChatEvent("poll", payload={"sender": 3})),
        # A47: a server's event never passes for one of the transport's own
        ('{"type":"error"}', ChatEvent("error", payload={})),
        ('{"type":"connection","change":1}', ChatEvent("server:connection", payload={"change": 1})),
        ('{"type":"resync"}', ChatEvent("server:resync", payload={})),
        ('{"type":"unreadable"}', ChatEvent("server:unreadable", payload={})),
        ('{"type":"overrun"}', ChatEvent("server:overrun", payload={})),
    ],
)
def test_server_frames(frame: str, meaning: Incoming) -> None:
    assert DIALECT.decode(frame) == (meaning,)


HOSTILE: list[tuple[str, str | bytes]] = [
    ("A01 binary that is no MessagePack", b"\xc1"),
    ("A01 empty binary", b""),
    ("A01 MessagePack of no object", b"\xff"),
    ("A01 MessagePack with bad UTF-8", b"\x81\xa4type\xa1\xff"),
    ("A01 an event of its own as MessagePack", msgspec.msgpack.encode({"type": "poll"})),
    ("A02 not JSON", "hello"),
    ("A02 empty", ""),
    ("A02 two values", '{"type":"poll"}{}'),
    ("A03 null", "null"),
    ("A03 number", "3"),
    ("A03 string", '"x"'),
    ("A03 list", "[]"),
    ("A03 no type", "{}"),
    ("A03 type a number", '{"type":1}'),
    ("A03 type a list", '{"type":["message"],"id":"1"}'),
    ("A03 type empty", '{"type":""}'),
    ("A03 id missing", '{"type":"message"}'),
    ("A03 id true", '{"type":"message","id":true}'),
    ("A03 id a number", '{"type":"message","id":1}'),
    ("A03 id a float", '{"type":"message","id":1.5}'),
    ("A03 id an object", '{"type":"message","id":{}}'),
    ("A03 id null", '{"type":"message","id":null}'),
    ("A03 text a list", '{"type":"message","id":"1","text":[]}'),
    ("A03 ping id true", '{"type":"ping","id":true}'),
    ("A03 ping id 1.0", '{"type":"ping","id":1.0}'),
    ("A03 ping id a string", '{"type":"ping","id":"1"}'),
    ("A03 time of no kind", '{"type":"message","id":"1","posted_at":"noon"}'),
    ("A04 NaN", '{"type":"poll","a":NaN}'),
    ("A04 Infinity", '{"type":"poll","a":Infinity}'),
    ("A04 -Infinity", '{"type":"poll","a":-Infinity}'),
    ("A04 1e400", '{"type":"poll","a":1e400}'),
    ("A05 integer of 5,000 digits", '{"type":"poll","a":' + "9" * 5000 + "}"),
    ("A05 ping id of 5,000 digits", '{"type":"ping","id":' + "9" * 5000 + "}"),
    ("A05 100,000 brackets", "[" * 100_000),
    ("A05 100,000 brackets in an event", '{"type":"poll","a":' + "[" * 100_000),
    ("A05 100,000 brackets in a message", '{"type":"ack","client_id":"c","a":' + "[" * 100_000),
    ("A05 100,000 nested arrays as MessagePack", b"\x81\xa1a" + b"\x91" * 100_000),
    ("A06 escaped lone surrogate", '{"type":"poll","a":"\\ud800"}'),
    ("A06 escaped low surrogate", '{"type":"message","id":"1","text":"\\udc00!"}'),
    ("A06 lone surrogate", '{"type":"message","id":"1","text":"\ud800"}'),
]


@pytest.mark.parametrize("frame", [frame for _, frame in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_what_cannot_be_read_is_unreadable_to_both_sides(frame: str | bytes) -> None:
    (item,) = DIALECT.decode(frame)
    for side in (item, decode_client_frame(frame)):
        assert isinstance(side, Unreadable)
        assert side.reason
        assert len(side.excerpt) <= 81 * 10
        (side.reason + side.excerpt).encode()


@pytest.mark.parametrize(
    "frame", ['{"type":"message","type":"message","id":"1","id":"2"}', '{"type":"poll","a":1,"a":2}']
)
def test_A05_duplicate_keys_do_no_harm(frame: str) -> None:
    assert len(DIALECT.decode(frame)) == 1


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | contents,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(contents, inner, max_size=3),
    max_leaves=6,
)
types = st.sampled_from(["message", "welcome", "ack", "nack", "ping", "pong", "typing", "connection", "x"])
shapes = st.fixed_dictionaries(
    {},
    optional={"type": types | junk}
    | dict.fromkeys(("id", "client_id", "text", "data", "cursor", "status", "sender", "posted_at"), junk),
)


@given(st.text() | st.binary() | (shapes | junk).map(json.dumps) | shapes.map(msgspec.msgpack.encode))
def test_decoding_never_raises_and_never_coerces(frame: str | bytes) -> None:
    (item,) = DIALECT.decode(frame)
    assert isinstance(item, Incoming)
    if isinstance(item, ChatMessage):
        assert isinstance(item.id, str)
    decode_client_frame(frame)
    refused_client_id(frame)


@given(st.binary(max_size=20))
def test_any_bytes_do_no_harm(frame: bytes) -> None:
    (item,) = DIALECT.decode(frame)
    assert isinstance(item, Incoming)


@pytest.mark.parametrize(
    ("frame", "client_id"),
    [
        ('{"type":"message","client_id":"c1","text":3}', "c1"),
        (msgspec.msgpack.encode({"type": "message", "client_id": "c1"}), "c1"),
        ('{"type":"message","client_id":""}', None),
        ('{"type":"message","client_id":3}', None),
        ('{"type":"message"}', None),
        ("nonsense", None),
        (b"\xc1", None),
    ],
)
def test_the_client_id_of_a_refused_frame(frame: str | bytes, client_id: str | None) -> None:
    assert refused_client_id(frame) == client_id


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"text": "a" * 65_537}, 413),
        ({"text": "é" * 32_769}, 413),
        ({"data": b"a" * 65_537}, 413),
        ({"text": "a", "client_id": "c" * 256}, 422),
        ({"text": 3}, 422),
        ({}, 422),
    ],
)
@pytest.mark.parametrize("encode", [lambda it: msgspec.json.encode(it).decode(), msgspec.msgpack.encode])
def test_A51_a_refusal_says_whether_the_message_is_too_large(
    content: dict[str, Any], status: int, encode: Callable[[Any], str | bytes]
) -> None:
    frame = encode({"type": "message", "client_id": "c1"} | content)
    assert isinstance(decode_client_frame(frame), Unreadable)
    assert refusal_of(frame, "no") == Nack(content.get("client_id", "c1"), status, "no")
    assert refusal_of(encode(content | {"client_id": ""}), "no") is None


def test_frames_of_the_server_are_json_objects() -> None:
    assert encode_frame(Nack("c1", 422)) == '{"type":"nack","client_id":"c1","status":422}'
    assert encode_frame(Welcome()) == '{"type":"welcome"}'


# The server's half over HTTP


def test_A51_what_is_posted_is_a_message_or_the_reason_why_not() -> None:
    assert decode_posted(b'{"text":"hi","client_id":"c1"}') == OutgoingMessage("hi", client_id="c1")
    body = DIALECT.http.post(HttpConfig(url="http://h/"), OutgoingMessage("hi", client_id="c1")).body
    assert decode_posted(body.encode()) == OutgoingMessage("hi", client_id="c1")
    for posted, client_id, status in (
        (b'{"client_id":"c1"}', "c1", 422),
        (b'{"text":7,"client_id":"c1"}', "c1", 422),
        (b'{"text":"\xff","client_id":"c1"}', "c1", 422),
        (b"[" * 10_000, "", 422),
        (json.dumps({"text": "a" * 65_537, "client_id": "c1"}).encode(), "c1", 413),
        (msgspec.json.encode({"data": b"a" * 65_537}), "", 413),
    ):
        refused = decode_posted(posted)
        assert isinstance(refused, Nack)
        assert (refused.client_id, refused.status, bool(refused.reason)) == (client_id, status, True)


def test_A80_a_frame_is_an_event_in_one_line_and_only_messages_have_an_id() -> None:
    message = ChatMessage("e-1", "ada", "a\r\nb\0", "c1", ONCE)
    event = stream_event(encode_message(message))
    assert event == ("message", encode_frame(message), "e-1")
    assert event[1].isprintable()
    binary = ChatMessage("e-2", "ada", data=b"\r\n")
    assert stream_event(encode_message(binary)) == ("message", encode_frame(binary), "e-2")
    assert DIALECT.http.event(*stream_event(encode_message(binary))) == (binary,)
    assert stream_event('{"type":"pong","id":7}') == ("pong", '{"type":"pong","id":7}', "")
    assert stream_event('{"type":"welcome","cursor":"e-1"}')[2] == "e-1"
    assert stream_event('{"type":"welcome"}')[2] == ""


# The client's half over HTTP

HTTP = DIALECT.http
CONFIG = HttpConfig(url="http://h/", room="attic", sender="ada")
WHO = {"room": "attic", "sender": "ada"}


@pytest.mark.parametrize(
    ("history", "cursor", "query", "last_event_id"),
    [
        (50, None, {"history": "50"}, None),
        (0, None, {"history": "0"}, None),
        (None, None, {}, None),
        (50, "e-3", {}, "e-3"),
        (50, "é", {}, "é"),
        # A46: what a header can't hold unchanged travels in the query, and what is too long doesn't at all
        (50, "a\r\nX-Evil: 1", {"after": "a\r\nX-Evil: 1"}, None),
        (50, "a\0", {"after": "a\0"}, None),
        (50, " a", {"after": " a"}, None),
        (50, "a ", {"after": "a "}, None),
        (50, "e" * 4096, {}, "e" * 4096),
    ],
)
def test_A40_A46_a_stream_asks_for_history_first_and_resumes_later(
    history: int | None, cursor: str | None, query: dict[str, str], last_event_id: str | None
) -> None:
    request = HTTP.stream(CONFIG.replace(history=history), cursor)
    assert (request.method, request.path, request.query) == ("GET", "/stream", WHO | query)
    assert request.headers.get("Last-Event-ID") == last_event_id
    assert request.headers["Accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("kind", "data", "meaning"),
    [
        ("message", '{"type":"message","id":"e-1"}', ChatMessage("e-1")),
        ("x", '{"type":"message","id":"e-1"}', ChatMessage("e-1")),
        ("welcome", '{"type":"welcome","cursor":"e-1"}', Welcome("e-1")),
        ("poll", '{"type":"poll","a":1}', ChatEvent("poll", payload={"a": 1})),
        # the seed's own shape: the type is the event's
        ("typing", '{"sender":"bob"}', ChatEvent("typing", sender="bob", payload={"sender": "bob"})),
        ("typing", '{"sender":7}', ChatEvent("typing", payload={"sender": 7})),
        ("note", "[1]", ChatEvent("note", payload=[1])),
        ("note", "plain text", ChatEvent("note", payload="plain text")),
        ("note", '{"a":NaN}', ChatEvent("note", payload='{"a":NaN}')),
        # A47
        ("error", "{}", ChatEvent("error", payload={})),
        ("connection", '{"change":1}', ChatEvent("server:connection", payload={"change": 1})),
        ("resync", "", ChatEvent("server:resync", payload="")),
        ("x", '{"type":"unreadable"}', ChatEvent("server:unreadable", payload={})),
    ],
)
def test_A47_events_of_a_stream(kind: str, data: str, meaning: Incoming) -> None:
    assert HTTP.event(kind, data, "") == (meaning,)


@pytest.mark.parametrize("data", ["", "hello", "null", "{}", '{"type":"message"}', "[" * 10_000])
@pytest.mark.parametrize("kind", ["message", "ack", "welcome"])
def test_an_event_of_ours_that_makes_no_sense_is_unreadable(kind: str, data: str) -> None:
    (item,) = HTTP.event(kind, data, "e-1")
    assert isinstance(item, Unreadable)
    assert item.reason


@pytest.mark.parametrize(
    ("history", "cursor", "query"),
    [(50, None, {"history": "50"}), (None, None, {}), (50, "a&b", {"after": "a&b"})],
)
def test_polls(history: int | None, cursor: str | None, query: dict[str, str]) -> None:
    config = CONFIG.replace(history=history)
    common = {"room": "attic", "limit": "200"}
    short = HTTP.poll(config, cursor, None)
    assert (short.method, short.path, short.query) == ("GET", "/messages", common | query)
    for hold, spelt in ((25.0, "25"), (0.0, "0"), (0.5, "0.5")):
        long = HTTP.poll(config, cursor, hold)
        assert (long.path, long.query) == ("/messages/poll", common | query | {"hold": spelt})


ONE = [{"type": "message", "id": "e-1"}, {"id": "e-2"}]


@pytest.mark.parametrize(
    ("answer", "page"),
    [
        (Answer(200, json.dumps(ONE).encode()), Page([ChatMessage("e-1"), ChatMessage("e-2")])),
        (Answer(200, b"[]"), Page([])),
        (Answer(200, b"[]", {"chat-cursor": "e-0"}), Page((Welcome("e-0"),))),
        (
            Answer(200, b'[{"id":"e-1"}]', {"chat-cursor": "e-1", "chat-more": "1"}),
            Page([ChatMessage("e-1")], True),
        ),
        (Answer(410, b"gone", {"chat-cursor": "f-0"}), Page((Welcome("f-0", True),), True)),
        (Answer(410), Page((Welcome(None, True),), True)),
        *((Answer(status, b"<html>"), Page(())) for status in (204, 304, 408)),
        *((Answer(status, b"[]"), None) for status in (201, 302, 400, 401, 404, 429, 500, 504)),
    ],
)
def test_A56_A60_pages(answer: Answer, page: Page | None) -> None:
    assert HTTP.page(answer) == page


def test_A55_a_page_of_good_and_bad_elements() -> None:
    bad: list[Any] = [
        7,
        None,
        "x",
        [],
        {},
        {"id": 3},
        {"id": "e-2", "text": []},
        {"id": "e-3", "type": "poll"},
    ]
    page = HTTP.page(Answer(200, json.dumps([{"id": "e-1"}, *bad, {"id": "e-9"}]).encode()))
    assert page is not None
    assert [item.id for item in page.items if isinstance(item, ChatMessage)] == ["e-1", "e-9"]
    unreadable = [item for item in page.items if isinstance(item, Unreadable)]
    assert [item.id for item in unreadable] == [""] * 6 + ["e-2", "e-3"]
    assert all(item.reason and item.excerpt for item in unreadable)
    assert not page.senseless
    assert not page.resync


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{}", b"<html>", b'[{"id":"e-1"}', b"\xff", b"[" * 100_000, b"[NaN]"]
)
def test_A55_a_page_that_makes_no_sense(body: bytes) -> None:
    page = HTTP.page(Answer(200, body))
    assert page is not None
    assert page.senseless
    assert not Page(()).senseless
    assert not Page((Unreadable("", "", "e-1"),)).senseless


def test_a_page_may_be_a_resync() -> None:
    assert Page((ChatMessage("e-1"), Welcome("e-0", resync=True))).resync
    assert not Page((Welcome("e-0"),)).resync


def test_posts() -> None:
    post = HTTP.post(CONFIG, OutgoingMessage("hé", client_id="c1"))
    assert (post.method, post.path, post.query) == ("POST", "/messages", WHO)
    assert post.headers == {"Content-Type": "application/json"}
    assert json.loads(post.body) == {"type": "message", "text": "hé", "client_id": "c1"}
    typing = HTTP.post_typing(CONFIG)
    assert typing is not None
    assert (typing.method, typing.path, typing.query, typing.body) == ("POST", "/typing", WHO, "{}")


@pytest.mark.parametrize(
    ("status", "result"),
    [
        *((status, Ack("c1")) for status in (200, 201, 299, 409)),
        *((status, None) for status in (100, 300, 302, 400, 403, 413, 500)),
    ],
)
def test_A50_A51_what_became_of_a_post(status: int, result: Ack | None) -> None:
    accepted = serving.accepted("c1", "e-1", new=True).body
    assert HTTP.posted(Answer(status, accepted), "c1") == result
    assert HTTP.posted(Answer(status, accepted), "c2") is None
    assert HTTP.posted(Answer(status), "c1") is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>log in</html>",
        b"null",
        b"[]",
        b'[{"type":"ack","client_id":"5"}]',
        b"{}",
        b'{"client_id":"5"}',
        b'{"type":"ack"}',
        b'{"type":"ack","client_id":5}',
        b'{"type":"ack","client_id":["5"]}',
        b'{"type":"ACK","client_id":"5"}',
        b'{"type":"nack","client_id":"5","status":422}',
        b'{"type":"message","client_id":"5","id":"1"}',
        b'{"type":"ack","client_id":"5"',
        b'{"type":"ack","client_id":"5"}{}',
        b"\xff",
        b"[" * 100_000,
        b"\x1f\x8b\x08",
    ],
    ids=[f"{number}" for number in range(18)],
)
@pytest.mark.parametrize("status", [200, 201, 202, 204, 409])
def test_A90_only_an_ack_for_this_id_is_one(status: int, body: bytes) -> None:
    assert HTTP.posted(Answer(status, body, {"content-type": "application/json"}), "5") is None


def test_A48_tokens() -> None:
    assert (HTTP.csrf.method, HTTP.csrf.path) == ("GET", "/csrf")
    assert HTTP.csrf_token(b'{"token":"abc"}') == "abc"
    for body in (b"", b"{}", b'{"token":7}', b"[" * 100_000, b"\xff"):
        assert HTTP.csrf_token(body) is None
    assert HTTP.answer_headers == {"chat-cursor", "chat-more"}


@given(st.text(), st.text(), st.binary(), st.integers(100, 599))
def test_any_answer_over_http_is_decoded_without_raising(
    kind: str, data: str, body: bytes, status: int
) -> None:
    assert HTTP.event(kind, data, "")
    HTTP.page(Answer(status, body))
    HTTP.csrf_token(body)
