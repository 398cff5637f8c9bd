"""`GET /messages` and `GET /messages/poll` on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from chatlab.hub import HubConfig, MemoryLog
from chatlab.live.server.connections import Limits
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.live.server.store import Store
from tests.http_clients import http_client
from tests.live.server.members import get, join, open_connections, raw, rest_of
from tests.live.server.visitors import PATIENCE, asked, listen, visit
from tests.live.watch import until

FOREVER = 1e6
"""Seconds for which no test waits."""


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    """Run a server that holds polls for as long as they ask."""
    async with EmbeddedServer(limits=Limits(max_hold=FOREVER)) as server:
        yield server


def held(server: EmbeddedServer) -> int:
    """Return the number of polls that wait."""
    assert server._runtime
    return sum(len(waiting) for waiting in server._runtime.driver._waiting.values())


async def holding(server: EmbeddedServer, count: int) -> None:
    await until(lambda: held(server) == count)


# Pages


async def test_a_page_cut_by_its_limit_says_that_there_is_more(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        ids = await ada.say(*(f"m{number}" for number in range(5)))
        for path in ("/messages", "/messages/poll"):
            cut = await ada.get(path, limit=3, hold=0)
            assert [message["id"] for message in cut.json()] == ids[:3]
            assert (cut.headers["Chat-Cursor"], cut.headers["Chat-More"]) == (ids[2], "1")
            rest = await ada.get(path, limit=2, after=ids[2])
            assert [message["id"] for message in rest.json()] == ids[3:]
            assert (rest.headers["Chat-Cursor"], "Chat-More" in rest.headers) == (ids[4], False)


async def test_a_page_that_was_cut_by_its_size_says_so_too(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        await ada.say(*("x" * 65_000 for _ in range(20)))
        cut = await ada.get("/messages")
        assert (len(cut.json()), cut.headers["Chat-More"]) == (16, "1")
        rest = await ada.get("/messages", after=cut.headers["Chat-Cursor"])
        assert (len(rest.json()), "Chat-More" in rest.headers) == (4, False)


async def test_a60_the_refusal_of_a_lost_cursor_has_the_next_one() -> None:
    config = HubConfig(retain=4)
    async with EmbeddedServer(config=config) as server, visit(server) as ada:
        ids = await ada.say(*(f"m{number}" for number in range(9)))
        for path in ("/messages", "/messages/poll"):
            for cursor in (ids[0], "other-1", "", "x" * 4000):
                gone = await ada.get(path, after=cursor)
                assert gone.status_code == 410
                rest = await ada.get(path, after=gone.headers["Chat-Cursor"])
                kept = [message["id"] for message in rest.json()]
                assert (rest.status_code, kept) == (200, ids[-len(kept) :])
                assert len(kept) >= 4


@pytest.mark.parametrize("cursor", ["a&b=c#d%e+f /g?h", "x\r\ny\0z", "ü-1 ", "{epoch}-1\n", "+1", "%2B"])
async def test_a61_any_cursor_survives_the_query(server: EmbeddedServer, cursor: str) -> None:
    async with visit(server) as ada:
        await ada.say("m0")
        for path in ("/messages", "/messages/poll"):
            assert (await ada.get(path, after=cursor.format(epoch=server.epoch))).status_code == 410


async def test_a61_an_epoch_with_special_characters_makes_cursors_that_work() -> None:
    odd = "a&b=c#d%e+f /g?\u00fc"
    async with EmbeddedServer(new_epoch=lambda: odd) as server, visit(server) as ada:
        ids = await ada.say("m0", "m1")
        for path in ("/messages", "/messages/poll"):
            assert [message["id"] for message in (await ada.get(path, after=ids[0])).json()] == [ids[1]]


async def test_a78_reading_makes_no_rooms(server: EmbeddedServer) -> None:
    assert server._runtime
    hub = server._runtime.driver.hub
    async with visit(server, room="nowhere") as ada:
        for path in ("/messages", "/messages/poll"):
            page = await ada.get(path, hold=0)
            assert (page.json(), page.headers["Chat-Cursor"]) == ([], f"{server.epoch}-0")
        await ada.send(b"{}", "/typing")
    assert not hub._rooms
    assert isinstance(hub.log, MemoryLog)
    assert len(hub.log) == 0


# Holding


async def test_a_poll_without_a_cursor_waits_for_new_messages(server: EmbeddedServer) -> None:
    """The original document's `longPoll`, which would otherwise get the same messages again and again."""
    async with visit(server) as ada:
        await ada.say("old")
        poll = asyncio.ensure_future(ada.get("/messages/poll"))
        await holding(server, 1)
        await ada.say("new")
        assert [message["text"] for message in (await poll).json()] == ["new"]


