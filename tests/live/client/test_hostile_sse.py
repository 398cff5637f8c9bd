"""HOSTILE: the effect of rude event streams on a live SSE transport, row by row."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from chatlab.errors import ConnectError
from chatlab.messages import ConnectionStatus
from chatlab.settings import ReconnectConfig, SSEConfig
from chatlab.trace import Step
from tests.live.misbehave import Misbehaving, Peer, Request
from tests.live.misbehave_http import (
    CHUNKED,
    EVENT_STREAM,
    Route,
    Site,
    delays,
    event,
    leave,
    message,
    never,
    respond,
    says,
    stream,
)
from tests.live.watch import PERSISTENT, QUICK, talking, until
from tests.sizes import rows

DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
GZIPPED = ("Content-Encoding", "gzip")
ONE, TWO = message("1"), message("2")


async def refused(route: Route, **settings: Any) -> ConnectError:
    """Return the error of a `connect` that fails at the first attempt."""
    site = Site(receive=[route])
    async with Misbehaving(site) as server:
        with talking("sse", server.url, **settings) as (transport, watch):
            with pytest.raises(ConnectError) as caught:
                await transport.connect()
            assert watch.texts == []
            assert RECONNECTING not in watch.statuses
            await until(lambda: not server.open)
    assert len(site.asked["receive"]) == 1
    return caught.value


async def recovered(*routes: Route, **settings: Any) -> tuple[Site, list[str], str]:
    """Return site, texts and the failure's reason after a failure from which the transport recovers by
    itself."""
    site = Site(receive=[*routes, says(message("last"))])
    async with Misbehaving(site) as server:
        with talking("sse", server.url, **settings) as (transport, watch):
            transport.start()
            await until(lambda: "last" in watch.texts)
            assert transport.status is CONNECTED
            assert ERROR not in watch.statuses
            why = watch.changes[watch.statuses.index(RECONNECTING)].reason
    return site, watch.texts[:-1], why


# Kinds of streams

TRICKY = (
    b"\xef\xbb\xbf: a comment\r\rid: 1\r\ndata:"
    + json.dumps(message("1", "é✓𝄞")).encode()
    + b'\n\ndata: {"type": "message", "id": "2",\rdata\ndata:  "text": "\xff"}\r\n\r\n'
    + b"data\n\nevent: nothing\n\nretry: 10\nretry: x\nfoo: bar\ndata: never finished\n"
)
SPLITS: dict[str, list[bytes]] = {
    "whole": [TRICKY],
    "byte by byte": [TRICKY[index : index + 1] for index in range(len(TRICKY))],
    "at line ends": [line for line in TRICKY.splitlines(keepends=True) if line],
    "within CRLF": [piece for line in TRICKY.split(b"\n") for piece in (line, b"\n")],
}


@pytest.mark.parametrize("chunks", SPLITS.values(), ids=SPLITS)
async def test_A33_a_stream_has_the_same_events_however_it_is_split(chunks: list[bytes]) -> None:
    site, texts, _ = await recovered(stream(chunks, then="leave"))
    assert texts == ["é✓𝄞", "\ufffd"]
    assert site.cursors == [None, "2"]


async def test_A34_a_204_is_the_end() -> None:
    error = await refused(respond(204))
    assert error.code == 204
    site = Site(receive=[says(ONE, then="leave"), respond(204)])
    async with Misbehaving(site) as server:
        with talking("sse", server.url) as (transport, watch):
            await transport.connect()
            end = await watch.ended()
            assert (end.status, end.code) == (DISCONNECTED, 204)
            assert len(site.asked["receive"]) == 2
            await until(lambda: not server.open)


WRONG_TYPES = {
    "text/html": (("Content-Type", "text/html"),),
    "none": (("X-Nothing", "here"),),
    "lookalike": (("Content-Type", "application/x-text/event-stream-x"),),
    "a prefix": (("Content-Type", "text/event-streams"),),
    "a parameter": (("Content-Type", "text/plain; x=text/event-stream"),),
    "long": (("Content-Type", "x" * 5000 + "\x1b"),),
}


@pytest.mark.parametrize("headers", WRONG_TYPES.values(), ids=WRONG_TYPES)
async def test_A35_a_wrong_content_type_is_final_and_its_body_is_not_read(
    headers: tuple[tuple[str, str], ...],
) -> None:
    error = await refused(stream(event(ONE), *headers))
    assert len(str(error)) < 300
    assert str(error).isprintable()
    assert "content type" in str(error) or headers is WRONG_TYPES["long"]


@pytest.mark.parametrize(
    "value",
    ["text/event-stream; charset=windows-1252", "TEXT/Event-Stream ;charset=utf-16", "text/event-stream"],
)
async def test_A36_a_stream_is_utf8_whatever_its_content_type_says(value: str) -> None:
    data = event(message("1", "é")).replace(rb"\u00e9", "é".encode())
    assert "é".encode() in data
    _, texts, _ = await recovered(stream(data, ("Content-Type", value), then="leave"))
    assert texts == ["é"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_A37_events_in_an_error_are_no_events_and_it_is_tried_again(status: int) -> None:
    body = event(ONE) + event(TWO)
    site, texts, why = await recovered(respond(status, EVENT_STREAM, body=body))
    assert texts == []
    assert why.startswith(f"HTTP {status}: ")
    assert site.cursors == [None, None]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 418, 451, 501, 505])
async def test_A38_a_refusal_is_final(status: int) -> None:
    error = await refused(respond(status, EVENT_STREAM, body=event(ONE)))
    assert error.code == status


async def test_A38_a_401_renews_the_headers_once() -> None:
    told: list[int | None] = []

    def headers(failure: Any) -> dict[str, str]:
        told.append(failure and failure.code)
        return {"Authorization": "Bearer old"}

    site = Site(receive=[respond(401)])
    async with Misbehaving(site) as server:
        with (
            talking("sse", server.url, headers=headers) as (transport, _),
            pytest.raises(ConnectError) as caught,
        ):
            await transport.connect()
    assert caught.value.code == 401
    assert told == [None, 401]
    assert len(site.asked["receive"]) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_A39_a_redirect_is_followed_with_the_cursor(status: int) -> None:
    site = Site(
        receive=[
            says(ONE, then="leave"),
            respond(status, ("Location", "/elsewhere/stream")),
            stream(event(TWO)),
        ]
    )
    async with Misbehaving(site) as server:
        with talking("sse", server.url, headers={"Authorization": "mine"}) as (transport, watch):
            transport.start()
            await until(lambda: watch.texts == ["1", "2"])
    assert site.cursors == [None, "1", "1"]
    assert [request.headers["authorization"] for request in site.asked["receive"]] == ["mine"] * 3


async def test_strict_eventsource_makes_every_error_final() -> None:
    assert (await refused(respond(503), strict_eventsource=True)).code == 503


# Ends of streams

HALF = event(TWO)[:-1]


def cut_short(*headers: tuple[str, str], data: bytes) -> Route:
    async def route(peer: Peer, request: Request) -> None:
        await peer.begin(200, (EVENT_STREAM, *headers))
        await peer.send(data)
        leave()

    return route


CUTS: dict[str, Route] = {
    "last chunk": stream([event(ONE) + HALF, b""], then="leave"),
    "truncated chunk": cut_short(CHUNKED, data=b"fff\r\n" + event(ONE) + HALF),
    "short Content-Length": cut_short(("Content-Length", "9999"), data=event(ONE) + HALF),
    "no length": cut_short(data=event(ONE) + HALF),
    "only an id": stream(event(ONE) + b"id: 2\n", then="leave"),
    "half a character": stream(event(ONE) + b"data: \xc3", then="leave"),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
async def test_A40_half_an_event_is_dropped_and_the_cursor_stays(cut: Route) -> None:
    site, texts, why = await recovered(cut)
    assert texts == ["1"]
    assert site.cursors == [None, "1"]
    assert why.startswith("reset: ")


async def test_A40_a_reset_in_mid_event_loses_only_that_event() -> None:
    read: list[str] = []

    async def reset(peer: Peer, request: Request) -> None:
        await peer.begin(200, (EVENT_STREAM, CHUNKED))
        await peer.chunk(event(ONE) + HALF)
        await until(lambda: read)
        peer.reset()
        leave()

    site = Site(receive=[reset, says(TWO)])
    async with Misbehaving(site) as server:
        with talking("sse", server.url) as (transport, watch):
            transport.start()
            await until(lambda: watch.texts)
            read.extend(watch.texts)
            await until(lambda: watch.texts == ["1", "2"])
    assert site.cursors == [None, "1"]


def endless(piece: bytes, first: bytes = b"") -> Route:
    """Send `piece` repeatedly, up to 100 MB."""

    async def route(peer: Peer, request: Request) -> None:
        await peer.begin(200, (EVENT_STREAM, CHUNKED))
        await peer.chunk(first or piece)
        for _ in range(100_000_000 // len(piece)):
            await peer.chunk(piece)
        peer.server.heard.append("read to the end")

    return route


FLOODS = {
    "a line": endless(b"x" * 65_536, b"data: "),
    "an event": endless(b"data: x\n" * 8192),
    "a comment": endless(b":" + b"x" * 65_536, b": "),
    "a field name": endless(b"x" * 65_536),
    "an id": endless(b"x" * 65_536, b"id: "),
}


@pytest.mark.parametrize("flood", rows(FLOODS, "a line", "a comment", "a field name", "an id"))
async def test_A41_an_endless_line_or_event_is_given_up_in_bounded_memory(flood: str) -> None:
    site = Site(receive=[FLOODS[flood], says(message("last"))])
    async with Misbehaving(site) as server:
        with talking("sse", server.url) as (transport, watch):
            tracemalloc.start()
            try:
                transport.start()
                await until(lambda: watch.texts == ["last"])
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < 16 << 20
            why = watch.changes[watch.statuses.index(RECONNECTING)].reason
            assert str(1 << 20) in why or "1,048,576" in why
            assert len(watch.of("unreadable")) == 1
        assert server.heard == []


async def test_A41_an_event_below_the_limit_is_read_whole() -> None:
    text = "x" * 65_000
    _, texts, _ = await recovered(stream(event(message("1", text)), then="leave"), max_event_size=66_000)
    assert texts == [text]


async def test_A41_a_huge_header_is_an_error_in_bounded_memory() -> None:
    tracemalloc.start()
    try:
        error = await refused(stream(b"", EVENT_STREAM, ("X-Long", "x" * (10 << 20))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(str(error)) < 300
    assert peak < 64 << 20  # This includes the server's own copies of the header.


def zipped(*pieces: bytes) -> Iterator[bytes]:
    zipper = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    for piece in pieces:
        yield zipper.compress(piece) + zipper.flush(zlib.Z_SYNC_FLUSH)


async def test_A42_events_in_gzip_are_prompt() -> None:
    """The stream stays open and unfinished, so its events arrive only thanks to gzip's flushes."""
    data = list(zipped(event(ONE), event(TWO)))
    site = Site(receive=[stream(data, EVENT_STREAM, GZIPPED)])
    async with Misbehaving(site) as server:
        with talking("sse", server.url) as (transport, watch):
            transport.start()
            await until(lambda: watch.texts == ["1", "2"])
            assert watch.statuses == [CONNECTING, CONNECTED]


