"""The `mqtt` dialect against mosquitto: sessions, retained messages, foreign contents, resets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chatlab import probe
from chatlab.dialects.mqtt import MqttDialect
from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ConnectionStatus, DeliveryState
from chatlab.settings import HeartbeatConfig
from tests.interop.delivery import BIG, Tally, a_thousand_messages, first_connections
from tests.interop.mosquitto import Mosquitto
from tests.live.watch import PERSISTENT, Watch, talking, until

pytestmark = [pytest.mark.requires("mosquitto"), pytest.mark.xdist_group("mosquitto")]
_, _, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
BEATS = HeartbeatConfig(interval=5.0, timeout=5.0)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    server = Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    server.start()
    yield server
    server.stop()


@contextmanager
def chatting(
    url: str, room: str, sender: str = "ada", **settings: Any
) -> Iterator[tuple[ChatTransport, Watch]]:
    defaults = {"dialect": "mqtt", "heartbeat": BEATS, "reconnect": PERSISTENT, "room": room}
    with talking("websocket", url, sender, **defaults | settings) as there:
        yield there


async def test_two_people_talk_on_a_topic_with_either_quality(broker: Mosquitto, channel: str) -> None:
    beats = HeartbeatConfig(interval=0.05, timeout=5.0)
    with (
        chatting(broker.url, f"chat/{channel}", heartbeat=beats) as (ada, watch),
        chatting(broker.url, f"chat/{channel}", "bob", dialect=MqttDialect(qos=0)) as (bob, other),
    ):
        await ada.connect()
        await bob.connect()
        for chat in (ada, bob):
            receipt = await chat.send(f"héllo from {chat.config.sender}")
            assert (await receipt.settled()) is DeliveryState.ACKED
        await until(lambda: len(watch.texts) == len(other.texts) == 2)
        assert watch.texts == other.texts == ["héllo from ada", "héllo from bob"]
        await until(lambda: ada.rtt is not None)
        await ada.disconnect()
        await bob.disconnect()


async def test_a_session_is_kept_for_its_client_id_and_another_loss_is_a_resync(
    broker: Mosquitto, channel: str
) -> None:
    with (
        chatting(broker.url, channel, dialect=MqttDialect(f"{channel}-ada")) as (ada, watch),
        chatting(broker.url, channel, "eve") as (eve, other),
        chatting(broker.url, channel, "bob") as (bob, _),
    ):
        for chat in (ada, eve, bob):
            await chat.connect()
        for chat in (ada, eve):
            await chat.disconnect()
        assert (await (await bob.send("meanwhile")).settled()) is DeliveryState.ACKED
        for chat in (ada, eve):
            await chat.connect()
        assert (await (await bob.send("later")).settled()) is DeliveryState.ACKED
        await until(lambda: "later" in watch.texts and "later" in other.texts)
        assert (watch.texts, len(watch.of("resync"))) == (["meanwhile", "later"], 0)
        assert (other.texts, len(other.of("resync"))) == (["later"], 1)
        for chat in (ada, eve, bob):
            await chat.disconnect()


async def test_a_disconnect_is_announced_and_a_reset_is_not(broker: Mosquitto, channel: str) -> None:
    async with FaultProxy(broker.url) as proxy:
        url, name = proxy.rebase(broker.url), f"{channel}-ada"
        with chatting(url, channel, dialect=MqttDialect(name)) as (ada, watch):
            await ada.connect()
            proxy.reset()
            await watch.connected(2)
            await ada.disconnect()
    await until(lambda: f"Client {name} disconnected." in broker.log)
    assert broker.log.count(f"Client {name} disconnected.") == 1


async def test_a_retained_message_greets_who_comes_later(broker: Mosquitto, channel: str) -> None:
    with chatting(broker.url, channel, dialect=MqttDialect(retain=True)) as (ada, _):
        await ada.connect()
        for text in ("one", "two"):
            assert (await (await ada.send(text)).settled()) is DeliveryState.ACKED
        await ada.disconnect()
    with chatting(broker.url, channel, "bob") as (bob, watch):
        await bob.connect()
        await until(lambda: watch.texts == ["two"])
        await bob.disconnect()


async def test_a_wrong_password_and_a_missing_one_are_refused_in_words(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, ada="s3cret-pw")
    broker.start()
    try:
        for headers, says in (
            (None, "not authorized"),
            ({"username": "ada", "password": "wr0ng-pw"}, "not authorized"),
            ({"username": "ada", "password": "s3cret-pw"}, ""),
        ):
            with chatting(broker.url, "attic", headers=headers) as (ada, watch):
                ada.start()
                await until(lambda watch=watch: watch.changes[-1].status in (CONNECTED, ERROR))  # type: ignore[misc]
                assert watch.changes[-1].status is (ERROR if says else CONNECTED)
                assert says in watch.changes[-1].reason
                await ada.disconnect()
    finally:
        broker.stop()


async def test_a_probe_finds_the_broker(broker: Mosquitto) -> None:
    result = await probe(broker.url)
    assert result.advice == f"It speaks mqtt. Use: chatlab chat {broker.url} --dialect mqtt"
    assert result.requests <= 10


@pytest.mark.proof
async def test_20_of_20_first_connections_are_let_in(broker: Mosquitto, channel: str) -> None:
    settings: dict[str, Any] = {"dialect": "mqtt", "heartbeat": BEATS, "room": channel}
    assert not await first_connections("websocket", broker.url, 20, **settings)


@pytest.mark.proof
async def test_a_thousand_messages_survive_resets_and_a_restart_of_the_broker(
    tmp_path: Path, channel: str
) -> None:
    broker = Mosquitto(tmp_path)
    broker.start()

    def restart() -> None:
        broker.stop()
        broker.start()

    try:
        async with FaultProxy(broker.url) as proxy:
            url = proxy.rebase(broker.url)
            with (
                chatting(url, channel, dialect=MqttDialect("ada"), outbox=BIG) as (ada, _),
                chatting(url, channel, "bob", dialect=MqttDialect("bob")) as (bob, watch),
            ):
                await asyncio.gather(ada.connect(), bob.connect())
                assert await a_thousand_messages(ada, watch, proxy, restart) == Tally([], [], [])
                assert watch.statuses.count(RECONNECTING) > 5
                assert not watch.of("resync") + watch.of("unreadable")
                await ada.disconnect()
                await bob.disconnect()
    finally:
        broker.stop()
