"""HOSTILE: the effect of rude or missing servers on a live WebSocket transport, row by row."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import tracemalloc
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import trustme

from chatlab.dialects.base import Credentials
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.errors import ConnectError
from chatlab.live.client.receipt import Receipt
from chatlab.messages import ConnectionStatus, DeliveryState
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.transports.machine import Failure
from tests.live.misbehave import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Misbehaving,
    Peer,
    Script,
    close_frame,
    frame,
    friendly,
    silence,
)
from tests.live.watch import PATIENCE, PERSISTENT, QUICK, until, watched
from tests.sizes import rows

RECONNECTING, ERROR, CONNECTED = (
    ConnectionStatus.RECONNECTING,
    ConnectionStatus.ERROR,
    ConnectionStatus.CONNECTED,
)
SECRET = "s3cr3t-t0ken"


@pytest.fixture(autouse=True)
def _short_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.live.client.websocket_opening.CLOSE_TIMEOUT", 0.1)


Act = Callable[[Peer], Awaitable[None]]


def welcomed(*data: bytes, cursor: str | None = None) -> Script:
    """Accept the client, send these bytes, and wait until it leaves."""

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await peer.say(type="welcome", cursor=cursor)
        await peer.send(b"".join(data))
        await peer.gone()

    return script


def answered(status: int, *headers: tuple[str, str], body: bytes = b"") -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.respond(status, headers, body)
        await peer.gone()

    return script


def said(**content: Any) -> bytes:
    return frame(TEXT, json.dumps(content).encode())


HELLO = said(type="message", id="1", sender="bob", text="still here")


async def refused(script: Script, **settings: Any) -> ConnectError:
    """Return the error of a `connect` that fails at the first attempt."""
    async with Misbehaving(script) as server:
        with watched(server.ws_url, **settings) as (transport, watch):
            with pytest.raises(ConnectError) as caught:
                await asyncio.wait_for(transport.connect(), PATIENCE)
            assert transport.status is ERROR
            assert watch.statuses == [ConnectionStatus.CONNECTING, ERROR]
            assert watch.changes[-1].reason == str(caught.value)
            await until(lambda: not server.open)
        assert server.accepted == 1
    return caught.value


async def given_up(script: Script, **settings: Any) -> tuple[int | None, str]:
    """Return code and reason of an open connection's end after which the transport gives up."""
    async with Misbehaving(script) as server:
        with watched(server.ws_url, **settings) as (transport, watch):
            await transport.connect()
            end = await watch.ended()
            assert end.status is ERROR
            assert watch.events == watch.of("connection")
            await until(lambda: not server.open)
        assert server.accepted == 1
    return end.code, end.reason


async def recovered(script: Script, **settings: Any) -> tuple[int | None, str]:
    """Return code and reason of an end from which the transport recovers by itself."""
    async with Misbehaving(script, friendly) as server:
        with watched(server.ws_url, **settings) as (transport, watch):
            await transport.connect()
            await until(lambda: RECONNECTING in watch.statuses and transport.status is CONNECTED)
            why = watch.changes[watch.statuses.index(RECONNECTING)]
            receipt = await transport.send("after")
            assert await receipt.settled() is DeliveryState.ACKED
            await transport.disconnect()
        # A busy machine may miss a short time-out once more.
        assert server.accepted == 2 or (server.accepted > 2 and "connect_timeout" in settings)
    return why.code, why.reason


# Contents of frames

