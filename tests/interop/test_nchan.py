"""The `nchan` dialect against nginx's nchan (issue 8): every transport, one cursor, resets, gaps."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from chatlab.dialects.nchan import NchanDialect
from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.settings import HeartbeatConfig, OutboxConfig
from tests.interop.delivery import first_connections
from tests.interop.nginx import Nginx
from tests.live.chaos import faults_of
from tests.live.watch import ALL, PERSISTENT, Watch, talking, until
from tests.processes import free_port
from tests.sizes import rows

pytestmark = [pytest.mark.requires("nginx"), pytest.mark.xdist_group("nginx")]

_, _, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
BATCH = NchanDialect(subscribe="/batch/{channel}")


@contextlib.contextmanager
def chatting(
    kind: str, url: str, channel: str, sender: str = "ada", **settings: Any
) -> Iterator[tuple[ChatTransport, Watch]]:
    defaults: dict[str, Any] = {"dialect": "nchan", "reconnect": PERSISTENT}
    with talking(kind, url, sender, **defaults | {"room": channel} | settings) as there:
        yield there


@pytest.mark.parametrize("kind", ALL)
async def test_two_people_talk_and_earlier_messages_are_there(nginx: Nginx, channel: str, kind: str) -> None:
    nginx.publish(channel, "earlier", '{"a": 1}')
    with (
        chatting(kind, nginx.url, channel) as (ada, watch),
        chatting(kind, nginx.url, channel, "bob") as (bob, other),
    ):
        await ada.connect()
        await bob.connect()
        receipt = await ada.send("héllo")
        assert (await receipt.settled()) is DeliveryState.ACKED
        await bob.send(OutgoingMessage(data=b"\0\xff"))
        await until(lambda: len(watch.of("message")) == len(other.of("message")) == 4)
        for seen in (watch, other):
            messages = [event.message for event in seen.of("message")]
            assert [m.text for m in messages if m] == ["earlier", '{"a": 1}', "héllo", ""]
            assert [m.sender for m in messages if m] == ["", "", "ada", "bob"]
            assert [m.data for m in messages if m] == [None, None, None, b"\0\xff"]
            assert not seen.of("resync") + seen.of("unreadable")
        await ada.disconnect()
        await bob.disconnect()


async def test_one_cursor_serves_all_transports(nginx: Nginx, channel: str) -> None:
    ids = nginx.publish(channel, "1", "2", "3")
    for kind in ALL:
        with chatting(kind, nginx.url, channel, after=ids[0]) as (reader, watch):
            await reader.connect()
            await _read(watch, 2)
            assert watch.texts == ["2", "3"]
            assert [event.message.id for event in watch.of("message") if event.message] == ids[1:]
            await reader.disconnect()


@pytest.mark.proof
@pytest.mark.parametrize("kind", ALL)
async def test_20_of_20_first_connections_are_let_in(nginx: Nginx, channel: str, kind: str) -> None:
    settings: dict[str, Any] = {"dialect": "nchan", "room": channel, "history": 0}
    assert not await first_connections(kind, nginx.url, 20, **settings)


@pytest.mark.parametrize("kind", ALL)
async def test_with_no_history_asked_for_the_location_decides_and_all_means_all(
    nginx: Nginx, channel: str, kind: str
) -> None:
    nginx.publish(channel, "1", "2")
    with chatting(kind, nginx.url, channel, history=None) as (reader, watch):
        await reader.connect()
        await until(lambda: watch.texts == ["1", "2"])
        await reader.disconnect()


async def test_a_held_poll_that_ends_with_408_is_nothing_new(nginx: Nginx, channel: str) -> None:
    quick = NchanDialect(subscribe="/hasty/{channel}")
    steps: list[Any] = []
    with chatting("long_polling", nginx.url, channel, dialect=quick, record=steps.append) as (reader, watch):
        await reader.connect()
        await until(lambda: any("status=408" in repr(step) for step in steps))
        nginx.publish(channel, "late")
        await until(lambda: watch.texts == ["late"])
        assert watch.statuses.count(CONNECTED) == 1
        await reader.disconnect()


async def test_an_idle_websocket_that_nchan_ends_comes_back(nginx: Nginx, channel: str) -> None:
    url = nginx.url.replace("http", "ws") + "/hasty"
    with chatting("websocket", url, channel) as (reader, watch):
        await reader.connect()
        await watch.connected(2)
        assert watch.codes(RECONNECTING)[0] == 1000
        nginx.publish(channel, "late")
        await until(lambda: watch.texts == ["late"])
        await reader.disconnect()


async def test_heartbeats_are_ping_frames_and_a_json_one_is_refused_with_1008(
    nginx: Nginx, channel: str
) -> None:
    beats = HeartbeatConfig(interval=0.05, timeout=5.0)
    url = nginx.url.replace("http", "ws") + "/listen"
    with chatting("websocket", url, channel, heartbeat=beats) as (reader, watch):
        await reader.connect()
        await until(lambda: reader.rtt is not None)
        assert watch.statuses == ["connecting", "connected"]
        await reader.disconnect()
    json = HeartbeatConfig(interval=0.05, timeout=5.0, mode="json")
    with chatting("websocket", url, channel, heartbeat=json) as (reader, watch):
        await reader.connect()
        change = await watch.ended()
        assert (change.status, change.code) == (ERROR, 1008)
        assert "heartbeat" in change.reason
        assert "mode='ping'" in change.reason


async def test_a_batch_is_as_many_messages_with_their_ids(nginx: Nginx, channel: str) -> None:
    ids = nginx.publish(channel, "1", b"\xfe", "")
    steps: list[Any] = []
    with chatting("long_polling", nginx.url, channel, dialect=BATCH, after="1:0", record=steps.append) as (
        reader,
        watch,
    ):
        await reader.connect()
        nginx.publish(channel, "4")
        await until(lambda: len(watch.of("message")) == 4)
        messages = [event.message for event in watch.of("message") if event.message]
        assert [(m.text, m.data) for m in messages] == [("1", None), ("", b"\xfe"), ("", None), ("4", None)]
        assert [m.id for m in messages][:3] == ids
        await reader.disconnect()
    assert any("multipart/mixed" in repr(step) for step in steps)


@pytest.mark.parametrize("kind", ALL)
async def test_a_cursor_that_has_left_its_buffer_is_a_possible_gap(
    nginx: Nginx, channel: str, kind: str
) -> None:
    published = [str(number) for number in range(1, 30)]
    first, last = "0", "1"
    while first.partition(":")[0] != last.partition(":")[0]:  # A gap across seconds can't be seen.
        first = nginx.publish(channel, "0", to="brief")[0]
        last = nginx.publish(channel, *published, to="brief")[-1]
    with chatting(kind, nginx.url, channel, after=first) as (reader, watch):
        await reader.connect()
        await until(lambda: watch.texts[-1:] == ["29"])
        assert watch.texts == published[-5:]
        kinds = [event.type for event in watch.events if event.type in ("resync", "message")]
        assert kinds == ["resync", *["message"] * 5]
        await reader.disconnect()


@pytest.mark.parametrize("kind", rows([*ALL], "long_polling"))
async def test_readers_come_back_after_a_restart_and_nothing_of_theirs_is_lost(
    channel: str, kind: str
) -> None:
    """nchan answers held polls with 410 when it stops. Its messages are in memory, and are lost with it."""
    port = free_port()
    with Nginx(port=port) as nginx, ExitStack() as stack:
        ada, own = stack.enter_context(chatting(kind, nginx.url, channel))
        bob, other = stack.enter_context(chatting(kind, nginx.url, channel, "bob"))
        await ada.connect()
        await bob.connect()
        assert (await (await ada.send("before")).settled()) is DeliveryState.ACKED
        await until(lambda: other.texts == own.texts == ["before"])
        later = stack.pop_all()
    with later:
        meanwhile = ada.submit("meanwhile")
        second = int(time.time())
        await until(lambda: int(time.time()) > second)  # Within a second it would count from 0 anew.
        with Nginx(port=port):
            assert (await meanwhile.settled()) is DeliveryState.ACKED
            await until(lambda: other.texts == own.texts == ["before", "meanwhile"])
            assert not own.of("unreadable") + other.of("unreadable")
            await ada.disconnect()
            await bob.disconnect()


TOLD = [*((kind, "nchan") for kind in ALL), ("long_polling", BATCH)]


@pytest.mark.parametrize(
    ("kind", "dialect"),
    [told if told[0] == "websocket" else pytest.param(*told, marks=pytest.mark.proof) for told in TOLD],
    ids=[*ALL, "long_polling in batches"],
)
async def test_nothing_is_lost_doubled_or_misplaced_while_connections_are_reset(
    nginx: Nginx, channel: str, kind: str, dialect: Any
) -> None:
    sent = [f"message {number}" for number in range(1000)]
    patient = OutboxConfig(overflow="wait")
    async with FaultProxy(nginx.url) as proxy:
        with (
            chatting(kind, proxy.rebase(nginx.url), channel, dialect=dialect, outbox=patient) as (ada, own),
            chatting(kind, proxy.rebase(nginx.url), channel, "bob", dialect=dialect) as (bob, other),
        ):
            await ada.connect()
            await bob.connect()
            receipts = []
            resets = asyncio.create_task(_reset_every_half_second(proxy))
            for number, text in enumerate(sent):
                receipts.append(await ada.send(text))
                if number % 20 == 0:
                    await asyncio.sleep(0.1)
            states = {await receipt.settled() for receipt in receipts}
            resets.cancel()
            assert states == {DeliveryState.ACKED}
            for watch in (own, other):
                await _read(watch, len(sent))
                assert not any(faults_of(sent, watch.texts).values())
                assert not watch.of("resync") + watch.of("unreadable")
            assert own.statuses.count(RECONNECTING) >= 5
            await ada.disconnect()
            await bob.disconnect()


async def _reset_every_half_second(proxy: FaultProxy) -> None:
    while True:
        await asyncio.sleep(0.5)
        proxy.reset()


async def _read(watch: Watch, count: int) -> None:
    """Wait until `count` different texts have arrived."""
    await until(lambda: len(set(watch.texts)) >= count)
