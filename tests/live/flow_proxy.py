"""A proxy that splits, cuts off or drops bytes at will, to be as hostile to a transport as no scenario is.

    async with FlowProxy(server.url) as proxy:
        transport = WebSocketTransport(WebSocketConfig(url=proxy.rebase(server.ws_url)))
        proxy.set(slice_size=1)                 # both directions
        proxy.set("down", silent=True)          # answers are lost
        proxy.reset()                           # every connection, at once
        await proxy.refuse(); await proxy.accept()

The product's own `FaultProxy` has the faults of scenarios.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Literal

from chatlab.live.proxied_connection import READ_SIZE, ProxiedConnection
from chatlab.live.proxy import Proxy
from chatlab.settings import Count, Settings, Size


class Flow(Settings, frozen=True):
    """The faults of one direction.

    Bytes are passed on in pieces of `slice_size` bytes. `silent`: bytes are dropped without an error
    (half-open); a connection that has lost bytes stays silent for good, since its stream has a gap.
    `buffered`: bytes are held back until this number has arrived or the sender has closed, as some proxies
    do. `limit`: after this number of bytes a connection is reset.
    """

    slice_size: Size | None = None
    silent: bool = False
    buffered: Count = 0
    limit: Count | None = None


Direction = Literal["up", "down", "both"]


class FlowProxy(Proxy):
    """A proxy with a `Flow` for each direction. Both may change while connections are open."""

    def __init__(self, target: str | tuple[str, int], *, port: int = 0) -> None:
        super().__init__(target, lambda client: FaultyConnection(self, client), port=port)
        self.up = Flow()
        self.down = Flow()

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


class FaultyConnection(ProxiedConnection):
    """A connection with the faults that its proxy has at the time."""

    def __init__(self, faults: FlowProxy, client: asyncio.StreamWriter) -> None:
        super().__init__(client)
        self._faults = faults

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
        try:
            await asyncio.wait(self.pumps)
        finally:
            for pump in self.pumps:
                pump.cancel()
            await asyncio.wait(self.pumps)
            for writer in self.writers:
                writer.close()

    async def _pump(
        self, direction: Literal["up", "down"], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Forward one direction, until it ends."""
        passed, held, lost = 0, bytearray(), False
        while True:
            try:
                data = await reader.read(READ_SIZE)
            except OSError:
                self.abort()
                return
            flow: Flow = getattr(self._faults, direction)
            lost = lost or (flow.silent and bool(data))
            if lost or flow.silent:
                if not data:
                    await asyncio.Event().wait()  # The FIN is dropped too.
                continue
            held += data
            if data and len(held) < flow.buffered:
                continue
            left = len(held) if flow.limit is None else max(0, flow.limit - passed)
            passed += len(held)
            with contextlib.suppress(OSError):
                await _write(writer, bytes(held[:left]), flow.slice_size)
                if not data:
                    writer.write_eof()
            if left < len(held):
                self.abort()
            if not data or left < len(held):
                return
            held.clear()


async def _write(writer: asyncio.StreamWriter, data: bytes, slice_size: int | None) -> None:
    size = slice_size or len(data) or 1
    for start in range(0, len(data), size):
        writer.write(data[start : start + size])
        await writer.drain()
        await asyncio.sleep(0)  # So the receiver may read each piece by itself.