BROKEN_GZIP = {
    "none at all": [event(ONE)],
    "broken later": [*zipped(event(ONE)), b"\xff" * 100],
    "cut short": [b"".join(zipped(event(ONE)))],
}


@pytest.mark.parametrize("name", BROKEN_GZIP)
async def test_A42_broken_gzip_is_a_broken_connection(name: str) -> None:
    route = stream(BROKEN_GZIP[name], EVENT_STREAM, GZIPPED, then="leave")
    site, texts, why = await recovered(route)
    assert texts == ([] if name == "none at all" else ["1"])
    assert site.cursors == [None, "1" if texts else None]
    assert "gzip" in why or "ended" in why


async def test_A42_a_gzip_bomb_meets_the_limit_of_its_decompressed_size() -> None:
    zipper = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    bomb = b"".join(zipper.compress(b"x" * (1 << 20)) for _ in range(100)) + zipper.flush()
    assert len(bomb) < 200_000
    site = Site(receive=[stream(bomb, EVENT_STREAM, GZIPPED), says(ONE)])
    async with Misbehaving(site) as server:
        with talking("sse", server.url) as (transport, watch):
            tracemalloc.start()
            try:
                transport.start()
                await until(lambda: watch.texts)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < 16 << 20
            assert len(watch.of("unreadable")) == 1


