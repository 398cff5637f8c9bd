"""The WebSocket link's own parts: URLs, headers, and the failure for each way in which it fails."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)
from websockets.frames import Close
from websockets.http11 import Response

from chatlab.dialects.base import Credentials
from chatlab.live.client.network_failures import (
    LOOP_ENDS,
    closing_failure,
    opening_failure,
    printable,
    retry_after,
)
from chatlab.live.client.websocket_link import WebSocketLink
from chatlab.settings import WebSocketConfig
from chatlab.transports.machine import (
    Closed,
    Event,
    Failure,
    Opened,
    OpenWebSocket,
    Pinged,
    Received,
    ReceivedBytes,
)
from tests.live.misbehave import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Misbehaving,
    Peer,
    accept_key,
    close_frame,
    frame,
    friendly,
)
from tests.live.watch import until


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 5000, 999_999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        ("Sat, 01 Jan 2050 00:01:00 GMT", 60.0),
        ("Sat, 01 Jan 2050 00:01:00 -0000", 60.0),
        ("Fri, 31 Dec 2049 23:00:00 GMT", 0.0),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 99 Jan 2030 99:99:99 GMT", None),
        ("Mon, 01 Jan 2030 00:00:00 +999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, datetime(2050, 1, 1, tzinfo=UTC)) == seconds


def test_A20_a_date_counts_from_the_answers_own() -> None:
    head = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}
    refusal = opening_failure(InvalidStatus(Response(503, "", Headers(head), b"")))
    assert refusal == Failure("http", 503, retry_after=30.0)


def test_a_servers_text_is_made_printable_and_cut() -> None:
    assert printable("a\x00\x1b[1m\r\n\u202e\ud800é✓") == r"a\x00\x1b[1m\r\n\u202e\ud800é✓"
    assert printable("x" * 201) == "x" * 200 + "…"


UNFIT = "this is not a WebSocket address: no"


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (InvalidHandshake("no\nway"), Failure("protocol", reason=r"no\nway")),
        (InvalidURI("ws://h/?token=x", "no"), Failure("protocol", reason=UNFIT)),
        (ssl.SSLEOFError(8, "EOF"), Failure("reset", reason="the connection ended within the TLS handshake")),
        (ssl.SSLError(1, "WRONG"), Failure("tls", reason=str(ssl.SSLError(1, "WRONG")))),
        (socket.gaierror(-2, "x"), Failure("dns", reason="the host's name can't be resolved")),
        (TimeoutError(), Failure("timeout", reason="the server can't be reached in time")),
        (ConnectionResetError(), Failure("reset", reason="the connection was reset")),
        (BrokenPipeError(), Failure("reset", reason="the connection was reset")),
        (ConnectionRefusedError(), Failure("refused", reason="nobody accepts connections there")),
        (OSError(113, "No route to host"), Failure("refused", reason="nobody accepts connections there")),
        (ValueError("odd"), Failure("protocol", reason="ValueError: odd")),
    ],
    ids=repr,
)  # fmt: skip
def test_each_failure_to_open_has_a_name(error: Exception, failure: Failure) -> None:
    assert opening_failure(error) == failure


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionClosedOK(Close(1000, ""), Close(1000, ""), True), 1000),
        (ConnectionClosedError(Close(1011, "x"), None, None), 1011),
        (ConnectionClosedError(None, Close(1009, "x"), None), 1009),
        (ConnectionClosedError(Close(1000, ""), Close(1009, "x"), False), 1009),
        (ConnectionClosedError(Close(4400, ""), Close(4400, ""), True), 4400),
        (ConnectionClosedError(None, None, None), 1006),
    ],
)
def test_the_first_close_frame_decides_how_a_connection_ended(error: Any, code: int) -> None:
    assert closing_failure(error).code == code


class Rig:
    """A link with a driver that only records."""

    def __init__(self, server: Misbehaving, **settings: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.events: list[Event] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.holds_off = 0
        self.pressure = int
        config = WebSocketConfig(url=server.ws_url, **settings)
        self.link = WebSocketLink(self, config, OpenWebSocket(1, {"room": "den"}))

    def feed(self, *events: Event) -> None:
        self.events += events

    def spawn(self, work: Any) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(work))
        return self.tasks[-1]

    def hold_off(self) -> None:
        self.holds_off += 1

    async def done(self) -> None:
        while not all(task.done() for task in self.tasks):
            await asyncio.wait(self.tasks)


async def test_a_subprotocol_that_was_offered_may_be_chosen() -> None:
    async def choose(peer: Peer) -> None:
        request = await peer.upgrade({"Sec-WebSocket-Protocol": "chat.v2"})
        assert request.headers["sec-websocket-protocol"] == "chat.v1, chat.v2"
        assert request.query == {"room": "den"}
        await peer.close(1001)

    async with Misbehaving(choose) as server:
        rig = Rig(server, protocols=("chat.v1", "chat.v2"))
        await rig.link.run()
        assert rig.events[0] == Opened(1, "chat.v2")


async def test_frames_go_out_in_order_and_come_in_whole() -> None:
    got: list[tuple[int, bytes]] = []

    async def echo(peer: Peer) -> None:
        await peer.upgrade()
        await peer.send(frame(BINARY, b"a", fin=False) + frame(PING, b"between") + frame(CONTINUATION, b"b"))
        while len(got) < 4:
            got.append(await peer.frame())
        await peer.send(frame(0xA, got[3][1]))
        await peer.gone()

    async with Misbehaving(echo) as server:
        rig = Rig(server)
        task = rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        await until(lambda: got)  # The answer to the server's Ping is the first.
        rig.link.send("text")
        rig.link.send(b"bytes")
        rig.link.ping(7)
        await until(lambda: len(rig.events) == 4)
        assert [opcode for opcode, _ in got] == [0xA, TEXT, BINARY, PING]
        assert rig.events[1:3] == [ReceivedBytes(1, b"ab"), Pinged(1)]
        assert "Pong" in str(rig.events[3])
        rig.link.close(1000, "bye")
        await rig.done()
        assert task.cancelled() or task.done()
        assert len(rig.events) == 4


def switched(request: Any) -> bytes:
    """Return the answer to an opening handshake, for servers that send more with it."""
    accept = accept_key(request.headers["sec-websocket-key"])
    head = f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\n"
    return f"{head}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n".encode()


@pytest.mark.parametrize("more", [0, 1, 100])
async def test_frames_that_arrive_with_the_handshake_follow_it_in_order(more: int) -> None:
    async def hasty(peer: Peer) -> None:
        answer = switched(await peer.request())
        await peer.send(answer + b"".join(frame(TEXT, b"%d" % number) for number in range(3)))
        for number in range(3, 3 + more):
            await peer.send(frame(TEXT, b"%d" % number))
        await peer.close(1000)

    async with Misbehaving(hasty) as server:
        rig = Rig(server)
        await rig.link.run()
        texts = [Received(1, f"{number}") for number in range(3 + more)]
        assert rig.events == [Opened(1, ""), *texts, Closed(1, Failure("close", 1000))]


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("pieces", [[b"\xff"], [b"ok \xc3", b"\x28"]], ids=["whole", "in fragments"])
async def test_frames_after_a_message_of_invalid_utf8_are_dropped(pieces: list[bytes], early: bool) -> None:
    """Drop even what arrived in the same piece."""
    last = len(pieces) - 1
    broken = b"".join(
        frame(TEXT if place == 0 else CONTINUATION, piece, fin=place == last)
        for place, piece in enumerate(pieces)
    )
    frames = frame(TEXT, b"good") + broken + frame(TEXT, b"late") + frame(BINARY, b"late", fin=False)

    async def garble(peer: Peer) -> None:
        answer = switched(await peer.request())
        if early:
            await peer.send(answer + frames)
        else:
            await peer.send(answer)
            await peer.send(frames)
        assert (await peer.frame())[0] == CLOSE
        await peer.gone()

    async with Misbehaving(garble) as server:
        rig = Rig(server)
        await rig.link.run()
        assert rig.events[:2] == [Opened(1, ""), Received(1, "good")]
        assert [type(event) for event in rig.events[2:]] == [Closed]
        assert "1007" in str(rig.events[2])


async def test_a_server_is_slowed_down_while_nobody_listens() -> None:
    async with Misbehaving(friendly) as server:
        rig = Rig(server)
        rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        connection = rig.link._connection
        assert connection is not None
        connection._take = None
        connection.data_received(frame(PING, b"?"))
        assert connection.transport.is_reading()
        connection.data_received(frame(TEXT, b"a"))
        assert not connection.transport.is_reading()
        got: list[str | bytes] = []
        connection.listen(got.extend, lambda: None)
        assert (got, connection.transport.is_reading()) == (["a"], True)
        rig.link.close(1006, "")
        await rig.done()


async def test_frames_that_arrive_together_are_reported_together() -> None:
    async with Misbehaving(friendly) as server:
        rig = Rig(server)
        rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        connection = rig.link._connection
        assert connection is not None
        told: list[tuple[Event, ...]] = []
        rig.feed = lambda *events: told.append(events)  # type: ignore[method-assign]
        frames = [
            frame(TEXT, b"a"),
            frame(BINARY, b"b", fin=False),
            frame(CONTINUATION, b"c"),
            frame(TEXT, b"d"),
        ]
        connection.data_received(b"".join(frames[:2]))
        connection.data_received(b"".join(frames[2:]))
        assert told == [(Received(1, "a"),), (ReceivedBytes(1, b"bc"), Received(1, "d"))]
        rig.link.close(1006, "")
        await rig.done()


async def test_a_burst_is_two_writes_in_order_with_the_close_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got: list[tuple[int, bytes]] = []

    async def listen(peer: Peer) -> None:
        await peer.upgrade()
        while not got or got[-1][0] != CLOSE:
            got.append(await peer.frame())
        await peer.send(frame(CLOSE, got[-1][1]))

    async with Misbehaving(listen) as server:
        rig = Rig(server)
        rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        writes: list[bytes] = []
        connection = rig.link._connection
        assert connection is not None
        write = connection.transport.write

        def noted(data: bytes) -> None:
            writes.append(data)
            write(data)

        monkeypatch.setattr(connection.transport, "write", noted)
        # From Python 3.12 on it doesn't use `write`.
        monkeypatch.setattr(connection.transport, "writelines", lambda lines: noted(b"".join(lines)))
        for number in range(100):
            rig.link.send(f"{number}")
        assert len(writes) == 1  # A single frame isn't delayed.
        await until(lambda: len(got) == 100)
        assert len(writes) == 2
        rig.link.send("100")
        assert len(writes) == 3
        for number in range(101, 200):
            rig.link.send(f"{number}")
        rig.link.close(1000, "")
        await rig.done()
        assert got[:-1] == [(TEXT, b"%d" % number) for number in range(200)]


async def test_one_frame_after_each_answer_is_sent_at_once_without_a_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got: list[tuple[int, bytes]] = []

    async def echo(peer: Peer) -> None:
        await peer.upgrade()
        while not got or got[-1][0] != CLOSE:
            got.append(await peer.frame())
            await peer.send(frame(*got[-1]))

    async with Misbehaving(echo) as server:
        rig = Rig(server)
        rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        connection = rig.link._connection
        assert connection is not None
        asked: list[Any] = []
        call_soon = connection.loop.call_soon

        def noted(callback: Any, *arguments: Any, **options: Any) -> Any:
            if getattr(callback, "__self__", None) is connection:
                asked.append(callback)
            return call_soon(callback, *arguments, **options)

        monkeypatch.setattr(connection.loop, "call_soon", noted)

        async def echoed(text: str) -> None:
            rig.link.send(text)
            assert connection.protocol.data_to_send() == []
            await until(lambda: rig.events[-1] == Received(1, text))

        for number in range(10):
            await echoed(f"{number}")
        assert asked == []
        rig.link.send("10")
        rig.link.send("11")
        assert len(asked) == 1
        rig.link.close(1000, "")
        await rig.done()
        assert [data for kind, data in got if kind == TEXT] == [b"%d" % number for number in range(12)]


async def test_a_frame_sent_too_late_is_dropped_and_the_reader_reports_the_end() -> None:
    async with Misbehaving(friendly) as server:
        rig = Rig(server)
        rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        connection = rig.link._connection
        assert connection is not None
        connection.data_received(close_frame(1012))
        rig.link.send("too late")
        rig.link.ping(1)
        await rig.done()
        assert rig.events[-1] == Closed(1, Failure("close", 1012))


async def test_waiting_frames_are_sent_before_the_answer_to_new_ones() -> None:
    got: list[tuple[int, bytes]] = []

    async def ping(peer: Peer) -> None:
        await peer.upgrade()
        await peer.frame()
        await peer.send(frame(PING, b"?"))
        while len(got) < 3:
            got.append(await peer.frame())
        await peer.gone()

    async with Misbehaving(ping) as server:
        rig = Rig(server)
        rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        connection = rig.link._connection
        assert connection is not None
        for text in ("first", "second", "third"):
            rig.link.send(text)
        connection.data_received(frame(PING, b"!"))  # Within the turn in which the others wait.
        await until(lambda: len(got) == 3)
        assert got == [(TEXT, b"second"), (TEXT, b"third"), (0xA, b"!")]
        rig.link.close(1006, "")
        await rig.done()


async def test_pings_of_the_server_are_answered_and_reported() -> None:
    got: list[tuple[int, bytes]] = []

    async def ping(peer: Peer) -> None:
        await peer.upgrade()
        await peer.send(frame(PING, b"one") + frame(PING, b"two") + frame(TEXT, b"text"))
        while len(got) < 2:
            got.append(await peer.frame())
        await peer.gone()

    async with Misbehaving(ping) as server:
        rig = Rig(server)
        rig.spawn(rig.link.run())
        await until(lambda: len(got) == 2)
        assert got == [(0xA, b"one"), (0xA, b"two")]
        await until(lambda: len(rig.events) == 3)
        assert sorted(rig.events, key=str) == [Opened(1), Pinged(1), Received(1, "text")]
        rig.link.close(1006, "")
        await rig.done()


async def test_a_link_that_is_closed_before_its_first_turn_opens_nothing() -> None:
    async with Misbehaving(friendly) as server:
        rig = Rig(server)
        task = rig.spawn(rig.link.run())
        rig.link.close(1006, "abandoned")
        await asyncio.wait_for(task, 5)
        assert rig.events == []
        assert server.accepted == 0


@pytest.mark.parametrize("code", [1000, 1006, 4000])
async def test_close_is_bounded_even_if_nobody_reads(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.live.client.websocket_opening.CLOSE_TIMEOUT", 0.05)

    async def deaf(peer: Peer) -> None:
        await peer.upgrade()
        await asyncio.Event().wait()

    async with Misbehaving(deaf) as server:
        rig = Rig(server)
        rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        rig.link.send("x" * 20_000_000)
        rig.link.send("never")
        await asyncio.sleep(0)
        rig.link.close(code, "")
        await asyncio.wait_for(rig.done(), 5)
        assert rig.events == [Opened(1)]


async def test_a_closing_handshake_that_is_complete_ends_the_connection_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chatlab.live.client.websocket_opening.CLOSE_TIMEOUT", 60.0)

    async def answer(peer: Peer) -> None:  # And leave the connection to the client.
        await peer.upgrade()
        assert (await peer.frame())[0] == CLOSE
        await peer.send(close_frame(1000))
        await asyncio.Event().wait()

    async with Misbehaving(answer) as server:
        rig = Rig(server)
        rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        rig.link.close(1000, "")
        await asyncio.wait_for(rig.done(), 60)
        assert rig.events == [Opened(1)]


async def test_a_link_that_is_left_while_it_sends_the_first_frames_ends_its_connection() -> None:
    async def deaf(peer: Peer) -> None:
        await peer.upgrade()
        await asyncio.Event().wait()

    async with Misbehaving(deaf) as server:
        rig = Rig(server)
        rig.link._credentials = lambda headers: Credentials(headers, frames=("x" * 20_000_000,))
        rig.spawn(rig.link.run())
        await until(lambda: rig.link._connection is not None)
        connection = rig.link._connection
        assert connection is not None
        await until(lambda: connection.transport.get_write_buffer_size() > 0)
        rig.link.close(1006, "")
        await rig.done()
        assert connection.transport.is_closing()
        assert rig.events == []


async def test_a_polite_close_says_so() -> None:
    closes: list[bytes] = []

    async def listen(peer: Peer) -> None:
        await peer.upgrade()
        opcode, payload = await peer.frame()
        assert opcode == CLOSE
        closes.append(payload)
        await peer.send(frame(CLOSE, payload))

    async with Misbehaving(listen) as server:
        rig = Rig(server)
        rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        rig.link.close(1000, "bye")
        await rig.done()
        assert (closes, rig.holds_off) == ([b"\x03\xe8bye"], 0)


async def test_a_cancelled_link_reports_that_its_loop_ends() -> None:
    async with Misbehaving(friendly) as server:
        rig = Rig(server)
        task = rig.spawn(rig.link.run())
        await until(lambda: rig.events)
        task.cancel()
        await rig.done()
        assert task.cancelled()
        assert isinstance(rig.events[-1], Closed)
        assert rig.events[-1].failure == LOOP_ENDS
        assert rig.holds_off == 1


async def test_a_link_that_is_closed_while_its_headers_are_asked_for_opens_nothing() -> None:
    """Repeat with a function that goes on after its cancellation."""
    asked = asyncio.Event()

    async def headers(failure: Failure | None) -> dict[str, str]:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return {}

    async with Misbehaving(friendly) as server:
        rig = Rig(server, headers=headers)
        rig.spawn(rig.link.run())
        await asked.wait()
        rig.link.close(1000, "")
        await rig.done()
        assert (rig.events, server.open) == ([], 0)
