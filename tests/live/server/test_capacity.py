"""The embedded server's capacity, in a process of its own: figures for docs/deploying.md."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.live.server.store import Store
from tests.http_clients import http_client
from tests.live.server.members import Frame, Member, at, handshake, history_of, join
from tests.live.server.visitors import visit
from tests.processes import served

PROC = Path("/proc/self/stat")
MB = 1 << 20

pytestmark = [
    pytest.mark.proof,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not PROC.exists(), reason=f"reads {PROC}"),
]

SERVER = """
import asyncio, sys
from chatlab.hub import HubConfig
from chatlab.live.server.connections import Limits
from chatlab.live.server.embedded_server import EmbeddedServer

async def main():
    limits = Limits(max_connections=20_000)
    async with EmbeddedServer(config=HubConfig(address_factor=1000), limits=limits) as server:
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


class Process:
    """A server's process, and its resource usage."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.server = EmbeddedServer(port=port)

    @property
    def memory(self) -> float:
        """Resident set size, in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MB

    @property
    def seconds(self) -> float:
        """Processor time."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running() -> Iterator[Process]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    command = [sys.executable, "-c", SERVER]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                yield Process(process.pid, int(process.stdout.readline()))
            finally:
                process.kill()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def tell(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(f"\n{text}")  # noqa: T201  # its figure


async def round_trip(ada: Member, count: int) -> tuple[float, float]:
    """Return the median and the longest time from a message to its echo, in milliseconds."""
    times = []
    for number in range(count):
        begun = time.perf_counter()
        await ada.post(f"probe {number}")
        times.append((time.perf_counter() - begun) * 1000)
    return sorted(times)[count // 2], max(times)


@contextmanager
def silent(process: Process, requests: list[bytes]) -> Iterator[None]:
    """Open a connection for each request, and read nothing of it."""
    with ExitStack() as stack:
        for request in requests:
            own = stack.enter_context(socket.create_connection(("127.0.0.1", process.server.port)))
            own.sendall(request)
        yield


class Idle(asyncio.Protocol):
    """A client that sends nothing and answers Pings, as its library does."""

    def __init__(self, request: bytes) -> None:
        self.request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        at = data.find(b"\x89\x04")  # No other incoming data has such a byte.
        if at >= 0:
            self.transport.write(b"\x8a\x84" + bytes(4) + data[at + 2 : at + 6])


@asynccontextmanager
async def idle(process: Process, requests: list[bytes]) -> AsyncIterator[None]:
    loop, port = asyncio.get_running_loop(), process.server.port
    opened = [await loop.create_connection(lambda r=r: Idle(r), "127.0.0.1", port) for r in requests]  # type: ignore[misc]
    try:
        yield
    finally:
        for transport, _ in opened:
            transport.abort()
        await asyncio.sleep(0)


READERS: dict[str, Callable[[Process, int], bytes]] = {
    "WebSocket": lambda process, n: handshake(process.server, f"/ws?room=lobby&sender=r{n}"),
    "stream": lambda _, n: f"GET /stream?room=lobby&sender=r{n} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "GET": lambda _, n: b"GET /messages?room=lobby HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4,
}


@pytest.mark.parametrize("kind", READERS)
async def test_readers_that_never_read_take_little_memory(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as process:
        async with visit(process.server) as ada:
            empty = process.memory
            for number in range(960):
                assert (await ada.post(f"{number:08}" + "x" * 65_528)).status_code == 201
        full = process.memory
        told = []
        for count in (12, 100):
            with silent(process, [READERS[kind](process, n) for n in range(count)]):
                await asyncio.sleep(3)
                told.append(f"{count} take it to {process.memory:.0f} MB")
                assert process.memory - full < count * 3
                async with join(process.server, history=0) as eve:
                    median, longest = await round_trip(eve, 20)
                told[-1] += f" (a round trip then takes {median:.1f} ms, at most {longest:.0f})"
        tell(
            capsys,
            f"{kind} readers that never read: a server with 60 MB of history has {full:.0f} MB "
            f"({empty:.0f} when empty); {'; '.join(told)}",
        )


OPENING = """
import resource, sys, time
import chatlab.live.server.embedded_server
from chatlab.live.server.store import Store
from chatlab.messages import OutgoingMessage

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

before, begun = resident(), time.process_time()
store = Store(sys.argv[1], "x")
opened, took = resident(), time.process_time() - begun
begun = time.process_time()
for room in range(100):
    assert len(store.latest(f"r{room}", 50).messages) == 50
    assert store.append(f"r{room}", "ada", OutgoingMessage("hi", client_id="new"), None).new