async def test_a_poll_is_answered_at_once_when_there_is_something_or_no_cursor(
    server: EmbeddedServer,
) -> None:
    async with visit(server) as ada:
        empty = await ada.poll(None, hold=FOREVER)
        assert (empty.json(), empty.headers["Chat-Cursor"]) == ([], f"{server.epoch}-0")
        ids = await ada.say("m0", "m1")
        assert [message["id"] for message in (await ada.poll(ids[0], hold=FOREVER)).json()] == ids[1:]
        none = await ada.poll(None, hold=FOREVER, history=0)
        assert (none.json(), none.headers["Chat-Cursor"]) == ([], ids[1])
        assert (await ada.poll("other-1", hold=FOREVER)).status_code == 410


@pytest.mark.parametrize("hold", ["0", "0.0", "1e-3", "0.01"])
async def test_a56_a_poll_ends_with_nothing_new_after_its_hold(server: EmbeddedServer, hold: str) -> None:
    async with visit(server) as ada:
        ids = await ada.say("m0")
        answer = await ada.poll(ids[0], hold=hold)
        assert (answer.status_code, answer.json(), answer.headers["Chat-Cursor"]) == (200, [], ids[0])
        assert "Chat-More" not in answer.headers
    assert held(server) == 0


async def test_no_poll_is_held_for_longer_than_the_limit_which_is_what_it_gets_by_default() -> None:
    async with EmbeddedServer(limits=Limits(max_hold=0.05)) as server, visit(server) as ada:
        cursor = f"{server.epoch}-0"
        assert (await ada.poll(cursor, hold=FOREVER)).json() == []
        assert (await ada.poll(cursor)).json() == []
    assert Limits().max_hold == 25


@pytest.mark.parametrize("hold", ["", "-1", "-0", "nan", "inf", "1_0", "x", "٣", "1e999", " 1", "9" * 5000])
async def test_a_malformed_hold_is_refused(server: EmbeddedServer, hold: str) -> None:
    async with visit(server) as ada:
        answer = await ada.poll(f"{server.epoch}-0", hold=hold)
        assert (answer.status_code, "hold must be a number" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "DELETE"])
async def test_a_poll_can_only_be_got(server: EmbeddedServer, method: str) -> None:
    async with http_client() as client:
        url = server.url + asked("/messages/poll", room="lobby", after=f"{server.epoch}-0")
        assert (await client.request(method, url)).status_code == 405


async def test_a_message_by_any_way_answers_the_polls_of_its_room_alone(server: EmbeddedServer) -> None:
    cursor = f"{server.epoch}-0"
    async with visit(server) as ada, visit(server, room="attic") as attic, join(server, "bob") as bob:
        polls = [asyncio.ensure_future(ada.poll(cursor, hold=FOREVER)) for _ in range(3)]
        elsewhere = asyncio.ensure_future(attic.poll(cursor, hold=FOREVER))
        await holding(server, 4)
        await bob.post("by WebSocket")
        pages = [(await poll).json() for poll in polls]
        assert [[message["text"] for message in page] for page in pages] == [["by WebSocket"]] * 3
        again = asyncio.ensure_future(ada.poll(pages[0][0]["id"], hold=FOREVER))
        await holding(server, 2)
        await ada.say("by POST")
        assert [message["text"] for message in (await again).json()] == ["by POST"]
        assert not elsewhere.done()
        await bob.send(type="typing")  # no message
        assert not elsewhere.done()
        await attic.say("there")
        assert [message["text"] for message in (await elsewhere).json()] == ["there"]
    assert held(server) == 0


async def test_a58_nothing_posted_between_two_polls_is_lost(server: EmbeddedServer) -> None:
    texts = [f"m{number}" for number in range(200)]
    async with visit(server) as ada, visit(server, "eve") as eve:

        async def post() -> None:
            for text in texts:
                assert (await ada.post(text)).status_code == 201

        posting = asyncio.ensure_future(post())
        got: list[str] = []
        cursor = None
        async with asyncio.timeout(PATIENCE):
            while len(got) < len(texts):
                answer = await eve.poll(cursor, hold=FOREVER)
                got += [message["text"] for message in answer.json()]
                cursor = answer.headers["Chat-Cursor"]
        await posting
    assert got == texts