# Slow and silent streams


async def test_A43_a_drip_of_comments_shows_a_live_stream() -> None:
    dripped: list[int] = []

    async def drip(peer: Peer, request: Request) -> None:
        await peer.begin(200, (EVENT_STREAM, CHUNKED))
        for number, byte in enumerate(b": life\n\n" * 3):
            await peer.chunk(bytes([byte]))
            dripped.append(number)
            await peer_pause()
        await peer.chunk(event(ONE))
        await peer.gone()

    async def peer_pause() -> None:
        start = monotonic()
        await until(lambda: monotonic() - start > 0.085)

    async with Misbehaving(Site(receive=[drip])) as server:
        with talking("sse", server.url, idle_timeout=1.0) as (transport, watch):
            transport.start()
            await until(lambda: watch.texts)
            assert len(dripped) == 24  # Twice the idle timeout, without one event.
            assert watch.statuses == [CONNECTING, CONNECTED]


async def test_A44_silence_is_a_lost_connection_and_no_error() -> None:
    site, texts, why = await recovered(says(ONE), idle_timeout=0.5)
    assert texts == ["1"]
    assert why == "timeout: nothing received for 0.5 s"
    assert site.cursors == [None, "1"]
    assert SSEConfig(url="http://127.0.0.1").idle_timeout == 45.0


