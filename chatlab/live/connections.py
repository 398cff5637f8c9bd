"""uvicorn's protocols with the bounds that they leave open: on time, on memory, and on what they log.

uvicorn itself waits for ever for the end of a request's headers and for a reader that doesn't read; and it
logs URLs with their query, where tokens may be.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from email.utils import formatdate
from functools import lru_cache
from math import inf
from typing import Any

import h11
from starlette.types import Receive
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from chatlab.settings import PositiveDuration, Settings, Size

_SILENT = logging.getLogger(f"{__name__}.uvicorn")
_SILENT.setLevel(logging.CRITICAL + 1)  # the service logs its own errors, without queries
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_MAX_UNSENT = 16 * 1024
"""Bytes that the system may take of a stream beyond what it can send. Source: Linux, tcp(7)."""
_MAX_REASON = 123
"""Bytes of a close frame's reason. Source: RFC 6455 §5.5."""


class Limits(Settings, frozen=True):
    """What a server bears. Beyond `max_connections` it answers 503, and beyond a few more it doesn't answer.

    A request must be there whole within `request_timeout`. `max_backlog` bytes may wait for a reader that
    lags. Close frames must be answered within `close_timeout`. Pings find connections that are dead; with
    `ping_interval` None there are none.

    An event stream gets a comment every `keep_alive`, and is cut off when something waits of which nothing
    has been read since the last one; its readers are told their `reconnection_time`, unless it's None. A poll
    is held for `max_hold` at most.
    """

    max_connections: Size = 1000
    request_timeout: PositiveDuration = 10.0
    max_backlog: Size = 4 * 1024 * 1024
    close_timeout: PositiveDuration = 0.5
    ping_interval: PositiveDuration | None = 20.0
    ping_timeout: PositiveDuration = 20.0
    keep_alive: PositiveDuration = 15.0
    reconnection_time: PositiveDuration | None = None
    max_hold: PositiveDuration = 25.0


class Connections(ServerState):
    """All open connections of a server, and the tasks that serve them."""

    REFUSALS = 100
    """So many connections beyond the limit are still told that there are too many."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.closing = False
        self._lost = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether there are more than the limit."""
        return len(self.connections) > self.limits.max_connections

    def lost(self) -> None:
        """Take note that a connection has ended."""
        self._lost.set()

    async def close(self, *, abrupt: bool) -> None:
        """End all connections: with a close frame and a moment to answer it, or as a crash would."""
        self.closing = True
        if not abrupt:
            for connection in list(self.connections):
                connection.shutdown()
            try:
                async with asyncio.timeout(self.limits.close_timeout):
                    await self._gone()
            except TimeoutError:
                pass
        for connection in list(self.connections):
            connection.transport.abort()
        await self._gone()
        while self.tasks:
            _, late = await asyncio.wait(self.tasks, timeout=self.limits.close_timeout)
            for task in late:
                task.cancel()

    async def _gone(self) -> None:
        while self.connections:
            self._lost.clear()
            await self._lost.wait()


class HttpConnection(H11Protocol):
    """An HTTP connection whose requests must arrive in time, and whose answers may take theirs.

    The application finds it as `scope["state"]["connection"]`. A request may `wait` in it; one whose answer
    has begun may write on past ASGI's `send`, which blocks while a reader doesn't read.
    """

    server_state: Connections

    def __init__(self, config: Config, server_state: Connections) -> None:
        super().__init__(config, server_state, {"connection": self})
        self.logger = _SILENT
        self.access_log = False
        self.ending = False
        self._deadline: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._wait_limit: asyncio.Timeout | None = None
        self._max_waiting = inf
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
            if self.transport.get_write_buffer_size() > self._max_waiting:
                return False
            framed = self.conn.send(h11.Data(data=data)) or b""
            self.transport.write(framed)
            self._written += len(framed)
        return True

    def admit(self) -> None:
        """What was sent up to now was a replay; from now on bound what may wait."""
        self._max_waiting = self.transport.get_write_buffer_size() + self.server_state.limits.max_backlog

    def watch_reader(self) -> None:
        """Have the system tell soon what has been read: else it takes megabytes for itself, and in lumps."""
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
        if self._close_timer is None:
            self._close_timer = self.loop.call_later(
                self.server_state.limits.close_timeout, self.transport.abort
            )

    def shutdown(self) -> None:
        super().shutdown()
        self.ending = True
        self.wake()

    # What the network says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limits = self.server_state.limits
        if self.server_state.closing or len(self.connections) > limits.max_connections + Connections.REFUSALS:
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        super().data_received(data)
        if self.transport.get_protocol() is not self or self.transport.is_closing() or not self._incomplete():
            self._stop_waiting()
        else:
            self._wait()

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
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._unset_keepalive_if_required()
        self.server_state.lost()


