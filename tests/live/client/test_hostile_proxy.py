"""HOSTILE A83: faults of a proxy in either direction, with each transport: no acknowledged message is lost,
duplicated or out of order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

import pytest

from chatlab.hub import HubConfig
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import DeliveryState
from chatlab.settings import HeartbeatConfig, OutboxConfig
from tests.live.flow_proxy import Direction, FlowProxy
from tests.live.watch import ALL, PERSISTENT, Watch, transport_of, until
from tests.sizes import rows

MESSAGES = 15
TROUBLE = 0.5
"""Seconds of the fault, while messages are sent."""

Fault = Callable[[FlowProxy, Direction], Awaitable[None]]


async def pause(seconds: float) -> None:
    start = monotonic()
    await until(lambda: monotonic() - start >= seconds)


def flow(**changes: float | bool) -> Fault:
    """Return a fault that changes the flow of one direction for a while. A peer that lost bytes must detect
    that itself."""

    async def fault(proxy: FlowProxy, direction: Direction) -> None:
        proxy.set(direction, **changes)
        await pause(TROUBLE)
        proxy.heal()

    return fault


async def idle(proxy: FlowProxy, direction: Direction) -> None:
    proxy.idle_timeout = 0.06
    await pause(TROUBLE)
    proxy.heal()


async def resets(proxy: FlowProxy, direction: Direction) -> None:
    for _ in range(5):
        await pause(TROUBLE / 5)
        proxy.reset()


async def down(proxy: FlowProxy, direction: Direction) -> None:
    await proxy.refuse()
    await pause(TROUBLE)
    await proxy.accept()


async def cut_off(proxy: FlowProxy, direction: Direction) -> None:
    """Drop one direction silently, then reset: bytes under way are lost."""
    for _ in range(2):
        proxy.set(direction, silent=True)
        await pause(TROUBLE / 2)
        proxy.heal()
        proxy.reset()


FLOWS: dict[str, Fault] = {
    "latency and jitter": flow(latency=0.03, jitter=0.1),
    "bandwidth": flow(bandwidth=4000.0),
    "slicer": flow(slice_size=1),
    "timeout": flow(silent=True),
    "silence and reset": cut_off,
    "buffering": flow(buffered=1500),
    "limit of 700 bytes": flow(limit=700),
    "limit of 2,000 bytes": flow(limit=2000),
}
WHOLE: dict[str, Fault] = {"idle timeout": idle, "reset_peer": resets, "down": down}


PATIENT: dict[str, Any] = {
    "reconnect": PERSISTENT,
    "outbox": OutboxConfig(max_size=1000),
    "connect_timeout": 0.5,
    "request_timeout": 0.4,
    "heartbeat": HeartbeatConfig(interval=0.2, timeout=0.15),
    "idle_timeout": 0.4,
    "hold": 0.2,
    "timeout": 0.5,
    "interval": 0.05,
    "upgrade_after": 0.2,
}
"""Settings of a transport with short time-outs and unlimited attempts."""


async def talk(kind: str, server: EmbeddedServer, fault: Fault, direction: Direction) -> None:
    """Exchange messages during the fault, between ada behind the proxy and bob, who connects to the server
    directly."""
    async with FlowProxy(server.url) as proxy:
        ada, bob = (
            transport_of(kind, url, sender=sender, room=kind, **PATIENT)
            for url, sender in ((proxy.rebase(server.url), "ada"), (server.url, "bob"))
        )
        people = {"ada": (ada, Watch(ada)), "bob": (bob, Watch(bob))}
        await asyncio.gather(ada.connect(), bob.connect())
        try:
            receipts = [await ada.send("ada 0")]
            await receipts[0].settled()
            trouble = asyncio.ensure_future(fault(proxy, direction))
            for number in range(1, MESSAGES):
                receipts += [await ada.send(f"ada {number}"), await bob.send(f"bob {number}")]
                await pause(0.03)
            await trouble
            states = {await receipt.settled() for receipt in receipts}
            assert states == {DeliveryState.ACKED}, kind
            expected = 2 * MESSAGES - 1
            await until(lambda: all(len(watch.texts) >= expected for _, watch in people.values()))
        finally:
            await asyncio.gather(ada.disconnect(), bob.disconnect())
        for name, (_, watch) in people.items():
            for sender in people:
                heard = [text for text in watch.texts if text.startswith(sender)]
                numbers = range(0 if sender == "ada" else 1, MESSAGES)
                assert heard == [f"{sender} {number}" for number in numbers], (
                    f"{kind}: {sender}, as {name} heard"
                )
            assert not watch.of("resync"), kind
        assert people["ada"][1].texts == people["bob"][1].texts, kind
        assert not ada._driver._tasks, kind


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(config=HubConfig(rate=1e6, burst=1_000_000)) as server:
        yield server


async def everybody(server: EmbeddedServer, fault: Fault, direction: Direction) -> None:
    """Subject all transports to the fault at the same time, each in a room and behind a proxy of its own."""
    async with asyncio.TaskGroup() as group:
        for kind in ALL:
            group.create_task(talk(kind, server, fault, direction))


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("fault", rows(FLOWS.values(), next(iter(FLOWS.values()))), ids=FLOWS)
async def test_A83_nothing_is_lost_doubled_or_misplaced_whatever_happens_to_a_direction(
    server: EmbeddedServer, fault: Fault, direction: Direction
) -> None:
    await everybody(server, fault, direction)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("fault", WHOLE.values(), ids=WHOLE)
async def test_A83_nothing_is_lost_doubled_or_misplaced_whatever_happens_to_connections(
    server: EmbeddedServer, fault: Fault
) -> None:
    await everybody(server, fault, "both")
