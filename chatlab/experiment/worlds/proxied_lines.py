"""The live world's access lines. Each person reaches the server through a fault proxy of their own.

The proxy delays bytes as long as the person's `Path` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import httpx

from chatlab.experiment.worlds.fault_middleware import Address
from chatlab.experiment.worlds.scaled_loop import ScaledLoop
from chatlab.experiment.worlds.shaped_connection import ShapedConnection
from chatlab.experiment.worlds.shaped_opening import SharedState
from chatlab.live.client.tls import shared_tls
from chatlab.live.fault_proxy import FaultProxy
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.sim.capacity import AcceptQueue, QueueOverflow
from chatlab.sim.fault_context import Breakable
from chatlab.sim.path import Path


class ProxiedLines(SharedState):
    """The access lines of all people to one server. Runs that share a `start` barrier begin together."""

    def __init__(self, start: asyncio.Barrier, *, tls: bool = False) -> None:
        super().__init__(tls)
        self._start = start
        self._lines: list[ProxiedLine] = []

    async def open(
        self, server: EmbeddedServer, paths: Sequence[Path], queue: AcceptQueue, overflow: QueueOverflow
    ) -> Sequence[ProxiedLine]:
        """Return a line to the listening server for each path."""
        self.queue, self.overflow = queue, overflow
        await _warm_up(server.url)
        for path in paths:
            line = ProxiedLine(server.url, path, self)
            self._lines.append(line)
            await line.open()
        return self._lines

    def client_address(self, connection: Breakable) -> Address:
        """Return the client address of a connection, as the server sees it."""
        return "127.0.0.1", connection.number

    def reset_unaccepted(self, connection: Breakable) -> None:
        """Reset a connection if the server hasn't accepted it yet."""
        assert isinstance(connection, ShapedConnection)
        connection.reset_unaccepted()

    def reset_all_unaccepted(self) -> None:
        """Reset all connections that the server hasn't accepted yet, after it has stopped."""
        self.queue.clear()
        for line in self._lines:
            line.reset_unaccepted()

    def path_of(self, client: Address) -> Path | None:
        """Return the path of the connection from this client address; None: the connection has ended."""
        return self.paths.get(client[1])

    def overflowed(self, client: Address) -> bool:
        """Return whether the connection from this client address found the accept queue full."""
        return client[1] in self.turned_away

    async def begin(self) -> None:
        """Start the loop's clock at 0."""
        await self._start.wait()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ScaledLoop)
        loop.begin()

    async def close(self) -> None:
        """End all connections and tasks."""
        await asyncio.gather(*(line.close() for line in self._lines))


async def _warm_up(url: str) -> None:
    """Make one request, since libraries load modules at the first one. No person then waits for that."""
    async with httpx.AsyncClient(verify=shared_tls(), trust_env=False) as client:
        await client.get(f"{url}/healthz")


class ProxiedLine:
    """One person's connections to the server, through a fault proxy."""

    def __init__(self, target: str, path: Path, shared: SharedState) -> None:
        self._path = path
        self._shared = shared
        self._proxy = FaultProxy(target, passing=self._pass_on)
        self._connections: dict[ShapedConnection, None] = {}

    @property
    def url(self) -> str:
        """The server's root URL for the person's transport."""
        return f"http://{self._proxy.host}:{self._proxy.port}"

    @property
    def connections(self) -> Iterable[ShapedConnection]:
        """All connections that the person has not closed."""
        return [connection for connection in self._connections if not connection.closed]

    @property
    def quiet(self) -> bool:
        """Whether nothing is in flight to the person, and nothing was lost on the way."""
        return all(connection.quiet for connection in self.connections)

    def _pass_on(self, proxy: FaultProxy, client: asyncio.StreamWriter) -> ShapedConnection:
        connection = ShapedConnection(client, self._path, self._shared, self._remove)
        self._connections[connection] = None
        return connection

    def _remove(self, connection: ShapedConnection) -> None:
        self._connections.pop(connection, None)
        self._shared.paths.pop(connection.number, None)
        self._shared.turned_away.discard(connection.number)

    def reset_unaccepted(self) -> None:
        """Reset all connections that the server hasn't accepted, also those that the person has closed."""
        for connection in list(self._connections):
            connection.reset_unaccepted()

    def adapt(self) -> None:
        """Apply the changes of the path."""
        for connection in self.connections:
            connection.adapt()

    async def open(self) -> None:
        """Start to accept connections."""
        await self._proxy.accept()

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        await self._proxy.close()
