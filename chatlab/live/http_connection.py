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
from chatlab.live.connections import SILENT, Backpressure, Connections, never

_MAX_UNSENT = 16 * 1024
"""Bytes that the system may take of a stream beyond what it can send. Source: Linux, tcp(7)."""


class HttpConnection(Backpressure, H11Protocol):
    """An HTTP connection whose requests must arrive in time, and whose answers may take theirs.

    The application finds it as `scope["state"]["connection"]`. A request may `wait` in it; one whose answer
    has begun may write on past ASGI's `send`, which blocks while a reader doesn't read. While `mute` says
    so, streams get no comments: a fault that somebody wants to see. What its requests may is in `bucket`.
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
        self._close_timer: asyncio.TimerHandle | None = None
        self._wait_limit: asyncio.Timeout | None = None
        self._written = 0
        self._read = 0

    # What the application says

    async def wait(self, receive: Receive, seconds: float) -> bool:
        """Wait so long, or until woken; False: the client has gone."""
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
        """Send a piece of the answer, if still open; False: too much waits for this reader already."""
        if not self.ending and not self.transport.is_closing():
            if self.overfull:
                return False
            framed = self.conn.send(h11.Data(data=data)) or b""
            self.transport.write(framed)
            self._written += len(framed)
        return True

    def begin_stream(self) -> None:
        """The answer goes on until its reader leaves. What the client says meanwhile is read and thrown away.

        The system shall tell soon what has been read: else it takes megabytes for itself, and in lumps.
        """
        self._streaming = True
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            own: socket.socket = self.transport.get_extra_info("socket")
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MAX_UNSENT)

    def stalled(self) -> bool:
        """Return whether something waits of which nothing has been read since this was last asked."""
        waiting = self.transport.get_write_buffer_size()
        before, self._read = self._read, self._written - waiting
        return waiting > 0 and self._read <= before

    def close(self, code: int, reason: str) -> None:
        """End the answer, for which HTTP has no code, and drop the connection if that isn't read soon."""
        if self.cycle.response_complete:
            return
        self.ending = True
        self.cycle.keep_alive = False
        self.wake()
        self._abort_soon()

    def shutdown(self) -> None:
        super().shutdown()
        self.ending = True
        self.wake()
        self._abort_soon()

    def _abort_soon(self) -> None:
        """Whatever is still to be done or read must be within `close_timeout`."""
        if self._close_timer is None:
            self._close_timer = self.loop.call_later(
                self.server_state.limits.close_timeout, self.transport.abort
            )

    # What the network says

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._streaming:  # whose reader is watched from one comment to the next
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
        """Drop the connection if nothing of an answer has been read for as long as a stream may stall."""
        before, self._waiting_before = self._waiting_before, self.transport.get_write_buffer_size()
        if self._waiting_before >= before:
            self.transport.abort()
        else:
            self._watch_answer()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; where an answer has begun, or is over, just end the connection."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limits = self.server_state.limits
        if self.server_state.closing or len(self.connections) > limits.max_connections + Connections.REFUSALS:
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        if self._streaming:
            self.cycle.keep_alive = False
            return
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        super().data_received(data)
        if self.transport.get_protocol() is not self or self.transport.is_closing() or not self._incomplete():
            self._stop_waiting()
        else:
            self._wait()

    def _should_upgrade(self) -> bool:
        # An HTTP/1.0 proxy that passes on the header doesn't speak what it asks for. Source: RFC 9110 §7.8.
        return self.scope["http_version"] != "1.0" and super()._should_upgrade()

    def eof_received(self) -> None:
        self._wait()  # what is still to be written must be read in time

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._wait()

    def _incomplete(self) -> bool:
        """Whether a request has begun, or the first one hasn't; between requests uvicorn's own timer runs."""
        their_state = self.conn.their_state
        begun = bool(self.conn.trailing_data[0]) or self.cycle is None
        return their_state is h11.SEND_BODY or (their_state is h11.IDLE and begun)

    def _wait(self) -> None:
        if self._deadline is None:
            timeout = self.server_state.limits.request_timeout
            self._deadline = self.loop.call_later(timeout, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()
        for timer in (self._close_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        self.server_state.lost()
