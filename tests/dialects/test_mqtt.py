"""The `mqtt` dialect: packets byte by byte, and one connection to a broker."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from chatlab.dialects.base import Ack, Incoming, Refused, Reply, ServerPong, Unreadable, Welcome
from chatlab.dialects.mqtt import MqttDialect
from chatlab.dialects.mqtt_packets import (
    CONNACK,
    MAX_PACKET,
    PUBACK,
    PUBLISH,
    SUBACK,
    Malformed,
    Packet,
    PacketReader,
    connect,
    packet,
    publish,
    read_published,
    string,
    subscribe,
)
from chatlab.errors import SettingsError
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import HeartbeatConfig, HttpConfig, WebSocketConfig

CONFIG = WebSocketConfig(url="ws://h", room="attic/chat", sender="ada")
ACCEPTED = packet(CONNACK, b"\0\0")
RESUMED = packet(CONNACK, b"\1\0")
SUBSCRIBED = packet(SUBACK, b"\0\1\1")


def wire(**settings: object) -> MqttDialect:
    """Return the dialect of a new connection."""
    return MqttDialect(**settings).for_connection()  # type: ignore[arg-type]


def test_what_it_is() -> None:
    dialect = MqttDialect()
    assert dialect.transports == ("websocket",)
    assert (dialect.acks, dialect.idempotent, dialect.greets, dialect.heartbeat) == (
        True,
        False,
        True,
        "json",
    )
    assert dialect.failures == {"close 1000": "retry"}
    assert dialect.for_connection() is not dialect.for_connection()


# Packets


@pytest.mark.parametrize(
    ("size", "length"),
    [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\1"), (16_383, b"\xff\x7f"), (16_384, b"\x80\x80\1")],
)
def test_lengths_have_seven_bits_in_a_byte(size: int, length: bytes) -> None:
    """Source: MQTT 3.1.1 §2.2.3, table 2.4."""
    body = bytes(size)
    data = packet(PUBLISH, body, 2)
    assert data == b"\x32" + length + body
    assert list(PacketReader().feed(data)) == [Packet(PUBLISH, 2, body)]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 200])
def test_packets_may_span_frames_and_share_them(step: int) -> None:
    data = packet(PUBLISH, b"a" * 130) + packet(PUBACK, b"\0\7") + packet(PUBLISH, b"")
    reader, got = PacketReader(), []
    for start in range(0, len(data), step):
        got += list(reader.feed(data[start : start + step]))
    assert [(one.type, len(one.body)) for one in got] == [(PUBLISH, 130), (PUBACK, 2), (PUBLISH, 0)]


@pytest.mark.parametrize("step", [1 << 16, MAX_PACKET * 2])
def test_a_packet_that_is_too_large_is_skipped(step: int) -> None:
    data = packet(PUBLISH, bytes(MAX_PACKET + 1)) + packet(PUBACK, b"\0\7")
    reader, got = PacketReader(), []
    for start in range(0, len(data), step):
        got += list(reader.feed(data[start : start + step]))
    assert got == [Packet(PUBLISH, 0, b"", MAX_PACKET + 1), Packet(PUBACK, 0, b"\0\7")]


def test_a_length_of_five_bytes_ends_the_stream() -> None:
    with pytest.raises(Malformed, match="more than four bytes"):
        list(PacketReader().feed(b"\x30\xff\xff\xff\xff\1"))


def test_a_string_has_at_most_64_KiB() -> None:
    assert string("hé") == b"\0\3h\xc3\xa9"
    with pytest.raises(ValueError, match="at most 65,535 bytes, got 65,536"):
        string("x" * 65_536)


def test_the_specifications_example_of_a_connect() -> None:
    """Source: MQTT 3.1.1 §3.1.2, figure 3.6, without a will."""
    head = b"\0\4MQTT\4\xc0\0\n\0\1c\0\3ada\0\2pw"
    assert connect("c", 10, "ada", "pw") == b"\x10" + bytes([len(head)]) + head
    assert connect("", 0, None, None) == b"\x10\x0c\0\4MQTT\4\2\0\0\0\0"
    assert connect("", 0, "ada", None)[9] == 0x82


@pytest.mark.parametrize(
    ("flags", "body"), [(0, b""), (0, b"\0\5top"), (2, b"\0\1t\0"), (4, b"\0\1t\0\1x"), (0, b"\0\1\xff")]
)
def test_a_publish_that_makes_no_sense_is_an_error(flags: int, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_published(Packet(PUBLISH, flags, body))


# A connection


def test_the_opening_asks_for_the_protocol_and_subscribes() -> None:
    opening = wire(qos=0).opening(CONFIG, None)
    assert (opening.path, opening.protocols) == ("", ("mqtt",))
    assert opening.frames == (subscribe(1, "attic/chat", 0),)
    assert opening.frames[0] == b"\x82\x0f\0\1\0\nattic/chat\0"


@pytest.mark.parametrize("room", ["a/#", "+", "a\0b", "x" * 65_536])
def test_a_room_that_is_no_topic_is_refused(room: str) -> None:
    with pytest.raises(SettingsError, match=r"^room: "):
        wire().opening(_Config(room), None)  # type: ignore[arg-type]


class _Config:
    """Settings of a room that a real config may refuse itself."""

    def __init__(self, room: str) -> None:
        self.room = room


@pytest.mark.parametrize(
    "heartbeat",
    [HeartbeatConfig(interval=120), HeartbeatConfig(enabled=False), HeartbeatConfig(mode="ping")],
)
def test_heartbeats_must_come_within_the_keep_alive(heartbeat: HeartbeatConfig) -> None:
    config = CONFIG.replace(heartbeat=heartbeat)
    with pytest.raises(SettingsError, match=r"heartbeat: the broker gives up .* 120 s; .*keep_alive=0"):
        wire().opening(config, None)
    assert wire(keep_alive=0).opening(config, None).frames


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"qos": 2}, "qos: must be 0 or 1, got 2"), ({"keep_alive": 65_536}, "must be 0 to 65,535, got 65536")],
)
def test_a_wrong_argument_is_refused(settings: dict[str, int], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        MqttDialect(**settings)  # type: ignore[arg-type]


def test_the_connect_holds_the_credentials_and_other_headers_stay() -> None:
    found = MqttDialect("c", keep_alive=7).credentials({"UserName": "ada", "password": "pw", "X-Key": "1"})
    assert found.frames == (connect("c", 7, "ada", "pw"),)
    assert found.headers == {"X-Key": "1"}
    assert "pw" not in repr(found)
    assert MqttDialect().credentials({}).frames == (connect("", 120, None, None),)
    with pytest.raises(SettingsError, match="a password only with a username"):
        MqttDialect().credentials({"password": "pw"})


@pytest.mark.parametrize(
    ("cursor", "connack", "resync"),
    [
        (None, ACCEPTED, False),
        ("mqtt", ACCEPTED, True),
        ("mqtt", packet(CONNACK, b"\2\0"), True),
        ("mqtt", RESUMED, False),
    ],
)
def test_the_subscription_lets_the_reader_in_and_a_lost_session_is_a_resync(
    cursor: str | None, connack: bytes, resync: bool
) -> None:
    dialect = wire(client_id="c")
    dialect.opening(CONFIG, cursor)
    assert dialect.decode(connack) == []
    assert dialect.decode(SUBSCRIBED) == [Welcome(cursor="mqtt", resync=resync)]


@pytest.mark.parametrize(
    ("frame", "refused"),
    [
        (packet(CONNACK, b"\0\1"), Refused("the broker doesn't speak MQTT 3.1.1", 400)),
        (packet(CONNACK, b"\0\2"), Refused("the broker doesn't accept the client id", 400)),
        (packet(CONNACK, b"\0\3"), Refused("the broker isn't available", 503)),
        (packet(CONNACK, b"\0\4"), Refused("the user name or password is wrong", 401)),
        (packet(CONNACK, b"\0\5"), Refused("not authorized", 403)),
        (packet(CONNACK, b"\0\x99"), Refused("the broker refuses with code 153")),
        (packet(SUBACK, b"\0\1\x80"), Refused("the broker refuses the subscription to this topic", 403)),
        (packet(SUBACK, b"\0\1\x87"), Refused("the broker refuses the subscription to this topic", 403)),
        (
            b"\x30\xff\xff\xff\xff\1",
            Refused("the broker's packets can't be read: a packet's length has more than four bytes"),
        ),
    ],
)
def test_a_refusal_is_judged_by_the_nearest_status(frame: bytes, refused: Refused) -> None:
    assert wire().decode(frame) == [refused]


def test_a_message_is_acknowledged_by_its_packet_id() -> None:
    dialect = wire(retain=True)
    frame = dialect.encode(CONFIG, OutgoingMessage("hé", client_id="c1"))
    (got,) = PacketReader().feed(frame)
    published = read_published(got)
    assert (published.topic, published.id, published.retained) == ("attic/chat", 2, True)
    assert json.loads(published.content) == {
        "type": "message", "sender": "ada", "text": "hé", "client_id": "c1",
    }  # fmt: skip
    assert dialect.decode(packet(PUBACK, b"\0\2")) == [Ack("c1")]
    assert dialect.decode(packet(PUBACK, b"\0\2")) == []


def test_with_qos_0_only_the_echo_is_an_ack() -> None:
    dialect = wire(qos=0)
    (got,) = PacketReader().feed(dialect.encode(CONFIG, OutgoingMessage("x", client_id="c1")))
    assert (got.flags, read_published(got).id) == (0, 0)


def test_packet_ids_start_again_and_skip_those_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.dialects.mqtt.MAX_ID", 5)
    dialect = wire(keep_alive=0)
    seen: set[int] = set()

    def send(client_id: str) -> int:
        (got,) = PacketReader().feed(dialect.encode(CONFIG, OutgoingMessage("x", client_id=client_id)))
        return read_published(got).id

    first = send("stays")
    for number in range(9):
        id = send(str(number))
        seen.add(id)
        assert dialect.decode(packet(PUBACK, id.to_bytes(2, "big"))) == [Ack(str(number))]
    assert (first, seen) == (2, {1, 3, 4, 5})
    assert dialect.decode(packet(PUBACK, first.to_bytes(2, "big"))) == [Ack("stays")]


OURS = b'{"type":"message","sender":"bob","text":"hi","client_id":"c9"}'


@pytest.mark.parametrize(
    ("content", "id", "items"),
    [
        (OURS, 0, [ChatMessage("", "bob", "hi", "c9")]),
        (OURS, 7, [ChatMessage("", "bob", "hi", "c9"), Reply(packet(PUBACK, b"\0\7"))]),
        (b"21.5 C", 0, [ChatMessage("", text="21.5 C")]),
        (b"\xff\0", 0, [ChatMessage("", data=b"\xff\0")]),
        (b"", 7, [Reply(packet(PUBACK, b"\0\7"))]),
        (b"", 0, []),
    ],
)
def test_whatever_is_published_becomes_a_message(content: bytes, id: int, items: Sequence[Incoming]) -> None:
    assert wire().decode(publish("attic/chat", content, id)) == items


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("text", "MQTT has binary frames only"),
        (packet(PUBLISH, b"\0\5top"), "a PUBLISH is cut short"),
        (packet(PUBLISH, b"\0\1t\0\1x", 4), "a PUBLISH with QoS 2"),
        (packet(PUBACK, b"\0"), "the packet is cut short"),
        (packet(CONNACK, b""), "the packet is cut short"),
        (packet(SUBACK, b"\0\1"), "the packet is cut short"),
        (packet(15, b""), "a packet of type 15"),
        (packet(PUBLISH, bytes(MAX_PACKET + 1)), "a packet of 4,194,305 bytes is too large"),
    ],
)
def test_what_makes_no_sense_is_unreadable_and_the_connection_goes_on(
    frame: str | bytes, reason: str
) -> None:
    dialect = wire()
    (item,) = dialect.decode(frame)
    assert isinstance(item, Unreadable)
    assert item.reason == reason
    assert dialect.decode(SUBSCRIBED) == [Welcome(cursor="mqtt")]


def test_heartbeats_are_pingreq_and_pingresp() -> None:
    dialect = wire()
    assert dialect.ping(3) == b"\xc0\0"
    assert dialect.last_frame() == b"\xe0\0"
    assert dialect.decode(b"\xd0\0") == [ServerPong(3)]


def test_it_has_no_transport_over_requests() -> None:
    assert MqttDialect().http is None
    assert wire().opening(HttpConfig(url="http://h", room="a", sender="b"), None).frames
