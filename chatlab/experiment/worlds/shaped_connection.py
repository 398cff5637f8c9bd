"""One connection through a fault proxy, with the timing of TCP over a person's `Path`.

The handshake is that of the wire world (`chatlab.sim.tcp`):

    client          proxy                                      server
      │── accepted ──▶│  SYN: one delay up, then the accept queue
      │               │  SYN-ACK: one delay down               │
      │               │  ClientHello, ServerHello if TLS       │
      │── data ──────▶│── connects when the queue accepts it ─▶│
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from math import inf

from chatlab.experiment.worlds.shaped_flow import ShapedFlow, sleep_until
from chatlab.live.proxied_connection import READ_SIZE, ProxiedConnection, abort
from chatlab.sim.capacity import AcceptQueue
from chatlab.sim.path import Direction, Path
from chatlab.sim.tcp import begins_request
from chatlab.sim.tcp_sender import Line

STREAM = b"text/event-stream"


class SharedState:
    """State shared by all connections to one server: its accept queue, and counts of the traffic.

    `paths` has the path of each accepted connection, by the client's port as the server sees it. `lines` are
    those of each path, up and down.
    """

    def __init__(self, tls: bool) -> None:
        self.tls = tls
        self.queue = AcceptQueue(None, 1)
        self.paths: dict[int, Path] = {}
        self.lines: dict[Path, tuple[Line, Line]] = {}
        self.bytes_up = self.bytes_down = self.requests = 0


class ShapedConnection(ProxiedConnection):
    """One connection through a fault proxy, with the timing of TCP (and TLS) over the person's path.

    The proxy accepts its client at once, and holds back the client's data until the handshake would be over.
    The handshake is that of the wire world (`chatlab.sim.tcp`): the server gets the connection when it leaves
    the accept queue. `number` is the client's port as the server sees it, 0 until the server has
    accepted the connection. It is `closed` once the client has closed it.
    """

    def __init__(
        self,
        client: asyncio.StreamWriter,
        path: Path,
        shared: SharedState,
        on_end: Callable[[ShapedConnection], None],
    ) -> None:
        super().__init__(client)
        self.number = 0
        self.closed = False
        self._path = path
        self._shared = shared
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        up, down = shared.lines.setdefault(path, (Line(), Line()))
        self._up = ShapedFlow("up", path, up)
        self._down = ShapedFlow("down", path, down)
        self._up.opposite, self._down.opposite = self._down, self._up
        self._syn_acked = False  # The client has received the SYN-ACK.
        self._opened = False
        self._early_data = b""  # Sent by the client before the handshake was over.
        self._server: asyncio.Future[asyncio.StreamWriter] = self._loop.create_future()
        self._accepting: asyncio.Task[None] | None = None
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

    # Opening

    async def _open(self, tasks: asyncio.TaskGroup, host: str, port: int) -> None:
        """Open the connection with the handshakes of TCP and TLS. A refusal reaches the client as a reset."""
        path, shared = self._path, self._shared
        syn_left_at = await self._up.handshake_packet(self._syns_lost_until, lambda: not self.closed)
        if syn_left_at == inf:
            self._end_unopened()
            return
        accepted_at = None if path.refusing else shared.queue.enter(self._loop.time())
        if accepted_at is None:
            self._abandon_server()
            await self._answer()
            self._down.send_now(None)
            return
        self._accepting = tasks.create_task(self._accept(accepted_at, host, port))
        self.adapt()
        answered_at = await self._answer()
        self._syn_acked = True
        now = self._loop.time()
        self._up.round_trips.take(now - syn_left_at)
        self._down.round_trips.take(now + self._up.delay - answered_at)
        if self.closed:
            self._send_up(None)
            return
        if shared.tls:
            await self._up.packet(path.connect)  # ClientHello
            await asyncio.wait([self._server])
            if self._server.cancelled():
                return
            await self._down.packet(path.connect)  # ServerHello
        self._opened = True
        if self._early_data and not self.closed:
            self._from_client(self._early_data)

    def _syns_lost_until(self) -> float:
        return max(self._path.partitioned_until, self._path.unreachable_until)

    async def _answer(self) -> float:
        """Answer the SYN; return when the answer that arrived left."""
        return await self._down.handshake_packet(lambda: self._path.partitioned_until, lambda: True)

    def _end_unopened(self) -> None:
        """End a connection whose client has given up before a SYN arrived."""
        self._abandon_server()
        self._down.send_now(None)

    async def _accept(self, accepted_at: float, host: str, port: int) -> None:
        """Connect to the server when this connection leaves the accept queue."""
        await sleep_until(accepted_at)
        try:
            reader, server = await asyncio.open_connection(host, port, limit=READ_SIZE)
        except OSError:
            self.reset_unaccepted()
            return
        self.writers.append(server)
        self.number = server.get_extra_info("sockname")[1]
        self._shared.paths[self.number] = self._path
        self._server.set_result(server)
        await self._read("down", reader)

    def reset_unaccepted(self) -> None:
        """Reset the connection if its SYN has arrived and the server hasn't accepted it."""
        if self._accepting is not None and not self._server.done():
            self._abandon_server()
            self._down.send(None)

    def _abandon_server(self) -> None:
        """Stop waiting to be accepted, and end the flow to the server."""
        self._server.cancel()
        self._up.send_now(b"")
        if self._accepting is not None:
            self._accepting.cancel()

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

    def _from_client(self, data: bytes | None) -> None:
        """Forward data of the client: bytes, b"" for FIN, None for RST."""
        self.closed = self.closed or not data
        if self._opened:
            self._shared.bytes_up += len(data or b"")
            self._shared.requests += begins_request(data)
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

    def _on_reset(self) -> None:
        """Stop waiting to be accepted when the client's RST arrives, even if bytes are in front of it."""
        if not self._up.silent and self._accepting and not self._server.done():
            self._abandon_server()

    async def _write_arrivals(self, direction: Direction) -> None:
        """Write the pieces of a flow when they arrive, until it ends."""
        flow = self._up if direction == "up" else self._down
        with contextlib.suppress(OSError):
            while True:
                due, data = await flow.pieces.get()
                await sleep_until(due)
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

    async def _server_writer(self) -> asyncio.StreamWriter | None:
        """Return the connection to the server once it is accepted; None: it won't be."""
        if not self._server.done():
            await asyncio.wait([self._server])
        return None if self._server.cancelled() else self._server.result()

    @property
    def quiet(self) -> bool:
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
