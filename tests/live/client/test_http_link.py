"""Requests over HTTP to servers that misbehave: the outcome of each `Fetch`, and the resources that it
leaves."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import os
import random
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from chatlab.dialects.base import Answer, Request
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.dialects.matrix import MatrixHttp
from chatlab.live.client.body import PIECE
from chatlab.live.client.cookies import MAX_COOKIE_SIZE, MAX_COOKIES
from chatlab.live.client.http_link import MAX_BODY, MAX_REFUSAL, HttpLink
from chatlab.live.client.http_session import HttpSession
from chatlab.live.client.network_failures import LOOP_ENDS
from chatlab.settings import HttpConfig
from chatlab.transports.machine import Answered, Closed, Event, Failure, Fetch, Opened, ReceivedBytes
from tests.http_clients import http_client
from tests.live.misbehave import Misbehaving, Peer, Script, silence
from tests.live.watch import until

SECRET = "s3cr3t-t0ken"
GET = Request("GET", "/messages")
POST = Request("POST", "/messages", {}, {"Content-Type": "application/json"}, '{"text":"é"}')
EVENT_STREAM = ("Content-Type", "text/event-stream")
CHUNKED = ("Transfer-Encoding", "chunked")
GZIPPED = ("Content-Encoding", "gzip")


class Line:
    """A stand-in for a driver: records the events that links report, and keeps their tasks."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.session = HttpSession(HttpConfig(url=url, **settings), ChatlabDialect())
        self.events: list[Event] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.holds_off = 0
        self.pressure = int

    def feed(self, *events: Event) -> None:
        self.events += events

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def hold_off(self) -> None:
        self.holds_off += 1

    def fetch(
        self, request: Request = GET, purpose: Any = "poll", failure: Failure | None = None
    ) -> HttpLink:
        """Begin a request, without waiting."""
        link = HttpLink(self, self.session, Fetch(1, purpose, request, failure))
        self.spawn(link.run())
        return link

    async def end(
        self, request: Request = GET, purpose: Any = "poll", failure: Failure | None = None
    ) -> Event:
        """Make a request, and return the last event that it reported."""
        before = len(self.events)
        self.fetch(request, purpose, failure)
        await until(lambda: any(isinstance(event, Answered | Closed) for event in self.events[before:]))
        return self.events[-1]

    async def answer(self, *args: Any) -> Answer:
        event = await self.end(*args)
        assert isinstance(event, Answered), event
        return event.answer

    async def failure(self, *args: Any) -> Failure:
        event = await self.end(*args)
        assert isinstance(event, Closed), event
        return event.failure

    @property
    def received(self) -> bytes:
        return b"".join(event.data for event in self.events if isinstance(event, ReceivedBytes))


@asynccontextmanager
async def line(url: str, **settings: Any) -> AsyncIterator[Line]:
    """Make a `Line`, and check that it leaves no task."""
    made = Line(url, **settings)
    try:
        yield made
    finally:
        made.session.close()
        await until(lambda: not made.tasks)


def answers(*heads: tuple[int, tuple[tuple[str, str], ...]], body: bytes = b"") -> Script:
    """Answer one request after the other on the same connection, the last head for all further ones."""

    async def script(peer: Peer) -> None:
        for status, headers in (*heads[:-1], *[heads[-1]] * 1000):
            await peer.request()
            await peer.respond(status, headers, body)

    return script