async def test_A44_a_server_that_never_answers_meets_the_connect_timeout() -> None:
    _, _, why = await recovered(never, connect_timeout=0.5)
    assert why.startswith("timeout: no connection within 0.5 s; if other requests are answered, a proxy")


WISHES = {
    "0": (b"retry: 0\n\n", 0.1),
    "one second": (b"retry: 1000\n\n", 1.0),
    "10^12": (b"retry: 1000000000000\n\n", 7.0),
    "5,000 digits": (b"retry: " + b"9" * 5000 + b"\n\n", 7.0),
    "many": (b"".join(b"retry: %d\n" % number for number in range(10_000)) + b"retry: 200\n", 0.2),
    "no number": (b"retry: 1e3\nretry: -1\nretry: 0x10\nretry: \nretry\n\n", 0.03),
    "other digits": ("retry: ４２\n\n".encode(), 0.03),
}


@pytest.mark.parametrize(("data", "wait"), WISHES.values(), ids=WISHES)
async def test_A45_the_reconnection_time_is_clamped(data: bytes, wait: float) -> None:
    steps: list[Step] = []
    reconnect = ReconnectConfig(base_delay=0.03, max_delay=7.0, jitter="none")
    async with Misbehaving(Site(receive=[stream(data, then="leave")])) as server:
        with talking("sse", server.url, reconnect=reconnect, record=steps.append) as (transport, _):
            transport.start()
            await until(lambda: delays(steps))
    assert delays(steps)[0] == pytest.approx(wait)


