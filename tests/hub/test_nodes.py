"""Several hubs over one log: order, presence and typing across nodes."""

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
from chatlab.hub import (
    Behind,
    HubConfig,
    Log,
    LogError,
    MemoryLog,
    News,
    NodeHub,
    Notice,
    Output,
    Page,
    Person,
    Reply,
    SharedLog,
)
from chatlab.hub.log import Appended
from chatlab.hub.nodes import Report
from chatlab.messages import OutgoingMessage
from chatlab.settings import WebSocketConfig

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
CONFIG = WebSocketConfig(url="ws://h/")
ADA, BOB, CY = 1, 2, 3


class View(SharedLog):
    """One node's view of a log in memory. Reads fail once they have used up `reads`."""

    def __init__(self, log: MemoryLog, node: str = "a") -> None:
        self.log = log
        self.node = node
        self.epoch = log.epoch
        self.csrf_secret = b""
        self.reads = 10**9
        self.before_read: list[str] = []

    def append(self, room: str, sender: str, message: OutgoingMessage, posted_at: Any) -> Appended:
        return self.log.append(room, sender, message, posted_at)

    def after(self, room: str, cursor: str, limit: int = 2, size: int = 10**6) -> Page:
        self._read_once()
        return self.log.after(room, cursor, limit, size)

    def latest(self, room: str, history: int | None, limit: int = 2, size: int = 10**6) -> Page:
        self._read_once()
        return self.log.latest(room, history, limit, size)

    def _read_once(self) -> None:
        self.reads -= 1
        if self.reads < 0:
            raise LogError("unreadable")
        for text in self.before_read[:1]:
            self.before_read.remove(text)
            put(self.log, text)

    _count = _start = _read = tell = report = bury = close = reconnect = None  # type: ignore[assignment]


def put(log: Log, text: str, room: str = "lobby") -> None:
    """Post as another node does."""
    log.append(room, "eve", OutgoingMessage(text), NOON)


def node(log: MemoryLog | None = None, **limits: Any) -> NodeHub:
    config = HubConfig(**limits)
    view = View(MemoryLog("e", config) if log is None else log)
    return NodeHub(config, view, utc=lambda: NOON)


def said(outputs: Sequence[Output], member: int) -> list[Any]:
    frames = [output.frame for output in outputs if isinstance(output, Reply) and member in output.members]
    return [msgspec.json.decode(frame) for frame in frames]


def texts(outputs: Sequence[Output], member: int) -> list[str]:
    return [frame["text"] for frame in said(outputs, member) if frame["type"] == "message"]


def states(outputs: Sequence[Output], member: int) -> list[tuple[str, Any]]:
    return [
        (frame["state"], frame.get("sender") or frame.get("people"))
        for frame in said(outputs, member)
        if frame["type"] == "presence"
    ]


def frame(words: str, client_id: str = "") -> Any:
    return ChatlabDialect().encode(CONFIG, OutgoingMessage(words, client_id=client_id or words))


def view(hub: NodeHub) -> View:
    assert isinstance(hub.log, View)
    return hub.log


# Order


def test_messages_of_other_nodes_come_before_a_later_one_of_this_node() -> None:
    hub = node()
    hub.join(ADA, "lobby", "ada")
    for words in ("m1", "m2", "m3"):
        put(hub.log, words)
    out = hub.receive(ADA, frame("m4"), 0.0)
    assert out[0] == News("lobby")
    assert texts(out, ADA) == ["m1", "m2", "m3", "m4"]
    assert texts(hub.receive(ADA, frame("m5"), 0.0), ADA) == ["m5"]


def test_news_brings_the_messages_of_other_nodes_once_and_wakes_who_waits() -> None:
    hub = node()
    hub.join(ADA, "lobby", "ada")
    for words in ("m1", "m2", "m3"):
        put(hub.log, words)
    assert texts(hub.hear(Report(["lobby"])), ADA) == ["m1", "m2", "m3"]
    assert texts(hub.hear(Report(["lobby"])), ADA) == []
    assert hub.hear(Report(["attic"])) == [News("attic")]
    put(hub.log, "m4")
    out = hub.hear(Report(people=[]), waiting=["attic"])
    assert [output.room for output in out if isinstance(output, News)] == ["attic", "lobby"]
    assert texts(out, ADA) == ["m4"]


def test_a_post_from_elsewhere_reaches_a_room_without_members_by_its_news() -> None:
    hub = node()
    posted = hub.publish("lobby", "ada", OutgoingMessage("m1"))
    assert posted == ("e-1", [News("lobby")])


