"""The opening of a connection through a proxy, with the timing of TCP over a person's `Path`.

The handshake is that of the wire world (`chatlab.sim.tcp_opening`):

    client          proxy                                      server
      │── accepted ──▶│  SYN: one delay up, then the accept queue
      │               │  SYN-ACK: one delay down               │
      │               │  ClientHello, ServerHello if TLS       │
      │── data ──────▶│── connects when the queue accepts it ─▶│
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable

from chatlab.experiment.worlds.shaped_flow import ShapedFlow, sleep_until
from chatlab.live.proxied_connection import READ_SIZE, ProxiedConnection
from chatlab.sim.capacity import AcceptQueue, QueueOverflow
from chatlab.sim.opening import SYN_ACK_TIMES, SynReceived
from chatlab.sim.path import Direction, Path
from chatlab.sim.tcp_sender import WireLine


class SharedState:
    """State shared by all connections to one server: its accept queue, and counts of the traffic.

    `paths` has the path of each accepted connection, by the client's port as the server sees it. `lines` are
    those of each path, up and down. `turned_away` are the ports of connections that found the queue full.
    """

    def __init__(self, tls: bool) -> None:
        self.tls = tls
        self.queue = AcceptQueue(None, 1)
        self.overflow: QueueOverflow = "drop"
        self.turned_away: set[int] = set()
        self.paths: dict[int, Path] = {}
        self.lines: dict[Path, tuple[WireLine, WireLine]] = {}
        self.bytes_up = self.bytes_down = self.requests = 0


class ShapedOpening(ProxiedConnection):
    """A connection through a fault proxy, as far as its opening goes.

    The proxy accepts its client at once, and holds back the client's data until the handshake would be over.
    The server gets the connection when it leaves the accept queue. `number` is the client's port as the
    server sees it, 0 until the server has accepted the connection. It is `closed` once the client has closed
    it.
    """

    def __init__(self, client: asyncio.StreamWriter, path: Path, shared: SharedState) -> None:
        super().__init__(client)
        self.number = 0
        self.closed = False
        self._path = path
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        up, down = shared.lines.setdefault(path, (WireLine(), WireLine()))
        self._up = ShapedFlow("up", path, up)
        self._down = ShapedFlow("down", path, down)
        self._up.opposite, self._down.opposite = self._down, self._up
        self._syn_acked = False  # The client has received the SYN-ACK.
        self._opened = False
        self._early_data = b""  # Sent by the client before the handshake was over.
        self._server: asyncio.Future[asyncio.StreamWriter] = self._loop.create_future()
        self._accepting: asyncio.Task[None] | None = None
        self._start_accept: Callable[[float], asyncio.Task[None]]
        self._handshake = SynReceived()
        self._overflowed = False  # A proxy answers instead of the server.
        self._let_in = asyncio.Event()  # The first bytes are read.
        self._acking: list[asyncio.Task[None]] = []

    @abstractmethod
    def adapt(self) -> None:
        """Apply the changes of the path."""

    @abstractmethod
    async def _read(self, direction: Direction, reader: asyncio.StreamReader) -> None:
        """Forward what one side sends, until it ends."""

    @abstractmethod
    def _from_client(self, data: bytes | None) -> None:
        """Forward data of the client: bytes, b"" for FIN, None for RST."""

    @abstractmethod
    def _send_up(self, data: bytes | None) -> None:
        """Send data of the client to the server."""

    async def _open(self, tasks: asyncio.TaskGroup, host: str, port: int) -> None:
        """Open the connection with the handshakes of TCP and TLS. A refusal reaches the client as a reset."""
        path, shared = self._path, self._shared
        self._start_accept = lambda at: tasks.create_task(self._accept(at, host, port))
        syn_left_at = await self._deliver_syn()
        if syn_left_at is None:
            self._abandon_server()
            self._down.send_now(None)
            return
        if path.refusing or not (self._drops or self._take_place()):
            self._abandon_server()
            await self._answer()
            self._down.send_now(None)
            return
        if self._drops and self._handshake.begin(shared.queue):
            repeats = [self._loop.time() + wait for wait in SYN_ACK_TIMES]
            self._acking = [tasks.create_task(self._ack_again(at)) for at in repeats]
        answered_at = await self._answer()
        self._syn_acked = True
        now = self._loop.time()
        self._up.round_trips.take(now - syn_left_at)
        self._down.round_trips.take(now + self._up.delay - answered_at)
        if self.closed:
            self._send_up(None)
            return
        if shared.tls:
            if self._handshake.is_kept:
                self._up.draw_delay(path.connect)  # ClientHello
                await self._try_first_bytes()
            else:
                await self._up.packet(path.connect)
            await asyncio.wait([self._server])
            if self._server.cancelled():
                return
            await self._down.packet(path.connect)  # ServerHello
        self._opened = True
        if self._early_data and not self.closed:
            self._from_client(self._early_data)
            if self._handshake.is_kept and not shared.tls:
                tasks.create_task(self._try_first_bytes())

    async def _deliver_syn(self) -> float | None:
        """Send SYNs until the server answers one; return when that left; None: the client has given up."""
        path, queue = self._path, self._shared.queue
        arrivals = self._up.handshake_packet(lambda: not self.closed, is_syn=True)
        async for left_at in arrivals:
            if path.refusing or not self._drops or not queue.is_full(self._loop.time()):
                return left_at
        return None

    # A place in the accept queue

    @property
    def _drops(self) -> bool:
        """Whether the handshake's last ACK takes the place in the accept queue, not the SYN."""
        return self._shared.overflow == "drop" and self._shared.queue.is_limited

    def _take_place(self) -> bool:
        """Take a place in the accept queue, unless this connection has had one; return whether it has."""
        if self._accepting is None:
            now = self._loop.time()
            accepted_at = self._shared.queue.enter(now)
            if accepted_at is None and self._shared.overflow == "503":
                self._overflowed, accepted_at = True, now
            if accepted_at is None:
                return False
            self._accepting = self._start_accept(accepted_at)
            self._end_handshake()
            self.adapt()
        return True

    async def _try_first_bytes(self) -> None:
        """Send the first bytes until the server takes them, or resets the connection."""
        async for _ in self._up.tries(self._up.delay):
            if self._let_in.is_set() or self._is_rejected() or self._take_place():
                break
        self._let_in.set()

    async def _ack_again(self, at: float) -> None:
        """Answer the SYN-ACK that the server sends again at a time."""
        await sleep_until(at)
        over = self._handshake.is_forgotten or self._let_in.is_set()
        if self._syn_acked and self._accepting is None and not over:
            await self._down.extra_packet()
            await self._up.extra_packet()
            if not self._is_rejected():
                self._take_place()

    def _end_handshake(self) -> None:
        self._handshake.end()
        for acking in self._acking:
            if acking is not asyncio.current_task():
                acking.cancel()

    def _is_rejected(self) -> bool:
        """Reset the client if a stopped server has forgotten the handshake; return whether it has."""
        if self._handshake.is_forgotten and not self._let_in.is_set():
            self._abandon_server()
            if not self.closed:
                self._down.send(None)
        return self._handshake.is_forgotten

    async def _answer(self) -> float:
        """Answer the SYN; return when the answer that arrived left."""
        async for left_at in self._down.handshake_packet():
            return left_at
        raise AssertionError("it is sent until it arrives")

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
        if self._overflowed:
            self._shared.turned_away.add(self.number)
        self._server.set_result(server)
        await self._read("down", reader)

    def reset_unaccepted(self) -> None:
        """Reset the connection if it is in the accept queue; forget its handshake if that isn't complete."""
        if self._accepting is not None and not self._server.done():
            self._abandon_server()
            self._down.send(None)
        elif self._accepting is None:
            self._handshake.forget()

    def _abandon_server(self) -> None:
        """Stop waiting to be accepted, and end the flow to the server."""
        self._server.cancel()
        self._let_in.set()
        self._end_handshake()
        self._up.send_now(b"")
        if self._accepting is not None:
            self._accepting.cancel()

    def _on_reset(self) -> None:
        """Stop waiting to be accepted when the client's RST arrives, even if bytes are in front of it."""
        if not self._up.silent and (self._accepting or self._handshake.is_kept) and not self._server.done():
            self._abandon_server()

    async def _server_writer(self) -> asyncio.StreamWriter | None:
        """Return the connection to the server once it is accepted; None: it won't be."""
        if not self._server.done():
            await asyncio.wait([self._server])
        return None if self._server.cancelled() else self._server.result()
