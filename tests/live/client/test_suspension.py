"""Suspension of the computer, on a system whose monotonic clock stops meanwhile."""

from __future__ import annotations

import socket
import time

import pytest

from chatlab.live.client import deadline_timer, suspension_clock
from chatlab.live.client.concrete_transports import WebSocketTransport
from chatlab.messages import ConnectionStatus
from chatlab.settings import HeartbeatConfig, ReconnectConfig, WebSocketConfig
from tests.live.misbehave import Misbehaving, Peer, Script
from tests.live.watch import until

HOUR = 3600.0
LONG = ReconnectConfig(base_delay=HOUR, max_delay=HOUR, jitter="none")


class Sleep:
    """The boot-time clock, and the seconds of the suspension."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.seconds


@pytest.fixture
def sleep(monkeypatch: pytest.MonkeyPatch) -> Sleep:
    slept = Sleep()
    monkeypatch.setattr(suspension_clock, "boot_time", slept)
    monkeypatch.setattr(deadline_timer, "SUSPENSION_CHECK", 0.01)
    return slept


async def test_A32_a_wait_is_over_when_the_computer_wakes(sleep: Sleep) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}/ws"
    chat = WebSocketTransport(WebSocketConfig(url=url, reconnect=LONG), loop="current")
    reasons: list[str] = []
    chat.on_status_change(lambda change: reasons.append(change.reason))
    chat.start()
    await until(lambda: chat.status is ConnectionStatus.RECONNECTING)
    before = chat.now()
    sleep.seconds = HOUR
    await until(lambda: "trying again" in reasons)
    assert HOUR <= chat.now() - before < HOUR + 60
    await chat.disconnect()


def hears_a_ping(pinged: list[bytes]) -> Script:
    """Return a server that records the first bytes of the first frame, and answers nothing."""

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        pinged.append(await peer.receive(2))
        await peer.gone()

    return script


async def test_A32_a_connection_that_died_meanwhile_is_noticed(sleep: Sleep) -> None:
    pinged: list[bytes] = []
    async with Misbehaving(hears_a_ping(pinged)) as server:
        heartbeat = HeartbeatConfig(interval=HOUR, timeout=0.05)
        config = WebSocketConfig(url=server.ws_url, heartbeat=heartbeat, reconnect=LONG, drain_timeout=0.0)
        chat = WebSocketTransport(config, loop="current")
        await chat.connect()
        sleep.seconds = HOUR
        await until(lambda: chat.status is ConnectionStatus.RECONNECTING)
        assert pinged, "it was asked before it was given up"
        await chat.disconnect()


async def test_A32_a_suspension_while_nothing_is_due_is_ignored(sleep: Sleep) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await peer.gone()

    async with Misbehaving(script) as server:
        chat = WebSocketTransport(WebSocketConfig(url=server.ws_url, connect_timeout=60.0), loop="current")
        chat.stop()
        sleep.seconds = HOUR
        before = chat.now()
        await chat.connect()
        assert chat.now() - before < 60
        await chat.disconnect()


async def test_A32_after_a_short_suspension_the_connection_is_asked_at_once(sleep: Sleep) -> None:
    pinged: list[bytes] = []
    async with Misbehaving(hears_a_ping(pinged)) as server:
        config = WebSocketConfig(url=server.ws_url, heartbeat=HeartbeatConfig(interval=HOUR, timeout=HOUR))
        chat = WebSocketTransport(config, loop="current")
        await chat.connect()
        sleep.seconds = 5.0
        await until(lambda: pinged)
        await chat.disconnect()
