"""Rooms, logs, cursors and idempotency (SPEC §1, §8)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from chatlab.dialects.base import Nack
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.errors import SettingsError
from chatlab.hub import Behind, Bucket, Expel, Hub, HubConfig, LogError, MemoryLog, News, Output, Reply
from chatlab.hub.hub import NOT_STORED, OTHER_CONTENT
from chatlab.hub.log import Appended
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import WebSocketConfig

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ADA, BOB, EVE = 1, 2, 3
CONFIG = WebSocketConfig(url="ws://h/")


def hub_of(**limits: Any) -> Hub:
    config = HubConfig(**limits)
    return Hub(config, MemoryLog("e", config), utc=lambda: NOON)


def log_of(hub: Hub, room: str = "lobby") -> list[ChatMessage]:
    """Return everything that is kept of a room."""
    return list(hub.log.latest(room, None, 10**6, 10**9).messages)


def said(outputs: Sequence[Output], member: int) -> list[Any]:
    """Return the frames for a member, as plain data."""
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
        hub.publish("lobby", "bob", OutgoingMessage(f"{n}", client_id=f"b{n}"))
    return hub


def published(hub: Hub, room: str, sender: str, message: OutgoingMessage) -> tuple[str, list[Output]]:
    result = hub.publish(room, sender, message)
    assert not isinstance(result, Nack)
    return result


# Joining and leaving


def test_a_new_member_of_an_empty_room_gets_a_cursor_to_come_back_with() -> None:
    hub = hub_of()
    assert said(hub.join(ADA, "lobby", "ada", history=50), ADA) == [
        {"type": "welcome", "cursor": "e-0"},
        {"type": "presence", "state": "here", "people": ["ada"]},
    ]
    hub.leave(ADA)
    hub.publish("lobby", "bob", OutgoingMessage("missed?"))
    assert ids(hub.join(ADA, "lobby", "ada", after="e-0"), ADA) == ["e-1"]


def test_people_see_each_other_come_and_go_in_their_room_only() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    hub.join(EVE, "attic", "eve")
    came = hub.join(BOB, "lobby", "bob")
    assert said(came, ADA) == [{"type": "presence", "state": "joined", "sender": "bob"}]
    assert said(came, BOB)[-1] == {"type": "presence", "state": "here", "people": ["ada", "bob"]}
    assert said(came, EVE) == []
    assert said(hub.leave(BOB), ADA) == [{"type": "presence", "state": "left", "sender": "bob"}]
    assert hub.leave(BOB) == []
    assert hub.leave(ADA) == []  # no member is left to notify


def test_a_dissolved_hub_holds_nobody_and_has_forgotten_its_rooms() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    lobby = hub._rooms["lobby"]
    hub.dissolve()
    assert not lobby.members
    assert not hub._rooms
    assert hub.leave(ADA) == []


def test_a_room_is_forgotten_with_its_last_member_and_its_log_is_not() -> None:
    hub = hub_of()
    for number in range(1000):
        hub.join(number, f"room-{number}", "ada")
        hub.leave(number)
    assert not hub._rooms
    hub.join(ADA, "lobby", "ada")
    hub.receive(ADA, text("c1"), 0.0)
    hub.leave(ADA)
    assert not hub._rooms
    assert ids(hub.join(ADA, "lobby", "ada"), ADA) == ["e-1"]


def test_crowded_rooms_keep_quiet_about_who_comes_and_goes() -> None:
    hub = hub_of(presence_limit=1)
    assert len(said(hub.join(ADA, "lobby", "ada"), ADA)) == 2
    came = hub.join(BOB, "lobby", "bob")
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
def test_malformed_names_are_refused(room: str, sender: str, what: str | None) -> None:
    refusal = hub_of().refusal(room, sender)
    assert refusal is None if what is None else refusal is not None and refusal.startswith(f"the {what} must")


# Messages


def test_a_message_is_stored_before_anyone_gets_it_and_is_echoed_to_its_sender() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    hub.join(BOB, "lobby", "bob")
    hub.join(EVE, "attic", "eve")
    news, reply = hub.receive(ADA, text("c1"), 0.0)
    assert (news, log_of(hub)) == (News("lobby"), [ChatMessage("e-1", "ada", "hi", "c1", NOON)])
    for member in (ADA, BOB):
        assert said([reply], member) == [posted(1, client_id="c1")]
    assert said([reply], EVE) == []


def test_A50_a_duplicate_by_sender_and_id_is_acked_and_not_posted() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    hub.join(BOB, "lobby", "bob")
    hub.receive(ADA, text("c1"), 0.0)
    again = hub.receive(ADA, text("c1"), 1.0)
    assert said(again, ADA) == [{"type": "ack", "client_id": "c1"}]
    assert said(again, BOB) == []
    assert ids(hub.receive(BOB, text("c1"), 1.0), ADA) == ["e-2"], "another sender's id is another's"
    hub.leave(ADA)
    hub.join(ADA, "lobby", "ada")
    assert said(hub.receive(ADA, text("c1"), 2.0), ADA) == [{"type": "ack", "client_id": "c1"}]


OTHER = {
    "text": OutgoingMessage("other", client_id="c1"),
    "bytes": OutgoingMessage(data=b"hi", client_id="c1"),
}


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_A92_a_known_id_with_other_content_is_refused_and_not_dropped_silently(
    other: OutgoingMessage,
) -> None:
    """Use an id first, under its owner's name: the owner's message isn't swallowed."""
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    hub.join(BOB, "lobby", "bob")
    hub.publish("lobby", "ada", OutgoingMessage("hi", client_id="c1"))
    refused = hub.receive(ADA, ChatlabDialect().encode(CONFIG, other), 0.0)
    nack = {"type": "nack", "client_id": "c1", "status": 422, "reason": OTHER_CONTENT}
    assert said(refused, ADA) == [nack]
    assert said(refused, BOB) == []
    assert hub.publish("lobby", "ada", other) == Nack("c1", 422, OTHER_CONTENT)
    assert [message.text for message in log_of(hub)] == ["hi"]
    assert hub.publish("lobby", "ada", OutgoingMessage("hi", client_id="c1")) == ("e-1", [])
    assert published(hub, "lobby", "bob", other)[0] == "e-2", "another sender's id is another's"


