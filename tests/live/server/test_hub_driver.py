"""The hub's driver, with peers that record frames; `test_embedded_server` has it with real connections."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from chatlab.dialects.base import Nack
from chatlab.hub import HubConfig, LogError, MemoryLog
from chatlab.hub.requests import UNREADABLE, Join
from chatlab.live.server.hub_driver import MAX_BATCH, TOO_SLOW, HubDriver, at_once
from chatlab.messages import OutgoingMessage


class Notebook:
    """A peer that records the frames it gets, up to `room` of them."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.frames: list[dict[str, Any]] = []
        self.writes: list[int] = []
        self.closed: list[tuple[int, str]] = []
        self.admitted_after = -1
        self.go_on: Callable[[], None] | None = None

    def when_read(self, go_on: Callable[[], None]) -> None:
        self.go_on = go_on

    def read(self) -> None:
        """Read everything, and get the frames that follow."""
        while self.go_on is not None:
            go_on, self.go_on = self.go_on, None
            go_on()

    def write(self, *frames: str | bytes) -> bool:
        if len(self.frames) >= self.room:
            return False
        self.frames += map(json.loads, frames)
        self.writes.append(len(frames))
        return True

    def begin_replay(self) -> None:
        self.admitted_after = -1

    def end_replay(self) -> None:
        self.admitted_after = len(self.frames)

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def texts(self) -> list[str]:
        return [frame["text"] for frame in self.frames if frame["type"] == "message"]

    def gone(self) -> list[str]:
        return [frame["sender"] for frame in self.frames if frame.get("state") == "left"]


class Lobby:
    """A driver on a clock that is set by hand, with turns that end by hand if `turns` is true."""

    def __init__(self, *, turns: bool = False, **limits: Any) -> None:
        self.now = 0.0
        self.soon: list[Callable[[], object]] = []
        self.driver = HubDriver(
            HubConfig(**limits),
            None,
            epoch="e",
            clock=lambda: self.now,
            utc=lambda: datetime(2026, 11, 23, tzinfo=UTC),
            soon=self.soon.append if turns else at_once,
        )

    def end_turn(self) -> None:
        soon, self.soon[:] = self.soon[:], []
        for work in soon:
            work()

    def join(self, sender: str, peer: Notebook) -> int:
        return self.driver.join(peer, Join("lobby", sender, None, None))

    def post(self, sender: str, text: str, client_id: str = "") -> str:
        """Post as somebody who isn't a member; return the message's id."""
        posted = self.driver.hub.publish("lobby", sender, OutgoingMessage(text, client_id=client_id))
        assert not isinstance(posted, Nack)
        id, outputs = posted
        self.driver.carry_out(outputs)
        return id

    def say(self, member: int, text: str) -> None:
        self.driver.receive(member, json.dumps({"type": "message", "text": text}))


def test_a_peer_is_admitted_after_its_replay() -> None:
    lobby = Lobby()
    ada = lobby.join("ada", Notebook())
    lobby.say(ada, "one")
    bob = Notebook()
    lobby.join("bob", bob)
    assert [frame["type"] for frame in bob.frames] == ["welcome", "message", "presence"]
    assert bob.admitted_after == 3


def test_a_replay_comes_in_pages_as_it_is_read_and_then_the_news() -> None:
    lobby = Lobby(turns=True, replay_size=3)
    ada, bob = Notebook(), Notebook()
    number = lobby.join("ada", ada)
    for text in ("one", "two", "three"):
        lobby.say(number, text)
    lobby.join("bob", bob)
    assert (bob.texts(), bob.admitted_after) == (["one"], 2)
    lobby.say(number, "four")
    lobby.end_turn()
    assert (ada.texts()[-1], bob.texts()) == ("four", ["one"])
    bob.read()
    assert bob.texts() == ["one", "two", "three", "four"]
    assert bob.admitted_after == len(bob.frames)
    lobby.say(number, "five")
    lobby.end_turn()
    assert bob.texts() == ["one", "two", "three", "four", "five"]


def test_a_member_that_leaves_during_its_replay_gets_no_more_of_it() -> None:
    lobby = Lobby(replay_size=1)
    number = lobby.join("ada", Notebook())
    for text in ("one", "two", "three"):
        lobby.say(number, text)
    bob = Notebook()
    lobby.driver.leave(lobby.join("bob", bob))
    bob.read()
    assert bob.texts() == ["one"]


class Unreadable(MemoryLog):
    """A log that can be read only once."""

    reads = 1

    def _read(self, *args: Any) -> Any:
        self.reads -= 1
        if self.reads < 0:
            raise LogError("damaged")
        return super()._read(*args)


def test_only_a_member_whose_replay_can_not_be_read_is_notified() -> None:
    lobby = Lobby(replay_size=1)
    ada, bob, eve = Notebook(), Notebook(), Notebook()
    number = lobby.join("ada", ada)
    log = lobby.driver.hub.log = Unreadable("e")
    for text in ("one", "two"):
        lobby.say(number, text)
    log.reads = 1
    lobby.join("bob", bob)
    bob.read()
    lobby.join("eve", eve)
    assert bob.closed == eve.closed == [(1011, UNREADABLE)]
    assert (bob.texts(), eve.texts(), ada.closed) == (["one"], [], [])
    assert (lobby.driver.people, ada.gone()) == (1, ["bob"])


def test_fragments_and_control_frames_are_charged_to_their_sender() -> None:
    lobby = Lobby(rate=1.0, burst=10)
    ada = Notebook()
    number = lobby.join("ada", ada)
    assert lobby.driver.charge(number, 10)
    assert not lobby.driver.charge(number, 1)
    assert [code for code, _ in ada.closed] == [1013]
    assert not lobby.driver.charge(number, 1)


