"""Each transport through nginx in common configurations: messages both ways, or the reason why it can't
work."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import trustme

from chatlab import ConnectError
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import DeliveryState
from chatlab.settings import HeartbeatConfig
from tests.interop.nginx import Nginx, deployed
from tests.live.watch import ALL, PERSISTENT, Watch, talking, until

pytestmark = [pytest.mark.requires("nginx"), pytest.mark.xdist_group("nginx")]

UPGRADE = """
    proxy_http_version 1.1; proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
"""
BUFFERED = "proxy_ignore_headers X-Accel-Buffering;"
GZIP = "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;"
DROPS = "drops the Upgrade header"
SILENT = "always ends after 5 s: a proxy may close idle connections"

CASES: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "default": ("", {"websocket": DROPS}, {}),
    "with Upgrade": (UPGRADE, {}, {}),
    "buffering, HTTP/1.0": (BUFFERED, {"websocket": DROPS, "sse": "a proxy buffers the stream"}, {}),
    "buffering, HTTP/1.1": (BUFFERED + UPGRADE, {}, {}),
    "gzip": (GZIP + UPGRADE, {}, {}),
    "time-out of 5 s": (
        UPGRADE + "proxy_read_timeout 5s;",
        {},
        {"websocket": f"{SILENT}; set heartbeat.interval below 5 s", "sse": SILENT,
         "long_polling": "always ends after 5 s: a proxy may time out first; set hold below 5 s"},
    ),
    "TLS": ("", {}, {}),
}  # fmt: skip
"""For each case a location's lines, the reasons shown for transports that fail, and the warnings for
transports that work badly."""


def told(watch: Watch, sentence: str) -> bool:
    return any(sentence in change.reason for change in watch.changes)


async def talk(kind: str, nginx: str, server: str, ca_file: str, refused: str, warned: str) -> None:
    """Talk through nginx to a client that is connected to the server directly."""
    with (
        talking(
            kind, nginx, room=kind, reconnect=PERSISTENT, heartbeat=HeartbeatConfig(), connect_timeout=2.0,
            ca_file=ca_file or None,
        ) as (ada, watch),
        talking("websocket", server, "bob", room=kind) as (bob, other),
    ):  # fmt: skip
        await bob.connect()
        if refused:
            connecting = asyncio.ensure_future(ada.connect())
            await until(lambda: told(watch, refused))
            await ada.disconnect()
            with pytest.raises((ConnectError, asyncio.CancelledError)):
                await connecting
            return
        await ada.connect()
        for texts in (["hello", "hi"], ["hello", "hi", "later", "too"]):
            await ada.send(texts[-2])
            await until(lambda texts=texts: other.texts == texts[:-1])  # type: ignore[misc]
            await bob.send(texts[-1])
            await until(lambda texts=texts: watch.texts == other.texts == texts)  # type: ignore[misc]
            if warned:
                await until(lambda: told(watch, warned), patience=60.0)
        assert [state for _, state in watch.states].count(DeliveryState.ACKED) == 2
        await ada.disconnect()


@pytest.mark.parametrize(
    "case", [name if name == "TLS" else pytest.param(name, marks=pytest.mark.proof) for name in CASES]
)
async def test_each_transport_through_nginx_works_or_says_why_not(case: str, tmp_path: Path) -> None:
    lines, refusals, warnings = CASES[case]
    async with EmbeddedServer(allowed_hosts=["chat.example"], trusted_proxies=["127.0.0.1"]) as server:
        ca_file, chain = "", b""
        http = f"server {{ listen 127.0.0.1:PORT; location / {{ proxy_pass {server.url}; {lines} }} }}"
        if case == "TLS":
            authority = trustme.CA()
            ca_file = str(tmp_path / "ca.pem")
            authority.cert_pem.write_to_path(ca_file)
            chain = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
            http = deployed(server.url)
        with Nginx(http, chain=chain) as nginx:
            await asyncio.gather(
                *(
                    talk(kind, nginx.url, server.url, ca_file, refusals.get(kind, ""), warnings.get(kind, ""))
                    for kind in ALL
                )
            )


PAGE = os.sysconf("SC_PAGESIZE")
ASKS = "X-Accel-Buffering: no\r\n"
EVENT = b"data: " + b"x" * 92 + b"\n\n"


class EventSource:
    """An upstream server: a stream at `/stream`, of as many events as are sent, and an answer elsewhere."""

    def __init__(self, header: str) -> None:
        self._header = header
        self.head = b""
        self.stream: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        first = await reader.readuntil(b"\r\n\r\n")
        if b"/stream" not in first:
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        self.chunked = b"HTTP/1.1" in first
        framing = "Transfer-Encoding: chunked" if self.chunked else "Connection: close"
        self.head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{self._header}{framing}\r\n\r\n".encode()
        )
        writer.write(self.head)
        self.stream = writer

    async def send(self) -> None:
        """Send an event."""
        assert self.stream is not None
        self.stream.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT) if self.chunked else EVENT)
        await self.stream.drain()


async def ask(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())  # so the answer isn't cut into chunks
    return reader, writer


async def events_passed(version: str, header: str, events: int) -> tuple[list[int], int]:
    """Return how many events the client has after each one that is sent, and the size of the head."""
    upstream = EventSource(header)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    lines = f"proxy_pass http://127.0.0.1:{port}; proxy_http_version {version};"
    async with server:
        with Nginx(f"server {{ listen 127.0.0.1:PORT; location / {{ {lines} }} }}") as nginx:
            port = int(nginx.url.rpartition(":")[2])
            reader, writer = await ask(port, "/stream")
            got = bytearray()

            async def read() -> None:
                while data := await reader.read(1 << 16):
                    got.extend(data)

            reading = asyncio.ensure_future(read())
            await until(lambda: upstream.stream is not None)
            counts = []
            for _ in range(events):
                await upstream.send()
                # nginx's one process answers a later request after it has handled the event.
                fence, fence_writer = await ask(port, "/fence")
                await fence.readuntil(b"\r\n\r\n")
                fence_writer.close()
                counts.append(got.count(EVENT))
            reading.cancel()
            writer.close()
            assert upstream.stream is not None
            upstream.stream.close()
    return counts, len(upstream.head)


@pytest.mark.parametrize(("version", "header"), [("1.0", ASKS), ("1.1", ""), ("1.1", ASKS)])
async def test_nginx_passes_events_at_once_over_http_1_1_or_if_asked_to(version: str, header: str) -> None:
    counts, _ = await events_passed(version, header, 50)
    assert counts == list(range(1, 51))


async def test_nginx_holds_events_back_by_the_page_over_http_1_0() -> None:
    events = 2 * PAGE // len(EVENT) + 5
    counts, head = await events_passed("1.0", "", events)
    sent = [head + number * len(EVENT) for number in range(1, events + 1)]
    assert counts == [max(0, size // PAGE * PAGE - head) // len(EVENT) for size in sent]
    assert set(counts) == {0, (PAGE - head) // len(EVENT), (2 * PAGE - head) // len(EVENT)}