NONSENSE: dict[str, bytes] = {
    "A01 binary": frame(BINARY, b"\xc1\x00\xff"),
    "A01 empty binary": frame(BINARY),
    "A02 no JSON": frame(TEXT, b"<html>"),
    "A02 empty": frame(TEXT),
    **{
        f"A03 {text}": frame(TEXT, text.encode())
        for text in (
            "null", "3", '"x"', "[]", "{}", '{"type":5}', '{"type":"message","id":true,"text":"x"}',
            '{"type":"message","id":1.5,"text":"x"}', '{"type":"message","id":{},"text":"x"}',
            '{"type":"message","id":null,"text":"x"}', '{"type":"ack","client_id":[]}',
            '{"type":"pong","id":"1"}',
        )
    },
    "A04 NaN": frame(TEXT, b'{"type":"x","n":NaN}'),
    "A04 -Infinity": frame(TEXT, b'{"type":"x","n":-Infinity}'),
    "A04 1e400": frame(TEXT, b'{"type":"x","n":1e400}'),
    "A05 brackets": frame(TEXT, b'{"type":"x","n":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "A06 lone surrogate": frame(TEXT, rb'{"type":"message","id":"9","text":"\ud800"}'),
}  # fmt: skip


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
async def test_A01_to_A06_an_unreadable_frame_is_reported_and_the_connection_stays_open(
    nonsense: bytes,
) -> None:
    async with Misbehaving(welcomed(nonsense, HELLO)) as server:
        with watched(server.ws_url) as (transport, watch):
            await transport.connect()
            await until(lambda: watch.texts)
            assert watch.texts == ["still here"]
            (unreadable,) = watch.of("unreadable")
            assert unreadable.reason
            assert len(unreadable.reason) <= 201
            assert len(unreadable.payload) <= 1000
            assert unreadable.payload.isprintable()
            unreadable.reason.encode()
            assert transport.status is CONNECTED
        assert server.accepted == 1


@pytest.mark.parametrize(
    "content", [b'"n":1,"n":2', b'"n":' + b"9" * 5000], ids=["duplicate keys", "long integer"]
)
async def test_A05_odd_json_is_bounded(content: bytes) -> None:
    async with Misbehaving(welcomed(frame(TEXT, b'{"type":"x",' + content + b"}"), HELLO)) as server:
        with watched(server.ws_url) as (transport, watch):
            await transport.connect()
            await until(lambda: watch.texts)
            assert len(watch.of("x")) + len(watch.of("unreadable")) == 1
            assert transport.status is CONNECTED


# Kinds of frames


@pytest.mark.parametrize("data", [b"\xff", b"ok \xed\xa0\x80", b"\xc3"], ids=repr)
async def test_A07_invalid_utf8_ends_with_1007(data: bytes) -> None:
    code, reason = await given_up(welcomed(frame(TEXT, data)))
    assert code == 1007
    assert reason


@pytest.mark.parametrize("length", [1001, 10 * 1024 * 1024, 1 << 62, (1 << 63) - 1], ids=str)
async def test_A08_a_frame_above_the_limit_is_refused_by_its_header(length: int) -> None:
    code, reason = await given_up(welcomed(frame(TEXT, b"x", length=length)), max_frame_size=1000)
    assert code == 1009
    assert "1000" in reason


@pytest.mark.parametrize("size", rows([0, 1, 64 * 1024], 1), ids=str)
async def test_A08_endless_fragments_are_refused_and_memory_is_bounded(size: int) -> None:
    async def flood(peer: Peer) -> None:
        await peer.upgrade()
        await peer.send(frame(TEXT, fin=False))
        pieces = frame(CONTINUATION, b"x" * size, fin=False) * (1 if size > 1 else 1000)
        while True:
            await peer.send(pieces)

    tracemalloc.start()
    try:
        code, _ = await given_up(flood, max_frame_size=1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code == 1009
    assert peak < 32 << 20


async def test_A08_queued_messages_survive_and_are_sent_after_reconnecting() -> None:
    async def huge(peer: Peer) -> None:
        await peer.upgrade()
        assert (await peer.hear("message"))["text"] == "one"
        await peer.send(frame(TEXT, length=10 * 1024 * 1024) + b"x" * 100_000)
        await peer.gone()

    async with Misbehaving(huge, friendly) as server:
        with watched(server.ws_url) as (transport, watch):
            await transport.connect()
            receipts = [await transport.send("one")]
            end = await watch.ended()
            assert (end.status, end.code) == (ERROR, 1009)
            receipts += [await transport.send(text) for text in ("two", "three")]
            assert [message.text for message in transport.unsettled()] == ["one", "two", "three"]
            await transport.connect()
            assert {await receipt.settled() for receipt in receipts} == {DeliveryState.ACKED}
            assert server.heard == ["one", "two", "three"]
            await transport.disconnect()


BREACHES = {
    "masked": frame(TEXT, b"{}", mask=True),
    "RSV1": frame(TEXT, b"{}", rsv=4),
    "RSV2": frame(TEXT, b"{}", rsv=2),
    "RSV3": frame(TEXT, b"{}", rsv=1),
    "opcode 3": frame(3, b"x"),
    "opcode 11": frame(11),
    "fragmented ping": frame(PING, fin=False),
    "fragmented close": frame(CLOSE, b"\x03\xe8", fin=False),
    "long ping": frame(PING, b"x" * 126),
    "long pong": frame(PONG, b"x" * 70_000),
    "continuation first": frame(CONTINUATION, b"x"),
    "text within a message": frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    "A18 close of 1 byte": frame(CLOSE, b"\x03"),
    "A18 close 0": close_frame(0),
    "A18 close 999": close_frame(999),
    "A18 close 1004": close_frame(1004),
    "A18 close 1005": close_frame(1005),
    "A18 close 1006": close_frame(1006),
    "A18 close 1015": close_frame(1015),
    "A18 close 5000": close_frame(5000),
}


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES)
async def test_A09_A18_a_protocol_error_ends_with_1002(breach: bytes) -> None:
    code, reason = await given_up(welcomed(breach, HELLO))
    assert code == 1002
    assert reason.startswith("closed 1002: ")


@pytest.mark.parametrize(
    "header",
    [("Sec-WebSocket-Extensions", "permessage-deflate"), ("Sec-WebSocket-Protocol", "superchat")],
    ids=["extension", "subprotocol"],
)
async def test_A10_only_an_offered_subprotocol_can_be_chosen(header: tuple[str, str]) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade((header,))
        await peer.gone()

    assert str(await refused(script)).startswith("protocol: ")


async def rst_in_mid_frame(peer: Peer) -> None:
    await peer.send(HELLO + said(type="message", id="2", sender="bob", text="never whole")[:20])
    await peer.hear("message")
    peer.reset()


async def fin_in_mid_frame(peer: Peer) -> None:
    await peer.send(HELLO + said(type="message", id="2", sender="bob", text="never whole")[:20])
    await peer.finish()
    await peer.gone()


async def fin_without_close(peer: Peer) -> None:
    await peer.send(HELLO)


async def fragments_without_end(peer: Peer) -> None:
    await peer.send(HELLO + frame(TEXT, b'{"type":', fin=False))


@pytest.mark.parametrize(
    "act", [rst_in_mid_frame, fin_in_mid_frame, fin_without_close, fragments_without_end]
)
async def test_A11_a_connection_that_breaks_is_1006_and_resumes_from_the_cursor(act: Act) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await peer.say(type="welcome", cursor="0")
        await act(peer)

    async with Misbehaving(script, friendly) as server:
        with watched(server.ws_url, room="den", history=7) as (transport, watch):
            await transport.connect()
            await until(lambda: watch.texts)
            transport.submit("go on")
            await watch.connected(2)
            await until(lambda: server.heard)
            assert watch.codes(RECONNECTING) == [1006]
            assert watch.texts == ["still here"]
            first, second = (request.query for request in server.requests)
            assert first == {"room": "den", "sender": "ada", "history": "7"}
            assert second == {"room": "den", "sender": "ada", "after": "1"}
            await transport.disconnect()


# Closing by the server


@pytest.mark.parametrize("answers", [True, False], ids=["then FIN", "and stays"])
async def test_A12_close_1000_is_the_end(answers: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await peer.send(close_frame(1000, "bye"))
        await (peer.frame() if answers else peer.gone())

    async with Misbehaving(script) as server:
        with watched(server.ws_url) as (transport, watch):
            await transport.connect()
            end = await watch.ended()
            assert (end.status, end.code) == (ConnectionStatus.DISCONNECTED, 1000)
            assert "bye" in end.reason
            await until(lambda: not server.open)
        assert server.accepted == 1


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 1014, 4000])
async def test_A13_A14_a_temporary_failure_is_retried(code: int) -> None:
    assert await recovered(welcomed(close_frame(code, "busy"))) == (code, f"closed {code}: busy")


