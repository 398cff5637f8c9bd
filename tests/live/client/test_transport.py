"""The transport's interface, against the embedded server: SPEC §1; HOSTILE A64–A71."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any, Literal

import pytest

from chatlab.errors import ChatSendError, ConnectError, InvalidMessage, OutboxFull
from chatlab.hub import HubConfig
from chatlab.live.background_loop import background_loop, background_thread
from chatlab.live.client.concrete_transports import WebSocketTransport
from chatlab.live.client.inbox import Inbox
from chatlab.live.client.receipt import Receipt
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ChatEvent, ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig, WebSocketConfig
from chatlab.transports.machine import Failure
from tests.live.misbehave import Misbehaving, Peer, close_frame, friendly, silence
from tests.live.watch import ALL, PATIENCE, PERSISTENT, Watch, transport_of, until, watched, websocket
from tests.processes import interpreted
from tests.sizes import rows, times

S = DeliveryState
DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
NOBODY = "ws://127.0.0.1:1/ws"
SECRET = "s3cr3t-t0ken"
UNLIMITED = HubConfig(rate=1e6, burst=1_000_000)


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(config=UNLIMITED) as server:
        yield server


@pytest.fixture(params=["own", "current"])
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Connecting and disconnecting


async def test_two_people_talk(server: EmbeddedServer, loop: str) -> None:
    ada, bob = websocket(server.ws_url, loop=loop), websocket(server.ws_url, sender="bob", loop=loop)
    async with ada, bob:
        assert (ada.status, ada.last_change.status) == (CONNECTED, CONNECTED)
        receipt = await ada.send("hello")
        assert await receipt.settled() is S.ACKED
        async for event in bob:
            if event.message is not None:
                assert (event.message.sender, event.message.text) == ("ada", "hello")
                assert event.message.client_id == receipt.client_id
                break
    assert (ada.status, bob.status) == (DISCONNECTED, DISCONNECTED)


async def test_text_and_bytes_arrive_whole(server: EmbeddedServer) -> None:
    text, data = "é✓𝄞\n\x00" * 5000, bytes(range(256)) * 256
    with watched(server.ws_url) as (transport, watch):
        await transport.connect()
        for message in (OutgoingMessage(text=text), OutgoingMessage(data=data), OutgoingMessage("both", b"")):
            assert await (await transport.send(message)).settled() is S.ACKED
        await until(lambda: len(watch.of("message")) == 3)
        got = [event.message for event in watch.of("message")]
        assert [(message.text, message.data) for message in got if message] == [
            (text, None),
            ("", data),
            ("both", b""),
        ]
        await transport.disconnect()


async def test_statuses_are_reported_in_order(server: EmbeddedServer, loop: str) -> None:
    with watched(server.ws_url, loop=loop) as (transport, watch):
        assert transport.status is DISCONNECTED
        await transport.connect()
        await transport.disconnect()
        assert watch.statuses == [CONNECTING, CONNECTED, DISCONNECTED]
        assert [event.change for event in watch.of("connection")] == watch.changes


async def test_A68_connect_twice_makes_one_connection(loop: str) -> None:
    async with Misbehaving(friendly) as server:
        with watched(server.ws_url, loop=loop) as (transport, watch):
            await asyncio.gather(*(transport.connect() for _ in range(5)))
            await transport.connect()
            assert watch.statuses == [CONNECTING, CONNECTED]
            assert transport._audience.waiters == []
            await transport.disconnect()
        assert server.accepted == 1


async def test_A68_connect_after_an_error_starts_again(loop: str) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.request()
        await peer.respond(403, body=b"not today")

    async with Misbehaving(refuse, friendly) as server:
        with watched(server.ws_url, loop=loop) as (transport, _):
            with pytest.raises(ConnectError) as caught:
                await transport.connect()
            assert (str(caught.value), caught.value.reason, caught.value.code) == (
                "HTTP 403: not today",
                "HTTP 403: not today",
                403,
            )
            assert transport.status is ERROR
            await transport.connect()
            assert transport.status is CONNECTED
            await transport.disconnect()


async def test_A68_a_cancelled_connect_disconnects(loop: str) -> None:
    async with Misbehaving(silence) as server:
        with watched(server.ws_url, loop=loop) as (transport, watch):
            task = asyncio.create_task(transport.connect())
            await until(lambda: server.accepted)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await watch.ended()
            assert transport.status is DISCONNECTED
            await transport.disconnect()
            assert transport._driver._tasks == set()


async def test_A67_disconnect_while_connecting_fails_the_connect(loop: str) -> None:
    async with Misbehaving(silence) as server:
        with watched(server.ws_url, loop=loop) as (transport, _):
            task = asyncio.create_task(transport.connect())
            await until(lambda: server.accepted)
            await asyncio.wait_for(transport.disconnect(), PATIENCE)
            with pytest.raises(ConnectError, match="asked to disconnect"):
                await task
            assert transport.status is DISCONNECTED


async def test_A67_disconnect_between_two_attempts(loop: str) -> None:
    reconnect = PERSISTENT.replace(base_delay=3600.0, max_delay=3600.0, jitter="none")
    with watched(NOBODY, reconnect=reconnect, loop=loop) as (transport, watch):
        transport.start()
        await until(lambda: watch.waits)
        await asyncio.wait_for(transport.disconnect(), PATIENCE)
        assert transport.status is DISCONNECTED
        assert transport._driver._timer.armed_at == inf


async def test_A67_disconnect_drains_within_its_time_and_keeps_the_rest(loop: str) -> None:
    async def deaf(peer: Peer) -> None:
        await peer.upgrade()
        await peer.gone()

    async with Misbehaving(deaf, friendly) as server:
        with watched(server.ws_url, drain_timeout=0.1, loop=loop) as (transport, _):
            await transport.connect()
            receipts = [await transport.send(text) for text in ("one", "two")]
            start = time.monotonic()
            await transport.disconnect()
            assert time.monotonic() - start >= 0.1
            assert [receipt.state for receipt in receipts] == [S.SENT, S.SENT]
            await transport.connect()
            assert [await receipt.settled() for receipt in receipts] == [S.ACKED, S.ACKED]
            assert server.heard == ["one", "two"]
            await transport.disconnect()


async def test_A67_disconnect_waits_for_acks_that_come(server: EmbeddedServer) -> None:
    with watched(server.ws_url) as (transport, _):
        await transport.connect()
        receipts = [await transport.send(f"{number}") for number in range(50)]
        await transport.disconnect()
        assert {receipt.state for receipt in receipts} == {S.ACKED}
        assert transport.unsettled() == []


async def test_A67_disconnect_is_harmless_twice_at_once_and_before_all(
    server: EmbeddedServer, loop: str
) -> None:
    with watched(server.ws_url, loop=loop) as (transport, watch):
        await transport.disconnect()
        assert watch.statuses == []
        await transport.connect()
        await asyncio.gather(*(transport.disconnect() for _ in range(5)))
        await transport.disconnect()
        assert watch.statuses == [CONNECTING, CONNECTED, DISCONNECTED]


async def test_A67_stop_right_after_start_leaves_nothing(server: EmbeddedServer, loop: str) -> None:
    with watched(server.ws_url, loop=loop) as (transport, _):
        for _ in range(20):
            transport.start()
            transport.stop()
        await asyncio.wait_for(transport.disconnect(), PATIENCE)
        assert transport.status is DISCONNECTED
        assert transport._driver._tasks == set()


async def test_A67_connect_right_after_stop_connects(server: EmbeddedServer, loop: str) -> None:
    with watched(server.ws_url, loop=loop) as (transport, _):
        for _ in range(20):
            await transport.connect()
            assert transport.status is CONNECTED
            transport.stop()
        events = aiter(transport)
        await transport.connect()
        receipt = await transport.send("there")
        assert await receipt.settled() is S.ACKED
        async for event in events:
            if event.message is not None and event.message.text == "there":
                break
        await transport.disconnect()


async def test_A67_a_disconnect_that_a_connect_overtakes_returns() -> None:
    async def deaf(peer: Peer) -> None:
        await peer.upgrade()
        await peer.gone()

    async with Misbehaving(deaf) as server:
        with watched(server.ws_url, drain_timeout=0.2) as (transport, _):
            await transport.connect()
            await transport.send("never acked")
            leaving = asyncio.create_task(transport.disconnect())
            await until(lambda: transport._machine.state == "draining")  # type: ignore[attr-defined]
            await transport.connect()
            await asyncio.wait_for(leaving, PATIENCE)
            assert transport.status is CONNECTED


async def test_A67_disconnect_from_a_handler(server: EmbeddedServer, loop: str) -> None:
    with watched(server.ws_url, loop=loop) as (transport, watch):
        transport.on_status_change(lambda change: transport.stop() if change.status is CONNECTED else None)
        transport.start()
        await watch.ended()
        await transport.disconnect()
        assert watch.statuses == [CONNECTING, CONNECTED, DISCONNECTED]


async def test_A67_a_handler_that_stops_at_once_fails_the_connect(server: EmbeddedServer, loop: str) -> None:
    with watched(server.ws_url, loop=loop) as (transport, _):
        transport.on_status_change(lambda change: transport.stop() if change.status is CONNECTING else None)
        with pytest.raises(ConnectError, match="asked to disconnect"):
            await asyncio.wait_for(transport.connect(), PATIENCE)


# Handlers


async def test_A69_a_handler_that_raises_is_logged_and_the_others_go_on(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with watched(server.ws_url) as (transport, _):

        def broken(value: object) -> None:
            raise ValueError("a bug of the application")

        transport.on_message(broken)
        transport.on_status_change(broken)
        transport.on_receipt(broken)
        watch = Watch(transport)
        await transport.connect()
        assert await (await transport.send("hello")).settled() is S.ACKED
        await until(lambda: watch.texts and len(watch.states) == 2)
        assert watch.statuses == [CONNECTING, CONNECTED]
        assert watch.states == [("hello", S.SENT), ("hello", S.ACKED)]
        assert caplog.text.count("a handler of chat events raised") >= 6
        assert "a bug of the application" in caplog.text
        await transport.disconnect()


async def test_A69_a_handler_may_send(server: EmbeddedServer, loop: str) -> None:
    with watched(server.ws_url, loop=loop) as (transport, watch):

        def count_down(event: ChatEvent) -> None:
            if event.message is not None and (number := int(event.message.text)) > 0:
                transport.submit(str(number - 1))

        transport.on_message(count_down)
        await transport.connect()
        transport.submit("5")
        await until(lambda: len(watch.texts) == 6)
        assert watch.texts == ["5", "4", "3", "2", "1", "0"]
        await transport.disconnect()


async def test_A69_a_slow_handler_delays_but_loses_nothing(server: EmbeddedServer) -> None:
    beat = HeartbeatConfig(interval=0.3, timeout=1.0)
    with watched(server.ws_url, heartbeat=beat) as (transport, watch):
        slept: list[str] = []

        def slow(event: ChatEvent) -> None:
            if event.message is not None:
                time.sleep(0.6)  # three times longer than interval and timeout
                slept.append(event.message.text)

        transport.on_message(slow)
        await transport.connect()
        for number in range(3):
            await transport.send(str(number))
        await until(lambda: slept == ["0", "1", "2"])  # `watch` would block the server's loop meanwhile.
        assert RECONNECTING not in watch.statuses
        await transport.disconnect()


async def test_unsubscribing_ends_one_subscription_only(server: EmbeddedServer) -> None:
    with watched(server.ws_url) as (transport, _):
        heard: list[ChatEvent] = []
        first = transport.on_message(heard.append)
        transport.on_message(heard.append)
        first()
        first()
        changes: list[Any] = []
        transport.on_status_change(changes.append)()
        await transport.connect()
        assert [event.type for event in heard].count("connection") == 2  # One subscription, two changes
        assert changes == []
        await transport.disconnect()


async def test_iteration_ends_with_the_connection_and_starts_with_the_next(server: EmbeddedServer) -> None:
    transport = websocket(server.ws_url)
    for _ in range(2):
        await transport.connect()
        reader = asyncio.create_task(_types(transport))
        await transport.send("x")
        await transport.disconnect()
        types = await asyncio.wait_for(reader, PATIENCE)
        assert types[:2] == ["connection", "connection"]
        assert types[-1] == "connection"
        assert "message" in types


async def _types(transport: WebSocketTransport) -> list[str]:
    return [event.type async for event in transport]


async def test_A69_a_reader_that_is_too_slow_is_told_how_much_it_missed(server: EmbeddedServer) -> None:
    with watched(server.ws_url, outbox=OutboxConfig(max_size=1000)) as (transport, watch):
        transport._audience.inbox = Inbox(capacity=10)
        aiter(transport)  # From now on events are kept for the reader, in addition to the handlers.
        await transport.connect()
        for number in range(50):
            await transport.send(str(number))
        await until(lambda: len(watch.texts) == 50)
        overrun = await anext(transport)
        assert overrun.type == "overrun"
        assert overrun.payload == len(watch.events) - 10
        rest = [await anext(transport) for _ in range(10)]
        assert rest == watch.events[-10:]
        await transport.disconnect()


async def test_A70_ten_thousand_messages_all_arrive(server: EmbeddedServer) -> None:
    ada = websocket(server.ws_url, outbox=OutboxConfig(max_size=3000, max_in_flight=1000))
    with watched(server.ws_url, sender="bob") as (bob, watch):
        async with ada, bob:
            expected = [str(number) for number in range(3000)]
            for text in expected:
                ada.submit(text)
            await until(lambda: len(watch.texts) >= 3000)
            assert watch.texts == expected


# Sending


async def test_A64_messages_sent_offline_wait_in_order(server: EmbeddedServer, loop: str) -> None:
    with watched(server.ws_url, loop=loop) as (transport, watch):
        receipts = [await transport.send(str(number)) for number in range(10)]
        assert {receipt.state for receipt in receipts} == {S.QUEUED}
        assert [message.text for message in transport.unsettled()] == list("0123456789")
        transport.start()
        receipts.append(await transport.send("10"))
        assert {await receipt.settled() for receipt in receipts} == {S.ACKED}
        await until(lambda: len(watch.texts) == 11)
        assert watch.texts == [str(number) for number in range(11)]
        await transport.disconnect()


async def test_A64_messages_sent_while_reconnecting_wait_too(server: EmbeddedServer) -> None:
    with watched(server.ws_url, reconnect=PERSISTENT) as (transport, watch):
        await transport.connect()
        await server.stop()
        await until(lambda: transport.status is RECONNECTING)
        receipts = [await transport.send(text) for text in "abc"]
        await server.start()
        assert {await receipt.settled() for receipt in receipts} == {S.ACKED}
        await until(lambda: watch.texts == ["a", "b", "c"])
        await transport.disconnect()


@pytest.mark.parametrize(
    ("policy", "dropped", "kept"), [("drop-oldest", "0123456", "789"), ("drop-newest", "3456789", "012")]
)
async def test_A65_messages_beyond_the_limit_are_dropped_visibly(
    server: EmbeddedServer, policy: Any, dropped: str, kept: str
) -> None:
    with watched(server.ws_url, outbox=OutboxConfig(max_size=3, overflow=policy)) as (transport, watch):
        receipts = [await transport.send(text) for text in "0123456789"]
        await until(lambda: len(watch.states) == 7)
        assert watch.states == [(text, S.DROPPED) for text in dropped]
        lost = next(receipt for receipt in receipts if receipt.state is S.DROPPED)
        assert await lost.settled() is S.DROPPED
        assert str(lost.error) == "dropped: the outbox is full"
        assert [message.text for message in transport.unsettled()] == list(kept)
        await transport.connect()
        await until(lambda: watch.texts == list(kept))
        await transport.disconnect()


async def test_A65_ten_thousand_on_a_hundred_slots_are_all_accounted_for() -> None:
    with watched(NOBODY) as (transport, watch):
        receipts = [await transport.send(str(number)) for number in range(10_000)]
        await until(lambda: len(watch.states) == 9_900)
        assert [receipt.state for receipt in receipts] == [S.DROPPED] * 9_900 + [S.QUEUED] * 100
        assert len(transport.unsettled()) == 100


async def test_A65_reject_refuses_and_forgets(server: EmbeddedServer) -> None:
    with watched(server.ws_url, outbox=OutboxConfig(max_size=2, overflow="reject")) as (transport, watch):
        for text in "ab":
            await transport.send(text)
        with pytest.raises(OutboxFull, match=r"the outbox is full \(2 messages\); wait, or choose another"):
            await transport.send(OutgoingMessage("c", client_id="c"))
        assert [message.text for message in transport.unsettled()] == ["a", "b"]
        await transport.connect()
        await until(lambda: watch.texts == ["a", "b"])
        assert await (await transport.send(OutgoingMessage("c", client_id="c"))).settled() is S.ACKED
        await transport.disconnect()


async def test_A65_wait_waits_for_room_first_come_first_served(server: EmbeddedServer, loop: str) -> None:
    outbox = OutboxConfig(max_size=2, max_in_flight=1, overflow="wait")
    with watched(server.ws_url, outbox=outbox, loop=loop) as (transport, watch):
        for text in "ab":
            await transport.send(text)
        with pytest.raises(OutboxFull):
            transport.submit("not now")
        senders = [asyncio.create_task(transport.send(text)) for text in "cdefgh"]
        await until(lambda: transport._sending.turn.locked())
        senders.pop(1).cancel()
        assert not any(sender.done() for sender in senders)
        await transport.connect()
        receipts = await asyncio.wait_for(asyncio.gather(*senders), PATIENCE)
        assert {await receipt.settled() for receipt in receipts} == {S.ACKED}
        await until(lambda: watch.texts == list("abcefgh"))
        await transport.disconnect()


async def test_a_message_that_waits_too_long_expires_even_when_disconnected() -> None:
    with watched(NOBODY, outbox=OutboxConfig(max_age=0.05)) as (transport, _):
        receipt = await transport.send("soon stale")
        assert await asyncio.wait_for(receipt.settled(), PATIENCE) is S.EXPIRED
        assert str(receipt.error) == "expired: waited longer than 0.05 s"


async def test_a_refused_message_says_why_and_the_next_goes_on() -> None:
    async def picky(peer: Peer) -> None:
        await peer.upgrade()
        refused = await peer.hear("message")
        await peer.say(type="nack", client_id=refused["client_id"], status=413, reason="too long")
        await peer.chat()

    async with Misbehaving(picky) as server:
        with watched(server.ws_url) as (transport, watch):
            await transport.connect()
            first, second = [await transport.send(text) for text in ("first", "second")]
            assert await first.settled() is S.FAILED
            assert isinstance(first.error, ChatSendError)
            assert (first.error.status, first.error.reason) == (413, "too long")
            assert await second.settled() is S.ACKED
            assert ("first", S.FAILED) in watch.states
            await transport.disconnect()


async def test_client_ids_are_unique_until_settled(server: EmbeddedServer) -> None:
    with watched(server.ws_url) as (transport, watch):
        message = OutgoingMessage("once", client_id="mine")
        receipt = await transport.send(message)
        with pytest.raises(InvalidMessage, match="client_id 'mine' is still on its way"):
            await transport.send(message)
        await transport.connect()
        assert await receipt.settled() is S.ACKED
        again = await transport.send(message)
        assert await again.settled() is S.ACKED
        assert watch.texts == ["once"]
        assert len({(await transport.send("x")).client_id for _ in range(100)}) == 100
        await transport.disconnect()


async def test_A93_a_waiter_learns_that_the_transport_gave_up() -> None:
    reconnect = ReconnectConfig(max_attempts=1, base_delay=0.01)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/ws"
        with watched(url, reconnect=reconnect) as (transport, _):
            receipt = transport.submit("hello")
            waiting = asyncio.create_task(receipt.settled(or_error=True))
            with pytest.raises(ConnectError):
                await transport.connect()
            assert await asyncio.wait_for(waiting, PATIENCE) is S.QUEUED
            assert (receipt.error, [message.text for message in transport.unsettled()]) == (None, ["hello"])


async def test_A92_client_ids_do_not_reveal_the_next(server: EmbeddedServer) -> None:
    """A reader of one id must not be able to use the next before its owner."""
    with watched(server.ws_url) as (transport, _):
        sent: list[OutgoingMessage | str] = ["x", OutgoingMessage(data=b"x"), *["x"] * 98]
        ids = [transport.submit(message).client_id for message in sent]
        for size in range(1, 8):
            for place in range(len(ids[0]) - size + 1):
                parts = {id[place : place + size] for id in ids}
                assert len(parts) >= min(100, 16**size) / 4, "a part that all have, or that counts"


@pytest.mark.parametrize("loop", ["own", "current"])
async def test_a_slow_receipt_handler_gets_each_state_as_it_was(
    server: EmbeddedServer, loop: Literal["own", "current"]
) -> None:
    told: list[tuple[str, DeliveryState, bool]] = []

    async def slow(receipt: Receipt) -> None:
        told.append((receipt.message.text, receipt.state, receipt.final))
        await asyncio.sleep(0.02)

    async with WebSocketTransport(WebSocketConfig(url=server.ws_url), loop=loop) as transport:
        transport.on_receipt(slow)
        receipts = [await transport.send(text) for text in "abc"]
        assert {await receipt.settled() for receipt in receipts} == {S.ACKED}
        await until(lambda: len(told) == 6)
    assert told == [(text, state, state is S.ACKED) for state in (S.SENT, S.ACKED) for text in "abc"]


async def test_receipts_can_be_awaited_on_any_loop(server: EmbeddedServer) -> None:
    with watched(server.ws_url) as (transport, _):
        receipt: Receipt = await transport.send("x")
        with ThreadPoolExecutor(2) as pool:
            elsewhere = [pool.submit(asyncio.run, receipt.settled()) for _ in range(2)]
            await transport.connect()
            assert await receipt.settled() is S.ACKED
            assert [future.result(PATIENCE) for future in elsewhere] == [S.ACKED, S.ACKED]
        await transport.disconnect()


async def test_typing_reaches_the_others_and_costs_nothing_offline(server: EmbeddedServer) -> None:
    with watched(server.ws_url) as (ada, _), watched(server.ws_url, sender="bob") as (bob, heard):
        ada.typing()
        async with ada, bob:
            ada.typing()
            await until(lambda: heard.of("typing"))
            assert [event.sender for event in heard.of("typing")] == ["ada"]


# Headers


def sync_without(log: list[Any]) -> Any:
    def headers() -> dict[str, str]:
        log.append(None)
        return {"Authorization": f"{SECRET} {len(log)}"}

    return headers


def sync_with(log: list[Any]) -> Any:
    def headers(failure: Failure | None) -> dict[str, str]:
        log.append(failure)
        return {"Authorization": f"{SECRET} {len(log)}"}

    return headers


def async_with(log: list[Any]) -> Any:
    async def headers(failure: Failure | None = None) -> dict[str, str]:
        await asyncio.sleep(0)
        log.append(failure)
        return {"Authorization": f"{SECRET} {len(log)}"}

    return headers


async def unauthorized(peer: Peer) -> None:
    await peer.request()
    await peer.respond(401, body=b"expired")


async def unauthorized_later(peer: Peer) -> None:
    await peer.upgrade()
    await peer.close(4401, "expired")


REFUSALS = {"HTTP 401": (unauthorized, Failure("http", 401, "expired")),
            "close 4401": (unauthorized_later, Failure("close", 4401, "expired"))}  # fmt: skip


@pytest.mark.parametrize("make", [sync_without, sync_with, async_with])
@pytest.mark.parametrize(("refuse", "failure"), REFUSALS.values(), ids=REFUSALS)
async def test_A17_A19_headers_are_renewed_once_with_the_failure(
    make: Any, refuse: Any, failure: Failure
) -> None:
    log: list[Any] = []
    async with Misbehaving(refuse, friendly, refuse) as server:
        with watched(server.ws_url, headers=make(log)) as (transport, watch):
            transport.start()
            await until(lambda: server.accepted == 2 and transport.status is CONNECTED)
            assert log == ([None, None] if make is sync_without else [None, failure])
            assert [request.headers["authorization"] for request in server.requests] == [
                f"{SECRET} 1",
                f"{SECRET} 2",
            ]
            assert SECRET not in f"{watch.changes} {watch.events} {transport!r} {transport.config!r}"
            await transport.disconnect()


@pytest.mark.parametrize(("refuse", "failure"), REFUSALS.values(), ids=REFUSALS)
async def test_A17_A19_a_renewed_token_that_is_refused_too_is_the_end(refuse: Any, failure: Failure) -> None:
    log: list[Any] = []
    async with Misbehaving(refuse) as server:
        with watched(server.ws_url, headers=sync_with(log)) as (transport, watch):
            transport.start()
            end = await watch.ended()
            assert (end.status, end.code) == (ERROR, failure.code)
            assert log == [None, failure]


async def test_a_mapping_of_headers_is_sent_and_not_renewed() -> None:
    async with Misbehaving(unauthorized) as server:
        with (
            watched(server.ws_url, headers={"Authorization": SECRET}) as (transport, _),
            pytest.raises(ConnectError, match="HTTP 401: expired"),
        ):
            await transport.connect()
        assert [request.headers["authorization"] for request in server.requests] == [SECRET]


async def test_an_exception_of_a_headers_function_is_reported_without_its_text() -> None:
    def headers() -> dict[str, str]:
        raise RuntimeError(f"no luck with {SECRET}")

    with watched(NOBODY, headers=headers) as (transport, _):
        with pytest.raises(ConnectError) as caught:
            await transport.connect()
        said = "protocol: the headers function raised RuntimeError in headers (test_transport.py, line "
        assert str(caught.value).startswith(said)
        assert SECRET not in str(caught.value)


async def test_a_headers_function_that_never_returns_meets_the_connect_timeout() -> None:
    async def headers() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    with (
        watched(NOBODY, headers=headers, connect_timeout=0.05) as (transport, _),
        pytest.raises(ConnectError, match="gave up after 3 retries: timeout"),
    ):
        await transport.connect()


# Threads, loops and endings


async def test_all_calls_work_from_any_thread(server: EmbeddedServer) -> None:
    threads, each = 4, 50
    outbox = OutboxConfig(max_size=10_000, max_in_flight=1000)
    with watched(server.ws_url, outbox=outbox) as (transport, watch):

        async def talk(thread: int) -> list[DeliveryState]:
            await transport.connect()
            receipts = []
            for number in range(each):
                receipts.append(await transport.send(f"{thread} {number}"))
                transport.typing()
                transport.unsettled()
            return [await receipt.settled() for receipt in receipts]

        with ThreadPoolExecutor(threads) as pool:
            loop = asyncio.get_running_loop()
            runs = [loop.run_in_executor(pool, asyncio.run, talk(thread)) for thread in range(threads)]
            states = await asyncio.wait_for(asyncio.gather(*runs), PATIENCE)
        assert states == [[S.ACKED] * each] * threads
        await until(lambda: len(watch.texts) == threads * each)
        for thread in range(threads):
            own = [text for text in watch.texts if text.startswith(f"{thread} ")]
            assert own == [f"{thread} {number}" for number in range(each)]
        assert watch.statuses == [CONNECTING, CONNECTED]
        await transport.disconnect()


@pytest.mark.parametrize("kind", rows(ALL, "websocket"))
def test_A71_a_transport_of_the_current_loop_moves_to_the_next_one(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()  # Ignore what other tests have left behind.
    caplog.clear()
    server = EmbeddedServer()
    server.start_in_background()
    at_once = PERSISTENT.replace(base_delay=1e-6)
    transport = transport_of(kind, server.url, loop="current", reconnect=at_once, error_delay=1e-6)
    watch = Watch(transport)

    slow: list[asyncio.Future[None]] = []

    async def leave_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)

    async def talk(text: str, leave: bool) -> None:
        await transport.connect()
        assert await (await transport.send(text)).settled() is S.ACKED
        await until(lambda: text in watch.texts)
        if leave:
            await transport.disconnect()
        else:
            slow.append(asyncio.ensure_future(leave_slowly()))
            await asyncio.sleep(0)

    try:
        asyncio.run(talk("one", leave=False))  # Its loop closes while it runs, slowly.
        gc.collect()
        assert transport.status is not ERROR
        assert watch.statuses.count(RECONNECTING) <= 1  # It hasn't tried again on that loop.
        asyncio.run(talk("two", leave=True))
        asyncio.run(talk("three", leave=True))
        gc.collect()
        assert watch.texts == ["one", "two", "three"]
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    finally:
        server.stop_in_background()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


async def all_quiet(before: tuple[int, int, int]) -> None:
    await until(lambda: await_counts() <= before[0] and threading.active_count() <= before[1])
    await until(lambda: open_files() <= before[2])


def await_counts() -> int:
    """Return the number of tasks and timers of the background loop."""

    async def count() -> int:
        loop = asyncio.get_running_loop()
        timers = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        return len(asyncio.all_tasks()) + len(timers)

    return background_thread().call(count)


def counts() -> tuple[int, int, int]:
    return await_counts(), threading.active_count(), open_files()


@pytest.mark.sized
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files in /proc")  # noqa: PTH112
async def test_A31_a_thousand_connects_and_disconnects_leave_nothing(server: EmbeddedServer) -> None:
    background_loop()
    transport = websocket(server.ws_url, heartbeat=HeartbeatConfig())
    await transport.connect()
    await transport.disconnect()
    before = counts()
    for _ in range(times(1000)):
        await transport.connect()
        await transport.disconnect()
    await all_quiet(before)
    assert transport._driver._timer.armed_at == inf
    assert transport._driver._tasks == set()
    assert transport._driver._links == {}
    assert transport._audience.waiters == []


@pytest.mark.sized
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files in /proc")  # noqa: PTH112
async def test_A31_a_thousand_reconnects_leave_nothing() -> None:
    async def flap(peer: Peer) -> None:
        await peer.upgrade()
        await peer.send(close_frame(1012))
        if peer.number % 2:
            await peer.gone()
        else:
            peer.reset()

    background_loop()
    reconnects = times(1000)
    async with Misbehaving(flap) as server:
        before = counts()
        reconnect = PERSISTENT.replace(base_delay=0.0, jitter="none")
        with watched(server.ws_url, reconnect=reconnect, heartbeat=HeartbeatConfig()) as (transport, watch):
            transport.start()
            await until(lambda: server.accepted >= reconnects)
            await transport.disconnect()
            assert len(watch.waits) >= 0.9 * reconnects
        await until(lambda: not server.open)
        await all_quiet(before)
        assert transport._driver._links == {}


GOODBYES = {
    "connected": "t.start(); wait('connected')",
    "connecting": "t.start()",
    "in a loop of its own": "asyncio.run(t.connect())",
    "current loop": "t = make(loop='current'); asyncio.run(t.connect())",
    "waiting to retry": "server.stop_in_background(abrupt=True); t.start(); wait('reconnecting')",
    "with a waiter": "t.start(); wait('connected'); threading.Thread("
    "target=lambda: asyncio.run(forever()), daemon=True).start(); time.sleep(0.1)",
    "with unsettled messages": "t.submit('x'); t.start(); t.submit('y')",
}


@pytest.mark.parametrize("goodbye", rows(GOODBYES, "connected"))
def test_A71_the_interpreter_ends_silently(goodbye: str) -> None:
    code = f"""
import asyncio, threading, time
from chatlab import EmbeddedServer, ReconnectConfig, WebSocketConfig, WebSocketTransport
server = EmbeddedServer()
server.start_in_background()
def make(**options):
    reconnect = ReconnectConfig(max_attempts=None)
    return WebSocketTransport(WebSocketConfig(url=server.ws_url, reconnect=reconnect), **options)
def wait(status):
    while t.status != status:
        time.sleep(0.005)
async def forever():
    async for event in t:
        pass
t = make()
{GOODBYES[goodbye]}
"""
    status, output, errors = interpreted(code)
    # The development mode also reports slow callbacks, which every busy machine has.
    noise = [line for line in errors.splitlines() if not line.startswith("Executing <")]
    assert (status, output, noise) == (0, "", [])
