"""Proofs that a server of another project lets clients in, and that no message is lost, doubled or misplaced
while connections break."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import DeliveryState
from chatlab.settings import OutboxConfig, ReconnectConfig
from tests.live.watch import Watch, talking, until

ONCE = ReconnectConfig(max_attempts=0)
TOGETHER = 50
"""Messages that are sent at once."""


async def first_connections(
    kind: str, url: str, count: int, state: DeliveryState = DeliveryState.ACKED, **settings: Any
) -> list[str]:
    """Connect `count` times, each once, with a message queued before, at once and after; return the
    connections that weren't let in, or whose messages didn't reach `state`."""
    failed: list[str] = []
    for number in range(count):
        with talking(kind, url, f"p{number}", **{"reconnect": ONCE} | settings) as (chat, watch):
            receipts = [chat.submit("before")]
            try:
                await chat.connect()
                receipts.append(await chat.send("at once"))
                await asyncio.sleep(0.05)
                receipts.append(await chat.send("after"))
                async with asyncio.timeout(20):
                    states = [await receipt.settled() for receipt in receipts]
                if states != [state] * 3:
                    failed.append(f"{number}: {states}")
            except Exception as error:
                failed.append(f"{number}: {error!r}, {[change.reason for change in watch.changes]}")
            await chat.disconnect()
    return failed


class Tally(NamedTuple):
    """The texts of messages that were lost, came twice, or came out of order."""

    lost: list[str]
    doubled: list[str]
    misplaced: list[str]


def tally(sent: list[str], read: list[str]) -> Tally:
    """Compare the texts that were sent with those that somebody read."""
    counts = Counter(read)
    first = list(dict.fromkeys(text for text in read if text in set(sent)))
    there = [text for text in sent if text in counts]
    return Tally(
        [text for text in sent if text not in counts],
        [text for text in sent if counts[text] > 1],
        [text for text, expected in zip(first, there, strict=True) if text != expected],
    )


async def a_thousand_messages(
    ada: ChatTransport, bob: Watch, proxy: FaultProxy, restart: Callable[[], None], count: int = 1000
) -> Tally:
    """Send `count` messages over some seconds, while the proxy resets all connections every 0.5 s, and the
    server restarts once. Return what became of them at `bob`'s."""
    sent = [f"message {number}" for number in range(count)]
    done = False

    async def resets() -> None:
        while not done:
            await asyncio.sleep(0.5)
            proxy.reset()

    breaking = asyncio.ensure_future(resets())
    try:
        receipts = []
        for start in range(0, count, TOGETHER):
            if start == count // 2 // TOGETHER * TOGETHER:
                await asyncio.to_thread(restart)
            receipts += [await ada.send(text) for text in sent[start : start + TOGETHER]]
            await asyncio.sleep(0.3)
    finally:
        done = True
        await breaking
    async with asyncio.timeout(60):
        for receipt in receipts:
            assert (await receipt.settled()) is DeliveryState.ACKED
    await until(lambda: sent[-1] in bob.texts)
    await asyncio.sleep(0.5)
    return tally(sent, bob.texts)


BIG = OutboxConfig(max_size=5000, max_in_flight=500)
