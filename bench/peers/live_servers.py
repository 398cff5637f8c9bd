"""Servers for the live benchmark, each in a process of its own: `python -m bench.peers.live_servers NAME`.

One prints its address in its first line, then for each line that it reads the CPU seconds and the resident
bytes that it has taken, until its input ends.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib import import_module
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from bench.peers.live_measure import used
from chatlab.hub import HubConfig
from chatlab.live.server.connections import Limits
from chatlab.live.server.embedded_server import EmbeddedServer

TEXT = "how are you? I'm well, and so is the parrot"
BURST = 1000
"""Frames that are sent before the loop gets another turn."""


def message(number: int) -> str:
    return f'{{"type":"message","id":"{number}","sender":"bob","text":"{TEXT}","client_id":"b{number}"}}'


@asynccontextmanager
async def chatlab() -> AsyncIterator[str]:
    """Run our own server, with its log and rooms, without its limits."""
    limits = Limits(max_connections=10_000)
    async with EmbeddedServer(config=HubConfig(rate=1e9, burst=10**9), limits=limits) as server:
        yield server.url


@asynccontextmanager
async def plain_websocket() -> AsyncIterator[str]:
    """Run a server that echoes every frame with an id, as a room of one; `pour` is a number of frames."""

    async def chat(connection: ServerConnection) -> None:
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        number = 0
        for number in range(1, int(query.get("pour", ["0"])[0]) + 1):
            await connection.send(message(number))
        async for frame in connection:
            if isinstance(frame, str):
                number += 1
                await connection.send(f'{frame[:-1]},"id":"{number}","sender":"ada"}}')

    async with serve(chat, "127.0.0.1", 0, compression=None) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def broadcasting() -> AsyncIterator[str]:
    """Run a server that only passes every frame on to everybody."""
    everybody: set[ServerConnection] = set()

    async def chat(connection: ServerConnection) -> None:
        everybody.add(connection)
        with suppress(ConnectionClosed):
            async for frame in connection:
                broadcast(everybody, frame)
        everybody.discard(connection)

    async with serve(chat, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class PlainHttp(asyncio.Protocol):
    """A minimal HTTP server: it acknowledges every POST, and `/stream?pour=N` with N messages."""

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end]).lower()
            _, _, length = head.partition(b"content-length:")
            size = int(length.split(b"\r\n", 1)[0] or 0)
            until = end + 4 + size
            if len(self._received) < until:
                return
            body = bytes(self._received[end + 4 : until])
            del self._received[:until]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        target = head.split(b" ", 2)[1].decode()
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path == "/stream":
            self._pour(int(query.get("pour", ["0"])[0]))
        elif path == "/csrf":
            self._write("200 OK", b'{"token":"plain"}')
        else:
            self._write(
                "201 Created",
                f'{{"type":"ack","client_id":"{json.loads(body)["client_id"]}","id":"1"}}'.encode(),
            )

    def _write(self, status: str, body: bytes) -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    def _pour(self, number: int) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for first in range(1, number + 1, BURST):
            events = "".join(
                f"event: message\nid: {each}\ndata: {message(each)}\n\n"
                for each in range(first, min(first + BURST, number + 1))
            ).encode()
            self._transport.write(f"{len(events):x}\r\n".encode() + events + b"\r\n")


@asynccontextmanager
async def plain_http() -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(PlainHttp, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def socketio() -> AsyncIterator[str]:
    """Run python-socketio's own server on aiohttp, which acknowledges messages that it passes on."""
    library, web = import_module("socketio"), import_module("aiohttp.web")
    server = library.AsyncServer(async_mode="aiohttp")
    numbers = count(1)

    @server.event  # type: ignore[untyped-decorator]
    async def connect(sid: str, environ: Any) -> None:
        await server.enter_room(sid, "lobby")

    @server.event  # type: ignore[untyped-decorator]
    async def message(sid: str, data: Any) -> str:
        await server.emit("message", data, room="lobby", skip_sid=sid)
        return str(next(numbers))

    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


SERVERS: dict[str, Callable[[], AbstractAsyncContextManager[str]]] = {
    "chatlab": chatlab,
    "broadcast": broadcasting,
    "plain WebSocket": plain_websocket,
    "plain HTTP": plain_http,
    "socketio": socketio,
}


async def main(name: str) -> None:
    async with SERVERS[name]() as url:
        print(url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(*used(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
