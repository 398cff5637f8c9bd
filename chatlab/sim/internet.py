"""The simulated internet: listeners by address, and the paths to them.

It makes the connections of a `VirtualLoop`. Each address leads to one server machine; the port selects the
listener, and the host selects the path. So each client may use a host, and thereby a path, of its own.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextvars import copy_context
from itertools import count
from types import TracebackType
from typing import Self

from chatlab.sim.capacity import AcceptQueue, QueueOverflow
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.path import Path
from chatlab.sim.simulated_socket import Address
from chatlab.sim.tcp import TcpConnection
from chatlab.sim.tcp_opening import Opening
from chatlab.sim.tcp_sender import WireLine
from chatlab.sim.virtual_loop import ProtocolFactory

CLIENT_HOST = "10.0.0.1"
"""Address of all clients; the port is unique, and is the connection's number."""
FIRST_PORT = 8000
"""First port for listeners on port 0 (any)."""


class Internet:
    """All listeners and connections of a simulation.

    `find_path` returns the path to a host. With `tls` opening a connection takes one more round trip. `queue`
    is the accept queue, and `overflow` says what happens if it is full. `bytes_up` and `bytes_down` count the
    bytes sent on all connections.
    """

    def __init__(
        self,
        environment: LadderEnvironment,
        find_path: Callable[[str], Path],
        *,
        tls: bool = False,
        queue: AcceptQueue | None = None,
        overflow: QueueOverflow = "drop",
    ) -> None:
        self.environment = environment
        self.queue = queue or AcceptQueue(None, 0)
        self.overflow = overflow
        self._find_path = find_path
        self._tls = tls
        self._listeners: dict[int, Listener] = {}
        self._connections: dict[int, TcpConnection] = {}
        self._lines: dict[Path, tuple[WireLine, WireLine]] = {}
        self._numbers = count(49152)  # Source: RFC 6335 §6, the first dynamic port; here they don't run out.
        self._ended_up = self._ended_down = self._ended_requests = 0
        self._never_ready = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its one real socket."""
        self._never_ready.close()

    # For a loop

    async def connect(
        self, loop: asyncio.AbstractEventLoop, factory: ProtocolFactory, address: Address
    ) -> asyncio.Transport:
        """Connect to an address. Errors: OSError."""
        path = self._find_path(address[0])
        number = next(self._numbers)
        client = (CLIENT_HOST, number)
        connection = self._connections[number] = TcpConnection(
            loop,
            self.environment,
            path,
            self._lines.setdefault(path, (WireLine(), WireLine())),
            (client, address),
            self._find_listener,
            self._forget,
            number=number,
            tls=self._tls,
            never_ready=self._never_ready.fileno(),
        )
        connection.connect()
        try:
            await connection.opened
        except asyncio.CancelledError:
            connection.abandon()
            raise
        connection.client.start(factory())
        return connection.client

    def listen(self, loop: asyncio.AbstractEventLoop, factory: ProtocolFactory, address: Address) -> Listener:
        """Accept connections at a port. Errors: OSError if the port is taken."""
        host, port = address
        port = port or next(free for free in count(FIRST_PORT) if free not in self._listeners)
        if port in self._listeners:
            raise OSError(errno.EADDRINUSE, f"port {port} is in use")
        listener = self._listeners[port] = Listener(self, loop, factory, (host, port))
        return listener

    def stop_listening(self, port: int) -> None:
        """Refuse connections at a port from now on."""
        self._listeners.pop(port, None)

    def _find_listener(self, address: Address) -> Listener | None:
        return self._listeners.get(address[1])

    # Connections and counters

    def connections(self, path: Path | None = None) -> Iterator[TcpConnection]:
        """Return the connections over a path, or all."""
        there = list(self._connections.values())
        return (connection for connection in there if path is None or connection.path is path)

    def find(self, port: int) -> TcpConnection | None:
        """Return the connection that comes from a client's port."""
        return self._connections.get(port)

    @property
    def bytes_up(self) -> int:
        """Bytes that clients have sent."""
        return self._ended_up + sum(connection.up.size for connection in self._connections.values())

    @property
    def bytes_down(self) -> int:
        """Bytes that servers have sent."""
        return self._ended_down + sum(connection.down.size for connection in self._connections.values())

    @property
    def requests(self) -> int:
        """Requests that clients have sent."""
        return self._ended_requests + sum(connection.requests for connection in self._connections.values())

    def _forget(self, connection: TcpConnection) -> None:
        if self._connections.pop(connection.number, None) is not None:
            self._ended_up += connection.up.size
            self._ended_down += connection.down.size
            self._ended_requests += connection.requests


