"""The transports over HTTP against the embedded server: SPEC sections 1, 3, 4 and 5."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chatlab.dialects.base import Dialect
from chatlab.dialects.chatlab import PAGE_LIMIT, ChatlabDialect
from chatlab.errors import ConnectError, SettingsError
from chatlab.hub import HubConfig
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.settings import OutboxConfig
from chatlab.trace import Step
from tests.live.flow_proxy import FlowProxy
from tests.live.misbehave import Misbehaving, Peer
from tests.live.watch import OVER_HTTP, PERSISTENT, talking, transport_of, until

DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
ACKED = DeliveryState.ACKED
UNLIMITED = HubConfig(rate=1e6, burst=1_000_000)


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(config=UNLIMITED) as server:
        yield server


@pytest.fixture
async def proxy(server: EmbeddedServer) -> AsyncIterator[FlowProxy]:
    async with FlowProxy(server.url) as proxy:
        yield proxy


@pytest.fixture(params=OVER_HTTP)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["own", "current"])
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_two_people_talk(server: EmbeddedServer, kind: str, loop: str) -> None:
    with (
        talking(kind, server.url, loop=loop) as (ada, at_ada),
        talking(kind, server.url, "bob", loop=loop) as (bob, at_bob),
    ):
        async with ada, bob:
            assert (ada.status, bob.status) == (CONNECTED, CONNECTED)
            receipts = [await ada.send(f"a{number}") for number in range(5)]
            assert {await receipt.settled() for receipt in receipts} == {ACKED}
            await until(lambda: len(at_bob.texts) == 5)
            assert await (await bob.send("b")).settled() is ACKED
            await until(lambda: len(at_ada.texts) == len(at_bob.texts) == 6)
        assert at_ada.texts == at_bob.texts == ["a0", "a1", "a2", "a3", "a4", "b"]
        assert at_ada.statuses == [CONNECTING, CONNECTED, DISCONNECTED]
        assert ada.rtt is not None
        assert ada.rtt > 0


async def test_the_room_s_latest_messages_come_first(server: EmbeddedServer, kind: str) -> None:
    with (
        talking(kind, server.url) as (ada, _),
        talking(kind, server.url, "bob", history=2) as (bob, at_bob),
    ):
        async with ada:
            for number in range(4):
                await (await ada.send(f"a{number}")).settled()
            async with bob:
                await until(lambda: len(at_bob.texts) == 2)
                await (await ada.send("new")).settled()
                await until(lambda: len(at_bob.texts) == 3)
        assert at_bob.texts == ["a2", "a3", "new"]


async def test_text_and_bytes_arrive_whole(server: EmbeddedServer, kind: str) -> None:
    text, data = "é✓𝄞\n\r\x00" * 4000, bytes(range(256)) * 256
    with talking(kind, server.url) as (ada, watch):
        async with ada:
            for message in (OutgoingMessage(text=text), OutgoingMessage(data=data)):
                assert await (await ada.send(message)).settled() is ACKED
            await until(lambda: len(watch.of("message")) == 2)
        got = [event.message for event in watch.of("message")]
        assert [(message.text, message.data) for message in got if message] == [(text, None), ("", data)]


async def test_typing_is_reported(server: EmbeddedServer, kind: str) -> None:
    with talking(kind, server.url) as (ada, _), talking("sse", server.url, "bob") as (bob, at_bob):
        async with ada, bob:
            await (await ada.send("first")).settled()  # To get a CSRF token.
            ada.typing()
            await until(lambda: at_bob.of("typing"))
            assert at_bob.of("typing")[0].sender == "ada"


# tests/experiment/worlds/test_chaos_on_wire.py misses more than a page, on virtual time.
@pytest.mark.parametrize("messages", [1, pytest.param(PAGE_LIMIT + 50, marks=pytest.mark.proof)])
async def test_messages_missed_during_an_outage_arrive_once_and_in_order(
    server: EmbeddedServer, proxy: FlowProxy, kind: str, messages: int
) -> None:
    with (
        talking(kind, proxy.rebase(server.url), reconnect=PERSISTENT) as (ada, at_ada),
        talking(kind, server.url, "bob", outbox=OutboxConfig(max_size=1000)) as (bob, at_bob),
    ):
        async with ada, bob:
            await (await bob.send("before")).settled()
            await until(lambda: at_ada.texts)
            await proxy.refuse()
            proxy.reset()
            await until(lambda: ada.status is RECONNECTING)
            mine = await ada.send("mine")
            theirs = [await bob.send(f"b{number}") for number in range(messages)]
            assert {await receipt.settled() for receipt in theirs} == {ACKED}
            await proxy.accept()
            assert await mine.settled() is ACKED
            await until(lambda: len(at_ada.texts) == len(at_bob.texts) == messages + 2)
        assert at_ada.texts == ["before", *(f"b{number}" for number in range(messages)), "mine"]
        assert not at_ada.of("resync")


async def test_A50_a_post_whose_answer_was_lost_is_sent_again_and_shown_once(
    server: EmbeddedServer, proxy: FlowProxy, kind: str
) -> None:
    with (
        talking(kind, proxy.rebase(server.url), reconnect=PERSISTENT) as (ada, at_ada),
        talking(kind, server.url, "bob") as (bob, at_bob),
    ):
        async with ada, bob:
            await (await ada.send("before")).settled()
            proxy.set("down", silent=True)
            receipt = await ada.send("once")
            await until(lambda: "once" in at_bob.texts)
            assert receipt.state is DeliveryState.SENT
            proxy.heal()
            proxy.reset()
            assert await receipt.settled() is ACKED
            await (await ada.send("after")).settled()
            await until(lambda: "after" in at_bob.texts and "after" in at_ada.texts)
        assert at_ada.texts == at_bob.texts == ["before", "once", "after"]


async def test_a_post_that_fails_leaves_the_receiving_alone(kind: str) -> None:
    """SPEC section 3: a failed POST doesn't end the stream, and fails only that message."""
    posts: list[int] = []

    async def picky(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if request.method == "POST":
                posts.append(1)
                ack = {"type": "ack", "client_id": json.loads(request.body)["client_id"]}
                refusal = 422, (), b'{"error": "not that"}'
                await peer.respond(*(refusal if len(posts) == 1 else (201, (), json.dumps(ack).encode())))
            elif request.path == "/csrf":
                await peer.respond(404)
            elif request.path == "/stream":
                await peer.begin(200, (("Content-Type", "text/event-stream"),))
                await peer.gone()
                return
            else:
                await peer.respond(200, (("Content-Type", "application/json"),), b"[]")

    async with Misbehaving(picky) as server:
        with talking(kind, server.url) as (ada, watch):
            async with ada:
                first, second = await ada.send("that"), await ada.send("this")
                assert await first.settled() is DeliveryState.FAILED
                assert getattr(first.error, "status", None) == 422
                assert await second.settled() is ACKED
            assert watch.statuses == [CONNECTING, CONNECTED, DISCONNECTED]


async def test_A48_a_stale_csrf_token_is_renewed(kind: str, tmp_path: Any) -> None:
    server = EmbeddedServer(tmp_path / "chat.db", config=UNLIMITED)
    await server.start()
    steps: list[Step] = []
    with talking(kind, server.url, reconnect=PERSISTENT, record=steps.append) as (ada, watch):
        async with ada:
            assert await (await ada.send("before")).settled() is ACKED
            stale = ada._dialer.session().csrf_token
            await server.stop()
            await server.start()
            assert await (await ada.send("after")).settled() is ACKED
            await until(lambda: watch.texts == ["before", "after"])
            renewed = ada._dialer.session().csrf_token
        assert stale != renewed
        assert stale not in repr(steps)
        assert renewed not in repr(steps)
    await server.stop()


async def test_A52_a_server_that_asks_to_slow_down_is_obeyed_in_order(kind: str) -> None:
    async with EmbeddedServer(config=HubConfig(rate=5.0, burst=3)) as server:
        with talking(kind, server.url, reconnect=PERSISTENT) as (ada, watch):
            async with ada:
                receipts = [await ada.send(f"{number}") for number in range(6)]
                assert {await receipt.settled() for receipt in receipts} == {ACKED}
                await until(lambda: len(watch.texts) == 6)
            assert watch.texts == [f"{number}" for number in range(6)]


async def test_disconnect_leaves_no_task_thread_or_socket(
    server: EmbeddedServer, proxy: FlowProxy, kind: str
) -> None:
    async def cycle() -> None:
        with talking(kind, proxy.rebase(server.url), loop="current") as (ada, _):
            async with ada:
                await (await ada.send("hello")).settled()
            assert ada._driver._tasks == set()
        await until(lambda: not proxy.connections)

    await cycle()
    tasks, threads = len(asyncio.all_tasks()), threading.active_count()
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        await cycle()
    assert threading.active_count() <= threads  # Sockets of earlier tests may have closed.
    await until(lambda: len(asyncio.all_tasks()) == tasks)
    await until(lambda: len(os.listdir("/proc/self/fd")) == files)  # noqa: PTH208


async def test_reconnects_leave_nothing_behind(server: EmbeddedServer, proxy: FlowProxy, kind: str) -> None:
    with talking(kind, proxy.rebase(server.url), reconnect=PERSISTENT, loop="current") as (ada, watch):
        async with ada:
            await (await ada.send("hello")).settled()
            await until(lambda: watch.texts)
            tasks = len(asyncio.all_tasks())
            for number in range(30):
                proxy.reset()
                receipt = await ada.send(f"{number}")
                assert await receipt.settled() is ACKED
                await until(lambda number=number: f"{number}" in watch.texts)  # type: ignore[misc]
            assert len(ada._driver._links) <= 2
            assert proxy.connections <= 3
            await until(lambda: len(asyncio.all_tasks()) <= tasks + 6)
        await until(lambda: not proxy.connections)
        assert watch.texts == ["hello", *(f"{number}" for number in range(30))]


async def test_A67_disconnect_before_the_answer_returns_at_once(kind: str, loop: str) -> None:
    async def deaf(peer: Peer) -> None:
        await peer.gone()

    async with Misbehaving(deaf) as server:
        with talking(kind, server.url, loop=loop) as (ada, watch):
            connecting = asyncio.create_task(ada.connect())
            await until(lambda: server.open)
            await ada.disconnect()
            with pytest.raises(ConnectError):
                await connecting
            assert watch.statuses == [CONNECTING, DISCONNECTED]
            await until(lambda: not server.open)
            assert ada._driver._tasks == set()


async def test_A38_a_refusal_ends_it_and_leaves_no_connection(kind: str, loop: str) -> None:
    async def refuse(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.respond(403, body=b'{"error": "not today"}')

    async with Misbehaving(refuse) as server:
        with talking(kind, server.url, loop=loop) as (ada, watch):
            await ada.send("waits")
            with pytest.raises(ConnectError) as caught:
                await ada.connect()
            assert (caught.value.code, str(caught.value)) == (403, "HTTP 403: not today")
            assert watch.statuses == [CONNECTING, ERROR]
            await until(lambda: not server.open)  # Although `disconnect` wasn't called.
            await until(lambda: not ada._driver._tasks)


async def test_A19_a_401_asks_once_for_new_headers(kind: str) -> None:
    told: list[int | None] = []

    def headers(failure: Any) -> dict[str, str]:
        told.append(failure and failure.code)
        return {"Authorization": f"Bearer {'new' if failure else 'old'}"}

    async def strict(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if request.headers["authorization"] == "Bearer old":
                await peer.respond(401)
            elif request.path == "/stream":
                await peer.begin(200, (("Content-Type", "text/event-stream"),))
                await peer.gone()
                return
            else:
                await peer.respond(200, (("Content-Type", "application/json"),), b"[]")
                await peer.gone()
                return

    async with Misbehaving(strict) as server:
        with talking(kind, server.url, headers=headers) as (ada, watch):
            await ada.connect()
            assert told[:2] == [None, 401]
            assert watch.statuses == [CONNECTING, RECONNECTING, CONNECTED]
            await ada.disconnect()


def test_a_dialect_without_http_is_refused(kind: str) -> None:
    class Telegraph(Dialect):
        name = "telegraph"

    with pytest.raises(SettingsError, match=r"'telegraph' has no .*; choose one of websocket"):
        transport_of(kind, "http://127.0.0.1:1", dialect=Telegraph())


async def test_an_answer_is_an_ack_also_in_a_dialect_without_acks(kind: str) -> None:
    class Mute(ChatlabDialect):
        acks = False

    transport = transport_of(kind, "http://127.0.0.1:1", dialect=Mute(), loop="current")
    assert not transport.submit("x").ends(DeliveryState.SENT)


async def test_a_transport_goes_on_upon_another_loop(kind: str) -> None:
    server = EmbeddedServer(config=UNLIMITED)
    server.start_in_background()
    try:
        with talking(kind, server.url, loop="current") as (ada, watch):

            async def say(text: str) -> None:
                async with ada:
                    assert await (await ada.send(text)).settled() is ACKED
                    await until(lambda: text in watch.texts)

            for text in ("one", "two"):
                await asyncio.to_thread(asyncio.run, say(text))
            assert watch.texts == ["one", "two"]
            ada.start()  # It runs on this loop now, so its end has something to disconnect.
    finally:
        await asyncio.to_thread(server.stop_in_background)


async def test_a_loop_that_ends_before_disconnect_leaves_no_noise(kind: str) -> None:
    server = EmbeddedServer(config=UNLIMITED)
    server.start_in_background()
    try:
        kept = [transport_of(kind, server.url, loop="current")]

        async def forgetful() -> None:
            await kept[0].connect()
            await (await kept[0].send("hello")).settled()

        await asyncio.to_thread(asyncio.run, forgetful())
        kept.clear()  # A warning would be an error here.
    finally:
        await asyncio.to_thread(server.stop_in_background)
