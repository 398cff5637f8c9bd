"""One connection through a proxy, with the timing of TCP over a person's `Path`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from math import inf

from chatlab.experiment.worlds.shaped_flow import sleep_until
from chatlab.experiment.worlds.shaped_opening import ShapedOpening, SharedState
from chatlab.live.proxied_connection import READ_SIZE, abort
from chatlab.sim.path import Direction, Path
from chatlab.sim.tcp import begins_request, pass_proxy

STREAM = b"text/event-stream"


class ShapedConnection(ShapedOpening):
    """One connection through a proxy, with the timing of TCP (and TLS) over the person's path."""

    def __init__(
        self,
        client: asyncio.StreamWriter,
        path: Path,
        shared: SharedState,
        on_end: Callable[[ShapedConnection], None],
    ) -> None:
        super().__init__(client, path, shared)
        self._on_end = on_end
        self._streaming = False
        self._held = bytearray()
        self._idle: asyncio.TimerHandle | None = None

    async def run(self, reader: asyncio.StreamReader, host: str, port: int) -> None:
        """Open the connection, and pass on bytes until both sides have ended."""
        self.pumps = [self._loop.create_task(self._carry(reader, host, port))]
        try:
            await asyncio.wait(self.pumps)
        finally:
            for pump in self.pumps:
                pump.cancel()
            await asyncio.wait(self.pumps)
            if self._idle is not None:
                self._idle.cancel()
            self._on_end(self)
            for writer in self.writers:
                writer.close()

    async def _carry(self, reader: asyncio.StreamReader, host: str, port: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._open(tasks, host, port))
            tasks.create_task(self._read("up", reader))
            tasks.create_task(self._write_arrivals("up"))
            tasks.create_task(self._write_arrivals("down"))

    # Data in flight

    async def _read(self, direction: Direction, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                data: bytes | None = await reader.read(READ_SIZE)
            except OSError:
                data = None
            if direction == "up":
                self._from_client(data)
            else:
                self._from_server(data)
            if not data:
                return
            await (self._up if direction == "up" else self._down).room()

    def _from_client(self, data: bytes | None) -> None:
        """Forward data of the client: bytes, b"" for FIN, None for RST."""
        self.closed = self.closed or not data
        if self._opened:
            self._shared.bytes_up += len(data or b"")
            if begins_request(data):
                self._shared.requests += 1
                data = pass_proxy(data, self, self._path, self._loop.time())
                if not data:
                    return
            self._send_up(data)
        elif data:
            self._early_data += data
        elif self._syn_acked:
            self._send_up(b"")

    def _from_server(self, data: bytes | None) -> None:
        """Forward data of the server, unless a buffering proxy holds it back."""
        self._shared.bytes_down += len(data or b"")
        if self._is_buffered(data):
            self._held += data or b""
            if len(self._held) >= self._path.impairment.buffer:
                self._flush()
        else:
            self._flush()
            self._down.send(data)

    def _send_up(self, data: bytes | None) -> None:
        at = self._up.send(data)
        if data is None:
            self._loop.call_at(at, self._on_reset)

    async def _write_arrivals(self, direction: Direction) -> None:
        """Write the pieces of a flow when they arrive, until it ends."""
        flow = self._up if direction == "up" else self._down
        with contextlib.suppress(OSError):
            while True:
                due, data = await flow.next_piece()
                await sleep_until(due)
                if direction == "up" and self._handshake.is_kept:
                    await self._let_in.wait()
                if flow.silent:
                    continue
                writer = self.writers[0] if direction == "down" else await self._server_writer()
                if writer is None:
                    return
                if data is None:
                    abort(writer)
                    return
                if not data:
                    writer.write_eof()
                    if flow.pieces.empty():
                        return
                    continue  # An RST follows.
                writer.write(data)
                if direction == "down" and self.closed and _was_reset(writer):
                    self._send_up(None)
                await writer.drain()

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is in flight to the client, and nothing was lost on the way."""
        return not self._held and self._down.arrives_at <= self._loop.time() and not self._down.silent

    # Faults

    def silence(self, at: float, directions: Sequence[Direction]) -> None:
        """Lose everything that arrives from `at` on in these directions. Neither side notices."""
        for direction in directions:
            flow = self._up if direction == "up" else self._down
            flow.silent_at = min(flow.silent_at, at)

    def reset(self) -> None:
        """Send an RST to both sides."""
        self._flush()
        self._down.send(None)
        self._send_up(None)

    def adapt(self) -> None:
        """Apply the changes of the path."""
        impairment = self._path.impairment
        if not impairment.buffer:
            self._flush()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if impairment.idle_timeout < inf:
            due = self._used_at + impairment.idle_timeout
            self._idle = self._loop.call_at(max(self._loop.time(), due), self._check_idle)

    @property
    def _used_at(self) -> float:
        """Arrival time of the latest packet, which may be in the future."""
        return max(self._up.arrives_at, self._down.arrives_at)

    def _check_idle(self) -> None:
        self._idle = None
        if self._accepting is None or self._server.cancelled() or self.closed:
            return  # The proxy doesn't know a connection whose SYN was lost, or that is closed.
        if self._used_at + self._path.impairment.idle_timeout > self._loop.time():
            self.adapt()
        else:
            self.reset()

    def _is_buffered(self, data: bytes | None) -> bool:
        """Whether a buffering proxy holds this data back. It does so only with event streams."""
        if not data:
            return False
        if data.startswith(b"HTTP/1.1 "):
            self._streaming = STREAM in data
        return self._streaming and bool(self._path.impairment.buffer)

    def _flush(self) -> None:
        held, self._held = bytes(self._held), bytearray()
        if held:
            self._down.send(held)


def _was_reset(writer: asyncio.StreamWriter) -> bool:
    """Return whether the peer has closed, and has answered the last bytes with an RST."""
    end: socket.socket = writer.get_extra_info("socket")
    return end.fileno() != -1 and bool(end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
