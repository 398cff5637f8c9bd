"""The proxy of hostile flows, tried with plain sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from chatlab.errors import SettingsError
from chatlab.live.listening import stop_listening
from tests.live.end import End
from tests.live.flow_proxy import FlowProxy
from tests.live.watch import PATIENCE, until

Side = Literal["up", "down"]
SIDES: tuple[Side, Side] = ("up", "down")


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
async def test_slices_arrive_one_by_one(side: Side) -> None:
    async with pair() as both:
        both.proxy.set(side, slice_size=7)
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
        both.proxy.set(side, limit=1000)
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


async def test_no_task_or_connection_is_left() -> None:
    before = asyncio.all_tasks()
    async with pair(buffered=1000) as both:
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
    with pytest.raises(SettingsError, match=r"Flow\.limit"):
        proxy.set(limit=-1)
    proxy.set("up", limit=1)
    assert (proxy.up.limit, proxy.down.limit) == (1, None)