class FullDisk(MemoryLog):
    """A log that can't be written while it is `full`."""

    full = False

    def append(self, *args: Any) -> Appended:
        if self.full:
            raise LogError("the disk is full")
        return super().append(*args)


def test_a_message_that_can_not_be_kept_is_refused_and_nothing_else_happens() -> None:
    config = HubConfig()
    log = FullDisk("e", config)
    hub = Hub(config, log, utc=lambda: NOON)
    hub.join(ADA, "lobby", "ada")
    hub.join(BOB, "lobby", "bob")
    log.full = True
    (reply,) = hub.receive(ADA, text("c1"), 0.0)
    assert said([reply], ADA) == [{"type": "nack", "client_id": "c1", "status": 503, "reason": NOT_STORED}]
    assert said([reply], BOB) == []
    assert hub.publish("lobby", "eve", OutgoingMessage("hi", client_id="c2")) == Nack("c2", 503, NOT_STORED)
    log.full = False
    assert hub.epoch == "e"
    assert said(hub.receive(BOB, text("c3"), 0.0), ADA) == [posted(1, "bob", "c3")]
    behind = hub.receive(ADA, text("c2"), 1.9)
    assert said(behind, ADA) == [{"type": "nack", "client_id": "c2", "status": 503, "reason": NOT_STORED}]
    for number, client_id in enumerate(("c1", "c2"), 2):
        assert said(hub.receive(ADA, text(client_id), 2.0), BOB) == [posted(number, client_id=client_id)]


def test_messages_without_an_id_are_all_new() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    assert [ids(hub.receive(ADA, text(""), 0.0), ADA) for _ in range(2)] == [["e-1"], ["e-2"]]


def test_bytes_travel_as_messagepack() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    frame = ChatlabDialect().encode(CONFIG, OutgoingMessage(data=b"\0\xff", client_id="c1"))
    assert isinstance(frame, bytes)
    _, reply = hub.receive(ADA, frame, 0.0)
    (message,) = log_of(hub)
    assert isinstance(reply, Reply)
    assert isinstance(reply.frame, bytes)
    assert ChatlabDialect().decode(reply.frame) == (message,)
    assert message.data == b"\0\xff"