class Listener(asyncio.AbstractServer):
    """A listening port: each accepted connection gets a protocol of its own."""

    def __init__(
        self, internet: Internet, loop: asyncio.AbstractEventLoop, factory: ProtocolFactory, address: Address
    ) -> None:
        self._internet = internet
        self._loop = loop
        self._factory = factory
        self._context = copy_context()
        self._waiting: dict[int, Opening] = {}
        self._open = True
        self.address = address

    @property
    def sockets(self) -> tuple[ListeningSocket, ...]:
        """Sockets that it listens on; none once it is closed."""
        return (ListeningSocket(self.address),) if self._open else ()

    # A connection's `Listener`

    @property
    def overflow(self) -> QueueOverflow:
        """The treatment of connections if the accept queue is full. One without a rate never is."""
        return self._internet.overflow if self._internet.queue.is_limited else "refuse"

    @property
    def is_full(self) -> bool:
        """Whether the accept queue is full."""
        return self._internet.queue.is_full(self._internet.environment.now)

    def keep(self, connection: Opening) -> None:
        """Keep a connection that has no place in the accept queue."""
        self._waiting[connection.number] = connection

    def keep_handshake(self) -> bool:
        """Return whether the SYN-ACK will be repeated. If too many are under way, it is a SYN cookie."""
        return self._internet.queue.keep_handshake()

    def end_handshake(self) -> None:
        """Note that a handshake is over whose SYN-ACK was to be repeated."""
        if self._open:
            self._internet.queue.end_handshake()

    def admit(self, connection: Opening) -> float | None:
        """Put a connection into the accept queue; return when it is accepted; None: the queue is full."""
        accepted_at = self._internet.queue.enter(self._internet.environment.now)
        if accepted_at is not None:
            self._waiting[connection.number] = connection
        return accepted_at

    def accept(self, connection: Opening) -> None:
        """Accept the connection: make a protocol for its server end."""
        self._loop.call_soon(self._accept, connection, context=self._context)

    def _accept(self, connection: Opening) -> None:
        if self._waiting.pop(connection.number, None) is not None and not connection.server.gone:
            connection.server.start(self._factory())

    # The interface of `asyncio.Server`

    def close(self) -> None:
        """Refuse connections from now on, and reset those that aren't accepted yet."""
        if self._open:
            self._open = False
            self._internet.stop_listening(self.address[1])
            self._internet.queue.clear()
            for connection in self._waiting.values():
                connection.reset_unaccepted()
            self._waiting.clear()

    async def wait_closed(self) -> None:
        """Return at once: there is nothing to wait for."""

    async def start_serving(self) -> None:
        """Return at once: it serves from the beginning."""

    async def serve_forever(self) -> None:
        """Serve until cancelled."""
        try:
            await self._loop.create_future()
        finally:
            self.close()

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self._open

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return its loop."""
        return self._loop


class ListeningSocket:
    """The part of a listening socket that asyncio and the libraries use."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, address: Address) -> None:
        self._address = address

    def fileno(self) -> int:
        """Return a descriptor that no file has; a loop may remove its reader."""
        return 1 << 30

    def getsockname(self) -> Address:
        """Return the listening address."""
        return self._address
