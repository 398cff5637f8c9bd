"""TCP connections of a client: to the first of a host's addresses that answers, with TLS on request.

All transports connect here, to a server or to a proxy (`routes`). A `Stream` implements httpcore's network
stream; a WebSocket takes over the stream's transport once it is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from typing import Any

import httpcore

from chatlab.live.client.lookup import addresses_of

ATTEMPT_DELAY = 0.25
"""Seconds after which the next address is tried in parallel to those under way. Source: RFC 8305 §5."""
MAX_UNREAD = 64 * 1024
"""Bytes that may be received and unread before reading from the network pauses."""


async def connect(host: str, port: int) -> Stream:
    """Connect to the first of a host's addresses that answers.

    An address that doesn't answer delays the next one only by `ATTEMPT_DELAY`. Source: RFC 8305.

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
    raise errors[0] if errors else OSError("the host name has no address")


async def _connect(address: str, port: int) -> Stream:
    stream = Stream()
    await asyncio.get_running_loop().create_connection(lambda: stream, address, port)
    return stream


def _discard(attempt: asyncio.Task[Stream]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().abort()


class Stream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """An open connection. At most one task reads it at a time, and at most one writes."""

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

    # Callbacks of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._pause()  # Bytes that arrive before the TLS handshake are for TLS to read.

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

    # The interface of httpcore

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return at most `max_bytes` of received data; b"" if the connection has ended.

        Errors: `httpcore.ReadError` if the connection broke. The caller bounds the time.
        """
        if self._unread:
            await asyncio.sleep(0)  # Let other tasks run, even if the sender never pauses.
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
        """Send bytes, and wait while the write buffer is full.

        Errors: `httpcore.WriteError` if the connection broke.
        """
        if self._error is not None or self.transport.is_closing():
            raise httpcore.WriteError from self._error or ConnectionResetError()
        self.transport.write(buffer)
        await self._writable.wait()

    async def aclose(self) -> None:
        """Close in the loop's next iteration. Bytes that are still unsent then are dropped."""
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
        if self._unread:  # For example a proxy's plain text after its answer to CONNECT.
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
        if info == "is_readable":  # Between requests: the server has closed, or sent something unasked.
            return self._ended or bool(self._unread) or self.transport.is_closing()
        if info in ("server_addr", "client_addr"):
            return self.transport.get_extra_info("peername" if info == "server_addr" else "sockname")
        return self.transport.get_extra_info(info)

    # For WebSockets

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Hand the connection over to another protocol, with the bytes already received on it."""
        unread, self._unread = b"".join(self._unread), deque()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        self._resume()
        if unread:
            protocol.data_received(unread)
        if self._ended:
            with contextlib.suppress(NotImplementedError):
                protocol.eof_received()