async def test_a59_a_poll_asked_again_from_the_same_cursor_gets_the_same(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        ids = await ada.say("m0", "m1", "m2")
        first, again = await ada.poll(ids[0]), await ada.poll(ids[0])
        assert first.json() == again.json()


async def test_a_client_that_goes_away_frees_its_place_at_once(server: EmbeddedServer) -> None:
    request = asked("/messages/poll", room="lobby", after=f"{server.epoch}-0", hold=FOREVER)
    for politely in (True, False):
        async with raw(server) as (_, writer):
            writer.write(f"GET {request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await holding(server, 1)
            if politely:
                writer.close()
            else:
                writer.transport.abort()
            await holding(server, 0)
    await until(lambda: not open_connections(server))


async def test_polls_are_answered_with_nothing_when_the_server_stops(server: EmbeddedServer) -> None:
    request = asked("/messages/poll", room="lobby", after=f"{server.epoch}-0", hold=FOREVER)
    async with visit(server) as ada, raw(server) as (reader, writer):
        poll = asyncio.ensure_future(ada.poll(f"{server.epoch}-0", hold=FOREVER))
        writer.write(f"GET {request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await holding(server, 2)
        await server.stop()
        assert ((await poll).status_code, (await poll).json()) == (200, [])
        assert (await rest_of(reader)).endswith(b"\r\n\r\n[]")


async def test_an_abrupt_stop_breaks_a_poll(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        poll = asyncio.ensure_future(ada.poll(f"{server.epoch}-0", hold=FOREVER))
        await holding(server, 1)
        await server.stop(abrupt=True)
        with pytest.raises(httpx.TransportError):
            await poll


async def test_an_unreadable_or_unwritable_history_is_503(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedServer(tmp_path / "chat.db") as kept, visit(kept) as ada, join(kept, "bob") as bob:
        assert kept._runtime
        assert isinstance(kept._runtime.store, Store)
        await ada.say("m0")
        await bob.until(text="m0")
        run = kept._runtime.store._connection.execute
        run("ALTER TABLE messages RENAME TO lost")
        told = "the server can't read its history"
        for path in ("/messages", "/messages/poll"):
            answer = await ada.get(path, hold=0)
            assert (answer.status_code, answer.json()["error"]) == (503, told)
            assert answer.headers["Retry-After"] == "2"
        async with join(kept, "eve") as eve:
            assert await eve.closed() == (1011, told)
        async with listen(kept, "zoe") as zoe:
            assert await zoe.ended()
        refused = await ada.post("m1", client_id="c1")
        assert (refused.status_code, refused.json()["client_id"]) == (503, "c1")
        assert refused.headers["Retry-After"] == "2"
        run("ALTER TABLE lost RENAME TO messages")
        assert (await ada.post("m1", client_id="c1")).status_code == 201
        await bob.until(text="m1")
        assert len(caplog.records) == 3  # that it can't be read, can't be written, and can be written again


async def test_a81_a_thousand_held_polls_wait_without_working_and_are_all_answered(
    server: EmbeddedServer,
) -> None:
    """While they wait, the loop has one timer and no step for each; one message answers all of them."""
    count = 900  # of the thousand connections allowed
    request = asked("/messages/poll", room="lobby", after=f"{server.epoch}-0", hold=FOREVER)
    connections = []
    try:
        for _ in range(count):  # each asks at once: a connection without a request is closed after 10 s
            connections.append(await asyncio.open_connection("127.0.0.1", server.port))
            connections[-1][1].write(f"GET {request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await holding(server, count)
        steps = 0
        async with asyncio.timeout(PATIENCE), listen(server, "bob") as stream:
            await stream.until(type="presence")
            tasks = len(asyncio.all_tasks())
            assert tasks < count + 20  # no task but its request's
            ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
            for _ in range(100):
                await asyncio.sleep(0.001)
                steps += len(ready)
            assert steps < count  # none of them has been polled
            async with visit(server) as ada:
                await ada.say("hello")
            for reader, _ in connections:
                assert b'"text":"hello"' in await reader.readuntil(b"]")
    finally:
        for _, writer in connections:
            writer.close()
    assert held(server) == 0


@pytest.mark.proof
async def test_nothing_is_left_of_polls_and_streams(server: EmbeddedServer) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(30):
        async with visit(server) as ada, listen(server) as stream:
            poll = asyncio.ensure_future(ada.poll(f"{server.epoch}-0", hold=FOREVER))
            await holding(server, 1)
            await stream.until(type="presence")
            poll.cancel()
            await holding(server, 0)
    await until(lambda: not open_connections(server) and len(asyncio.all_tasks()) == before)
    assert (await get(server, "/healthz")).json()["people"] == 0
