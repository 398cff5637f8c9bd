"""One rule decides for all transports which proxy they use; a proxy's failures are reported as its own."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from chatlab.errors import ConnectError
from chatlab.live.client.kinds import KINDS, make_config, make_transport
from chatlab.live.client.network_failures import BrokenAnswer
from chatlab.live.client.proxies import Proxy, is_local, parse_proxy, proxy_for
from chatlab.live.client.routes import open_stream
from chatlab.live.client.tunnels import refusal
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.settings import ReconnectConfig
from tests.live.proxy_server import ForwardProxy, Reader, Writer, splice

P, Q = "http://p:1", "http://q:2"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


RULES: dict[str, tuple[dict[str, str], bool, str, str]] = {
    "none": ({}, False, "h", ""),
    "http_proxy": ({"http_proxy": P}, False, "h", "p"),
    "HTTP_PROXY": ({"HTTP_PROXY": P}, False, "h", "p"),
    "the small letters count": ({"HTTP_PROXY": P, "http_proxy": Q}, False, "h", "q"),
    "empty is none": ({"HTTP_PROXY": P, "http_proxy": ""}, False, "h", ""),
    "http's isn't https's": ({"http_proxy": P}, True, "h", ""),
    "https_proxy": ({"https_proxy": P, "http_proxy": Q}, True, "h", "p"),
    "ALL_PROXY": ({"ALL_PROXY": P}, True, "h", "p"),
    "all_proxy is for what has none": ({"all_proxy": P, "http_proxy": Q}, False, "h", "q"),
    "no scheme": ({"http_proxy": "p:1"}, False, "h", "p"),
    "no_proxy, a domain": ({"http_proxy": P, "no_proxy": "x, example.org"}, False, "a.example.org", ""),
    "no_proxy, with a dot": ({"http_proxy": P, "NO_PROXY": ".example.org"}, False, "a.example.org", ""),
    "no_proxy, with a star": ({"http_proxy": P, "no_proxy": "*.example.org"}, False, "a.Example.org.", ""),
    "no_proxy, half a name": ({"http_proxy": P, "no_proxy": "ample.org"}, False, "example.org", "p"),
    "no_proxy, all": ({"http_proxy": P, "no_proxy": "*"}, False, "h", ""),
    "no_proxy, a port": ({"http_proxy": P, "no_proxy": "h:99"}, False, "h", ""),
    "no_proxy, another port": ({"http_proxy": P, "no_proxy": "h:98"}, False, "h", "p"),
    "no_proxy, an address": ({"http_proxy": P, "no_proxy": "10.0.0.1"}, False, "10.0.0.1", ""),
    "no_proxy, a network": ({"http_proxy": P, "no_proxy": "10.0.0.0/8"}, False, "10.1.2.3", ""),
    "no_proxy, another network": ({"http_proxy": P, "no_proxy": "10.0.0.0/8"}, False, "11.1.2.3", "p"),
    "no_proxy, IPv6": ({"http_proxy": P, "no_proxy": "[fd00::1]:99"}, False, "fd00::1", ""),
    "no_proxy, a network of IPv6": ({"http_proxy": P, "no_proxy": "fd00::/8"}, False, "fd12::1", ""),
    "loopback": ({"http_proxy": P}, False, "127.8.9.1", ""),
    "loopback by name": ({"http_proxy": P, "all_proxy": P}, False, "LOCALHOST", ""),
}


@pytest.mark.parametrize("name", RULES)
def test_A89_the_environment_decides(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, secure, host, expected = RULES[name]
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    proxy = proxy_for(secure, host, 99)
    assert (proxy.host if proxy else "") == expected


def test_A89_a_setting_comes_first_and_counts_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", P)
    monkeypatch.setenv("no_proxy", "*")
    asked = proxy_for(False, "127.0.0.1", 99, "q:2")
    assert asked is not None
    assert (asked.host, asked.port, asked.source) == ("q", 2, "proxy")
    assert proxy_for(False, "h", 99, "") is None


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("a.localhost.", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("chat.example", False),
        ("10.127.0.1", False),
        ("localhost.example", False),
    ],
)
def test_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://h", ("http", "h", 80, "", "")),
        ("https://h", ("https", "h", 443, "", "")),
        ("SOCKS5h://h", ("socks5h", "h", 1080, "", "")),
        ("ada:p%40w@h:9", ("http", "h", 9, "ada", "p@w")),
        ("//[::1]:9/", ("http", "::1", 9, "", "")),
    ],
)
def test_addresses_of_proxies(address: str, expected: tuple[str, str, int, str, str]) -> None:
    assert parse_proxy(address, "http_proxy") == Proxy(*expected, source="http_proxy")


SLIPS = [
    "http://ada:hush@h:port",
    "htp://ada:hush@h:9",
    "socks4://ada:hush@h:9",
    "http://ada:hush#1@h:9",
    "http://ada:hush/@h:9",
    "http://ada:hush@:9",
    "http://ada:hush@h:9/path",
    "http://ada:hush@[::1",
]


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("kind", KINDS)
async def test_A79_an_error_in_a_proxys_address_shows_no_password(
    kind: str, slip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", slip)
    chat = make_transport(make_config(kind, "http://chat.example"), loop="current")
    with pytest.raises(ConnectError, match=r"^protocol: the proxy's address in http_proxy ") as caught:
        await chat.connect()
    assert "hush" not in str(caught.value)
    await chat.disconnect()


def test_A79_no_repr_shows_a_proxys_password() -> None:
    proxy = parse_proxy("http://ada:hush@h:9", "all_proxy")
    assert repr(proxy) == "Proxy(the proxy at h:9 (all_proxy))"
    config = make_config("sse", "http://h", proxy="http://ada:hush@h:9")
    assert "hush" not in repr(config)
    assert "proxy='http://***@h:9'" in repr(config)


# Through a proxy

ONCE = ReconnectConfig(max_attempts=0)
LOGIN = ("ada", "p@ss:word")
PASSWORD = "ada:p%40ss%3Aword@"
WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "HTTP": ({}, ""),
    "HTTP with a password": ({"login": LOGIN}, PASSWORD),
    "SOCKS5": ({"socks": True}, ""),
    "SOCKS5 with a password": ({"socks": True, "login": LOGIN}, PASSWORD),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
async def test_A89_every_transport_goes_through_every_kind_of_proxy(
    kind: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, password = WAYS[way]
    async with ForwardProxy(**options) as proxy, EmbeddedServer(allowed_hosts=["chat.example"]) as server:
        monkeypatch.setenv("all_proxy", proxy.url.replace("//", f"//{password}"))
        url = f"http://chat.example:{server.port}"
        async with make_transport(make_config(kind, url, reconnect=ONCE), loop="current") as chat:
            assert (await (await chat.send("by proxy")).settled()).value == "acked"
    assert all(f"chat.example:{server.port}" in asked for asked in proxy.asked)
    assert proxy.asked


@pytest.mark.parametrize("kind", ["websocket", "sse"])
@pytest.mark.parametrize("socks", [False, True], ids=["CONNECT", "SOCKS5"])
async def test_A89_tls_goes_through_a_proxy_that_speaks_tls_itself(
    kind: str, socks: bool, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    far = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("chat.example").configure_cert(far)
    async with (
        EmbeddedServer(allowed_hosts=["chat.example"]) as server,
        ForwardProxy(socks=True) if socks else ForwardProxy(tls=tls) as proxy,
    ):

        async def front(reader: Reader, writer: Writer) -> None:
            await splice(reader, writer, server.port)
            writer.transport.abort()

        listener = await asyncio.start_server(front, "127.0.0.1", 0, ssl=far)
        settings = {"proxy": proxy.url, "ca_file": str(tmp_path / "ca.pem"), "reconnect": ONCE}
        url = f"https://chat.example:{listener.sockets[0].getsockname()[1]}"
        async with make_transport(make_config(kind, url, **settings), loop="current") as chat:
            assert (await (await chat.send("by TLS")).settled()).value == "acked"
        listener.close()
    assert proxy.asked


TROUBLES: dict[str, tuple[dict[str, Any], str, str]] = {
    "407": ({"login": LOGIN}, "ada:hush@", r"^HTTP 407: the proxy at 127.0.0.1:\d+ \(http_proxy\) refuses"),
    "SOCKS5, wrong password": (
        {"socks": True, "login": LOGIN},
        "ada:hush@",
        "refuses the user or the password",
    ),
    "SOCKS5, no password": ({"socks": True, "login": LOGIN}, "", "asks for a user and a password"),
    "SOCKS5, not allowed": (
        {"socks": True, "refuses": 2},
        "",
        "^protocol: the proxy .* not allowed by its rules",
    ),
    "SOCKS5, nobody there": (
        {"socks": True, "refuses": 5},
        "",
        "^gave up .* refused: the proxy .* connection refused",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("kind", KINDS)
async def test_A89_a_proxy_that_refuses_says_so(
    kind: str, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, password, words = TROUBLES[trouble]
    async with ForwardProxy(**options) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", f"//{password}"))
        chat = make_transport(make_config(kind, "http://chat.example", reconnect=ONCE), loop="current")
        with pytest.raises(ConnectError, match=words) as caught:
            await chat.connect()
        await chat.disconnect()
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("status", [403, 502])
@pytest.mark.parametrize("url", ["ws://chat.example", "https://chat.example"])
async def test_A89_a_refused_tunnel_is_the_proxys(
    status: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ForwardProxy(refuses=status) as proxy:
        monkeypatch.setenv("all_proxy", proxy.url)
        kind = "websocket" if url.startswith("ws") else "long_polling"
        chat = make_transport(make_config(kind, url, reconnect=ONCE), loop="current")
        with pytest.raises(ConnectError, match=rf"HTTP {status}: the proxy at .* refuses: No"):
            await chat.connect()
        await chat.disconnect()


async def test_A89_bytes_right_after_a_proxys_answer_belong_to_the_tunnel() -> None:
    async def eager(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Yes\r\n\r\nhello")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(eager, "127.0.0.1", 0)
    proxy = parse_proxy(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", "proxy")
    stream = await open_stream("chat.example", 80, proxy, None)
    assert await stream.read(100) == b"hello"
    await stream.aclose()
    listener.close()


async def test_A89_the_zone_of_an_address_is_passed_unchanged() -> None:
    async with ForwardProxy(refuses=403) as server:
        with pytest.raises(BrokenAnswer):
            await open_stream("fe80::1%25eth0", 99, parse_proxy(server.url, "proxy"), None)
    assert server.asked == ["CONNECT [fe80::1%eth0]:99"]


def test_A89_a_proxys_retry_after_counts_by_its_own_clock() -> None:
    headers = [
        (b"date", b"Thu, 01 Jan 2015 00:00:00 GMT"),
        (b"retry-after", b"Thu, 01 Jan 2015 00:00:30 GMT"),
    ]
    broken = refusal(parse_proxy("p:1", "proxy"), 503, "Later", headers)
    assert broken.failure.retry_after == 30.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_A89_a_proxy_that_is_down_is_reported_as_the_proxy(
    kind: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("all_proxy", f"{scheme}://ada:hush@{address}")
    chat = make_transport(make_config(kind, "http://chat.example", reconnect=ONCE), loop="current")
    with pytest.raises(ConnectError) as caught:
        await chat.connect()
    words = f"refused: the proxy at {address} (all_proxy) can't be used: nobody accepts connections there"
    assert str(caught.value) == f"gave up after 0 retries: {words}"
    await chat.disconnect()


async def test_A89_an_unknown_proxy_name_is_reported_as_the_proxys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "http://nobody.invalid:9")
    chat = make_transport(make_config("websocket", "ws://chat.example", reconnect=ONCE), loop="current")
    with pytest.raises(ConnectError, match=r"dns: the proxy at nobody.invalid:9 \(all_proxy\) can't be used"):
        await chat.connect()
    await chat.disconnect()


def test_a_malformed_setting_is_named() -> None:
    with pytest.raises(BrokenAnswer, match="in proxy has a scheme other than"):
        proxy_for(False, "h", 1, "ftp://h")
