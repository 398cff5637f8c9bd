"""The `chatlab` dialect: the seed's shapes, and what hostile frames get (SPEC §7; HOSTILE A01-A06, A30,
A47)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.dialects.base import Ack, Incoming, Nack, ServerPing, ServerPong, Unreadable, Welcome
from chatlab.dialects.chatlab import (
    MAX_FRAME_SIZE,
    ChatlabDialect,
    ClientTyping,
    decode_client_frame,
    encode_frame,
    encode_message,
    refused_client_id,
)
from chatlab.messages import MAX_CONTENT_SIZE, ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import WebSocketConfig

DIALECT = ChatlabDialect()
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
    assert DIALECT.query(config, cursor) == {"room": "attic", "sender": "ada"} | query


def test_client_frames() -> None:
    frames: list[tuple[str, dict[str, Any], Any]] = [
        (
            DIALECT.encode(OutgoingMessage("hé", client_id="c1")),  # type: ignore[list-item]
            {"type": "message", "text": "hé", "client_id": "c1"},
            OutgoingMessage("hé", client_id="c1"),
        ),
        (DIALECT.ping(3), {"type": "ping", "id": 3}, ServerPing(3)),
        (DIALECT.pong(3), {"type": "pong", "id": 3}, ServerPong(3)),
        (DIALECT.typing() or "", {"type": "typing"}, ClientTyping()),
    ]
    for frame, plain, meaning in frames:
        assert json.loads(frame) == plain
        assert decode_client_frame(frame) == meaning


def test_A01_bytes_travel_as_messagepack_of_the_same_shape() -> None:
    frame = DIALECT.encode(OutgoingMessage(data=b"\0\xff", client_id="c1"))
    assert isinstance(frame, bytes)
    assert msgspec.msgpack.decode(frame) == {"type": "message", "data": b"\0\xff", "client_id": "c1"}
    assert decode_client_frame(frame) == OutgoingMessage(data=b"\0\xff", client_id="c1")


@given(contents.filter(bool), contents, st.none() | st.binary(max_size=50))
def test_what_a_client_sends_a_server_reads_and_back(text: str, client_id: str, data: bytes | None) -> None:
    sent = OutgoingMessage(text, data, client_id)
    assert decode_client_frame(DIALECT.encode(sent)) == sent
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
def test_whom_to_tell_of_a_refusal(frame: str | bytes, client_id: str | None) -> None:
    assert refused_client_id(frame) == client_id


def test_frames_of_the_server_are_json_objects() -> None:
    assert encode_frame(Nack("c1", 422)) == '{"type":"nack","client_id":"c1","status":422}'
    assert encode_frame(Welcome()) == '{"type":"welcome"}'