def test_frames_of_an_expelled_member_are_ignored() -> None:
    lobby = Lobby(rate=1.0, burst=1)
    own, other = Notebook(), Notebook()
    ada = lobby.join("ada", own)
    lobby.join("bob", other)
    lobby.say(ada, "one")
    lobby.say(ada, "two")
    assert [code for code, _ in own.closed] == [1013]
    assert other.gone() == ["ada"]
    lobby.now = 100.0
    lobby.say(ada, "three")
    lobby.driver.leave(ada)
    lobby.driver.leave(ada)
    assert other.texts() == ["one"]
    assert other.gone() == ["ada"]
    assert (lobby.driver.people, lobby.driver.rooms) == (1, 1)


def test_slow_readers_are_expelled_one_by_one_and_the_rest_notified() -> None:
    lobby = Lobby()
    ada = Notebook()
    number = lobby.join("ada", ada)
    slow = [Notebook(room=4), Notebook(room=3)]
    for name, peer in zip(("bob", "eve"), slow, strict=True):
        lobby.join(name, peer)
    for text in ("one", "two", "three"):
        lobby.say(number, text)
    assert [peer.closed for peer in slow] == [[(1013, TOO_SLOW)], [(1013, TOO_SLOW)]]
    assert ada.texts() == ["one", "two", "three"]
    assert sorted(ada.gone()) == ["bob", "eve"]
    assert lobby.driver.people == 1


def test_frames_of_a_room_in_one_turn_are_one_write_in_order() -> None:
    lobby = Lobby(turns=True, presence_limit=0)
    ada, bob, eve = Notebook(), Notebook(), Notebook()
    first, second = lobby.join("ada", ada), lobby.join("bob", bob)
    lobby.driver.join(eve, Join("attic", "eve", None, None))
    lobby.end_turn()
    before = len(bob.writes)
    for text in ("one", "two"):
        lobby.say(first, text)
    lobby.driver.receive(second, '{"type":"ping","id":7}')
    for text in ("three", "four"):
        lobby.say(second, text)
    assert (ada.texts(), bob.texts(), len(lobby.soon)) == ([], [], 1)
    lobby.end_turn()
    assert ada.texts() == bob.texts() == ["one", "two", "three", "four"]
    assert [frame["type"] for frame in bob.frames[1:]] == ["message", "message", "pong", "message", "message"]
    assert bob.writes[before:] == [2, 1, 2]
    assert eve.texts() == []
    lobby.say(first, "five")
    lobby.end_turn()
    assert bob.texts()[-1] == "five"


def test_a_new_member_gets_messages_of_the_same_turn_once() -> None:
    lobby = Lobby(turns=True)
    ada, bob = Notebook(), Notebook()
    first = lobby.join("ada", ada)
    lobby.say(first, "one")
    lobby.join("bob", bob)
    lobby.say(first, "two")
    lobby.end_turn()
    assert ada.texts() == bob.texts() == ["one", "two"]
    assert bob.admitted_after == 3


def test_members_get_a_message_before_its_sender_is_answered() -> None:
    lobby = Lobby(turns=True)
    ada = Notebook()
    number = lobby.join("ada", ada)
    lobby.say(number, "one")
    assert lobby.post("bob", "two") == "e-2"
    assert ada.texts() == ["one", "two"]
    lobby.end_turn()
    assert ada.texts() == ["one", "two"]


def test_a_member_expelled_in_a_turn_has_got_all_earlier_frames() -> None:
    lobby = Lobby(turns=True, rate=1.0, burst=2)
    ada = Notebook()
    number = lobby.join("ada", ada)
    for text in ("one", "two", "three"):
        lobby.say(number, text)
    assert (ada.texts(), [code for code, _ in ada.closed]) == (["one", "two"], [1013])
    lobby.end_turn()
    assert ada.texts() == ["one", "two"]


def test_slow_readers_are_checked_again_within_a_long_turn() -> None:
    lobby = Lobby(turns=True, presence_limit=0)
    ada, bob = Notebook(), Notebook(room=2)
    number = lobby.join("ada", ada)
    lobby.join("bob", bob)
    for _ in range(3):
        lobby.say(number, "x" * (MAX_BATCH // 5))
    for _ in range(3):
        lobby.say(number, "y" * (MAX_BATCH // 5))
    lobby.end_turn()
    assert ada.writes[-2:] == [4, 2]
    assert (len(bob.texts()), bob.closed) == (4, [(1013, TOO_SLOW)])


def test_a_waiting_poll_is_woken_once_by_the_next_message_of_the_room() -> None:
    lobby = Lobby()
    ada = lobby.join("ada", Notebook())
    woken: list[str] = []
    waiting = lobby.driver.waiting
    with (
        waiting("lobby", lambda: woken.append("one")),
        waiting("attic", lambda: woken.append("elsewhere")),
        waiting("lobby", lambda: woken.append("two")),
    ):
        with waiting("lobby", lambda: woken.append("gone")):
            pass
        assert not woken
        lobby.say(ada, "hello")
        lobby.say(ada, "again")
        assert woken == ["one", "two"]
        with waiting("lobby", lambda: woken.append("three")):
            lobby.post("eve", "from outside", "c1")
            with waiting("lobby", lambda: woken.append("nothing new")):
                lobby.post("eve", "from outside", "c1")
        assert woken == ["one", "two", "three"]
    assert not lobby.driver._waiting


def test_a_woken_poll_finds_the_message() -> None:
    lobby = Lobby()
    found: list[str] = []
    with lobby.driver.waiting(
        "lobby", lambda: found.extend(m.text for m in lobby.driver.hub.read("lobby", None, None).messages)
    ):
        assert lobby.post("eve", "hello") == "e-1"
    assert found == ["hello"]
