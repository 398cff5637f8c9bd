"""The fault proxy, measured with plain sockets, and a real transport through each of its faults."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import SO_LINGER, SOL_SOCKET
from time import monotonic
from typing import Any, Literal

import pytest

from chatlab.errors import SettingsError
from chatlab.live.listening import stop_listening
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import DeliveryState
from chatlab.settings import HeartbeatConfig, OutboxConfig
from tests.live.flow_proxy import FlowProxy
from tests.live.watch import PATIENCE, PERSISTENT, Watch, until, websocket
from tests.sizes import rows

Side = Literal["up", "down"]
SIDES: tuple[Side, Side] = ("up", "down")


class End:
    """One end of a TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self, count: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(count), PATIENCE)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), PATIENCE)

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Pair:
    """Both ends of a connection through the proxy; `flow` names them as sender and receiver."""

    def __init__(self, proxy: FlowProxy, client: End, server: End) -> None:
        self.proxy = proxy
        self.client = client
        self.server = server

    def ends(self, side: Side) -> tuple[End, End]:
        return (self.client, self.server) if side == "up" else (self.server, self.client)


@asynccontextmanager
async def pair(**settings: Any) -> AsyncIterator[Pair]:
    accepted: asyncio.Queue[End] = asyncio.Queue()
    listener = await asyncio.start_server(lambda r, w: accepted.put_nowait(End(r, w)), "127.0.0.1", 0)
    async with FlowProxy(listener.sockets[0].getsockname()[:2]) as proxy:
        proxy.set(**settings)
        client = End(*await asyncio.open_connection(proxy.host, proxy.port))
        server = await asyncio.wait_for(accepted.get(), PATIENCE)
        try:
            yield Pair(proxy, client, server)
        finally:
            for end in (client, server):
                end.writer.transport.abort()
            await stop_listening(listener)
    assert proxy.connections == 0


@pytest.mark.parametrize("side", SIDES)
async def test_a_healthy_proxy_changes_nothing(side: Side) -> None:
    async with pair() as both:
        sender, receiver = both.ends(side)
        data = bytes(range(256)) * 8192
        sender.writer.write(data)
        assert await receiver.read(len(data)) == data
        sender.writer.write_eof()
        assert await receiver.rest() == b""
        receiver.writer.write(b"still open this way")
        assert await sender.read(19) == b"still open this way"


@pytest.mark.parametrize("side", SIDES)
async def test_latency_is_on_its_side_only(side: Side) -> None:
    async with pair() as both:
        both.proxy.set(side, latency=0.2)
        sender, receiver = both.ends(side)

        async def took(writer: End, reader: End) -> float:
            start = monotonic()
            writer.writer.write(b"x")
            await reader.read(1)
            return monotonic() - start

        assert await took(sender, receiver) >= 0.19
        # On a busy machine one may be late, but not each.
        assert min([await took(receiver, sender) for _ in range(20)]) < 0.19


@pytest.mark.parametrize("side", SIDES)
async def test_jitter_spreads_and_keeps_the_order(side: Side) -> None:
    async with pair(slice_size=1) as both:
        both.proxy.set(side, jitter=0.05)
        sender, receiver = both.ends(side)
        start = monotonic()
        sender.writer.write(bytes(range(200)))
        assert await receiver.read(200) == bytes(range(200))
        assert monotonic() - start >= 0.025


@pytest.mark.parametrize("side", SIDES)
async def test_bandwidth_is_a_limit_and_the_flow_is_steady(side: Side) -> None:
    firsts = []
    for _ in range(5):  # A busy machine may delay one, but not each.
        async with pair() as both:
            both.proxy.set(side, bandwidth=50_000.0)
            sender, receiver = both.ends(side)
            start = monotonic()
            sender.writer.write(b"x" * 20_000)
            await receiver.read(1)
            firsts.append(monotonic() - start)
            await receiver.read(19_999)
            assert monotonic() - start >= 0.39
        if firsts[-1] < 0.39:
            break
    assert min(firsts) < 0.39


@pytest.mark.parametrize("side", SIDES)
async def test_slices_arrive_one_by_one(side: Side) -> None:
    async with pair() as both:
        both.proxy.set(side, slice_size=7, latency=0.02)
        sender, receiver = both.ends(side)
        sender.writer.write(b"abcdefghijklmnopqrstuvwxyz")
        assert await receiver.read(26) == b"abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("side", SIDES)
