"""Common parts of all links: the address, and the user's headers."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from chatlab.errors import ConnectError
from chatlab.live.kinds import make_config, make_transport
from chatlab.live.request import headers_problem, with_query


@pytest.mark.parametrize(
    ("url", "query", "path", "expected"),
    [
        ("ws://h/ws", {}, "", "ws://h/ws"),
        ("http://h", {}, "/messages", "http://h/messages"),
        ("http://h/base/?key=x", {"room": "a"}, "/messages", "http://h/base/messages?key=x&room=a"),
        ("ws://h/ws", {"room": "a b&c", "after": "é"}, "", "ws://h/ws?room=a+b%26c&after=%C3%A9"),
        ("ws://h/ws?token=x&room=old&room=older", {"room": "new"}, "", "ws://h/ws?token=x&room=new"),
        ("ws://h/ws?flag=&a=1", {"b": ""}, "", "ws://h/ws?flag=&a=1&b="),
    ],
)
def test_the_query_is_added_and_takes_the_place_of_its_own_names(
    url: str, query: dict[str, str], path: str, expected: str
) -> None:
    assert with_query(url, query, path) == expected


QUERIES = [
    "sig=a%2Fb%2bc%3D",
    "name=two%20words",
    "flag",
    "flag&x=1",
    "a=%ff%fe",
    "a=1&&b=2",
    "l=a,b;c:d@e!$'()*",
    "x=1=2",
]


@pytest.mark.parametrize("query", QUERIES)
def test_A95_the_users_query_stays_as_it_is(query: str) -> None:
    assert with_query(f"ws://h/ws?{query}", {}) == f"ws://h/ws?{query}"
    assert with_query(f"ws://h/ws?{query}", {"room": "a b"}) == f"ws://h/ws?{query}&room=a+b"
    assert with_query(f"ws://h/ws?r%6Fom=x&{query}", {"room": "y"}) == f"ws://h/ws?{query}&room=y"


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("kind", ["websocket", "sse", "long_polling", "short_polling"])
async def test_A95_it_arrives_byte_for_byte(kind: str, query: str) -> None:
    lines: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0])
        writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/base?{query}"
    chat = make_transport(make_config(kind, url), loop="current")
    with pytest.raises(ConnectError):
        await chat.connect()
    await chat.disconnect()
    listener.close()
    assert lines[0].startswith("GET /base")
    assert f"?{query}&" in lines[0]


@pytest.mark.parametrize(
    ("url", "encoded"),
    [
        ("ws://bücher.example/é?ä=ö", "ws://xn--bcher-kva.example/%C3%A9?%C3%A4=%C3%B6"),
        ("ws://ada:pw@faß.example:8000/", "ws://ada:pw@xn--fa-hia.example:8000/"),
        ("ws://[fe80::1%25eth0]:8000/ws", "ws://[fe80::1%25eth0]:8000/ws"),
        ("http://H.Example/%e9?x=%C3%A4", "http://H.Example/%e9?x=%C3%A4"),
    ],
)
def test_A95_an_address_is_encoded_once_for_all_transports(url: str, encoded: str) -> None:
    assert with_query(url, {}) == encoded


def test_A95_an_invalid_host_is_an_error() -> None:
    with pytest.raises(httpx.InvalidURL):
        with_query("ws://☃☃\u200b.example/", {})


@pytest.mark.parametrize(
    ("headers", "fine"),
    [
        ({}, True),
        ({"X-Ä": "x"}, False),
        ({"": "x"}, False),
        ({"X": ""}, True),
        ({"X": "\xe9 \t y"}, True),
        ({"X": "a\nb"}, False),
        ({"X": "a\x00"}, False),
        ({"X": "\u2713"}, False),
        ({"X": 5}, False),
        ({"X": None}, False),
        ({5: "x"}, False),
        ({"X: y\r\nZ": "x"}, False),
        ({"HOST": "chat.example"}, False),
        ({"content-Length": "5"}, False),
        ({"Sec-WebSocket-Key": "x"}, False),
    ],
)
def test_headers_are_checked(headers: dict[Any, Any], fine: bool) -> None:
    assert (headers_problem(headers, latin1=True) == "") is fine


@pytest.mark.parametrize(
    ("value", "fine"),
    [
        ("✓ 𝄞 \xe9\t", True),
        ("\x85\x9f", True),
        ("a\nb", False),
        ("\x7f", False),
        ("\udc80", False),
        (None, False),
    ],
)
def test_headers_over_http_may_be_any_text(value: Any, fine: bool) -> None:
    assert (headers_problem({"X": value}, latin1=False) == "") is fine
