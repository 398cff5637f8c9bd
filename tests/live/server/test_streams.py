"""`GET /stream` on real sockets: server-sent events, read by our parser or as raw bytes."""

from __future__ import annotations

import asyncio
import base64
import socket
from typing import Any

import msgspec
import pytest

from chatlab.hub import HubConfig
from chatlab.live.server.connections import Limits
from chatlab.live.server.embedded_server import EmbeddedServer
from tests.http_clients import http_client
from tests.live.server.members import get, join, open_connections, raw, rest_of
from tests.live.server.visitors import PATIENCE, Stream, Visitor, asked, listen, visit

REQUEST = b"GET /stream?room=lobby&sender=raw HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def people(server: EmbeddedServer) -> int:
    return int((await get(server, "/healthz")).json()["people"])


async def alone(server: EmbeddedServer) -> None:
    """Wait until the room has no members."""
    async with asyncio.timeout(PATIENCE):
        while await people(server):
            pass


# Contents


async def test_a_stream_begins_with_a_welcome_and_the_replay_and_goes_on_live(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        ids = await ada.say("m0", "m1", "m2")
        async with listen(server, history=2) as stream:
            assert (
                dict(stream.response.headers).items()
                >= {
                    "content-type": "text/event-stream; charset=utf-8",
                    "cache-control": "no-store",
                    "x-accel-buffering": "no",
                    "transfer-encoding": "chunked",
                }.items()
            )
            assert await stream.frame() == {"type": "welcome", "cursor": ids[0]}
            assert [(await stream.frame())["text"] for _ in range(2)] == ["m1", "m2"]
            assert await stream.frame() == {"type": "presence", "state": "here", "people": ["eve"]}
            ids += await ada.say("m3")
            assert (await stream.frame())["id"] == ids[3]
            assert stream.raw.startswith(f"id: {ids[0]}\nevent: welcome\ndata: ".encode())
            assert b"retry:" not in stream.raw
    await alone(server)


async def test_the_welcome_and_messages_have_ids_and_their_frames_are_those_of_a_websocket(
    server: EmbeddedServer,
) -> None:
    async with listen(server) as stream, join(server, "bob") as bob, visit(server) as ada:
        await ada.post("hé\u2028", client_id="c1")
        echo = await bob.until(type="message")
        assert await stream.until(type="message") == echo
        assert stream.raw.count(b"id: ") == 2
        assert f"id: {echo['id']}\n".encode() in stream.raw
        assert stream.parser.last_event_id == echo["id"]


async def test_bytes_are_base64_on_a_stream_and_messagepack_on_a_websocket(server: EmbeddedServer) -> None:
    data = bytes(range(256))
    async with listen(server) as stream, join(server, "bob") as bob, visit(server) as ada:
        assert (await ada.post("", data=data)).status_code == 201
        assert (await bob.until(type="message"))["data"] == data
        frame = await stream.until(type="message")
        assert base64.b64decode(frame["data"]) == data
        async with listen(server, "zoe") as late:
            assert await late.until(type="message") == frame
            assert late.parser.last_event_id == frame["id"]


async def test_a_stream_is_a_member_of_the_room(server: EmbeddedServer) -> None:
    async with join(server, "bob") as bob:
        await bob.until(type="presence")
        async with listen(server) as stream:
            assert await bob.read() == {"type": "presence", "state": "joined", "sender": "eve"}
            assert (await stream.until(type="presence"))["people"] == ["bob", "eve"]
            await bob.send(type="typing")
            assert await stream.frame() == {"type": "typing", "sender": "bob"}
        assert await bob.read() == {"type": "presence", "state": "left", "sender": "eve"}


async def test_keep_alives_are_comments_and_a_configured_reconnection_time_is_sent() -> None:
    limits = Limits(keep_alive=0.01, reconnection_time=1.5)
    async with EmbeddedServer(limits=limits) as server, listen(server) as stream:
        await stream.bytes(b": \n\n", times=3)
        assert stream.raw.startswith(f"retry: 1500\n\nid: {server.epoch}-0\nevent: welcome\n".encode())
        assert stream.parser.reconnection_time == 1.5
        assert [event.type for event in stream.events] == ["welcome", "presence"]


@pytest.mark.parametrize(
    "text",
    [
        "a\rb",
        "a\nb",
        "a\r\nb",
        "a\0b",
        "\r\rdata: forged\r\r",
        "x\n\nid: forged\nevent: resync\n\n",
        "\ufeff",
    ],
)
async def test_a80_line_ends_and_nul_in_a_text_forge_nothing(server: EmbeddedServer, text: str) -> None:
    async with visit(server, "id: forged") as ada, listen(server) as stream:
        answer = (await ada.post(text, client_id=f"c{text}\r\nid: forged")).json()
        await ada.say("after")
        first, second = await stream.until(type="message"), await stream.frame()
        assert (first["text"], first["id"], second["text"]) == (text, answer["id"], "after")
        assert first["client_id"] == f"c{text}\r\nid: forged"
        assert [event.type for event in stream.events] == ["welcome", "presence", "message", "message"]
        assert b"\r" not in stream.raw
        assert b"\0" not in stream.raw


# Resuming


async def test_a_stream_resumes_by_last_event_id_or_by_after(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        ids = await ada.say("m0", "m1", "m2", "m3")
    for given in ({"last": ids[1]}, {"after": ids[1]}, {"last": ids[1], "after": ids[3], "history": 0}):
        async with listen(server, **given) as stream:
            assert await stream.frame() == {"type": "welcome", "cursor": ids[1]}
            assert [(await stream.frame())["id"] for _ in range(2)] == ids[2:]
            assert (await stream.frame())["type"] == "presence"


@pytest.mark.parametrize("cursor", ["gone-17", "junk", "\xff", "x" * 4000, "{epoch}-3"])
async def test_a60_an_unknown_last_event_id_is_a_resync_with_all_there_is(
    server: EmbeddedServer, cursor: str
) -> None:
    async with visit(server) as ada:
        await ada.say("m0")
        headers = {b"Last-Event-ID": cursor.format(epoch=server.epoch).encode("latin-1")}
        url = asked("/stream", room="lobby", sender="eve")
        async with ada.client.stream("GET", url, headers=headers) as response:
            stream = Stream(response)
            expected = {"type": "welcome", "cursor": f"{server.epoch}-0", "resync": True}
            assert await stream.frame() == expected
            assert (await stream.frame())["text"] == "m0"


@pytest.mark.proof
async def test_a_stream_that_breaks_again_and_again_under_posts_loses_and_doubles_nothing(
    server: EmbeddedServer,
) -> None:
    texts = [f"m{number}" for number in range(300)]
    got: list[str] = []
    last = ""
    async with visit(server) as ada:

        async def post() -> None:
            for text in texts:
                assert (await ada.post(text)).status_code == 201

        posting = asyncio.ensure_future(post())
        breaks = 0
        while len(got) < len(texts):
            async with listen(server, last=last) as stream:
                assert "resync" not in await stream.frame()
                got += [(await stream.until(type="message"))["text"] for _ in texts[len(got) :][:7]]
                last = stream.events[stream.read - 1].last_event_id  # the bytes beyond are lost on the way
            breaks += 1
        await posting
    assert got == texts
    assert breaks > 20


async def test_websocket_stream_and_polls_see_the_same_log_in_the_same_order(server: EmbeddedServer) -> None:
    count = 60
    everything = 3 * count

    async with (
        join(server, "bob") as bob,
        listen(server) as stream,
        visit(server) as ada,
        visit(server, "zoe") as zoe,
    ):

        async def by_websocket() -> None:
            for number in range(count):
                await bob.send(type="message", text=f"w{number}", client_id=f"w{number}")
                await asyncio.sleep(0)

        async def by_post(visitor: Visitor) -> None:
            for number in range(count):
                assert (await visitor.post(f"{visitor.sender}{number}")).status_code == 201

        async def by_polls(path: str) -> list[str]:
            seen: list[str] = []
            cursor = f"{server.epoch}-0"
            async with asyncio.timeout(PATIENCE), visit(server) as reader:
                while len(seen) < everything:
                    page = await reader.get(path, after=cursor, limit=7)
                    seen += [message["id"] for message in page.json()]
                    cursor = page.headers["Chat-Cursor"]
            return seen

        async def by_stream() -> list[str]:
            while len(stream.messages) < everything:
                await stream.event()
            return [frame["id"] for frame in stream.messages]

        async def by_reading() -> list[str]:
            seen: list[str] = []
            while len(seen) < everything:
                seen.append((await bob.until(type="message"))["id"])
            return seen

        *_, first, second, third, fourth = await asyncio.gather(
            by_websocket(),
            by_post(ada),
            by_post(zoe),
            by_polls("/messages"),
            by_polls("/messages/poll"),
            by_stream(),
            by_reading(),
        )
    assert first == second == third == fourth == [f"{server.epoch}-{n}" for n in range(1, everything + 1)]


# Limits


def lazy_reader(server: EmbeddedServer, buffer: int = 4096) -> socket.socket:
    """Open a stream that is not read, unless the test does."""
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    lazy.connect(("127.0.0.1", server.port))
    lazy.sendall(REQUEST)
    return lazy


async def test_a81_a_slow_reader_is_cut_off_and_delays_no_other() -> None:
    config, limits = HubConfig(rate=1e6, burst=1_000_000), Limits(max_backlog=64 * 1024)
    async with EmbeddedServer(config=config, limits=limits) as server, join(server) as ada:
        with lazy_reader(server):
            await ada.until(type="presence", state="joined")
            for _ in range(3000):  # far more than the system's own buffers hold
                await ada.post("x" * 30_000)  # and read its echo
                if any(frame.get("state") == "left" for frame in ada.seen):
                    break
            assert await people(server) == 1
            async with asyncio.timeout(PATIENCE):
                while open_connections(server) > 1:
                    await ada.post("hello")


async def test_a81_a_replay_larger_than_the_backlog_is_no_reason_to_cut_off() -> None:
    async with EmbeddedServer(limits=Limits(max_backlog=1)) as server:
        async with visit(server) as ada:
            await ada.say(*(f"{number:03}" + "x" * 60_000 for number in range(150)))
        async with listen(server) as stream:
            await stream.until(type="presence")
            assert [message["text"][:3] for message in stream.messages] == [f"{n:03}" for n in range(150)]


async def test_a27_a_reader_that_is_dead_is_found_behind_a_full_buffer() -> None:
    async with EmbeddedServer(limits=Limits(keep_alive=0.2, max_backlog=1 << 30)) as server:
        async with visit(server) as ada:
            await ada.say(*("x" * 60_000 for _ in range(200)))
        async with join(server, "bob", history=0) as bob:
            await bob.until(type="presence")
            with lazy_reader(server):
                await bob.until(type="presence", state="joined")
                await bob.until(type="presence", state="left")


async def test_a_slow_reader_that_does_read_is_not_taken_for_dead() -> None:
    async with EmbeddedServer(limits=Limits(keep_alive=0.5, max_backlog=1 << 30)) as server:
        async with visit(server) as ada:
            await ada.say(*("x" * 60_000 for _ in range(100)))
        with lazy_reader(server, 65_536) as slow:
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            got = b""
            async with asyncio.timeout(PATIENCE):
                while got.count(b"data: ") < 102 or b": \n\n" not in got:
                    got += await loop.sock_recv(slow, 100_000)
                    await asyncio.sleep(0.01)
            assert await people(server) == 1


async def test_streams_end_in_order_when_the_server_stops(server: EmbeddedServer) -> None:
    async with listen(server) as stream, raw(server) as (reader, writer):
        await stream.until(type="presence")
        writer.write(REQUEST)
        await reader.readuntil(b"presence")
        await server.stop()
        assert await stream.ended()
        assert (await rest_of(reader)).endswith(b"0\r\n\r\n")


async def test_an_abrupt_stop_breaks_a_stream(server: EmbeddedServer) -> None:
    async with listen(server) as stream:
        await stream.until(type="presence")
        await server.stop(abrupt=True)
        assert not await stream.ended()


async def test_stopping_does_not_wait_for_a_stream_that_nobody_reads() -> None:
    async with EmbeddedServer(limits=Limits(close_timeout=0.1)) as server:
        async with visit(server) as ada:
            await ada.say(*("x" * 60_000 for _ in range(200)))
        with lazy_reader(server):
            async with asyncio.timeout(PATIENCE):
                while not await people(server):
                    pass
                await server.stop()


async def test_a11_a_reader_that_resets_leaves(server: EmbeddedServer) -> None:
    async with raw(server) as (reader, writer):
        writer.write(REQUEST)
        await reader.readuntil(b"presence")
        assert await people(server) == 1
        writer.transport.abort()
        await alone(server)


async def test_an_http_1_0_reader_gets_it_without_chunks(server: EmbeddedServer) -> None:
    async with raw(server) as (reader, writer):
        writer.write(b"GET /stream?room=lobby&sender=raw HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"\nevent: welcome\n")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_input_during_a_stream_does_no_harm() -> None:
    async with (
        EmbeddedServer(limits=Limits(keep_alive=0.05)) as server,
        raw(server) as (reader, writer),
        visit(server) as ada,
    ):
        writer.write(REQUEST)
        await reader.readuntil(b"presence")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\0\0garbage" * 1000)
        await writer.drain()
        await ada.say("hello")
        await reader.readuntil(b"hello")
        writer.close()
        await alone(server)


async def test_a81_input_after_the_request_of_a_stream_is_discarded(server: EmbeddedServer) -> None:
    """Send a body or further requests: nothing of it is kept, and the end of the connection is still
    noticed."""
    beginnings = (REQUEST, REQUEST.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
    for beginning in beginnings:
        async with raw(server) as (reader, writer):
            writer.write(beginning)
            await reader.readuntil(b"presence")
            assert server._runtime
            connection: Any = next(iter(server._runtime.connections.connections))
            before = len(connection.conn.trailing_data[0])
            for _ in range(200):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
                await writer.drain()
            async with visit(server) as ada:
                await ada.say("hello")
            await reader.readuntil(b"hello")
            assert len(connection.conn.trailing_data[0]) == before == 0
        await alone(server)


# Access


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ({"room": "lobby"}, {}, 400),
        ({"room": "lobby", "sender": "a\rb"}, {}, 400),
        ({"room": "lobby", "sender": "ada", "history": "x"}, {}, 400),
        ({"room": "lobby", "sender": "ada"}, {"Origin": "https://evil.example"}, 403),
        ({"room": "lobby", "sender": "ada"}, {"Origin": "null"}, 403),
        ({"room": "lobby", "sender": "ada"}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({"room": "lobby", "sender": "ada"}, {"Host": "evil.example"}, 421),
    ],
)
async def test_a76_a77_a78_a_stream_is_refused_as_any_request(
    server: EmbeddedServer, query: dict[str, str], headers: dict[str, str], status: int
) -> None:
    response = await get(server, asked("/stream", **query), **headers)
    assert (response.status_code, bool(response.json()["error"])) == (status, True)
    assert await people(server) == 0


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "DELETE"])
async def test_a_stream_can_only_be_got(server: EmbeddedServer, method: str) -> None:
    async with http_client() as client:
        response = await client.request(method, server.url + asked("/stream", room="lobby", sender="ada"))
    assert (response.status_code, response.headers["Allow"]) == (405, "GET")
    assert method == "HEAD" or msgspec.json.decode(response.content) == {"error": "this path allows only GET"}
    assert await people(server) == 0