async def test_silence_swallows_bytes_and_ends_and_never_heals(side: Side) -> None:
    async with pair() as both:
        sender, receiver = both.ends(side)
        sender.writer.write(b"before")
        assert await receiver.read(6) == b"before"
        both.proxy.set(side, silent=True)
        sender.writer.write(b"lost")
        receiver.writer.write(b"the other way is fine")
        assert await sender.read(21) == b"the other way is fine"
        both.proxy.heal()
        sender.writer.write(b"after")
        sender.writer.write_eof()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receiver.reader.read(1), 0.2)
        assert both.proxy.connections == 1


@pytest.mark.parametrize("side", SIDES)
async def test_a_silence_in_which_nothing_was_lost_heals(side: Side) -> None:
    async with pair() as both:
        sender, receiver = both.ends(side)
        both.proxy.set(side, silent=True)
        both.proxy.heal()
        sender.writer.write(b"x")
        assert await receiver.read(1) == b"x"


@pytest.mark.parametrize("side", SIDES)
async def test_a_buffer_holds_until_it_is_full_or_the_sender_ends(side: Side) -> None:
    async with pair() as both:
        both.proxy.set(side, buffered=10)
        sender, receiver = both.ends(side)
        sender.writer.write(b"12345")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(receiver.reader.read(1)), 0.1)
    async with pair() as both:
        both.proxy.set(side, buffered=10)
        sender, receiver = both.ends(side)
        sender.writer.write(b"12345")
        await asyncio.sleep(0)
        sender.writer.write(b"67890")
        assert await receiver.read(10) == b"1234567890"
        sender.writer.write(b"tail")
        sender.writer.write_eof()
        assert await receiver.rest() == b"tail"


@pytest.mark.parametrize("side", SIDES)
async def test_the_limit_of_bytes_gets_through_and_then_comes_a_reset(side: Side) -> None:
    async with pair() as both:
        both.proxy.set(side, limit=1000, latency=0.01)
        sender, receiver = both.ends(side)
        sender.writer.write(b"a" * 600)
        assert await receiver.read(600) == b"a" * 600
        sender.writer.write(b"b" * 600)
        assert await receiver.read(400) == b"b" * 400
        for end in (sender, receiver):
            with pytest.raises(ConnectionResetError):
                await end.rest()
        await until(lambda: both.proxy.connections == 0)


@pytest.mark.parametrize("side", SIDES)
async def test_a_reset_of_one_end_reaches_the_other(side: Side) -> None:
    async with pair() as both:
        sender, receiver = both.ends(side)
        sender.writer.write(b"x")
        await receiver.read(1)
        sender.reset()
        with pytest.raises(ConnectionResetError):
            await receiver.rest()
        await until(lambda: both.proxy.connections == 0)


async def test_reset_reaches_both_ends_as_rst() -> None:
    async with pair() as both:
        await asyncio.wait(tuple(both.proxy.reset()))
        for end in (both.client, both.server):
            with pytest.raises(ConnectionResetError):
                await end.rest()
        assert both.proxy.connections == 0


async def test_an_idle_connection_is_reset_and_a_busy_one_is_not() -> None:
    async with pair() as both:
        both.proxy.idle_timeout = 1.5
        for _ in range(8):
            both.client.writer.write(b"x")
            await both.server.read(1)
            await asyncio.sleep(0.2)  # together longer than the timeout
        start = monotonic()
        with pytest.raises(ConnectionResetError):
            await both.server.rest()
        assert monotonic() - start >= 1.0


async def test_refuse_and_accept_on_the_same_port() -> None:
    async with pair() as both:
        port = both.proxy.port
        await both.proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await both.client.rest()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await both.proxy.refuse()
        await both.proxy.accept()
        await both.proxy.accept()
        assert both.proxy.port == port
        again = End(*await asyncio.open_connection("127.0.0.1", port))
        again.writer.transport.abort()
        await until(lambda: both.proxy.accepted == 2)


