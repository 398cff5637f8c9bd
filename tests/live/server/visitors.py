"""Clients of the embedded server over HTTP with only the protocol's minimum: bare httpx, and raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import msgspec

from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.transports.eventstream import EventStreamParser, StreamEvent
from tests.http_clients import http_client

PATIENCE = 60.0
"""Seconds after which a test that waits for something has failed."""

Frame = dict[str, Any]


def asked(path: str, **query: object) -> str:
    """Return a path with a query, percent-encoded as strictly as possible."""
    return f"{path}?{urlencode(query, quote_via=quote, safe='')}"


class Visitor:
    """A client of a room without a persistent connection."""

    def __init__(self, client: httpx.AsyncClient, sender: str, room: str) -> None:
        self.client = client
        self.sender = sender
        self.room = room
        self.token = ""

    async def get(self, path: str, **query: object) -> httpx.Response:
        return await self.client.get(asked(path, room=self.room, **query))

    async def poll(self, after: str | None, **query: object) -> httpx.Response:
        given = {} if after is None else {"after": after}
        return await self.get("/messages/poll", **given, **query)

    async def fetch_token(self) -> str:
        response = await self.client.get("/csrf")
        assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
        self.token = response.json()["token"]
        return self.token

    async def send(self, content: bytes, path: str = "/messages", **headers: str) -> httpx.Response:
        """Post these bytes with these headers, and a token and a content type unless they are given."""
        if not self.token:
            await self.fetch_token()
        given = {"X-CSRF-Token": self.token, "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        url = asked(path, room=self.room, sender=self.sender)
        return await self.client.post(url, content=content, headers=given)

    async def post(self, text: str, client_id: str = "", **more: object) -> httpx.Response:
        return await self.send(msgspec.json.encode({"text": text, "client_id": client_id, **more}))

    async def say(self, *texts: str) -> list[str]:
        """Post messages and return their ids."""
        answers = [await self.post(text) for text in texts]
        assert [answer.status_code for answer in answers] == [201] * len(texts)
        return [answer.json()["id"] for answer in answers]


@asynccontextmanager
async def visit(server: EmbeddedServer, sender: str = "ada", room: str = "lobby") -> AsyncIterator[Visitor]:
    limits = httpx.Limits(max_connections=None)
    async with http_client(server.url, limits=limits) as client:
        yield Visitor(client, sender, room)


class Stream:
    """A reader of an event stream: it has read the first `read` of its `events`."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.events: list[StreamEvent] = []
        self.raw = b""
        self.parser = EventStreamParser()
        self._chunks = response.aiter_raw()
        self.read = 0

    async def event(self) -> StreamEvent:
        """Return the next event. Errors: StopAsyncIteration at the end."""
        async with asyncio.timeout(PATIENCE):
            while self.read == len(self.events):
                await self._more()
        self.read += 1
        return self.events[self.read - 1]

    async def _more(self) -> None:
        chunk = await anext(self._chunks)
        self.raw += chunk
        self.events += self.parser.feed(chunk)

    async def frame(self) -> Frame:
        event = await self.event()
        frame: Frame = msgspec.json.decode(event.data)
        assert event.type == frame["type"]
        return frame

    async def until(self, **fields: object) -> Frame:
        """Read up to a frame with these fields."""
        while True:
            frame = await self.frame()
            if fields.items() <= frame.items():
                return frame

    async def bytes(self, wanted: bytes, times: int = 1) -> None:
        """Read on until these bytes have come `times` times."""
        async with asyncio.timeout(PATIENCE):
            while self.raw.count(wanted) < times:
                await self._more()

    async def ended(self) -> bool:
        """Read to the end; return whether the server ended it in order."""
        try:
            while True:
                await self.event()
        except StopAsyncIteration:
            return True
        except httpx.RemoteProtocolError:
            return False

    @property
    def messages(self) -> list[Frame]:
        """The messages that have been read."""
        return [msgspec.json.decode(event.data) for event in self.events if event.type == "message"]


@asynccontextmanager
async def listen(
    server: EmbeddedServer, sender: str = "eve", room: str = "lobby", last: str = "", **query: object
) -> AsyncIterator[Stream]:
    headers = {"Last-Event-ID": last} if last else {}
    url = asked("/stream", room=room, sender=sender, **query)
    async with (
        visit(server) as visitor,
        visitor.client.stream("GET", url, headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield Stream(response)
