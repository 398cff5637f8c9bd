"""The embedded server on real sockets: with libraries, and with raw bytes where a library is too polite."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
import websockets
from typer.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from chatlab.cli import app
from chatlab.dialects.chatlab import MAX_FRAME_SIZE
from chatlab.hub import HubConfig, MemoryLog
from chatlab.live.server.connections import Limits
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.live.server.http_service import TURN
from chatlab.live.server.store import StoreError
from chatlab.live.server.websocket_connection import WebSocketConnection
from tests.http_clients import http_client
from tests.live.server.members import (
    PATIENCE,
    Frame,
    Member,
    address,
    at,
    get,
    handshake,
    history_of,
    join,
    open_connections,
    raw,
    refusal,
    rest_of,
    waiting,
)
from tests.live.watch import until
from tests.processes import interpreted, served
from tests.sizes import rows

# Joining


async def test_a_new_member_is_welcomed_with_the_latest_messages(server: EmbeddedServer) -> None:
    async with join(server) as ada:
        for number in range(5):
            await ada.post(f"m{number}")
        async with join(server, "bob", history=2) as bob:
            welcome = await bob.read()
            assert welcome == {"type": "welcome", "cursor": f"{server.epoch}-3"}
            assert [(await bob.read())["text"] for _ in range(2)] == ["m3", "m4"]
            assert (await bob.read()) == {"type": "presence", "state": "here", "people": ["ada", "bob"]}
        async with join(server, "eve") as eve:
            await eve.until(type="presence")
            assert [frame["text"] for frame in eve.seen if frame["type"] == "message"] == [
                "m0", "m1", "m2", "m3", "m4",
            ]  # fmt: skip


async def test_a_reader_resumes_after_its_cursor(server: EmbeddedServer) -> None:
    async with join(server) as ada:
        ids = [(await ada.post(f"m{number}"))["id"] for number in range(4)]
        async with join(server, "bob", after=ids[1]) as bob:
            assert await bob.read() == {"type": "welcome", "cursor": ids[1]}
            assert [(await bob.read())["id"] for _ in range(2)] == ids[2:]
            assert (await bob.read())["type"] == "presence"


async def test_a_cursor_of_another_epoch_is_a_resync_with_all_there_is(server: EmbeddedServer) -> None:
    async with join(server) as ada:
        await ada.post("m0")
        async with join(server, "bob", after="gone-17") as bob:
            assert await bob.read() == {"type": "welcome", "cursor": f"{server.epoch}-0", "resync": True}
            assert (await bob.read())["text"] == "m0"


async def test_names_are_percent_decoded_utf8(server: EmbeddedServer) -> None:
    async with join(server, "Ädä & 😀+%", room="raum / ?#") as ada, join(server, room="other"):
        await ada.post("hello")
    page = (await get(server, "/messages?room=" + quote("raum / ?#", safe=""))).json()
    assert [(message["sender"], message["text"]) for message in page] == [("Ädä & 😀+%", "hello")]


# Messages


async def test_the_echo_is_the_ack_and_a_duplicate_gets_an_ack_of_its_own(server: EmbeddedServer) -> None:
    async with join(server) as ada, join(server, "bob") as bob:
        echo = await ada.post("hello", client_id="c1")
        assert echo == {
            "type": "message", "id": f"{server.epoch}-1", "sender": "ada", "text": "hello",
            "client_id": "c1", "posted_at": echo["posted_at"],
        }  # fmt: skip
        assert echo["posted_at"].endswith("Z")
        await ada.send(type="message", text="hello", client_id="c1")
        assert await ada.until(type="ack") == {"type": "ack", "client_id": "c1"}
        await bob.send(type="message", text="mine", client_id="c1")  # ids of another sender are separate
        await bob.until(sender="bob")
        assert [frame["text"] for frame in bob.seen if frame["type"] == "message"] == ["hello", "mine"]


async def test_a_message_that_is_too_large_is_refused_by_its_id(server: EmbeddedServer) -> None:
    async with join(server) as ada:
        await ada.send(type="message", text="x" * 65_537, client_id="c1")
        nack = await ada.until(type="nack")
        assert (nack["client_id"], nack["status"]) == ("c1", 413)
        assert "65,536" in nack["reason"]
        assert (await ada.post("x" * 65_536))["id"] == f"{server.epoch}-1"


@pytest.mark.parametrize(
    "frame",
    [
        "not json",
        "null",
        "[]",
        "{}",
        '{"type":"launch"}',
        '{"type":"message"}',
        '{"type":"message","text":7}',
        '{"type":"message","text":"\\ud800"}',
        '{"type":"ping","id":NaN}',
        '{"type":"ping","id":true}',
        '{"type":"ping","id":' + "9" * 5000 + "}",
        "[" * 100_000,
        b"\xc1",
        b"",
    ],
    ids=lambda frame: repr(frame[:40]),
)
async def test_a06_a_malformed_frame_is_answered_and_the_connection_stays_open(
    server: EmbeddedServer, frame: str | bytes
) -> None:
    async with join(server) as ada:
        await ada.connection.send(frame)
        error = await ada.until(type="error")
        assert 0 < len(error["reason"]) < 300
        assert await ada.post("still here")


async def test_bytes_travel_as_messagepack_in_a_binary_frame(server: EmbeddedServer) -> None:
    data = bytes(range(256))
    async with join(server) as ada, join(server, "bob") as bob:
        await ada.connection.send(
            msgspec.msgpack.encode({"type": "message", "data": data, "client_id": "c1"})
        )
        assert (await bob.until(type="message"))["data"] == data
    page = (await get(server, "/messages?room=lobby")).json()
    assert base64.b64decode(page[0]["data"]) == data


async def test_typing_and_presence_reach_the_others_in_the_room(server: EmbeddedServer) -> None:
    async with join(server) as ada, join(server, "eve", room="other") as eve:
        async with join(server, "bob") as bob:
            assert await ada.until(type="presence", state="joined") == {
                "type": "presence", "state": "joined", "sender": "bob",
            }  # fmt: skip
            await bob.send(type="typing")
            assert await ada.read() == {"type": "typing", "sender": "bob"}
        assert await ada.read() == {"type": "presence", "state": "left", "sender": "bob"}
        await ada.post("only here")
        await eve.post("there")
        assert [frame["type"] for frame in eve.seen] == ["welcome", "presence", "message"]


async def test_a_ping_is_answered(server: EmbeddedServer) -> None:
    async with join(server) as ada:
        await ada.send(type="ping", id=7)
        assert await ada.until(type="pong") == {"type": "pong", "id": 7}
        await ada.send(type="ping")  # as the original document's
        assert await ada.until(type="pong") == {"type": "pong"}


async def test_a81_a_client_that_sends_too_fast_is_told_to_come_back() -> None:
    async with EmbeddedServer(config=HubConfig(rate=0.001, burst=5)) as server, join(server, "bob") as bob:
        async with join(server) as ada:
            for number in range(8):
                await ada.send(type="message", text=f"m{number}")
            assert await ada.closed() == (1013, "more than 0.001 frames a second; slow down and come back")
        await bob.until(type="presence", state="left")
        assert [frame["text"] for frame in bob.seen if frame["type"] == "message"] == [
            f"m{n}" for n in range(5)
        ]


async def test_a81_a_frame_above_the_limit_ends_its_connection_with_1009(server: EmbeddedServer) -> None:
    async with join(server, "bob") as bob:
        async with join(server) as ada:
            await ada.connection.send("x" * MAX_FRAME_SIZE)
            await ada.until(type="error")
            with suppress(ConnectionClosed):
                await ada.connection.send("x" * (8 * MAX_FRAME_SIZE))
            assert (await ada.closed())[0] == 1009
        await bob.until(type="presence", state="left")


async def test_a81_a_client_that_sends_too_much_can_send_it_all_and_read_the_reason() -> None:
    async with (
        EmbeddedServer(limits=Limits(close_timeout=PATIENCE)) as server,
        raw(server) as (reader, writer),
    ):
        writer.write(handshake(server))
        await reader.readuntil(b"\r\n\r\n")
        size = 16 * MAX_FRAME_SIZE
        writer.write(bytes((0x81, 0xFF)) + struct.pack("!Q", size) + bytes(4) + b"x" * size)
        writer.transport.set_write_buffer_limits(high=0)
        await writer.drain()  # would raise if the server had reset the connection
        data = await reader.read()
        assert data[data.rindex(b"\x88") + 2 :].startswith(struct.pack("!H", 1009))


def client_frame(opcode: int, payload: bytes = b"") -> bytes:
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload  # masked with zeros


@pytest.mark.parametrize(
    "frame",
    [
        client_frame(8),
        client_frame(8, b"\x03"),
        *(client_frame(8, struct.pack("!H", code)) for code in (999, 1005, 1006, 5000)),
        client_frame(8, struct.pack("!H", 1000) + b"\xff\xfe"),
        client_frame(1, b"\xff\xfe"),
        client_frame(3),
        client_frame(0),
        client_frame(1)[:1] + b"\x00",  # not masked
    ],
    ids=lambda frame: frame.hex(),
)
async def test_a18_a_peer_that_ends_abnormally_only_leaves(server: EmbeddedServer, frame: bytes) -> None:
    async with join(server) as ada:
        async with raw(server) as (reader, writer):
            writer.write(handshake(server))
            await ada.until(type="presence", state="joined", sender="raw")
            writer.write(frame)
            writer.write_eof()
            data = await rest_of(reader)
            assert data.startswith(b"HTTP/1.1 101 ")
        await ada.until(type="presence", state="left", sender="raw")
        assert await ada.post("still here")


async def test_a11_a_peer_that_resets_leaves(server: EmbeddedServer) -> None:
    async with join(server) as ada:
        async with raw(server) as (_, writer):
            writer.write(handshake(server))
            await ada.until(type="presence", state="joined", sender="raw")
            writer.write(client_frame(1, b"half of it")[:-3])
            own: socket.socket = writer.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        await ada.until(type="presence", state="left", sender="raw")


# Limits


@contextmanager
def snail(server: EmbeddedServer) -> Iterator[socket.socket]:
    """Join as a member that never reads."""
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", server.port))
        lazy.sendall(handshake(server))
        yield lazy


async def test_a81_a_slow_reader_is_expelled_and_delays_no_other() -> None:
    config, limits = HubConfig(rate=1e6, burst=1_000_000), Limits(max_backlog=64 * 1024, ping_interval=None)
    async with EmbeddedServer(config=config, limits=limits) as server, join(server) as ada:
        with snail(server):
            await ada.until(type="presence", state="joined")
            for _ in range(3000):  # far more than the system's own buffers hold
                await ada.post("x" * 30_000)  # and read its echo
                if any(frame.get("state") == "left" for frame in ada.seen):
                    break
            assert (await get(server, "/healthz")).json()["people"] == 1
            async with asyncio.timeout(PATIENCE):
                while open_connections(server) > 1:
                    await ada.post("hello")


async def test_a81_a_replay_larger_than_the_backlog_is_no_reason_to_expel() -> None:
    async with EmbeddedServer(limits=Limits(max_backlog=1)) as server, join(server) as ada:
        for number in range(250):
            await ada.post(f"{number:03}" + "x" * 60_000)
        async with join(server, "bob") as bob:
            await bob.until(type="presence")
            texts = [frame["text"][:3] for frame in bob.seen if frame["type"] == "message"]
            assert texts == [f"{number:03}" for number in range(250)]


async def test_a81_the_backlog_of_a_reader_shrinks_with_their_number() -> None:
    async with EmbeddedServer(limits=Limits(max_backlog=1000, max_backlogs=3000)) as server:
        assert server._runtime
        connections = server._runtime.connections
        shares = [connections.max_backlog]
        async with AsyncExitStack() as stack:
            for number in range(5):
                await stack.enter_async_context(join(server, f"ada{number}"))
                shares.append(connections.max_backlog)
        assert shares == [1000, 1000, 1000, 1000, 750, 600]


async def test_a27_a_peer_that_is_dead_is_found_by_pings_even_behind_a_full_buffer() -> None:
    config = HubConfig(rate=1e6, burst=1_000_000)
    limits = Limits(ping_interval=2.0, ping_timeout=0.1, max_backlog=1 << 30)
    async with EmbeddedServer(config=config, limits=limits) as server, join(server) as ada:
        with snail(server):
            await ada.until(type="presence", state="joined")
            while not waiting(server):
                await ada.post("x" * 60_000)
            assert ada.seen[-1]["type"] == "message"
            await ada.until(type="presence", state="left")


ONE = client_frame(1, b'{"type":"message","text":"one"}')


@pytest.mark.parametrize(
    "flood",
    [
        b"\x01\x80" + bytes(4) + (b"\x00\x80" + bytes(4)) * 100_000,
        client_frame(9) * 100_000,
        client_frame(10, b"x") * 100_000,
        ONE * 100_000,
    ],
    ids=["empty fragments", "Pings", "Pongs", "messages"],
)
async def test_a81_a_flood_of_frames_costs_its_sender_the_connection_and_others_nothing(flood: bytes) -> None:
    async with EmbeddedServer(limits=Limits(close_timeout=PATIENCE)) as server, join(server, "bob") as bob:
        async with raw(server) as (reader, writer):
            writer.write(handshake(server))
            await reader.readuntil(b"presence")
            connection: Any = server._runtime and list(server._runtime.connections.connections)[-1]
            writer.write(flood)
            data = b""
            while b"slow down and come back" not in data:
                data += await reader.read(65_536)
            assert b"\x88" in data
            assert len(connection.frames) < 10_000
        await bob.until(type="presence", state="left")


async def test_a81_a_burst_that_is_slow_to_write_does_not_block_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = 0

    def slow_append(*args: Any) -> Any:
        nonlocal written
        written += 1
        time.sleep(1.5 * TURN)
        return append(*args)

    append = MemoryLog.append
    monkeypatch.setattr(MemoryLog, "append", slow_append)
    async with EmbeddedServer() as server, raw(server) as (reader, writer):
        writer.write(handshake(server))
        await reader.readuntil(b"presence")
        writer.write(ONE * 100)
        await until(lambda: written)
        assert (await get(server, "/healthz")).status_code == 200
        assert written < 100


async def test_a81_parts_of_messages_are_no_flood(server: EmbeddedServer) -> None:
    async with join(server) as ada:
        for number in range(3):
            text = f'{{"type":"message","text":"m{number}"}}'
            await ada.connection.ping()
            await ada.connection.send(iter(text))
        for number in range(3):
            await ada.until(text=f"m{number}")


async def test_a81_an_answer_that_is_not_read_is_given_up(server: EmbeddedServer) -> None:
    limits = Limits(keep_alive=0.1)
    async with EmbeddedServer(limits=limits) as server, join(server) as ada:
        for _ in range(120):
            await ada.post("x" * 60_000)
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", server.port))
            lazy.sendall(b"GET /messages?room=lobby HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
            await until(lambda: open_connections(server) == 2 and waiting(server))
            await until(lambda: open_connections(server) == 1)
        async with raw(server) as (reader, writer):  # one that does read, though slowly
            for _ in range(2):
                writer.write(b"GET /messages?room=lobby HTTP/1.1\r\nHost: localhost\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                while left:
                    left -= len(await reader.read(min(left, 30_000)))
                    await asyncio.sleep(0.005)


async def test_a81_a_request_must_arrive_whole_in_time() -> None:
    beginnings = (
        b"",
        b"GET /messages?room=lobby HTT",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx",
    )
    async with EmbeddedServer(limits=Limits(request_timeout=0.2)) as server:
        for beginning in beginnings:
            async with raw(server) as (reader, writer):
                writer.write(beginning)
                data = await rest_of(reader)  # comes to an end by itself
                assert data.startswith(b"HTTP/1.1 404 ") == beginning.startswith(b"POST")
        async with raw(server) as (reader, writer):  # the second request on a connection, byte by byte
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"}")
            ended = asyncio.ensure_future(rest_of(reader))
            while not ended.done():
                writer.write(b"x")
                await asyncio.wait([ended], timeout=0.02)
            assert await ended == b""


async def test_a81_connections_beyond_the_limit_are_told_to_come_back() -> None:
    async with EmbeddedServer(limits=Limits(max_connections=2)) as server:
        async with join(server), join(server, "bob"):
            response = await get(server, "/healthz")
            assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
            assert "too many connections" in response.json()["error"]
            assert (await refusal(address(server, room="lobby", sender="eve")))[0] == 503
        async with asyncio.timeout(PATIENCE):
            while (await get(server, "/healthz")).status_code != 200:
                pass


async def test_a81_far_too_many_connections_are_not_even_answered() -> None:
    async with EmbeddedServer(limits=Limits(max_connections=1)) as server, join(server):
        async with asyncio.timeout(PATIENCE):
            others = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(120)]
            try:
                assert await rest_of(others[-1][0]) == b""
                assert open_connections(server) == 101
            finally:
                for _, writer in others:
                    writer.close()


UPGRADE = b" HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 50_000,
        b"GET /ws?x=" + b"x" * 10_000 + UPGRADE,
        b"GET /ws" + UPGRADE,
    ],
    ids=["TLS", "no Host", "endless header", "large query", "no key"],
)
async def test_a81_garbage_is_refused_at_once(
    server: EmbeddedServer, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with raw(server) as (reader, writer):
        writer.write(request_bytes)
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 4")
    assert not caplog.records


@pytest.mark.parametrize("path", ["/messages", "/messages/poll?room=lobby&after={epoch}-0", "/stream", "/"])
@pytest.mark.parametrize("size", [b"F" * 5000, b"-1", b"zz", b"5\r\nhelloworld"], ids=lambda size: size[:9])
async def test_a81_an_invalid_chunk_is_refused_without_a_log_entry(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture, path: str, size: bytes
) -> None:
    caplog.set_level(logging.INFO)
    target = path.format(epoch=server.epoch)
    head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for method in (b"POST", b"GET"):
        for pieces in ([head + size + b"\r\n"], [head, size + b"\r\n"]):
            async with raw(server) as (reader, writer):
                for piece in pieces:
                    writer.write(piece.replace(b"POST", method))
                    await asyncio.sleep(0.01)
                assert (await rest_of(reader)).startswith(b"HTTP/1.1 4")
    await until(lambda: not open_connections(server))
    assert not caplog.records


@pytest.mark.parametrize(
    "lengths",
    ["Content-Length: 4\r\nTransfer-Encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 99"],
)
@pytest.mark.parametrize("target", ["POST /messages?room=den&sender=ada", "GET /healthz", "GET /ws?room=den"])
async def test_a81_a_request_of_two_lengths_is_refused_and_nothing_behind_it_is_served(
    server: EmbeddedServer, lengths: str, target: str
) -> None:
    """A proxy that uses the other length would take the rest for another client's request."""
    behind = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with raw(server) as (reader, writer):
        writer.write(f"{target} HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n\r\n0\r\n\r\n{behind}".encode())
        answer = await rest_of(reader)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Length or Transfer-Encoding" in answer
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_long_close_reason_is_cut_to_whole_characters(server: EmbeddedServer) -> None:
    """A close frame's reason has at most 123 bytes. Source: RFC 6455 §5.5."""
    async with join(server) as ada:
        assert server._runtime
        connection: Any = next(iter(server._runtime.connections.connections))
        connection.close(1013, "é" * 100)
        assert await ada.closed() == (1013, "é" * 61)


