"""Everybody's way to a server over real sockets: a fault proxy each, on which bytes take their time.

They take as long as the person's `Path` says, with the same luck as in the model.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Sequence
from math import inf

import httpx

from chatlab.experiment.worlds.fault_middleware import Address
from chatlab.experiment.worlds.scaled_loop import ScaledLoop
from chatlab.live.client.tls import shared_tls
from chatlab.live.fault_proxy import READ_SIZE, FaultProxy, ProxiedConnection, abort
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.sim.capacity import AcceptQueue
from chatlab.sim.latency import Delay
from chatlab.sim.path import Direction, Path
from chatlab.sim.scene import Breakable
from chatlab.sim.tcp import begins_request

PIECE = 0.002
"""Seconds that what leaves a narrow line together takes it at most, unless that is one byte."""
STREAM = b"text/event-stream"


class Roads:
    """Everybody's roads to one server. Runs that share a barrier begin together."""

    def __init__(self, start: asyncio.Barrier, *, tls: bool = False) -> None:
        self._start = start
        self.tls = tls
        self.bytes_up = self.bytes_down = self.requests = 0
        self.queue = AcceptQueue(None, 1)
        self.paths: dict[int, Path] = {}
        self._roads: list[Road] = []

    async def lay(self, server: EmbeddedServer, paths: Sequence[Path], queue: AcceptQueue) -> Sequence[Road]:
        """Return a road for each path to a server that listens."""
        self.queue = queue
        await _warm_up(server.url)
        for path in paths:
            road = Road(server.url, path, self)
            self._roads.append(road)
            await road.open()
        return self._roads

    def client_of(self, connection: Breakable) -> Address:
        """Return the address that the server sees a connection come from."""
        return "127.0.0.1", connection.number

    def turn_away(self, connection: Breakable) -> None:
        """Reset a connection if the server hasn't accepted it yet."""
        assert isinstance(connection, RoadConnection)
        connection.turn_away()

    def stop(self) -> None:
        """Reset what waits to be accepted: the server has stopped."""
        self.queue.clear()
        for road in self._roads:
            for connection in road.connections:
                connection.turn_away()

    def path_of(self, client: Address) -> Path | None:
        """Return the path of the connection that the server sees come from this address."""
        return self.paths.get(client[1])

    async def begin(self) -> None:
        """The run begins: the loop's clock goes, from 0."""
        await self._start.wait()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ScaledLoop)
        loop.begin()

    async def close(self) -> None:
        """End all connections, and leave nothing running."""
        await asyncio.gather(*(road.close() for road in self._roads))


async def _warm_up(url: str) -> None:
    """Make one request, so that what libraries load at their first one delays no person."""
    async with httpx.AsyncClient(verify=shared_tls(), trust_env=False) as client:
        await client.get(f"{url}/healthz")


class Road:
    """One person's line: a fault proxy on which bytes take their time as the path says."""

    def __init__(self, target: str, path: Path, roads: Roads) -> None:
        self.path = path
        self.roads = roads
        self._proxy = FaultProxy(target, passing=self._pass_on)
        self._there: dict[RoadConnection, None] = {}

    @property
    def url(self) -> str:
        """The server's root, as the person's transport is to address it."""
        return f"http://{self._proxy.host}:{self._proxy.port}"

    @property
    def connections(self) -> Iterable[RoadConnection]:
        """All connections that the person has not closed."""
        return [connection for connection in self._there if not connection.closed]

    @property
    def quiet(self) -> bool:
        """Whether nothing is on its way to the person, or has vanished."""
        return all(connection.quiet for connection in self.connections)

    def _pass_on(self, proxy: FaultProxy, client: asyncio.StreamWriter) -> RoadConnection:
        connection = RoadConnection(proxy, client, self)
        self._there[connection] = None
        return connection

    def forget(self, connection: RoadConnection) -> None:
        """Take note that a connection is over."""
        self._there.pop(connection, None)
        self.roads.paths.pop(connection.number, None)

    def adapt(self) -> None:
        """Take note that the path has changed."""
        for connection in self.connections:
            connection.adapt()

    async def open(self) -> None:
        """Begin to accept connections."""
        await self._proxy.accept()

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        await self._proxy.close()