async def test_A18_an_empty_close_frame_is_1005_and_retried() -> None:
    assert (await recovered(welcomed(frame(CLOSE))))[0] == 1005


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 1010, 3000, 4001, 4401, 4403, 4409, 4429])
async def test_A15_A16_A17_a_permanent_close_code_is_given_up(code: int) -> None:
    assert await given_up(welcomed(close_frame(code, "no"))) == (code, f"closed {code}: no")


async def test_A17_the_table_is_the_users() -> None:
    assert (await recovered(welcomed(close_frame(4429)), failures={"close 4429": "retry"}))[0] == 4429
    assert (await recovered(welcomed(close_frame(1000)), failures={"close 1000": "retry"}))[0] == 1000
    assert (await given_up(welcomed(close_frame(1012)), failures={"close 1012": "give up"}))[0] == 1012


async def test_A18_a_reason_is_shown_as_bounded_printable_text() -> None:
    reason = "<b>\x1b[31m\u202e\r\nboo</b>".ljust(120, "!")
    code, shown = await given_up(welcomed(close_frame(4400, reason)))
    assert code == 4400
    assert shown.startswith(r"closed 4400: <b>\x1b[31m\u202e\r\nboo</b>!!!")
    assert shown.isprintable()


async def test_A18_a_reason_that_is_not_utf8_is_a_protocol_error() -> None:
    assert (await given_up(welcomed(close_frame(1001, b"\xff\xfe"))))[0] == 1007


# Failures of the opening handshake


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 402, 403, 404, 405, 410, 421, 426, 501])
async def test_A19_a_refusal_is_final(status: int) -> None:
    error = await refused(answered(status, body=b"" if status == 204 else b"go away"))
    assert error.code == status
    assert str(error).startswith(f"HTTP {status}: " + ("" if status == 204 else "go away"))


async def test_A19_a_long_answer_is_cut_and_printable() -> None:
    error = await refused(answered(404, body=b"<h1>\x00\x1b]0;x\x07" + b"z" * 500_000))
    assert len(str(error)) < 300
    assert str(error).isprintable()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_A20_an_overloaded_server_is_tried_again(status: int) -> None:
    assert await recovered(answered(status, body=b"busy")) == (status, f"HTTP {status}: busy")


def in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


WISHES = {
    "seconds": (("100",), True),
    "date": ((in_an_hour(),), True),
    "10^9": (("1000000000",), True),
    "10^30": (("1" + "0" * 30,), True),
    "past date": (("Wed, 21 Oct 2015 07:28:00 GMT",), False),
    "year 99999999999": (("Mon, 01 Jan 99999999999 00:00:00 GMT",), False),
    "negative": (("-5",), False),
    "junk": (("soon\x00",), None),
    "word": (("soon",), False),
    "empty": (("",), False),
    "twice": (("100", "200"), False),
}