def test_other_frames() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    assert hub.receive(ADA, '{"type":"typing"}', 0.0) == []
    hub.join(BOB, "lobby", "bob")
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
def test_A81_a_malformed_frame_is_answered_to_its_sender_alone(frame: str | bytes, answer: str) -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    hub.join(BOB, "lobby", "bob")
    outputs = hub.receive(ADA, frame, 0.0)
    (reply,) = said(outputs, ADA)
    assert " ".join(str(reply[name]) for name in ("type", "status") if name in reply) == answer
    assert reply["reason"]
    assert reply.get("client_id") == ("c1" if "nack" in answer else None)
    assert said(outputs, BOB) == []
    assert log_of(hub) == []


def test_a_refusal_quotes_only_the_beginning_of_a_frame() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    (reply,) = hub.receive(ADA, '{"type":"%s"}' % ("a" * 60_000), 0.0)
    assert isinstance(reply, Reply)
    assert len(reply.frame) < 400


def test_A81_a_member_that_sends_too_much_is_told_to_come_back_later() -> None:
    hub = hub_of(rate=2.0, burst=3)
    hub.join(ADA, "lobby", "ada")
    ping = '{"type":"ping","id":1}'
    assert all(isinstance(hub.receive(ADA, ping, 10.0)[0], Reply) for _ in range(3))
    (expel,) = hub.receive(ADA, ping, 10.0)
    assert expel == Expel(ADA, 1013, "more than 2 frames a second; slow down and come back")
    hub.join(BOB, "lobby", "bob")
    for tenths in range(
        100, 200, 5
    ):  # exactly the rate, for longer than the burst lasts; then a clock that steps back
        assert isinstance(hub.receive(BOB, ping, tenths / 10)[0], Reply)
    assert isinstance(hub.receive(BOB, ping, 5.0)[0], Reply)


# Clients that aren't members


def test_A50_a_post_from_outside_is_in_the_log_once_and_tells_its_id() -> None:
    hub = hub_of()
    hub.join(ADA, "lobby", "ada")
    message = OutgoingMessage("hi", client_id="c1")
    first, (news, reply) = published(hub, "lobby", "bob", message)
    assert (first, news) == ("e-1", News("lobby"))
    assert log_of(hub) == [ChatMessage("e-1", "bob", "hi", "c1", NOON)]
    assert said([reply], ADA) == [posted(1, "bob", "c1")]
    hub.publish("lobby", "bob", OutgoingMessage("more"))
    assert hub.publish("lobby", "bob", message) == ("e-1", [])
    assert published(hub, "lobby", "eve", message)[0] == "e-3"
    assert hub.publish("attic", "bob", message) == ("e-1", [News("attic")])
    assert said(hub.receive(ADA, text("c1"), 0.0), ADA) == [posted(4, "ada", "c1")]
    assert hub.publish("lobby", "ada", message) == ("e-4", []), "a member's message is known outside"


def test_typing_from_outside_reaches_all_but_the_typist() -> None:
    hub = hub_of()
    for member, sender in ((ADA, "ada"), (BOB, "bob"), (EVE, "ada")):
        hub.join(member, "lobby", sender)
    typing = hub.tell_typing("lobby", "ada")
    assert said(typing, BOB) == [{"type": "typing", "sender": "ada"}]
    assert said(typing, ADA) == said(typing, EVE) == []
    hub.leave(BOB)
    assert hub.tell_typing("lobby", "ada") == []
    assert hub.tell_typing("nowhere", "ada") == []


def test_A78_reading_a_room_that_is_not_there_makes_none() -> None:
    hub = filled(3)
    assert [message.id for message in hub.read("lobby", "e-1", None).messages] == ["e-2", "e-3"]
    nowhere = hub.read("nowhere", None, None)
    assert (nowhere.start, list(nowhere.messages), nowhere.more) == ("e-0", [], False)
    assert hub.read("nowhere", "e-1", None).gap
    hub.tell_typing("nowhere", "ada")
    assert not hub._rooms
    assert isinstance(hub.log, MemoryLog)
    assert len(hub.log) == 1


