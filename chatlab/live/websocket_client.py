"""The client's end of a WebSocket: the library's connection with bounds on time, and without its queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidHandshake, InvalidMessage
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State
from websockets.typing import BytesLike

from chatlab.live.interim import InterimFilter

MAX_FRAGMENTS = 4096
"""Frames of which one message may be made: of empty ones no size would ever be too large."""
TLS_RECORDS = frozenset({0x15, 0x16})
"""First bytes of an alert and of a handshake. Source: RFC 8446 §5.1."""

# An enum's attribute takes as long as much else that is done for a frame.
_OPEN, _BINARY = State.OPEN, Opcode.BINARY
_DATA = (Opcode.TEXT, _BINARY, Opcode.CONT)


class WebSocketClient(ClientConnection):
    """A connection that hands over all messages that have come in at once, writes bursts as one, bounds the
    end that it leaves to the server, and knows what can't be HTTP.

    Whoever takes the messages has done with them when the call returns; so nothing is queued, and a server
    that sends too fast is held up by TCP.
    """

    _head = b""
    _prompt = True
    """Whether the next frame goes out at once: it is the first since something came in, or a burst ended."""
    _corked = False
    _end: asyncio.TimerHandle | None = None
    _take: Callable[[list[str | bytes]], object] | None = None
    _failed = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._interim = InterimFilter()
        self._messages: list[str | bytes] = []
        """What has come in and wasn't handed over."""
        self._fragments: list[Frame] = []
        """What there is of an unfinished message."""

    async def handshake(self, *args: Any, **options: Any) -> None:
        try:
            await super().handshake(*args, **options)
        except InvalidMessage as error:
            if b"HTTP/".startswith(self._head):
                raise
            tls = self._head[0] in TLS_RECORDS
            what = "TLS: try wss:// in the URL" if tls else "something else than HTTP"
            raise InvalidHandshake(f"the server speaks {what}") from error

    # What goes out

    def push(self, frame: str | bytes) -> None:
        """Send a frame, without waiting: the first of a burst at once, the others as one write.

        Where each frame is answered before the next one, all are the first. To ask the loop for its next turn
        after each would take longer than to write it.

        One that can't be sent any more is dropped, since the reader reports how the connection ended.
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

    # What comes in

    def listen(self, take: Callable[[list[str | bytes]], object]) -> None:
        """Give all messages to `take`, in the order in which they come; those that are there, at once.

        The end isn't told: `recv` tells it, past which all messages go.
        """
        self._take = take
        self._hand_over(take)
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
        self._bound_end()

    def _hand_over(self, take: Callable[[list[str | bytes]], object]) -> None:
        if self._messages:
            messages, self._messages = self._messages, []
            take(messages)

    def process_event(self, event: Event) -> None:
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
        elif self._failed:
            pass  # What came behind a message that was no good.
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
        """Take no further message. Source: RFC 6455 §7.1.7, §8.1."""
        self._failed = True
        self._fragments = []
        if self.protocol.state is _OPEN:
            self.protocol.fail(code, reason)
            self._flush()

    def _bound_end(self) -> None:
        """Wait for the other side's end of the closing handshake, but not for ever."""
        if self._end is None and self.protocol.state is State.CLOSING:
            self._end = self.loop.call_later(self.close_timeout or 0.0, self.transport.abort)
            if self.protocol.close_rcvd is not None and self.protocol.close_sent is not None:
                self.transport.close()  # All is said. Source: RFC 6455 §7.1.1 ("MAY … at any time").

    def eof_received(self) -> None:
        if held := self._interim.flush():  # An answer that breaks off is told as one.
            self._interim.done = True
            self.data_received(held)
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)