def test_a_known_message_is_acked_at_any_node() -> None:
    log = MemoryLog("e")
    one, other = node(log), node(log)
    one.join(ADA, "lobby", "ada")
    one.receive(ADA, frame("m1", "c1"), 0.0)
    other.join(ADA, "lobby", "ada", after="e-1")
    assert said(other.receive(ADA, frame("m1", "c1"), 0.0), ADA) == [{"type": "ack", "client_id": "c1"}]
    assert other.publish("lobby", "ada", OutgoingMessage("m2", client_id="c1")) == Nack(
        "c1", 422, "another message of this sender has that client_id; give each its own"
    )


def test_messages_that_come_during_a_replay_reach_new_and_old_members_once() -> None:
    hub = node()
    hub.join(ADA, "lobby", "ada")
    put(hub.log, "m1")
    view(hub).before_read = ["m2", "m3", "m4"]  # before the replay, before catching up, before the rest
    out = hub.join(BOB, "lobby", "bob")
    while any(isinstance(output, Behind) for output in out[-1:]):
        out += hub.go_on(BOB)
    assert texts(out, ADA) == texts(out, BOB)[: len(texts(out, ADA))]
    out += hub.hear(Report(["lobby"]))
    assert texts(out, ADA) == texts(out, BOB) == ["m1", "m2", "m3", "m4"]


def test_a_member_in_a_long_replay_gets_nothing_twice() -> None:
    hub = node()
    for words in ("m1", "m2", "m3"):
        put(hub.log, words)
    out = hub.join(ADA, "lobby", "ada")
    assert (texts(out, ADA), out[-1]) == (["m1", "m2"], Behind(ADA))
    put(hub.log, "m4")
    assert texts(hub.hear(Report(["lobby"])), ADA) == []
    assert texts(hub.go_on(ADA), ADA) == ["m3", "m4"]


@given(st.lists(st.sampled_from(["post here", "post there", "news", "join", "go on"]), max_size=25))
def test_whatever_nodes_do_each_member_gets_each_message_once_and_in_order(deeds: list[str]) -> None:
    hub = node()
    got: dict[int, list[str]] = {}
    pending: list[int] = []
    sent = 0

    def take(out: Sequence[Output]) -> None:
        for member, theirs in got.items():
            theirs += texts(out, member)
        pending.extend(output.member for output in out if isinstance(output, Behind))

    for deed in [*deeds, "news"]:
        if deed == "join":
            got[len(got) + 1] = []
            take(hub.join(len(got), "lobby", f"p{len(got)}"))
        elif deed == "news":
            take(hub.hear(Report(["lobby"])))
        elif deed == "go on" and pending:
            take(hub.go_on(pending.pop(0)))
        elif deed != "go on":
            sent += 1
            if deed == "post there":
                put(hub.log, f"m{sent}")
            else:
                posted = hub.publish("lobby", "eve", OutgoingMessage(f"m{sent}"))
                assert isinstance(posted, tuple)
                take(posted[1])
    while pending:
        take(hub.go_on(pending.pop(0)))
    for theirs in got.values():
        assert theirs == [f"m{number}" for number in range(1, sent + 1)]


def test_members_learn_that_messages_of_other_nodes_were_dropped_before_they_could_be_read() -> None:
    hub = node(MemoryLog("e", HubConfig(retain=2)))
    hub.join(ADA, "lobby", "ada")
    for words in ("m1", "m2", "m3"):
        put(hub.log, words)
    out = hub.hear(Report(["lobby"]))
    assert said(out, ADA)[0] == {"type": "welcome", "cursor": "e-1", "resync": True}
    assert texts(out, ADA) == ["m2", "m3"]


# A log that can't be read


def test_a_member_that_cannot_be_given_its_replay_is_not_there() -> None:
    hub = node()
    view(hub).reads = 2
    with pytest.raises(LogError):
        hub.join(ADA, "lobby", "ada")
    assert (hub.notices, hub.leave(ADA)) == ([], [])


def test_a_member_whose_last_messages_cannot_be_read_remains_behind() -> None:
    hub = node()
    hub.join(ADA, "lobby", "ada")
    view(hub).before_read = ["m1", "m2"]
    view(hub).reads = 2  # the replay, and to catch up
    out = hub.join(BOB, "lobby", "bob")
    assert (texts(out, ADA), texts(out, BOB), out[-2]) == (["m1", "m2"], ["m1"], Behind(BOB))
    view(hub).reads = 9
    assert texts(hub.go_on(BOB), BOB) == ["m2"]


