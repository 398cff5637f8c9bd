"""Panel and console: no change of settings loses, doubles, skips or misdirects a message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import OutgoingMessage
from tests.conversation.displays import AtConsole, AtPanel, Person, connected, placed, stopped
from tests.live.watch import until, websocket

DISPLAYS = [AtPanel, AtConsole]
CHANGES = [("transport", "sse"), ("transport", "fallback"), ("transport", "short_polling"), ("setting", "")]
ELSEWHERE = ["room", "name", "server"]

Display = Callable[..., Person]
Somebody = TypeVar("Somebody", bound=Person)
displays = pytest.mark.parametrize("display", DISPLAYS, ids=lambda display: display.__name__)


@asynccontextmanager
async def at(display: Callable[..., Somebody], url: str, **settings: Any) -> AsyncIterator[Somebody]:
    person = display(url, **settings)
    try:
        yield person
    finally:
        await person.leave()


@asynccontextmanager
async def restarting() -> AsyncIterator[EmbeddedServer]:
    """Yield a server that a test stops and restarts."""
    server = EmbeddedServer()
    await server.start()
    try:
        yield server
    finally:
        if server.running:
            await server.stop(abrupt=True)


@asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """Yield the URL of a server that sends each frame back to its sender, and keeps none."""

    async def echo(connection: ServerConnection) -> None:
        async for frame in connection:
            await connection.send(frame)

    async with serve(echo, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def post(url: str, texts: list[str], room: str = "lobby", sender: str = "bob") -> None:
    async with websocket(url, sender=sender, room=room, history=0, loop="current") as bob:
        for receipt in [await bob.send(text) for text in texts]:
            await receipt.settled()


async def read(url: str, room: str = "lobby") -> list[tuple[str, str]]:
    """Return the messages in a room's log."""
    events: list[Any] = []
    reader = websocket(url, sender="reader", room=room, history=None, loop="current")
    reader.on_message(events.append)
    async with reader:
        await (await reader.send("end")).settled()
        await until(lambda: any(event.message and event.message.text == "end" for event in events))
    messages = [event.message for event in events if event.message]
    return [(message.sender, message.text) for message in messages if message.sender != "reader"]


@displays
@pytest.mark.parametrize(("what", "value"), CHANGES)
async def test_A103_no_message_is_skipped_by_a_change(display: Display, what: str, value: str) -> None:
    async with EmbeddedServer() as server, at(display, server.url, history=5) as ada:
        await placed(ada)
        await stopped(ada)
        texts = [f"{n}" for n in range(30)]  # and not one before: the room was empty
        await post(server.ws_url, texts)
        await ada.change(what, value)
        ada.conversation.start()
        await until(lambda: len(ada.heard()) >= 30)
        assert ada.heard() == [("bob", text) for text in texts], "though the history is five"
        assert "missing" not in ada.notices()


@displays
async def test_A103_a_gap_that_cant_be_closed_is_reported(display: Display) -> None:
    async with echoing() as url, at(display, url, dialect="text") as ada:
        await connected(ada)
        assert "missing" not in ada.notices()
        await ada.change("setting", "")
        await connected(ada)
        await until(lambda: "this server doesn't replay missed messages" in ada.notices())


@pytest.mark.slow
@displays
@pytest.mark.parametrize(("what", "value"), CHANGES)
async def test_A102_what_is_unsettled_goes_along_through_several_changes(
    display: Display, what: str, value: str
) -> None:
    async with restarting() as server, at(display, server.url) as ada:
        await connected(ada)
        await server.stop(abrupt=True)
        texts = [f"{n}" for n in range(5)]
        for text in texts[:3]:
            ada.say(text)
        before = [own.written_at for own in ada.conversation.under_way()]
        await ada.change(what, value)
        ada.say(texts[3])  # while the one before may still be ending
        await ada.change("transport", "long_polling")
        ada.say(texts[4])
        assert [own.written_at for own in ada.conversation.under_way()][:3] == before
        await server.start()
        await until(lambda: list(ada.states().values()) == ["acked"] * 5)
        assert await read(server.ws_url) == [("ada", text) for text in texts]
        assert (ada.conversation.waiting, ada.conversation.lost) == (0, 0)


@pytest.mark.slow
@displays
async def test_A102_settings_that_cant_connect_keep_what_is_unsettled(display: Display) -> None:
    async with restarting() as server, at(display, server.url) as ada:
        await connected(ada)
        await server.stop(abrupt=True)
        ada.say("kept")
        await ada.change("transport", "sse")
        await ada.change("server", "http://127.0.0.1:9")
        await until(lambda: ada.states() == {"kept": "undelivered"})
        await ada.change("server", server.url)
        await server.start()
        await connected(ada)
        await ada.retry("kept")
        await until(lambda: ada.states() == {"kept": "acked"})


