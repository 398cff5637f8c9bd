"""Random changes by a user: each message reaches its place once, and no message of others is skipped."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.conversation import Conversation, OwnMessage, Place, ReceivedMessage, place_of
from chatlab.experiment.worlds.wire_world import WireLines, talk_on_wire
from chatlab.live.client.kinds import make_config
from chatlab.live.client.kinds import make_transport as make
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ChatEvent, ConnectionStatus, StatusChange
from chatlab.settings import AnyConfig, ReconnectConfig
from tests.live.watch import until

KINDS = ("websocket", "sse", "long_polling", "short_polling", "fallback")
ROOMS = ("lobby", "attic")
NAMES = ("ada", "eve")
NOWHERE = "http://127.0.0.1:9"
FOR_EVER = 600.0
"""Seconds of virtual time."""

ACTS = ("say", "bob", "stop", "start", "retry", "setting", "nowhere")

acts = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(ACTS), st.just("")),
        st.tuples(st.just("kind"), st.sampled_from(KINDS)),
        st.tuples(st.just("room"), st.sampled_from(ROOMS)),
        st.tuples(st.just("name"), st.sampled_from(NAMES)),
        st.tuples(st.just("wait"), st.sampled_from(["0", "0.02", "0.1", "1", "5"])),
    ),
    max_size=20,
)


def transport(config: AnyConfig) -> ChatTransport:
    return make(config, loop="current", uniform=lambda: 0.5)


class Notes:
    """A display that records what it shows."""

    def __init__(self) -> None:
        self.others: list[str] = []
        self.gaps = 0
        self.shown: Counter[str] = Counter()

    def accepted(self, own: OwnMessage) -> None:
        self.shown[own.key] += 1

    def settled(self, own: OwnMessage) -> None:
        assert self.shown[own.key] == 1

    def received(self, received: ReceivedMessage) -> None:
        self.others.append(received.message.text)

    def notice(self, text: str, *, warning: bool = False) -> None:
        self.gaps += "missing" in text

    def moved(self, before: Place) -> None:
        pass

    def status(self, change: StatusChange) -> None:
        pass

    def changed(self) -> None:
        pass


class Story:
    """Ada, or eve, changes places; bob writes in both rooms from time to time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.notes = Notes()
        self.conversation = Conversation(self.notes, make=transport, loop=asyncio.get_running_loop())
        self.where = {"kind": "websocket", "room": "lobby", "name": "ada", "url": url}
        self.delay = 30.0
        self.written: list[tuple[str, str, str]] = []
        self.bobs: dict[str, ChatTransport] = {}
        self.said: list[str] = []

    def config(self) -> AnyConfig:
        where = self.where
        return make_config(
            where["kind"],
            where["url"],
            room=where["room"],
            sender=where["name"],
            history=None,
            interval=0.5,
            reconnect=ReconnectConfig(max_attempts=None, base_delay=0.1, max_delay=self.delay),
            error_delay=0.1,
        )

    async def act(self, act: str, value: str) -> None:
        match act:
            case "say":
                text = f"own {len(self.written)}"
                self.conversation.submit(text)
                room = self.where["room"] if self.where["url"] == self.url else ""
                self.written.append((room, self.where["name"], text))
            case "bob":
                self.said.append(f"bob {len(self.said)}")
                for bob in self.bobs.values():
                    await bob.send(self.said[-1])
            case "stop":
                self.conversation.stop()
            case "start":
                self.conversation.start()
            case "retry":
                self.conversation.retry_all()
            case "wait":
                await asyncio.sleep(float(value))
            case _:
                self.change(act, value)

    def change(self, what: str, value: str) -> None:
        if what == "setting":
            self.delay += 1
        elif what == "nowhere":  # and back
            self.where["url"] = NOWHERE if self.where["url"] == self.url else self.url
        else:
            self.where[what] = value
        self.conversation.switch_to(self.config())

    async def end(self) -> None:
        """Go to every place, and retry the undelivered messages."""
        self.where["url"] = self.url
        for room in ROOMS:
            for name in NAMES:
                self.where |= {"room": room, "name": name, "kind": "websocket"}
                self.conversation.switch_to(self.config())
                self.conversation.start()
                await until(
                    lambda: self.conversation.last_change.status is ConnectionStatus.CONNECTED, FOR_EVER
                )
                self.conversation.retry_all()
                await until(lambda: not self.conversation.waiting, FOR_EVER)
                await asyncio.sleep(1)
        self.conversation.stop()
        assert self.conversation.transport is not None
        await self.conversation.transport.disconnect()


async def logs(url: str) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for room in ROOMS:
        events: list[ChatEvent] = []
        reader = transport(make_config("websocket", url, room=room, sender="reader", history=None))
        reader.on_message(events.append)
        async with reader:
            await asyncio.sleep(2)
        found[room] = [(e.message.sender, e.message.text) for e in events if e.message is not None]
    return found


async def live(url: str, script: list[tuple[str, str]]) -> None:
    story = Story(url)
    for room in ROOMS:
        story.bobs[room] = transport(make_config("websocket", url, room=room, sender="bob", history=0))
        await story.bobs[room].connect()
    story.conversation.switch_to(story.config())
    story.conversation.start()
    for act, value in script:
        await story.act(act, value)
    await story.end()
    for bob in story.bobs.values():
        await bob.disconnect()
    found = await logs(url)
    for room in ROOMS:
        own = [(sender, text) for sender, text in found[room] if sender != "bob"]
        meant = [(name, text) for where, name, text in story.written if where == room]
        assert Counter(own) == Counter(meant), "once each, and nothing from elsewhere"
        assert [text for sender, text in found[room] if sender == "bob"] == story.said
    assert Counter(story.notes.others) == Counter(story.said * len(ROOMS)), "all that others said, once"
    assert story.notes.gaps == 0
    assert all(
        own.place.server != place_of(story.config()).server for own in story.conversation.undelivered()
    )
    assert set(story.notes.shown.values()) <= {1}


@pytest.mark.slow
@settings(max_examples=15)
@given(acts)
def test_A101_A102_A103_a_story_of_changes(script: list[tuple[str, str]]) -> None:
    async def work(url: str, lines: WireLines) -> None:
        await live(url, script)

    talk_on_wire(work)
