"""The server's end of a WebSocket: uvicorn's protocol with bounds on time and memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from chatlab.live.server.connections import SILENT, BoundedConnection, Connections, never

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_PIECE = 16 * 1024
"""Bytes that are read between two counts of their frames."""
_MAX_REASON = 123
"""Bytes of a close frame's reason. Source: RFC 6455 §5.5."""


class WebSocketConnection(BoundedConnection, WebSocketsSansIOProtocol):
    """The server's end of a WebSocket; a slow or silent peer can't block it.

    It writes directly and not through ASGI's `send`, which blocks while a reader doesn't read. The
    application finds it as `scope["state"]["connection"]`. While `mute` returns True, it neither sends nor
    answers Pings: an injected fault. `charge` counts fragments, Pings and Pongs, and returns whether to go on
    reading.
    """

    mute: Callable[[], bool] = staticmethod(never)
    charge: Callable[[int], bool] | None = None

    def __init__(self, config: Config, server_state: Connections, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.server_state = server_state
        self.accepted = app_state["connection"].accepted
        self.close_timeout = server_state.limits.close_timeout
        self.logger = SILENT
        self.conn.logger = SILENT
        self._parts = 0
        self._ignores_input = False

    async def run_asgi(self) -> None:
        self.scope["state"]["connection"] = self
        await super().run_asgi()

    # Calls of the application

    @property
    def open(self) -> bool:
        """Whether a frame can be sent."""
        return self.conn.state is State.OPEN and not self.close_sent and not self.transport.is_closing()

    def write(self, *frames: str | bytes) -> bool:
        """Send frames, if still open; return False if too many bytes wait for this reader."""
        if self.open:
            if self.overfull:
                return False
            self.transport.writelines(_serialized(*frames))
        return True

    def close(self, code: int, reason: str) -> None:
        """Send a close frame at once, and drop the connection if it isn't answered soon."""
        if self.open:
            self.conn.send_close(code, reason.encode()[:_MAX_REASON].decode(errors="ignore"))
            self._end(code)

    def shutdown(self) -> None:
        if self.open:
            self.close(1012, "service restart")
        elif not (self.handshake_complete or self.transport.is_closing()):
            super().shutdown()  # Otherwise the closing handshake has begun or ended.

    # Callbacks of asyncio

    def data_received(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(data), _PIECE):
            if self._ignores_input or self.conn.parser_exc is not None:
                return  # drop the rest after a flood, or after an invalid frame
            super().data_received(bytes(view[start : start + _PIECE]))
            if self._parts and self.charge is not None:
                parts, self._parts = self._parts, 0
                self._ignores_input = not self.charge(parts)
        if not self.handshake_initiated:  # the HTTP side passed on the whole request, so it is invalid
            self.transport.write(_BAD_REQUEST)
            self.transport.close()
        elif self.overfull:  # The peer sends Pings, and doesn't read the Pongs.
            self.transport.abort()

    def eof_received(self) -> None:
        self.abort_soon()

    def handle_cont(self, event: Frame) -> None:
        self._parts += 1
        super().handle_cont(event)

    def handle_pong(self, event: Frame) -> None:
        self._parts += 1
        super().handle_pong(event)

    def handle_ping(self) -> None:
        self._parts += 1
        if self.mute():
            self.conn.data_to_send()  # drop the prepared Pong
        else:
            super().handle_ping()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self.abort_soon()

    def ping_every(self, interval: float, timeout: float) -> None:
        """Send a Ping frame every `interval` once it is open; close it if none comes back in `timeout`."""
        self.ping_interval, self.ping_timeout = interval, timeout

    def send_keepalive_ping(self) -> None:
        if self.mute():
            self.last_ping_rtt = 0.0
            self.schedule_ping()
        else:
            super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.abort_soon()

    def handle_parser_exception(self) -> None:
        # If closed now, with unread bytes, TCP resets the connection, and the peer never sees the reason.
        sent = self.conn.close_sent
        self._end(sent.code if sent else 1006)

    def _end(self, code: int) -> None:
        """Write the close frame, notify the application, and read on until the peer has closed too."""
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
        self.abort_soon()


@lru_cache(maxsize=4)
def _serialized(*frames: str | bytes) -> list[bytes]:
    """Return the bytes of each frame, unmasked. Cached, since all of a room's members get the same."""
    whole = (
        Frame(Opcode.TEXT, frame.encode()) if isinstance(frame, str) else Frame(Opcode.BINARY, frame)
        for frame in frames
    )
    return [frame.serialize(mask=False) for frame in whole]
