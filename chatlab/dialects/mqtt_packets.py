"""Packets of MQTT 3.1.1: their encoding, and a reader of the stream that a WebSocket's binary frames carry.

Source: OASIS MQTT Version 3.1.1, chapters 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from chatlab.errors import SettingsError

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 12, 13, 14
MAX_PACKET = 4 << 20
"""Bytes of the largest packet that is read; a larger one is skipped."""
MAX_STRING = 65_535
"""Bytes of the longest string. Source: §1.5.3."""
MAX_ID = 65_535


class Malformed(ValueError):
    """The stream can't be read any further."""


class Packet(Struct, frozen=True):
    """A packet: its type, the flags of its first byte, and the rest. `skipped` is the size of one that was
    too large, whose body isn't kept."""

    type: int
    flags: int
    body: bytes
    skipped: int = 0


class PacketReader:
    """A reader of one connection's bytes, in which a packet may span frames, or a frame hold several."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that are complete now. Errors: `Malformed`."""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._bytes += data[skipped:]
        while (head := _head(self._bytes)) is not None:
            start, size = head
            first = self._bytes[0]
            if size > MAX_PACKET:
                left = start + size - len(self._bytes)
                self._skip = max(0, left)
                del self._bytes[: start + size]
                yield Packet(first >> 4, first & 15, b"", size)
                continue
            if len(self._bytes) < start + size:
                return
            body = bytes(self._bytes[start : start + size])
            del self._bytes[: start + size]
            yield Packet(first >> 4, first & 15, body)


def _head(data: bytearray) -> tuple[int, int] | None:
    """Return where a packet's body begins, and its size; None if they haven't come yet. Source: §2.2.3."""
    size = 0
    for place in range(1, 5):
        if place >= len(data):
            return None
        size |= (data[place] & 127) << (7 * (place - 1))
        if not data[place] & 128:
            return place + 1, size
    raise Malformed("a packet's length has more than four bytes")


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """Return the bytes of a packet of type `kind`."""
    size, left = bytearray(), len(body)
    while True:
        left, digit = divmod(left, 128)
        size.append(digit | (128 if left else 0))
        if not left:
            return bytes([kind << 4 | flags]) + bytes(size) + body


def string(text: str | bytes) -> bytes:
    """Return a string, or binary data, with its length. Errors: `SettingsError` if it is too long."""
    data = text.encode() if isinstance(text, str) else text
    if len(data) > MAX_STRING:
        raise SettingsError(f"a string of MQTT has at most {MAX_STRING:,} bytes, got {len(data):,}")
    return len(data).to_bytes(2, "big") + data


def connect(client_id: str, keep_alive: int, user: str | None, password: str | None) -> bytes:
    """Return a CONNECT. Without a client id the session is a clean one. Source: §3.1."""
    flags = (0 if client_id else 2) | (0 if user is None else 128) | (0 if password is None else 64)
    body = string("MQTT") + bytes([4, flags]) + keep_alive.to_bytes(2, "big") + string(client_id)
    return packet(CONNECT, body + b"".join(string(text) for text in (user, password) if text is not None))


def subscribe(id: int, topic: str, qos: int) -> bytes:
    """Return a SUBSCRIBE to one topic. Source: §3.8."""
    return packet(SUBSCRIBE, id.to_bytes(2, "big") + string(topic) + bytes([qos]), 2)


def publish(topic: str, content: bytes, id: int = 0, *, retain: bool = False) -> bytes:
    """Return a PUBLISH: with QoS 1 if it has an id, else with QoS 0. Source: §3.3."""
    number = id.to_bytes(2, "big") if id else b""
    return packet(PUBLISH, string(topic) + number + content, (2 if id else 0) | retain)


def puback(id: int) -> bytes:
    """Return the acknowledgement of a message with QoS 1. Source: §3.4."""
    return packet(PUBACK, id.to_bytes(2, "big"))


class Published(Struct, frozen=True):
    """A PUBLISH that came. `id` is 0 with QoS 0."""

    topic: str
    content: bytes
    id: int
    retained: bool


def read_published(got: Packet) -> Published:
    """Return a PUBLISH's parts. Errors: `ValueError`."""
    body, qos = got.body, got.flags >> 1 & 3
    end = 2 + int.from_bytes(body[:2], "big")
    start = end + (2 if qos else 0)
    if len(body) < start or qos > 1:
        raise ValueError("a PUBLISH is cut short" if qos < 2 else f"a PUBLISH with QoS {qos}")
    id = int.from_bytes(body[end:start], "big")
    return Published(body[2:end].decode(), body[start:], id, bool(got.flags & 1))
