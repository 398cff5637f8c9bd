"""A TCP proxy on loopback that injects faults between a client and a server, without their knowledge.

    async with FaultProxy(server.url) as proxy:
        transport = WebSocketTransport(WebSocketConfig(url=proxy.rebase(server.ws_url)))
        proxy.set(latency=0.05)                 # both directions
        proxy.set("down", silent=True)          # answers are lost
        proxy.reset()                           # every connection, at once
        await proxy.refuse(); await proxy.accept()

A `Flow` holds the faults of one direction; methods of the proxy affect whole connections. Both may change
while connections are open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from chatlab.live.faulty_connection import FaultyConnection, Flow
from chatlab.live.listening import stop_listening
from chatlab.live.proxied_connection import READ_SIZE, ProxiedConnection

Direction = Literal["up", "down", "both"]


class FaultProxy:
    """A proxy on a free loopback port that forwards to `target`, a URL or `(host, port)`.

    `passing` makes the `ProxiedConnection` of each client; by default a `FaultyConnection`, which has the
    faults of `up` and `down`.
    """

    def __init__(
        self,
        target: str | tuple[str, int],
        *,
        port: int = 0,
        seed: int = 0,
        passing: Callable[[FaultProxy, asyncio.StreamWriter], ProxiedConnection] | None = None,
    ) -> None:
        if isinstance(target, str):
            parts = urlsplit(target)
            target = (
                parts.hostname or "127.0.0.1",
                parts.port or (443 if parts.scheme in ("https", "wss") else 80),
            )
        self._target = target
        self.host = "127.0.0.1"
        self.port = port
        self.up = Flow()
        self.down = Flow()
        self.idle_timeout: float | None = None
        self.accepted = 0
        self.random = Random(seed)
        self._passing = passing or FaultyConnection
        self._server: asyncio.Server | None = None
        self._connections: dict[ProxiedConnection, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def rebase(self, url: str) -> str:
        """Return the URL with the proxy's host and port."""
        return urlunsplit(urlsplit(url)._replace(netloc=f"{self.host}:{self.port}"))

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    def set(self, direction: Direction = "both", **changes: Any) -> None:
        """Change the flow of one direction or both: `up` is from the client to the server.

        Errors: `SettingsError` for a value that a `Flow` can't have.
        """
        if direction in ("up", "both"):
            self.up = self.up.replace(**changes)
        if direction in ("down", "both"):
            self.down = self.down.replace(**changes)

    def heal(self) -> None:
        """Remove all faults. Connections that have lost bytes stay silent, since their streams have gaps."""
        self.up = self.down = Flow()
        self.idle_timeout = None

    async def accept(self) -> None:
        """Listen: the first time on a free port, later on the same one.

        Errors: `OSError` when the port is in use.
        """
        if self._server is None:
            # Not serving yet, so there is no await between the socket's creation and `self._server`.
            self._server = await asyncio.start_server(
                self._connected, self.host, self.port, limit=READ_SIZE, start_serving=False
            )
            await self._server.start_serving()
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Go down: refuse new connections, and reset those that are open."""
        if self._server is not None:
            server, self._server = self._server, None
            await stop_listening(server)
        await self._end(self.reset())

    def reset(self) -> Iterable[asyncio.Task[None]]:
        """Reset every open connection on both sides (TCP RST), and return the tasks that end with it."""
        tasks = tuple(self._connections.values())
        for connection in tuple(self._connections):
            connection.abort()
        return tasks

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        await self.refuse()

    async def _end(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        waited = [task for task in tasks if task is not asyncio.current_task()]
        if waited:
            await asyncio.wait(waited)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = self._passing(self, writer)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.run(reader, *self._target)
        except asyncio.CancelledError:
            connection.abort()  # The loop ends, and this task isn't awaited: Python 3.11 would report it.
        finally:
            del self._connections[connection]
