"""The hub's driver, with peers that are notebooks; tests/live/test_server.py has it with real connections."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from chatlab.hub import HubConfig
from chatlab.live.hub_driver import TOO_SLOW, HubDriver, Posted
from chatlab.messages import OutgoingMessage


class Notebook:
    """A peer that writes down what it's sent, up to `room` frames."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.frames: list[dict[str, Any]] = []
        self.closed: list[tuple[int, str]] = []
        self.admitted_after = -1

    def write(self, frame: str | bytes) -> bool:
        if len(self.frames) >= self.room:
            return False
        self.frames.append(json.loads(frame))
        return True

    def admit(self) -> None:
        self.admitted_after = len(self.frames)

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def texts(self) -> list[str]:
        return [frame["text"] for frame in self.frames if frame["type"] == "message"]

    def gone(self) -> list[str]:
        return [frame["sender"] for frame in self.frames if frame.get("state") == "left"]


class Lobby:
    """A driver, on a clock that is set by hand."""

    def __init__(self, **limits: Any) -> None:
        self.now = 0.0
        self.driver = HubDriver(
            HubConfig(**limits),
            None,
            epoch="e",
            clock=lambda: self.now,
            utc=lambda: datetime(2026, 11, 23, tzinfo=UTC),
        )

    def join(self, sender: str, peer: Notebook) -> int:
        return self.driver.join(peer, "lobby", sender, after=None, history=None)

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


def test_who_was_expelled_is_not_heard_any_more() -> None:
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


def test_slow_readers_are_expelled_one_by_one_and_the_rest_told() -> None:
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


def test_who_waits_is_woken_once_by_the_next_message_of_the_room() -> None:
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
            lobby.driver.post("lobby", "eve", OutgoingMessage("from outside", client_id="c1"))
            with waiting("lobby", lambda: woken.append("nothing new")):
                lobby.driver.post("lobby", "eve", OutgoingMessage("from outside", client_id="c1"))
        assert woken == ["one", "two", "three"]
    assert not lobby.driver._waiting


def test_who_waits_finds_the_message_that_woke_it() -> None:
    lobby = Lobby()
    found: list[str] = []
    with lobby.driver.waiting(
        "lobby", lambda: found.extend(m.text for m in lobby.driver.hub.read("lobby", None, None).messages)
    ):
        assert lobby.driver.post("lobby", "eve", OutgoingMessage("hello")) == Posted("e-1", True)
    assert found == ["hello"]
