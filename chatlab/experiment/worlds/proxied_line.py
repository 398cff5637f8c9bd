"""The access lines to one server, each through a proxy of its own, which delays bytes as long as the person's
`Path` does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from chatlab.experiment.worlds.fault_middleware import Address
from chatlab.experiment.worlds.shaped_connection import ShapedConnection
from chatlab.experiment.worlds.shaped_opening import SharedState
from chatlab.live.proxy import Proxy
from chatlab.sim.fault_context import Breakable
from chatlab.sim.path import Path


class LinesToServer(SharedState):
    """All lines to one server."""

    def __init__(self, tls: bool = False) -> None:
        super().__init__(tls)
        self._lines: list[ProxiedLine] = []

    async def open_line(self, target: str, path: Path, port: int = 0) -> ProxiedLine:
        """Return an open line to a server's URL, which listens on `port` (0: a free one)."""
        line = ProxiedLine(target, path, self, port)
        self._lines.append(line)
        await line.open()
        return line

    async def close_line(self, line: ProxiedLine) -> None:
        """Close a line and forget it."""
        self._lines.remove(line)
        await line.close()
        self.lines.pop(line.path, None)

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

    async def close(self) -> None:
        """End all connections and tasks."""
        await asyncio.gather(*(line.close() for line in self._lines))


class ProxiedLine:
    """One person's connections to the server, through a proxy."""

    def __init__(self, target: str, path: Path, shared: SharedState, port: int = 0) -> None:
        self.path = path
        self._shared = shared
        self.proxy = Proxy(target, self._pass_on, port=port)
        self._connections: dict[ShapedConnection, None] = {}

    @property
    def url(self) -> str:
        """The server's root URL for the person's transport."""
        return f"http://{self.proxy.host}:{self.proxy.port}"

    @property
    def connections(self) -> Iterable[ShapedConnection]:
        """All connections that the person has not closed."""
        return [connection for connection in self._connections if not connection.closed]

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is in flight to the person, and nothing was lost on the way."""
        return all(connection.up_to_date for connection in self.connections)

    def _pass_on(self, client: asyncio.StreamWriter) -> ShapedConnection:
        connection = ShapedConnection(client, self.path, self._shared, self._remove)
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
        await self.proxy.accept()

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        await self.proxy.close()