@pytest.mark.slow
@displays
@pytest.mark.parametrize("what", ELSEWHERE)
async def test_A101_a_message_goes_only_to_the_place_it_was_written_for(display: Display, what: str) -> None:
    async with restarting() as server, EmbeddedServer() as other, at(display, server.url) as ada:
        here, there = {
            "room": ("lobby", "public"),
            "name": ("ada", "eve"),
            "server": (server.ws_url, other.ws_url),
        }[what]
        await connected(ada)
        await server.stop(abrupt=True)
        ada.say("for here only")
        await ada.change(what, there)
        await server.start()
        await connected(ada)
        await until(lambda: ada.states() == {"for here only": "undelivered"})
        (left,) = ada.conversation.undelivered()
        assert left.reason.startswith("for room lobby")
        ada.conversation.typing()
        for url, room in ((server.ws_url, "lobby"), (server.ws_url, "public"), (other.ws_url, "lobby")):
            assert await read(url, room) == []
        await ada.retry("for here only")
        assert ada.states() == {"for here only": "undelivered"}, "not from there"
        await ada.change(what, here)
        await until(lambda: "1 message for this place is undelivered." in ada.notices())
        await ada.retry("for here only")
        await until(lambda: ada.states() == {"for here only": "acked"})
        assert await read(server.ws_url) == [("ada", "for here only")]
        assert await read(server.ws_url, "public") == await read(other.ws_url) == []


@displays
async def test_A103_a_room_is_resumed_at_the_cursor_where_it_was_left(display: Display) -> None:
    async with EmbeddedServer() as server, at(display, server.url, history=2) as ada:
        await placed(ada)
        await ada.change("room", "other")
        await connected(ada)
        texts = [f"{n}" for n in range(9)]
        await post(server.ws_url, texts)
        await post(server.ws_url, ["there"], "other")
        await until(lambda: ada.heard() == [("bob", "there")])
        await ada.change("room", "lobby")
        await until(lambda: len(ada.heard()) >= 10)
        assert ada.heard()[1:] == [("bob", text) for text in texts], "though the history is two"
        assert "Switched to room other." in ada.notices()


@displays
async def test_A104_what_a_peer_chooses_changes_nobodys_message(display: Display) -> None:
    async with EmbeddedServer() as server, at(display, server.url) as ada:
        await connected(ada)
        receipt = ada.conversation.submit("I agree to pay 10")
        await until(lambda: ada.states() == {"I agree to pay 10": "acked"})
        async with websocket(server.ws_url, sender="bob", loop="current") as bob:
            await (await bob.send(OutgoingMessage("bob was here", client_id="bob-1"))).settled()
        await until(lambda: ada.heard() == [("bob", "bob was here")])
        async with websocket(server.ws_url, sender="eve", loop="current") as eve:
            for id in (receipt.client_id, "bob-1"):
                await (await eve.send(OutgoingMessage(f"eve as {id}", client_id=id))).settled()
        await until(lambda: len(ada.heard()) == 3)
        assert ada.heard() == [
            ("bob", "bob was here"),
            ("eve", f"eve as {receipt.client_id}"),
            ("eve", "eve as bob-1"),
        ]
        assert ada.states() == {"I agree to pay 10": "acked"}


@displays
async def test_A105_without_acks_a_sent_message_is_settled(display: Display) -> None:
    async with echoing() as url, at(display, url, dialect="text") as ada:
        await connected(ada)
        for n in range(30):
            ada.say(f"{n}")
        await until(lambda: len(ada.heard()) == 30)
        await until(lambda: ada.conversation.waiting == 0)
        assert (ada.conversation.undelivered(), ada.conversation.under_way(), ada.conversation.lost) == (
            [],
            [],
            0,
        )
        if isinstance(ada, AtPanel):
            assert ada.panel.badge._snapshot()["waiting"] == 0


@displays
@pytest.mark.parametrize("end", ["leaves", "room", "stop"])
async def test_A106_a_typing_notice_ends_with_its_sender(display: Display, end: str) -> None:
    async with EmbeddedServer() as server, at(display, server.url) as ada:
        await connected(ada)
        async with websocket(server.ws_url, sender="bob", loop="current") as bob:
            bob.typing()
            await until(lambda: ada.conversation.typists() == ("bob",))
            if end == "room":
                await ada.change("room", "other")
            elif end == "stop":
                await stopped(ada)
            else:
                await bob.disconnect()
            await until(lambda: ada.conversation.typists() == ())
            if isinstance(ada, AtPanel):
                await until(lambda: ada.panel.messages._notes["typing"]["names"] == [])