# Access


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"]
)
async def test_a76_a_foreign_or_null_origin_is_refused(server: EmbeddedServer, origin: str) -> None:
    status, error = await refusal(address(server, room="lobby", sender="ada"), origin=origin)
    assert (status, "allowed_origins" in error) == (403, True)
    response = await get(server, "/messages?room=lobby", Origin=origin)
    assert response.status_code == 403
    assert "evil" not in response.text


async def test_a76_a_foreign_origin_after_the_own_one_is_refused(server: EmbeddedServer) -> None:
    async with http_client() as client:
        for origins in ([server.url, "https://evil.example"], ["https://evil.example", server.url]):
            headers = [("Origin", origin) for origin in origins]
            response = await client.get(f"{server.url}/messages?room=lobby", headers=headers)
            assert response.status_code == 403


async def test_a76_requests_without_an_origin_or_with_a_trusted_one_are_allowed() -> None:
    async with EmbeddedServer(allowed_origins=["https://Lab.example"]) as server:
        for origin in (None, server.url, "https://lab.example"):
            url = address(server, room="lobby", sender="ada")
            async with connect(url, origin=websockets.Origin(origin) if origin else None) as connection:
                assert json.loads(await connection.recv())["type"] == "welcome"


PAGE = "https://lab.example"
"""Origin of a page that may talk to the server."""


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/messages?room=lobby", {}, 200),
        ("GET", "/messages/poll?room=lobby&hold=0", {}, 200),
        ("GET", "/csrf", {"Sec-Fetch-Site": "cross-site"}, 200),
        ("GET", "/healthz", {}, 200),
        ("GET", "/ws", {}, 426),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/messages", {}, 400),
        ("GET", "/messages?room=lobby&after=gone-1", {}, 410),
        ("GET", "/stream?room=lobby", {"Sec-Fetch-Site": "cross-site"}, 400),
        ("POST", "/messages?room=lobby&sender=ada", {}, 403),
        ("POST", "/healthz", {}, 405),
        ("GET", "/healthz", {"Host": "evil.example"}, 421),
    ],
)
async def test_a76_an_allowed_page_may_read_every_answer_also_why_it_is_refused(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with (
        EmbeddedServer(allowed_origins=[PAGE]) as server,
        http_client() as client,
    ):
        answer = await client.request(method, server.url + path, headers={"Origin": PAGE, **headers})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Chat-Cursor" in answer.headers["Access-Control-Expose-Headers"]
        assert answer.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        for origin in (None, server.url, "https://evil.example"):
            others = {"Origin": origin} if origin else {}
            answer = await client.request(method, server.url + path, headers=headers | others)
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert answer.headers["Vary"] == "Origin"  # otherwise caches would mix up answers


async def test_a78_a_preflight_lists_what_an_allowed_page_may_send() -> None:
    async with (
        EmbeddedServer(allowed_origins=[PAGE]) as server,
        http_client() as client,
    ):
        ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-csrf-token"}
        for path in ("/messages", "/typing", "/nowhere"):
            answer = await client.options(server.url + path, headers={"Origin": PAGE, **ask})
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert {"GET", "POST"} == set(answer.headers["Access-Control-Allow-Methods"].split(", "))
            for name in ("Content-Type", "X-CSRF-Token", "Last-Event-ID"):
                assert name in answer.headers["Access-Control-Allow-Headers"]
            answer = await client.options(server.url + path, headers={"Origin": PAGE + ".evil", **ask})
            assert answer.status_code == 403
            assert not [name for name in answer.headers if name.startswith("access-control")]
        assert (await client.options(f"{server.url}/messages", headers={"Origin": PAGE})).status_code == 405


async def test_without_allowed_origins_there_are_no_cors_headers(server: EmbeddedServer) -> None:
    answer = await get(server, "/healthz", Origin=server.url)
    assert not [name for name in answer.headers if name.startswith("access-control") or name == "vary"]


@pytest.mark.parametrize(
    ("query", "headers", "closed"),
    [
        ("", {}, (4400, "the room must have")),
        ("?room=lobby&sender=ada", {"Origin": "https://evil.example"}, (4403, "allowed_origins=[ORIGIN]")),
        ("/nowhere", {}, (4404, "there is no such path")),
    ],
)
@pytest.mark.parametrize("protocols", [None, ["chat", "v2"]])
async def test_a19_a_browser_is_told_by_a_close_frame_why_it_is_refused(
    server: EmbeddedServer,
    query: str,
    headers: dict[str, str],
    closed: tuple[int, str],
    protocols: list[Any] | None,
) -> None:
    """The answer to a handshake is hidden from pages; with sub-protocols, one must be chosen."""
    own = {"Origin": server.url, **headers}
    async with connect(
        server.ws_url + query,
        subprotocols=protocols,
        additional_headers=own,
        user_agent_header="Mozilla/5.0 (X11) Gecko",
    ) as connection:
        code, reason = await Member(connection).closed()
        assert (code, closed[1] in reason) == (closed[0], True)
        assert not connection.subprotocol or connection.subprotocol == "chat"
    assert (await get(server, "/healthz")).json()["people"] == 0


async def test_a81_a_browser_that_finds_the_server_full_is_told_to_come_back() -> None:
    async with EmbeddedServer(limits=Limits(max_connections=1)) as server, join(server):
        url = address(server, room="lobby", sender="eve")
        browser = "Mozilla/5.0"
        async with connect(url, origin=server.url, user_agent_header=browser) as connection:  # type: ignore[arg-type]
            assert (await Member(connection).closed())[0] == 1013


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost@evil.example"]
)
async def test_a77_a_host_that_is_not_this_server_is_refused(server: EmbeddedServer, host: str) -> None:
    response = await get(server, "/messages?room=lobby", Host=host)
    assert response.status_code == 421
    assert "evil" not in response.text
    async with raw(server) as (reader, writer):
        writer.write(handshake(server).replace(f"127.0.0.1:{server.port}".encode(), host.encode()))
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 421 ")


