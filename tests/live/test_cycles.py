"""HOSTILE A31: a thousand connections, or reconnections, leave no task, thread, socket or timer at either
end. `test_transport` has those of a WebSocket alone."""

from __future__ import annotations

import asyncio
import os
import threading
from itertools import cycle
from math import inf
from time import monotonic
from typing import Any, NamedTuple

import pytest

from chatlab.hub import HubConfig
from chatlab.live.client.kinds import FALLBACK, make_config, make_transport
from chatlab.live.client.transport import ChatTransport
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import DeliveryState
from chatlab.settings import FallbackConfig
from tests.live.misbehave import Misbehaving, Peer, Request
from tests.live.misbehave_http import Site, hang_up, message, respond, says
from tests.live.watch import OVER_HTTP, PATIENCE, PERSISTENT, QUICKLY, Watch, until
from tests.sizes import rows, times

TIMES = times(1000)
STRIDE = 10
"""Number of connects and disconnects of a transport between two messages."""
AT_ONCE = 25
"""Upper bound of tasks, timers or files that a transport and its server hold at any time."""
FILES = "/proc/self/fd"
ACKED = DeliveryState.ACKED

pytestmark = [
    pytest.mark.sized,
    pytest.mark.skipif(not os.path.isdir(FILES), reason=f"counts open files in {FILES}"),  # noqa: PTH112
]


class Held(NamedTuple):
    """The resources of a process: tasks and timers of the loop, threads, open files."""

    tasks: int
    timers: int
    threads: int
    files: int

    def exceeds(self, other: Held) -> dict[str, tuple[int, int]]:
        """Return the resources of which there are more than in `other`. There may be fewer, if an earlier
        test left some."""
        return {
            name: (more, less)
            for name, more, less in zip(self._fields, self, other, strict=True)
            if more > less
        }


def held() -> Held:
    loop = asyncio.get_running_loop()
    timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
    return Held(len(asyncio.all_tasks()), len(timers), threading.active_count(), len(os.listdir(FILES)))  # noqa: PTH208


async def as_before(before: Held) -> None:
    """Wait until no more is held than before; the server ends its side of a connection a moment later.

    It doesn't use `until`, which itself holds a timer.
    """
    deadline = monotonic() + PATIENCE
    while held().exceeds(before) and monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    assert held().exceeds(before) == {}


def left_in(transport: ChatTransport) -> dict[str, Any]:
    """Return the resources that a disconnected transport still holds."""
    driver = transport._driver
    everything = {
        "tasks": driver._tasks,
        "links": driver._links,
        "connections": driver._connections,
        "timer": driver._timer.armed_at < inf,
        "waiters": transport._audience.waiters,
        "receipts": transport._receipts,
        "pools": [session for session in transport._dialer.sessions if session._pool is not None],
    }
    return {name: what for name, what in everything.items() if what}


def make(kind: str, url: str, **settings: Any) -> ChatTransport:
    """Return a transport on the running loop; a fallback's WebSocket gets an address without a server."""
    config = make_config(kind, url, **QUICKLY | settings)
    if isinstance(config, FallbackConfig):
        nowhere = config.first.replace(url=f"{url.replace('http', 'ws')}/nowhere")
        config = config.replace(transports=(nowhere, *config.transports[1:]))
    return make_transport(config, loop="current")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", rows([*OVER_HTTP, FALLBACK], "sse"))
async def test_A31_a_thousand_connects_and_disconnects_leave_nothing(kind: str) -> None:
    async with EmbeddedServer(config=HubConfig(rate=1e6, burst=1_000_000)) as server:
        transport = make(kind, server.url)

        async def come_and_go(number: int) -> None:
            async with asyncio.timeout(PATIENCE):
                await transport.connect()
                if number % STRIDE == 0:  # Sent while it disconnects, over connections of their own.
                    await transport.send(f"{number}")
                await transport.disconnect()

        await come_and_go(0)
        assert server._runtime is not None
        served = server._runtime.connections.connections
        await until(lambda: not served)
        before = held()
        for number in range(1, TIMES + 1):
            await come_and_go(number)
        await as_before(before)
        assert left_in(transport) == {}
        assert transport.unsettled() == []
        assert (len(served), server._runtime.driver.people) == (0, 0)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", rows([*OVER_HTTP, FALLBACK], FALLBACK))
async def test_A31_a_thousand_reconnects_leave_nothing(kind: str) -> None:
    """Answer with 503, or cut off before, within or after an answer; messages are sent all the while."""
    turns = cycle((says(message("1"), then="reset"), respond(503), says(then="leave"), hang_up))

    async def flap(peer: Peer, request: Request) -> None:
        await next(turns)(peer, request)

    quick = {"error_delay": 0.001, "min_gap": 0.0, "interval": 0.001, "upgrade_after": 0.01}
    reconnect = PERSISTENT.replace(base_delay=0.001, max_delay=0.001, jitter="none")
    before = held()
    async with Misbehaving(Site(receive=[flap])) as server:
        config = make_config(
            kind, server.url, **QUICKLY | quick | {"reconnect": reconnect, "attempts_per_transport": 1}
        )
        transport = make_transport(config, loop="current")
        watch = Watch(transport)
        most = before
        transport.start()
        for times in range(STRIDE, TIMES + 1, STRIDE):
            await watch.connected(times)
            assert await (await transport.send("x")).settled() is ACKED
            most = Held(*map(max, most, held()))
        await asyncio.wait_for(transport.disconnect(), PATIENCE)
        assert left_in(transport) == {}
        await until(lambda: not server.open)
    await as_before(before)
    assert all(peak - then <= AT_ONCE for peak, then in zip(most, before, strict=True)), (before, most)
