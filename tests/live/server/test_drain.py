"""A server that drains: its connections end evenly, each in its turn, and nothing lasting begins."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner
from websockets.asyncio.client import connect

from chatlab.cli import app
from chatlab.live.server.connections import Connections, Limits
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.virtual_loop import VirtualLoop
from tests.live.server.members import PATIENCE, address, at, join, raw, rest_of
from tests.live.server.visitors import asked, visit
from tests.live.watch import PERSISTENT, talking, until
from tests.processes import served
from tests.sizes import rows

T = TypeVar("T")
AN_HOUR = 3600.0


class Fake:
    """A connection that ends as soon as it is told to."""

    def __init__(self, accepted: int, connections: Connections, ends: list[tuple[int, float]]) -> None:
        self.accepted = accepted
        self._connections: Any = connections
        self._ends = ends

    def shutdown(self) -> None:
        self._ends.append((self.accepted, asyncio.get_running_loop().time()))
        self.go()

    def go(self) -> None:
        self._connections.connections.remove(self)
        self._connections.lost()


def on_virtual_time(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(LadderEnvironment())) as runner:
        return runner.run(work())


def test_the_ith_of_n_ends_after_i_nths_of_the_drain_in_order_of_acceptance() -> None:
    async def drain() -> tuple[list[tuple[int, float]], float]:
        connections: Any = Connections(Limits())
        ends: list[tuple[int, float]] = []
        for accepted in (3, 1, 4, 2):
            connections.connections.add(fake := Fake(accepted, connections, ends))
            if accepted == 3:
                asyncio.get_running_loop().call_later(1.0, fake.go)  # before its turn
        await connections.drain(20.0)
        return ends, asyncio.get_running_loop().time()

    assert on_virtual_time(drain) == ([(1, 0.0), (2, 5.0), (4, 15.0)], 15.0)


def test_a_drain_lasts_no_longer_than_its_time_and_without_connections_none() -> None:
    async def drain() -> tuple[int, float]:
        connections: Any = Connections(Limits())
        await connections.drain(10.0)
        connections.connections.add(fake := Fake(1, connections, []))
        fake.shutdown = lambda: None  # type: ignore[method-assign]
        await connections.drain(20.0)
        return len(connections.connections), asyncio.get_running_loop().time()

    assert on_virtual_time(drain) == (1, 20.0)


async def test_it_takes_no_connections_and_serves_each_that_it_has_until_its_turn() -> None:
    async with EmbeddedServer() as server, visit(server) as eve, raw(server) as (reader, writer):
        await eve.say("m1")  # The raw connection and this one were accepted before the members'.
        async with AsyncExitStack() as stack:
            ada, bob = [await stack.enter_async_context(join(server, name)) for name in ("ada", "bob")]
            await bob.until(type="presence", state="here")
            stopping = asyncio.ensure_future(server.stop(drain=AN_HOUR))
            assert await rest_of(reader) == b""  # the first turn is at once
            with pytest.raises(ConnectionRefusedError):
                await connect(address(server, room="lobby", sender="cy"))
            assert (await ada.post("m2"))["text"] == "m2"
            await eve.say("m3")
            assert (await eve.get("/messages")).json()[-1]["text"] == "m3"
            assert not stopping.done()
            await server.stop()
            assert await ada.closed() == await bob.closed() == (1012, "service restart")
            await stopping
        writer.close()
    assert not server.running


@pytest.mark.parametrize("path", ["/stream", "/ws", "/healthz"])
async def test_nothing_lasting_begins_on_a_draining_server(path: str) -> None:
    """A kept connection is told to close and come back: a balancer then asks another node."""
    async with EmbeddedServer() as server, raw(server), raw(server) as (reader, writer):
        await until(lambda: len(server._runtime.connections.connections) == 2)  # type: ignore[union-attr]
        stopping = asyncio.ensure_future(server.stop(drain=AN_HOUR))
        await until(lambda: server._ending and server._ending.connections.draining)
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" if path == "/ws" else ""  # fmt: skip
        target = asked(path, room="lobby", sender="ada")
        writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{upgrade}\r\n".encode())
        head, _, body = (await rest_of(reader)).decode().partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 503 ")
        assert {"retry-after: 2", "connection: close"} <= {*head.lower().split("\r\n")}
        assert "about to restart" in body
        await server.stop()
        await stopping


async def test_in_their_turns_streams_end_and_polls_are_answered() -> None:
    async with EmbeddedServer() as server, visit(server) as eve, join(server) as ada:
        [cursor] = await eve.say("m1")
        poll = asyncio.ensure_future(eve.poll(cursor))
        async with raw(server) as (reader, writer):
            target = asked("/stream", room="lobby", sender="bob")
            writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            await ada.until(type="presence", state="joined", sender="bob")
            await until(lambda: server._runtime.driver._waiting)  # type: ignore[union-attr]
            await server.stop(drain=0.05)
            assert (await rest_of(reader)).endswith(b"\r\n0\r\n\r\n")
            answer = await poll
            assert (answer.status_code, answer.json()) == (200, [])
            assert await ada.closed() == (1012, "service restart")


async def test_a_client_waits_as_long_as_a_draining_server_asks() -> None:
    """The stream's turn is the first; the client asks again on the connection of its posts, which is kept."""
    async with EmbeddedServer() as server:
        with talking("sse", server.url, reconnect=PERSISTENT) as (ada, watch):
            await ada.connect()
            await (await ada.send("m1")).settled()
            stopping = asyncio.ensure_future(server.stop(drain=AN_HOUR))
            await until(lambda: 503 in watch.codes(watch.changes[-1].status) and watch.waits)
            assert max(watch.waits) >= 1.9  # less the time that the handler took
            ada.stop()
        await server.stop()
        await stopping


@pytest.mark.parametrize("second", rows([signal.SIGTERM, signal.SIGINT], signal.SIGTERM))
async def test_sigterm_drains_and_a_second_signal_ends_at_once(second: signal.Signals) -> None:
    with served("--port", "0", "--drain", f"{AN_HOUR:g}") as (process, url):
        async with join(at(url)) as ada, join(at(url), "bob") as bob:
            await ada.until(type="presence", state="joined")
            process.send_signal(signal.SIGTERM)
            assert (await ada.closed())[0] == 1012
            assert (await bob.post("m1"))["text"] == "m1"
            process.send_signal(second)
            assert (await bob.closed())[0] == 1012
        out, err = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
        assert (process.returncode, out, err) == (0, "", "")


async def test_sigint_ends_at_once() -> None:
    with served("--port", "0", "--drain", f"{AN_HOUR:g}") as (process, url):
        async with join(at(url)), join(at(url), "bob") as bob:
            await bob.until(type="presence", state="here")
            process.send_signal(signal.SIGINT)
            assert (await bob.closed())[0] == 1012
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1"])
def test_an_invalid_drain_is_refused_in_one_line(seconds: str) -> None:
    ended = CliRunner().invoke(app, ["serve", "--port", "0", f"--drain={seconds}"])
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == f"chatlab serve: --drain: give seconds from 0 to 86,400, got {seconds}\n"