@pytest.mark.parametrize(("values", "waits"), WISHES.values(), ids=WISHES)
async def test_A20_retry_after_is_a_floor_up_to_a_cap_and_junk_is_ignored(
    values: tuple[str, ...], waits: bool | None
) -> None:
    script = answered(503, *(("Retry-After", value) for value in values))
    reconnect = QUICK.replace(max_retry_after=300.0)
    async with Misbehaving(script) as server:
        with watched(server.ws_url, reconnect=reconnect) as (transport, watch):
            transport.start()
            await until(lambda: watch.waits or transport.status is ERROR)
            if waits is None:  # A control character in a header is invalid HTTP.
                assert transport.status is ERROR
            elif waits:
                assert 90 < watch.waits[0] <= 300
                assert watch.waits[0] > 290 or values == ("100",)
            else:
                assert watch.waits[0] < 1


def redirected(status: int, location: str) -> Script:
    return answered(status, ("Location", location))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["/elsewhere?room=x", "ws://{}/elsewhere?room=x", "http://{}/elsewhere?room=x"]
)
async def test_A21_a_redirect_within_the_origin_is_followed_with_the_headers(
    status: int, location: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.respond(status, {"Location": location.format(f"127.0.0.1:{server.port}")})

    async with Misbehaving(script, friendly) as server:
        with watched(server.ws_url, headers={"Authorization": SECRET}) as (transport, _):
            await transport.connect()
            assert [request.path for request in server.requests] == ["/ws", "/elsewhere"]
            assert [request.headers["authorization"] for request in server.requests] == [SECRET, SECRET]
            await transport.disconnect()


class Telling(ChatlabDialect):
    """A dialect that sends a token in the first frame."""

    def credentials(self, headers: Mapping[str, str]) -> Credentials:
        login = {"type": "message", "text": headers["Authorization"], "client_id": "login"}
        return Credentials(dict(headers), frames=(json.dumps(login),))


async def test_A21_credentials_never_follow_to_another_origin() -> None:
    headers = {"Authorization": SECRET, "Cookie": SECRET, "X-Api-Key": SECRET}
    cookie = ("Set-Cookie", f"own={SECRET}; Path=/")
    async with Misbehaving(friendly) as other:
        there = ("Location", other.ws_url)
        async with Misbehaving(answered(302, there, cookie)) as server:
            url = f"{server.ws_url}?token={SECRET}"
            protocols = (f"bearer.{SECRET}",)
            with watched(url, headers=headers, dialect=Telling(), protocols=protocols) as (transport, _):
                await transport.connect()
                await (await transport.send("hello")).settled()
                await transport.disconnect()
    assert f"bearer.{SECRET}" in str(server.requests[0])
    assert SECRET not in str(other.requests[0])
    assert other.heard == ["hello"], "and no token before it"


@pytest.mark.parametrize("back", [False, True])
async def test_A21_a_password_in_the_url_stays_with_its_origin(back: bool) -> None:
    """Follow within the origin with the password, whatever user the redirect names, but not through another
    origin."""
    user = f"{b64encode(f'ada:{SECRET}'.encode()).decode()}"

    async def away(peer: Peer) -> None:
        request = await peer.request()
        place = server.ws_url if request.path == "/again" else "/again"
        await peer.respond(302, {"Location": place})

    async def within(peer: Peer) -> None:
        await peer.request()
        place = other.ws_url if back else f"ws://eve:pass@{server.host}:{server.port}/there"
        await peer.respond(302, {"Location": place})

    async with Misbehaving(away) as other, Misbehaving(within, friendly) as server:
        url = server.ws_url.replace("://", f"://ada:{SECRET}@")
        with watched(url, headers={"X-Api-Key": SECRET}) as (transport, _):
            await transport.connect()
            await transport.disconnect()
    requests = [*server.requests, *other.requests]
    sent = [(request.headers.get("authorization"), request.headers.get("x-api-key")) for request in requests]
    mine, nothing = (f"Basic {user}", SECRET), (None, None)
    assert sent == ([mine, nothing, nothing, nothing] if back else [mine, mine])


async def test_A21_a_loop_of_redirects_ends() -> None:
    async with Misbehaving(redirected(302, "/ws")) as server:
        with (
            watched(server.ws_url) as (transport, _),
            pytest.raises(ConnectError, match="more than 5 redirects"),
        ):
            await transport.connect()
        assert server.accepted == 6


async def test_A91_a_redirect_to_a_page_that_has_gone_is_retried() -> None:
    """A captive portal redirects; before the redirect is followed, it gives way to the server."""

    async def brief(peer: Peer) -> None:
        await peer.upgrade()

    portal = redirected(302, "/login")
    async with Misbehaving(brief, portal, answered(404), friendly) as server:
        with watched(server.ws_url, reconnect=QUICK) as (transport, watch):
            await transport.connect()
            await watch.connected(2)
            await transport.disconnect()
    assert [request.path for request in server.requests] == ["/ws", "/ws", "/login", "/ws"]
    assert any("a redirect led to HTTP 404" in change.reason for change in watch.changes)


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "javascript:alert(1)", "http://[", "ws://h:99999/"])
async def test_A21_a_redirect_to_no_websocket_is_final(location: str) -> None:
    assert str(await refused(redirected(302, f"{location}?token={SECRET}"))).startswith("protocol: ")