def sends(data: bytes, *headers: tuple[str, str], status: int = 200) -> Script:
    """Answer with these bytes after the head, and end the connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin(status, headers)
        await peer.send(data)

    return script


# Answers


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 404, 410, 500, 503])
@pytest.mark.parametrize("request_", [GET, POST])
async def test_any_status_is_an_answer(status: int, request_: Request) -> None:
    body = b"" if status in (204, 304) else b"[]"
    async with Misbehaving(answers((status, ()), body=body)) as server, line(server.url) as chat:
        assert await chat.answer(request_) == Answer(status, body)


async def test_a_request_arrives_as_it_was_meant() -> None:
    query = {"after": "a&b#%+/ \n", "room": "größe"}
    async with (
        Misbehaving(answers((200, ()))) as server,
        line(f"{server.url}/base/?key=1&room=x", headers={"X-Mine": "yes"}) as chat,
    ):
        await chat.answer(Request("POST", "/messages", query, POST.headers, POST.body), "post")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/base/messages")
    assert request.query == {"key": "1"} | query  # A61
    assert request.body == POST.body.encode()
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-mine"] == "yes"
    assert request.headers["accept-encoding"] == "gzip"


async def test_connections_are_kept_between_requests_and_closed_with_the_session() -> None:
    async with Misbehaving(answers((200, ()))) as server, line(server.url) as chat:
        for _ in range(3):
            await chat.answer()
        assert (server.accepted, server.open) == (1, 1)
        chat.session.close()
        await until(lambda: not server.open)
        await chat.answer()
        assert server.accepted == 2


async def test_only_the_requested_headers_of_an_answer_are_kept() -> None:
    head = (
        ("Chat-Cursor", "17"), ("Chat-More", "1"), ("Set-Cookie", f"s={SECRET}"), ("X-Other", "x"),
        ("Content-Type", "application/json"), ("Retry-After", "3"),
    )  # fmt: skip
    async with Misbehaving(answers((200, head))) as server, line(server.url) as chat:
        assert (await chat.answer()).headers == {
            "chat-cursor": "17",
            "chat-more": "1",
            "content-type": "application/json",
            "retry-after": "3",
        }


@pytest.mark.parametrize("purpose", ["poll", "stream", "post"])
async def test_A35_only_the_beginning_of_a_refusal_is_read(purpose: str) -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.begin(503, (CHUNKED, EVENT_STREAM))
        while True:
            await peer.chunk(b"x" * 1000)

    request = POST if purpose == "post" else GET
    async with Misbehaving(endless) as server, line(server.url) as chat:
        answer = await chat.answer(request, purpose)
        assert (answer.status, answer.body) == (503, b"x" * MAX_REFUSAL)
        assert chat.events == [Answered(1, answer)]
        await until(lambda: not server.open)


@pytest.mark.parametrize("tail", ["stall", "break", "gzip"])
async def test_a_refusal_with_a_broken_body_is_still_that_refusal(tail: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        head = (("Content-Length", "99"), ("Retry-After", "7"), *((GZIPPED,) if tail == "gzip" else ()))
        await peer.begin(503, head)
        await peer.send(b"busy")
        if tail == "stall":
            await peer.gone()

    async with Misbehaving(script) as server, line(server.url) as chat:
        answer = await chat.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "7")
        assert answer.body == (b"" if tail == "gzip" else b"busy")


TOMORROW = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)


@pytest.mark.parametrize(
    ("values", "least", "most"),
    [
        (("120",), 120, 120),
        ((TOMORROW,), 80_000, 86_400),
        (("Wed, 21 Oct 2015 07:28:00 GMT",), 0, 0),
        (("1" * 5000,), 10**9, 10**12),
        (("soon",), None, None),
        (("-1",), None, None),
        (("1", "2"), None, None),
        ((), None, None),
    ],
)
async def test_A20_retry_after_is_reported_in_seconds(
    values: tuple[str, ...], least: int | None, most: int | None
) -> None:
    head = tuple(("Retry-After", value) for value in values)
    async with Misbehaving(answers((429, head))) as server, line(server.url) as chat:
        told = (await chat.answer()).headers.get("retry-after")
    if least is None or most is None:
        assert told is None
    else:
        assert told is not None
        assert least <= int(told) <= most


async def test_A20_a_date_counts_from_the_answers_own() -> None:
    head = (("Date", "Wed, 21 Oct 2015 07:28:00 GMT"), ("Retry-After", "Wed, 21 Oct 2015 07:28:30 GMT"))
    async with Misbehaving(answers((429, head))) as server, line(server.url) as chat:
        assert (await chat.answer()).headers["retry-after"] == "30"


async def test_A20_a_body_may_ask_to_wait_if_no_header_does() -> None:
    body = b'{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":4100}'
    for head, seconds in ((), "5"), ((("Retry-After", "2"),), "2"):
        async with Misbehaving(answers((429, head), body=body)) as server, line(server.url) as chat:
            chat.session.dialect = MatrixHttp()
            assert (await chat.answer()).headers["retry-after"] == seconds


# Streams


async def test_a_stream_is_reported_piece_by_piece_as_it_arrives() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin(200, (CHUNKED, ("Content-Type", "text/event-stream; charset=utf-8")))
        for piece in (b"data: 1\n\n", b":", b"\n", b"data"):  # A43
            await peer.chunk(piece)
            await go.wait()
            go.clear()
        await peer.chunk(b"")

    async with Misbehaving(script) as server, line(server.url) as chat:
        link = chat.fetch(purpose="stream")
        for told in (b"data: 1\n\n", b"data: 1\n\n:", b"data: 1\n\n:\n", b"data: 1\n\n:\ndata"):
            await until(lambda told=told: chat.received == told)  # type: ignore[misc]
            go.set()
        await until(lambda: len(chat.events) == 6)
        assert chat.events[0] == Opened(1, "text/event-stream; charset=utf-8")
        assert chat.events[-1] == Closed(1, Failure("reset", reason="the stream ended"))
        link.close(1000, "")  # Too late to have an effect.


@pytest.mark.parametrize("status", [201, 204, 206, 301, 404, 503])
async def test_A34_A37_a_stream_with_another_status_is_an_answer(status: int) -> None:
    body = b"" if status == 204 else b"data: 1\n\n"
    async with Misbehaving(answers((status, (EVENT_STREAM,)), body=body)) as server, line(server.url) as chat:
        answer = await chat.answer(GET, "stream")
        assert (answer.status, answer.body) == (status, body)
        assert chat.received == b""


async def reset(peer: Peer) -> None:
    await peer.request()
    await peer.begin(200, (CHUNKED, EVENT_STREAM))
    await peer.chunk(b"data: 1\n")
    await until(lambda: peer.server.heard)
    peer.reset()


ENDS: dict[str, Script] = {
    "truncated chunked": sends(b"20\r\ndata: 1\n", CHUNKED, EVENT_STREAM),
    "missing last chunk": sends(b"8\r\ndata: 1\n\r\n", CHUNKED, EVENT_STREAM),
    "short content-length": sends(b"data: 1\n", ("Content-Length", "99"), EVENT_STREAM),
    "no length, FIN": sends(b"data: 1\n", EVENT_STREAM),
    "RST": reset,
}


@pytest.mark.parametrize("end", ENDS)
async def test_A40_a_stream_that_ends_in_any_way_was_reset(end: str) -> None:
    async with Misbehaving(ENDS[end]) as server, line(server.url) as chat:
        chat.fetch(purpose="stream")
        await until(lambda: chat.received == b"data: 1\n")
        server.heard.append("now")
        await until(lambda: isinstance(chat.events[-1], Closed))
        assert isinstance(chat.events[-1], Closed)
        assert chat.events[-1].failure.kind == "reset"


@pytest.mark.parametrize("end", [end for end in ENDS if end != "no length, FIN"])
async def test_half_an_answer_counts_as_none(end: str) -> None:
    async with Misbehaving(ENDS[end]) as server, line(server.url) as chat:
        server.heard.append("now")
        assert (await chat.failure()).kind == "reset"


# Compression


async def test_A42_gzip_flushed_at_each_event_is_prompt() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin(200, (CHUNKED, EVENT_STREAM, GZIPPED))
        zipper = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        for number in range(3):
            await peer.chunk(zipper.compress(b"data: %d\n\n" % number) + zipper.flush(zlib.Z_SYNC_FLUSH))
            await go.wait()
            go.clear()
        await peer.chunk(zipper.flush())
        await peer.chunk(b"")

    async with Misbehaving(script) as server, line(server.url) as chat:
        chat.fetch(purpose="stream")
        for number in range(3):
            await until(lambda number=number: chat.received.endswith(b"data: %d\n\n" % number))  # type: ignore[misc]
            go.set()
        await until(lambda: isinstance(chat.events[-1], Closed))
        assert chat.events[-1] == Closed(1, Failure("reset", reason="the stream ended"))


@pytest.mark.parametrize(
    "body", [b"not gzip at all", gzip.compress(b"x" * 1000, mtime=0)[:-4], b"\x1f\x8b\x08"]
)
async def test_A42_broken_gzip_is_a_broken_connection(body: bytes) -> None:
    async with (
        Misbehaving(sends(body, GZIPPED, ("Content-Length", str(len(body))))) as server,
        line(server.url) as chat,
    ):
        assert (await chat.failure()).kind == "reset"
        assert (await chat.failure(GET, "stream")).kind == "reset"


async def test_an_unrequested_encoding_is_a_failure() -> None:
    async with (
        Misbehaving(sends(b"??", ("Content-Encoding", "br"), ("Content-Length", "2"))) as server,
        line(server.url) as chat,
    ):
        assert (await chat.failure()).kind == "answer"


BOMB_SIZE = 200 << 20


@cache
def bomb() -> bytes:
    """Return `BOMB_SIZE` zeros, compressed."""
    zipper = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    return b"".join(zipper.compress(bytes(1 << 20)) for _ in range(BOMB_SIZE >> 20)) + zipper.flush()


async def test_A42_a_gzip_bomb_is_decompressed_in_small_pieces_until_it_is_closed() -> None:
    async with Misbehaving(sends(bomb(), GZIPPED, EVENT_STREAM)) as server, line(server.url) as chat:
        tracemalloc.start()
        link = chat.fetch(purpose="stream")
        await until(lambda: len(chat.events) > 10)
        link.close(1006, "too large")
        told = len(chat.events)
        await until(lambda: not server.open)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(chat.events) == told
        assert all(len(event.data) <= PIECE for event in chat.events if isinstance(event, ReceivedBytes))
        assert peak < (told + 50) * PIECE
        assert told * PIECE < BOMB_SIZE / 4


@pytest.mark.parametrize("head", [(), (GZIPPED,)])
async def test_A41_an_answer_above_the_limit_is_refused_in_bounded_memory(
    head: tuple[tuple[str, str], ...],
) -> None:
    async def flood(peer: Peer) -> None:
        await peer.request()
        await peer.begin(200, head)
        if head:
            await peer.send(bomb())
        while True:
            await peer.send(bytes(1 << 20))

    async with Misbehaving(flood) as server, line(server.url) as chat:
        tracemalloc.start()
        failure = await chat.failure()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert failure == Failure("answer", reason=f"the server sent an answer above {MAX_BODY} bytes")
        assert peak < 6 * MAX_BODY
        await until(lambda: not server.open)


async def test_A44_only_the_machines_timeout_ends_a_quiet_stream() -> None:
    async with line("http://127.0.0.1:1") as chat:
        assert chat.session.client(chat).timeout == httpx.Timeout(None)


async def test_a_link_closed_in_the_middle_reports_nothing_more() -> None:
    script = sends(b"1\r\nx\r\n" * 100, CHUNKED, EVENT_STREAM)
    async with Misbehaving(script) as server, line(server.url) as chat:

        def feed(*events: Event) -> None:
            chat.events += events
            if isinstance(events[-1], ReceivedBytes):
                link.close(1006, "seen enough")

        chat.feed = feed  # type: ignore[method-assign]
        link = chat.fetch(purpose="stream")
        await until(lambda: chat.received)
        await until(lambda: not server.open)
        assert chat.events == [Opened(1, "text/event-stream"), ReceivedBytes(1, b"x")]


# Failures


async def listening(peer: Peer) -> None:
    """Read everything, and answer nothing."""
    await peer.gone()


async def garbage(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"\x00\x01 what?\r\n\r\n")


async def headless(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-")


async def hung_up(peer: Peer) -> None:
    await peer.request()


async def reset_at_once(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def no_gzip(peer: Peer) -> None:
    await peer.request()
    await peer.respond(200, (("Content-Encoding", "gzip"),), b"no gzip")


FAILURES: dict[str, tuple[Script, str]] = {
    "A22 garbage": (garbage, "protocol"),
    "A41 a header of 1 MB": (sends(b"", ("X-Long", "x" * (1 << 20))), "protocol"),
    "A90 gzip that is none": (no_gzip, "reset"),
    "no answer": (hung_up, "reset"),
    "half a head": (headless, "reset"),
    "RST": (reset_at_once, "reset"),
}


@pytest.mark.parametrize("purpose", ["poll", "stream", "post"])
@pytest.mark.parametrize("name", FAILURES)
async def test_each_failure_has_its_kind(name: str, purpose: str) -> None:
    script, kind = FAILURES[name]
    if purpose == "post" and name[0] == "A":
        kind = "answer"  # A90: the answer isn't an ack
    async with Misbehaving(script) as server, line(server.url) as chat:
        failure = await chat.failure(POST if purpose == "post" else GET, purpose)
        assert failure.kind == kind
        assert len(failure.reason) <= 300
        assert failure.reason.isprintable()
        await until(lambda: not server.open)


async def test_A24_refused_and_unknown_hosts() -> None:
    async with Misbehaving(silence) as server:
        pass
    async with line(server.url) as chat:
        assert (await chat.failure()).kind == "refused"
    async with line("http://nowhere.invalid:8000") as chat:
        assert (await chat.failure()).kind == "dns"


async def outspoken(peer: Peer) -> None:
    """Send plain text before any request."""
    await peer.respond(400)
    await peer.gone()


async def test_A23_tls_is_never_weakened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    good, wrong = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(good)
    authority.issue_cert("example.org").configure_cert(wrong)
    async with Misbehaving(answers((200, ())), tls=good) as server:
        async with line(server.url) as chat:
            assert (await chat.failure()).kind == "tls"
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with line(server.url) as chat:
            assert (await chat.answer()).status == 200
        async with line(server.url.replace("https", "http")) as chat:
            assert (await chat.failure()).kind in ("reset", "protocol")
    async with Misbehaving(answers((200, ())), tls=wrong) as server, line(server.url) as chat:
        assert (await chat.failure()).kind == "tls"
    async with Misbehaving(outspoken) as server, line(server.url.replace("http", "https")) as chat:
        assert (await chat.failure()).kind == "tls"
    async with Misbehaving(listening) as server, line(server.url.replace("http", "https")) as chat:
        link = chat.fetch()
        await until(lambda: server.open)
        link.close(1006, "no answer to the TLS handshake")
        await until(lambda: not server.open)
        assert (chat.events, chat.holds_off) == ([], 0)


async def hung_up_at_once(peer: Peer) -> None:
    """Accept, and close at once."""


async def test_a_connection_that_ends_in_the_tls_handshake_was_reset() -> None:
    async with Misbehaving(hung_up_at_once) as server, line(server.url.replace("http", "https")) as chat:
        assert (await chat.failure()).kind == "reset"


async def test_a_proxy_is_asked_for_other_hosts_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Misbehaving(answers((200, ()))) as proxy, Misbehaving(answers((204, ()))) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with line(server.url) as chat:
            assert (await chat.answer()).status == 204
        async with line("http://chat.invalid") as chat:
            assert (await chat.answer()).status == 200
        assert len(proxy.requests) == len(server.requests) == 1


async def test_a_proxy_that_refuses_is_an_http_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Misbehaving(answers((407, ()))) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        async with line("https://chat.invalid") as chat:
            failure = await chat.failure()
            assert (failure.kind, failure.code) == ("http", 407)


# Headers


async def test_A46_header_values_are_sent_as_utf8() -> None:
    request = Request("GET", "/stream", {}, {"Last-Event-ID": "№ 7 – ü"})
    async with (
        Misbehaving(answers((204, ()))) as server,
        line(server.url, headers={"X-Name": "Ünal"}) as chat,
    ):
        await chat.answer(request, "stream")
    headers = server.requests[0].headers
    assert headers["last-event-id"].encode("latin-1").decode() == "№ 7 – ü"
    assert headers["x-name"].encode("latin-1").decode() == "Ünal"


@pytest.mark.parametrize(
    "value",
    [f"{SECRET}\nX-Evil: 1", f"{SECRET}\r\n\r\nGET /", f"{SECRET}\0", f"\x1b{SECRET}", f"\ud800{SECRET}"],
)
async def test_A46_no_header_is_ever_injected(value: str) -> None:
    async with Misbehaving(answers((200, ()))) as server:
        async with line(server.url) as chat:
            failure = await chat.failure(Request("GET", "/", {}, {"Last-Event-ID": value}))
            assert failure.kind == "protocol"
            assert SECRET not in str(failure)
        async with line(server.url, headers={"Authorization": value}) as chat:
            failure = await chat.failure()
            assert failure.kind == "protocol"
            assert SECRET not in str(failure)
        assert server.accepted == 0


async def test_space_around_a_headers_value_is_removed() -> None:
    async with (
        Misbehaving(answers((200, ()))) as server,
        line(server.url, headers={"X-Mine": " a b\t"}) as chat,
    ):
        await chat.answer()
    assert server.requests[0].headers["x-mine"] == "a b"


async def test_the_headers_function_is_called_for_each_request_with_the_last_refusal() -> None:
    told: list[Failure | None] = []

    async def headers(failure: Failure | None) -> dict[str, str]:
        told.append(failure)
        await asyncio.sleep(0)
        return {"Authorization": f"Bearer {len(told)}"}

    refusal = Failure("http", 401)
    async with Misbehaving(answers((200, ()))) as server, line(server.url, headers=headers) as chat:
        await chat.answer()
        await chat.answer(GET, "poll", refusal)
    assert told == [None, refusal]
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer 1", "Bearer 2"]


async def test_a_headers_function_that_raises_is_final_and_keeps_its_secret() -> None:
    def headers() -> dict[str, str]:
        raise RuntimeError(SECRET)

    async with Misbehaving(silence) as server, line(server.url, headers=headers) as chat:
        failure = await chat.failure()
        assert failure.kind == "protocol"
        assert failure.reason.startswith("the headers function raised RuntimeError in ")


async def test_a_name_and_password_in_the_address_are_basic_authentication() -> None:
    async with Misbehaving(answers((200, ()))) as server:
        async with line(server.url.replace("//", "//ada:p%40ss@")) as chat:
            await chat.answer()
        async with line(server.url.replace("//", "//ada:pass@"), headers={"Authorization": "mine"}) as chat:
            await chat.answer()
    assert [request.headers["authorization"] for request in server.requests] == ["Basic YWRhOnBAc3M=", "mine"]


# CSRF tokens and cookies

CSRF = Request("GET", "/csrf")
TOKEN = b'{"token": "' + SECRET.encode() + b'"}'


async def test_the_csrf_token_goes_with_posts_and_is_never_shown() -> None:
    async with Misbehaving(answers((200, ()), body=TOKEN)) as server, line(server.url) as chat:
        assert await chat.answer(POST, "post") == Answer(200, TOKEN)
        assert await chat.answer(CSRF, "csrf") == Answer(200)
        await chat.answer(POST, "post")
        await chat.answer(GET, "poll")
        assert (
            SECRET not in repr(vars(chat.session.config)) + repr(chat.session)
            if hasattr(chat.session.config, "__dict__")
            else SECRET not in repr(chat.session.config) + repr(chat.session)
        )
    assert [request.headers.get("x-csrf-token") for request in server.requests] == [None, None, SECRET, None]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"token": ""}', b'{"token": "a\\nb"}', b"<html>"])
async def test_a_token_page_without_a_token_is_a_failure(body: bytes) -> None:
    async with Misbehaving(answers((200, ()), body=body)) as server, line(server.url) as chat:
        assert await chat.failure(CSRF, "csrf") == Failure(
            "answer", reason="the server's answer holds no CSRF token"
        )


async def test_a_token_page_that_is_not_there_is_an_answer() -> None:
    async with Misbehaving(answers((404, ()), body=b"no")) as server, line(server.url) as chat:
        assert await chat.answer(CSRF, "csrf") == Answer(404, b"no")


async def test_cookies_outlive_connections_and_are_bounded() -> None:
    cookies = tuple(("Set-Cookie", f"c{number}={number}") for number in range(2 * MAX_COOKIES))
    long = ("Set-Cookie", f"long={'x' * MAX_COOKIE_SIZE}")
    async with Misbehaving(answers((200, (long, *cookies)))) as server, line(server.url) as chat:
        await chat.answer()
        await chat.answer()
        chat.session.close()
        await chat.answer()
    sent = [request.headers.get("cookie", "") for request in server.requests]
    assert sent[0] == ""
    assert sent[1] == sent[2]
    assert sent[1].split("; ") == [f"c{number}={number}" for number in range(MAX_COOKIES)]


# Redirects

MINE = {"Authorization": f"Bearer {SECRET}", "Cookie": f"c={SECRET}", "X-Mine": SECRET}
STREAM = Request("GET", "/stream", {}, {"Accept": "text/event-stream", "Last-Event-ID": SECRET})


def redirects(status: int, *locations: str) -> Script:
    return answers((status, tuple(("Location", location) for location in locations)))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_A21_A39_a_get_is_redirected_within_its_origin_with_its_headers(status: int) -> None:
    moved = ((status, (("Location", "/elsewhere?x=1"),)), (200, (EVENT_STREAM,)))
    async with Misbehaving(answers(*moved, body=b"[]")) as server, line(server.url, headers=MINE) as chat:
        kept = {"content-type": "text/event-stream"}
        assert await chat.answer(STREAM) == Answer(200, b"[]", kept, redirected=True)
    first, second = server.requests
    assert server.accepted == 1
    assert (second.method, second.path, second.query) == ("GET", "/elsewhere", {"x": "1"})
    for name in ("authorization", "cookie", "x-mine", "last-event-id"):
        assert second.headers[name] == first.headers[name]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_A39_credentials_never_follow_to_another_origin(status: int) -> None:
    stolen = ("Set-Cookie", "planted=1; Path=/")
    async with Misbehaving(answers((200, (stolen,)))) as other:
        back = (("Location", f"{other.url}/there"), ("Set-Cookie", f"own={SECRET}; Path=/"))
        async with Misbehaving(answers((status, back))) as server, line(server.url, headers=MINE) as chat:
            await chat.answer(CSRF, "poll")
            chat.session.csrf_token = SECRET
            for purpose in ("poll", "csrf"):
                await chat.end(STREAM, purpose)
            assert len(other.requests) == 3
            for request in other.requests:
                assert SECRET not in repr(request)
            assert other.requests[1].headers["accept"] == "text/event-stream"
            assert "planted" not in repr(server.requests)


async def test_A39_another_origin_plants_no_cookies() -> None:
    planted = ("Set-Cookie", "planted=1; Path=/")
    async with (
        Misbehaving(answers((200, (planted,)))) as other,
        Misbehaving(redirects(302, other.url)) as server,
        line(server.url) as chat,
    ):
        await chat.answer()
        await chat.answer()
    assert "cookie" not in repr(server.requests).lower() + repr(other.requests).lower()


async def test_A39_a_redirect_cannot_change_the_user() -> None:
    async def tempting(peer: Peer) -> None:
        await peer.request()
        await peer.respond(302, (("Location", f"http://eve:pass@127.0.0.1:{peer.server.port}/there"),))
        await peer.request()
        await peer.respond(200)

    async with Misbehaving(tempting) as server, line(server.url, headers=MINE) as chat:
        assert (await chat.answer()).status == 200
    assert [request.headers["authorization"] for request in server.requests] == [MINE["Authorization"]] * 2


async def test_A39_a_request_that_has_left_its_origin_gets_no_credentials_when_it_comes_back() -> None:
    async with (
        Misbehaving(answers((200, ()))) as home,
        Misbehaving(redirects(302, f"{home.url}/stream")) as other,
    ):
        own = answers((302, (("Location", other.url),)), (200, ()))
        async with Misbehaving(own) as server, line(server.url, headers=MINE) as chat:
            await chat.answer(STREAM)
    assert SECRET not in repr(home.requests) + repr(other.requests)


async def test_A21_a_redirect_loop_ends() -> None:
    async with Misbehaving(redirects(302, "/again")) as server, line(server.url) as chat:
        assert await chat.failure() == Failure("answer", reason="more than 5 redirects")
        assert len(server.requests) == 6
        await until(lambda: server.open <= 1)


async def test_A39_no_redirect_leads_out_of_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Misbehaving(answers((200, ()))) as plain:
        async with Misbehaving(redirects(302, plain.url), tls=context) as server, line(server.url) as chat:
            failure = await chat.failure()
        assert failure.kind == "answer"
        assert "without TLS" in failure.reason
        assert plain.accepted == 0


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "javascript:alert(1)", "http://", "http://a:x/"])
async def test_a_redirect_to_an_invalid_address_is_a_failure(location: str) -> None:
    async with Misbehaving(redirects(302, location)) as server, line(server.url) as chat:
        assert (await chat.failure()).kind in ("answer", "protocol")


@pytest.mark.parametrize("locations", [(), ("/a", "/b")])
async def test_a_redirect_to_nowhere_or_two_places_is_an_answer(locations: tuple[str, ...]) -> None:
    async with Misbehaving(redirects(302, *locations)) as server, line(server.url) as chat:
        assert (await chat.answer()).status == 302


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_A49_a_redirected_post_never_becomes_a_get(status: int) -> None:
    async with Misbehaving(redirects(status, "/elsewhere")) as server, line(server.url) as chat:
        assert (await chat.answer(POST, "post")).status == status
        assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_dialect_may_use_any_method(method: str) -> None:
    moved = answers((308, (("Location", "/elsewhere"),)), (200, ()))
    async with Misbehaving(moved) as server, line(server.url) as chat:
        assert (await chat.answer(Request(method, "/messages", body="x"), "post")).status == 200
        assert [(each.method, each.body) for each in server.requests] == [(method, b"x")] * 2


@pytest.mark.parametrize("status", [307, 308])
async def test_A49_a_post_is_redirected_with_its_body_within_its_origin_only(status: int) -> None:
    moved = answers((status, (("Location", "/elsewhere"),)), (201, ()))
    async with Misbehaving(moved) as server, line(server.url, headers=MINE) as chat:
        chat.session.csrf_token = SECRET
        assert (await chat.answer(POST, "post")).status == 201
        first, second = server.requests
        assert (second.method, second.path, second.body) == ("POST", "/elsewhere", POST.body.encode())
        assert second.headers["x-csrf-token"] == first.headers["x-csrf-token"] == SECRET
        assert second.headers["authorization"] == MINE["Authorization"]
    async with Misbehaving(answers((200, ()))) as other:
        async with Misbehaving(redirects(status, other.url)) as server, line(server.url) as chat:
            assert (await chat.answer(POST, "post")).status == status
        assert other.accepted == 0


# Secrets, and what is left behind


async def test_A79_no_log_shows_addresses_or_headers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    cookie = ("Set-Cookie", f"s={SECRET}")
    async with (
        Misbehaving(answers((200, (cookie,)), body=TOKEN)) as server,
        line(f"{server.url}/?token={SECRET}", headers=MINE) as chat,
    ):
        await chat.answer(CSRF, "csrf")
        await chat.answer(POST, "post")
        assert SECRET not in caplog.text
        async with http_client() as theirs:  # Requests of other code are still logged.
            await theirs.get(server.url)
    assert "HTTP Request: GET" in caplog.text


async def test_a_link_closed_before_its_first_turn_does_nothing() -> None:
    async with Misbehaving(silence) as server, line(server.url) as chat:
        chat.fetch().close(1006, "")
        await until(lambda: not chat.tasks)
        assert (server.accepted, chat.events) == (0, [])


async def test_a_closed_link_frees_its_connection_and_says_nothing() -> None:
    async with Misbehaving(listening) as server, line(server.url) as chat:
        link = chat.fetch()
        await until(lambda: server.open)
        link.close(1006, "no answer")
        await until(lambda: not server.open)
        assert (chat.events, chat.holds_off) == ([], 0)


async def test_a_loop_that_ends_ends_the_link_and_the_connections() -> None:
    async with Misbehaving(answers((200, ())), listening) as server:
        chat = Line(server.url)
        await chat.answer()  # Its connection stays in use; the next two requests need another.
        chat.fetch()
        chat.fetch()
        await until(lambda: server.open == 2 and len(chat.events) == 2)
        for task in tuple(chat.tasks):
            task.cancel()  # As `asyncio.run` does.
        await until(lambda: not server.open and not chat.tasks)
        assert chat.events[-1] == Closed(1, LOOP_ENDS)
        assert chat.holds_off == 1  # By the task that keeps the connections.


async def test_A67_requests_left_at_any_moment_leave_no_task_and_no_socket() -> None:
    moments = random.Random(3)

    async def moody(peer: Peer) -> None:
        while True:
            await peer.request()
            await asyncio.sleep(moments.random() * 0.004)
            await peer.begin(200, (CHUNKED, EVENT_STREAM))
            for _ in range(3):
                await asyncio.sleep(moments.random() * 0.002)
                await peer.chunk(b"data: 1\n\n")
            await peer.chunk(b"")

    async def until_heard(chat: Line, events: int) -> None:
        await until(lambda: len(chat.events) >= events)

    async with Misbehaving(moody) as server:
        tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        async with line(server.url) as chat:
            for purpose in ("stream", "poll") * 100:
                link = chat.fetch(purpose=purpose)
                await until_heard(chat, len(chat.events) + moments.randrange(4 if purpose == "stream" else 2))
                await asyncio.sleep(moments.random() * 0.004)
                link.close(1006, "")
                told = len(chat.events)
                await asyncio.sleep(0)
                assert len(chat.events) == told
            await until(lambda: len(chat.tasks) == 1)  # The task that keeps the connections.
            await until(lambda: server.open <= 1)
            assert {type(event) for event in chat.events} == {Opened, ReceivedBytes, Closed, Answered}
            assert (await chat.answer()).status == 200
        await until(lambda: len(asyncio.all_tasks()) == tasks)
        await until(lambda: len(os.listdir("/proc/self/fd")) == files)  # noqa: PTH208


async def test_a_link_that_is_closed_while_its_headers_are_asked_for_keeps_no_connections() -> None:
    """Repeat with a function that ignores its cancellation, as one does whose answer arrives at that
    moment."""
    asked = asyncio.Event()

    async def headers(failure: Failure | None) -> dict[str, str]:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return {}

    async with Misbehaving(answers((200, ()))) as server, line(server.url, headers=headers) as chat:
        link = chat.fetch()
        await asked.wait()
        link.close(1006, "")
        chat.session.close()
        await until(lambda: not chat.tasks)
        assert (chat.events, server.open) == ([], 0)


async def test_a_link_that_is_closed_just_when_it_would_send_keeps_no_connections() -> None:
    ready = asyncio.Event()

    async def headers(failure: Failure | None) -> dict[str, str]:
        await ready.wait()
        return {}

    async with Misbehaving(answers((200, ()))) as server, line(server.url, headers=headers) as chat:
        link = chat.fetch()
        await asyncio.sleep(0.01)
        ready.set()
        link.close(1006, "")
        chat.session.close()
        await until(lambda: not chat.tasks)
        assert (chat.events, server.open) == ([], 0)