async def test_a_target_that_refuses_is_a_reset() -> None:
    async with pair() as both, FlowProxy(("127.0.0.1", both.proxy.port)) as outer:
        await both.proxy.refuse()
        client = End(*await asyncio.open_connection(outer.host, outer.port))
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_a_receiver_that_does_not_read_slows_the_sender_down() -> None:
    async with pair() as both:
        both.proxy.set("up", latency=3600.0)
        sent = 0
        both.client.writer.transport.set_write_buffer_limits(high=0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while sent < 1 << 30:
                    both.client.writer.write(b"x" * 65536)
                    await both.client.writer.drain()
                    sent += 65536
        assert sent < 64 << 20


async def test_no_task_or_connection_is_left() -> None:
    before = asyncio.all_tasks()
    async with pair(latency=3600.0) as both:
        both.client.writer.write(b"x" * 100)
        both.server.writer.write(b"x" * 100)
    await until(lambda: asyncio.all_tasks() <= before)


async def test_a_loop_that_ends_with_open_connections_reports_nothing() -> None:
    reported: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: reported.append(context["message"]))
    before = asyncio.all_tasks()
    async with pair():
        tasks = asyncio.all_tasks() - before
        for task in tasks:  # as asyncio.run does after Ctrl-C
            task.cancel()
        await asyncio.wait(tasks, timeout=PATIENCE)
        await asyncio.sleep(0)  # unhandled errors are reported in the next turn
    assert tasks
    assert reported == []


def test_urls_are_rebased_and_settings_checked() -> None:
    proxy = FlowProxy("wss://chat.example/ws", port=1234)
    assert proxy.rebase("wss://chat.example/ws?x=1") == "wss://127.0.0.1:1234/ws?x=1"
    assert proxy._target == ("chat.example", 443)
    with pytest.raises(SettingsError, match=r"Flow\.latency"):
        proxy.set(latency=-1.0)
    proxy.set("up", latency=1.0)
    assert (proxy.up.latency, proxy.down.latency) == (1.0, 0.0)


# The real transport through it

FLOWS: dict[str, dict[str, Any]] = {
    "latency and jitter": {"latency": 0.03, "jitter": 0.05},
    "bandwidth": {"bandwidth": 20_000.0},
    "slicer": {"slice_size": 3, "jitter": 0.001},
    "limit_data": {"limit": 4000},
    "timeout": {"silent": True},
    "buffering": {"buffered": 2000},
}


@pytest.mark.parametrize("side", rows(SIDES, "down"))
@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
async def test_A83_nothing_acked_is_lost_doubled_or_misplaced(flow: dict[str, Any], side: Side) -> None:
    settings: dict[str, Any] = {
        "reconnect": PERSISTENT,
        "outbox": OutboxConfig(max_size=1000),
        "heartbeat": HeartbeatConfig(interval=0.2, timeout=0.2),
        "connect_timeout": 0.5,
    }
    count = 60
    async with EmbeddedServer() as server, FlowProxy(server.url) as proxy:
        ada = websocket(proxy.rebase(server.ws_url), **settings)
        bob = websocket(proxy.rebase(server.ws_url), sender="bob", **settings)
        watches = {"ada": Watch(bob), "bob": Watch(ada)}  # by whose messages they see
        async with ada, bob:
            receipts = []
            for number in range(count):
                if number == count // 4:
                    proxy.set(side, **flow)
                if number == 3 * count // 4:
                    proxy.heal()
                receipts += [await ada.send(f"ada {number}"), await bob.send(f"bob {number}")]
                await asyncio.sleep(0.01)
            async with asyncio.timeout(PATIENCE):
                states = {await receipt.settled() for receipt in receipts}
            assert states == {DeliveryState.ACKED}
            for name, watch in watches.items():
                expected = [f"{name} {number}" for number in range(count)]
                await until(lambda: expected[-1] in watch.texts)  # noqa: B023
                assert [text for text in watch.texts if text.startswith(name)] == expected


@pytest.mark.parametrize("side", SIDES)
async def test_A27_a_half_open_websocket_is_found_within_interval_and_timeout(side: Side) -> None:
    beat = HeartbeatConfig(interval=0.2, timeout=0.15)
    async with EmbeddedServer() as server, FlowProxy(server.url) as proxy:
        chat = websocket(proxy.rebase(server.ws_url), reconnect=PERSISTENT, heartbeat=beat)
        watch = Watch(chat)
        async with chat:
            proxy.set(side, silent=True)
            start = monotonic()
            await until(lambda: watch.waits)
            assert monotonic() - start < beat.interval + beat.timeout + 5.0
            assert watch.codes(watch.changes[-1].status) == [4000]
            proxy.heal()
            await watch.connected(2)
