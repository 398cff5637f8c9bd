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
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from random import Random
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from chatlab.live.listening import stop_listening
from chatlab.settings import Count, Duration, PositiveDuration, Settings, Size

Direction = Literal["up", "down", "both"]
_Pieces = asyncio.Queue[tuple[float, bytes | None]]
"""Data under way, with the time at which it is due; b"" is the sender's end (FIN), None a reset."""
READ_SIZE = 64 * 1024
TRICKLE = 0.05
"""Seconds between two pieces if the bandwidth is limited and there is more to send."""
HELD_BYTES = 1 << 20
"""Bytes of one direction under way; beyond that the sender must wait, as with a full TCP window."""


class Flow(Settings, frozen=True):
    """The faults of one direction.

    Bytes arrive after `latency` plus U(0, `jitter`) seconds, in order, at most `bandwidth` bytes a second, in
    pieces of `slice_size` bytes. `silent`: bytes are dropped without an error (half-open); a connection that
    has lost bytes stays silent for good, since its stream has a gap. `buffered`: bytes are held back until
    this number has arrived or the sender has closed, as some proxies do. `limit`: after this number of bytes
    a connection is reset.
    """

    latency: Duration = 0.0
    jitter: Duration = 0.0
    bandwidth: PositiveDuration | None = None
    slice_size: Size | None = None
    silent: bool = False
    buffered: Count = 0
    limit: Count | None = None


class FaultProxy:
    """A proxy on a free loopback port that passes everything on to `target`, a URL or `(host, port)`.

    `passing` makes the object that passes one connection on.
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
        self._passing = passing or ProxiedConnection
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
        """Remove all faults; only connections that have lost bytes stay silent."""
        self.up = self.down = Flow()
        self.idle_timeout = None

    async def accept(self) -> None:
        """Listen, after the first time on the same port.

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


class ProxiedConnection:
    """One client's connection, and the matching one to the server.

    `writers` are its ends, the client's first; `pumps` are the tasks that pass bytes on.
    """

    def __init__(self, proxy: FaultProxy, client: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.writers = [client]
        self._moved_at = asyncio.get_running_loop().time()
        self.pumps: list[asyncio.Task[None]] = []
        self._reset = False

    async def run(self, reader: asyncio.StreamReader, host: str, port: int) -> None:
        client = self.writers[0]
        try:
            server_reader, server = await asyncio.open_connection(host, port, limit=READ_SIZE)
        except OSError:
            self.abort()
            return
        self.writers.append(server)
        if self._reset:  # The reset came while the connection was being opened.
            self.abort()
            return
        loop = asyncio.get_running_loop()
        self.pumps = [
            loop.create_task(self._pump("up", reader, server)),
            loop.create_task(self._pump("down", server_reader, client)),
        ]
        watch = loop.create_task(self._watch())
        try:
            await asyncio.wait(self.pumps)
        finally:
            for task in (watch, *self.pumps):
                task.cancel()
            await asyncio.wait((watch, *self.pumps))
            for writer in self.writers:
                writer.close()

    def abort(self) -> None:
        """End both sides with a TCP RST."""
        self._reset = True
        for writer in self.writers:
            abort(writer)
        for pump in self.pumps:
            pump.cancel()

    async def _watch(self) -> None:
        """Reset the connection once it has been idle for the proxy's idle timeout."""
        loop = asyncio.get_running_loop()
        while True:
            timeout = self.proxy.idle_timeout
            left = 0.05 if timeout is None else self._moved_at + timeout - loop.time()
            if timeout is not None and left <= 0:
                self.abort()
                return
            await asyncio.sleep(min(left, 0.05))

    async def _pump(
        self, direction: Literal["up", "down"], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass one direction on: read as fast as the flow allows, and write each piece when it is due."""
        pieces: _Pieces = asyncio.Queue()
        room = asyncio.Event()
        delivery = asyncio.get_running_loop().create_task(self._deliver(pieces, writer, room))
        try:
            await self._take_in(direction, reader, pieces, room)
            await delivery
        finally:
            delivery.cancel()
            await asyncio.wait((delivery,))

    async def _take_in(
        self,
        direction: Literal["up", "down"],
        reader: asyncio.StreamReader,
        pieces: _Pieces,
        room: asyncio.Event,
    ) -> None:
        loop = asyncio.get_running_loop()
        due, passed, held, lost, broken = 0.0, 0, bytearray(), False, False
        while True:
            try:
                data = await reader.read(READ_SIZE)
            except OSError:
                data, broken = b"", True
            flow: Flow = getattr(self.proxy, direction)
            self._moved_at = loop.time()
            lost = lost or (flow.silent and bool(data))
            if lost or flow.silent:
                if not data:
                    await asyncio.Event().wait()  # The FIN is dropped too.
                continue
            held += data
            if data and len(held) < flow.buffered:
                continue
            if flow.limit is not None and passed + len(held) > flow.limit:
                del held[max(0, flow.limit - passed) :]
                data, broken = b"", True
            passed += len(held)
            size = flow.slice_size or len(held) or 1
            if flow.bandwidth is not None:
                size = min(size, max(1, int(flow.bandwidth * TRICKLE)))
            for start in range(0, len(held), size):
                piece = bytes(held[start : start + size])
                due = max(due, loop.time() + flow.latency + flow.jitter * self.proxy.random.random())
                due += len(piece) / flow.bandwidth if flow.bandwidth is not None else 0.0
                pieces.put_nowait((due, piece))
            held.clear()
            if not data:
                pieces.put_nowait((due, None if broken else b""))
                return
            room.clear()
            while pieces.qsize() * size > HELD_BYTES:
                await room.wait()
                room.clear()

    async def _deliver(self, pieces: _Pieces, writer: asyncio.StreamWriter, room: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                due, piece = await pieces.get()
                room.set()
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                if piece is None:
                    self.abort()
                    return
                if not piece:
                    writer.write_eof()
                    return
                self._moved_at = loop.time()
                writer.write(piece)
                await writer.drain()


def abort(writer: asyncio.StreamWriter) -> None:
    """End one side of a connection with a TCP RST."""
    peer: socket.socket | None = writer.get_extra_info("socket")
    if peer is not None and peer.fileno() != -1:
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
