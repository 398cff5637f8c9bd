"""Everybody's way to a server over real sockets: a fault proxy each, on which bytes take their time.

They take as long as the person's `Path` says, with the same luck as in the model.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from math import inf

import httpx

from chatlab.experiment.ailing import Address
from chatlab.experiment.scaled_loop import ScaledLoop
from chatlab.live.fault_proxy import READ_SIZE, FaultProxy, ProxiedConnection, abort
from chatlab.live.server import EmbeddedServer
from chatlab.live.tls import shared_tls
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
        """Leave it to the server, which accepts every connection at once: they wait on the road."""

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
        self._there: set[RoadConnection] = set()

    @property
    def url(self) -> str:
        """The server's root, as the person's transport is to address it."""
        return f"http://{self._proxy.host}:{self._proxy.port}"

    @property
    def connections(self) -> Iterable[RoadConnection]:
        """All connections."""
        return [connection for connection in self._there if connection.number]

    @property
    def quiet(self) -> bool:
        """Whether nothing is on its way to the person, or has vanished."""
        return all(connection.quiet for connection in self.connections)

    def _pass_on(self, proxy: FaultProxy, client: asyncio.StreamWriter) -> RoadConnection:
        connection = RoadConnection(proxy, client, self)
        self._there.add(connection)
        return connection

    def forget(self, connection: RoadConnection) -> None:
        """Take note that a connection is over."""
        self._there.discard(connection)
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

    `number` is the port that the server sees; 0 while it doesn't know of the connection.
    """

    def __init__(self, proxy: FaultProxy, client: asyncio.StreamWriter, road: Road) -> None:
        super().__init__(proxy, client)
        self.number = 0
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
        try:
            server_reader, server = await self._open(host, port)
        except OSError:
            self.abort()
            return
        async with asyncio.TaskGroup() as flows:
            flows.create_task(self._take("up", reader))
            flows.create_task(self._hand_over("up", server))
            flows.create_task(self._take("down", server_reader))
            flows.create_task(self._hand_over("down", self.writers[0]))

    async def _open(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Wait as TCP does. Errors: OSError where the server refuses, which the client takes for a reset."""
        path, roads = self._path, self._road.roads
        await self._arrival("up", path.connect)  # SYN
        accepted_at = None if path.refusing else roads.queue.enter(self._loop.time())
        if accepted_at is None:
            await self._arrival("down", path.connect)
            raise ConnectionRefusedError
        server_reader, server = await asyncio.open_connection(host, port, limit=READ_SIZE)
        self.writers.append(server)
        self.number = server.get_extra_info("sockname")[1]
        roads.paths[self.number] = path
        self.adapt()
        await self._arrival("down", path.connect)  # SYN-ACK
        if roads.tls:
            await self._arrival("up", path.connect)
            await self._until(accepted_at)
            await self._arrival("down", path.connect)
        self._arrives_at["up"] = max(self._arrives_at["up"], accepted_at)
        return server_reader, server

    # What is on its way

    def _send(self, direction: Direction, delay: float, size: int = 0) -> float:
        """Return when `size` bytes arrive, behind all that was sent before."""
        before, now = self._arrives_at[direction], self._loop.time()
        at = self._path.troubled_arrival(direction, now, delay, size, before)
        self._arrives_at[direction] = at
        return at

    async def _arrival(self, direction: Direction, delay: Delay) -> None:
        """Wait until a packet that is sent now arrives; for ever where it vanishes."""
        at = self._send(direction, self._path.delay(delay))
        await self._until(at if at < self._silent_at[direction] else inf)

    async def _until(self, time: float) -> None:
        if time == inf:
            await self._loop.create_future()
        await asyncio.sleep(max(0.0, time - self._loop.time()))

    async def _take(self, direction: Direction, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                data: bytes | None = await reader.read(READ_SIZE)
            except OSError:
                data = None
            if direction == "up":
                self._road.roads.bytes_up += len(data or b"")
                self._road.roads.requests += begins_request(data)
            else:
                self._road.roads.bytes_down += len(data or b"")
            if direction == "down" and self._holds_back(data):
                self._held += data or b""
                if len(self._held) >= self._path.trouble.buffer:
                    self._flush()
            else:
                self._flush()
                self._put(direction, data)
            if not data:
                return

    def _put(self, direction: Direction, data: bytes | None) -> None:
        path, now, drawn_at = self._path, self._loop.time(), self._drawn_at[direction]
        if now != drawn_at and (data or drawn_at == -inf):  # An end takes as long as what it ends.
            self._drawn_at[direction] = now
            self._delays[direction] = path.delay(path.up if direction == "up" else path.down)
        size = max(1, int(min(READ_SIZE, path.trouble.bandwidth * PIECE)))
        for piece in [data[start : start + size] for start in range(0, len(data), size)] if data else [data]:
            due = self._send(direction, self._delays[direction], len(piece or b""))
            self._pieces[direction].put_nowait((due, piece))

    async def _hand_over(self, direction: Direction, writer: asyncio.StreamWriter) -> None:
        pieces = self._pieces[direction]
        with contextlib.suppress(OSError):
            while True:
                due, data = await pieces.get()
                await self._until(due)
                if self._loop.time() >= self._silent_at[direction]:
                    continue
                if data is None:
                    abort(writer)
                    return
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

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
        if self._used_at + self._path.trouble.idle_timeout > self._loop.time():
            self.adapt()
        else:
            self._idle = None
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
