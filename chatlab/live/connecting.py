"""Opening connections: to the first address of a name that answers, directly or through a proxy, with TLS.

All transports connect here. A `Stream` is what httpcore wants of a connection; a WebSocket takes over its
transport once it is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from typing import Any

import httpcore

from chatlab.live.lookup import addresses_of

ATTEMPT_DELAY = 0.25
"""Seconds after which a further address is tried beside those under way. Source: RFC 8305 §5."""
MAX_UNREAD = 64 * 1024
"""Bytes that may have come in and wait to be read, before reading from the network stops."""


async def connect(host: str, port: int) -> Stream:
    """Connect to a host by the first of its addresses that answers.

    One that is silent holds up the next one only for `ATTEMPT_DELAY`. Source: RFC 8305.

    Errors: `OSError`, that of the address tried first.
    """
    addresses = await addresses_of(host, port)
    if len(addresses) == 1:
        return await _connect(addresses[0], port)
    waiting = deque(addresses)
    attempts: set[asyncio.Task[Stream]] = set()
    errors: list[OSError] = []
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_connect(waiting.popleft(), port)))
            done, attempts = await asyncio.wait(
                attempts,
                timeout=ATTEMPT_DELAY if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            streams = []
            for attempt in done:
                try:
                    streams.append(attempt.result())
                except OSError as error:
                    errors.append(error)
            for late in streams[1:]:
                late.abort()
            if streams:
                return streams[0]
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_discard)
            attempt.cancel()
    raise errors[0] if errors else OSError("the name has no address")


async def _connect(address: str, port: int) -> Stream:
    stream = Stream()
    await asyncio.get_running_loop().create_connection(lambda: stream, address, port)
    return stream


def _discard(attempt: asyncio.Task[Stream]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().abort()


class Stream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """An open connection, of which one task at a time reads and one writes."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._unread: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._came = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # What the network says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._pause()  # Who answers before TLS has begun is heard by TLS.

    def data_received(self, data: bytes) -> None:
        self._unread.append(data)
        self._size += len(data)
        if self._size > MAX_UNREAD:
            self._pause()
        self._came.set()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def eof_received(self) -> None:
        self._ended = True
        self._came.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        self._came.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What httpcore asks for

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come in, at most that many bytes; none: it has ended.

        Errors: `httpcore.ReadError` if the connection broke. Time-outs are the caller's affair.
        """
        if self._unread:
            await asyncio.sleep(0)  # A sender that never pauses leaves others their turn.
        while not self._unread:
            if self._error is not None:
                raise httpcore.ReadError from self._error
            if self._ended:
                return b""
            self._resume()
            self._came.clear()
            await self._came.wait()
        data = self._unread.popleft()
        if len(data) > max_bytes:
            self._unread.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        self._size -= len(data)
        if self._size <= MAX_UNREAD // 2:
            self._resume()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes, and wait while too many of earlier ones aren't sent.

        Errors: `httpcore.WriteError` if the connection broke.
        """
        if self._error is not None or self.transport.is_closing():
            raise httpcore.WriteError from self._error or ConnectionResetError()
        self.transport.write(buffer)
        await self._writable.wait()

    async def aclose(self) -> None:
        """Close within a turn of the loop: what is unsent by then isn't worth waiting for."""
        try:
            self.transport.close()
            await asyncio.sleep(0)
        finally:
            self.transport.abort()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """Return the connection with TLS on top.

        Errors: `OSError`, among them `ssl.SSLError`; the connection is then closed.
        """
        if self._unread:  # As a proxy's plain words behind its answer.
            error = ssl.SSLError(1, "not TLS")
            error.reason = "WRONG_VERSION_NUMBER"
            raise error
        try:
            over = await self._loop.start_tls(
                self.transport, self, ssl_context, server_hostname=server_hostname
            )
        except BaseException:
            self.abort()
            raise
        if over is None:
            raise ConnectionResetError("the connection ended within the TLS handshake")
        self.transport, self._paused = over, False
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # Between requests: the server has ended the connection, or talks nonsense.
            return self._ended or bool(self._unread) or self.transport.is_closing()
        if info in ("server_addr", "client_addr"):
            return self.transport.get_extra_info("peername" if info == "server_addr" else "sockname")
        return self.transport.get_extra_info(info)

    # What a WebSocket asks for

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Hand the connection over to another protocol, with the bytes that have come in on it."""
        unread, self._unread = b"".join(self._unread), deque()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        self._resume()
        if unread:
            protocol.data_received(unread)
        if self._ended:
            with contextlib.suppress(NotImplementedError):
                protocol.eof_received()
