"""Cookies that a server sets go back to it, over every transport, and to no other server."""

from __future__ import annotations

import pytest

from chatlab.live.client.cookies import Cookies, cookies_of
from tests.live.misbehave import Misbehaving, Peer
from tests.live.misbehave_http import EVENT_STREAM, JSON
from tests.live.watch import ALL, talking, until
from tests.sizes import rows

STICKY = ("Set-Cookie", "LB=node7; Path=/; HttpOnly")


async def balancer(peer: Peer) -> None:
    """Set a cookie for each client, and end each connection soon."""
    while True:
        request = await peer.request()
        if "upgrade" in request.headers:
            await peer.switch(request, (STICKY,))
            await peer.close(1012)
        elif request.path == "/stream":
            await peer.begin(200, (EVENT_STREAM, STICKY))
            return
        else:
            await peer.respond(200, (JSON, STICKY), b"[]")


async def no_websocket(peer: Peer) -> None:
    """Set a cookie when a WebSocket is requested, and refuse it; answer everything else."""
    while True:
        request = await peer.request()
        if "upgrade" in request.headers:
            await peer.respond(404, (STICKY,))
        elif request.path == "/stream":
            await peer.begin(200, (EVENT_STREAM,))
            await peer.send(b": hello\n\n")
            await peer.gone()
        else:
            await peer.respond(200, (JSON,), b'{"token": "t"}')


@pytest.mark.parametrize("kind", rows(ALL, "websocket"))
async def test_A108_a_sticky_cookie_comes_back_with_each_attempt_and_after_a_disconnect(kind: str) -> None:
    async with Misbehaving(balancer) as server:
        with talking(kind, server.url, headers={"Cookie": "mine=1"}) as (chat, _):
            chat.start()
            await until(lambda: len(server.requests) > 2)
            await chat.disconnect()
            before = len(server.requests)
            chat.start()
            await until(lambda: len(server.requests) > before)
            await chat.disconnect()
        first, *others = [request.headers["cookie"] for request in server.requests]
    assert first == "mine=1"
    assert set(others) == {"mine=1; LB=node7"}


async def test_A108_a_websocket_s_cookie_goes_with_the_requests_that_take_its_place() -> None:
    async with Misbehaving(no_websocket) as server:
        with talking("fallback", server.url) as (chat, _):
            await chat.connect()
            chat.submit("hello")
            await until(lambda: any(request.method == "POST" for request in server.requests))
        websocket, *others = [request.headers.get("cookie") for request in server.requests]
    assert websocket is None
    assert set(others) == {"LB=node7"}


def test_A108_cookies_belong_to_one_origin() -> None:
    urls = [
        "ws://ada:pw@Chat.test:8000/ws?a=1",
        "http://chat.test:8000",
        "http://chat.test",
        "wss://chat.test:8000",
    ]
    first, second, *others = cookies_of(urls)
    assert first is second
    assert len({id(cookies) for cookies in (first, *others)}) == 3
    for name, url in zip("abcd", urls, strict=True):
        first.take([f"{name}=1; Path=/"], url)
    assert first.add_to({}, "ws://chat.test:8000/x") == {"cookie": "a=1; b=1"}
    assert first.add_to({}, "http://elsewhere.test:8000/") == {}


@pytest.mark.parametrize("name", ["Cookie", "cookie"])
def test_A108_the_users_own_cookies_stay(name: str) -> None:
    cookies = Cookies("http://chat.test")
    cookies.take(["sid=theirs", "LB=7", "", "=;"], "http://chat.test/")
    assert cookies.add_to({name: "sid=mine"}, "http://chat.test/") == {name: "sid=mine; LB=7"}
    assert cookies.add_to({"X": "1"}, "http://chat.test/") == {"X": "1", "cookie": "sid=theirs; LB=7"}