@pytest.mark.parametrize("stable_after", [0.0, 5.0])
async def test_A45_retry_0_makes_no_hot_loop(stable_after: float) -> None:
    """Count every connection as stable: even then there is at most one attempt in each `min_retry`."""
    reconnect = PERSISTENT.replace(jitter="none", stable_after=stable_after)
    site = Site(receive=[stream(b"retry: 0\n\n", then="leave")])
    async with Misbehaving(site) as server:
        with talking("sse", server.url, reconnect=reconnect.replace(max_delay=10.0)) as (transport, _):
            start = monotonic()
            transport.start()
            await until(lambda: len(site.asked["receive"]) >= 8)
            assert len(site.asked["receive"]) <= 2 + (monotonic() - start) / 0.1


# Contents of events


IDS = {
    "not Latin-1": "größe ✓ 𝄞",
    "CR LF": "1\r\nX-Injected: yes",
    "NUL": "a\x00b",
    "spaces around": " 1 ",
    "percent": "%0d%0aX-Injected:%20yes",
    "4,000 bytes": "x" * 4000,
}


@pytest.mark.parametrize("id", IDS.values(), ids=IDS)
async def test_A46_any_id_comes_back_unchanged_and_injects_nothing(id: str) -> None:
    data = b"data: " + json.dumps(message(id, "odd")).encode() + b"\n\n"
    site, texts, _ = await recovered(stream(data, then="leave"))
    assert texts == ["odd"]
    again = site.asked["receive"][1]
    sent = again.headers.get("last-event-id", "").encode("latin-1").decode() or again.query["after"]
    assert sent == id
    assert "x-injected" not in again.headers


@pytest.mark.parametrize("name", ["error", "open", "connection", "status", "close", "resync", "reconnecting"])
async def test_A47_an_event_of_any_name_never_changes_the_status(name: str) -> None:
    payload = {"status": "error", "reason": "boo"}
    named = f"event: {name}\ndata: {json.dumps(payload)}\n\n".encode()
    typed = f"data: {json.dumps({'type': name} | payload)}\n\n".encode()
    async with Misbehaving(Site(receive=[stream(named + typed + event(ONE))])) as server:
        with talking("sse", server.url) as (transport, watch):
            transport.start()
            await until(lambda: watch.texts)
            assert watch.statuses == [CONNECTING, CONNECTED]
            told = [event for event in watch.events if event.payload == payload]
            assert [event.type.removeprefix("server:") for event in told] == [name, name]
            assert all(event.change is None for event in told)


@pytest.mark.parametrize("kind", ["message", "ack", "pong"])
async def test_A03_A47_malformed_events_are_reported_and_the_stream_stays_open(kind: str) -> None:
    junk = (b"null", b"3", b"[]", b"<html>", b'{"type":"message","id":true}', b"[" * 10_000, b"\xff\x00")
    data = b"".join(f"event: {kind}\n".encode() + b"data: " + each + b"\n\n" for each in junk)
    async with Misbehaving(Site(receive=[stream(data + event(ONE))])) as server:
        with talking("sse", server.url) as (transport, watch):
            transport.start()
            await until(lambda: watch.texts == ["1"])
            assert len(watch.of("unreadable")) == len(junk)
            assert watch.statuses == [CONNECTING, CONNECTED]
            assert all(len(event.payload) <= 1000 for event in watch.of("unreadable"))


async def test_A25_a_stream_that_opens_and_ends_again_and_again_is_backed_off_from() -> None:
    steps: list[Step] = []
    reconnect = QUICK.replace(max_attempts=5, max_delay=10.0)
    site = Site(receive=[stream(b": hello\n\n", then="leave")])
    async with Misbehaving(site) as server:
        with talking("sse", server.url, reconnect=reconnect, record=steps.append) as (transport, watch):
            transport.start()
            end = await watch.ended()
            assert end.reason.startswith("gave up after 5 retries: reset")
            assert len(site.asked["receive"]) == 6
    assert delays(steps) == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.16])