class WebSocketConnection(WebSocketsSansIOProtocol):
    """The server's end of a WebSocket, which a slow or silent peer can't make wait.

    It writes past ASGI's `send`, which blocks while a reader doesn't read. The application finds it as
    `scope["state"]["connection"]`.
    """

    def __init__(self, config: Config, server_state: Connections, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.server_state = server_state
        self.close_timeout = server_state.limits.close_timeout
        self.logger = _SILENT
        self.conn.logger = _SILENT
        self._max_waiting = inf

    async def run_asgi(self) -> None:
        self.scope["state"]["connection"] = self
        await super().run_asgi()

    # What the application says

    @property
    def open(self) -> bool:
        """Whether a frame can be sent."""
        return self.conn.state is State.OPEN and not self.close_sent and not self.transport.is_closing()

    def write(self, frame: str | bytes) -> bool:
        """Send a frame, if still open; False: too much waits for this reader already."""
        if self.open:
            if self.transport.get_write_buffer_size() > self._max_waiting:
                return False
            self.transport.write(_serialized(frame))
        return True

    def admit(self) -> None:
        """What was sent up to now was a replay; from now on bound what may wait."""
        self._max_waiting = self.transport.get_write_buffer_size() + self.server_state.limits.max_backlog

    def close(self, code: int, reason: str) -> None:
        """Send a close frame at once, and drop the connection if it isn't answered soon."""
        if self.open:
            self.conn.send_close(code, reason.encode()[:_MAX_REASON].decode(errors="ignore"))
            self._end(code)

    def shutdown(self) -> None:
        if self.open:
            self.close(1012, "service restart")
        elif not self.close_sent:
            super().shutdown()

    # What the network says

    def data_received(self, data: bytes) -> None:
        if self.conn.parser_exc is not None:
            return  # what follows a frame that failed the connection
        super().data_received(data)
        if not self.handshake_initiated:  # the request came whole from the HTTP side, so it is no good
            self.transport.write(_BAD_REQUEST)
            self.transport.close()
        elif self.transport.get_write_buffer_size() > self._max_waiting:  # pings whose pongs nobody reads
            self.transport.abort()

    def eof_received(self) -> None:
        self._abort_soon()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._abort_soon()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort_soon()

    def handle_parser_exception(self) -> None:
        # Closed at once, with bytes unread, TCP would reset the connection, and the peer never see why.
        sent = self.conn.close_sent
        self._end(sent.code if sent else 1006)

    def _end(self, code: int) -> None:
        """Write out the close frame, tell the application, and read on until the peer has closed too."""
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        for data in self.conn.data_to_send():
            if data:
                self.transport.write(data)
            elif self.transport.can_write_eof():
                self.transport.write_eof()
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._abort_soon()

    def _abort_soon(self) -> None:
        """Whatever is still to be written or answered must be within `close_timeout`."""
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.server_state.lost()


@lru_cache(maxsize=4)
def _serialized(frame: str | bytes) -> bytes:
    """Return the bytes of an unmasked frame: the same for all of a room's members, so made once."""
    if isinstance(frame, str):
        return Frame(Opcode.TEXT, frame.encode()).serialize(mask=False)
    return Frame(Opcode.BINARY, frame).serialize(mask=False)
