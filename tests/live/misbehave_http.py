"""A well-behaved chat server over HTTP, except where a test says otherwise, and clients that talk to it.

    site = Site(receive=[respond(503), says(message("1"))])       # the first request to receive; all others
    async with Misbehaving(site) as server:
        with talking("sse", server.url) as (transport, watch):

A `Route` answers one request. Each purpose (`receive`, `post`, `csrf`, `typing`) has its list of routes: each
request gets the next one, and the last one gets all further ones. A route answers WebSockets, event streams
and polls alike, each in its own format.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic
from typing import Any, Literal, NoReturn

from chatlab.trace import Step
from chatlab.transports.machine import Notify
from tests.live.misbehave import Peer, Request

Purpose = Literal["receive", "post", "csrf", "typing"]
Route = Callable[[Peer, Request], Awaitable[None]]

EVENT_STREAM = ("Content-Type", "text/event-stream")
JSON = ("Content-Type", "application/json")
CHUNKED = ("Transfer-Encoding", "chunked")


class Site:
    """A script for `Misbehaving` that answers the requests of every connection by its routes."""

    def __init__(
        self,
        *,
        receive: Sequence[Route] | None = None,
        post: Sequence[Route] | None = None,
        csrf: Sequence[Route] | None = None,
    ) -> None:
        self._routes: dict[Purpose, Sequence[Route]] = {
            "receive": receive or [says()],
            "post": post or [accept],
            "csrf": csrf or [respond(200, JSON, body=b'{"token": "t"}')],
            "typing": [respond(204)],
        }
        self.asked: dict[Purpose, list[Request]] = {purpose: [] for purpose in self._routes}
        self.asked_at: dict[Purpose, list[float]] = {purpose: [] for purpose in self._routes}
        self.under_way = 0
        self.most_under_way = 0
        """Largest number of requests to receive that were answered at the same time."""

    async def __call__(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            purpose = purpose_of(request)
            asked, routes = self.asked[purpose], self._routes[purpose]
            asked.append(request)
            self.asked_at[purpose].append(monotonic())
            route = routes[min(len(asked), len(routes)) - 1]
            if purpose != "receive":
                await route(peer, request)
                continue
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            try:
                await route(peer, request)
            finally:
                self.under_way -= 1

    @property
    def cursors(self) -> list[str | None]:
        """The cursor in each request to receive."""
        return [
            request.headers.get("last-event-id", request.query.get("after"))
            for request in self.asked["receive"]
        ]

    @property
    def posted(self) -> list[str]:
        """The texts of all posts, in the order of their arrival."""
        return [json.loads(request.body)["text"] for request in self.asked["post"]]

    @property
    def client_ids(self) -> list[str]:
        """The idempotency keys of all posts, in the order of their arrival."""
        return [json.loads(request.body)["client_id"] for request in self.asked["post"]]


def purpose_of(request: Request) -> Purpose:
    """Return the purpose of a request."""
    if request.path == "/csrf":
        return "csrf"
    if request.path == "/typing":
        return "typing"
    return "post" if request.method == "POST" else "receive"


def leave() -> NoReturn:
    """End the connection from within a route (FIN)."""
    raise ConnectionAbortedError


def message(id: str, text: str = "", **more: Any) -> dict[str, Any]:
    """Return a message of bob's; its text is its id unless one is given."""
    return {"type": "message", "id": id, "sender": "bob", "text": text or id} | more


def event(content: dict[str, Any]) -> bytes:
    """Return a message as an event of a stream."""
    return f"id: {content['id']}\ndata: {json.dumps(content)}\n\n".encode()


def delays(steps: Iterable[Step]) -> list[float]:
    """Return the seconds that a transport decided to wait before each retry, from its recorded steps."""
    return [
        effect.change.retry_at - step.at
        for step in steps
        for effect in step.effects
        if isinstance(effect, Notify) and effect.change.retry_at is not None
    ]


# Routes


def respond(status: int, *headers: tuple[str, str], body: bytes = b"") -> Route:
    """Give this answer to any request."""

    async def route(peer: Peer, request: Request) -> None:
        if status in (204, 304):  # They have no body. Source: RFC 9110 §6.4.1.
            await peer.begin(status, headers)
            await peer.send(body)
        else:
            await peer.respond(status, headers, body)

    return route


def says(*messages: dict[str, Any], then: Literal["stay", "leave", "reset"] = "stay") -> Route:
    """Deliver these messages: as frames or events, and then stay, leave or reset; or as a page."""

    async def route(peer: Peer, request: Request) -> None:
        if request.path == "/ws":
            await peer.switch(request)
            for content in ({"type": "welcome"}, *messages):
                await peer.say(**content)
            if then == "stay":
                await peer.chat()
            elif then == "reset":
                peer.reset()
            leave()
        elif request.path == "/stream":
            await stream(b"".join(map(event, messages)), then=then)(peer, request)
        else:
            await peer.respond(200, (JSON,), json.dumps(messages).encode())

    return route


def stream(
    data: bytes | Iterable[bytes],
    *headers: tuple[str, str],
    then: Literal["stay", "leave", "reset"] = "stay",
) -> Route:
    """Open an event stream, send these bytes, in chunks or all at once, and then stay, leave or reset."""

    async def route(peer: Peer, request: Request) -> None:
        await peer.begin(200, (*(headers or (EVENT_STREAM,)), CHUNKED))
        for piece in (data,) if isinstance(data, bytes) else data:
            if piece:
                await peer.chunk(piece)
        if then == "stay":
            await peer.gone()
        elif then == "reset":
            peer.reset()
        leave()

    return route


def accepts(status: int) -> Route:
    """Accept a posted message with this status."""

    async def route(peer: Peer, request: Request) -> None:
        content = json.loads(request.body)
        peer.server.heard.append(content["text"])
        answer = {"type": "ack", "client_id": content["client_id"], "id": f"{len(peer.server.heard)}"}
        await peer.respond(status, (JSON,), json.dumps(answer).encode())

    return route


accept = accepts(201)


async def never(peer: Peer, request: Request) -> None:
    """Accept the request, and give no answer."""
    await peer.gone()
    leave()


async def hang_up(peer: Peer, request: Request) -> None:
    """End the connection instead of answering."""
    leave()


def raw(data: bytes) -> Route:
    """Send bytes instead of an answer, and end the connection."""

    async def route(peer: Peer, request: Request) -> None:
        await peer.send(data)
        leave()

    return route


def after(seconds: float, route: Route) -> Route:
    """Answer after a delay."""

    async def late(peer: Peer, request: Request) -> None:
        await asyncio.sleep(seconds)
        await route(peer, request)

    return late
