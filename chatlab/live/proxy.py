"""A TCP proxy on loopback, between clients and a server that don't know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from chatlab.live.listening import stop_listening
from chatlab.live.proxied_connection import READ_SIZE, ProxiedConnection
from chatlab.settings.urls import through_proxy


class Proxy:
    """A proxy on a free loopback port that forwards to `target`, a URL or `(host, port)`.

    `passing` makes the `ProxiedConnection` of each client.
    """

    def __init__(
        self,
        target: str | tuple[str, int],
        passing: Callable[[asyncio.StreamWriter], ProxiedConnection],
        *,
        port: int = 0,
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
        self.accepted = 0
        self._passing = passing
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
        """Return the URL with the proxy's host and port; a user and password stay."""
        return through_proxy(url, self.host, self.port)

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

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

    async def ended(self, timeout: float) -> None:
        """Wait until the present connections have ended, at most `timeout` seconds."""
        if self._connections:
            await asyncio.wait(tuple(self._connections.values()), timeout=timeout)

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        await self.refuse()

    async def _end(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        waited = [task for task in tasks if task is not asyncio.current_task()]
        if waited:
            await asyncio.wait(waited)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = self._passing(writer)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.run(reader, *self._target)
        except asyncio.CancelledError:
            connection.abort()  # The loop ends, and this task isn't awaited: Python 3.11 would report it.
        finally:
            del self._connections[connection]
