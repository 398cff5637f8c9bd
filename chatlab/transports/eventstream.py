"""An incremental parser of event streams (server-sent events).

Line ends become LF, the lines that a chunk completes are decoded together, and the rest waits for its line
end. Splitting before decoding is safe: CR and LF are never part of a UTF-8 sequence, and end a broken one.

Source: WHATWG HTML §9.2.5 (parsing) and §9.2.6 (interpreting); WHATWG Encoding §6, "UTF-8 decode".
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from chatlab.errors import EventTooLarge

_CR = 13  # a number, which `in` finds several times faster than bytes
_WINDOW = 1 << 16  # bytes processed at a time, so that a giant chunk is never copied whole
_LONG = 1000  # characters from which a line counts as long
_MAX_EXPANSION = 3  # an invalid byte becomes U+FFFD, which has three bytes in UTF-8
_MAX_RECONNECTION_MS = 2.0**53  # above it, a float no longer counts every millisecond


class StreamEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event; `last_event_id` is the id to resume from after it."""

    type: str
    data: str
    last_event_id: str


def _windows(chunk: bytes) -> Iterator[bytes]:
    for start in range(0, len(chunk), _WINDOW):
        yield chunk[start : start + _WINDOW]


def _split(text: str) -> list[str]:
    """Split a text into lines. `str.split` takes ten times as long as `find` if lines are long, and a seventh
    if they are short."""
    lines = []
    start = 0
    while text.find("\n", start, start + _LONG) < 0:
        end = text.find("\n", start + _LONG)
        if end < 0:
            lines.append(text[start:])
            return lines
        lines.append(text[start:end])
        start = end + 1
    lines += text[start:].split("\n")
    return lines


class EventStreamParser:
    """Parser of one response's bytes into events, which don't depend on how the bytes are split.

    `last_event_id` is that of the last complete block; pass it to the parser of the reconnected stream, as
    browsers do. `reconnection_time` is seconds, at most 2**53 ms, and None until `retry` sets it; the caller
    limits it.

    Errors: EventTooLarge if a line, or an event's data buffer in UTF-8, exceeds `max_event_size` bytes; every
    later feed raises it, too. Memory stays near that limit, however large the chunk.
    """

    def __init__(self, max_event_size: int = 1 << 20, *, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.reconnection_time: float | None = None
        self._max_event_size = max_event_size
        self._error = ""  # why the parser is closed; empty while it is open
        self._at_start = True  # a byte order mark may follow
        self._after_cr = False  # an LF that comes next belongs to that CR
        self._line = bytearray()  # the unfinished line
        self._type = ""
        self._id = last_event_id
        self._data = bytearray()  # the unfinished event's data buffer from earlier chunks, in UTF-8

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Parse the next bytes, and return the events that they complete.

        Errors: EventTooLarge; its `events` are those that this chunk completed before.
        """
        line = self._line
        if len(chunk) == 1 and chunk > b"\r" and len(line) < self._max_event_size:
            line += chunk  # a shortcut for streams that come byte by byte
            return []
        if self._error:
            raise EventTooLarge(self._error)
        events: list[StreamEvent] = []
        for window in (chunk,) if len(chunk) <= _WINDOW else _windows(chunk):
            if _CR in window or (self._after_cr and window):
                window = self._with_lf(window)
            lines, end, rest = window.rpartition(b"\n")
            if end:
                line += lines
                if len(self._data) + _MAX_EXPANSION * len(line) <= self._max_event_size:
                    self._interpret(line, events)
                else:
                    self._interpret_near_limit(line, events)
                line.clear()
            if rest:
                line += rest
                if len(line) > self._max_event_size:
                    self._fail("a line", events)
        return events

    def _with_lf(self, window: bytes) -> bytes:
        """Replace each line end by LF. A CR ends its line at once: its LF may come late or never."""
        if self._after_cr and not self._line:
            window = window.removeprefix(b"\n")
        self._after_cr = window.endswith(b"\r")
        return window.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _interpret_near_limit(self, lines: bytearray, events: list[StreamEvent]) -> None:
        """Interpret lines one by one, as one of them may exceed the limit."""
        for line in lines.split(b"\n"):
            if len(line) > self._max_event_size:
                self._fail("a line", events)
            self._interpret(line, events)
            if len(self._data) > self._max_event_size:
                self._fail("an event", events)

    def _interpret(self, lines: bytearray, events: list[StreamEvent]) -> None:
        """Interpret whole lines, separated by LF, and dispatch the events that they complete."""
        text = lines.decode("utf-8", "replace")
        if self._at_start:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        data: list[str] = []
        for line in text.split("\n") if len(text) < _LONG else _split(text):
            if not line:
                self.last_event_id = self._id
                if self._data:
                    data.insert(0, self._data[:-1].decode())
                    self._data.clear()
                if data:
                    events.append(StreamEvent(self._type or "message", "\n".join(data), self._id))
                    data.clear()
                self._type = ""
                continue
            name, _, value = line.partition(": ")
            if ":" in name:  # the first colon has no space after it
                name, _, value = line.partition(":")
            if name == "data":
                data.append(value)
            elif name == "id":
                if "\0" not in value:
                    self._id = value
            elif name == "event":
                self._type = value
            elif name == "retry" and value.isascii() and value.isdigit():
                # float() and not int(), which refuses more than 4,300 digits.
                self.reconnection_time = min(float(value), _MAX_RECONNECTION_MS) / 1000
        if data:
            self._data += ("\n".join(data) + "\n").encode()

    def _fail(self, what: str, events: list[StreamEvent]) -> None:
        self._line.clear()
        self._data.clear()
        self._error = f"the event stream has {what} above {self._max_event_size} bytes"
        self._max_event_size = -1  # so that every later feed raises
        raise EventTooLarge(self._error, events)
