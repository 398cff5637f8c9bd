"""The live world's access lines. Each person reaches the server through a proxy of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx

from chatlab.experiment.worlds.proxied_line import LinesToServer, ProxiedLine
from chatlab.experiment.worlds.scaled_loop import ScaledLoop
from chatlab.live.client.tls import shared_tls
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.sim.capacity import AcceptQueue, QueueOverflow
from chatlab.sim.path import Path


class ProxiedLines(LinesToServer):
    """The access lines of all people to one server. Runs that share a `start` barrier begin together."""

    def __init__(self, start: asyncio.Barrier, *, tls: bool = False) -> None:
        super().__init__(tls)
        self._start = start

    async def open(
        self, server: EmbeddedServer, paths: Sequence[Path], queue: AcceptQueue, overflow: QueueOverflow
    ) -> Sequence[ProxiedLine]:
        """Return a line to the listening server for each path."""
        self.queue, self.overflow = queue, overflow
        await _warm_up(server.url)
        for path in paths:
            await self.open_line(server.url, path)
        return self._lines

    async def begin(self) -> None:
        """Start the loop's clock at 0."""
        await self._start.wait()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ScaledLoop)
        loop.begin()


async def _warm_up(url: str) -> None:
    """Make one request, since libraries load modules at the first one. No person then waits for that."""
    async with httpx.AsyncClient(verify=shared_tls(), trust_env=False) as client:
        await client.get(f"{url}/healthz")
