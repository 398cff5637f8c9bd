"""Rooms, logs, cursors and idempotency (SPEC §1, §8)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.dialects.base import Nack
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.errors import SettingsError
from chatlab.hub import Expel, Hub, HubConfig, Keep, Output, Replay, Reply
from chatlab.hub.hub import OTHER_CONTENT
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import WebSocketConfig

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ADA, BOB, EVE = 1, 2, 3
CONFIG = WebSocketConfig(url="ws://h/")


def hub_of(**limits: Any) -> Hub:
    return Hub(HubConfig(**limits), epoch="e", utc=lambda: NOON)


def said(outputs: Sequence[Output], member: int) -> list[Any]:
    """What a member is told, as plain data."""
    return [
        msgspec.json.decode(output.frame)
        if isinstance(output.frame, str)
        else msgspec.msgpack.decode(output.frame)
        for output in outputs
        if isinstance(output, Reply) and member in output.members
    ]


def text(client_id: str, words: str = "hi") -> str:
    return ChatlabDialect().encode(CONFIG, OutgoingMessage(words, client_id=client_id))  # type: ignore[return-value]


def posted(n: int, sender: str = "ada", client_id: str = "") -> dict[str, Any]:
    message = {
        "type": "message",
        "id": f"e-{n}",
        "sender": sender,
        "text": "hi",
        "posted_at": "2026-11-23T12:00:00Z",
    }
    return message | ({"client_id": client_id} if client_id else {})


def ids(outputs: Sequence[Output], member: int) -> list[str]:
    return [frame["id"] for frame in said(outputs, member) if frame["type"] == "message"]


def filled(count: int, **limits: Any) -> Hub:
    hub = hub_of(**limits)
    for n in range(count):
        hub.post(hub.room("lobby"), "bob", OutgoingMessage(f"{n}", client_id=f"b{n}"))
    return hub


def published(hub: Hub, room: str, sender: str, message: OutgoingMessage) -> tuple[str, list[Output]]:
    result = hub.publish(room, sender, message)
    assert not isinstance(result, Nack)
    return result


# Joining and leaving


def test_a_newcomer_to_an_empty_room_gets_a_cursor_to_come_back_with() -> None:
    hub = hub_of()
    assert said(hub.join(ADA, "lobby", "ada", 0.0, history=50), ADA) == [
        {"type": "welcome", "cursor": "e-0"},
        {"type": "presence", "state": "here", "people": ["ada"]},
    ]
    hub.leave(ADA)
    hub.post(hub.room("lobby"), "bob", OutgoingMessage("missed?"))
    assert ids(hub.join(ADA, "lobby", "ada", 1.0, after="e-0"), ADA) == ["e-1"]


def test_people_see_each_other_come_and_go_in_their_room_only() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    hub.join(EVE, "attic", "eve", 0.0)
    came = hub.join(BOB, "lobby", "bob", 0.0)
    assert said(came, ADA) == [{"type": "presence", "state": "joined", "sender": "bob"}]
    assert said(came, BOB)[-1] == {"type": "presence", "state": "here", "people": ["ada", "bob"]}
    assert said(came, EVE) == []
    assert said(hub.leave(BOB), ADA) == [{"type": "presence", "state": "left", "sender": "bob"}]
    assert hub.leave(BOB) == []
    assert hub.leave(ADA) == []  # nobody is left to tell


def test_a_dissolved_hub_holds_nobody_and_has_forgotten_its_rooms() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    lobby = hub.room("lobby")
    hub.dissolve()
    assert not lobby.members
    assert hub.room("lobby") is not lobby
    assert hub.leave(ADA) == []


def test_crowded_rooms_keep_quiet_about_who_comes_and_goes() -> None:
    hub = hub_of(presence_limit=1)
    assert len(said(hub.join(ADA, "lobby", "ada", 0.0), ADA)) == 2
    came = hub.join(BOB, "lobby", "bob", 0.0)
    assert said(came, ADA) == []
    assert [frame["type"] for frame in said(came, BOB)] == ["welcome"]
    assert hub.leave(BOB) == []


@pytest.mark.parametrize(
    ("room", "sender", "what"),
    [
        ("lobby", "ada", None),
        ("r" * 200, "Ада 😀", None),
        ("", "ada", "room"),
        ("r" * 201, "ada", "room"),
        (" lobby", "ada", "room"),
        ("lob\nby", "ada", "room"),
        ("lobby", "", "sender"),
        ("lobby", "ada\u202e", "sender"),
        ("lobby", "\ud800", "sender"),
    ],
)
def test_names_of_the_wrong_shape_are_refused(room: str, sender: str, what: str | None) -> None:
    refusal = hub_of().refusal(room, sender)
    assert refusal is None if what is None else refusal is not None and refusal.startswith(f"the {what} must")


# Messages


def test_a_message_is_kept_before_anybody_hears_of_it_and_comes_back_to_its_sender() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    hub.join(BOB, "lobby", "bob", 0.0)
    hub.join(EVE, "attic", "eve", 0.0)
    keep, reply = hub.receive(ADA, text("c1"), 0.0)
    assert keep == Keep("lobby", ChatMessage("e-1", "ada", "hi", "c1", NOON))
    for member in (ADA, BOB):
        assert said([reply], member) == [posted(1, client_id="c1")]
    assert said([reply], EVE) == []


def test_A50_a_duplicate_by_sender_and_id_is_acked_and_not_posted() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    hub.join(BOB, "lobby", "bob", 0.0)
    hub.receive(ADA, text("c1"), 0.0)
    again = hub.receive(ADA, text("c1"), 1.0)
    assert said(again, ADA) == [{"type": "ack", "client_id": "c1"}]
    assert said(again, BOB) == []
    assert ids(hub.receive(BOB, text("c1"), 1.0), ADA) == ["e-2"], "another sender's id is another's"
    hub.leave(ADA)
    hub.join(ADA, "lobby", "ada", 2.0)
    assert said(hub.receive(ADA, text("c1"), 2.0), ADA) == [{"type": "ack", "client_id": "c1"}]


OTHER = {
    "text": OutgoingMessage("other", client_id="c1"),
    "bytes": OutgoingMessage(data=b"hi", client_id="c1"),
}


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_A92_a_known_id_with_other_content_is_refused_and_not_thrown_away(
    other: OutgoingMessage,
) -> None:
    """A peer that uses an id first, by the name of its owner, can't swallow the owner's message."""
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    hub.join(BOB, "lobby", "bob", 0.0)
    hub.publish("lobby", "ada", OutgoingMessage("hi", client_id="c1"))
    refused = hub.receive(ADA, ChatlabDialect().encode(CONFIG, other), 0.0)
    nack = {"type": "nack", "client_id": "c1", "status": 422, "reason": OTHER_CONTENT}
    assert said(refused, ADA) == [nack]
    assert said(refused, BOB) == []
    assert hub.publish("lobby", "ada", other) == Nack("c1", 422, OTHER_CONTENT)
    assert [message.text for message in hub.room("lobby").log] == ["hi"]
    assert hub.publish("lobby", "ada", OutgoingMessage("hi", client_id="c1")) == ("e-1", [])
    assert published(hub, "lobby", "bob", other)[0] == "e-2", "another sender's id is another's"


def test_A92_so_it_is_after_a_restart() -> None:
    before, hub = hub_of(), hub_of()
    before.publish("lobby", "ada", OutgoingMessage("hi", client_id="c1"))
    before.publish("lobby", "ada", OutgoingMessage(data=b"", client_id="c2"))
    hub.restore("lobby", before.room("lobby").log, 2)
    assert hub.publish("lobby", "ada", OutgoingMessage("hi", client_id="c1")) == ("e-1", [])
    assert hub.publish("lobby", "ada", OutgoingMessage(data=b"", client_id="c2")) == ("e-2", [])
    assert isinstance(hub.publish("lobby", "ada", OutgoingMessage("ho", client_id="c1")), Nack)
    assert isinstance(hub.publish("lobby", "ada", OutgoingMessage(data=b"x", client_id="c2")), Nack)


def test_messages_without_an_id_are_all_new() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    assert [ids(hub.receive(ADA, text(""), 0.0), ADA) for _ in range(2)] == [["e-1"], ["e-2"]]


def test_bytes_travel_as_messagepack() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    frame = ChatlabDialect().encode(CONFIG, OutgoingMessage(data=b"\0\xff", client_id="c1"))
    assert isinstance(frame, bytes)
    keep, reply = hub.receive(ADA, frame, 0.0)
    assert isinstance(keep, Keep)
    assert isinstance(reply, Reply)
    assert isinstance(reply.frame, bytes)
    assert ChatlabDialect().decode(reply.frame) == (keep.message,)
    assert keep.message.data == b"\0\xff"


def test_other_frames() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    assert hub.receive(ADA, '{"type":"typing"}', 0.0) == []
    hub.join(BOB, "lobby", "bob", 0.0)
    typing = hub.receive(ADA, '{"type":"typing"}', 0.0)
    assert (said(typing, ADA), said(typing, BOB)) == ([], [{"type": "typing", "sender": "ada"}])
    assert said(hub.receive(ADA, '{"type":"ping","id":7}', 0.0), ADA) == [{"type": "pong", "id": 7}]
    assert hub.receive(ADA, '{"type":"pong","id":7}', 0.0) == []
    assert hub.receive(99, '{"type":"ping","id":7}', 0.0) == []


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ("nonsense", "error"),
        ("{}", "error"),
        ('{"type":"dance"}', "error"),
        (b"\xc1", "error"),
        (msgspec.msgpack.encode({"type": "message"}), "error"),
        ('{"type":"message","client_id":"c1"}', "nack 422"),
        ('{"type":"message","text":3,"client_id":"c1"}', "nack 422"),
        (msgspec.msgpack.encode({"type": "message", "text": "a" * 65_537, "client_id": "c1"}), "nack 413"),
        (msgspec.msgpack.encode({"type": "message", "client_id": "c1"}), "nack 422"),
    ],
)
def test_A81_what_makes_no_sense_is_answered_to_its_sender_alone(frame: str | bytes, answer: str) -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    hub.join(BOB, "lobby", "bob", 0.0)
    outputs = hub.receive(ADA, frame, 0.0)
    (reply,) = said(outputs, ADA)
    assert " ".join(str(reply[name]) for name in ("type", "status") if name in reply) == answer
    assert reply["reason"]
    assert reply.get("client_id") == ("c1" if "nack" in answer else None)
    assert said(outputs, BOB) == []
    assert hub.room("lobby").log == []


def test_a_refusal_quotes_no_more_than_a_little_of_what_it_refuses() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    (reply,) = hub.receive(ADA, '{"type":"%s"}' % ("a" * 60_000), 0.0)
    assert isinstance(reply, Reply)
    assert len(reply.frame) < 400


def test_A81_who_sends_too_much_is_told_to_come_back_later() -> None:
    hub = hub_of(rate=2.0, burst=3)
    hub.join(ADA, "lobby", "ada", 10.0)
    ping = '{"type":"ping","id":1}'
    assert all(isinstance(hub.receive(ADA, ping, 10.0)[0], Reply) for _ in range(3))
    (expel,) = hub.receive(ADA, ping, 10.0)
    assert expel == Expel(ADA, 1013, "more than 2 frames a second; slow down and come back")
    hub.join(BOB, "lobby", "bob", 10.0)
    for tenths in range(
        100, 200, 5
    ):  # exactly the rate, for longer than the burst lasts; then a clock that steps back
        assert isinstance(hub.receive(BOB, ping, tenths / 10)[0], Reply)
    assert isinstance(hub.receive(BOB, ping, 5.0)[0], Reply)


# Who is no member


def test_A50_a_post_from_outside_is_in_the_log_once_and_tells_its_id() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada", 0.0)
    message = OutgoingMessage("hi", client_id="c1")
    first, (keep, reply) = published(hub, "lobby", "bob", message)
    assert (first, keep) == ("e-1", Keep("lobby", ChatMessage("e-1", "bob", "hi", "c1", NOON)))
    assert said([reply], ADA) == [posted(1, "bob", "c1")]
    hub.publish("lobby", "bob", OutgoingMessage("more"))
    assert hub.publish("lobby", "bob", message) == ("e-1", [])
    assert published(hub, "lobby", "eve", message)[0] == "e-3"
    assert hub.publish("attic", "bob", message) == ("e-1", [Keep("attic", hub.room("attic").log[0])])
    assert said(hub.receive(ADA, text("c1"), 0.0), ADA) == [posted(4, "ada", "c1")]
    assert hub.publish("lobby", "ada", message) == ("e-4", []), "a member's message is known outside"


def test_typing_from_outside_reaches_all_but_the_typist() -> None:
    hub = hub_of()
    for member, sender in ((ADA, "ada"), (BOB, "bob"), (EVE, "ada")):
        hub.join(member, "lobby", sender, 0.0)
    typing = hub.tell_typing("lobby", "ada")
    assert said(typing, BOB) == [{"type": "typing", "sender": "ada"}]
    assert said(typing, ADA) == said(typing, EVE) == []
    hub.leave(BOB)
    assert hub.tell_typing("lobby", "ada") == []
    assert hub.tell_typing("nowhere", "ada") == []


def test_A78_reading_a_room_that_is_not_there_makes_none() -> None:
    hub = filled(3)
    assert [message.id for message in hub.read("lobby", "e-1", None).messages] == ["e-2", "e-3"]
    assert hub.read("nowhere", None, None) == Replay("e-0", [])
    assert hub.read("nowhere", "e-1", None).gap
    hub.tell_typing("nowhere", "ada")
    assert list(hub._rooms) == ["lobby"]


def test_A52_A81_who_posts_too_much_is_told_how_long_to_wait() -> None:
    hub = hub_of(rate=2.0, burst=3)
    assert [hub.delay("lobby", "ada", 10.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 0.5]
    assert hub.delay("lobby", "ada", 10.25) == 0.25
    assert hub.delay("lobby", "bob", 10.25) == hub.delay("attic", "ada", 10.25) == 0.0
    assert hub.delay("lobby", "ada", 10.5) == 0.0, "refusals cost nothing"
    assert hub.delay("lobby", "ada", 10.5) == 0.5
    assert hub.delay("lobby", "ada", 5.0) == 0.5, "a clock that steps back"
    delays = [hub.delay("lobby", "ada", 99.0) for _ in range(4)]
    assert delays == [0.0, 0.0, 0.0, 0.5], "never more than a burst"


def test_A81_the_rates_of_names_that_come_once_are_forgotten() -> None:
    hub = hub_of(rate=1.0, burst=2)
    for n in range(10_000):
        hub.delay("lobby", f"{n}", n / 10)
        assert len(hub._buckets) <= 64
    assert [hub.delay("lobby", "9999", 999.9) for _ in range(2)] == [0.0, 1.0], "but not before they are full"


def test_A81_rates_that_still_count_are_kept_however_many_there_are() -> None:
    hub = hub_of(rate=0.001, burst=1)
    for _ in range(2):
        delays = {hub.delay("lobby", f"{n}", 0.0) for n in range(500)}
    assert delays == {1000.0}


# Cursors


@pytest.mark.parametrize(("history", "start"), [(None, 0), (0, 5), (2, 3), (5, 0), (50, 0)])
def test_a_first_connection_gets_the_latest(history: int | None, start: int) -> None:
    hub = filled(5)
    outputs = hub.join(ADA, "lobby", "ada", 0.0, history=history)
    assert said(outputs, ADA)[0] == {"type": "welcome", "cursor": f"e-{start}"}
    assert ids(outputs, ADA) == [f"e-{n}" for n in range(start + 1, 6)]


@pytest.mark.parametrize("cursor", ["f-3", "e-6", "e-x", "e--1", "3", "", "e-", "e-٣", "e-" + "9" * 40])
def test_A60_A63_a_cursor_that_the_log_no_longer_has_means_resync(cursor: str) -> None:
    hub = filled(5)
    outputs = hub.join(ADA, "lobby", "ada", 0.0, after=cursor, history=1)
    assert said(outputs, ADA)[0] == {"type": "welcome", "cursor": "e-0", "resync": True}
    assert ids(outputs, ADA) == [f"e-{n}" for n in range(1, 6)]


@given(count=st.integers(0, 40), retain=st.integers(1, 12), seen=st.integers(0, 40))
def test_a_reader_gets_everything_after_its_cursor_or_is_told_of_the_gap(
    count: int, retain: int, seen: int
) -> None:
    hub = filled(count, retain=retain)
    log = hub.room("lobby").log
    assert min(count, retain) <= len(log) <= retain + retain // 4
    replay = hub.read("lobby", f"e-{seen}", 0)
    assert replay.gap == (not count - len(log) <= seen <= count)
    after = count - len(log) if replay.gap else seen
    assert replay.start == f"e-{after}"
    assert [message.id for message in replay.messages] == [f"e-{n}" for n in range(after + 1, count + 1)]


def test_an_id_that_the_log_has_twice_is_forgotten_with_the_later_message() -> None:
    """A server that kept fewer messages may have taken it as new."""
    hub = hub_of(retain=2)
    twice = [ChatMessage(f"e-{n}", "ada", f"{n}", client_id) for n, client_id in enumerate("abac", 1)]
    room = hub.room("lobby")
    for message in twice:
        room.append(message, retain=2)
    assert list(room.keys) == [("ada", "a"), ("ada", "c")]


def test_ids_are_forgotten_with_their_messages() -> None:
    hub = filled(6, retain=4)
    room = hub.room("lobby")
    assert list(room.keys) == [("bob", f"b{n}") for n in range(2, 6)]
    assert hub.post(room, "bob", OutgoingMessage("x", client_id="b5")) is None
    again = hub.post(room, "bob", OutgoingMessage("x", client_id="b0"))
    assert again is not None
    assert again.id == "e-7"


def test_a_restored_log_goes_on_where_it_was() -> None:
    before = filled(5)
    hub = hub_of(retain=3)
    hub.restore("lobby", before.room("lobby").log[2:], 5)
    room = hub.room("lobby")
    assert [message.id for message in hub.read("lobby", "e-3", 0).messages] == ["e-4", "e-5"]
    assert hub.read("lobby", "e-1", 0).gap
    assert hub.post(room, "bob", OutgoingMessage("again", client_id="b4")) is None
    new = hub.post(room, "bob", OutgoingMessage("new"))
    assert new is not None
    assert new.id == "e-6"


def test_limits_are_checked() -> None:
    with pytest.raises(SettingsError, match=r"HubConfig\.rate"):
        HubConfig(rate=0.0)
