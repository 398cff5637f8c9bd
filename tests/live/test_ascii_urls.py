"""URLs in ASCII form: the user's query stays, and other alphabets are encoded once for all transports."""

from __future__ import annotations

import asyncio

import pytest

from chatlab.errors import ConnectError
from chatlab.live.ascii_urls import InvalidHost, with_query
from chatlab.live.client.kinds import make_config, make_transport


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
    with pytest.raises(InvalidHost, match="IDNA"):
        with_query("ws://☃☃\u200b.example/", {})