print(took, opened - before, time.process_time() - begun, resident() - before)
"""


@pytest.mark.parametrize("earlier", [False, True])
def test_a_million_messages_are_opened_at_once(
    earlier: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "chat.db"
    Store(path, "ep").close()
    with closing(sqlite3.connect(path)) as connection, connection:
        if earlier:
            connection.execute("DROP INDEX keys")
        at, text = "2026-01-01T00:00:00+00:00", "message {} with some words in it to be like a real one"
        connection.executemany(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                (f"r{n % 100}", n // 100 + 1, f"ep-{n // 100 + 1}", f"s{n % 50}", f"c{n}", at, text.format(n))
                for n in range(1_000_000)
            ),
        )
    command = [sys.executable, "-c", OPENING, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    took, grown, reading, grown_then = map(float, ended.stdout.split())
    tell(
        capsys,
        f"a million messages in 100 rooms{', of an earlier version' if earlier else ''}: "
        f"opened in {took:.2f} s of a processor with {grown:.0f} MB; a page and a post in each room took "
        f"{reading:.2f} s more, with {grown_then:.0f} MB in all",
    )
    assert grown_then < 50


async def test_five_thousand_idle_clients_delay_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with running() as process:
        async with join(process.server, room="quick") as ada:
            alone, empty = await round_trip(ada, 200), process.memory
            requests = [handshake(process.server, f"/ws?room={n % 100}&sender={n}") for n in range(5000)]
            async with idle(process, requests), http_client(process.server.url) as client:
                while (await client.get("/healthz", timeout=60)).json()["people"] <= 5000:
                    pass
                beside = await round_trip(ada, 200)
                begun, used = time.perf_counter(), process.seconds
                await asyncio.sleep(30)
                share = (process.seconds - used) / (time.perf_counter() - begun)
                full = process.memory
                assert (await client.get("/healthz")).json()["people"] == 5001
                assert full - empty < 5000 / 10
    tell(
        capsys,
        f"5,000 idle WebSockets: {empty:.0f} MB before, {full:.0f} with them, {share:.1%} of a processor; "
        f"a round trip takes {beside[0]:.1f} ms, at most {beside[1]:.0f} "
        f"(alone {alone[0]:.1f}, at most {alone[1]:.0f})",
    )


async def test_four_hundred_slow_clients_delay_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with running() as process:
        async with join(process.server, sender="bob") as bob:
            requests = [handshake(process.server, f"/ws?room=lobby&sender=s{n}") for n in range(400)]
            with silent(process, requests):
                await bob.until(type="presence", state="here")
                before, most, times = process.memory, 0.0, list[float]()
                for number in range(300):
                    begun = time.perf_counter()
                    await bob.post(f"{number}" + "x" * 30_000)
                    times.append((time.perf_counter() - begun) * 1000)
                    most = max(most, process.memory)
                async with http_client(process.server.url) as client:
                    people = (await client.get("/healthz")).json()["people"]
                assert most - before < 400
    tell(
        capsys,
        f"400 WebSockets that don't read, in a room that gets 9 MB: {before:.0f} MB before, "
        f"at most {most:.0f}; {401 - people} were expelled; the writer's round trip took "
        f"{sorted(times)[150]:.1f} ms, at most {max(times):.0f}",
    )


async def test_thirty_kills_in_the_middle_of_writes_lose_nothing_acked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--db", str(tmp_path / "chat.db"))
    dice = random.Random(7)
    acked: dict[str, Frame] = {}
    port, sent, killed = 0, 0, 0
    while killed < 30:
        with served("--port", str(port), *options) as (process, url):
            server = at(url)
            port = server.port

            async def by_websocket(member: Member) -> None:
                nonlocal sent
                while True:
                    number = sent = sent + 1
                    echo = await member.post(f"m{number}", client_id=f"w{number}")
                    acked[echo["id"]] = echo

            async def by_post(server: EmbeddedServer = server) -> None:
                nonlocal sent
                async with visit(server, "eve") as eve:
                    while True:
                        number = sent = sent + 1
                        text = f"m{number}" + "x" * dice.randrange(60_000)
                        answer = await eve.post(text, client_id=f"p{number}")
                        assert answer.status_code == 201
                        acked[answer.json()["id"]] = {"client_id": f"p{number}", "text": text}

            async with AsyncExitStack() as stack:
                members = [
                    await stack.enter_async_context(join(server, f"a{n}", history=0)) for n in range(3)
                ]
                writers = [asyncio.ensure_future(work) for work in (*map(by_websocket, members), by_post())]
                await asyncio.sleep(dice.uniform(0.02, 0.5))
                process.kill()
                killed += 1
                for writer in writers:
                    with suppress(ConnectionClosed, httpx.TransportError):
                        await writer
    with served("--port", str(port), *options):
        kept = {frame["id"]: frame for frame in await history_of(at(f"ws://127.0.0.1:{port}/ws"))}
    for id, frame in acked.items():
        assert frame.items() <= kept[id].items()
    client_ids = [frame["client_id"] for frame in kept.values()]
    assert len(client_ids) == len(set(client_ids))
    assert [int(id.rpartition("-")[2]) for id in kept] == list(range(1, len(kept) + 1))
    tell(
        capsys,
        f"killed {killed} times: {sent:,} messages sent, {len(acked):,} acked, {len(kept):,} kept; "
        f"none that was acked is lost, and none is there twice",
    )