async def test_a77_loopback_names_and_allowed_hosts_are_this_server() -> None:
    async with EmbeddedServer(allowed_hosts=["Lab.example"]) as server:
        for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "[::1]", "[::1]:8000", "lab.example:80"):
            assert (await get(server, "/healthz", Host=host)).status_code == 200


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("sender=ada", "the room must have"),
        ("room=lobby", "the sender must have"),
        ("room=&sender=ada", "the room must have"),
        ("room=%20a&sender=ada", "the room must have"),
        ("room=a%0Ab&sender=ada", "the room must have"),
        ("room=a&sender=a%00b", "the sender must have"),
        ("room=a&sender=a%E2%80%AEb", "the sender must have"),
        ("room=a&sender=" + "x" * 201, "the sender must have"),
        ("room=%FF&sender=ada", "percent-encoded UTF-8"),
        ("room=%ED%A0%80&sender=ada", "percent-encoded UTF-8"),
        ("room=a&room=b&sender=ada", "give room only once"),
        ("room=a&sender=ada&history=-1", "history must be a whole number"),
        ("room=a&sender=ada&history=ten", "history must be a whole number"),
        ("room=a&sender=ada&history=" + "9" * 5000, "history must be a whole number"),
        ("room=a&sender=ada&" + "&".join(f"a{n}=" for n in range(60)), "at most 50 fields"),
    ],
)
async def test_a06_malformed_names_and_numbers_are_refused_in_the_handshake(
    server: EmbeddedServer, query: str, problem: str
) -> None:
    status, error = await refusal(f"{server.ws_url}?{query}")
    assert status == 400
    assert problem in error
    if "sender" not in problem:
        response = await get(server, f"/messages?{query}")
        assert (response.status_code, problem in response.json()["error"]) == (400, True)


