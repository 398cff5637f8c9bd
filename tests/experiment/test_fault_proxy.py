"""The fault proxy: each fault measured with plain sockets, and with a transport."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Literal

import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.experiment.worlds.own_server import own_server
from chatlab.live.client.kinds import make_config, make_transport
from chatlab.live.listening import stop_listening
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ConnectionStatus
from chatlab.settings import HeartbeatConfig
from chatlab.sim.faults import (
    Blocked,
    Buffering,
    ConnectionReset,
    Fault,
    Flapping,
    HalfOpen,
    HighLatency,
    HttpError,
    IdleTimeout,
    Loss,
    LowBandwidth,
    NoPong,
    Partition,
    RollingRestart,
    ServerDown,
    ServerRestart,
    SlowServer,
    Suspended,
)
from tests.live.end import End
from tests.live.watch import PATIENCE, PERSISTENT, Watch, until, websocket

LONG = 3600.0
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class Pair:
    """Both ends of a connection through the proxy."""

    def __init__(self, proxy: FaultProxy, accepted: asyncio.Queue[End]) -> None:
        self.proxy = proxy
        self._accepted = accepted
        self.client: End
        self.server: End

    async def connect(self) -> None:
        self.client = End(*await asyncio.open_connection(self.proxy.host, self.proxy.port))
        self.server = await asyncio.wait_for(self._accepted.get(), PATIENCE)


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    accepted: asyncio.Queue[End] = asyncio.Queue()
    listener = await asyncio.start_server(lambda r, w: accepted.put_nowait(End(r, w)), "127.0.0.1", 0)
    before = asyncio.all_tasks()
    host, port = listener.sockets[0].getsockname()[:2]
    async with FaultProxy(f"http://{host}:{port}") as proxy:
        both = Pair(proxy, accepted)
        await both.connect()
        try:
            yield both
        finally:
            for end in (both.client, both.server):
                end.writer.transport.abort()
            await stop_listening(listener)
    await until(lambda: asyncio.all_tasks() <= before)


async def test_without_a_fault_it_changes_nothing() -> None:
    async with pair() as both:
        for sender, receiver in ((both.client, both.server), (both.server, both.client)):
            data = bytes(range(256)) * 8192
            sender.write(data)
            assert await receiver.read(len(data)) == data
        both.client.writer.write_eof()
        assert await both.server.rest() == b""
        both.server.write(b"still open this way")
        assert await both.client.read(19) == b"still open this way"


async def test_latency_goes_both_ways_and_ends() -> None:
    async with pair() as both:
        fault = both.proxy.inject(HighLatency(at=0, duration=LONG, latency=0.1))
        start = monotonic()
        both.client.write(b"x")
        await both.server.read(1)
        both.server.write(b"y")
        await both.client.read(1)
        assert monotonic() - start >= 0.19
        fault.end()
        assert fault.ended_at is not None
        took = []
        for _ in range(20):  # A busy machine may delay one, but not each.
            start = monotonic()
            both.client.write(b"x")
            await both.server.read(1)
            took.append(monotonic() - start)
        assert min(took) < 0.1


async def test_a_fault_ends_by_itself() -> None:
    changes: list[tuple[Fault, bool]] = []
    async with pair() as both:
        both.proxy._on_change = lambda injected: changes.append((injected.fault, injected.under_way))
        fault = both.proxy.inject(HighLatency(at=0.05, duration=0.1, latency=0.1))
        assert (fault.has_begun, both.proxy.under_way) == (False, [])
        await until(lambda: both.proxy.under_way == [fault])
        assert both.proxy.path.impairment.delays
        await until(lambda: fault.ended_at is not None)
        assert not both.proxy.path.impairment.delays
    assert changes == [(fault.fault, True), (fault.fault, False)]


async def test_a_fault_to_come_can_be_cancelled() -> None:
    async with pair() as both:
        both.proxy.play([ConnectionReset(at=0.05), Partition(at=60, duration=1)])
        both.proxy.end_faults()
        assert both.proxy.faults == []
        await asyncio.sleep(0.1)
        both.client.write(b"x")
        await both.server.read(1)


async def test_bandwidth_is_a_limit_and_the_flow_is_steady() -> None:
    firsts: list[float] = []
    while len(firsts) < 5 and (not firsts or firsts[-1] >= 0.39):  # A busy machine may delay one.
        async with pair() as both:
            both.proxy.inject(LowBandwidth(at=0, duration=LONG, bandwidth=50_000.0))
            start = monotonic()
            both.client.write(b"x" * 20_000)
            await both.server.read(1)
            firsts.append(monotonic() - start)
            await both.server.read(19_999)
            assert monotonic() - start >= 0.39
    assert firsts[-1] < 0.39


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_half_open_connection_never_heals_and_new_ones_wait(direction: str) -> None:
    async with pair() as both:
        ends = [both.client, both.server]
        sender, receiver = ends if direction == "up" else reversed(ends)
        both.proxy.inject(HalfOpen(at=0, duration=LONG, direction=direction))  # type: ignore[arg-type]
        sender.write(b"lost")
        receiver.write(b"the other way is fine")
        assert await sender.read(21) == b"the other way is fine"
        connecting = asyncio.create_task(both.connect())
        assert await receiver.is_silent()
        assert not connecting.done()
        both.proxy.end_faults()
        sender.write(b"after")
        sender.writer.write_eof()
        assert await receiver.is_silent()
        await connecting


async def test_a_partition_delays() -> None:
    async with pair() as both:
        both.client.write(b"x")
        await both.server.read(1)
        both.proxy.inject(Partition(at=0, duration=0.3))
        start = monotonic()
        both.client.write(b"y")
        assert await both.server.read(1) == b"y"
        assert monotonic() - start >= 0.29


async def test_a_buffer_holds_streams_only_until_it_is_full_or_over() -> None:
    async with pair() as both:
        both.proxy.inject(Buffering(at=0, duration=LONG, size=len(STREAM) + 10))
        both.client.write(b"up")
        assert await both.server.read(2) == b"up"
        both.server.write(b"HTTP/1.1 200 OK\r\n\r\n12345")
        assert (await both.client.read(24)).endswith(b"12345"), "no event stream"
        both.server.write(STREAM)
        assert await both.client.is_silent()
    async with pair() as both:
        both.proxy.inject(Buffering(at=0, duration=LONG, size=len(STREAM) + 10))
        both.server.write(STREAM)
        await asyncio.sleep(0.02)
        both.server.write(b"1234567890")
        assert await both.client.read(len(STREAM) + 10) == STREAM + b"1234567890"
        both.server.write(b"tail")
        both.proxy.end_faults()
        await asyncio.sleep(0)
        assert await both.client.read(4) == b"tail"


async def test_a_reset_of_one_end_reaches_the_other() -> None:
    async with pair() as both:
        both.client.write(b"x")
        await both.server.read(1)
        both.client.reset()
        with pytest.raises(ConnectionResetError):
            await both.server.rest()
        await until(lambda: not both.proxy.connections)


async def test_reset_reaches_both_ends_as_rst() -> None:
    async with pair() as both:
        both.proxy.reset()
        for end in (both.client, both.server):
            with pytest.raises(ConnectionResetError):
                await end.rest()
        await until(lambda: not both.proxy.connections)


async def test_an_idle_connection_is_reset_and_a_busy_one_is_not() -> None:
    async with pair() as both:
        both.proxy.inject(IdleTimeout(at=0, duration=LONG, timeout=1.5))
        for _ in range(8):
            both.client.write(b"x")
            await both.server.read(1)
            await asyncio.sleep(0.2)  # together longer than the timeout
        start = monotonic()
        with pytest.raises(ConnectionResetError):
            await both.server.rest()
        assert monotonic() - start >= 1.0


@pytest.mark.parametrize(
    "fault", [ServerDown(at=0, duration=LONG), Flapping(at=0, duration=LONG, period=100, down=99)]
)
async def test_a_foreign_server_looks_as_if_it_were_down(fault: Fault) -> None:
    async with pair() as both:
        outage = both.proxy.inject(fault)
        with pytest.raises(ConnectionResetError):
            await both.client.rest()
        refused = End(*await asyncio.open_connection(both.proxy.host, both.proxy.port))
        with pytest.raises(ConnectionResetError):
            await refused.rest()
        outage.end()
        await both.connect()
        await asyncio.sleep(0)
        assert both.proxy.path.refusing == 0


async def test_a_target_that_refuses_is_a_reset() -> None:
    async with pair() as both:
        port = both.proxy.port
        await both.proxy.close()
        async with FaultProxy(f"http://127.0.0.1:{port}") as outer:
            client = End(*await asyncio.open_connection(outer.host, outer.port))
            with pytest.raises(ConnectionResetError):
                await client.rest()


async def test_a_receiver_that_does_not_read_slows_the_sender_down() -> None:
    async with pair() as both:
        both.proxy.inject(HighLatency(at=0, duration=LONG, latency=LONG))
        sent = 0
        both.client.writer.transport.set_write_buffer_limits(high=0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while sent < 1 << 30:
                    both.client.writer.write(b"x" * 65536)
                    await both.client.writer.drain()
                    sent += 65536
        assert sent < 64 << 20


async def test_a_port_may_be_given_and_a_second_accept_does_nothing() -> None:
    async with pair() as both:
        await both.proxy.accept()
        port = both.proxy.port
        await both.proxy.close()
        await both.proxy.close()
        async with FaultProxy("http://127.0.0.1:9", port=port) as again:
            assert again.port == port


def test_urls_are_rebased() -> None:
    proxy = FaultProxy("wss://chat.example/ws", port=1234)
    assert proxy.rebase("wss://chat.example/ws?x=1") == "wss://127.0.0.1:1234/ws?x=1"
    assert proxy.rebase("http://ada:secret@h:8/") == "http://ada:secret@127.0.0.1:1234/"


async def test_what_needs_an_embedded_server_is_refused_for_another_and_nothing_else_happens() -> None:
    async with pair() as both:
        for fault in (
            ServerRestart(at=0),
            HttpError(at=0, duration=1),
            NoPong(at=0, duration=1),
            SlowServer(at=0, duration=1),
        ):
            with pytest.raises(SettingsError, match="only an embedded server can be made to do that"):
                both.proxy.play([ServerDown(at=0, duration=1), fault])
        assert both.proxy.faults == []


# An embedded server, and a transport


@asynccontextmanager
async def chatting(
    server: EmbeddedServer, beat: HeartbeatConfig | None = None
) -> AsyncIterator[tuple[FaultProxy, Watch]]:
    settings = {} if beat is None else {"heartbeat": beat}
    async with FaultProxy(server) as proxy:
        chat = websocket(proxy.rebase(server.ws_url), reconnect=PERSISTENT, **settings)
        watch = Watch(chat)
        async with chat:
            yield proxy, watch


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_A27_a_half_open_websocket_is_found_within_interval_and_timeout(
    direction: Literal["up", "down"],
) -> None:
    beat = HeartbeatConfig(interval=0.2, timeout=0.15)
    async with EmbeddedServer() as server, chatting(server, beat) as (proxy, watch):
        proxy.inject(HalfOpen(at=0, duration=0.1, direction=direction))
        start = monotonic()
        await until(lambda: watch.waits)
        assert monotonic() - start < beat.interval + beat.timeout + 5.0
        assert watch.codes(watch.changes[-1].status) == [4000]
        await watch.connected(2)


async def test_an_embedded_server_goes_down_and_comes_back() -> None:
    async with EmbeddedServer() as server, chatting(server) as (proxy, watch):
        outage = proxy.inject(ServerDown(at=0, duration=LONG))
        await proxy.settle()
        assert not server.running
        await until(lambda: watch.waits)
        outage.end()
        await proxy.settle()
        assert server.running
        await watch.connected(2)


async def test_a_restart_closes_with_its_code() -> None:
    async with EmbeddedServer() as server, chatting(server) as (proxy, watch):
        proxy.inject(ServerRestart(at=0, duration=0.1))
        await until(lambda: watch.waits)
        assert watch.codes(ConnectionStatus.RECONNECTING) == [1012]
        await watch.connected(2)


@pytest.mark.slow
async def test_http_errors_hit_the_person_only() -> None:
    async with EmbeddedServer() as server, chatting(server) as (proxy, watch), chatting(server) as other:
        proxy.play([HttpError(at=0, duration=LONG, status=429, retry_after=1.5), ConnectionReset(at=0)])
        await until(lambda: 429 in watch.codes(ConnectionStatus.RECONNECTING))
        proxy.end_faults()
        await watch.connected(2)
        assert other[1].waits == []


async def test_a_blocked_websocket_is_refused_until_that_is_ended() -> None:
    async with EmbeddedServer() as server, chatting(server) as (proxy, watch):
        fault = proxy.inject(Blocked(at=0))
        assert fault.under_way
        proxy.reset()
        await until(lambda: 403 in watch.codes(ConnectionStatus.ERROR))
        assert fault.under_way
        proxy.end_faults()
        assert not proxy.path.impairment.blocked


async def test_a_server_without_pongs_is_found_and_a_slow_one_is_slow() -> None:
    beat = HeartbeatConfig(interval=0.2, timeout=0.15)
    async with EmbeddedServer() as server, chatting(server, beat) as (proxy, watch):
        proxy.inject(NoPong(at=0, duration=0.3))
        await until(lambda: watch.waits)
        await watch.connected(2)
        proxy.inject(SlowServer(at=0, duration=LONG, service_time=0.05))
        start = monotonic()
        await (await watch.transport.send("slowly")).settled()
        assert monotonic() - start >= 0.05


async def test_an_outage_of_one_proxy_is_ended_by_another() -> None:
    async with EmbeddedServer() as server, chatting(server) as (ada, at_ada), chatting(server) as (bob, _):
        ada.inject(ServerDown(at=0, duration=LONG))
        await bob.settle()
        assert not server.running
        await bob.start_server()
        assert (server.running, ada.under_way) == (True, [])
        await at_ada.connected(2)


@pytest.mark.parametrize("ending", ["ended", "stopped"])
async def test_a_drain_that_ends_early_leaves_the_work_of_the_next_run_alone(ending: str) -> None:
    async with EmbeddedServer() as server, FaultProxy(server) as proxy:
        own, clock = own_server(server, 0), asyncio.get_running_loop()
        work = own._middleware.work
        work.enter(clock.time(), LONG)
        drain = proxy.inject(RollingRestart(at=0, drain=0.2, down=LONG))
        if ending == "stopped":
            stop = proxy.inject(ServerDown(at=0, duration=LONG))
            stop.end()
        drain.end()
        await proxy.settle()
        first = work.enter(now := clock.time(), LONG) - now
        await asyncio.sleep(0.3)  # The drain would be over.
        second = work.enter(clock.time(), LONG) - now
        assert [first, second] == pytest.approx([LONG, 2 * LONG])


async def test_the_server_forgets_proxies_that_are_closed() -> None:
    async with EmbeddedServer() as server:
        for _ in range(3):
            async with chatting(server) as (proxy, _), chatting(server):
                proxy.inject(NoPong(at=0, duration=LONG))
            assert server._wrappers == []


async def test_a_suspended_client_is_silent_and_wakes_when_the_fault_is_ended() -> None:
    async with EmbeddedServer() as server, FaultProxy(server) as proxy:
        config = make_config("websocket", proxy.rebase(server.ws_url), sender="ada")
        chat = make_transport(config, loop="current", fires_at=proxy.timers.fires_at)
        async with chat:
            lid = proxy.inject(Suspended(at=0, duration=LONG))
            receipt = await chat.send("with the lid closed")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(receipt.settled(), 0.2)
            lid.end()
            assert proxy.timers.fires_at(5.0) == max(5.0, proxy.timers.suspended_until)
            assert proxy.path.loss_at(monotonic() + 1.0) == 0


async def test_single_packets_are_not_lost_on_real_sockets() -> None:
    async with pair() as both:
        with pytest.raises(SettingsError, match="loss: real sockets lose no single packets"):
            both.proxy.inject(Loss(at=0, duration=1, loss=0.5))
