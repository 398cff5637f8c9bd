"""One end of a simulated TCP connection: an asyncio transport."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from enum import Enum
from typing import Any, Protocol

from chatlab.sim.simulated_socket import Address, SimulatedSocket

RECEIVE_BUFFER = 256 * 1024
"""Size of a kernel's receive buffer, in bytes."""
SEND_BUFFER = 768 * 1024
"""Size of a kernel's send buffer, in bytes."""
HIGH_WATER = 64 * 1024
"""Bytes in a transport's own buffer above which it pauses its protocol. Source: asyncio."""


class Mark(Enum):
    """The end of the bytes of one direction."""

    FIN = "no more will come"
    RST = "the other end is gone"


class Carrier(Protocol):
    """The connection between two ends; `number` identifies it."""

    number: int

    def carry(self, sender: Endpoint, item: bytes | Mark) -> None:
        """Carry bytes, or their end, from one end to the other."""

    def other(self, end: Endpoint) -> Endpoint:
        """Return the other end of `end`."""

    def lose(self, end: Endpoint) -> None:
        """Note that an end has closed its socket."""


class Endpoint(asyncio.Transport):
    """One end of a connection, as a protocol sees it. `gone`: its socket is closed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Carrier,
        address: Address,
        peer: Address,
        never_ready: int,
    ) -> None:
        own = SimulatedSocket(self, address, peer, never_ready)
        super().__init__({"socket": own, "sockname": address, "peername": peer})
        self.connection = connection
        self.address = address
        self.gone = False
        self._loop = loop
        self._protocol: asyncio.BaseProtocol | None = None
        self._context: Context = copy_context()
        self._inbox: deque[bytes | Mark] = deque()
        self._unread = 0  # bytes that the other end's protocol hasn't read yet
        self._unsent: deque[bytes] = deque()
        self._unsent_size = 0
        self.send_buffer = SEND_BUFFER
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._pausing = False  # the protocol was told to pause writing
        self._paused = False  # reading is paused
        self._reading = False  # a read is scheduled
        self._eof = False
        self._closing = False
        self._ended = False

    def __repr__(self) -> str:
        return f"<Endpoint {self.address} of connection {self.connection.number}>"

    def start(self, protocol: asyncio.BaseProtocol) -> None:
        """Attach the protocol, report the connection to it, and deliver bytes that have arrived."""
        self._protocol = protocol
        self._context = copy_context()
        protocol.connection_made(self)
        self._read_soon()

    @property
    def started(self) -> bool:
        """Whether a protocol is attached."""
        return self._protocol is not None

    @property
    def readable(self) -> bool:
        """Whether bytes, or their end, can be read."""
        return bool(self._inbox)

    # From the network

    def take(self, item: bytes | Mark) -> None:
        """Receive bytes, or their end."""
        if not self.gone:
            self._inbox.append(item)
            if item is Mark.RST and (self._closing or self._unsent or self._protocol is None):
                self._break()
            else:
                self._read_soon()
        elif isinstance(item, bytes) and not self.connection.other(self).gone:
            self.connection.carry(self, Mark.RST)

    def _read_soon(self) -> None:
        if self._inbox and self._protocol and not (self._reading or self._paused or self._closing):
            self._reading = True
            self._loop.call_soon(self._read, context=self._context)

    def _read(self) -> None:
        self._reading = False
        if self._paused or self._closing or not self._inbox:
            return
        try:
            match self._inbox[0]:
                case Mark.RST:
                    self._break()
                case Mark.FIN:
                    self._inbox.popleft()
                    if not self._stream_protocol.eof_received():
                        self.close()
                case _:
                    self._stream_protocol.data_received(self._read_all())
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": "a protocol raised", "exception": error, "transport": self}
            )
            self._force(error)
        self._read_soon()

    def _read_all(self) -> bytes:
        """Remove and return all bytes in the inbox, up to a mark."""
        pieces = []
        while self._inbox and isinstance(piece := self._inbox[0], bytes):
            pieces.append(piece)
            self._inbox.popleft()
        data = b"".join(pieces)
        self.connection.other(self).acknowledge(len(data))
        return data

    @property
    def _stream_protocol(self) -> asyncio.Protocol:
        assert isinstance(self._protocol, asyncio.Protocol), "only protocols with data_received are served"
        return self._protocol

    def _break(self) -> None:
        self._inbox.clear()
        self._force(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def time_out(self) -> None:
        """Fail with a time-out: bytes weren't acknowledged for too long."""
        if not self.gone:
            self._force(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))

    # Writing

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._ended or (self._closing and not self._unsent) or not data:
            return
        if Mark.RST in self._inbox:
            self._break()
            return
        self._unsent.append(bytes(data))
        self._unsent_size += len(data)
        self._send()
        if self._unsent_size > self._high and not self._pausing:
            self._pausing = True
            self._notify(lambda protocol: protocol.pause_writing())

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Write several pieces. On a narrow line each arrives when its own last byte does."""
        for data in list_of_data:
            self.write(data)

    def _send(self) -> None:
        """Pass bytes to the kernel's buffers, as far as there is room."""
        while self._unsent and self._unread < RECEIVE_BUFFER + self.send_buffer:
            room = RECEIVE_BUFFER + self.send_buffer - self._unread
            data = self._unsent.popleft()
            if len(data) > room:
                self._unsent.appendleft(data[room:])
                data = data[:room]
            self._unsent_size -= len(data)
            self._unread += len(data)
            self.connection.carry(self, data)

    def acknowledge(self, size: int) -> None:
        """Note that the other end's protocol has read `size` bytes."""
        self._unread -= size
        if self._ended or not self._unsent:
            return
        self._send()
        if self._pausing and self._unsent_size <= self._low:
            self._pausing = False
            self._notify(lambda protocol: protocol.resume_writing())
        if not self._unsent and self._eof:
            self.connection.carry(self, Mark.FIN)
        if not self._unsent and self._closing:
            self._end_soon(None)

    def _notify(self, news: Callable[[asyncio.BaseProtocol], None]) -> None:
        if self._protocol is not None:
            news(self._protocol)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not (self._closing or self._eof):
            self._eof = True
            if not self._unsent:
                self.connection.carry(self, Mark.FIN)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._unsent_size

    # Reading

    def is_reading(self) -> bool:
        return not (self._paused or self._closing)

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._read_soon()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    # Ends

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._unsent:
                self._end_soon(None)

    def abort(self) -> None:
        self._force(None)

    def _force(self, error: Exception | None) -> None:
        if not self._ended:
            self._closing = True
            self._unsent.clear()
            self._unsent_size = 0
            self._end_soon(error)

    def _end_soon(self, error: Exception | None) -> None:
        self._ended = True
        self._loop.call_soon(self._end, error, context=self._context)

    def _end(self, error: Exception | None) -> None:
        try:
            self._notify(lambda protocol: protocol.connection_lost(error))
        finally:
            self._close_socket(failed=isinstance(error, OSError))

    def _close_socket(self, *, failed: bool) -> None:
        """Close the socket; send FIN or RST, unless the connection has `failed`."""
        if self.gone:
            return
        unread = any(isinstance(item, bytes) for item in self._inbox)
        self._inbox.clear()
        if not failed and unread:
            self.connection.carry(self, Mark.RST)
        elif not failed and not self._eof:
            self.connection.carry(self, Mark.FIN)
        self.vanish()

    def vanish(self) -> None:
        """Close the socket without sending anything."""
        if not self.gone:
            self.gone = self._closing = self._ended = True
            self.connection.lose(self)
