"""Clients of the embedded server over WebSocket and raw sockets, and what they can see of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chatlab.live.server.embedded_server import EmbeddedServer
from tests.http_clients import http_client

PATIENCE = 60.0
"""Seconds after which a test that waits for something has failed."""

Frame = dict[str, Any]


class Member:
    """A client of the room, which reads frames and records them."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.seen: list[Frame] = []

    async def read(self) -> Frame:
        async with asyncio.timeout(PATIENCE):
            frame = await self.connection.recv()
        read: Frame = json.loads(frame) if isinstance(frame, str) else msgspec.msgpack.decode(frame)
        self.seen.append(read)
        return read

    async def until(self, **fields: object) -> Frame:
        """Read up to a frame with these fields."""
        while True:
            frame = await self.read()
            if fields.items() <= frame.items():
                return frame

    async def send(self, **frame: object) -> None:
        await self.connection.send(json.dumps(frame))

    async def post(self, text: str, client_id: str = "") -> Frame:
        """Post a message and return its echo."""
        await self.send(type="message", text=text, client_id=client_id)
        return await self.until(type="message", text=text)

    async def closed(self) -> tuple[int, str]:
        """Read to the end; return the server's close code and reason. 1006 means that it sent none."""
        try:
            while True:
                await self.read()
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


def address(server: EmbeddedServer, **query: str | int) -> str:
    return f"{server.ws_url}?{urlencode(query, quote_via=quote)}"


@asynccontextmanager
async def join(
    server: EmbeddedServer, sender: str = "ada", room: str = "lobby", **query: str | int
) -> AsyncIterator[Member]:
    url = address(server, room=room, sender=sender, **query)
    connection = await connect(url, ping_interval=None, close_timeout=1, max_size=None)
    try:
        yield Member(connection)
    finally:
        # The time-out may abort a transport that has just been closed, and asyncio raises this.
        with suppress(AttributeError):
            await connection.close()


async def refusal(url: str, **options: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, **options)
    response = refused.value.response
    assert response.headers["Content-Type"] == "application/json"
    return response.status_code, json.loads(response.body)["error"]


async def get(server: EmbeddedServer, path: str, **headers: str) -> httpx.Response:
    async with http_client() as client:
        return await client.get(server.url + path, headers=headers)


def handshake(server: EmbeddedServer, path: str = "/ws?room=lobby&sender=raw") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


@asynccontextmanager
async def raw(server: EmbeddedServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            yield reader, writer
        finally:
            writer.close()


def open_connections(server: EmbeddedServer) -> int:
    assert server._runtime
    return len(server._runtime.connections.connections)


def waiting(server: EmbeddedServer) -> int:
    """Return the number of bytes that the server hasn't sent yet."""
    assert server._runtime
    return sum(
        connection.transport.get_write_buffer_size() for connection in server._runtime.connections.connections
    )


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Read until the server ends the connection, in order or not."""
    data = b""
    try:
        while chunk := await reader.read(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def at(ws_url: str) -> EmbeddedServer:
    """Return a stand-in for the server of another process."""
    return EmbeddedServer(port=int(ws_url.rpartition(":")[2].removesuffix("/ws")))


async def history_of(server: EmbeddedServer) -> list[Frame]:
    messages: list[Frame] = []
    cursor = ""
    while True:
        page = await get(server, f"/messages?room=lobby{cursor}")
        messages += page.json()
        if not page.json():
            return messages
        cursor = f"&after={page.headers['Chat-Cursor']}"