class RoadConnection(ProxiedConnection):
    """One connection over a road. Its client is let in at once, but what it says waits until TCP would stand.

    It opens as in the wire world (`chatlab.sim.tcp`): the server gets it when it has left the accept queue.
    `number` is the port that the server sees; 0 before. `closed`: the client has closed it.
    """

    def __init__(self, proxy: FaultProxy, client: asyncio.StreamWriter, road: Road) -> None:
        super().__init__(proxy, client)
        self.number = 0
        self.closed = False
        self._road = road
        self._path = road.path
        self._loop = asyncio.get_running_loop()
        silent_at = -inf if road.path.swallowing else inf
        self._silent_at: dict[Direction, float] = {"up": silent_at, "down": silent_at}
        self._arrives_at: dict[Direction, float] = {"up": -inf, "down": -inf}
        self._drawn_at: dict[Direction, float] = {"up": -inf, "down": -inf}
        self._delays: dict[Direction, float] = {"up": 0.0, "down": 0.0}
        self._pieces: dict[Direction, asyncio.Queue[tuple[float, bytes | None]]] = {
            "up": asyncio.Queue(),
            "down": asyncio.Queue(),
        }
        self._answered = False  # The client has had the SYN-ACK.
        self._opened = False
        self._early = b""  # What the client says before.
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
            self._road.forget(self)
            for writer in self.writers:
                writer.close()

    async def _carry(self, reader: asyncio.StreamReader, host: str, port: int) -> None:
        async with asyncio.TaskGroup() as flows:
            flows.create_task(self._open(flows, host, port))
            flows.create_task(self._take("up", reader))
            flows.create_task(self._hand_over("up"))
            flows.create_task(self._hand_over("down"))

    # Opening

    async def _open(self, flows: asyncio.TaskGroup, host: str, port: int) -> None:
        """Open it as TCP and TLS do. What the client takes for a reset may be a refusal."""
        path, roads = self._path, self._road.roads
        await self._arrival("up", path.connect)  # SYN
        accepted_at = None if path.refusing else roads.queue.enter(self._loop.time())
        if accepted_at is None:
            self._lose_server()
            await self._arrival("down", path.connect)
            self._pieces["down"].put_nowait((self._loop.time(), None))
            return
        self._accepting = flows.create_task(self._accept(accepted_at, host, port))
        self.adapt()
        await self._arrival("down", path.connect)  # SYN-ACK
        self._answered = True
        if self.closed:
            self._put("up", None)
            return
        if roads.tls:
            await self._arrival("up", path.connect)  # ClientHello
            await asyncio.wait([self._server])
            if self._server.cancelled():
                return
            await self._arrival("down", path.connect)  # ServerHello
        self._opened = True
        if self._early and not self.closed:
            self._say(self._early)

    async def _accept(self, accepted_at: float, host: str, port: int) -> None:
        """Connect to the server when the accept queue gets to this connection."""
        await self._until(accepted_at)
        try:
            reader, server = await asyncio.open_connection(host, port, limit=READ_SIZE)
        except OSError:
            self.turn_away()
            return
        self.writers.append(server)
        self.number = server.get_extra_info("sockname")[1]
        self._road.roads.paths[self.number] = self._path
        self._server.set_result(server)
        await self._take("down", reader)

    def turn_away(self) -> None:
        """Reset it if its SYN has come and it isn't accepted yet: whoever was to do so is gone."""
        if self._accepting is not None and not self._server.done():
            self._lose_server()
            self._put("down", None)

    def _lose_server(self) -> None:
        """Take note that no server will accept it."""
        self._server.cancel()
        self._pieces["up"].put_nowait((self._loop.time(), b""))
        if self._accepting is not None:
            self._accepting.cancel()

    # What is on its way

    def _send(self, direction: Direction, size: int = 0, delay: Delay | None = None) -> float:
        """Return when `size` bytes arrive, behind all that was sent before.

        What is sent at one instant takes the same time. An end without bytes takes as long as the last ones.
        """
        path, now, drawn_at = self._path, self._loop.time(), self._drawn_at[direction]
        if now != drawn_at and (size or delay or drawn_at == -inf):
            self._drawn_at[direction] = now
            self._delays[direction] = path.delay(delay or (path.up if direction == "up" else path.down))
        before = self._arrives_at[direction]
        at = path.troubled_arrival(direction, now, self._delays[direction], size, before)
        self._arrives_at[direction] = at
        return at

    async def _arrival(self, direction: Direction, delay: Delay) -> None:
        """Wait until a packet that is sent now arrives; for ever where it vanishes."""
        at = self._send(direction, delay=delay)
        await self._until(at)
        if at >= self._silent_at[direction]:
            await self._until(inf)

    async def _until(self, time: float) -> None:
        if time == inf:
            await self._loop.create_future()
        if (left := time - self._loop.time()) > 0:  # What comes at one instant is there together.
            await asyncio.sleep(left)

    async def _take(self, direction: Direction, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                data: bytes | None = await reader.read(READ_SIZE)
            except OSError:
                data = None
            if direction == "up":
                self._say(data)
            else:
                self._answer(data)
            if not data:
                return

    def _say(self, data: bytes | None) -> None:
        """Send what the client says: bytes, b"" for their end, None for a reset."""
        self.closed = self.closed or not data
        if self._opened:
            self._road.roads.bytes_up += len(data or b"")
            self._road.roads.requests += begins_request(data)
            self._put("up", data)
        elif data:
            self._early += data
        elif self._answered:
            self._put("up", b"")

    def _answer(self, data: bytes | None) -> None:
        """Send what the server says."""
        self._road.roads.bytes_down += len(data or b"")
        if self._holds_back(data):
            self._held += data or b""
            if len(self._held) >= self._path.trouble.buffer:
                self._flush()
        else:
            self._flush()
            self._put("down", data)

    def _put(self, direction: Direction, data: bytes | None) -> None:
        size = max(1, int(min(READ_SIZE, self._path.trouble.bandwidth * PIECE)))
        for piece in [data[start : start + size] for start in range(0, len(data), size)] if data else [data]:
            at = self._send(direction, len(piece or b""))
            self._pieces[direction].put_nowait((at, piece))
            if piece is None and direction == "up":
                self._loop.call_at(at, self._take_reset)

    def _take_reset(self) -> None:
        """Forget what waits to be accepted: a reset has come, maybe behind bytes."""
        if self._loop.time() < self._silent_at["up"] and self._accepting and not self._server.done():
            self._lose_server()

    async def _hand_over(self, direction: Direction) -> None:
        pieces = self._pieces[direction]
        with contextlib.suppress(OSError):
            while True:
                due, data = await pieces.get()
                await self._until(due)
                if self._loop.time() >= self._silent_at[direction]:
                    continue
                writer = self.writers[0] if direction == "down" else await self._at_server()
                if writer is None:
                    return
                if data is None:
                    abort(writer)
                    return
                if not data:
                    writer.write_eof()
                    if pieces.empty():
                        return
                    continue  # With the reset that is behind it.
                writer.write(data)
                if direction == "down" and self.closed and _reset(writer):
                    self._put("up", None)
                await writer.drain()

    async def _at_server(self) -> asyncio.StreamWriter | None:
        """Return where the server hears it once it has accepted the connection; None: it never will."""
        if not self._server.done():
            await asyncio.wait([self._server])
        return None if self._server.cancelled() else self._server.result()

    @property
    def quiet(self) -> bool:
        """Whether it works, and nothing is on its way down."""
        arrived, silent_at = self._arrives_at["down"], self._silent_at["down"]
        return not self._held and arrived <= self._loop.time() < silent_at

    # What goes wrong

    def silence(self, at: float, directions: Sequence[Direction]) -> None:
        """From `at` on let everything that goes in these directions vanish, and tell neither side."""
        for direction in directions:
            self._silent_at[direction] = min(self._silent_at[direction], at)

    def reset(self) -> None:
        """End it from the middle: both sides are told that the other has gone."""
        self._flush()
        self._put("down", None)
        self._put("up", None)

    def adapt(self) -> None:
        """Take note that the path's troubles have changed."""
        trouble = self._path.trouble
        if not trouble.buffer:
            self._flush()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if trouble.idle_timeout < inf:
            due = self._used_at + trouble.idle_timeout
            self._idle = self._loop.call_at(max(self._loop.time(), due), self._check_idle)

    @property
    def _used_at(self) -> float:
        """Time of the last byte that came through, or will."""
        return max(self._arrives_at.values())

    def _check_idle(self) -> None:
        self._idle = None
        if self._accepting is None or self._server.cancelled() or self.closed:
            return  # The proxy knows of none whose SYN is lost, or whose ends are gone.
        if self._used_at + self._path.trouble.idle_timeout > self._loop.time():
            self.adapt()
        else:
            self.reset()

    def _holds_back(self, data: bytes | None) -> bool:
        """Whether a proxy keeps this from the client for a while: it is of an event stream."""
        if not data:
            return False
        if data.startswith(b"HTTP/1.1 "):
            self._streaming = STREAM in data
        return self._streaming and bool(self._path.trouble.buffer)

    def _flush(self) -> None:
        held, self._held = bytes(self._held), bytearray()
        if held:
            self._put("down", held)


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Return whether the other end has closed, and has answered the last bytes with a reset."""
    end: socket.socket = writer.get_extra_info("socket")
    return end.fileno() != -1 and bool(end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
