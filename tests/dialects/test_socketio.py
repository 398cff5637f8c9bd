"""The socket.io dialect, with frames as npm's socket.io 4.8 and python-socketio 5.18 send them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.dialects import SocketIODialect
from chatlab.dialects.base import (
    Ack,
    Answer,
    Incoming,
    InFlight,
    Opening,
    Page,
    Refused,
    Reply,
    Request,
    ServerPing,
    Unreadable,
    Welcome,
)
from chatlab.errors import SettingsError
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import LongPollingConfig, WebSocketConfig

CONFIG = WebSocketConfig(url="ws://h", sender="ada", room="attic")
OPEN = '0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'


def connected(cursor: str | None = None, answer: str = '40{"sid":"s","pid":"P"}', **options: Any) -> Any:
    """Return the dialect of a connection that the server has let in."""
    dialect = opened(cursor, **options)
    dialect.decode(answer)
    return dialect


def opened(cursor: str | None = None, **options: Any) -> SocketIODialect:
    dialect = SocketIODialect(**options).for_connection()
    dialect.opening(CONFIG, cursor)
    assert isinstance(dialect.decode(OPEN)[0], Reply)
    return dialect


def one(items: Sequence[Incoming]) -> Any:
    (item,) = items
    return item


def test_a_connection_opens_connects_and_is_let_in_with_the_servers_heartbeat() -> None:
    dialect = SocketIODialect()
    assert (dialect.greets, dialect.acks, dialect.heartbeat) == (True, True, "server")
    assert dialect.transports == ("websocket", "long_polling")
    assert dialect.opening(CONFIG, None) == Opening("/socket.io/", {"EIO": "4", "transport": "websocket"})
    assert one(dialect.decode(OPEN)) == Reply("40")
    assert one(dialect.decode('40{"sid":"s"}')) == Welcome("~s.", False, 25.0, 20.0)


def test_a_room_is_joined_before_the_reader_is_let_in_unless_the_session_is_recovered() -> None:
    assert list(opened(join="join").decode('40{"sid":"s","pid":"P"}')) == [
        Reply('42["join","attic"]'),
        Welcome("~P.", False, 25.0, 20.0),
    ]
    again = opened("~P.o1", join="join")
    assert one(again.decode('40{"sid":"s","pid":"P"}')) == Welcome(None, False, 25.0, 20.0)


@pytest.mark.parametrize(
    ("cursor", "options", "connect"),
    [
        ("~P.o1", {}, '40{"pid":"P","offset":"o1"}'),
        ("17", {}, '40{"serverOffset":17}'),
        ("a7", {"offset": "last"}, '40{"last":"a7"}'),
        ("17", {"offset": None}, "40"),
        (None, {"namespace": "/admin"}, "40/admin,"),
        ("17", {"namespace": "admin"}, '40/admin,{"serverOffset":17}'),
    ],
)
def test_a_connection_asks_for_what_came_after_the_cursor(
    cursor: str | None, options: dict[str, Any], connect: str
) -> None:
    dialect = SocketIODialect(**options)
    dialect.opening(CONFIG, cursor)
    assert one(dialect.decode(OPEN)) == Reply(connect)


@pytest.mark.parametrize("pid", ['"Q"', "7"])
def test_a_session_that_is_not_recovered_may_have_missed_messages(pid: str) -> None:
    welcome = one(opened("~P.o1").decode(f'40{{"sid":"s","pid":{pid}}}'))
    assert (welcome.resync, welcome.cursor) == (True, "~Q." if pid == '"Q"' else "~s.")


def test_a_session_that_asked_for_the_messages_after_an_id_has_missed_none() -> None:
    assert not one(opened("17").decode('40{"sid":"s","pid":"P"}')).resync


def test_an_argument_that_the_shape_names_is_no_offset() -> None:
    dialect = connected(reads={"chat message": ("text", "sender")})
    message = one(dialect.decode('42["chat message","hi","bob"]'))
    assert (message.text, message.sender, message.id) == ("hi", "bob", "")
    assert one(dialect.decode('42["chat message","hi","bob","o2"]')).id == "~P.o2"


def test_messages_have_the_offset_as_id_or_their_own() -> None:
    dialect = connected()
    event = '42["chat message",{"sender":"bob","text":"hi","client_id":"c1","more":1},"o2"]'
    got = one(dialect.decode(event))
    assert (got.id, got.sender, got.text, got.client_id) == ("~P.o2", "bob", "hi", "c1")
    assert one(dialect.decode('42["chat message",{"id":9,"text":"hi"},"o2"]')).id == "9"
    plain = connected(answer='40{"sid":"s"}')
    assert one(plain.decode('42["chat message",{"text":"hi"},"o2"]')).id == ""


@pytest.mark.parametrize(
    ("sends", "reads", "sent", "event", "text", "id"),
    [
        (("text",), {"chat message": ("text",)}, ["hi"], '42["chat message","yo"]', "yo", ""),
        (
            ("text", "client_id"),
            {"chat message": ("text", "id")},
            ["hi", "c1"],
            '42["chat message","yo",7]',
            "yo",
            "7",
        ),
        (
            ({"body": "text", "to": "room"},),
            {"said": ({"body": "text"},)},
            [{"body": "hi", "to": "attic"}],
            '42["said",{"body":"yo"}]',
            "yo",
            "",
        ),
    ],
)
def test_a_table_maps_arguments_to_fields(
    sends: Any, reads: Any, sent: list[Any], event: str, text: str, id: str
) -> None:
    dialect = connected(answer='40{"sid":"s"}', sends=sends, reads=reads, acks=False)
    frame = dialect.encode(CONFIG, OutgoingMessage("hi", client_id="c1"))
    assert json.loads(frame.removeprefix("42")) == ["chat message", *sent]
    got = one(dialect.decode(event))
    assert (got.text, got.id) == (text, id)


def test_a_text_in_the_place_of_an_object_is_the_messages_text() -> None:
    assert one(connected().decode('42["chat message","hi","o1"]')).text == "hi"


@pytest.mark.parametrize("table", [{"sends": ("id",)}, {"reads": {"x": ({"t": "texts"},)}}])
def test_an_unknown_field_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="there is no field"):
        SocketIODialect(**table)


def test_acks_are_numbered_for_each_connection() -> None:
    dialect = connected()
    frames = [dialect.encode(CONFIG, OutgoingMessage("hi", client_id=f"c{n}")) for n in (1, 2)]
    assert [frame[:3] for frame in frames] == ["421", "422"]
    assert one(dialect.decode('432[{"ok":true}]')) == Ack("c2")
    assert dialect.decode('432[{"ok":true}]') == ()
    assert dialect.decode("43[]") == ()
    fresh = dialect.for_connection()
    assert fresh.decode("431[]") == ()


def test_acks_that_never_come_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.dialects.socketio.session.MAX_PENDING_ACKS", 1)
    dialect = connected()
    for n in (1, 2):
        dialect.encode(CONFIG, OutgoingMessage("hi", client_id=f"c{n}"))
    assert [dialect.decode(f"43{n}[]") for n in (1, 2)] == [(Ack("c1"),), ()]


def test_bytes_are_not_sent() -> None:
    with pytest.raises(ValueError, match="sends texts only"):
        connected().encode(CONFIG, OutgoingMessage(data=b"x", client_id="c1"))


def test_packets_with_bytes_follow_each_other_and_other_bytes_belong_to_none() -> None:
    dialect = connected()
    for content in (b"one", b"two"):
        assert dialect.decode('451-["chat message",{"text":{"_placeholder":true,"num":0}}]') == ()
        assert one(dialect.decode(content)).data == content
    assert isinstance(one(dialect.decode(b"three")), Unreadable)
    assert dialect.decode('452-["chat message",{"text":{"_placeholder":true,"num":1}}]') == ()
    assert dialect.decode(b"lost") == ()
    assert dialect.decode('451-["chat message",{"text":{"_placeholder":true,"num":0}}]') == ()
    assert one(dialect.decode(b"four")).data == b"four"


def test_a_packet_with_bytes_spans_frames() -> None:
    dialect = connected()
    assert dialect.decode('452-["chat message",{"text":{"_placeholder":true,"num":1},"l":[1]},"o1"]') == ()
    assert dialect.decode(b"one") == ()
    got = one(dialect.decode(b"two"))
    assert (got.data, got.text, got.id) == (b"two", "", "~P.o1")
    dialect.encode(CONFIG, OutgoingMessage("hi", client_id="c1"))
    assert dialect.decode('461-1[{"_placeholder":true,"num":0}]') == ()
    assert one(dialect.decode(b"x")) == Ack("c1")


def test_an_event_that_asks_for_an_ack_gets_one() -> None:
    reply, got = connected(namespace="/a", answer='40/a,{"sid":"s"}').decode('42/a,7["chat message","hi"]')
    assert (reply, got.text) == (Reply("43/a,7[]"), "hi")


def test_other_events_are_passed_on() -> None:
    dialect = connected()
    assert one(dialect.decode('42["typing","bob","o1"]')) == ChatEvent(
        "typing", sender="bob", payload=["bob"]
    )
    assert one(dialect.decode('42["message",1]')) == ChatEvent("server:message", payload=[1])
    assert one(dialect.decode('42["tick"]')) == ChatEvent("tick", payload=[])


def test_pings_are_answered_and_typing_is_an_event_if_the_server_has_one() -> None:
    dialect = connected(typing="typing")
    assert one(dialect.decode("2")) == ServerPing()
    assert dialect.pong(None) == "3"
    assert dialect.decode("6") == dialect.decode("3") == ()
    assert dialect.typing(CONFIG) == '42["typing","ada"]'
    assert SocketIODialect().typing(CONFIG) is None


@pytest.mark.parametrize(
    ("frame", "refused"),
    [
        ('44{"message":"not authorized"}', Refused("not authorized", 401)),
        ('44{"message":"busy","data":{"status":503}}', Refused("busy", 503)),
        ('44{"message":"odd","data":{"status":7}}', Refused("odd", 401)),
        ('44"no"', Refused("no", 401)),
        ('44{"code":3}', Refused('44{"code":3}', 401)),
        ('44/x,{"message":"Invalid namespace"}', Refused("the server has no namespace '/'", 404)),
        ("41", Refused("the server disconnected the client")),
        ("1", Refused("the server closed the session")),
    ],
)
def test_refusals(frame: str, refused: Refused) -> None:
    assert one(opened().decode(frame)) == refused


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "x",
        "4",
        "49",
        "0",
        '0{"sid":1}',
        '40{"no":1}',
        "40",
        "42",
        '42{"a":1}',
        "42[]",
        "42[1]",
        '42["chat message"]',
        '42["chat message",{"id":[],"text":"x"}]',
        '42["chat message",{"text":1}]',
        '42["chat message",{"text":"\\ud800"}]',
        '42["chat message",' + "[" * 10_000,
        '42/other,["chat message","x"]',
        '450-["chat message"]',
        '45999-["chat message"]',
        b"bytes of no packet",
    ],
)
def test_what_makes_no_sense_is_unreadable(frame: str | bytes) -> None:
    assert isinstance(one(opened().decode(frame)), Unreadable)


@given(st.one_of(st.text(max_size=40), st.binary(max_size=9), st.from_regex(r"4[0-6]\d?-?\[.{0,20}\]?")))
def test_reading_never_raises(frame: str | bytes) -> None:
    opened().decode(frame)


def test_secrets_are_added_to_the_packet_that_connects_only() -> None:
    dialect = SocketIODialect(auth={"token": "Authorization", "key": "X-Key"})
    credentials = dialect.credentials({"authorization": "Bearer s3cret", "X-Other": "o"})
    sign = credentials.sign
    assert sign is not None
    assert sign("40") == '40{"token":"s3cret"}'
    assert sign('40/a,{"pid":"P"}') == '40/a,{"pid":"P","token":"s3cret"}'
    assert [sign(frame) for frame in ("3", '42["x"]', b"40")] == ["3", '42["x"]', b"40"]
    assert SocketIODialect().credentials({"X-Other": "o"}).sign is None
    assert SocketIODialect().credentials({"Authorization": "t"}).sign is not None


# By polling

POLLING = LongPollingConfig(url="http://h", sender="ada", room="attic")
UNKNOWN = Answer(400, b'{"code":1,"message":"Session ID unknown"}')


def polling(**options: Any) -> Any:
    http = SocketIODialect(**options).http.for_connection()
    assert http.poll(POLLING, None, 0.0) == Request(
        "GET", "/socket.io/", {"EIO": "4", "transport": "polling"}
    )
    assert http.page(Answer(200, OPEN.encode())) == Page([Reply("40")])
    return http


def test_a_body_has_several_packets() -> None:
    http = polling()
    assert http.poll(POLLING, None, 25.0).query["sid"] == "S"
    body = '40{"sid":"s"}\x1e2\x1e451-["chat message",{"text":{"_placeholder":true,"num":0}}]\x1ebAAE=\x1eb!'
    welcome, pong, message, strange = http.page(Answer(200, body.encode())).items
    assert (welcome, pong) == (Welcome("~s.", False, 25.0, 20.0), Reply("3"))
    assert isinstance(message, ChatMessage)
    assert message.data == b"\0\1"
    assert isinstance(strange, Unreadable)


def test_each_session_by_polling_opens_anew() -> None:
    old = polling()
    new = old.for_connection()
    assert "sid" not in new.poll(POLLING, None, 0.0).query
    assert "sid" in old.poll(POLLING, None, 0.0).query


@pytest.mark.parametrize("answer", [Answer(200, b"ok"), UNKNOWN], ids=["ended now", "had ended"])
def test_a_session_that_can_be_recovered_is_ended_before_the_next_one_begins(answer: Answer) -> None:
    """The server may not have noticed that its last poll was lost; then it recovers nothing."""
    old = polling()
    old.page(Answer(200, b'40{"sid":"s","pid":"P"}'))
    unreached = old.for_connection()
    assert unreached.poll(POLLING, "~P.3", 25.0).body == "1"
    assert unreached.page(Answer(502)) is None
    assert unreached.page(Answer(200, b"<html>a portal")) is None
    new = unreached.for_connection()
    ending = new.poll(POLLING, "~P.3", 25.0)
    assert (ending.method, ending.query["sid"], ending.body) == ("POST", "S", "1")
    assert new.page(answer) == Page(())
    assert new.poll(POLLING, "~P.3", 25.0) == Request(
        "GET", "/socket.io/", {"EIO": "4", "transport": "polling"}
    )
    new.page(Answer(200, OPEN.encode()))
    (welcome,) = new.page(Answer(200, b'40{"sid":"s","pid":"P"}')).items
    assert not welcome.resync
    assert new.for_connection().poll(POLLING, "~P.3", 25.0).body == "1"


def test_a_session_resumes_from_the_cursor_of_its_first_poll() -> None:
    http = polling()
    http.poll(POLLING, "~P.3", 25.0)
    (welcome,) = http.page(Answer(200, b'40{"sid":"s","pid":"P"}')).items
    assert welcome.cursor == "~P."


def test_messages_and_replies_are_posted_one_by_one() -> None:
    http = polling()
    request = http.post(POLLING, OutgoingMessage("hé", client_id="c1"))
    assert (request.method, request.path, request.query["sid"]) == ("POST", "/socket.io/", "S")
    assert request.body == '421["chat message",{"sender":"ada","text":"hé","client_id":"c1"}]'
    assert http.post_reply(POLLING, "3").body == "3"
    assert http.posted(Answer(200, b"ok"), "c1") == InFlight("c1")
    assert http.posted(Answer(200, b"OK"), "") == InFlight("")
    assert http.posted(Answer(200, b"<html>"), "c1") is None
    assert polling(acks=False).posted(Answer(200, b"ok"), "c1") == Ack("c1")


def test_a_session_that_the_server_has_lost_is_refused_and_others_are_failures() -> None:
    http = polling()
    assert isinstance(one(http.page(UNKNOWN).items), Refused)
    assert isinstance(http.posted(UNKNOWN, "c1"), Refused)
    assert SocketIODialect().http.page(UNKNOWN) is None
    assert http.page(Answer(502)) is None