async def test_a79_no_query_is_logged_or_echoed(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        caplog.set_level(logging.DEBUG, logger=name)
    # Raw, since the client libraries log their own requests.
    answers = b""
    for path in ("/ws?room=lobby&sender=raw&token=hunter2", "/ws?token=hunter2", "/no?token=hunter2"):
        async with raw(server) as (reader, writer):
            writer.write(handshake(server, path))
            answers += await reader.readuntil(b"\r\n\r\n")
            writer.write(client_frame(8))
            answers += await rest_of(reader)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(MemoryLog, "latest", broken)
    async with raw(server) as (reader, writer):
        writer.write(
            b"GET /messages?room=lobby&token=hunter2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        answer = await rest_of(reader)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b'{"error":"internal server error; see the log of the server"}')
    async with join(server, token="hunter2") as ada:
        assert await ada.closed() == (1011, "internal server error")
    ours = [record for record in caplog.records if not record.name.startswith("websockets.client")]
    logged = [logging.Formatter().format(record) for record in ours]
    assert [line for line in logged if "ZeroDivisionError" in line and "/messages" in line]
    assert b"hunter2" not in answers + answer
    assert not [line for line in logged if "hunter2" in line]


async def test_a82_it_listens_on_loopback_and_warns_when_told_otherwise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with EmbeddedServer() as server:
        assert [own.getsockname()[0] for own in server._runtime.listener.sockets] == ["127.0.0.1"]  # type: ignore[union-attr]
        assert not caplog.records
    async with EmbeddedServer(host="0.0.0.0") as server:
        assert ["everyone who can reach" in record.getMessage() for record in caplog.records] == [True]
        assert (await get(server, "/healthz")).status_code == 200
        assert (await get(server, "/healthz", Host="evil.example")).status_code == 421


@pytest.mark.parametrize("host", ["::1", "[::1]"])
async def test_it_listens_on_ipv6(host: str) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with EmbeddedServer(host=host) as server, join(server) as ada:
        assert server.url == f"http://[::1]:{server.port}"
        assert await ada.post("hello")
        assert (await get(server, "/healthz")).status_code == 200


# GET


async def test_messages_come_in_pages_with_a_cursor(server: EmbeddedServer) -> None:
    async with join(server) as ada:
        empty = await get(server, "/messages?room=lobby&history=50")
        assert (empty.json(), empty.headers["Chat-Cursor"]) == ([], f"{server.epoch}-0")
        for number in range(250):
            await ada.send(type="message", text=f"m{number}")
        await ada.until(text="m249")

    async def texts(query: str) -> tuple[list[str], str]:
        response = await get(server, f"/messages?room=lobby{query}")
        assert response.headers["Cache-Control"] == "no-store"
        return [message["text"] for message in response.json()], response.headers["Chat-Cursor"]

    everything = [f"m{number}" for number in range(250)]
    first, cursor = await texts(f"&after={empty.headers['Chat-Cursor']}")
    rest, end = await texts(f"&after={cursor}")
    assert (first, rest) == (everything[:200], everything[200:])
    assert await texts(f"&after={end}") == ([], end)
    assert await texts("&history=3") == (everything[-3:], end)
    assert (await texts("&limit=2"))[0] == everything[:2]
    assert (await texts("&limit=999"))[0] == everything[:200]
    assert (await get(server, "/messages?room=lobby&limit=0")).status_code == 400


async def test_a_page_of_large_messages_is_shorter_but_never_empty(server: EmbeddedServer) -> None:
    async with join(server) as ada:
        for number in range(20):
            await ada.post(f"{number:02}" + "x" * 65_000)
        response = await get(server, "/messages?room=lobby")
        assert [message["text"][:2] for message in response.json()] == [
            f"{number:02}" for number in range(16)
        ]
        rest = await get(server, f"/messages?room=lobby&after={response.headers['Chat-Cursor']}")
        assert [message["text"][:2] for message in rest.json()] == ["16", "17", "18", "19"]


@pytest.mark.parametrize("cursor", ["other-1", "junk", "", "{epoch}-2", "{epoch}--1", "{epoch}-٣"])
async def test_a60_an_unknown_cursor_is_gone(server: EmbeddedServer, cursor: str) -> None:
    async with join(server) as ada:
        await ada.post("m0")
    response = await get(server, f"/messages?room=lobby&after={quote(cursor.format(epoch=server.epoch))}")
    assert (response.status_code, "without after" in response.json()["error"]) == (410, True)


async def test_an_upgrade_over_http_1_0_is_ignored(server: EmbeddedServer) -> None:
    """An HTTP/1.0 proxy forwards the header, but can't do what it asks for. Source: RFC 9110 §7.8."""
    async with raw(server) as (reader, writer):
        writer.write(handshake(server).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        answer = await rest_of(reader)
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"let proxies forward the Upgrade header" in answer


async def test_healthz_counts_members_and_rooms(server: EmbeddedServer) -> None:
    async with join(server) as ada, join(server, "bob") as bob, join(server, "eve", room="other") as eve:
        for member in (ada, bob, eve):
            await member.until(type="presence", state="here")
        expected = {"status": "ok", "epoch": server.epoch, "people": 3, "rooms": 2}
        assert (await get(server, "/healthz")).json() == expected


async def test_everything_else_is_a_json_error(server: EmbeddedServer) -> None:
    for path, status in (("/", 404), ("/ws/", 404), ("/messages/poll", 400), ("/%00", 404), ("/ws", 426)):
        response = await get(server, path)
        assert (response.status_code, bool(response.json()["error"])) == (status, True)
    async with http_client() as client:
        response = await client.post(f"{server.url}/healthz", content=b"x" * 1_000_000)
        assert (response.status_code, response.json()["error"]) == (405, "this path allows only GET")
    assert (await refusal(f"ws://127.0.0.1:{server.port}/nowhere"))[0] == 404


# Starting and stopping


async def test_stopping_says_1012_frees_the_port_and_may_be_undone() -> None:
    server = EmbeddedServer()
    await server.start()
    await server.start()
    port, epoch = server.port, server.epoch
    async with join(server) as ada:
        await ada.post("m0")
        await server.stop()
        await server.stop()
        assert await ada.closed() == (1012, "service restart")
    assert (server.running, server.epoch) == (False, "")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    await server.start()
    assert (server.port, server.epoch != epoch) == (port, True)
    async with join(server, after=f"{epoch}-1") as ada:
        assert (await ada.read())["resync"] is True  # a log in memory is lost
    await server.stop()


@pytest.mark.parametrize(
    "frame", [b"\x88\x82\0\0\0\0\x03\xe8", b"\x88\x80\0\0\0\0", b"\x88\x01x", b"\xff\xff"]
)
async def test_stopping_while_a_peer_is_closing_does_no_harm(frame: bytes) -> None:
    """Stop when its close frame, or an invalid frame, has arrived, and the connection isn't closed yet."""
    async with EmbeddedServer() as server, join(server), join(server, sender="bob") as bob:
        assert server._runtime is not None
        closing = next(iter(server._runtime.connections.connections))
        assert isinstance(closing, WebSocketConnection)
        closing.data_received(frame)
        closing.shutdown()  # in the same turn of the loop
        await server.stop()
        assert await bob.closed() == (1012, "service restart")


async def test_an_abrupt_stop_says_nothing() -> None:
    async with EmbeddedServer() as server, join(server) as ada, raw(server) as (reader, writer):
        await ada.until(type="presence")
        writer.write(b"GET /mess")
        await server.stop(abrupt=True)
        assert await ada.closed() == (1006, "")
        assert await rest_of(reader) == b""


async def test_stopping_does_not_wait_for_a_peer_that_says_nothing() -> None:
    config = HubConfig(rate=1e6, burst=1_000_000)
    async with EmbeddedServer(config=config, limits=Limits(close_timeout=0.1)) as server:
        async with join(server) as ada:
            with snail(server), snail(server):
                await ada.until(type="presence", state="joined")
                await ada.post("x" * 60_000)
                async with asyncio.timeout(PATIENCE):
                    await server.stop()
        assert not server.running


async def test_fifty_starts_and_stops_leave_nothing_behind(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "chat.db")

    def left() -> tuple[int, int, int]:
        return len(asyncio.all_tasks()), threading.active_count(), len(list(Path("/dev/fd").iterdir()))

    before = left()
    for cycle in range(50):
        await server.start()
        async with join(server) as ada, raw(server):
            await ada.post(f"m{cycle}")
            await server.stop(abrupt=cycle % 2 == 1)
    await asyncio.sleep(0)
    # Less is left if a thread of an earlier test has ended meanwhile.
    assert all(now <= then for now, then in zip(left(), before, strict=True))
    async with server:
        assert len((await get(server, "/messages?room=lobby")).json()) == 50


async def test_an_address_of_another_machine_is_a_clear_error() -> None:
    with pytest.raises(
        OSError, match=r"host 192\.0\.2\.1 is not an address of this machine; give one that is"
    ):
        await EmbeddedServer(host="192.0.2.1").start()


async def test_a_port_in_use_is_a_clear_error(server: EmbeddedServer, tmp_path: Path) -> None:
    second = EmbeddedServer(tmp_path / "chat.db", port=server.port)
    with pytest.raises(OSError, match=f"port {server.port} of 127.0.0.1 is in use"):
        await second.start()
    assert not second.running
    await server.stop()
    await second.start()  # neither the port nor the file was kept
    await second.stop()


async def test_a_history_in_use_is_a_clear_error(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path / "chat.db"):
        with pytest.raises(StoreError, match="in use by another server"):
            await EmbeddedServer(tmp_path / "chat.db").start()


def test_it_runs_in_the_background_for_any_thread() -> None:
    server = EmbeddedServer()
    for _ in range(2):
        server.start_in_background()
        server.start_in_background()
        assert httpx.get(f"{server.url}/healthz", verify=False, timeout=60).json()["status"] == "ok"
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(server.stop())
        server.stop_in_background()
        server.stop_in_background(abrupt=True)
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url, verify=False)


def test_a71_an_interpreter_that_ends_stops_it_without_noise() -> None:
    script = """if True:
        import atexit
        from contextlib import ExitStack
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect
        from chatlab.live.server.embedded_server import EmbeddedServer

        def last_words():
            try:
                while True:
                    connection.recv()
            except ConnectionClosed as closed:
                print(closed.rcvd)

        atexit.register(last_words)  # the last to be called, as the first to register
        server = EmbeddedServer()
        server.start_in_background()
        url = server.ws_url + "?room=lobby&sender=ada"
        connection = ExitStack().enter_context(connect(url, ping_interval=None))
        print(connection.recv()[:17])
    """
    code, output, errors = interpreted(script)
    assert (code, errors) == (0, "")
    assert output.splitlines() == ['{"type":"welcome"', "1012 (service restart) service restart"]


# The process


async def test_serve_has_options_for_access_and_a_refusal_names_them() -> None:
    options = ("--allow-host", "chat.example", "--allow-origin", PAGE, "--trust-proxy", "127.0.0.0/8")
    with served("--port", "0", *options) as (_, url):
        server = at(url)
        proxied = {"Host": "chat.example", "Origin": "https://chat.example", "X-Forwarded-Proto": "https"}
        for headers, status, told in (
            ({"Host": "evil.example"}, 421, "--allow-host NAME"),
            ({"Origin": "https://evil.example"}, 403, "--allow-origin ORIGIN"),
            ({"Host": "chat.example", "Origin": "https://chat.example"}, 403, "--trust-proxy ADDRESS"),
            (proxied, 200, "ok"),
            ({"Origin": PAGE}, 200, "ok"),
        ):
            answer = await get(server, "/healthz", **headers)
            assert (answer.status_code, told in answer.text) == (status, True)


@pytest.mark.parametrize(
    "options", [("--allow-host", "*"), ("--allow-origin", "null"), ("--trust-proxy", "nginx")]
)
def test_serve_reports_an_invalid_option_in_one_line(options: tuple[str, str]) -> None:
    ended = CliRunner().invoke(app, ["serve", "--port", "0", *options])
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(f"chatlab serve: {options[0]} ")


@pytest.mark.parametrize("number", rows([signal.SIGINT, signal.SIGTERM], signal.SIGTERM))
async def test_serve_prints_one_line_and_ends_when_asked(number: signal.Signals) -> None:
    with served("--port", "0") as (process, url):
        async with join(at(url)) as ada:
            await ada.until(type="presence")
            process.send_signal(number)
            assert (await ada.closed())[0] == 1012
        out, err = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
        assert (process.returncode, out, err) == (0, "", "")


def test_serve_reports_a_port_in_use_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-c", "from chatlab.cli import app; app()", "serve", "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert f"port {port} of 127.0.0.1 is in use" in ended.stderr


async def resend(ada: Member, client_ids: list[str]) -> set[str]:
    """Send all again; return those that the server has already."""
    await ada.until(type="presence", state="here")
    for client_id in client_ids:
        await ada.send(type="message", text=client_id, client_id=client_id)
    settled = {(await ada.read())["client_id"] for _ in client_ids}
    assert settled == set(client_ids)
    return {frame["client_id"] for frame in ada.seen if frame["type"] == "ack"}


async def test_acked_messages_survive_sigkill_exactly_once_and_duplicates_are_known(tmp_path: Path) -> None:
    options = ("--port", "0", "--db", str(tmp_path / "chat.db"))
    sent: list[str] = []
    with served(*options) as (process, url):
        server = at(url)
        async with join(server) as ada:

            async def post() -> None:
                while True:
                    sent.append(f"c{len(sent)}")
                    await ada.send(type="message", text=sent[-1], client_id=sent[-1])
                    await asyncio.sleep(0.002)  # below the rate limit

            posting = asyncio.ensure_future(post())
            await ada.until(client_id="c100")
            process.kill()
            assert (await ada.closed())[0] == 1006
            with pytest.raises(ConnectionClosed):
                await posting
        acked = [frame for frame in ada.seen if frame["type"] == "message"]
    with served("--port", str(server.port), *options[2:]):
        kept = await history_of(server)
        assert kept[: len(acked)] == acked  # with the same ids, times and order
        had = {message["client_id"] for message in kept}
        assert len(had) == len(kept) <= len(sent)
        async with join(server, after=kept[-1]["id"]) as ada:
            again = await resend(ada, sent)
            assert again == had
            assert not any(frame.get("resync") for frame in ada.seen)
        assert [message["client_id"] for message in await history_of(server)] == sent


async def test_a_message_that_cannot_be_kept_is_refused_and_nothing_else_happens(tmp_path: Path) -> None:
    options = ("--port", "0", "--db", str(tmp_path / "chat.db"))
    with served(*options, limit_file_size=512 * 1024) as (process, url):
        server = at(url)
        acked: list[Frame] = []
        async with join(server, "bob") as bob, join(server) as ada:
            nacks: list[Frame] = []
            for number in range(100):
                await ada.send(type="message", text="x" * 60_000, client_id=f"c{number}")
                frame = await ada.until(client_id=f"c{number}")
                (acked if frame["type"] == "message" else nacks).append(frame)
            assert 0 < len(acked) < 100
            assert {(nack["status"], nack["reason"]) for nack in nacks} == {
                (503, "the server can't write its history")
            }
            await ada.send(type="typing")
            await bob.until(type="typing")
            assert [frame for frame in bob.seen if frame["type"] == "message"] == acked
        process.terminate()
        _, err = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
        assert err.count("\n") < 5
        assert "messages are refused until it can be written again" in err
    with served(*options) as (_, url):
        server = at(url)
        assert await history_of(server) == acked
        async with join(server, after=acked[-1]["id"]) as ada:
            assert await resend(ada, [nacks[0]["client_id"]]) == set()