def test_what_cannot_be_read_comes_later() -> None:
    hub = node()
    hub.join(ADA, "lobby", "ada")
    for words in ("m1", "m2", "m3"):
        put(hub.log, words)
    view(hub).reads = 1  # the first page of two
    assert texts(hub.hear(Report(["lobby"])), ADA) == ["m1", "m2"]
    assert hub.hear(Report()) == []
    view(hub).reads = 9
    assert texts(hub.hear(Report()), ADA) == ["m3"]


def test_a_stored_message_is_acked_even_if_earlier_ones_cannot_be_read() -> None:
    hub = node()
    hub.join(ADA, "lobby", "ada")
    put(hub.log, "m1")
    view(hub).reads = 0
    assert hub.receive(ADA, frame("m2"), 0.0) == [News("lobby")]
    view(hub).reads = 9
    assert texts(hub.hear(Report()), ADA) == ["m1", "m2"]


# Presence and typing


def notice(kind: Any, sender: str = "bob", room: str = "lobby", node: str = "b") -> Notice:
    return Notice(kind, room, sender, node)


def test_people_of_other_nodes_are_here_and_come_and_go() -> None:
    hub = node()
    hub.hear(Report(notices=[notice("joined")]))
    assert states(hub.join(ADA, "lobby", "ada"), ADA) == [("here", ["ada", "bob"])]
    out = hub.hear(Report(notices=[notice("joined", "cy"), notice("left"), notice("left", "dan")]))
    assert states(out, ADA) == [("joined", "cy"), ("left", "bob")]
    assert hub.hear(Report(notices=[notice("left", "cy", "attic")])) == []


def test_other_nodes_are_told_who_joins_leaves_and_types() -> None:
    hub = node()
    hub.join(ADA, "lobby", "ada")
    assert hub.receive(ADA, '{"type":"typing"}', 0.0) == []
    hub.tell_typing("attic", "bob")
    hub.leave(ADA)
    hub.leave(ADA)
    assert hub.notices == [
        Notice("joined", "lobby", "ada"),
        Notice("typing", "lobby", "ada"),
        Notice("typing", "attic", "bob"),
        Notice("left", "lobby", "ada"),
    ]


def test_a_node_corrects_what_the_log_has_of_its_people() -> None:
    hub = node()
    hub.join(ADA, "lobby", "ada")
    hub.join(BOB, "attic", "bob")
    hub.join(CY, "attic", "bob")
    hub.leave(ADA)
    hub.notices = []
    kept = [Person("a", "attic", "bob"), Person("a", "lobby", "ada"), Person("b", "attic", "eve")]
    assert states(hub.hear(Report(people=kept)), BOB) == [("joined", "eve")]
    assert hub.notices == [Notice("left", "lobby", "ada", "a"), Notice("joined", "attic", "bob", "a")]


def test_typing_elsewhere_is_told_to_the_others_here_without_being_told_on() -> None:
    hub = node()
    hub.join(ADA, "lobby", "ada")
    hub.join(BOB, "lobby", "bob")
    hub.notices.clear()
    out = hub.hear(Report(notices=[notice("typing")]))
    assert (said(out, ADA), said(out, BOB)) == ([{"type": "typing", "sender": "bob"}], [])
    assert hub.notices == []


def test_a_whole_list_of_people_replaces_those_known() -> None:
    hub = node()
    hub.join(ADA, "lobby", "ada")
    hub.hear(Report(notices=[notice("joined"), notice("joined"), notice("joined", "cy", "attic")]))
    out = hub.hear(Report(people=[Person("b", "lobby", "bob"), Person("c", "lobby", "dan")]))
    assert states(out, ADA) == [("left", "bob"), ("joined", "dan")]
    assert states(hub.join(CY, "lobby", "cy"), CY) == [("here", ["ada", "cy", "bob", "dan"])]


def test_the_limit_of_presence_counts_the_people_of_all_nodes() -> None:
    hub = node(presence_limit=2)
    hub.join(ADA, "lobby", "ada")
    assert states(hub.hear(Report(notices=[notice("joined")])), ADA) == [("joined", "bob")]
    assert states(hub.join(CY, "lobby", "cy"), CY) == []
    assert states(hub.hear(Report(notices=[notice("left")])), ADA) == []
    assert states(hub.leave(CY), ADA) == [("left", "cy")]
