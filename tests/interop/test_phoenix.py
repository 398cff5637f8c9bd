"""The `phoenix` dialect beside Phoenix's own JavaScript client, on a server that both understand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from chatlab.dialects.phoenix import PhoenixDialect
from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ConnectionStatus, DeliveryState
from chatlab.settings import HeartbeatConfig
from tests.interop.delivery import BIG, Tally, a_thousand_messages, first_connections
from tests.interop.npm import install, program
from tests.interop.phoenix_server import TOKEN, PhoenixServer
from tests.live.watch import PERSISTENT, Watch, talking, until

_, _, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
SECRET = {"Authorization": f"Bearer {TOKEN}"}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[PhoenixServer]:
    async with PhoenixServer() as running:
        yield running


@contextmanager
def chatting(
    url: str, room: str = "den", sender: str = "ada", **settings: Any
) -> Iterator[tuple[ChatTransport, Watch]]:
    defaults = {"dialect": "phoenix", "headers": SECRET, "reconnect": PERSISTENT, "room": room}
    with talking("websocket", url, sender, **defaults | settings) as there:
        yield there


@pytest.mark.requires("node")
async def test_phoenix_s_own_client_and_ours_talk(server: PhoenixServer) -> None:
    install()
    beats = HeartbeatConfig(interval=0.05, timeout=5.0)
    with program("phoenix_client.mjs", server.url, "den") as theirs:
        assert theirs.stdout is not None
        assert theirs.stdin is not None
        lines = theirs.stdout

        async def printed() -> Any:
            return json.loads(await asyncio.to_thread(lines.readline))

        assert await printed() == ["joined"]
        with chatting(server.url, heartbeat=beats) as (ada, watch):
            await ada.connect()
            assert (await (await ada.send("héllo")).settled()) is DeliveryState.ACKED
            assert await printed() == ["message", "ada", "héllo"]
            theirs.stdin.write("hi\nforbidden\n")
            theirs.stdin.flush()
            assert [await printed() for _ in range(3)] == [
                ["message", "js", "hi"],
                ["reply", "ok"],
                ["reply", "not that word"],
            ]
            await until(lambda: watch.texts == ["héllo", "hi"])
            await until(lambda: ada.rtt is not None)
            await ada.disconnect()


async def test_refusals_are_said_and_judged(server: PhoenixServer) -> None:
    for room, headers, says in (
        ("closed", SECRET, "the server refuses the join: unauthorized"),
        ("den", {}, "HTTP 403"),
    ):
        with chatting(server.url, room, headers=headers) as (ada, watch):
            ada.start()
            change = await watch.ended()
            assert change.status is ERROR
            assert says in change.reason
    with chatting(server.url) as (ada, watch):
        await ada.connect()
        assert (await (await ada.send("forbidden")).settled()) is DeliveryState.FAILED
        await ada.send("crash")
        await watch.connected(2)
        assert "the channel crashed" in "".join(change.reason for change in watch.changes)
        await ada.disconnect()


async def test_a_server_without_replies_has_no_acks(server: PhoenixServer) -> None:
    with chatting(server.url, "bare", dialect=PhoenixDialect(acks=False)) as (ada, watch):
        await ada.connect()
        assert (await (await ada.send("hi")).settled()) is DeliveryState.SENT
        await until(lambda: watch.texts == ["hi"])
        await ada.disconnect()


@pytest.mark.proof
async def test_20_of_20_first_connections_are_let_in(server: PhoenixServer) -> None:
    settings: dict[str, Any] = {"dialect": "phoenix", "headers": SECRET, "room": "den"}
    assert not await first_connections("websocket", server.url, 20, **settings)


@pytest.mark.proof
async def test_a_thousand_messages_survive_resets_and_a_restart(server: PhoenixServer) -> None:
    loop = asyncio.get_running_loop()

    async def stop_and_start() -> None:
        await server.stop()
        await server.start()

    def restart() -> None:
        asyncio.run_coroutine_threadsafe(stop_and_start(), loop).result(60)

    async with FaultProxy(server.url) as proxy:
        url = proxy.rebase(server.url)
        with chatting(url, outbox=BIG) as (ada, _), chatting(url, "den", "bob") as (bob, watch):
            await asyncio.gather(ada.connect(), bob.connect())
            assert (await (await ada.send("first")).settled()) is DeliveryState.ACKED
            await until(lambda: watch.texts == ["first"])
            assert await a_thousand_messages(ada, watch, proxy, restart) == Tally([], [], [])
            assert watch.statuses.count(RECONNECTING) > 5
            assert not watch.of("resync") + watch.of("unreadable")
            await ada.disconnect()
            await bob.disconnect()
