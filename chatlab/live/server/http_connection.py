"""The server's end of an HTTP connection: uvicorn's protocol with bounds on time and memory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from email.utils import formatdate

import h11
from starlette.types import Receive
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from chatlab.hub import Bucket
from chatlab.live.server.connections import SILENT, BoundedConnection, Connections, never

_MAX_UNSENT = 16 * 1024
"""Bytes of a stream that the system may buffer in addition to those it can send. Source: Linux, tcp(7)."""


class HttpConnection(BoundedConnection, H11Protocol):
    """An HTTP connection whose requests must arrive in time. Its answers may take any time.

    The application finds it as `scope["state"]["connection"]`. A held request may `wait` in it. A stream
    writes to it directly and not through ASGI's `send`, which blocks while a reader doesn't read. While
    `mute` returns True, streams get no comments: an injected fault. `bucket` limits the rate of its requests.
    """

    server_state: Connections
    mute: Callable[[], bool] = staticmethod(never)

    def __init__(self, config: Config, server_state: Connections) -> None:
        super().__init__(config, server_state, {"connection": self})
        self.logger = SILENT
        self.access_log = False
        self.ending = False
        self.bucket = Bucket()
        self._streaming = False
        self._stall_timer: asyncio.TimerHandle | None = None
        self._waiting_before = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._wait_limit: asyncio.Timeout | None = None
        self._written = 0
        self._read = 0

    # Calls of the application

    async def wait(self, receive: Receive, seconds: float) -> bool:
        """Wait for `seconds`, or until `wake`; return False if the client has gone."""
        try:
            async with asyncio.timeout(0 if self.ending else seconds) as self._wait_limit:
                while (await receive())["type"] != "http.disconnect":
                    pass
                return False
        except TimeoutError:
            return True
        finally:
            self._wait_limit = None

    def wake(self) -> None:
        """End a wait."""
        if self._wait_limit and not self._wait_limit.expired():
            self._wait_limit.reschedule(self.loop.time())

    def write(self, data: bytes) -> bool:
        """Send a piece of the answer, if still open; return False if too many bytes wait for this reader."""
        if not self.ending and not self.transport.is_closing():
            if self.overfull:
                return False
            framed = self.conn.send(h11.Data(data=data)) or b""
            self.transport.write(framed)
            self._written += len(framed)
        return True

    def begin_stream(self) -> None:
        """Mark the answer as a stream, which goes on until its reader leaves. Input is read and discarded
        from now on.

        With a small send buffer (TCP_NOTSENT_LOWAT) the system soon shows what has been read; otherwise it
        buffers megabytes, and in large steps.
        """
        self._streaming = True
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            own: socket.socket = self.transport.get_extra_info("socket")
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MAX_UNSENT)

    def stalled(self) -> bool:
        """Return whether bytes wait for the reader, and it has read none since the last call."""
        waiting = self.transport.get_write_buffer_size()
        before, self._read = self._read, self._written - waiting
        return waiting > 0 and self._read <= before

    def close(self, code: int, reason: str) -> None:
        """End the answer, and drop the connection if its end isn't read soon. HTTP has no place for
        `code`."""
        if not self.cycle.response_complete:
            self.shutdown()

    def shutdown(self) -> None:
        super().shutdown()
        self.ending = True
        self.wake()
        self.abort_soon()

    # Callbacks of asyncio

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._streaming:  # `stalled` checks the reader of a stream, with every comment
            self._waiting_before = self.transport.get_write_buffer_size()
            self._watch_answer()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _watch_answer(self) -> None:
        self._stall_timer = self.loop.call_later(self.server_state.limits.keep_alive, self._check_answer)

    def _check_answer(self) -> None:
        """Drop the connection if its reader has read nothing of an answer for `keep_alive` seconds."""
        before, self._waiting_before = self._waiting_before, self.transport.get_write_buffer_size()
        if self._waiting_before >= before:
            self.transport.abort()
        else:
            self._watch_answer()

    def send_400_response(self, msg: str) -> None:
        """Refuse input that isn't HTTP. If an answer to it can no longer be sent, only close the
        connection."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.accepted = self.server_state.next_number()
        limits = self.server_state.limits
        if self.server_state.closing or len(self.connections) > limits.max_connections + Connections.REFUSALS:
            transport.abort()
        else:
            self._start_deadline()

    def data_received(self, data: bytes) -> None:
        if self._streaming:
            self.cycle.keep_alive = False
            return
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        super().data_received(data)
        if self.transport.get_protocol() is not self or self.transport.is_closing() or not self._incomplete():
            self._cancel_deadline()
        else:
            self._start_deadline()

    def _should_upgrade(self) -> bool:
        # An HTTP/1.0 proxy that forwards `Upgrade` doesn't understand it. Source: RFC 9110 §7.8.
        return self.scope["http_version"] != "1.0" and super()._should_upgrade()

    def eof_received(self) -> None:
        self._start_deadline()  # The remaining bytes must be read in time.

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._start_deadline()

    def _incomplete(self) -> bool:
        """Whether a request is incomplete, or the first hasn't begun; between requests uvicorn's own timer
        runs."""
        their_state = self.conn.their_state
        begun = bool(self.conn.trailing_data[0]) or self.cycle is None
        return their_state is h11.SEND_BODY or (their_state is h11.IDLE and begun)

    def _start_deadline(self) -> None:
        if self._deadline is None:
            timeout = self.server_state.limits.request_timeout
            self._deadline = self.loop.call_later(timeout, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_deadline()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        self._unset_keepalive_if_required()