async def test_A21_two_location_headers_count_as_none() -> None:
    assert (await refused(answered(302, ("Location", "/a"), ("Location", "/b")))).code == 302


async def bad_accept(peer: Peer) -> None:
    await peer.upgrade(accept="AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    await peer.gone()


async def no_upgrade(peer: Peer) -> None:
    await peer.request()
    await peer.begin(101, {"Sec-WebSocket-Accept": "x"})
    await peer.gone()


def greeting(data: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        await peer.finish()
        await peer.gone()

    return script


GARBAGE = {
    "bad accept": bad_accept,
    "no upgrade": no_upgrade,
    "SSH": greeting(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "no line": greeting(b"\x00\x01\x02\x03" * 100),
    "bare LF": greeting(b"hello\n"),
    "HTTP/2": greeting(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
    "no number": greeting(b"HTTP/1.1 abc OK\r\n\r\n"),
    "status 999": greeting(b"HTTP/1.1 999 OK\r\n\r\n"),
    "bad header": greeting(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
    "long header": greeting(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000),
    "many headers": greeting(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 10_000),
    "long body": greeting(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000),
}


@pytest.mark.parametrize("script", GARBAGE.values(), ids=GARBAGE)
async def test_A22_no_proper_answer_is_final(script: Script) -> None:
    assert str(await refused(script)).startswith("protocol: ")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 10", b"HTTP/1.1 101 Switching Protocols\r\nUpgr"], ids=repr
)
async def test_A22_an_answer_that_ends_too_early_is_retried(answer: bytes) -> None:
    code, reason = await recovered(greeting(answer))
    assert (code, reason) == (None, "reset: the connection ended before the server answered")


async def half_answer(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 101 Switching Protocols\r\n")
    await silence(peer)


async def endless_body(peer: Peer) -> None:
    await peer.begin(500, {"Transfer-Encoding": "chunked"})
    while True:
        await peer.chunk(b"x")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("script", [silence, half_answer, endless_body])
async def test_A22_a_server_that_never_finishes_answering_meets_the_connect_timeout(script: Script) -> None:
    code, reason = await recovered(script, connect_timeout=0.2)
    assert (code, reason) == (None, "timeout: no connection within 0.2 s")


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_server(authority: trustme.CA, host: str = "127.0.0.1", **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, **options).configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.mark.usefixtures("trusted")
async def test_A23_a_good_certificate_is_accepted(authority: trustme.CA) -> None:
    async with Misbehaving(friendly, tls=tls_server(authority)) as server:
        with watched(server.ws_url) as (transport, _):
            await transport.connect()
            assert await (await transport.send("secret")).settled() is DeliveryState.ACKED
            await transport.disconnect()


async def refused_tls(server: Misbehaving) -> str:
    async with server:
        with watched(server.ws_url) as (transport, watch):
            with pytest.raises(ConnectError) as caught:
                await transport.connect()
            assert watch.statuses == [ConnectionStatus.CONNECTING, ERROR]
        assert server.requests == []
    return str(caught.value)


async def test_A23_a_self_signed_certificate_is_refused() -> None:
    reason = await refused_tls(Misbehaving(friendly, tls=tls_server(trustme.CA())))
    assert reason.startswith("tls: ")
    assert "self-signed" in reason or "local issuer" in reason


@pytest.mark.usefixtures("trusted")
async def test_A23_an_expired_certificate_is_refused(authority: trustme.CA) -> None:
    expired = tls_server(authority, not_before=datetime(2020, 1, 1), not_after=datetime(2020, 2, 1))  # noqa: DTZ001
    assert "expired" in await refused_tls(Misbehaving(friendly, tls=expired))


@pytest.mark.usefixtures("trusted")
async def test_A23_a_certificate_of_another_host_is_refused(authority: trustme.CA) -> None:
    reason = await refused_tls(Misbehaving(friendly, tls=tls_server(authority, "chat.example")))
    assert "not valid for '127.0.0.1'" in reason


async def test_A23_plaintext_on_a_tls_port_fails_with_the_advice_to_use_tls() -> None:
    alert = b"\x15\x03\x01\x00\x02\x02\x46"
    assert str(await refused(greeting(alert))) == "protocol: the server speaks TLS: try wss:// in the URL"


async def test_A23_plaintext_on_a_port_that_hangs_up_never_connects(authority: trustme.CA) -> None:
    async with Misbehaving(friendly, tls=tls_server(authority)) as server:
        with (
            watched(server.ws_url.replace("wss:", "ws:")) as (transport, _),
            pytest.raises(ConnectError, match="gave up after 3 retries: reset"),
        ):
            await transport.connect()
        assert server.requests == []


async def test_A23_tls_on_a_plaintext_port_is_final() -> None:
    async def http(peer: Peer) -> None:
        await peer.receive(5)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.finish()
        await peer.gone()

    async with Misbehaving(http) as server:
        with (
            watched(server.ws_url.replace("ws:", "wss:")) as (transport, _),
            pytest.raises(ConnectError, match=r"^tls: "),
        ):
            await transport.connect()
        assert server.accepted == 1


@pytest.mark.parametrize("abrupt", [True, False], ids=["RST", "FIN"])
async def test_A23_a_connection_that_ends_within_the_tls_handshake_is_retried(abrupt: bool) -> None:
    async def leave(peer: Peer) -> None:
        await peer.receive(5)
        if abrupt:
            peer.reset()

    async with Misbehaving(leave) as server:
        with (
            watched(server.ws_url.replace("ws:", "wss:")) as (transport, _),
            pytest.raises(ConnectError, match="gave up after 3 retries: reset: "),
        ):
            await transport.connect()
        assert server.accepted == 4


@pytest.mark.usefixtures("trusted")
async def test_A21_A23_a_redirect_never_leads_away_from_tls(authority: trustme.CA) -> None:
    async with (
        Misbehaving(friendly) as plain,
        Misbehaving(redirected(302, f"{plain.url}/ws?token={SECRET}"), tls=tls_server(authority)) as server,
    ):
        with (
            watched(server.ws_url) as (transport, _),
            pytest.raises(ConnectError, match="without TLS") as caught,
        ):
            await transport.connect()
        assert SECRET not in str(caught.value)
        assert plain.accepted == 0


# No server at all


async def test_A24_refused_connections_are_counted_right() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/ws"
        reconnect = QUICK.replace(max_attempts=10, base_delay=0.001)
        with watched(url, reconnect=reconnect) as (transport, watch):
            with pytest.raises(ConnectError, match="gave up after 10 retries: refused: nobody accepts"):
                await transport.connect()
            assert watch.statuses.count(RECONNECTING) == 20
            assert [change.attempt for change in watch.changes if change.retry_at is not None] == list(
                range(1, 11)
            )


async def test_A24_an_unknown_name_is_retried() -> None:
    once = QUICK.replace(max_attempts=1)
    with (
        watched("ws://nobody.invalid/ws", reconnect=once, connect_timeout=60.0) as (transport, _),
        pytest.raises(ConnectError, match=r"gave up after 1 retry: dns: the host's name can't"),
    ):
        await transport.connect()


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b", "xn--a.example"])
async def test_A24_an_impossible_name_is_an_error_and_no_crash(host: str) -> None:
    with (
        watched(f"ws://{host}/ws", reconnect=QUICK.replace(max_attempts=0)) as (transport, _),
        pytest.raises(ConnectError),
    ):
        await transport.connect()


async def test_A24_a_forward_proxy_that_is_overloaded_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect_refused(peer: Peer) -> None:
        assert (await peer.request()).method == "CONNECT"
        await peer.respond(503, {"Retry-After": "0"})

    async with Misbehaving(connect_refused) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with (
            watched("ws://chat.example/ws") as (transport, _),
            pytest.raises(ConnectError, match="gave up after 3 retries: HTTP 503"),
        ):
            await transport.connect()
        assert proxy.accepted == 4


async def test_A25_a_flapping_server_is_backed_off_from() -> None:
    reconnect = ReconnectConfig(
        max_attempts=5, base_delay=0.01, max_delay=10.0, jitter="none", stable_after=5.0
    )
    async with Misbehaving(welcomed(close_frame(1001))) as server:
        with watched(server.ws_url, reconnect=reconnect) as (transport, watch):
            transport.start()
            end = await watch.ended()
        assert server.accepted == 6
        assert end.reason.startswith("gave up after 5 retries")
        # A handler called late sees less of a wait, and late attempts are further apart.
        delays = [0.01, 0.02, 0.04, 0.08, 0.16]
        assert all(seen <= delay + 1e-6 for seen, delay in zip(watch.waits, delays, strict=True))
        tries = [change.retry_at for change in watch.changes if change.retry_at is not None]
        gaps = [later - earlier for earlier, later in pairwise(tries)]
        assert all(gap >= delay - 1e-6 for gap, delay in zip(gaps, delays[1:], strict=True))


async def test_A25_a_connection_that_lasted_starts_the_count_again() -> None:
    async def short(peer: Peer) -> None:
        await peer.upgrade()
        await asyncio.sleep(0.1)
        await peer.close(1001)

    reconnect = ReconnectConfig(
        max_attempts=2, base_delay=0.01, max_delay=10.0, jitter="none", stable_after=0.05
    )
    async with Misbehaving(short) as server:
        with watched(server.ws_url, reconnect=reconnect) as (_transport, watch):
            _transport.start()
            await until(lambda: server.accepted >= 5)
            assert {change.attempt for change in watch.changes if change.retry_at is not None} == {1}


# Signs of life

BEAT = HeartbeatConfig(interval=0.1, timeout=0.08)


async def test_A27_a_half_open_connection_is_found_in_interval_plus_timeout() -> None:
    closes: list[bytes] = []

    async def deaf(peer: Peer) -> None:
        await peer.upgrade()
        while True:
            opcode, payload = await peer.frame()
            if opcode == CLOSE:
                closes.append(payload)

    async with Misbehaving(deaf, friendly) as server:
        with watched(server.ws_url, heartbeat=BEAT) as (transport, watch):
            await transport.connect()
            start = monotonic()
            await until(lambda: RECONNECTING in watch.statuses)
            assert monotonic() - start >= 0.15
            lost = watch.changes[watch.statuses.index(RECONNECTING)]
            assert (lost.code, lost.reason) == (4000, "closed 4000: Pong timeout")
            await watch.connected(2)
            await until(lambda: closes)
            assert closes == [b"\x0f\xa0Pong timeout"]
            await transport.disconnect()


async def test_A27_the_next_beat_finds_an_unanswered_ping() -> None:
    async with Misbehaving(welcomed(), friendly) as server:
        with watched(server.ws_url, heartbeat=HeartbeatConfig(interval=0.08, timeout=1.0)) as (
            transport,
            watch,
        ):
            await transport.connect()
            await until(lambda: RECONNECTING in watch.statuses)
            assert (
                watch.changes[watch.statuses.index(RECONNECTING)].reason == "closed 4000: Heartbeat timeout"
            )


async def test_A28_any_frame_is_a_sign_of_life() -> None:
    async def chatty(peer: Peer) -> None:
        await peer.upgrade()
        while True:
            await peer.hear("ping")
            await peer.send(HELLO)

    async with Misbehaving(chatty) as server:
        steps: list[Any] = []
        beat = HeartbeatConfig(interval=0.5, timeout=0.45)
        with watched(server.ws_url, heartbeat=beat, record=steps.append) as (transport, watch):
            await transport.connect()
            await until(lambda: sum("ping" in str(step.effects) for step in steps) >= 3)
            assert RECONNECTING not in watch.statuses
            assert transport.rtt is None


@pytest.mark.parametrize("loop", ["own", "current"])
async def test_A28_a_pong_that_waits_to_be_read_while_a_handler_is_slow_came_in_time(loop: str) -> None:
    import time

    slept: list[str] = []

    def slow(receipt: Receipt) -> None:
        if not slept:
            time.sleep(1.2)  # Longer than a heartbeat and its timeout.
            slept.append(receipt.client_id)

    async with Misbehaving(friendly) as server:
        beat = HeartbeatConfig(interval=0.5, timeout=0.45)
        with watched(server.ws_url, heartbeat=beat, loop=loop) as (transport, watch):
            transport.on_receipt(slow)
            await transport.connect()
            await (await transport.send("slow")).settled()
            await until(lambda: slept and transport.rtt is not None)
            assert RECONNECTING not in watch.statuses
        assert server.accepted == 1


async def test_A29_refused_pings_are_named_as_the_cause() -> None:
    async def strict(peer: Peer) -> None:
        await peer.upgrade()
        await peer.hear("ping")
        await peer.close(1008, "policy")

    code, reason = await given_up(strict, heartbeat=BEAT)
    assert code == 1008
    assert "HeartbeatConfig(mode='ping')" in reason


@pytest.mark.parametrize("mode", ["ping", "none"])
async def test_A29_heartbeats_as_ping_frames_or_not_at_all(mode: Any) -> None:
    opcodes: list[int] = []

    async def note(peer: Peer) -> None:
        await peer.upgrade()
        while True:
            opcode, payload = await peer.frame()
            opcodes.append(opcode)
            if opcode == PING:
                await peer.send(frame(PONG, payload))
            if opcode == TEXT:
                return

    async with Misbehaving(note, friendly) as server:
        with watched(server.ws_url, heartbeat=BEAT.replace(mode=mode)) as (transport, watch):
            await transport.connect()
            if mode == "ping":
                await until(lambda: opcodes.count(PING) >= 4 and transport.rtt is not None)
            else:
                start = monotonic()
                await until(lambda: monotonic() - start > 3 * 0.18)
            assert RECONNECTING not in watch.statuses
            transport.typing()
            await until(lambda: TEXT in opcodes)
            assert set(opcodes) == ({PING, TEXT} if mode == "ping" else {TEXT})


async def test_A30_pongs_are_matched_by_id_and_floods_do_no_harm() -> None:
    answers: list[int] = []

    async def flood(peer: Peer) -> None:
        await peer.upgrade()
        await peer.send(said(type="pong", id=1) * 1000)  # Before any ping.
        await peer.send(said(type="ping", id=7) * 1000)
        await peer.send(frame(PING, b"x") * 1000 + frame(PONG, b"unasked") * 1000)
        while True:
            opcode, payload = await peer.frame()
            heard = json.loads(payload) if opcode == TEXT else {}
            if heard.get("type") == "pong":
                answers.append(heard["id"])
            elif heard.get("type") == "ping":
                await peer.say(type="pong", id=heard["id"] + 1)
                await peer.say(type="pong", id=heard["id"])
                await peer.say(type="pong", id=heard["id"])

    async with Misbehaving(flood) as server:
        with watched(server.ws_url, heartbeat=BEAT) as (transport, watch):
            await transport.connect()
            assert transport.rtt is None
            await until(lambda: transport.rtt is not None)
            assert transport.rtt is not None
            assert 0 < transport.rtt < PATIENCE
            await until(lambda: answers)
            assert set(answers) == {7}
            assert len(answers) < 100
            assert RECONNECTING not in watch.statuses


async def test_A31_no_timer_of_a_connection_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """End ten connections, each a second old: none of their heartbeats may be sent on the eleventh, or close
    it. The clock is set by hand, so a busy machine changes nothing."""
    loop = asyncio.get_running_loop()
    ahead = 0.0
    monkeypatch.setattr(loop, "time", lambda: monotonic() + ahead)
    over, pings = asyncio.Event(), 0

    async def short_lived(peer: Peer) -> None:
        await peer.upgrade()
        await peer.say(type="welcome")
        await over.wait()
        over.clear()
        await peer.send(close_frame(1001))
        await peer.gone()

    async def last(peer: Peer) -> None:
        nonlocal pings
        await peer.upgrade()
        await peer.say(type="welcome")
        while True:
            ping = await peer.hear("ping")
            pings += 1
            await peer.say(type="pong", id=ping["id"])

    async with Misbehaving(*[short_lived] * 10, last) as server:
        beat = HeartbeatConfig(interval=30.0, timeout=10.0)
        with watched(server.ws_url, heartbeat=beat, reconnect=PERSISTENT, loop="current") as (chat, watch):
            await chat.connect()
            for times in range(1, 11):
                ahead += 1.0
                over.set()
                await watch.connected(times + 1)
            for second in range(1, 60):  # The others' heartbeats: due at 20 to 29, timed out at 30 to 39.
                ahead += 1.0
                await asyncio.sleep(0)
                if second == 29:
                    assert pings == 0
                if second == 31:
                    await until(lambda: chat.rtt is not None)
            assert chat.status is CONNECTED
            await chat.disconnect()
        assert (pings, server.accepted) == (1, 11)


async def test_A32_a_day_asleep_means_one_reconnect_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    asleep = 0.0
    monkeypatch.setattr(loop, "time", lambda: monotonic() + asleep)
    async with Misbehaving(friendly) as server:
        with watched(
            server.ws_url, heartbeat=HeartbeatConfig(interval=30.0, timeout=10.0), loop="current"
        ) as (t, w):
            await t.connect()
            asleep = 86_400.0
            receipt = await t.send("good morning")
            assert await receipt.settled() is DeliveryState.ACKED
            await until(lambda: t.rtt is not None)
            assert w.statuses.count(RECONNECTING) <= 1
            assert t.status is CONNECTED
            await t.disconnect()
        assert server.accepted <= 2


# Secrets


async def test_A79_a_token_is_shown_to_the_server_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    steps: list[Any] = []

    def headers(failure: Failure | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {SECRET}"}

    async with Misbehaving(answered(503), friendly) as server:
        url = f"{server.ws_url}?token={SECRET}"
        with watched(url, headers=headers, record=steps.append) as (transport, watch):
            await transport.connect()
            await (await transport.send("hello")).settled()
            await transport.disconnect()
            assert [request.headers["authorization"] for request in server.requests] == [
                f"Bearer {SECRET}"
            ] * 2
            assert server.requests[0].query["token"] == SECRET
            told = [
                repr(transport),
                repr(transport.config),
                str(watch.changes),
                str(watch.events),
                str(steps),
            ]
    assert not [text for text in (*told, caplog.text, *map(repr, caplog.records)) if SECRET in text]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"{SECRET}\r\nX: y"},
        {"Authorization": f"{SECRET}\u20ac"},
        {"Authorization": SECRET.encode()},
        {f"X\n{SECRET}": "y"},
        {SECRET},
    ],
    ids=["line end", "not Latin-1", "bytes", "name", "no mapping"],
)
async def test_A79_headers_that_can_not_be_sent_are_refused_without_quoting_them(
    headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Misbehaving(friendly) as server:
        with (
            watched(server.ws_url, headers=lambda: headers) as (transport, _),
            pytest.raises(ConnectError, match=r"^protocol: the (value of the )?header") as caught,
        ):
            await transport.connect()
        assert server.accepted == 0
    assert SECRET not in f"{caught.value!r} {caplog.text}"
