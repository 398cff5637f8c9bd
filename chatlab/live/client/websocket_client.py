"""The client's end of a WebSocket: the connection of `websockets`, with time limits and without its queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidHandshake, InvalidMessage
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State
from websockets.typing import BytesLike

from chatlab.live.client.interim import InterimFilter

MAX_FRAGMENTS = 4096
"""Frames of one message; without this bound, empty frames could be added without limit."""
TLS_RECORDS = frozenset({0x15, 0x16})
"""First bytes of a TLS alert and a TLS handshake. Source: RFC 8446 §5.1."""

# An enum's attribute takes about as long as the rest of the work for a frame.
_OPEN, _BINARY, _PING = State.OPEN, Opcode.BINARY, Opcode.PING
_DATA = (Opcode.TEXT, _BINARY, Opcode.CONT)


class WebSocketClient(ClientConnection):
    """A connection of `websockets` with five changes.

    It passes received messages to a callback at once. The callback has processed them when it returns, so
    nothing is queued, and TCP slows down a server that sends too fast. It writes a burst of frames together.
    It tells of Ping frames. It limits the time of the closing handshake. If the server's answer isn't HTTP,
    the error says so.
    """

    _head = b""
    _prompt = True
    """Whether the next frame is written at once: it is the first since data was received, or since a burst
    ended."""
    _corked = False
    _end: asyncio.TimerHandle | None = None
    _take: Callable[[list[str | bytes]], object] | None = None
    _failed = False
    _pinged = False
    _on_ping: Callable[[], object] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._interim = InterimFilter()
        self._messages: list[str | bytes] = []
        """Messages that were received and not yet delivered."""
        self._fragments: list[Frame] = []
        """The received fragments of an unfinished message."""

    async def handshake(self, *args: Any, **options: Any) -> None:
        try:
            await super().handshake(*args, **options)
        except InvalidMessage as error:
            if b"HTTP/".startswith(self._head):
                raise
            tls = self._head[0] in TLS_RECORDS
            what = "TLS: try wss:// in the URL" if tls else "something other than HTTP"
            raise InvalidHandshake(f"the server speaks {what}") from error

    # Sending

    def push(self, frame: str | bytes) -> None:
        """Send a frame without waiting. The first of a burst is written at once, the others in one write.

        Received data ends a burst. So if each frame is answered before the next one is sent, all are written
        at once. Scheduling a callback for each would take longer than writing it.

        A frame is dropped if the connection has ended, which the reader reports.
        """
        if self.protocol.state is not _OPEN:
            return
        if isinstance(frame, str):
            self.protocol.send_text(frame.encode())
        else:
            self.protocol.send_binary(frame)
        if self._prompt:
            self._prompt = False
            self.send_data()
        elif not self._corked:
            self._corked = True
            self.loop.call_soon(self._uncork)

    def _uncork(self) -> None:
        self._corked, self._prompt = False, True
        self._flush()

    def _flush(self) -> None:
        if frames := self.protocol.data_to_send():
            self.transport.writelines(frames)

    def end(self, code: int, reason: str) -> None:
        """Send a close frame without waiting. The connection is closed once the peer has answered it, or
        aborted after `close_timeout`."""
        if self.protocol.state is _OPEN:
            self.protocol.send_close(code, reason)
            self._flush()
        self._bound_end()

    # Receiving

    def listen(self, take: Callable[[list[str | bytes]], object], on_ping: Callable[[], object]) -> None:
        """Pass all messages to `take`, in the order in which they arrive, beginning with those already
        received. Call `on_ping` when a Ping frame has come, which the library answers.

        Await `recv` for the end of the connection; it returns no messages.
        """
        self._take, self._on_ping = take, on_ping
        self._hand_over(take)
        self._tell_of_pings()
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if not self._interim.done:
            data = self._interim.feed(data)
            if not data:
                return
        if self.response is None:
            self._head = (self._head + data)[:5]
        self._prompt = True
        self._flush()  # The library would write frame by frame.
        super().data_received(data)
        if self._take is not None:
            self._hand_over(self._take)
        elif self._messages:
            self.transport.pause_reading()
        self._tell_of_pings()
        self._bound_end()

    def _hand_over(self, take: Callable[[list[str | bytes]], object]) -> None:
        if self._messages:
            messages, self._messages = self._messages, []
            take(messages)

    def _tell_of_pings(self) -> None:
        if self._pinged and self._on_ping is not None:
            self._pinged = False
            self._on_ping()

    def process_event(self, event: Event) -> None:
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            self._pinged = self._pinged or (isinstance(event, Frame) and event.opcode is _PING)
            super().process_event(event)
        elif self._failed:
            pass  # Frames after an invalid message are dropped.
        elif event.fin and not self._fragments:
            self._assemble(event.opcode, event.data)
        else:
            fragments = self._fragments
            fragments.append(event)
            if len(fragments) > MAX_FRAGMENTS:
                self._fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            elif event.fin:
                self._fragments = []
                self._assemble(fragments[0].opcode, b"".join(fragment.data for fragment in fragments))

    def _assemble(self, kind: Opcode, data: BytesLike) -> None:
        if kind is _BINARY:
            self._messages.append(bytes(data))
            return
        try:
            self._messages.append(str(data, "utf-8"))
        except UnicodeDecodeError as error:
            self._fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Accept no further message. Source: RFC 6455 §7.1.7, §8.1."""
        self._failed = True
        self._fragments = []
        if self.protocol.state is _OPEN:
            self.protocol.fail(code, reason)
            self._flush()

    def _bound_end(self) -> None:
        """Bound the time of the closing handshake, and close the connection once it is complete.

        Source: RFC 6455 §7.1.1.
        """
        if self.protocol.state is State.CLOSING:
            if self._end is None:
                self._end = self.loop.call_later(self.close_timeout or 0.0, self.transport.abort)
            if self.protocol.close_rcvd is not None and self.protocol.close_sent is not None:
                self.transport.close()

    def eof_received(self) -> None:
        if held := self._interim.flush():  # A truncated answer is reported as such.
            self._interim.done = True
            self.data_received(held)
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)
