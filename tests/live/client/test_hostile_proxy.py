"""HOSTILE A83: faults of a proxy in either direction, with each transport: no acknowledged message is lost,
duplicated or out of order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from time import monotonic
from typing import Any

import pytest

from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.faults import ConnectionReset, Fault, HighLatency, IdleTimeout, LowBandwidth, ServerDown
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

Network = AsyncIterator[tuple[str, Callable[[], Awaitable[None]]]]
"""A proxy's URL, and a function that makes trouble there for a while."""
Hostile = AbstractAsyncContextManager[tuple[str, Callable[[], Awaitable[None]]]]
Trouble = Callable[[FlowProxy, Direction], Awaitable[None]]


async def pause(seconds: float) -> None:
    start = monotonic()
    await until(lambda: monotonic() - start >= seconds)


def flow(**changes: float | bool) -> Trouble:
    """Return a fault that changes the flow of one direction for a while. A peer that lost bytes must detect
    that itself."""

    async def fault(proxy: FlowProxy, direction: Direction) -> None:
        proxy.set(direction, **changes)
        await pause(TROUBLE)
        proxy.heal()

    return fault


async def cut_off(proxy: FlowProxy, direction: Direction) -> None:
    """Drop one direction silently, then reset: bytes under way are lost."""
    for _ in range(2):
        proxy.set(direction, silent=True)
        await pause(TROUBLE / 2)
        proxy.heal()
        proxy.reset()


FLOWS: dict[str, Trouble] = {
    "slicer": flow(slice_size=1),
    "timeout": flow(silent=True),
    "silence and reset": cut_off,
    "buffering": flow(buffered=1500),
    "limit of 700 bytes": flow(limit=700),
    "limit of 2,000 bytes": flow(limit=2000),
}
SCENARIOS: dict[str, list[Fault]] = {
    "latency and jitter": [HighLatency(at=0.0, duration=TROUBLE, latency=0.03, jitter=0.1)],
    "bandwidth": [LowBandwidth(at=0.0, duration=TROUBLE, bandwidth=4000.0)],
    "idle timeout": [IdleTimeout(at=0.0, duration=TROUBLE, timeout=0.06)],
    "resets": [ConnectionReset(at=TROUBLE * number / 5) for number in range(1, 6)],
    "down": [ServerDown(at=0.0, duration=TROUBLE)],
}
"""Faults of scenarios."""


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


async def talk(kind: str, server: EmbeddedServer, hostile: Callable[[str], Hostile]) -> None:
    """Exchange messages in a hostile network, between ada behind a proxy and bob, who connects to the server
    directly."""
    async with hostile(server.url) as (url_of_ada, trouble):
        ada, bob = (
            transport_of(kind, url, sender=sender, room=kind, **PATIENT)
            for url, sender in ((url_of_ada, "ada"), (server.url, "bob"))
        )
        people = {"ada": (ada, Watch(ada)), "bob": (bob, Watch(bob))}
        await asyncio.gather(ada.connect(), bob.connect())
        try:
            receipts = [await ada.send("ada 0")]
            await receipts[0].settled()
            troubled = asyncio.ensure_future(trouble())
            for number in range(1, MESSAGES):
                receipts += [await ada.send(f"ada {number}"), await bob.send(f"bob {number}")]
                await pause(0.03)
            await troubled
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


async def everybody(server: EmbeddedServer, hostile: Callable[[str], Hostile]) -> None:
    """Subject all transports to the same at the same time, each in a room and behind a proxy of its own."""
    async with asyncio.TaskGroup() as group:
        for kind in ALL:
            group.create_task(talk(kind, server, hostile))


@pytest.mark.parametrize("direction", rows(["up", "down"], "down"))
@pytest.mark.parametrize("trouble", rows(FLOWS.values(), next(iter(FLOWS.values()))), ids=FLOWS)
async def test_A83_nothing_is_lost_doubled_or_misplaced_whatever_happens_to_a_direction(
    server: EmbeddedServer, trouble: Trouble, direction: Direction
) -> None:
    @asynccontextmanager
    async def hostile(url: str) -> Network:
        async with FlowProxy(url) as proxy:
            yield proxy.rebase(url), partial(trouble, proxy, direction)

    await everybody(server, hostile)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("faults", SCENARIOS.values(), ids=SCENARIOS)
async def test_A83_nothing_is_lost_doubled_or_misplaced_whatever_happens_to_connections(
    server: EmbeddedServer, faults: list[Fault]
) -> None:
    @asynccontextmanager
    async def hostile(url: str) -> Network:
        async with FaultProxy(url) as proxy:

            async def trouble() -> None:
                proxy.play(faults)
                await pause(TROUBLE)

            yield proxy.rebase(url), trouble

    await everybody(server, hostile)
