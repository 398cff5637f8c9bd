"""A proxy that splits, cuts off or drops bytes at will, to be as hostile to a transport as no scenario is.

    async with FlowProxy(server.url) as proxy:
        transport = WebSocketTransport(WebSocketConfig(url=proxy.rebase(server.ws_url)))
        proxy.set(latency=0.05)                 # both directions
        proxy.set("down", silent=True)          # answers are lost
        proxy.reset()                           # every connection, at once
        await proxy.refuse(); await proxy.accept()

The product's own `FaultProxy` has the faults of scenarios.
"""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import Any, Literal

from chatlab.live.proxied_connection import READ_SIZE, ProxiedConnection
from chatlab.live.proxy import Proxy
from chatlab.settings import Count, Duration, PositiveDuration, Settings, Size

_Pieces = asyncio.Queue[tuple[float, bytes | None]]
"""Data in flight, with the time at which it is due: bytes, b"" for a FIN, or None for an RST."""
TRICKLE = 0.05
"""Seconds between two pieces if the bandwidth is limited and there is more to send."""
HELD_BYTES = 1 << 20
"""Maximum bytes in flight in one direction; beyond that the sender must wait, as with a full TCP window."""


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


Direction = Literal["up", "down", "both"]


class FlowProxy(Proxy):
    """A proxy with a `Flow` for each direction. Both may change while connections are open."""

    def __init__(self, target: str | tuple[str, int], *, port: int = 0, seed: int = 0) -> None:
        super().__init__(target, lambda client: FaultyConnection(self, client), port=port)
        self.up = Flow()
        self.down = Flow()
        self.idle_timeout: float | None = None
        self.random = Random(seed)

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


class FaultyConnection(ProxiedConnection):
    """A connection with the faults that its proxy has at the time."""

    def __init__(self, faults: FlowProxy, client: asyncio.StreamWriter) -> None:
        super().__init__(client)
        self._faults = faults
        self._moved_at = asyncio.get_running_loop().time()

    async def run(self, reader: asyncio.StreamReader, host: str, port: int) -> None:
        client = self.writers[0]
        try:
            server_reader, server = await asyncio.open_connection(host, port, limit=READ_SIZE)
        except OSError:
            self.abort()
            return
        self.writers.append(server)
        if self.aborted:  # The reset came while the connection was being opened.
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

    async def _watch(self) -> None:
        """Reset the connection once it has been idle for the proxy's idle timeout."""
        loop = asyncio.get_running_loop()
        while True:
            timeout = self._faults.idle_timeout
            left = 0.05 if timeout is None else self._moved_at + timeout - loop.time()
            if timeout is not None and left <= 0:
                self.abort()
                return
            await asyncio.sleep(min(left, 0.05))

    async def _pump(
        self, direction: Literal["up", "down"], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Forward one direction: read as fast as the flow allows, and write each piece when it is due."""
        pieces: _Pieces = asyncio.Queue()
        space = asyncio.Event()
        delivery = asyncio.get_running_loop().create_task(self._deliver(pieces, writer, space))
        try:
            await self._take_in(direction, reader, pieces, space)
            await delivery
        finally:
            delivery.cancel()
            await asyncio.wait((delivery,))

    async def _take_in(
        self,
        direction: Literal["up", "down"],
        reader: asyncio.StreamReader,
        pieces: _Pieces,
        space: asyncio.Event,
    ) -> None:
        loop = asyncio.get_running_loop()
        due, passed, held, lost, broken = 0.0, 0, bytearray(), False, False
        while True:
            try:
                data = await reader.read(READ_SIZE)
            except OSError:
                data, broken = b"", True
            flow: Flow = getattr(self._faults, direction)
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
                due = max(due, loop.time() + flow.latency + flow.jitter * self._faults.random.random())
                due += len(piece) / flow.bandwidth if flow.bandwidth is not None else 0.0
                pieces.put_nowait((due, piece))
            held.clear()
            if not data:
                pieces.put_nowait((due, None if broken else b""))
                return
            space.clear()
            while pieces.qsize() * size > HELD_BYTES:
                await space.wait()
                space.clear()

    async def _deliver(self, pieces: _Pieces, writer: asyncio.StreamWriter, space: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                due, piece = await pieces.get()
                space.set()
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