def test_A52_A81_a_client_that_posts_too_much_is_told_how_long_to_wait() -> None:
    hub, bucket = hub_of(rate=2.0, burst=3), Bucket()

    def delay(now: float) -> float:
        return hub.delay(bucket, None, now)

    assert [delay(10.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 0.5]
    assert delay(10.25) == 0.25
    assert hub.delay(Bucket(), None, 10.25) == 0.0, "another connection"
    assert delay(10.5) == 0.0, "refusals cost nothing"
    assert delay(10.5) == 0.5
    assert delay(5.0) == 0.5, "a clock that steps back"
    assert [delay(99.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5], "never more than a burst"


def test_A81_connections_of_one_address_may_twenty_times_as_much_together() -> None:
    hub = hub_of(rate=1.0, burst=2)
    waits = [hub.delay(Bucket(), "10.0.0.1", 0.0) for _ in range(42)]
    assert waits == [0.0] * 40 + [0.05, 0.05]
    assert hub.delay(Bucket(), "10.0.0.2", 0.0) == 0.0
    hub.join(ADA, "lobby", "ada", address="10.0.0.1")
    ping = '{"type":"ping","id":1}'
    (expel,) = hub.receive(ADA, ping, 0.0)
    reason = "more than 20 frames a second from one address; slow down and come back"
    assert expel == Expel(ADA, 1013, reason)
    assert isinstance(hub.receive(ADA, ping, 0.1)[0], Reply)
    bucket = Bucket()
    assert [hub.delay(bucket, "10.0.0.3", 0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert hub.delay(None, "10.0.0.3", 0.0) == 0.0, "what a connection can't have costs its address nothing"


def test_A81_fragments_and_control_frames_count_as_frames() -> None:
    hub = hub_of(rate=1.0, burst=10)
    hub.join(ADA, "lobby", "ada")
    assert hub.charge(ADA, 9, 0.0) == []
    assert isinstance(hub.receive(ADA, '{"type":"ping","id":1}', 0.0)[0], Reply)
    assert isinstance(hub.charge(ADA, 1, 0.0)[0], Expel)
    assert len(hub.charge(ADA, 11, 1e6)) == 1, "more than a burst at once"
    assert hub.charge(99, 11, 0.0) == []


def test_a_member_may_send_a_burst_once_its_bucket_is_full() -> None:
    hub = hub_of(rate=2.0, burst=10)
    assert not hub.may_burst(ADA, 0.0), "it isn't a member"
    hub.join(ADA, "lobby", "ada")
    assert hub.may_burst(ADA, 0.0)
    hub.charge(ADA, 3, 1.0)
    assert [hub.may_burst(ADA, at) for at in (1.0, 2.4, 2.5)] == [False, False, True]
    assert hub.charge(ADA, 7, 1.0) == [], "to ask takes nothing"


def test_A81_the_rates_of_addresses_that_come_once_are_forgotten() -> None:
    hub = hub_of(rate=1.0, burst=2, address_factor=1)
    for n in range(10_000):
        hub.delay(None, f"{n}", n / 10)
        assert len(hub._addresses) <= 64
    waits = [hub.delay(None, "9999", 999.9) for _ in range(2)]
    assert waits == [0.0, 1.0], "but not before they are full"


def test_A81_rates_that_still_count_are_kept_however_many_there_are() -> None:
    hub = hub_of(rate=0.001, burst=1, address_factor=1)
    for _ in range(2):
        delays = {hub.delay(None, f"{n}", 0.0) for n in range(500)}
    assert delays == {1000.0}


# Cursors


@pytest.mark.parametrize(("history", "start"), [(None, 0), (0, 5), (2, 3), (5, 0), (50, 0)])
def test_a_first_connection_gets_the_latest(history: int | None, start: int) -> None:
    hub = filled(5)
    outputs = hub.join(ADA, "lobby", "ada", history=history)
    assert said(outputs, ADA)[0] == {"type": "welcome", "cursor": f"e-{start}"}
    assert ids(outputs, ADA) == [f"e-{n}" for n in range(start + 1, 6)]


@pytest.mark.parametrize("cursor", ["f-3", "e-6", "e-x", "e--1", "3", "", "e-", "e-٣", "e-" + "9" * 40])
def test_A60_A63_a_cursor_that_the_log_no_longer_has_means_resync(cursor: str) -> None:
    hub = filled(5)
    outputs = hub.join(ADA, "lobby", "ada", after=cursor, history=1)
    assert said(outputs, ADA)[0] == {"type": "welcome", "cursor": "e-0", "resync": True}
    assert ids(outputs, ADA) == [f"e-{n}" for n in range(1, 6)]


# Replays


def test_a_replay_continues_when_its_reader_has_read_and_new_messages_wait() -> None:
    hub = filled(5, replay_size=2)
    hub.join(BOB, "lobby", "bob")
    while hub._rooms["lobby"].behind:
        hub.go_on(BOB)
    came = hub.join(ADA, "lobby", "ada")
    assert said(came, BOB) == [{"type": "presence", "state": "joined", "sender": "ada"}]
    assert (ids(came, ADA), said(came, ADA)[-1]["type"]) == (["e-1", "e-2"], "message")
    assert came[-2] == Behind(ADA)
    more = hub.go_on(ADA)
    posts = hub.receive(BOB, text("c1", "h"), 0.0)
    typing = hub.receive(BOB, '{"type":"typing"}', 0.0)
    assert (ids(posts, BOB), said(posts, ADA), said(typing, ADA)) == (["e-6"], [], [])
    assert said(hub.join(EVE, "lobby", "eve", history=0), ADA) == []
    assert said(hub.tell_typing("lobby", "zoe"), ADA) == []
    assert said(hub.receive(ADA, '{"type":"ping","id":7}', 0.0), ADA) == [{"type": "pong", "id": 7}]
    rest = hub.go_on(ADA)
    assert (ids(more, ADA), ids(rest, ADA)) == (["e-3", "e-4"], ["e-5", "e-6"])
    assert said(rest, ADA)[-1] == {"type": "presence", "state": "here", "people": ["bob", "ada", "eve"]}
    assert hub.go_on(ADA) == []
    assert ids(hub.receive(BOB, text("c2"), 0.0), ADA) == ["e-7"]


def test_a_replay_that_the_log_has_overtaken_is_a_resync() -> None:
    hub = filled(4, retain=4, replay_size=2)
    hub.join(BOB, "lobby", "bob", history=0)
    hub.join(ADA, "lobby", "ada")
    for number in range(4):
        hub.receive(BOB, text(f"c{number}"), 0.0)
    more = hub.go_on(ADA)
    assert said(more, ADA)[0] == {"type": "welcome", "cursor": "e-4", "resync": True}
    assert ids(more, ADA)[0] == "e-5"


def test_messages_posted_during_a_replay_that_the_log_overtakes_are_acked() -> None:
    """Their echoes may never come, and the connection doesn't end, so that they would never settle."""
    hub = filled(4, retain=2, replay_size=1)
    hub.join(BOB, "lobby", "bob", history=0)
    hub.join(ADA, "lobby", "ada")
    assert said(hub.receive(ADA, text("mine"), 0.0), ADA) == []
    for number in range(4):
        hub.receive(BOB, text(f"c{number}"), 0.0)
    assert {"type": "ack", "client_id": "mine"} in said(hub.go_on(ADA), ADA)
    hub.receive(ADA, text("more"), 0.0)
    while hub._rooms["lobby"].behind:
        assert "ack" not in [frame["type"] for frame in said(hub.go_on(ADA), ADA)], "its echo is its ack"


def test_a_member_that_leaves_during_its_replay_is_forgotten() -> None:
    hub = filled(5, replay_size=2, presence_limit=1)
    hub.join(ADA, "lobby", "ada")
    hub.join(BOB, "lobby", "bob")
    assert hub.leave(ADA) == []
    assert hub.go_on(ADA) == []
    assert said(hub.go_on(BOB), ADA) == []
    assert hub.leave(BOB) == []
    assert not hub._rooms


def test_limits_are_checked() -> None:
    with pytest.raises(SettingsError, match=r"HubConfig\.rate"):
        HubConfig(rate=0.0)
