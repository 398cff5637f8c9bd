"""A server on loopback that does what a script says, byte by byte, where a library would be too polite.

    async def rude(peer: Peer) -> None:
        await peer.upgrade()
        await peer.send(frame(TEXT, b"hello", mask=True))       # no server may mask
        await peer.gone()

    async with Misbehaving(rude) as server:
        WebSocketTransport(WebSocketConfig(url=server.ws_url))

Each connection gets the next script, and the last script gets all further ones. A script that returns ends
its connection (FIN); one that the other side leaves in the middle ends in silence. The same `Peer` answers
plain HTTP requests (`respond`, `begin`, `chunk`), so that event streams and polls can misbehave too.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from chatlab.live.listening import stop_listening

Script = Callable[["Peer"], Awaitable[None]]
Headers = Mapping[str, str] | tuple[tuple[str, str], ...]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Source: RFC 6455 §1.3."""


class Request(NamedTuple):
    """A client's request; the names of `headers` are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(
        self, server: Misbehaving, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.number = number
        self._reader = reader
        self._writer = writer

    # Bytes

    async def send(self, data: bytes) -> None:
        """Send bytes unchanged."""
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self, count: int) -> bytes:
        """Return exactly `count` bytes."""
        return await self._reader.readexactly(count)

    async def gone(self) -> None:
        """Read and discard until the client ends the connection."""
        while await self._reader.read(1 << 16):
            pass

    async def finish(self) -> None:
        """Send FIN, and go on reading."""
        self._writer.write_eof()
        await self._writer.drain()

    def reset(self) -> None:
        """Send RST: bytes sent before may still arrive."""
        peer: socket.socket = self._writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    # HTTP

    async def request(self) -> Request:
        """Read one request, with its body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.receive(int(headers.get("content-length", "0")))
        parts = urlsplit(target)
        request = Request(method, parts.path, dict(parse_qsl(parts.query)), headers, body)
        self.server.requests.append(request)
        return request

    async def begin(self, status: int, headers: Headers = (), reason: str = "Because") -> None:
        """Send a status line and these headers, and no others."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in pairs), "", ""]
        await self.send("\r\n".join(lines).encode("latin-1"))

    async def respond(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        """Send a whole answer."""
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
        await self.begin(status, (*pairs, ("Content-Length", str(len(body)))))
        await self.send(body)

    async def chunk(self, data: bytes) -> None:
        """Send a chunk of a body with `Transfer-Encoding: chunked`; an empty one ends it."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    # WebSocket

    async def upgrade(self, headers: Headers = (), *, accept: str | None = None) -> Request:
        """Read the opening handshake and answer it, with a wrong `accept` if one is given."""
        request = await self.request()
        await self.switch(request, headers, accept=accept)
        return request

    async def switch(self, request: Request, headers: Headers = (), *, accept: str | None = None) -> None:
        """Answer an opening handshake, as `upgrade` does."""
        if accept is None:
            accept = accept_key(request.headers["sec-websocket-key"])
        own = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept}
        await self.begin(101, (*own.items(), *(headers.items() if isinstance(headers, Mapping) else headers)))

    async def say(self, **content: Any) -> None:
        """Send a text frame of JSON."""
        await self.send(frame(TEXT, json.dumps(content).encode()))

    async def close(self, code: int, reason: str | bytes = "") -> None:
        """Send a close frame, and wait until the client has ended the connection."""
        await self.send(close_frame(code, reason))
        await self.gone()

    async def frame(self) -> tuple[int, bytes]:
        """Return the opcode and the payload of the client's next frame."""
        first, second = await self.receive(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(await self.receive(2 if length == 126 else 8))
        key = await self.receive(4)
        masked = await self.receive(length)
        return first & 0xF, bytes(byte ^ key[index % 4] for index, byte in enumerate(masked))

    async def hear(self, kind: str) -> dict[str, Any]:
        """Read on to the next JSON frame of this type."""
        while True:
            opcode, payload = await self.frame()
            if opcode == TEXT and (heard := json.loads(payload)).get("type") == kind:
                return dict(heard)

    async def chat(self, acks: int | None = None) -> None:
        """Behave well: answer pings and acknowledge messages, `acks` of them or without end."""
        while acks is None or acks > 0:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                await self.send(frame(CLOSE, payload))
                return
            heard = json.loads(payload) if opcode == TEXT else {}
            if heard.get("type") == "ping":
                await self.say(type="pong", id=heard["id"])
            elif heard.get("type") == "message":
                self.server.heard.append(heard["text"])
                await self.say(type="ack", client_id=heard["client_id"])
                acks = None if acks is None else acks - 1


class Misbehaving:
    """A listener on a free loopback port whose connections are answered by scripts."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.host = "127.0.0.1"
        self.port = 0
        self.accepted = 0
        self.requests: list[Request] = []
        self.heard: list[str] = []
        self.errors: list[Exception] = []

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws{self.url.removeprefix('http')}/ws"

    @property
    def open(self) -> int:
        """Number of open connections."""
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        await stop_listening(self._server)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        if self.errors and exc_info[0] is None:
            raise ExceptionGroup("scripts failed", self.errors)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.accepted, len(self._scripts) - 1)]
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await script(Peer(self, self.accepted, reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The client has gone, or the test has ended.
        except Exception as error:
            self.errors.append(error)
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


def accept_key(key: str) -> str:
    """Return the server's answer to `Sec-WebSocket-Key`. Source: RFC 6455 §4.2.2."""
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bool = False,
    length: int | None = None,
) -> bytes:
    """Return a frame, valid or not; `length` is the length in its header. Source: RFC 6455 §5.2."""
    claimed = len(payload) if length is None else length
    first = (fin << 7) | (rsv << 4) | opcode
    if claimed < 126:
        head = struct.pack(">BB", first, mask << 7 | claimed)
    elif claimed < 1 << 16:
        head = struct.pack(">BBH", first, mask << 7 | 126, claimed)
    else:
        head = struct.pack(">BBQ", first, mask << 7 | 127, claimed)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def close_frame(code: int, reason: str | bytes = "") -> bytes:
    """Return a close frame with any code and reason."""
    return frame(CLOSE, struct.pack(">H", code) + (reason.encode() if isinstance(reason, str) else reason))


async def silence(peer: Peer) -> None:
    """Accept the connection, and send nothing."""
    await asyncio.Event().wait()


async def friendly(peer: Peer) -> None:
    """Behave well."""
    await peer.upgrade()
    await peer.say(type="welcome")
    await peer.chat()
